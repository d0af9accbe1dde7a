//! Other tools' traffic control: programs of their own, and iproute2's `tc`.

use std::borrow::Cow;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use aya::programs::tc::{NlOptions, SchedClassifierLink, TcAttachOptions, qdisc_add_clsact};
use aya::programs::{LinkOrder, SchedClassifier, TcAttachType, loaded_programs};
use nix::libc;
use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};
use podtrace::netns::NetNs;

/// Verdicts of linux/pkt_cls.h: continue with the next program, or end the chain.
pub(super) const UNSPEC: i64 = -1;
pub(super) const OK: i64 = 0;
pub(super) const SHOT: i64 = 2;
pub(super) const REDIRECT: i64 = 7;

/// Commands of bpf(2) and their attributes, linux/bpf.h.
const MAP_CREATE: libc::c_long = 0;
const MAP_LOOKUP: libc::c_long = 1;
const MAP_UPDATE: libc::c_long = 2;
const PROG_LOAD: libc::c_long = 5;
const MAP_TYPE_ARRAY: u32 = 2;
const SCHED_CLS: u32 = 3;
/// Bytes of `union bpf_attr` that are given; the others are zero.
const ATTRIBUTES: usize = 72;

/// A program of another tool. It counts the IPv4 packets that it sees, and returns a given
/// verdict for them; it leaves all others to the next program.
pub(super) struct Foreign {
    program: SchedClassifier,
    map: OwnedFd,
}

/// The value that the program shares with us.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct Shared {
    count: u64,
    verdict: i64,
    /// The target of a redirect.
    ifindex: u32,
    flags: u32,
}

/// The place where the program is attached.
#[derive(Clone, Copy, Debug)]
pub(super) enum Spot {
    TcxFirst,
    TcxLast,
    /// A filter of this priority.
    Clsact(u16),
}

/// An attached program, until it is dropped.
pub(super) struct Link {
    netns: NetNs,
    link: Option<SchedClassifierLink>,
}

impl Drop for Link {
    fn drop(&mut self) {
        // Filters are looked up in the thread's namespace.
        let link = self.link.take();
        let _ = self.netns.run(|| drop(link));
    }
}

impl Foreign {
    /// Loads a program that passes everything.
    pub(super) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        // Kernels before 5.11 count programs and maps as locked memory; on others this may be
        // refused.
        let _ = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("f{:x}_{number:x}", std::process::id());
        let map = create_map();
        let _program = load(&name, &map);
        // aya has no call to load instructions, but accepts loaded programs.
        let info = loaded_programs()
            .map(Result::unwrap)
            .find(|info| info.name() == name.as_bytes())
            .unwrap();
        let foreign = Self {
            program: SchedClassifier::from_program_info(info, Cow::Borrowed("foreign")).unwrap(),
            map,
        };
        foreign.set(UNSPEC, 0);
        foreign
    }

    /// Sets its verdict from now on, and resets its count; `ifindex` is the target of a
    /// redirect.
    pub(super) fn set(&self, verdict: i64, ifindex: u32) {
        let mut value = Shared {
            verdict,
            ifindex,
            ..Shared::default()
        };
        self.access(MAP_UPDATE, &mut value);
    }

    /// The number of packets since then.
    pub(super) fn count(&self) -> u64 {
        let mut value = Shared::default();
        self.access(MAP_LOOKUP, &mut value);
        value.count
    }

    fn access(&self, command: libc::c_long, value: &mut Shared) {
        let key = 0_u32;
        let mut attributes = Attributes::new();
        attributes.put(0, &self.map.as_raw_fd().to_ne_bytes());
        attributes.put(8, &(&raw const key as u64).to_ne_bytes());
        attributes.put(16, &(&raw mut *value as u64).to_ne_bytes());
        // SAFETY: the map has keys of 32 bits and values of this type; both outlive
        // the call.
        unsafe { attributes.call(command) }.unwrap();
    }

    /// Attaches it to an interface. Dropping the link detaches it.
    pub(super) fn attach(
        &mut self,
        netns: &NetNs,
        interface: &str,
        direction: TcAttachType,
        spot: Spot,
    ) -> Link {
        let options = match spot {
            Spot::TcxFirst => TcAttachOptions::TcxOrder(LinkOrder::first()),
            Spot::TcxLast => TcAttachOptions::TcxOrder(LinkOrder::last()),
            Spot::Clsact(priority) => TcAttachOptions::Netlink(NlOptions {
                priority,
                ..NlOptions::default()
            }),
        };
        let program = &mut self.program;
        let attach = || {
            if matches!(spot, Spot::Clsact(_)) {
                // It may exist.
                let _ = qdisc_add_clsact(interface);
            }
            let link = program.attach_with_options(interface, direction, options)?;
            program.take_link(link)
        };
        Link {
            netns: netns.clone(),
            link: Some(netns.run(attach).unwrap().unwrap()),
        }
    }
}

