//! Whether an ICMP error finds its way back to the sender of what was too big.

use crate::diagnose::Finding;
use crate::diagnose::gate::{Flow, Hop, Place, Traveller, pass};
use crate::diagnose::machine::Machine;
use crate::diagnose::way::{Passage, Stage};
use crate::event::Tuple;
use crate::rules::InetHook;

/// Takes the error that the stage `at` would send (`icmp_send`) back through the namespaces before it. Returns the rule
/// that drops it there, if one does.
///
/// It is taken to go back by the devices by which the packet came.
pub(super) fn dropped(machine: &mut Machine, stages: &[Stage], at: usize, answers: bool) -> Option<Finding> {
    let (before, rest) = stages.split_at_checked(at)?;
    let router = rest.first()?;
    let sender = router.tuple_in.src?;
    // The address of the device by which it goes back.
    let view = machine.view(router.netns)?;
    let own =
        view.addresses_of(router.input.as_ref()?.ifindex).find(|own| own.address.is_ipv6() == sender.is_ipv6())?;
    let tuple = Tuple { src: Some(own.address), dst: Some(sender), sport: None, dport: None };
    let mut error = Traveller::too_big(tuple);
    let found = meet(machine, router, &[InetHook::Output, InetHook::Postrouting], &mut error, answers);
    if found.is_some() {
        return found;
    }
    before.iter().rev().find_map(|stage| {
        let hooks: &[_] = match stage.passage {
            Passage::Forwarded => &[InetHook::Prerouting, InetHook::Forward, InetHook::Postrouting],
            Passage::Sent => &[InetHook::Prerouting, InetHook::Input],
            // Whether a bridge shows it to the rules is decided device by device; the sender's rules count.
            Passage::Bridged | Passage::Received => &[],
        };
        meet(machine, stage, hooks, &mut error, answers)
    })
}

fn meet(
    machine: &mut Machine,
    stage: &Stage,
    hooks: &[InetHook],
    error: &mut Traveller,
    answers: bool,
) -> Option<Finding> {
    let (view, rules) = (machine.view(stage.netns)?, machine.rules(stage.netns)?);
    let place = Place { netns: &stage.name, rules: &rules, links: &view.links, addresses: &view.addresses };
    let (came, left) = (stage.tuple_in, stage.tuple_out);
    // The flow began with the question; an error about an answer goes the question's way.
    let flow =
        if answers { Flow { orig: left.turned(), reply: came } } else { Flow { orig: came, reply: left.turned() } };
    error.relates(flow, answers);
    let name = |device: &Option<crate::diagnose::way::Device>| device.as_ref().map(|device| device.name.clone());
    // Backwards: in by the device that the packet left by.
    let (iif, oif) = (name(&stage.output), name(&stage.input));
    hooks.iter().find_map(|hook| {
        let (iif, oif) = match hook {
            InetHook::Prerouting | InetHook::Input => (iif.as_deref(), None),
            InetHook::Forward => (iif.as_deref(), oif.as_deref()),
            InetHook::Output | InetHook::Postrouting => (None, oif.as_deref()),
        };
        let hop = Hop { hook: *hook, iif, oif, next_hop: None, bridged: None };
        pass(&place, &hop, error).findings.into_iter().find(|finding| finding.force == crate::diagnose::Force::Stops)
    })
}
