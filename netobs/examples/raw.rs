use netobs::*;
fn main() {
    let t = std::time::Instant::now();
    let k = probe::Kernel::read().unwrap();
    eprintln!("kernel {:?} {:?}", t.elapsed(), k.layout);
    let (mut s, mut ring) = probe::Session::attach(&k, &probe::Selection::default()).unwrap();
    eprintln!("attached {:?}", t.elapsed());
    for p in s.probes() {
        eprintln!("{} {:?}", p.row.name, p.why_not);
    }
    let end = std::time::Instant::now() + std::time::Duration::from_secs(4);
    let mut sy = symbols::Symbols::new();
    while std::time::Instant::now() < end {
        while let Some(i) = ring.next() {
            let e = event::decode(&i, k.conntrack.as_ref()).unwrap();
            if matches!(e.headers.proto, event::Proto::Tcp) && e.netns.map(|n| n.0) == Some(0) {
                continue;
            }
            println!(
                "{} {} {:?} {:?} {:?} {:?} len {} {:?} {:?} ct={:?} {:?} loc={:?} copy={} fam={:?} pt={}",
                e.time / 1000,
                e.packet,
                e.origin,
                e.hook,
                e.netns,
                e.device,
                e.length,
                e.headers.proto,
                e.headers.detail,
                e.conntrack.map(|c| (c.state, c.direction)),
                e.reason.and_then(|r| k.reason(r)),
                e.location.and_then(|l| sy.name(l).map(|x| x.to_string())),
                e.is_copy,
                e.family,
                e.packet_type
            );
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    eprintln!("{:?}", s.losses());
    let t = std::time::Instant::now();
    s.detach();
    eprintln!("detach {:?}", t.elapsed());
}
