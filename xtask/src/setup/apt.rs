//! The machine's own apt: which packages are installed, which could be, and installing them.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::command::{CommandExt, which};

/// Those of `names` that dpkg does not have installed.
pub fn not_installed<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Vec<&'a str>> {
    let names: Vec<&str> = names.into_iter().collect();
    if names.is_empty() {
        return Ok(names);
    }
    // dpkg-query fails when it does not know one of them, and prints the others all the same.
    let output = Command::new("dpkg-query")
        .args(["--show", "--showformat=${db:Status-Abbrev}\t${Package}\n"])
        .args(&names)
        .stderr(Stdio::null())
        .output()
        .context("cannot start dpkg-query: xtask installs packages on Debian and its relatives only")?;
    let listing = String::from_utf8_lossy(&output.stdout).into_owned();
    let installed: HashSet<&str> = listing
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .filter(|(status, _)| status.starts_with("ii"))
        .map(|(_, name)| name)
        .collect();
    Ok(names.into_iter().filter(|name| !installed.contains(name)).collect())
}

/// Installs packages without their recommendations. A stale or missing package index is fetched anew.
pub fn install(names: &[&str]) -> Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    if !nix::unistd::geteuid().is_root() {
        bail!(
            "installing packages takes root; as root, run: apt-get install --no-install-recommends {}",
            names.join(" ")
        );
    }
    ensure_index()?;
    if apt_get_install(names).is_err() {
        // The usual cause is an index older than the archive: the version it names is gone. The other one is an
        // installation that was interrupted, which dpkg wants finished first.
        update()?;
        Command::new("dpkg").args(["--configure", "--pending"]).env("DEBIAN_FRONTEND", "noninteractive").quietly()?;
        apt_get_install(names)?;
    }
    Ok(())
}

/// Downloads a package into an empty directory, without what it depends on, and returns the file.
pub fn download(name: &str, directory: &Path) -> Result<PathBuf> {
    // apt's own user may not enter a home directory.
    let fetch =
        || apt_get().args(["--option", "APT::Sandbox::User=root", "download", name]).current_dir(directory).quietly();
    ensure_index()?;
    // An index older than the archive names a version that is gone.
    fetch().or_else(|_| update().and_then(|()| fetch()))?;
    let files = fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))?;
    let files = files.flatten().map(|entry| entry.path());
    let package = files.into_iter().find(|file| file.extension().is_some_and(|extension| extension == "deb"));
    package.with_context(|| format!("apt downloaded no {name}"))
}

fn apt_get_install(names: &[&str]) -> Result<()> {
    apt_get().args(["install", "--yes", "--no-install-recommends"]).args(names).quietly()
}

/// Fetches the package index when this machine has none, as containers and cloud images often do.
pub fn ensure_index() -> Result<()> {
    let lists = fs::read_dir("/var/lib/apt/lists").into_iter().flatten().flatten();
    let any = lists.into_iter().any(|entry| entry.file_name().to_string_lossy().contains("_Packages"));
    if any { Ok(()) } else { update() }
}

/// Fetches the package index anew.
pub fn update() -> Result<()> {
    apt_get().arg("update").quietly()
}

fn apt_get() -> Command {
    let mut command = Command::new(which("apt-get").unwrap_or_else(|| "apt-get".into()));
    // Another apt, such as a nightly update, may hold the lock for a while.
    command.args(["-qq", "--option", "DPkg::Lock::Timeout=300"]).env("DEBIAN_FRONTEND", "noninteractive");
    command
}

/// The names of all packages that start with `prefix`.
pub fn names_starting_with(prefix: &str) -> Result<Vec<String>> {
    Ok(Command::new("apt-cache").args(["pkgnames", prefix]).capture()?.lines().map(str::to_owned).collect())
}

/// The version apt would install.
pub fn candidate(name: &str) -> Result<Option<String>> {
    let policy = Command::new("apt-cache").args(["policy", name]).capture()?;
    let version = policy.lines().find_map(|line| line.trim_start().strip_prefix("Candidate: "));
    Ok(version.filter(|version| *version != "(none)").map(str::to_owned))
}

/// Orders two versions as dpkg does.
pub fn compare_versions(left: &str, right: &str) -> Result<Ordering> {
    let is = |relation| -> Result<bool> {
        let status = Command::new("dpkg").args(["--compare-versions", left, relation, right]).status();
        Ok(status.context("cannot start dpkg")?.success())
    };
    Ok(if is("lt")? {
        Ordering::Less
    } else if is("gt")? {
        Ordering::Greater
    } else {
        Ordering::Equal
    })
}
