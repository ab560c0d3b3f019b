//! Replay: which leads are meant, and which of them can go on. Finding them is in [`super::selection`], the writing itself
//! in [`super::replay_work`] and [`super::replan`].
//!
//! | where it stands | resume | re-plan | force |
//! |---|---|---|---|
//! | needs attention, a step in doubt | goes on as it is | left alone | the step is sent again |
//! | needs attention, otherwise | decided anew | mapped and decided anew | decided anew, its deal is made |
//! | filtered | decided anew | mapped and decided anew | decided anew, its deal is made |
//! | filtered, and gone along with a later lead | left alone | left alone | decided anew, its deal is made |
//! | synced | left alone | mapped and decided anew, nothing is made twice | decided anew, its deal is made |
//! | waiting | decided anew | mapped and decided anew | left alone |
//! | held, while the destination observes | decided anew, to be looked at | mapped and decided anew | left alone |
//! | held, and the destination is live | left alone: it waits for an answer | the same | the same |
//! | ready | left alone | mapped and decided anew | left alone |
//! | under way: claimed, pushing, unknown | left alone | left alone | left alone |
//! | ended before there was anything to sync | left alone | mapped and decided anew | left alone |

use std::collections::BTreeSet;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::erase::ERASED_CODE;
use super::prepare::{EventOutcome, Received};
use super::replan::ReplanLeads;
use super::replay_work::{ReplaySyncs, ResplitDeliveries};
use super::selection::{items, unreadable};
use super::sql::{Row, args};
use super::syncs::SyncState;
use super::{Store, StoreError};
use crate::clock::Clock;
use crate::id::{DeliveryId, LeadId, PersonId, SyncId};
use crate::plan::{Action, Reason};
use crate::rules::IdentityRules;

/// How a lead is replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// The stored lead goes on.
    Resume,
    /// Its event is mapped again by the active mapping.
    Replan,
    /// It is pushed whatever the rules say.
    Force,
}

/// Which leads are meant. Everything that is given must hold; nothing given means nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Selection {
    /// These leads.
    pub leads: Vec<LeadId>,
    /// Those that stand in one of these states, in the words of the registry.
    pub states: Vec<String>,
    /// Those whose reason has this word, such as `crm_rejected`.
    pub cause: Option<String>,
    /// Those on their way to this destination.
    pub destination: Option<String>,
    /// Those that ended before there was a destination, such as those whose mapping failed.
    pub without_destination: bool,
    /// Those from this source.
    pub source: Option<String>,
    /// Those received at this time or later.
    pub from: Option<Timestamp>,
    /// Those received before this time.
    pub to: Option<Timestamp>,
}

/// A lead on its way to one destination, or one that has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The lead.
    pub lead: LeadId,
    /// Where it came from.
    pub source: String,
    /// Its sync; `None` for a lead that ended before there was anything to sync.
    pub sync: Option<SyncId>,
    /// Where it goes.
    pub destination: Option<String>,
    /// Where it stands.
    pub state: String,
    /// Why it stands there.
    pub why: Option<Reason>,
    /// What must be minded.
    pub snag: Option<Snag>,
    /// We made or found a deal of its person there.
    pub has_deal: bool,
}

/// What stands in the way of touching a sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Snag {
    /// A worker has it in hand.
    InHand,
    /// A step of its plan was sent, and nobody knows whether it was written.
    InDoubt,
    /// It went along with a later lead of the same person.
    GoneAlong,
    /// A bot was called for it: unlike a write to a CRM, the same once more does the same once more.
    Called,
}

