//! Runs commands in a machine, and keeps the output.

use std::{
    fs::{self, File},
    io::Write as _,
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context as _, Result};

use super::{
    image::Image,
    kernels::Kernel,
    modules,
    qemu::{Machine, Qemu},
    transcript::{Checked, Transcript},
};

/// Boots machines.
pub(super) struct Runner {
    pub(super) qemu: Qemu,
    /// The folder of images and logs.
    pub(super) folder: PathBuf,
}

/// A machine to run.
pub(super) struct Job<'a> {
    /// The name of its logs.
    pub(super) name: &'a str,
    pub(super) kernel: &'a Kernel,
    pub(super) image: Image,
    /// Lines for `vm-init`.
    pub(super) commands: Vec<String>,
    pub(super) parameters: &'a str,
    pub(super) memory_mib: u32,
    pub(super) limit: Duration,
}

/// The outcome of a run.
pub(super) struct Report {
    pub(super) transcript: Transcript,
    /// The failure of the machine itself.
    pub(super) failure: Option<String>,
}

impl Runner {
    /// The log of the commands in a machine.
    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.folder.join("logs").join(format!("{name}.log"))
    }

    /// The log of the machine's kernel.
    pub(super) fn console(&self, name: &str) -> PathBuf {
        self.folder.join("logs").join(format!("{name}.console.log"))
    }

    /// Boots a machine once and waits for its end. Calls `ended` with each check that ends.
    pub(super) fn run(&self, job: Job, mut ended: impl FnMut(&Checked)) -> Result<Report> {
        let Job {
            name, mut image, ..
        } = job;
        image.modules(modules::wanted(&job.kernel.folder)?);
        fs::create_dir_all(self.folder.join("logs"))?;
        let initramfs = self.folder.join(format!("{name}.cpio"));
        image.write(&job.commands, &initramfs)?;

        let console = self.console(name);
        let machine = Machine {
            kernel: &job.kernel.image,
            initramfs: &initramfs,
            parameters: job.parameters,
            memory_mib: job.memory_mib,
            limit: job.limit,
            console: &console,
        };
        // Removes the messages of an earlier machine, in case this one does not even start.
        File::create(&console)?;
        let mut log = File::create(self.log(name))?;
        let mut logged = Ok(());
        let mut transcript = Transcript::default();
        let end = self.qemu.boot(&machine, |line| {
            if logged.is_ok() {
                logged = writeln!(log, "{line}");
            }
            if let Some(checked) = transcript.line(line) {
                ended(checked);
            }
        })?;
        logged.context("cannot write the log")?;
        fs::remove_file(&initramfs)?;
        let kernel_log = fs::read(&console).context("cannot read what the kernel said")?;
        let failure = transcript.failure(end, &String::from_utf8_lossy(&kernel_log));
        Ok(Report {
            transcript,
            failure,
        })
    }
}
