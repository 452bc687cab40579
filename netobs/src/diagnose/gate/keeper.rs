//! Programs that keep rules: what is changed by hand they put back.

use super::traveller::Traveller;
use crate::event::Tuple;
use crate::rules::{Rule, Rules};

/// Whose rules these are, by the names that the program gives its tables and chains, and how it is told what to do.
struct Keeper {
    is: fn(&Rules, &Rule) -> bool,
    says: fn(&str, &str) -> String,
}

const KEEPERS: &[Keeper] = &[
    Keeper {
        is: |rules, rule| rules.has_chain(&rule.table, "ufw-"),
        says: |from, to| {
            format!("ufw keeps these rules, and puts back what is changed by hand: ufw route allow from {from} to {to}")
        },
    },
    Keeper {
        is: |_, rule| rule.table == "firewalld",
        says: |_, _| {
            "firewalld keeps these rules, and puts back what is changed by hand: firewall-cmd --get-active-zones shows \
             which zone has the device, firewall-cmd --zone=trusted --add-interface=DEVICE lets it through"
                .to_owned()
        },
    },
    Keeper {
        is: |rules, rule| {
            let own = rule.chain == "FORWARD" || rule.chain.starts_with("DOCKER");
            own && rules.has_chain(&rule.table, "DOCKER-USER")
        },
        says: |from, to| {
            format!(
                "Docker sets this up again at each start; what is to pass goes into its chain for users: iptables -I \
                 DOCKER-USER -s {from} -d {to} -j ACCEPT"
            )
        },
    },
    Keeper {
        is: |_, rule| ["KUBE-", "cali-", "CILIUM_"].iter().any(|start| rule.chain.starts_with(start)),
        says: |_, _| {
            "Kubernetes keeps these rules: look at the network policies, kubectl get networkpolicy -A".to_owned()
        },
    },
];

/// What to know before changing a rule by hand.
pub(super) fn hint(rules: &Rules, rule: &Rule, traveller: &Traveller) -> Option<String> {
    let Tuple { src, dst, .. } = traveller.asking();
    let keeper = KEEPERS.iter().find(|keeper| (keeper.is)(rules, rule))?;
    Some((keeper.says)(&src?.to_string(), &dst?.to_string()))
}
