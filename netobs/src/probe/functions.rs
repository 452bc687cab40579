//! The kernel functions a packet passes: one program on the entries of all of them.
//!
//! One link for all of them (`kprobe.multi`) is the best: attached at once, and detached with a single wait. A program of
//! kind fentry may cost less at each call, but is loaded and linked once for each function, and each link's end waits for
//! an RCU-tasks grace period of its own (`ftrace_shutdown`), a tenth of a second or more (on an emulated 6.12, 40 of them
//! take 7.4 s longer than one; 40 kprobes 4 s; all hooks of a trace together 6 s): dozens of them take longer than
//! whoever ends a trace will wait. A kprobe for each function serves where the kernel has no fprobe.

use std::ffi::CString;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use netobs_ebpf::{Cookie, Hook};

use super::hooks::functions::{self, Begin};
use super::hooks::{HookRow, Kind, hooks};
use super::kernel::{Kernel, SkbArgument};
use super::misses;
use super::raw::{Function, Link, NO_KPROBES, Program, RawObject, Type, has_kprobes};
use super::session::ProbeStatus;

/// The attached program.
#[derive(Default)]
pub(super) struct Functions {
    program: Option<Program>,
    links: Vec<Link>,
    is_multi: bool,
}

impl Functions {
    /// Attaches to every function that this kernel has, and says of each row what became of it.
    pub(super) fn attach(raw: &Result<RawObject, String>, kernel: &Kernel) -> (Self, Vec<ProbeStatus>) {
        let mut absent = Vec::new();
        let mut present = Vec::new();
        for row in hooks().filter(|row| row.hook == Hook::Function) {
            match kernel.function(row.site) {
                Some(argument) => present.push((row, function(row, argument))),
                None => absent.push((row, why_absent(row))),
            }
        }
        let mut this = Self::default();
        let (kind, refused, fell_back) = match this.attach_all(raw, &present) {
            Ok((kind, refused, fell_back)) => (kind, refused, fell_back),
            // Then it does not matter which of them the kernel has.
            Err(why) => {
                let all = present.iter().map(|(row, _)| *row).chain(absent.drain(..).map(|(row, _)| row));
                (Kind::Kprobe, all.map(|row| (row, why.clone())).collect(), None)
            }
        };
        let why_not: Vec<_> = absent.into_iter().chain(refused).collect();
        let is_attached = |name: &str| !why_not.iter().any(|(row, _): &(&HookRow, String)| row.name == name);
        let statuses = hooks().filter(|row| row.hook == Hook::Function).map(|row| {
            let why = why_not.iter().find(|(other, _)| other.site == row.site).map(|(_, why)| why.clone());
            // On kernels of another age another function does the same.
            let stand_in = functions::stand_in(row.name).filter(|name| is_attached(name));
            let why_not = why.map(|why| stand_in.map_or(why, |name| format!("{IN_ITS_PLACE} {name}")));
            ProbeStatus { row, kind, why_not, fell_back: fell_back.clone() }
        });
        let statuses = statuses.collect();
        (this, statuses)
    }

