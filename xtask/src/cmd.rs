//! Running commands: in the workspace, as root, with a step's name and time.

use std::{
    env,
    ffi::{OsStr, OsString},
    io::{self, IsTerminal as _},
    iter,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::Instant,
};

use anyhow::{Context as _, Result, bail};

/// The checkout xtask works in.
pub(crate) struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// Cargo says where xtask's manifest is; the workspace is one above.
    pub(crate) fn find() -> Result<Self> {
        let manifest_dir = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
        let root = manifest_dir
            .parent()
            .context("xtask's manifest is not inside a workspace")?;
        Ok(Self {
            root: root.to_path_buf(),
        })
    }

    /// The workspace's root directory.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The `--root` of the cargo-installed tools.
    pub(crate) fn tools(&self) -> PathBuf {
        self.root.join("target").join("tools")
    }

    /// The cargo that runs xtask, with the tools first in PATH.
    pub(crate) fn cargo(&self) -> Result<Command> {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.current_dir(&self.root).env("PATH", self.path()?);
        // What `cargo run` sets for xtask is wrong for another package, and has
        // build scripts run again that look at it.
        let is_xtasks =
            |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
        for (name, _value) in env::vars_os() {
            if name.to_str().is_some_and(is_xtasks) {
                command.env_remove(name);
            }
        }
        Ok(command)
    }

    fn path(&self) -> Result<OsString> {
        let inherited = env::var_os("PATH").unwrap_or_default();
        let tools = self.tools().join("bin");
        env::join_paths(iter::once(tools).chain(env::split_paths(&inherited)))
            .context("cannot put the tools before PATH")
    }
}

/// How to run something as root.
#[derive(Clone, Copy)]
pub(crate) enum Root {
    /// We are root.
    Already,
    /// Through sudo, which may ask for a password.
    Sudo,
}

impl Root {
    /// Finds the way, or says why there is none.
    pub(crate) fn find() -> Result<Self, String> {
        let owner = Path::new("/proc/self")
            .metadata()
            .map_err(|error| format!("cannot tell who we are from /proc/self: {error}"))?
            .uid();
        if owner == 0 {
            return Ok(Self::Already);
        }
        if program("sudo").is_none() {
            return Err("not root, and there is no sudo".to_owned());
        }
        let without_password = Command::new("sudo")
            .args(["-n", "true"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        if without_password || io::stdin().is_terminal() {
            Ok(Self::Sudo)
        } else {
            Err(
                "not root, sudo wants a password, and there is no terminal to ask for it"
                    .to_owned(),
            )
        }
    }

    /// `program` as root. `vars` go through `env`, as sudo would drop them.
    pub(crate) fn command(self, program: impl AsRef<OsStr>, vars: &[(&str, &OsStr)]) -> Command {
        match self {
            Self::Already => {
                let mut command = Command::new(program);
                command.envs(vars.iter().copied());
                command
            }
            Self::Sudo => {
                let mut command = Command::new("sudo");
                command.args(["-E", "env"]);
                for (name, value) in vars {
                    let mut assignment = OsString::from(name);
                    assignment.push("=");
                    assignment.push(value);
                    command.arg(assignment);
                }
                command.arg(program);
                command
            }
        }
    }
}

/// Where `name` is in PATH, or in the system directories a user's PATH may lack.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
}

/// Runs to the end, output streamed through; failing is an error that names it.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot run {}", show(command)))?;
    if !status.success() {
        bail!("{} failed: {status}", show(command));
    }
    Ok(())
}

/// Runs to the end, output streamed through; its exit code is ours.
pub(crate) fn exit_code(command: &mut Command) -> Result<ExitCode> {
    let status = command
        .status()
        .with_context(|| format!("cannot run {}", show(command)))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// The command as one would type it: the program's name, not its whole path.
pub(crate) fn show(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    iter::once(name)
        .chain(command.get_args())
        .map(|word| format!("{}", word.display()))
        .collect::<Vec<_>>()
        .join(" ")
}

/// Announces `work` on stderr, and says at its end how long it took.
pub(crate) fn step<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    eprintln!("==> {name}");
    let start = Instant::now();
    let result = work();
    let verdict = if result.is_ok() { "done" } else { "failed" };
    eprintln!(
        "==> {name}: {verdict} in {:.1} s",
        start.elapsed().as_secs_f64()
    );
    result
}
