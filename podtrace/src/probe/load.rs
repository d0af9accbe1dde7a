//! Loading the embedded object, registering taps, reading counters.
use std::{collections::BTreeMap, fs};

use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, Map, MapData, MapError, RingBuf},
    programs::{CgroupSkb, Program, ProgramError, SchedClassifier},
};
use podtrace_ebpf::{
    config::{self, TapCounters, TapKey},
    ring::value_len,
};

use super::{
    ProbeError,
    btf::{BTF_PATH, Btf},
    control::{Controls, ports},
    object,
    rings::{Rings, ring_bytes, ring_count},
    sockets::Watched,
    table::{self, TapTable},
};
use crate::node::netns::NetNs;

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/podtrace-ebpf"));

/// A kernel function that makes a program's context its `struct sk_buff`
/// (since Linux 6.2).
const CAST: &str = "bpf_cast_to_kern_ctx";

/// How to load.
#[derive(Clone, Debug)]
pub struct ProbeOptions {
    /// Bytes captured of each packet, at most.
    pub snaplen: u32,
    /// Bytes of the rings of all CPUs together, about: each has the next smaller
    /// power of two.
    pub ring_bytes: u32,
    /// How many interfaces may have taps at the same time.
    pub max_interfaces: u32,
    /// Whether only headers are captured, with [`config::KEY_PAYLOAD`] bytes
    /// behind them.
    pub headers_only: bool,
    /// Whether the kernel side's diagnostics are wanted.
    pub diagnostics: bool,
    /// Bytes of the ring buffer of [`config::PROGRAM_BARE`], if it is to run.
    pub bare_bytes: Option<u32>,
}

/// Loaded programs and their attachments.
pub struct Probe {
    ebpf: Ebpf,
    taps: TapTable,
    controls: Controls,
    /// By number of the interface.
    registered: BTreeMap<u32, TapKey>,
    pub(super) cgroups: Watched,
    /// Last counters of interfaces whose taps are gone, until they are asked for.
    gone: BTreeMap<u32, TapCounters>,
}

