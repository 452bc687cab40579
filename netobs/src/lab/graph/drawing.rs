//! Boxes and cables, for topologies in which every cable has one end in the same node: what is plugged into its bridges
//! is drawn above it, the rest below.

use super::super::topology::{Device, Node, Topology};
use super::{Seen, WIDTH, facts};

/// Space between boxes that stand side by side.
const GAP: usize = 3;
/// Space at the left.
const MARGIN: usize = 2;

/// A node that hangs on the hub by one cable.
struct Leaf<'a> {
    node: &'a Node,
    /// The hub's end of the cable, as it is shown.
    label: String,
    lines: Vec<String>,
}

/// The picture, or `None` if the topology has another shape or does not fit.
pub(super) fn draw(topology: &Topology, seen: &Seen) -> Option<String> {
    if topology.nodes.iter().any(|node| !node.vxlans.is_empty() || !node.lent.is_empty()) {
        return None;
    }
    let hub = topology.nodes.iter().max_by_key(|node| topology.ends_in(&node.name).count())?;
    let mut above = Vec::new();
    let mut below = Vec::new();
    for link in &topology.links {
        let [one, other] = &link.ends;
        let (hubs, own) = if one.node == hub.name { (one, other) } else { (other, one) };
        if hubs.node != hub.name || own.node == hub.name || topology.ends_in(&own.node).count() != 1 {
            return None;
        }
        let node = topology.node(&own.node)?;
        let mut lines = vec![node.role.clone()];
        lines.extend(facts(node));
        lines.push(seen.label(node, Device::End(own)));
        let leaf = Leaf { node, label: seen.label(hub, Device::End(hubs)), lines };
        if hubs.bridge.is_some() { above.push(leaf) } else { below.push(leaf) }
    }
    if above.len() + below.len() + 1 != topology.nodes.len() {
        return None;
    }
    // Next to the cable, which is below for one and above for the other.
    below.iter_mut().for_each(|leaf| leaf.lines.rotate_right(1));

    let mut inside: Vec<String> = Vec::new();
    for bridge in &hub.bridges {
        inside.push(format!("{} — a bridge", seen.label(hub, Device::Bridge(bridge))));
    }
    inside.push(hub.role.clone());
    inside.extend(facts(hub));
    let (ports, uplinks) = (columns(&above), columns(&below));
    let width = ports.width.max(uplinks.width).max(inside.iter().map(|line| line.chars().count() + 4).max()?);
    if width + MARGIN > WIDTH {
        return None;
    }

    let mut picture = Vec::new();
    picture.extend(boxes(&above, &ports, Side::Below));
    picture.push(cables(&ports));
    picture.push(edge('┌', '┐', &title(hub), width, &ports.centres, '┴'));
    if !above.is_empty() {
        picture.push(framed(&labels(&above, &ports), width));
        // The bridge itself, from the first port to the last.
        let (first, last) = (*ports.centres.first()?, *ports.centres.last()?);
        let rail: String = (1..=last + 4)
            .map(|column| match column {
                _ if ports.centres.contains(&column) => '╧',
                _ if column + 4 >= first => '═',
                _ => ' ',
            })
            .collect();
        picture.push(framed(&rail, width));
    }
    picture.extend(inside.iter().map(|line| framed(&format!("  {line}"), width)));
    if !below.is_empty() {
        picture.push(framed(&labels(&below, &uplinks), width));
    }
    picture.push(edge('└', '┘', "", width, &uplinks.centres, '┬'));
    if !below.is_empty() {
        picture.push(cables(&uplinks));
        picture.extend(boxes(&below, &uplinks, Side::Above));
    }
    let margin = " ".repeat(MARGIN);
    Some(picture.iter().fold(String::new(), |text, line| text + format!("{margin}{line}").trim_end() + "\n"))
}

/// Where boxes that stand side by side begin, how wide each is, and where its cable is.
struct Columns {
    starts: Vec<usize>,
    widths: Vec<usize>,
    centres: Vec<usize>,
    width: usize,
}

fn columns(leaves: &[Leaf<'_>]) -> Columns {
    let mut columns = Columns { starts: Vec::new(), widths: Vec::new(), centres: Vec::new(), width: 0 };
    for leaf in leaves {
        let label = leaf.label.chars().count();
        let text = leaf.lines.iter().map(|line| line.chars().count()).max().unwrap_or(0);
        let width = (text + 4).max(title(leaf.node).chars().count() + 3).max(label + 2);
        let start = if columns.width == 0 { 0 } else { columns.width + GAP };
        columns.starts.push(start);
        columns.widths.push(width);
        columns.centres.push(start + width / 2);
        columns.width = start + width;
    }
    columns
}

fn title(node: &Node) -> String {
    format!("─ {} ", node.name)
}

/// Which edge of a box its cable leaves by.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Above,
    Below,
}

