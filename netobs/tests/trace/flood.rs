//! More packets than anybody can write down. What is lost is counted, what is kept is right.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use super::common::{Lab, can_make_labs};
use super::records::{Packet, Summary};
use super::tracer::{command, wait};

/// Most memory that netobs may have resident.
const MEMORY: u64 = 128 << 20;
/// One packet in so many is read: all of them would keep the machine from flooding.
const SAMPLE: u64 = 50;
/// Length of a datagram of the flood.
const DATAGRAM: u32 = 14 + 20 + 8 + 64;
/// Length of a datagram of four bytes: before its flood iperf3 sends one each way.
const GREETING: u32 = 14 + 20 + 8 + 4;

struct Background(Child);

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The most memory a process had resident so far.
fn peak_memory(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

#[test]
fn is_counted_exactly_and_told_right() {
    if !can_make_labs("is_counted_exactly_and_told_right", &["ip", "iperf3"]) {
        return;
    }
    let lab = Lab::up();
    let server = Command::new("ip")
        .args(["netns", "exec", &lab.netns("c2"), "iperf3", "-s", "-1"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn();
    let _server = Background(server.unwrap());
    let listens = || {
        let table = netobs::netns::in_netns(&netobs::netns::Netns::open(&lab.netns("c2")).unwrap(), || {
            std::fs::read_to_string("/proc/thread-self/net/tcp6").unwrap_or_default()
        });
        table.unwrap().contains(":1451 ")
    };
    while !listens() {
        thread::sleep(Duration::from_millis(10));
    }

    let c1 = lab.netns("c1");
    let flood = ["ip", "netns", "exec", &c1, "iperf3", "-c", "10.40.0.3", "-u", "-b0", "-l64", "-t10"];
    let mut tracer = command(&["--"]);
    let mut tracer =
        tracer.args(flood).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let out = tracer.stdout.take().unwrap();
    let reader = thread::spawn(move || {
        let (mut lines, mut last, mut sample) = (0, String::new(), Vec::new());
        for line in BufReader::with_capacity(1 << 20, out).lines() {
            last = line.unwrap();
            if lines % SAMPLE == 0 && last.contains("\"packet\"") {
                sample.push(serde_json::from_str::<Packet>(&last).expect(&last));
            }
            lines += 1;
        }
        (lines - 1, sample, last)
    });
    let pid = tracer.id();
    let watch = thread::spawn(move || {
        let mut peak = 0;
        while let Some(now) = peak_memory(pid) {
            peak = now;
            thread::sleep(Duration::from_millis(50));
        }
        peak
    });
    let status = wait(&mut tracer);
    let (lines, sample, last) = reader.join().unwrap();
    assert_eq!(status.code(), Some(0));
    let summary: Summary = serde_json::from_str(&last).expect(&last);
    println!("{last}");
    assert_eq!(summary.packets, lines, "packets told, and told of");
    let ring = summary.lost.get("ring").copied().expect("lost.ring");
    assert_eq!(summary.events, summary.decoded + ring, "emitted = decoded + lost: {summary:#?}");
    assert_eq!(summary.command_status, Some(0), "iperf3's own");
    let peak = watch.join().unwrap();
    assert!(peak > 0 && peak <= MEMORY, "{} MiB resident", peak >> 20);

    // The device may be the only thing left of a packet of which events were lost; then it is not known whose it is.
    let (greetings, datagrams): (Vec<_>, Vec<_>) = sample
        .iter()
        .filter(|packet| packet.is_of(&lab) && packet.proto == "udp")
        .partition(|packet| packet.length == GREETING);
    assert!(greetings.len() <= 2, "{greetings:#?}");
    assert!(!datagrams.is_empty(), "none of {} packets was a datagram of the flood: {summary:#?}", sample.len());
    let sport = datagrams.first().unwrap().tuple.sport;
    for packet in &datagrams {
        assert_eq!(packet.ends(), ("10.40.0.2", "10.40.0.3"), "{packet:#?}");
        assert_eq!((packet.tuple.sport, packet.tuple.dport), (sport, Some(5201)), "{packet:#?}");
        assert!(packet.hops.iter().all(|hop| hop.tuple == packet.tuple), "{packet:#?}");
        assert_eq!((packet.length, packet.nat.len()), (DATAGRAM, 0), "{packet:#?}");
    }
    if ring == 0 {
        // A packet is followed from its beginning, and skips no device. One that waited in a queue while others were let
        // go may be taken up later, at its drop at the latest, but that is rare.
        let way = ["c1/eth0", "host/c1-h", "host/c2-h", "c2/eth0"];
        let mut late = 0;
        for packet in &datagrams {
            let path = packet.path(&lab);
            let is_part = |length| way.windows(length).any(|part| part == path);
            assert!(path.is_empty() || is_part(path.len()), "{packet:#?}");
            late += usize::from(path.first().is_none_or(|first| first != "c1/eth0"));
        }
        assert!(late <= datagrams.len() / 100 + 1, "{late} of {} packets begin half-way", datagrams.len());
    }
}
