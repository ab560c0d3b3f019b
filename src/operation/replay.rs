//! Replaying leads: [what it would do](PreviewReplay), and doing it page by page.

mod preview;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use self::preview::{Group, Preview, PreviewReplay, Sample};
use super::{Means, Operation, OperationError};
use crate::access::Role;
use crate::failpoint::failpoint;
use crate::id::{DeliveryId, LeadId, PersonId, SyncId};
use crate::map::Workspace;
use crate::prepare::{counting, prepare};
use crate::rules::Mode;
use crate::store::StoreError;
use crate::store::postbacks::PostbackState;
use crate::store::prepare::{Arrived, EventOutcome, Prepared};
use crate::store::replay::{How, Item, LeftAlone, Origin, Remapped, Selection};
use crate::store::syncs::SyncState;
use crate::telemetry::masked;

/// Items of one request.
const PAGE: usize = 200;
/// Leads per transaction: acknowledgements wait for it.
const TOGETHER: usize = 8;
/// The state of a delivery that could not be read.
const UNREADABLE: &str = "unreadable";
/// Leads that may be named in one request.
const MOST_NAMED: usize = 1_000;

/// Replays the next page of a selection.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Replay {
    /// Which leads.
    pub select: Selection,
    /// Resume, re-plan or force.
    pub how: How,
    /// Go on behind this: `next` of the page before.
    #[serde(default)]
    pub after: Option<Uuid>,
    /// Not beyond this: `up_to` of the preview.
    #[serde(default)]
    pub up_to: Option<Uuid>,
}

/// What became of a page.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Replayed {
    /// How many go on.
    pub count: u64,
    /// How many were left as they are.
    pub left_alone: BTreeMap<LeftAlone, u64>,
    /// Where the next page begins; absent at the end.
    pub next: Option<Uuid>,
}

impl Operation for Replay {
    const PATH: &'static str = "/api/replay";
    const ROLE: Role = Role::Operator;
    type Answer = Replayed;

    async fn run(self, means: &Means) -> Result<Replayed, OperationError> {
        let Self { select, how, after, up_to } = self;
        let select = checked(select, how)?;
        if is_of_deliveries(&select) {
            return replay_deliveries(means, &select, after, up_to).await;
        }
        let workspace = means.active().await?;
        let (after, up_to) = (after.map(LeadId), up_to.map(LeadId));
        let (items, next) = means.store.replayable(&select, after, up_to, PAGE).await?;
        let mut replayed = Replayed { next: next.map(|next| next.0), ..Replayed::default() };
        let mut chosen = Vec::new();
        for item in items {
            match item.verdict(how, observes(&workspace, &item)) {
                Ok(()) => chosen.push(item),
                Err(left) => *replayed.left_alone.entry(left).or_default() += 1,
            }
        }
        match how {
            How::Replan => replan(means, &workspace, chosen, &mut replayed).await?,
            How::Resume | How::Force => push_on(means, how, &chosen, &mut replayed).await?,
        }
        tracing::info!(how = ?how, leads = replayed.count, "replayed");
        (means.wake_workers)();
        Ok(replayed)
    }
}

/// Refuses a selection that says nothing or contradicts itself, and fills in which states are meant.
fn checked(mut select: Selection, how: How) -> Result<Selection, OperationError> {
    let refused = |text: String| Err(OperationError::Refused(text));
    if select == Selection::default() {
        return refused(
            "which leads? Name them by id, or by --cause, --destination, --source, --from and --to, or --state".to_owned(),
        );
    }
    if select.leads.len() > MOST_NAMED {
        return refused(format!(
            "these are more than {MOST_NAMED} leads: name them by what they have in common"
        ));
    }
    if select.without_destination && select.destination.is_some() {
        return refused(
            "leads without a destination are on their way to none: leave out one of `destination` and `without_destination`"
                .to_owned(),
        );
    }
    if is_of_deliveries(&select) {
        let narrowed = select.states.len() > 1
            || select.cause.is_some()
            || select.destination.is_some()
            || !select.leads.is_empty();
        if narrowed || how == How::Force {
            return refused(format!(
                "`{UNREADABLE}` means requests that never became leads: it goes with --source, --from and --to, and with \
                 --resume or --replan"
            ));
        }
        return Ok(select);
    }
    if let Some(unknown) = select.states.iter().find(|word| SyncState::parse(word).is_none()) {
        let known: Vec<&str> = SyncState::ALL.iter().map(|state| state.as_str()).collect();
        return refused(format!(
            "there is no state '{unknown}'; there are {} and {UNREADABLE}",
            known.join(", ")
        ));
    }
    if select.states.is_empty() && select.leads.is_empty() {
        // What a person must look at. A reason that was named also ends leads by a rule.
        select.states.push(SyncState::NeedsAttention.as_str().to_owned());
        if select.cause.is_some() {
            select.states.push(SyncState::Filtered.as_str().to_owned());
        }
    }
    Ok(select)
}

fn is_of_deliveries(select: &Selection) -> bool {
    select.states.iter().any(|state| state == UNREADABLE)
}

fn observes(workspace: &Workspace, item: &Item) -> bool {
    let destination = item.destination.as_ref().and_then(|name| workspace.destinations.get(name));
    destination.is_some_and(|destination| destination.mode == Mode::Observe)
}

/// What the active mapping makes of the event that a lead came from.
enum Again {
    /// This; and whose it is, where its click id says that.
    Mapped(EventOutcome, Option<PersonId>),
    /// A postback that is not counted yet: it waits for its click id.
    Waits(Arrived),
}

