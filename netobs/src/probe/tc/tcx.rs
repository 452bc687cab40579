//! TCX links (6.6 and later).

use std::io;

use aya::programs::links::LinkOrder;
use aya::programs::tc::{TcAttachOptions, TcError};
use aya::programs::{ProgramError, TcAttachType};
use aya::sys::SyscallError;

use super::report::{Report, place};
use super::{Loaded, Target};
use crate::netlink::Link;
use crate::netlink::tc::Direction;
use crate::netns::in_netns;
use crate::probe::hooks::Kind;
use crate::probe::refusal;

/// Attaches to every device of a namespace. Returns `false` if this kernel has no TCX; then nothing was attached.
///
/// The links end with the programs. They keep neither the device nor its namespace alive.
pub(super) fn attach(loaded: &mut [Loaded<'_>], target: &Target, report: &mut Report) -> bool {
    // The kernel looks the device's number up in the namespace of the thread that asks (tcx_link_attach).
    let inside = in_netns(&target.netns, || {
        for (position, link) in target.links.iter().enumerate() {
            for Loaded { direction, program, .. } in &mut *loaded {
                let order = TcAttachOptions::TcxOrder(LinkOrder::first());
                let attached = program.attach_with_options(&link.name, attach_type(*direction), order);
                match attached.map_err(|error| (errno(&error), error)) {
                    Ok(_) => report.attached(*direction, Kind::Tcx),
                    // To a kernel without TCX the attach type is an unknown number.
                    Err((Some(libc::EINVAL), _)) if position == 0 => return false,
                    Err((Some(libc::ENODEV | libc::ENXIO), _)) => {}
                    Err((_, error)) => report.failed(*direction, Kind::Tcx, failure(target, link, &error)),
                }
            }
        }
        true
    });
    inside.unwrap_or_else(|error| {
        for Loaded { direction, .. } in loaded {
            report.failed(*direction, Kind::Tcx, error.to_string());
        }
        true
    })
}

fn failure(target: &Target, link: &Link, error: &ProgramError) -> String {
    format!("{}: {}", place(&target.name, link), refusal::of_aya(error))
}

fn attach_type(direction: Direction) -> TcAttachType {
    match direction {
        Direction::Ingress => TcAttachType::Ingress,
        Direction::Egress => TcAttachType::Egress,
    }
}

fn errno(error: &ProgramError) -> Option<i32> {
    let source: &io::Error = match error {
        ProgramError::SyscallError(SyscallError { io_error, .. }) => io_error,
        ProgramError::TcError(TcError::IoError(io_error)) => io_error,
        _ => return None,
    };
    source.raw_os_error()
}
