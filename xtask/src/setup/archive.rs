//! Packages of other suites of the machine's Debian archive, downloaded and unpacked but never installed.
//!
//! apt itself does the work, with a state, cache and source list of its own, so that signatures and checksums are
//! verified while the machine's configuration is neither used nor changed. Proxies and the like in `apt.conf.d` hold.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

use super::sources::{self, Source};
use crate::command::CommandExt;
use crate::project::Project;

/// The suites that the kernels come from. Only their kernels are taken: everything else of them is pinned away.
const KERNEL_SUITES: [&str; 3] = ["bookworm", "trixie", "sid"];

/// Several requirements are installed from one index.
const INDEX_VALID: Duration = Duration::from_secs(600);

/// apt with directories of its own.
pub struct Archive {
    directory: PathBuf,
    codename: String,
}

impl Archive {
    /// Configures it anew and fetches the indexes, unless that was done a moment ago.
    pub fn open(project: &Project) -> Result<Self> {
        let archive = Self { directory: project.cache("apt"), codename: codename()? };
        archive.configure()?;
        let stamp = archive.directory.join("updated");
        let age =
            fs::metadata(&stamp).and_then(|metadata| metadata.modified()).ok().and_then(|time| time.elapsed().ok());
        if age.is_some_and(|age| age < INDEX_VALID) {
            return Ok(archive);
        }
        // One suite that the mirror does not carry must not spoil the others: what is not found is reported by whoever
        // looks for it. apt ignores an index whose signature it cannot verify.
        if let Err(error) = archive.tool("apt-get").args(["-qq", "update"]).quietly() {
            eprintln!("setup: {error:#}");
        }
        File::create(&stamp).with_context(|| format!("cannot create {}", stamp.display()))?;
        Ok(archive)
    }

    /// Removes the indexes, which are old by the next time something is missing.
    pub fn remove(project: &Project) {
        let _ = fs::remove_dir_all(project.cache("apt"));
    }

    fn configure(&self) -> Result<()> {
        for directory in ["lists/partial", "archives/partial"] {
            let path = self.directory.join(directory);
            fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
        }
        let sources = suites(&sources::configured()?, &self.codename)?;
        let lines: Vec<String> = sources.iter().map(Source::line).collect();
        fs::write(self.directory.join("sources.list"), lines.join("\n") + "\n")?;
        let foreign = KERNEL_SUITES.iter().filter(|suite| **suite != self.codename);
        let pins: Vec<String> =
            foreign.map(|suite| format!("Package: *\nPin: release n={suite}\nPin-Priority: -1\n")).collect();
        fs::write(self.directory.join("preferences"), pins.join("\n")).context("cannot write apt's preferences")
    }

    /// Options on the command line, since `apt.conf.d` overrides those of a file.
    fn tool(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        let path = |entry: &str| self.directory.join(entry).display().to_string();
        for (option, value) in [
            ("Dir::State::Lists", path("lists")),
            ("Dir::Cache::Archives", path("archives")),
            ("Dir::Cache::pkgcache", path("pkgcache.bin")),
            ("Dir::Cache::srcpkgcache", String::new()),
            ("Dir::Etc::SourceList", path("sources.list")),
            ("Dir::Etc::SourceParts", "/dev/null".to_owned()),
            ("Dir::Etc::Preferences", path("preferences")),
            ("Dir::Etc::PreferencesParts", "/dev/null".to_owned()),
            ("Acquire::Languages", "none".to_owned()),
            ("Acquire::IndexTargets::deb::DEP-11::DefaultEnabled", "false".to_owned()),
            ("Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled", "false".to_owned()),
            // apt's own user may not enter a home directory.
            ("APT::Sandbox::User", "root".to_owned()),
            ("APT::Architecture", "amd64".to_owned()),
            // Some machines clean the archives they do not know after an update.
            ("APT::Update::Post-Invoke", String::new()),
            ("Debug::NoLocking", "true".to_owned()),
        ] {
            command.arg("--option").arg(format!("{option}={value}"));
        }
        command
    }

    /// The newest version of a package that starts with `prefix`, in any suite.
    pub fn newest(&self, package: &str, prefix: &str) -> Result<String> {
        // madison lists the newest first.
        let listing = self.tool("apt-cache").args(["madison", package]).capture()?;
        let versions = listing.lines().filter_map(|line| line.split('|').nth(1)).map(str::trim);
        let newest = versions.into_iter().find(|version| version.starts_with(prefix));
        newest
            .map(str::to_owned)
            .ok_or_else(|| anyhow!("no suite of this machine's Debian archive has {package} {prefix}*"))
    }