/// The same; or why nothing, in words too.
async fn remapped(
    means: &Means,
    workspace: &Arc<Workspace>,
    lead: LeadId,
) -> Result<Result<Again, (LeftAlone, String)>, StoreError> {
    let fails = |why: String| Ok(Err((LeftAlone::MappingFails, why)));
    let (mut received, position) = match means.store.origin(lead).await? {
        Origin::Kept { received, position } => (received, position),
        Origin::Emptied(at) => {
            let why = format!("the body of its request was removed by retention on {at}");
            return Ok(Err((LeftAlone::Emptied, why)));
        }
        Origin::Gone => return fails("its request is not kept any more".to_owned()),
    };
    // It was checked before the request became a lead, and the source may have another one by now.
    received.unverified_token = None;
    match prepare(&received, workspace, &*means.clock).result {
        Prepared::Events(events) => match events.into_iter().nth(position) {
            Some(event) => Ok(Ok(Again::Mapped(event.outcome, None))),
            None => fails("its request holds fewer events than before".to_owned()),
        },
        Prepared::Unreadable(why) | Prepared::Waiting(why) | Prepared::Refused(why) => fails(why),
        Prepared::Postback(arrived) => {
            let known = means.store.postback(&lead.to_string()).await?;
            match known.as_ref().map(|known| (known.state, known.ordinal, known.person)) {
                Some((_, Some(ordinal), Some(person))) => {
                    let stage = counting(workspace, &means.clock).stage;
                    Ok(Ok(Again::Mapped(stage(&received, ordinal), Some(person))))
                }
                None | Some((PostbackState::Ended, ..)) => Ok(Ok(Again::Waits(arrived))),
                Some(_) => fails(
                    "somebody said that this postback is a repeat; `leadfold postbacks count` first"
                        .to_owned(),
                ),
            }
        }
    }
}

async fn push_on(
    means: &Means,
    how: How,
    chosen: &[Item],
    replayed: &mut Replayed,
) -> Result<(), StoreError> {
    let syncs: Vec<SyncId> = chosen.iter().filter_map(|item| item.sync).collect();
    for piece in syncs.chunks(TOGETHER) {
        let count = means.store.replay_syncs(piece.to_vec(), how, means.clock.now()).await?;
        failpoint!("replay.piece");
        replayed.count += count;
        // Somebody was faster.
        let missed = u64::try_from(piece.len()).unwrap_or(u64::MAX).saturating_sub(count);
        if missed > 0 {
            *replayed.left_alone.entry(LeftAlone::UnderWay).or_default() += missed;
        }
    }
    Ok(())
}

async fn replan(
    means: &Means,
    workspace: &Arc<Workspace>,
    chosen: Vec<Item>,
    replayed: &mut Replayed,
) -> Result<(), StoreError> {
    // Items of one lead stand together, in the order of arrival.
    let mut leads: Vec<(Remapped, u64)> = Vec::new();
    for item in chosen {
        if let Some((last, items)) = leads.last_mut()
            && last.lead == item.lead
        {
            last.syncs.extend(item.sync);
            *items += 1;
            continue;
        }
        match remapped(means, workspace, item.lead).await? {
            Ok(Again::Waits(arrived)) => {
                replayed.count += means.store.wait_again(item.lead, arrived, means.clock.now()).await?;
            }
            Ok(Again::Mapped(outcome, holder)) => {
                let lead = Remapped {
                    lead: item.lead,
                    syncs: item.sync.into_iter().collect(),
                    version: workspace.hash.clone(),
                    outcome,
                    fresh_person: PersonId(means.clock.new_id()),
                    holder,
                };
                leads.push((lead, 1));
            }
            Err((left, why)) => {
                say_why_not(item.lead, &why);
                *replayed.left_alone.entry(left).or_default() += 1;
            }
        }
    }
    let observing: BTreeSet<String> = workspace
        .destinations
        .values()
        .filter(|destination| destination.mode == Mode::Observe)
        .map(|destination| destination.name.clone())
        .collect();
    for piece in leads.chunks(TOGETHER) {
        let rules = workspace.identity.clone();
        let batch = piece.iter().map(|(lead, _)| lead.clone()).collect();
        let ends = means.store.replan(batch, rules, observing.clone(), Arc::clone(&means.clock)).await?;
        failpoint!("replay.piece");
        for ((lead, items), end) in piece.iter().zip(ends) {
            if let EventOutcome::NeedsAttention(why) = &lead.outcome {
                say_why_not(lead.lead, &why.text);
            }
            match end {
                Ok(()) => replayed.count += items,
                Err(left) => *replayed.left_alone.entry(left).or_default() += items,
            }
        }
    }
    Ok(())
}

/// A lead that was brought somewhere keeps the reason that it has, so this one is said here.
fn say_why_not(lead: LeadId, why: &str) {
    tracing::info!(%lead, why = masked(why), "the active mapping makes no lead of its request, so it is left alone");
}

async fn replay_deliveries(
    means: &Means,
    select: &Selection,
    after: Option<Uuid>,
    up_to: Option<Uuid>,
) -> Result<Replayed, OperationError> {
    let found = means.store.unreadable(select, after.map(DeliveryId), PAGE).await?;
    let full = found.len() == PAGE;
    let chosen: Vec<DeliveryId> = found
        .into_iter()
        .map(|(delivery, _)| delivery)
        .filter(|delivery| up_to.is_none_or(|up_to| delivery.0 <= up_to))
        .collect();
    let next = chosen.last().map(|delivery| delivery.0).filter(|_| full);
    let count = means.store.resplit(chosen).await?;
    Ok(Replayed { count, left_alone: BTreeMap::new(), next })
}
