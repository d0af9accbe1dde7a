//! Loading the embedded object, attaching and detaching taps, reading counters.
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io,
    path::Path,
};

use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, MapData, MapError, RingBuf},
    programs::{
        CgroupAttachMode, CgroupSkb, CgroupSkbAttachType, LinkOrder, Program, ProgramError,
        SchedClassifier, TcAttachType,
        cgroup_skb::CgroupSkbLink,
        tc::{SchedClassifierLink, TcAttachOptions},
    },
};
use nix::net::if_::if_indextoname;
use podtrace_ebpf::config::{self, TapCounters, TapKey};

use super::{
    ProbeError,
    btf::{BTF_PATH, Btf},
    control::{Controls, ports},
    object,
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
    /// Ring buffer size in bytes, a power of two and a multiple of the page size.
    pub ring_bytes: u32,
    /// How many interfaces may have taps at the same time.
    pub max_interfaces: u32,
    /// Whether only headers are captured, with [`config::KEY_PAYLOAD`] bytes
    /// behind them.
    pub headers_only: bool,
    /// Whether the kernel side's diagnostics are wanted.
    pub diagnostics: bool,
}

/// Loaded programs and their attachments.
pub struct Probe {
    ebpf: Ebpf,
    taps: TapTable,
    controls: Controls,
    attached: BTreeMap<u32, Attached>,
    /// By path below the root of the cgroup tree.
    cgroups: BTreeMap<String, CgroupSkbLink>,
    /// Counters of interfaces whose taps are gone.
    gone: BTreeMap<u32, TapCounters>,
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
        let cast = btf.function(CAST);
        let object = object::with_cast(OBJECT, cast);
        let slots = table::slots(options.max_interfaces);
        let log_level: u8 = if options.diagnostics { 4 } else { 0 };
        let mut ebpf = EbpfLoader::new()
            .override_global(config::GLOBAL_SNAPLEN, &options.snaplen, true)
            .override_global(
                config::GLOBAL_HEADERS_ONLY,
                &u32::from(options.headers_only),
                true,
            )
            .override_global(config::GLOBAL_TAPS_MASK, &(slots - 1), true)
            .override_global(config::GLOBAL_CAN_CAST, &u32::from(cast.is_some()), true)
            .override_global(config::GLOBAL_SKB_DEV, &skb_dev, true)
            .override_global(config::GLOBAL_DEV_NET, &dev_net, true)
            .override_global(config::GLOBAL_NET_COOKIE, &net_cookie, true)
            .override_global(aya_log::LEVEL, &log_level, true)
            .map_max_entries(config::MAP_EVENTS, options.ring_bytes)
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
            ring: take(&mut ebpf, config::MAP_EVENTS)?,
            wake: take(&mut ebpf, config::MAP_WAKE)?,
        };
        let taps = TapTable::new(take(&mut ebpf, config::MAP_TAPS)?);
        let controls = Controls::new(take(&mut ebpf, config::MAP_CONTROL)?);
        let probe = Self {
            ebpf,
            taps,
            controls,
            attached: BTreeMap::new(),
            cgroups: BTreeMap::new(),
            gone: BTreeMap::new(),
        };
        Ok((probe, channel))
    }

    /// Attaches both programs, first in the chain, to an interface.
    ///
    /// `name` is for errors: an interface may be renamed at any time, and its
    /// index stays. `interface` is the number its records will carry, `link_len`
    /// the length of its link header in bytes.
    ///
    /// # Errors
    /// When the interface is gone or the kernel refuses.
    pub fn attach(
        &mut self,
        netns: &NetNs,
        name: &str,
        ifindex: u32,
        interface: u32,
        link_len: u32,
    ) -> Result<(), ProbeError> {
        let key = TapKey {
            netns_cookie: netns.cookie,
            ifindex,
            zero: 0,
        };
        self.taps.insert(key, interface, link_len)?;
        let operation = || format!("attach to {name} in {}", netns.name);
        let links = match netns.run(|| attach(&mut self.ebpf, ifindex, operation)) {
            Ok(links) => links,
            Err(error) => Err(error.into()),
        };
        match links {
            Ok(links) => {
                self.attached.insert(interface, Attached { key, links });
                Ok(())
            }
            Err(error) => {
                self.retire(interface, &key)?;
                Err(error)
            }
        }
    }

    /// Watches the sockets of a cgroup and of all below it. The cgroup is named
    /// by its path below the root of the tree, `directory` is where that is.
    ///
    /// # Errors
    /// When the cgroup is gone or the kernel refuses.
    pub fn attach_cgroup(&mut self, cgroup: &str, directory: &Path) -> Result<(), ProbeError> {
        let operation = || format!("watch the sockets of cgroup {cgroup}");
        let directory = File::open(directory)
            .map_err(|source| ProbeError::Cgroup(cgroup.to_owned(), source))?;
        let program: &mut CgroupSkb = program(&mut self.ebpf, config::PROGRAM_SOCKET)?;
        // A link always shares the hook with others, and takes no flag to say so.
        let mode = CgroupAttachMode::Single;
        let link = program
            .attach(directory, CgroupSkbAttachType::Ingress, mode)
            .and_then(|id| program.take_link(id))
            .map_err(|source| refused(operation(), source))?;
        self.cgroups.insert(cgroup.to_owned(), link);
        Ok(())
    }

    /// The cgroups whose sockets are watched.
    pub fn cgroups(&self) -> impl Iterator<Item = &str> {
        self.cgroups.keys().map(String::as_str)
    }

    /// Lets go of the cgroups that are not among these.
    pub fn retain_cgroups(&mut self, there: &BTreeSet<String>) {
        self.cgroups.retain(|cgroup, _| there.contains(cgroup));
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
        self.retire(interface, &key)
    }

    /// Unregisters a tap that is detached. What it has seen stays counted: an
    /// interface may vanish when only one of its directions is attached.
    fn retire(&mut self, interface: u32, key: &TapKey) -> Result<(), ProbeError> {
        let counters = self.taps.remove(key)?;
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

    /// Stops all taps at once, then detaches them. The kernel waits for
    /// running programs, so no record is written afterwards and the counters
    /// are final.
    ///
    /// # Errors
    /// When the taps could not be stopped at once; they are detached all the same.
    pub fn detach(&mut self) -> Result<(), ProbeError> {
        let stopped = self.controls.change(|controls| controls.active = 0);
        for attached in self.attached.values_mut() {
            attached.links.clear();
        }
        self.cgroups.clear();
        stopped
    }

    /// Counters of every interface that has or had taps, by its number.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn counters(&self) -> Result<BTreeMap<u32, TapCounters>, ProbeError> {
        let mut all = self.gone.clone();
        for (interface, attached) in &self.attached {
            all.insert(*interface, self.taps.counters(&attached.key)?);
        }
        Ok(all)
    }

    /// The loaded object, for test runs of its programs and for its log.
    pub fn object(&mut self) -> &mut Ebpf {
        &mut self.ebpf
    }
}

