//! Standard output, as a place that may be closed under us.

use std::io::{self, BufWriter, Stdout, Write};

use serde::Serialize;

use super::record::{CapabilitiesRecord, PacketRecord, SummaryRecord};
use super::text;
use super::{Format, Style};

/// Standard output cannot be written any more.
#[derive(Debug, thiserror::Error)]
#[error("standard output was closed before everything was printed ({0})")]
pub struct Closed(#[from] io::Error);

/// Prints records in the format asked for.
pub struct Writer {
    out: BufWriter<Stdout>,
    format: Format,
    style: Style,
}

impl Writer {
    /// Standard output.
    pub fn stdout(format: Format) -> Self {
        Self { out: BufWriter::with_capacity(1 << 16, io::stdout()), format, style: Style::of_stdout() }
    }

    /// Prints a packet.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn packet(&mut self, packet: &PacketRecord) -> Result<(), Closed> {
        match self.format {
            Format::Json => self.json(packet),
            Format::Text => Ok(text::packet(&mut self.out, packet, self.style)?),
        }
    }

    /// Prints the summary.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn summary(&mut self, summary: &SummaryRecord) -> Result<(), Closed> {
        match self.format {
            Format::Json => self.json(summary)?,
            Format::Text => text::summary(&mut self.out, summary, self.style)?,
        }
        self.flush()
    }

    /// Prints what the kernel allows.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn capabilities(&mut self, record: &CapabilitiesRecord) -> Result<(), Closed> {
        match self.format {
            Format::Json => self.json(record)?,
            Format::Text => text::capabilities(&mut self.out, record, self.style)?,
        }
        self.flush()
    }

    /// Prints any record as one line of JSON.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn json(&mut self, record: &impl Serialize) -> Result<(), Closed> {
        serde_json::to_writer(&mut self.out, record).map_err(io::Error::from)?;
        self.out.write_all(b"\n")?;
        Ok(())
    }

    /// Prints text that is ready to be read.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn text(&mut self, text: &str) -> Result<(), Closed> {
        Ok(self.out.write_all(text.as_bytes())?)
    }

    /// Hands out what is buffered.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn flush(&mut self) -> Result<(), Closed> {
        Ok(self.out.flush()?)
    }
}
