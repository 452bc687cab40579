//! The agent's settings, as a file has them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::Deserialize;

/// The settings of a file, each with the name of its flag. `None` is as if it was not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
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
    /// Reads a file of TOML.
    ///
    /// # Errors
    /// It cannot be read, or something in it means nothing.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let config: Self = toml::from_str(&text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start).min(text.len());
            let line = text.get(..at).unwrap_or_default().matches('\n').count();
            let key =
                text.lines().nth(line).and_then(|line| line.split_once('=')).map(|(key, _)| key.trim().to_owned());
            let what = error.message().lines().collect::<Vec<_>>().join(" ");
            ConfigError::Wrong { path: path.to_owned(), line: line + 1, key, what }
        })?;
        for (key, value) in
            [("series-limit", config.series_limit), ("drop-rows", config.drop_rows), ("hop-rows", config.hop_rows)]
        {
            if value == Some(0) {
                let is_key = |line: &str| line.split_once('=').is_some_and(|(name, _)| name.trim() == key);
                let line = text.lines().position(is_key).map_or(0, |line| line + 1);
                let what = "at least 1".to_owned();
                return Err(ConfigError::Wrong { path: path.to_owned(), line, key: Some(key.to_owned()), what });
            }
        }
        Ok(config)
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
        Config::read(file.path()).map_err(said)
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
