//! One file of the workspace: a source, its branches and its tests.

use std::collections::BTreeMap;
use std::time::Duration;

use secrecy::SecretString;

use super::branch::{self, Branch, Known, When};
use super::calls::CallTemplate;
use super::example::{self, Example};
use super::postback::{self, PostbackRules};
use super::problem::{Problem, Severity, Span};
use super::reader::{Environment, Reader, Section};
use super::scope::Definitions;
use super::variables;
use super::workspace::Workspace;
use super::yaml::{self, Kind, Node, Tree};
use crate::event::{self, Event};
use crate::lead::Chat;

/// One inbound endpoint, and what becomes of its events.
#[derive(Debug)]
pub struct Source {
    /// Its name: the file's, without the ending.
    pub name: String,
    /// Name of the preset; empty when the file does not say one that exists.
    pub preset: String,
    /// The secret part of its address; `None` when no readable file says it.
    pub token: Option<SecretString>,
    /// What the platform proves itself with besides, where the preset can check that.
    pub secret: Option<SecretString>,
    /// Whether deliveries are kept without being prepared.
    pub paused: bool,
    /// How long a hash key counts, where it differs from the preset's.
    pub dedupe_window: Option<Duration>,
    /// The application of a source that adds tokens: it stands in the address that they are sent to.
    pub app: Option<String>,
    /// The bot whose chats the events speak of, as the scope of its chats: `telegram:shop`.
    pub(super) bot: Option<String>,
    /// Whose customer ids stand beside tokens.
    pub(super) customers: Option<String>,
    /// What becomes of an event, or why that cannot be said.
    pub mapping: Result<Mapping, Broken>,
}

/// What becomes of the events of one source.
#[derive(Debug)]
pub struct Mapping {
    /// Name of the source.
    pub(crate) source: String,
    /// Name of the preset, which scopes the chats that it finds.
    pub(crate) preset: String,
    /// The scope of its chats, where the source says it.
    pub(crate) chat_scope: Option<String>,
    /// Whether its events add their chats to people who are looked up.
    pub(crate) adds_tokens: bool,
    pub(super) variables: Definitions,
    /// How its events are read, where they are postbacks.
    postback: Option<PostbackRules>,
    branches: Vec<Branch>,
    tests: Vec<Example>,
}

impl Mapping {
    /// The branches, in order; the first that holds wins.
    pub fn branches(&self) -> &[Branch] {
        &self.branches
    }

    /// How its events are read, where they are postbacks.
    pub fn postback(&self) -> Option<&PostbackRules> {
        self.postback.as_ref()
    }

    /// The chat that the preset found in an event, and in what its id counts.
    pub(crate) fn found_chat(&self, event: &Event) -> Option<(String, Chat)> {
        let mut chat = event.chat.clone()?;
        if self.preset == event::TRIGGER {
            // Whose bot it is was found out with the chat, by its scope.
            let scope = std::mem::take(&mut chat.bot);
            scope.split_once(':').map_or(scope.as_str(), |(_, bot)| bot).clone_into(&mut chat.bot);
            return Some((scope, chat));
        }
        let Some(scope) = &self.chat_scope else {
            return Some((format!("{}:{}", self.preset, chat.bot), chat));
        };
        scope.split_once(':').map_or(scope.as_str(), |(_, bot)| bot).clone_into(&mut chat.bot);
        Some((scope.clone(), chat))
    }

    /// Bots that are called by one of its branches, each once.
    pub fn bots(&self) -> Vec<&str> {
        let mut bots: Vec<&str> = Vec::new();
        for call in self.branches.iter().flat_map(|branch| &branch.calls) {
            if !bots.contains(&call.to.as_str()) {
                bots.push(&call.to);
            }
        }
        bots
    }

    /// The tests that the file carries.
    pub fn tests(&self) -> &[Example] {
        &self.tests
    }
}

/// Where and why a file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("mapping broken, {file}:{line}")]
pub struct Broken {
    /// Name of the file.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub message: String,
}

impl Broken {
    /// The first error of a file.
    pub(super) fn first_of(problems: &[Problem]) -> Option<Self> {
        let first = problems.iter().find(|problem| problem.severity == Severity::Error)?;
        let Problem { file, line, message, .. } = first.clone();
        Some(Self { file, line, message })
    }
}

/// Keys of `source:`.
pub(super) const SOURCE_KEYS: &[&str] =
    &["preset", "token", "secret", "paused", "dedupe_window", "app", "bot", "customers"];

