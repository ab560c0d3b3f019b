//! Postbacks: what one says ([`report`]), and which branch it is for once it is counted ([`interpret_numbered`]).
//!
//! Whose it is says the click id alone, so nothing else in it is evidence of anybody: a lead of a postback has no
//! identifiers. Which of a person's events it is (`resale#2`) is known only when it is counted, under the person's lock;
//! until then there is no lead.

use jiff::Timestamp;
use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};

use super::{Interpreted, PRODUCTION, interpret, interpret_with};
use crate::event::{Event, EventKey, KeyLifetime};
use crate::lead::Postback;
use crate::map::{Branch, EvaluationError, Mapping, Template, View, first_of, name_of_event};
use crate::normalise;
use crate::plan::Reason;
use crate::token::to_hex;

/// What a postback says.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// What happened, and by what a repeat of it is recognised.
    Postback(Postback, EventKey),
    /// Nothing that could be counted, by this rule.
    Filtered(Reason),
    /// A person has to look.
    NeedsAttention {
        /// What happened.
        reason: Reason,
        /// What to do.
        todo: String,
    },
}

/// Reads a postback by the rules of its source; `None` when the source receives none.
pub fn report(mapping: &Mapping, event: &Event, received_at: Timestamp) -> Option<Report> {
    let rules = mapping.postback()?;
    let scope = mapping.scope(event, received_at);
    let view = scope.event();
    let payload = &event.payload;
    let read = |template: &Option<Template>, names: &[&str], what: &'static str| match template {
        Some(template) => text(template, view, what),
        None => Ok(first_of(payload, names)),
    };
    let network = rules.network;
    let said = || {
        let campaign = match &rules.campaign {
            None => None,
            Some(campaign) => {
                let found = read(&campaign.value, network.campaign, "postback.campaign")?;
                found.as_ref().is_none_or(|found| !campaign.only.contains(found)).then_some((campaign, found))
            }
        };
        let click = read(&rules.click, network.click, "postback.click")?;
        let happened = match read(&rules.event, network.event, "postback.event")? {
            None if rules.event.is_none() => flagged(payload, network.flags),
            named => named,
        };
        Ok((campaign, click, happened, read(&rules.id, network.id, "postback.id")?))
    };
    let (campaign, click, happened, id) = match said() {
        Ok(said) => said,
        Err(stopped) => return Some(needs_attention(stopped)),
    };
    let filtered = |code: &str, text: String| Some(Report::Filtered(Reason::new(code, text)));
    if let Some((campaign, found)) = campaign {
        let found = found.map_or_else(|| "no campaign".to_owned(), |found| format!("campaign '{found}'"));
        let only = campaign.only.join(", ");
        let text =
            format!("The postback names {found}, and this source counts only {only} (`postback.campaign`).");
        return filtered("other_campaign", text);
    }
    let Some(happened) = happened.as_deref().and_then(name_of_event) else {
        let text = format!(
            "The postback does not say what happened ({}). Check the address in the network, or say where it stands: \
             `postback: {{ event: \"{{{{ … }}}}\" }}`.",
            one_of(network.event)
        );
        return filtered("no_event", text);
    };
    let click = match click.map(|click| normalise::id(&click, "click id")) {
        Some(Ok(click)) => click,
        unusable => {
            let why = match unusable {
                Some(Err(flaw)) => format!(" (\"{}\": {})", flaw.raw, flaw.text),
                _ => String::new(),
            };
            let text = format!(
                "The postback has no click id ({}){why}, so nobody can say whose it is. Somebody who came to the bot \
                 without a campaign's link has none and cannot be tracked.",
                one_of(network.click)
            );
            return filtered("no_click_id", text);
        }
    };
    let cost = first_of(payload, network.cost);
    let currency = first_of(payload, network.currency);
    let key = key(&click, &happened, id.as_deref(), cost.as_deref());
    Some(Report::Postback(Postback { click, event: happened, id, cost, currency, ordinal: None }, key))
}

/// Interprets an event that is its person's so-and-so-many-th of its name, when it is a postback; any other as always.
pub fn interpret_numbered(
    mapping: &Mapping,
    event: &Event,
    ordinal: u64,
    received_at: Timestamp,
) -> Interpreted {
    match report(mapping, event, received_at) {
        None => interpret(mapping, event, received_at),
        Some(Report::Postback(mut postback, _)) => {
            postback.ordinal = Some(ordinal);
            interpret_postback(mapping, event, &postback, received_at)
        }
        Some(Report::Filtered(reason)) => Interpreted::Filtered(reason),
        Some(Report::NeedsAttention { reason, todo }) => Interpreted::NeedsAttention { reason, todo },
    }
}

