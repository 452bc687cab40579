//! The kernels of the test matrix: Debian's own cloud images, unpacked into the cache.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use clap::ValueEnum;

use super::Requirement;
use super::archive::Archive;
use crate::command::{CommandExt, which};
use crate::project::Project;

/// The package whose newest version names the newest kernel of a suite.
const METAPACKAGE: &str = "linux-image-cloud-amd64";

/// A line of kernels: each needs other program kinds, so each is tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Series {
    /// The oldest supported: no TCX, no netfilter links
    #[value(name = "6.1")]
    V6_1,
    /// The long-term kernel after it
    #[value(name = "6.12")]
    V6_12,
    /// The newest that Debian has
    #[value(name = "7")]
    V7,
}

impl Series {
    /// The whole matrix.
    pub const ALL: [Self; 3] = [Self::V6_1, Self::V6_12, Self::V7];

    const fn name(self) -> &'static str {
        match self {
            Self::V6_1 => "6.1",
            Self::V6_12 => "6.12",
            Self::V7 => "7",
        }
    }
}

impl fmt::Display for Series {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// A kernel in the cache. Once there it is kept, whatever newer version the archive has.
pub struct DebianKernel<'a> {
    project: &'a Project,
    series: Series,
}

impl<'a> DebianKernel<'a> {
    /// The kernel of that series, there or not.
    pub const fn new(project: &'a Project, series: Series) -> Self {
        Self { project, series }
    }

    /// The series it is of.
    pub const fn series(&self) -> Series {
        self.series
    }

    fn directory(&self) -> PathBuf {
        self.project.cache("kernels").join(self.series.name())
    }

    /// The bootable image.
    pub fn image(&self) -> PathBuf {
        self.directory().join("vmlinuz")
    }

    /// What `uname -r` will say.
    pub fn release(&self) -> Result<String> {
        let path = self.directory().join("release");
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    /// The directory that is `/lib/modules/RELEASE` where the kernel runs, `modules.dep` included.
    pub fn modules(&self) -> Result<PathBuf> {
        Ok(self.directory().join("lib/modules").join(self.release()?))
    }
}

impl Requirement for DebianKernel<'_> {
    fn missing(&self) -> Result<Option<String>> {
        Ok((!self.directory().exists())
            .then(|| format!("kernel {} for emulated machines, into the cache", self.series)))
    }

    fn install(&self) -> Result<()> {
        let archive = Archive::open(self.project)?;
        let version = archive.newest(METAPACKAGE, &format!("{}.", self.series))?;
        let kernels = self.project.cache("kernels");
        let (root, ready) = (kernels.join("unpacking"), kernels.join("ready"));
        for directory in [&root, &ready] {
            let _ = fs::remove_dir_all(directory);
            fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
        }
        // Up to 6.x one package holds all; from 7 on image and modules are packages that it depends on.
        let mut wanted = archive.exact_dependencies(METAPACKAGE, &version)?;
        while let Some((package, version)) = wanted.pop() {
            let is_part = ["linux-image-", "linux-base-", "linux-binary-", "linux-modules-"]
                .iter()
                .any(|part| package.starts_with(part));
            if is_part {
                wanted.extend(archive.exact_dependencies(&package, &version)?);
                archive.unpack(&package, &version, &root)?;
            }
        }
        let (modules, release) = find_modules(&root)?;
        let images = [root.join("boot").join(format!("vmlinuz-{release}")), modules.join("vmlinuz")];
        let image = images.iter().find(|image| image.exists()).context("the kernel package has no vmlinuz")?;
        fs::rename(image, ready.join("vmlinuz")).context("cannot move the kernel image")?;
        fs::write(ready.join("release"), &release).context("cannot write the kernel's release")?;
        fs::create_dir_all(ready.join("lib/modules")).context("cannot create the modules' directory")?;
        fs::rename(modules, ready.join("lib/modules").join(&release)).context("cannot move the kernel modules")?;
        depmod(&ready, &release)?;
        fs::rename(&ready, self.directory()).context("cannot move the kernel into the cache")?;
        fs::remove_dir_all(&root).context("cannot remove the unpacked kernel packages")
    }
}

/// Writes `modules.dep` and the like for `root/lib/modules/RELEASE`. Packages leave that to their installation.
pub fn depmod(root: &Path, release: &str) -> Result<()> {
    let program = which("depmod").unwrap_or_else(|| "depmod".into());
    Command::new(program).arg("--basedir").arg(root).arg(release).quietly()
}

/// The modules' directory in the unpacked packages, and its name, which is the kernel's release.
fn find_modules(root: &Path) -> Result<(PathBuf, String)> {
    let places = ["lib/modules", "usr/lib/modules"].map(|place| root.join(place));
    let directory = places.iter().flat_map(|place| fs::read_dir(place).into_iter().flatten().flatten()).next();
    let directory = directory.context("the kernel package has no modules")?;
    Ok((directory.path(), directory.file_name().to_string_lossy().into_owned()))
}
