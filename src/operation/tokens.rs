//! What uses the API: [listing](LookAtTokens) access tokens, [adding](AddToken) and [removing](RemoveToken) them.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::users::{Changed, given};
use super::{Means, Operation, OperationError};
use crate::access::{AccessError, Name, Role};
use crate::store::access::AccessToken;
use crate::token;

/// Asks which access tokens there are. Changes nothing.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LookAtTokens {}

/// Access tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tokens {
    /// By name.
    pub tokens: Vec<AccessToken>,
}

/// Makes an access token.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AddToken {
    /// What it is for.
    pub name: Name,
    /// What it may.
    pub role: Role,
}

/// A token that was made.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Added {
    /// What it is called.
    pub name: String,
    /// What it may.
    pub role: Role,
    /// The token, which only its hash is kept of: nobody sees it again.
    pub token: String,
}

impl fmt::Debug for Added {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Added").field("name", &self.name).field("role", &self.role).finish_non_exhaustive()
    }
}

/// Removes an access token, and ends what began with it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveToken {
    /// Which.
    pub name: Name,
}

/// What a token begins with, so that one that was published by mistake is found and known.
const MARK: &str = "leadfold_";

impl Operation for LookAtTokens {
    const PATH: &'static str = "/api/tokens";
    const ROLE: Role = Role::Admin;
    type Answer = Tokens;

    fn record(&self) -> Option<Value> {
        None
    }

    async fn run(self, means: &Means) -> Result<Tokens, OperationError> {
        Ok(Tokens { tokens: means.store.access_tokens().await? })
    }
}

impl Operation for AddToken {
    const PATH: &'static str = "/api/tokens/add";
    const ROLE: Role = Role::Admin;
    type Answer = Added;

    fn record(&self) -> Option<Value> {
        Some(json!({ "name": self.name, "role": self.role }))
    }

    async fn run(self, means: &Means) -> Result<Added, OperationError> {
        let (role, name) = (self.role, given(self.role, self.name)?);
        let secret = format!("{MARK}{}", URL_SAFE_NO_PAD.encode(means.clock.secret()));
        let token = AccessToken { name: name.clone(), role, created_at: means.clock.now() };
        let added = means.store.add_access_token(token, token::hash(&secret)).await?;
        if added { Ok(Added { name, role, token: secret }) } else { Err(AccessError::Taken.into()) }
    }
}

impl Operation for RemoveToken {
    const PATH: &'static str = "/api/tokens/remove";
    const ROLE: Role = Role::Admin;
    type Answer = Changed;

    fn record(&self) -> Option<Value> {
        Some(json!({ "name": self.name }))
    }

    async fn run(self, means: &Means) -> Result<Changed, OperationError> {
        let name = String::from(self.name);
        means.store.remove_access_token(&name, means.entrance.needs_admin()).await??;
        Ok(Changed { name })
    }
}
