//! The `postback:` section of a source: what its network calls the click id, the event and the rest; and `on:`, which
//! events a branch is for.
//!
//! A network only substitutes macros into an address that the account's owner typed, so none of its names is certain.
//! What it calls things by custom is data ([`NETWORKS`]); what is called otherwise is said by a placeholder.

use std::time::Duration;

use serde_json::Value as Json;

use super::reader::{Reader, Section};
use super::template::{Sees, Template};
use super::yaml::Node;

/// What a network calls things, each by the first of these names that the request has.
#[derive(Debug)]
pub(crate) struct Network {
    /// The word in `network:`.
    pub(crate) name: &'static str,
    pub(crate) click: &'static [&'static str],
    pub(crate) event: &'static [&'static str],
    /// Parameters that are themselves events when they are `true` or 1, and the event that each is.
    pub(crate) flags: &'static [(&'static str, &'static str)],
    pub(crate) id: &'static [&'static str],
    pub(crate) campaign: &'static [&'static str],
    pub(crate) cost: &'static [&'static str],
    pub(crate) currency: &'static [&'static str],
}

/// The names that Chatterfy's own postback address asks networks to use, and what its receivers were seen to get.
const CUSTOM: Network = Network {
    name: "custom",
    click: &["clickid", "subid", "click_id"],
    event: &["tracker.event", "status", "event"],
    flags: &[],
    id: &["tracker.id", "event_id", "transaction_id", "tid"],
    campaign: &["tracker.campaign", "campaign", "campaign_id"],
    cost: &["tracker.cost", "cost", "payout", "amount"],
    currency: &["tracker.currency", "currency"],
};

/// Every network.
pub(crate) static NETWORKS: &[Network] = &[
    CUSTOM,
    // 1win lets the partner type the whole address, with sub1 to sub5 for what the partner's link carried.
    Network { name: "1win", click: &["clickid", "subid", "click_id", "sub1"], ..CUSTOM },
    // Binomo's manual of postbacks: every event is a parameter of its own with the value `true`.
    Network { name: "binomo", flags: &[("reg", "registration")], ..CUSTOM },
    // Keitaro's documentation, "Postback parameters": `subid`, `status`, `tid` (one for each further payment), `payout` or
    // `revenue`. `cost` is what the advertiser paid for the lead.
    Network {
        name: "keitaro",
        click: &["subid", "sub_id", "clickid"],
        event: &["status", "tracker.event", "event"],
        id: &["tid", "tracker.id", "transaction_id"],
        cost: &["payout", "revenue", "tracker.cost"],
        ..CUSTOM
    },
];

/// How the postbacks of a source are read.
#[derive(Debug)]
pub struct PostbackRules {
    pub(crate) network: &'static Network,
    pub(crate) campaign: Option<Campaign>,
    /// Where these stand, when it is not where the network has them.
    pub(crate) click: Option<Template>,
    pub(crate) event: Option<Template>,
    pub(crate) id: Option<Template>,
    /// For so long after one without an id, the same again is a repeat.
    pub(crate) repeats: Duration,
    /// How long one waits for somebody with its click id.
    pub(crate) waits: Duration,
}

/// Which campaigns count.
#[derive(Debug)]
pub(crate) struct Campaign {
    pub(crate) only: Vec<String>,
    pub(crate) value: Option<Template>,
}

/// An event that a branch is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct On {
    /// Its name, lower case.
    pub(crate) event: String,
    /// Only this one of a person's events of that name, from 1.
    pub(crate) ordinal: Option<u64>,
}

/// How long the same again is a repeat: longer than a network's own retries after a lost answer, much shorter than the
/// time in which somebody pays twice.
const REPEATS: Duration = Duration::from_mins(1);
/// How long a postback waits: a campaign's visitor has written to the bot by then, or never will.
const WAITS: Duration = Duration::from_hours(7 * 24);

pub(super) const KEYS: &[&str] = &["network", "campaign", "click", "event", "id", "repeats", "waits"];
pub(super) const CAMPAIGN_KEYS: &[&str] = &["only", "value"];

impl Default for PostbackRules {
    fn default() -> Self {
        Self {
            network: &CUSTOM,
            campaign: None,
            click: None,
            event: None,
            id: None,
            repeats: REPEATS,
            waits: WAITS,
        }
    }
}

