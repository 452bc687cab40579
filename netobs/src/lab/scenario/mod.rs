//! Faults as data: what is broken, who notices, what the kernel shows of it, and how it is mended.
//!
//! # The format
//!
//! A scenario is a TOML file. The built-in ones are in `netobs/scenarios`; each is an example.
//!
//! ```toml
//! name = "ip-forward-off"                 # lower-case letters, digits and `-`
//! title = "The host does not forward"
//! topology = "default"                    # what it needs to be up
//! cause = "net.ipv4.ip_forward is 0 in the host's namespace."
//! fault = "ip-forward-off"                # the cause a diagnosis should name; the scenario's own name if left out
//!
//! [explain]                               # to a learner, a sentence or two each
//! healthy = "…"                           # and: break, symptom, signal, fix
//!
//! [[needs]]                               # without it this kernel cannot do it, and the scenario is `unsupported`
//! sysctl = "net.bridge.bridge-nf-call-iptables"  # or: program = "iptables", or: memory_limit = true
//! node = "host"
//! why = "br_netfilter is not loaded"
//!
//! [[setup]]                               # steps before all else, such as what the topology lacks
//! [[healthy]]                             # checks that work before the break and after the fix
//! [[break]]                               # steps
//! [[symptom]]                             # checks that come out otherwise now
//! [[signal]]                              # what the observer must see meanwhile
//!
//! [diagnose]                              # what `netobs diagnose` is asked then; it must name `fault`
//! from = "c1"                             # a node
//! to = "198.51.100.10"                    # ADDRESS, ADDRESS:PORT, NAME or NAME:PORT
//! proto = "icmp"                          # or tcp, udp; as `netobs diagnose` chooses if left out
//! at = "inet"                             # with udp: the node in which a server answers meanwhile; none if left out
//!
//! [[fix]]                                 # steps
//!
//! [metrics]                               # what a Prometheus shows meanwhile that scrapes `netobs agent`
//! node = "host"
//! rises = ['netobs_packet_drops_total{cause="forwarding-off"}']
//! alerts = ["NetobsNotForwarded"]         # of dashboards/rules
//! none = "…"                              # in place of all that: why nothing of it can be seen there
//! ```
//!
//! A step names a `node` and one of: `link`, `address`, `route`, `sysctl`, `neighbour`, `forget_neighbours`, `nat`,
//! `nft`, `services`, `resolver`, `memory`, `conntrack`, `run`. A check names a node with `from`, one of `ping`,
//! `connect`, `http`, `bulk`, `udp`, `dns`, `run`, and what to `expect`. A signal is one of `drop`, `counter`, `seen`,
//! `unseen`. Their fields are those of [`Step`], [`Check`] and [`Signal`]. A command that `run` gives is a list of
//! words, and no shell sees it.

mod act;
mod asking;
mod attempt;
mod builtin;
mod check;
mod conntrack;
mod counter;
mod diagnosis;
mod error;
mod file;
mod metrics;
mod needs;
mod observer;
mod play;
mod problem;
mod report;
mod run;
mod signal;
mod stage;
mod step;
mod validate;

use std::net::IpAddr;

pub use asking::Asking;
pub use builtin::{builtin, find, source};
pub use check::{Attempt, Check, Outcome};
pub use counter::Counter;
pub use error::ScenarioError;
pub use metrics::{Selector, Shown};
pub use observer::{Observer, ObserverError};
pub use problem::{Problem, Problems};
pub use report::{Climbed, Finding, Moment, Phase, Report, Verdict};
pub use run::{Hand, Options, by_hand, run};
pub use signal::{DropSignal, Sighting, Signal};
pub use step::{Action, ConntrackStep, LinkStep, Step};

/// A fault, from healthy to healthy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// What it is, in a few words.
    pub title: String,
    /// The topology it happens in.
    pub topology: String,
    /// What is wrong, in a sentence.
    pub cause: String,
    /// The cause that a diagnosis should name.
    pub fault: String,
    /// What a learner is told.
    pub explain: Explain,
    /// What the machine must be able to do.
    pub needs: Vec<Need>,
    /// Steps before all else.
    pub setup: Vec<Step>,
    /// What works as long as nothing is broken.
    pub healthy: Vec<Check>,
    /// How it is broken.
    pub breaks: Vec<Step>,
    /// Who notices, and how.
    pub symptoms: Vec<Check>,
    /// What the kernel shows.
    pub signals: Vec<Signal>,
    /// What a diagnosis is asked while it is broken; `None`: nobody asks.
    pub asking: Option<Asking>,
    /// How it is mended.
    pub fixes: Vec<Step>,
    /// What can be seen of it from afar; `None`: nobody has said.
    pub metrics: Option<Shown>,
}

/// A sentence or two for each part.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Explain {
    /// What works, and by what way.
    pub healthy: String,
    /// What is broken.
    pub r#break: String,
    /// What a person notices.
    pub symptom: String,
    /// What the kernel shows, and why there.
    pub signal: String,
    /// What mends it.
    pub fix: String,
}

/// Something that not every kernel or machine has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// What.
    pub what: Needed,
    /// What it means that it is missing.
    pub why: String,
}

/// What may be needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Needed {
    /// A kernel setting in a node.
    Sysctl {
        /// The node.
        node: String,
        /// The setting.
        key: String,
    },
    /// A program in PATH.
    Program(String),
    /// A memory limit for a node.
    MemoryLimit {
        /// The node.
        node: String,
    },
}

impl Scenario {
    /// Every address that one of its checks is about.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let checked = self.healthy.iter().chain(&self.symptoms).filter_map(|check| check.attempt.address());
        checked.chain(self.asking.as_ref().and_then(Asking::address))
    }
}