/// How many leases, doubtful steps, carriers and calls say that there is a snag with a row of `syncs`.
pub(super) const SNAGS: &str = "(SELECT COUNT(*) FROM leases WHERE leases.destination = syncs.destination \
      AND leases.epoch = syncs.claimed), \
    (SELECT COUNT(*) FROM steps WHERE steps.sync = syncs.id AND steps.past = 0 \
      AND steps.state IN ('sent', 'unknown')), \
    (SELECT COUNT(*) FROM syncs AS carrier WHERE carrier.id = syncs.carried_by \
      AND carrier.state NOT IN ('filtered', 'needs-attention')), \
    (SELECT COUNT(*) FROM steps WHERE steps.sync = syncs.id AND steps.past = 0 AND steps.kind = 'call' \
      AND steps.state = 'done')";

/// Reads [`SNAGS`] from its first column on.
pub(super) fn snag(row: &Row, first: usize) -> Result<Option<Snag>, StoreError> {
    for (column, snag) in (first..).zip([Snag::InHand, Snag::InDoubt, Snag::GoneAlong, Snag::Called]) {
        if row.int(column)? > 0 {
            return Ok(Some(snag));
        }
    }
    Ok(None)
}

/// Why a selected lead is left as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LeftAlone {
    /// It is being brought to the CRM now.
    UnderWay,
    /// It is in the CRM.
    Done,
    /// It was never mapped, so there is nothing to resume.
    NeverMapped,
    /// It went along with a later lead.
    GoneAlong,
    /// It waits for `leadfold live`.
    Held,
    /// One of its steps may have happened; only going on with the plan finds out.
    InDoubt,
    /// The active mapping fails on it, or its source waits.
    MappingFails,
    /// Retention removed the body of its request, so it cannot be mapped again.
    Emptied,
    /// Everything personal of it was erased, so nothing of it is left that could go on.
    Erased,
    /// The active mapping says that it is somebody else's, and it was brought to the CRM already.
    SomebodyElses,
}

impl Item {
    /// Whether it is replayed, or why not. `observes`: its destination writes nothing.
    pub fn verdict(&self, how: How, observes: bool) -> Result<(), LeftAlone> {
        if self.why.as_ref().is_some_and(|why| why.code == ERASED_CODE) {
            return Err(LeftAlone::Erased);
        }
        if self.sync.is_none() {
            return if how == How::Replan { Ok(()) } else { Err(LeftAlone::NeverMapped) };
        }
        let (force, replan) = (how == How::Force, how == How::Replan);
        let left = match SyncState::parse(&self.state) {
            _ if self.snag == Some(Snag::InHand) => Some(LeftAlone::UnderWay),
            Some(_) if self.snag == Some(Snag::Called) && replan => Some(LeftAlone::Done),
            None | Some(SyncState::Pushing | SyncState::Unknown) => Some(LeftAlone::UnderWay),
            Some(SyncState::Ready) => (!replan).then_some(LeftAlone::UnderWay),
            Some(SyncState::Waiting) => force.then_some(LeftAlone::UnderWay),
            Some(SyncState::Held) => (force || !observes).then_some(LeftAlone::Held),
            Some(SyncState::Filtered) => {
                (self.snag == Some(Snag::GoneAlong) && !force).then_some(LeftAlone::GoneAlong)
            }
            Some(SyncState::NeedsAttention) => {
                (self.snag == Some(Snag::InDoubt) && replan).then_some(LeftAlone::InDoubt)
            }
            Some(SyncState::Synced) => (how == How::Resume).then_some(LeftAlone::Done),
        };
        left.map_or(Ok(()), Err)
    }
}

/// What there is of the request that a lead came in.
#[derive(Clone, Debug)]
pub enum Origin {
    /// All of it.
    Kept {
        /// The request.
        received: Received,
        /// The place of the lead's event among its events.
        position: usize,
    },
    /// Retention removed its body then.
    Emptied(Timestamp),
    /// There is no such lead.
    Gone,
}

/// A lead that is mapped again.
#[derive(Clone, Debug)]
pub struct Remapped {
    /// Which.
    pub lead: LeadId,
    /// The syncs that are meant; others of the same lead stay as they are.
    pub syncs: BTreeSet<SyncId>,
    /// Version of the workspace that mapped it.
    pub version: String,
    /// What the mapping made of it.
    pub outcome: EventOutcome,
    /// Of the person that is made when nobody is known.
    pub fresh_person: PersonId,
    /// Whose it is, where that is not for its identifiers to say: whoever came with the click id of a postback.
    pub holder: Option<PersonId>,
}

