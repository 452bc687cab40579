//! A diagnosis as a colleague would tell it: the sentence, where the packet got to, what to type, and why.

use super::ladder::{briefly, told_steps};
use super::trail::drawing;
use crate::diagnose::{Diagnosis, Trail};
use crate::output::text::wrap;
use crate::output::{Style, printable};

/// Columns that a line may take.
const WIDTH: usize = 92;
/// Columns for what each part is called.
const LABEL: usize = 8;

/// The whole of it.
pub fn diagnosis_text(diagnosis: &Diagnosis, style: Style) -> String {
    let mut text = Text { text: String::new(), style };
    text.verdict(diagnosis);
    text.way(diagnosis);
    if diagnosis.also.is_empty() {
        text.commands("fix", &diagnosis.fix);
    }
    // The ladder shows what was ruled out.
    let told = diagnosis.evidence.iter().filter(|line| !line.starts_with("ruled out: "));
    let seen: Vec<_> = told.map(String::as_str).collect();
    text.list("seen", &seen);
    let columns = WIDTH - LABEL - 2;
    match diagnosis.cause {
        None => {}
        // Then what was ruled out is all there is.
        Some(Diagnosis::UNKNOWN) => text.part("ladder", told_steps(&diagnosis.steps, columns, style)),
        Some(_) => text.part("ladder", briefly(&diagnosis.steps, columns, style)),
    }
    let hints: Vec<_> = diagnosis.hints.iter().map(String::as_str).collect();
    text.list("know", &hints);
    text.text
}

struct Text {
    text: String,
    style: Style,
}

impl Text {
    fn verdict(&mut self, diagnosis: &Diagnosis) {
        let main = |text: &mut String, sentence: &str, style: &dyn Fn(&str) -> String| {
            for line in wrap(&printable(sentence), WIDTH) {
                *text += &format!("{}\n", style(&line));
            }
        };
        if diagnosis.also.is_empty() {
            let style = self.style;
            main(&mut self.text, &diagnosis.sentence, &|line| {
                if diagnosis.healthy { style.good(line) } else { style.bad(line) }
            });
            return;
        }
        let count = 1 + diagnosis.also.len();
        self.text += &format!("{}\n", self.style.bad(&format!("{count} things are wrong. In the order to mend them:")));
        let first = (diagnosis.sentence.as_str(), diagnosis.fix.as_slice());
        let others = diagnosis.also.iter().map(|finding| (finding.sentence.as_str(), finding.fix.as_slice()));
        for (index, (sentence, fix)) in [first].into_iter().chain(others).enumerate() {
            let mut head = format!("{:>2}. ", index + 1);
            for line in wrap(&printable(sentence), WIDTH - head.len()) {
                self.text += &format!("{head}{}\n", self.style.strong(&line));
                head = " ".repeat(head.len());
            }
            for command in fix {
                self.text += &format!("{head}{}\n", typed(command));
            }
        }
    }

    /// There, and back where that is where it broke or all is well.
    fn way(&mut self, diagnosis: &Diagnosis) {
        let columns = WIDTH - LABEL - 2;
        let draw = |trail: &Trail| drawing(trail, diagnosis.healthy, columns, self.style);
        let (out, back) = (draw(&diagnosis.out), draw(&diagnosis.back));
        self.part("way", out);
        if diagnosis.healthy || diagnosis.back.breaks_at.is_some() {
            self.part("back", back);
        }
    }

    fn commands(&mut self, label: &str, commands: &[String]) {
        // A command is not broken: it is to be copied.
        self.part(label, commands.iter().map(|command| typed(command)).collect());
    }

    fn list(&mut self, label: &str, entries: &[&str]) {
        let mut lines = Vec::new();
        for entry in entries {
            let mut head = "· ";
            for line in wrap(&printable(entry), WIDTH - LABEL - 4) {
                lines.push(format!("{head}{line}"));
                head = "  ";
            }
        }
        self.part(label, lines);
    }

    /// A blank line, and the lines with what they are called before the first.
    fn part(&mut self, label: &str, lines: Vec<String>) {
        if lines.is_empty() {
            return;
        }
        self.text += "\n";
        let mut label = label;
        for line in lines {
            self.text += &format!("  {}{line}\n", self.style.faint(&format!("{label:LABEL$}")));
            label = "";
        }
    }
}

/// As after a shell's prompt; what is only a remark has none.
fn typed(command: &str) -> String {
    let command = printable(command);
    if command.starts_with('#') { command.into_owned() } else { format!("$ {command}") }
}
