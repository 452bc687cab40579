//! Running the tools that print a rule set.

use std::io::{self, Read};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A rule set of 50,000 rules takes nft about a second.
const TIME: Duration = Duration::from_secs(10);
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
    let deadline = Instant::now() + TIME;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Ok(status),
            Ok(None) if Instant::now() < deadline => thread::sleep(POLL),
            Ok(None) => break Err(format!("{program} did not answer within {} s", TIME.as_secs())),
            Err(error) => break Err(format!("{program}: {error}")),
        }
    };
    if status.is_err() {
        let _ = child.kill();
        let _ = child.wait();
    }
    let text = |reader: Option<thread::JoinHandle<String>>| reader.and_then(|thread| thread.join().ok());
    let (output, said) = (text(output).unwrap_or_default(), text(said).unwrap_or_default());
    if status?.success() {
        return Ok(Some(output));
    }
    let line = said.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("failed without a word");
    Err(format!("{program}: {line}"))
}

fn read(pipe: impl Read) -> String {
    let mut bytes = Vec::new();
    // A tool that was cut short fails, or prints what does not parse.
    let _ = pipe.take(OUTPUT).read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::run;

    #[test]
    fn a_program_that_is_missing_is_no_failure_and_one_that_fails_says_why() {
        assert_eq!(run("netobs-no-such-program", &[]), Ok(None));
        assert_eq!(run("echo", &["a", "b"]), Ok(Some("a b\n".to_owned())));
        assert!(run("ls", &["/no/such/place"]).unwrap_err().starts_with("ls: ls: "));
    }
}
