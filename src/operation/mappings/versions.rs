//! Versions of the workspace: which there were, and what is different between two of them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::access::Role;
use crate::crm::kinds;
use crate::map::{Files, hidden};
use crate::operation::{Means, Operation, OperationError};
use crate::store::versions::VersionRow;
use crate::workspace::difference::differences;

/// Lists the versions that were ever active. Changes nothing.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LookAtVersions {}

/// The versions, the newest first.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Versions {
    /// The versions.
    pub versions: Vec<VersionRow>,
    /// Leads that were counted by version, the newest.
    pub counted: i64,
}

/// Shows what is different between two versions. Changes nothing.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CompareVersions {
    /// Hash of the one.
    pub old: String,
    /// Hash of the other.
    pub new: String,
}

/// What is different between two versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Compared {
    /// The files that differ, by name.
    pub files: Vec<FileDifference>,
    /// Files of which only a secret that is written out differs, which is not shown.
    pub secrets: Vec<String>,
}

impl Compared {
    /// What is different between these texts.
    pub fn between(old: &Files, new: &Files) -> Self {
        let kinds = kinds();
        let shown = differences(&hidden(old, &kinds), &hidden(new, &kinds));
        let differs = |file: &&String| old.0.get(*file) != new.0.get(*file);
        let secrets =
            new.0.keys().filter(differs).filter(|file| shown.iter().all(|changed| changed.file != **file));
        Self {
            secrets: secrets.cloned().collect(),
            files: shown
                .into_iter()
                .map(|changed| FileDifference {
                    file: changed.file,
                    added: changed.added,
                    removed: changed.removed,
                    diff: changed.text,
                })
                .collect(),
        }
    }
}

/// How one file differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileDifference {
    /// Its name.
    pub file: String,
    /// Lines that are only in the new text.
    pub added: usize,
    /// Lines that are only in the old one.
    pub removed: usize,
    /// The difference, as `diff -u` writes it, with secrets that are written out hidden.
    pub diff: String,
}

/// Leads that are counted by version: a page must not take longer in a large registry.
const COUNTED: i64 = 1_000;

impl Operation for LookAtVersions {
    const PATH: &'static str = "/api/versions/list";
    const ROLE: Role = Role::Viewer;
    type Answer = Versions;

    async fn run(self, means: &Means) -> Result<Versions, OperationError> {
        Ok(Versions { versions: means.store.versions(COUNTED).await?, counted: COUNTED })
    }
}

impl Operation for CompareVersions {
    const PATH: &'static str = "/api/versions/compare";
    const ROLE: Role = Role::Viewer;
    type Answer = Compared;

    async fn run(self, means: &Means) -> Result<Compared, OperationError> {
        let (old, new) = (texts(means, &self.old).await?, texts(means, &self.new).await?);
        Ok(Compared::between(&old, &new))
    }
}

async fn texts(means: &Means, hash: &str) -> Result<Files, OperationError> {
    means.store.version(hash).await?.ok_or_else(|| {
        OperationError::Refused(format!("there is no version {hash}, or it is not kept any more"))
    })
}
