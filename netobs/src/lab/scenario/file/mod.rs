//! Reading a scenario's file. Each entry is read for itself, so that one mistake does not hide the next.

mod asking;
mod check;
mod choice;
mod metrics;
mod need;
mod signal;
mod step;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use self::asking::RawAsking;
use self::check::RawCheck;
use self::metrics::RawShown;
use self::need::RawNeed;
use self::signal::RawSignal;
use self::step::RawStep;
use super::problem::{Problem, Problems};
use super::validate::{Lined, validate};
use super::{Explain, Scenario};
use crate::lab::Builtin;

impl Scenario {
    /// Reads a scenario; `file` is what messages call it.
    ///
    /// # Errors
    /// All that is wrong, each with its line.
    pub fn parse(file: &str, text: &str) -> Result<Self, Problems> {
        let mut reader = Reader { text, problems: Vec::new() };
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            reader.error(error, None);
        }
        let scenario = if errors.is_empty() { reader.scenario(table.into_inner()) } else { None };
        let mut problems = reader.problems;
        problems.sort();
        problems.dedup();
        match scenario {
            Some(scenario) if problems.is_empty() => Ok(scenario),
            Some(_) | None => Err(Problems { file: file.to_owned(), problems }),
        }
    }
}

/// What no scenario can do without, besides its texts.
const PARTS: [&str; 6] = ["explain", "healthy", "break", "symptom", "signal", "fix"];

fn heading(part: &str) -> String {
    if part == "explain" { format!("[{part}]") } else { format!("[[{part}]]") }
}

struct Reader<'t> {
    text: &'t str,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn line(&self, offset: usize) -> usize {
        self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
    }

    fn problem(&mut self, line: Option<usize>, reason: impl Into<String>) {
        self.problems.push(Problem { line, reason: reason.into() });
    }

    fn error(&mut self, error: &toml::de::Error, line: Option<usize>) {
        let line = error.span().map(|span| self.line(span.start)).or(line);
        let said = error.message().trim().replace('\n', ", ");
        self.problem(line, said);
    }

    fn scenario(&mut self, mut table: DeTable<'_>) -> Option<Scenario> {
        let name = self.text_of(&mut table, "name");
        let title = self.text_of(&mut table, "title");
        let cause = self.text_of(&mut table, "cause");
        let topology = self.take(&mut table, "topology").unwrap_or_else(|| Builtin::DEFAULT.to_owned());
        let fault: Option<String> = self.take(&mut table, "fault");
        let absent: Vec<&str> = PARTS.into_iter().filter(|part| !table.contains_key(*part)).collect();
        let explain: Option<Explain> = self.take(&mut table, "explain");
        let needs = self.each(&mut table, "needs", RawNeed::read);
        let setup = self.each(&mut table, "setup", RawStep::read);
        let healthy = self.each(&mut table, "healthy", RawCheck::read);
        let breaks = self.each(&mut table, "break", RawStep::read);
        let symptoms = self.each(&mut table, "symptom", RawCheck::read);
        let signals = self.each(&mut table, "signal", RawSignal::read);
        let asking = self.one(&mut table, "diagnose", RawAsking::read);
        let fixes = self.each(&mut table, "fix", RawStep::read);
        let metrics = self.one(&mut table, "metrics", RawShown::read);
        for (key, _) in table {
            let line = self.line(key.span().start);
            self.problem(Some(line), format!("`{}` is nothing a scenario has", key.get_ref()));
        }
        for part in absent {
            self.problem(None, format!("{part} is missing", part = heading(part)));
        }
        self.problems.extend(validate(name.as_deref(), &healthy, &symptoms, &signals));
        let name = name?;
        Some(Scenario {
            fault: fault.unwrap_or_else(|| name.clone()),
            name,
            title: title?,
            topology,
            cause: cause?,
            explain: explain?,
            needs: bare(needs),
            setup: bare(setup),
            healthy: bare(healthy),
            breaks: bare(breaks),
            symptoms: bare(symptoms),
            signals: bare(signals),
            asking,
            fixes: bare(fixes),
            metrics,
        })
    }

    /// A text that must be there.
    fn text_of(&mut self, table: &mut DeTable<'_>, key: &str) -> Option<String> {
        if !table.contains_key(key) {
            self.problem(None, format!("`{key} = \"…\"` is missing"));
        }
        let text: String = self.take(table, key)?;
        if text.trim().is_empty() {
            self.problem(None, format!("`{key}` is empty"));
        }
        Some(text)
    }

    fn take<T: DeserializeOwned>(&mut self, table: &mut DeTable<'_>, key: &str) -> Option<T> {
        let (_, value) = table.remove_entry(key)?;
        self.read(value)
    }

    fn read<T: DeserializeOwned>(&mut self, value: Spanned<DeValue<'_>>) -> Option<T> {
        let line = self.line(value.span().start);
        T::deserialize(ValueDeserializer::from(value)).map_err(|error| self.error(&error, Some(line))).ok()
    }

    /// A `[…]`, turned into what it stands for.
    fn one<R: DeserializeOwned, T>(
        &mut self,
        table: &mut DeTable<'_>,
        key: &str,
        make: impl Fn(R) -> Result<T, String>,
    ) -> Option<T> {
        let (name, value) = table.remove_entry(key)?;
        let line = self.line(name.span().start);
        let raw = self.read::<R>(value)?;
        make(raw).map_err(|reason| self.problem(Some(line), reason)).ok()
    }

    /// The entries of a `[[…]]`, each turned into what it stands for.
    fn each<R: DeserializeOwned, T>(
        &mut self,
        table: &mut DeTable<'_>,
        key: &str,
        make: impl Fn(R) -> Result<T, String>,
    ) -> Vec<Lined<T>> {
        let Some((name, value)) = table.remove_entry(key) else { return Vec::new() };
        let line = self.line(name.span().start);
        let DeValue::Array(entries) = value.into_inner() else {
            self.problem(Some(line), format!("`{key}` is a list: write [[{key}]] above each entry"));
            return Vec::new();
        };
        if entries.is_empty() && PARTS.contains(&key) {
            self.problem(Some(line), format!("`{key}` is empty"));
        }
        let mut made = Vec::new();
        for entry in entries {
            let line = self.line(entry.span().start);
            let Some(raw) = self.read::<R>(entry) else { continue };
            match make(raw) {
                Ok(value) => made.push(Lined { line, value }),
                Err(reason) => self.problem(Some(line), reason),
            }
        }
        made
    }
}

fn bare<T>(entries: Vec<Lined<T>>) -> Vec<T> {
    entries.into_iter().map(|entry| entry.value).collect()
}
