//! Reading topology files.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use super::builtin::Builtin;
use super::document::{Reader, Spans};
use super::mistake::{Mistake, Step};
use super::{Topology, schema};
use crate::output::printable;

/// No topology is larger; a file that is was not meant.
const LARGEST: u64 = 4 << 20;

/// Everything that is wrong with a topology file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistakes {
    /// The file.
    pub file: String,
    /// Lines, counted from 1, and what is wrong there; 0 if it is nothing on a line.
    pub found: Vec<(usize, String)>,
}

impl fmt::Display for Mistakes {
    /// One a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = printable(&self.file);
        let lines = self.found.iter().map(|(line, reason)| match line {
            0 => format!("{file}: {}", printable(reason)),
            line => format!("{file}:{line}: {}", printable(reason)),
        });
        f.write_str(&lines.collect::<Vec<_>>().join("\n"))
    }
}

impl std::error::Error for Mistakes {}

/// The topology a person named: a built-in one, or a file (anything with a `/` or a `.` in it).
pub fn find(name: &str) -> Result<Topology, Mistakes> {
    let alone = |reason: String| Mistakes { file: name.to_owned(), found: vec![(0, reason)] };
    if let Some(builtin) = Builtin::find(name) {
        return builtin.topology();
    }
    if !name.contains(['/', '.']) {
        return Err(alone(
            "there is no such topology; `netobs lab topologies` lists them; a file has a `.` or `/`".into(),
        ));
    }
    let path = PathBuf::from(name);
    let failed = |error: std::io::Error| alone(format!("cannot be read: {error}"));
    let metadata = fs::metadata(&path).map_err(failed)?;
    if !metadata.is_file() || metadata.len() > LARGEST {
        return Err(alone("is not a topology file".to_owned()));
    }
    let text = fs::read(&path).map_err(failed)?;
    let text = String::from_utf8(text).map_err(|_| alone("is not text in UTF-8".to_owned()))?;
    parse(name, &text)
}

/// Reads a topology file. All of its mistakes are returned at once: those of its form, of its values, and whatever the
/// kernel would refuse.
pub fn parse(file: &str, text: &str) -> Result<Topology, Mistakes> {
    let (document, errors) = DeTable::parse_recoverable(text);
    let line = |offset: usize| text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1;
    let mut found: Vec<(usize, String)> =
        errors.iter().map(|error| (error.span().map_or(0, |span| line(span.start)), first_line(error))).collect();
    let mut topology = Topology::default();
    // What is left of a document that is no TOML says nothing reliable.
    if found.is_empty() {
        let schema = schema();
        let mut reader = Reader::new(&schema);
        let (value, spans) = reader.read(&document);
        found.extend(reader.mistakes.drain(..).map(|(span, reason)| (line(span.start), reason)));
        match serde_json::from_value(value) {
            Ok(read) => topology = read,
            Err(error) => found.push((0, error.to_string())),
        }
        complete(&mut topology, file);
        let lost: Vec<&str> = reader.lost.iter().filter_map(|span| text.get(span.clone())).collect();
        let sure = |mistake: &Mistake| !rests_on_broken(&topology, &spans, &lost, mistake);
        let mistakes = topology.check().into_iter().filter(sure);
        found.extend(mistakes.map(|mistake| (line(spans.find(&mistake.place).start), mistake.reason)));
    }
    if found.is_empty() {
        return Ok(topology);
    }
    found.sort();
    found.dedup();
    Err(Mistakes { file: file.to_owned(), found })
}

/// What the file left to us: its name, and the settings every node starts with.
fn complete(topology: &mut Topology, file: &str) {
    if topology.name.is_empty() {
        let stem = Path::new(file).file_stem().unwrap_or_default();
        topology.name = stem.to_string_lossy().into_owned();
    }
    topology.nodes.iter_mut().for_each(super::Node::complete);
}

/// Whether a mistake may be no more than the consequence of another: the node it rests on was not read in full, or is
/// spoken of in a part of the text that could not be read at all.
fn rests_on_broken(topology: &Topology, spans: &Spans, lost: &[&str], mistake: &Mistake) -> bool {
    let Some(name) = &mistake.rests_on else { return false };
    let quoted = [format!("\"{name}\""), format!("'{name}'")];
    let spoken_of = lost.iter().any(|text| quoted.iter().any(|name| text.contains(name)));
    let lists = spans.lacks_elements("nodes");
    let node = topology.nodes.iter().position(|node| node.name == *name);
    let node = node.is_some_and(|index| spans.is_broken(&["nodes".into(), index.into()]));
    let link = |index: usize| spans.is_broken(&["links".into(), Step::Index(index)]);
    let own = |link: &super::Link| link.ends.iter().any(|end| end.node == *name);
    lists || spoken_of || node || topology.links.iter().enumerate().any(|(index, ends)| own(ends) && link(index))
}

fn first_line(error: &toml::de::Error) -> String {
    error.message().lines().next().unwrap_or("not TOML").to_owned()
}
