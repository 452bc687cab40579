//! Those who connect and then do nothing, or do it slowly: nobody else waits for them.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::common::{can_make_labs, takes_too_long};
use super::served::Agent;
use super::tracer::{PATIENCE, at_most};

/// A request's head must be there by then, and some more for a busy machine.
const HEAD: Duration = Duration::from_secs(10 + 10);

fn connect(agent: &Agent) -> TcpStream {
    let stream = TcpStream::connect(agent.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// How long a scrape may take where nobody is in the way: a machine has few namespaces or a thousand.
fn usual(agent: &Agent) -> Duration {
    let scrape = |_| {
        let began = Instant::now();
        agent.scrape();
        began.elapsed()
    };
    Duration::from_secs(1) + 5 * (0..3).map(scrape).max().unwrap()
}

/// Reads until the other side closes; what it said.
fn rest(mut stream: TcpStream) -> String {
    let mut said = Vec::new();
    match stream.read_to_end(&mut said) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
    }
    String::from_utf8_lossy(&said).into_owned()
}

#[test]
fn two_hundred_idle_connections_and_a_slow_writer_keep_nobody_waiting() {
    let test = "two_hundred_idle_connections_and_a_slow_writer_keep_nobody_waiting";
    if takes_too_long(test) || !can_make_labs(test, &["ip"]) {
        return;
    }
    let agent = Agent::ready(&[]);
    let usual = usual(&agent);
    let mut idle: Vec<_> = (0..200).map(|_| connect(&agent)).collect();
    let mut slow: Vec<_> = (0..20).map(|_| connect(&agent)).collect();
    let descriptors = || std::fs::read_dir(format!("/proc/{}/fd", agent.pid())).unwrap().count();
    let began = Instant::now();
    let mut written = 0;
    // A letter at a time, for as long as they are listened to.
    let slowly = b"GET /metrics HTTP/1.1\r\nX-Long: ".iter().chain(std::iter::repeat(&b'x'));
    for letter in slowly {
        let left = slow.iter_mut().filter_map(|stream| stream.write_all(&[*letter]).ok()).count();
        if left == 0 {
            break;
        }
        written += 1;
        let scraped = Instant::now();
        agent.scrape();
        assert!(scraped.elapsed() < usual, "a scrape took {:?}", scraped.elapsed());
        assert!(began.elapsed() < HEAD, "still listened to after {written} letters");
        assert!(descriptors() < 300, "{} descriptors", descriptors());
        sleep(Duration::from_millis(200));
    }
    // Whoever said nothing is sent away without a word.
    for stream in idle.drain(..) {
        assert_eq!(rest(stream), "");
    }
    assert!(began.elapsed() < HEAD, "{:?}", began.elapsed());
}

#[test]
fn who_does_not_read_the_answer_holds_up_neither_others_nor_the_end() {
    let test = "who_does_not_read_the_answer_holds_up_neither_others_nor_the_end";
    if takes_too_long(test) || !can_make_labs(test, &["ip"]) {
        return;
    }
    let agent = Agent::ready(&[]);
    let usual = usual(&agent);
    // Many questions at once, and no look at what comes back: the answers fill every buffer in between.
    let questions = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".repeat(400);
    let deaf: Vec<_> = (0..10)
        .map(|_| {
            let mut stream = connect(&agent);
            stream.set_nonblocking(true).unwrap();
            let _ = stream.write_all(questions.as_bytes());
            stream
        })
        .collect();
    for _ in 0..5 {
        let began = Instant::now();
        agent.scrape();
        // Before it there are those of the others, one from each.
        assert!(began.elapsed() < usual * 10, "a scrape took {:?}", began.elapsed());
    }
    let began = Instant::now();
    agent.signal(Signal::SIGTERM);
    assert_eq!(agent.end(), (Some(0), Vec::new()));
    assert!(began.elapsed() < at_most(Duration::from_secs(1)), "{:?}", began.elapsed());
    drop(deaf);
}

#[test]
fn answers_under_way_come_to_their_end() {
    let test = "answers_under_way_come_to_their_end";
    if takes_too_long(test) || !can_make_labs(test, &["ip"]) {
        return;
    }
    let agent = Agent::ready(&[]);
    // It takes a quarter of a second to see what grows.
    let mut stream = connect(&agent);
    // It listens to this one.
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut answered = [0; 4096];
    assert!(stream.read(&mut answered).unwrap() > 0);
    let began = Instant::now();
    stream.write_all(b"GET /api/v1/conntrack HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    sleep(Duration::from_millis(100));
    agent.signal(Signal::SIGTERM);
    let answer = rest(stream);
    assert_eq!(agent.end().0, Some(0));
    let is_whole = answer.starts_with("HTTP/1.1 200 OK") && answer.trim_end().ends_with(']');
    // They are not waited for without end, and nobody gets half of one.
    assert!(is_whole || (answer.is_empty() && began.elapsed() > Duration::from_millis(350)), "{answer}");
}
