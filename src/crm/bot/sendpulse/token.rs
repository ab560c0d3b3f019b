//! The access token: OAuth client credentials, an hour at a time.
//!
//! It is fetched when a call needs it and kept in memory. Calls that come together wait for one fetch, and share its failure
//! too, so that a batch does not knock on a closed door once for each of its calls.

use std::time::Duration;

use reqwest::Method;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::crm::http::Http;
use crate::crm::{CrmError, Priority};

/// How long a token lives that does not say it. `SendPulse` gives an hour.
const USUAL_LIFE: Duration = Duration::from_hours(1);

/// A token is not used in the last minute of its life, so that it does not end under way.
const MARGIN: Duration = Duration::from_mins(1);

/// The tokens of one account.
pub(super) struct Tokens {
    client_id: SecretString,
    client_secret: SecretString,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    token: Option<Token>,
    /// When the last fetch failed, and why.
    failure: Option<(Instant, CrmError)>,
}

struct Token {
    text: SecretString,
    until: Instant,
}

impl Tokens {
    pub(super) fn new(client_id: SecretString, client_secret: SecretString) -> Self {
        Self { client_id, client_secret, kept: Mutex::default() }
    }

    /// A token that is good as far as is known: not the one that was `refused`.
    pub(super) async fn get(
        &self,
        http: &Http,
        priority: Priority,
        refused: Option<&SecretString>,
    ) -> Result<SecretString, CrmError> {
        let asked_at = Instant::now();
        let mut kept = self.kept.lock().await;
        let is_good = |token: &&Token| {
            let is_refused = refused.is_some_and(|old| old.expose_secret() == token.text.expose_secret());
            token.until > Instant::now() && !is_refused
        };
        if let Some(token) = kept.token.as_ref().filter(is_good) {
            return Ok(token.text.clone());
        }
        if let Some((at, error)) = &kept.failure
            && *at > asked_at
        {
            return Err(error.clone());
        }
        let fetched = self.fetch(http, priority).await;
        *kept = match &fetched {
            Ok(token) => Kept { token: Some(Token { text: token.text.clone(), ..*token }), failure: None },
            Err(error) => Kept { token: None, failure: Some((Instant::now(), error.clone())) },
        };
        fetched.map(|token| token.text)
    }

    async fn fetch(&self, http: &Http, priority: Priority) -> Result<Token, CrmError> {
        let credentials = json!({
            "grant_type": "client_credentials",
            "client_id": self.client_id.expose_secret(),
            "client_secret": self.client_secret.expose_secret(),
        });
        let call = http.call("access_token", Method::POST, &["oauth", "access_token"], priority);
        let call = call.json(&credentials).secret_in_answer("/access_token");
        // The clock of the token began to run when it was made, which is not before this.
        let from = Instant::now();
        let body = http.read(call).await.map_err(refused)?.body;
        let text = body["access_token"].as_str().filter(|text| !text.is_empty()).ok_or_else(|| {
            let why = "access_token: the bot answered without a token; is `url` the API of SendPulse?";
            CrmError::Rejected { why: why.to_owned() }
        })?;
        Ok(Token { text: text.into(), until: from + usable(&body["expires_in"]) })
    }
}

/// How long a token is used.
fn usable(expires_in: &Value) -> Duration {
    let seconds = expires_in.as_u64().or_else(|| expires_in.as_str()?.trim().parse().ok());
    // A token that says it lives for centuries is looked at again tomorrow.
    let life = seconds.map_or(USUAL_LIFE, Duration::from_secs).min(Duration::from_hours(24));
    life.saturating_sub(MARGIN.min(life / 10))
}

/// A refusal is one of our credentials: OAuth 2.0 answers `invalid_client` with 400 as well (RFC 6749, section 5.2).
fn refused(error: CrmError) -> CrmError {
    match error {
        CrmError::Rejected { why } => CrmError::Unauthorised {
            why: format!("{why}; check `client_id` and `client_secret` (Settings > API of SendPulse)"),
        },
        CrmError::Retry { .. } | CrmError::Unauthorised { .. } => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_used_until_shortly_before_its_end() {
        let check = |expires_in: Value, expect: u64| {
            assert_eq!(usable(&expires_in), Duration::from_secs(expect), "{expires_in}");
        };
        check(json!(3600), 3540);
        check(json!("3600"), 3540);
        check(json!(100), 90);
        check(json!(0), 0);
        check(json!(-5), 3540);
        check(Value::Null, 3540);
        check(json!("soon"), 3540);
        check(json!(u64::MAX), 24 * 3600 - 60);
    }
}
