//! Drops for want of a route, or of the right to forward.

use std::net::IpAddr;

use serde::Serialize;

use super::Scene;
use super::inside::Inside;
use crate::netlink::{Found, Refusal, Route, RouteAnswer};

/// A route that the kernel finds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RouteFound {
    /// `10.9.0.0/24`, or `default`.
    pub prefix: String,
    /// The next hop's address; `null` on the link itself.
    pub via: Option<String>,
    /// The devices it leads out of.
    pub devices: Vec<String>,
    /// The table's number; 254 is `main`.
    pub table: u32,
    /// It ends in this namespace.
    pub local: bool,
}

impl RouteFound {
    pub(super) fn new(found: &Found, inside: &mut Inside<'_>) -> Self {
        Self {
            prefix: found.destination.map_or_else(|| "default".into(), |net| format!("{net}/{}", found.prefix_length)),
            via: found.gateway.map(|gateway| gateway.to_string()),
            devices: found.devices.iter().filter_map(|device| inside.name(*device)).collect(),
            table: found.table,
            local: found.local,
        }
    }

    /// `the default route` or `10.9.0.0/24`.
    pub(super) fn subject(&self) -> String {
        if self.prefix == "default" { "the default route".into() } else { self.prefix.clone() }
    }

    /// `eth0`, `eth0 or eth1`, with the next hop and any table but main.
    pub(super) fn way(&self) -> String {
        let via = self.via.as_ref().map(|via| format!(" via {via}")).unwrap_or_default();
        let table = if self.table == Route::MAIN { String::new() } else { format!(" (routing table {})", self.table) };
        format!("{}{via}{table}", self.devices.join(" or "))
    }
}

/// Why the packet could not go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NoWay {
    /// Where it was to go.
    pub destination: String,
    /// `net.ipv4.ip_forward`, or `net.ipv6.conf.all.forwarding`.
    pub forwarding: Option<i64>,
    /// The same of the device it came in by.
    pub device_forwarding: Option<i64>,
    /// That device.
    pub device: Option<String>,
    /// The route that this namespace has to the destination.
    pub route: Option<RouteFound>,
    /// Why there is no route: `none`, `unreachable`, `prohibit`, `blackhole`.
    pub no_route: Option<&'static str>,
}

pub(super) fn look(scene: &Scene<'_>, inside: &mut Inside<'_>) -> Option<NoWay> {
    let destination = scene.destination()?;
    let device = scene.device.unwrap_or("all");
    let [forwarding, device_forwarding] = inside.sysctls(match destination {
        IpAddr::V4(_) => ["ipv4/ip_forward".into(), format!("ipv4/conf/{device}/forwarding")],
        IpAddr::V6(_) => ["ipv6/conf/all/forwarding".into(), format!("ipv6/conf/{device}/forwarding")],
    });
    let (route, no_route) = match inside.socket.route_to(destination, None).ok()? {
        RouteAnswer::Found(found) => (Some(RouteFound::new(&found, inside)), None),
        RouteAnswer::Refused(refusal) => (None, Some(name(refusal))),
    };
    Some(NoWay {
        destination: destination.to_string(),
        forwarding,
        device_forwarding: scene.device.and(device_forwarding),
        device: scene.device.map(str::to_owned),
        route,
        no_route,
    })
}

fn name(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::NoRoute => "none",
        Refusal::Unreachable => "unreachable",
        Refusal::Prohibited => "prohibit",
        Refusal::Blackhole => "blackhole",
    }
}

impl NoWay {
    pub(super) fn facts(&self, scene: &Scene<'_>) -> Vec<String> {
        let mut facts = Vec::new();
        let v6 = self.destination.contains(':');
        let switch = if v6 { "net.ipv6.conf.all.forwarding" } else { "net.ipv4.ip_forward" };
        // Of what leaves by OUTPUT, forwarding is not asked.
        let forwards = scene.reason != Some("IP_OUTNOROUTES");
        let here = self.route.as_ref().is_some_and(|route| route.local);
        match (self.forwarding, self.device_forwarding, &self.device) {
            (Some(0), _, _) if forwards && !here => facts.push(format!("{switch} is 0{}", scene.in_netns())),
            (Some(_), Some(0), Some(device)) if forwards && !here => {
                let version = if v6 { "ipv6" } else { "ipv4" };
                facts.push(format!("{switch} is on, but net.{version}.conf.{device}.forwarding is 0"));
            }
            _ => {}
        }
        match (&self.route, self.no_route) {
            (Some(route), _) if route.local => {
                facts.push(format!("{} is this namespace's own by now", self.destination));
            }
            (Some(route), _) => {
                facts.push(format!("{} leads to {} by {}", route.subject(), self.destination, route.way()));
            }
            (None, Some("none")) => facts.push(format!("no route leads to {}", self.destination)),
            (None, Some(kind)) => facts.push(format!("the route to {} says {kind}", self.destination)),
            (None, None) => {}
        }
        facts
    }
}
