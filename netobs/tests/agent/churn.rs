//! Containers that come and go beside a flood: none is missed, and nothing of them stays.
//!
//! A hundred in twelve seconds. `NETOBS_TEST_CHURN=full cargo test -p netobs --test agent churn` takes four minutes: five
//! hundred in a minute, until their series have ended, and all that once more, since what was needed for the first may be
//! kept for the next.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{BufRead, BufReader, Write};
use std::net::UdpSocket;
use std::ops::Range;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use netobs::netns::{Netns, in_netns};

use super::bed::{Bed, Over, PORT, inside, send};
use super::common::{can_make_labs, run, takes_too_long};
use super::served::{Agent, Scrape};

/// Datagrams that a container sends as soon as it can: so many out by its cable, and so many to its own closed port.
const FIRST: u64 = 7;
/// How long they live, one after another: less than lies between two scrapes, and more.
const LIVES: [Duration; 4] =
    [Duration::from_millis(150), Duration::from_millis(700), Duration::from_millis(1500), Duration::from_secs(3)];
/// Each so many has a chain of its own for translations, as containers have in networks that Docker's users make: then
/// its connections are tracked.
const TRANSLATES: usize = 5;
/// How often Prometheus asks.
const INTERVAL: Duration = Duration::from_secs(1);
/// A namespace's series end within a minute.
const END: Duration = Duration::from_secs(60);
/// A share of the resident memory that may come and go: others make namespaces, too.
const SLACK: u64 = 10;

/// How many, and within what time.
struct Scale {
    containers: usize,
    within: Duration,
    is_full: bool,
}

impl Scale {
    fn asked() -> Self {
        let is_full = std::env::var("NETOBS_TEST_CHURN").is_ok_and(|value| value == "full");
        let (containers, seconds) = if is_full { (500, 60) } else { (100, 12) };
        Self { containers, within: Duration::from_secs(seconds), is_full }
    }
}

/// A namespace with a name, a cable to the machine's bridge, as it were, and a process.
struct Container {
    name: String,
    process: Child,
}

impl Container {
    /// Started, and its first packets are sent.
    fn start(machine: &str, number: usize) -> Self {
        let name = format!("{machine}-{number}");
        run("ip", &["netns", "add", &name]).good();
        let script = "echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6; echo; exec sleep 600";
        let mut process = Command::new("ip")
            .args(["netns", "exec", &name, "sh", "-c", script])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // IPv6 would send packets of its own.
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let (high, low) = (number / 250, number % 250 + 2);
        let commands = format!(
            "link add eth0 type veth peer name v{number} netns {machine}\nlink set lo up\nlink set eth0 up\n\
             addr add 10.79.{high}.{low}/16 dev eth0\nneigh add 10.79.255.1 lladdr 02:00:00:00:00:01 dev eth0\n"
        );
        let mut ip = Command::new("ip").args(["-n", &name, "-batch", "-"]).stdin(Stdio::piped()).spawn().unwrap();
        ip.stdin.take().unwrap().write_all(commands.as_bytes()).unwrap();
        assert!(ip.wait().unwrap().success());
        run("ip", &["-n", machine, "link", "set", &format!("v{number}"), "up"]).good();
        if number.is_multiple_of(TRANSLATES) {
            let chain = "add table ip n; add chain ip n c { type nat hook postrouting priority 100; }";
            inside(&name, &["nft", &format!("{chain}; add rule ip n c counter")]).good();
        }
        send(&name, "10.79.255.1", PORT, FIRST);
        send(&name, &format!("10.79.{high}.{low}"), PORT, FIRST);
        Self { name, process }
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        run("ip", &["netns", "del", &self.name]);
    }
}

/// A namespace that the containers' cables lead to.
struct Machine {
    name: String,
}

impl Machine {
    fn new() -> Self {
        let name = format!("ch{}", std::process::id());
        run("ip", &["netns", "add", &name]).good();
        inside(&name, &["sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6"]).good();
        Self { name }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        run("ip", &["netns", "del", &self.name]);
    }
}

/// What of the agent could grow.
#[derive(Debug)]
struct Size {
    descriptors: usize,
    resident_kib: u64,
    /// Of our containers.
    series: usize,
    /// eBPF programs, maps and links it holds.
    objects: BTreeMap<String, usize>,
}

