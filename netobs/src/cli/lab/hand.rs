//! `netobs lab break`, `netobs lab try` and `netobs lab fix`

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::{lab_name, root, scenarios, story};
use crate::cli::print::{print, print_record};
use crate::lab::scenario::{Hand, Moment, by_hand};
use crate::lab::{LabName, name_option};
use crate::output::{Format, Style};

#[derive(Args)]
pub(super) struct Arguments {
    /// A scenario's name, or the path of a file of your own.
    scenario: String,
    /// The lab.
    #[arg(long, value_name = "LAB", default_value = LabName::DEFAULT)]
    name: String,
    /// How to print what was done.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Performs the steps of a break or of a fix, or what somebody does who would notice.
pub(super) fn run(arguments: &Arguments, hand: Hand) -> anyhow::Result<ExitCode> {
    let Some(scenario) = scenarios::find(&arguments.scenario) else { return Ok(ExitCode::from(scenarios::USAGE)) };
    let lab = lab_name(&arguments.name)?;
    root("changing a lab")?;
    let moments = by_hand(&scenario, &lab, hand)?;
    let done = moments.iter().all(Moment::is_ok);
    match arguments.format {
        Format::Json => {
            let kind = match hand {
                Hand::Break => "lab_break",
                Hand::Try => "lab_try",
                Hand::Fix => "lab_fix",
            };
            print_record(kind, &json!({ "scenario": scenario.name, "lab": lab, "done": done, "moments": moments }))?;
        }
        Format::Text => {
            let style = Style::of_stdout();
            let told: String = moments.iter().map(|moment| story::moment(moment, style)).collect();
            print(&told)?;
            if hand == Hand::Break && done {
                let named = name_option(&arguments.name);
                print(&format!("\ntry it:   netobs lab try{named} {}", arguments.scenario))?;
                if let Some(asking) = &scenario.asking {
                    print(&format!("\nask why:  {}", asking.typed(&lab)))?;
                }
                print(&format!("\nmend it:  netobs lab fix{named} {}\n", arguments.scenario))?;
            }
        }
    }
    Ok(if done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
