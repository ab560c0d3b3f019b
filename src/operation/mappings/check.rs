//! What is wrong with an edit.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Edit, Judged, Tested, Told};
use crate::access::Role;
use crate::operation::{Means, Operation, OperationError};

/// Says what is wrong with an edit, as `leadfold check` does. Changes nothing.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckMappings {
    /// The edit.
    pub edit: Edit,
    /// Also compare its names with what the accounts of the active version have, which are asked where that is not known.
    #[serde(default)]
    pub accounts: bool,
}

/// What is wrong.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Checked {
    /// Problems in the order of files and places.
    pub problems: Vec<Told>,
    /// The tests of all files.
    pub tests: Vec<Tested>,
    /// Whether it says something else than the version that it began with.
    pub differs: bool,
}

impl Operation for CheckMappings {
    const PATH: &'static str = "/api/mappings/check";
    const ROLE: Role = Role::Operator;
    type Answer = Checked;

    /// It changes nothing, and is asked for while people type.
    fn record(&self) -> Option<Value> {
        None
    }

    async fn run(self, means: &Means) -> Result<Checked, OperationError> {
        let edited = self.edit.texts(means).await?;
        if self.accounts {
            // Of an account that does not answer nothing is compared.
            drop(means.catalogs.ask(&*means.active().await?, means.clock.now()).await);
        }
        let Judged { problems, tests, .. } = edited.judge(means).await?;
        Ok(Checked {
            problems: problems.iter().map(Told::from).collect(),
            tests: tests.into_iter().map(Tested::from).collect(),
            differs: edited.base != edited.files,
        })
    }
}