impl PostbackRules {
    /// Every template, for checks.
    pub(super) fn templates(&self) -> impl Iterator<Item = &Template> {
        let campaign = self.campaign.as_ref().and_then(|campaign| campaign.value.as_ref());
        [&self.click, &self.event, &self.id].into_iter().flatten().chain(campaign)
    }
}

/// Reads `postback:`.
pub(super) fn read(reader: &Reader<'_>, node: &Node) -> PostbackRules {
    let mut rules = PostbackRules::default();
    let Some(section) = reader.section(node, "`postback`", KEYS) else { return rules };
    if let Some(node) = section.get("network") {
        let words: Vec<(&str, &'static Network)> =
            NETWORKS.iter().map(|network| (network.name, network)).collect();
        rules.network = reader.choice(node, "`postback.network`", &words).unwrap_or(rules.network);
    }
    rules.campaign = section.get("campaign").and_then(|node| campaign(reader, node));
    let placeholder = |key: &str| place(reader, &section, key, &format!("`postback.{key}`"));
    (rules.click, rules.event, rules.id) = (placeholder("click"), placeholder("event"), placeholder("id"));
    let duration =
        |key: &str| section.get(key).and_then(|node| reader.duration(node, &format!("`postback.{key}`")));
    rules.repeats = duration("repeats").unwrap_or(rules.repeats);
    rules.waits = duration("waits").unwrap_or(rules.waits);
    rules
}

/// Where something stands in the request. The same text for every request would make all of them one person's.
fn place(reader: &Reader<'_>, section: &Section<'_>, key: &str, what: &str) -> Option<Template> {
    let node = section.get(key)?;
    let template = reader.template(node, what, Sees::Event)?;
    if template.constant().is_some() {
        let help = "write where it stands in the request: \"{{ sub2 }}\"".to_owned();
        reader.error(
            node.span,
            format!("{what} has no placeholder, so it would be the same in every postback"),
            Some(help),
        );
        return None;
    }
    Some(template)
}

fn campaign(reader: &Reader<'_>, node: &Node) -> Option<Campaign> {
    if node.get("only").is_none() && node.get("value").is_none() {
        return Some(Campaign { only: reader.texts(node, "`postback.campaign`"), value: None });
    }
    let section = reader.section(node, "`postback.campaign`", CAMPAIGN_KEYS)?;
    let only = section.get("only").map(|node| reader.texts(node, "`postback.campaign.only`"));
    if only.as_ref().is_none_or(Vec::is_empty) {
        let help = "write `campaign: { only: summer, value: \"{{ sub3 }}\" }`".to_owned();
        reader.error(
            node.span,
            "`postback.campaign` does not say which campaign counts (`only`)",
            Some(help),
        );
    }
    let value = place(reader, &section, "value", "`postback.campaign.value`");
    Some(Campaign { only: only.unwrap_or_default(), value })
}

/// Reads `on:`, one or many: `sale`, or `resale#2` for the second of a person.
pub(super) fn on(reader: &Reader<'_>, node: &Node) -> Vec<On> {
    let mut read = Vec::new();
    for item in node.one_or_many() {
        let Some(text) = reader.text(item, "`on`") else { continue };
        match On::parse(&text) {
            Ok(on) => read.push(on),
            Err(why) => {
                let help =
                    "write the name of the event, such as `sale`, or `resale#2` for the second of a person";
                reader.error(item.span, format!("`on: {text}` names no event: {why}"), Some(help.to_owned()));
            }
        }
    }
    read
}

impl On {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let (event, number) = match text.split_once('#') {
            None => (text, None),
            Some((event, number)) => (event, Some(number.trim())),
        };
        let event = name_of_event(event).ok_or("there is no name")?;
        let ordinal = match number.map(str::parse::<u64>) {
            None => None,
            Some(Ok(0)) => return Err("events are counted from 1"),
            Some(Ok(number)) => Some(number),
            Some(Err(_)) => return Err("what follows `#` is no number"),
        };
        Ok(Self { event, ordinal })
    }
}

impl std::fmt::Display for On {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.ordinal {
            None => f.write_str(&self.event),
            Some(ordinal) => write!(f, "{}#{ordinal}", self.event),
        }
    }
}

