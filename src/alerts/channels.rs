//! The ways to tell a person.

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::mail;
use crate::crm::http::post_json;
use crate::rules::{AlertRules, TelegramChat};

/// A way to tell a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Channel {
    /// A URL that takes a POST of `{"text", "cause", "over", "link"}`: what Slack and most chat tools understand.
    Webhook,
    /// A chat that a bot writes to.
    Telegram,
    /// Mail.
    Email,
}

/// What is said.
pub(super) struct Note<'a> {
    /// Of which trouble.
    pub(super) cause: &'a str,
    /// What is known of it.
    pub(super) text: &'a str,
    /// It is over.
    pub(super) over: bool,
    /// Where to look at it.
    pub(super) link: Option<String>,
}

impl Note<'_> {
    fn line(&self) -> String {
        let over = if self.over { "it is over: " } else { "" };
        let text = if self.text.is_empty() { self.cause } else { self.text };
        format!("leadfold: {over}{text}")
    }

    /// The line, and the link below it.
    fn words(&self) -> String {
        self.with_link(&self.line())
    }

    /// The same for chat tools, which take `<…>` for a link or for a call to everybody: a CRM may quote what a stranger wrote
    /// (Slack's documentation: "Escaping text").
    fn words_for_chat(&self) -> String {
        self.with_link(&self.line().replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"))
    }

    fn with_link(&self, words: &str) -> String {
        let link = self.link.as_ref().map_or_else(String::new, |link| format!("\n{link}"));
        format!("{words}{link}")
    }

    /// A line for a list of mails.
    fn subject(&self) -> String {
        let (kind, place) = self.cause.split_once(':').unwrap_or((self.cause, ""));
        let over = if self.over { "over: " } else { "" };
        format!("leadfold: {over}{} ({place})", kind.replace('_', " "))
    }
}

impl Channel {
    /// Those that the workspace names.
    pub(super) fn of(rules: &AlertRules) -> Vec<Self> {
        let named = [
            (Self::Webhook, rules.webhook.is_some()),
            (Self::Telegram, rules.telegram.is_some()),
            (Self::Email, rules.email.is_some()),
        ];
        named.into_iter().filter_map(|(channel, is_named)| is_named.then_some(channel)).collect()
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Telegram => "telegram",
            Self::Email => "email",
        }
    }

    /// Says it. The error never holds an address or a token.
    pub(super) async fn send(self, rules: &AlertRules, note: &Note<'_>) -> Result<(), String> {
        let AlertRules { webhook, telegram, email, .. } = rules;
        match (self, webhook, telegram, email) {
            (Self::Webhook, Some(url), ..) => {
                let body = json!({ "text": note.words_for_chat(), "cause": note.cause, "over": note.over, "link": note.link });
                taken(post_json(url, body.to_string()).await)
            }
            (Self::Telegram, _, Some(chat), _) => telegram_message(chat, note).await,
            (Self::Email, _, _, Some(mail)) => mail::send(mail, note.subject(), note.words()).await,
            // Only those that are named are asked for.
            _ => Ok(()),
        }
    }
}

/// `sendMessage` of the Bot API. Its answer has the same status as its body says.
async fn telegram_message(chat: &TelegramChat, note: &Note<'_>) -> Result<(), String> {
    let root = chat.url.trim_end_matches('/');
    let url = format!("{root}/bot{}/sendMessage", chat.token.expose_secret());
    let body = json!({
        "chat_id": chat.chat,
        // Longer than the API takes is no message at all.
        "text": note.words().chars().take(LONGEST).collect::<String>(),
        "link_preview_options": { "is_disabled": true },
    });
    taken(post_json(&SecretString::from(url), body.to_string()).await)
}

/// Characters of a message of the Bot API.
const LONGEST: usize = 4_096;

fn taken(status: Result<u16, String>) -> Result<(), String> {
    match status? {
        200..300 => Ok(()),
        status => Err(format!("it answered {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_erased_is_told_by_its_cause() {
        let note = |text, over| Note { cause: "crm_rejected:crm", text, over, link: None };
        assert_eq!(note("'crm' refuses it.", false).words(), "leadfold: 'crm' refuses it.");
        assert_eq!(note("'crm' refuses it.", true).words(), "leadfold: it is over: 'crm' refuses it.");
        let quoted = note("it says <!channel> <https://evil.example|A & B>", false);
        assert_eq!(
            quoted.words_for_chat(),
            "leadfold: it says &lt;!channel&gt; &lt;https://evil.example|A &amp; B&gt;"
        );
        assert_eq!(note("", true).words(), "leadfold: it is over: crm_rejected:crm");
        assert_eq!(note("", true).subject(), "leadfold: over: crm rejected (crm)");
        let link = Some("https://leads.example.com/attention#crm_rejected:crm".to_owned());
        let linked = Note { link, ..note("x", false) };
        assert_eq!(linked.words(), "leadfold: x\nhttps://leads.example.com/attention#crm_rejected:crm");
    }
}
