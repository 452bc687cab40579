//! Names of drop reasons.

use crate::btf::{Btf, EnumValues};
use crate::event::DropReason;

/// Enums of subsystems that number their reasons apart. Their values carry the subsystem's number
/// (`enum skb_drop_reason_subsys`, 6.4) in the upper half, so no two enums share one.
const OTHERS: [&str; 3] = ["mac80211_drop_reason", "ovs_drop_reason", "qdisc_drop_reason"];

/// Bits below the subsystem's number (`SKB_DROP_REASON_SUBSYS_SHIFT`).
const SUBSYSTEM_SHIFT: u32 = 16;

/// Every enum of drop reasons that the running kernel and its loaded modules have.
#[derive(Debug, Default)]
pub(super) struct Reasons {
    core: Option<EnumValues>,
    others: Vec<EnumValues>,
}

impl Reasons {
    pub(super) fn read(btf: &Btf) -> Self {
        Self {
            core: btf.enum_values("skb_drop_reason"),
            others: OTHERS.iter().filter_map(|name| btf.enum_values(name)).collect(),
        }
    }

    /// The enumerator of a reason, without what all of its enum begin with. The names of `qdisc_drop_reason` and
    /// `ovs_drop_reason` say nothing without their prefix, and keep it.
    pub(super) fn name(&self, reason: DropReason) -> Option<&str> {
        let value = i64::from(reason.0);
        if reason.0 >> SUBSYSTEM_SHIFT != 0 {
            return self.others.iter().find_map(|names| names.name(value));
        }
        let name = self.core.as_ref()?.name(value)?;
        Some(name.strip_prefix("SKB_DROP_REASON_").or_else(|| name.strip_prefix("SKB_")).unwrap_or(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subsystems_reasons_are_looked_for_in_its_own_enum() {
        let core = [("SKB_NOT_DROPPED_YET", 0), ("SKB_DROP_REASON_NO_SOCKET", 3)];
        let qdisc = [("QDISC_DROP_UNSPEC", 0), ("__QDISC_DROP_REASON", 0x30000), ("QDISC_DROP_OVERLIMIT", 0x30002)];
        let reasons = Reasons { core: Some(core.into_iter().collect()), others: vec![qdisc.into_iter().collect()] };
        let named = |number| reasons.name(DropReason(number));
        assert_eq!(named(3), Some("NO_SOCKET"));
        assert_eq!(named(0), Some("NOT_DROPPED_YET"));
        assert_eq!(named(0x30002), Some("QDISC_DROP_OVERLIMIT"));
        assert_eq!(named(0x20003), None, "another subsystem");
        assert_eq!(Reasons::default().name(DropReason(3)), None);
    }
}
