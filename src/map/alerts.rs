//! `alerts:` of `workspace.yaml`: whom to tell of trouble, and when silence and waiting are trouble.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use secrecy::SecretString;

use super::problem::suggest;
use super::reader::{Reader, Section};
use super::yaml::{Kind, Node};
use crate::normalise;
use crate::rules::{AlertRules, Encryption, Mail, TELEGRAM, TelegramChat};

pub(super) const KEYS: &[&str] = &["webhook", "telegram", "email", "silent_after", "late_after"];
pub(super) const TELEGRAM_KEYS: &[&str] = &["token", "chat", "url"];
pub(super) const EMAIL_KEYS: &[&str] =
    &["server", "encryption", "user", "password", "from", "to", "allow_private_addresses"];
pub(super) const ENCRYPTIONS: &[(&str, Encryption)] =
    &[("tls", Encryption::Tls), ("starttls", Encryption::Starttls), ("none", Encryption::None)];

/// The key of `silent_after` for every source that it does not name.
pub(super) const DEFAULT: &str = "default";
/// The ports that SMTP servers take mail on from programs: with STARTTLS, and with TLS from the start.
const SUBMISSION: u16 = 587;
const SUBMISSIONS: u16 = 465;
/// Somebody who is told of less than this is told all the time.
const SHORTEST: Duration = Duration::from_mins(1);

/// `sources` are the names of all that there are.
pub(super) fn read(reader: &Reader<'_>, node: &Node, sources: &BTreeSet<&str>) -> AlertRules {
    let mut rules = AlertRules::default();
    let Some(section) = reader.section(node, "`alerts`", KEYS) else { return rules };
    let url = section.get("webhook").and_then(|node| reader.secret(node, "`alerts.webhook`"));
    rules.webhook = url.filter(|url| !url.is_empty()).map(SecretString::from);
    rules.telegram = section.get("telegram").and_then(|node| telegram(reader, node));
    rules.email = section.get("email").and_then(|node| email(reader, node));
    if let Some(node) = section.get("silent_after") {
        silent(reader, node, sources, &mut rules);
    }
    if let Some(time) = section.get("late_after").and_then(|node| time(reader, node, "`late_after`")) {
        rules.late_after = time;
    }
    rules
}

fn time(reader: &Reader<'_>, node: &Node, what: &str) -> Option<Duration> {
    let time = reader.duration(node, what)?;
    if time < SHORTEST {
        let help = "somebody would be told all the time".to_owned();
        reader.error(node.span, format!("{what} must be at least 1m"), Some(help));
        return None;
    }
    Some(time)
}

/// A time for every source, or one for each that is named.
fn silent(reader: &Reader<'_>, node: &Node, sources: &BTreeSet<&str>, rules: &mut AlertRules) {
    if !matches!(node.kind, Kind::Map { .. }) {
        rules.silent_after = time(reader, node, "`silent_after`");
        return;
    }
    let Some(section) = reader.entries(node, "`silent_after`") else { return };
    let mut named = BTreeMap::new();
    for (key, node) in section.node.entries() {
        let Some(name) = key.scalar() else { continue };
        let time = time(reader, node, &format!("`silent_after.{name}`"));
        if name == DEFAULT {
            rules.silent_after = time;
        } else if sources.contains(name) {
            named.extend(time.map(|time| (name.to_owned(), time)));
        } else {
            let known = sources.iter().copied().chain([DEFAULT]);
            reader.error(key.span, format!("there is no source `{name}`"), suggest(name, known));
        }
    }
    rules.silent = named;
}

/// A key that must be there.
fn needed<'n>(
    reader: &Reader<'_>,
    section: &Section<'n>,
    what: &str,
    key: &str,
    help: &str,
) -> Option<&'n Node> {
    let node = section.get(key).filter(|node| !node.is_null());
    if node.is_none() {
        reader.error(section.node.span, format!("`{what}` has no `{key}`"), Some(help.to_owned()));
    }
    node
}