/// The namespace of the ids that whoever adds tokens calls external.
const EXTERNAL: &str = "esputnik_external";

pub(super) const KEYS: &[&str] = &["source", "postback", "vars", "defaults", "leads", "tests"];

/// A source that was read, its problems, and the environment variables whose default it took.
pub(super) type Read = (Source, Vec<Problem>, std::collections::BTreeSet<String>);

/// Reads one file. Always gives a source, so that what is sent to it can be verified and kept.
pub(super) fn read(
    file: &str,
    name: &str,
    text: &str,
    environment: Environment<'_>,
    presets: &[&str],
    workspace: &Workspace,
) -> Read {
    let reader = Reader::new(file, text, environment);
    let Tree { root, faults } = yaml::parse(text);
    let syntax_error = !faults.is_empty();
    for fault in faults {
        reader.error(fault.span, fault.message, fault.help);
    }
    let saved = (syntax_error && root.get("source").is_none()).then(|| source_block(text)).flatten();
    let head = saved.as_ref().and_then(|tree| tree.root.get("source")).or_else(|| root.get("source"));
    let mut source = head_of(&reader, head, name, presets, syntax_error);
    if !syntax_error && let Some(mapping) = mapping(&reader, &root, &source, workspace) {
        source.mapping = Ok(mapping);
    }
    let (problems, defaults) = reader.finish();
    if let Some(broken) = Broken::first_of(&problems).or_else(|| workspace.broken.clone()) {
        source.mapping = Err(broken);
    }
    (source, problems, defaults)
}

/// Reads `source:`.
fn head_of(
    reader: &Reader<'_>,
    node: Option<&Node>,
    name: &str,
    presets: &[&str],
    syntax_error: bool,
) -> Source {
    let not_read =
        Broken { file: reader.file.to_owned(), line: 1, message: "the file cannot be read".to_owned() };
    let mut source = Source {
        name: name.to_owned(),
        preset: String::new(),
        token: None,
        secret: None,
        paused: false,
        dedupe_window: None,
        app: None,
        bot: None,
        customers: None,
        mapping: Err(not_read),
    };
    let Some(node) = node else {
        if !syntax_error {
            let help = "begin the file with `source: { preset: json, token: \"${MY_TOKEN}\" }`".to_owned();
            reader.error(beginning(), "there is no `source:` in this file", Some(help));
        }
        return source;
    };
    let Some(section) = reader.section(node, "`source`", SOURCE_KEYS) else {
        return source;
    };
    let preset =
        section.get("preset").and_then(|node| reader.name_of(node, "preset", presets.iter().copied()));
    source.preset = preset.unwrap_or_default();
    // A trigger is called with the token of the API.
    for key in ["preset", "token"] {
        let needed = key == "preset" || source.preset != event::TRIGGER;
        if section.get(key).is_none() && needed && !syntax_error {
            reader.error(node.span, format!("`source` has no `{key}`"), None);
        }
    }
    if let Some(node) = section.get("token") {
        let token = reader.secret(node, "`token`");
        if token.as_deref() == Some("") {
            reader.error(node.span, "the token is empty, so anybody could send events", None);
        }
        source.token = token.filter(|token| !token.is_empty()).map(SecretString::from);
    }
    source.secret = section.get("secret").and_then(|node| secret(reader, node, &source.preset));
    source.paused = section.get("paused").and_then(|node| reader.boolean(node, "`paused`")).unwrap_or(false);
    source.dedupe_window =
        section.get("dedupe_window").and_then(|node| reader.duration(node, "`dedupe_window`"));
    if let Some(node) = section.get("dedupe_window").filter(|_| event::are_postbacks(&source.preset)) {
        let help = "take it away, and say under `postback` for how long the same again is a repeat: `postback: { repeats: 60s }`";
        let message =
            "`dedupe_window` does nothing for postbacks, which have a rule of their own for repeats";
        reader.error(node.span, message, Some(help.to_owned()));
    }
    chats_of(reader, node, &section, &mut source);
    source
}

