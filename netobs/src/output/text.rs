//! A packet as a person reads it: one block, a line per hop, at most 100 columns.

use std::io::{self, Write};

use super::record::{
    AnswerRecord, CapabilitiesRecord, DropRecord, EndRecord, HopRecord, MssRecord, NatRecord, NetfilterRecord,
    OutcomeCounts, PacketRecord, RuleRecord, SummaryRecord, TupleRecord,
};
use super::{NeighbourRecord, Style, functions, printable, shortened};
use crate::evidence::Receiver;

/// Columns a text line may take.
const WIDTH: usize = 100;
/// Longest namespace name shown whole.
const NETNS: usize = 24;
/// Indent of what belongs to a hop line's right part.
const INDENT: &str = "                ";

/// Prints a packet.
pub(super) fn packet(out: &mut impl Write, packet: &PacketRecord, style: Style) -> io::Result<()> {
    writeln!(out, "{}", style.strong(&heading(packet)))?;
    if let (Some(relation), Some(parent)) = (packet.relation, &packet.parent) {
        writeln!(out, "{INDENT}{}", style.faint(&format!("{relation} of {parent}")))?;
    }
    let shown = || packet.hops.iter().filter(|hop| hop.route.is_none() && !hop.is_function);
    let netns_width = width(shown().map(|hop| netns_of(hop).chars().count()));
    let device_width = width(shown().map(|hop| device_of(hop).chars().count()));
    let hook_width = width(shown().map(|hop| hop.hook.len()));
    let mut functions = Vec::new();
    let mut state = None;
    let mut inner = None;
    for (index, hop) in packet.hops.iter().enumerate() {
        for nat in packet.nat.iter().filter(|nat| nat.before_hop == index) {
            trail(out, &mut functions, style)?;
            rewritten(out, nat, style)?;
        }
        if let Some((offered, clamped)) = packet.mss.as_ref().filter(|mss| mss.hop == Some(index)).and_then(clamping) {
            trail(out, &mut functions, style)?;
            writeln!(out, "{INDENT}{}", style.change(&format!("mss {offered} ⇒ {clamped}")))?;
        }
        for neighbour in packet.neighbours.iter().filter(|neighbour| neighbour.before_hop == index) {
            trail(out, &mut functions, style)?;
            waited(out, neighbour, style)?;
        }
        if hop.is_function {
            functions.push(hop.hook);
            continue;
        }
        trail(out, &mut functions, style)?;
        if hop.inner.is_some() && hop.inner != inner {
            let carried = hop.inner.as_ref().map(path).unwrap_or_default();
            writeln!(out, "{INDENT}{}", style.faint(&format!("carries {carried}")))?;
        }
        inner.clone_from(&hop.inner);
        if let Some(route) = &hop.route {
            if let Some(line) = route.line(hop.device.as_deref()) {
                let line = if route.is_refusal() { style.change(&line) } else { style.faint(&line) };
                writeln!(out, "{INDENT}{line}")?;
            }
            continue;
        }
        if let Some(bridge) = &hop.bridge {
            writeln!(out, "{INDENT}{}", style.faint(&bridge.line()))?;
        }
        let now = hop.ct.as_ref().and_then(|ct| ct.state);
        let mut note = hop.netfilter.as_ref().map(passage).unwrap_or_default();
        if let Some(now) = now.filter(|now| Some(*now) != state) {
            note.push_str(&format!("  ct {now}"));
        }
        state = now.or(state);
        let line = format!(
            "{}  {:netns_width$}  {:device_width$}  {:hook_width$}",
            offset(hop.offset_ns),
            netns_of(hop),
            device_of(hop),
            hop.hook
        );
        writeln!(out, "{}{}", if note.is_empty() { line.trim_end() } else { &line }, style.faint(&note))?;
    }
    trail(out, &mut functions, style)?;
    if let Some(line) = packet.mss.as_ref().and_then(too_large) {
        for line in wrap(&line, WIDTH - INDENT.len()) {
            writeln!(out, "{INDENT}{}", style.change(&line))?;
        }
    }
    // The last netfilter hook may have rewritten what was thrown away before the next.
    for nat in packet.nat.iter().filter(|nat| nat.before_hop >= packet.hops.len()) {
        rewritten(out, nat, style)?;
    }
    for neighbour in packet.neighbours.iter().filter(|neighbour| neighbour.before_hop >= packet.hops.len()) {
        waited(out, neighbour, style)?;
    }
    if let Some(answer) = &packet.answered {
        writeln!(out, "{INDENT}{}", style.change(&answered(answer)))?;
    }
    ending(out, packet, style)?;
    writeln!(out)
}