impl Size {
    fn of(agent: &Agent, machine: &str) -> Self {
        let ours = format!("netns=\"{machine}-");
        let series = agent.scrape().text.lines().filter(|line| line.contains(&ours)).count();
        let folder = format!("/proc/{}", agent.pid());
        let status = std::fs::read_to_string(format!("{folder}/status")).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let mut objects = BTreeMap::new();
        let mut descriptors = 0;
        for file in std::fs::read_dir(format!("{folder}/fdinfo")).unwrap().flatten() {
            descriptors += 1;
            let text = std::fs::read_to_string(file.path()).unwrap_or_default();
            for kind in ["prog_id", "map_id", "link_id"] {
                *objects.entry(kind.to_owned()).or_default() += usize::from(text.contains(&format!("{kind}:")));
            }
        }
        Self { descriptors, resident_kib: resident.trim().trim_end_matches(" kB").parse().unwrap(), series, objects }
    }
}

impl Size {
    /// As soon as there are no more descriptors and objects than before. Other tests make namespaces, too.
    #[track_caller]
    fn settled(agent: &Agent, machine: &str, before: &Self) -> Self {
        let began = Instant::now();
        loop {
            let now = Self::of(agent, machine);
            let is_more = |(kind, count): (&String, &usize)| before.objects.get(kind).is_none_or(|known| known < count);
            if now.descriptors <= before.descriptors && !now.objects.iter().any(is_more) {
                return now;
            }
            assert!(began.elapsed() < END, "{before:?} {now:?}");
            thread::sleep(INTERVAL);
        }
    }
}

/// What scrapes told of each container.
#[derive(Default)]
struct Told {
    /// Packets queued to its `eth0`, and drops for want of a listener, by name: the most that was told.
    counts: HashMap<String, (u64, u64)>,
    /// Whose `netns_info` was there once.
    present: HashSet<String>,
    slowest: Duration,
    /// When the last scrape began, and the longest that any took together with the one before it.
    began: Option<Instant>,
    longest: Duration,
}

