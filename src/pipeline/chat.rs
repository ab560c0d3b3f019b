//! What an event says of a chat, whether or not a branch wants the event: who blocks a bot is filtered, and their chat is
//! blocked all the same.

use super::evidence::TELEGRAM;
use crate::event::{Event, TRIGGER};
use crate::lead::{Chat, ChatNews, Flaw, Lead};
use crate::map::Mapping;
use crate::normalise;

/// What an event says of a chat; `lead` is what its mapping made of it. `None` when it speaks of none.
///
/// The chat is the lead's own. Of an event that no branch wants it is the one that the preset found.
pub fn chat_news(mapping: &Mapping, event: &Event, lead: Option<&Lead>) -> Option<ChatNews> {
    // It speaks of a chat and does not come from it.
    if mapping.preset == TRIGGER {
        return None;
    }
    let found = match lead {
        Some(lead) => lead.chat_scope.clone().zip(lead.chat.clone()),
        None => mapping.found_chat(event).and_then(|(scope, chat)| Some((scope, of_one_human(chat).ok()?))),
    };
    let (state, status) = (event.chat_state.clone(), event.chat_status.clone());
    if let Some((scope, chat)) = found {
        return Some(ChatNews { scope, chat: Some(chat), state, status });
    }
    // An event that only names the person: their chat with the bot that the source names.
    let scope = mapping.chat_scope.clone()?;
    (event.chat.is_none() && (state.is_some() || status.is_some())).then_some(ChatNews {
        scope,
        chat: None,
        state,
        status,
    })
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
