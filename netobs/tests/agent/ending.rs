//! How it ends, whoever ends it.

use std::collections::HashSet;
use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::bed::{Bed, Over, PORT, inside, netstat, send};
use super::common::can_make_labs;
use super::served::{Agent, Scrape};
use super::tracer::{PATIENCE, at_most};

fn loaded() -> Vec<u32> {
    aya::programs::loaded_programs().flatten().map(|program| program.id()).collect()
}

#[test]
fn a_signal_ends_it_within_a_second_and_nothing_is_left() {
    if !can_make_labs("a_signal_ends_it_within_a_second_and_nothing_is_left", &["ip"]) {
        return;
    }
    // When it is killed all the time it takes is the kernel's, which lets go of the programs.
    let mut kernels = Duration::ZERO;
    for (signal, status) in [(Signal::SIGKILL, None), (Signal::SIGINT, Some(0)), (Signal::SIGTERM, Some(0))] {
        let agent = Agent::ready(&[]);
        let own = agent.programs();
        assert!(own.len() >= 2 && own.iter().all(|id| loaded().contains(id)), "{own:?}");
        // A connection that stays open, and one that has asked half a question.
        let mut idle = TcpStream::connect(agent.address()).unwrap();
        idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut half = TcpStream::connect(agent.address()).unwrap();
        half.write_all(b"GET /metrics HT").unwrap();
        sleep(Duration::from_millis(50));
        let began = Instant::now();
        agent.signal(signal);
        let (ended, said) = agent.end();
        let took = began.elapsed();
        if signal == Signal::SIGKILL {
            kernels = took;
        }
        assert!(took < at_most(Duration::from_secs(1)) + kernels, "{signal}: {took:?}, {kernels:?} of it the kernel's");
        assert_eq!((ended, said), (status, Vec::new()), "{signal}");
        // The kernel takes programs away a moment after the last descriptor.
        let end = Instant::now() + PATIENCE;
        while loaded().iter().any(|id| own.contains(id)) {
            assert!(Instant::now() < end, "{signal}: programs are left: {own:?}");
            sleep(Duration::from_millis(50));
        }
    }
}

/// eBPF objects of the whole machine: nothing that is pinned or attached could be missing here.
struct Objects {
    programs: HashSet<u32>,
    links: HashSet<u32>,
    maps: HashSet<u32>,
}

impl Objects {
    fn held_by(agent: &Agent) -> Self {
        Self { programs: agent.programs(), links: agent.objects("link_id"), maps: agent.objects("map_id") }
    }

    fn any_is_left(&self) -> bool {
        let mut links = aya::programs::loaded_links().flatten();
        let mut maps = aya::maps::loaded_maps().flatten();
        loaded().iter().any(|id| self.programs.contains(id))
            || links.any(|link| self.links.contains(&link.id()))
            || maps.any(|map| self.maps.contains(&map.id()))
    }
}

/// What a kernel that can tell shows of hooks that are taken in a namespace.
fn hooks(netns: &str) -> String {
    inside(netns, &["nft", "list", "hooks"]).stdout
}

#[test]
fn killed_under_load_it_leaves_nothing_and_begins_anew() {
    if !can_make_labs("killed_under_load_it_leaves_nothing_and_begins_anew", &["ip"]) {
        return;
    }
    let bed = Bed::new();
    let right = &bed.right;
    // Its connections are tracked, so that the agent has something to do in it, too.
    let chain = "add table ip n; add chain ip n c { type nat hook postrouting priority 100; }";
    inside(right, &["nft", &format!("{chain}; add rule ip n c counter")]).good();
    let free = hooks(right);
    let dropped = |scrape: &Scrape| {
        scrape.count(&format!("packet_drops_total{{netns=\"{right}\",reason=\"NO_SOCKET\",cause=\"no-listener\"}}"))
    };
    for _ in 0..2 {
        let agent = Agent::ready(&[]);
        // Of what was before, the kernel knows nothing by reasons.
        assert_eq!(dropped(&agent.scrape()), 0);
        let over = AtomicBool::new(false);
        let held = thread::scope(|scope| {
            let _load = Over(&over);
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    send(&bed.left, "10.77.0.2", PORT, 1000);
                }
            });
            agent.scrape_until("the load", |scrape| dropped(scrape) > 2000);
            let held = Objects::held_by(&agent);
            assert!(held.programs.len() > 2 && held.links.len() > 2 && held.maps.len() > 2);
            // In the middle of a scrape.
            let mut scrape = TcpStream::connect(agent.address()).unwrap();
            scrape.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
            sleep(Duration::from_millis(2));
            agent.signal(Signal::SIGKILL);
            assert_eq!(agent.end(), (None, Vec::new()));
            // Under the same load as before.
            let end = Instant::now() + PATIENCE;
            while held.any_is_left() || hooks(right) != free {
                assert!(Instant::now() < end, "something is left");
                sleep(Duration::from_millis(50));
            }
            held
        });
        assert!(!held.any_is_left());
    }
    // What the kernel counts goes on, what the agent counts begins at the next packet.
    let agent = Agent::ready(&[]);
    send(&bed.left, "10.77.0.2", PORT, 50);
    let scrape = agent.scrape();
    assert_eq!(dropped(&scrape), 50);
    let queued = format!("hop_packets_total{{netns=\"{}\",device=\"eth0\",hook=\"net_dev_queue\"}}", bed.left);
    assert_eq!(scrape.count(&queued), 50);
    let received = scrape.count(&format!("interface_receive_packets_total{{netns=\"{right}\",device=\"eth0\"}}"));
    assert!(received > 4000 + 50, "{received}");
    let reverse = scrape.count(&format!("rp_filter_drops_total{{netns=\"{right}\"}}"));
    assert_eq!(reverse, netstat(right, "TcpExt", "IPReversePathFilter"));
}