impl Told {
    fn scrape(&mut self, agent: &Agent, machine: &str) -> Scrape {
        let began = Instant::now();
        let scrape = agent.scrape();
        self.slowest = self.slowest.max(began.elapsed());
        let since = self.began.replace(began).unwrap_or(began);
        self.longest = self.longest.max(since.elapsed());
        let prefix = format!("netns=\"{machine}-");
        for line in scrape.text.lines().filter(|line| line.contains(&prefix)) {
            let name = line.split("netns=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
            let value: f64 = line.rsplit(' ').next().unwrap().parse().unwrap();
            let is_sent =
                line.contains("_hop_packets_total") && line.contains("device=\"eth0\",hook=\"net_dev_queue\"");
            let is_dropped = line.contains("_packet_drops_total") && line.contains("cause=\"no-listener\"");
            let counts = self.counts.entry(name.to_owned()).or_default();
            counts.0 = counts.0.max(if is_sent { value as u64 } else { 0 });
            counts.1 = counts.1.max(if is_dropped { value as u64 } else { 0 });
            if line.contains("_netns_info") {
                self.present.insert(name.to_owned());
            }
        }
        scrape
    }
}

/// Datagrams to a closed port until it is over. Returns how many.
fn flood(bed: &Bed, over: &AtomicBool) -> u64 {
    let netns = Netns::open(&bed.left).unwrap();
    let socket = in_netns(&netns, || UdpSocket::bind("0.0.0.0:0").unwrap()).unwrap();
    let mut sent = 0;
    while !over.load(Ordering::Relaxed) {
        for _ in 0..100 {
            socket.send_to(b"netobs", ("10.77.0.2", PORT)).unwrap();
            sent += 1;
        }
    }
    sent
}

/// Starts and ends containers, and scrapes all the while, and once more for the last ones.
fn churn(agent: &Agent, machine: &str, numbers: Range<usize>, within: Duration) -> Told {
    thread::scope(|scope| {
        let work = scope.spawn(|| start_and_end(machine, numbers, within));
        let mut told = Told::default();
        while !work.is_finished() {
            let began = Instant::now();
            told.scrape(agent, machine);
            thread::sleep(INTERVAL.saturating_sub(began.elapsed()));
        }
        told.scrape(agent, machine);
        told
    })
}

fn start_and_end(machine: &str, numbers: Range<usize>, within: Duration) {
    let (began, pace) = (Instant::now(), within / u32::try_from(numbers.len()).unwrap());
    let mut living: Vec<(Instant, Container)> = Vec::new();
    for (turn, number) in (0u32..).zip(numbers) {
        while began.elapsed() < pace * turn {
            living.retain(|(end, _)| *end > Instant::now());
            thread::sleep(Duration::from_millis(5));
        }
        let container = Container::start(machine, number);
        living.push((Instant::now() + LIVES[number % LIVES.len()], container));
    }
    while !living.is_empty() {
        living.retain(|(end, _)| *end > Instant::now());
        thread::sleep(Duration::from_millis(5));
    }
}

/// All of them were told, each as often as it was.
#[track_caller]
fn nothing_missed(told: &Told, machine: &str, numbers: Range<usize>) {
    let names = || numbers.clone().map(|number| (number, format!("{machine}-{number}")));
    let all = Some(&(FIRST, FIRST));
    let missed: Vec<_> = names().map(|(_, name)| (told.counts.get(&name), name)).filter(|it| it.0 != all).collect();
    assert!(missed.is_empty(), "{} of {}: {missed:?}", missed.len(), numbers.len());
    // Who lives longer than it takes from one scrape to the next is in one of them.
    let is_long = |number: usize| LIVES[number % LIVES.len()] > (INTERVAL + INTERVAL / 4).max(told.longest);
    let absent: Vec<_> = names().filter(|(number, name)| is_long(*number) && !told.present.contains(name)).collect();
    assert!(absent.is_empty(), "{absent:?}");
    let present = told.present.len();
    println!("{} containers, {present} of them in a scrape while there; slowest {:?}", numbers.len(), told.slowest);
}

/// Waits until no series tells of them. Those of their cables' other ends go when the kernel has taken those away, which
/// on a busy machine may take long.
#[track_caller]
fn series_end(agent: &Agent, machine: &str) {
    let began = Instant::now();
    let prefix = format!("netns=\"{machine}-");
    loop {
        let left = agent.scrape().text.lines().filter(|line| line.contains(&prefix)).count();
        if left == 0 {
            return;
        }
        assert!(began.elapsed() < END, "{left} series are left");
        thread::sleep(INTERVAL);
    }
}

#[test]
fn containers_that_come_and_go_are_all_told_and_leave_nothing() {
    let test = "containers_that_come_and_go_are_all_told_and_leave_nothing";
    if takes_too_long(test) || !can_make_labs(test, &["ip"]) {
        return;
    }
    let Scale { containers, within, is_full } = Scale::asked();
    let (machine, bed, agent) = (Machine::new(), Bed::new(), Agent::ready(&[]));
    let name = &machine.name;
    let over = AtomicBool::new(false);
    let sent = thread::scope(|scope| {
        let flooding = Over(&over);
        let flood = scope.spawn(|| flood(&bed, &over));
        let first = if is_full { 0..containers } else { 0..containers / 4 };
        let told = churn(&agent, name, first.clone(), if is_full { within } else { within / 4 });
        nothing_missed(&told, name, first.clone());
        if is_full {
            series_end(&agent, name);
        }
        let before = Size::of(&agent, name);
        let second = first.end..first.end + containers;
        let told = churn(&agent, name, second.clone(), within);
        nothing_missed(&told, name, second);
        if is_full {
            series_end(&agent, name);
        }
        let after = Size::settled(&agent, name, &before);
        println!("before {before:?}\nafter  {after:?}");
        if is_full {
            assert_eq!((before.series, after.series), (0, 0));
            assert!(after.resident_kib <= before.resident_kib + before.resident_kib / SLACK, "{before:?} {after:?}");
        }
        drop(flooding);
        flood.join().unwrap()
    });
    let scrape = agent.scrape();
    let flooded = scrape.with("packet_drops_total", "netns", &bed.right);
    assert_eq!(flooded.iter().map(|(_, drops)| *drops as u64).sum::<u64>(), sent, "{flooded:?}");
    for stage in ["drops-overflow", "drops-missed", "hops-overflow", "hops-missed"] {
        assert_eq!(scrape.count(&format!("events_lost_total{{stage=\"{stage}\"}}")), 0, "{stage}");
    }
}
