//! The owner of a packet's socket.
use aya_ebpf::{helpers::bpf_skb_cgroup_id, programs::sk_buff::SkBuff};
use podtrace_ebpf::{
    config::SOCKET_CAST_MARK,
    record::{CGROUP_KERNEL, CGROUP_NONE},
};

use super::maps::{CAN_CAST, SKB_SK, SOCK_KERNEL, SOCK_KERNEL_BIT, SOCK_STATE};
use super::tap_key::kernel_skb;
use crate::kernel;

/// States of objects smaller than a socket, which have the cgroup of a listener or another
/// socket: `TCP_TIME_WAIT` and `TCP_NEW_SYN_RECV`, linux/tcp_states.h.
const TIME_WAIT: u8 = 6;
const NEW_SYN_RECEIVED: u8 = 12;

/// The cgroup of the socket; [`CGROUP_KERNEL`] if the kernel made the socket for itself, as
/// its cgroup is then that of the process that happened to run.
#[inline(always)]
pub(crate) fn cgroup(skb: &SkBuff) -> u64 {
    // SAFETY: the helper takes the context and reads the socket behind it.
    let cgroup = unsafe { bpf_skb_cgroup_id(skb.skb) };
    if cgroup == CGROUP_NONE {
        return cgroup;
    }
    let (state, flags) = if CAN_CAST.load() != 0 {
        read_by_type(skb)
    } else {
        read_by_copy(skb)
    };
    let is_whole = state != TIME_WAIT && state != NEW_SYN_RECEIVED;
    if is_whole && u32::from(flags) & SOCK_KERNEL_BIT.load() != 0 {
        return CGROUP_KERNEL;
    }
    cgroup
}

/// State and flags of the socket, by pointers whose types the verifier knows.
#[inline(always)]
fn read_by_type(skb: &SkBuff) -> (u8, u8) {
    // SAFETY: as for the interface's key, see [`super::place`].
    unsafe {
        let sk = kernel_skb::<SOCKET_CAST_MARK>(skb)
            .add(SKB_SK.load() as usize)
            .cast::<*const u8>()
            .read_volatile();
        if sk.is_null() {
            return (0, 0);
        }
        let state = sk.add(SOCK_STATE.load() as usize).read_volatile();
        let flags = sk.add(SOCK_KERNEL.load() as usize).read_volatile();
        (state, flags)
    }
}

/// The same by copying; zero if it cannot be read.
#[inline(always)]
fn read_by_copy(skb: &SkBuff) -> (u8, u8) {
    let skb = skb.skb.cast::<u8>().cast_const();
    let Some(sk) = kernel::read::<*const u8>(skb, &SKB_SK) else {
        return (0, 0);
    };
    let member = |offset| kernel::read(sk, offset).unwrap_or(0);
    (member(&SOCK_STATE), member(&SOCK_KERNEL))
}
