//! `netobs lab scenarios` and `netobs lab run`

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::{lab_name, root, story};
use crate::cli::print::{print, print_record};
use crate::lab::scenario::{self, Observer, ObserverError, Options, Problems, Scenario, ScenarioError, Verdict};
use crate::lab::{LabName, Mistakes, State, Topology, find_topology};
use crate::output::{Format, Style, printable};
use crate::refusal::Refusal;

/// A file makes no sense.
pub(super) const USAGE: u8 = 2;
/// A scenario was not as expected.
const NOT_AS_EXPECTED: u8 = 5;
/// What a run's lab is called, with a number behind it if that is taken.
const LAB: &str = "run";

#[derive(Args)]
pub(super) struct List {
    /// Print the file of this one, to start a file of your own from.
    #[arg(long, value_name = "SCENARIO")]
    show: Option<String>,
    /// How to print them.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Args)]
pub(super) struct Play {
    /// A scenario's name, or the path of a file of your own.
    #[arg(required_unless_present = "all")]
    scenario: Vec<String>,
    /// Play every built-in scenario.
    #[arg(long, conflicts_with = "scenario")]
    all: bool,
    /// What to call the lab: `run`, or the first of `run2`, `run3`, … that is free.
    #[arg(long, value_name = "LAB")]
    name: Option<String>,
    /// Leave the lab up; of several scenarios, the last one's.
    #[arg(long)]
    keep: bool,
    /// Break nothing. Then no scenario may be as expected.
    #[arg(long, hide = true)]
    leave_out_break: bool,
    /// How to print what was found.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Lists the built-in scenarios.
pub(super) fn list(arguments: &List) -> anyhow::Result<()> {
    if let Some(name) = &arguments.show {
        let text = scenario::source(name).ok_or_else(|| Refusal::Usage(format!("there is no scenario `{name}`")))?;
        return print(text);
    }
    let scenarios = scenario::builtin()?;
    if arguments.format == Format::Json {
        let record = |scenario: &Scenario| {
            let Scenario { name, title, topology, cause, fault, metrics, .. } = scenario;
            json!({
                "name": name, "title": title, "topology": topology, "cause": cause, "fault": fault, "metrics": metrics,
            })
        };
        return scenarios.iter().try_for_each(|scenario| print_record("scenario_description", &record(scenario)));
    }
    let style = Style::of_stdout();
    let width = scenarios.iter().map(|scenario| scenario.name.len()).max().unwrap_or_default();
    let mut text = String::new();
    for scenario in &scenarios {
        text += &format!("{}  {}\n", style.strong(&format!("{:width$}", scenario.name)), scenario.title);
    }
    text += "\nplay one:          netobs lab run NAME\n";
    text += "break it by hand:  netobs lab up, netobs lab break NAME, netobs lab fix NAME\n";
    text += "write your own:    netobs lab scenarios --show NAME > my.toml, netobs lab run my.toml\n";
    print(&text)
}

/// The scenario that a person named. What is wrong with its file is said, a line for each.
pub(super) fn find(name: &str) -> Option<Scenario> {
    let told =
        |problems: &Problems| problems.to_string().lines().for_each(|line| eprintln!("netobs: {}", printable(line)));
    scenario::find(name).inspect_err(told).ok()
}

/// Plays scenarios, and says of each whether it was as expected.
pub(super) fn play(arguments: &Play) -> anyhow::Result<ExitCode> {
    let scenarios = if arguments.all {
        scenario::builtin()?
    } else {
        let found: Vec<_> = arguments.scenario.iter().map(|name| find(name)).collect();
        match found.into_iter().collect() {
            Some(scenarios) => scenarios,
            None => return Ok(ExitCode::from(USAGE)),
        }
    };
    let mut topologies = BTreeMap::new();
    for scenario in &scenarios {
        topologies.insert(scenario.topology.clone(), topology(&scenario.topology)?);
    }
    let named = arguments.name.as_deref().map(lab_name).transpose()?;
    root("building a lab")?;
    let stages = scenarios.iter().filter_map(|scenario| Some((scenario, topologies.get(&scenario.topology)?)));
    let mut observer = Observer::start(&stages.collect::<Vec<_>>()).map_err(refused)?;
    let mut tally = Tally::default();
    let teller = Teller { format: arguments.format, style: Style::of_stdout(), brief: scenarios.len() > 1 };
    for (index, scenario) in scenarios.iter().enumerate() {
        let Some(topology) = topologies.get(&scenario.topology) else { continue };
        let last = index + 1 == scenarios.len();
        let keep = arguments.keep && last;
        let verdict =
            play_one(scenario, topology, named.as_ref(), (keep, arguments.leave_out_break), &mut observer, &teller)?;
        tally.count(&verdict);
        teller.verdict(scenario, &verdict, keep)?;
    }
    let lost = observer.finish();
    if lost > 0 {
        eprintln!("netobs: the observer lost {lost} events, so what it did not see may have been there all the same");
    }
    teller.summary(&tally)?;
    Ok(if tally.failed > 0 { ExitCode::from(NOT_AS_EXPECTED) } else { ExitCode::SUCCESS })
}

fn topology(name: &str) -> anyhow::Result<Topology> {
    let told = |mistakes: Mistakes| ScenarioError::NoTopology { name: name.to_owned(), mistakes };
    Ok(find_topology(name).map_err(told)?)
}

/// In the lab named, or the first free one.
fn play_one(
    scenario: &Scenario,
    topology: &Topology,
    named: Option<&LabName>,
    (keep, leave_out_break): (bool, bool),
    observer: &mut Observer,
    teller: &Teller,
) -> anyhow::Result<Verdict> {
    let mut number = 1;
    loop {
        let lab = match named {
            Some(lab) => lab.clone(),
            None if number == 1 => lab_name(LAB)?,
            None => lab_name(&format!("{LAB}{number}"))?,
        };
        number += 1;
        let taken = named.is_none() && State::load(&lab)?.is_some();
        if taken {
            continue;
        }
        let options = Options { lab, keep, leave_out_break };
        teller.begin(scenario, &options.lab)?;
        let played = scenario::run(scenario, topology, &options, observer, &mut |moment| teller.moment(moment));
        match played {
            // Somebody else was quicker.
            Err(ScenarioError::InUse(_)) if named.is_none() => {}
            Err(ScenarioError::Lab(error)) => return Err(super::refused(error)),
            other => return Ok(other?),
        }
    }
}

/// What a trace that did not start says is why, and so is its status.
fn refused(error: ObserverError) -> anyhow::Error {
    match error {
        ObserverError::Refused { sentence, status: Some(3) } => Refusal::NotPermitted(sentence).into(),
        other => other.into(),
    }
}

/// How the scenarios went.
#[derive(Default)]
struct Tally {
    passed: usize,
    failed: usize,
    unsupported: Vec<(String, String)>,
}

impl Tally {
    fn count(&mut self, verdict: &Verdict) {
        match verdict {
            Verdict::Played(report) if report.passed => self.passed += 1,
            Verdict::Played(_) => self.failed += 1,
            Verdict::Unsupported { name, why } => self.unsupported.push((name.clone(), why.clone())),
        }
    }
}

/// Tells what happens, in either format.
struct Teller {
    format: Format,
    style: Style,
    /// A line for each scenario; only of those that were not as expected, all.
    brief: bool,
}

impl Teller {
    fn begin(&self, scenario: &Scenario, lab: &LabName) -> anyhow::Result<()> {
        if self.tells_all() { print(&story::heading(scenario, lab.as_str(), self.style)) } else { Ok(()) }
    }

