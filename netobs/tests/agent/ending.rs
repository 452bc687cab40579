//! How it ends, whoever ends it.

use std::io::Write;
use std::net::TcpStream;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::common::can_make_labs;
use super::served::Agent;
use super::tracer::{PATIENCE, at_most};

fn loaded() -> Vec<u32> {
    aya::programs::loaded_programs().flatten().map(|program| program.id()).collect()
}

#[test]
fn a_signal_ends_it_within_a_second_and_nothing_is_left() {
    if !can_make_labs("a_signal_ends_it_within_a_second_and_nothing_is_left", &["ip"]) {
        return;
    }
    for (signal, status) in [(Signal::SIGINT, Some(0)), (Signal::SIGTERM, Some(0)), (Signal::SIGKILL, None)] {
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
        assert!(began.elapsed() < at_most(Duration::from_secs(1)), "{signal}: {:?}", began.elapsed());
        assert_eq!((ended, said), (status, Vec::new()), "{signal}");
        // The kernel takes programs away a moment after the last descriptor.
        let end = Instant::now() + PATIENCE;
        while loaded().iter().any(|id| own.contains(id)) {
            assert!(Instant::now() < end, "{signal}: programs are left: {own:?}");
            sleep(Duration::from_millis(50));
        }
    }
}
