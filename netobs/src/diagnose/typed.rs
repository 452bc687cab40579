//! Commands as a person on this machine types them.

use std::borrow::Cow;

/// A command line to be run in a namespace, by the name that netobs has for it: `host`, a name under `/run/netns`, or
/// `pid:N`. Words in it that are not our own have to be [`word`]s.
pub fn in_netns(netns: &str, command: &str) -> String {
    match netns.strip_prefix("pid:") {
        _ if netns == "host" => command.to_owned(),
        Some(pid) => format!("nsenter -t {} -n {command}", word(pid)),
        None => format!("ip netns exec {} {command}", word(netns)),
    }
}

/// A word that somebody else chose, such that a shell takes it for one word and nothing else.
pub fn word(text: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("'{}'", text.replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests {
    use super::{in_netns, word};

    #[test]
    fn a_command_is_typed_where_its_namespace_is() {
        assert_eq!(in_netns("host", "iptables -L"), "iptables -L");
        assert_eq!(in_netns("lab-host", "iptables -L"), "ip netns exec lab-host iptables -L");
        assert_eq!(in_netns("pid:12", "ip link"), "nsenter -t 12 -n ip link");
    }

    #[test]
    fn what_strangers_chose_is_one_word_to_a_shell() {
        assert_eq!(word("eth0.5"), "eth0.5");
        assert_eq!(word("$(reboot)"), "'$(reboot)'");
        assert_eq!(word("a'b"), r"'a'\''b'");
        assert_eq!(word(""), "''");
        let said =
            std::process::Command::new("sh").args(["-c", &format!("printf %s {}", word("a'b $x;`y`\n"))]).output();
        assert_eq!(String::from_utf8(said.unwrap().stdout).unwrap(), "a'b $x;`y`\n");
    }
}
