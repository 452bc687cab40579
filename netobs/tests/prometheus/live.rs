//! Every fault of the lab, as Prometheus shows it: the series rises, the alert fires, and it is over when mended. The
//! faults happen at once, each in a lab of its own, since its series carry the names of its namespaces.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use netobs::lab::scenario::{Scenario, Selector, Shown, builtin};

use super::can_check;
use super::common::{Lab, can_make_labs, lab, skip};
use super::dashboard::Dashboard;
use super::served::Agent;
use super::server::{Alert, Sample, Server, Texts};

/// Labs are built and broken so many at a time.
const HANDS: usize = 4;
/// Longer than the longest `for` and range of a rule, in a hurry.
const PATIENCE: Duration = Duration::from_secs(90);
/// Whoever would notice tries so often.
const TRY: Duration = Duration::from_secs(1);

/// An alert that is expected, and another that comes with it.
const IMPLIED: [(&str, &str); 4] = [
    ("NetobsMtuBlackHole", "NetobsTooBigForMtu"),
    ("NetobsConntrackAlmostFull", "NetobsConntrackFillingUp"),
    ("NetobsConntrackAlmostFull", "NetobsConntrackFullWithinHour"),
    ("NetobsConntrackInsertFailed", "NetobsConntrackDrops"),
];
/// What may follow from any fault, where a minute is two seconds: entries of neighbours that time out, frames for who is
/// gone that are flooded to no port, and what a device without carrier does not take.
const FOLLOWING: [&str; 4] = ["NetobsNeighbourFailures", "NetobsBridgeDrops", "NetobsQueueDrops", "NetobsDropRatio"];

/// A fault and where it happens.
struct Fault {
    scenario: Scenario,
    lab: Lab,
    /// What was there before it.
    before: Vec<f64>,
}

impl Fault {
    fn name(&self) -> &str {
        &self.scenario.name
    }

    /// The namespace and its series, and alerts; nothing of what cannot be seen.
    fn shown(&self) -> (String, &[Selector], &[String]) {
        match self.scenario.metrics.as_ref().unwrap() {
            Shown::Series { node, rises, alerts } => (self.lab.netns(node), rises, alerts),
            Shown::Nothing { .. } => (String::new(), &[], &[]),
        }
    }

    fn values(&self, server: &Server) -> Vec<f64> {
        let (netns, rises, _) = self.shown();
        rises.iter().map(|series| server.sum(&series.of(&netns))).collect()
    }

    /// Alerts of its lab and the namespaces they name, without the lab's own name.
    fn own<'a>(&self, alerts: impl IntoIterator<Item = &'a Texts>) -> BTreeSet<(String, String)> {
        let start = self.lab.netns("");
        let of =
            |labels: &Texts| Some((labels["alertname"].clone(), labels.get("netns")?.strip_prefix(&start)?.to_owned()));
        alerts.into_iter().filter_map(of).collect()
    }

    fn is_expected(&self, alert: &str, node: &str) -> bool {
        let (own, _, alerts) = self.shown();
        let implies = |expected: &String| expected == alert || IMPLIED.contains(&(expected, alert));
        FOLLOWING.contains(&alert) || (self.lab.netns(node) == own && alerts.iter().any(implies))
    }

    /// `netobs lab WHAT SCENARIO`.
    fn by_hand(&self, what: &str) -> super::common::Answer {
        lab(&[what, self.name(), "--name", &self.lab.name])
    }
}

/// Does something for each, several at a time.
fn for_each<T: Send>(items: &mut [T], work: impl Fn(&mut T) + Sync) {
    let size = items.len().div_ceil(HANDS);
    thread::scope(|scope| {
        for part in items.chunks_mut(size) {
            scope.spawn(|| part.iter_mut().for_each(&work));
        }
    });
}

/// Looks again and again until nothing is missing any more.
#[track_caller]
fn until_none(what: &str, server: &Server, missing: impl Fn() -> Vec<String>) {
    let start = Instant::now();
    loop {
        let left = missing();
        if left.is_empty() {
            println!("{what}: after {:.1} s", start.elapsed().as_secs_f64());
            return;
        }
        if start.elapsed() > PATIENCE {
            // A scrape that fails is a hole in everything.
            let slowest = server.sum("max_over_time(scrape_duration_seconds[90s])");
            let failed = server.sum("count_over_time((up == 0)[90s:2s])");
            panic!("{what}: not {left:#?}; {failed} scrapes failed, the slowest took {slowest} s; {}", server.log());
        }
        thread::sleep(Duration::from_millis(250));
    }
}

