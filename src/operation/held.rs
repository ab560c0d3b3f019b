//! Going from observing to live: what was held, and whether it is pushed or skipped.
//!
//! Held leads wait for this answer also once their destination is live: leads that come from then on go ahead of them, and
//! a held lead that is pushed later is decided as one that comes after those.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Means, Operation, OperationError};
use crate::access::Role;
use crate::failpoint::failpoint;
use crate::rules::Mode;
use crate::store::held::{Answer, Held, HeldAnswer};

/// Leads of one request.
const PAGE: u64 = 1_000;
/// Leads per transaction: acknowledgements wait for it.
const TOGETHER: i64 = 64;

/// What is held at a destination. Changes nothing.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LookAtHeld {
    /// Where.
    pub destination: String,
    /// Only the oldest so many.
    #[serde(default)]
    pub limit: Option<u64>,
}

/// What is held at a destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeldHere {
    /// Whether the destination is written to.
    pub mode: Mode,
    /// The leads.
    pub held: Held,
}

/// Pushes or skips held leads.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AnswerHeld {
    /// Where.
    pub destination: String,
    /// Push or skip.
    pub answer: Answer,
    /// Only the oldest so many. A destination that only observes takes no push without it.
    #[serde(default)]
    pub limit: Option<u64>,
    /// Only those that were there when somebody looked: `up_to` of [`LookAtHeld`].
    #[serde(default)]
    pub up_to: Option<i64>,
}

/// What became of held leads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Answered {
    /// How many were answered for. There may be more as long as it is not 0.
    pub count: u64,
}

impl Operation for LookAtHeld {
    const PATH: &'static str = "/api/held";
    const ROLE: Role = Role::Viewer;
    type Answer = HeldHere;

    async fn run(self, means: &Means) -> Result<HeldHere, OperationError> {
        let mode = mode(means, &self.destination).await?;
        let limit = self.limit.and_then(|limit| i64::try_from(limit).ok()).unwrap_or(i64::MAX);
        Ok(HeldHere { mode, held: means.store.held(&self.destination, limit).await? })
    }
}

impl Operation for AnswerHeld {
    const PATH: &'static str = "/api/held/answer";
    const ROLE: Role = Role::Operator;
    type Answer = Answered;

    async fn run(self, means: &Means) -> Result<Answered, OperationError> {
        let Self { destination, answer, limit, up_to } = self;
        let observes = mode(means, &destination).await? == Mode::Observe;
        if answer == Answer::Push && observes && limit.is_none() {
            return Err(OperationError::Refused(only_observes(&destination)));
        }
        let mut left = limit.unwrap_or(PAGE).min(PAGE);
        let mut count = 0;
        while left > 0 {
            let answer = HeldAnswer {
                destination: destination.clone(),
                answer,
                let_through: answer == Answer::Push && observes,
                up_to: up_to.unwrap_or(i64::MAX),
                limit: i64::try_from(left).unwrap_or(TOGETHER).min(TOGETHER),
            };
            let answered = means.store.answer_held(answer, means.clock.now()).await?;
            failpoint!("held.piece");
            if answered == 0 {
                break;
            }
            count += answered;
            left = left.saturating_sub(answered);
        }
        tracing::info!(destination, ?answer, leads = count, "held leads are answered for");
        (means.wake_workers)();
        Ok(Answered { count })
    }
}

/// Why not everything that is held can be pushed yet, and what to do.
pub fn only_observes(destination: &str) -> String {
    format!(
        "'{destination}' only observes. Let a few leads through with --limit, or set `mode: live` in workspace.yaml first: \
         held leads wait for this answer"
    )
}

async fn mode(means: &Means, destination: &str) -> Result<Mode, OperationError> {
    let workspace = means.active().await?;
    workspace.destinations.get(destination).map(|destination| destination.mode).ok_or_else(|| {
        let known: Vec<&str> = workspace.destinations.keys().map(String::as_str).collect();
        OperationError::Refused(format!(
            "the workspace has no destination '{destination}'; it has {}",
            known.join(", ")
        ))
    })
}
