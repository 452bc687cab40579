//! TLS, passwords, and settings that change while the agent runs.

use std::fs;
use std::io;
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::libc;
use nix::sys::signal::Signal;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::common::{Answer, can_make_labs, is_slow, netobs, run, skip};
use super::served::{Agent, Page, Scrape};
use super::tracer::PATIENCE;

/// A file of settings, and others beside it.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn config(&self) -> String {
        self.path("agent.toml").display().to_string()
    }

    /// A certificate of `localhost` and its key.
    fn certify(&self, certificate: &str, key: &str) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        self.write(certificate, &made.cert.pem());
        self.write(key, &made.signing_key.serialize_pem());
    }

    fn agent(&self) -> Agent {
        Agent::ready(&["--config", &self.config()])
    }

    /// As who trusts this certificate and no other.
    fn get_over_tls(&self, agent: &Agent, trusted: &str, path: &str) -> io::Result<Page> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.path(trusted)).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connection = ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
        let stream = TcpStream::connect(agent.address())?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Page::get(&mut StreamOwned::new(connection, stream), path, "")
    }
}

/// Whether a test can run that needs an agent, but nothing of the kernel.
fn can_run(test: &str) -> bool {
    if is_slow() {
        skip(test, "no kernel's matter; it runs on real processors (NETOBS_TEST_SLOW=0)");
        return false;
    }
    can_make_labs(test, &[])
}

fn basic(user: &str, password: &str) -> String {
    format!("Authorization: Basic {}\r\n", BASE64_STANDARD.encode(format!("{user}:{password}")))
}

#[test]
fn tls_is_spoken_with_the_certificate_of_the_file() {
    if !can_run("tls_is_spoken_with_the_certificate_of_the_file") {
        return;
    }
    let files = Files::new();
    files.certify("own.crt", "own.key");
    files.certify("other.crt", "other.key");
    // Beside the file of settings.
    files.write("agent.toml", "[tls]\ncertificate = \"own.crt\"\nkey = \"own.key\"\n");
    let agent = files.agent();
    let page = files.get_over_tls(&agent, "own.crt", "/metrics").unwrap();
    assert!(page.status == 200 && page.body.contains("netobs_build_info"), "{page:#?}");
    assert!(files.get_over_tls(&agent, "other.crt", "/metrics").is_err(), "trusted for no reason");
    // In the clear nothing is answered; nor does it hold up the next.
    let mut clear = TcpStream::connect(agent.address()).unwrap();
    clear.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(Page::get(&mut clear, "/healthz", "").is_err());
    assert_eq!(files.get_over_tls(&agent, "own.crt", "/readyz").unwrap().status, 200);
    // Another certificate for those who connect from now on.
    files.certify("own.crt", "own.key");
    agent.signal(Signal::SIGHUP);
    assert_eq!(agent.hear(), "reloaded: all settings");
    assert_eq!(files.get_over_tls(&agent, "own.crt", "/healthz").unwrap().status, 200);
    // One that does not fit leaves the one before.
    fs::copy(files.path("own.crt"), files.path("kept.crt")).unwrap();
    fs::copy(files.path("other.crt"), files.path("own.crt")).unwrap();
    agent.signal(Signal::SIGHUP);
    let said = agent.hear();
    assert!(said.starts_with("netobs: the settings stay as they were: ") && said.contains("own.key is not the key"));
    assert_eq!(files.get_over_tls(&agent, "kept.crt", "/healthz").unwrap().status, 200);
    agent.is_silent();
}

#[test]
fn a_password_is_asked_for_and_costs_once() {
    if !can_run("a_password_is_asked_for_and_costs_once") {
        return;
    }
    let files = Files::new();
    let hash = bcrypt::hash("pa:ss", 11).unwrap();
    files.write("agent.toml", &format!("[auth]\nusers = {{ prometheus = \"{hash}\" }}\n"));
    let agent = files.agent();
    for path in ["/metrics", "/", "/api/v1/drops", "/api/v1/topology", "/api/v1/conntrack", "/nowhere"] {
        let page = agent.get(path);
        assert!(page.status == 401 && page.head.contains("www-authenticate: basic realm="), "{path}: {page:#?}");
        assert!(!page.body.contains("netobs_"), "{page:#?}");
    }
    for wrong in [basic("prometheus", "pass"), basic("root", "pa:ss"), "Authorization: Basic x\r\n".to_owned()] {
        assert_eq!(agent.get_with("/metrics", &wrong).status, 401, "{wrong}");
    }
    for open in ["/healthz", "/readyz"] {
        assert_eq!(agent.get(open).status, 200, "{open}");
    }
    let right = basic("prometheus", "pa:ss");
    let ask = || {
        let began = Instant::now();
        assert_eq!(agent.get_with("/healthz", "").status, 200);
        assert_eq!(agent.get_with("/", &right).status, 200);
        began.elapsed()
    };
    let first = ask();
    let later = (0..10).map(|_| ask()).min().unwrap();
    assert!(later * 4 < first, "{first:?} at first, {later:?} later");
}

