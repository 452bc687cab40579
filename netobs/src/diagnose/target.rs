//! To whom, as a person writes it.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use super::Protocol;

/// `ADDRESS`, `ADDRESS:PORT`, `[ADDRESS]:PORT`, or a name in the address' place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The address, or whose it is.
    pub whom: Whom,
    /// The port.
    pub port: Option<u16>,
}

/// An address, or somebody who has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whom {
    /// As it is.
    Address(IpAddr),
    /// An endpoint's name, or one that the sender's resolver knows.
    Name(String),
}

/// What was written makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Neither an address nor a name.
    #[error("`{0}` is neither an address nor a name: write ADDRESS, ADDRESS:PORT, [ADDRESS]:PORT, NAME or NAME:PORT")]
    Malformed(String),
    /// What is behind the colon is no port.
    #[error("`{0}` is no port: ports are from 1 to 65535")]
    Port(String),
    /// TCP and UDP have ports.
    #[error("{} needs a port: {to}:PORT", .protocol.name())]
    NoPort {
        /// Which of them.
        protocol: Protocol,
        /// The target without one.
        to: String,
    },
    /// ICMP has none.
    #[error("icmp knows no ports: leave out either :{0} or icmp")]
    IcmpPort(u16),
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let malformed = || TargetError::Malformed(text.to_owned());
        if let Ok(address) = text.parse() {
            return Ok(Self { whom: Whom::Address(address), port: None });
        }
        if let Some(rest) = text.strip_prefix('[') {
            let (address, port) = rest.split_once(']').ok_or_else(malformed)?;
            let whom = Whom::Address(address.parse::<Ipv6Addr>().map_err(|_| malformed())?.into());
            let port = if port.is_empty() { None } else { Some(port.strip_prefix(':').ok_or_else(malformed)?) };
            return Ok(Self { whom, port: port.map(read_port).transpose()? });
        }
        // A process is named with a colon of its own.
        let (whom, port) = match text.strip_prefix("pid:") {
            Some(rest) => {
                rest.split_once(':').map_or((text.to_owned(), None), |(pid, port)| (format!("pid:{pid}"), Some(port)))
            }
            None => text.split_once(':').map_or((text.to_owned(), None), |(name, port)| (name.to_owned(), Some(port))),
        };
        let port = port.map(read_port).transpose()?;
        if let Ok(address) = whom.parse() {
            return Ok(Self { whom: Whom::Address(address), port });
        }
        // Four numbers were meant as an address.
        let numbers = whom.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/".contains(c);
        if whom.is_empty() || numbers || !whom.chars().all(plain) {
            return Err(malformed());
        }
        Ok(Self { whom: Whom::Name(whom), port })
    }
}

fn read_port(text: &str) -> Result<u16, TargetError> {
    text.parse().ok().filter(|port| *port > 0).ok_or_else(|| TargetError::Port(text.to_owned()))
}

impl Target {
    /// The protocol asked about: the one named, or TCP to a port and ICMP to none.
    ///
    /// # Errors
    /// The protocol and the port do not go together.
    pub fn protocol(&self, named: Option<Protocol>) -> Result<Protocol, TargetError> {
        match (named, self.port) {
            (None | Some(Protocol::Icmp), None) => Ok(Protocol::Icmp),
            (None, Some(_)) => Ok(Protocol::Tcp),
            (Some(Protocol::Icmp), Some(port)) => Err(TargetError::IcmpPort(port)),
            (Some(protocol), Some(_)) => Ok(protocol),
            (Some(protocol), None) => Err(TargetError::NoPort { protocol, to: self.to_string() }),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.whom, self.port) {
            (Whom::Address(address @ IpAddr::V6(_)), Some(port)) => write!(f, "[{address}]:{port}"),
            (Whom::Address(address), Some(port)) => write!(f, "{address}:{port}"),
            (Whom::Address(address), None) => address.fmt(f),
            (Whom::Name(name), Some(port)) => write!(f, "{name}:{port}"),
            (Whom::Name(name), None) => name.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Protocol, Target, TargetError, Whom};

    #[test]
    fn reads_what_people_write() {
        let address = |text: &str| Whom::Address(text.parse().unwrap());
        let name = |text: &str| Whom::Name(text.to_owned());
        for (text, whom, port) in [
            ("10.40.0.3", address("10.40.0.3"), None),
            ("10.40.0.3:80", address("10.40.0.3"), Some(80)),
            ("fd00::2", address("fd00::2"), None),
            ("[fd00::2]", address("fd00::2"), None),
            ("[fd00::2]:80", address("fd00::2"), Some(80)),
            ("lab-c2", name("lab-c2"), None),
            ("web.example.org:443", name("web.example.org"), Some(443)),
            ("pid:1", name("pid:1"), None),
            ("pid:1:80", name("pid:1"), Some(80)),
        ] {
            let target: Target = text.parse().unwrap();
            assert_eq!(target, Target { whom, port }, "{text}");
            assert_eq!(target.to_string().parse(), Ok(target), "{text} read back");
        }
    }

    #[test]
    fn says_what_is_wrong() {
        for text in ["", "10.40.0", "10.40.0.999", ":80", "[fd00::2", "[fd00::2]80", "[10.40.0.3]:80", "a b", "a;b"] {
            assert_eq!(text.parse::<Target>(), Err(TargetError::Malformed(text.to_owned())));
        }
        for port in ["0", "65536", "http", "", "80:80"] {
            assert_eq!(format!("10.40.0.3:{port}").parse::<Target>(), Err(TargetError::Port(port.to_owned())));
        }
    }

    #[test]
    fn a_port_and_a_protocol_go_together() {
        let protocol = |text: &str, named| text.parse::<Target>().unwrap().protocol(named);
        assert_eq!(protocol("10.40.0.3", None), Ok(Protocol::Icmp));
        assert_eq!(protocol("10.40.0.3:80", None), Ok(Protocol::Tcp));
        assert_eq!(protocol("10.40.0.3:53", Some(Protocol::Udp)), Ok(Protocol::Udp));
        assert_eq!(protocol("10.40.0.3:53", Some(Protocol::Icmp)), Err(TargetError::IcmpPort(53)));
        let missing = TargetError::NoPort { protocol: Protocol::Tcp, to: "10.40.0.3".to_owned() };
        assert_eq!(protocol("10.40.0.3", Some(Protocol::Tcp)), Err(missing));
    }
}
