//! What watches the flood: nothing, tcpdump, or netobs.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::lab::Lab;
use crate::command::CommandExt;

/// A running program that says on standard error when it is ready. It is killed when this is dropped.
struct Program {
    child: Child,
    errors: BufReader<ChildStderr>,
}

impl Program {
    /// Starts it and waits for a line that begins so.
    fn start(command: &mut Command, ready: &str) -> Result<Self> {
        Ok(Self::start_and_hear(command, ready)?.0)
    }

    /// As [`Self::start`], and returns that line.
    fn start_and_hear(command: &mut Command, ready: &str) -> Result<(Self, String)> {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let errors = BufReader::new(child.stderr.take().context("no standard error")?);
        let mut program = Self { child, errors };
        let (mut line, mut said) = (String::new(), String::new());
        while !line.contains(ready) {
            said.push_str(&line);
            line.clear();
            if program.errors.read_line(&mut line)? == 0 {
                bail!("{name} ended before it was ready: {}", said.trim_end());
            }
        }
        Ok((program, line))
    }

    /// Asks it to end and waits until it has. What it says when it fails is the error.
    fn end(&mut self) -> Result<()> {
        kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGINT)?;
        let status = self.child.wait()?;
        if !status.success() {
            let mut said = String::new();
            let _ = self.errors.read_to_string(&mut said);
            bail!("{status}: {}", said.trim_end());
        }
        Ok(())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// tcpdump on the two veths of the flood's path.
pub struct Tcpdump(Vec<Program>);

impl Tcpdump {
    /// Starts both.
    pub fn start(lab: &Lab) -> Result<Self> {
        let programs = ["c1-h", "c2-h"].map(|device| {
            let mut command = lab.command("host", "tcpdump")?;
            Program::start(command.args(["-n", "-i", device, "-w", "/dev/null"]).stdout(Stdio::null()), "listening on")
        });
        Ok(Self(programs.into_iter().collect::<Result<_>>()?))
    }

    /// Ends both.
    pub fn end(mut self) -> Result<()> {
        self.0.iter_mut().try_for_each(Program::end).context("tcpdump failed")
    }
}

/// bpftrace at the tracepoints of the agent's programs, counting by name.
pub struct Bpftrace(Program);

impl Bpftrace {
    /// Starts it. `None`, with a word, if it is not there or the kernel refuses it.
    pub fn start() -> Option<Self> {
        const SCRIPT: &str = "BEGIN { printf(\"ready\\n\"); } tracepoint:net:net_dev_queue, \
             tracepoint:net:net_dev_start_xmit, tracepoint:net:netif_rx, tracepoint:net:netif_receive_skb, \
             tracepoint:skb:kfree_skb { @[probe] = count(); }";
        // What it says goes to its standard output.
        let mut command = Command::new("sh");
        command.args(["-c", "exec bpftrace -B line -e \"$0\" >&2", SCRIPT]);
        Program::start(&mut command, "ready")
            .map(Self)
            .map_err(|error| eprintln!("xtask: bpftrace is left out: {error:#}"))
            .ok()
    }

    /// Ends it.
    pub fn end(mut self) -> Result<()> {
        self.0.end().context("bpftrace failed")
    }
}

/// `netobs agent`, attached.
pub struct Agent {
    program: Program,
    /// Where it answers.
    pub address: String,
}

impl Agent {
    /// Starts it on a port of its own.
    pub fn start(netobs: &Path, program_stats: bool) -> Result<Self> {
        let mut command = Command::new(netobs);
        let measures = if program_stats { "true" } else { "false" };
        command.args(["agent", "--listen", "127.0.0.1:0", "--program-stats", measures]).stdout(Stdio::null());
        let (program, line) = Program::start_and_hear(&mut command, "serving: http://")?;
        let address = line.split("http://").nth(1).and_then(|rest| rest.split('/').next());
        let address = address.with_context(|| format!("no address in {line:?}"))?.to_owned();
        Ok(Self { program, address })
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.program.child.id()
    }

