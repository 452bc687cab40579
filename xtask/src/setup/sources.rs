//! Where this machine gets Debian from, read from apt's own configuration in both of its formats.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The key ring that Debian's own sources are signed with.
const DEBIAN_KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// One archive and suite that apt is configured to use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The archive's address, as apt takes it.
    pub uri: String,
    /// Suite or codename.
    pub suite: String,
    /// The key ring's path, when the configuration names one.
    pub signed_by: Option<String>,
}

impl Source {
    /// The same archive's other suite.
    pub fn suite(&self, suite: &str) -> Self {
        Self { suite: suite.to_owned(), ..self.clone() }
    }

    /// The line of a `sources.list` for this source's `main` component.
    pub fn line(&self) -> String {
        let keyring =
            self.signed_by.as_deref().or_else(|| Path::new(DEBIAN_KEYRING).exists().then_some(DEBIAN_KEYRING));
        let signed_by = keyring.map(|path| format!(" signed-by={path}")).unwrap_or_default();
        format!("deb [arch=amd64{signed_by}] {} {} main", self.uri, self.suite)
    }
}

/// All binary sources with a `main` component that apt is configured to use.
pub fn configured() -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    if let Ok(text) = fs::read_to_string("/etc/apt/sources.list") {
        sources.extend(one_line_format(&text));
    }
    let mut files: Vec<PathBuf> =
        fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    files.sort();
    for file in files {
        let read = || fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()));
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("list") => sources.extend(one_line_format(&read()?)),
            Some("sources") => sources.extend(deb822_format(&read()?)),
            // apt itself ignores files with any other ending.
            _ => {}
        }
    }
    Ok(sources)
}

/// `deb [option=value …] URI SUITE COMPONENT…`
fn one_line_format(text: &str) -> Vec<Source> {
    text.lines().filter_map(one_line).collect()
}

fn one_line(line: &str) -> Option<Source> {
    let line = line.split('#').next().unwrap_or_default().trim();
    let rest = line.strip_prefix("deb")?.strip_prefix(char::is_whitespace)?.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => ("", rest),
    };
    let mut words = rest.split_whitespace();
    let (uri, suite) = (words.next()?, words.next()?);
    words.any(|component| component == "main").then(|| Source {
        uri: uri.to_owned(),
        suite: suite.to_owned(),
        signed_by: options.split_whitespace().find_map(|option| option.strip_prefix("signed-by=")).map(str::to_owned),
    })
}

/// Paragraphs of `Field: value`, where every URI is combined with every suite.
fn deb822_format(text: &str) -> Vec<Source> {
    let text: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    text.split(|line| line.trim().is_empty()).flat_map(paragraph).collect()
}

fn paragraph(lines: &[&str]) -> Vec<Source> {
    let field = |wanted: &str| {
        let of_field = |line: &&str| line.split_once(':').is_some_and(|(name, _)| name.eq_ignore_ascii_case(wanted));
        let start = lines.iter().position(of_field);
        let lines = start.and_then(|start| lines.get(start..)).unwrap_or_default();
        // A value goes on in the lines that start with white space.
        let more = lines.iter().skip(1).take_while(|line| line.starts_with([' ', '\t']));
        let first = lines.first().and_then(|line| line.split_once(':')).map(|(_, value)| value);
        first.into_iter().chain(more.copied()).collect::<Vec<&str>>().join(" ")
    };
    let has = |values: &str, wanted: &str| values.split_whitespace().any(|value| value == wanted);
    if field("Enabled").trim().eq_ignore_ascii_case("no")
        || !has(&field("Types"), "deb")
        || !has(&field("Components"), "main")
    {
        return Vec::new();
    }
    // The field can also hold the key itself; then the default key ring serves.
    let signed_by =
        Some(field("Signed-By").trim().to_owned()).filter(|value| value.starts_with('/') && !value.contains(' '));
    let (uris, suites) = (field("URIs"), field("Suites"));
    let each = |uri: &str| -> Vec<Source> {
        let source =
            |suite: &str| Source { uri: uri.to_owned(), suite: suite.to_owned(), signed_by: signed_by.clone() };
        suites.split_whitespace().map(source).collect()
    };
    uris.split_whitespace().flat_map(each).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(uri: &str, suite: &str, signed_by: Option<&str>) -> Source {
        Source { uri: uri.to_owned(), suite: suite.to_owned(), signed_by: signed_by.map(str::to_owned) }
    }

    #[test]
    fn one_line_format_with_and_without_options() {
        let text = "# a comment\n\
                    deb http://archive.example/debian bookworm main contrib # why\n\
                    deb-src http://archive.example/debian bookworm main\n\
                    deb [arch=amd64 signed-by=/k.gpg] http://archive.example/security bookworm-security main\n\
                    deb http://other.example/ tool extra\n";
        let expected = [
            source("http://archive.example/debian", "bookworm", None),
            source("http://archive.example/security", "bookworm-security", Some("/k.gpg")),
        ];
        assert_eq!(one_line_format(text), expected);
    }

    #[test]
    fn deb822_format_multiplies_and_skips() {
        let text = "Types: deb deb-src\n# snapshot\nURIs: http://a.example/debian\nSuites: bookworm\n bookworm-updates\n\
                    Components: main\nSigned-By: /k.gpg\n\n\
                    Types: deb\nURIs: http://b.example\nSuites: x\nComponents: main\nEnabled: no\n\n\
                    Types: deb\nURIs: http://c.example\nSuites: y\nComponents: main\nSigned-By:\n -----BEGIN PGP\n .\n";
        let expected = [
            source("http://a.example/debian", "bookworm", Some("/k.gpg")),
            source("http://a.example/debian", "bookworm-updates", Some("/k.gpg")),
            source("http://c.example", "y", None),
        ];
        assert_eq!(deb822_format(text), expected);
    }
}
