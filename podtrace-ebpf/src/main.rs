//! The kernel programs (built for the BPF target only): one pair of TC classifiers, attached
//! to every interface that podtrace watches, one program for the sockets of the pods' cgroups,
//! which shows the receiver, and one for the packets that the kernel drops.
//!
//! They only observe: the return value is always `TC_ACT_UNSPEC` (numerically
//! `TCX_NEXT`), or the cgroup hook's "pass"; nothing is written to a packet, and
//! a path that could panic is refused by the verifier because the panic handler
//! never returns.
#![cfg_attr(target_arch = "bpf", no_std, no_main, feature(asm_experimental_arch))]

#[cfg(target_arch = "bpf")]
mod kernel;
#[cfg(target_arch = "bpf")]
mod kfree;
#[cfg(target_arch = "bpf")]
mod tc;

#[cfg(target_arch = "bpf")]
mod programs {
    use aya_ebpf::{
        bindings::TC_ACT_UNSPEC,
        macros::{cgroup_skb, classifier, raw_tracepoint},
        programs::{RawTracePointContext, SkBuffContext, TcContext},
    };
    use podtrace_ebpf::record::Direction;

    use crate::{
        kfree::dropped,
        tc::{call, observe, yardstick},
    };

    #[classifier]
    pub(crate) fn pt_ingress(ctx: TcContext) -> i32 {
        observe(&ctx, &ctx.skb, Direction::Ingress);
        TC_ACT_UNSPEC
    }

    #[classifier]
    pub(crate) fn pt_egress(ctx: TcContext) -> i32 {
        observe(&ctx, &ctx.skb, Direction::Egress);
        TC_ACT_UNSPEC
    }

    /// Calls the tap as long as podtrace lives: clsact keeps attached programs.
    #[classifier]
    pub(crate) fn pt_stub_in(ctx: TcContext) -> i32 {
        call(&ctx, Direction::Ingress);
        TC_ACT_UNSPEC
    }

    #[classifier]
    pub(crate) fn pt_stub_out(ctx: TcContext) -> i32 {
        call(&ctx, Direction::Egress);
        TC_ACT_UNSPEC
    }

    /// The verdict of a cgroup program on a packet that may pass.
    const PASS: i32 = 1;

    #[cgroup_skb(ingress)]
    pub(crate) fn pt_socket(ctx: SkBuffContext) -> i32 {
        observe(&ctx, &ctx.skb, Direction::Socket);
        PASS
    }

    #[raw_tracepoint]
    pub(crate) fn pt_drop(ctx: RawTracePointContext) -> i32 {
        dropped(&ctx);
        0
    }

    /// Never attached: the floor of all measured costs.
    #[classifier]
    pub(crate) fn pt_noop(_ctx: TcContext) -> i32 {
        TC_ACT_UNSPEC
    }

    /// Never attached: the minimal cost of a tap.
    #[classifier]
    pub(crate) fn pt_bare(ctx: TcContext) -> i32 {
        yardstick::bare_tap(&ctx);
        TC_ACT_UNSPEC
    }

    #[unsafe(link_section = "license")]
    #[unsafe(no_mangle)]
    static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

    #[panic_handler]
    fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
        loop {}
    }
}

#[cfg(not(target_arch = "bpf"))]
fn main() {}
