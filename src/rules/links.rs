//! What the workspace says about links between people whom a bot knows and users of a web site; [`crate::links`] obeys.

use std::time::Duration;

/// How links and their PINs are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkRules {
    /// Where a link leads; `{buid}` in it is the public id, which is otherwise added as the parameter `buid`. Without an
    /// address only the public id is given out.
    pub url: Option<String>,
    /// The system whose user ids are bound: the scope of their identifiers.
    pub namespace: String,
    /// Digits of a PIN.
    pub pin_digits: usize,
    /// How long a PIN can be entered.
    pub pin_life: Duration,
    /// How long a link can be opened; new PINs may be drawn for it meanwhile.
    pub life: Duration,
    /// The trigger that sends a new PIN into the chat of a link; `None`: nothing sends one.
    pub send_pin: Option<String>,
}

impl LinkRules {
    /// A link without a PIN tells whoever has it from nobody, so it lives no longer than this.
    pub const LONGEST_WITHOUT_PIN: Duration = Duration::from_hours(1);
    /// The longest life of a link.
    pub const LONGEST: Duration = Duration::from_hours(24 * 30);
    /// The longest life of a PIN: somebody has the chat and the page open at the same time.
    pub const LONGEST_PIN: Duration = Duration::from_hours(1);
    /// Fewest digits: of 10 000 PINs, all tries that one link has ([`TRIES`](Self::TRIES) · [`PINS`](Self::PINS)) hit with
    /// a chance of 0.15 %.
    pub const FEWEST_DIGITS: usize = 4;
    /// More digits than anybody types.
    pub const MOST_DIGITS: usize = 12;
    /// Wrong PINs after which a PIN is worth nothing.
    pub const TRIES: i64 = 5;
    /// PINs of one link. Without a limit, whoever guesses would only have to ask for new ones.
    pub const PINS: i64 = 3;
    /// A PIN that was asked for so lately is on its way still; it is not asked for again.
    pub const PIN_UNDER_WAY: Duration = Duration::from_mins(1);
    /// Wrong PINs and unknown links of one visitor in [`WINDOW`](Self::WINDOW), over all links.
    pub const TRIES_OF_VISITOR: i64 = 20;
    /// The same of a client that does not say which visitor it is: the whole site.
    pub const TRIES_OF_CLIENT: i64 = 400;
    /// How long failures count, from the first on.
    pub const WINDOW: Duration = Duration::from_mins(15);
    /// How long a site may take to settle what a right PIN left open: a registration, a choice.
    pub const TICKET: Duration = Duration::from_mins(30);
}

impl Default for LinkRules {
    fn default() -> Self {
        Self {
            url: None,
            namespace: "web_user".to_owned(),
            pin_digits: 6,
            pin_life: Duration::from_mins(10),
            life: Duration::from_hours(24),
            send_pin: None,
        }
    }
}