#[test]
fn settings_are_read_again_at_sighup() {
    if !can_run("settings_are_read_again_at_sighup") {
        return;
    }
    let files = Files::new();
    files.write("agent.toml", "series-limit = 20\n");
    let agent = files.agent();
    let reload = |text: &str| {
        files.write("agent.toml", text);
        agent.signal(Signal::SIGHUP);
        agent.hear()
    };
    assert_eq!(agent.scrape().get("series_limit"), Some(20.0));
    assert_eq!(reload("series-limit = 5000\n"), "reloaded: all settings");
    let series = |scrape: Scrape| scrape.text.lines().filter(|line| !line.starts_with('#')).count();
    let scrape = agent.scrape();
    assert_eq!(scrape.get("series_limit"), Some(5000.0));
    assert!(series(scrape) > 50, "there is room now");
    let hash = bcrypt::hash("x", 4).unwrap();
    assert_eq!(reload(&format!("[auth.users]\nme = \"{hash}\"\n")), "reloaded: all settings");
    assert_eq!(agent.get("/metrics").status, 401);
    let metrics = agent.get_with("/metrics", &basic("me", "x"));
    assert!(metrics.status == 200 && metrics.body.contains("netobs_series_limit 100000"), "{metrics:#?}");
    let said = reload("[auth.users]\nme = \"x\"\n");
    assert!(said.starts_with("netobs: the settings stay as they were: ") && said.contains("line 2: `auth.users.me`"));
    assert_eq!(agent.get("/metrics").status, 401);
    assert_eq!(
        reload("listen = \"192.0.2.1:1\"\ndrop-rows = 7\nprogram-stats = true\n"),
        // The flag has said where to listen.
        "reloaded: all settings but drop-rows, program-stats, which a restart takes"
    );
    assert_eq!(agent.get("/metrics").status, 200);
    fs::remove_file(files.config()).unwrap();
    agent.signal(Signal::SIGHUP);
    assert!(agent.hear().contains("No such file"));
    agent.is_silent();
    agent.signal(Signal::SIGTERM);
    assert_eq!(agent.end(), (Some(0), Vec::new()));
}

