//! Child processes that do not outlive the benchmark, and the benchmark's own early end.
//!
//! Ctrl-C kills the children, which ends the waits for them, and makes the next [`check`]
//! fail: the benchmark then cleans up as after any error.
use std::{
    collections::BTreeSet,
    fs,
    os::unix::process::CommandExt as _,
    process::{Child, Command},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::{
    sys::{
        resource::{UsageWho, getrusage},
        signal::{Signal, killpg},
        time::TimeVal,
    },
    time::{ClockId, clock_gettime},
    unistd::Pid,
};
use podtrace::netns::NetNs;
use tokio::signal::unix::{SignalKind, signal};

/// How often a process is checked.
const POLL: Duration = Duration::from_millis(5);
/// How long a process may take to handle its signals.
const INTERRUPTIBLE: Duration = Duration::from_secs(1);

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
/// The process groups of all children.
static GROUPS: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// Makes SIGINT and SIGTERM end the benchmark in order from now on.
pub(crate) fn watch_signals() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (mut interrupt, mut terminate) = {
        let _entered = runtime.enter();
        (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        )
    };
    let watch = async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            eprintln!("interrupted: cleaning up");
            INTERRUPTED.store(true, Ordering::SeqCst);
            for group in groups().iter() {
                // A child that just ended needs no kill.
                let _ = killpg(Pid::from_raw(*group), Signal::SIGKILL);
            }
        }
    };
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || runtime.block_on(watch))?;
    Ok(())
}

/// Fails if the benchmark was interrupted.
pub(crate) fn check() -> Result<()> {
    if INTERRUPTED.load(Ordering::SeqCst) {
        bail!("interrupted");
    }
    Ok(())
}

fn groups() -> MutexGuard<'static, BTreeSet<i32>> {
    GROUPS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A child in a process group of its own. Dropping it kills the group.
pub(crate) struct Running {
    child: Child,
    group: Pid,
    name: String,
}

/// The cost of a child.
pub(crate) struct Ended {
    /// Processor seconds, of user and system.
    pub(crate) processor: f64,
}

impl Running {
    pub(crate) fn spawn(command: &mut Command) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot run {name}"))?;
        let group = Pid::from_raw(i32::try_from(child.id())?);
        groups().insert(group.as_raw());
        let running = Self { child, group, name };
        // A child started after the others were killed ends at once.
        check()?;
        Ok(running)
    }

    /// The same in a network namespace.
    pub(crate) fn spawn_in(netns: &NetNs, command: &mut Command) -> Result<Self> {
        netns.run(|| Self::spawn(command))?
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits, for a second at most, until it handles SIGINT.
    pub(crate) fn wait_until_interruptible(&self) -> Result<()> {
        let bit = 1 << (Signal::SIGINT as i32 - 1);
        let deadline = Instant::now() + INTERRUPTIBLE;
        while caught_signals(self.pid()).unwrap_or(0) & bit == 0 {
            if Instant::now() >= deadline {
                bail!("{} does not take SIGINT", self.name);
            }
            thread::sleep(POLL);
        }
        Ok(())
    }

    /// Sends SIGINT, as Ctrl-C does.
    pub(crate) fn interrupt(&self) -> Result<()> {
        killpg(self.group, Signal::SIGINT)
            .with_context(|| format!("cannot interrupt {}", self.name))
    }

    /// Waits for its end; a failed exit is an error.
    pub(crate) fn wait(mut self) -> Result<Ended> {
        let before = processor_seconds()?;
        let status = self.child.wait()?;
        self.forget();
        check()?;
        if !status.success() {
            bail!("{} ended with {status}", self.name);
        }
        Ok(Ended {
            processor: processor_seconds()? - before,
        })
    }

    /// As [`Self::wait`]; also returns its peak memory in bytes.
    pub(crate) fn wait_watching_memory(self) -> Result<(Ended, u64)> {
        let mut peak = 0;
        while !has_ended(self.pid()) {
            peak = peak.max(peak_memory(self.pid()).unwrap_or(0));
            thread::sleep(POLL);
        }
        let ended = self.wait()?;
        Ok((ended, peak))
    }

    fn forget(&mut self) {
        groups().remove(&self.group.as_raw());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if groups().remove(&self.group.as_raw()) {
            // Nothing can be done about one that cannot be killed.
            let _ = killpg(self.group, Signal::SIGKILL);
            let _ = self.child.wait();
        }
    }
}

/// CPU seconds of a process that runs, without its children.
pub(crate) fn processor_of(pid: u32) -> Result<f64> {
    let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(i32::try_from(pid)?))?;
    Ok(Duration::from(clock_gettime(clock)?).as_secs_f64())
}

/// The signals that a process handles, by bit.
fn caught_signals(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    u64::from_str_radix(caught?.trim(), 16).ok()
}

/// Whether a child has ended and only its exit status is left.
fn has_ended(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    // The state follows the name, which may contain anything.
    stat.map_or(true, |stat| {
        stat.rsplit_once(") ")
            .is_none_or(|(_, state)| state.starts_with('Z'))
    })
}

/// The peak memory of a process so far, in bytes.
pub(crate) fn peak_memory(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| kib(line, "VmHWM:"))
}

/// The resident part of a process's mapped BPF maps, in bytes: the rings.
pub(crate) fn ring_memory(pid: u32) -> Result<u64> {
    let maps = fs::read_to_string(format!("/proc/{pid}/smaps"))?;
    let mut is_map = false;
    let mut sum = 0;
    for line in maps.lines() {
        if line.split_whitespace().nth(1).is_some_and(is_permissions) {
            is_map = line.contains("bpf-map");
        } else if is_map {
            sum += kib(line, "Rss:").unwrap_or(0);
        }
    }
    Ok(sum)
}

fn is_permissions(word: &str) -> bool {
    word.len() == 4 && word.ends_with(['p', 's'])
}

/// A line of `/proc` that gives KiB, in bytes.
fn kib(line: &str, key: &str) -> Option<u64> {
    let value = line.strip_prefix(key)?.trim().strip_suffix(" kB")?;
    value.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// The duration of some work, in seconds.
pub(crate) fn timed<T>(work: impl FnOnce() -> Result<T>) -> Result<(T, f64)> {
    let begin = Instant::now();
    let result = work()?;
    Ok((result, begin.elapsed().as_secs_f64()))
}

/// CPU time of all children that were waited for: the benchmark waits for one at a time.
fn processor_seconds() -> Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let seconds = |time: TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
}
