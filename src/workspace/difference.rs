//! Two versions of the workspace side by side, as a unified diff.

use similar::{ChangeTag, TextDiff};

use crate::map::Files;

/// Lines around a change that show where it is.
const CONTEXT: usize = 2;

/// One file that differs.
pub struct Changed {
    /// Its name.
    pub file: String,
    /// Lines that are only in the new text.
    pub added: usize,
    /// Lines that are only in the old one.
    pub removed: usize,
    /// The difference, as `diff -u` writes it.
    pub text: String,
    /// Whether all of the file differs.
    whole: Option<Whole>,
}

#[derive(Clone, Copy)]
enum Whole {
    New,
    Gone,
}

/// The files that differ, by name.
pub fn differences(old: &Files, new: &Files) -> Vec<Changed> {
    let mut names: Vec<&String> = old.0.keys().chain(new.0.keys()).collect();
    names.sort();
    names.dedup();
    names.into_iter().filter_map(|name| changed(name, old.0.get(name), new.0.get(name))).collect()
}

fn changed(name: &str, old: Option<&String>, new: Option<&String>) -> Option<Changed> {
    if old == new {
        return None;
    }
    let label = |text: Option<&String>, side: &str| match text {
        Some(_) => format!("{side}/{name}"),
        None => "/dev/null".to_owned(),
    };
    let headers = (label(old, "a"), label(new, "b"));
    let diff = TextDiff::from_lines(old.map_or("", String::as_str), new.map_or("", String::as_str));
    let count = |tag| diff.iter_all_changes().filter(|change| change.tag() == tag).count();
    let text = diff.unified_diff().context_radius(CONTEXT).header(&headers.0, &headers.1).to_string();
    let text = text.trim_end().to_owned();
    Some(Changed {
        file: name.to_owned(),
        whole: match (old, new) {
            (None, _) => Some(Whole::New),
            (_, None) => Some(Whole::Gone),
            (Some(_), Some(_)) => None,
        },
        added: count(ChangeTag::Insert),
        removed: count(ChangeTag::Delete),
        text,
    })
}

/// The difference in short: of a file that is new or gone, that it is.
pub fn told_in_short(changed: &[Changed]) -> String {
    let one = |changed: &Changed| match changed.whole {
        Some(Whole::New) => format!("new:  {} ({} lines)", changed.file, changed.added),
        Some(Whole::Gone) => format!("gone: {} ({} lines)", changed.file, changed.removed),
        None => changed.text.clone(),
    };
    changed.iter().map(one).collect::<Vec<_>>().join("\n")
}

/// The difference as people read it; empty when there is none.
pub fn told(changed: &[Changed]) -> String {
    let texts: Vec<&str> = changed.iter().map(|changed| changed.text.as_str()).collect();
    texts.join("\n")
}

/// The difference for programs.
pub fn json(changed: &[Changed]) -> serde_json::Value {
    let one = |changed: &Changed| {
        serde_json::json!({ "file": changed.file, "added": changed.added, "removed": changed.removed,
            "diff": changed.text })
    };
    changed.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(texts: &[(&str, &str)]) -> Files {
        Files(texts.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect())
    }

    #[test]
    fn what_changed_is_shown_and_nothing_else() {
        let check = |old: &[(&str, &str)], new: &[(&str, &str)], expect: &str| {
            assert_eq!(told(&differences(&files(old), &files(new))), expect);
        };
        check(&[("a.yaml", "x\n")], &[("a.yaml", "x\n")], "");
        check(
            &[("a.yaml", "1\n2\n3\n4\n5\n6\n"), ("b.yaml", "same\n")],
            &[("a.yaml", "1\n2\n3\nfour\n5\n6\n"), ("b.yaml", "same\n")],
            "--- a/a.yaml\n+++ b/a.yaml\n@@ -2,5 +2,5 @@\n 2\n 3\n-4\n+four\n 5\n 6",
        );
        check(&[], &[("new.yaml", "x\n")], "--- /dev/null\n+++ b/new.yaml\n@@ -0,0 +1 @@\n+x");
        check(&[("old.yaml", "x\n")], &[], "--- a/old.yaml\n+++ /dev/null\n@@ -1 +0,0 @@\n-x");
        let in_short =
            told_in_short(&differences(&files(&[("a.yaml", "x\n")]), &files(&[("b.yaml", "1\n2\n")])));
        assert_eq!(in_short, "gone: a.yaml (1 lines)\nnew:  b.yaml (2 lines)");
        // An empty file is not the same as none.
        assert_eq!(differences(&files(&[]), &files(&[("a.yaml", "")])).len(), 1);
    }
}