#[test]
fn a_file_that_never_ends_holds_up_neither_answers_nor_the_end() {
    if !can_run("a_file_that_never_ends_holds_up_neither_answers_nor_the_end") {
        return;
    }
    let files = Files::new();
    files.write("agent.toml", "series-limit = 4000\n");
    let agent = files.agent();
    fs::remove_file(files.config()).unwrap();
    nix::unistd::mkfifo(&files.path("agent.toml"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    for _ in 0..2 {
        agent.signal(Signal::SIGHUP);
        assert_eq!(agent.scrape().get("series_limit"), Some(4000.0));
    }
    let began = Instant::now();
    agent.signal(Signal::SIGTERM);
    assert_eq!(agent.end(), (Some(0), Vec::new()));
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[test]
fn a_terminal_that_is_closed_ends_it() {
    if !can_run("a_terminal_that_is_closed_ends_it") {
        return;
    }
    let terminal = nix::pty::openpty(None, None).unwrap();
    // Else it would hold its own terminal open.
    for end in [&terminal.master, &terminal.slave] {
        fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).unwrap();
    }
    let mut command = Agent::command(&[]);
    let end = terminal.slave.as_raw_fd();
    let take = move || {
        nix::unistd::setsid()?;
        // SAFETY: the descriptor is open, and the request writes nothing.
        let status = unsafe { libc::ioctl(end, libc::TIOCSCTTY, 0) };
        if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    };
    // SAFETY: two system calls, between fork and exec.
    unsafe { command.pre_exec(take) };
    let agent = Agent::ready_by(&mut command);
    drop(terminal);
    assert_eq!(agent.end(), (Some(0), Vec::new()));
}

#[test]
fn without_a_file_sighup_ends_nothing() {
    if !can_run("without_a_file_sighup_ends_nothing") {
        return;
    }
    let agent = Agent::ready(&[]);
    agent.signal(Signal::SIGHUP);
    assert!(agent.hear().contains("no file of settings was given"));
    assert_eq!(agent.get("/readyz").status, 200);
}

#[test]
fn other_machines_are_let_in_with_a_warning_only() {
    if !can_run("other_machines_are_let_in_with_a_warning_only") {
        return;
    }
    let mut command = std::process::Command::new(netobs());
    let files = Files::new();
    let hash = bcrypt::hash("x", 4).unwrap();
    files.write("agent.toml", &format!("listen = \"0.0.0.0:0\"\n[auth.users]\nme = \"{hash}\"\n"));
    let agent = Agent::ready_by(command.args(["agent", "--config", &files.config()]));
    files.write("agent.toml", "listen = \"0.0.0.0:0\"\n");
    agent.signal(Signal::SIGHUP);
    let (warning, reloaded) = (agent.hear(), agent.hear());
    assert!(warning.contains("can be reached from other machines") && warning.contains("[auth]"), "{warning}");
    assert_eq!(reloaded, "reloaded: all settings");
}

fn agent(files: &Files) -> Answer {
    run(netobs(), &["agent", "--config", &files.config()])
}

#[test]
fn files_of_no_use_are_named_with_their_keys() {
    let files = Files::new();
    files.certify("a.crt", "a.key");
    files.certify("b.crt", "b.key");
    files.write("empty", "");
    let hash = bcrypt::hash("x", 4).unwrap();
    let tls =
        |certificate: &str, key: &str| format!("# TLS\n[tls]\ncertificate = \"{certificate}\"\nkey = \"{key}\"\n");
    for (text, status, part) in [
        (tls("none.crt", "a.key"), 1, "line 3: `tls.certificate`: read "),
        (tls("none.crt", "a.key"), 1, "none.crt: No such file"),
        (tls("a.crt", "/none/a.key"), 1, "line 4: `tls.key`: read /none/a.key: No such file"),
        (tls(".", "a.key"), 1, "Is a directory"),
        (tls("a.crt", "b.key"), 2, "line 4: `tls.key`: "),
        (tls("a.crt", "b.key"), 2, "b.key is not the key of the certificate in "),
        (tls("empty", "a.key"), 2, "line 3: `tls.certificate`: "),
        (tls("a.key", "a.key"), 2, "a.key holds no certificate"),
        (tls("a.crt", "a.crt"), 2, "a.crt holds no private key"),
        ("[tls]\ncertificate = \"a.crt\"\n".to_owned(), 2, "missing field `key`"),
        ("[tls]\ncertificate = 5\n".to_owned(), 2, "line 2: `certificate`: invalid type"),
        ("[auth]\n".to_owned(), 2, "missing field `users`"),
        ("[auth]\nusers = {}\n".to_owned(), 2, "line 2: `auth.users`: at least one user"),
        ("[auth]\nusers = { me = \"secret\" }\n".to_owned(), 2, "line 2: `auth.users.me`: not a bcrypt hash"),
        (format!("[auth.users]\nyou = \"{hash}\"\nme = \"$2y$10$x\"\n"), 2, "line 3: `auth.users.me`: not a bcrypt"),
        (format!("[auth.users]\nme = \"{}\"\n", hash.replace("$04$", "$31$")), 2, "its cost is 31"),
        (format!("[auth.users]\n\"a:b\" = \"{hash}\"\n"), 2, "`auth.users.a:b`: a user's name has no colon"),
    ] {
        files.write("agent.toml", &text);
        agent(&files).bad(status, part);
    }
    let began = Instant::now();
    files.write("agent.toml", &format!("listen = \"192.0.2.1:1\"\n[auth.users]\nme = \"{hash}\"\n"));
    agent(&files).bad(1, "no such address");
    assert!(began.elapsed() < Duration::from_secs(60));
}
