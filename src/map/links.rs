//! `links:` of `workspace.yaml`: how links from a bot to a web site are made.

use std::time::Duration;

use super::problem::Span;
use super::reader::Reader;
use super::source::Source;
use super::yaml::Node;
use crate::event::TRIGGER;
use crate::normalise;
use crate::rules::LinkRules;

pub(super) const KEYS: &[&str] = &["url", "namespace", "pin_digits", "pin_life", "life", "send_pin"];

/// Nobody opens a chat, reads and types in less.
const SHORTEST: Duration = Duration::from_mins(1);

pub(super) fn read(reader: &Reader<'_>, node: &Node) -> LinkRules {
    let defaults = LinkRules::default();
    let Some(section) = reader.section(node, "`links`", KEYS) else { return defaults };
    let time = |key: &str, longest: Duration, usual: &str| {
        let node = section.get(key)?;
        let time = reader.duration(node, &format!("`{key}`"))?;
        if (SHORTEST..=longest).contains(&time) {
            return Some(time);
        }
        let hours = longest.as_secs() / 3_600;
        let message = format!("`{key}` must be between 1m and {hours}h");
        reader.error(node.span, message, Some(format!("the default is {usual}")));
        None
    };
    LinkRules {
        url: section.get("url").and_then(|node| url(reader, node)),
        namespace: section
            .get("namespace")
            .and_then(|node| namespace(reader, node))
            .unwrap_or(defaults.namespace),
        pin_digits: section
            .get("pin_digits")
            .and_then(|node| digits(reader, node))
            .unwrap_or(defaults.pin_digits),
        pin_life: time("pin_life", LinkRules::LONGEST_PIN, "10m").unwrap_or(defaults.pin_life),
        life: time("life", LinkRules::LONGEST, "24h").unwrap_or(defaults.life),
        send_pin: section.get("send_pin").and_then(|node| reader.text(node, "`send_pin`")),
    }
}

/// Where `send_pin` stands, for what can be said of it only once the files of the sources are read.
pub(super) fn send_pin(root: &Node) -> Option<Span> {
    Some(root.get("links")?.get("send_pin")?.span)
}

/// What is wrong with the source that is to send PINs.
pub(super) fn flaw(name: &str, source: Option<&Source>) -> Option<(String, String)> {
    let Some(source) = source.filter(|source| source.preset == TRIGGER) else {
        let help = format!(
            "write `{name}.yaml` with `source: {{ preset: trigger, … }}` and a call that says the PIN: `{{{{ pin }}}}`"
        );
        return Some((format!("`send_pin` names '{name}', and there is no trigger of that name"), help));
    };
    // What is wrong with a mapping that cannot be read is said already.
    let mapping = source.mapping.as_ref().ok()?;
    if mapping.branches().iter().any(|branch| branch.reads.names("pin")) {
        return None;
    }
    let help = format!("write `{{{{ pin }}}}` into a call of `{name}.yaml`, where the bot is to say it");
    Some((format!("trigger '{name}' is to send PINs (`send_pin`), and no call of it says the PIN"), help))
}

fn url(reader: &Reader<'_>, node: &Node) -> Option<String> {
    let text = reader.text(node, "`url`")?;
    let address = text.trim();
    let rest = address.strip_prefix("https://").or_else(|| address.strip_prefix("http://localhost"));
    if rest.is_some_and(|rest| !rest.is_empty()) && !address.contains(char::is_whitespace) {
        return Some(address.to_owned());
    }
    let help =
        "write where the site takes the visitor in: https://shop.example.com/enter, or with {buid} in it";
    reader.error(node.span, format!("`{address}` is no https address"), Some(help.to_owned()));
    None
}

fn namespace(reader: &Reader<'_>, node: &Node) -> Option<String> {
    let text = reader.text(node, "`namespace`")?;
    match normalise::id(&text, "namespace") {
        Ok(namespace) => Some(namespace),
        Err(flaw) => {
            let help =
                "the default is web_user; it is the key below `identifiers.external_customer`".to_owned();
            reader.error(node.span, format!("`namespace` is no name: {}", flaw.text), Some(help));
            None
        }
    }
}

fn digits(reader: &Reader<'_>, node: &Node) -> Option<usize> {
    let digits: usize = reader.count(node, "`pin_digits`")?;
    let (fewest, most) = (LinkRules::FEWEST_DIGITS, LinkRules::MOST_DIGITS);
    if (fewest..=most).contains(&digits) {
        return Some(digits);
    }
    let help =
        format!("with {fewest} digits somebody who guesses is right once in 700 links; the default is 6");
    reader.error(node.span, format!("`pin_digits` must be between {fewest} and {most}"), Some(help));
    None
}
