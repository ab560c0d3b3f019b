//! The default texts that people read in the CRM: what a repeated lead leaves, and what would be lost without a note.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::Situation;
use super::change::{Difference, Wanted, filled, show, text};
use crate::lead::Lead;

/// Longest value shown in a text, in characters; a whole form answer belongs in a field or a note.
const LONGEST_VALUE: usize = 200;

/// How to call the person in a line of text: the first of name, phone, email and chat that there is.
pub(super) fn who<'a>(situation: &Situation<'a>, wanted: &Wanted<'a>) -> Option<&'a str> {
    let person = situation.person;
    wanted
        .name
        .or_else(|| wanted.phones.first().map(|line| line.text))
        .or_else(|| person.phones.first().map(String::as_str))
        .or_else(|| wanted.emails.first().copied())
        .or_else(|| person.emails.first().map(String::as_str))
        .or_else(|| chat_id(situation.lead))
        .or_else(|| person.earlier.iter().rev().find_map(chat_id))
}

fn chat_id(lead: &Lead) -> Option<&str> {
    text(lead.chat.as_ref().map(|chat| chat.id.as_str()))
}

/// Title of a deal whose mapping names none.
pub(super) fn deal_title(lead: &Lead) -> String {
    format!("Lead from {}", lead.source)
}

/// Title of the task that a repeated lead leaves.
pub(super) fn task_title(situation: &Situation, wanted: &Wanted) -> String {
    match who(situation, wanted) {
        Some(who) => format!("Repeat lead: {}", clip(who)),
        None => format!("Repeat lead from {}", situation.lead.source),
    }
}

/// Body of that task: where the lead came from, where to answer it, and what it says otherwise than the CRM.
pub(super) fn task_body(lead: &Lead, differences: &[Difference]) -> String {
    let mut body = format!("Source: {} ({})", lead.source, lead.branch);
    // Writing to a String cannot fail.
    if let Some(chat) = &lead.chat {
        let bot = text(chat.bot_name.as_deref()).unwrap_or(&chat.bot);
        write!(body, "\nBot: {bot} ({})", chat.channel).ok();
        if let Some(link) = text(chat.link.as_deref()) {
            write!(body, "\nChat: {link}").ok();
        }
    }
    for flaw in &lead.flaws {
        write!(body, "\nThe {} “{}” could not be used: {}", flaw.field, clip(&flaw.raw), flaw.text).ok();
    }
    if differences.is_empty() {
        body.push_str("\nThe lead says nothing that the CRM does not have already.");
    } else {
        body.push_str("\nThe lead and the CRM differ:");
    }
    for Difference { field, crm, lead, written } in differences {
        let crm = crm.as_deref().map_or(Cow::Borrowed("nothing"), clip);
        let written = if *written { "; written with this lead" } else { "" };
        write!(body, "\n- {field}: the CRM has {crm}, the lead says {}{written}", clip(lead)).ok();
    }
    body
}

/// The deal part of a lead as text, for a CRM without deals.
pub(super) fn deal_part(lead: &Lead) -> String {
    let title = text(lead.deal.title.as_deref()).map_or_else(|| deal_title(lead), str::to_owned);
    let places = [("pipeline", &lead.deal.pipeline), ("stage", &lead.deal.stage)];
    let places =
        places.into_iter().filter_map(|(place, name)| Some(format!("{place}: {}", text(name.as_deref())?)));
    let fields = filled(&lead.deal.fields).map(|(field, value)| format!("{field}: {}", clip(&show(value))));
    std::iter::once(title).chain(places).chain(fields).collect::<Vec<_>>().join("\n")
}

/// The notes of the kept leads and of this one, oldest first, each once; `None` when there are none.
pub(super) fn notes(situation: &Situation) -> Vec<String> {
    let leads = situation.person.earlier.iter().chain(std::iter::once(situation.lead));
    let mut notes: Vec<String> = Vec::new();
    for note in leads.filter_map(|lead| text(lead.note.as_deref())) {
        if !notes.iter().any(|known| known == note) {
            notes.push(note.to_owned());
        }
    }
    notes
}

fn clip(value: &str) -> Cow<'_, str> {
    match value.char_indices().nth(LONGEST_VALUE).and_then(|(end, _)| value.get(..end)) {
        None => Cow::Borrowed(value),
        Some(clipped) => Cow::Owned(format!("{clipped}…")),
    }
}
