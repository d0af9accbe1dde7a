//! PID 1 of a virtual machine of `cargo xtask vmtest`.
//!
//! It mounts the file systems of a node, loads modules, runs commands one after another and
//! ends the machine. `/vm` of the initramfs holds the tasks, as lines:
//!
//! - `modules`: paths of kernel modules, in the order to load them in
//! - `environment`: `NAME=VALUE` for every command
//! - `commands`: `NAME`, the seconds it may take, the program and its arguments,
//!   with tabs between
//!
//! The commands' output goes to the second serial port, between lines that begin with
//! `vm-init: `; only the kernel uses the first port.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::kmod::{ModuleInitFlags, finit_module};
use nix::libc;
use nix::mount::{MsFlags, mount};
use nix::sys::signal::{Signal, killpg};
use nix::sys::termios::tcdrain;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, chroot, sethostname};

/// The device of the commands' output.
const OUTPUT: &str = "/dev/ttyS1";
/// The port of qemu's isa-debug-exit: with `v` written to it, qemu exits with
/// `2 * v + 1`.
const EXIT_PORT: u16 = 0xf4;
/// Makes qemu exit with 33, which neither qemu itself nor a kernel panic does.
const PASSED: u32 = 16;
/// Makes qemu exit with 39.
const FAILED: u32 = 19;
const NAP: Duration = Duration::from_millis(10);

/// File systems: source, type, target.
const MOUNTS: &[(&str, &str, &str)] = &[
    ("devtmpfs", "devtmpfs", "/dev"),
    ("proc", "proc", "/proc"),
    ("sysfs", "sysfs", "/sys"),
    ("tmpfs", "tmpfs", "/tmp"),
    ("tmpfs", "tmpfs", "/run"),
    ("tmpfs", "tmpfs", "/var/lib"),
    ("devpts", "devpts", "/dev/pts"),
    ("tmpfs", "tmpfs", "/dev/shm"),
    ("cgroup2", "cgroup2", "/sys/fs/cgroup"),
    ("bpf", "bpf", "/sys/fs/bpf"),
    ("tracefs", "tracefs", "/sys/kernel/tracing"),
    ("debugfs", "debugfs", "/sys/kernel/debug"),
];

fn main() {
    let passed = run().unwrap_or_else(|error| {
        eprintln!("vm-init: {error:#}");
        report(&format!("error: {error:#}"));
        false
    });
    report(if passed { "passed" } else { "failed" });
    leave(if passed { PASSED } else { FAILED });
}

fn run() -> Result<bool> {
    root()?;
    for (what, kind, place) in MOUNTS {
        let place = Path::new(place);
        fs::create_dir_all(place)?;
        let no_data = None::<&str>;
        mount(Some(*what), place, Some(*kind), MsFlags::empty(), no_data)
            .with_context(|| format!("mount {}", place.display()))?;
    }
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    report(&format!("kernel {}", kernel.trim_end()));
    sethostname("vm")?;
    for module in lines("/vm/modules")? {
        load(&module).with_context(|| format!("load {module}"))?;
    }
    let environment = lines("/vm/environment")?;
    let mut passed = true;
    for line in lines("/vm/commands")? {
        passed &= command(&line, &environment)?;
    }
    Ok(passed)
}

/// Covers the root with another mount of the initramfs: container runtimes use pivot_root,
/// which fails on the first mount.
fn root() -> Result<()> {
    fs::create_dir_all("/root")?;
    let nothing = None::<&str>;
    mount(Some("/"), "/root", nothing, MsFlags::MS_BIND, nothing)?;
    std::env::set_current_dir("/root")?;
    mount(Some("."), "/", nothing, MsFlags::MS_MOVE, nothing)?;
    chroot(".").context("enter the new root")
}

fn lines(path: &str) -> Result<Vec<String>> {
    let text = fs::read_to_string(path).with_context(|| format!("read {path}"))?;
    Ok(text.lines().map(str::to_owned).collect())
}

fn load(module: &str) -> Result<()> {
    let no_parameters = CString::default();
    match finit_module(
        File::open(module)?,
        &no_parameters,
        ModuleInitFlags::empty(),
    ) {
        Ok(()) | Err(nix::Error::EEXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Runs a line of `/vm/commands` and prints the outcome; returns whether it succeeded.
fn command(line: &str, environment: &[String]) -> Result<bool> {
    let words: Vec<&str> = line.split('\t').collect();
    let [name, seconds, program, arguments @ ..] = words.as_slice() else {
        bail!("not a command: {line:?}");
    };
    let limit = Duration::from_secs(seconds.parse()?);
    report(&format!("begin {name}"));
    let mut output = OpenOptions::new().write(true).open(OUTPUT)?;
    let started = Instant::now();
    let variables = environment.iter().filter_map(|line| line.split_once('='));
    let child = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(variables)
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output.try_clone()?)
        .process_group(0)
        .spawn();
    let ended = match child {
        Ok(child) => wait(Pid::from_raw(i32::try_from(child.id())?), started + limit)?,
        Err(error) => format!("cannot run {program}: {error}"),
    };
    let took = started.elapsed().as_secs_f64();
    if ended != "exit 0" {
        // Its output may end within a line.
        let _ = output.write_all(b"\n");
    }
    report(&format!("end {name}: {ended} in {took:.1} s"));
    Ok(ended == "exit 0")
}

/// Waits for the leader of a process group, and reaps all other children of PID 1; returns how
/// the leader ended.
fn wait(leader: Pid, deadline: Instant) -> Result<String> {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG))? {
            WaitStatus::Exited(pid, code) if pid == leader => return Ok(format!("exit {code}")),
            WaitStatus::Signaled(pid, signal, _) if pid == leader => {
                return Ok(format!("killed by {signal}"));
            }
            WaitStatus::StillAlive if Instant::now() > deadline => {
                killpg(leader, Signal::SIGKILL)?;
                waitpid(leader, None)?;
                return Ok("timed out".to_owned());
            }
            WaitStatus::StillAlive => thread::sleep(NAP),
            _ => {}
        }
    }
}

/// Prints a line for `cargo xtask vmtest`. Nobody can be told if the port fails.
fn report(text: &str) {
    let write = |mut to: File| to.write_all(format!("vm-init: {text}\n").as_bytes());
    let _ = OpenOptions::new().append(true).open(OUTPUT).and_then(write);
}

/// Ends the machine. If that fails, PID 1 exits and the kernel panics, which is no success
/// either; but it must not exit before qemu does.
fn leave(value: u32) {
    drain();
    // SAFETY: ioperm takes numbers only.
    if unsafe { libc::ioperm(u64::from(EXIT_PORT), 4, 1) } != 0 {
        eprintln!("vm-init: ioperm: {}", io::Error::last_os_error());
        return;
    }
    // SAFETY: the port is ours by ioperm, and writing to it touches no memory.
    unsafe {
        std::arch::asm!("out dx, eax", in("dx") EXIT_PORT, in("eax") value, options(nomem, nostack));
    }
    loop {
        thread::park();
    }
}

/// Waits until the serial port has sent everything and qemu has received it.
fn drain() {
    if let Ok(port) = OpenOptions::new().write(true).open(OUTPUT) {
        let _ = tcdrain(port);
    }
    thread::sleep(NAP);
}
