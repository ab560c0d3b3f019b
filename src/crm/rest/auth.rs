//! How the described CRM wants to be told who we are.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use crate::crm::http::Call;

/// Credentials, in the shape of `auth:`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Auth {
    /// None of their own; some CRMs carry them in the address.
    #[default]
    None,
    /// `Authorization: Bearer …`
    Bearer(Secret),
    /// Headers.
    Header(BTreeMap<String, Secret>),
    /// `Authorization: Basic …`
    Basic { user: String, password: Secret },
    /// Query parameters.
    Query(BTreeMap<String, Secret>),
}

/// A text that does not print.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "String")]
pub(super) struct Secret(SecretString);

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl Auth {
    /// The call with the credentials on it.
    pub(super) fn on(&self, call: Call) -> Call {
        match self {
            Self::None => call,
            Self::Bearer(token) => call.bearer(&token.0),
            Self::Header(headers) => {
                headers.iter().fold(call, |call, (name, value)| call.header(name, value.0.expose_secret()))
            }
            Self::Basic { user, password } => call.basic(user, &password.0),
            Self::Query(parameters) => {
                let pairs: Vec<_> =
                    parameters.iter().map(|(name, value)| (name.as_str(), value.0.expose_secret())).collect();
                call.query(&pairs)
            }
        }
    }

    /// Texts that must never be shown.
    pub(super) fn secrets(&self) -> Vec<SecretString> {
        match self {
            Self::None => Vec::new(),
            Self::Bearer(secret) | Self::Basic { password: secret, .. } => vec![secret.0.clone()],
            Self::Header(secrets) | Self::Query(secrets) => {
                secrets.values().map(|secret| secret.0.clone()).collect()
            }
        }
    }
}