/// Runs `tc` in a namespace; returns its output.
#[track_caller]
pub(super) fn tc(netns: &NetNs, args: &str) -> String {
    let output = netns.run(|| Command::new("tc").args(args.split(' ')).output());
    let output = output.unwrap().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "tc {args}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

/// Whether the kernel has a kind of classifier; prints a message if not.
pub(super) fn has_kind(netns: &NetNs, interface: &str, kind: &str, options: &str) -> bool {
    tc(netns, &format!("qdisc add dev {interface} clsact"));
    let args = format!("filter add dev {interface} ingress prio 1 {kind} {options}");
    let output = netns.run(|| Command::new("tc").args(args.split(' ')).output());
    tc(netns, &format!("qdisc del dev {interface} clsact"));
    let is_there = output.unwrap().unwrap().status.success();
    if !is_there {
        println!("this kernel has no classifier {kind}: not tried");
    }
    is_there
}

/// All traffic control at an interface, as `tc` prints it.
pub(super) fn dump(netns: &NetNs, interface: &str) -> String {
    let qdiscs = tc(netns, &format!("-j qdisc show dev {interface}"));
    // There are none without a qdisc.
    let filters = ["ingress", "egress"].map(|hook| {
        if qdiscs.contains("clsact") || qdiscs.contains("\"ingress\"") && hook == "ingress" {
            tc(netns, &format!("-j filter show dev {interface} {hook}"))
        } else {
            String::new()
        }
    });
    format!("{qdiscs}{}{}", filters[0], filters[1])
}

/// An array of one value.
fn create_map() -> OwnedFd {
    let mut attributes = Attributes::new();
    let value = u32::try_from(size_of::<Shared>()).unwrap();
    for (number, field) in [MAP_TYPE_ARRAY, 4, value, 1].into_iter().enumerate() {
        attributes.put(4 * number, &field.to_ne_bytes());
    }
    // SAFETY: there are no pointers in it.
    let fd = unsafe { attributes.call(MAP_CREATE) }.unwrap();
    // SAFETY: the kernel has just opened it for us.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Counts and decides according to the map.
fn load(name: &str, map: &OwnedFd) -> OwnedFd {
    // Operation, registers (source, destination), offset, immediate.
    let code = |op: u8, registers: u8, offset: i16, immediate: i32| {
        let mut bytes = [op, registers, 0, 0, 0, 0, 0, 0];
        bytes[2..4].copy_from_slice(&offset.to_ne_bytes());
        bytes[4..].copy_from_slice(&immediate.to_ne_bytes());
        bytes
    };
    let ipv4 = i32::from(0x0800_u16.to_be());
    let program = [
        code(0x61, 0x11, 16, 0),              // r1 = skb->protocol
        code(0xb7, 0x00, 0, UNSPEC as i32),   // r0 = UNSPEC
        code(0x15, 0x01, 1, ipv4),            // if r1 == IPv4, not
        code(0x95, 0, 0, 0),                  // exit
        code(0xb7, 0x01, 0, 0),               // r1 = 0
        code(0x63, 0x1a, -4, 0),              // the key on the stack
        code(0x18, 0x11, 0, map.as_raw_fd()), // r1 = map
        code(0, 0, 0, 0),                     // its upper half
        code(0xbf, 0xa2, 0, 0),               // r2 = r10
        code(0x07, 0x02, 0, -4),              // r2 -= 4
        code(0x85, 0, 0, 1),                  // r0 = bpf_map_lookup_elem
        code(0x55, 0x00, 1, 0),               // if r0 != 0, not
        code(0x95, 0, 0, 0),                  // exit
        code(0xb7, 0x01, 0, 1),               // r1 = 1
        code(0xdb, 0x10, 0, 0),               // atomically: count += r1
        code(0x79, 0x01, 8, 0),               // r1 = verdict
        code(0x15, 0x01, 2, REDIRECT as i32), // if r1 == REDIRECT, not
        code(0xbf, 0x10, 0, 0),               // r0 = r1
        code(0x95, 0, 0, 0),                  // exit
        code(0x61, 0x01, 16, 0),              // r1 = ifindex
        code(0x61, 0x02, 20, 0),              // r2 = flags
        code(0x85, 0, 0, 23),                 // r0 = bpf_redirect
        code(0x95, 0, 0, 0),                  // exit
    ];
    let license = c"GPL";
    let mut attributes = Attributes::new();
    attributes.put(0, &SCHED_CLS.to_ne_bytes());
    attributes.put(4, &u32::try_from(program.len()).unwrap().to_ne_bytes());
    attributes.put(8, &(program.as_ptr() as u64).to_ne_bytes());
    attributes.put(16, &(license.as_ptr() as u64).to_ne_bytes());
    attributes.put(48, name.as_bytes());
    // SAFETY: program and license outlive the call and are as long as is said.
    let fd = unsafe { attributes.call(PROG_LOAD) }.unwrap();
    // SAFETY: the kernel has just opened it for us.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// `union bpf_attr`.
#[repr(align(8))]
struct Attributes([u8; ATTRIBUTES]);

impl Attributes {
    fn new() -> Self {
        Self([0; ATTRIBUTES])
    }

    fn put(&mut self, offset: usize, bytes: &[u8]) {
        self.0[offset..][..bytes.len()].copy_from_slice(bytes);
    }

    /// # Safety
    /// They are those of the command.
    unsafe fn call(&self, command: libc::c_long) -> io::Result<i32> {
        // SAFETY: as the caller says; the kernel reads as many bytes as there are.
        let result = unsafe { libc::syscall(libc::SYS_bpf, command, self.0.as_ptr(), ATTRIBUTES) };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        i32::try_from(result).map_err(io::Error::other)
    }
}
