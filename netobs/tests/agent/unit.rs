//! The unit under a real systemd, with all that it forbids. The machine's own is left alone: this one has PIDs, mounts and
//! cgroups of its own, and no other unit.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::bed::{Bed, PORT, send};
use super::common::{Answer, can_make_labs, netobs, run, skip, takes_too_long};
use super::deployment::UNIT;
use super::served::Remote;
use super::tracer::PATIENCE;

/// What the new systemd finds. Everything else is the machine's, and the unit makes it read-only.
const STAGE: &str = r#"
set -e
mkdir "$1/netns"
mount --rbind /run/netns "$1/netns"
mount -t tmpfs tmpfs /run
mkdir /run/netns
mount --rbind "$1/netns" /run/netns
mount --make-rshared /
mount -t proc proc /proc
touch /run/netobs
mount --bind "$2" /run/netobs
cp "$1/agent.toml" /run/agent.toml
for folder in /etc/systemd/system /usr/lib/systemd/system; do
    mount --bind "$1/units" $folder
done
if [ "$(stat -fc %T /sys/fs/cgroup)" = cgroup2fs ]; then
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
else
    mount -t tmpfs tmpfs /sys/fs/cgroup
    mkdir /sys/fs/cgroup/systemd
    mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd
fi
export container=netobs-test
exec "$3" --system --unit=test.target --log-target=console --show-status=no
"#;

/// A machine with a systemd of its own; it ends with this.
struct Systemd {
    starter: Child,
    init: String,
    group: PathBuf,
    folder: tempfile::TempDir,
}

impl Systemd {
    fn start(systemd: &Path, group: PathBuf) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("units/netobs-agent.service.d")).unwrap();
        fs::write(at("units/netobs-agent.service"), UNIT).unwrap();
        let target = "[Unit]\nDefaultDependencies=no\nWants=netobs-agent.service\n";
        fs::write(at("units/test.target"), target).unwrap();
        // Nothing else is there to wait for, and the watchdog shall be seen at work.
        let own = "[Unit]\nDefaultDependencies=no\nWants=\nAfter=\n[Service]\nWatchdogSec=5\nExecStart=\n\
                   ExecStart=/run/netobs agent --config /run/agent.toml\nStandardError=append:/run/said\n";
        fs::write(at("units/netobs-agent.service.d/test.conf"), own).unwrap();
        fs::write(at("agent.toml"), "listen = \"127.0.0.1:0\"\n").unwrap();
        fs::create_dir(&group).unwrap();
        let enter = format!("echo $$ > {}/cgroup.procs && exec \"$@\"", group.display());
        let log = fs::File::create(at("log")).unwrap();
        let starter = Command::new("sh")
            .args(["-c", &enter, "sh", "unshare", "--propagation", "slave", "--mount", "--pid", "--fork", "--uts"])
            .args(["--cgroup", "--kill-child", "sh", "-c", STAGE, "sh"])
            .arg(folder.path())
            .arg(netobs())
            .arg(systemd)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut systemd = Self { starter, init: String::new(), group, folder };
        let end = Instant::now() + PATIENCE;
        while systemd.show("ActiveState") != "active" {
            assert!(Instant::now() < end, "{}", fs::read_to_string(systemd.folder.path().join("log")).unwrap());
            sleep(Duration::from_millis(100));
            let child = run("pgrep", &["-P", &systemd.starter.id().to_string()]).stdout;
            systemd.init = child.trim().to_owned();
        }
        systemd
    }

    fn systemctl(&self, arguments: &[&str]) -> Answer {
        run("nsenter", &[&["-t", &self.init, "-m", "-p", "systemctl"], arguments].concat())
    }

    /// A property of the unit; empty while nobody answers.
    fn show(&self, property: &str) -> String {
        self.systemctl(&["show", "--value", "-p", property, "netobs-agent"]).stdout.trim().to_owned()
    }
}

impl Drop for Systemd {
    fn drop(&mut self) {
        let _ = self.starter.kill();
        let _ = self.starter.wait();
        // The kernel takes processes out of it a moment after their end.
        let end = Instant::now() + Duration::from_secs(10);
        while !empty(&self.group) && Instant::now() < end {
            sleep(Duration::from_millis(50));
        }
    }
}

/// Removes a cgroup and those in it; whether they are gone.
fn empty(group: &Path) -> bool {
    for inner in fs::read_dir(group).into_iter().flatten().flatten().filter(|inner| inner.path().is_dir()) {
        empty(&inner.path());
    }
    let _ = fs::remove_dir(group);
    !group.exists()
}

#[test]
fn the_unit_works_under_systemd_with_all_that_it_forbids() {
    let test = "the_unit_works_under_systemd_with_all_that_it_forbids";
    if takes_too_long(test) || !can_make_labs(test, &["ip", "unshare", "nsenter", "pgrep", "systemctl"]) {
        return;
    }
    let paths = ["/usr/lib/systemd/systemd", "/lib/systemd/systemd"].map(Path::new);
    let Some(systemd) = paths.into_iter().find(|path| path.exists()) else { return skip(test, "no systemd") };
    let groups = ["/sys/fs/cgroup/systemd", "/sys/fs/cgroup"].map(Path::new);
    let Some(groups) = groups.into_iter().find(|path| path.join("cgroup.procs").exists()) else {
        return skip(test, "no cgroups that a systemd could have");
    };
    // Before: the first name on a machine makes its folder one that mounts are told of.
    let bed = Bed::new();
    let systemd = Systemd::start(systemd, groups.join(format!("netobs-test-{}", std::process::id())));
    let status = systemd.show("StatusText");
    let address = status.strip_prefix("Serving http://").and_then(|rest| rest.strip_suffix("/metrics")).expect(&status);
    let agent = Remote { netns: "/proc/self/ns/net", address: address.parse().unwrap() };
    // One that it saw at its start, and one that came later.
    let later = Bed::new();
    for bed in [&bed, &later] {
        Bed::track(&bed.right);
        send(&bed.left, "10.77.0.2", PORT, 70);
        let netns = format!("netns=\"{}\"", bed.right);
        let dropped = format!("packet_drops_total{{{netns},reason=\"NO_SOCKET\",cause=\"no-listener\"}}");
        let scrape = agent.scrape_until(|scrape| scrape.count(&dropped) >= 70);
        assert_eq!(scrape.count(&dropped), 70);
        assert_eq!(scrape.get(&format!("conntrack_entries{{{netns}}}")), Some(1.0), "{}", scrape.text);
        for metric in ["collector_success", "probe_attached"] {
            let all = scrape.metric(metric);
            assert!(!all.is_empty() && all.iter().all(|(_, value)| *value == 1.0), "{all:?}");
        }
        let drops: serde_json::Value = serde_json::from_str(&agent.get("/api/v1/drops").unwrap().body).unwrap();
        let mut rows = drops.as_array().unwrap().iter().filter(|row| row["netns"] == bed.right.as_str());
        assert!(rows.all(|row| row["function"].is_string()), "{drops:#}");
    }
    systemd.systemctl(&["reload", "netobs-agent"]).good();
    // Twice the watchdog's time.
    sleep(Duration::from_secs(10));
    assert_eq!((systemd.show("ActiveState"), systemd.show("NRestarts")), ("active".to_owned(), "0".to_owned()));
    systemd.systemctl(&["stop", "netobs-agent"]).good();
    assert_eq!((systemd.show("Result"), systemd.show("ExecMainStatus")), ("success".to_owned(), "0".to_owned()));
}
