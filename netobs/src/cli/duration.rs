//! `5s`, `500ms`, `2m`.

use std::time::Duration;

/// Reads a duration as a person types it; a bare number is seconds.
pub fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: f64 = digits.parse().map_err(|_| "a duration looks like 5s, 500ms or 2m".to_owned())?;
    let seconds = match text.get(digits.len()..) {
        Some("ms") => number / 1000.0,
        Some("s" | "") => number,
        Some("m") => number * 60.0,
        Some("h") => number * 3600.0,
        _ => return Err("the unit of a duration is ms, s, m or h".into()),
    };
    Duration::try_from_secs_f64(seconds).map_err(|_| "a duration is neither negative nor endless".into())
}

#[cfg(test)]
mod tests {
    use super::parse;
    use std::time::Duration;

    #[test]
    fn reads_what_people_type() {
        assert_eq!(parse("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(parse("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(parse("1.5"), Ok(Duration::from_millis(1500)));
        for wrong in ["", "s", "-1s", "5 parsecs", "5d", "NaN", "1e400h"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