/// Reads of which bot the chats are, and what a source that adds tokens needs beside.
fn chats_of(reader: &Reader<'_>, node: &Node, section: &Section<'_>, source: &mut Source) {
    let adds_tokens = source.preset == event::ESPUTNIK_TOKENS;
    for key in ["app", "customers"] {
        if let Some(node) = section.get(key).filter(|_| !adds_tokens && !source.preset.is_empty()) {
            let message = format!("`{key}` is only for `preset: {}`", event::ESPUTNIK_TOKENS);
            reader.error(node.span, message, None);
        }
    }
    if adds_tokens && section.get("app").is_none() {
        let help =
            "write the one that your service has in its address: POST /v1/apps/<app>/tokens".to_owned();
        reader.error(node.span, "`source` has no `app`, so nobody can send tokens to it", Some(help));
    }
    source.app = section.get("app").and_then(|node| {
        let app = reader.text(node, "`app`")?.to_ascii_lowercase();
        let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
        if app.is_empty() || app.len() > 64 || !app.chars().all(plain) {
            let help = "write letters, digits and `-`, at most 64: it stands in an address".to_owned();
            reader.error(node.span, format!("`{app}` is no id of an application"), Some(help));
            return None;
        }
        Some(app)
    });
    source.customers = section.get("customers").and_then(|node| reader.text(node, "`customers`"));
    source.bot = section.get("bot").and_then(|node| {
        let finds_it = event::preset(&source.preset).is_some_and(|preset| preset.chats);
        if finds_it && !adds_tokens {
            let help = "leave it out: the preset reads it from each event".to_owned();
            reader.error(
                node.span,
                "`bot` is for presets whose events do not say which bot it is",
                Some(help),
            );
            return None;
        }
        let bot = reader.text(node, "`bot`")?;
        if bot.split_once(':').is_none_or(|(channel, bot)| channel.is_empty() || bot.is_empty()) {
            let help =
                "write it as `leadfold people show` shows the bot of a chat: `bot: telegram:shop`".to_owned();
            reader.error(node.span, format!("`{bot}` does not say which bot it is"), Some(help));
            return None;
        }
        Some(bot)
    });
}

/// Reads `secret:`. What could never hold is refused here: at the door it would turn away every request.
fn secret(reader: &Reader<'_>, node: &Node, preset: &str) -> Option<SecretString> {
    let secret = reader.secret(node, "`secret`")?;
    let preset = event::preset(preset)?;
    let flaw = match &preset.verify {
        _ if secret.is_empty() => Some("the secret is empty, so no request could prove anything".to_owned()),
        None => Some(format!(
            "nothing that `{}` sends could be compared with a `secret`; the token in the path is what guards this source",
            preset.name
        )),
        Some(verify) => {
            (verify.flaw)(&secret).map(|flaw| format!("no request could have this `secret`: {flaw}"))
        }
    };
    if let Some(flaw) = flaw {
        reader.error(node.span, flaw, None);
        return None;
    }
    Some(SecretString::from(secret))
}

fn mapping(reader: &Reader<'_>, root: &Node, source: &Source, workspace: &Workspace) -> Option<Mapping> {
    let section = reader.section(root, "a source file", KEYS)?;
    let variables = variables::read(reader, section.get("vars"), &workspace.variables);
    let destinations: Vec<String> = workspace.destination_names.iter().cloned().collect();
    let owner_pools: Vec<String> = workspace.owner_pool_names.iter().cloned().collect();
    // Of a preset that is not there nothing is known, and its own error says enough.
    let chats = event::preset(&source.preset).is_none_or(|preset| preset.chats);
    let postbacks = event::are_postbacks(&source.preset);
    let postback = postback_rules(reader, &section, postbacks);
    let adds_tokens = source.preset == event::ESPUTNIK_TOKENS;
    let tokens = adds_tokens.then(|| source.customers.as_deref().unwrap_or(EXTERNAL));
    let known = Known {
        destinations: &destinations,
        bots: &workspace.bots,
        accounts: &workspace.destinations,
        owner_pools: &owner_pools,
        chats,
        postbacks,
        variables: &variables,
        tokens,
    };
    let Some(leads) = section.get("leads") else {
        let help = "add `leads:` with at least one entry".to_owned();
        reader.error(
            beginning(),
            "there is no `leads:` in this file, so its events would become nothing",
            Some(help),
        );
        return None;
    };
    let defaults = section.get("defaults").and_then(|node| branch::defaults(reader, node, known));
    let nodes = reader.list(leads, "`leads`");
    if nodes.is_empty() {
        reader.error(leads.span, "`leads` is empty, so the events of this source would become nothing", None);
    }
    let read = |node| Some((node, branch::read(reader, node, defaults.as_ref(), known)?));
    let branches: Vec<(&Node, Branch)> = nodes.iter().filter_map(read).collect();
    check_order(reader, &branches);
    let all = branches.iter().flat_map(|(_, branch)| {
        branch.templates().chain(branch.calls.iter().flat_map(CallTemplate::templates))
    });
    for template in all.chain(postback.iter().flat_map(PostbackRules::templates)) {
        reader.check_variables(template, &variables);
    }
    let names: Vec<String> = branches.iter().map(|(_, branch)| branch.name.clone()).collect();
    let tests = section.get("tests").map(|node| example::read(reader, node, &names)).unwrap_or_default();
    Some(Mapping {
        source: source.name.clone(),
        preset: source.preset.clone(),
        chat_scope: source.bot.clone().or_else(|| Some(format!("esputnik:{}", source.app.as_deref()?))),
        adds_tokens,
        variables,
        postback,
        branches: branches.into_iter().map(|(_, branch)| branch).collect(),
        tests,
    })
}

