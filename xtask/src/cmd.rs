//! Runs commands: in the workspace, as root, with a step's name and time.

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

/// The checkout that xtask works in.
pub(crate) struct Workspace {
    root: PathBuf,
    /// Compiles the workspace's crates in place of rustc where tests are built.
    linter: Option<PathBuf>,
}

/// What `cargo clippy -- -D warnings` hands to the linter, in its own separator.
const LINTER_ARGS: (&str, &str) = (
    "CLIPPY_ARGS",
    "-D__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__",
);

impl Workspace {
    /// Finds the workspace: one above xtask's manifest, whose path cargo sets.
    pub(crate) fn find() -> Result<Self> {
        let manifest_dir = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
        let root = manifest_dir
            .parent()
            .context("xtask's manifest is not inside a workspace")?;
        Ok(Self {
            root: root.to_path_buf(),
            linter: None,
        })
    }

    /// The same, whose tests are compiled by `linter` (clippy-driver), which refuses what
    /// gives a warning. One build lints and makes the tests then, of one set of dependencies.
    pub(crate) fn linted_by(self, linter: PathBuf) -> Self {
        Self {
            linter: Some(linter),
            ..self
        }
    }

    /// Whether building the tests lints them.
    pub(crate) fn lints_tests(&self) -> bool {
        self.linter.is_some()
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
        // The variables that `cargo run` sets for xtask are wrong for another package, and
        // make build scripts that read them run again.
        let is_xtasks =
            |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
        for (name, _value) in env::vars_os() {
            if name.to_str().is_some_and(is_xtasks) {
                command.env_remove(name);
            }
        }
        Ok(command)
    }

    /// The same for what is built with the tests, without optimisation.
    pub(crate) fn tests_cargo(&self) -> Result<Command> {
        let mut command = self.cargo()?;
        if let Some(linter) = &self.linter {
            let (name, value) = LINTER_ARGS;
            command
                .env("RUSTC_WORKSPACE_WRAPPER", linter)
                .env(name, value);
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

/// How to run a command as root.
#[derive(Clone, Copy)]
pub(crate) enum Root {
    /// We are root.
    Already,
    /// Through sudo, which may ask for a password.
    Sudo,
}

impl Root {
    /// Finds how, or returns why it is impossible.
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

    /// Runs `program` as root. `vars` go through `env`, as sudo would drop them.
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

/// The path of `name` in PATH, or in the system directories that a user's PATH may lack.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
}

/// Runs to the end with the output passed through; a failure is an error that names the
/// command.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot run {}", show(command)))?;
    if !status.success() {
        bail!("{} failed: {status}", show(command));
    }
    Ok(())
}

/// The standard output of a command.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("cannot run {}", show(command)))?;
    if !output.status.success() {
        bail!("{} failed: {}", show(command), output.status);
    }
    String::from_utf8(output.stdout)
        .with_context(|| format!("{} did not print UTF-8", show(command)))
}

/// Runs to the end with the output passed through; returns the exit code.
pub(crate) fn exit_code(command: &mut Command) -> Result<ExitCode> {
    let status = command
        .status()
        .with_context(|| format!("cannot run {}", show(command)))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// The command as one would type it: the program's name instead of its path.
pub(crate) fn show(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    iter::once(name)
        .chain(command.get_args())
        .map(|word| format!("{}", word.display()))
        .collect::<Vec<_>>()
        .join(" ")
}

/// Announces `work` on stderr, and prints at its end how long it took.
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

#[cfg(test)]
mod tests {
    use std::{fs, process};

    use super::*;
    use crate::setup;

    #[test]
    fn linter_refuses_what_gives_a_warning() {
        let folder = env::temp_dir().join(format!("podtrace-linter-{}", process::id()));
        let workspace = Workspace::find().unwrap();
        let linter = setup::linter(&workspace).unwrap();
        let compile = |name: &str, source: &str| {
            let file = folder.join(name);
            fs::create_dir_all(&folder).unwrap();
            fs::write(&file, source).unwrap();
            let (variable, value) = LINTER_ARGS;
            let mut compiler = Command::new(&linter);
            compiler.arg("rustc").arg(&file).arg("--crate-type=lib");
            compiler
                .arg("--emit=metadata")
                .arg("--out-dir")
                .arg(&folder);
            compiler.env(variable, value).output().unwrap()
        };
        let right = compile("right.rs", "pub fn f(x: u8) -> bool { x == 1 }");
        let wrong = compile("wrong.rs", "pub fn f(x: bool) -> bool { x == true }");
        fs::remove_dir_all(&folder).unwrap();
        assert!(right.status.success(), "{right:?}");
        assert!(!wrong.status.success(), "{wrong:?}");
        let said = String::from_utf8_lossy(&wrong.stderr).into_owned();
        assert!(said.contains("clippy::bool_comparison"), "{said}");
    }
}
