//! Adapts the embedded object to the running kernel and to the options.
use aya::{Ebpf, EbpfError, EbpfLoader, maps::MapError};
use podtrace_ebpf::{config, ring::value_len};

use super::{
    ProbeError, ProbeOptions,
    btf::{Btf, BtfError},
    drops::Layout,
    feature, object,
    rings::{RING_SMALL, ring_bytes, ring_count},
    table,
};
use crate::{
    cgroup::memory::left_in_cgroups,
    netns::{Ids, ids},
};

/// A kernel function that casts a program's context to its `struct sk_buff` (since Linux 6.2).
const CAST: &str = "bpf_cast_to_kern_ctx";

/// The settings that depend on the kernel.
pub(super) struct Fitted {
    /// The number of rings.
    pub(super) rings: u32,
    /// Bytes of each ring.
    pub(super) ring_bytes: u32,
    /// Bytes that each ring should have.
    ring_bytes_wanted: u32,
    offsets: Offsets,
    /// What the program of dropped packets needs, if it is wanted.
    drops: Option<Result<Layout, BtfError>>,
    /// BTF id of [`CAST`].
    cast: Option<u32>,
    has_atomics: bool,
}

/// The offsets by which the kernel side finds a packet's interface, in bytes.
struct Offsets {
    skb_dev: u32,
    dev_net: u32,
    net_id: u32,
    skb_sk: u32,
    sock_state: u32,
    /// The byte and the bit that mark a socket of the kernel itself.
    sock_kernel: (u32, u32),
}

impl Offsets {
    fn find(btf: &Btf) -> Result<Self, BtfError> {
        Ok(Self {
            skb_dev: btf.offset_of("sk_buff", "dev")?,
            dev_net: btf.offset_of("net_device", "nd_net")?,
            net_id: match ids() {
                Ids::Cookie => btf.offset_of("net", "net_cookie")?,
                Ids::Inode => btf.offset_of("net", "ns")? + btf.offset_of("ns_common", "inum")?,
            },
            skb_sk: btf.offset_of("sk_buff", "sk")?,
            sock_state: btf.offset_of("sock", "__sk_common")?
                + btf.offset_of("sock_common", "skc_state")?,
            sock_kernel: btf.flag("sock", "sk_kern_sock")?,
        })
    }
}

impl Fitted {
    /// Queries the kernel.
    ///
    /// # Errors
    /// When its types or its CPUs cannot be read, or it lacks a feature without a substitute.
    pub(super) fn find(options: &ProbeOptions) -> Result<Self, ProbeError> {
        if object::unpacked().is_none() {
            return Err(ProbeError::NoObject);
        }
        let btf = Btf::of_kernel()?;
        let without = options.without;
        let has_atomics = !without.atomics && feature::has_atomics();
        if !has_atomics && cfg!(not(target_arch = "x86_64")) {
            return Err(ProbeError::NoOrder);
        }
        let rings = ring_count().map_err(|(path, source)| ProbeError::Cpus(path, source))?;
        let wanted = ring_bytes(options.ring_bytes, rings);
        let fitted = Self {
            rings,
            ring_bytes: wanted,
            ring_bytes_wanted: wanted,
            offsets: Offsets::find(&btf)?,
            drops: options.drops.then(|| Layout::find(&btf)),
            cast: btf.function(CAST)?.filter(|_| !without.cast),
            has_atomics,
        };
        Ok(if without.large_values {
            fitted.with_small_rings()
        } else {
            fitted
        })
    }

    /// The same with rings of a size that kernels before 5.16 accept.
    pub(super) fn with_small_rings(self) -> Self {
        Self {
            ring_bytes: self.ring_bytes.min(RING_SMALL),
            ..self
        }
    }

    /// Whether the object was refused because of the size of its rings.
    pub(super) fn is_too_large(&self, error: &EbpfError) -> bool {
        let EbpfError::MapError(MapError::CreateError { io_error, .. }) = error else {
            return false;
        };
        self.ring_bytes > RING_SMALL && io_error.raw_os_error() == Some(libc::E2BIG)
    }

    /// The error with its cause, if there is no memory for the rings.
    pub(super) fn explain(&self, error: ProbeError) -> ProbeError {
        match error {
            ProbeError::Load(error) if is_out_of_memory(&error) => self.no_memory(Some(error)),
            other => other,
        }
    }

    /// Refuses rings that podtrace's cgroup has no memory for: otherwise the kernel may kill
    /// the process.
    pub(super) fn check_memory(&self) -> Result<(), ProbeError> {
        match left_in_cgroups() {
            Some(left) if left < self.bytes() => Err(self.no_memory(None)),
            _ => Ok(()),
        }
    }

