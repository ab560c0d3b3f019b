//! What of a CRM's message may be shown: no secrets, no whole phones or emails, and not too much of it.

use std::borrow::Cow;

use reqwest::Url;
use serde_json::Value;

use crate::telemetry::masked;

/// The longest message that is kept, in characters.
const LONGEST: usize = 300;

/// What a secret is replaced by.
const HIDDEN: &str = "•••";

/// Cleans texts of one destination.
pub(super) struct Redactor {
    secrets: Vec<String>,
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
        Self { secrets }
    }

    /// The text without secrets, otherwise as it is.
    pub(super) fn hide(&self, text: &str) -> String {
        let mut text = Cow::Borrowed(text);
        for secret in &self.secrets {
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
    fn is_never_long() {
        let long = Redactor::new([]).clean(&"ї".repeat(10_000));
        assert_eq!(long.chars().count(), LONGEST + 1);
    }
}
