//! People, and what was decided about them, in words.

use std::fmt::Write as _;

use super::super::{how_many, leads};
use crate::lead::ChatState;
use crate::store::corrections::{ContactOf, Given, KeptApart, MadeOne, TakenApart};
use crate::store::facts::KnownChat;
use crate::store::profile::{Brief, PossibleDuplicate, Profile};

/// Lines of text; writing to a String cannot fail.
#[derive(Default)]
struct Text(String);

impl Text {
    fn line(&mut self, words: impl AsRef<str>) {
        writeln!(self.0, "{}", words.as_ref()).ok();
    }

    /// Lines under one heading.
    fn list(&mut self, heading: &str, lines: impl IntoIterator<Item = String>) {
        for (number, line) in lines.into_iter().enumerate() {
            let heading = if number == 0 { heading } else { "" };
            self.line(format!("  {heading:<10}{line}"));
        }
    }

    fn end(self) -> String {
        self.0.trim_end().to_owned()
    }
}

pub(super) fn told_profile(person: &Profile) -> String {
    let mut text = Text::default();
    text.line(format!(
        "Person {}, {}: {} since {:.0}",
        person.id,
        person.name.as_deref().unwrap_or("no name"),
        leads(u64::try_from(person.lead_count).unwrap_or_default()),
        person.created_at
    ));
    text.list(
        "has",
        person.identifiers.iter().map(|identifier| {
            let scope = scope(&identifier.scope);
            let (kind, value) = (identifier.kind.as_str(), &identifier.value);
            format!("{kind} {value}{scope}, {}, last seen {:.0}", identifier.proof.as_str(), identifier.seen)
        }),
    );
    text.list(
        "uses",
        person.shared.iter().map(|given| format!("{}, of person {}", what(given), given.person)),
    );
    text.list("chats", person.chats.iter().map(chat));
    text.list(
        "remember",
        person
            .fields
            .iter()
            .map(|(name, field)| format!("{name}: {}, since {:.0}", plain(&field.value), field.at)),
    );
    text.list("clicks", person.clicks.iter().map(|click| format!("{}, on {:.0}", click.click, click.at)));
    text.list("in CRMs", person.contacts.iter().map(contact));
    text.list(
        "leads",
        person.leads.iter().map(|lead| {
            format!("{} from '{}' on {:.0}: {}", lead.id, lead.source, lead.received_at, lead.state)
        }),
    );
    text.list(
        "merges",
        person.merges.iter().map(|merge| {
            let undone = merge.undone_at.map_or_else(String::new, |at| format!("; undone on {at:.0}"));
            let (from, into) = (merge.from, merge.into);
            format!("{} on {:.0}: {from} into {into}. {}{undone}", merge.id, merge.at, merge.why)
        }),
    );
    text.list(
        "said",
        person.corrections.iter().map(|correction| {
            let author = correction.author.as_deref().unwrap_or("somebody");
            let note = correction.note.as_ref().map_or_else(String::new, |note| format!(": {note}"));
            let other = correction.other.map_or_else(String::new, |other| format!(" and {other}"));
            let kind = correction.kind.replace('_', " ");
            format!("{kind}, of {}{other}, by {author} on {:.0}{note}", correction.one, correction.at)
        }),
    );
    text.list(
        "may be",
        person.possible_duplicates.iter().map(|pair| {
            let other = if pair.one.id == person.id.to_string() { &pair.other } else { &pair.one };
            brief(other)
        }),
    );
    text.list("is not", person.apart.iter().map(ToString::to_string));
    text.0
}

fn chat(chat: &KnownChat) -> String {
    let bot = chat.bot_name.as_deref().unwrap_or(&chat.bot);
    let state = match &chat.state {
        ChatState::Active => format!("active since {:.0}", chat.since),
        ChatState::Blocked { why } => format!("BLOCKED since {:.0} ({why})", chat.since),
    };
    let status = chat.status.as_ref().map_or_else(String::new, |last| {
        let description = last.description.as_ref().map_or_else(String::new, |text| format!(" ({text})"));
        format!("; last message {}{description} on {:.0}", last.status, last.at)
    });
    let link = chat.link.as_ref().map_or_else(String::new, |link| format!(", {link}"));
    format!("{} with '{bot}', {} ({}): {state}{status}{link}", chat.channel, chat.value, chat.scope)
}

