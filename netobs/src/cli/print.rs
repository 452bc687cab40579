use std::io::{self, ErrorKind, Write};

use serde::Serialize;

/// Writes to standard output. A reader that has gone away (`| head -1`) is no failure.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(anyhow::Error::new(error).context("write the output"))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A line of JSON: its kind first, then whatever it holds.
#[derive(Serialize)]
struct Record<'a, T> {
    r#type: &'static str,
    #[serde(flatten)]
    rest: &'a T,
}

/// Writes one record as one line.
pub(super) fn print_record(kind: &'static str, rest: &impl Serialize) -> anyhow::Result<()> {
    let line = serde_json::to_string(&Record { r#type: kind, rest })?;
    print(&(line + "\n"))
}
