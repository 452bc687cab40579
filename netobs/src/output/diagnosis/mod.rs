//! A diagnosis, for programs and for people.

mod ladder;
mod record;
mod text;
mod trail;

pub use ladder::told_steps;
pub use record::DiagnosisRecord;
pub use text::diagnosis_text;
