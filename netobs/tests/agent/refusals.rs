//! What cannot be done is said in one line, with the contract's exit status.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use super::common::{Answer, as_nobody, can_make_labs, netobs, run};

fn agent(arguments: &[&str]) -> Answer {
    run(netobs(), &[&["agent"], arguments].concat())
}

#[test]
fn addresses_that_cannot_be_had() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    agent(&["--listen", &address]).bad(1, "another program does already");
    agent(&["--listen", "192.0.2.1:9477"]).bad(1, "this machine has no such address");
    for wrong in ["9477", "localhost", "127.0.0.1", "127.0.0.1:99999", ""] {
        agent(&["--listen", wrong]).bad(2, "looks like 127.0.0.1:9477");
    }
}

#[test]
fn a_wrong_file_is_named_with_line_and_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.toml");
    let path = path.to_str().unwrap();
    agent(&["--config", path]).bad(1, "No such file");
    for (text, part) in [
        ("# mine\nlisen = \"127.0.0.1:1\"\n", "line 2: `lisen`: unknown field"),
        ("listen = 9477\n", "line 1: `listen`: invalid type"),
        ("\n\nseries-limit = \"many\"\n", "line 3: `series-limit`: invalid type"),
        ("listen = \"127.0.0.1:1\"\n[", "line 2"),
    ] {
        std::fs::write(path, text).unwrap();
        agent(&["--config", path]).bad(2, part);
    }
}

#[test]
fn not_root() {
    if !can_make_labs("not_root", &[]) {
        return;
    }
    as_nobody(&["agent", "--listen", "127.0.0.1:0"]).bad(3, "root");
    let unprivileged = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap();
    if unprivileged.trim().parse::<u16>().unwrap() > 80 {
        as_nobody(&["agent", "--listen", "127.0.0.1:80"]).bad(3, "not permitted to listen on port 80");
    }
    // A file that only its owner may read, who is another.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.toml");
    std::fs::write(&path, "").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    as_nobody(&["agent", "--config", path.to_str().unwrap()]).bad(1, "Permission denied");
}
