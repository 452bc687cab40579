//! The way of the asked packet through the machine as it is, and that of its answer back.
//!
//! In each namespace the kernel is asked which route the packet would take; on the link that the route leads to,
//! `segment` finds who has the next hop's address, by veth pairs and bridges, and by which devices the frame gets
//! there. What is broken becomes a finding, is mended in thought, and the walk goes on as if it were whole.

mod bridged;
mod faults;
mod mended;
mod owner;
mod reach;
mod route;
mod segment;
mod stage;
mod tunnel;
mod walker;

pub use stage::{Device, End, Passage, Stage, Way};

use super::Question;
use super::machine::Machine;

/// Walks from the question's endpoint to its destination, and back. Nothing is sent, nothing is changed.
pub fn walk(machine: &mut Machine, question: &Question) -> Way {
    walker::Walker::new(machine, question).walk()
}
