//! The tc hooks as their users meet them: the real binary, beside the filters of strangers.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod common;

use std::io::{BufRead, BufReader};
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{Answer, has, netobs, run, skip};
use netobs::netlink::Socket;
use netobs::netlink::tc::{Direction, NewBpfFilter, add_bpf_filter};
use netobs::netns::Netns;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// With this many veth pairs in it a namespace gets filters even where there is TCX.
const MANY_PAIRS: usize = 7;

/// Namespaces of the test's own, gone with it.
struct Bed {
    names: Vec<String>,
}

impl Bed {
    fn with(count: usize) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let bed =
            Self { names: (0..count).map(|index| format!("tc{}-{number}-{index}", std::process::id())).collect() };
        for name in &bed.names {
            run("ip", &["netns", "add", name]).good();
            // Nothing but what the test sends.
            bed.inside(name, &["sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6"]).good();
        }
        bed
    }

    fn ip(&self, name: &str, command: &str) {
        let arguments: Vec<&str> = ["-n", name].into_iter().chain(command.split(' ')).collect();
        run("ip", &arguments).good();
    }

    fn inside(&self, name: &str, command: &[&str]) -> Answer {
        run("ip", &[&["netns", "exec", name], command].concat())
    }

    fn tc(&self, name: &str, command: &str) -> Answer {
        self.inside(name, &["sh", "-c", &format!("tc {command}")])
    }

    fn stranger(&self, name: &str, device: &str, direction: Direction, priority: u16, answer: i32) {
        let mut socket = Socket::open_in(&Netns::open(name).unwrap()).unwrap();
        let link = socket.link(device).unwrap().unwrap().ifindex;
        let program = classifier(answer);
        let filter =
            NewBpfFilter { link, called: device, direction, priority, program: program.as_fd(), name: "stranger" };
        socket.apply(add_bpf_filter(filter)).unwrap();
    }

    /// Everything tc knows of the devices of a namespace.
    fn classifiers(&self, name: &str, devices: &[String]) -> String {
        let mut shown = self.tc(name, "qdisc show").good().stdout;
        for device in devices {
            for direction in ["ingress", "egress"] {
                let filters = self.tc(name, &format!("filter show dev {device} {direction}")).stdout;
                shown.push_str(&format!("{device} {direction}\n{filters}"));
            }
        }
        shown
    }

    /// A namespace full of veth pairs, one with a stranger's filters.
    fn crowded() -> (Self, String, Vec<String>) {
        let bed = Self::with(1);
        let name = bed.names.first().unwrap().clone();
        let mut devices = Vec::new();
        for pair in 0..MANY_PAIRS {
            let (near, far) = (format!("a{pair}"), format!("b{pair}"));
            bed.ip(&name, &format!("link add {near} type veth peer name {far}"));
            devices.extend([near, far]);
        }
        bed.tc(&name, "qdisc add dev a0 clsact").good();
        bed.stranger(&name, "a0", Direction::Ingress, 1, ACCEPTS);
        bed.stranger(&name, "a0", Direction::Egress, 7, DROPS);
        // A qdisc of a stranger's in which nothing is yet.
        bed.tc(&name, "qdisc add dev a1 clsact").good();
        (bed, name, devices)
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = run("ip", &["netns", "del", name]);
        }
    }
}

/// What a stranger's filter answers (`TC_ACT_OK`, `TC_ACT_SHOT`): either ends the chain.
const ACCEPTS: i32 = 0;
const DROPS: i32 = 2;

/// Loads a classifier that always gives the same answer. There is no compiler everywhere, nor are tc's own actions.
fn classifier(answer: i32) -> OwnedFd {
    // w0 = answer; exit
    let immediate = answer.to_ne_bytes();
    let mut code = [0xb4, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];
    code[4..8].copy_from_slice(&immediate);
    let license = c"GPL";
    let mut attributes = [0_u64; 16];
    // union bpf_attr of BPF_PROG_LOAD: type and count of instructions, the instructions, the licence.
    attributes[0] = 3 | 2 << 32;
    attributes[1] = code.as_ptr() as u64;
    attributes[2] = license.as_ptr() as u64;
    const BPF_PROG_LOAD: libc::c_int = 5;
    // SAFETY: everything the attributes point to outlives the call.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_LOAD, attributes.as_ptr(), size_of_val(&attributes)) };
    assert!(fd >= 0, "{}", std::io::Error::last_os_error());
    // SAFETY: a descriptor that is nobody else's yet.
    unsafe { OwnedFd::from_raw_fd(i32::try_from(fd).unwrap()) }
}

