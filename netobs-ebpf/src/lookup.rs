//! What a routing table answered.

/// The answer of one routing table to one packet. It stands where an event of another hook has the packet's first bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Lookup {
    /// The address that was looked for, in network order; IPv4 in the first word.
    pub destination: [u32; 4],
    /// The address of the next hop, in network order.
    pub gateway: [u32; 4],
    /// Name of the device that the route leads through, as in `net_device.name`; zero without a route.
    pub device: [u64; 2],
    /// Index of that device.
    pub ifindex: u32,
    /// Number of the table.
    pub table: u32,
    /// 0, or the negative error number that the table answers with; `-EAGAIN` if it has no route.
    pub error: i32,
    /// `RTN_*`, or 0 if not known: the route is one through a nexthop object.
    pub kind: u8,
    /// `AF_*` of the next hop, or 0 if the destination is on the link.
    pub gateway_family: u8,
    /// `AF_*` of the address that was looked for.
    pub family: u8,
    /// 1 if the way back to the packet's sender was looked for (`fib_validate_source`).
    pub source_check: u8,
}
