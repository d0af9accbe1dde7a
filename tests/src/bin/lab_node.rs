//! A node of the CRI lab.
//!
//! `lab-node run NAME DIR CGROUP` creates namespaces, and starts the node's PID 1 in them and
//! in the cgroup, which is below its own. PID 1 executes lines of its standard input (`start`
//! and `kill` containerd) and answers each on standard output. When the input ends, PID 1
//! ends, and with it every process of the node.
//!
//! `lab-node enter PID CGROUP PROGRAM ARGS…` runs a program in a node. SIGINT
//! and SIGTERM go to the program, and it does not outlive this process.
//!
//! `lab-node hold` runs a lab of one node with one pod, prints its id, and keeps it until
//! standard input ends.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, BufRead as _, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::slice;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use anyhow::{Context as _, Result, bail};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::wait;
use nix::unistd::{Pid, sethostname};
use podtrace_tests::cri_lab::cgroup::{self, CGROUP_DIR, Hierarchy};
use podtrace_tests::cri_lab::{CriLab, CriLabSpec, PodSpec};

/// Name of the leaf group that holds the node's own processes in cgroup v2:
/// only groups without processes may have groups with controllers below.
const LEAF: &str = "init";

fn main() -> ExitCode {
    let args: Vec<_> = env::args_os().skip(1).collect();
    match run(&args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("lab-node: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[OsString]) -> Result<ExitCode> {
    let (command, args) = args.split_first().context("no subcommand")?;
    match (command.to_str(), args) {
        (Some("run"), args) => run_node(args),
        (Some("init"), [name, dir, group]) => init(name, Path::new(dir), Path::new(group)),
        (Some("enter"), [pid, group, program @ ..]) => enter(pid, Path::new(group), program),
        (Some("exec"), [program, args @ ..]) => exec(program, args),
        (Some("hold"), []) => hold(),
        _ => bail!("unknown subcommand or wrong number of arguments"),
    }
}

/// Creates the node's namespaces and waits for its PID 1.
fn run_node(args: &[OsString]) -> Result<ExitCode> {
    unshare(
        CloneFlags::CLONE_NEWNET
            | CloneFlags::CLONE_NEWNS
            | CloneFlags::CLONE_NEWPID
            | CloneFlags::CLONE_NEWIPC
            | CloneFlags::CLONE_NEWUTS,
    )
    .context("make the node's namespaces")?;
    let mut init = Command::new(env::current_exe()?)
        .arg("init")
        .args(args)
        .spawn()?;
    answer(&format!("init {}", init.id()))?;
    Ok(code(init.wait()?))
}

/// Makes the node's group the root that the node sees. In v2, its processes move one level
/// down.
fn root_cgroup(hierarchies: &[Hierarchy], group: &Path) -> Result<()> {
    enter_cgroups(hierarchies, group)?;
    unshare(CloneFlags::CLONE_NEWCGROUP).context("make the node's cgroup namespace")?;
    for hierarchy in hierarchies.iter().filter(|found| found.is_v2()) {
        let leaf = own_group(hierarchy, group);
        enter_cgroups(slice::from_ref(hierarchy), &leaf)?;
        // From the top: a group has only the controllers that its parent delegates.
        let groups: Vec<_> = group.ancestors().collect();
        for group in groups.into_iter().rev() {
            delegate(&hierarchy.own.join(group));
        }
    }
    Ok(())
}

/// The group of a node's own processes, given the node's group.
fn own_group(hierarchy: &Hierarchy, group: &Path) -> PathBuf {
    if hierarchy.is_v2() {
        group.join(LEAF)
    } else {
        group.to_path_buf()
    }
}

fn enter_cgroups(hierarchies: &[Hierarchy], group: &Path) -> Result<()> {
    for hierarchy in hierarchies {
        hierarchy.enter(group).with_context(|| {
            let group = hierarchy.own.join(group);
            format!("enter cgroup {}", group.display())
        })?;
    }
    Ok(())
}

/// Delegates every controller to the groups below, if the group has no processes. A hybrid
/// hierarchy has none; elsewhere, runc reports what is missing.
fn delegate(group: &Path) {
    let there = fs::read_to_string(group.join("cgroup.controllers")).unwrap_or_default();
    for controller in there.split_whitespace() {
        let wanted = format!("+{controller}");
        let _ = fs::write(group.join("cgroup.subtree_control"), wanted);
    }
}

/// PID 1: mounts, then executes its input.
fn init(name: &OsStr, dir: &Path, group: &Path) -> Result<ExitCode> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    // The hierarchies are the machine's, and are visible only from outside.
    let hierarchies = cgroup::hierarchies().context("look for cgroup hierarchies")?;
    root_cgroup(&hierarchies, group)?;
    mounts(&hierarchies, dir)?;
    sethostname(name).context("set the hostname")?;
    let containerd = Containerd::new(dir);
    for line in io::stdin().lock().lines() {
        match line?.as_str() {
            "start" => {
                containerd.start()?;
                answer("started")?;
            }
            "kill" => {
                containerd.kill()?;
                answer("killed")?;
            }
            other => bail!("told to {other:?}, which is nothing to do"),
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn mounts(hierarchies: &[Hierarchy], dir: &Path) -> Result<()> {
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>).context("keep mounts private")?;
    mount_new("proc", Path::new("/proc"), "")?;
    mount_new("sysfs", Path::new("/sys"), "")?;
    if !hierarchies
        .iter()
        .any(|found| found.mount == Path::new(CGROUP_DIR))
    {
        mount_new("tmpfs", Path::new(CGROUP_DIR), "mode=755")?;
    }
    for hierarchy in hierarchies {
        mount_hierarchy(hierarchy)?;
    }
    mount_new("bpf", Path::new("/sys/fs/bpf"), "")?;
    // For the runtime and the CNI library, at fixed paths.
    mount_new("tmpfs", Path::new("/run"), "mode=755")?;
    mount_new("tmpfs", Path::new("/var/lib/cni"), "mode=755")?;
    // Images and containers are faster in memory.
    mount_new("tmpfs", &dir.join("root"), "mode=755")
}

fn mount_hierarchy(hierarchy: &Hierarchy) -> Result<()> {
    if hierarchy.is_v2() {
        return mount_new("cgroup2", &hierarchy.mount, "");
    }
    let controllers = &hierarchy.controllers;
    let options = if controllers.starts_with("name=") {
        format!("none,{controllers}")
    } else {
        controllers.clone()
    };
    mount_new("cgroup", &hierarchy.mount, &options)
}

fn mount_new(kind: &str, at: &Path, options: &str) -> Result<()> {
    fs::create_dir_all(at).with_context(|| format!("make {}", at.display()))?;
    mount(Some(kind), at, Some(kind), MsFlags::empty(), Some(options))
        .with_context(|| format!("mount {kind} at {}", at.display()))
}

/// The container runtime, started and killed on request.
struct Containerd {
    dir: PathBuf,
    running: Arc<Running>,
}

/// Its process id while it runs, and the signal of its end.
#[derive(Default)]
struct Running {
    pid: Mutex<Option<Pid>>,
    ended: Condvar,
}

impl Containerd {
    fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            running: Arc::default(),
        }
    }

    fn start(&self) -> Result<()> {
        let log = self.dir.join("containerd.log");
        let log = File::options().create(true).append(true).open(log)?;
        // Locked during the start: nobody reaps it before its id is known.
        let mut pid = self.running.lock();
        if pid.is_some() {
            bail!("containerd runs already");
        }
        let containerd = Command::new("containerd")
            .arg("--config")
            .arg(self.dir.join("config.toml"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("run containerd")?;
        *pid = Some(Pid::from_raw(i32::try_from(containerd.id())?));
        drop(pid);
        let running = Arc::clone(&self.running);
        thread::spawn(move || running.reap());
        Ok(())
    }

    /// Kills only the daemon, and waits until it has ended.
    fn kill(&self) -> Result<()> {
        let mut pid = self.running.lock();
        kill(pid.context("containerd does not run")?, Signal::SIGKILL)?;
        while pid.is_some() {
            let woken = self.running.ended.wait(pid);
            pid = woken.unwrap_or_else(PoisonError::into_inner);
        }
        Ok(())
    }
}

impl Running {
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Pid>> {
        self.pid.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reaps all processes until none is left: every process of the node descends from a child
    /// of PID 1.
    fn reap(&self) {
        while let Ok(status) = wait() {
            let mut pid = self.lock();
            if pid.is_some() && *pid == status.pid() {
                *pid = None;
                self.ended.notify_all();
            }
        }
    }
}

/// Runs a program in a node's namespaces and cgroups.
fn enter(node: &OsStr, group: &Path, program: &[OsString]) -> Result<ExitCode> {
    let dir = env::current_dir()?;
    for hierarchy in &cgroup::hierarchies()? {
        let group = own_group(hierarchy, group);
        enter_cgroups(slice::from_ref(hierarchy), &group)?;
    }
    // Mount comes last: it changes the meaning of /proc and all other paths.
    let kinds = ["cgroup", "ipc", "uts", "net", "pid", "mnt"];
    let namespaces = kinds.map(|kind| {
        let path = Path::new("/proc").join(node).join("ns").join(kind);
        File::open(&path).with_context(|| format!("open {}", path.display()))
    });
    let program_itself = fs::read_link("/proc/self/exe")?;
    for namespace in namespaces {
        setns(namespace?, CloneFlags::empty()).context("enter the node")?;
    }
    env::set_current_dir(dir)?;
    // Blocked before the child can send a signal; the child unblocks them itself.
    let signals = forwarded();
    signals.thread_block()?;
    let mut child = Command::new(program_itself)
        .arg("exec")
        .args(program)
        .spawn()?;
    Ok(code(forward(&signals, &mut child)?))
}

fn forwarded() -> SigSet {
    let signals = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGCHLD];
    signals.into_iter().collect()
}

/// Forwards signals until the child ends.
fn forward(signals: &SigSet, child: &mut Child) -> Result<ExitStatus> {
    let pid = Pid::from_raw(i32::try_from(child.id())?);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        match signals.wait()? {
            Signal::SIGCHLD => {}
            signal => kill(pid, signal)?,
        }
    }
}

/// Executes another program, which dies with its parent.
fn exec(program: &OsStr, args: &[OsString]) -> Result<ExitCode> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    forwarded().thread_unblock()?;
    let error = Command::new(program).args(args).exec();
    Err(error).with_context(|| format!("run {}", program.display()))
}

fn hold() -> Result<ExitCode> {
    let lab = CriLab::new(CriLabSpec {
        nodes: 1,
        ipv6: true,
    })?;
    for node in &lab.nodes {
        node.run_pod(&PodSpec::default())?;
    }
    answer(&lab.id)?;
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(ExitCode::SUCCESS)
}

fn answer(line: &str) -> Result<()> {
    let mut stdout = io::stdout();
    writeln!(stdout, "{line}")?;
    Ok(stdout.flush()?)
}

/// As in a shell: 128 plus the signal's number if it was killed.
fn code(status: ExitStatus) -> ExitCode {
    let number = status.code().or(status.signal().map(|signal| 128 + signal));
    let number = number.and_then(|number| u8::try_from(number).ok());
    number.map_or(ExitCode::FAILURE, ExitCode::from)
}
