//! A file tree in memory that becomes an archive: directories and libraries come along by themselves.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::cpio::{Entry, Writer};

enum Node {
    Directory(u32),
    Copy(PathBuf),
    Bytes(u32, Vec<u8>),
    Link(String),
    Device(u32, u32),
}

/// The tree. A path is added once; adding it again replaces it.
#[derive(Default)]
pub struct Files {
    // Sorted, a directory comes before what is in it.
    nodes: BTreeMap<PathBuf, Node>,
}

impl Files {
    /// Adds a directory.
    pub fn directory(&mut self, path: impl AsRef<Path>, mode: u32) {
        self.insert(path.as_ref(), Node::Directory(mode));
    }

    /// Adds a file with that content.
    pub fn bytes(&mut self, path: impl AsRef<Path>, mode: u32, bytes: impl Into<Vec<u8>>) {
        self.insert(path.as_ref(), Node::Bytes(mode, bytes.into()));
    }

    /// Adds a symbolic link.
    pub fn link(&mut self, path: impl AsRef<Path>, target: &str) {
        self.insert(path.as_ref(), Node::Link(target.to_owned()));
    }

    /// Adds a character device.
    pub fn device(&mut self, path: impl AsRef<Path>, major: u32, minor: u32) {
        self.insert(path.as_ref(), Node::Device(major, minor));
    }

    /// Adds a copy of a file of this machine, by another path.
    pub fn copy(&mut self, host: &Path, path: impl AsRef<Path>) {
        self.insert(path.as_ref(), Node::Copy(host.to_path_buf()));
    }

    /// Whether the path was added.
    pub fn contains(&self, path: impl AsRef<Path>) -> bool {
        self.nodes.contains_key(path.as_ref())
    }

    /// Adds a file of this machine by its own path, with the symbolic links that lead to it.
    pub fn same(&mut self, path: &Path) -> Result<()> {
        let mut path = real_parent(path)?;
        while let Ok(target) = fs::read_link(&path) {
            self.link(&path, &target.to_string_lossy());
            path = real_parent(&path.parent().unwrap_or(Path::new("/")).join(target))?;
        }
        self.copy(&path.clone(), path);
        Ok(())
    }

    /// Adds a directory of this machine with all that is in it.
    pub fn tree(&mut self, directory: &Path) -> Result<()> {
        for entry in fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))? {
            let path = entry?.path();
            if path.is_dir() { self.tree(&path)? } else { self.same(&path)? }
        }
        Ok(())
    }

    /// Adds the shared libraries that a program or library of this machine loads at its start.
    pub fn libraries_of(&mut self, file: &Path) -> Result<()> {
        // Cargo's own directories in the path would be taken for the system's.
        let output =
            Command::new("ldd").arg(file).env_remove("LD_LIBRARY_PATH").output().context("cannot start ldd")?;
        // What is not a dynamic executable needs nothing, and ldd fails on it.
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let found = line.split_once("=>").map_or(line, |(_, found)| found).trim();
            if let Some(path) = found.split(" (0x").next().filter(|path| path.starts_with('/')) {
                let path = real_parent(Path::new(path))?;
                if !self.contains(&path) {
                    self.same(&path)?;
                }
            }
        }
        Ok(())
    }

    fn insert(&mut self, path: &Path, node: Node) {
        for parent in path.ancestors().skip(1).filter(|parent| *parent != Path::new("/")) {
            self.nodes.entry(parent.to_path_buf()).or_insert(Node::Directory(0o755));
        }
        self.nodes.insert(path.to_path_buf(), node);
    }

    /// Writes the archive.
    pub fn write<W: Write>(&self, output: W) -> Result<W> {
        let mut writer = Writer::new(output);
        for (path, node) in &self.nodes {
            let name = path.to_str().with_context(|| format!("{} is no UTF-8", path.display()))?;
            let written = match node {
                Node::Directory(mode) => writer.add(name, &Entry::Directory(*mode)),
                Node::Copy(host) => {
                    let read = || fs::metadata(host).and_then(|metadata| Ok((metadata, fs::read(host)?)));
                    let (metadata, data) = read().with_context(|| format!("cannot read {}", host.display()))?;
                    writer.add(name, &Entry::File(metadata.permissions().mode() & 0o7777, &data))
                }
                Node::Bytes(mode, data) => writer.add(name, &Entry::File(*mode, data)),
                Node::Link(target) => writer.add(name, &Entry::Link(target)),
                Node::Device(major, minor) => writer.add(name, &Entry::Device(*major, *minor)),
            };
            written.with_context(|| format!("cannot add {name} to the archive"))?;
        }
        writer.finish().context("cannot finish the archive")
    }
}

/// The path with its directory's symbolic links resolved, such as `/lib`, which is `/usr/lib` in Debian.
fn real_parent(path: &Path) -> Result<PathBuf> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(path.to_path_buf());
    };
    let parent = parent.canonicalize().with_context(|| format!("there is no {}", path.display()))?;
    Ok(parent.join(name))
}
