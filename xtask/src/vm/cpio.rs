//! The archive format that the kernel unpacks its initial root file system from: cpio, "newc".
//!
//! Several archives in a row are unpacked one over the other, so a small one can be put behind a large one that is kept.
//! See Documentation/driver-api/early-userspace/buffer-format.rst in the kernel's source.

use std::io::{self, Write};

const TYPE_DIRECTORY: u32 = 0o040_000;
const TYPE_FILE: u32 = 0o100_000;
const TYPE_LINK: u32 = 0o120_000;
const TYPE_CHARACTER_DEVICE: u32 = 0o020_000;

/// An entry's kind and content.
pub enum Entry<'a> {
    /// A directory with that mode.
    Directory(u32),
    /// A file with that mode and content.
    File(u32, &'a [u8]),
    /// A symbolic link to that path.
    Link(&'a str),
    /// A character device with those major and minor numbers.
    Device(u32, u32),
}

/// Writes one archive.
pub struct Writer<W> {
    output: W,
    inode: u32,
}

impl<W: Write> Writer<W> {
    /// Starts an archive at the output's position, which has to be a multiple of four.
    pub const fn new(output: W) -> Self {
        Self { output, inode: 0 }
    }

    /// Adds an entry. Its parent has to be there already.
    pub fn add(&mut self, path: &str, entry: &Entry<'_>) -> io::Result<()> {
        let (mode, data, device) = match *entry {
            Entry::Directory(mode) => (TYPE_DIRECTORY | mode, &[][..], (0, 0)),
            Entry::File(mode, data) => (TYPE_FILE | mode, data, (0, 0)),
            Entry::Link(target) => (TYPE_LINK | 0o777, target.as_bytes(), (0, 0)),
            Entry::Device(major, minor) => (TYPE_CHARACTER_DEVICE | 0o600, &[][..], (major, minor)),
        };
        self.inode += 1;
        self.record(path.trim_start_matches('/'), mode, data, device)
    }

    /// Writes the trailer and returns the output.
    pub fn finish(mut self) -> io::Result<W> {
        self.inode = 0;
        self.record("TRAILER!!!", 0, &[], (0, 0))?;
        self.output.flush()?;
        Ok(self.output)
    }

    fn record(&mut self, name: &str, mode: u32, data: &[u8], (major, minor): (u32, u32)) -> io::Result<()> {
        let too_large = |_| io::Error::other(format!("{name} is too large for a cpio archive"));
        let size = u32::try_from(data.len()).map_err(too_large)?;
        let name_size = u32::try_from(name.len() + 1).map_err(too_large)?;
        // Magic, inode, mode, uid, gid, links, time, size, device, special device, length of the name, checksum.
        let fields = [self.inode, mode, 0, 0, 1, 0, size, 0, 0, major, minor, name_size, 0];
        let mut header = String::from("070701");
        for field in fields {
            header.push_str(&format!("{field:08x}"));
        }
        self.output.write_all(header.as_bytes())?;
        self.output.write_all(name.as_bytes())?;
        self.output.write_all(b"\0")?;
        self.pad(header.len() + name.len() + 1)?;
        self.output.write_all(data)?;
        self.pad(data.len())
    }

    fn pad(&mut self, written: usize) -> io::Result<()> {
        let zeros: &[u8] = match written % 4 {
            0 => &[],
            1 => &[0; 3],
            2 => &[0; 2],
            _ => &[0],
        };
        self.output.write_all(zeros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_padded_to_four_bytes() {
        let mut writer = Writer::new(Vec::new());
        writer.add("/a", &Entry::File(0o644, b"hello")).unwrap();
        let archive = writer.finish().unwrap();
        assert_eq!(archive.len() % 4, 0);
        assert_eq!(&archive[..14], b"07070100000001");
        assert_eq!(&archive[14..22], b"000081a4");
        // 110 bytes of header and the name "a\0" make 112; the content follows, padded.
        assert_eq!(&archive[110..120], b"a\0hello\0\0\0");
        assert_eq!(&archive[120..126], b"070701");
    }
}