fn telegram(reader: &Reader<'_>, node: &Node) -> Option<TelegramChat> {
    let section = reader.section(node, "`telegram`", TELEGRAM_KEYS)?;
    let token = needed(reader, &section, "telegram", "token", "the token that @BotFather gave the bot");
    let chat = needed(
        reader,
        &section,
        "telegram",
        "chat",
        "the id of the chat, such as -1001234567890; or @name of a channel",
    );
    let url = section.get("url").and_then(|node| reader.secret(node, "`url`"));
    Some(TelegramChat {
        token: SecretString::from(
            reader.secret(token?, "`alerts.telegram.token`").filter(|token| !token.is_empty())?,
        ),
        chat: reader.text(chat?, "`chat`")?,
        url: url.filter(|url| !url.is_empty()).unwrap_or_else(|| TELEGRAM.to_owned()),
    })
}

fn email(reader: &Reader<'_>, node: &Node) -> Option<Mail> {
    let section = reader.section(node, "`email`", EMAIL_KEYS)?;
    let server = needed(reader, &section, "email", "server", "the SMTP server: smtp.example.com:587");
    let from = needed(reader, &section, "email", "from", "whom it comes from: leadfold@example.com");
    let to = needed(reader, &section, "email", "to", "who gets it: sales@example.com, or a list");
    let (server, from, to) = (server?, from?, to?);
    let (host, port) = host_and_port(reader, server)?;
    let usual = if port == SUBMISSIONS { Encryption::Tls } else { Encryption::Starttls };
    let encryption = section.get("encryption");
    let encryption =
        encryption.and_then(|node| reader.choice(node, "`encryption`", ENCRYPTIONS)).unwrap_or(usual);
    let user = section.get("user").and_then(|node| reader.text(node, "`user`"));
    let password = section.get("password").and_then(|node| reader.secret(node, "`alerts.email.password`"));
    let password = password.filter(|password| !password.is_empty()).map(SecretString::from);
    if let (Encryption::None, Some(node), true) = (encryption, section.get("password"), password.is_some()) {
        let help = "leave `encryption` out, or the password where the server asks nobody".to_owned();
        reader.error(node.span, "a password is not sent without encryption", Some(help));
        return None;
    }
    let private = section.get("allow_private_addresses");
    Some(Mail {
        host,
        port,
        encryption,
        login: user.zip(password),
        from: address(reader, from)?,
        to: addresses(reader, to)?,
        allow_private_addresses: private
            .and_then(|node| reader.boolean(node, "`allow_private_addresses`"))
            .unwrap_or(false),
    })
}

fn host_and_port(reader: &Reader<'_>, node: &Node) -> Option<(String, u16)> {
    let text = reader.text(node, "`server`")?;
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok()),
        None => (text.as_str(), Some(SUBMISSION)),
    };
    let is_name =
        |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '[' | ']' | ':');
    match port {
        Some(port) if !host.is_empty() && host.chars().all(is_name) => Some((host.to_owned(), port)),
        _ => {
            let help = "write host and port: smtp.example.com:587".to_owned();
            reader.error(node.span, format!("`{text}` is no SMTP server"), Some(help));
            None
        }
    }
}

fn address(reader: &Reader<'_>, node: &Node) -> Option<String> {
    let text = reader.text(node, "an address")?;
    is_address(reader, node, &text).then_some(text)
}

fn addresses(reader: &Reader<'_>, node: &Node) -> Option<Vec<String>> {
    let texts = if matches!(node.kind, Kind::List(_)) {
        reader.texts(node, "`to`")
    } else {
        vec![reader.text(node, "`to`")?]
    };
    let all = !texts.is_empty() && texts.iter().all(|text| is_address(reader, node, text));
    all.then_some(texts)
}

fn is_address(reader: &Reader<'_>, node: &Node, text: &str) -> bool {
    let is = normalise::email(text).is_ok_and(|email| email.address.eq_ignore_ascii_case(text));
    if !is {
        let help = "write it without a name: sales@example.com".to_owned();
        reader.error(node.span, format!("`{text}` is no email address"), Some(help));
    }
    is
}

