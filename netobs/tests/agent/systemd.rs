//! What the service manager is told, over a socket of the test's own.

use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use nix::libc;
use nix::sys::signal::Signal;

use super::common::can_make_labs;
use super::served::Agent;
use super::tracer::{PATIENCE, is_slow};

/// After which the manager would act.
const WATCHDOG: Duration = Duration::from_millis(600);

struct Manager {
    socket: UnixDatagram,
    _folder: tempfile::TempDir,
}

impl Manager {
    /// A manager, and an agent that it has started.
    fn with_agent() -> (Self, Agent) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let file = folder.path().join("agent.toml");
        std::fs::write(&file, "").unwrap();
        let mut command = Agent::command(&["--config", file.to_str().unwrap()]);
        command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string());
        (Self { socket, _folder: folder }, Agent::ready_by(&mut command))
    }

    /// The next message.
    fn hear(&self, within: Duration) -> Option<String> {
        self.socket.set_read_timeout(Some(within)).unwrap();
        let mut message = [0; 1024];
        let length = self.socket.recv(&mut message).ok()?;
        Some(String::from_utf8(message.get(..length)?.to_vec()).unwrap())
    }

    /// The next message that is not the watchdog's.
    #[track_caller]
    fn told(&self) -> String {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if let Some(message) = self.hear(PATIENCE).filter(|message| message != "WATCHDOG=1") {
                return message;
            }
        }
        panic!("nothing was told");
    }
}

#[test]
fn it_is_ready_once_attached_and_says_when_it_reads_settings_and_ends() {
    if !can_make_labs("it_is_ready_once_attached_and_says_when_it_reads_settings_and_ends", &[]) {
        return;
    }
    let (manager, agent) = Manager::with_agent();
    assert_eq!(manager.told(), "STATUS=Attaching eBPF programs");
    let ready = format!("READY=1\nSTATUS=Serving http://{}/metrics", agent.address());
    assert_eq!(manager.told(), ready);
    assert_eq!(agent.get("/readyz").status, 200);
    agent.signal(Signal::SIGHUP);
    let reloading = manager.told();
    let time = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect(&reloading);
    let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
    let uptime: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
    let age = uptime - time.parse::<f64>().unwrap() / 1e6;
    assert!((-1.0..60.0).contains(&age), "{age} s ago");
    assert_eq!(manager.told(), ready);
    agent.signal(Signal::SIGTERM);
    assert_eq!(manager.told(), "STOPPING=1");
    assert_eq!(agent.end().0, Some(0));
}

#[test]
fn the_watchdog_hears_from_a_collection_that_works_only() {
    let test = "the_watchdog_hears_from_a_collection_that_works_only";
    if !can_make_labs(test, &[]) {
        return;
    }
    if is_slow() {
        return super::common::skip(test, "it is about time; it runs on real processors (NETOBS_TEST_SLOW=0)");
    }
    let (manager, agent) = Manager::with_agent();
    let mut heard = 0;
    let end = Instant::now() + 4 * WATCHDOG;
    while Instant::now() < end {
        heard += u32::from(manager.hear(WATCHDOG).as_deref() == Some("WATCHDOG=1"));
    }
    assert!((5..=10).contains(&heard), "{heard} times");
    let collection = Stopped::thread_of(&agent, "collection");
    while manager.hear(Duration::from_millis(50)).is_some() {}
    assert_eq!(manager.hear(3 * WATCHDOG), None, "the collection stands still");
    // It answers others all the same.
    assert_eq!(agent.get("/healthz").status, 200);
    drop(collection);
    assert_eq!(manager.hear(PATIENCE).as_deref(), Some("WATCHDOG=1"));
}

/// One thread of a process that stands still until this is dropped.
struct Stopped(libc::pid_t);

impl Stopped {
    fn thread_of(agent: &Agent, name: &str) -> Self {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", agent.pid())).unwrap().flatten();
        let is_it =
            |path: &std::path::Path| std::fs::read_to_string(path.join("comm")).is_ok_and(|comm| comm.trim() == name);
        let task = tasks.map(|task| task.path()).find(|path| is_it(path)).unwrap();
        let thread: libc::pid_t = task.file_name().unwrap().to_str().unwrap().parse().unwrap();
        for request in [libc::PTRACE_SEIZE, libc::PTRACE_INTERRUPT] {
            // SAFETY: neither request reads or writes memory here.
            let status = unsafe { libc::ptrace(request, thread, 0, 0) };
            assert_eq!(status, 0, "{}", std::io::Error::last_os_error());
        }
        // SAFETY: a status that nobody wants need not be written.
        let waited = unsafe { libc::waitpid(thread, std::ptr::null_mut(), libc::__WALL) };
        assert_eq!(waited, thread);
        Self(thread)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        // SAFETY: as above.
        unsafe { libc::ptrace(libc::PTRACE_DETACH, self.0, 0, 0) };
    }
}
