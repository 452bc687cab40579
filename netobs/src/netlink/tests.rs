use std::io::Write;

use super::change::{LinkChange, NewLink, add_address, add_bridge, add_route, add_veth, delete_link, set_link};
use super::{Ifindex, MacAddress, Socket};
use crate::netns::{Netns, fresh_netns};

/// Two namespaces that only this test knows; `None`, and a line that says so, without the right to make them.
fn two_namespaces(test: &str) -> Option<(Netns, Netns)> {
    match (fresh_netns(), fresh_netns()) {
        (Ok(near), Ok(far)) => Some((near, far)),
        (Err(error), _) | (_, Err(error)) => {
            let _ = writeln!(std::io::stderr(), "SKIPPED {test}: make a network namespace: {error}");
            None
        }
    }
}

#[test]
fn builds_a_bridged_veth_across_two_namespaces() {
    let Some((near, far)) = two_namespaces("builds_a_bridged_veth_across_two_namespaces") else { return };
    let (mut here, mut there) = (Socket::open_in(&near).unwrap(), Socket::open_in(&far).unwrap());
    let mac = MacAddress([2, 0x42, 10, 1, 0, 2]);
    let gateway = "10.1.0.1".parse().unwrap();

    here.apply_all(&[
        add_bridge(NewLink { name: "br0", ifindex: Some(Ifindex(7)), ..NewLink::default() }),
        add_veth(
            NewLink { name: "port", ifindex: Some(Ifindex(8)), ..NewLink::default() },
            NewLink { name: "eth0", ifindex: Some(Ifindex(9)), mac: Some(mac), mtu: Some(1400) },
            &far,
        ),
        set_link(
            Ifindex(8),
            "port",
            LinkChange {
                up: Some(true),
                master: Some(Some(Ifindex(7))),
                ifalias: Some("ours"),
                ..LinkChange::default()
            },
        ),
        add_address(Ifindex(7), "br0", gateway, 24),
        set_link(Ifindex(7), "br0", LinkChange { up: Some(true), ..LinkChange::default() }),
    ])
    .unwrap();
    there
        .apply_all(&[
            add_address(Ifindex(9), "eth0", "10.1.0.2".parse().unwrap(), 24),
            set_link(Ifindex(9), "eth0", LinkChange { up: Some(true), ..LinkChange::default() }),
            add_route(None, Some(gateway), None),
        ])
        .unwrap();

    let port = here.link("port").unwrap().unwrap();
    assert_eq!(port.kind.as_deref(), Some("veth"));
    assert_eq!(port.master, Some(Ifindex(7)));
    assert_eq!(port.ifalias.as_deref(), Some("ours"));
    assert_eq!((port.peer, port.link_netnsid), (Some(Ifindex(9)), here.netns_id(&far).unwrap()));
    assert!(port.link_netnsid.is_some() && port.up);
    let eth0 = there.link("eth0").unwrap().unwrap();
    assert_eq!((eth0.ifindex, eth0.mac, eth0.mtu, eth0.peer), (Ifindex(9), Some(mac), 1400, Some(Ifindex(8))));
    assert_eq!(there.links().unwrap().len(), 2, "lo and eth0");
    let address = here.addresses().unwrap().into_iter().find(|found| found.address == gateway).unwrap();
    assert_eq!((address.ifindex, address.prefix_length), (Ifindex(7), 24));
    let routes = there.routes().unwrap();
    let default = routes.iter().find(|route| route.destination.is_none() && route.gateway.is_some()).unwrap();
    assert_eq!((default.gateway, default.device), (Some(gateway), Some(Ifindex(9))));

    here.apply(delete_link(Ifindex(8), "port")).unwrap();
    assert_eq!(there.link("eth0").unwrap(), None, "both ends of a pair go together");
}

#[test]
fn names_the_operation_the_object_and_the_kernels_reason() {
    let Some((near, _)) = two_namespaces("names_the_operation_the_object_and_the_kernels_reason") else { return };
    let mut socket = Socket::open_in(&near).unwrap();
    let error = socket
        .apply_all(&[
            add_bridge(NewLink { name: "br0", ..NewLink::default() }),
            add_bridge(NewLink { name: "br0", ..NewLink::default() }),
            add_bridge(NewLink { name: "br1", ..NewLink::default() }),
        ])
        .unwrap_err();
    assert_eq!(error.errno(), Some(libc::EEXIST));
    assert!(error.to_string().starts_with("add bridge br0: File exists"), "{error}");
    assert!(socket.link("br1").unwrap().is_some(), "the kernel goes on after a failure");

    let error = socket.apply(add_route(None, Some("10.9.9.9".parse().unwrap()), None)).unwrap_err();
    assert!(error.to_string().contains("add route default via 10.9.9.9: "), "{error}");
    assert!(error.to_string().contains("gateway"), "the kernel's own sentence is shown: {error}");
}