    /// Time on a CPU so far, of all its threads, those that have ended too.
    pub fn cpu_time(&self) -> Option<Duration> {
        process_time(self.pid())
    }

    /// Bytes it has resident now.
    pub fn resident_memory(&self) -> Option<u64> {
        memory(self.pid(), "VmRSS:")
    }

    /// Ends it.
    pub fn end(mut self) -> Result<()> {
        self.program.end().context("netobs agent failed")
    }
}

/// `netobs trace`, attached.
pub struct Netobs {
    program: Program,
    /// From the start of the process to the line that says that everything is attached.
    pub attach: Duration,
    /// How much of that it was on a CPU; the rest is waiting, for the kernel or for a CPU.
    pub attach_cpu: Option<Duration>,
    last_line: Option<std::thread::JoinHandle<Option<serde_json::Value>>>,
}

impl Netobs {
    /// Starts it. JSON goes to /dev/null, or for `summary` to a reader who keeps the last line.
    pub fn start(netobs: &Path, filter: Option<&str>, summary: bool) -> Result<Self> {
        let mut command = Command::new(netobs);
        command.args(["trace", "--format", "json"]).args(filter);
        command.stdout(if summary { Stdio::piped() } else { Stdio::null() });
        let began = Instant::now();
        let mut program = Program::start(&mut command, "tracing:")?;
        let attach = began.elapsed();
        let attach_cpu = cpu_time(program.child.id());
        let last_line = program.child.stdout.take().map(|output| std::thread::spawn(|| last_line(output)));
        Ok(Self { program, attach, attach_cpu, last_line })
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.program.child.id()
    }

    /// Time on a CPU so far, of all its threads.
    pub fn cpu_time(&self) -> Option<Duration> {
        cpu_time(self.pid())
    }

    /// The most memory it had resident so far, in bytes.
    pub fn peak_memory(&self) -> Option<u64> {
        memory(self.pid(), "VmHWM:")
    }

    /// Ends it.
    pub fn end(mut self) -> Ended {
        let began = Instant::now();
        let failure = self.program.end().err().map(|error| format!("{error:#}"));
        let took = began.elapsed();
        let summary = self.last_line.take().and_then(|reader| reader.join().ok().flatten());
        Ended { took, summary, failure }
    }
}

/// How `netobs trace` ended.
pub struct Ended {
    /// From the signal to the end of the process.
    pub took: Duration,
    /// Its summary, if it was asked for.
    pub summary: Option<serde_json::Value>,
    /// What was wrong, if it did not end well.
    pub failure: Option<String>,
}

fn last_line(output: ChildStdout) -> Option<serde_json::Value> {
    let (mut output, mut line, mut last) = (BufReader::with_capacity(1 << 20, output), Vec::new(), Vec::new());
    while output.read_until(b'\n', &mut line).ok()? > 0 {
        std::mem::swap(&mut line, &mut last);
        line.clear();
    }
    serde_json::from_slice(&last).ok()
}

/// A line of `/proc/PID/status`, in bytes.
fn memory(pid: u32, line: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|known| known.strip_prefix(line))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

/// Time in user mode and in the kernel, threads that have ended included: fields 14 and 15 of `/proc/PID/stat`, in ticks
/// of a hundredth of a second on every machine (`USER_HZ`).
fn process_time(pid: u32) -> Option<Duration> {
    const TICK: Duration = Duration::from_millis(10);
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is a name in parentheses, and may hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11).map(|field| field.parse::<u32>().ok());
    Some(TICK * (fields.next()?? + fields.next()??))
}

/// The first number of `/proc/PID/task/TID/schedstat` is nanoseconds on a CPU (proc(5)).
fn cpu_time(pid: u32) -> Option<Duration> {
    let mut total = Duration::ZERO;
    for task in fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten() {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        total += Duration::from_nanos(text.split_whitespace().next()?.parse().ok()?);
    }
    Some(total)
}

/// Whether a program that is watched can be measured here at all.
pub fn tcpdump_works() -> bool {
    Command::new("tcpdump").arg("--version").capture().is_ok()
}
