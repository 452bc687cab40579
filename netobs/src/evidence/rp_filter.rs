//! Drops by the reverse path filter.

use serde::Serialize;

use super::Scene;
use super::inside::Inside;
use super::route::RouteFound;
use crate::netlink::RouteAnswer;

/// What the filter went by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReversePath {
    /// The packet's source.
    pub source: String,
    /// The device it came in by.
    pub device: Option<String>,
    /// `net.ipv4.conf.all.rp_filter`
    pub all: Option<i64>,
    /// `net.ipv4.conf.DEVICE.rp_filter`
    pub configured: Option<i64>,
    /// The greater of both, which is what holds (`IN_DEV_RPFILTER`): 1 strict, 2 loose.
    pub effective: Option<i64>,
    /// The route that packets to that source take; `null` if there is none.
    pub reverse: Option<RouteFound>,
}

pub(super) fn look(scene: &Scene<'_>, inside: &mut Inside<'_>) -> Option<ReversePath> {
    let source = scene.source()?;
    let device = scene.device.unwrap_or("all");
    let [all, configured] = inside.sysctls(["all", device].map(|device| format!("ipv4/conf/{device}/rp_filter")));
    let configured = scene.device.and(configured);
    // Policy rules see the packet's destination as the source of the way back, where it is this namespace's own.
    let answer = inside.socket.route_to(source, scene.destination());
    let answer = answer.or_else(|_| inside.socket.route_to(source, None)).ok()?;
    let answer = match answer {
        RouteAnswer::Refused(_) => inside.socket.route_to(source, None).ok()?,
        found @ RouteAnswer::Found(_) => found,
    };
    Some(ReversePath {
        source: source.to_string(),
        device: scene.device.map(str::to_owned),
        all,
        configured,
        effective: all.zip(configured).map(|(all, configured)| all.max(configured)),
        reverse: match answer {
            RouteAnswer::Found(found) => Some(RouteFound::new(&found, inside)),
            RouteAnswer::Refused(_) => None,
        },
    })
}

impl ReversePath {
    pub(super) fn facts(&self) -> Vec<String> {
        let mut facts = Vec::new();
        let device = self.device.as_deref().unwrap_or("the device");
        if let (Some(effective), Some(all), Some(configured)) = (self.effective, self.all, self.configured) {
            let meaning = match effective {
                0 => " (off)",
                1 => " (strict)",
                2 => " (loose)",
                _ => "",
            };
            facts.push(format!("rp_filter is {effective}{meaning} for {device}: all {all}, {device} {configured}"));
        }
        match &self.reverse {
            Some(route) if route.local => {
                facts.push(format!("{} is one of this namespace's own addresses", self.source));
            }
            Some(route) if route.prefix == "default" => facts.push(format!(
                "{} is reached by the default route, by {}, not by {device}, where this came in",
                self.source,
                route.way()
            )),
            Some(route) => {
                facts.push(format!(
                    "{} is reached by {}, not by {device}, where this came in",
                    route.prefix,
                    route.way()
                ));
            }
            None => facts.push(format!("no route leads back to {}", self.source)),
        }
        facts
    }
}
