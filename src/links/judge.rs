//! The two tables of [`super`]: whether a visitor has shown that the chat is theirs, and which user of the site they are.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::Outcome;
use super::secret::is_pin;
use crate::rules::LinkRules;
use crate::token::TokenHash;

/// A link, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedLink {
    /// How far it is.
    pub state: LinkState,
    /// Whether it needs a PIN.
    pub needs_pin: bool,
    /// What is kept of the PIN; `None` once it was used or has expired.
    pub pin: Option<TokenHash>,
    /// Until when the PIN can be entered.
    pub pin_until: Timestamp,
    /// How many PINs were drawn for it.
    pub pins: i64,
    /// Wrong tries of the newest PIN.
    pub tries: i64,
    /// When it was issued.
    pub created_at: Timestamp,
    /// Until when it can be opened.
    pub until: Timestamp,
}

/// How far a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// It can be opened.
    Open,
    /// Its PIN was right, and something is left to settle.
    Proven,
    /// It was used.
    Used,
    /// A newer one took its place, or the chat was unlinked.
    Ended,
}

impl LinkState {
    /// All, with their words in the database.
    pub const ALL: [(&'static str, Self); 4] =
        [("open", Self::Open), ("proven", Self::Proven), ("used", Self::Used), ("ended", Self::Ended)];

    /// The word in the database.
    pub fn as_str(self) -> &'static str {
        Self::ALL.into_iter().find(|(_, state)| *state == self).map_or("ended", |(word, _)| word)
    }

    /// Reads [`as_str`](Self::as_str) back.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(known, _)| *known == word).map(|(_, state)| state)
    }
}

/// Clocks of processes differ by this much at most. One that was put back by more would give a link its life again.
const SKEW: SignedDuration = SignedDuration::from_mins(2);

impl IssuedLink {
    /// Whether another PIN may be drawn for it.
    pub fn may_have_new_pin(&self, now: Timestamp) -> bool {
        self.state == LinkState::Open && self.needs_pin && self.pins < LinkRules::PINS && self.lives(now)
    }

    /// Tries that are left for its PIN.
    pub fn tries_left(&self) -> i64 {
        (LinkRules::TRIES - self.tries).max(0)
    }

    fn lives(&self, now: Timestamp) -> bool {
        now < self.until && self.began(now)
    }

    fn began(&self, now: Timestamp) -> bool {
        now >= self.created_at.saturating_sub(SKEW).unwrap_or(Timestamp::MIN)
    }

    fn pin_lives(&self, now: Timestamp) -> bool {
        now < self.pin_until && self.began(now)
    }
}

/// What a request about a link proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Examined {
    /// The chat is the visitor's.
    Proven,
    /// Nothing, or not enough.
    Not(Outcome),
}

/// Whether a visitor has shown that the chat of a link is theirs. `failures` are those of the same visitor, of which they
/// have `most`. A pure function: that no two requests are examined on the same tries is up to whoever stores them.
pub fn examine(
    link: Option<&IssuedLink>,
    buid: &str,
    pin: Option<&str>,
    (failures, most): (i64, i64),
    now: Timestamp,
) -> Examined {
    let not = Examined::Not;
    if failures >= most {
        return not(Outcome::TooManyTries);
    }
    let Some(link) = link else { return not(Outcome::UnknownLink) };
    match link.state {
        LinkState::Open => {}
        LinkState::Proven | LinkState::Used => return not(Outcome::UsedLink),
        LinkState::Ended => return not(Outcome::EndedLink),
    }
    if !link.lives(now) {
        return not(Outcome::ExpiredLink);
    }
    if !link.needs_pin {
        return not(Outcome::Recognised);
    }
    let Some(pin) = pin.filter(|pin| !pin.trim().is_empty()) else { return not(Outcome::PinRequired) };
    if link.tries >= LinkRules::TRIES {
        return not(Outcome::TooManyTries);
    }
    let Some(kept) = link.pin.as_ref().filter(|_| link.pin_lives(now)) else {
        return not(Outcome::ExpiredPin);
    };
    if is_pin(kept, buid, pin) { Examined::Proven } else { not(Outcome::WrongPin) }
}

/// Failures of whoever asks that are allowed in a window.
pub fn most_failures(names_visitor: bool) -> i64 {
    if names_visitor { LinkRules::TRIES_OF_VISITOR } else { LinkRules::TRIES_OF_CLIENT }
}

