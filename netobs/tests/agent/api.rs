//! The JSON pages, beside what the commands and the kernel say.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use super::bed::{Bed, PORT, ip, send};
use super::common::{can_make_labs, netobs, run};
use super::served::Agent;
use super::tracer::PATIENCE;

#[track_caller]
fn get(agent: &Agent, path: &str) -> Value {
    let page = agent.get(path);
    assert_eq!(page.status, 200, "{path}: {page:#?}");
    assert!(page.head.contains("content-type: application/json"), "{page:#?}");
    serde_json::from_str(&page.body).unwrap()
}

/// Those of an array that have this value.
fn with<'a>(all: &'a Value, key: &str, value: &str) -> Vec<&'a Value> {
    all.as_array().unwrap().iter().filter(|one| one[key] == value).collect()
}

#[test]
fn drops_are_rows_with_cause_and_explanation() {
    if !can_make_labs("drops_are_rows_with_cause_and_explanation", &["ip"]) {
        return;
    }
    let (bed, refusing) = (Bed::new(), Bed::new());
    Bed::drop_at(&refusing.right, "input");
    let agent = Agent::ready(&[]);
    send(&bed.left, "10.77.0.2", PORT, 300);
    send(&refusing.left, "10.77.0.2", PORT, 500);
    let drops = get(&agent, "/api/v1/drops");
    for (netns, count, reason, cause) in
        [(&bed.right, 300, "NO_SOCKET", "no-listener"), (&refusing.right, 500, "NETFILTER_DROP", "policy")]
    {
        let rows = with(&drops, "netns", netns);
        let [row] = &*rows else { panic!("{drops:#}") };
        assert_eq!((&row["type"], &row["count"]), (&json!("drop"), &json!(count)), "{row:#}");
        assert_eq!((&row["reason"], &row["cause"]), (&json!(reason), &json!(cause)), "{row:#}");
        assert!(row["function"].is_string(), "{row:#}");
        assert!(row["explanation"].as_str().unwrap().ends_with('.'), "{row:#}");
        for unknown in ["device", "ifindex", "proto"] {
            assert_eq!(row.get(unknown), Some(&Value::Null), "{row:#}");
        }
    }
    let counts: Vec<_> = drops.as_array().unwrap().iter().map(|row| row["count"].as_u64().unwrap()).collect();
    assert!(counts.is_sorted_by(|a, b| a >= b), "{counts:?}");
}

#[test]
fn conntrack_is_as_the_command_has_it() {
    if !can_make_labs("conntrack_is_as_the_command_has_it", &["ip"]) {
        return;
    }
    let bed = Bed::new();
    let right = &bed.right;
    Bed::track(right);
    send(&bed.left, "10.77.0.2", PORT, 5);
    let agent = Agent::ready(&[]);
    let told = get(&agent, "/api/v1/conntrack");
    let command = run(netobs(), &["conntrack", "--format", "json", "--netns", right, "--interval", "100ms"]);
    let mut expected: Value = serde_json::from_str(command.good().stdout.lines().next().unwrap()).unwrap();
    let records = with(&told, "netns", right);
    let [record] = &*records else { panic!("{told:#}") };
    let mut record = (*record).clone();
    assert_eq!(record["top"], json!([{ "src": "10.77.0.1", "entries": 1 }]), "{record:#}");
    assert_eq!(record["during"]["entries"], 0, "{record:#}");
    // When, and since when, differ.
    for own in ["time", "during"] {
        assert!(record[own].take() != Value::Null && expected[own].take() != Value::Null, "{own}");
    }
    assert_eq!(record, expected);
}

