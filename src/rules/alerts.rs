//! What the workspace says about telling a person of trouble; [`crate::alerts`] obeys.

use std::collections::BTreeMap;
use std::time::Duration;

use secrecy::SecretString;

/// Whom to tell, and of what beside causes of needs-attention and pauses.
#[derive(Clone, Debug)]
pub struct AlertRules {
    /// Takes a POST of `{"text", …}`, as Slack and most chat tools do.
    pub webhook: Option<SecretString>,
    /// A chat that a bot of yours writes to.
    pub telegram: Option<TelegramChat>,
    /// People who get mail.
    pub email: Option<Mail>,
    /// How long a source may be silent, unless [`silent`](Self::silent) names it; `None` for as long as it likes.
    pub silent_after: Option<Duration>,
    /// The same by source.
    pub silent: BTreeMap<String, Duration>,
    /// How long live leads may wait for a destination that is not paused, and requests to become leads.
    pub late_after: Duration,
}

impl Default for AlertRules {
    fn default() -> Self {
        Self {
            webhook: None,
            telegram: None,
            email: None,
            silent_after: None,
            silent: BTreeMap::new(),
            late_after: Duration::from_mins(15),
        }
    }
}

impl AlertRules {
    /// How long this source may be silent.
    pub fn silence_of(&self, source: &str) -> Option<Duration> {
        self.silent.get(source).copied().or(self.silent_after)
    }
}

/// A chat that a Telegram bot writes to.
#[derive(Clone, Debug)]
pub struct TelegramChat {
    /// The token of the bot.
    pub token: SecretString,
    /// The id of the chat, or `@name` of a channel.
    pub chat: String,
    /// Root of the Bot API.
    pub url: String,
}

/// The Bot API of Telegram itself.
pub const TELEGRAM: &str = "https://api.telegram.org";

/// How mail is sent.
#[derive(Clone, Debug)]
pub struct Mail {
    /// Host of the SMTP server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is kept from others.
    pub encryption: Encryption,
    /// Whom the server knows us as, and our password; `None` where it asks nobody.
    pub login: Option<(String, SecretString)>,
    /// Whom it comes from.
    pub from: String,
    /// Who gets it.
    pub to: Vec<String>,
    /// The host may lead into a private network.
    pub allow_private_addresses: bool,
}

/// How a connection to an SMTP server is kept from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// TLS from the first byte: usual on port 465.
    Tls,
    /// TLS once both agreed on it, and no mail otherwise: usual on ports 587 and 25.
    Starttls,
    /// None: for a relay on the same machine or network.
    None,
}
