//! The netfilter program in a namespace.

use std::io;
use std::sync::Arc;

use crate::netns::{Netns, in_netns};
use crate::probe::netfilter::{BEHIND_ALL, FAMILIES, link, raise_file_limit, registered};
use crate::probe::raw::{Link, Program};

/// `NF_INET_LOCAL_IN` and `NF_INET_POST_ROUTING`: where connections are entered into the table.
const HOOKS: [u32; 2] = [1, 4];

/// The program, to be attached in namespaces.
#[derive(Clone)]
pub struct NatHooks(Arc<Program>);

/// It is attached in a namespace, and keeps it alive, until this is dropped.
pub struct NatLinks {
    _links: Vec<Link>,
}

impl NatHooks {
    pub(super) fn new(program: Arc<Program>) -> Self {
        raise_file_limit();
        Self(program)
    }

    /// Attaches it in a namespace behind all else. `None` if it has no rules, and `only_with_rules` is set.
    ///
    /// # Errors
    /// The kernel refuses it, or there are too many files.
    pub fn attach(&self, netns: &Netns, only_with_rules: bool) -> io::Result<Option<NatLinks>> {
        let attach = || {
            if only_with_rules && !registered::is_anything() {
                return Ok(None);
            }
            let each = FAMILIES.into_iter().flat_map(|family| HOOKS.map(|hook| (family, hook)));
            let links = each.map(|(family, hook)| link(&self.0, family, hook, &mut BEHIND_ALL.rev()));
            Ok(Some(NatLinks { _links: links.collect::<io::Result<_>>()? }))
        };
        in_netns(netns, attach).map_err(io::Error::other)?
    }
}
