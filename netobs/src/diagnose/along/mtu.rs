//! Sizes: what one device sends, and the next does not take.

use super::{Along, errors};
use crate::diagnose::machine::Machine;
use crate::diagnose::typed::word;
use crate::diagnose::way::{Device, Passage, Stage, Way};
use crate::diagnose::{Culprit, Finding, Force, Protocol, Rung};
use crate::netlink::Ifindex;
use crate::netns::NetnsInode;

/// What a frame may be longer than the MTU at a veth's other end and a bridge's port: a VLAN tag (`is_skb_forwardable`).
const VLAN_TAG: u32 = 4;

/// Compares the devices of the way there and of the way back.
pub(super) fn sizes(machine: &mut Machine, way: &Way, protocol: Protocol, along: &mut Along) {
    let mut blamed = Vec::new();
    for (stages, answers) in [(&way.out, false), (&way.back, true)] {
        let mut sizes = Sizes { machine, stages, answers, protocol, blamed: &mut blamed, along };
        sizes.follow();
    }
    if blamed.is_empty()
        && let Some(smallest) = way.out.iter().flat_map(Stage::devices).map(|device| device.mtu).min()
    {
        along.fine(
            Rung::Mtu,
            format!("every device on the way takes what the one before it sends; the smallest MTU is {smallest}"),
        );
    }
}

/// One direction.
struct Sizes<'a> {
    machine: &'a mut Machine,
    stages: &'a [Stage],
    answers: bool,
    protocol: Protocol,
    /// Devices that were blamed already, be it for the other direction.
    blamed: &'a mut Vec<(NetnsInode, Ifindex)>,
    along: &'a mut Along,
}

