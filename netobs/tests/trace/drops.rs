//! A firewall rule that drops.

use super::common::{Lab, can_make_labs, run};
use super::tracer::trace;

#[test]
fn by_a_rule_of_the_hosts_forward_chain() {
    if !can_make_labs("by_a_rule_of_the_hosts_forward_chain", &["ip", "ping"]) {
        return;
    }
    let lab = Lab::up();
    let host = lab.netns("host");
    let rules = "add table inet fault; add chain inet fault forward { type filter hook forward priority 0; }; \
                 add rule inet fault forward icmp type echo-request drop";
    run("ip", &["netns", "exec", &host, "nft", rules]).good();
    let ping = ["ip", "netns", "exec", &lab.netns("c1"), "ping", "-c1", "-W1", "198.51.100.10"];
    let traced = trace("icmp", &ping);
    traced.nothing_lost();
    let packets = traced.of(&lab);
    let [request] = &packets[..] else { panic!("not exactly one packet: {packets:#?}") };
    assert_eq!(request.outcome, "dropped", "{request:#?}");
    let drop = request.drop.as_ref().unwrap();
    assert_eq!(drop.reason.as_deref(), Some("NETFILTER_DROP"), "{drop:#?}");
    assert_eq!(drop.netns.as_ref(), Some(&host), "{drop:#?}");
    // Who frees it: nft itself, or before it could, the hook's caller.
    assert!(matches!(drop.function.as_deref(), Some("nft_do_chain" | "nf_hook_slow")), "{drop:#?}");
    assert!(!drop.explanation.is_empty());
    assert_eq!(request.path(&lab), ["c1/eth0", "host/c1-h", "host/br0"], "{request:#?}");
    assert_eq!(traced.summary.command_status, Some(1), "ping's own status");
}
