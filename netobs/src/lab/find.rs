use super::state::{NodeState, State};
use super::{Error, LabName, Result};

/// A node of a lab, found by the name a person gave.
#[derive(Clone, Debug)]
pub struct NodeHandle {
    /// The lab it is in.
    pub lab: LabName,
    /// What it is on this machine.
    pub node: NodeState,
}

/// Finds a node by its own name (`c1`) or its namespace's (`lab-c1`), in the lab named or, if none is, in any. A node's
/// own name means the one in lab `lab` if several labs have it.
pub fn find_node(name: &str, lab: Option<&LabName>) -> Result<NodeHandle> {
    let labs = match lab {
        Some(lab) => vec![State::load(lab)?.ok_or_else(|| Error::NoSuchLab(lab.clone()))?],
        None => State::all()?,
    };
    if labs.is_empty() {
        return Err(Error::NoLab);
    }
    choose(name, &labs)
}

fn choose(name: &str, labs: &[State]) -> Result<NodeHandle> {
    let all = || labs.iter().flat_map(|state| state.nodes.iter().map(move |node| (&state.lab, node)));
    let handle = |(lab, node): (&LabName, &NodeState)| NodeHandle { lab: lab.clone(), node: node.clone() };
    if let Some(found) = all().find(|(_, node)| node.namespace == name) {
        return Ok(handle(found));
    }
    let found: Vec<_> = all().filter(|(_, node)| node.node == name).collect();
    match found.as_slice() {
        [] => {
            let known = all().map(|(_, node)| node.namespace.clone()).collect::<Vec<_>>().join(", ");
            Err(Error::NoSuchNode { node: name.to_owned(), known })
        }
        [only] => Ok(handle(*only)),
        several => match several.iter().find(|(lab, _)| lab.as_str() == LabName::DEFAULT) {
            Some(default) => Ok(handle(*default)),
            None => {
                let candidates = several.iter().map(|(_, node)| node.namespace.clone()).collect::<Vec<_>>().join(", ");
                Err(Error::Ambiguous { node: name.to_owned(), candidates })
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::{NodeState, Phase, State, default_topology};
    use super::choose;

    fn lab(name: &str) -> State {
        let lab: super::LabName = name.parse().unwrap();
        let topology = default_topology();
        let nodes = topology.nodes.iter().map(|node| NodeState {
            node: node.name.clone(),
            namespace: lab.namespace(&node.name),
            cgroup: None,
            cpu_cgroup: None,
            notes: Vec::new(),
            init: None,
            netns: None,
            cookie: None,
        });
        let nodes = nodes.collect();
        State {
            lab,
            phase: Phase::Up,
            boot_id: String::new(),
            built: 0,
            source: None,
            loans: Vec::new(),
            topology,
            nodes,
        }
    }

    #[test]
    fn finds_a_node_by_either_name() {
        let namespace = |name: &str, labs: &[State]| choose(name, labs).map(|found| found.node.namespace);
        let (default, other, third) = (lab("lab"), lab("other"), lab("third"));
        assert_eq!(namespace("c1", std::slice::from_ref(&other)).unwrap(), "other-c1");
        assert_eq!(namespace("other-c1", &[default.clone(), other.clone()]).unwrap(), "other-c1");
        assert_eq!(namespace("c1", &[other.clone(), default]).unwrap(), "lab-c1");
        assert!(namespace("c1", &[other.clone(), third]).unwrap_err().to_string().contains("other-c1, third-c1"));
        assert!(namespace("c9", &[other]).unwrap_err().to_string().contains("there are: other-host"));
    }
}
