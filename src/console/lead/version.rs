//! The mapping that made a lead beside today's.

use axum::extract::{Path, State};
use maud::{Markup, html};
use similar::{ChangeTag, TextDiff};

use super::{found, title};
use crate::console::Console;
use crate::console::guard::Reader;
use crate::console::page::{Failure, Section, page};
use crate::map::Files;
use crate::workspace::short;

/// Lines around a change that show where it is.
const CONTEXT: usize = 3;

pub(super) async fn difference(
    State(console): State<Console>,
    reader: Reader,
    Path(id): Path<String>,
) -> Result<Markup, Failure> {
    let (id, lead) = found(&console, &reader, &id).await?;
    let store = &console.means.store;
    let then = store.version(&lead.version).await?;
    let now = store.active_version().await?;
    let file = format!("{}.yaml", lead.row.source);
    let changed = match (&then, &now) {
        (Some(then), Some((_, now))) => changed(then, now, &[&file, "workspace.yaml"]),
        _ => Vec::new(),
    };
    let content = html! {
        p { a href={ "/leads/" (id) } { "← " (title(&reader, &lead)) } }
        p {
            (reader.say("Made by version ", "Зроблено версією ")) code { (short(&lead.version)) }
            @if let Some((hash, _)) = &now { (reader.say("; today’s is ", "; сьогоднішня — ")) code { (short(hash)) } }
        }
        @if then.is_none() {
            p.message { (reader.say(
                "The text of that version is not kept any more.",
                "Тексту тієї версії вже немає.",
            )) }
        } @else if changed.is_empty() {
            p.message.good { (reader.say(
                "What this lead was made with has not changed: neither its mapping nor the workspace.",
                "Те, чим зроблено цей лід, не змінилося: ні мапінг, ні налаштування.",
            )) }
        }
        @for (name, lines) in &changed {
            h2 { (name) }
            pre.diff tabindex="0" { @for (tag, line) in lines { (shown(*tag, line)) } }
        }
    };
    let name = reader.say("What has changed since", "Що змінилося відтоді");
    Ok(page(&reader, Some(Section::Registry), name, &content))
}

fn shown(tag: Option<ChangeTag>, line: &str) -> Markup {
    match tag {
        None => html! { span.faint { "⋯\n" } },
        Some(ChangeTag::Equal) => html! { "  " (line) "\n" },
        Some(ChangeTag::Insert) => html! { ins { "+ " (line) } "\n" },
        Some(ChangeTag::Delete) => html! { del { "- " (line) } "\n" },
    }
}

/// A line of a difference; `None` where lines are left out.
type Line = (Option<ChangeTag>, String);

/// Those of these files that differ.
fn changed<'n>(then: &Files, now: &Files, names: &[&'n str]) -> Vec<(&'n str, Vec<Line>)> {
    let text =
        |files: &Files, name: &str| files.0.get(name).map_or_else(String::new, |text| without_secrets(text));
    let differ = |name: &&&str| then.0.get(**name) != now.0.get(**name);
    names
        .iter()
        .filter(differ)
        .map(|name| {
            let (then, now) = (text(then, name), text(now, name));
            let diff = TextDiff::from_lines(&then, &now);
            let mut lines = Vec::new();
            for (place, group) in diff.grouped_ops(CONTEXT).iter().enumerate() {
                if place > 0 {
                    lines.push((None, String::new()));
                }
                for change in group.iter().flat_map(|operation| diff.iter_changes(operation)) {
                    lines.push((Some(change.tag()), change.value().trim_end_matches('\n').to_owned()));
                }
            }
            (*name, lines)
        })
        .collect()
}

/// The text without what is written out where a secret belongs. `${NAME}` names one and shows nothing of it.
fn without_secrets(text: &str) -> String {
    const SECRET: &[&str] =
        &["token", "secret", "password", "api_key", "key", "client_secret", "refresh_token"];
    let mut hidden = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let mut rest = line;
        while let Some(colon) = rest.find(':') {
            let (before, after) = rest.split_at(colon);
            let name = before
                .rsplit(|letter: char| !letter.is_alphanumeric() && letter != '_')
                .next()
                .unwrap_or_default();
            hidden.push_str(before);
            hidden.push(':');
            rest = after.get(1..).unwrap_or_default();
            let is_secret = SECRET.iter().any(|word| name.to_lowercase().ends_with(word));
            if is_secret && (rest.starts_with(' ') || rest.starts_with('\t')) {
                let end = rest
                    .find(['}', '\n', ','])
                    .filter(|_| !rest.contains("${"))
                    .unwrap_or_else(|| rest.find('\n').unwrap_or(rest.len()));
                let (value, further) = rest.split_at(end);
                let is_named =
                    value.trim().trim_matches(['"', '\'']).starts_with("${") && !value.contains(":-");
                hidden.push_str(if is_named || value.trim().is_empty() {
                    value
                } else {
                    " ••••••"
                });
                rest = further;
            }
        }
        hidden.push_str(rest);
    }
    hidden
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_out_is_not_shown() {
        let check = |text: &str, expect: &str| assert_eq!(without_secrets(text), expect, "{text}");
        check("token: s3cret\nname: x\n", "token: ••••••\nname: x\n");
        check(
            "source: { preset: json, token: s3cret, paused: true }\n",
            "source: { preset: json, token: ••••••, paused: true }\n",
        );
        check("  api_key: \"${CRM_KEY}\"\n", "  api_key: \"${CRM_KEY}\"\n");
        check("  token: \"${CRM_KEY:-demo}\"\n", "  token: ••••••\n");
        check("client_secret: abc:def\n", "client_secret: ••••••\n");
        check("phone: \"{{ contact.phone }}\"\n", "phone: \"{{ contact.phone }}\"\n");
        check("token:\n", "token:\n");
    }

    #[test]
    fn only_what_differs_is_told() {
        let files = |text: &str| Files([("a.yaml".to_owned(), text.to_owned())].into());
        assert!(changed(&files("a\n"), &files("a\n"), &["a.yaml", "workspace.yaml"]).is_empty());
        let changed = changed(&files("a\nb\n"), &files("a\nc\n"), &["a.yaml"]);
        let lines: Vec<_> = changed[0].1.iter().map(|(tag, line)| (tag.unwrap(), line.as_str())).collect();
        assert_eq!(lines, [(ChangeTag::Equal, "a"), (ChangeTag::Delete, "b"), (ChangeTag::Insert, "c")]);
    }
}
