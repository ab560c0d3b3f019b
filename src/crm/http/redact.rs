//! What of a CRM's message may be shown: no secrets, no whole phones or emails, and not too much of it.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use reqwest::Url;
use serde_json::Value;

use crate::telemetry::masked;

/// The longest message that is kept, in characters.
const LONGEST: usize = 300;

/// What a secret is replaced by.
const HIDDEN: &str = "•••";

/// Secrets that were learnt on the way are forgotten when so many newer ones are known: a token lives for an hour, and the
/// one before it may still be under way.
const LEARNT: usize = 2;

/// Cleans texts of one destination.
pub(super) struct Redactor {
    secrets: Vec<String>,
    /// The forms of each, the newest last.
    learnt: Mutex<VecDeque<Vec<String>>>,
}

impl Redactor {
    pub(super) fn new(secrets: impl IntoIterator<Item = String>) -> Self {
        let mut secrets: Vec<String> = secrets
            .into_iter()
            .filter(|secret| !secret.is_empty())
            .flat_map(|secret| forms(&secret))
            .collect();
        // Longest first, so that a secret that contains another one leaves no rest.
        secrets.sort_by(|a, b| (b.len(), a).cmp(&(a.len(), b)));
        secrets.dedup();
        Self { secrets, learnt: Mutex::default() }
    }

    /// Hides also this secret, which an account handed out.
    pub(super) fn learn(&self, secret: &str) {
        if secret.is_empty() {
            return;
        }
        let mut learnt = self.learnt.lock().unwrap_or_else(PoisonError::into_inner);
        if learnt.len() == LEARNT {
            learnt.pop_front();
        }
        learnt.push_back(forms(secret));
    }

    /// The text without secrets, otherwise as it is.
    pub(super) fn hide(&self, text: &str) -> String {
        let mut text = Cow::Borrowed(text);
        let learnt = self.learnt.lock().unwrap_or_else(PoisonError::into_inner);
        for secret in learnt.iter().flatten().chain(&self.secrets) {
            if text.contains(secret.as_str()) {
                text = Cow::Owned(text.replace(secret.as_str(), HIDDEN));
            }
        }
        text.into_owned()
    }

    /// The text without secrets, with personal data masked, on one line, cut to a length that people read.
    pub(super) fn clean(&self, text: &str) -> String {
        let line: String =
            self.hide(text).chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
        let masked = masked(line.trim());
        if masked.chars().count() <= LONGEST {
            return masked;
        }
        masked.chars().take(LONGEST).chain(['…']).collect()
    }
}

/// A secret as it is, and as it stands in a query, in a path and in JSON.
fn forms(secret: &str) -> Vec<String> {
    let in_query = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let in_path = Url::parse("http://host").ok().and_then(|mut url| {
        url.path_segments_mut().ok()?.push(secret);
        url.path().strip_prefix('/').map(str::to_owned)
    });
    let json = Value::from(secret).to_string();
    let in_json = json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).map(str::to_owned);
    [Some(secret.to_owned()), Some(in_query), in_path, in_json].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &str) {
        let redactor = Redactor::new(["s3cret".to_owned(), "s3cret-and-more".to_owned(), String::new()]);
        assert_eq!(redactor.clean(text), expect);
    }

    #[test]
    fn hides_what_must_not_be_seen() {
        check("", "");
        check("phone is taken", "phone is taken");
        check("bad token s3cret.", "bad token •••.");
        check("bad token s3cret-and-more!", "bad token •••!");
        check("phone +38 067 123-45-67 is taken", "phone +38•••67 is taken");
        check("{\"email\":\"olena.k@example.com\"}", "{\"email\":\"ole•••om\"}");
        check("deal 1234 of 2026", "deal 1234 of 2026");
        check("two\nlines\u{0}here", "two lines here");
        check("٠٦٧١٢٣٤٥٦٧ is taken", "٠٦٧•••٦٧ is taken");
    }

    #[test]
    fn a_secret_is_hidden_however_it_is_escaped() {
        let redactor = Redactor::new(["a b+\"c/д".to_owned()]);
        for text in ["a b+\"c/д", "a+b%2B%22c%2F%D0%B4", "a%20b+%22c%2F%D0%B4", "a b+\\\"c/д"] {
            assert_eq!(
                redactor.hide(&format!("x={text}&\n+380671234567")),
                "x=•••&\n+380671234567",
                "{text}"
            );
        }
    }

    #[test]
    fn a_secret_may_be_learnt_on_the_way() {
        let redactor = Redactor::new(["s3cret".to_owned()]);
        redactor.learn("");
        for token in ["first/token", "second", "third"] {
            redactor.learn(token);
        }
        assert_eq!(redactor.hide("s3cret second third"), "••• ••• •••");
        assert_eq!(redactor.hide("first/token"), "first/token", "two are enough");
        redactor.learn("a/b");
        assert_eq!(redactor.hide("GET /a%2Fb"), "GET /•••");
    }

    #[test]
    fn is_never_long() {
        let long = Redactor::new([]).clean(&"ї".repeat(10_000));
        assert_eq!(long.chars().count(), LONGEST + 1);
    }
}
