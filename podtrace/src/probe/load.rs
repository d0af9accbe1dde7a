//! Loading the embedded object, attaching and detaching taps, reading counters.
use std::{collections::BTreeMap, fs, io};

use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, MapData, MapError, PerCpuHashMap, PerCpuValues, RingBuf},
    programs::{
        LinkOrder, ProgramError, SchedClassifier, TcAttachType,
        tc::{SchedClassifierLink, TcAttachOptions},
    },
    util::nr_cpus,
};
use podtrace_ebpf::config::{self, Counters, TapKey, TapState};
use thiserror::Error;

use super::{
    btf::{Btf, BtfError},
    maps::{Key, State},
};
use crate::node::netns::{NetNs, NetNsError};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/podtrace-ebpf"));
const BTF_PATH: &str = "/sys/kernel/btf/vmlinux";

/// Why the kernel side could not be loaded or attached.
#[derive(Debug, Error)]
pub enum ProbeError {
    /// Built with `AYA_BUILD_SKIP`.
    #[error("this podtrace was built without its kernel programs (AYA_BUILD_SKIP)")]
    NoObject,
    /// The kernel's types could not be read.
    #[error("failed to read {BTF_PATH}")]
    BtfRead(#[source] io::Error),
    /// The kernel's types do not have what we look for.
    #[error(transparent)]
    Btf(#[from] BtfError),
    /// The object was refused.
    #[error("failed to load the kernel programs")]
    Load(#[from] aya::EbpfError),
    /// A program was refused or could not be attached.
    #[error("failed to {operation}")]
    Program {
        /// What was tried, with its object.
        operation: String,
        /// The kernel's answer, with the verifier's log.
        #[source]
        source: Box<ProgramError>,
    },
    /// A map operation failed.
    #[error("failed to {operation}")]
    Map {
        /// What was tried.
        operation: String,
        /// The kernel's answer.
        #[source]
        source: MapError,
    },
    /// The object lacks a program or map: a build mistake.
    #[error("the kernel object has no {0}")]
    Missing(&'static str),
    /// The namespace could not be entered.
    #[error(transparent)]
    NetNs(#[from] NetNsError),
    /// The number of CPUs is not known.
    #[error("failed to read {0}")]
    Cpus(&'static str, #[source] io::Error),
}

/// How to load.
#[derive(Clone, Debug)]
pub struct ProbeOptions {
    /// Bytes captured of each packet, at most.
    pub snaplen: u32,
    /// Ring buffer size in bytes, a power of two and a multiple of the page size.
    pub ring_bytes: u32,
    /// How many interfaces may have taps at the same time.
    pub max_interfaces: u32,
    /// Whether the kernel side's diagnostics are wanted.
    pub diagnostics: bool,
}

/// Loaded programs and their attachments.
pub struct Probe {
    ebpf: Ebpf,
    taps: PerCpuHashMap<MapData, Key, State>,
    active: Array<MapData, u32>,
    attached: BTreeMap<u32, Attached>,
    /// Counters of interfaces whose taps are gone.
    gone: BTreeMap<u32, [Counters; 2]>,
}

struct Attached {
    key: TapKey,
    links: Vec<SchedClassifierLink>,
}

/// The reader's ends: the ring and the flag that asks for a wake-up.
pub struct Channel {
    pub(super) ring: RingBuf<MapData>,
    pub(super) wake: Array<MapData, u32>,
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
        let log_level: u8 = if options.diagnostics { 4 } else { 0 };
        let mut ebpf = EbpfLoader::new()
            .override_global(config::GLOBAL_SNAPLEN, &options.snaplen, true)
            .override_global(config::GLOBAL_SKB_DEV, &skb_dev, true)
            .override_global(config::GLOBAL_DEV_NET, &dev_net, true)
            .override_global(config::GLOBAL_NET_COOKIE, &net_cookie, true)
            .override_global(aya_log::LEVEL, &log_level, true)
            .map_max_entries(config::MAP_EVENTS, options.ring_bytes)
            .map_max_entries(config::MAP_TAPS, options.max_interfaces)
            .load(OBJECT)?;
        for name in [config::PROGRAM_INGRESS, config::PROGRAM_EGRESS] {
            program(&mut ebpf, name)?
                .load()
                .map_err(|source| ProbeError::Program {
                    operation: format!("load program {name}"),
                    source: Box::new(source),
                })?;
        }
        let channel = Channel {
            ring: take(&mut ebpf, config::MAP_EVENTS)?,
            wake: take(&mut ebpf, config::MAP_WAKE)?,
        };
        let taps = take(&mut ebpf, config::MAP_TAPS)?;
        let active = take(&mut ebpf, config::MAP_ACTIVE)?;
        let probe = Self {
            ebpf,
            taps,
            active,
            attached: BTreeMap::new(),
            gone: BTreeMap::new(),
        };
        Ok((probe, channel))
    }

    /// Attaches both programs, first in the chain, to an interface.
    ///
    /// `interface` is the number its records will carry.
    ///
    /// # Errors
    /// When the interface is gone or the kernel refuses.
    pub fn attach(
        &mut self,
        netns: &NetNs,
        name: &str,
        ifindex: u32,
        interface: u32,
    ) -> Result<(), ProbeError> {
        let key = TapKey {
            netns_cookie: netns.cookie,
            ifindex,
            zero: 0,
        };
        self.register(key, interface)?;
        let mut links = Vec::with_capacity(2);
        for (program_name, direction) in [
            (config::PROGRAM_INGRESS, TcAttachType::Ingress),
            (config::PROGRAM_EGRESS, TcAttachType::Egress),
        ] {
            let program = program(&mut self.ebpf, program_name)?;
            let link = netns.run(|| {
                let order = TcAttachOptions::TcxOrder(LinkOrder::first());
                let id = program.attach_with_options(name, direction, order)?;
                program.take_link(id)
            })?;
            match link {
                Ok(link) => links.push(link),
                Err(source) => {
                    drop(links);
                    self.unregister(&key)?;
                    return Err(ProbeError::Program {
                        operation: format!("attach to {name} in {}", netns.name),
                        source: Box::new(source),
                    });
                }
            }
        }
        self.attached.insert(interface, Attached { key, links });
        Ok(())
    }

    fn register(&mut self, key: TapKey, interface: u32) -> Result<(), ProbeError> {
        let cpus = nr_cpus().map_err(|(path, source)| ProbeError::Cpus(path, source))?;
        let state = State(TapState {
            interface,
            ..TapState::default()
        });
        let values = PerCpuValues::try_from(vec![state; cpus])
            .map_err(|source| ProbeError::Cpus("the number of CPUs", source))?;
        self.taps
            .insert(Key(key), values, 0)
            .map_err(|source| ProbeError::Map {
                operation: "register a tap".into(),
                source,
            })
    }

    fn unregister(&mut self, key: &TapKey) -> Result<(), ProbeError> {
        self.taps
            .remove(&Key(*key))
            .map_err(|source| ProbeError::Map {
                operation: "forget a tap".into(),
                source,
            })
    }

    /// Forgets an interface that vanished; its counters are kept.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn forget(&mut self, interface: u32) -> Result<(), ProbeError> {
        let Some(Attached { key, links }) = self.attached.remove(&interface) else {
            return Ok(());
        };
        drop(links);
        let counters = self.read(&key)?;
        self.gone.insert(interface, counters);
        self.unregister(&key)
    }

    /// Lets the taps begin, those that are attached later too.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn start(&mut self) -> Result<(), ProbeError> {
        self.set_active(1)
    }

    fn set_active(&mut self, active: u32) -> Result<(), ProbeError> {
        self.active
            .set(0, active, 0)
            .map_err(|source| ProbeError::Map {
                operation: "start or stop the taps".into(),
                source,
            })
    }

    /// Stops all taps at once, then detaches them. The kernel waits for
    /// running programs, so no record is written afterwards and the counters
    /// are final.
    ///
    /// # Errors
    /// When the taps could not be stopped at once; they are detached all the same.
    pub fn detach(&mut self) -> Result<(), ProbeError> {
        let stopped = self.set_active(0);
        for attached in self.attached.values_mut() {
            attached.links.clear();
        }
        stopped
    }

    /// Counters of every interface that has or had taps, by its number:
    /// ingress, egress.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn counters(&self) -> Result<BTreeMap<u32, [Counters; 2]>, ProbeError> {
        let mut all = self.gone.clone();
        for (interface, attached) in &self.attached {
            all.insert(*interface, self.read(&attached.key)?);
        }
        Ok(all)
    }

    fn read(&self, key: &TapKey) -> Result<[Counters; 2], ProbeError> {
        let values = self
            .taps
            .get(&Key(*key), 0)
            .map_err(|source| ProbeError::Map {
                operation: "read the counters".into(),
                source,
            })?;
        let mut sum = [Counters::default(); 2];
        for State(state) in values.iter() {
            for (sum, one) in sum.iter_mut().zip(&state.counters) {
                sum.seen += one.seen;
                sum.filtered += one.filtered;
                sum.lost += one.lost;
            }
        }
        Ok(sum)
    }

    /// The loaded object, for test runs of its programs and for its log.
    pub fn object(&mut self) -> &mut Ebpf {
        &mut self.ebpf
    }
}

fn program<'a>(
    ebpf: &'a mut Ebpf,
    name: &'static str,
) -> Result<&'a mut SchedClassifier, ProbeError> {
    ebpf.program_mut(name)
        .and_then(|program| program.try_into().ok())
        .ok_or(ProbeError::Missing(name))
}

fn take<T>(ebpf: &mut Ebpf, name: &'static str) -> Result<T, ProbeError>
where
    T: TryFrom<aya::maps::Map, Error = MapError>,
{
    let map = ebpf.take_map(name).ok_or(ProbeError::Missing(name))?;
    T::try_from(map).map_err(|source| ProbeError::Map {
        operation: format!("open map {name}"),
        source,
    })
}
