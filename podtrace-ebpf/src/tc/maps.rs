//! Maps and globals; sizes here are defaults, which user space replaces.
use aya_ebpf::{
    Global,
    bindings::BPF_F_MMAPABLE,
    macros::map,
    maps::{Array, PerCpuArray, ProgramArray, RingBuf},
};
use podtrace_ebpf::{
    config::{Control, FILTER_WINDOW, SNAPLEN_DEFAULT, TapState, VXLAN_PORTS_MAX},
    ring::RING_MARK,
};

/// The minimum size of a kernel ring buffer: a page of any size.
const PAGE: u32 = 64 << 10;

#[map]
pub(crate) static RINGS: Array<[u8; RING_MARK as usize]> =
    Array::with_max_entries(1, BPF_F_MMAPABLE);

#[map]
pub(crate) static LOST: Array<u64> = Array::with_max_entries(1, 0);

#[map]
pub(crate) static WAKE: RingBuf = RingBuf::with_byte_size(PAGE, 0);

#[map]
pub(crate) static BARE: RingBuf = RingBuf::with_byte_size(PAGE, 0);

#[map]
pub(crate) static TAPS: PerCpuArray<TapState> = PerCpuArray::with_max_entries(1024, 0);

#[map]
pub(crate) static STUBBED: ProgramArray = ProgramArray::with_max_entries(2, 0);

#[map]
pub(crate) static CONTROL: Array<Control> = Array::with_max_entries(1, 0);

/// The begin of a packet that the filter cannot read in place. It is not on the stack, where
/// the verifier refuses reads at odd offsets.
#[map]
pub(crate) static BEGIN: PerCpuArray<[u8; FILTER_WINDOW]> = PerCpuArray::with_max_entries(1, 0);

#[unsafe(no_mangle)]
pub(crate) static FILTER: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
pub(crate) static RING_MASK: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
pub(crate) static SNAPLEN: Global<u32> = Global::new(SNAPLEN_DEFAULT);
#[unsafe(no_mangle)]
pub(crate) static HEADERS_ONLY: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
pub(crate) static VXLAN_PORTS: Global<[u16; VXLAN_PORTS_MAX]> = Global::new([0; VXLAN_PORTS_MAX]);
#[unsafe(no_mangle)]
pub(crate) static TAPS_MASK: Global<u32> = Global::new(1023);
#[unsafe(no_mangle)]
pub(crate) static CAN_CAST: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
pub(crate) static SKB_DEV: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
pub(crate) static DEV_NET: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
pub(crate) static NET_ID: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
pub(crate) static NET_ID_IS_LONG: Global<u32> = Global::new(1);
#[unsafe(no_mangle)]
pub(crate) static SKB_SK: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
pub(crate) static SOCK_STATE: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
pub(crate) static SOCK_KERNEL: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
pub(crate) static SOCK_KERNEL_BIT: Global<u32> = Global::new(0);
