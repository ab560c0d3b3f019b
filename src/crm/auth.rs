//! `auth:` of a destination that the workspace describes: how the other side wants to be told who we are.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::ConnectError;
use super::http::Call;
use super::settings;
use crate::map::{Reader, Section};

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
    /// Those of a destination.
    pub(super) fn of(settings: settings::Reader<'_>) -> Result<Self, ConnectError> {
        let Some(text) = settings.text("auth") else { return Ok(Self::None) };
        // The error is not shown: it may quote the secret.
        serde_json::from_str(text).map_err(|_| {
            let name = &settings.0.name;
            ConnectError(format!(
                "destination `{name}`: setting `auth` cannot be read; `leadfold check` says why"
            ))
        })
    }

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

/// Notes what is wrong with `auth:`: it is exactly one way to say who we are. The secrets themselves are read with the other settings.
pub(super) fn check(reader: &Reader<'_>, destination: &Section<'_>) {
    let ways = &["bearer", "header", "basic", "query"];
    let Some(node) = destination.get("auth") else { return };
    let Some(section) = reader.section(node, "`auth`", ways) else { return };
    let mut said = ways.iter().filter_map(|way| Some((*way, section.get(way)?)));
    let help = "write one of: { bearer: \"${TOKEN}\" }, { header: { X-Api-Key: \"${KEY}\" } }, \
                { query: { api_key: \"${KEY}\" } }, { basic: { user: me, password: \"${PASSWORD}\" } }";
    let (first, second) = (said.next(), said.next());
    let (Some((way, value)), None) = (first, second) else {
        reader.error(node.span, "`auth` must say one way to send the credentials", Some(help.to_owned()));
        return;
    };
    let sound = match way {
        "bearer" => value.scalar().is_some(),
        "basic" => {
            let section = reader.section(value, "`auth.basic`", &["user", "password"]);
            section.is_none_or(|section| section.get("user").and(section.get("password")).is_some())
        }
        _ => reader.entries(value, "`auth`").is_none_or(|section| !section.node.entries().is_empty()),
    };
    if !sound {
        reader.error(value.span, format!("`auth.{way}` is not complete"), Some(help.to_owned()));
    }
}
