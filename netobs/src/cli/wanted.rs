//! Which packets, as `trace` and `drops` are told.

use clap::Args;

use crate::diagnose::endpoint;
use crate::filter::Filter;
use crate::netns::Netns;
use crate::output::{printable, shortened};
use crate::probe::{Depth, Selection, tc};
use crate::refusal::Refusal;
use crate::state::Namespaces;

/// Characters of a filter that are repeated to the user.
const SHOWN: usize = 60;

/// The arguments.
#[derive(Args)]
pub(super) struct Wanted {
    /// Which packets, in pcap-filter syntax: icmp and host 10.40.0.3. All by default.
    #[arg(value_name = "FILTER")]
    filter: Vec<String>,
    /// Only packets first seen in this namespace: a name under /run/netns, pid:N, or host. With `drops`: dropped there.
    #[arg(long, value_name = "N")]
    netns: Option<String>,
    /// The same, by the container's name or id, or a lab's node.
    #[arg(long, value_name = "C", conflicts_with = "netns")]
    container: Option<String>,
    /// Only packets first seen on a device of this name. With `drops`: dropped there.
    #[arg(long, value_name = "D")]
    pub(super) device: Option<String>,
}

impl Wanted {
    /// The filter, ready for the kernel.
    pub(super) fn filter(&self) -> anyhow::Result<Filter> {
        Ok(Filter::compile(&self.filter.join(" ")).map_err(|error| Refusal::Usage(error.to_string()))?)
    }

    /// The conditions beside it.
    pub(super) fn selection(&self, depth: Depth) -> anyhow::Result<Selection> {
        let netns = match (&self.netns, &self.container) {
            (Some(name), _) => Some(Netns::open(name)?.inode()),
            (None, Some(name)) => Some(endpoint::find(name)?.netns),
            (None, None) => None,
        };
        Ok(Selection { netns, device: self.device.clone(), depth })
    }

    /// The links that these packets are on. `device`, if one was named, is among them.
    pub(super) fn links(
        &self,
        selection: &Selection,
        namespaces: &mut Namespaces,
        all: bool,
    ) -> anyhow::Result<Vec<tc::Target>> {
        let wanted = tc::Wanted { device: self.device.as_deref(), links: all };
        if wanted.device.is_none() && !wanted.links {
            return Ok(Vec::new());
        }
        let (targets, looked) = tc::find(namespaces, selection.netns, wanted);
        let is_there = |device| targets.iter().any(|target| target.links.iter().any(|link| link.name == device));
        match wanted.device {
            Some(device) if !is_there(device) => anyhow::bail!("no device is called `{device}` in {}", places(&looked)),
            None if targets.is_empty() => anyhow::bail!("no veth, bridge or uplink in {}", places(&looked)),
            _ => Ok(targets),
        }
    }

    /// For people: `packets that match `icmp` in lab-c1; Ctrl-C ends it`.
    pub(super) fn describe(&self, one: &str, several: &str) -> String {
        let mut text = if self.filter.is_empty() {
            format!("every {one}")
        } else {
            format!("{several} that match `{}`", shortened(&printable(&self.filter.join(" ")), SHOWN))
        };
        if let Some(name) = self.netns.as_ref().or(self.container.as_ref()) {
            text.push_str(&format!(" in {}", printable(name)));
        }
        if let Some(device) = &self.device {
            text.push_str(&format!(" on {}", printable(device)));
        }
        text.push_str("; Ctrl-C ends it");
        text
    }
}

/// The namespaces that were looked into, as many as fit on a line.
fn places(looked: &[String]) -> String {
    const SHOWN: usize = 6;
    match looked {
        [] => "any network namespace: none could be entered".to_owned(),
        [one] => one.clone(),
        _ => {
            let shown = looked.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
            let more = if looked.len() > SHOWN { ", …" } else { "" };
            format!("any of the {} network namespaces looked into ({shown}{more})", looked.len())
        }
    }
}