/// Attaches both programs to an interface of the calling thread's namespace.
fn attach(
    ebpf: &mut Ebpf,
    ifindex: u32,
    operation: impl Fn() -> String,
) -> Result<Vec<SchedClassifierLink>, ProbeError> {
    let no_name = |error: io::Error| refused(operation(), error.into());
    let name = if_indextoname(ifindex).map_err(|errno| no_name(errno.into()))?;
    let name = name
        .into_string()
        .map_err(|error| no_name(io::Error::new(io::ErrorKind::InvalidData, error)))?;
    let mut links = Vec::with_capacity(2);
    // The kernel takes some 10 ms for each: a new pod's first packet goes out.
    for (program_name, direction) in [
        (config::PROGRAM_EGRESS, TcAttachType::Egress),
        (config::PROGRAM_INGRESS, TcAttachType::Ingress),
    ] {
        let program = program::<SchedClassifier>(ebpf, program_name)?;
        let order = TcAttachOptions::TcxOrder(LinkOrder::first());
        let link = program
            .attach_with_options(&name, direction, order)
            .and_then(|id| program.take_link(id));
        links.push(link.map_err(|source| refused(operation(), source))?);
    }
    Ok(links)
}

fn program<'a, P>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut P, ProbeError>
where
    &'a mut P: TryFrom<&'a mut Program>,
{
    ebpf.program_mut(name)
        .and_then(|program| program.try_into().ok())
        .ok_or(ProbeError::Missing(name))
}

fn refused(operation: String, source: ProgramError) -> ProbeError {
    ProbeError::Program {
        operation,
        source: Box::new(source),
    }
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
