//! OCI bundles, and the reading of files that engines write.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Owner, Runtime};

/// A container's description may be long; none is that long.
const LONGEST: u64 = 16 << 20;

/// The part of a bundle's `config.json` that has names.
#[derive(Default, Deserialize)]
struct Config {
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

/// What the annotations of the bundle in a folder say of a container. `None` if there is no bundle.
pub(super) fn described(folder: &Path, nameless: Owner) -> Option<Owner> {
    let config: Config = read_json(&folder.join("config.json"))?;
    let annotations = config.annotations.unwrap_or_default();
    let annotation = |key: &str| annotations.get(key).map(String::as_str);
    let mut owner = nameless.labelled(annotation);
    if annotation("io.container.manager") == Some("cri-o") {
        Runtime::CriO.label().clone_into(&mut owner.runtime);
    }
    Some(owner)
}

/// The folders in a folder, sorted.
pub(super) fn folders(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut folders: Vec<_> = entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

/// What is in a file. A pipe in its place keeps nobody waiting.
pub(super) fn text(path: &Path) -> Option<String> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).ok()?;
    file.metadata().ok().filter(fs::Metadata::is_file)?;
    let mut text = String::new();
    file.take(LONGEST).read_to_string(&mut text).ok()?;
    Some(text)
}

/// What is in a file, if it is such a thing.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_str(&text(path)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("config.json");
        assert_eq!(described(folder.path(), Owner::default()), None);
        nix::unistd::mkfifo(&config, nix::sys::stat::Mode::S_IRUSR).unwrap();
        assert_eq!(described(folder.path(), Owner::default()), None);
        fs::remove_file(&config).unwrap();
        for (text, expected) in [
            ("{", None),
            ("{}", Some("")),
            (r#"{"annotations":null}"#, Some("")),
            (r#"{"annotations":{"nerdctl/name":"web"}}"#, Some("web")),
        ] {
            fs::write(&config, text).unwrap();
            assert_eq!(described(folder.path(), Owner::default()).map(|owner| owner.container).as_deref(), expected);
        }
    }
}
