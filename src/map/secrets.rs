//! What an editor that must not know secrets sees of a workspace, and what it must not change.
//!
//! A secret is best written as `${NAME}`; whoever writes it out instead finds [`HIDDEN`] in its place, which stands for the
//! secret at that place and for nothing else: in another place it is a mistake. Where secrets are sent is said by the
//! settings of destinations and by `alerts`. An edit that changes those could send a secret to another host, so it is left
//! to whoever has the folder, and so to the environment that the secrets are in.

use std::collections::BTreeMap;

use super::Files;
use super::problem::{Problem, Severity, Span};
use super::workspace::{BOT_KEYS, DESTINATION_KEYS, DestinationKind, FILE};
use super::yaml::{self, Kind, Node};

/// What is shown in place of a secret.
pub const HIDDEN: &str = "••••••";

/// Settings of a destination that say nothing of where secrets go.
const HARMLESS: &[&str] = &["mode", "share", "timeout", "settle", "audit", "blind", "chats"];

/// A way through a tree: keys, and positions in lists.
type Way = Vec<String>;

/// The texts with every secret that is written out hidden; all else, and every line, is as it was.
pub fn hidden(files: &Files, kinds: &[DestinationKind]) -> Files {
    let one = |(file, text): (&String, &String)| (file.clone(), hidden_in(file, text, kinds));
    Files(files.0.iter().map(one).collect())
}

fn hidden_in(file: &str, text: &str, kinds: &[DestinationKind]) -> String {
    let root = yaml::parse(text).root;
    let secrets = secrets(file, &root, kinds).into_values().filter(|node| is_written_out(node));
    replaced(text, secrets.map(|node| (node.span, format!("\"{HIDDEN}\""))).collect())
}

/// The edited texts with the secrets of `base` where they are hidden, and what is hidden where `base` has no secret.
pub fn revealed(base: &Files, edited: &Files, kinds: &[DestinationKind]) -> (Files, Vec<Problem>) {
    let mut problems = Vec::new();
    let mut files = Files::default();
    for (file, text) in &edited.0 {
        let mut nodes = Vec::new();
        let root = yaml::parse(text).root;
        scalars(&root, &mut Way::new(), &mut nodes);
        nodes.retain(|(_, node)| node.scalar() == Some(HIDDEN));
        let before = base.0.get(file).map(String::as_str).unwrap_or_default();
        let tree = yaml::parse(before).root;
        let secrets = if nodes.is_empty() { BTreeMap::new() } else { secrets(file, &tree, kinds) };
        let (mut places, mut not_hidden) = (Vec::new(), Vec::new());
        for (way, node) in nodes {
            let secret = secrets.get(&way);
            match secret.and_then(|node| Some((node, before.get(node.span.start..node.span.end)?))) {
                Some((secret, text)) => {
                    if !is_written_out(secret) {
                        not_hidden.push((node.span, text.to_owned()));
                    }
                    places.push((node.span, text.to_owned()));
                }
                None => problems.push(Problem::new(
                    Severity::Error,
                    file,
                    node.span,
                    format!("no secret stood here, so `{HIDDEN}` stands for none"),
                    Some(
                        "write `${NAME}` with the name of an environment variable, or the value itself"
                            .to_owned(),
                    ),
                )),
            }
        }
        // Twice in a file, or in a text that falls apart with the secret in it, what comes back would not be hidden again.
        let first = places.first().map(|(span, _)| *span);
        let revealed = replaced(text, places);
        if let Some(span) = first.filter(|_| {
            hidden_in(file, &revealed, kinds) != hidden_in(file, &replaced(text, not_hidden), kinds)
        }) {
            problems.push(Problem::new(
                Severity::Error,
                file,
                span,
                format!("`{HIDDEN}` stands here in a way that would show the secret"),
                Some("leave the line as it was, once in the file, or write `${NAME}` instead".to_owned()),
            ));
        }
        files.0.insert(file.clone(), revealed);
    }
    (files, problems)
}

/// The token of a source, where its file holds it: not one that comes from the environment.
pub fn token_in(text: &str) -> Option<String> {
    let root = yaml::parse(text).root;
    let token = root.get("source")?.get("token")?;
    token.scalar().filter(|_| is_written_out(token)).map(str::to_owned)
}