/// Most syncs of one lead on one page: more destinations than any workspace has.
const FEW: usize = 64;

impl Store {
    /// The next items of a selection behind `after`, by lead and at most to `up_to`; and where to go on, when there may be
    /// more. A lead's items are never torn apart.
    pub async fn replayable(
        &self,
        selection: &Selection,
        after: Option<LeadId>,
        up_to: Option<LeadId>,
        limit: usize,
    ) -> Result<(Vec<Item>, Option<LeadId>), StoreError> {
        let limit = limit.max(FEW);
        let Some((sql, arguments)) = items(selection, after, up_to, limit) else {
            return Ok((Vec::new(), None));
        };
        let rows = self.read(&sql, arguments).await?;
        let mut items: Vec<Item> = rows.iter().map(item).collect::<Result<_, _>>()?;
        if items.len() < limit {
            return Ok((items, None));
        }
        // The last lead may go on behind the page.
        let last = items.last().map(|item| item.lead);
        if items.first().map(|item| item.lead) != last {
            items.retain(|item| Some(item.lead) != last);
        }
        let next = items.last().map(|item| item.lead);
        Ok((items, next))
    }

    /// Lets syncs go on, or be pushed whatever the rules say. Those that are under way by now are not touched; returns how
    /// many were.
    pub async fn replay_syncs(
        &self,
        syncs: Vec<SyncId>,
        how: How,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        self.write(ReplaySyncs { syncs, force: how == How::Force, now }).await
    }

    /// What is to be known of a lead that comes after others of the same person, or again: what its own earlier plans left
    /// (texts of notes and tasks), and whether a later lead of the person was brought there before it.
    pub async fn history(&self, sync: SyncId) -> Result<(Vec<String>, bool), StoreError> {
        let rows = self
            .read(
                "SELECT action FROM steps WHERE sync = $1 AND past = 1 AND state = 'done' \
                   AND kind IN ('create task', 'add note') \
                 UNION ALL SELECT 'superseded' FROM syncs JOIN syncs AS later ON later.person = syncs.person \
                   AND later.destination = syncs.destination AND later.sequence > syncs.sequence \
                   WHERE syncs.id = $1 AND later.state = 'synced'",
                args![sync],
            )
            .await?;
        let mut texts = Vec::new();
        let mut superseded = false;
        for row in &rows {
            if row.text(0)? == "superseded" {
                superseded = true;
                continue;
            }
            match row.json::<Action>(0)? {
                Action::AddNote { text, .. } => texts.push(text),
                Action::CreateTask { task, .. } => texts.push(task.text),
                Action::CreateContact { .. }
                | Action::UpdateContact { .. }
                | Action::CreateDeal { .. }
                | Action::UpdateDeal { .. }
                | Action::Call { .. } => {}
            }
        }
        Ok((texts, superseded))
    }

    /// The request that a lead came in.
    pub async fn origin(&self, lead: LeadId) -> Result<Origin, StoreError> {
        let rows = self
            .read(
                "SELECT deliveries.id, deliveries.source, method, query, headers, body, deliveries.received_at, \
                 unverified_token, events.position, emptied_at FROM leads JOIN events ON events.id = leads.event \
                 JOIN deliveries ON deliveries.id = events.delivery WHERE leads.id = $1",
                args![lead],
            )
            .await?;
        let Some(row) = rows.first() else { return Ok(Origin::Gone) };
        if let Some(at) = row.optional_timestamp(9)? {
            return Ok(Origin::Emptied(at));
        }
        let position = usize::try_from(row.int(8)?).unwrap_or(usize::MAX);
        Ok(Origin::Kept { received: super::prepare::received(row)?, position })
    }