/// `answered with ICMP frag needed, mtu 1400`
fn answered(answer: &AnswerRecord) -> String {
    let verb = if answer.sent == Some(true) { "answered" } else { "to be answered" };
    let proto = if answer.proto == "icmp6" { "ICMPv6" } else { "ICMP" };
    let place = named("by", &answer.netns);
    format!("{verb}{place} with {proto} {}", answer.meaning)
}

/// The functions that were passed since the last line.
fn trail(out: &mut impl Write, functions: &mut Vec<&str>, style: Style) -> io::Result<()> {
    for line in functions::trail(functions, WIDTH - INDENT.len()) {
        writeln!(out, "{INDENT}{}", style.faint(&line))?;
    }
    functions.clear();
    Ok(())
}

fn clamping(mss: &MssRecord) -> Option<(u16, u16)> {
    Some((mss.offered, mss.clamped_to?))
}

/// What to know before the first full segment is lost.
fn too_large(mss: &MssRecord) -> Option<String> {
    let smallest = mss.smallest_mtu.as_ref().filter(|_| mss.fits == Some(false))?;
    let device = printable(smallest.device.as_deref()?);
    let place = named("in", &smallest.netns);
    let asked = mss.clamped_to.unwrap_or(mss.offered);
    let fitting = mss.would_fit.map(|size| format!("; {size} would fit")).unwrap_or_default();
    Some(format!("mss {asked} is too large for {device}{place}, whose MTU is {}{fitting}", smallest.bytes))
}

/// `  → up0, bridged`: what is out of the ordinary. That a packet was accepted shows in that it goes on.
fn passage(netfilter: &NetfilterRecord) -> String {
    let out = netfilter.out.as_ref().map(|device| format!("  → {}", printable(device))).unwrap_or_default();
    let bridged = if netfilter.bridged { "  bridged" } else { "" };
    let verdict = if netfilter.verdict == Some("drop") { "  drop" } else { "" };
    format!("{out}{bridged}{verdict}")
}

/// `12:00:00.123456 icmp 10.40.0.2 → 10.40.0.3, echo request seq 1, 98 bytes  [1.0.6]`
fn heading(packet: &PacketRecord) -> String {
    // RFC 3339 has the time of day behind the T, and a time zone we always print as Z.
    let time = packet.time.split_once('T').map_or("", |(_, time)| time);
    let time = time.get(..15).unwrap_or(time);
    let info = packet.info.as_ref().map(|info| format!(", {info}")).unwrap_or_default();
    format!("{time} {} {}{info}, {} bytes  [{}]", packet.proto, path(&packet.tuple), packet.length, packet.id)
}

fn ending(out: &mut impl Write, packet: &PacketRecord, style: Style) -> io::Result<()> {
    if let Some(drop) = &packet.drop {
        return dropped(out, drop, style);
    }
    let end = packet.end.as_ref();
    let at = end.and_then(|end| end.offset_ns);
    let at = at.map_or_else(|| INDENT.get(..14).unwrap_or_default().to_owned(), offset);
    let by =
        end.and_then(|end| end.function.as_ref()).map(|name| format!(" ({})", printable(name))).unwrap_or_default();
    let last = packet.hops.iter().rfind(|hop| !hop.is_function);
    let place = last.map(|hop| format!(" in {}", netns_of(hop))).unwrap_or_default();
    let line = match packet.outcome {
        "delivered" => {
            let to = end.and_then(|end| end.socket.as_ref()).map(receiver).unwrap_or_default();
            style.good(&format!("delivered{to}{place}{by}"))
        }
        "left" => {
            let device = last.map(device_of).unwrap_or_default();
            style.good(&format!("left this machine through {device}{place}"))
        }
        "cloned-away" => format!("{}{place}{by}", cloned_away(packet, end)),
        _ => style.change(&match waits_for(packet) {
            Some(neighbour) => format!("waiting still{}", named("in", &neighbour.netns)),
            None => format!("no more seen of it{place}{by}"),
        }),
    };
    writeln!(out, "{at}  {line}")
}

