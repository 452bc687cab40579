//! It does its work with the privileges of its table, and with none of them less.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use caps::{CapSet, Capability};
use netobs::agent::PRIVILEGES;

use super::bed::{Bed, PORT, inside, send};
use super::common::{can_make_labs, netobs, run};
use super::served::{Agent, Scrape};
use super::tracer::wait;

const COLLECTORS: [&str; 7] = ["namespaces", "interfaces", "snmp", "conntrack", "drops", "hops", "programs"];

/// A process of another user, in a network namespace that only it keeps; it ends with this.
struct Stranger(Child);

impl Stranger {
    fn new() -> Self {
        let alone = ["-n", "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "sleep", "600"];
        let child = Command::new("unshare").args(alone).stdin(Stdio::null()).spawn().unwrap();
        let stranger = Self(child);
        while std::fs::read_to_string(format!("/proc/{}/comm", stranger.0.id())).unwrap() != "sleep\n" {
            std::thread::yield_now();
        }
        stranger
    }

    fn is_seen(&self, scrape: &Scrape) -> bool {
        let inode = std::fs::read_link(format!("/proc/{}/ns/net", self.0.id())).unwrap();
        let inode = inode.to_string_lossy().trim_start_matches("net:[").trim_end_matches(']').to_owned();
        !scrape.with("netns_info", "inode", &inode).is_empty()
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = wait(&mut self.0);
    }
}

/// A line of a thread's `status`.
fn line(status: &str, name: &str) -> String {
    status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap().trim().to_owned()
}

#[test]
fn with_what_is_left_everything_works_in_new_namespaces_too() {
    let test = "with_what_is_left_everything_works_in_new_namespaces_too";
    if !can_make_labs(test, &["ip", "unshare", "setpriv"]) {
        return;
    }
    let agent = Agent::ready(&[]);
    let table = PRIVILEGES.iter().fold(0u64, |mask, privilege| mask | privilege.capability.bitmask());
    let mut workers = 0;
    for thread in std::fs::read_dir(format!("/proc/{}/task", agent.pid())).unwrap() {
        // One that was made to enter a namespace may end at any time.
        let Ok(status) = std::fs::read_to_string(thread.unwrap().path().join("status")) else { continue };
        let name = line(&status, "Name");
        let mask = |set: &str| u64::from_str_radix(&line(&status, set), 16).unwrap();
        let is_worker = ["collection", "namespaces", "netns-names", "inventory", "translations"].contains(&&*name);
        workers += u32::from(is_worker);
        let is_errand = name.starts_with("netns-") && !is_worker;
        let kept = if is_worker || is_errand { table } else { 0 };
        assert_eq!((mask("CapEff"), mask("CapPrm")), (kept, kept), "{name}");
        assert_eq!((mask("CapBnd"), mask("CapInh"), mask("CapAmb")), (table, 0, 0), "{name}");
        assert_eq!(line(&status, "NoNewPrivs"), "1", "{name}");
    }
    // The last of them is only there where translations are counted in each namespace by itself.
    assert!((4..=5).contains(&workers), "{workers}");
    let (bed, stranger) = (Bed::new(), Stranger::new());
    Bed::drop_at(&bed.right, "input");
    inside(&bed.right, &["nft", "add rule ip t c ct state invalid counter"]).good();
    send(&bed.left, "10.77.0.2", PORT, 60);
    let scrape = agent.scrape_until("the stranger", |scrape| stranger.is_seen(scrape));
    for collector in COLLECTORS {
        assert_eq!(scrape.get(&format!("collector_success{{collector=\"{collector}\"}}")), Some(1.0), "{collector}");
    }
    let right = format!("netns=\"{}\"", bed.right);
    let dropped = format!("packet_drops_total{{{right},reason=\"NETFILTER_DROP\",cause=\"policy\"}}");
    assert_eq!(scrape.count(&dropped), 60, "{}", scrape.text);
    let received = format!("hop_packets_total{{{right},device=\"eth0\",hook=\"netif_receive_skb\"}}");
    assert_eq!(scrape.count(&received), 60, "{}", scrape.text);
    assert!(scrape.get(&format!("conntrack_entries{{{right}}}")).is_some(), "{}", scrape.text);
    assert_eq!(
        scrape.with("probe_attached", "kind", "tp_btf").iter().filter(|(_, attached)| *attached == 0.0).count(),
        0
    );
    for path in ["/api/v1/topology", "/api/v1/drops", "/api/v1/conntrack"] {
        let page = agent.get(path);
        assert!(page.status == 200 && page.body.contains(&bed.right), "{path}: {page:#?}");
    }
}

/// The agent of a root without one capability.
fn without(capability: Capability) -> Command {
    let mut command = Agent::command(&[]);
    let let_go = move || caps::drop(None, CapSet::Bounding, capability).map_err(std::io::Error::other);
    // SAFETY: a system call, between fork and exec.
    unsafe { command.pre_exec(let_go) };
    command
}

#[test]
fn without_any_of_them_something_is_missing() {
    let test = "without_any_of_them_something_is_missing";
    if !can_make_labs(test, &["ip", "unshare", "setpriv"]) {
        return;
    }
    let (bed, stranger) = (Bed::new(), Stranger::new());
    for privilege in PRIVILEGES {
        match privilege.capability {
            Capability::CAP_SYS_ADMIN => {
                let refused = without(privilege.capability).stdin(Stdio::null()).output().unwrap();
                let said = String::from_utf8(refused.stderr).unwrap();
                assert_eq!((refused.status.code(), said.lines().count()), (Some(3), 1), "{said}");
            }
            Capability::CAP_NET_ADMIN => {
                let scrape = Agent::ready_by(&mut without(privilege.capability)).scrape();
                assert_eq!(scrape.get("collector_success{collector=\"conntrack\"}"), Some(0.0), "{}", scrape.text);
            }
            Capability::CAP_NET_BROADCAST => {
                let agent = Agent::ready_by(&mut without(privilege.capability));
                // Elsewhere one kprobe counts for all namespaces.
                if agent.scrape().get("probe_attached{probe=\"nat_leaving\",kind=\"netfilter\"}") == Some(1.0) {
                    run("ip", &["netns", "set", &bed.left, "auto"]).good();
                    inside(&bed.left, &["nft", "add table ip later"]).good();
                    std::thread::sleep(std::time::Duration::from_secs(1));
                    let scrape = agent.scrape();
                    assert!(scrape.with("nat_translations_total", "netns", &bed.left).is_empty(), "{}", scrape.text);
                }
            }
            Capability::CAP_SYS_PTRACE => {
                let scrape = Agent::ready_by(&mut without(privilege.capability)).scrape();
                assert!(!stranger.is_seen(&scrape), "{}", scrape.text);
            }
            Capability::CAP_SYSLOG => {
                let agent = Agent::ready_by(&mut without(privilege.capability));
                send(&bed.left, "10.77.0.2", PORT, 5);
                let drops: serde_json::Value = serde_json::from_str(&agent.get("/api/v1/drops").body).unwrap();
                let mut rows = drops.as_array().unwrap().iter().filter(|row| row["netns"] == bed.right.as_str());
                let row = rows.next().unwrap();
                let setting = |name| std::fs::read_to_string(format!("/proc/sys/kernel/{name}")).unwrap();
                // Everybody may see them where performance counters are everybody's.
                let is_open = setting("kptr_restrict").trim() == "0"
                    && setting("perf_event_paranoid").trim().parse::<i32>().unwrap() <= 1;
                assert_eq!(row["function"].is_string(), is_open, "{row:#}");
            }
            other => panic!("{other}: what is missing without it?"),
        }
    }
}

#[test]
fn the_table_is_told() {
    let told = run(netobs(), &["agent", "--list-privileges"]).good().stdout;
    for privilege in PRIVILEGES {
        assert!(told.contains(&format!("{}\n    {}.\n", privilege.capability, privilege.reason)), "{told}");
    }
    assert_eq!(told.lines().count(), 2 * PRIVILEGES.len(), "{told}");
}
