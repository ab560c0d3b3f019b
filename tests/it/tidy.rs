//! The shape of the code: imports point one way, pure modules do no IO, and no file grows past what a head can hold.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Modules from the bottom up. A module may import itself and whatever stands before it.
const ORDER: &[&str] = &[
    // words
    "id",
    "lead",
    "rules",
    "plan",
    "token",
    "access",
    // pure
    "event",
    "normalise",
    "links",
    "map",
    "pipeline",
    "resolve",
    "decide",
    // IO
    "clock",
    "failpoint",
    "telemetry",
    "store",
    "crm",
    "workspace",
    "compare",
    // edges
    "receive",
    "prepare",
    "sync",
    "alerts",
    "gauges",
    "retention",
    "trial",
    "rehearse",
    "operation",
    "web",
    "console",
    "sandbox",
    "demo",
    "torture",
    // wiring
    "app",
    "cli",
];

/// Up to here a module is pure.
const LAST_PURE: &str = "decide";

/// Modules that stand side by side: neither knows the other.
const STRANGERS: &[(&str, &str)] =
    &[("store", "crm"), ("receive", "prepare"), ("receive", "sync"), ("sync", "web")];

/// Lines of a file without its tests.
const LONGEST: usize = 500;

fn sources() -> Vec<(String, PathBuf, String)> {
    fn walk(folder: &Path, into: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, into);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                into.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    walk(&root, &mut paths);
    paths.sort();
    paths
        .into_iter()
        .filter_map(|path| {
            let inside = path.strip_prefix(&root).unwrap();
            let first = inside.components().next().unwrap().as_os_str().to_str().unwrap();
            let module = first.trim_end_matches(".rs").to_owned();
            let text = fs::read_to_string(&path).unwrap();
            (!matches!(module.as_str(), "lib" | "main")).then_some((module, path, text))
        })
        .collect()
}

/// The text without comments and without unit tests, which may use anything.
fn production(path: &Path, text: &str) -> String {
    let name = path.file_name().unwrap().to_str().unwrap();
    let parent = path.parent().unwrap().file_name().unwrap().to_str().unwrap();
    if matches!(name, "tests.rs" | "laws.rs") || parent == "tests" {
        return String::new();
    }
    let text = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn imports(text: &str) -> Vec<String> {
    text.match_indices("crate::")
        .map(|(at, found)| {
            let rest = &text[at + found.len()..];
            rest.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
        })
        .filter(|module: &String| !module.is_empty())
        .collect()
}

#[test]
fn imports_point_one_way() {
    let rank: BTreeMap<&str, usize> = ORDER.iter().enumerate().map(|(rank, name)| (*name, rank)).collect();
    let mut wrong = Vec::new();
    for (module, path, text) in sources() {
        let own =
            *rank.get(module.as_str()).unwrap_or_else(|| panic!("say in ORDER where module {module} stands"));
        for import in imports(&production(&path, &text)) {
            // A name that is no module is an item of the crate root, of which there are none: a macro's own path.
            let Some(other) = rank.get(import.as_str()) else { continue };
            let strangers = STRANGERS.iter().any(|pair| {
                *pair == (module.as_str(), import.as_str()) || *pair == (import.as_str(), module.as_str())
            });
            if *other > own || strangers {
                wrong.push(format!("{}: {module} must not import {import}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The table in `lib.rs` is where a newcomer looks first.
#[test]
fn the_map_is_the_order() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let table = text.split("# Where things are").nth(1).unwrap().split("//! # ").next().unwrap();
    let places = table.lines().filter_map(|line| line.strip_prefix("//! |")?.split('|').nth(1));
    let named = places.flat_map(|place| place.split("[`").skip(1)).filter_map(|name| name.split('`').next());
    assert_eq!(named.collect::<Vec<_>>(), ORDER);
    let modules: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    let mut sorted = ORDER.to_vec();
    sorted.sort_unstable();
    assert_eq!(modules, sorted);
}

#[test]
fn pure_modules_do_no_io() {
    let pure = ORDER.iter().position(|name| *name == LAST_PURE).unwrap();
    let forbidden = [
        "tokio::",
        "sqlx::",
        "reqwest::",
        "axum::",
        "std::fs",
        "std::net",
        "std::env",
        "SystemTime",
        "Timestamp::now",
    ];
    let mut wrong = Vec::new();
    for (module, path, text) in sources() {
        if ORDER.iter().position(|name| *name == module).is_some_and(|rank| rank > pure) {
            continue;
        }
        let text = production(&path, &text);
        for word in forbidden {
            if text.contains(word) {
                wrong.push(format!("{}: {word}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "pure modules name IO:\n{}", wrong.join("\n"));
}

#[test]
fn no_file_outgrows_a_head() {
    let long: Vec<String> = sources()
        .into_iter()
        .map(|(_, path, text)| (production(&path, &text).lines().count(), path))
        .filter(|(lines, _)| *lines > LONGEST)
        .map(|(lines, path)| format!("{}: {lines} lines", path.display()))
        .collect();
    assert!(long.is_empty(), "split these:\n{}", long.join("\n"));
}
