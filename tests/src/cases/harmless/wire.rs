//! Sends and captures raw packets, with the kernel's metadata.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::time::Duration;

use nix::libc;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use podtrace::netns::NetNs;

use super::packets::{LAST, Packet};

/// linux/if_packet.h.
const PACKET_VNET_HDR: libc::c_int = 15;
/// Length of `struct virtio_net_hdr`, which comes before each packet.
const VNET_HDR: usize = 10;
/// The deadline of the last packet.
const DEADLINE: Duration = Duration::from_secs(10);
const BUFFER: libc::c_int = 16 << 20;
const MAX: usize = VNET_HDR + (64 << 10) + 64;

/// A received packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// Segments, and pending checksums.
    offload: [u8; VNET_HDR],
    /// The VLAN tag that the kernel removed: control information and protocol.
    vlan: Option<(u16, u16)>,
    bytes: Vec<u8>,
}

/// Sends on an interface.
pub(super) struct Sender(OwnedFd);

impl Sender {
    pub(super) fn new(netns: &NetNs, interface: &str) -> Self {
        Self(socket(netns, interface, 0))
    }

    /// Always from the same CPU, so that packets keep their order.
    pub(super) fn send(&self, packet: &Packet) {
        let mut here = CpuSet::new();
        here.set(0).unwrap();
        sched_setaffinity(Pid::from_raw(0), &here).unwrap();
        let bytes = [&packet.offload[..], &packet.bytes].concat();
        // SAFETY: the buffer is as long as is said and outlives the call.
        let sent = unsafe { libc::send(self.0.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), 0) };
        let error = io::Error::last_os_error();
        assert_eq!(
            usize::try_from(sent).ok(),
            Some(bytes.len()),
            "{error}: {packet:?}"
        );
    }
}

/// Captures the packets that arrive at an interface.
pub(super) struct Far(OwnedFd);

impl Far {
    pub(super) fn new(netns: &NetNs, interface: &str) -> Self {
        Self(socket(netns, interface, libc::ETH_P_ALL))
    }

    /// All of our packets that arrive, up to the last one of a sequence.
    pub(super) fn until_the_last(self) -> Vec<Frame> {
        let mut frames = Vec::new();
        loop {
            let frame = self.receive().expect("the last packet arrives");
            let Some(frame) = frame else { continue };
            if frame.bytes.ends_with(LAST) {
                return frames;
            }
            frames.push(frame);
        }
    }

    /// The next packet; none if it is not ours.
    fn receive(&self) -> io::Result<Option<Frame>> {
        let mut buffer = vec![0_u8; MAX];
        // With the alignment of control messages.
        let mut control = [0_u64; 16];
        let mut from = MaybeUninit::<libc::sockaddr_ll>::zeroed();
        let mut part = libc::iovec {
            iov_base: buffer.as_mut_ptr().cast(),
            iov_len: buffer.len(),
        };
        // SAFETY: all fields of the C struct may be zero.
        let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
        message.msg_name = from.as_mut_ptr().cast();
        message.msg_namelen = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control);
        // SAFETY: all that the message leads to outlives the call and is as long as is said.
        let length = unsafe { libc::recvmsg(self.0.as_raw_fd(), &raw mut message, 0) };
        let Ok(length) = usize::try_from(length) else {
            return Err(io::Error::last_os_error());
        };
        buffer.truncate(length);
        // SAFETY: zero or filled by the kernel, and plain numbers.
        let is_outgoing = unsafe { from.assume_init() }.sll_pkttype == libc::PACKET_OUTGOING;
        let offload = *buffer.first_chunk().unwrap();
        let bytes = buffer.split_off(VNET_HDR);
        Ok((!is_outgoing && Packet::is_ours(&bytes)).then(|| Frame {
            offload,
            vlan: vlan(&message),
            bytes,
        }))
    }
}

/// The tag in a packet's control message.
fn vlan(message: &libc::msghdr) -> Option<(u16, u16)> {
    /// `PACKET_AUXDATA` and `TP_STATUS_VLAN_VALID`, linux/if_packet.h.
    const AUXDATA: libc::c_int = 8;
    const HAS_VLAN: u32 = 1 << 4;
    // SAFETY: the kernel has filled the message; its buffer lives in the caller.
    let data = unsafe {
        let header = libc::CMSG_FIRSTHDR(message).as_ref()?;
        if (header.cmsg_level, header.cmsg_type) != (libc::SOL_PACKET, AUXDATA) {
            return None;
        }
        std::slice::from_raw_parts(libc::CMSG_DATA(header), 20)
    };
    let number = |at: usize| u16::from_ne_bytes([data[at], data[at + 1]]);
    let status = u32::from_ne_bytes(*data.first_chunk()?);
    (status & HAS_VLAN != 0).then(|| (number(16), number(18)))
}

/// A packet socket at an interface for a protocol; with 0 it receives nothing.
fn socket(netns: &NetNs, interface: &str, protocol: libc::c_int) -> OwnedFd {
    let ifindex = index(netns, interface);
    let protocol = (protocol as u16).to_be();
    let open = || {
        // SAFETY: the call takes numbers only.
        let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
        assert!(fd >= 0, "{}", io::Error::last_os_error());
        // SAFETY: the kernel has just opened it for us.
        unsafe { OwnedFd::from_raw_fd(fd) }
    };
    let socket = netns.run(open).unwrap();
    let on: libc::c_int = 1;
    option(&socket, libc::SOL_PACKET, PACKET_VNET_HDR, &on);
    option(&socket, libc::SOL_PACKET, libc::PACKET_AUXDATA, &on);
    option(&socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &BUFFER);
    let deadline = libc::timeval {
        tv_sec: DEADLINE.as_secs().cast_signed(),
        tv_usec: 0,
    };
    option(&socket, libc::SOL_SOCKET, libc::SO_RCVTIMEO, &deadline);
    // SAFETY: all fields of the C struct may be zero.
    let mut address: libc::sockaddr_ll = unsafe { MaybeUninit::zeroed().assume_init() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = protocol;
    address.sll_ifindex = ifindex.cast_signed();
    // SAFETY: the address is one of the family and as long as is said.
    let status = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            size_of_val(&address) as libc::socklen_t,
        )
    };
    assert_eq!(status, 0, "{}", io::Error::last_os_error());
    socket
}

fn option<T>(socket: &OwnedFd, level: libc::c_int, name: libc::c_int, value: &T) {
    // SAFETY: the value is as long as is said and outlives the call.
    let status = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const *value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    assert_eq!(status, 0, "option {name}: {}", io::Error::last_os_error());
}

/// An interface's index.
pub(super) fn index(netns: &NetNs, interface: &str) -> u32 {
    let index = netns.run(|| nix::net::if_::if_nametoindex(interface));
    index.unwrap().unwrap()
}

/// An interface's MAC address.
pub(in crate::cases) fn mac(netns: &NetNs, interface: &str) -> [u8; 6] {
    let found = netns.run(|| {
        let all = nix::ifaddrs::getifaddrs().unwrap();
        all.filter(|one| one.interface_name == interface)
            .find_map(|one| one.address?.as_link_addr()?.addr())
    });
    found.unwrap().unwrap()
}
