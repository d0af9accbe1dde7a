//! Loads the embedded object, registers taps, reads counters.
use std::{
    collections::{BTreeMap, BTreeSet},
    thread,
};

use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, MapData, RingBuf},
    programs::{Program, cgroup_skb::CgroupSkbLink},
};
use podtrace_ebpf::config::{self, TapCounters, TapKey};

use super::{
    ProbeError, ProbeOptions,
    control::{Controls, ports},
    drops::Drops,
    error::not_loaded,
    fit::Fitted,
    object::TAPS,
    parts::{array, program, take},
    rings::Rings,
    table::TapTable,
};
use crate::{cause::chain, netns::NetNs};

/// Loaded programs and their attachments.
pub struct Probe {
    ebpf: Ebpf,
    taps: TapTable,
    controls: Controls,
    /// By interface number.
    registered: BTreeMap<u32, TapKey>,
    /// The programs that watch sockets, by the cgroup's path below the root of the tree.
    pub(super) cgroups: BTreeMap<String, CgroupSkbLink>,
    /// Last counters of interfaces whose taps were removed, until the next read.
    removed: BTreeMap<u32, TapCounters>,
    limits: Vec<String>,
    drops: Option<Drops>,
}

/// The reader's ends: the rings, and the wake-up.
pub struct Channel {
    pub(super) rings: Rings,
    pub(super) wake: RingBuf<MapData>,
    /// Packets at CPUs without a ring.
    pub(super) lost: Array<MapData, u64>,
}

impl Probe {
    /// Loads the programs; nothing is attached yet.
    ///
    /// # Errors
    /// When the kernel's types cannot be read or the kernel refuses the object.
    pub fn load(options: &ProbeOptions) -> Result<(Self, Channel), ProbeError> {
        // Both read the kernel's types, which takes as long as everything else.
        let (loader, fitted) = thread::scope(|scope| {
            let loader = scope.spawn(EbpfLoader::new);
            let fitted = Fitted::find(options);
            (loader.join(), fitted)
        });
        let loader = loader.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let fitted = fitted?;
        fitted.check_memory()?;
        let (loaded, mut fitted) = match fitted.load(loader, options) {
            Err(ProbeError::Load(error)) if fitted.is_too_large(&error) => {
                let fitted = fitted.with_small_rings();
                (fitted.load(EbpfLoader::new(), options), fitted)
            }
            loaded => (loaded, fitted),
        };
        let mut ebpf = loaded.map_err(|error| fitted.explain(error))?;
        load_programs(&mut ebpf)?;
        let mut limits = fitted.limits();
        let drops = match attach_drops(&mut ebpf, &mut fitted) {
            Ok(drops) => drops,
            Err(error) => {
                limits.push(format!(
                    "packets that the kernel drops are not told: {}",
                    chain(&error)
                ));
                None
            }
        };
        let Fitted {
            rings, ring_bytes, ..
        } = fitted;
        let channel = Channel {
            rings: Rings::new(array(&ebpf, config::MAP_RINGS)?.fd(), rings, ring_bytes)
                .map_err(ProbeError::Rings)?,
            wake: take(&mut ebpf, config::MAP_WAKE)?,
            lost: take(&mut ebpf, config::MAP_LOST)?,
        };
        let taps = TapTable::new(take(&mut ebpf, config::MAP_TAPS)?);
        let controls = Controls::new(take(&mut ebpf, config::MAP_CONTROL)?);
        let probe = Self {
            ebpf,
            taps,
            controls,
            registered: BTreeMap::new(),
            cgroups: BTreeMap::new(),
            removed: BTreeMap::new(),
            limits,
            drops,
        };
        Ok((probe, channel))
    }

    /// Registers an interface before it is attached to: from then on its packets are counted.
    /// `interface` is the number in its records, `link_len` the length of its link header in
    /// bytes.
    ///
    /// # Errors
    /// When there is no room for another.
    pub fn register(
        &mut self,
        netns: &NetNs,
        ifindex: u32,
        interface: u32,
        link_len: u32,
    ) -> Result<(), ProbeError> {
        let key = TapKey {
            netns_cookie: netns.id,
            ifindex,
            zero: 0,
        };
        self.taps.insert(key, interface, link_len)?;
        self.registered.insert(interface, key);
        Ok(())
    }

