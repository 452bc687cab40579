//! The rules by themselves.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::common::{netobs, run};
use super::query::strangers;
use super::server::Server;
use super::{can_check, folder};

/// Nobody is there.
const NOBODY: &str = "127.0.0.1:1";

fn files(of: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder().join(of)).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|end| end == "yml")).collect();
    files.sort();
    assert!(!files.is_empty(), "{of}");
    files
}

#[track_caller]
fn promtool(words: &[&str], files: &[PathBuf]) {
    let output = Command::new("promtool").args(words).args(files).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("FAILED"), "{said}");
}

#[test]
fn promtool_finds_nothing_wrong() {
    if !can_check("promtool_finds_nothing_wrong") {
        return;
    }
    promtool(&["check", "rules", "--lint=all", "--lint-fatal"], &files("rules"));
    promtool(&["check", "config"], &[folder().join("prometheus.yml")]);
    promtool(&["test", "rules"], &files("rules/tests"));
}

#[test]
fn every_rule_speaks_of_what_there_is() {
    if !can_check("every_rule_speaks_of_what_there_is") {
        return;
    }
    let rules = Server::scraping(NOBODY).rules();
    let recorded: Vec<_> = rules
        .iter()
        .filter(|rule| rule.kind == "recording")
        .map(|rule| (rule.name.clone(), rule.query.clone()))
        .collect();
    assert!(!recorded.is_empty() && recorded.len() < rules.len());
    for rule in &rules {
        // `{{ $labels.netns }}`
        let texts = rule.annotations.values().flat_map(|text| text.split("$labels.").skip(1));
        let told: Vec<String> = texts.map(|rest| rest.split(' ').next().unwrap().to_owned()).collect();
        let strangers = strangers(&rule.query, &told, &recorded);
        assert!(strangers.is_empty(), "{}: {strangers:?}: {}", rule.name, rule.query);
    }
    let unit_tests: String = files("rules/tests").iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let mut names = HashSet::new();
    for alert in rules.iter().filter(|rule| rule.kind == "alerting") {
        let name = &alert.name;
        assert!(names.insert(name), "{name} is there twice");
        assert!(unit_tests.contains(name), "{name} has no unit test");
        assert!(["critical", "warning", "info"].contains(&alert.labels["severity"].as_str()), "{name}");
        for annotation in ["summary", "description", "runbook"] {
            let text = alert.annotations.get(annotation).expect(name);
            assert!(text.ends_with('.') != (annotation == "summary"), "{name}: {text}");
        }
        every_command_exists(name, &alert.annotations["runbook"]);
    }
}

/// What is typed after `netobs` is a command that there is, with options that it takes.
fn every_command_exists(alert: &str, runbook: &str) {
    for typed in runbook.split('`').skip(1).step_by(2).filter_map(|typed| typed.strip_prefix("netobs ")) {
        let mut words = typed.split_whitespace();
        let command = words.next().unwrap();
        let help = run(netobs(), &[command, "--help"]).good().stdout;
        for option in words.filter(|word| word.starts_with("--")) {
            assert!(help.split_whitespace().any(|word| word == option), "{alert}: netobs {command} has no {option}");
        }
    }
}
