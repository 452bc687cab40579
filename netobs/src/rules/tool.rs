//! Running the tools that print a rule set.

use std::fs;
use std::io::{self, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A rule set of 50,000 rules takes nft about a second; but a machine may be slow, and busy. So a tool is given up when it
/// has had nothing to do for so long, or at the latest after [`LONGEST`].
const SILENCE: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(60);
/// More than this is no rule set that anybody could make sense of; it would only fill our memory.
const OUTPUT: u64 = 256 << 20;
const POLL: Duration = Duration::from_millis(2);

/// Runs a program in the calling thread's network namespace and returns what it prints. `Ok(None)`: it is not
/// installed. The error is one line of what it said.
pub(super) fn run(program: &str, arguments: &[&str]) -> Result<Option<String>, String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // What is parsed below must not be in the user's language.
    command.env("LC_ALL", "C");
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("{program}: {error}")),
    };
    let output = child.stdout.take().map(|pipe| thread::spawn(move || read(pipe)));
    let said = child.stderr.take().map(|pipe| thread::spawn(move || read(pipe)));
    let status = end(&mut child, SILENCE, LONGEST).map_err(|error| format!("{program} {error}"));
    let text = |reader: Option<thread::JoinHandle<String>>| reader.and_then(|thread| thread.join().ok());
    let (output, said) = (text(output).unwrap_or_default(), text(said).unwrap_or_default());
    if status?.success() {
        return Ok(Some(output));
    }
    let line = said.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("failed without a word");
    Err(format!("{program}: {line}"))
}

/// Waits until it ends by itself, or kills it.
fn end(child: &mut Child, silence: Duration, longest: Duration) -> Result<ExitStatus, String> {
    let began = Instant::now();
    let (mut deadline, mut worked) = (began + silence, 0);
    let error = loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) if Instant::now() < deadline => thread::sleep(POLL),
            Ok(None) => {
                let before = std::mem::replace(&mut worked, time_of(child.id()));
                if worked <= before || began.elapsed() >= longest {
                    break format!("did not answer within {} s", began.elapsed().as_secs());
                }
                deadline = (Instant::now() + silence).min(began + longest);
            }
            Err(error) => break format!("cannot be waited for: {error}"),
        }
    };
    let _ = child.kill();
    let _ = child.wait();
    Err(error)
}

/// How long a process has run on a processor, in ticks; 0 if that cannot be told. `utime` and `stime` of
/// `/proc/PID/stat` are the 12th and 13th word behind the name, which may have anything in it.
fn time_of(process: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let words = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
    words.skip(11).take(2).filter_map(|word| word.parse::<u64>().ok()).sum()
}

fn read(pipe: impl Read) -> String {
    let mut bytes = Vec::new();
    // A tool that was cut short fails, or prints what does not parse.
    let _ = pipe.take(OUTPUT).read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::{Duration, Instant};

    use super::{end, run};

    #[test]
    fn a_program_that_is_missing_is_no_failure_and_one_that_fails_says_why() {
        assert_eq!(run("netobs-no-such-program", &[]), Ok(None));
        assert_eq!(run("echo", &["a", "b"]), Ok(Some("a b\n".to_owned())));
        assert!(run("ls", &["/no/such/place"]).unwrap_err().starts_with("ls: ls: "));
    }

    #[test]
    fn what_works_is_waited_for_and_what_is_silent_is_not() {
        const SILENCE: Duration = Duration::from_millis(500);
        const LONGEST: Duration = Duration::from_millis(2000);
        let after = |script: &str, longest| {
            let began = Instant::now();
            let mut child = Command::new("sh").args(["-c", script]).spawn().expect("sh");
            (end(&mut child, SILENCE, longest).map(|status| status.success()), began.elapsed())
        };
        assert_eq!(after("true", LONGEST).0, Ok(true));
        // Its silence ends it, or else it ends by itself, and well.
        let (silent, time) = after("exec sleep 20", Duration::from_secs(600));
        assert!(silent.is_err() && time >= SILENCE, "{silent:?} after {time:?}");
        let (busy, time) = after("while :; do :; done", LONGEST);
        assert!(busy.is_err() && time >= LONGEST, "{busy:?} after {time:?}");
    }
}