    /// Removes an interface without attachments. Its counts are kept: it may have vanished
    /// when only one of its directions was attached to.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn retire(&mut self, interface: u32) -> Result<(), ProbeError> {
        let Some(key) = self.registered.remove(&interface) else {
            return Ok(());
        };
        let counters = self.taps.remove(&key)?;
        if counters.iter().any(|one| one.seen > 0) {
            self.removed.insert(interface, counters);
        }
        Ok(())
    }

    /// Starts the taps, including those attached later.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn start(&mut self) -> Result<(), ProbeError> {
        self.controls.change(|controls| controls.active = 1)
    }

    /// Captures only packets whose digest ([`podtrace_ebpf::sample`]) is at most `max`: all
    /// with `u32::MAX`. The others are counted as filtered.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn sample(&mut self, max: u32) -> Result<(), ProbeError> {
        self.controls.change(|controls| controls.sample_max = max)
    }

    /// Sets the UDP ports of VXLAN interfaces.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn set_vxlan_ports(&mut self, of: &[u16]) -> Result<(), ProbeError> {
        self.controls
            .change(|controls| controls.vxlan_ports = ports(of))
    }

    /// Stops all taps at once, and waits for programs that are running: then no more records
    /// come, and the counters are final. Returns false if only detaching ensures that.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn stop(&mut self) -> Result<bool, ProbeError> {
        self.controls.change(|controls| controls.active = 0)?;
        self.cgroups.clear();
        Ok(wait_for_programs())
    }

    /// Counters of every interface that has taps, by its number, and for the last time of
    /// those without taps.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn counters(&mut self) -> Result<BTreeMap<u32, TapCounters>, ProbeError> {
        let mut all = std::mem::take(&mut self.removed);
        for (interface, key) in &self.registered {
            all.insert(*interface, self.taps.counters(key)?);
        }
        Ok(all)
    }

    /// The features that this kernel lacks, and the consequences, in words.
    #[must_use]
    pub fn limits(&self) -> &[String] {
        &self.limits
    }

    /// The ids of the namespaces with registered interfaces.
    #[must_use]
    pub fn namespaces(&self) -> BTreeSet<u64> {
        let keys = self.registered.values();
        keys.map(|key| key.netns_cookie).collect()
    }

    /// Takes the source of the packets that the kernel drops, if it is wanted and there is one.
    pub fn take_drops(&mut self) -> Option<Drops> {
        self.drops.take()
    }

    pub(super) fn program<'a, P>(&'a mut self, name: &'static str) -> Result<&'a mut P, ProbeError>
    where
        &'a mut P: TryFrom<&'a mut Program>,
    {
        program(&mut self.ebpf, name)
    }

    /// The loaded object, for test runs of its programs and for its log.
    pub fn object(&mut self) -> &mut Ebpf {
        &mut self.ebpf
    }
}

/// The source of dropped packets, if it is wanted.
fn attach_drops(ebpf: &mut Ebpf, fitted: &mut Fitted) -> Result<Option<Drops>, ProbeError> {
    let layout = fitted.take_drops().transpose()?;
    layout.map(|layout| Drops::attach(ebpf, layout)).transpose()
}

/// Loads the taps in parallel: the verifier takes some 10 ms for each.
fn load_programs(ebpf: &mut Ebpf) -> Result<(), ProbeError> {
    thread::scope(|scope| {
        let mut loading = Vec::new();
        for (name, program) in ebpf.programs_mut() {
            let Some(name) = TAPS.into_iter().find(|tap| *tap == name) else {
                continue;
            };
            loading.push(scope.spawn(move || {
                let loaded = match program {
                    Program::SchedClassifier(program) => program.load(),
                    Program::CgroupSkb(program) => program.load(),
                    _ => return Err(ProbeError::Missing(name)),
                };
                loaded.map_err(|source| not_loaded(name, source))
            }));
        }
        let loaded = loading.into_iter().map(|thread| {
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        loaded.collect()
    })
}

/// Waits until all programs that are running have ended. Programs run inside RCU sections, and
/// the kernel waits for those of all CPUs; if some CPUs have no tick (nohz_full), it offers no
/// such wait.
fn wait_for_programs() -> bool {
    let (no_flags, any_cpu) = (0, 0);
    // SAFETY: the call takes numbers only and changes nothing of the process.
    let status = unsafe {
        libc::syscall(
            libc::SYS_membarrier,
            libc::MEMBARRIER_CMD_GLOBAL,
            no_flags,
            any_cpu,
        )
    };
    status == 0
}
