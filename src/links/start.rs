//! What stands in the start parameter of a bot's link, and how one is made.
//!
//! Telegram lets 64 letters of `A-Z a-z 0-9 _ -` through, once the person presses Start, and hands them to the bot as
//! `/start PAYLOAD` (Bot API, "Deep linking"). Platforms put the payload into one variable, whatever it is, so it has to be
//! told what it is:
//!
//! | text | kind | word |
//! |---|---|---|
//! | nothing, or what stands for nothing (`null`, `{{start}}`, `0`) | no parameter: ask for the phone | `none` |
//! | digits, at most 20 | an id that a CRM gave | `crm_id` |
//! | a UUID, with or without dashes | a device | `device` |
//! | `lf_` and 22 letters | our own one-time token | `token` |
//! | anything else | a campaign mark, a referral: whatever the link's author meant | `other` |

use uuid::Uuid;

use super::secret::is_token;
use crate::normalise;

/// Most letters that Telegram lets through.
pub const LONGEST: usize = 64;

/// A start parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartParameter {
    /// There is none.
    None,
    /// A number.
    CrmId(String),
    /// A UUID, in lower case and with dashes.
    Device(String),
    /// Our own one-time token.
    Token(String),
    /// Something else.
    Other(String),
}

impl StartParameter {
    /// Every word of [`kind`](Self::kind).
    pub const KINDS: [&'static str; 5] = ["none", "crm_id", "device", "token", "other"];

    /// The word for what it is.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::CrmId(_) => "crm_id",
            Self::Device(_) => "device",
            Self::Token(_) => "token",
            Self::Other(_) => "other",
        }
    }
}

/// What a start parameter is, as a platform's variable holds it or as Telegram's message says it (`/start 17`,
/// `/start@shop_bot 17`).
pub fn start_parameter(text: &str) -> StartParameter {
    let Ok(text) = normalise::id(payload(text), "start") else {
        return StartParameter::None;
    };
    if text.len() <= 20 && text.bytes().all(|letter| letter.is_ascii_digit()) {
        return StartParameter::CrmId(text);
    }
    if is_token(&text) {
        return StartParameter::Token(text);
    }
    // Only the two spellings that a start parameter can have: no braces, no `urn:`.
    let plain = matches!(text.len(), 32 | 36);
    match Uuid::try_parse(&text).ok().filter(|_| plain) {
        Some(device) => StartParameter::Device(device.to_string()),
        None => StartParameter::Other(text),
    }
}

/// The text behind Telegram's command, where the command is there.
fn payload(text: &str) -> &str {
    let text = text.trim();
    let Some(rest) = text.strip_prefix("/start") else { return text };
    match rest.chars().next() {
        None => "",
        Some(' ' | '\n' | '\t') => rest,
        // A group names the bot; another command begins with these letters too.
        Some('@') => rest.split_once(char::is_whitespace).map_or("", |(_, payload)| payload),
        Some(_) => text,
    }
}

/// Whether a text can stand in a link for everybody to read: Telegram lets it through, it is read back as nothing else,
/// and it is no phone (the only personal data that is written without any other letter).
pub fn may_go_as_is(text: &str) -> bool {
    let fits = (1..=LONGEST).contains(&text.len())
        && text.bytes().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, b'_' | b'-'));
    let digits = text.split(|letter: char| !letter.is_ascii_digit()).map(str::len).max().unwrap_or(0);
    fits && digits < 7 && start_parameter(text) == StartParameter::Other(text.to_owned())
}

/// The link into a bot: `bot` is its name in Telegram (`shop_bot`, `@shop_bot`, `t.me/shop_bot`) or an `https` address
/// that takes `start` like Telegram does. What is wrong otherwise.
pub fn deep_link(bot: &str, start: Option<&str>) -> Result<String, String> {
    let address = address(bot.trim())?;
    let Some(start) = start else { return Ok(address) };
    let (address, fragment) =
        address.split_once('#').map_or((&*address, None), |(address, fragment)| (address, Some(fragment)));
    let joint = if address.contains('?') { '&' } else { '?' };
    let fragment = fragment.map(|fragment| format!("#{fragment}")).unwrap_or_default();
    Ok(format!("{address}{joint}start={start}{fragment}"))
}

