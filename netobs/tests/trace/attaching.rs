//! What attaching asks of the kernel.

use std::collections::HashSet;

use aya::programs::loaded_programs;

use super::common::{Lab, can_make_labs};
use super::tracer::Tracer;

/// Instructions that the verifier may follow in one program, on all paths together. It is most of the time that
/// attaching takes: a loop in one program was once 130,000 of them. 6.1 has the most, 45,000 in `net_dev_start_xmit`.
const LIMIT: u32 = 65_000;

#[test]
fn the_verifier_has_little_to_follow() {
    if !can_make_labs("attaching::the_verifier_has_little_to_follow", &[]) {
        return;
    }
    // Devices for the classifiers.
    let _lab = Lab::up();
    let before: HashSet<u32> = loaded_programs().flatten().map(|program| program.id()).collect();
    let tracer = Tracer::attached(&["--tc"]);
    let mut followed = Vec::new();
    for program in loaded_programs().flatten().filter(|program| !before.contains(&program.id())) {
        let name = program.name_as_str().unwrap_or("nameless").to_owned();
        followed.push((program.verified_instruction_count().expect("counted since 5.16"), name));
    }
    let _ = tracer.interrupt();
    followed.sort();
    assert!(followed.len() >= 8, "{followed:?}");
    assert!(followed.iter().all(|(instructions, _)| *instructions < LIMIT), "{followed:?}");
}
