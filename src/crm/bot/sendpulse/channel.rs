//! The messengers that `SendPulse` has bots in: their paths, the shape of a text, and what tells that a chat is gone. Pure.

use serde_json::{Value, json};

/// A messenger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Channel {
    Telegram,
    Instagram,
    WhatsApp,
    Viber,
    LiveChat,
    Messenger,
    TikTok,
}

impl Channel {
    /// How its webhooks call them, which is what stands in a chat.
    pub(super) const NAMES: [&str; 7] =
        ["telegram", "instagram", "whatsapp", "viber", "livechat", "messenger", "tiktok"];

    /// The messenger of this name, however it is spelt.
    pub(super) fn named(name: &str) -> Option<Self> {
        let letters: String =
            name.trim().to_lowercase().chars().filter(char::is_ascii_alphanumeric).collect();
        Some(match letters.as_str() {
            "telegram" => Self::Telegram,
            "instagram" => Self::Instagram,
            "whatsapp" => Self::WhatsApp,
            "viber" => Self::Viber,
            "livechat" => Self::LiveChat,
            "messenger" | "facebook" => Self::Messenger,
            "tiktok" => Self::TikTok,
            _ => return None,
        })
    }

    /// Its name for people.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Telegram => "Telegram",
            Self::Instagram => "Instagram",
            Self::WhatsApp => "WhatsApp",
            Self::Viber => "Viber",
            Self::LiveChat => "the live chat",
            Self::Messenger => "Messenger",
            Self::TikTok => "TikTok",
        }
    }

    /// Where its calls are.
    pub(super) fn path(self) -> &'static [&'static str] {
        match self {
            Self::Telegram => &["telegram"],
            Self::Instagram => &["instagram"],
            Self::WhatsApp => &["whatsapp"],
            Self::Viber => &["viber", "chatbots"],
            Self::LiveChat => &["live-chat"],
            Self::Messenger => &["messenger"],
            Self::TikTok => &["tiktok"],
        }
    }

    /// A text as its `contacts/send` takes it.
    pub(super) fn message(self, text: &str) -> Value {
        match self {
            Self::Telegram => json!({ "message": { "type": "text", "text": text } }),
            Self::WhatsApp => json!({ "message": { "type": "text", "text": { "body": text } } }),
            Self::Messenger => {
                json!({ "message": { "type": "RESPONSE", "content_type": "message", "text": text } })
            }
            Self::Instagram => json!({ "messages": [{ "type": "text", "message": { "text": text } }] }),
            Self::Viber | Self::LiveChat | Self::TikTok => {
                json!({ "messages": [{ "type": "text", "text": { "text": text } }] })
            }
        }
    }

    /// Whether a bot may only write for a while after the person did.
    pub(super) fn has_window(self) -> bool {
        match self {
            Self::Instagram | Self::WhatsApp | Self::Messenger | Self::TikTok => true,
            Self::Telegram | Self::Viber | Self::LiveChat => false,
        }
    }

    /// Whether a refusal says that the person has left this chat.
    ///
    /// What the messenger itself said is passed on: "Forbidden: bot was blocked by the user". Its own `not_active` means
    /// that too, except where the chat may only be asleep.
    pub(super) fn is_gone(self, refusal: &Value) -> bool {
        let said = refusal["errors"].to_string().to_lowercase();
        let passed_on = ["forbidden: ", "blocked by the user", "user is deactivated"];
        passed_on.iter().any(|words| said.contains(words))
            || (!self.has_window() && said.contains("contact.errors.not_active"))
    }
}
