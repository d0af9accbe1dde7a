//! Virtual machines, emulated by qemu without KVM, which not every machine has.

use std::{
    io::{self, BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::mpsc::{RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use crate::{
    apt::{Apt, Host},
    cmd::{program, show},
    files::folder_once,
};

const QEMU: &str = "qemu-system-x86_64";
const PACKAGE: &str = "qemu-system-x86";
/// 7.2 corrupts the memory of guests with Linux 6.12.
const OLDEST: u32 = 8;

/// qemu, and the folder of its libraries and firmware if not in the usual places.
pub(super) struct Qemu {
    program: PathBuf,
    unpacked: Option<PathBuf>,
}

/// The machine to boot.
pub(super) struct Machine<'a> {
    pub(super) kernel: &'a Path,
    pub(super) initramfs: &'a Path,
    /// Further kernel parameters.
    pub(super) parameters: &'a str,
    pub(super) memory_mib: u32,
    /// The time after which it is killed.
    pub(super) limit: Duration,
    /// The file for the kernel's messages.
    pub(super) console: &'a Path,
}

/// How a machine ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// qemu exited with this code.
    Exit(i32),
    /// qemu was killed, but not because of the time limit.
    Killed,
    /// The time limit was reached.
    TimedOut,
}

impl Qemu {
    /// The host's qemu, if it is new enough; otherwise one that is unpacked, now or earlier.
    pub(super) fn find(host: &Host, cache: &Path) -> Result<Self> {
        if let Some(program) = program(QEMU) {
            let found = Self {
                program,
                unpacked: None,
            };
            if major(&found.version()?).is_some_and(|major| major >= OLDEST) {
                return Ok(found);
            }
        }
        let suite = host.suites().next().context("the host is no Debian")?;
        // The unpacked libraries do not include those of the host.
        let folder = cache.join(format!("qemu-for-{suite}"));
        folder_once(&folder, |folder| fetch(host, suite, cache, folder))?;
        Ok(Self {
            program: folder.join("usr/bin").join(QEMU),
            unpacked: Some(folder),
        })
    }

    /// The version that it prints.
    pub(super) fn version(&self) -> Result<String> {
        let mut command = self.command();
        let output = command.arg("--version").output();
        let output = output.with_context(|| format!("cannot run {}", show(&command)))?;
        if !output.status.success() {
            let error = String::from_utf8_lossy(&output.stderr);
            bail!("{} failed: {}: {error}", show(&command), output.status);
        }
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(text.lines().next().unwrap_or_default().to_owned())
    }

    /// Boots a machine and passes on each line of its second serial port.
    pub(super) fn boot(&self, machine: &Machine, mut on_line: impl FnMut(&str)) -> Result<Ended> {
        let mut command = self.command();
        command.args(machine.arguments());
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let started = Instant::now();
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot run {}", show(&command)))?;
        let stdout = child.stdout.take().context("qemu has no stdout")?;
        let (sender, lines) = channel();
        let reader = thread::spawn(move || read(stdout, |line| sender.send(line).is_ok()));
        let mut timed_out = false;
        loop {
            let left = machine.limit.saturating_sub(started.elapsed());
            match lines.recv_timeout(left) {
                Ok(line) => on_line(&line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    timed_out = true;
                    child.kill().context("cannot end qemu")?;
                    break;
                }
            }
        }
        let ended = wait(&mut child)?;
        match reader.join() {
            Ok(read) => read.context("cannot read what the machine says")?,
            Err(_panic) => bail!("reading what the machine says panicked"),
        }
        Ok(if timed_out { Ended::TimedOut } else { ended })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        if let Some(folder) = &self.unpacked {
            let libraries = ["usr/lib", "lib"].map(|lib| {
                let libraries = folder.join(lib).join("x86_64-linux-gnu");
                format!("{}", libraries.display())
            });
            command.env("LD_LIBRARY_PATH", libraries.join(":"));
            for data in ["usr/share/qemu", "usr/share/seabios"] {
                command.arg("-L").arg(folder.join(data));
            }
        }
        command
    }
}

impl Machine<'_> {
    fn arguments(&self) -> Vec<String> {
        // The kernel writes to the first serial port, the tests to the second. Only warnings
        // are printed, and a stall is a panic. The ipip module adds no tunl0 to new
        // namespaces, as few nodes have it.
        let parameters = format!(
            "console=ttyS0 quiet loglevel=5 panic=-1 oops=panic \
             sysctl.kernel.panic_on_rcu_stall=1 \
             sysctl.net.core.fb_tunnels_only_for_init_net=1 {}",
            self.parameters
        );
        let fixed = "-accel tcg,thread=multi -machine q35 -cpu max -smp 2 \
                     -nodefaults -no-reboot -display none -monitor none \
                     -device isa-debug-exit,iobase=0xf4,iosize=0x04";
        let mut arguments: Vec<_> = fixed.split_whitespace().map(str::to_owned).collect();
        let own = [
            ("-m", self.memory_mib.to_string()),
            ("-kernel", self.kernel.display().to_string()),
            ("-initrd", self.initramfs.display().to_string()),
            ("-append", parameters),
            ("-serial", format!("file:{}", self.console.display())),
            ("-serial", "stdio".to_owned()),
        ];
        for (option, value) in own {
            arguments.extend([option.to_owned(), value]);
        }
        arguments
    }
}

fn read(from: ChildStdout, mut hand_on: impl FnMut(String) -> bool) -> io::Result<()> {
    let mut from = BufReader::new(from);
    let mut bytes = Vec::new();
    while from.read_until(b'\n', &mut bytes)? > 0 {
        let line = String::from_utf8_lossy(&bytes);
        // A terminal's lines end with a carriage return too.
        if !hand_on(line.trim_end_matches(['\r', '\n']).to_owned()) {
            break;
        }
        bytes.clear();
    }
    Ok(())
}

fn wait(child: &mut Child) -> Result<Ended> {
    let status = child.wait().context("cannot wait for qemu")?;
    Ok(status.code().map_or(Ended::Killed, Ended::Exit))
}

/// Fetches qemu, and its dependencies that the host lacks, into a folder.
fn fetch(host: &Host, suite: &str, cache: &Path, folder: &Path) -> Result<()> {
    let backports = format!("{suite}-backports");
    // Its libraries are in the host's own suites.
    let mut suites: Vec<_> = host.suites().collect();
    if !suites.contains(&backports.as_str()) {
        suites.push(&backports);
    }
    let apt = Apt::of(host, &suites, &cache.join("apt").join("qemu"))?;
    apt.unpack_for_host(PACKAGE, &backports, folder)
}

/// The `10` of `QEMU emulator version 10.0.2 (Debian …)`
fn major(version: &str) -> Option<u32> {
    let (_before, version) = version.split_once("version ")?;
    version.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn major_is_read_from_what_qemu_prints() {
        assert_eq!(
            major("QEMU emulator version 10.0.2 (Debian 1:10)"),
            Some(10)
        );
        assert_eq!(major("QEMU emulator version 7.2.22"), Some(7));
        assert_eq!(major("something else"), None);
    }
}
