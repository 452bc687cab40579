use std::io::{self, ErrorKind, Write};

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

/// Writes one record as one line.
pub(super) fn print_json(record: &serde_json::Value) -> anyhow::Result<()> {
    print(&format!("{record}\n"))
}