/// A value as people read it: a text without its quotes.
fn plain(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn scope(scope: &str) -> String {
    if scope.is_empty() { String::new() } else { format!(" ({scope})") }
}

fn what(given: &Given) -> String {
    format!("{} {}{}", given.kind.as_str(), given.value, scope(&given.scope))
}

fn contact(contact: &ContactOf) -> String {
    let url = contact.url.as_ref().map_or_else(String::new, |url| format!(", {url}"));
    format!("contact {} in '{}'{url}", contact.record, contact.destination)
}

fn brief(person: &Brief) -> String {
    let name = person.name.as_deref().unwrap_or("no name");
    let identifiers = if person.identifiers.is_empty() {
        "nothing known".to_owned()
    } else {
        person.identifiers.join(", ")
    };
    format!(
        "{}, {name}: {identifiers}; {}",
        person.id,
        leads(u64::try_from(person.leads).unwrap_or_default())
    )
}

pub(super) fn told_duplicates(all: &[PossibleDuplicate]) -> String {
    let mut text = Text::default();
    if all.is_empty() {
        text.line("Nobody waits for an answer: there are no possible duplicates.");
    }
    for pair in all {
        text.line(format!("Since {:.0}, by lead {}:", pair.at, pair.lead));
        text.list("one", [brief(&pair.one)]);
        text.list("other", [brief(&pair.other)]);
        text.list("why", pair.why.iter().cloned());
        text.line(format!("  one human? leadfold people same {} {}", pair.one.id, pair.other.id));
        text.line(format!("  two?       leadfold people not-same {} {}", pair.one.id, pair.other.id));
    }
    text.end()
}

pub(super) fn told_one(made: &MadeOne, done: bool) -> String {
    let mut text = Text::default();
    let identifiers = how_many(made.identifiers, "identifier", "identifiers");
    let (from, into, moved) = (made.from, made.into, leads(made.leads));
    if done {
        text.line(format!("Person {from} is part of {into} now: {identifiers} and {moved} moved."));
        text.line(format!("`leadfold people split {}` undoes it.", made.merge));
    } else {
        text.line(format!(
            "Person {from} would become part of {into}: {identifiers} and {moved} would move."
        ));
        if let Some(since) = made.overrules {
            text.line(format!("Somebody said on {since:.0} that these are two people; this overrules it."));
        }
        if made.open > 0 {
            text.line(format!("{} under way would go to the one contact.", leads(made.open)));
        }
    }
    in_crms(&mut text, &made.contacts);
    let both = |contact: &&ContactOf| {
        made.contacts
            .iter()
            .any(|other| other.destination == contact.destination && other.record != contact.record)
    };
    if made.contacts.iter().any(|contact| both(&contact)) {
        text.line(
            "Two contacts in one CRM are of one human then. leadfold merges nothing there: new leads go to the older, and \
             whoever is responsible is asked to merge them by hand.",
        );
    }
    text.end()
}

fn in_crms(text: &mut Text, contacts: &[ContactOf]) {
    text.list("in CRMs", contacts.iter().map(|one| format!("{}, of {}", contact(one), one.person)));
}

pub(super) fn told_apart(taken: &TakenApart, done: bool) -> String {
    let mut text = Text::default();
    let (from, into) = (taken.from, taken.into);
    let identifiers = how_many(taken.identifiers, "identifier", "identifiers");
    let moved = leads(taken.leads);
    if done {
        text.line(format!("Person {from} is apart from {into} again, with {identifiers} and {moved}."));
        text.line("Nothing joins the two again, unless somebody merges them.");
    } else {
        text.line(format!(
            "Person {from} became part of {into} on {:.0}. They would be apart again, with {identifiers} and {moved}.",
            taken.merged_at
        ));
    }
    if taken.open > 0 {
        text.line(format!("{} not in the CRM yet: decided anew.", leads(taken.open)));
    }
    let stays = taken.identifiers_since.iter().map(what);
    let stays = stays.chain(taken.leads_since.iter().map(|lead| format!("lead {lead}")));
    let stays: Vec<String> = stays.map(|what| format!("{what}, with {into}: it came since")).collect();
    text.list("stays", stays);
    text.list(
        "elsewhere",
        taken.elsewhere.iter().map(|given| format!("{}, of person {} by now", what(given), given.person)),
    );
    in_crms(&mut text, &taken.contacts);
    text.list(
        "written",
        taken.written_since.iter().map(|written| {
            let record = written.record.as_deref().unwrap_or("none");
            format!(
                "{} → record {record} in '{}', of lead {}",
                written.kind, written.destination, written.lead
            )
        }),
    );
    if !taken.written_since.is_empty() {
        text.line(
            "What is listed as written was written while they were one. leadfold moves nothing in a CRM: look whether it \
             stands on the right contact.",
        );
    }
    if taken.asked_to_merge {
        text.line("A task or a note in the CRM asks to merge their contacts: close it.");
    }
    text.end()
}

pub(super) fn told_kept_apart(kept: &KeptApart) -> String {
    let settled = if kept.settled { " They are no possible duplicates any more." } else { "" };
    format!(
        "Person {} and {} are two, as was said on {:.0}. Nothing joins them, unless somebody merges them.{settled}",
        kept.one, kept.other, kept.since
    )
}