/// Whom a packet waits for that nothing else was heard of since.
fn waits_for(packet: &PacketRecord) -> Option<&NeighbourRecord> {
    packet.neighbours.last().filter(|last| last.is_pending() && last.before_hop >= packet.hops.len())
}

fn cloned_away(packet: &PacketRecord, end: Option<&EndRecord>) -> String {
    if packet.pieces > 0 {
        return format!("went on in {}", count(packet.pieces.into(), "piece"));
    }
    match end.and_then(|end| end.function.as_deref()) {
        Some("inet_frag_reasm_prepare") => "went on in the packet that it is a fragment of".to_owned(),
        _ => "only its copies went on".to_owned(),
    }
}

/// ` to nginx (pid 4711) on tcp port 80`, as much of it as is known.
fn receiver(socket: &Receiver) -> String {
    if socket.kernel {
        return " to the kernel itself".into();
    }
    let process = socket.process.as_ref().map(|name| printable(name));
    let who = process.zip(socket.pid).map(|(name, pid)| format!(" to {name} (pid {pid})")).unwrap_or_default();
    let port = socket.port.map(|port| format!(" on {} port {port}", socket.proto)).unwrap_or_default();
    format!("{who}{port}")
}

/// ` in lab-c1`, or nothing.
fn named(label: &str, name: &Option<String>) -> String {
    name.as_ref().map(|name| format!(" {label} {}", printable(name))).unwrap_or_default()
}

fn dropped(out: &mut impl Write, drop: &DropRecord, style: Style) -> io::Result<()> {
    let reason = drop.reason.clone().unwrap_or_else(|| format!("reason {}", drop.reason_number));
    let place = format!("{}{}{}", named("in", &drop.netns), named("on", &drop.device), named("by", &drop.function));
    let verb = if drop.fault == Some(false) { "not wanted" } else { "dropped" };
    let line = format!("{verb}{place}: {reason}");
    let line = if drop.fault == Some(false) { style.faint(&line) } else { style.bad(&line) };
    writeln!(out, "{}  {line}", offset(drop.offset_ns))?;
    for line in wrap(drop.explanation, WIDTH - INDENT.len()) {
        writeln!(out, "{INDENT}{line}")?;
    }
    if drop.fault != Some(false) {
        rule(out, "rule", &drop.rule, style)?;
        if !drop.facts.is_empty() {
            for line in wrap(&format!("Here: {}.", printable(&drop.facts.join("; "))), WIDTH - INDENT.len()) {
                writeln!(out, "{INDENT}{}", style.change(&line))?;
            }
        }
        if let Some(why) = drop.evidence_missing {
            writeln!(out, "{INDENT}{}", style.faint(&format!("Not looked up: {why}.")))?;
        }
        // What is known leaves no room for what is usual.
        if drop.facts.is_empty() && drop.rule.rule.is_none() && !drop.causes.is_empty() {
            for line in wrap(&format!("Usually: {}.", drop.causes.join("; ")), WIDTH - INDENT.len()) {
                writeln!(out, "{INDENT}{line}")?;
            }
        }
        for look in &drop.look {
            writeln!(out, "{INDENT}{}", style.faint(&format!("try: {}", printable(look))))?;
        }
    }
    Ok(())
}

