//! The audit log: [what people changed](LookAtActions).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Means, Operation, OperationError};
use crate::access::Role;
use crate::store::actions::Action;

/// Actions of one answer, when nobody says.
const PAGE: i64 = 50;
/// And at most.
const LARGEST_PAGE: i64 = 1_000;

/// Asks what was done, newest first. Changes nothing.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LookAtActions {
    /// Only of whoever has this name.
    #[serde(default)]
    pub who: Option<String>,
    /// Go on before this one: `next` of the page before.
    #[serde(default)]
    pub before: Option<String>,
    /// At most so many; 50 when absent.
    #[serde(default)]
    pub limit: Option<i64>,
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Actions {
    /// Newest first.
    pub actions: Vec<Action>,
    /// Where the next page begins; absent at the end.
    pub next: Option<String>,
}

impl Operation for LookAtActions {
    const PATH: &'static str = "/api/actions";
    const ROLE: Role = Role::Admin;
    type Answer = Actions;

    fn record(&self) -> Option<Value> {
        None
    }

    async fn run(self, means: &Means) -> Result<Actions, OperationError> {
        let limit = self.limit.unwrap_or(PAGE).clamp(1, LARGEST_PAGE);
        // One more than asked for tells whether there are more.
        let mut actions = means.store.actions(self.before.as_deref(), self.who.as_deref(), limit + 1).await?;
        let page = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = actions.len() > page;
        actions.truncate(page);
        let next = actions.last().filter(|_| more).map(|action| action.id.clone());
        Ok(Actions { actions, next })
    }
}
