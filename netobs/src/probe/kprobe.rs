//! A program on the entry of one function.

use aya::Ebpf;
use aya::programs::KProbe;

use super::raw::{NO_KPROBES, has_kprobes};
use super::refusal;

/// Loads and attaches it; it stays attached for as long as the object is there.
pub(super) fn attach_function(ebpf: &mut Ebpf, program: &str, function: &str) -> Result<(), String> {
    if !has_kprobes() {
        return Err(NO_KPROBES.into());
    }
    let program: &mut KProbe = ebpf
        .program_mut(program)
        .and_then(|program| program.try_into().ok())
        .ok_or("the eBPF object has no such program")?;
    program.load().map_err(|error| refusal::of_aya(&error))?;
    program.attach(function, 0).map_err(|error| refusal::of_aya(&error))?;
    Ok(())
}
