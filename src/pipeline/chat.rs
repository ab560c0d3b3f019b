//! What an event says of a chat, whether or not a branch wants the event: who blocks a bot is filtered, and their chat is
//! blocked all the same.

use jiff::Timestamp;
use serde_json::Value as Json;

use super::PRODUCTION;
use super::contact::Contacts;
use super::evidence::{Evidence, TELEGRAM};
use crate::event::{Event, TRIGGER};
use crate::lead::{Chat, ChatNews, ChatState, Flaw, Identifier, Lead, Proof};
use crate::map::Mapping;
use crate::normalise;

/// What an event says of a chat; `lead` is what its mapping made of it. `None` when it speaks of none.
///
/// The chat is the lead's own. Of an event that no branch wants it is the one that the preset found, or one of whoever the
/// event names: by all that the mapping's branches would read of them.
pub fn chat_news(
    mapping: &Mapping,
    event: &Event,
    lead: Option<&Lead>,
    received_at: Timestamp,
) -> Option<ChatNews> {
    // It speaks of a chat and does not come from it.
    if mapping.preset == TRIGGER {
        return None;
    }
    let found = match lead {
        Some(lead) => lead.chat_scope.clone().zip(lead.chat.clone()),
        None => mapping.found_chat(event).and_then(|(scope, chat)| Some((scope, of_one_human(chat).ok()?))),
    };
    let opens = lead.is_some_and(|lead| lead.chat_active);
    let state = event.chat_state.clone().or_else(|| opens.then_some(ChatState::Active));
    let status = event.chat_status.clone();
    if let Some((scope, chat)) = found {
        return Some(ChatNews { scope, chat: Some(chat), about: Vec::new(), state, status });
    }
    // An event that only names the person: their chat with the bot that the source names.
    let scope = mapping.chat_scope.clone()?;
    if event.chat.is_some() || (state.is_none() && status.is_none()) {
        return None;
    }
    let about = if lead.is_some() { Vec::new() } else { named(mapping, event, received_at) };
    Some(ChatNews { scope, chat: None, about, state, status })
}

/// Who an event is about, as any branch of its mapping would say. What a branch cannot read says nothing.
fn named(mapping: &Mapping, event: &Event, received_at: Timestamp) -> Vec<Identifier> {
    let scope = mapping.scope(event, received_at);
    let mut contacts = Contacts::new(PRODUCTION);
    let mut named: Vec<Identifier> = Vec::new();
    for branch in mapping.branches() {
        let Ok(contact) = contacts.take(branch, scope.event()) else { continue };
        let known = if branch.uses_lead { contact.as_seen_by_expressions() } else { Json::Null };
        if let Ok(evidence) = Evidence::of(mapping, event, branch, &contact, scope.with_lead(&known)) {
            let sure = evidence.identifiers.into_iter().filter(|known| known.proof > Proof::Hinted);
            for identifier in sure {
                if !named.contains(&identifier) {
                    named.push(identifier);
                }
            }
        }
        contacts.keep(branch, contact);
    }
    named
}

/// A chat as it is kept, unless many write there, or its id stands for nothing.
pub(super) fn of_one_human(chat: Chat) -> Result<Chat, Flaw> {
    if chat.channel == TELEGRAM && chat.id.starts_with('-') {
        return Err(Flaw {
            field: "chat".to_owned(),
            raw: chat.id,
            code: "group".to_owned(),
            text: "This is a group or a channel of Telegram, where many write, so it is not used to tell who wrote."
                .to_owned(),
        });
    }
    let id = normalise::id(&chat.id, "chat")?;
    Ok(Chat { id, ..chat })
}
