//! What an edit would change for the leads that came.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;

use super::{Edit, Tested};
use crate::access::Role;
use crate::operation::{Means, Operation, OperationError};
use crate::rehearse::{Rehearsal, Rehearsing};
use crate::store::rehearsal::Selection;

/// Runs an edit over the last stored deliveries. Changes nothing, and asks no account.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RehearseMappings {
    /// The edit.
    pub edit: Edit,
    /// Only what came to this source.
    #[serde(default)]
    pub source: Option<String>,
    /// At most so many deliveries, the newest first; up to 5,000.
    pub last: usize,
}

/// What an edit would change.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Rehearsed {
    /// The version that the edit began with against the edit.
    pub rehearsal: Rehearsal,
    /// Whether it came to its end. Otherwise time was up, and fewer deliveries were run than there are.
    pub is_complete: bool,
    /// The tests of all files.
    pub tests: Vec<Tested>,
}

/// Most deliveries of one request.
const LARGEST: usize = 5_000;
/// How long whoever asks is kept waiting.
const PATIENCE: Duration = Duration::from_secs(15);

impl Operation for RehearseMappings {
    const PATH: &'static str = "/api/mappings/rehearse";
    const ROLE: Role = Role::Operator;
    type Answer = Rehearsed;

    /// It changes nothing.
    fn record(&self) -> Option<Value> {
        None
    }

    async fn run(self, means: &Means) -> Result<Rehearsed, OperationError> {
        let until = Instant::now() + PATIENCE;
        let edited = self.edit.texts(means).await?;
        let mut judged = edited.judge(means).await?;
        let tests = std::mem::take(&mut judged.tests);
        let new = judged.sound()?;
        let old = means.versions.get(&self.edit.of).await?;
        let selection = Selection { source: self.source, ..Selection::default() };
        let at_most = self.last.min(LARGEST);
        let mut rehearsing = Rehearsing::begin(&means.store, &old, &new).await?;
        let mut is_complete = false;
        while Instant::now() < until {
            if !rehearsing.page(&selection, at_most).await? {
                is_complete = true;
                break;
            }
        }
        let tests = tests.into_iter().map(Tested::from).collect();
        Ok(Rehearsed { rehearsal: rehearsing.finish(), is_complete, tests })
    }
}