fn waited(out: &mut impl Write, neighbour: &NeighbourRecord, style: Style) -> io::Result<()> {
    for line in wrap(&neighbour.line(), WIDTH - INDENT.len()) {
        writeln!(out, "{INDENT}{}", if neighbour.is_fault() { style.change(&line) } else { style.faint(&line) })?;
    }
    Ok(())
}

fn rewritten(out: &mut impl Write, nat: &NatRecord, style: Style) -> io::Result<()> {
    writeln!(out, "{INDENT}{}", style.change(&rewrite(nat)))?;
    rule(out, "by", &nat.rule, style)
}

/// The rule that did it, or what can be said instead. Rules were written by whoever may change the rule set.
fn rule(out: &mut impl Write, label: &str, found: &RuleRecord, style: Style) -> io::Result<()> {
    let mut say = |line: String, certain: bool| -> io::Result<()> {
        for line in wrap(&printable(&line), WIDTH - INDENT.len()) {
            writeln!(out, "{INDENT}{}", if certain { style.change(&line) } else { style.faint(&line) })?;
        }
        Ok(())
    };
    if let Some(rule) = &found.rule {
        return say(format!("{label}: {rule}"), true);
    }
    for candidate in &found.rule_candidates {
        say(format!("perhaps {candidate}"), false)?;
    }
    for why in &found.rule_undecided {
        say(format!("not certain: {why}"), false)?;
    }
    Ok(())
}

fn rewrite(nat: &NatRecord) -> String {
    let place = nat.netns.as_ref().map(|netns| format!(" in {}", printable(netns))).unwrap_or_default();
    let hook = nat.hook.map(|hook| format!(" at {hook}")).unwrap_or_default();
    let source = matches!(nat.kind, "snat" | "masquerade" | "un-dnat");
    let end = |tuple: &TupleRecord| {
        if source { endpoint(tuple.src.as_deref(), tuple.sport) } else { endpoint(tuple.dst.as_deref(), tuple.dport) }
    };
    let what = if source { "source" } else { "destination" };
    format!("{} {what} {} ⇒ {}{place}{hook}", nat.kind, end(&nat.before), end(&nat.after))
}

/// Prints the summary.
pub(super) fn summary(out: &mut impl Write, summary: &SummaryRecord, style: Style) -> io::Result<()> {
    let outcomes = outcomes(&summary.outcomes);
    let lost = summary.lost;
    writeln!(
        out,
        "{}{outcomes}, {}, {}.",
        count(summary.packets, "packet"),
        count(summary.events, "event"),
        if lost.ring == 0 { "none lost".to_owned() } else { style.bad(&format!("{} lost", lost.ring)) }
    )?;
    if lost.tracking > 0 {
        let line =
            format!("{} not followed: there were more than could be recorded.", count(lost.tracking, "more packet"));
        writeln!(out, "{}", style.change(&line))?;
    }
    if lost.missed > 0 {
        writeln!(out, "A probe was interrupted by itself and did not see {}.", count(lost.missed, "packet"))?;
    }
    if lost.unprinted > 0 {
        writeln!(out, "{} not printed: the trace was told to stop.", count(lost.unprinted, "more packet"))?;
    }
    if lost.cut_short > 0 {
        writeln!(out, "{} printed before the end was known.", count(lost.cut_short, "packet"))?;
    }
    let attached = summary.probes.iter().filter(|probe| probe.attached).count();
    if attached == summary.probes.len() {
        writeln!(out, "All {attached} probes were attached.")?;
    } else {
        writeln!(out, "{} attached; not here:", count(attached as u64, "probe"))?;
        for line in functions::missing(summary.probes.iter(), WIDTH - 2) {
            writeln!(out, "  {line}")?;
        }
    }
    Ok(())
}