/// Reads `postback:`, which only a source of postbacks has.
fn postback_rules(reader: &Reader<'_>, section: &Section<'_>, postbacks: bool) -> Option<PostbackRules> {
    let node = section.get("postback");
    if let Some(node) = node.filter(|_| !postbacks) {
        let help = "take it away, or write `source: { preset: postback, … }`".to_owned();
        reader.error(node.span, "`postback` is for sources with `preset: postback`", Some(help));
    }
    postbacks.then(|| node.map(|node| postback::read(reader, node)).unwrap_or_default())
}

/// Notes names that stand twice and branches that no event can reach.
fn check_order(reader: &Reader<'_>, branches: &[(&Node, Branch)]) {
    let mut lines: BTreeMap<&str, usize> = BTreeMap::new();
    let mut catches_all: Option<&str> = None;
    for (node, branch) in branches {
        let span = node.get("name").map_or(node.span, |name| name.span);
        if let Some(line) = lines.insert(&branch.name, node.span.line).filter(|_| !branch.name.is_empty()) {
            let message =
                format!("there is another entry of `leads` with the name `{}`, in line {line}", branch.name);
            reader.error(span, message, Some("give each entry a name of its own".to_owned()));
        }
        if let Some(before) = catches_all {
            let help = format!("give `{before}` a `when:`, or move it to the end");
            reader.error(
                span,
                format!("no event can reach this entry: `{before}` before it takes all"),
                Some(help),
            );
        } else if matches!(branch.when, When::Always) && node.get("on").is_none() {
            catches_all = Some(&branch.name);
        }
    }
    let entries: Vec<_> = branches
        .iter()
        .map(|(node, branch)| {
            (*node, branch.name.as_str(), branch.on.as_slice(), matches!(branch.when, When::Always))
        })
        .collect();
    postback::check_reach(reader, &entries);
}

/// The `source:` block alone, when a syntax error above it hid it. Lines before it are left blank, so places stay right.
fn source_block(text: &str) -> Option<Tree> {
    let begins = |line: &str| line.starts_with("source:");
    let first = text.lines().position(begins)?;
    let inside =
        |line: &&str| begins(line) || line.trim().is_empty() || line.starts_with([' ', '\t', '#', '}']);
    let block: Vec<&str> = text.lines().skip(first).take_while(inside).collect();
    let before: usize = text.split_inclusive('\n').take(first).map(str::len).sum();
    // Offsets, not only lines, have to stay right: as many bytes as there were, with the line breaks in place.
    let blank: String =
        text.bytes().take(before).map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect();
    let tree = yaml::parse(&format!("{blank}{}", block.join("\n")));
    match tree.root.kind {
        Kind::Map { .. } => Some(tree),
        Kind::Scalar { .. } | Kind::List(_) => None,
    }
}

fn beginning() -> Span {
    Span { start: 0, end: 0, line: 1, column: 1 }
}

/// The name of a source from the name of its file; the error is a sentence.
pub fn name_of(file: &str) -> Result<&str, String> {
    let stem = file.strip_suffix(".yaml").or_else(|| file.strip_suffix(".yml"));
    let Some(stem) = stem else {
        return Err(format!("`{file}` is no YAML file: its name must end in `.yaml`"));
    };
    let good =
        |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || matches!(letter, '-' | '_');
    if stem.is_empty() || !stem.chars().all(good) {
        return Err(format!(
            "the name of a source stands in its address, so `{file}` may only have a-z, 0-9, `-` and `_`"
        ));
    }
    Ok(stem)
}
