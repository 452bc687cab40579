use std::fmt;

/// One step on the way from a topology to something in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A field by its name.
    Field(String),
    /// An element of a list, counted from 0.
    Index(usize),
}

impl From<&str> for Step {
    fn from(field: &str) -> Self {
        Self::Field(field.to_owned())
    }
}

impl From<usize> for Step {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

/// Where in a topology something is: `nodes[2].routes[0].via`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place(pub Vec<Step>);

impl Place {
    /// The place one step further.
    pub(super) fn at(&self, step: impl Into<Step>) -> Self {
        let mut longer = self.clone();
        longer.0.push(step.into());
        longer
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Field(name) if position == 0 => f.write_str(name)?,
                Step::Field(name) => write!(f, ".{name}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// Something in a topology that the kernel would refuse, or that cannot be meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where it is.
    pub place: Place,
    /// What is wrong, and where it helps, what would be right.
    pub reason: String,
    /// The node that would have to be described in full for this to be known for sure: of one whose description has
    /// other mistakes in it, nobody can say that it lacks something.
    pub(super) rests_on: Option<String>,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place.0.as_slice() {
            [] => f.write_str(&self.reason),
            _ => write!(f, "{}: {}", self.place, self.reason),
        }
    }
}
