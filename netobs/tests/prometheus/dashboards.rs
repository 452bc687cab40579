//! The dashboards by themselves.

use std::collections::HashSet;

use super::common::{is_slow, skip};
use super::dashboard::Dashboard;
use super::query::strangers;

/// Below it, Grafana 10 would have to convert them.
const SCHEMA: u32 = 38;

#[test]
fn every_panel_asks_for_what_there_is() {
    if is_slow() {
        skip(
            "every_panel_asks_for_what_there_is",
            "no kernel's matter; it runs on real processors (NETOBS_TEST_SLOW=0)",
        );
        return;
    }
    let dashboards = Dashboard::all();
    let uids: HashSet<&str> = dashboards.iter().map(|dashboard| dashboard.uid.as_str()).collect();
    assert_eq!(uids.len(), dashboards.len());
    for expected in ["overview", "drops", "conntrack", "nat-mtu", "hops", "agent"] {
        assert!(uids.contains(format!("netobs-{expected}").as_str()), "{expected}: {uids:?}");
    }
    for dashboard in &dashboards {
        let title = &dashboard.title;
        assert!(dashboard.schema >= SCHEMA && dashboard.tags.iter().any(|tag| tag == "netobs"), "{title}");
        let variables = dashboard.variables();
        assert!(variables.contains(&"datasource") && variables.contains(&"instance"), "{title}");
        let ids: HashSet<u32> = dashboard.panels.iter().map(|panel| panel.id).collect();
        assert_eq!(ids.len(), dashboard.panels.len(), "{title}");
        for (number, panel) in dashboard.panels.iter().enumerate() {
            let named = format!("{title}, {}", panel.title);
            assert!(panel.description.ends_with('.') && panel.place.x + panel.place.w <= 24, "{named}");
            assert!(panel.fields["defaults"]["unit"].is_string(), "{named} has no unit");
            assert_eq!(panel.datasource["uid"], "${datasource}", "{named}");
            let others = dashboard.panels.iter().skip(number + 1);
            assert!(others.into_iter().all(|other| !panel.place.overlaps(&other.place)), "{named} covers another");
            assert!(!panel.targets.is_empty(), "{named} asks for nothing");
            for target in &panel.targets {
                assert!(panel.kind == "table" || panel.kind == "stat" || !target.legend.is_empty(), "{named}");
                for (variable, used) in [("netns", "$netns"), ("instance", "$instance")] {
                    assert!(!target.expr.contains(used) || variables.contains(&variable), "{named}: {used}");
                }
                let strangers = strangers(&target.expr, &target.told(), &[]);
                assert!(strangers.is_empty(), "{named}: {strangers:?}: {}", target.expr);
            }
        }
    }
}
