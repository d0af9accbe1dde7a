//! The packets that the kernel drops: a program on the tracepoint `kfree_skb`.
//!
//! It runs in any context, also in that of a process, which a tap may interrupt: so it does
//! not share the taps' rings, each of which has one writer.
use core::ffi::c_void;

use aya_ebpf::{
    EbpfContext as _, Global,
    helpers::{bpf_ktime_get_ns, bpf_probe_read_kernel, generated::bpf_get_stack},
    macros::map,
    maps::{HashMap, PerCpuArray, RingBuf},
    programs::RawTracePointContext,
};
use podtrace_ebpf::dropped::{
    DROP_BURST, DROP_CALLERS, DROP_DATA, DROP_FLOW_BURST, DROP_REASONS, DROP_SPACES as SPACES_MAX,
    DROP_VERSION, DROP_WINDOW_SHIFT, DropCount, DropRecord, NO_REASON,
};

use crate::{
    kernel::{netns_of, opaque, read},
    tc::maps::{CONTROL, SKB_DEV},
};

/// Some thousand records.
const BYTES: u32 = 1 << 20;

#[map]
static DROPS: RingBuf = RingBuf::with_byte_size(BYTES, 0);

#[map]
static DROP_COUNTS: PerCpuArray<DropCount> = PerCpuArray::with_max_entries(DROP_REASONS, 0);

/// The namespaces whose packets are told, and 0 if those of all are. It is allocated as a whole: a
/// program in any context may not wait for memory.
#[map]
static DROP_SPACES: HashMap<u64, u8> = HashMap::with_max_entries(SPACES_MAX, 0);

/// How many flows have records of their own; others share them.
const FLOWS: u32 = 256;

/// The window, and the records in it, as [`DropCount::window`], by flow.
#[map]
static DROP_FLOWS: PerCpuArray<u64> = PerCpuArray::with_max_entries(FLOWS, 0);

#[unsafe(no_mangle)]
static HAS_REASON: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static SKB_LEN: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static SKB_IIF: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static SKB_PROTOCOL: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static SKB_NETWORK: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static SKB_TAIL: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static SKB_HEAD: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static SKB_DATA: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static DEV_IFINDEX: Global<u32> = Global::new(0);

/// EtherTypes, linux/if_ether.h.
const IPV4: u16 = 0x0800;
const ARP: u16 = 0x0806;
const IPV6: u16 = 0x86dd;

/// Counts the packet by its reason, and sends its record unless there were many. Packets of
/// namespaces that nobody watches take no records from others.
#[inline(always)]
pub(crate) fn dropped(ctx: &RawTracePointContext) {
    if CONTROL.get(0).is_none_or(|control| control.active == 0) {
        return;
    }
    let args = ctx.as_ptr().cast::<u64>().cast_const();
    // SAFETY: the tracepoint has these arguments, see `Layout::find` of user space.
    let (skb, location) = unsafe { (args.read_volatile(), args.add(1).read_volatile()) };
    let reason = match HAS_REASON.load() {
        0 => NO_REASON,
        // SAFETY: as above.
        _ => unsafe { args.add(2).read_volatile() as u32 },
    };
    let skb = skb as *const u8;
    // What has no such EtherType is no packet of an interface, such as a message of netlink.
    let ethertype = u16::from_be(read(skb, &SKB_PROTOCOL).unwrap_or(0));
    if ethertype != IPV4 && ethertype != IPV6 && ethertype != ARP {
        return;
    }
    let dev: *const u8 = read(skb, &SKB_DEV).unwrap_or(core::ptr::null());
    let netns = if dev.is_null() { 0 } else { netns_of(dev) };
    // What has no device may be of any namespace.
    if netns != 0 && !is_watched(netns) && !is_watched(0) {
        return;
    }
    // SAFETY: a helper without arguments.
    let now_ns = unsafe { bpf_ktime_get_ns() };
    let Some(count) = DROP_COUNTS.get_ptr_mut(reason.min(DROP_REASONS - 1)) else {
        return;
    };
    // SAFETY: the pointer is to this CPU's value. A program that interrupts this one may take a
    // count with it, as on this path only.
    let count = unsafe { &mut *count };
    count.all += 1;
    let window = now_ns >> DROP_WINDOW_SHIFT << 32;
    let is_recorded = !is_full(count.window, window, DROP_BURST)
        && takes_of_flow(
            flow_of(skb, ethertype) ^ location ^ u64::from(reason),
            window,
        )
        && takes(&mut count.window, window, DROP_BURST)
        && send(ctx, skb, (dev, netns), location, reason, ethertype, now_ns);
    if !is_recorded {
        count.unrecorded += 1;
    }
}

/// Whether the packets of a namespace are told.
#[inline(always)]
fn is_watched(netns: u64) -> bool {
    DROP_SPACES.get_ptr(netns).is_some()
}

/// Whether the window has so many records.
#[inline(always)]
fn is_full(taken: u64, window: u64, most: u64) -> bool {
    taken & !0xffff_ffff == window && taken & 0xffff_ffff >= most
}

