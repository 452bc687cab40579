//! `netobs drops`: a table that is drawn anew on a terminal, a block of what changed elsewhere, or JSON lines.

mod record;
mod text;

pub use record::{DropCountRecord, DropLostRecord, DropSummaryRecord};

use std::time::Duration;

use super::{Closed, Format, Screen, Style, Writer};
use crate::drops::Table;

/// Prints readings in the format asked for.
pub struct DropsPrinter {
    writer: Writer,
    format: Format,
    screen: Option<Screen>,
    style: Style,
    /// Whether each row is followed by what it means.
    explain: bool,
}

impl DropsPrinter {
    /// Standard output; a terminal is drawn over at each interval.
    pub fn stdout(format: Format, explain: bool) -> Self {
        Self {
            writer: Writer::stdout(format),
            format,
            screen: Screen::of_stdout().filter(|_| format == Format::Text),
            style: Style::of_stdout(),
            explain,
        }
    }

    /// Prints a reading.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn interval(&mut self, table: &Table, interval: Duration, summary: &DropSummaryRecord) -> Result<(), Closed> {
        match (self.format, &mut self.screen) {
            (Format::Json, _) => {
                for row in table.changed(interval) {
                    self.writer.json(&row)?;
                }
            }
            (Format::Text, Some(screen)) => {
                let text = text::screen(&table.all(interval), summary, self.style, self.explain);
                self.writer.text(&screen.frame(&text))?;
            }
            (Format::Text, None) => {
                let changed = table.changed(interval);
                if !changed.is_empty() {
                    let text = text::block(&changed, summary, self.style, self.explain);
                    self.writer.text(&text)?;
                }
            }
        }
        self.writer.flush()
    }

    /// Prints the totals. `rows` are all there were.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn summary(&mut self, rows: &[DropCountRecord], summary: &DropSummaryRecord) -> Result<(), Closed> {
        match self.format {
            Format::Json => self.writer.json(summary)?,
            Format::Text => {
                if self.screen.is_some() {
                    self.writer.text(CLEAR)?;
                }
                self.writer.text(&text::summary(rows, summary, self.style, self.explain))?;
            }
        }
        self.writer.flush()
    }
}

/// The cursor goes home and the screen is cleared: the totals take the place of the last drawing.
const CLEAR: &str = "\x1b[H\x1b[2J";