fn outcomes(counts: &OutcomeCounts) -> String {
    let harmful = counts.dropped - counts.dropped_harmlessly;
    let named: Vec<_> = [
        (counts.delivered, "delivered"),
        (harmful, "dropped"),
        (counts.dropped_harmlessly, "not wanted by anyone"),
        (counts.left, "left"),
        (counts.cloned_away, "cloned away"),
        (counts.unknown, "unknown"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, name)| format!("{count} {name}"))
    .collect();
    if named.is_empty() { String::new() } else { format!(" ({})", named.join(", ")) }
}

/// Prints what the kernel allows.
pub(super) fn capabilities(out: &mut impl Write, record: &CapabilitiesRecord, style: Style) -> io::Result<()> {
    writeln!(out, "{}", style.strong(&format!("Linux {}", printable(&record.kernel))))?;
    let names = width(record.probes.iter().filter(|probe| !probe.is_function).map(|probe| probe.name.len()));
    let kinds = width(record.probes.iter().map(|probe| probe.kind.len()));
    for probe in record.probes.iter().filter(|probe| !probe.is_function) {
        let verdict = match (&probe.why_not, &probe.fell_back) {
            (None, None) => style.good("yes"),
            (None, Some(why)) => format!("{} not better: {}", style.good("yes"), printable(why)),
            (Some(why), _) => format!("{} {}", style.bad("no"), printable(why)),
        };
        writeln!(out, "  {:names$}  {:kinds$}  {verdict}", probe.name, probe.kind)?;
    }
    if let Some((kind, attached, all, fell_back)) = functions::attached(&record.probes) {
        let yes = if attached == 0 { style.bad("no") } else { style.good("yes") };
        let why = fell_back.map(|why| format!(", not better: {}", printable(why))).unwrap_or_default();
        writeln!(out, "  {:names$}  {kind:kinds$}  {yes} {attached} of {all}{why}", "functions")?;
        for line in functions::missing(record.probes.iter().filter(|probe| probe.is_function), WIDTH - 4) {
            writeln!(out, "    {line}")?;
        }
    }
    if record.blind_spots.is_empty() {
        return writeln!(out, "Every hook can be attached here.");
    }
    writeln!(out, "Not seen on this kernel:")?;
    for blind_spot in &record.blind_spots {
        for (number, line) in wrap(blind_spot, WIDTH - 4).iter().enumerate() {
            writeln!(out, "  {} {line}", if number == 0 { "-" } else { " " })?;
        }
    }
    Ok(())
}

pub(super) fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// `10.40.0.2:4000 → 10.40.0.3:80`
fn path(tuple: &TupleRecord) -> String {
    if tuple.src.is_none() && tuple.dst.is_none() {
        return "(no addresses)".into();
    }
    format!("{} → {}", endpoint(tuple.src.as_deref(), tuple.sport), endpoint(tuple.dst.as_deref(), tuple.dport))
}

fn endpoint(address: Option<&str>, port: Option<u16>) -> String {
    match (address, port) {
        (Some(address), Some(port)) if address.contains(':') => format!("[{address}]:{port}"),
        (Some(address), Some(port)) => format!("{address}:{port}"),
        (Some(address), None) => address.to_owned(),
        (None, _) => "?".into(),
    }
}

/// Microseconds, right-aligned in 14 columns.
fn offset(nanoseconds: u64) -> String {
    format!("{:>8}.{} µs", nanoseconds / 1000, nanoseconds % 1000 / 100).chars().take(WIDTH).collect::<String>() + " "
}

fn netns_of(hop: &HopRecord) -> String {
    let name = hop.netns.clone().or_else(|| hop.netns_inode.map(|inode| format!("netns {inode}")));
    shortened(&printable(&name.unwrap_or_else(|| "?".into())), NETNS).into_owned()
}

fn device_of(hop: &HopRecord) -> String {
    printable(hop.device.as_deref().unwrap_or("?")).into_owned()
}

fn width(lengths: impl Iterator<Item = usize>) -> usize {
    lengths.max().unwrap_or(0)
}

/// Breaks prose at spaces.
pub(super) fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let fits = lines
            .last()
            .is_some_and(|line| line.is_empty() || line.chars().count() + 1 + word.chars().count() <= columns);
        if !fits {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}