/// Whether failures that began `since` still count.
pub fn still_counts(since: Timestamp, now: Timestamp) -> bool {
    // A clock that was put back does not wipe them out: they count until its time comes again, and as long after that.
    now.duration_since(since) < signed(LinkRules::WINDOW)
}

fn signed(time: Duration) -> SignedDuration {
    SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX)
}

/// Which users of the site somebody is known as.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownUsers {
    /// Whom this chat is linked with.
    pub linked: Option<String>,
    /// Whom else the person is known as: by what was typed, by what a site said, by another chat.
    pub of_person: Vec<String>,
    /// Whom the phones and emails of the request belong to.
    pub by_contact: Vec<String>,
}

/// What is to be done once the chat is known to be the visitor's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Linked(String),
    /// Nothing: the request says what is known.
    AlreadyLinked(String),
    /// Ask: the person is another user.
    Conflict {
        /// As whom they are known.
        known: String,
        /// As whom they come.
        request: String,
    },
    /// Link the chat with this user, unless that one is another person's.
    Bind(String),
    /// Ask: they may be one of these.
    Found(Vec<String>),
    /// Nobody is known.
    Register,
}

/// Which user a visitor is whose chat it is; `request` is who is logged in at the site.
pub fn judge(known: &KnownUsers, request: Option<&str>) -> Verdict {
    match (&known.linked, request) {
        (Some(linked), None) => Verdict::Linked(linked.clone()),
        (Some(linked), Some(request)) if linked == request => Verdict::AlreadyLinked(linked.clone()),
        (Some(linked), Some(request)) => {
            Verdict::Conflict { known: linked.clone(), request: request.to_owned() }
        }
        (None, Some(request)) => match known.of_person.iter().find(|user| *user != request) {
            Some(other) => Verdict::Conflict { known: other.clone(), request: request.to_owned() },
            None => Verdict::Bind(request.to_owned()),
        },
        (None, None) => {
            let mut candidates = known.of_person.clone();
            candidates
                .extend(known.by_contact.iter().filter(|user| !known.of_person.contains(user)).cloned());
            if candidates.is_empty() { Verdict::Register } else { Verdict::Found(candidates) }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::links::{kept_pin, pin_key};

    const BUID: &str = "ZRvJxYsn6Vr2sQVQ83kLdM";
    const PIN: &str = "048213";

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    /// Issued at 0; its PIN lives 600 seconds, itself 3600.
    fn link() -> IssuedLink {
        IssuedLink {
            state: LinkState::Open,
            needs_pin: true,
            pin: Some(kept_pin(&pin_key(BUID), PIN)),
            pin_until: at(600),
            pins: 1,
            tries: 0,
            created_at: at(0),
            until: at(3_600),
        }
    }

    #[test]
    fn what_a_visitor_has_shown() {
        let check =
            |change: fn(&mut IssuedLink), pin: Option<&str>, failures: i64, now: i64, expect: &str| {
                let mut link = link();
                change(&mut link);
                let got = match examine(Some(&link), BUID, pin, (failures, 20), at(now)) {
                    Examined::Proven => "proven",
                    Examined::Not(outcome) => outcome.code(),
                };
                assert_eq!(got, expect, "{link:?} {pin:?} {failures} {now}");
            };
        let as_issued: fn(&mut IssuedLink) = |_| {};
        check(as_issued, Some(PIN), 0, 1, "proven");
        check(as_issued, Some("048214"), 0, 1, "wrong_pin");
        check(as_issued, Some("not a pin"), 0, 1, "wrong_pin");
        check(as_issued, None, 0, 1, "pin_required");
        check(as_issued, Some("  "), 0, 1, "pin_required");
        check(as_issued, Some(PIN), 19, 1, "proven");
        check(as_issued, Some(PIN), 20, 1, "too_many_tries");
        check(as_issued, None, 20, 1, "too_many_tries");
        check(|link| link.tries = 4, Some(PIN), 0, 1, "proven");
        check(|link| link.tries = 5, Some(PIN), 0, 1, "too_many_tries");
        check(as_issued, Some(PIN), 0, 599, "proven");
        check(as_issued, Some(PIN), 0, 600, "expired_pin");
        // An expired PIN does not say whether it would have been right.
        check(as_issued, Some("048214"), 0, 600, "expired_pin");
        check(|link| link.pin = None, Some(PIN), 0, 1, "expired_pin");
        check(as_issued, Some(PIN), 0, 3_600, "expired_link");
        check(|link| link.state = LinkState::Used, Some(PIN), 0, 1, "used_link");
        check(|link| link.state = LinkState::Proven, Some(PIN), 0, 1, "used_link");
        check(|link| link.state = LinkState::Ended, Some(PIN), 0, 1, "ended_link");
        check(|link| link.needs_pin = false, None, 0, 1, "recognised");
        check(|link| link.needs_pin = false, Some(PIN), 0, 1, "recognised");
        check(|link| link.needs_pin = false, None, 0, 3_600, "expired_link");
        // A clock that is put back does not give a link its life again.
        check(as_issued, Some(PIN), 0, -60, "proven");
        check(as_issued, Some(PIN), 0, -3_600, "expired_link");
        let unknown = examine(None, BUID, Some(PIN), (0, 20), at(1));
        assert_eq!(unknown, Examined::Not(Outcome::UnknownLink));
        let elsewhere = examine(Some(&link()), "ZRvJxYsn6Vr2sQVQ83kLdN", Some(PIN), (0, 20), at(1));
        assert_eq!(elsewhere, Examined::Not(Outcome::WrongPin));
    }

    #[test]
    fn a_new_pin_is_drawn_a_few_times_while_the_link_lives() {
        let check = |change: fn(&mut IssuedLink), now: i64, expect: bool| {
            let mut link = link();
            change(&mut link);
            assert_eq!(link.may_have_new_pin(at(now)), expect, "{link:?}");
        };
        check(|_| {}, 700, true);
        check(|link| link.tries = 5, 1, true);
        check(|link| link.pins = 3, 1, false);
        check(|_| {}, 3_600, false);
        check(|link| link.state = LinkState::Used, 1, false);
        check(|link| link.needs_pin = false, 1, false);
    }

    #[test]
    fn failures_count_for_a_window() {
        assert!(still_counts(at(0), at(0)));
        assert!(still_counts(at(0), at(899)));
        assert!(!still_counts(at(0), at(900)));
        assert!(still_counts(at(0), at(-100_000)), "a clock that is put back wipes nothing out");
    }

    #[test]
    fn which_user_a_visitor_is() {
        let check =
            |linked: Option<&str>, person: &[&str], contact: &[&str], request: Option<&str>, expect| {
                let owned = |users: &[&str]| users.iter().map(ToString::to_string).collect();
                let known = KnownUsers {
                    linked: linked.map(str::to_owned),
                    of_person: owned(person),
                    by_contact: owned(contact),
                };
                assert_eq!(judge(&known, request), expect, "{known:?} {request:?}");
            };
        let text = str::to_owned;
        let conflict =
            |known: &str, request: &str| Verdict::Conflict { known: text(known), request: text(request) };
        check(Some("A"), &[], &[], None, Verdict::Linked(text("A")));
        check(Some("A"), &["C"], &["D"], None, Verdict::Linked(text("A")));
        check(Some("A"), &[], &[], Some("A"), Verdict::AlreadyLinked(text("A")));
        check(Some("A"), &[], &[], Some("B"), conflict("A", "B"));
        check(None, &[], &[], Some("B"), Verdict::Bind(text("B")));
        check(None, &["B"], &[], Some("B"), Verdict::Bind(text("B")));
        check(None, &["A"], &[], Some("B"), conflict("A", "B"));
        check(None, &["B", "A"], &[], Some("B"), conflict("A", "B"));
        // Whom a typed phone belongs to contradicts nobody who is logged in.
        check(None, &[], &["A"], Some("B"), Verdict::Bind(text("B")));
        check(None, &["A"], &[], None, Verdict::Found(vec![text("A")]));
        check(None, &[], &["A"], None, Verdict::Found(vec![text("A")]));
        check(None, &["A"], &["A", "D"], None, Verdict::Found(vec![text("A"), text("D")]));
        check(None, &[], &[], None, Verdict::Register);
    }

    proptest! {
        /// What was not proved out of this chat logs nobody in.
        #[test]
        fn only_a_linked_chat_logs_in(person in "[A-D]", contact in "[A-D]", request in proptest::option::of("[A-D]")) {
            let known = KnownUsers { linked: None, of_person: vec![person], by_contact: vec![contact] };
            let verdict = judge(&known, request.as_deref());
            prop_assert!(!matches!(verdict, Verdict::Linked(_) | Verdict::AlreadyLinked(_)));
        }

        #[test]
        fn only_the_right_pin_proves(typed in "[0-9]{6}", now in -10_000_i64..10_000) {
            let proven = examine(Some(&link()), BUID, Some(&typed), (0, 20), at(now)) == Examined::Proven;
            prop_assert_eq!(proven, typed == PIN && (-120..600).contains(&now));
        }
    }
}