    /// What a version of a package depends on, as `(package, exact version)`, where an exact version is asked for.
    pub fn exact_dependencies(&self, package: &str, version: &str) -> Result<Vec<(String, String)>> {
        let record = self.tool("apt-cache").arg("show").arg(format!("{package}={version}")).capture()?;
        let depends = record.lines().find_map(|line| line.strip_prefix("Depends: ")).unwrap_or_default();
        let exact = |dependency: &str| {
            let (name, version) = dependency.trim().split_once(" (= ")?;
            Some((name.to_owned(), version.strip_suffix(')')?.to_owned()))
        };
        Ok(depends.split(',').filter_map(exact).collect())
    }

    /// Downloads one version of a package and unpacks it into `root`.
    pub fn unpack(&self, package: &str, version: &str, root: &Path) -> Result<()> {
        let downloads = self.downloads()?;
        let name = format!("{package}={version}");
        self.tool("apt-get").args(["-qq", "download", &name]).current_dir(&downloads).quietly()?;
        unpack_all(&downloads, root)
    }

    /// Downloads a package, from the backports suite if that has it, with everything this machine lacks for it, and unpacks it all.
    pub fn unpack_with_dependencies(&self, package: &str, root: &Path) -> Result<()> {
        let downloads = self.downloads()?;
        fs::create_dir_all(downloads.join("partial")).context("cannot create the download directory")?;
        let backports = format!("{}-backports", self.codename);
        let download = |target_release: &[&str]| {
            self.tool("apt-get")
                .args(["-qq", "install", "--yes", "--download-only", "--reinstall", "--no-install-recommends"])
                .arg("--option")
                .arg(format!("Dir::Cache::Archives={}", downloads.display()))
                .args(target_release)
                .arg(package)
                .quietly()
        };
        // A suite that is new has no backports yet, and apt takes their name for a mistake.
        download(&["--target-release", &backports]).or_else(|_| download(&[]))?;
        unpack_all(&downloads, root)
    }

    /// An empty directory for one download. Left behind by an interruption, it is emptied by the next.
    fn downloads(&self) -> Result<PathBuf> {
        let directory = self.directory.join("download");
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
        Ok(directory)
    }
}

fn unpack_all(downloads: &Path, root: &Path) -> Result<()> {
    let mut any = false;
    for entry in fs::read_dir(downloads).context("cannot list the downloaded packages")? {
        let file = entry?.path();
        if file.extension().is_some_and(|extension| extension == "deb") {
            Command::new("dpkg").arg("--extract").arg(&file).arg(root).quietly()?;
            any = true;
        }
    }
    let _ = fs::remove_dir_all(downloads);
    if any { Ok(()) } else { bail!("apt downloaded no package") }
}

/// The suites that the archive is asked for: the machine's own, its backports, and those with the other kernels.
fn suites(configured: &[Source], codename: &str) -> Result<Vec<Source>> {
    let is_own = |source: &&Source| [codename, "stable", "oldstable"].contains(&source.suite.as_str());
    let own = configured
        .iter()
        .find(is_own)
        .ok_or_else(|| anyhow!("apt's configuration names no archive of Debian {codename}"))?;
    let security = format!("{codename}-security");
    let mut suites: Vec<Source> = configured.iter().filter(|source| source.suite == security).cloned().collect();
    suites.push(own.suite(codename));
    suites.push(own.suite(&format!("{codename}-updates")));
    suites.push(own.suite(&format!("{codename}-backports")));
    suites.extend(KERNEL_SUITES.iter().filter(|suite| **suite != codename).map(|suite| own.suite(suite)));
    Ok(suites)
}

fn codename() -> Result<String> {
    let text = fs::read_to_string("/etc/os-release").context("cannot read /etc/os-release")?;
    let value = text.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    value.map(|value| value.trim_matches('"').to_owned()).context("/etc/os-release names no VERSION_CODENAME")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_are_taken_from_the_machines_own_archive() {
        let source = |uri: &str, suite: &str| Source { uri: uri.to_owned(), suite: suite.to_owned(), signed_by: None };
        let configured = [
            source("http://tools.example", "any"),
            source("http://a.example", "bookworm"),
            source("http://s.example", "bookworm-security"),
        ];
        let names: Vec<String> = suites(&configured, "bookworm")
            .unwrap()
            .iter()
            .map(|source| format!("{} {}", source.uri, source.suite))
            .collect();
        assert_eq!(
            names,
            [
                "http://s.example bookworm-security",
                "http://a.example bookworm",
                "http://a.example bookworm-updates",
                "http://a.example bookworm-backports",
                "http://a.example trixie",
                "http://a.example sid",
            ]
        );
        assert!(suites(&configured[..1], "bookworm").is_err());
    }
}
