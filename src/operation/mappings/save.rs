//! Making an edit the active version.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Edit, Edited, guarded};
use crate::access::Role;
use crate::map::Files;
use crate::operation::apply::Apply;
use crate::operation::{Means, NO_VERSION, Operation, OperationError};
use crate::workspace::{Place, short};

/// Makes an edit active: in the folder of a server that follows its files, in the database otherwise.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SaveMappings {
    /// The edit. The version that it began with must still be the active one.
    pub edit: Edit,
}

/// Makes an earlier version active again.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GoBack {
    /// Hash of the version.
    pub to: String,
    /// The version that is active as far as whoever asks knows.
    pub instead_of: String,
}

/// What is active now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Saved {
    /// Its hash.
    pub version: String,
    /// Whether its files were written; otherwise it is in the database alone.
    pub in_files: bool,
}

impl Operation for SaveMappings {
    const PATH: &'static str = "/api/mappings/save";
    const ROLE: Role = Role::Admin;
    type Answer = Saved;

    /// The texts are in the registry, under the hash of the version.
    fn record(&self) -> Option<Value> {
        Some(json!({ "of": self.edit.of, "files": self.edit.files.keys().collect::<Vec<_>>() }))
    }

    async fn run(self, means: &Means) -> Result<Saved, OperationError> {
        let edited = self.edit.texts(means).await?;
        save(means, &self.edit.of, edited).await
    }
}

impl Operation for GoBack {
    const PATH: &'static str = "/api/versions/back";
    const ROLE: Role = Role::Admin;
    type Answer = Saved;

    async fn run(self, means: &Means) -> Result<Saved, OperationError> {
        let gone = || {
            OperationError::Refused(
                "this version is not kept any more; `leadfold versions` lists those that are".to_owned(),
            )
        };
        let base = means.store.version(&self.instead_of).await?.ok_or_else(gone)?;
        let files = means.store.version(&self.to).await?.ok_or_else(gone)?;
        let problems = guarded(means, &base, &files);
        save(means, &self.instead_of, Edited { base, files, problems }).await
    }
}

async fn save(means: &Means, known: &str, edited: Edited) -> Result<Saved, OperationError> {
    let place = means.home.place();
    if let Place::Nowhere(why) = &place {
        return Err(OperationError::Refused(format!(
            "nothing is changed: {why}. Take the patch, and apply it in the folder"
        )));
    }
    still_active(means, known).await?;
    let judged = edited.judge(means).await?;
    let failed = judged.tests.iter().filter(|test| test.ran);
    let failed: Vec<String> =
        failed.filter_map(|test| test.failure.as_ref().map(|_| test.to_string())).collect();
    judged.sound()?;
    if !failed.is_empty() {
        return Err(OperationError::Refused(format!(
            "nothing is changed: tests of this edit fail. Mend it, or what they expect:\n{}",
            failed.join("\n")
        )));
    }
    let Edited { base, files, .. } = edited;
    let apply = |instead_of| Apply { files: files.0.clone(), instead_of, with_secrets: true };
    if place == Place::Database {
        let version = apply(Some(known.to_owned())).run(means).await?.version;
        return Ok(Saved { version, in_files: false });
    }
    apply(None).usable(means).await?;
    let version = files.hash();
    if version != known {
        let (home, written) = (Arc::clone(&means.home), files.clone());
        let writing = tokio::task::spawn_blocking(move || home.write(&base, &written));
        let wrote = writing.await.map_err(|failure| OperationError::Refused(failure.to_string()))?;
        wrote.map_err(OperationError::Refused)?;
        // Whoever follows the files makes the same of them with its next looks.
        activate(means, &version, &files).await?;
    }
    Ok(Saved { version, in_files: true })
}

async fn activate(means: &Means, version: &str, files: &Files) -> Result<(), OperationError> {
    Ok(means.store.activate(version, files, means.clock.now()).await?)
}

/// Refuses an edit that began with another version than the active one.
async fn still_active(means: &Means, known: &str) -> Result<(), OperationError> {
    let active = means.store.active_hash().await?;
    let active = active.ok_or_else(|| OperationError::Refused(NO_VERSION.to_owned()))?;
    if active == known {
        return Ok(());
    }
    let (known, active) = (short(known), short(&active));
    Err(OperationError::Refused(format!(
        "nothing is changed: this edit began with version {known}, and {active} is active by now, so somebody else saved \
         meanwhile. See under Versions what they changed, open the file again, and repeat the edit"
    )))
}
