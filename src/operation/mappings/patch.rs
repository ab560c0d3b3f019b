//! An edit as a patch, for a workspace that is not changed from here.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use similar::TextDiff;

use super::Edit;
use crate::access::Role;
use crate::crm::kinds;
use crate::map::{Files, hidden};
use crate::operation::{Means, Operation, OperationError};

/// Makes a patch of an edit. Changes nothing.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MakePatch {
    /// The edit.
    pub edit: Edit,
}

/// A patch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Patch {
    /// What `git apply` takes, in the folder of the workspace; empty when nothing differs.
    pub text: String,
}

impl Operation for MakePatch {
    const PATH: &'static str = "/api/mappings/patch";
    const ROLE: Role = Role::Operator;
    type Answer = Patch;

    /// It changes nothing.
    fn record(&self) -> Option<Value> {
        None
    }

    async fn run(self, means: &Means) -> Result<Patch, OperationError> {
        let edited = self.edit.texts(means).await?;
        // Errors are not in the way: whoever takes a patch may want to go on in an editor.
        if let Some(problem) = edited.problems.first() {
            return Err(OperationError::Refused(problem.to_string()));
        }
        patch(&edited.base, &edited.files).map(|text| Patch { text })
    }
}

/// Lines around a change, from as many as `git` likes down to none: those that hold a secret must not be in it.
const AROUND: [usize; 4] = [3, 2, 1, 0];

fn patch(base: &Files, files: &Files) -> Result<String, OperationError> {
    let kinds = kinds();
    let (base_shown, files_shown) = (hidden(base, &kinds), hidden(files, &kinds));
    let mut names: Vec<&String> = base.0.keys().chain(files.0.keys()).collect();
    names.sort();
    names.dedup();
    let mut text = String::new();
    let mut none_around = false;
    for name in names.into_iter().filter(|name| base.0.get(*name) != files.0.get(*name)) {
        // What is typed in this edit is known to whoever typed it; what stood there before is not.
        let made = AROUND.iter().find_map(|around| {
            let real = unified(name, base.0.get(name), files.0.get(name), *around);
            let shown = unified(name, base_shown.0.get(name), files_shown.0.get(name), *around);
            (real == shown || !base.0.contains_key(name)).then_some((real, *around == 0))
        });
        let Some((real, alone)) = made else {
            return Err(OperationError::Refused(format!(
                "{name} has a secret on a line that this edit changes, and secrets are not shown here: make this change in \
                 the folder of the workspace"
            )));
        };
        none_around |= alone && base.0.contains_key(name);
        text.push_str(&real);
    }
    if text.is_empty() {
        return Ok(text);
    }
    let how = if none_around { "git apply --unidiff-zero" } else { "git apply" };
    Ok(format!("In the folder of the workspace: {how} <this file>\n\n{text}"))
}

fn unified(name: &str, old: Option<&String>, new: Option<&String>, around: usize) -> String {
    let side = |text: Option<&String>, side: &str| {
        if text.is_some() { format!("{side}/{name}") } else { "/dev/null".to_owned() }
    };
    let mode = match (old, new) {
        (None, _) => "new file mode 100644\n",
        (_, None) => "deleted file mode 100644\n",
        (Some(_), Some(_)) => "",
    };
    let text = |text: Option<&String>| text.map_or(String::new(), Clone::clone);
    let (before, after) = (text(old), text(new));
    let diff = TextDiff::from_lines(&before, &after);
    let lines =
        diff.unified_diff().context_radius(around).header(&side(old, "a"), &side(new, "b")).to_string();
    format!("diff --git a/{name} b/{name}\n{mode}{lines}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(texts: &[(&str, &str)]) -> Files {
        Files(texts.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect())
    }

    const TEXT: &str =
        "source: { preset: json, token: hush }\nleads:\n  - name: all\n    to: [crm]\n    note: a\n";

    #[test]
    fn a_patch_shows_no_secret_that_was_there() {
        let base = files(&[("a.yaml", TEXT)]);
        let check = |from: &str, to: &str, expect: Result<&str, &str>| {
            let made = patch(&base, &files(&[("a.yaml", &TEXT.replace(from, to))]));
            match (made, expect) {
                (Ok(text), Ok(part)) => assert!(text.contains(part) && !text.contains("hush"), "{text}"),
                (Err(OperationError::Refused(text)), Err(part)) => assert!(text.contains(part), "{text}"),
                (made, expect) => panic!("{made:?} {expect:?}"),
            }
        };
        check(
            "note: a",
            "note: b",
            Ok("git apply <this file>\n\ndiff --git a/a.yaml b/a.yaml\n--- a/a.yaml\n+++ b/a.yaml\n@@ -2,4"),
        );
        check("leads:\n", "leads: # all\n", Ok("--unidiff-zero"));
        check("preset: json", "preset: form", Err("has a secret on a line that this edit changes"));
        check("hush", "other", Err("has a secret"));
        assert_eq!(patch(&base, &base).unwrap(), "");
        let new = patch(&files(&[]), &base).unwrap();
        assert!(
            new.contains("new file mode") && new.contains("+source: { preset: json, token: hush }"),
            "{new}"
        );
        assert!(patch(&base, &files(&[])).is_err(), "all of its lines would be shown");
    }
}
