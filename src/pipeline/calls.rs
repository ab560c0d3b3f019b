//! What the calls of a lead come to once they are planned: the templates of its branch with what is known by then.

use jiff::Timestamp;
use serde_json::{Map, Value as Json};

use super::contact::as_seen;
use crate::event::{Event, EventKey, KeyLifetime};
use crate::lead::{Afterwards, Flaw, Given, Lead, Moment};
use crate::map::{Branch, Mapping, Rendered};
use crate::plan::Reason;

/// What is known when a call is planned, as its templates see it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Late {
    /// `person.id`, `person.fields.<name>`, `person.click`.
    pub person: Json,
    /// `found.contact`, `found.deal`: what the CRM had, before anything was written.
    pub found: Json,
    /// `crm.contact`, `crm.deal`: ids of the records by now.
    pub crm: Json,
    /// `chat.id`, `chat.channel`, `chat.bot`, `chat.link`: the chat that is called, where it is known by then.
    pub chat: Json,
    /// `pin`: what stands for a PIN that is drawn when the call goes out; `None` where none is to be sent.
    pub pin: Option<String>,
}

/// Renders the calls of one branch that go to one bot, in their order; those whose condition does not hold are left out.
/// The reason says which value could not be made.
pub fn calls(
    mapping: &Mapping,
    branch: &Branch,
    bot: &str,
    lead: &Lead,
    received_at: Timestamp,
    late: Late,
) -> Result<Vec<Rendered>, Reason> {
    let event = event(lead.given.as_deref());
    let scope = mapping.scope(&event, received_at);
    let Late { person, found, crm, chat, pin } = late;
    let contact = &lead.contact;
    let (phone, email) = (contact.phones.first(), contact.emails.first());
    let flaws: Vec<&Flaw> = lead.flaws.iter().collect();
    let seen = as_seen(contact.name.as_deref(), phone, email, &flaws);
    let names = [("person", person), ("found", found), ("crm", crm), ("chat", chat), ("lead", seen)];
    let mut late = Map::from_iter(names.map(|(name, value)| (name.to_owned(), value)));
    late.extend(pin.map(|pin| ("pin".to_owned(), Json::String(pin))));
    let view = scope.with_late(&late);
    let mut rendered = Vec::new();
    for call in branch.calls.iter().filter(|call| call.to == bot) {
        let made = call.render(view).map_err(|error| {
            let text = format!(
                "`{}` for '{bot}' of branch `{}` could not be made: {}. Correct {} (or the data), then \
                 `leadfold replay --cause call_error --replan`.",
                call.operation.name, branch.name, error.message, error.place
            );
            Reason::new("call_error", text)
        })?;
        rendered.extend(made);
    }
    Ok(rendered)
}

/// Bots that are called as soon as the lead is there, each once.
pub(super) fn at_once(branch: &Branch) -> Vec<String> {
    let mut bots: Vec<String> = Vec::new();
    for call in branch.calls.iter().filter(|call| call.moment == Moment::AtOnce) {
        if !bots.contains(&call.to) {
            bots.push(call.to.clone());
        }
    }
    bots
}

/// Bots that are called later, each once.
pub(super) fn afterwards(branch: &Branch) -> Vec<Afterwards> {
    let mut bots: Vec<Afterwards> = Vec::new();
    for call in branch.calls.iter().filter(|call| call.moment != Moment::AtOnce) {
        let bot = Afterwards { to: call.to.clone(), moment: call.moment };
        if !bots.contains(&bot) {
            bots.push(bot);
        }
    }
    bots
}

/// The kept parts of the event, as an event.
fn event(given: Option<&Given>) -> Event {
    let given = given.cloned();
    let Given { payload, query, headers } =
        given.unwrap_or(Given { payload: Json::Null, query: Json::Null, headers: Json::Null });
    Event {
        payload,
        query,
        headers,
        key: EventKey { value: String::new(), lifetime: KeyLifetime::Window },
        chat: None,
        phone: None,
        chat_state: None,
        chat_status: None,
        flaws: Vec::new(),
    }
}