    /// The kind that serves, the functions that are refused and why, and why not by a better kind.
    #[expect(clippy::type_complexity, reason = "read in one place")]
    fn attach_all(
        &mut self,
        raw: &Result<RawObject, String>,
        present: &[(&'static HookRow, Function)],
    ) -> Result<(Kind, Vec<(&'static HookRow, String)>, Option<String>), String> {
        if !has_kprobes() {
            return Err(NO_KPROBES.into());
        }
        let raw = raw.as_ref().map_err(Clone::clone)?;
        let mut refused = Vec::new();
        let no_multi = match raw.load("function", Type::KprobeMulti) {
            Ok(program) => match self.link_all(&program, present, &mut refused) {
                Ok(()) => {
                    (self.program, self.is_multi) = (Some(program), true);
                    return Ok((Kind::KprobeMulti, refused, None));
                }
                Err(error) => format!("kprobe_multi: {}", of_link(&error)),
            },
            Err(error) => format!("kprobe_multi: {error}"),
        };
        let program = raw.load("function", Type::Kprobe).map_err(|error| format!("{no_multi}; kprobe: {error}"))?;
        refused.clear();
        for (row, function) in present {
            match Link::function(&program, function) {
                Ok(link) => self.links.push(link),
                Err(error) => refused.push((*row, of_link(&error))),
            }
        }
        self.program = Some(program);
        Ok((Kind::Kprobe, refused, Some(no_multi)))
    }

    /// Of two functions of which each kernel has one, the debug information may have both (`br_nf_forward_ip` on 6.12, which
    /// is inlined). These are asked for one by one, so that the others need not be halved to find the one that is refused.
    fn link_all(
        &mut self,
        program: &Program,
        present: &[(&'static HookRow, Function)],
        refused: &mut Vec<(&'static HookRow, String)>,
    ) -> io::Result<()> {
        let is_present = |name| present.iter().any(|(row, _)| row.name == name);
        let (twins, others): (Vec<_>, Vec<_>) =
            present.iter().cloned().partition(|(row, _)| functions::stand_in(row.name).is_some_and(is_present));
        self.link_many(program, &others, refused)?;
        twins.chunks(1).try_for_each(|twin| self.link_many(program, twin, refused))
    }

    /// All at once; where the kernel does not take one of them, by halves until it is found. An error is one that every
    /// function would meet.
    fn link_many(
        &mut self,
        program: &Program,
        some: &[(&'static HookRow, Function)],
        refused: &mut Vec<(&'static HookRow, String)>,
    ) -> io::Result<()> {
        let functions: Vec<_> = some.iter().map(|(_, function)| function.clone()).collect();
        match Link::functions(program, &functions) {
            Ok(link) => self.links.push(link),
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => return Err(error),
            Err(error) => match some {
                [] => {}
                [(row, _)] => refused.push((*row, of_link(&error))),
                _ => {
                    let (first, second) = some.split_at(some.len() / 2);
                    self.link_many(program, first, refused)?;
                    self.link_many(program, second, refused)?;
                }
            },
        }
        Ok(())
    }

    /// How often the program did not run since a program was running already.
    pub(super) fn missed(&self) -> u64 {
        let program = self.program.as_ref().and_then(|program| misses::of_fd(program.as_fd())).unwrap_or(0);
        program + self.links.iter().filter_map(|link| link.missed(self.is_multi)).sum::<u64>()
    }
}

impl Drop for Functions {
    /// The kernel waits for two grace periods at each kprobe's end, about 50 ms. Side by side half of that is shared.
    fn drop(&mut self) {
        const AT_ONCE: usize = 16;
        let each = self.links.len().div_ceil(AT_ONCE).max(1);
        std::thread::scope(|scope| {
            while !self.links.is_empty() {
                let some = self.links.split_off(self.links.len().saturating_sub(each));
                scope.spawn(move || drop(some));
            }
        });
    }
}

/// Begins the reason why a function is not there whose work another does.
pub(super) const IN_ITS_PLACE: &str = "this kernel has in its place";

fn function(row: &HookRow, argument: SkbArgument) -> Function {
    let cookie = Cookie::new(row.site, argument.index);
    let cookie = if argument.is_indirect { cookie.indirect() } else { cookie };
    let cookie = match functions::begin(row.site) {
        Begin::Never => cookie,
        Begin::Always => cookie.beginning(),
        Begin::Maybe => cookie.possibly_beginning(),
        Begin::Over => cookie.ending(),
    };
    Function { symbol: CString::new(row.function).unwrap_or_default(), cookie }
}

fn why_absent(row: &HookRow) -> String {
    match functions::module(row.site) {
        Some(module) if !Path::new("/sys/module").join(module).exists() => format!("module {module} is not loaded"),
        _ => "this kernel has no such function".into(),
    }
}

fn of_link(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EOPNOTSUPP) => "this kernel was built without fprobe".into(),
        Some(libc::ENOENT | libc::ESRCH | libc::EINVAL) => {
            format!("no entry to attach to: the compiler inlined or renamed it ({error})")
        }
        _ => error.to_string(),
    }
}