/// What an edit changes of where secrets are sent.
pub fn diverted(base: &Files, edited: &Files) -> Vec<Problem> {
    let (before, after) = (base.0.get(FILE), edited.0.get(FILE));
    if before == after {
        return Vec::new();
    }
    let root = |text: Option<&String>| yaml::parse(text.map(String::as_str).unwrap_or_default()).root;
    let (before, after) = (root(before), root(after));
    let mut problems = Vec::new();
    let mut refuse = |span: Span, what: String| {
        let help = "edit workspace.yaml in its folder, or `leadfold apply` it from there: where secrets are sent is not \
                    changed from a browser";
        problems.push(Problem::new(Severity::Error, FILE, span, what, Some(help.to_owned())));
    };
    let beginning = Span { line: 1, column: 1, ..Span::default() };
    let (old, new) = (before.get("destinations"), after.get("destinations"));
    let place = new.map_or(beginning, |node| node.span);
    let entries = |node: Option<&Node>| node.map(Node::entries).unwrap_or_default().to_vec();
    let (old_entries, new_entries) = (entries(old), entries(new));
    for (key, node) in &new_entries {
        let name = key.scalar().unwrap_or_default();
        let known: Vec<&Node> = of_name(&old_entries, name);
        match known.as_slice() {
            [] => refuse(key.span, format!("destination `{name}` would be new")),
            known if known.len() != 1 || of_name(&new_entries, name).len() != 1 => {
                refuse(key.span, format!("destination `{name}` stands twice"));
            }
            known => {
                let known = known.first().map(|known| known.entries()).unwrap_or_default();
                for (span, setting) in changed(known, node) {
                    refuse(span, format!("`{setting}` of destination `{name}` would be another"));
                }
            }
        }
    }
    for (key, _) in &old_entries {
        let name = key.scalar().unwrap_or_default();
        if of_name(&new_entries, name).is_empty() {
            refuse(place, format!("destination `{name}` would be gone"));
        }
    }
    let (old, new) = (before.get("alerts"), after.get("alerts"));
    let count = |root: &Node, key: &str| of_name(root.entries(), key).len();
    if !same(old, new) {
        refuse(new.map_or(beginning, |node| node.span), "`alerts` would be another".to_owned());
    }
    if ["destinations", "alerts"].iter().any(|key| count(&after, key) > 1) {
        refuse(beginning, "`destinations` or `alerts` stands twice".to_owned());
    }
    problems
}

fn of_name<'n>(entries: &'n [(Node, Node)], name: &str) -> Vec<&'n Node> {
    entries.iter().filter(|(key, _)| key.scalar() == Some(name)).map(|(_, node)| node).collect()
}

/// The settings of a destination that differ, harmless ones left out.
fn changed(known: &[(Node, Node)], node: &Node) -> Vec<(Span, String)> {
    let matters = |key: &Node| key.scalar().is_none_or(|name| !HARMLESS.contains(&name));
    let mut found = Vec::new();
    for (key, value) in node.entries().iter().filter(|(key, _)| matters(key)) {
        let name = key.scalar().unwrap_or_default();
        let (old, new) = (of_name(known, name), of_name(node.entries(), name));
        if new.len() != 1 || old.len() != 1 || !same(old.first().copied(), Some(value)) {
            found.push((key.span, name.to_owned()));
        }
    }
    for (key, _) in known.iter().filter(|(key, _)| matters(key)) {
        let name = key.scalar().unwrap_or_default();
        if of_name(node.entries(), name).is_empty() {
            found.push((node.span, name.to_owned()));
        }
    }
    found
}

/// Whether two nodes say the same, wherever they stand.
fn same(one: Option<&Node>, other: Option<&Node>) -> bool {
    match (one.map(|node| &node.kind), other.map(|node| &node.kind)) {
        (None, None) => true,
        (Some(Kind::Scalar { text: one, plain }), Some(Kind::Scalar { text: other, plain: is_plain })) => {
            one == other && plain == is_plain
        }
        (Some(Kind::List(one)), Some(Kind::List(other))) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(Some(one), Some(other)))
        }
        (Some(Kind::Map { entries: one, .. }), Some(Kind::Map { entries: other, .. })) => {
            let pairs = one.iter().zip(other);
            one.len() == other.len()
                && pairs.into_iter().all(|(one, other)| {
                    same(Some(&one.0), Some(&other.0)) && same(Some(&one.1), Some(&other.1))
                })
        }
        _ => false,
    }
}

