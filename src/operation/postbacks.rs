//! Postbacks for people: what waits, what was dropped as a repeat, and correcting both.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Means, Operation, OperationError};
use crate::access::Role;
use crate::id::DeliveryId;
use crate::prepare::counting;
use crate::store::postback_hand::{Corrected, NotCorrected};
use crate::store::postbacks::{PostbackRow, PostbackState};

/// Postbacks of one request.
const PAGE: i64 = 100;
/// The most that one may ask for.
const LARGEST_PAGE: i64 = 1_000;

/// Lists postbacks in one state. Changes nothing.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LookAtPostbacks {
    /// Which state; waiting, when nobody says.
    #[serde(default)]
    pub state: Option<PostbackState>,
    /// Only those of this source.
    #[serde(default)]
    pub source: Option<String>,
    /// Behind this one: `next` of the page before.
    #[serde(default)]
    pub after: Option<Uuid>,
    /// At most so many: 100, and no more than 1000.
    #[serde(default)]
    pub limit: Option<i64>,
}

/// A page of postbacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Postbacks {
    /// Oldest first.
    pub postbacks: Vec<PostbackRow>,
    /// Where to go on, when there may be more.
    pub next: Option<Uuid>,
}

/// Counts a repeat that was none, or one that was uncounted: it gets the next ordinal, and what a branch has for that.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CountPostback {
    /// The id of its delivery, its event or its lead.
    pub which: String,
}

/// Takes a counted postback's ordinal back, because it was a repeat. Nothing that was done is taken back.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UncountPostback {
    /// The id of its delivery, its event or its lead.
    pub which: String,
}

impl Operation for LookAtPostbacks {
    const PATH: &'static str = "/api/postbacks";
    const ROLE: Role = Role::Viewer;
    type Answer = Postbacks;

    async fn run(self, means: &Means) -> Result<Postbacks, OperationError> {
        let Self { state, source, after, limit } = self;
        let limit = limit.unwrap_or(PAGE).clamp(1, LARGEST_PAGE);
        let state = state.unwrap_or(PostbackState::Waiting);
        let found = means.store.postbacks(state, source.as_deref(), after.map(DeliveryId), limit).await?;
        let full = i64::try_from(found.len()).is_ok_and(|found| found == limit);
        let next = found.last().filter(|_| full).map(|last| last.delivery.0);
        Ok(Postbacks { postbacks: found, next })
    }
}

impl Operation for CountPostback {
    const PATH: &'static str = "/api/postbacks/count";
    const ROLE: Role = Role::Operator;
    type Answer = Corrected;

    async fn run(self, means: &Means) -> Result<Corrected, OperationError> {
        let found = named(means, &self.which).await?;
        let counting = counting(&means.active().await?, &means.clock);
        let corrected = means.store.count_by_hand(found.delivery, &counting).await?;
        let corrected = corrected.map_err(|why| OperationError::Refused(not_counted(&found, why)))?;
        tracing::info!(delivery = %found.delivery, "a postback is counted by hand");
        (means.wake_workers)();
        Ok(corrected)
    }
}

impl Operation for UncountPostback {
    const PATH: &'static str = "/api/postbacks/uncount";
    const ROLE: Role = Role::Operator;
    type Answer = Corrected;

    async fn run(self, means: &Means) -> Result<Corrected, OperationError> {
        let found = named(means, &self.which).await?;
        let corrected = means.store.uncount(found.delivery, means.clock.now()).await?;
        let corrected = corrected.map_err(|why| OperationError::Refused(not_uncounted(&found, why)))?;
        tracing::info!(delivery = %found.delivery, "a postback is uncounted by hand");
        Ok(corrected)
    }
}

async fn named(means: &Means, which: &str) -> Result<PostbackRow, OperationError> {
    let unknown = || {
        OperationError::Refused(format!(
            "there is no postback '{which}': give the id of its lead, its event or its delivery, as `leadfold postbacks \
             list --state repeat` shows them"
        ))
    };
    let id: Uuid = which.trim().parse().map_err(|_| unknown())?;
    means.store.postback(&id.to_string()).await?.ok_or_else(unknown)
}

fn not_counted(postback: &PostbackRow, why: NotCorrected) -> String {
    match why {
        NotCorrected::Stands(PostbackState::Counted) => {
            let ordinal = postback.ordinal.map(|ordinal| format!("#{ordinal}")).unwrap_or_default();
            format!("it is counted already, as {}{ordinal}", postback.event)
        }
        NotCorrected::Stands(PostbackState::Arrived | PostbackState::Waiting) => format!(
            "it waits for somebody with the click id {}, and is counted by itself when they come, until {}",
            postback.click, postback.until
        ),
        NotCorrected::Stands(PostbackState::Ended) => {
            let lead = postback.lead.map(|lead| lead.to_string()).unwrap_or_default();
            format!(
                "nobody came with its click id in time: `leadfold replay {lead} --replan` lets it wait again"
            )
        }
        NotCorrected::Stands(PostbackState::Repeat | PostbackState::Uncounted) | NotCorrected::NotThere => {
            "it is not there any more: retention removed it, or its person was erased".to_owned()
        }
        NotCorrected::Nobody => "nobody has its click id any more: its person was erased".to_owned(),
        NotCorrected::Emptied(at) => {
            format!("retention removed its request on {at}, so nobody can say what it would become")
        }
    }
}

fn not_uncounted(postback: &PostbackRow, why: NotCorrected) -> String {
    match why {
        NotCorrected::Stands(state) => {
            format!("it has no number that could be taken back: it is {}", state.as_str())
        }
        NotCorrected::NotThere | NotCorrected::Nobody | NotCorrected::Emptied(_) => {
            not_counted(postback, why)
        }
    }
}