    fn tells_all(&self) -> bool {
        self.format == Format::Text && !self.brief
    }

    fn moment(&self, moment: &scenario::Moment) {
        if self.tells_all() {
            // A reader that has gone away is no reason to leave the lab as it is.
            let _ = print(&story::moment(moment, self.style));
        }
    }

    fn verdict(&self, scenario: &Scenario, verdict: &Verdict, kept: bool) -> anyhow::Result<()> {
        match (self.format, verdict) {
            (Format::Json, Verdict::Played(report)) => print_record("scenario", report)?,
            (Format::Json, Verdict::Unsupported { .. }) => {}
            (Format::Text, Verdict::Played(report)) => {
                if self.brief && !report.passed {
                    print(&story::heading(scenario, &report.lab, self.style))?;
                    report.moments.iter().try_for_each(|moment| print(&story::moment(moment, self.style)))?;
                }
                if let Some(shown) = scenario.metrics.as_ref().filter(|_| !self.brief) {
                    print(&story::metrics(shown, &lab_name(&report.lab)?, self.style))?;
                }
                print(&format!("{}{}", if self.brief { "" } else { "\n" }, story::result(report, self.style)))?;
                if kept {
                    let lab = &report.lab;
                    print(&format!("lab `{lab}` is left up; `netobs lab down {lab}` removes it\n"))?;
                }
            }
            (Format::Text, Verdict::Unsupported { name, why }) => {
                print(&format!("{name:24} unsupported: {}\n", printable(why)))?;
            }
        }
        Ok(())
    }

    fn summary(&self, tally: &Tally) -> anyhow::Result<()> {
        let Tally { passed, failed, unsupported } = tally;
        match self.format {
            Format::Json => {
                let unsupported: Vec<_> =
                    unsupported.iter().map(|(name, why)| json!({ "name": name, "why": why })).collect();
                print_record("summary", &json!({ "passed": passed, "failed": failed, "unsupported": unsupported }))
            }
            Format::Text if self.brief => {
                print(&format!("\n{passed} as expected, {failed} not, {} unsupported\n", unsupported.len()))
            }
            Format::Text => Ok(()),
        }
    }
}