#[test]
fn topology_shows_both_ends_of_cables_and_ports_of_bridges() {
    if !can_make_labs("topology_shows_both_ends_of_cables_and_ports_of_bridges", &["ip"]) {
        return;
    }
    let bed = Bed::new();
    let Bed { left, right } = &bed;
    ip(left, "link add br0 type bridge");
    ip(left, "link add a0 type veth peer name b0");
    ip(left, "link set a0 master br0");
    ip(right, "link set eth0 mtu 1400");
    let agent = Agent::ready(&[]);
    let topology = get(&agent, "/api/v1/topology");
    assert_eq!(topology["type"], "topology");
    assert_eq!(with(&topology["namespaces"], "netns", "host").len(), 1, "{topology:#}");
    let netns = |name: &str| with(&topology["namespaces"], "netns", name)[0];
    let device = |name: &str, device: &str| with(&netns(name)["devices"], "device", device)[0];
    for (own, other, mtu, last) in [(left, right, 1500, 1), (right, left, 1400, 2)] {
        let eth0 = device(own, "eth0");
        assert_eq!((&eth0["kind"], &eth0["mtu"], &eth0["up"]), (&json!("veth"), &json!(mtu), &json!(true)), "{eth0:#}");
        assert_eq!(eth0["mac"], format!("02:00:00:00:00:0{last}"));
        assert_eq!(eth0["addresses"], json!([format!("10.77.0.{last}/24")]), "{eth0:#}");
        let peer = json!({
            "netns": other, "netns_inode": netns(other)["netns_inode"],
            "device": "eth0", "ifindex": device(other, "eth0")["ifindex"],
        });
        assert_eq!(eth0["peer"], peer, "{eth0:#}");
        assert_eq!((&eth0["master"], &eth0["parent"], &eth0["vlan"]), (&Value::Null, &Value::Null, &Value::Null));
    }
    assert_eq!(netns(left)["bridges"], json!([{ "device": "br0", "ports": ["a0"] }]));
    assert_eq!(netns(right)["bridges"], json!([]));
    let (a0, b0) = (device(left, "a0"), device(left, "b0"));
    assert_eq!(
        (&a0["master"], &a0["peer"]["device"], &a0["peer"]["netns"]),
        (&json!("br0"), &json!("b0"), &json!(left))
    );
    assert_eq!((&b0["master"], &b0["peer"]["device"]), (&Value::Null, &json!("a0")));
}

#[test]
fn what_is_no_question_is_refused() {
    if !can_make_labs("what_is_no_question_is_refused", &["ip"]) {
        return;
    }
    let agent = Agent::ready(&[]);
    let ask = |request: &str| {
        let mut stream = TcpStream::connect(agent.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let _ = stream.write_all(request.as_bytes());
        let mut answer = String::new();
        // What was not read of the question may reset the connection after the answer.
        let _ = stream.read_to_string(&mut answer);
        answer
    };
    let close = "Host: x\r\nConnection: close\r\n";
    let long = "x".repeat(20_000);
    let many: String = (0..100).map(|number| format!("X-{number}: x\r\n")).collect();
    for (request, status) in [
        (format!("HEAD /metrics HTTP/1.1\r\n{close}\r\n"), "200 OK"),
        (format!("GET /api/v1/drops?x=1 HTTP/1.1\r\n{close}\r\n"), "200 OK"),
        (format!("POST /metrics HTTP/1.1\r\n{close}Content-Length: 5\r\n\r\nhello"), "405 Method Not Allowed"),
        (format!("DELETE /api/v1/topology HTTP/1.1\r\n{close}\r\n"), "405 Method Not Allowed"),
        (format!("PUT / HTTP/1.1\r\n{close}Content-Length: 1000000000\r\n\r\n"), "405 Method Not Allowed"),
        (format!("GET /api/v1/ HTTP/1.1\r\n{close}\r\n"), "404 Not Found"),
        (format!("GET /../../etc/passwd HTTP/1.1\r\n{close}\r\n"), "404 Not Found"),
        (format!("GET / HTTP/1.1\r\n{close}X: {long}\r\n\r\n"), "431 Request Header Fields Too Large"),
        (format!("GET / HTTP/1.1\r\n{close}{many}\r\n"), "431 Request Header Fields Too Large"),
        (format!("GET /{long} HTTP/1.1\r\n{close}\r\n"), "431 Request Header Fields Too Large"),
        ("nonsense\r\n\r\n".to_owned(), "400 Bad Request"),
    ] {
        let answer = ask(&request);
        let short: String = request.chars().take(80).collect();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{short}: {answer}");
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        let is_error = !status.starts_with("200");
        assert!(!is_error || body.lines().count() <= 1, "{short}: {answer}");
    }
    // It listens to others still.
    assert_eq!(agent.get("/healthz").status, 200);
    let index = agent.get("/").body;
    for path in ["/metrics", "/healthz", "/readyz", "/api/v1/topology", "/api/v1/drops", "/api/v1/conntrack"] {
        assert!(index.contains(&format!("<a href=\"{path}\">")), "{path}: {index}");
    }
}
