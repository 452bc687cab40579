//! What is wrong with a file, all of it at once, each with its line.

use std::fmt;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The line, from 1; `None` if it is about the file as a whole.
    pub line: Option<usize>,
    /// What is wrong and what would be right.
    pub reason: String,
}

/// All that is wrong with one file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problems {
    /// The file's path, or the name of a built-in one.
    pub file: String,
    /// At least one, in the order of lines.
    pub problems: Vec<Problem>,
}

impl fmt::Display for Problems {
    /// A line each, as compilers write it: `FILE:LINE: REASON`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            match problem.line {
                Some(line) => write!(f, "{}:{line}: {}", self.file, problem.reason)?,
                None => write!(f, "{}: {}", self.file, problem.reason)?,
            }
        }
        Ok(())
    }
}