/// The values of a file that are secrets, by their way from the root.
fn secrets<'n>(file: &str, root: &'n Node, kinds: &[DestinationKind]) -> BTreeMap<Way, &'n Node> {
    let mut found = Vec::new();
    if file != FILE {
        for key in ["token", "secret"] {
            if let Some(node) = root.get("source").and_then(|source| source.get(key)) {
                scalars(node, &mut vec!["source".to_owned(), key.to_owned()], &mut found);
            }
        }
        return found.into_iter().collect();
    }
    if let Some(node) = root.get("alerts") {
        scalars(node, &mut vec!["alerts".to_owned()], &mut found);
    }
    for (key, destination) in root.get("destinations").map(Node::entries).unwrap_or_default() {
        let word = ["crm", "bot"].iter().find_map(|key| destination.get(key)?.scalar());
        let kind = kinds.iter().find(|kind| Some(kind.name) == word);
        for (setting, node) in destination.entries() {
            let name = setting.scalar().unwrap_or_default();
            let common = DESTINATION_KEYS.contains(&name) || BOT_KEYS.contains(&name);
            // Of a kind that is not known here, anything may be a secret.
            let known = kind.and_then(|kind| kind.settings.iter().find(|setting| setting.name == name));
            if !common && known.is_none_or(|setting| setting.secret) {
                let way = ["destinations", key.scalar().unwrap_or_default(), name];
                scalars(node, &mut way.map(str::to_owned).to_vec(), &mut found);
            }
        }
    }
    found.into_iter().collect()
}

/// Every scalar below a node, by its way.
fn scalars<'n>(node: &'n Node, way: &mut Way, found: &mut Vec<(Way, &'n Node)>) {
    match &node.kind {
        Kind::Scalar { .. } => found.push((way.clone(), node)),
        Kind::List(items) => {
            for (position, item) in items.iter().enumerate() {
                way.push(position.to_string());
                scalars(item, way, found);
                way.pop();
            }
        }
        Kind::Map { entries, .. } => {
            for (key, value) in entries {
                way.push(key.scalar().unwrap_or_default().to_owned());
                scalars(value, way, found);
                way.pop();
            }
        }
    }
}

/// Whether a secret stands in the text itself. What has `${…}` in it does not, and neither does an address without path and
/// credentials, which is a secret for some CRMs only because of what may stand behind it.
fn is_written_out(node: &Node) -> bool {
    let Some(text) = node.scalar().filter(|text| !text.is_empty() && !node.is_null()) else { return false };
    let host = ["https://", "http://"].iter().find_map(|scheme| text.strip_prefix(scheme));
    let is_host = host.is_some_and(|host| {
        let host = host.strip_suffix('/').unwrap_or(host);
        host.chars()
            .all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | ':' | '[' | ']'))
    });
    !text.contains("${") && !is_host
}

