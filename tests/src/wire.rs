//! A wire between two namespaces that this process carries the packets of.
use std::{
    fs::File,
    io::{Read as _, Write as _},
    os::fd::{AsFd as _, AsRawFd as _},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use anyhow::Result;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use podtrace::netns::NetNs;

/// Two tap or tun devices that threads of the test join: as network cards that are no veths, or
/// with a process that carries packets, as of flannel's backend udp.
#[derive(Debug)]
pub struct Wire {
    stop: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Wire {
    /// Makes a device of that name in each namespace, and joins them.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn new(nodes: [&NetNs; 2], name: &str, mode: Mode) -> Result<Self> {
        let stop = Arc::<AtomicBool>::default();
        let one = nodes[0].run(|| device(name, mode))??;
        let two = nodes[1].run(|| device(name, mode))??;
        let both = [(one.try_clone()?, two.try_clone()?), (two, one)];
        let threads = both.map(|(from, to)| {
            let stop = Arc::clone(&stop);
            thread::spawn(move || carry(&from, &to, &stop))
        });
        Ok(Self {
            stop,
            threads: threads.into(),
        })
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// What a device carries.
#[derive(Clone, Copy, Debug)]
pub enum Mode {
    /// IP packets.
    Tun = 1,
    /// Frames.
    Tap = 2,
}

/// Makes a tun or tap device without a header before its packets.
fn device(name: &str, mode: Mode) -> Result<File> {
    const IFF_NO_PI: i16 = 0x1000;
    nix::ioctl_write_int!(set, b'T', 202);
    let mut options = File::options();
    let file = options.read(true).write(true).open("/dev/net/tun")?;
    let mut request = [0_u8; 40];
    request[..name.len()].copy_from_slice(name.as_bytes());
    request[16..18].copy_from_slice(&(mode as i16 | IFF_NO_PI).to_ne_bytes());
    let request = request.as_mut_ptr() as nix::sys::ioctl::ioctl_param_type;
    // SAFETY: the kernel reads and writes a `struct ifreq`, which is 40 bytes long.
    unsafe { set(file.as_raw_fd(), request) }?;
    Ok(file)
}

/// Copies packets until it is to stop.
fn carry(mut from: &File, mut to: &File, stop: &AtomicBool) {
    let mut packet = vec![0; 1 << 16];
    while !stop.load(Ordering::Relaxed) {
        let mut waiting = [PollFd::new(from.as_fd(), PollFlags::POLLIN)];
        let wait = PollTimeout::from(50_u8);
        if poll(&mut waiting, wait).unwrap_or(0) > 0
            && let Ok(length) = from.read(&mut packet)
        {
            // A device that is down takes nothing.
            let _ = to.write(&packet[..length]);
        }
    }
}
