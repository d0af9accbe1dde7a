//! Running commands in a machine, and keeping what it says.

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

/// What boots machines.
pub(super) struct Runner {
    pub(super) qemu: Qemu,
    /// Where images and logs go.
    pub(super) folder: PathBuf,
}

/// A machine to be run.
pub(super) struct Job<'a> {
    /// What its logs are called by.
    pub(super) name: &'a str,
    pub(super) kernel: &'a Kernel,
    pub(super) image: Image,
    /// Lines for `vm-init`.
    pub(super) commands: Vec<String>,
    pub(super) parameters: &'a str,
    pub(super) memory_mib: u32,
    pub(super) limit: Duration,
}

/// What came of it.
pub(super) struct Report {
    pub(super) transcript: Transcript,
    /// What went wrong with the machine itself.
    pub(super) trouble: Option<String>,
}

impl Runner {
    /// What the commands in a machine print.
    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.folder.join("logs").join(format!("{name}.log"))
    }

    /// What its kernel says.
    pub(super) fn console(&self, name: &str) -> PathBuf {
        self.folder.join("logs").join(format!("{name}.console.log"))
    }

    /// Boots a machine, once, and waits for its end. `ended` is called with each
    /// check when it ends.
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
        // Not what an earlier machine said, should this one not even start.
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
        let said = fs::read(&console).context("cannot read what the kernel said")?;
        let trouble = transcript.trouble(end, &String::from_utf8_lossy(&said));
        Ok(Report {
            transcript,
            trouble,
        })
    }
}
