//! `netobs lab …`

mod hand;
mod scenarios;
mod story;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use nix::unistd::geteuid;
use serde::Serialize;
use serde_json::json;

use super::print::{print, print_record};
use crate::lab::graph::Seen;
use crate::lab::{self, Builtin, Error, LabName, LabStatus, State, default_topology, graph};
use crate::output::{Format, printable};
use crate::probe::tc;
use crate::refusal::Refusal;
use crate::state::Namespaces;

/// Builds, shows and removes a container network to try things on.
#[derive(Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Builds a lab; if it is up, mends whatever is not as its topology says.
    Up {
        /// What to build: one that `netobs lab topologies` lists, or a topology file.
        #[arg(default_value = Builtin::DEFAULT)]
        topology: String,
        /// What to call it: its namespaces are NAME-NODE.
        #[arg(long, value_name = "LAB", default_value = LabName::DEFAULT)]
        name: String,
        /// How to print what was built.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Removes a lab and ends everything that runs in it; does nothing if there is none.
    Down {
        /// Which lab.
        #[arg(default_value = LabName::DEFAULT, conflicts_with = "all")]
        lab: String,
        /// Remove every lab.
        #[arg(long)]
        all: bool,
        /// How to print what was removed.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Lists the labs and their nodes, and what is not as it should be.
    Status {
        /// Of this lab only.
        lab: Option<String>,
        /// How to print them.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Runs a command in a node. The exit status is the command's own (128 + N if signal N ended it); it is 1 if the
    /// command could not be started.
    Exec {
        /// The node: `c1`, or with its lab `lab-c1`.
        node: String,
        /// The lab, if several have such a node.
        #[arg(long, value_name = "LAB")]
        name: Option<String>,
        /// The command and its arguments, after `--`.
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
    /// Lists the topologies that need no file.
    Topologies {
        /// How to print them; `json` includes each one's file.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Prints the JSON schema of topology files (or one of the built-in files, to start from).
    Schema {
        /// Print this built-in topology's file instead.
        #[arg(long, value_name = "TOPOLOGY")]
        file: Option<String>,
    },
    /// Draws a lab's network as it is now; the default one's if no such lab is up.
    Graph {
        /// Which lab.
        #[arg(long, value_name = "LAB", default_value = LabName::DEFAULT)]
        name: String,
        /// Lines for a terminal, or a description for another program.
        #[arg(long, value_enum, default_value_t)]
        format: Picture,
    },
    /// Lists the faults that can be played.
    Scenarios(scenarios::List),
    /// Plays faults, each in a lab of its own: healthy, broken, noticed, seen by the observer, mended, healthy again.
    Run(scenarios::Play),
    /// Breaks a lab that is up.
    Break(hand::Arguments),
    /// Tries once what works as long as nothing is broken. The exit status is 1 if something fails.
    Try(hand::Arguments),
    /// Mends what `netobs lab break` broke.
    Fix(hand::Arguments),
}

#[derive(Clone, Copy, Default, ValueEnum)]
enum Picture {
    /// For people.
    #[default]
    Text,
    /// One JSON object.
    Json,
    /// For Graphviz.
    Dot,
    /// For Mermaid.
    Mermaid,
}

/// Runs a `lab` subcommand.
pub(super) fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let done = match arguments.command {
        Command::Up { topology, name, format } => return up(&topology, &name, format),
        Command::Down { lab, all, format } => down(&lab, all, format),
        Command::Status { lab, format } => status(lab.as_deref(), format),
        Command::Exec { node, name, command } => return exec(&node, name.as_deref(), &command),
        Command::Topologies { format } => topologies(format),
        Command::Schema { file } => schema(file.as_deref()),
        Command::Graph { name, format } => draw(&name, format),
        Command::Scenarios(arguments) => scenarios::list(&arguments),
        Command::Run(arguments) => return scenarios::play(&arguments),
        Command::Break(arguments) => return hand::run(&arguments, lab::scenario::Hand::Break),
        Command::Try(arguments) => return hand::run(&arguments, lab::scenario::Hand::Try),
        Command::Fix(arguments) => return hand::run(&arguments, lab::scenario::Hand::Fix),
    };
    done.map(|()| ExitCode::SUCCESS)
}

fn up(topology: &str, name: &str, format: Format) -> anyhow::Result<ExitCode> {
    let lab = lab_name(name)?;
    // As a whole path: whoever asks for the lab's status later may do so from elsewhere.
    let source = if Builtin::find(topology).is_none() { fs::canonicalize(topology).ok() } else { None };
    let topology = match lab::find_topology(topology) {
        Ok(topology) => topology,
        Err(mistakes) => {
            mistakes.to_string().lines().for_each(|line| eprintln!("netobs: {line}"));
            return Ok(ExitCode::from(2));
        }
    };
    root("building a lab")?;
    let built = lab::up_from(&lab, topology, source).map_err(refused)?;
    tell_built(name, &built, format).map(|()| ExitCode::SUCCESS)
}

/// Nodes that are named when a lab is up; `netobs lab status` lists all.
const NAMES: usize = 6;

fn tell_built(name: &str, built: &lab::Built, format: Format) -> anyhow::Result<()> {
    let lab = &built.state.lab;
    let seconds = seconds(built.took);
    if format == Format::Json {
        let nodes: Vec<_> = built.state.nodes.iter().map(node_json).collect();
        let record = json!({
            "lab": lab, "topology": built.state.topology.name, "already": built.already, "mended": built.mended,
            "seconds": seconds,
            "nodes": nodes,
        });
        return print_record("lab_up", &record);
    }
    if !built.mended.is_empty() {
        let mended: String = built.mended.iter().map(|what| format!("  mended: {}\n", printable(what))).collect();
        return print(&format!("lab `{lab}` is whole again after {seconds:.3} s\n{mended}"));
    }
    if built.already {
        return print(&format!("lab `{lab}` is up already\n"));
    }
    let mut names: Vec<_> = built.state.nodes.iter().take(NAMES).map(|node| node.namespace.clone()).collect();
    let left = built.state.nodes.len() - names.len();
    names.extend((left > 0).then(|| format!("and {left} more")));
    let mut text = format!("lab `{lab}` is up after {seconds:.3} s: {}\n", names.join(", "));
    text += &notes(built.state.nodes.iter().map(|node| (node.node.as_str(), node.notes.as_slice())));
    let named = lab::name_option(name);
    text += &format!("  look at it:   netobs lab graph{named}\n");
    let experiments = &built.state.topology.experiments;
    for (experiment, title) in experiments.iter().zip(["try it:", "or:"].into_iter().chain(std::iter::repeat(""))) {
        text += &format!("  {title:12}  netobs lab exec{named} {} -- {}\n", experiment.node, experiment.run);
        if !experiment.shows.is_empty() {
            text += &format!("  {:14}  {}\n", "", experiment.shows);
        }
    }
    print(&text)
}

fn topologies(format: Format) -> anyhow::Result<()> {
    let width = Builtin::ALL.iter().map(|builtin| builtin.name.len()).max().unwrap_or(0);
    for builtin in Builtin::ALL {
        let topology = builtin.topology()?;
        match format {
            Format::Json => {
                let about = json!({ "name": builtin.name, "about": topology.about, "file": builtin.text });
                print_record("builtin_topology", &about)?;
            }
            Format::Text => print(&format!("{:width$}  {}\n", builtin.name, topology.about))?,
        }
    }
    Ok(())
}

fn schema(file: Option<&str>) -> anyhow::Result<()> {
    match file {
        None => print(&(serde_json::to_string_pretty(&lab::topology_schema())? + "\n")),
        Some(name) => match Builtin::find(name) {
            Some(builtin) => print(builtin.text),
            None => Err(Refusal::Usage(format!("no built-in topology is called `{name}`")).into()),
        },
    }
}

fn node_json(node: &lab::NodeState) -> serde_json::Value {
    json!({
        "node": node.node, "netns": node.namespace, "netns_inode": node.netns,
        "pid": node.init.map(|init| init.pid), "notes": node.notes,
    })
}

fn down(lab: &str, all: bool, format: Format) -> anyhow::Result<()> {
    let labs = if all { None } else { Some(lab_name(lab)?) };
    root("removing a lab")?;
    // A trace that was killed may have left filters in the lab, and on devices that outlive it.
    tc::sweep(&mut Namespaces::new());
    let labs = match labs {
        Some(lab) => vec![lab],
        None => State::all()?.into_iter().map(|state| state.lab).collect(),
    };
    if labs.is_empty() && format == Format::Text {
        return print("there is no lab, nothing to remove\n");
    }
    let mut failures = Vec::new();
    for lab in labs {
        match lab::down(&lab) {
            Ok(removed) => {
                let seconds = seconds(removed.took);
                match format {
                    Format::Json => {
                        let record = json!({ "lab": lab, "removed": removed.existed, "seconds": seconds });
                        print_record("lab_down", &record)?;
                    }
                    Format::Text if removed.existed => {
                        print(&format!("lab `{lab}` is removed after {seconds:.3} s\n"))?
                    }
                    Format::Text => print(&format!("there is no lab `{lab}`, nothing to remove\n"))?,
                }
            }
            Err(error) => failures.push(format!("remove lab `{lab}`: {error}")),
        }
    }
    if failures.is_empty() { Ok(()) } else { Err(anyhow::anyhow!(failures.join("; "))) }
}

fn status(lab: Option<&str>, format: Format) -> anyhow::Result<()> {
    let lab = lab.map(lab_name).transpose()?;
    root("looking into a lab's namespaces")?;
    let labs = lab::status(lab.as_ref())?;
    if format == Format::Json {
        return labs.iter().try_for_each(|lab| print_record("lab", lab));
    }
    if labs.is_empty() {
        return print("no lab is up; `netobs lab up` builds one\n");
    }
    let shown: Vec<String> = labs.iter().map(table).collect();
    print(&shown.join("\n"))
}

/// A lab with a line per node, and beneath it what is wrong.
fn table(lab: &LabStatus) -> String {
    let health = match lab.state {
        lab::Health::Up => "up".to_owned(),
        lab::Health::Changed => format!("up, but changed; `{}` mends it", printable(&lab.up_again())),
        lab::Health::Unfinished => format!(
            "unfinished: `{}` builds it anew, `netobs lab down {}` removes what is left",
            printable(&lab.up_again()),
            lab.lab
        ),
    };
    let mut text = format!("lab `{}` (topology {}): {health}\n", lab.lab, lab.topology);
    text += &lab.file.as_ref().map_or_else(String::new, |file| format!("  {}\n", printable(file)));
    let width = |length: fn(&lab::NodeStatus) -> usize, title: &str| {
        lab.nodes.iter().map(length).max().unwrap_or(0).max(title.len())
    };
    let (name, netns) = (width(|node| node.node.len(), "NODE"), width(|node| node.netns.len(), "NETNS"));
    text += &format!("  {:name$}  {:netns$}  {:>7}  {:>7}  STATE  ADDRESSES\n", "NODE", "NETNS", "PID", "MEMORY");
    for node in &lab.nodes {
        let pid = node.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
        let memory = node.memory_limit.map_or_else(|| "-".to_owned(), |limit| format!("{} MiB", limit >> 20));
        let state = if node.missing.is_empty() { "ok" } else { "wrong" };
        let addresses = node.addresses.join(", ");
        text +=
            &format!("  {:name$}  {:netns$}  {pid:>7}  {memory:>7}  {state:5}  {addresses}\n", node.node, node.netns);
    }
    for node in &lab.nodes {
        for missing in &node.missing {
            text += &format!("  wrong in {}: {}\n", node.node, printable(missing));
        }
    }
    text + &notes(lab.nodes.iter().map(|node| (node.node.as_str(), node.notes.as_slice())))
}

/// What the machine did not allow, a line for each reason with all nodes it concerns.
fn notes<'a>(nodes: impl Iterator<Item = (&'a str, &'a [String])>) -> String {
    let mut concerned: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (node, note) in nodes.flat_map(|(node, notes)| notes.iter().map(move |note| (node, note))) {
        concerned.entry(note).or_default().push(node);
    }
    let line = |text, (note, nodes): (&str, Vec<&str>)| format!("{text}  note on {}: {note}\n", nodes.join(", "));
    concerned.into_iter().fold(String::new(), line)
}

fn exec(node: &str, name: Option<&str>, command: &[OsString]) -> anyhow::Result<ExitCode> {
    let lab = name.map(lab_name).transpose()?;
    root("entering a lab's namespaces")?;
    let handle = lab::find_node(node, lab.as_ref())?;
    let (program, arguments) = command.split_first().ok_or_else(|| Refusal::Usage("no command given".to_owned()))?;
    Ok(ExitCode::from(lab::exec(&handle, program, arguments).map_err(refused)?))
}

fn draw(name: &str, format: Picture) -> anyhow::Result<()> {
    let lab = lab_name(name)?;
    let (topology, seen) = match State::load(&lab)? {
        // Without root nobody can look into it; the picture is then what it should be.
        Some(state) if geteuid().is_root() => (state.topology.clone(), Seen::look(&state)?),
        Some(state) => (state.topology, Seen::default()),
        None if name == LabName::DEFAULT => (default_topology(), Seen::default()),
        None => return Err(Error::NoSuchLab(lab).into()),
    };
    match format {
        Picture::Text => print(&graph::text(&topology, &seen)),
        Picture::Dot => print(&graph::dot(&topology, &seen)),
        Picture::Mermaid => print(&graph::mermaid(&topology, &seen)),
        Picture::Json => print_record("topology", &Drawn { topology: &topology, devices: seen.devices() }),
    }
}

/// A topology, and its devices as they are now; `null` if the lab is not up.
#[derive(Serialize)]
struct Drawn<'a> {
    #[serde(flatten)]
    topology: &'a lab::Topology,
    devices: Option<Vec<&'a graph::Observed>>,
}

/// To the millisecond.
fn seconds(took: Duration) -> f64 {
    (took.as_secs_f64() * 1000.0).round() / 1000.0
}

fn lab_name(name: &str) -> anyhow::Result<LabName> {
    name.parse().map_err(|error: Error| Refusal::Usage(error.to_string()).into())
}

fn root(what: &str) -> anyhow::Result<()> {
    if geteuid().is_root() { Ok(()) } else { Err(Refusal::NotPermitted(format!("{what} takes root; try sudo")).into()) }
}

/// Gives an error that has an exit status of its own the form that carries it.
fn refused(error: Error) -> anyhow::Error {
    let not_permitted = match &error {
        Error::NoNft => true,
        Error::Clone { source, .. } => source.kind() == std::io::ErrorKind::PermissionDenied,
        _ => false,
    };
    if not_permitted { Refusal::NotPermitted(error.to_string()).into() } else { error.into() }
}
