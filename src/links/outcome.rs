//! Every outcome: its code, what happened in a sentence, what to do next, and the status of the answer.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What became of a request about a link. The codes are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "LinkOutcome")]
#[expect(missing_docs, reason = "the sentences below say what each is")]
pub enum Outcome {
    WrongPin,
    ExpiredPin,
    TooManyTries,
    PinRequired,
    UnknownLink,
    ExpiredLink,
    UsedLink,
    EndedLink,
    PinOnItsWay,
    NoLiveChat,
    Recognised,
    Linked,
    AlreadyLinked,
    Conflict,
    Bound,
    Found,
    Register,
    Rebound,
    Kept,
    UnknownTicket,
    ExpiredTicket,
    UsedTicket,
    NothingToSettle,
    Unlinked,
    NotLinked,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 25] = [
        Self::WrongPin,
        Self::ExpiredPin,
        Self::TooManyTries,
        Self::PinRequired,
        Self::UnknownLink,
        Self::ExpiredLink,
        Self::UsedLink,
        Self::EndedLink,
        Self::PinOnItsWay,
        Self::NoLiveChat,
        Self::Recognised,
        Self::Linked,
        Self::AlreadyLinked,
        Self::Conflict,
        Self::Bound,
        Self::Found,
        Self::Register,
        Self::Rebound,
        Self::Kept,
        Self::UnknownTicket,
        Self::ExpiredTicket,
        Self::UsedTicket,
        Self::NothingToSettle,
        Self::Unlinked,
        Self::NotLinked,
    ];

    /// The word that programs go by.
    pub fn code(self) -> &'static str {
        self.row().0
    }

    /// What happened.
    pub fn message(self) -> &'static str {
        self.row().2
    }

    /// What to do next.
    pub fn next(self) -> &'static str {
        self.row().3
    }

    /// Every HTTP status there is.
    pub const STATUSES: &'static [u16] = &[200, 404, 429];

    /// The HTTP status: 200 for whatever a site handles while a visitor looks on.
    pub fn status(self) -> u16 {
        self.row().1
    }

    /// Whether it counts against whoever asks: it is what somebody gets who guesses.
    pub fn is_failure(self) -> bool {
        matches!(self, Self::WrongPin | Self::UnknownLink | Self::UnknownTicket)
    }

    /// Code, status, what happened, what to do.
    fn row(self) -> (&'static str, u16, &'static str, &'static str) {
        match self {
            Self::WrongPin => (
                "wrong_pin",
                200,
                "The PIN is wrong.",
                "Let the visitor try again while `tries_left` is not 0, or offer a new PIN while `new_pin` is true.",
            ),
            Self::ExpiredPin => (
                "expired_pin",
                200,
                "The PIN is too old.",
                "Offer a new PIN while `new_pin` is true; otherwise the visitor asks the bot for a new link.",
            ),
            Self::TooManyTries => (
                "too_many_tries",
                429,
                "There were too many wrong tries, of this PIN or of this visitor.",
                "Offer a new PIN while `new_pin` is true; otherwise let the visitor wait for a quarter of an hour and \
                 ask the bot for a new link.",
            ),
            Self::PinRequired => (
                "pin_required",
                200,
                "The link is good, and there is no PIN in the request.",
                "Ask the visitor for the PIN that stands in the chat.",
            ),
            Self::UnknownLink => (
                "unknown_link",
                404,
                "There is no such link: the address is not complete, or the link is long gone.",
                "Let the visitor open the link in the chat, or ask the bot for a new one.",
            ),
            Self::ExpiredLink => {
                ("expired_link", 200, "The link is too old.", "The visitor asks the bot for a new link.")
            }
            Self::UsedLink => (
                "used_link",
                200,
                "The link was used already. It works once, and not for somebody to whom it was forwarded.",
                "The visitor asks the bot for a new link.",
            ),
            Self::EndedLink => (
                "ended_link",
                200,
                "The link does not count any more: the chat has a newer one, or was unlinked.",
                "The visitor opens the newest link in the chat, or asks the bot for one.",
            ),
            Self::PinOnItsWay => (
                "pin_on_its_way",
                200,
                "Another PIN is sent into the chat of this link. It takes the place of the one before.",
                "Ask the visitor for the PIN that comes; whether the messenger delivers it is not known here.",
            ),
            Self::NoLiveChat => (
                "no_live_chat",
                200,
                "Nothing can be written into the chat of this link: its person blocked the bot.",
                "The visitor unblocks the bot and asks it for a new link.",
            ),
            Self::Recognised => (
                "recognised",
                200,
                "The link is good and needs no PIN: whoever opened it has it from the person, or is them.",
                "Show a form and take what is entered as this person's. Log nobody in, and show nothing of theirs.",
            ),
            Self::Linked => (
                "linked",
                200,
                "The visitor is the person of the chat, who is this user of the site.",
                "Log the visitor in as `user_id`.",
            ),
            Self::AlreadyLinked => (
                "already_linked",
                200,
                "The visitor is the person of the chat, and the chat is linked with the user of the request.",
                "Nothing is to be done: go back to the site.",
            ),
            Self::Conflict => (
                "conflict",
                200,
                "The visitor is the person of the chat, and something contradicts the user of the request.",
                "Ask the visitor, then call /api/links/settle with the `ticket` and `rebind` (the user of the request) or \
                 `keep` (leave everything as it is).",
            ),
            Self::Bound => (
                "bound",
                200,
                "The chat is linked with the user of the request from now on.",
                "Nothing is to be done: go back to the site.",
            ),
            Self::Found => (
                "found",
                200,
                "The visitor is the person of the chat, who may be one of these users; nobody has proved it.",
                "Let the visitor log in as one of `candidates` with the site's own means, then call /api/links/bind with \
                 the `ticket` and the user. Where none is theirs: register.",
            ),
            Self::Register => (
                "register",
                200,
                "The visitor is the person of the chat, and no user of the site is known for them.",
                "Let the visitor register or log in, then call /api/links/bind with the `ticket` and the user.",
            ),
            Self::Rebound => (
                "rebound",
                200,
                "The chat is linked with the user of the request, and no more with the one before.",
                "Nothing is to be done: go back to the site.",
            ),
            Self::Kept => (
                "kept",
                200,
                "Everything stays as it is.",
                "With a `user_id` the visitor may be logged in as that one; without, the chat is linked with nobody.",
            ),
            Self::UnknownTicket => (
                "unknown_ticket",
                404,
                "There is no such ticket.",
                "Use the `ticket` of the answer to /api/links/verify, or begin again with a new link.",
            ),
            Self::ExpiredTicket => (
                "expired_ticket",
                200,
                "The ticket is too old.",
                "The visitor asks the bot for a new link and begins again.",
            ),
            Self::UsedTicket => (
                "used_ticket",
                200,
                "The ticket was used already, or the chat was unlinked or got a newer link since.",
                "When the first call was this very one, it is done. Otherwise the visitor asks the bot for a new link.",
            ),
            Self::NothingToSettle => (
                "nothing_to_settle",
                200,
                "There was no conflict.",
                "Call /api/links/bind with the ticket and the user.",
            ),
            Self::Unlinked => (
                "unlinked",
                200,
                "The chat and the user are not linked any more.",
                "Nothing is to be done. A new link binds them again.",
            ),
            Self::NotLinked => {
                ("not_linked", 200, "There was no link to take away.", "Nothing is to be done.")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_are_one_each_and_what_serde_writes() {
        let codes: BTreeSet<&str> = Outcome::ALL.into_iter().map(Outcome::code).collect();
        assert_eq!(codes.len(), Outcome::ALL.len());
        for outcome in Outcome::ALL {
            assert_eq!(serde_json::to_value(outcome).unwrap(), outcome.code());
            assert!(outcome.message().ends_with('.') && outcome.next().ends_with('.'), "{}", outcome.code());
            assert!(matches!(outcome.status(), 200 | 404 | 429), "{}", outcome.code());
        }
    }

    #[test]
    fn the_documentation_has_every_outcome() {
        let table = include_str!("mod.rs");
        for outcome in Outcome::ALL {
            assert!(table.contains(&format!("`{}`", outcome.code())), "{}", outcome.code());
        }
    }
}
