//! The running kernel as a machine for converted filters: a classifier that calls one on a map's value, run by
//! `BPF_PROG_TEST_RUN`.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use netobs::filter::Insn;
use netobs_ebpf::HEADER_BYTES;

use super::Sight;

const MAP_CREATE: i32 = 0;
const MAP_UPDATE_ELEM: i32 = 2;
const PROG_LOAD: i32 = 5;
const PROG_TEST_RUN: i32 = 10;
const MAP_TYPE_ARRAY: u32 = 2;
const PROG_TYPE_SCHED_CLS: u32 = 3;
const VALUE_BYTES: u32 = HEADER_BYTES as u32 + 8;

/// `union bpf_attr`, as words: every field used here is one of four or eight bytes at a multiple of its size.
#[repr(C, align(8))]
struct Attributes([u32; 32]);

impl Attributes {
    fn new() -> Self {
        Self([0; 32])
    }

    fn word(mut self, at: usize, value: u32) -> Self {
        self.0[at / 4] = value;
        self
    }

    fn pointer<T>(mut self, at: usize, value: *const T) -> Self {
        let address = value as usize as u64;
        self.0[at / 4] = address as u32;
        self.0[at / 4 + 1] = (address >> 32) as u32;
        self
    }
}

fn bpf(command: i32, attributes: &mut Attributes) -> io::Result<i64> {
    // SAFETY: the kernel reads and writes the attributes and what they point to, which the callers keep alive.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attributes, size_of::<Attributes>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn owned(fd: i64) -> OwnedFd {
    // SAFETY: just returned by the kernel, nobody else has it.
    unsafe { OwnedFd::from_raw_fd(fd as i32) }
}

/// The map that packets are handed over in.
pub struct Kernel {
    map: OwnedFd,
}

impl Kernel {
    /// Nothing, with a line that says why, for who may not load programs.
    pub fn open() -> Option<Self> {
        let mut attributes = Attributes::new().word(0, MAP_TYPE_ARRAY).word(4, 4).word(8, VALUE_BYTES).word(12, 1);
        match bpf(MAP_CREATE, &mut attributes) {
            Ok(fd) => Some(Self { map: owned(fd) }),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                eprintln!("skipped: bpf(2) needs root");
                None
            }
            Err(error) => panic!("create a map: {error}"),
        }
    }

    /// Loads a classifier that calls `filter`, or gives the verifier's log.
    pub fn load(&self, filter: &[Insn]) -> Result<OwnedFd, String> {
        let insn = |code, registers, offset, immediate| Insn { code, registers, offset, immediate };
        // Registers: the source's number, then the destination's.
        let caller = [
            insn(0x62, 0x0a, -4, 0),                   // *(u32 *)(r10 - 4) = 0
            insn(0xbf, 0xa2, 0, 0),                    // r2 = r10
            insn(0x07, 0x02, 0, -4),                   // r2 += -4
            insn(0x18, 0x11, 0, self.map.as_raw_fd()), // r1 = map
            insn(0x00, 0x00, 0, 0),
            insn(0x85, 0x00, 0, 1), // call map_lookup_elem
            insn(0x55, 0x00, 1, 0), // if r0 != 0 goto +1
            insn(0x95, 0x00, 0, 0), // exit
            insn(0x61, 0x02, 0, 0), // r2 = captured
            insn(0x61, 0x03, 4, 0), // r3 = length
            insn(0xbf, 0x01, 0, 0), // r1 = r0
            insn(0x07, 0x01, 0, 8), // r1 += 8
            insn(0x85, 0x10, 0, 1), // call the filter
            insn(0x95, 0x00, 0, 0), // exit
        ];
        let code: Vec<u8> = caller.iter().chain(filter).flat_map(|insn| insn.to_bytes()).collect();
        let count = (caller.len() + filter.len()) as u32;
        let mut log = vec![0u8; 1 << 20];
        let mut attributes = Attributes::new()
            .word(0, PROG_TYPE_SCHED_CLS)
            .word(4, count)
            .pointer(8, code.as_ptr())
            .pointer(16, c"GPL".as_ptr());
        bpf(PROG_LOAD, &mut attributes).map(owned).or_else(|_| {
            // Only a load that failed is worth writing a log for.
            let mut attributes = attributes.word(24, 1).word(28, log.len() as u32).pointer(32, log.as_mut_ptr());
            bpf(PROG_LOAD, &mut attributes).map(owned).map_err(|error| {
                let text = String::from_utf8_lossy(&log);
                let text = text.trim_end_matches('\0');
                let tail = text.len().saturating_sub(2000);
                format!("{error}: …{}", text.get(tail..).unwrap_or(text))
            })
        })
    }

    /// The filter's result, and how many nanoseconds one of `repeat` runs took.
    pub fn run(&self, program: &OwnedFd, sight: &Sight, repeat: u32) -> (u32, u32) {
        let mut value = Vec::with_capacity(VALUE_BYTES as usize);
        value.extend_from_slice(&sight.captured.to_ne_bytes());
        value.extend_from_slice(&sight.length.to_ne_bytes());
        value.extend_from_slice(&sight.bytes);
        let key = 0u32;
        let map = self.map.as_raw_fd() as u32;
        let mut update = Attributes::new().word(0, map).pointer(8, &raw const key).pointer(16, value.as_ptr());
        bpf(MAP_UPDATE_ELEM, &mut update).expect("hand the packet over");

        // The kernel wants a packet too, and does nothing with it.
        let packet = [0u8; 64];
        let mut run = Attributes::new()
            .word(0, program.as_raw_fd() as u32)
            .word(8, packet.len() as u32)
            .pointer(16, packet.as_ptr())
            .word(32, repeat);
        bpf(PROG_TEST_RUN, &mut run).expect("run the program");
        (run.0[1], run.0[9])
    }
}