fn address(bot: &str) -> Result<String, String> {
    let told = || {
        format!(
            "'{bot}' is no bot: write its name in Telegram, such as shop_bot, or its address, such as https://t.me/shop_bot"
        )
    };
    if let Some(rest) = bot.strip_prefix("https://") {
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let sound =
            |letter: char| !letter.is_whitespace() && !letter.is_control() && !"\"<>\\^`{|}".contains(letter);
        if !host.contains('.') || host.contains('@') || !bot.chars().all(sound) {
            return Err(told());
        }
        let parameters = rest.split_once('?').map(|(_, query)| query).unwrap_or_default();
        if parameters.split(['&', '#']).any(|pair| pair.split('=').next() == Some("start")) {
            return Err(format!("'{bot}' has a start parameter already: leave it out, it is added"));
        }
        return Ok(bot.to_owned());
    }
    let name = bot.strip_prefix("t.me/").or_else(|| bot.strip_prefix('@')).unwrap_or(bot);
    let named = (5..=32).contains(&name.len())
        && name.bytes().all(|letter| letter.is_ascii_alphanumeric() || letter == b'_');
    if named { Ok(format!("https://t.me/{name}")) } else { Err(told()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::links::draw_token;

    #[test]
    fn a_start_parameter_says_what_it_is() {
        let check = |text: &str, kind: &str, value: &str| {
            let got = start_parameter(text);
            let said = match &got {
                StartParameter::None => "",
                StartParameter::CrmId(value)
                | StartParameter::Device(value)
                | StartParameter::Token(value)
                | StartParameter::Other(value) => value,
            };
            assert_eq!((got.kind(), said), (kind, value), "{text:?}");
        };
        // The two that Botmother puts into one variable, and the phone variant that has neither.
        check("900000417", "crm_id", "900000417");
        check("1f9c7c0e-5d0b-4a0e-9c2d-5b7a3a6c9e10", "device", "1f9c7c0e-5d0b-4a0e-9c2d-5b7a3a6c9e10");
        check("", "none", "");
        check("  \n", "none", "");
        check("null", "none", "");
        check("undefined", "none", "");
        check("{{mindboxid}}", "none", "");
        check("${Recipient.Id}", "none", "");
        check("0", "none", "");
        check("00000000-0000-0000-0000-000000000000", "none", "");
        check("1F9C7C0E-5D0B-4A0E-9C2D-5B7A3A6C9E10", "device", "1f9c7c0e-5d0b-4a0e-9c2d-5b7a3a6c9e10");
        check("1f9c7c0e5d0b4a0e9c2d5b7a3a6c9e10", "device", "1f9c7c0e-5d0b-4a0e-9c2d-5b7a3a6c9e10");
        check("lf_ZRvJxYsn6Vr2sQVQ83kLdM", "token", "lf_ZRvJxYsn6Vr2sQVQ83kLdM");
        check("lf_ZRvJxYsn6Vr2sQVQ83kLd", "other", "lf_ZRvJxYsn6Vr2sQVQ83kLd");
        check("lf_ZRvJxYsn6Vr2sQVQ83kLd-", "other", "lf_ZRvJxYsn6Vr2sQVQ83kLd-");
        check("summer-2026", "other", "summer-2026");
        check("-5", "other", "-5");
        check("123456789012345678901", "other", "123456789012345678901");
        check("/start", "none", "");
        check("/start 900000417", "crm_id", "900000417");
        check("/start@shop_bot 900000417", "crm_id", "900000417");
        check("/start@shop_bot", "none", "");
        check("/started 17", "other", "/started 17");
    }

    #[test]
    fn only_what_is_nobodys_and_comes_through_goes_as_it_is() {
        let check = |text: &str, expect: bool| assert_eq!(may_go_as_is(text), expect, "{text:?}");
        check("summer-2026", true);
        check("promo_A", true);
        check(&"a".repeat(64), true);
        check(&"a".repeat(65), false);
        check("", false);
        check("осінь", false);
        check("olena@example.com", false);
        check("380671234567", false);
        check("tel-380671234567", false);
        // These would be read as something else.
        check("17", false);
        check("null", false);
        check("lf_ZRvJxYsn6Vr2sQVQ83kLdM", false);
    }

    #[test]
    fn a_link_leads_into_the_bot() {
        let check = |bot: &str, start: Option<&str>, expect: Result<&str, &str>| {
            let got = deep_link(bot, start);
            match expect {
                Ok(link) => assert_eq!(got.as_deref(), Ok(link), "{bot}"),
                Err(part) => assert!(got.as_ref().is_err_and(|why| why.contains(part)), "{bot}: {got:?}"),
            }
        };
        check("shop_bot", Some("17"), Ok("https://t.me/shop_bot?start=17"));
        check("@shop_bot", Some("17"), Ok("https://t.me/shop_bot?start=17"));
        check("t.me/shop_bot", Some("17"), Ok("https://t.me/shop_bot?start=17"));
        check("https://t.me/shop_bot", Some("17"), Ok("https://t.me/shop_bot?start=17"));
        check("https://t.me/shop_bot", None, Ok("https://t.me/shop_bot"));
        check(
            "https://go.example.com/b?src=mail#x",
            Some("17"),
            Ok("https://go.example.com/b?src=mail&start=17#x"),
        );
        check("https://t.me/shop_bot?start=5", Some("17"), Err("start parameter already"));
        check("shop bot", None, Err("no bot"));
        check("bot", None, Err("no bot"));
        check("http://t.me/shop_bot", None, Err("no bot"));
        check("https://evil@t.me/", None, Err("no bot"));
        check("https://t.me/a\"b", None, Err("no bot"));
        check("javascript:alert(1)", None, Err("no bot"));
    }

    proptest! {
        #[test]
        fn any_text_is_something(text in ".*") {
            prop_assert!(StartParameter::KINDS.contains(&start_parameter(&text).kind()));
        }

        #[test]
        fn our_tokens_come_through(random in any::<[u8; 32]>()) {
            let token = draw_token(&random);
            prop_assert!(token.len() <= LONGEST);
            prop_assert_eq!(start_parameter(&format!("/start {token}")), StartParameter::Token(token));
        }
    }
}
