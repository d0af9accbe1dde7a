//! Names and layouts of the maps and globals that user space sets.

use crate::sample::VIEW_LEN;

/// Program attached to ingress hooks (the kernel keeps 15 characters of a name).
pub const PROGRAM_INGRESS: &str = "pt_ingress";
/// Program attached to egress hooks.
pub const PROGRAM_EGRESS: &str = "pt_egress";

/// Attached to the ingress hook of the cgroups that hold pods.
pub const PROGRAM_SOCKET: &str = "pt_socket";

/// Attached to the tracepoint of dropped packets.
pub const PROGRAM_DROP: &str = "pt_drop";

/// Attached by clsact in place of [`PROGRAM_INGRESS`], which it calls.
pub const PROGRAM_STUB_INGRESS: &str = "pt_stub_in";
/// Attached by clsact in place of [`PROGRAM_EGRESS`], which it calls.
pub const PROGRAM_STUB_EGRESS: &str = "pt_stub_out";

/// Does nothing: the floor of every measurement.
pub const PROGRAM_NOOP: &str = "pt_noop";
/// Does the minimum of a tap: the yardstick of the taps.
pub const PROGRAM_BARE: &str = "pt_bare";

/// Array of rings of records, one for each CPU: see [`crate::ring`].
pub const MAP_RINGS: &str = "RINGS";
/// Array of one `u64`: packets at CPUs without a ring, which were added after the start.
pub const MAP_LOST: &str = "LOST";
/// Kernel ring buffer that never holds a record: committing to it wakes the reader.
pub const MAP_WAKE: &str = "WAKE";
/// Kernel ring buffer of the yardstick.
pub const MAP_BARE: &str = "BARE";
/// Per-CPU array of [`TapState`], a hash table: see [`TapKey::slots`].
pub const MAP_TAPS: &str = "TAPS";
/// Array of one [`Control`].
pub const MAP_CONTROL: &str = "CONTROL";

/// Kernel ring buffer of [`crate::dropped::DropRecord`].
pub const MAP_DROPS: &str = "DROPS";
/// Per-CPU array of [`crate::dropped::DropCount`], by reason.
pub const MAP_DROP_COUNTS: &str = "DROP_COUNTS";
/// Hash of the namespaces whose dropped packets are told, by their ids as in
/// [`TapKey::netns_cookie`]; 0 stands for all.
pub const MAP_DROP_SPACES: &str = "DROP_SPACES";

/// Program array of the taps that the stubs call, by [`crate::record::Direction`]. The kernel
/// empties it when the last process that holds it ends.
pub const MAP_STUBBED: &str = "STUBBED";

/// Global `u32`: upper bound of the bytes captured of a packet.
pub const GLOBAL_SNAPLEN: &str = "SNAPLEN";
/// Global `u32`: bytes of a CPU's ring, a power of two, less one.
pub const GLOBAL_RING_MASK: &str = "RING_MASK";
/// Global `u32`: length of [`MAP_TAPS`], a power of two, less one.
pub const GLOBAL_TAPS_MASK: &str = "TAPS_MASK";
/// Global `u32`: nonzero if only headers are captured, with [`KEY_PAYLOAD`] bytes behind them.
pub const GLOBAL_HEADERS_ONLY: &str = "HEADERS_ONLY";
/// Global array of [`VXLAN_PORTS_MAX`] `u16`: UDP ports of VXLAN, independent of the
/// interfaces; 0 is none.
pub const GLOBAL_VXLAN_PORTS: &str = "VXLAN_PORTS";
/// Global `u32`: nonzero if the block of [`FILTER_MARK`] was replaced, [`FILTER_IN_PLACE`] or
/// [`FILTER_COPIES`].
pub const GLOBAL_FILTER: &str = "FILTER";
/// Global `u32`: nonzero if [`CAST_MARKS`] were replaced.
pub const GLOBAL_CAN_CAST: &str = "CAN_CAST";
/// Global `u32`: offset of `dev` in `struct sk_buff`.
pub const GLOBAL_SKB_DEV: &str = "SKB_DEV";
/// Global `u32`: offset of `nd_net` in `struct net_device`.
pub const GLOBAL_DEV_NET: &str = "DEV_NET";
/// Global `u32`: offset in `struct net` of the number that identifies namespaces.
pub const GLOBAL_NET_ID: &str = "NET_ID";
/// Global `u32`: nonzero if that number has 64 bits, not 32.
pub const GLOBAL_NET_ID_IS_LONG: &str = "NET_ID_IS_LONG";
/// Global: offset of `sk` in `struct sk_buff`.
pub const GLOBAL_SKB_SK: &str = "SKB_SK";
/// Global: offset of the state in `struct sock`, one byte.
pub const GLOBAL_SOCK_STATE: &str = "SOCK_STATE";
/// Global: offset of the byte in `struct sock` that marks the kernel's own sockets.
pub const GLOBAL_SOCK_KERNEL: &str = "SOCK_KERNEL";
/// Global: the bit of that byte that marks them.
pub const GLOBAL_SOCK_KERNEL_BIT: &str = "SOCK_KERNEL_BIT";

