//! What systemd is told: sd_notify(3), over the socket that it names.
//!
//! Everywhere else there is no such socket, and nothing is told.

use std::ffi::{OsStr, OsString};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// The service manager.
pub struct Notify {
    way: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Notify {
    /// The one that started this process, if one did.
    pub fn of_environment() -> Self {
        let variable = |name| std::env::var_os(name);
        let way = variable("NOTIFY_SOCKET").and_then(|path| way(&path));
        Self { way, watchdog: watchdog(variable("WATCHDOG_USEC"), variable("WATCHDOG_PID"), std::process::id()) }
    }

    /// How often it wants to hear that all is well: twice in the time after which it acts. `None` if it does not.
    pub fn interval(&self) -> Option<Duration> {
        self.way.as_ref().and(self.watchdog)
    }

    /// The service does what it is for, described in a line.
    pub fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={status}"));
    }

    /// What is going on.
    pub fn status(&self, status: &str) {
        self.tell(&format!("STATUS={status}"));
    }

    /// Settings are being read; [`Self::ready`] follows.
    pub fn reloading(&self) {
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default();
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={}", now.as_micros()));
    }

    /// All is well.
    pub fn alive(&self) {
        self.tell("WATCHDOG=1");
    }

    /// The end has begun.
    pub fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    fn tell(&self, message: &str) {
        if let Some((socket, address)) = &self.way {
            // A manager that does not listen holds up nothing.
            let _ = socket.send_to_addr(message.as_bytes(), address);
        }
    }
}

fn way(path: &OsStr) -> Option<(UnixDatagram, SocketAddr)> {
    let address = match path.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        _ => SocketAddr::from_pathname(path),
    };
    let socket = UnixDatagram::unbound().ok()?;
    socket.set_nonblocking(true).ok()?;
    Some((socket, address.ok()?))
}

fn watchdog(microseconds: Option<OsString>, meant: Option<OsString>, own: u32) -> Option<Duration> {
    let number = |text: OsString| text.to_str()?.parse::<u64>().ok();
    if meant.is_some_and(|pid| number(pid) != Some(u64::from(own))) {
        return None;
    }
    let microseconds = microseconds.and_then(number).filter(|microseconds| *microseconds > 1)?;
    Some(Duration::from_micros(microseconds / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdog_is_fed_twice_in_its_time_by_whom_it_means() {
        let watchdog = |time: &str, pid: Option<&str>| watchdog(Some(time.into()), pid.map(Into::into), 7);
        assert_eq!(watchdog("30000000", None), Some(Duration::from_secs(15)));
        assert_eq!(watchdog("30000000", Some("7")), Some(Duration::from_secs(15)));
        for (time, pid) in [("30000000", Some("8")), ("30000000", Some("x")), ("0", None), ("-1", None), ("", None)] {
            assert_eq!(watchdog(time, pid), None, "{time} {pid:?}");
        }
    }

    #[test]
    fn both_kinds_of_addresses_are_reached() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let name = format!("netobs-test-{}", std::process::id());
        let by_name = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        for (socket, address) in
            [(UnixDatagram::bind(&path).unwrap(), path.into_os_string()), (by_name, OsString::from(format!("@{name}")))]
        {
            Notify { way: way(&address), watchdog: None }.stopping();
            let mut message = [0; 64];
            let length = socket.recv(&mut message).unwrap();
            assert_eq!(&message[..length], b"STOPPING=1");
        }
        // Nobody is there.
        Notify { way: way(OsStr::new("/nowhere")), watchdog: None }.stopping();
    }
}
