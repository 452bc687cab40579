//! Which way a bridge sent a frame.

use serde::Serialize;

use super::printable;

/// A bridge's decision on one frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BridgeRecord {
    /// The bridge.
    pub name: Option<String>,
    /// The port that the frame left by; `null` where it was handed up to the bridge's own device.
    pub port: Option<String>,
    /// The link-layer address that it was for.
    pub destination: Option<String>,
    /// `fdb`: the forwarding database has that address behind this port. `flood`: to every port, since it is for everybody
    /// or the address is not in the database. `local`: the address is the bridge's own. `null` where it cannot be told.
    pub why: Option<&'static str>,
    /// It was handed up.
    #[serde(skip)]
    pub is_up: bool,
    /// The address is that of a group, or everybody's.
    #[serde(skip)]
    pub is_group: bool,
}

impl BridgeRecord {
    /// `bridge: br0 → c2-h (FDB)`
    pub(super) fn line(&self) -> String {
        let name = self.name.as_deref().map_or("?".into(), printable);
        let way = match &self.port {
            _ if self.is_up => format!("up to {name}"),
            port => format!("{name} → {}", port.as_deref().map_or("?".into(), printable)),
        };
        let why = match self.why {
            Some("flood") if self.is_group => " (broadcast)".to_owned(),
            Some("flood") => {
                let destination = self.destination.as_deref().unwrap_or("?");
                format!(" (flooded: {destination} is not in its FDB)")
            }
            Some("fdb") => " (FDB)".to_owned(),
            Some("local") => " (its own address)".to_owned(),
            _ if self.is_group => " (multicast)".to_owned(),
            _ => String::new(),
        };
        format!("bridge: {way}{why}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_in_a_line() {
        let forwarded = |why, is_group| {
            BridgeRecord {
                name: Some("br0".into()),
                port: Some("c2-h".into()),
                destination: Some("02:00:00:00:00:03".into()),
                why,
                is_up: false,
                is_group,
            }
            .line()
        };
        assert_eq!(forwarded(Some("fdb"), false), "bridge: br0 → c2-h (FDB)");
        assert_eq!(
            forwarded(Some("flood"), false),
            "bridge: br0 → c2-h (flooded: 02:00:00:00:00:03 is not in its FDB)"
        );
        assert_eq!(forwarded(Some("flood"), true), "bridge: br0 → c2-h (broadcast)");
        assert_eq!(forwarded(None, true), "bridge: br0 → c2-h (multicast)");
        assert_eq!(forwarded(None, false), "bridge: br0 → c2-h");
    }

    #[test]
    fn what_is_for_the_host_goes_up() {
        let up = BridgeRecord {
            name: Some("br0".into()),
            port: None,
            destination: Some("02:00:00:00:00:01".into()),
            why: Some("local"),
            is_up: true,
            is_group: false,
        };
        assert_eq!(up.line(), "bridge: up to br0 (its own address)");
        assert_eq!(BridgeRecord { why: None, ..up }.line(), "bridge: up to br0");
    }
}