fn can_run(test: &str) -> bool {
    if !nix::unistd::geteuid().is_root() {
        skip(test, "not root");
        return false;
    }
    if let Some(missing) = ["ip", "tc", "ping"].into_iter().find(|tool| !has(tool)) {
        skip(test, &format!("no {missing}"));
        return false;
    }
    true
}

/// A trace that has attached everything.
struct Running(Child);

impl Running {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(netobs());
        command.arg("trace").args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let first = lines.next().unwrap().unwrap();
        assert!(first.starts_with("tracing:"), "{first}");
        Self(child)
    }

    fn end(mut self, signal: Signal) {
        kill(Pid::from_raw(self.0.id().cast_signed()), signal).unwrap();
        self.0.wait().unwrap();
    }
}

fn records() -> Vec<String> {
    let entries = std::fs::read_dir("/run/netobs/clsact").into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn json(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Two hosts on a bridge; the devices at the first one's cable have the same name.
fn bridged() -> (Bed, String) {
    let bed = Bed::with(3);
    let [a, b, host] = bed.names.as_slice() else { unreachable!("three were asked for") };
    let device = format!("d{}", std::process::id());
    bed.ip(host, "link add br0 type bridge forward_delay 0");
    bed.ip(host, &format!("link add {device} type veth peer name {device} netns {a}"));
    bed.ip(host, &format!("link add bh type veth peer name {device} netns {b}"));
    for port in [&device, "bh"] {
        bed.ip(host, &format!("link set {port} master br0 up"));
    }
    bed.ip(host, "link set br0 up");
    for (name, address) in [(a, "10.9.0.2"), (b, "10.9.0.3")] {
        bed.ip(name, &format!("addr add {address}/24 dev {device}"));
        bed.ip(name, &format!("link set {device} up"));
    }
    // Neighbours are known afterwards.
    bed.inside(a, &["ping", "-c1", "-W10", "10.9.0.3"]).good();
    (bed, device)
}

fn ping_traced(bed: &Bed, device: &str) -> Answer {
    let first = bed.names.first().unwrap();
    let command = ["trace", "--format", "json", "--device", device, "icmp", "--"];
    let ping = ["ip", "netns", "exec", first, "ping", "-c1", "-W5", "10.9.0.3"];
    run(netobs(), &[&command[..], &ping].concat())
}

/// The packet's hops at devices. What the stack did in between is left out.
fn on_devices(packet: &Value) -> Vec<Value> {
    let hops = packet["hops"].as_array().unwrap().iter();
    let of_a_device = |hook: &str| hook.starts_with("net") || hook.starts_with("tc_");
    hops.filter(|hop| of_a_device(hop["hook"].as_str().unwrap())).cloned().collect()
}

#[test]
fn a_ping_passes_tc_between_the_tracepoints() {
    if !can_run("a_ping_passes_tc_between_the_tracepoints") {
        return;
    }
    let (bed, device) = bridged();
    let records = json(&ping_traced(&bed, &device).good().stdout);
    let packets: Vec<&Value> = records.iter().filter(|record| record["type"] == "packet").collect();
    assert_eq!(packets.len(), 2, "a request and a reply: {packets:#?}");
    let request = packets.first().unwrap();
    let hops: Vec<String> = on_devices(request)
        .iter()
        .map(|hop| {
            format!("{} {}", hop["device"].as_str().unwrap().replace(&device, "D"), hop["hook"].as_str().unwrap())
        })
        .collect();
    let expected = [
        "D tc_egress",
        "D net_dev_queue",
        "D net_dev_start_xmit",
        "D netif_rx",
        "D netif_receive_skb",
        "D tc_ingress",
        "bh net_dev_queue",
        "bh net_dev_start_xmit",
        "D netif_rx",
        "D netif_receive_skb",
        "D tc_ingress",
    ];
    assert_eq!(hops, expected);
    for hop in on_devices(request) {
        assert_eq!(hop["length"], 98, "with the Ethernet header: {hop}");
        assert_eq!(hop["tuple"]["dst"], "10.9.0.3", "{hop}");
    }
    assert_eq!(request["outcome"], "delivered");
    let probes = records.last().unwrap()["probes"].as_array().unwrap();
    for name in ["tc_ingress", "tc_egress"] {
        let probe = probes.iter().find(|probe| probe["name"] == name).unwrap();
        assert_eq!(probe["attached"], true, "{probe}");
        assert!(probe["kind"] == "tcx" || probe["kind"] == "clsact", "{probe}");
    }
}

#[test]
fn a_trace_without_devices_says_nothing_of_tc() {
    if !can_run("a_trace_without_devices_says_nothing_of_tc") {
        return;
    }
    let summary = run(netobs(), &["trace", "--format", "json", "--duration", "0.1s"]).good().stdout;
    assert!(!summary.contains("tc_ingress"), "{summary}");
}

#[test]
fn a_device_that_is_nowhere_is_one_line() {
    if !can_run("a_device_that_is_nowhere_is_one_line") {
        return;
    }
    let bed = Bed::with(1);
    let name = bed.names.first().unwrap();
    run(netobs(), &["trace", "--device", "nowhere0"]).bad(1, "no device is called `nowhere0`");
    run(netobs(), &["trace", "--device", "nowhere0", "--netns", name]).bad(1, name);
    run(netobs(), &["trace", "--tc", "--netns", name]).bad(1, "no veth, bridge or uplink");
}

#[test]
fn what_strangers_decide_stays_decided() {
    if !can_run("what_strangers_decide_stays_decided") {
        return;
    }
    for (filter, passes) in [(ACCEPTS, true), (DROPS, false)] {
        let (bed, device) = bridged();
        let second = bed.names.get(1).unwrap();
        bed.tc(second, &format!("qdisc add dev {device} clsact")).good();
        bed.stranger(second, &device, Direction::Ingress, 5, filter);
        let answer = ping_traced(&bed, &device).good();
        let request = json(&answer.stdout).into_iter().next().unwrap();
        assert_eq!(request["outcome"] == "delivered", passes, "{filter}: {answer:#?}");
        let last = on_devices(&request).pop().unwrap();
        assert_eq!(last["hook"], "tc_ingress", "seen before the stranger decides: {last}");
    }
}

#[test]
fn strangers_filters_are_the_same_afterwards() {
    if !can_run("strangers_filters_are_the_same_afterwards") {
        return;
    }
    let (bed, name, devices) = Bed::crowded();
    let before = bed.classifiers(&name, &devices);
    let trace = Running::start(&["--tc", "--netns", &name]);
    let during = bed.classifiers(&name, &devices);
    let own = format!("-{}-", trace.0.id());
    assert_eq!(during.matches(&own).count(), devices.len() * 2, "one filter each way on each device: {during}");
    assert!(records().iter().any(|record| record.contains(&own)), "{:?}", records());
    trace.end(Signal::SIGINT);
    assert_eq!(bed.classifiers(&name, &devices), before);
    assert!(!records().iter().any(|record| record.contains(&own)), "{:?}", records());
}

#[test]
fn the_next_run_clears_up_after_one_that_was_killed() {
    if !can_run("the_next_run_clears_up_after_one_that_was_killed") {
        return;
    }
    let (bed, name, devices) = Bed::crowded();
    let before = bed.classifiers(&name, &devices);
    let killed = Running::start(&["--tc", "--netns", &name]);
    let own = format!("-{}-", killed.0.id());
    let living = Running::start(&["--tc", "--netns", &name]);
    let others = format!("-{}-", living.0.id());
    killed.end(Signal::SIGKILL);
    let left = bed.classifiers(&name, &devices);
    assert!(left.contains(&own), "filters outlive their process: {left}");
    // A device that goes while it is attached to is no error, and takes its filters along.
    bed.ip(&name, "link del a6");
    let devices: Vec<String> = devices.into_iter().filter(|device| !device.ends_with('6')).collect();

    run(netobs(), &["trace", "--duration", "0.1s"]).good();
    let cleared = bed.classifiers(&name, &devices);
    assert!(!cleared.contains(&own), "{cleared}");
    assert_eq!(cleared.matches(&others).count(), devices.len() * 2, "those of a living run stay: {cleared}");

    // The qdiscs were the dead one's, and the last to use them removes them.
    living.end(Signal::SIGTERM);
    let kept: Vec<&str> = before.lines().filter(|line| !line.contains("a6") && !line.contains("b6")).collect();
    assert_eq!(bed.classifiers(&name, &devices).lines().collect::<Vec<_>>(), kept);
    assert!(!records().iter().any(|record| record.contains(&own) || record.contains(&others)), "{:?}", records());
}