impl Sizes<'_> {
    fn follow(&mut self) {
        let stages = self.stages;
        // The largest packet that is under way, as far as nobody has told its sender otherwise.
        let Some(mut size) = stages.first().and_then(|stage| stage.output.as_ref()).map(|device| device.mtu) else {
            return;
        };
        let mut before: Option<(&Stage, &Device)> = None;
        for (at, stage) in stages.iter().enumerate() {
            if let (Some((from, sends)), Some(takes)) = (before, stage.devices().next()) {
                self.cable((from, sends), (stage, takes), size);
            }
            match (stage.passage, &stage.output) {
                (Passage::Forwarded, Some(output)) if output.mtu < size => {
                    self.router(at, stage, output, size);
                    size = output.mtu;
                }
                (Passage::Bridged, Some(port)) => self.port(stage, stage.bridge.as_ref(), port, size),
                _ => {}
            }
            // What is routed to a bridge leaves by one of its ports.
            if stage.passage != Passage::Bridged
                && let (Some(bridge), Some(port)) = (&stage.output, stage.below_output.first())
            {
                self.port(stage, Some(bridge), port, size);
            }
            before = stage.devices().last().map(|last| (stage, last));
        }
    }

    /// `true` if this device was not blamed before.
    fn blame(&mut self, stage: &Stage, device: &Device) -> bool {
        let key = (stage.netns, device.ifindex);
        let new = !self.blamed.contains(&key);
        if new {
            self.blamed.push(key);
        }
        new
    }

    fn is(&mut self, stage: &Stage, device: &Device, kind: &str) -> bool {
        let view = self.machine.view(stage.netns);
        view.is_some_and(|view| view.link(device.ifindex).is_some_and(|link| link.kind.as_deref() == Some(kind)))
    }

    fn set(&mut self, stage: &Stage, device: &Device, mtu: u32) -> Vec<String> {
        vec![self.machine.ip(stage.netns, &format!("link set {} mtu {mtu}", word(&device.name)))]
    }

    /// The two ends of a veth pair.
    fn cable(&mut self, (from, sends): (&Stage, &Device), (stage, takes): (&Stage, &Device), size: u32) {
        let largest = size.min(sends.mtu);
        if largest <= takes.mtu.saturating_add(VLAN_TAG) || !self.is(stage, takes, "veth") || !self.blame(stage, takes)
        {
            return;
        }
        let (device, netns, mtu) = (&takes.name, &stage.name, takes.mtu);
        let (other, place) = (&sends.name, &from.name);
        let fix = self.set(stage, takes, sends.mtu);
        self.along.found(Finding {
            cause: "veth-mtu-mismatch",
            rung: Rung::Mtu,
            force: Force::Harms,
            sentence: format!(
                "{device} in {netns} takes {mtu} bytes, but {other} in {place}, the other end of its cable, sends up to \
                 {largest}: whatever is larger than {mtu} is lost between them, and nobody is told."
            ),
            culprit: culprit(stage, takes),
            evidence: vec![
                format!("{other} in {place} has MTU {}", sends.mtu),
                format!("{device} in {netns}, the other end of the veth pair, has MTU {mtu}"),
            ],
            fix,
            hints: vec![
                "ping works, so the network is fine? A ping has 84 bytes. Try: ping -M do -s 1472".to_owned(),
                format!("each lost packet is counted at the end that does not take it: rx_dropped of {device}"),
            ],
        });
    }

    /// A bridge's port, for what the bridge sends out by it.
    fn port(&mut self, stage: &Stage, bridge: Option<&Device>, port: &Device, size: u32) {
        if size <= port.mtu.saturating_add(VLAN_TAG) || !self.blame(stage, port) {
            return;
        }
        let (device, netns, mtu) = (&port.name, &stage.name, port.mtu);
        let bridge = bridge.map_or_else(|| "the bridge".to_owned(), |bridge| bridge.name.clone());
        let fix = self.set(stage, port, size);
        self.along.found(Finding {
            cause: "bridge-mtu-black-hole",
            rung: Rung::Mtu,
            force: Force::Harms,
            sentence: format!(
                "{device} in {netns} takes {mtu} bytes, and {bridge} drops each larger packet that should leave by it: \
                 small packets pass, transfers hang, and nobody is told, because a bridge sends no ICMP."
            ),
            culprit: culprit(stage, port),
            evidence: vec![
                format!("{device}, a port of {bridge} in {netns}, has MTU {mtu}"),
                format!("packets of up to {size} bytes come to it"),
            ],
            fix,
            hints: vec![
                "ping works, so the network is fine? A ping has 84 bytes. Try: ping -M do -s 1472".to_owned(),
                "a bridge neither splits what is too big nor answers; only routers do".to_owned(),
            ],
        });
    }

    /// A router's way out.
    fn router(&mut self, at: usize, stage: &Stage, output: &Device, size: u32) {
        // A bridge's MTU follows its ports': the port is at fault, and was told.
        let by_port = self.is(stage, output, "bridge")
            && stage.below_output.iter().any(|port| self.blamed.contains(&(stage.netns, port.ifindex)));
        if by_port || !self.blame(stage, output) {
            return;
        }
        let (device, netns, mtu) = (&output.name, &stage.name, output.mtu);
        let what = if self.answers { "answers" } else { "packets" };
        let sender = stage.tuple_in.src.map_or_else(|| "the sender".to_owned(), |address| address.to_string());
        let mut evidence =
            vec![format!("{device} in {netns} has MTU {mtu}"), format!("{what} of up to {size} bytes come to it")];
        let raise = self.set(stage, output, size);
        let blocked = errors::dropped(self.machine, self.stages, at, self.answers);
        let Some(blocked) = blocked else {
            evidence.push(format!("no rule on the way back keeps the ICMP message about it from {sender}"));
            self.along.found(Finding {
                cause: "mtu-path-smaller",
                rung: Rung::Mtu,
                force: Force::Harms,
                sentence: format!(
                    "{device} in {netns} takes {mtu} bytes, less than the {size} that come to it: the first {what} that \
                     are larger get lost, until {sender} is told by ICMP and sends smaller ones."
                ),
                culprit: culprit(stage, output),
                evidence,
                fix: raise,
                hints: vec![
                    "this heals itself, as long as nobody blocks ICMP on the way back: it is path MTU discovery at work"
                        .to_owned(),
                    format!("what a sender has learnt it keeps for ten minutes: ip route get {}", shown(stage)),
                ],
            });
            return;
        };
        evidence.push(format!(
            "the ICMP message that would tell {sender} (fragmentation needed) is dropped by `{}`",
            blocked.culprit.what
        ));
        let mut hints = vec![
            "ping works and connections open, so the network is fine? Only full-sized packets get lost. Try: ping -M do \
             -s 1472"
                .to_owned(),
            format!("the other cure is a larger MTU, where what lies behind can take it: {}", raise.join("; ")),
        ];
        if self.protocol == Protocol::Tcp {
            hints.push(
                "for TCP alone, clamping the MSS helps: iptables -t mangle -A FORWARD -p tcp --tcp-flags SYN,RST \
                        SYN -j TCPMSS --clamp-mss-to-pmtu"
                    .to_owned(),
            );
        }
        self.along.found(Finding {
            cause: "mtu-black-hole",
            rung: Rung::Mtu,
            force: Force::Harms,
            sentence: format!(
                "{device} in {netns} takes {mtu} bytes, less than the {size} that come to it, and the ICMP messages that \
                 would tell {sender} so are dropped by `{}`: large {what} vanish, small ones pass, and transfers hang.",
                blocked.culprit.what
            ),
            culprit: Culprit { netns: blocked.culprit.netns.clone(), what: blocked.culprit.what.clone() },
            evidence,
            fix: blocked.fix,
            hints,
        });
    }
}

fn culprit(stage: &Stage, device: &Device) -> Culprit {
    Culprit { netns: Some(stage.name.clone()), what: format!("{} mtu {}", device.name, device.mtu) }
}

fn shown(stage: &Stage) -> String {
    stage.tuple_out.dst.map_or_else(|| "ADDRESS".to_owned(), |address| address.to_string())
}
