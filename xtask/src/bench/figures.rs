//! Repeated measurements, summed up so that one odd round neither makes nor hides a result.

use std::fmt;

/// Values of one quantity, one a round.
#[derive(Clone, Debug, Default)]
pub struct Figures(Vec<f64>);

impl Figures {
    /// Adds a round's value.
    pub fn push(&mut self, value: f64) {
        let place = self.0.partition_point(|other| *other < value);
        self.0.insert(place, value);
    }

    /// Adds it if it could be measured.
    pub fn extend(&mut self, value: Option<f64>) {
        value.into_iter().for_each(|value| self.push(value));
    }

    /// The value in the middle; `None` without any.
    pub fn median(&self) -> Option<f64> {
        let upper = *self.0.get(self.0.len() / 2)?;
        let lower = *self.0.get((self.0.len() - 1) / 2)?;
        Some((lower + upper) / 2.0)
    }

    /// Median, and in brackets the smallest and the largest.
    pub fn show(&self, format: impl Fn(f64) -> String) -> String {
        match (self.median(), self.0.first(), self.0.last()) {
            (Some(median), Some(least), Some(most)) => {
                format!("{} ({}–{})", format(median), format(*least), format(*most))
            }
            _ => "–".to_owned(),
        }
    }
}

/// Groups of three digits: 163,000.
pub struct Grouped(pub u64);

impl fmt::Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                write!(f, ",")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_and_spread() {
        let mut figures = Figures::default();
        assert_eq!(figures.median(), None);
        for (value, median) in [(3.0, 3.0), (1.0, 2.0), (9.0, 3.0), (5.0, 4.0)] {
            figures.push(value);
            assert_eq!(figures.median(), Some(median), "{figures:?}");
        }
        assert_eq!(figures.show(|value| format!("{value:.0}")), "4 (1–9)");
    }

    #[test]
    fn thousands_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (163_000, "163,000"), (1_234_567, "1,234,567")]
        {
            assert_eq!(Grouped(number).to_string(), text);
        }
    }
}