fn interpret_postback(
    mapping: &Mapping,
    event: &Event,
    postback: &Postback,
    received_at: Timestamp,
) -> Interpreted {
    let mut event = event.clone();
    if let Json::Object(payload) = &mut event.payload {
        payload.insert("postback".to_owned(), as_seen_by_expressions(postback));
    }
    match interpret_with(mapping, &event, received_at, PRODUCTION, Some(postback)) {
        Interpreted::Lead(mut lead, branch) => {
            lead.identifiers.clear();
            lead.chat = None;
            lead.postback = Some(postback.clone());
            Interpreted::Lead(lead, branch)
        }
        Interpreted::Filtered(reason) if reason.code == "no_branch" => {
            Interpreted::Filtered(Reason::new("no_branch", no_branch(mapping, postback)))
        }
        ended @ (Interpreted::Filtered(_) | Interpreted::NeedsAttention { .. }) => ended,
    }
}

/// Whether a branch is for this postback. Where an entry is declared for this very one of the person's events, those for
/// any of them are not.
pub(super) fn is_for(branch: &Branch, branches: &[Branch], postback: Option<&Postback>) -> bool {
    let Some(postback) = postback.filter(|_| !branch.on.is_empty()) else { return true };
    let of_event = |branch: &Branch, ordinal: Option<u64>| {
        branch.on.iter().any(|on| on.event == postback.event && on.ordinal == ordinal)
    };
    let declared =
        postback.ordinal.is_some() && branches.iter().any(|branch| of_event(branch, postback.ordinal));
    of_event(branch, postback.ordinal.filter(|_| declared))
}

fn as_seen_by_expressions(postback: &Postback) -> Json {
    let Postback { click, event, id, cost, currency, ordinal } = postback;
    json!({ "click": click, "event": event, "id": id, "cost": cost, "currency": currency, "ordinal": ordinal })
}

fn no_branch(mapping: &Mapping, postback: &Postback) -> String {
    let mut events: Vec<String> =
        mapping.branches().iter().flat_map(|branch| &branch.on).map(ToString::to_string).collect();
    events.sort();
    events.dedup();
    let ordinal =
        postback.ordinal.map(|ordinal| format!(" (number {ordinal} of this person)")).unwrap_or_default();
    format!(
        "The postback is counted, and no branch takes '{}'{ordinal}: the source has `on:` for {}.",
        postback.event,
        if events.is_empty() { "nothing".to_owned() } else { events.join(", ") }
    )
}

/// By what a second copy is recognised. Without an id of the sender's, the same again for the same click id and sum is
/// a repeat for a while.
fn key(click: &str, event: &str, id: Option<&str>, cost: Option<&str>) -> EventKey {
    if let Some(id) = id {
        // Some senders number what is paid, and report its registration, its sale and its refund under one number.
        return EventKey::new(format!("{event}:{id}"), KeyLifetime::Retention);
    }
    let hash = Sha256::digest(json!([click, event, cost]).to_string());
    EventKey::new(format!("sha256:{}", to_hex(&hash.into())), KeyLifetime::Window)
}

/// The event that is a parameter of its own.
fn flagged(payload: &Json, flags: &[(&str, &str)]) -> Option<String> {
    let set = |parameter: &str| {
        first_of(payload, &[parameter])
            .is_some_and(|value| matches!(value.to_lowercase().as_str(), "true" | "1"))
    };
    flags.iter().find(|(parameter, _)| set(parameter)).map(|(_, event)| (*event).to_owned())
}

fn text(
    template: &Template,
    view: View<'_>,
    what: &'static str,
) -> Result<Option<String>, (&'static str, EvaluationError)> {
    let text = template.text(view).map_err(|error| (what, error))?;
    Ok(text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()))
}

fn needs_attention((what, error): (&'static str, EvaluationError)) -> Report {
    let EvaluationError { place, message } = error;
    Report::NeedsAttention {
        reason: Reason::new("mapping_error", format!("`{what}` could not be read: {message}.")),
        todo: format!(
            "Correct {place} (or the data), then `leadfold replay --cause mapping_error --replan`."
        ),
    }
}

fn one_of(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or ")
}

#[cfg(test)]
mod tests;
