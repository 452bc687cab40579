//! The flood: 64-byte UDP datagrams from c1 to c2, as many as the machine can.
//!
//! iperf3 sends each with a system call of its own, as most programs do, and its figures can be compared with those of
//! others; what is counted is what c2's device received, so that what iperf3 believes does not matter. A sender and
//! receiver of our own were tried, and iperf3 with each end pinned to a CPU: neither was steadier from round to round.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::lab::Lab;

/// c2's address in the default lab.
const RECEIVER: &str = "10.40.0.3";
/// How long the receiver may take to listen, and the flood to begin.
const PATIENCE: Duration = Duration::from_secs(5);
/// From the first packet to a steady state.
const RAMP: Duration = Duration::from_millis(300);
const POLL: Duration = Duration::from_millis(20);

/// A flood under way, ended when this is dropped.
pub struct Flood {
    sender: Child,
    receiver: Child,
}

impl Flood {
    /// Starts it and waits until it is steady.
    pub fn start(lab: &Lab) -> Result<Self> {
        let receiver = spawn(lab.command("c2", "iperf3")?.args(["-s", "-1"]))?;
        // Until the receiver listens; the sender would be refused.
        let listening = || Ok(std::fs::read_to_string(format!("/proc/{}/net/tcp6", receiver.id()))?.contains(":1451 "));
        let ready = wait_until("iperf3 to listen", listening);
        let sender = ready.and_then(|()| {
            // 0 is for ever.
            let flags = ["-c", RECEIVER, "-u", "-b", "0", "-l", "64", "-t", "0"];
            spawn(lab.command("c1", "iperf3")?.args(flags))
        });
        let flood = match sender {
            Ok(sender) => Self { sender, receiver },
            Err(error) => {
                end(receiver);
                return Err(error);
            }
        };
        let before = flood.received()?;
        // The control connection is a dozen packets.
        wait_until("the flood to begin", || Ok(flood.received()? > before + 1000))?;
        sleep(RAMP);
        Ok(flood)
    }

    /// Packets a second that c2 receives, over that long.
    pub fn rate(&mut self, window: Duration) -> Result<f64> {
        let (began, before) = (Instant::now(), self.received()?);
        sleep(window);
        let took = began.elapsed();
        let ended = |child: &mut Child| child.try_wait().is_ok_and(|status| status.is_some());
        if ended(&mut self.sender) || ended(&mut self.receiver) {
            bail!("the flood ended by itself: {}", self.last_words());
        }
        Ok((self.received()? - before) as f64 / took.as_secs_f64())
    }

    /// What iperf3 said on either side. Both are ended.
    fn last_words(&mut self) -> String {
        let mut said = String::new();
        for child in [&mut self.sender, &mut self.receiver] {
            let _ = child.kill();
            if let Some(stderr) = &mut child.stderr {
                let _ = stderr.read_to_string(&mut said);
            }
        }
        said.trim_end().replace('\n', "; ")
    }

    fn received(&self) -> Result<u64> {
        // The process's own view: that of c2's namespace.
        let path = format!("/proc/{}/net/dev", self.receiver.id());
        let table = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        received_by(&table, "eth0").context("c2 has no eth0")
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        for child in [&mut self.sender, &mut self.receiver] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn spawn(command: &mut Command) -> Result<Child> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().context("cannot start iperf3")
}

fn end(mut child: Child) {
    let _ = child.kill();
    let _ = child.wait();
}

fn wait_until(what: &str, mut done: impl FnMut() -> Result<bool>) -> Result<()> {
    let began = Instant::now();
    while !done()? {
        if began.elapsed() > PATIENCE {
            bail!("waited {} s for {what}", PATIENCE.as_secs());
        }
        sleep(POLL);
    }
    Ok(())
}

/// The second column of a device's line in `/proc/net/dev`.
fn received_by(table: &str, device: &str) -> Option<u64> {
    let line = table.lines().find_map(|line| line.trim_start().strip_prefix(device)?.strip_prefix(':'))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn received_packets_of_one_device() {
        let table =
            "Inter-|   Receive\n face |bytes packets\n    lo:  5 1 0\n  eth0: 7384 69 0 0 0 0 0 0 90 1\n eth01:1 2 3\n";
        assert_eq!(received_by(table, "eth0"), Some(69));
        assert_eq!(received_by(table, "eth01"), Some(2));
        assert_eq!(received_by(table, "eth"), None);
    }
}