/// A text with other words at these places.
fn replaced(text: &str, mut places: Vec<(Span, String)>) -> String {
    places.sort_by_key(|(span, _)| span.start);
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for (span, words) in places {
        let (Some(before), true) = (text.get(at..span.start), span.end >= span.start) else { continue };
        out.push_str(before);
        out.push_str(&words);
        at = span.end;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Setting;

    const SETTINGS: &[Setting] = &[
        Setting { name: "url", required: true, secret: true, summary: "" },
        Setting { name: "auth", required: true, secret: true, summary: "" },
        Setting { name: "database", required: true, secret: false, summary: "" },
    ];
    const KINDS: &[DestinationKind] =
        &[DestinationKind { name: "shop", settings: SETTINGS, bot: None, nested: None }];

    fn files(workspace: &str, source: &str) -> Files {
        Files(
            [("workspace.yaml", workspace), ("bot.yaml", source)]
                .map(|(a, b)| (a.to_owned(), b.to_owned()))
                .into(),
        )
    }

    const WORKSPACE: &str = "\
destinations:
  crm:   # the shop
    crm: shop
    url: https://crm.example
    auth: { bearer: 'abc\"def', keys: [k1, \"${KEY}\"] }
    database: main
    mode: observe
alerts:
  webhook: https://hooks.example/T1/secret
vars: { token: not-a-secret }
";
    const SOURCE: &str =
        "source: { preset: json, token: demo, secret: \"${S}\" } # demo\nvars: { token: x }\n";

    #[test]
    fn secrets_that_are_written_out_are_hidden_and_come_back() {
        let base = files(WORKSPACE, SOURCE);
        let shown = hidden(&base, KINDS);
        let all = format!("{:?}", shown.0);
        for secret in ["abc", "k1", "T1", "token: demo"] {
            assert!(!all.contains(secret), "{secret}: {all}");
        }
        for kept in
            ["${KEY}", "${S}", "https://crm.example", "not-a-secret", "# the shop", "token: x", "# demo"]
        {
            assert!(all.contains(kept), "{kept}: {all}");
        }
        for (file, text) in &shown.0 {
            assert_eq!(text.lines().count(), base.0[file].lines().count(), "{file}");
        }
        let (back, problems) = revealed(&base, &shown, KINDS);
        assert_eq!((back, problems), (base.clone(), vec![]));
        // Twice hidden is once hidden.
        assert_eq!(hidden(&shown, KINDS), shown);
    }

    #[test]
    fn a_hidden_secret_stays_at_its_place() {
        let base = files(WORKSPACE, SOURCE);
        let check = |source: &str, expect: Option<&str>| {
            let (back, problems) = revealed(&base, &files(WORKSPACE, source), KINDS);
            assert_eq!(problems.is_empty(), expect.is_some(), "{source}: {problems:?}");
            if let Some(expect) = expect {
                assert_eq!(back.0["bot.yaml"], expect);
            } else {
                assert!(!back.0["bot.yaml"].contains("demo"), "{back:?}");
                assert!(problems[0].help.as_ref().unwrap().contains("${NAME}"));
            }
        };
        check("source: { token: \"••••••\" }\nleads: []\n", Some("source: { token: demo }\nleads: []\n"));
        check("source:\n  token: ••••••\n", Some("source:\n  token: demo\n"));
        check("source: { token: other }\n", Some("source: { token: other }\n"));
        check("leads: [{ note: \"••••••\" }]\n", None);
        check("vars: { token: ••••••, x: 1 }\n", None);
        let (_, problems) =
            revealed(&base, &Files([("new.yaml".to_owned(), SOURCE.replace("demo", HIDDEN))].into()), KINDS);
        assert_eq!(problems.len(), 1, "another file has other secrets");
    }

    #[test]
    fn no_secret_comes_back_where_it_would_be_seen() {
        let check = |before: &str, edited: &str, expect: bool| {
            let (back, problems) = revealed(&files(WORKSPACE, before), &files(WORKSPACE, edited), KINDS);
            assert_eq!(problems.is_empty(), expect, "{edited}: {problems:?}");
            let seen = hidden(&back, KINDS).0["bot.yaml"].contains("hush");
            assert!(!(expect && seen), "{back:?}");
        };
        let plain = "source:\n  token: hush\n  preset: json\nleads: []\n";
        check(plain, "source:\n  token: ••••••\n  preset: form\n", true);
        check(plain, "source:\n  token: ••••••\n  token: ••••••\n", false);
        check(plain, "source: { token: \"••••••\" }\nleads: []\nsource: { token: \"••••••\" }\n", false);
        // A plain scalar that ends early inside of braces, and one that is a comment at another place.
        check("source:\n  token: a }hush\n", "source: { token: \"••••••\" }\n", false);
        check("source:\n  token: a, hush\n", "source: { token: \"••••••\" }\n", false);
        check("source:\n  token: |\n    hush\n", "source: { token: \"••••••\" }\n", false);
        // What is not written out is shown as it is, so it may come back anywhere that it stood.
        check("source: { token: \"${HOOK}\" }\n", "source:\n  token: ••••••\n", true);
    }

    #[test]
    fn where_secrets_go_is_not_changed() {
        let base = files(WORKSPACE, SOURCE);
        let check = |from: &str, to: &str, expect: &[&str]| {
            assert!(WORKSPACE.contains(from), "{from}");
            let problems = diverted(&base, &files(&WORKSPACE.replacen(from, to, 1), SOURCE));
            let told: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
            assert_eq!(told, expect, "{from} → {to}");
        };
        check("mode: observe", "mode: live\n    share: 50%\n    timeout: 5s", &[]);
        check("vars:", "owner_pools: { a: [b] }\nvars:", &[]);
        check(
            "https://crm.example",
            "\"https://evil.example\"",
            &["`url` of destination `crm` would be another"],
        );
        check(
            "https://crm.example",
            "\"https://crm.example\"",
            &["`url` of destination `crm` would be another"],
        );
        check("    database: main\n", "", &["`database` of destination `crm` would be another"]);
        check("keys: [k1,", "keys: [k1, k1,", &["`auth` of destination `crm` would be another"]);
        check(
            "alerts:",
            "  evil: { crm: shop, url: \"https://evil/${KEY}\" }\nalerts:",
            &["destination `evil` would be new"],
        );
        check(
            "  crm:   #",
            "  crn:   #",
            &["destination `crn` would be new", "destination `crm` would be gone"],
        );
        check("hooks.example", "evil.example", &["`alerts` would be another"]);
        check(
            "    database: main\n",
            "    database: main\n    url: https://evil.example\n",
            &["`url` of destination `crm` would be another", "`url` of destination `crm` would be another"],
        );
        check(
            "alerts:",
            "  crm: { crm: shop }\nalerts:",
            &["destination `crm` stands twice", "destination `crm` stands twice"],
        );
        check("vars:", "destinations: {}\nvars:", &["`destinations` or `alerts` stands twice"]);
        assert_eq!(diverted(&base, &Files::default()).len(), 2, "all of it gone");
        assert_eq!(diverted(&base, &files(WORKSPACE, "anything")), []);
    }
}
