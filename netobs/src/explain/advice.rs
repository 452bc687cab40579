//! Advice with this packet's names in it, as a person would type it.

use std::borrow::Cow;

/// What stands for the placeholders of an explanation's `look`.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// Name of the namespace: `host`, a pinned name, or `pid:N`.
    pub netns: Option<String>,
    /// Device name.
    pub device: Option<String>,
    /// The packet's source address.
    pub src: Option<String>,
    /// The packet's destination address.
    pub dst: Option<String>,
}

/// Fills in what is known; a placeholder of something unknown stays as it is.
pub fn advice(look: &str, place: &Place) -> String {
    let named = replace(look, "DEV", place.device.as_deref());
    let named = replace(&named, "SRC", place.src.as_deref());
    let named = replace(&named, "DST", place.dst.as_deref());
    match place.netns.as_deref() {
        Some(netns) => inside(&named, netns),
        None => named,
    }
}

/// `nft list ruleset in NETNS` and `ip -n NETNS link`, each the way its namespace is entered.
fn inside(look: &str, netns: &str) -> String {
    let enter = |command: &str| match (netns, netns.strip_prefix("pid:")) {
        ("host", _) => command.to_owned(),
        (_, Some(pid)) => format!("nsenter -t {} -n {command}", quoted(pid)),
        (name, None) => format!("ip netns exec {} {command}", quoted(name)),
    };
    if let Some((command, note)) = look.split_once(" in NETNS") {
        return enter(command) + note;
    }
    match look.split_once(" -n NETNS") {
        // `ip -n NAME` takes pinned names only.
        Some((tool, rest)) if netns == "host" || netns.starts_with("pid:") => enter(&format!("{tool}{rest}")),
        Some((tool, rest)) => format!("{tool} -n {}{rest}", quoted(netns)),
        None => look.to_owned(),
    }
}

/// Replaces a placeholder that stands as a word, or as a part of a sysctl's name.
fn replace(text: &str, placeholder: &str, value: Option<&str>) -> String {
    value.map_or_else(|| text.to_owned(), |value| text.replace(placeholder, &quoted(value)))
}

/// Strangers choose device and namespace names, and people paste advice into a shell.
fn quoted(word: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._:-@%/".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return Cow::Borrowed(word);
    }
    Cow::Owned(format!("'{}'", word.replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(netns: &str) -> Place {
        Place { netns: Some(netns.into()), device: Some("br0".into()), ..Place::default() }
    }

    #[test]
    fn commands_are_what_a_person_would_type_there() {
        let look = "nft list ruleset in NETNS";
        assert_eq!(advice(look, &at("lab-host")), "ip netns exec lab-host nft list ruleset");
        assert_eq!(advice(look, &at("host")), "nft list ruleset");
        assert_eq!(advice(look, &at("pid:7")), "nsenter -t 7 -n nft list ruleset");
        let look = "ip -n NETNS -s link show DEV";
        assert_eq!(advice(look, &at("lab-host")), "ip -n lab-host -s link show br0");
        assert_eq!(advice(look, &at("host")), "ip -s link show br0");
        assert_eq!(advice(look, &at("pid:7")), "nsenter -t 7 -n ip -s link show br0");
        assert_eq!(advice("ss -anm in NETNS (skmem)", &at("c")), "ip netns exec c ss -anm (skmem)");
        assert_eq!(advice("ip -n NETNS route get DST", &Place::default()), "ip -n NETNS route get DST");
    }

    #[test]
    fn a_hostile_name_stays_one_word_of_the_shell() {
        let place = Place { device: Some("x;reboot".into()), netns: Some("it's".into()), ..Place::default() };
        assert_eq!(advice("ethtool -k DEV in NETNS", &place), r"ip netns exec 'it'\''s' ethtool -k 'x;reboot'");
    }
}
