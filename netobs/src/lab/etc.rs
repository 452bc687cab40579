//! A node's own `/etc/resolv.conf` and `/etc/hosts`.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;

use super::init::OWN;
use super::process::Identity;
use super::state::NodeState;
use super::topology::{Node, Topology};
use super::{Error, LabName, Result};

/// What the files hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Etc<'a> {
    /// `/etc/resolv.conf`.
    pub(super) resolv_conf: String,
    /// `/etc/hosts`.
    hosts: &'a str,
}

/// The `/etc/hosts` of every node of a lab.
pub(super) fn hosts(topology: &Topology) -> String {
    let mut hosts = "127.0.0.1 localhost\n::1 localhost\n".to_owned();
    for (node, address) in topology.first_ipv4_of_each() {
        let _ = writeln!(hosts, "{address} {}", node.name);
    }
    hosts
}

impl<'a> Etc<'a> {
    /// What a node's files should hold, given what [`hosts`] says.
    pub(super) fn of(lab: &LabName, node: &Node, hosts: &'a str) -> Self {
        let mut resolv_conf = format!("# {}, in lab {lab}\n", node.name);
        for resolver in &node.resolvers {
            resolv_conf += &format!("nameserver {resolver}\n");
        }
        // Nothing answers in most labs; the default would be to wait twice five seconds for it.
        resolv_conf += "options timeout:1 attempts:1\n";
        Self { resolv_conf, hosts }
    }

    fn files(&self) -> [(&'static str, &str); 2] {
        [("resolv.conf", &self.resolv_conf), ("hosts", self.hosts)]
    }

    /// The files that do not hold what they should.
    pub(super) fn differences(&self, known: &NodeState, init: Identity) -> Vec<String> {
        // That the machine has no such file, so that the node can have none, has been said already.
        let cannot = |file: &str| known.notes.iter().any(|note| note.contains(&format!("/etc/{file}")));
        let differs = |(file, wanted): &(&'static str, &str)| {
            let mut found = String::new();
            let read =
                open(init, file, OpenOptions::new().read(true)).and_then(|mut file| file.read_to_string(&mut found));
            !cannot(file) && (read.is_err() || found != *wanted)
        };
        self.files()
            .iter()
            .filter(|file| differs(file))
            .map(|(file, _)| format!("/etc/{file} has been changed"))
            .collect()
    }

    /// Writes the files of a node that is running.
    pub(super) fn write(&self, node: &str, init: Identity) -> Result<()> {
        for (file, text) in self.files() {
            let opened = open(init, file, OpenOptions::new().write(true));
            let written = opened.and_then(|mut file| file.set_len(0).and_then(|()| file.write_all(text.as_bytes())));
            written.map_err(Error::io(format!("{node}: write /etc/{file}")))?;
        }
        Ok(())
    }
}

/// Opens a file of the node's own directory from outside. Its processes may have unmounted that, and then the same path
/// leads to the machine's own directory, which is refused.
fn open(init: Identity, file: &str, how: &mut OpenOptions) -> io::Result<File> {
    let path = PathBuf::from(format!("/proc/{}/root{OWN}/{file}", init.pid));
    let open = how.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
    let metadata = open.metadata()?;
    if metadata.is_file() && metadata.dev() != fs::metadata(OWN)?.dev() && init.is_alive() {
        Ok(open)
    } else {
        Err(io::Error::other("it is not the node's own any more"))
    }
}
