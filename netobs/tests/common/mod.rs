//! What the integration tests share: the real binary, labs that go away with their test, and skips that are seen.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Nothing here takes so long, wherever it runs; what does hangs.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until it holds.
#[track_caller]
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "not within {} s: {what}", PATIENCE.as_secs());
        sleep(Duration::from_millis(5));
    }
}

/// The program under test. An emulated machine has it elsewhere than where it was built.
pub fn netobs() -> OsString {
    std::env::var_os("NETOBS_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_netobs").into())
}

/// Runs netobs as a user who may do nothing.
pub fn as_nobody(arguments: &[&str]) -> Answer {
    use std::os::fd::AsRawFd;
    use std::os::unix::process::CommandExt;
    const NOBODY: u32 = 65_534;
    // By its descriptor: where it lies may be closed to others.
    let binary = std::fs::File::open(netobs()).unwrap();
    let mut command = Command::new(format!("/proc/self/fd/{}", binary.as_raw_fd()));
    command.args(arguments).uid(NOBODY).gid(NOBODY).current_dir("/").output().unwrap().into()
}

/// Says on the real standard error, which the test harness does not capture, that a test did not run.
pub fn skip(test: &str, reason: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {reason}");
}

/// Whether the machine is an emulated one, about twenty times slower than the hardware it runs on.
pub fn is_slow() -> bool {
    let emulated = || std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default().contains("QEMU TCG");
    std::env::var("NETOBS_TEST_SLOW").map_or_else(|_| emulated(), |value| value == "1")
}

/// Whether a test would take minutes here; says so. What it is about does not depend on the kernel, and the same test
/// binary has others that run everywhere.
pub fn takes_too_long(test: &str) -> bool {
    let slow = is_slow();
    if slow {
        skip(test, "takes minutes in emulation; it runs on real processors (NETOBS_TEST_SLOW=0)");
    }
    slow
}

/// Whether a test that makes labs can run; says why not.
pub fn can_make_labs(test: &str, tools: &[&str]) -> bool {
    if !nix::unistd::geteuid().is_root() {
        skip(test, "not root");
        return false;
    }
    for tool in tools.iter().chain(&["nft"]) {
        if !has(tool) {
            skip(test, &format!("no {tool}"));
            return false;
        }
    }
    true
}

/// Whether a program is in PATH.
pub fn has(tool: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(tool).is_file())
}

/// What a command answered.
#[derive(Debug)]
pub struct Answer {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Answer {
    /// Fails the test with everything the command said, unless it succeeded.
    #[track_caller]
    pub fn good(self) -> Self {
        assert_eq!(self.status, 0, "{self:#?}");
        self
    }

    /// Fails the test unless the command failed with this status and one line that contains `part`.
    #[track_caller]
    pub fn bad(self, status: i32, part: &str) -> Self {
        assert_eq!(self.status, status, "{self:#?}");
        assert_eq!(self.stderr.lines().count(), 1, "one line: {self:#?}");
        assert!(self.stderr.contains(part), "{part}: {self:#?}");
        self
    }
}

impl From<Output> for Answer {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Runs any command to its end.
#[expect(clippy::panic, reason = "the test needs the command")]
pub fn run(program: impl Into<OsString>, arguments: &[&str]) -> Answer {
    let program = program.into();
    let output = Command::new(&program).args(arguments).stdin(Stdio::null()).output();
    output.unwrap_or_else(|error| panic!("{}: {error}", program.display())).into()
}

/// Runs `netobs lab …`.
pub fn lab(arguments: &[&str]) -> Answer {
    run(netobs(), &[&["lab"], arguments].concat())
}

/// A lab of the test's own, removed when it goes out of scope.
pub struct Lab {
    pub name: String,
}

impl Lab {
    /// A name that no other test uses, of this run or another at the same time. Nothing is built.
    pub fn unbuilt() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        Self { name: format!("t{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)) }
    }

    /// A lab that is up.
    #[track_caller]
    pub fn up() -> Self {
        let own = Self::unbuilt();
        own.build().good();
        own
    }

    /// `netobs lab up`.
    pub fn build(&self) -> Answer {
        lab(&["up", "--name", &self.name])
    }

    /// `netobs lab up TOPOLOGY`.
    pub fn build_from(&self, topology: &str) -> Answer {
        lab(&["up", topology, "--name", &self.name])
    }

    /// `netobs lab up`, running on.
    pub fn start_building(&self) -> Child {
        let mut process = Command::new(netobs());
        process.args(["lab", "up", "--name", &self.name]).stdin(Stdio::null());
        process.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// `netobs lab down`.
    pub fn remove(&self) -> Answer {
        lab(&["down", &self.name])
    }

    /// The name of a node's namespace.
    pub fn netns(&self, node: &str) -> String {
        format!("{}-{node}", self.name)
    }

    /// `netobs lab exec NODE -- COMMAND…`.
    pub fn exec(&self, node: &str, command: &[&str]) -> Answer {
        lab(&[&["exec", "--name", &self.name, node, "--"], command].concat())
    }

    /// `netobs lab exec NODE -- COMMAND…`, running on.
    pub fn start(&self, node: &str, command: &[&str]) -> Child {
        let mut process = Command::new(netobs());
        process.args(["lab", "exec", "--name", &self.name, node, "--"]).args(command);
        process.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Everything of the lab that is left on the machine: names, processes, cgroups, files.
    pub fn remains(&self) -> Vec<String> {
        let mine = |path: &Path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.trim_start_matches('.').starts_with(&format!("{}-", self.name))
                || name.trim_start_matches('.').starts_with(&format!("{}.", self.name))
        };
        let groups = ["/sys/fs/cgroup/netobs", "/sys/fs/cgroup/memory/netobs"];
        let mut left = Vec::new();
        for folder in ["/run/netns", "/run/netobs/labs"].iter().chain(&groups) {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            left.extend(
                entries.map(|entry| entry.path()).filter(|path| mine(path)).map(|path| path.display().to_string()),
            );
        }
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let command = std::fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
            if command.contains(&format!("lab-init\0{}-", self.name)) {
                left.push(command.replace('\0', " "));
            }
        }
        left
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = self.remove();
    }
}