#[test]
fn every_fault_rises_alarms_and_ends_in_prometheus() {
    let test = "every_fault_rises_alarms_and_ends_in_prometheus";
    if !can_check(test) || !can_make_labs(test, &["ip", "ping"]) {
        return;
    }
    // Panels show what the programs cost, too.
    let agent = Agent::ready(&["--program-stats", "true"]);
    let server = Server::scraping(agent.address());
    let scenarios = builtin().unwrap();
    let fault = |scenario| Fault { scenario, lab: Lab::unbuilt(), before: Vec::new() };
    let mut faults: Vec<Fault> = scenarios.into_iter().map(fault).collect();
    for_each(&mut faults, |fault| {
        fault.lab.build_from(&fault.scenario.topology).good();
    });
    until_none("namespaces are known", &server, || {
        let is_unknown = |fault: &&Fault| {
            server.query(&format!("netobs_netns_info{{netns=\"{}\"}}", fault.lab.netns("host"))).is_empty()
        };
        faults.iter().filter(is_unknown).map(|fault| fault.name().to_owned()).collect()
    });
    for fault in &mut faults {
        fault.before = fault.values(&server);
        assert_eq!(fault.own(labels(&server.firing())), BTreeSet::new(), "{} in health", fault.name());
    }
    for_each(&mut faults, |fault| {
        fault.by_hand("break").good();
    });

    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for fault in &faults {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let next = Instant::now() + TRY;
                    fault.by_hand("try");
                    thread::sleep(next.saturating_duration_since(Instant::now()));
                }
            });
        }
        // Ends those threads whatever fails here.
        let _stop = Stop(&stop);
        everything_rises(&server, &faults);
        every_panel_shows_something(&server);
        for_each(&mut faults.iter().collect::<Vec<_>>(), |fault| {
            fault.by_hand("fix").good();
        });
        // Traffic goes on, and now it passes. What is not scraped would end, too.
        until_none("every alert has ended", &server, || {
            let firing = server.firing();
            let own = faults.iter().map(|fault| (fault.name(), fault.own(labels(&firing))));
            let left = own.filter(|(_, own)| !own.is_empty()).map(|(name, own)| format!("{name}: {own:?}"));
            let is_scraped = server.sum("min_over_time(up{job=\"netobs\"}[10s])") == 1.0;
            left.chain((!is_scraped).then(|| "a scrape failed".to_owned())).collect()
        });
    });
    drop(agent);
    until_none("the agent is missed", &server, || {
        let is_missed = server.firing().iter().any(|alert| alert.labels["alertname"] == "NetobsAgentDown");
        if is_missed { Vec::new() } else { vec!["NetobsAgentDown".to_owned()] }
    });
}

fn labels(alerts: &[Alert]) -> impl Iterator<Item = &Texts> {
    alerts.iter().map(|alert| &alert.labels)
}

struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Each series and each alert that a scenario names; and none that has nothing to do with it.
fn everything_rises(server: &Server, faults: &[Fault]) {
    // Also those that fired for a moment only.
    let fired = || server.query(&format!("count_over_time(ALERTS{{alertstate=\"firing\"}}[{}s])", PATIENCE.as_secs()));
    let seen = |fault: &Fault, fired: &[Sample]| fault.own(fired.iter().map(|series| &series.metric));
    until_none("every series has risen and every alert fires", server, || {
        server.firing().iter().for_each(is_well_said);
        let fired = fired();
        let mut missing = Vec::new();
        for fault in faults {
            let (netns, rises, alerts) = fault.shown();
            let seen = seen(fault, &fired);
            let lacks =
                |alert: &&String| !seen.iter().any(|(name, node)| name == *alert && fault.lab.netns(node) == netns);
            missing.extend(alerts.iter().filter(lacks).map(|alert| format!("{}: {alert}", fault.name())));
            let values = fault.values(server).into_iter().zip(&fault.before).zip(rises);
            let still = values.filter(|((now, before), _)| now <= before);
            missing.extend(still.map(|(_, series)| format!("{}: {series}", fault.name())));
        }
        missing
    });
    let fired = fired();
    for fault in faults {
        let seen = seen(fault, &fired);
        let told: Vec<String> = seen.iter().map(|(alert, node)| format!("{alert} in {node}")).collect();
        println!("  {:24} {}", fault.name(), told.join(", "));
        let strange: Vec<_> = seen.iter().filter(|(alert, node)| !fault.is_expected(alert, node)).collect();
        assert!(strange.is_empty(), "{}: {strange:?}", fault.name());
        if let Some(Shown::Nothing { none }) = &fault.scenario.metrics {
            skip(&format!("every_fault_rises_alarms_and_ends_in_prometheus {}", fault.name()), none);
        }
    }
}

/// What people read has every value in its place.
#[track_caller]
fn is_well_said(alert: &Alert) {
    for (name, text) in &alert.annotations {
        assert!(!["<no value>", "<error", "%!", "{{"].iter().any(|bad| text.contains(bad)), "{name}: {text}");
    }
    if let Some(netns) = alert.labels.get("netns") {
        assert!(alert.annotations["description"].contains(netns.as_str()), "{alert:?}");
    }
}

/// Panels that are empty even now, and why.
const EMPTY: [(&str, &str); 0] = [];

fn every_panel_shows_something(server: &Server) {
    let mut empty = Vec::new();
    for dashboard in Dashboard::all() {
        println!("\n{}", dashboard.title);
        for panel in &dashboard.panels {
            println!("  {}", panel.title);
            for target in &panel.targets {
                let series = server.query(&target.asked());
                let named = format!("{}, {}, {}", dashboard.title, panel.title, target.id);
                let known = EMPTY.iter().find(|(panel, _)| *panel == named);
                match (series.is_empty(), known) {
                    (true, Some((_, why))) => println!("    nothing: {why}"),
                    (true, None) => empty.push(format!("{named}: {}", target.asked())),
                    (false, _) => {}
                }
                for one in series.iter().take(3) {
                    println!("    {} {}", legend(&target.legend, one), one.value());
                }
                if series.len() > 3 {
                    println!("    and {} more", series.len() - 3);
                }
            }
        }
    }
    assert!(empty.is_empty(), "{empty:#?}");
}

/// As Grafana would write it; all labels where there is no legend.
fn legend(format: &str, series: &Sample) -> String {
    let labels = series.metric.iter().filter(|(name, _)| !["__name__", "job", "instance"].contains(&name.as_str()));
    if format.is_empty() {
        return labels.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ");
    }
    series.metric.iter().fold(format.to_owned(), |text, (name, value)| text.replace(&format!("{{{{{name}}}}}"), value))
}
