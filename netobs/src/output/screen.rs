//! A terminal that is written over again and again, as `watch` and `top` do.

use std::io::{IsTerminal, stdout};
use std::os::fd::AsRawFd;

/// Cursor home; a line that is too long is cut instead of wrapped.
const BEGIN: &str = "\x1b[?7l\x1b[H";
/// What is left of the screen cleared; lines wrap again.
const END: &str = "\x1b[J\x1b[?7h";

/// Standard output as a screen.
#[derive(Debug)]
pub struct Screen {
    drawn: bool,
}

impl Screen {
    /// `None` if standard output is no terminal.
    pub fn of_stdout() -> Option<Self> {
        stdout().is_terminal().then_some(Self { drawn: false })
    }

    /// What to print so that the screen shows `text`, or as many of its lines as there are rows.
    pub fn frame(&mut self, text: &str) -> String {
        // The first one clears the screen, so that nothing stays of what was longer.
        let clear = if std::mem::replace(&mut self.drawn, true) { "" } else { "\x1b[2J" };
        // The last row stays free for the cursor.
        let rows = rows().unwrap_or(24).saturating_sub(1).max(1);
        let count = text.lines().count();
        let mut lines: Vec<String> = text.lines().take(rows).map(str::to_owned).collect();
        if count > rows {
            lines.pop();
            lines.push(format!("… {} more lines", count + 1 - rows));
        }
        let lines: String = lines.iter().map(|line| format!("{line}\x1b[K\n")).collect();
        format!("{clear}{BEGIN}{lines}{END}")
    }
}

/// The terminal's height; it may change at any time.
fn rows() -> Option<usize> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCGWINSZ writes one `struct winsize`, which outlives the call.
    let status = unsafe { libc::ioctl(stdout().as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
    (status == 0 && size.ws_row > 0).then(|| usize::from(size.ws_row))
}