/// Takes a record of the window; returns false if it has so many.
#[inline(always)]
fn takes(taken: &mut u64, window: u64, most: u64) -> bool {
    if is_full(*taken, window, most) {
        return false;
    }
    if *taken & !0xffff_ffff != window {
        *taken = window;
    }
    *taken += 1;
    true
}

/// The same for a flow, so that one flow leaves records to others.
#[inline(always)]
fn takes_of_flow(flow: u64, window: u64) -> bool {
    // The upper bits of the product depend on all of the flow's.
    let slot = flow.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56;
    DROP_FLOWS.get_ptr_mut(slot as u32).is_some_and(|taken| {
        // SAFETY: the pointer is to this CPU's value, see above.
        takes(unsafe { &mut *taken }, window, DROP_FLOW_BURST)
    })
}

/// What tells the addresses of a packet from others: those of IPv4, the lower halves of IPv6.
#[inline(always)]
fn flow_of(skb: *const u8, ethertype: u16) -> u64 {
    let begin = network_of(skb);
    match ethertype {
        IPV6 => half_at(begin, 16) ^ half_at(begin, 32).rotate_left(32),
        // ARP has the addresses elsewhere; those of its flood are alike there.
        _ => half_at(begin, 12),
    }
}

/// The address of the packet's network header.
#[inline(always)]
fn network_of(skb: *const u8) -> u64 {
    let head: u64 = read(skb, &SKB_HEAD).unwrap_or(0);
    let network: u16 = read(skb, &SKB_NETWORK).unwrap_or(0);
    head.wrapping_add(u64::from(network))
}

/// Eight bytes of the kernel's memory; 0 if they cannot be read.
#[inline(always)]
fn half_at(begin: u64, offset: u64) -> u64 {
    // SAFETY: bpf_probe_read_kernel checks every address.
    unsafe { bpf_probe_read_kernel(begin.wrapping_add(offset) as *const u64) }.unwrap_or(0)
}

/// Sends the record; returns false if there is no room.
#[inline(always)]
fn send(
    ctx: &RawTracePointContext,
    skb: *const u8,
    (dev, netns): (*const u8, u64),
    location: u64,
    reason: u32,
    ethertype: u16,
    now_ns: u64,
) -> bool {
    let Some(mut entry) = DROPS.reserve::<DropRecord>(0) else {
        return false;
    };
    let head: u64 = read(skb, &SKB_HEAD).unwrap_or(0);
    let data: u64 = read(skb, &SKB_DATA).unwrap_or(0);
    let tail: u32 = read(skb, &SKB_TAIL).unwrap_or(0);
    let network: u16 = read(skb, &SKB_NETWORK).unwrap_or(0);
    let begin = head.wrapping_add(u64::from(network));
    let contiguous = u64::from(tail.saturating_sub(u32::from(network)));
    let len: u32 = read(skb, &SKB_LEN).unwrap_or(0);
    let record = entry.as_mut_ptr();
    // SAFETY: the entry has room for a record.
    unsafe {
        (*record).captured = copy(&raw mut (*record).data, begin, contiguous);
        (*record).ts_ns = now_ns;
        (*record).location = location;
        (*record).netns = netns;
        (*record).reason = reason;
        (*record).ifindex = read(dev, &DEV_IFINDEX).unwrap_or(0);
        (*record).came_by = read(skb, &SKB_IIF).unwrap_or(0);
        (*record).wire_len = len.wrapping_add(data.wrapping_sub(begin) as u32);
        (*record).ethertype = ethertype;
        (*record).version = DROP_VERSION;
        (*record).zero = 0;
        // It leaves zeros where it fails, and not behind the last call.
        (*record).callers = [0; DROP_CALLERS];
        let size = size_of::<[u64; DROP_CALLERS]>() as u32;
        bpf_get_stack(ctx.as_ptr(), (&raw mut (*record).callers).cast(), size, 0);
    }
    entry.submit(0);
    true
}

/// `bpf_probe_read_kernel` with a length of 64 bits: the register is passed unchanged, with the
/// bounds that the verifier knows of it.
type ReadKernel = unsafe extern "C" fn(*mut c_void, u64, u64) -> i64;
/// The helper's number, linux/bpf.h.
const READ_KERNEL: usize = 113;

/// Copies up to so many bytes of the kernel's memory, as far as there is room; returns how
/// many. What cannot be read becomes zeros.
///
/// # Safety
/// There is room.
#[inline(always)]
unsafe fn copy(to: *mut [u8; DROP_DATA], from: u64, len: u64) -> u32 {
    let last = DROP_DATA as u64 - 1;
    // The mask bounds the register for all verifiers.
    let len = opaque(len.min(last)) & last;
    // SAFETY: a pointer to a helper is its number, and there is room.
    let status = unsafe {
        let read_kernel: ReadKernel = core::mem::transmute(READ_KERNEL);
        read_kernel(to.cast(), len, from)
    };
    if status == 0 { len as u32 } else { 0 }
}