#[cfg(test)]
mod tests {
    use super::super::{Files, compile};
    use super::*;

    /// What is wrong with `alerts:`, with a source `shop` beside it.
    fn problems(alerts: &str) -> (AlertRules, Vec<String>) {
        let workspace = format!("destinations: {{}}\nalerts: {alerts}\n");
        let source = "source: { preset: json, token: demo }\nleads: [{ name: all, to: [] }]\n";
        let files = [("workspace.yaml", workspace.as_str()), ("shop.yaml", source)];
        let files = Files(files.map(|(name, text)| (name.to_owned(), text.to_owned())).into());
        let compiled =
            compile(&files, &|name| (name == "SECRET").then(|| "s3cret".to_owned()), &[], &["json"]);
        let said = compiled.problems.iter().filter(|problem| problem.file == "workspace.yaml");
        let said = said.map(|problem| problem.message.clone()).collect();
        (compiled.workspace.alerts, said)
    }

    #[test]
    fn every_way_to_tell_is_read() {
        let (rules, said) = problems(
            "{ webhook: 'https://hooks.example.com/${SECRET}', telegram: { token: '${SECRET}', chat: -100123 }, \
             email: { server: 'smtp.example.com:465', user: u, password: '${SECRET}', from: a@example.com, to: b@example.com }, \
             silent_after: { default: 12h, shop: 90m }, late_after: 5m }",
        );
        assert_eq!(said, [] as [&str; 0]);
        let (telegram, mail) = (rules.telegram.clone().unwrap(), rules.email.clone().unwrap());
        assert_eq!((telegram.chat.as_str(), telegram.url.as_str()), ("-100123", TELEGRAM));
        assert_eq!(
            (mail.host.as_str(), mail.port, mail.encryption),
            ("smtp.example.com", 465, Encryption::Tls)
        );
        assert!(mail.login.is_some() && mail.to == ["b@example.com"]);
        let minutes = |source: &str| rules.silence_of(source).map(|time| time.as_secs() / 60);
        assert_eq!((minutes("shop"), minutes("other")), (Some(90), Some(720)));
        assert_eq!(rules.late_after, Duration::from_mins(5));
        assert!(!format!("{rules:?}").contains("s3cret"), "{rules:?}");
        assert_eq!(problems("{ silent_after: 3h }").0.silence_of("shop"), Some(Duration::from_hours(3)));
        let (rules, _) = problems("~");
        assert!(rules.webhook.is_none() && rules.silence_of("shop").is_none());
    }

    #[test]
    fn what_cannot_be_is_said_at_its_place() {
        let mail = |rest: &str| {
            format!(
                "{{ email: {{ server: 'smtp.example.com', from: a@example.com, to: b@example.com, {rest} }} }}"
            )
        };
        let check = |alerts: &str, expect: &str| {
            let (_, said) = problems(alerts);
            assert_eq!(said, [expect], "{alerts}");
        };
        check("{ slack: x }", "`slack` is not a key of `alerts`");
        check("{ telegram: { token: t } }", "`telegram` has no `chat`");
        check("{ telegram: { chat: 1 } }", "`telegram` has no `token`");
        check("{ email: { server: 'smtp.example.com', from: a@example.com } }", "`email` has no `to`");
        check(&mail("encryption: ssl"), "`ssl` is not a possible value of `encryption`");
        check(&mail("user: u, password: p, encryption: none"), "a password is not sent without encryption");
        check(
            "{ email: { server: 'smtp.example.com:x', from: a@example.com, to: b@example.com } }",
            "`smtp.example.com:x` is no SMTP server",
        );
        check(
            "{ email: { server: 'smtp.example.com', from: a@example.com, to: [b] } }",
            "`b` is no email address",
        );
        check("{ silent_after: { shoop: 1h } }", "there is no source `shoop`");
        check("{ silent_after: 10s }", "`silent_after` must be at least 1m");
        check("{ late_after: soon }", "`late_after` must be a duration, not `soon`");
    }
}
