//! The one table of hooks: attaching, `netobs check`, the output's names and the documentation all read it.

mod core;
pub(super) mod functions;

use netobs_ebpf::Hook;

/// How a program is tied to a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A tracepoint program whose arguments the verifier knows by type (5.5 and later, needs BTF).
    TpBtf,
    /// A tc classifier on a TCX link (6.6 and later).
    Tcx,
    /// A tc classifier in a filter of the device's `clsact` qdisc (4.5 and later).
    Clsact,
    /// A netfilter program on a link of its own in each namespace (6.4 and later).
    Netfilter,
    /// A program on the function's entry, one of many on one link (`kprobe.multi`, 5.18 and later, needs fprobe).
    KprobeMulti,
    /// A program on the function's entry.
    Kprobe,
}

impl Kind {
    /// The name used in JSON and text.
    pub fn name(self) -> &'static str {
        match self {
            Self::TpBtf => "tp_btf",
            Self::Tcx => "tcx",
            Self::Clsact => "clsact",
            Self::Netfilter => "netfilter",
            Self::KprobeMulti => "kprobe_multi",
            Self::Kprobe => "kprobe",
        }
    }
}

/// A hook: what serves it, and what is lost without it.
#[derive(Clone, Copy, Debug)]
pub struct HookRow {
    /// Number shared with the programs.
    pub hook: Hook,
    /// Which function, at [`Hook::Function`]; else 0.
    pub site: u8,
    /// Name of the tracepoint and of the program, and the name that hops show.
    pub name: &'static str,
    /// How it is attached, the best way first.
    pub kinds: &'static [Kind],
    /// The kernel function whose progress it shows.
    pub function: &'static str,
    /// Arguments of the tracepoint or function, on 6.1 to 7.x.
    pub prototype: &'static str,
    /// What it adds to a journey.
    pub adds: &'static str,
    /// What is not seen when it cannot be attached.
    pub blind_spot: &'static str,
}

impl HookRow {
    /// Whether it is served by a program of its own on each device, attached only where that is asked for.
    pub fn is_per_device(&self) -> bool {
        self.kinds.iter().any(|kind| matches!(kind, Kind::Tcx | Kind::Clsact))
    }

    /// Whether one program, attached once, serves it.
    pub fn is_single(&self) -> bool {
        let is_group = self.hook == Hook::Function || self.hook.is_netfilter();
        !is_group && !self.is_per_device()
    }

    /// The row of a hook, or of a site of [`Hook::Function`]; `None` for a site that is none.
    pub fn of(hook: Hook, site: u8) -> Option<&'static Self> {
        if hook == Hook::Function {
            return functions::ROWS.get(usize::from(site));
        }
        core::ROWS.get(hook as usize)
    }
}

/// Every hook: those with a program of their own in the order of their numbers, then the functions in the order of their
/// sites.
pub fn hooks() -> impl Iterator<Item = &'static HookRow> {
    core::ROWS.iter().chain(functions::ROWS.iter())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_is_found_by_its_number() {
        for row in hooks() {
            assert!(HookRow::of(row.hook, row.site).is_some_and(|found| found.name == row.name), "{}", row.name);
        }
        assert!(functions::ROWS.len() <= netobs_ebpf::SITES);
    }
}
