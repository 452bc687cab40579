//! The agent's settings, as a file has them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use serde::Deserialize;
use tokio_rustls::TlsAcceptor;
use toml::Spanned;

use super::auth::Auth;
use super::settings::Settings;
use super::tls::{TlsError, acceptor};

/// The settings of a file: those that are flags, too, each by its flag's name. `None` is as if it was not there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// `--listen`
    pub listen: Option<SocketAddr>,
    /// `--series-limit`
    pub series_limit: Option<u32>,
    /// `--drop-rows`
    pub drop_rows: Option<u32>,
    /// `--hop-rows`
    pub hop_rows: Option<u32>,
    /// `--program-stats`
    pub program_stats: Option<bool>,
    /// Connections are encrypted.
    tls: Option<Tls>,
    /// Who asks must say who he is.
    auth: Option<Users>,
}

/// Paths of PEM files; relative ones begin at the file of settings.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tls {
    /// The certificate, and those between it and the one that clients know.
    certificate: Spanned<PathBuf>,
    /// Its key.
    key: Spanned<PathBuf>,
}

/// Bcrypt hashes of passwords.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Users {
    users: Spanned<BTreeMap<String, Spanned<String>>>,
}

/// Why a file is of no use.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error("read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A file that it names cannot be read.
    #[error("{path}, line {line}: `{key}`: {what}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Where, from 1 on.
        line: usize,
        /// What the line sets.
        key: &'static str,
        /// Why.
        what: String,
    },
    /// Something in it means nothing.
    #[error("{path}, line {line}: {}{what}", .key.as_deref().map(|key| format!("`{key}`: ")).unwrap_or_default())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// Where, from 1 on.
        line: usize,
        /// What the line sets, if that much can be told.
        key: Option<String>,
        /// What is wrong with it.
        what: String,
    },
}

impl Config {
    /// Reads a file of TOML, and the files that it names.
    ///
    /// # Errors
    /// One cannot be read, or something in it means nothing.
    pub fn read(path: &Path) -> Result<(Self, Settings), ConfigError> {
        let text = fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let source = Source { path, text: &text };
        let config: Self = toml::from_str(&text).map_err(|error| {
            let line = source.line(error.span().map_or(0, |span| span.start));
            let key = text.lines().nth(line - 1).and_then(|line| line.split_once('='));
            let what = error.message().lines().collect::<Vec<_>>().join(" ");
            source.wrong(line, key.map(|(key, _)| key.trim().to_owned()), what)
        })?;
        for (key, value) in
            [("series-limit", config.series_limit), ("drop-rows", config.drop_rows), ("hop-rows", config.hop_rows)]
        {
            if value == Some(0) {
                let is_key = |line: &str| line.split_once('=').is_some_and(|(name, _)| name.trim() == key);
                let line = text.lines().position(is_key).map_or(0, |line| line + 1);
                return Err(source.wrong(line, Some(key.to_owned()), "at least 1".to_owned()));
            }
        }
        let tls = config.tls.as_ref().map(|tls| source.acceptor(tls)).transpose()?;
        let auth = config.auth.as_ref().map(|auth| source.auth(&auth.users)).transpose()?.map(Arc::new);
        Ok((config, Settings { tls, auth }))
    }
}

/// A file of settings, and what mistakes are pointed out in.
struct Source<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Source<'_> {
    /// The line of a place, from 1 on.
    fn line(&self, at: usize) -> usize {
        self.text.get(..at.min(self.text.len())).unwrap_or_default().matches('\n').count() + 1
    }

    fn wrong(&self, line: usize, key: Option<String>, what: String) -> ConfigError {
        ConfigError::Wrong { path: self.path.to_owned(), line, key, what }
    }

    fn acceptor(&self, tls: &Tls) -> Result<TlsAcceptor, ConfigError> {
        let folder = self.path.parent().unwrap_or(Path::new(""));
        let [certificate, key] = [&tls.certificate, &tls.key].map(|path| folder.join(path.get_ref()));
        acceptor(&certificate, &key).map_err(|error| {
            let is_key = error.path() == key && key != certificate;
            let (name, at) = if is_key { ("tls.key", &tls.key) } else { ("tls.certificate", &tls.certificate) };
            let line = self.line(at.span().start);
            let what = error.to_string();
            match error {
                TlsError::Read { .. } => ConfigError::Unreadable { path: self.path.to_owned(), line, key: name, what },
                _ => self.wrong(line, Some(name.to_owned()), what),
            }
        })
    }

    fn auth(&self, users: &Spanned<BTreeMap<String, Spanned<String>>>) -> Result<Auth, ConfigError> {
        let mut hashes = BTreeMap::new();
        for (name, hash) in users.get_ref() {
            let wrong = |what| self.wrong(self.line(hash.span().start), Some(format!("auth.users.{name}")), what);
            if name.contains(':') {
                return Err(wrong("a user's name has no colon".to_owned()));
            }
            Auth::check(hash.get_ref()).map_err(|error| wrong(error.to_string()))?;
            hashes.insert(name.clone(), hash.get_ref().clone());
        }
        if hashes.is_empty() {
            let line = self.line(users.span().start);
            return Err(self.wrong(line, Some("auth.users".to_owned()), "at least one user".to_owned()));
        }
        Ok(Auth::new(hashes))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn read(text: &str) -> Result<Config, String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let said = |error: ConfigError| error.to_string().replace(&file.path().display().to_string(), "FILE");
        Config::read(file.path()).map(|(config, _)| config).map_err(said)
    }

    #[test]
    fn every_setting_can_be_made() {
        let text = "listen = \"[::1]:1\"\nseries-limit = 5\ndrop-rows = 6\nhop-rows = 7\nprogram-stats = false\n";
        let expected = Config {
            listen: Some("[::1]:1".parse().unwrap()),
            series_limit: Some(5),
            drop_rows: Some(6),
            hop_rows: Some(7),
            program_stats: Some(false),
            ..Config::default()
        };
        assert_eq!(read(text), Ok(expected));
        assert_eq!(read(""), Ok(Config::default()));
    }

    #[test]
    fn a_mistake_is_named_with_its_line_and_key() {
        for (text, parts) in [
            ("# all\nlisten = 9477\n", ["FILE, line 2: `listen`: ", "invalid type"]),
            ("listen = \"nowhere\"\n", ["FILE, line 1: `listen`: ", "invalid socket address"]),
            ("\n\nlisen = \"127.0.0.1:1\"\n", ["FILE, line 3: `lisen`: ", "unknown field"]),
            ("listen \"127.0.0.1:1\"\n", ["FILE, line 1: ", "expected"]),
            ("program-stats = true\nseries-limit = 0\n", ["FILE, line 2: `series-limit`: ", "at least 1"]),
            ("drop-rows = -1\n", ["FILE, line 1: `drop-rows`: ", "invalid value"]),
        ] {
            let said = read(text).unwrap_err();
            assert!(parts.iter().all(|part| said.contains(part)) && !said.contains('\n'), "{text}: {said}");
        }
    }
}
