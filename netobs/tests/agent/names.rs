//! Namespaces that come and go, and what their series are called.

use std::fs::{File, remove_file};
use std::io::Write;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::bed::{Bed, PORT, send};
use super::common::{can_make_labs, run, takes_too_long};
use super::served::{Agent, Scrape};
use super::tracer::{PATIENCE, at_most};

fn closed_ports(scrape: &Scrape, netns: &str) -> u64 {
    scrape.count(&format!("packet_drops_total{{netns=\"{netns}\",reason=\"NO_SOCKET\",cause=\"no-listener\"}}"))
}

#[test]
fn one_that_came_and_went_between_two_scrapes_has_its_name() {
    if !can_make_labs("one_that_came_and_went_between_two_scrapes_has_its_name", &["ip"]) {
        return;
    }
    let agent = Agent::ready(&[]);
    let bed = Bed::new();
    let (left, right) = (bed.left.clone(), bed.right.clone());
    send(&left, "10.77.0.2", PORT, 40);
    drop(bed);
    let scrape =
        agent.scrape_until("the namespaces are gone", |scrape| scrape.with("netns_info", "netns", &right).is_empty());
    assert_eq!(closed_ports(&scrape, &right), 40, "{:?}", scrape.with("packet_drops_total", "netns", "unknown"));
    assert!(scrape.with("conntrack_entries", "netns", &right).is_empty(), "a gauge ends at once");
    // Told again until it ends, and not twice as much.
    assert_eq!(closed_ports(&agent.scrape(), &right), 40);
    assert_eq!(closed_ports(&agent.scrape(), &right), 40);
}

#[test]
fn one_that_comes_again_under_its_name_goes_on_counting() {
    if !can_make_labs("one_that_comes_again_under_its_name_goes_on_counting", &["ip"]) {
        return;
    }
    let agent = Agent::ready(&[]);
    let bed = Bed::new();
    send(&bed.left, "10.77.0.2", PORT, 40);
    let received = format!("interface_receive_packets_total{{netns=\"{}\",device=\"eth0\"}}", bed.right);
    let before = agent.scrape();
    assert_eq!((closed_ports(&before, &bed.right), before.count(&received)), (40, 40));
    let bed = bed.again();
    send(&bed.left, "10.77.0.2", PORT, 7);
    let after = agent.scrape();
    assert_eq!((closed_ports(&after, &bed.right), after.count(&received)), (47, 47), "{}", after.text);
    let infos = after.with("netns_info", "netns", &bed.right);
    assert_eq!(infos.len(), 1, "{infos:?}");
}

#[test]
fn nothing_is_called_by_a_number() {
    if !can_make_labs("nothing_is_called_by_a_number", &["ip", "unshare"]) {
        return;
    }
    let agent = Agent::ready(&[]);
    let mut alone = Command::new("unshare").args(["-n", "sleep", "600"]).stdin(Stdio::null()).spawn().unwrap();
    let scrape = agent.scrape_until("the new namespace", |scrape| {
        let inode = std::fs::read_link(format!("/proc/{}/ns/net", alone.id())).unwrap();
        let inode = inode.to_string_lossy().trim_start_matches("net:[").trim_end_matches(']').to_owned();
        !scrape.with("netns_info", "inode", &inode).is_empty()
    });
    let _ = alone.kill();
    let _ = alone.wait();
    assert_eq!(scrape.with("netns_info", "netns", "host").len(), 1);
    for line in scrape.text.lines().filter(|line| line.contains("netns=\"")) {
        let netns = line.split("netns=\"").nth(1).unwrap().split('"').next().unwrap();
        assert!(!netns.is_empty() && !netns.starts_with("pid:") && netns.parse::<u64>().is_err(), "{line}");
    }
    let pins = run("ip", &["-j", "netns"]).good().stdout;
    for (series, _) in scrape.with("netns_info", "runtime", "") {
        let netns = series.split('"').nth(1).unwrap();
        let is_pin = pins.contains(&format!("\"{netns}\""));
        assert!(is_pin || ["host", "unnamed"].contains(&netns) || netns.ends_with(".service"), "{series}: {pins}");
    }
}

/// Namespaces that are gone with it.
struct Many {
    prefix: String,
    count: usize,
}

impl Many {
    fn names(&self) -> impl Iterator<Item = String> {
        (0..self.count).map(|number| format!("{}-{number}.", self.prefix))
    }

    /// All in one go.
    fn make(prefix: &str, count: usize) -> Self {
        let many = Self { prefix: format!("{prefix}{}", std::process::id()), count };
        assert!(many.each("add"));
        many
    }

    fn each(&self, change: &str) -> bool {
        let mut ip = Command::new("ip");
        let mut ip = ip.args(["-force", "-batch", "-"]).stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = ip.stdin.take().unwrap();
        for name in self.names() {
            writeln!(lines, "netns {change} {name}").unwrap();
        }
        drop(lines);
        ip.wait().unwrap().success()
    }

    /// Those that the agent knows, which does not look for namespaces to answer this.
    fn known(&self, agent: &Agent) -> usize {
        let page = agent.get("/api/v1/topology");
        assert_eq!(page.status, 200, "{page:#?}");
        self.names().filter(|name| page.body.contains(&format!("\"{name}\""))).count()
    }

    /// How long it takes until it knows that many.
    #[track_caller]
    fn until(&self, agent: &Agent, wanted: usize, patience: Duration) -> Duration {
        let began = Instant::now();
        loop {
            let (asked, known) = (began.elapsed(), self.known(agent));
            if known == wanted {
                return asked;
            }
            assert!(asked < patience, "{known} instead of {wanted} after {asked:?}");
            sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Many {
    fn drop(&mut self) {
        self.each("del");
    }
}

#[test]
fn a_thousand_made_at_once_are_all_there() {
    let test = "a_thousand_made_at_once_are_all_there";
    if takes_too_long(test) || !can_make_labs(test, &["ip"]) {
        return;
    }
    let agent = Agent::ready(&[]);
    let began = Instant::now();
    let many = Many::make("th", 1000);
    // On a machine that is slow to make them, it is slow to look at them.
    let patience = at_most(Duration::from_secs(5)).max(began.elapsed() * 5);
    println!("all there after {:?}", many.until(&agent, 1000, patience));
    many.each("del");
    println!("all gone after {:?}", many.until(&agent, 0, patience));
}

#[test]
fn names_that_the_kernel_could_not_tell_are_there_all_the_same() {
    if !can_make_labs("names_that_the_kernel_could_not_tell_are_there_all_the_same", &["ip"]) {
        return;
    }
    let agent = Agent::ready(&[]);
    agent.signal(Signal::SIGSTOP);
    // More than its queue holds, and then what is not in it any more.
    let room: usize =
        std::fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap().trim().parse().unwrap();
    for number in 0..=room / 2 {
        let path = format!("/run/netns/over{}-{number}", std::process::id());
        File::create(&path).unwrap();
        remove_file(&path).unwrap();
    }
    let many = Many::make("ov", 50);
    agent.signal(Signal::SIGCONT);
    println!("all there after {:?}", many.until(&agent, 50, PATIENCE));
}
