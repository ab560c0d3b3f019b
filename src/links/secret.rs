//! What is given out and cannot be guessed: public ids, PINs, tickets, one-time tokens; and what is kept of each.
//!
//! Nothing that is given out stands in the database. Of public ids, tickets and tokens (131 bits of chance) it holds the
//! SHA-256. A PIN has a million values, so its hash alone would give it away in a second: it is hashed together with a key
//! that follows from the public id of its link, which only those have who have the link. So whoever steals the database
//! cannot try PINs at all, and there is no key to keep, to change or to lose.
//!
//! One PIN is drawn where nobody shows the public id: the one that is sent into a chat because a site asked for it. The key
//! stands in the database from when it is asked for until it is sent, and goes then. A process that dies in between leaves
//! it beside the hash of a PIN that may have gone out; that PIN is worth nothing after its few minutes, nor without the
//! public id before.

use crate::token::{TokenHash, hash, same, to_hex};

/// Letters of tokens: all that Telegram lets through, without the two that a line may break at.
const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Letters of a token: 62^22 is a little more than 2^130.
const LENGTH: usize = 22;
/// How our own tokens in start parameters begin, so that they are told from the ids of others.
const PREFIX: &str = "lf_";

/// A public id of a link: `ZRvJxYsn6Vr2sQVQ83kLdM`. It says nothing of the person, and is another one in every link.
pub fn draw(random: &[u8; 32]) -> String {
    let mut letters = String::with_capacity(LENGTH);
    // The two halves of the chance give eleven letters each: 128 bits for what takes 66, so no text is likelier than
    // another by more than 2^-62.
    for half in [random.first_chunk::<16>(), random.last_chunk::<16>()].into_iter().flatten() {
        let mut number = u128::from_be_bytes(*half);
        for _ in 0..LENGTH / 2 {
            let letter = usize::try_from(number % 62).unwrap_or_default();
            letters.extend(LETTERS.get(letter).copied().map(char::from));
            number /= 62;
        }
    }
    letters
}

/// A one-time token for a start parameter: `lf_…`, 25 letters.
pub fn draw_token(random: &[u8; 32]) -> String {
    format!("{PREFIX}{}", draw(random))
}

/// Whether a text has the shape of our tokens.
pub(super) fn is_token(text: &str) -> bool {
    text.strip_prefix(PREFIX)
        .is_some_and(|rest| rest.len() == LENGTH && rest.bytes().all(|letter| LETTERS.contains(&letter)))
}

/// A PIN of so many digits, at most 12; none is likelier than another by more than 2^-88.
pub fn draw_pin(random: &[u8; 32], digits: usize) -> String {
    let number = random.first_chunk::<16>().map_or(0, |bytes| u128::from_be_bytes(*bytes));
    let values = 10_u128.pow(u32::try_from(digits).unwrap_or(u32::MAX).min(12));
    format!("{:0digits$}", number % values)
}

/// What is kept of a public id, a ticket or a token. `what` keeps one from being taken for another.
pub fn kept(what: Secret, text: &str) -> TokenHash {
    hash(format!("leadfold {}\n{text}", what.word()))
}

/// What the PINs of a link are hashed together with.
pub fn pin_key(buid: &str) -> TokenHash {
    kept(Secret::PinKey, buid)
}

/// What is kept of a PIN.
pub fn kept_pin(key: &TokenHash, pin: &str) -> TokenHash {
    // The key has one length, so no two pairs are written the same.
    hash(format!("leadfold pin\n{}\n{pin}", to_hex(key)))
}

/// Whether this is the PIN, in a time that does not depend on how much of it is right.
pub fn is_pin(kept: &TokenHash, buid: &str, typed: &str) -> bool {
    same(kept, &kept_pin(&pin_key(buid), &as_typed(typed)))
}

/// A PIN as people type it: `482 913`, `482-913`.
fn as_typed(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_whitespace() && *letter != '-').collect()
}

/// What a text is given out as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secret {
    /// The public id of a link.
    Link,
    /// What its PINs are hashed together with.
    PinKey,
    /// The right to settle what a right PIN left open.
    Ticket,
    /// A token in a start parameter.
    Token,
    /// Who tries PINs: what the client says of its visitor.
    Caller,
}

impl Secret {
    fn word(self) -> &'static str {
        match self {
            Self::Link => "link",
            Self::PinKey => "pin key",
            Self::Ticket => "ticket",
            Self::Token => "token",
            Self::Caller => "caller",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashSet};

    use proptest::prelude::*;

    use super::*;
    use crate::clock::{Clock as _, SystemClock};

    #[test]
    fn what_is_drawn_has_one_shape_and_every_letter() {
        let drawn: Vec<String> = (0..2_000).map(|_| draw(&SystemClock.secret())).collect();
        assert!(drawn.iter().all(|text| text.len() == LENGTH && text.bytes().all(|b| LETTERS.contains(&b))));
        assert_eq!(drawn.iter().collect::<HashSet<_>>().len(), drawn.len());
        let letters: HashSet<u8> = drawn.iter().flat_map(|text| text.bytes()).collect();
        assert_eq!(letters.len(), LETTERS.len());
        assert!(is_token(&draw_token(&SystemClock.secret())));
    }

    #[test]
    fn pins_are_spread_evenly_and_keep_their_zeros() {
        assert_eq!(draw_pin(&[0; 32], 6), "000000");
        let mut first: BTreeMap<char, u32> = BTreeMap::new();
        for _ in 0..10_000 {
            let pin = draw_pin(&SystemClock.secret(), 6);
            assert!(pin.len() == 6 && pin.bytes().all(|digit| digit.is_ascii_digit()), "{pin}");
            *first.entry(pin.chars().next().unwrap()).or_default() += 1;
        }
        // 1000 each, give or take seven standard deviations.
        assert!(first.len() == 10 && first.values().all(|count| (790..=1210).contains(count)), "{first:?}");
        assert_eq!(draw_pin(&SystemClock.secret(), 12).len(), 12);
    }

    #[test]
    fn a_pin_is_right_for_one_link_only_however_it_is_typed() {
        let kept = kept_pin(&pin_key("ZRvJxYsn6Vr2sQVQ83kLdM"), "048213");
        let check = |buid: &str, typed: &str, expect: bool| {
            assert_eq!(is_pin(&kept, buid, typed), expect, "{buid} {typed:?}");
        };
        check("ZRvJxYsn6Vr2sQVQ83kLdM", "048213", true);
        check("ZRvJxYsn6Vr2sQVQ83kLdM", " 048 213\n", true);
        check("ZRvJxYsn6Vr2sQVQ83kLdM", "048-213", true);
        check("ZRvJxYsn6Vr2sQVQ83kLdM", "48213", false);
        check("ZRvJxYsn6Vr2sQVQ83kLdM", "048214", false);
        check("ZRvJxYsn6Vr2sQVQ83kLdM", "", false);
        check("ZRvJxYsn6Vr2sQVQ83kLdN", "048213", false);
    }

    #[test]
    fn what_is_kept_of_one_is_not_what_is_kept_of_another() {
        let all = [Secret::Link, Secret::Ticket, Secret::Token, Secret::Caller];
        assert_eq!(all.map(|what| kept(what, "same")).into_iter().collect::<HashSet<_>>().len(), 4);
    }

    proptest! {
        #[test]
        fn any_text_may_be_typed(typed in ".*") {
            prop_assert!(!is_pin(&kept_pin(&pin_key("ZRvJxYsn6Vr2sQVQ83kLdM"), "no digits"), "ZRvJxYsn6Vr2sQVQ83kLdM", &typed));
        }
    }
}
