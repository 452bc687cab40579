//! `[metrics]`: what a Prometheus shows of it.

use serde::Deserialize;

use super::super::metrics::Shown;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawShown {
    node: Option<String>,
    #[serde(default)]
    rises: Vec<String>,
    #[serde(default)]
    alerts: Vec<String>,
    none: Option<String>,
}

impl RawShown {
    pub(super) fn read(self) -> Result<Shown, String> {
        match self {
            Self { node: None, none: Some(none), rises, alerts } if rises.is_empty() && alerts.is_empty() => {
                Ok(Shown::Nothing { none })
            }
            Self { node: Some(node), none: None, rises, alerts } if !rises.is_empty() => {
                let rises = rises.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
                Ok(Shown::Series { node, rises, alerts })
            }
            _ => Err("`metrics` has either `node`, `rises` and `alerts`, or `none` with the reason".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_something_or_nothing_is_shown() {
        let read = |text: &str| toml::from_str::<RawShown>(text).unwrap().read();
        assert!(read("node = \"c1\"\nrises = ['netobs_mtu_drops_total']\nalerts = [\"A\"]").is_ok());
        assert!(read("none = \"no packet is made\"").is_ok());
        for text in ["", "node = \"c1\"", "node = \"c1\"\nnone = \"x\"", "rises = ['netobs_mtu_drops_total']"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
