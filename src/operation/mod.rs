//! What people ask of a leadfold: one type for each thing, run by a process that may write.
//!
//! A command runs its operation itself when the database is free, and posts it to the server that has the database
//! otherwise ([`crate::cli`]); the server's handler ([`crate::web`]) runs the very same function. Long work is asked for in
//! pieces, each short enough for one request, so that progress can be shown and an end half-way leaves nothing undone
//! that was said to be done.

pub mod actions;
pub mod apply;
pub mod attention;
pub mod deep_links;
pub mod destinations;
pub mod entrance;
pub mod erase;
pub mod held;
pub mod links;
pub mod mappings;
pub mod overview;
pub mod people;
pub mod pools;
pub mod postbacks;
pub mod replay;
pub mod tokens;
pub mod triggers;
pub mod users;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use self::entrance::Entrance;
use self::mappings::Catalogs;
use crate::access::{AccessError, Caller, Role};
use crate::clock::Clock;
use crate::map::{Mapping, Workspace};
use crate::store::corrections::NotDone;
use crate::store::{Store, StoreError};
use crate::telemetry::masked;
use crate::workspace::{Home, Versions};

/// Why nothing can be said of a workspace, and what to do.
pub const NO_VERSION: &str = "no version of the workspace is active in this database yet: `leadfold serve` or `leadfold apply` makes the first";

/// Country of a phone that names none, where nobody says which.
pub const DEFAULT_REGION: &str = "UA";

fn default_regions() -> Vec<String> {
    vec![DEFAULT_REGION.to_owned()]
}

/// What an operation works with.
#[derive(Clone)]
pub struct Means {
    /// The registry.
    pub store: Store,
    /// Any version of the workspace.
    pub versions: Arc<Versions>,
    /// The folder of the workspace.
    pub home: Arc<Home>,
    /// What the accounts said that they have.
    pub catalogs: Arc<Catalogs>,
    /// How people get in.
    pub entrance: Arc<Entrance>,
    /// Whether nobody but this machine reaches the process.
    pub loopback: bool,
    /// Who asks; no request says that of itself.
    pub caller: Caller,
    /// Time and ids.
    pub clock: Arc<dyn Clock>,
    /// Says that there may be something to do for the workers of this process, if it has any.
    pub wake_workers: Arc<dyn Fn() + Send + Sync>,
}

impl Means {
    /// The active version of the workspace.
    async fn active(&self) -> Result<Arc<Workspace>, OperationError> {
        let Some(hash) = self.store.active_hash().await? else {
            return Err(OperationError::Refused(NO_VERSION.to_owned()));
        };
        Ok(self.versions.get(&hash).await?)
    }

    /// Countries of a phone that names none, as the mappings have them.
    pub async fn regions(&self) -> Vec<String> {
        let Ok(workspace) = self.active().await else { return default_regions() };
        let mappings = workspace.sources.values().filter_map(|source| source.mapping.as_ref().ok());
        let named = mappings.flat_map(Mapping::branches).flat_map(|branch| &branch.phone.regions);
        let mut regions: Vec<String> = Vec::new();
        for region in named {
            if !regions.contains(region) {
                regions.push(region.clone());
            }
        }
        if regions.is_empty() { default_regions() } else { regions }
    }
}

/// Something that people ask for.
pub trait Operation: Serialize + DeserializeOwned + JsonSchema + Send + 'static {
    /// Where the server takes it by POST.
    const PATH: &'static str;
    /// Whoever may less than this is refused.
    const ROLE: Role;
    /// What comes of it.
    type Answer: Serialize + DeserializeOwned + JsonSchema + Send + 'static;
    /// Every HTTP status that an answer may have.
    const STATUSES: &'static [u16] = &[200];

    /// What the audit log keeps of it: no secret, and nothing personal that is not masked. `None` for what changes nothing,
    /// and for what machines ask for many times a second, of which the registry tells.
    fn record(&self) -> Option<Value> {
        matches!(Self::ROLE, Role::Operator | Role::Admin).then(|| without_personal_data(self))
    }

    /// The HTTP status of an answer, one of [`STATUSES`](Self::STATUSES).
    fn status(_answer: &Self::Answer) -> u16 {
        200
    }

    /// Does it.
    fn run(self, means: &Means) -> impl Future<Output = Result<Self::Answer, OperationError>> + Send;
}

/// Why an operation was not done.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OperationError {
    /// It cannot be done as it was asked: what is wrong and what to do.
    #[error("{0}")]
    Refused(String),
    /// Something else must be so first, for two people to be made one, or two.
    #[error("{0}")]
    NotDone(#[from] NotDone),
    /// Something about users and access tokens is not so.
    #[error("{0}")]
    Access(#[from] AccessError),
    /// Whoever asks may not.
    #[error("{0}")]
    Forbidden(String),
    /// The registry did not take it.
    #[error("{0}")]
    Storage(#[from] StoreError),
}

/// Refuses whoever may not ask for this, whatever exactly they ask.
pub fn allow<O: Operation>(caller: &Caller) -> Result<(), OperationError> {
    if caller.role.may(O::ROLE) {
        return Ok(());
    }
    Err(OperationError::Forbidden(may_not(caller, O::ROLE)))
}

/// Does what somebody asks for, if they may, and lets the audit log tell of it: the one way in, for console, API and commands.
pub async fn ask<O: Operation>(
    operation: O,
    caller: &Caller,
    means: &Means,
) -> Result<O::Answer, OperationError> {
    allow::<O>(caller)?;
    let means = &Means { caller: caller.clone(), ..means.clone() };
    let Some(asked) = operation.record() else { return operation.run(means).await };
    let id = means.clock.new_id();
    means.store.begin_action(id, caller, O::PATH, &asked, means.clock.now()).await?;
    let answer = operation.run(means).await;
    let outcome = answer.as_ref().map_or_else(ToString::to_string, |_| DONE.to_owned());
    // Whatever came of it is done; that the log does not say so must not make anybody do it again.
    if let Err(failure) = means.store.end_action(id, &masked(&outcome)).await {
        tracing::error!(operation = O::PATH, %failure, "the audit log does not say what came of this");
    }
    answer
}

/// The outcome of an action that was done.
pub const DONE: &str = "done";

fn may_not(caller: &Caller, role: Role) -> String {
    if caller.is_site() {
        return "this takes the token of the whole API; the one of a site is for its links only".to_owned();
    }
    // Whoever is given a role is no site.
    let role = role.max(if caller.role == Role::Viewer { Role::Operator } else { Role::Viewer });
    format!(
        "this takes the role {role}, and {} has the role {}. An admin can give another: `leadfold users role {} {role}`",
        caller.name, caller.role, caller.name
    )
}

/// An operation as the audit log keeps it: phones and emails in it are masked, ids are not.
fn without_personal_data(operation: &impl Serialize) -> Value {
    fn mask(value: &mut Value) {
        match value {
            Value::String(text) if text.parse::<uuid::Uuid>().is_err() => *text = masked(text),
            Value::Array(items) => items.iter_mut().for_each(mask),
            Value::Object(entries) => entries.values_mut().for_each(mask),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut record = serde_json::to_value(operation).unwrap_or_default();
    mask(&mut record);
    record
}
