//! Names and layouts of the maps and globals that user space sets.

/// Program attached to ingress hooks (the kernel keeps 15 characters of a name).
pub const PROGRAM_INGRESS: &str = "pt_ingress";
/// Program attached to egress hooks.
pub const PROGRAM_EGRESS: &str = "pt_egress";

/// Attached to the ingress hook of the cgroups that hold pods.
pub const PROGRAM_SOCKET: &str = "pt_socket";

/// Does nothing: the floor of every measurement.
pub const PROGRAM_NOOP: &str = "pt_noop";
/// Does the least a tap can do: what the taps are measured against.
pub const PROGRAM_BARE: &str = "pt_bare";

/// Ring buffer of records.
pub const MAP_EVENTS: &str = "EVENTS";
/// Per-CPU hash: [`TapKey`] -> [`TapState`].
pub const MAP_TAPS: &str = "TAPS";
/// Array of one `u32`: nonzero while user space sleeps until the next record.
pub const MAP_WAKE: &str = "WAKE";

/// Array of one `u32`: taps do nothing while it is zero, so that all of them
/// begin and end at the same moment, however long attaching takes.
pub const MAP_ACTIVE: &str = "ACTIVE";

/// Global `u32`: how many bytes of a packet are captured at most.
pub const GLOBAL_SNAPLEN: &str = "SNAPLEN";
/// Global `u32`: offset of `dev` in `struct sk_buff`.
pub const GLOBAL_SKB_DEV: &str = "SKB_DEV";
/// Global `u32`: offset of `nd_net` in `struct net_device`.
pub const GLOBAL_DEV_NET: &str = "DEV_NET";
/// Global `u32`: offset of `net_cookie` in `struct net`.
pub const GLOBAL_NET_COOKIE: &str = "NET_COOKIE";

/// The shortest snap length: an inner IPv6 header and eight bytes more behind
/// Ethernet, IPv6, UDP and VXLAN headers and an inner Ethernet header.
pub const SNAPLEN_MIN: u32 = 132;
/// Enough for VXLAN and the inner headers, with some payload.
pub const SNAPLEN_DEFAULT: u32 = 160;
/// A jumbo frame.
pub const SNAPLEN_MAX: u32 = 9216;

/// Which interface a packet was seen at. 16 bytes, no padding.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TapKey {
    /// `SO_NETNS_COOKIE` of the interface's network namespace: never reused
    /// while the kernel runs, unlike its inode number.
    pub netns_cookie: u64,
    /// Interface index within that namespace.
    pub ifindex: u32,
    /// Always zero.
    pub zero: u32,
}

/// What the kernel knows and counts of one interface, per CPU. 80 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TapState {
    /// Number given to the interface by user space; never reused in a session.
    pub interface: u32,
    /// Always zero.
    pub zero: u32,
    /// What was counted.
    pub counters: TapCounters,
}

/// Counters by [`crate::record::Direction`].
pub type TapCounters = [Counters; 3];

/// The kernel's part of conservation: seen = submitted + filtered + lost.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets the program ran for.
    pub seen: u64,
    /// Packets a filter refused.
    pub filtered: u64,
    /// Packets that found no room in the ring buffer.
    pub lost: u64,
}

const _: () = assert!(size_of::<TapKey>() == 16 && size_of::<TapState>() == 80);
