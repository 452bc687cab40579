//! What is refused, and how.

use std::path::Path;
use std::process::Command;

use super::common::{Answer, can_make_labs, has, netobs, run, skip};
use super::conntrack::machine_is_ours;

#[test]
fn refusals_are_one_line() {
    run(netobs(), &["conntrack", "--interval", "1ms"]).bad(2, "--interval");
    if !can_make_labs("refusals_are_one_line", &[]) {
        return;
    }
    run(netobs(), &["conntrack", "--netns", "no-such-name"]).bad(1, "no network namespace is called `no-such-name`");
    run(netobs(), &["conntrack", "--netns", "/proc/self/status"]).bad(1, "not a network namespace");
}

#[test]
fn takes_root() {
    if !can_make_labs("takes_root", &["setpriv"]) {
        return;
    }
    // Where it was built, nobody else may be let in.
    let copy = std::env::temp_dir().join(format!("netobs-nobody-{}", std::process::id()));
    std::fs::copy(netobs(), &copy).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&copy).args([
        "conntrack",
        "--netns",
        "host",
    ]);
    let answer: Answer = command.output().unwrap().into();
    let _ = std::fs::remove_file(&copy);
    answer.bad(3, "run netobs as root");
}

#[test]
fn says_that_nothing_is_tracked() {
    let test = "says_that_nothing_is_tracked";
    if !can_make_labs(test, &["modprobe"]) {
        return;
    }
    if !machine_is_ours() || !has("modprobe") {
        return skip(test, "the module can be unloaded only on a machine of the tests' own");
    }
    for module in [
        "br_netfilter",
        "nf_conntrack_netlink",
        "nft_masq",
        "nft_chain_nat",
        "nft_nat",
        "nft_ct",
        "nf_nat",
        "nf_conntrack",
    ] {
        let _ = run("modprobe", &["-r", module]);
    }
    if Path::new("/sys/module/nf_conntrack").exists() {
        return skip(test, "something uses the module");
    }
    let answer = run(netobs(), &["conntrack"]);
    let loaded = Path::new("/sys/module/nf_conntrack").exists();
    run("modprobe", &["-a", "nf_conntrack", "nf_nat", "br_netfilter"]).good();
    answer.bad(3, "connection tracking is not loaded");
    assert!(!loaded, "looking must not load it");
}
