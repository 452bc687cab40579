//! What one run adds to an emulated machine: the command, and the files it needs.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{self, Command};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};

use super::files::Files;
use crate::command::{CommandExt, which};

/// Where the machine has netobs.
pub const NETOBS: &str = "/usr/bin/netobs";

/// Memory in MiB that is enough for netobs and a lab.
pub const MEMORY: u32 = 2048;

/// Read by `init.sh`.
const COMMAND: &str = "/.netobs/command";

/// The command and its files.
pub struct Guest {
    files: Files,
}

impl Guest {
    /// A machine that runs that program with those arguments.
    pub fn new(command: &[String]) -> Self {
        let mut files = Files::default();
        let words: Vec<String> = command.iter().map(|word| quoted(word)).collect();
        files.bytes(COMMAND, 0o644, format!("export NETOBS_BIN={NETOBS}\nexec {}\n", words.join(" ")));
        Self { files }
    }

    /// Adds a file of this machine. Of a program, debug information stays behind and libraries come along.
    pub fn program(&mut self, host: &Path, path: impl AsRef<Path>) -> Result<()> {
        let is_program =
            fs::read(host).with_context(|| format!("cannot read {}", host.display()))?.starts_with(b"\x7fELF");
        if is_program {
            self.files.libraries_of(host)?;
        }
        match stripped(host).filter(|_| is_program) {
            Some(bytes) => self.files.bytes(path, 0o755, bytes),
            None => self.files.copy(host, path),
        }
        Ok(())
    }

    /// Writes the archive that is unpacked over the base image.
    pub fn write<W: Write>(&self, output: W) -> Result<W> {
        self.files.write(output)
    }
}

/// The program without debug information, which would fill the machine's memory. Symbols stay, for backtraces.
fn stripped(host: &Path) -> Option<Vec<u8>> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let file = std::env::temp_dir().join(format!("netobs-strip-{}-{number}", process::id()));
    let stripping = Command::new(which("strip")?).arg("--strip-debug").arg("-o").arg(&file).arg(host).quietly();
    let bytes = stripping.ok().and_then(|()| fs::read(&file).ok());
    let _ = fs::remove_file(&file);
    bytes
}

/// The word as a shell reads it back.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_the_shell() {
        for (word, expected) in [("a b", "'a b'"), ("it's", r"'it'\''s'"), ("", "''"), ("$x;\n", "'$x;\n'")] {
            assert_eq!(quoted(word), expected);
        }
    }
}