fn boxes(leaves: &[Leaf<'_>], columns: &Columns, cable: Side) -> Vec<String> {
    let height = leaves.iter().map(|leaf| leaf.lines.len()).max().unwrap_or(0);
    let mut rows = vec![String::new(); if leaves.is_empty() { 0 } else { height + 2 }];
    for (index, leaf) in leaves.iter().enumerate() {
        let (Some(&start), Some(&width)) = (columns.starts.get(index), columns.widths.get(index)) else { continue };
        let crossings = |side| if cable == side { vec![width / 2] } else { Vec::new() };
        let blank = height - leaf.lines.len();
        let mut own = vec![edge('┌', '┐', &title(leaf.node), width, &crossings(Side::Above), '┴')];
        // The device stays next to its cable.
        let mut lines: Vec<&str> = leaf.lines.iter().map(String::as_str).collect();
        let at = if cable == Side::Below { lines.len().saturating_sub(1) } else { lines.len() };
        lines.splice(at..at, std::iter::repeat_n("", blank));
        own.extend(lines.iter().map(|line| framed(&format!(" {line}"), width)));
        own.push(edge('└', '┘', "", width, &crossings(Side::Below), '┬'));
        for (row, piece) in rows.iter_mut().zip(own) {
            *row = format!("{row:start$}{piece}");
        }
    }
    rows
}

/// A box's upper or lower edge with a title and the places where cables cross it.
fn edge(left: char, right: char, title: &str, width: usize, crossings: &[usize], crossing: char) -> String {
    let mut line: Vec<char> = title.chars().chain(std::iter::repeat('─')).take(width.saturating_sub(2)).collect();
    for place in crossings {
        // A title stays readable; its cable still ends right above it.
        if let Some(character) = line.get_mut(place.saturating_sub(1)).filter(|character| **character == '─') {
            *character = crossing;
        }
    }
    format!("{left}{}{right}", line.into_iter().collect::<String>())
}

/// A line of a box. `text` begins at the box's second column.
fn framed(text: &str, width: usize) -> String {
    let inner = width.saturating_sub(2);
    let text: String = text.chars().take(inner).collect();
    format!("│{text:inner$}│")
}

/// The cables between two rows of boxes.
fn cables(columns: &Columns) -> String {
    columns.centres.iter().fold(String::new(), |line, centre| format!("{line:centre$}│ veth"))
}

/// The names of the hub's ends, each centred on its cable.
fn labels(leaves: &[Leaf<'_>], columns: &Columns) -> String {
    leaves.iter().zip(&columns.centres).fold(String::new(), |line, (leaf, centre)| {
        let label = &leaf.label;
        // One less: the frame is the box's first column.
        let start = centre.saturating_sub(label.chars().count() / 2 + 1).max(line.chars().count() + 1);
        format!("{line:start$}{label}")
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::default_topology;
    use super::draw;

    #[test]
    fn draws_the_default_lab_within_a_terminal() {
        let picture = draw(&default_topology(), &super::Seen::default()).unwrap();
        assert!(picture.lines().all(|line| line.chars().count() <= super::WIDTH), "{picture}");
        let column = |line: &str, wanted: char| line.chars().position(|found| found == wanted);
        let lines: Vec<&str> = picture.lines().collect();
        let cable = lines.iter().position(|line| line.contains("veth")).unwrap();
        let place = column(lines[cable], '│');
        assert_eq!(column(lines[cable - 1], '┬'), place, "the cable leaves the box above\n{picture}");
        assert_eq!(column(lines[cable + 1], '┴'), place, "and enters the one below\n{picture}");
    }

    #[test]
    fn leaves_other_shapes_to_the_list() {
        let mut topology = default_topology();
        let mut extra = topology.links[2].clone();
        extra.ends[0].node = "c2".to_owned();
        extra.ends[0].device = "eth1".to_owned();
        extra.ends[1].device = "eth1".to_owned();
        topology.links.push(extra);
        assert_eq!(draw(&topology, &super::Seen::default()), None);
    }
}