    /// Stores what the active mapping makes of leads. Returns what became of each, in order.
    pub async fn replan(
        &self,
        leads: Vec<Remapped>,
        rules: IdentityRules,
        observing: BTreeSet<String>,
        clock: std::sync::Arc<dyn Clock>,
    ) -> Result<Vec<Result<(), LeftAlone>>, StoreError> {
        self.write(ReplanLeads { leads, rules, observing, clock }).await
    }

    /// Deliveries that could not be read, oldest first.
    pub async fn unreadable(
        &self,
        selection: &Selection,
        after: Option<DeliveryId>,
        limit: usize,
    ) -> Result<Vec<(DeliveryId, String)>, StoreError> {
        let (sql, arguments) = unreadable(selection, after, limit);
        let rows = self.read(&sql, arguments).await?;
        rows.iter().map(|row| Ok((row.id(0)?, row.text(1)?))).collect()
    }

    /// Lets unreadable deliveries be read again; returns how many there were.
    pub async fn resplit(&self, deliveries: Vec<DeliveryId>) -> Result<u64, StoreError> {
        let touched = self.write(ResplitDeliveries { deliveries }).await?;
        self.arrived().notify_one();
        Ok(touched)
    }
}

fn item(row: &Row) -> Result<Item, StoreError> {
    Ok(Item {
        lead: row.id(0)?,
        source: row.text(1)?,
        sync: row.optional_id(2)?,
        destination: row.optional_text(3)?,
        state: row.text(4)?,
        why: row.optional_json(5)?,
        snag: snag(row, 6)?,
        has_deal: row.int(10)? > 0,
    })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn what_stands_still_is_replayed_and_nothing_else() {
        use LeftAlone::{Done, GoneAlong, Held, InDoubt, UnderWay};
        let check = |state: &str, snag: Option<Snag>, observes: bool, expect: [Option<LeftAlone>; 3]| {
            let item = Item {
                lead: LeadId(Uuid::nil()),
                source: String::new(),
                sync: Some(SyncId(Uuid::nil())),
                destination: Some("crm".to_owned()),
                state: state.to_owned(),
                why: None,
                snag,
                has_deal: false,
            };
            let left = [How::Resume, How::Replan, How::Force].map(|how| item.verdict(how, observes).err());
            assert_eq!(left, expect, "{state} {snag:?} {observes}");
        };
        let under_way = [Some(UnderWay); 3];
        check("needs-attention", None, false, [None; 3]);
        check("needs-attention", Some(Snag::InDoubt), false, [None, Some(InDoubt), None]);
        check("filtered", None, false, [None; 3]);
        check("filtered", Some(Snag::GoneAlong), false, [Some(GoneAlong), Some(GoneAlong), None]);
        check("synced", None, false, [Some(Done), None, None]);
        check("waiting", None, false, [None, None, Some(UnderWay)]);
        check("synced", Some(Snag::Called), false, [Some(Done), Some(Done), None]);
        check("needs-attention", Some(Snag::Called), false, [None, Some(Done), None]);
        check("waiting", Some(Snag::InHand), false, under_way);
        check("held", None, false, [Some(Held); 3]);
        check("held", None, true, [None, None, Some(Held)]);
        check("ready", None, false, [Some(UnderWay), None, Some(UnderWay)]);
        check("ready", Some(Snag::InHand), false, under_way);
        check("pushing", None, false, under_way);
        check("unknown", None, false, under_way);
        check("a state of a later version", None, false, under_way);
        let unmapped = Item {
            lead: LeadId(Uuid::nil()),
            source: String::new(),
            sync: None,
            destination: None,
            state: "needs-attention".to_owned(),
            why: None,
            snag: None,
            has_deal: false,
        };
        assert_eq!(unmapped.verdict(How::Resume, false), Err(LeftAlone::NeverMapped));
        assert_eq!(unmapped.verdict(How::Replan, false), Ok(()));
    }
}
