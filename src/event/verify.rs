//! What proves that a request is the platform's own, besides the token in its path.
//!
//! A path ends up in logs of proxies and in screenshots; a header does not. So where a platform can send a secret in a
//! header, or sign what it sends, its preset says how, and the source may set `secret:`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::token::{hash, same};

/// How a platform proves that a request is its own. Checked only for sources that set `secret:`.
#[derive(Debug)]
pub struct Verify {
    /// The header with the proof, in lower case. It is never stored; missing or given twice it proves nothing.
    pub header: &'static str,
    /// What the answer to a request without proof asks for (`WWW-Authenticate`), where HTTP has a word for it.
    pub challenge: Option<&'static str>,
    /// Why no proof could ever hold against this secret; one sentence.
    pub flaw: fn(secret: &str) -> Option<&'static str>,
    /// Whether the header's value proves it, by the source's secret and the bytes of the body. Takes as long for a wrong
    /// proof as for a right one.
    pub proves: fn(secret: &str, given: &[u8], body: &[u8]) -> bool,
}

/// The secret itself, as `setWebhook` was given it (Telegram Bot API, `secret_token`).
pub(super) const TELEGRAM: Verify = Verify {
    header: "x-telegram-bot-api-secret-token",
    challenge: None,
    flaw: |secret| {
        let allowed = |letter: u8| letter.is_ascii_alphanumeric() || b"_-".contains(&letter);
        (secret.len() > 256 || !secret.bytes().all(allowed))
            .then_some("Telegram takes 1 to 256 of A-Z, a-z, 0-9, `_` and `-` as the secret of a webhook")
    },
    proves: |secret, given, _| same(&hash(secret), &hash(given)),
};

/// HTTP Basic authentication (RFC 7617); the secret is `user:password`.
pub(super) const BASIC: Verify = Verify {
    header: "authorization",
    challenge: Some("Basic realm=\"leadfold\""),
    flaw: |secret| {
        (!secret.contains(':')).then_some(
            "for Basic authentication it is the user name, a colon and the password: `user:${PASSWORD}`",
        )
    },
    proves: |secret, given, _| {
        let credentials = basic_credentials(given).unwrap_or_default();
        same(&hash(secret), &hash(&credentials))
    },
};

/// `user:password` out of `Basic dXNlcjpwYXNzd29yZA==`; `None` for any other header.
pub fn basic_credentials(given: &[u8]) -> Option<Vec<u8>> {
    let (scheme, encoded) = str::from_utf8(given).ok()?.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    STANDARD.decode(encoded.trim()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn telegrams_secret_is_the_header() {
        let check = |given: &[u8], expect: bool| {
            assert_eq!((TELEGRAM.proves)("abcDEF_123-xyz", given, b"{}"), expect, "{given:?}");
        };
        check(b"abcDEF_123-xyz", true);
        for wrong in
            ["", "abcDEF_123-xy", "abcDEF_123-xyz ", "ABCDEF_123-XYZ", "abcDEF_123-xyz, abcDEF_123-xyz"]
        {
            check(wrong.as_bytes(), false);
        }
        check(b"abcDEF_123-xy\xff", false);
    }

    #[test]
    fn basic_authentication() {
        let check = |given: &str, expect: bool| {
            assert_eq!((BASIC.proves)("yespo:пароль:1", given.as_bytes(), b""), expect, "{given}");
        };
        let right = STANDARD.encode("yespo:пароль:1");
        check(&format!("Basic {right}"), true);
        check(&format!("basic  {right} "), true);
        for wrong in [
            "",
            "Basic",
            "Basic ",
            &right,
            "Basic eWVzcG8=",
            &format!("Bearer {right}"),
            "Basic yespo:пароль:1",
            "Basic ====",
        ] {
            check(wrong, false);
        }
    }

    #[test]
    fn secrets_that_nobody_could_send_are_told() {
        let check = |verify: &Verify, secret: &str, sound: bool| {
            assert_eq!((verify.flaw)(secret).is_none(), sound, "{secret}");
        };
        check(&TELEGRAM, "abcDEF_123-xyz", true);
        check(&TELEGRAM, &"a".repeat(256), true);
        check(&TELEGRAM, &"a".repeat(257), false);
        check(&TELEGRAM, "with space", false);
        check(&TELEGRAM, "ключ", false);
        check(&BASIC, "user:password", true);
        check(&BASIC, ":", true);
        check(&BASIC, "password", false);
    }
}