/// The reader's ends: the rings, and what wakes it.
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
        if OBJECT.is_empty() {
            return Err(ProbeError::NoObject);
        }
        let blob = fs::read(BTF_PATH).map_err(ProbeError::BtfRead)?;
        let btf = Btf::parse(&blob)?;
        let skb_dev = btf.offset_of("sk_buff", "dev")?;
        let dev_net = btf.offset_of("net_device", "nd_net")?;
        let net_cookie = btf.offset_of("net", "net_cookie")?;
        let cast = btf.function(CAST);
        let rings = ring_count().map_err(|(path, source)| ProbeError::Cpus(path, source))?;
        let ring_bytes = ring_bytes(options.ring_bytes, rings);
        let mut object = OBJECT.to_vec();
        object::set_values(&mut object, value_len(ring_bytes));
        object::set_cast(&mut object, cast);
        let slots = table::slots(options.max_interfaces);
        let log_level: u8 = if options.diagnostics { 4 } else { 0 };
        let mut loader = EbpfLoader::new();
        if let Some(bytes) = options.bare_bytes {
            loader.map_max_entries(config::MAP_BARE, bytes);
        }
        let mut ebpf = loader
            .override_global(config::GLOBAL_SNAPLEN, &options.snaplen, true)
            .override_global(
                config::GLOBAL_HEADERS_ONLY,
                &u32::from(options.headers_only),
                true,
            )
            .override_global(config::GLOBAL_RING_MASK, &(ring_bytes - 1), true)
            .override_global(config::GLOBAL_TAPS_MASK, &(slots - 1), true)
            .override_global(config::GLOBAL_CAN_CAST, &u32::from(cast.is_some()), true)
            .override_global(config::GLOBAL_SKB_DEV, &skb_dev, true)
            .override_global(config::GLOBAL_DEV_NET, &dev_net, true)
            .override_global(config::GLOBAL_NET_COOKIE, &net_cookie, true)
            .override_global(aya_log::LEVEL, &log_level, true)
            .map_max_entries(config::MAP_RINGS, rings)
            .map_max_entries(config::MAP_TAPS, slots)
            .load(&object)?;
        for name in [config::PROGRAM_INGRESS, config::PROGRAM_EGRESS] {
            let loaded = program::<SchedClassifier>(&mut ebpf, name)?.load();
            loaded.map_err(|source| refused(format!("load program {name}"), source))?;
        }
        let name = config::PROGRAM_SOCKET;
        let loaded = program::<CgroupSkb>(&mut ebpf, name)?.load();
        loaded.map_err(|source| refused(format!("load program {name}"), source))?;
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
            cgroups: Watched::new(),
            gone: BTreeMap::new(),
        };
        Ok((probe, channel))
    }

    /// Makes an interface known before it is attached to: from then on it is
    /// counted. `interface` is the number its records will carry, `link_len` the
    /// length of its link header in bytes.
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

    /// Forgets an interface that nothing is attached to any more. What it has
    /// seen stays counted: it may have vanished when only one of its directions
    /// was attached to.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn retire(&mut self, interface: u32) -> Result<(), ProbeError> {
        let Some(key) = self.registered.remove(&interface) else {
            return Ok(());
        };
        let counters = self.taps.remove(&key)?;
        if counters.iter().any(|one| one.seen > 0) {
            self.gone.insert(interface, counters);
        }
        Ok(())
    }

    /// Lets the taps begin, those that are attached later too.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn start(&mut self) -> Result<(), ProbeError> {
        self.controls.change(|controls| controls.active = 1)
    }

    /// Takes only packets whose digest ([`podtrace_ebpf::sample`]) is at most
    /// `max`: all with `u32::MAX`. The others are counted as filtered.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn sample(&mut self, max: u32) -> Result<(), ProbeError> {
        self.controls.change(|controls| controls.sample_max = max)
    }

    /// Tells which UDP ports carry VXLAN.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn set_vxlan_ports(&mut self, of: &[u16]) -> Result<(), ProbeError> {
        self.controls
            .change(|controls| controls.vxlan_ports = ports(of))
    }

    /// Stops all taps at once, and waits for programs that run at this moment:
    /// then no more records come, and the counters are final. False if there is
    /// no way to wait but to detach.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn stop(&mut self) -> Result<bool, ProbeError> {
        self.controls.change(|controls| controls.active = 0)?;
        self.cgroups.clear();
        Ok(wait_for_programs())
    }

    /// Counters of every interface that has taps, by its number, and for the
    /// last time of those that have none any more.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn counters(&mut self) -> Result<BTreeMap<u32, TapCounters>, ProbeError> {
        let mut all = std::mem::take(&mut self.gone);
        for (interface, key) in &self.registered {
            all.insert(*interface, self.taps.counters(key)?);
        }
        Ok(all)
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

fn program<'a, P>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut P, ProbeError>
where
    &'a mut P: TryFrom<&'a mut Program>,
{
    ebpf.program_mut(name)
        .and_then(|program| program.try_into().ok())
        .ok_or(ProbeError::Missing(name))
}

pub(super) fn refused(operation: String, source: ProgramError) -> ProbeError {
    ProbeError::Program {
        operation,
        source: Box::new(source),
    }
}

/// Waits until no program runs that has begun before. Programs run within
/// sections of RCU, and the kernel waits for those of all CPUs; where some CPUs
/// have no tick (nohz_full) it does not offer to.
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

fn array<'a>(ebpf: &'a Ebpf, name: &'static str) -> Result<&'a MapData, ProbeError> {
    match ebpf.map(name) {
        Some(Map::Array(map)) => Ok(map),
        _ => Err(ProbeError::Missing(name)),
    }
}

fn take<T>(ebpf: &mut Ebpf, name: &'static str) -> Result<T, ProbeError>
where
    T: TryFrom<Map, Error = MapError>,
{
    let map = ebpf.take_map(name).ok_or(ProbeError::Missing(name))?;
    T::try_from(map).map_err(|source| ProbeError::Map {
        operation: format!("open map {name}"),
        source,
    })
}