    fn no_memory(&self, answer: Option<EbpfError>) -> ProbeError {
        ProbeError::NoMemory {
            cpus: self.rings,
            bytes: self.bytes(),
            source: answer.map(Box::new),
        }
    }

    /// Bytes of all rings.
    fn bytes(&self) -> u64 {
        u64::from(self.rings) * u64::from(self.ring_bytes)
    }

    /// Loads the object with its maps by a fresh loader; no program is loaded yet.
    ///
    /// # Errors
    /// When the object cannot be fitted or the kernel refuses it.
    pub(super) fn load(
        &self,
        loader: EbpfLoader<'_>,
        options: &ProbeOptions,
    ) -> Result<Ebpf, ProbeError> {
        let mut object = object::unpacked().ok_or(ProbeError::NoObject)?;
        object::set_values(&mut object, value_len(self.ring_bytes))?;
        if let Some(function) = self.cast {
            object::set_cast(&mut object, function)?;
        }
        if !self.has_atomics {
            object::set_plain_atomics(&mut object)?;
        }
        if let Some(filter) = &options.filter {
            object::set_filter(&mut object, &filter.code)?;
        }
        let filter_kind = match &options.filter {
            None => 0,
            Some(filter) if filter.is_indexed => config::FILTER_COPIES,
            Some(_) => config::FILTER_IN_PLACE,
        };
        let slots = table::slots(options.max_interfaces);
        let vxlan_ports = options.vxlan_ports.array();
        let log_level: u8 = if options.diagnostics { 4 } else { 0 };
        let globals = [
            (config::GLOBAL_SNAPLEN, options.snaplen),
            (config::GLOBAL_HEADERS_ONLY, options.headers_only.into()),
            (config::GLOBAL_FILTER, filter_kind),
            (config::GLOBAL_RING_MASK, self.ring_bytes - 1),
            (config::GLOBAL_TAPS_MASK, slots - 1),
            (config::GLOBAL_CAN_CAST, self.cast.is_some().into()),
            (config::GLOBAL_SKB_DEV, self.offsets.skb_dev),
            (config::GLOBAL_DEV_NET, self.offsets.dev_net),
            (config::GLOBAL_NET_ID, self.offsets.net_id),
            (config::GLOBAL_SKB_SK, self.offsets.skb_sk),
            (config::GLOBAL_SOCK_STATE, self.offsets.sock_state),
            (config::GLOBAL_SOCK_KERNEL, self.offsets.sock_kernel.0),
            (config::GLOBAL_SOCK_KERNEL_BIT, self.offsets.sock_kernel.1),
            (config::GLOBAL_NET_ID_IS_LONG, (ids() == Ids::Cookie).into()),
        ];
        // The borrowed values live longer.
        let mut loader = loader;
        if let Some(bytes) = options.bare_bytes {
            loader.map_max_entries(config::MAP_BARE, bytes);
        }
        let of_drops = self.drops.iter().flatten().flat_map(Layout::globals);
        for (name, value) in globals.iter().chain(of_drops) {
            loader.override_global(name, value, true);
        }
        let loaded = loader
            .override_global(aya_log::LEVEL, &log_level, true)
            .override_global(config::GLOBAL_VXLAN_PORTS, &vxlan_ports, true)
            .map_max_entries(config::MAP_RINGS, self.rings)
            .map_max_entries(config::MAP_TAPS, slots)
            .load(&object);
        Ok(loaded?)
    }

    /// Takes what the program of dropped packets needs; none if nobody wants it.
    pub(super) fn take_drops(&mut self) -> Option<Result<Layout, BtfError>> {
        self.drops.take()
    }

    /// The features that this kernel lacks, and the consequences, in words.
    pub(super) fn limits(&self) -> Vec<String> {
        let mut limits = Vec::new();
        if self.ring_bytes < self.ring_bytes_wanted {
            limits.push(format!(
                "each CPU's ring has {} MiB, not {}: this kernel takes no larger one \
                 (Linux 5.16 does); a flood is lost sooner, and counted",
                self.ring_bytes >> 20,
                self.ring_bytes_wanted >> 20
            ));
        }
        if ids() == Ids::Inode {
            limits.push(
                "network namespaces are told apart by inode, which the kernel may use again \
                 (Linux 5.14 has better): late packets of a pod that is gone may get the \
                 name of the next one"
                    .into(),
            );
        }
        limits
    }
}

/// Whether memory for the rings was lacking: before Linux 5.11 they count as locked memory.
fn is_out_of_memory(error: &EbpfError) -> bool {
    let EbpfError::MapError(MapError::CreateError { name, io_error }) = error else {
        return false;
    };
    name == config::MAP_RINGS && matches!(io_error.raw_os_error(), Some(libc::ENOMEM | libc::EPERM))
}
