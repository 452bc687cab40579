//! Classifiers at the ingress and egress of chosen devices.
//!
//! A TCX link where the kernel has it (6.6 and later): it ends with the process, however that ends. Below that, and for
//! many devices, a filter in the device's `clsact` qdisc, which outlives the process: each carries its owner's mark, and
//! the next run removes those of the dead. Whatever else is attached to a device is neither changed nor hidden from: our
//! programs are asked first where that is possible and always answer "next".

mod clsact;
mod owner;
mod record;
mod report;
mod targets;
mod tcx;

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use aya::Ebpf;
use aya::programs::SchedClassifier;
use netobs_ebpf::Hook;

pub use clsact::sweep;
pub use targets::{Target, Wanted, find};

use self::clsact::Clsact;
use self::report::Report;
use super::hooks::Kind;
use super::refusal;
use super::session::ProbeStatus;
use crate::netlink::tc::Direction;

/// With more devices than this they get filters even where there is TCX. Each TCX link is made, and again ended, behind
/// an RCU grace period with the RTNL lock held (`tcx_entry_sync`): 15 ms measured on 6.18, so hundreds take many seconds.
const TCX_DEVICES: usize = 12;

/// What must be undone by hand, since it does not end with the process. It can be undone from any thread.
#[derive(Clone, Debug, Default)]
pub struct Undo {
    clsact: Arc<Mutex<Option<Clsact>>>,
}

impl Undo {
    /// Removes our filters, and the qdiscs we made in which nothing else is by now. The second time, nothing.
    pub fn undo(&self) {
        if let Some(clsact) = self.clsact.lock().unwrap_or_else(PoisonError::into_inner).take() {
            clsact.detach();
        }
    }

    fn keep(&self, clsact: Clsact) {
        *self.clsact.lock().unwrap_or_else(PoisonError::into_inner) = Some(clsact);
    }
}

impl Direction {
    fn hook(self) -> Hook {
        match self {
            Self::Ingress => Hook::TcIngress,
            Self::Egress => Hook::TcEgress,
        }
    }
}

/// A classifier in the kernel.
struct Loaded<'e> {
    direction: Direction,
    program: &'e mut SchedClassifier,
    fd: OwnedFd,
}

/// Loads both classifiers and attaches them to every device. A device that is gone is no failure.
pub(super) fn attach(ebpf: &mut Ebpf, targets: &[Target], undo: &Undo) -> Vec<ProbeStatus> {
    let mut report = Report::default();
    let mut loaded = load(ebpf, &mut report);
    let devices: usize = targets.iter().map(|target| target.links.len()).sum();
    let mut use_tcx = devices <= TCX_DEVICES;
    let mut clsact = Clsact::new();
    for target in targets {
        use_tcx = use_tcx && tcx::attach(&mut loaded, target, &mut report);
        if !use_tcx {
            clsact.attach(&loaded, target, &mut report);
        }
    }
    undo.keep(clsact);
    report.statuses()
}

fn load<'e>(ebpf: &'e mut Ebpf, report: &mut Report) -> Vec<Loaded<'e>> {
    let mut loaded = Vec::new();
    for (name, program) in ebpf.programs_mut() {
        let Some(direction) = Direction::ALL.into_iter().find(|direction| direction.name() == name) else { continue };
        let ready = <&mut SchedClassifier>::try_from(program).and_then(|program| {
            program.load()?;
            Ok((program.fd()?.as_fd().try_clone_to_owned()?, program))
        });
        match ready {
            Ok((fd, program)) => loaded.push(Loaded { direction, program, fd }),
            Err(error) => report.failed(direction, Kind::Tcx, refusal::of_aya(&error)),
        }
    }
    loaded
}
