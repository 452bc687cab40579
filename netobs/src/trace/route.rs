//! A routing decision told in names.

use crate::event::Lookup;
use crate::output::RouteRecord;

pub(super) fn route(lookup: &Lookup) -> RouteRecord {
    let is_miss = lookup.is_miss();
    RouteRecord {
        destination: lookup.destination.map(|address| address.to_string()),
        source_check: lookup.is_source_check,
        table: (!is_miss).then_some(lookup.table),
        kind: lookup.kind.map(|kind| kind.name()),
        device: lookup.device.map(|device| device.to_string_lossy()),
        gateway: lookup.gateway.map(|address| address.to_string()),
        // What the last table's miss becomes (fib_lookup, ip6_null_entry).
        error: if is_miss { Some("ENETUNREACH".to_owned()) } else { lookup.error.map(|error| format!("{error:?}")) },
    }
}
