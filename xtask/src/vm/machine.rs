//! One emulated machine, from its start to its end.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::prctl;
use nix::sys::signal::Signal;

use super::base;
use super::guest::Guest;
use crate::project::Project;
use crate::setup::kernel::DebianKernel;
use crate::setup::qemu::Emulator;

/// Lines of the console that are shown when a machine ends badly.
const CONSOLE_TAIL: usize = 60;

/// How often a running machine is looked at.
const POLL: Duration = Duration::from_millis(50);

/// What a machine is made with.
pub struct Machine<'a> {
    /// The kernel it runs.
    pub kernel: &'a DebianKernel<'a>,
    /// Its memory in MiB.
    pub memory: u32,
    /// How long it may run, its boot included.
    pub timeout: Duration,
}

/// How the command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// With that exit status.
    Exited(u8),
    /// Not at all: the machine was stopped.
    TimedOut,
    /// Not at all: the machine ended by itself, as in a kernel panic.
    Died,
    /// Not at all: nobody reads its output any more, so the machine was stopped.
    Unread,
}

/// A machine that has ended.
pub struct Finished {
    /// How the command ended.
    pub outcome: Outcome,
    /// The end of what the kernel printed.
    pub console: String,
}

/// Where a stream of the command goes.
pub type Sink<'a> = Box<dyn Write + Send + 'a>;

impl Machine<'_> {
    /// Boots, runs the guest's command with its output copied as it comes, and ends the machine.
    pub fn run(&self, project: &Project, guest: &Guest, stdout: Sink<'_>, stderr: Sink<'_>) -> Result<Finished> {
        let scratch = Scratch::new(project)?;
        let initrd = scratch.path("initrd");
        write_initrd(&base::archive(project, self.kernel)?, guest, &initrd)?;
        let (console, status) = (scratch.path("console"), scratch.path("status"));
        let mut child = self.command(project, &initrd, &console, &status)?.spawn().context("cannot start QEMU")?;
        let started = Instant::now();
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let unread = AtomicBool::new(false);
        let stopped = thread::scope(|scope| {
            scope.spawn(|| copy(out, stdout, &unread));
            scope.spawn(|| copy(err, stderr, &unread));
            let stopped = wait(&mut child, started + self.timeout, &unread);
            if !matches!(stopped, Ok(None)) {
                // The copying threads end when QEMU does.
                let _ = child.kill();
                let _ = child.wait();
            }
            stopped
        })?;
        let reported = fs::read_to_string(&status).unwrap_or_default();
        let outcome = reported.trim().parse().map_or(stopped.unwrap_or(Outcome::Died), Outcome::Exited);
        Ok(Finished { outcome, console: tail(&console) })
    }

    fn command(&self, project: &Project, initrd: &Path, console: &Path, status: &Path) -> Result<Command> {
        let mut command = Emulator::new(project).command()?;
        // A stock kernel hangs on some machines' /dev/kvm, nested as it is, so everything is emulated everywhere.
        command.args(["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", &self.memory.to_string()]);
        command.args(["-nodefaults", "-no-user-config", "-display", "none", "-monitor", "none", "-no-reboot"]);
        command.arg("-kernel").arg(self.kernel.image()).arg("-initrd").arg(initrd);
        // An oops is an end, not a line among others; an end is an exit of QEMU.
        command.args(["-append", "console=ttyS0 panic=-1 oops=panic quiet"]);
        command.arg("-serial").arg(format!("file:{}", console.display()));
        command.args(["-device", "virtio-serial-pci"]);
        let status = format!("file,id=status,path={}", status.display());
        // The order is init.sh's.
        for (port, character_device) in [
            ("stdout", "file,id=stdout,path=/dev/stdout"),
            ("stderr", "file,id=stderr,path=/dev/stderr"),
            ("status", status.as_str()),
        ] {
            command.args(["-chardev", character_device, "-device", &format!("virtserialport,chardev={port}")]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let parent = nix::unistd::getpid();
        // SAFETY: between fork and exec this only makes two system calls and allocates nothing.
        unsafe {
            command.pre_exec(move || {
                // However xtask ends, its machines do too.
                prctl::set_pdeathsig(Signal::SIGKILL)?;
                if nix::unistd::getppid() == parent { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
            });
        }
        Ok(command)
    }
}

fn write_initrd(base: &Path, guest: &Guest, to: &Path) -> Result<()> {
    fs::copy(base, to).with_context(|| format!("cannot copy {}", base.display()))?;
    let file = File::options().append(true).open(to).with_context(|| format!("cannot write {}", to.display()))?;
    guest.write(BufWriter::with_capacity(1 << 20, file))?;
    Ok(())
}

/// Copies without waiting for a full buffer.
fn copy(from: Option<impl Read>, mut to: Sink<'_>, unread: &AtomicBool) {
    let Some(mut from) = from else { return };
    let mut buffer = [0; 16 * 1024];
    while let Ok(length) = from.read(&mut buffer) {
        let bytes = buffer.get(..length).unwrap_or_default();
        if bytes.is_empty() {
            return;
        }
        if to.write_all(bytes).and_then(|()| to.flush()).is_err() {
            unread.store(true, Ordering::Relaxed);
            return;
        }
    }
}

/// Waits for the end, and returns why the machine has to be stopped if that does not come.
fn wait(child: &mut Child, deadline: Instant, unread: &AtomicBool) -> Result<Option<Outcome>> {
    loop {
        if child.try_wait().context("cannot wait for QEMU")?.is_some() {
            return Ok(None);
        }
        if unread.load(Ordering::Relaxed) {
            return Ok(Some(Outcome::Unread));
        }
        if Instant::now() >= deadline {
            return Ok(Some(Outcome::TimedOut));
        }
        thread::sleep(POLL);
    }
}

fn tail(console: &Path) -> String {
    let text = fs::read(console).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).replace('\r', "");
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(CONSOLE_TAIL)..).unwrap_or_default().join("\n")
}

/// A directory for one machine's files, gone when it is dropped.
struct Scratch {
    directory: PathBuf,
}

impl Scratch {
    fn new(project: &Project) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let machines = project.target().join("vm");
        remove_abandoned(&machines);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let directory = machines.join(format!("{}-{number}", process::id()));
        fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
        Ok(Self { directory })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Removes what machines left whose xtask was killed.
fn remove_abandoned(machines: &Path) {
    for entry in fs::read_dir(machines).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let alive = name.split_once('-').is_some_and(|(pid, _)| Path::new("/proc").join(pid).exists());
        if !alive {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
