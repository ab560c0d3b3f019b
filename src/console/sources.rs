//! The sources of leadfold, for tests that hold words of the console against what the core says.

use std::path::{Path, PathBuf};

/// The files of these folders of `src`, and of all folders below them, each as it stands in `src`, with its text.
pub(super) fn sources(folders: &[&str]) -> Vec<(PathBuf, String)> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders: Vec<PathBuf> = folders.iter().map(|folder| source.join(folder)).collect();
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(&source).unwrap().to_owned(), text));
            }
        }
    }
    found
}