/// Global `u32`: nonzero if the tracepoint of dropped packets tells a reason.
pub const GLOBAL_HAS_REASON: &str = "HAS_REASON";
/// Globals `u32`: offsets of members in `struct sk_buff`, `len` first.
pub const GLOBAL_SKB_LEN: &str = "SKB_LEN";
/// `skb_iif`.
pub const GLOBAL_SKB_IIF: &str = "SKB_IIF";
/// `protocol`.
pub const GLOBAL_SKB_PROTOCOL: &str = "SKB_PROTOCOL";
/// `network_header`.
pub const GLOBAL_SKB_NETWORK: &str = "SKB_NETWORK";
/// `tail`.
pub const GLOBAL_SKB_TAIL: &str = "SKB_TAIL";
/// `head`.
pub const GLOBAL_SKB_HEAD: &str = "SKB_HEAD";
/// `data`.
pub const GLOBAL_SKB_DATA: &str = "SKB_DATA";
/// Global `u32`: offset of `ifindex` in `struct net_device`.
pub const GLOBAL_DEV_IFINDEX: &str = "DEV_IFINDEX";

/// The shortest snap length: an inner IPv6 header and eight bytes more behind
/// Ethernet, IPv6, UDP and VXLAN headers and an inner Ethernet header.
pub const SNAPLEN_MIN: u32 = 132;
/// Enough for VXLAN and the inner headers, with some payload.
pub const SNAPLEN_DEFAULT: u32 = 160;
/// A jumbo frame.
pub const SNAPLEN_MAX: u32 = 9216;

/// How many payload bytes of each packet go into its key, which distinguishes packets with
/// equal headers: the same number in every session, so that sessions of different nodes join.
pub const KEY_PAYLOAD: u32 = 16;

/// Upper bound of the UDP ports of VXLAN that can be given, and of those that interfaces can
/// have.
pub const VXLAN_PORTS_MAX: usize = 4;

/// Stands in the object for the kernel function `bpf_cast_to_kern_ctx`: a call of this number,
/// which no helper has, becomes a call of the function by its BTF id before the object is
/// loaded.
pub const CAST_MARK: u32 = 0x7063_6173;
/// The mark where a packet's socket is read: each mark has one place in a program.
pub const SOCKET_CAST_MARK: u32 = 0x7063_6174;
/// All marks.
pub const CAST_MARKS: [u32; 2] = [CAST_MARK, SOCKET_CAST_MARK];

/// Stands in the object for a filter: each tap has a block of [`FILTER_SLOTS`] instructions
/// that load this number into r0.
pub const FILTER_MARK: u32 = 0x7066_696c;
/// A filter that reads at fixed offsets, which the verifier allows in the packet itself.
pub const FILTER_IN_PLACE: u32 = 1;
/// A filter that reads at offsets that the packet tells, which needs a copy.
pub const FILTER_COPIES: u32 = 2;
/// Room for a filter, in instructions.
pub const FILTER_SLOTS: usize = 256;
/// How many bytes of a packet a filter can read, from its innermost network header on: those
/// that the walk to it has read.
pub const FILTER_WINDOW: usize = VIEW_LEN;

/// The settings that user space changes while the taps run. 16 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Control {
    /// Taps do nothing while it is zero, so that all of them begin and end at the same moment,
    /// however long attaching takes.
    pub active: u32,
    /// Packets whose digest ([`crate::sample::Seen`]) is above it are refused.
    pub sample_max: u32,
    /// UDP ports of the VXLAN interfaces; 0 is none.
    pub vxlan_ports: [u16; VXLAN_PORTS_MAX],
}

/// The interface that a packet was seen at. 16 bytes, no padding.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TapKey {
    /// `SO_NETNS_COOKIE` of the interface's network namespace: never reused
    /// while the kernel runs, unlike its inode number, and never zero.
    pub netns_cookie: u64,
    /// Interface index within that namespace.
    pub ifindex: u32,
    /// Always zero.
    pub zero: u32,
}

/// How many slots a key can be in.
pub const TAP_SLOTS: u32 = 8;

impl TapKey {
    /// The slots of [`MAP_TAPS`] that the key can be in, the likeliest first:
    /// double hashing. The kernel's own hash maps cost a call and a longer hash
    /// for each packet; array elements are found without either.
    pub fn slots(self, mask: u32) -> impl Iterator<Item = u32> {
        let mixed =
            (self.netns_cookie << 24 ^ u64::from(self.ifindex)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let (first, step) = ((mixed >> 32) as u32, (mixed >> 8) as u32 | 1);
        (0..TAP_SLOTS).map(move |n| first.wrapping_add(step.wrapping_mul(n)) & mask)
    }
}

/// The kernel's state and counts of one interface, per CPU. 96 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TapState {
    /// The interface; all zero in a free slot.
    pub key: TapKey,
    /// Number given to the interface by user space; never reused in a session.
    pub interface: u32,
    /// Length of its link header in bytes, 0 if packets start with IP.
    pub link_len: u32,
    /// The counts.
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
    /// Packets that a filter refused.
    pub filtered: u64,
    /// Packets that found no room in their CPU's ring.
    pub lost: u64,
}

const _: () = assert!(size_of::<TapKey>() == 16 && size_of::<TapState>() == 96);
const _: () = assert!(size_of::<Control>() == 16);
