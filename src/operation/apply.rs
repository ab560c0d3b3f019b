//! Making a version of the workspace the active one.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Means, Operation, OperationError};
use crate::access::Role;
use crate::crm;
use crate::failpoint::failpoint;
use crate::map::{Files, Severity, diverted, hidden};
use crate::workspace::{readable_secrets, short};

/// Asks for the active version. Secrets that somebody wrote out in it are hidden, unless whoever asks has the token that
/// leadfold was started with.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LookAtActive {}

/// The active version; both are absent before there is one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Active {
    /// Its hash.
    pub version: Option<String>,
    /// Its texts by file name.
    pub files: BTreeMap<String, String>,
}

impl Operation for LookAtActive {
    const PATH: &'static str = "/api/versions/active";
    const ROLE: Role = Role::Admin;
    type Answer = Active;

    async fn run(self, means: &Means) -> Result<Active, OperationError> {
        Ok(match means.store.active_version().await? {
            None => Active::default(),
            Some((version, files)) => {
                let files =
                    if means.caller.may_know_secrets() { files } else { hidden(&files, &crm::kinds()) };
                Active { version: Some(version), files: files.0 }
            }
        })
    }
}

/// Makes these texts the active version; every process takes them up within a second or two. One that changes where secrets
/// are sent takes the token that leadfold was started with.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Apply {
    /// The texts by file name.
    pub files: BTreeMap<String, String>,
    /// The version that is active as far as whoever asks knows. When another one is, nothing is changed: its author and
    /// this one had better talk.
    pub instead_of: Option<String>,
    /// Whether this process must be able to work with the version: yes in a server, no in a command, which need not know
    /// the secrets.
    pub with_secrets: bool,
}

/// What is active now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Applied {
    /// Its hash.
    pub version: String,
}

impl Operation for Apply {
    const PATH: &'static str = "/api/versions";
    const ROLE: Role = Role::Admin;
    type Answer = Applied;

    fn record(&self) -> Option<Value> {
        Some(json!({ "version": Files(self.files.clone()).hash(), "instead_of": self.instead_of }))
    }

    async fn run(self, means: &Means) -> Result<Applied, OperationError> {
        self.keeps_secrets(means).await?;
        let version = self.usable(means).await?;
        let files = Files(self.files);
        if self.instead_of.as_ref() == Some(&version) {
            return Ok(Applied { version });
        }
        let known = self.instead_of.as_deref();
        if means.store.activate_instead_of(known, &version, &files, means.clock.now()).await? {
            failpoint!("apply.activated");
            return Ok(Applied { version });
        }
        let active = means.store.active_hash().await?;
        let active = active.as_deref().map_or("none", short);
        let known = known.map_or("none", short);
        Err(OperationError::Refused(format!(
            "nothing is changed: the active version is {active} by now and was to be {known}, so somebody applied \
             another one meanwhile. Look at what they changed (`leadfold versions diff {known} {active}`), then apply \
             again"
        )))
    }
}

impl Apply {
    /// Refuses to send secrets elsewhere for somebody who need not know them: whoever was made an admin, not whoever has the
    /// environment. Before anything is compiled, because a message might quote what it resolves to.
    async fn keeps_secrets(&self, means: &Means) -> Result<(), OperationError> {
        if means.caller.may_know_secrets() {
            return Ok(());
        }
        let base = means.store.active_version().await?.map(|(_, files)| files).unwrap_or_default();
        let diverted = diverted(&base, &Files(self.files.clone()));
        let told: Vec<String> =
            diverted.iter().map(|problem| format!("line {}: {}", problem.line, problem.message)).collect();
        if told.is_empty() {
            return Ok(());
        }
        Err(OperationError::Refused(format!(
            "nothing is changed: this version changes where secrets are sent. Apply it at the machine of the database, or \
             with the token that leadfold was started with, which no access token replaces.\n{}",
            told.join("\n")
        )))
    }

    /// The hash of the version, if it can be used.
    pub(super) async fn usable(&self, means: &Means) -> Result<String, OperationError> {
        let files = Files(self.files.clone());
        let compiled = if self.with_secrets {
            means.versions.compile(&files).await
        } else {
            means.versions.compile_without_secrets(&files).await
        };
        let compiled = compiled.map_err(|error| OperationError::Refused(error.to_string()))?;
        let errors = compiled.problems.iter().filter(|problem| problem.severity == Severity::Error);
        let mut errors: Vec<String> = errors.map(ToString::to_string).collect();
        if self.with_secrets && errors.is_empty() {
            let connected = compiled.workspace.destinations.values().map(crm::connect);
            errors.extend(connected.filter_map(Result::err).map(|error| error.to_string()));
            errors.extend(readable_secrets(&compiled.workspace).filter(|_| !means.loopback));
        }
        if !errors.is_empty() {
            return Err(OperationError::Refused(format!(
                "this version cannot be used, so nothing is changed:\n{}",
                errors.join("\n")
            )));
        }
        Ok(compiled.workspace.hash)
    }
}
