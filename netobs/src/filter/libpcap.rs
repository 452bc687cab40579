//! libpcap's compiler: an expression in, classic BPF out.
//!
//! libpcap is linked statically and nothing else of it is used, see [`libpcap_stubs`](super::libpcap_stubs).

use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr::NonNull;
use std::sync::{Mutex, PoisonError};

use super::classic::ClassicInsn;
use super::libpcap_stubs;

/// What the first byte of a packet belongs to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LinkLayer {
    /// An Ethernet header (`DLT_EN10MB`).
    Ethernet,
    /// An IPv4 or IPv6 header (`DLT_RAW`).
    Raw,
}

/// Why libpcap gave no program.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// A NUL byte, which would end the expression early for libpcap.
    #[error("a NUL byte in the middle")]
    Nul,
    /// libpcap's own words.
    #[error("{0}")]
    Refused(String),
    /// No memory for libpcap's handle.
    #[error("out of memory")]
    OutOfMemory,
}

/// libpcap before 1.8 keeps the parser's state in globals, and its name lookups still use `getnetbyname`.
static COMPILER: Mutex<()> = Mutex::new(());

/// What a match returns; any number but 0 does.
const SNAPSHOT: c_int = 65_535;

/// The handle is of no network, so `ip broadcast` is refused by libpcap rather than compared with a wrong address.
const NETMASK_UNKNOWN: u32 = u32::MAX;

/// Compiles an expression in pcap-filter syntax. The empty one matches everything.
///
/// Names of hosts are looked up with the system's resolver, which may take its time.
///
/// # Errors
///
/// libpcap's message, if the expression is wrong or makes no sense for this link layer.
pub fn compile(expression: &str, link: LinkLayer) -> Result<Vec<ClassicInsn>, CompileError> {
    let expression = CString::new(expression).map_err(|_| CompileError::Nul)?;
    let _one_at_a_time = COMPILER.lock().unwrap_or_else(PoisonError::into_inner);
    let handle = Handle::open(link)?;
    let mut program = RawProgram { length: 0, instructions: std::ptr::null_mut() };
    // SAFETY: the handle is open, `program` is writable, and the expression ends with NUL and outlives the call.
    let status = unsafe { pcap_compile(handle.0.as_ptr(), &mut program, expression.as_ptr(), 1, NETMASK_UNKNOWN) };
    if status != 0 {
        return Err(CompileError::Refused(handle.message()));
    }
    let instructions = if program.instructions.is_null() {
        Vec::new()
    } else {
        // SAFETY: after success libpcap's array holds `length` instructions until pcap_freecode.
        unsafe { std::slice::from_raw_parts(program.instructions, program.length as usize) }.to_vec()
    };
    // SAFETY: the program came from pcap_compile and is not used any more.
    unsafe { pcap_freecode(&mut program) };
    Ok(instructions)
}

/// A handle that captures nothing, only there to say what link layer is meant.
struct Handle(NonNull<Pcap>);

impl Handle {
    fn open(link: LinkLayer) -> Result<Self, CompileError> {
        libpcap_stubs::keep();
        // DLT_EN10MB; DLT_RAW as Linux numbers it.
        let link = match link {
            LinkLayer::Ethernet => 1,
            LinkLayer::Raw => 12,
        };
        // SAFETY: takes plain numbers, returns a handle of its own or NULL.
        NonNull::new(unsafe { pcap_open_dead(link, SNAPSHOT) }).map(Self).ok_or(CompileError::OutOfMemory)
    }

    fn message(&self) -> String {
        // SAFETY: the handle is open; its message is a NUL-terminated buffer inside it, copied before it can change.
        let message = unsafe { CStr::from_ptr(pcap_geterr(self.0.as_ptr())) }.to_string_lossy();
        let plain = message.strip_prefix("can't parse filter expression: ").unwrap_or(&message);
        plain.trim().to_owned()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: opened by `open`, closed only here.
        unsafe { pcap_close(self.0.as_ptr()) }
    }
}

/// libpcap's `pcap_t`.
#[repr(C)]
struct Pcap {
    opaque: [u8; 0],
}

/// libpcap's `struct bpf_program`.
#[repr(C)]
struct RawProgram {
    length: u32,
    instructions: *mut ClassicInsn,
}

// From <pcap/pcap.h>, unchanged since libpcap 1.0.
unsafe extern "C" {
    fn pcap_open_dead(linktype: c_int, snaplen: c_int) -> *mut Pcap;
    fn pcap_compile(
        handle: *mut Pcap,
        program: *mut RawProgram,
        expression: *const c_char,
        optimize: c_int,
        netmask: u32,
    ) -> c_int;
    fn pcap_geterr(handle: *mut Pcap) -> *const c_char;
    fn pcap_freecode(program: *mut RawProgram);
    fn pcap_close(handle: *mut Pcap);
}
