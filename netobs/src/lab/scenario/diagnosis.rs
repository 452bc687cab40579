//! Asking `netobs diagnose` about the lab.

use std::net::SocketAddr;

use super::super::{Error, Result};
use super::asking::Asking;
use super::attempt::answered;
use super::stage::Stage;
use crate::diagnose::endpoint::{AskError, Asked};
use crate::diagnose::machine::Machine;
use crate::diagnose::{Diagnosis, Endpoint, Question, Watcher, diagnose as ask};

/// What it says; or why the question cannot be asked, as when a name in it belongs to nobody.
pub(super) fn diagnose(
    stage: &Stage,
    asking: &Asking,
    watcher: &mut Watcher,
) -> Result<std::result::Result<Diagnosis, AskError>> {
    let node = stage.node(&asking.from)?;
    let from = Endpoint {
        name: node.namespace.clone(),
        netns: stage.netns(&asking.from)?.inode(),
        pid: node.init.map(|init| init.pid),
    };
    let question = match Asked::new(from, &asking.to, asking.protocol) {
        Ok(asked) => asked.question,
        Err(error) => return Ok(Err(error)),
    };
    // The scenario has told already what there is to wait for.
    let mut ask = || ask(&mut Machine::new(), Some(watcher), &question, &mut |_| {});
    match (&asking.at, &question) {
        (Some(at), Question { to, port: Some(port), .. }) => {
            let failed = Error::io(format!("{at}: answer on port {port}"));
            answered(&stage.netns(at)?, SocketAddr::new(*to, *port), ask).map(Ok).map_err(failed)
        }
        _ => Ok(Ok(ask())),
    }
}
