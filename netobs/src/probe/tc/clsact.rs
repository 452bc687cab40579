//! Filters in `clsact` qdiscs, where the kernel has no TCX.

use std::collections::HashSet;
use std::os::fd::AsFd;

use super::owner::Owner;
use super::record::{Made, Record};
use super::report::{Report, place};
use super::{Loaded, Target};
use crate::netlink::tc::{self, Direction, Filter, NewBpfFilter};
use crate::netlink::{Ifindex, Link, Socket};
use crate::netns::NetnsInode;
use crate::probe::hooks::Kind;
use crate::state::Namespaces;

/// The priority the kernel gives the first filter that asks for none (`tcf_auto_prio`).
const FIRST_PRIORITY: u16 = 0xc000;

/// What this process has attached.
#[derive(Debug)]
pub(super) struct Clsact {
    owner: Owner,
    record: Record,
    /// No socket is kept: it would keep its namespace alive.
    namespaces: HashSet<NetnsInode>,
    filters: usize,
}

impl Clsact {
    /// Nothing attached yet.
    pub(super) fn new() -> Self {
        let owner = Owner::current();
        Self { owner, record: Record::of(owner), namespaces: HashSet::new(), filters: 0 }
    }

    /// Attaches to every device of a namespace, in a few system calls for all of them.
    pub(super) fn attach(&mut self, loaded: &[Loaded<'_>], target: &Target, report: &mut Report) {
        if let Err(error) = self.try_attach(loaded, target, report) {
            for Loaded { direction, .. } in loaded {
                report.failed(*direction, Kind::Clsact, format!("{}: {error}", target.name));
            }
        }
    }

    fn try_attach(
        &mut self,
        loaded: &[Loaded<'_>],
        target: &Target,
        report: &mut Report,
    ) -> crate::netlink::Result<()> {
        let mut socket = Socket::open_in(&target.netns)?;
        self.namespaces.insert(target.netns.inode());
        self.make_qdiscs(&mut socket, target)?;
        let mark = self.owner.to_string();
        let (mut places, mut requests) = (Vec::new(), Vec::new());
        for link in &target.links {
            for Loaded { direction, fd, .. } in loaded {
                let priority = free_priority(&socket.filters(link.ifindex, *direction)?);
                requests.push(tc::add_bpf_filter(NewBpfFilter {
                    link: link.ifindex,
                    called: &link.name,
                    direction: *direction,
                    priority,
                    program: fd.as_fd(),
                    name: &mark,
                }));
                places.push((link, *direction));
            }
        }
        for ((link, direction), answer) in places.into_iter().zip(socket.apply_each(&requests)?) {
            match answer {
                Ok(()) => {
                    self.filters += 1;
                    report.attached(direction, Kind::Clsact);
                }
                Err(error) if error.errno() == Some(libc::ENODEV) => {}
                Err(error) => {
                    report.failed(direction, Kind::Clsact, format!("{}: {error}", place(&target.name, link)));
                }
            }
        }
        Ok(())
    }

    /// Makes the qdisc where there is none. It is on record before it is made, so that being killed leaves none behind.
    fn make_qdiscs(&mut self, socket: &mut Socket, target: &Target) -> crate::netlink::Result<()> {
        let classified = socket.classified_devices()?;
        let bare: Vec<&Link> = target.links.iter().filter(|link| !classified.contains(&link.ifindex)).collect();
        let before = self.record.made.len();
        self.record.made.extend(bare.iter().map(|link| Made::new(target.netns.inode(), link)));
        // Without a record a kill would leave empty qdiscs, which do nothing: no reason to see less.
        let _ = self.record.save();
        let requests: Vec<_> = bare.iter().map(|link| tc::add_clsact(link.ifindex, &link.name)).collect();
        let answers = socket.apply_each(&requests)?;
        // One that somebody else made in between is not ours. Any other refusal shows again when the filter is added.
        let mut is_ours = answers.iter().map(Result::is_ok);
        let mut index = 0;
        self.record.made.retain(|_| {
            index += 1;
            index <= before || is_ours.next().unwrap_or(false)
        });
        if answers.iter().any(Result::is_err) {
            let _ = self.record.save();
        }
        Ok(())
    }

    /// Removes what was attached, and what the dead left in the same namespaces.
    pub(super) fn detach(self) {
        if self.namespaces.is_empty() {
            return;
        }
        let mut records = Record::of_the_dead();
        records.push(self.record);
        let mut namespaces = Namespaces::new();
        let mut removed = 0;
        let mut is_over = |owner: Owner| {
            let own = owner == self.owner;
            removed += usize::from(own);
            own || !owner.is_alive()
        };
        clean(&mut namespaces, Some(&self.namespaces), &mut is_over, &mut records);
        if removed < self.filters {
            // A device was moved to another namespace, with its filter. Or it is gone, or somebody cleared it.
            clean(&mut namespaces, None, &mut |owner| owner == self.owner || !owner.is_alive(), &mut records);
        }
        save(&records);
    }
}

/// Removes what runs of netobs that were killed have left in any namespace: their filters, and the qdiscs they made in
/// which nothing else is by now. What cannot be entered or removed is left alone.
pub fn sweep(namespaces: &mut Namespaces) {
    let mut records = Record::of_the_dead();
    clean(namespaces, None, &mut |owner| !owner.is_alive(), &mut records);
    save(&records);
}

fn save(records: &[Record]) {
    for record in records {
        // What cannot be written now is found again by the next sweep.
        let _ = record.save();
    }
}

/// Removes filters whose owner `is_over`, then the qdiscs on `records` that are empty, in the namespaces `within` or in
/// all. What is done with is struck off the records.
fn clean(
    namespaces: &mut Namespaces,
    within: Option<&HashSet<NetnsInode>>,
    is_over: &mut impl FnMut(Owner) -> bool,
    records: &mut [Record],
) {
    let all = namespaces.all();
    for record in &mut *records {
        record.made.retain(|made| all.iter().any(|(inode, _)| *inode == made.netns()));
    }
    for (inode, _) in all {
        if within.is_some_and(|within| !within.contains(&inode)) {
            continue;
        }
        let Some(mut socket) = namespaces.open(inode).and_then(|netns| Socket::open_in(&netns).ok()) else { continue };
        // A failure here is a namespace that is going.
        let _ = clean_one(&mut socket, inode, is_over, records);
    }
}

fn clean_one(
    socket: &mut Socket,
    netns: NetnsInode,
    is_over: &mut impl FnMut(Owner) -> bool,
    records: &mut [Record],
) -> crate::netlink::Result<()> {
    let classified = socket.classified_devices()?;
    let mut requests = Vec::new();
    for device in &classified {
        let filters = filters(socket, *device)?;
        requests
            .extend(filters.iter().filter(|filter| owner(filter).is_some_and(&mut *is_over)).map(tc::delete_filter));
    }
    socket.apply_each(&requests)?;
    if !records.iter().any(|record| record.made.iter().any(|made| made.netns() == netns)) {
        return Ok(());
    }
    let links = socket.links()?;
    let mut requests = Vec::new();
    for record in records {
        let mut failed = None;
        record.made.retain(|made| {
            if made.netns() != netns {
                return true;
            }
            let same = links.iter().any(|link| made.is_of(netns, link)) && classified.contains(&made.ifindex());
            match filters(socket, made.ifindex()) {
                Ok(filters) if same => {
                    if filters.is_empty() {
                        requests.push(tc::delete_clsact(made.ifindex(), made.device()));
                    }
                    // While only other runs of netobs use it the last of them removes it. Once a stranger does it is
                    // the stranger's.
                    !filters.is_empty() && filters.iter().all(|filter| owner(filter).is_some())
                }
                Ok(_) => false,
                Err(error) => {
                    failed = Some(error);
                    true
                }
            }
        });
        if let Some(error) = failed {
            return Err(error);
        }
    }
    socket.apply_each(&requests).map(drop)
}

/// The filters of a device, without the entries that stand for the priority of bpf filters listed beside them.
fn filters(socket: &mut Socket, device: Ifindex) -> crate::netlink::Result<Vec<Filter>> {
    let mut all = Vec::new();
    for direction in Direction::ALL {
        all.extend(socket.filters(device, direction)?);
    }
    all.retain(|filter| filter.kind != "bpf" || filter.handle != 0);
    Ok(all)
}

fn owner(filter: &Filter) -> Option<Owner> {
    filter.bpf_name.as_deref().and_then(Owner::from_mark)
}

/// Before all others, so that nobody's verdict hides the packet; behind the first gap if priority 1 is taken.
///
/// The kernel's own choice would do, but for a filter of priority 1 it chooses 0, which cannot be deleted by itself
/// (`tc_del_tfilter`).
fn free_priority(filters: &[Filter]) -> u16 {
    let taken: HashSet<u16> = filters.iter().map(|filter| filter.priority).collect();
    match taken.iter().min() {
        None => FIRST_PRIORITY,
        Some(lowest) if *lowest > 1 => lowest - 1,
        Some(_) => (1..u16::MAX).find(|priority| !taken.contains(priority)).unwrap_or(u16::MAX),
    }
}
