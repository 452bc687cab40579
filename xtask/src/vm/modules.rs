//! The kernel modules that an emulated machine gets: networking, and what it depends on.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::files::Files;
use crate::command::which;
use crate::setup::kernel::{DebianKernel, depmod};

/// Parts of the module tree that are taken.
const WANTED: [&str; 8] = [
    "kernel/net/",
    "kernel/drivers/net/",
    "kernel/drivers/virtio/",
    "kernel/drivers/char/virtio_console",
    "kernel/fs/overlayfs/",
    // Loaded by name at run time (checksums, ciphers), which no dependency tells.
    "kernel/crypto/",
    "kernel/arch/x86/crypto/",
    "kernel/lib/",
];

/// Parts of those that no virtual machine has the hardware for.
const UNWANTED: [&str; 4] = [
    "kernel/drivers/net/ethernet/",
    "kernel/drivers/net/hyperv/",
    "kernel/drivers/net/wwan/",
    "kernel/drivers/net/wireless/",
];

/// Lists that depmod reads beside the modules themselves.
const LISTS: [&str; 3] = ["modules.order", "modules.builtin", "modules.builtin.modinfo"];

/// Adds the modules, unpacked so that the emulated machine does not have to, with an index made for them.
pub fn add(files: &mut Files, kernel: &DebianKernel<'_>, scratch: &Path) -> Result<()> {
    let (release, source) = (kernel.release()?, kernel.modules()?);
    let directory = scratch.join("lib/modules").join(&release);
    for module in selected(&source)? {
        let unpacked = directory.join(&module).with_extension("").with_extension("ko");
        if let Some(parent) = unpacked.parent() {
            fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
        }
        unpack(&source.join(&module), &unpacked)?;
    }
    for list in LISTS {
        fs::copy(source.join(list), directory.join(list)).with_context(|| format!("cannot copy {list}"))?;
    }
    depmod(scratch, &release)?;
    copy_tree(files, &directory, &Path::new("/usr/lib/modules").join(&release))
}

fn copy_tree(files: &mut Files, from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from).with_context(|| format!("cannot list {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_tree(files, &entry.path(), &target)?
        } else {
            files.copy(&entry.path(), target)
        }
    }
    Ok(())
}

/// The wanted modules and all they depend on, relative to the modules' directory.
fn selected(source: &Path) -> Result<BTreeSet<PathBuf>> {
    let path = source.join("modules.dep");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let dependencies: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once(':')).collect();
    let starts_with = |module: &str, prefixes: &[&str]| prefixes.iter().any(|prefix| module.starts_with(prefix));
    let wanted = dependencies.keys().filter(|module| starts_with(module, &WANTED) && !starts_with(module, &UNWANTED));
    // modules.dep names indirect dependencies too.
    let with_dependencies = wanted.flat_map(|module| {
        let needs = dependencies.get(module).map(|needs| needs.split_whitespace()).into_iter().flatten();
        std::iter::once(*module).chain(needs)
    });
    Ok(with_dependencies.map(PathBuf::from).collect())
}

fn unpack(module: &Path, to: &Path) -> Result<()> {
    let program = match module.extension().and_then(|extension| extension.to_str()) {
        Some("xz") => "xz",
        Some("zst") => "zstd",
        Some("gz") => "gzip",
        _ => {
            fs::copy(module, to).with_context(|| format!("cannot copy {}", module.display()))?;
            return Ok(());
        }
    };
    let output = File::create(to).with_context(|| format!("cannot create {}", to.display()))?;
    let mut command = Command::new(which(program).with_context(|| format!("{program} is missing"))?);
    let status = command.args(["--decompress", "--stdout"]).arg(module).stdin(Stdio::null()).stdout(output).status();
    if !status.with_context(|| format!("cannot start {program}"))?.success() {
        bail!("{program} cannot unpack {}", module.display());
    }
    Ok(())
}