/// Longest name of an event, in bytes; it is part of keys of the database.
const LONGEST_NAME: usize = 128;

/// The name of an event as it counts: `Sale ` and `sale` are one.
pub(crate) fn name_of_event(text: &str) -> Option<String> {
    let name = text.trim().to_lowercase();
    (!name.is_empty() && name.len() <= LONGEST_NAME && !name.contains(char::is_control)).then_some(name)
}

/// The value of the first of these parameters that the request has. One that is given twice says nothing: which of the two
/// is meant, nobody knows.
pub(crate) fn first_of(payload: &Json, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| {
        let nested = name.split('.').try_fold(payload, |json, part| json.get(part));
        // Beside a parameter `tracker`, `tracker.event` stays as it is written.
        let text = match nested.or_else(|| payload.get(name))? {
            Json::String(text) => text.trim().to_owned(),
            Json::Number(number) => number.to_string(),
            Json::Null | Json::Bool(_) | Json::Array(_) | Json::Object(_) => return None,
        };
        (!text.is_empty()).then_some(text)
    })
}

/// Notes entries that no postback can reach: an earlier one for the same events takes all.
pub(super) fn check_reach(reader: &Reader<'_>, entries: &[(&Node, &str, &[On], bool)]) {
    let mut taken: Vec<(&On, &str)> = Vec::new();
    for (node, name, on, always) in entries {
        let before: Option<Vec<&str>> =
            on.iter().map(|on| taken.iter().find(|(other, _)| *other == on).map(|(_, name)| *name)).collect();
        if let Some(before) = before.as_deref().and_then(<[&str]>::first) {
            let span = node.get("on").map_or(node.span, |node| node.span);
            let help = Some(format!("give `{before}` a `when:`, or make one entry of the two"));
            reader.error(
                span,
                format!("no postback can reach `{name}`: `{before}` before it takes the same events"),
                help,
            );
        }
        if *always {
            taken.extend(on.iter().map(|on| (on, *name)));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_and_which_of_them() {
        let check = |text: &str, expect: Result<&str, &str>| {
            let got = On::parse(text).map(|on| on.to_string());
            assert_eq!(got.as_deref().map_err(|why| *why), expect, "{text:?}");
        };
        check("sale", Ok("sale"));
        check(" Sale ", Ok("sale"));
        check("resale#2", Ok("resale#2"));
        check("Resale # 02", Ok("resale#2"));
        check("вивід", Ok("вивід"));
        check("first deposit", Ok("first deposit"));
        check("", Err("there is no name"));
        check("#2", Err("there is no name"));
        check("resale#", Err("what follows `#` is no number"));
        check("resale#two", Err("what follows `#` is no number"));
        check("resale#-1", Err("what follows `#` is no number"));
        check("resale#0", Err("events are counted from 1"));
        check("resale#2#3", Err("what follows `#` is no number"));
        check(&"a".repeat(129), Err("there is no name"));
    }

    #[test]
    fn the_first_name_that_has_a_value_counts() {
        let check = |payload: Json, names: &[&str], expect: Option<&str>| {
            assert_eq!(first_of(&payload, names).as_deref(), expect, "{payload}");
        };
        check(json!({"clickid": "a", "subid": "b"}), CUSTOM.click, Some("a"));
        check(json!({"clickid": " ", "subid": "b"}), CUSTOM.click, Some("b"));
        check(json!({"clickid": ["a", "b"]}), CUSTOM.click, None);
        check(json!({"clickid": {"a": "b"}, "click_id": 7}), CUSTOM.click, Some("7"));
        check(json!({"tracker": {"event": "sale"}, "status": "ok"}), CUSTOM.event, Some("sale"));
        check(json!({"tracker": "x", "tracker.event": "sale"}), CUSTOM.event, Some("sale"));
        check(json!({}), CUSTOM.event, None);
        check(json!("sale"), CUSTOM.event, None);
    }

    #[test]
    fn every_network_is_there_once_and_names_click_and_event() {
        let mut names: Vec<&str> = NETWORKS.iter().map(|network| network.name).collect();
        assert!(NETWORKS.iter().all(|network| !network.click.is_empty() && !network.event.is_empty()));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names, ["1win", "binomo", "custom", "keitaro"]);
    }
}
