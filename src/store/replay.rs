//! Replay: which leads are meant, and which of them can go on. The writing itself is in [`super::replay_work`].
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
use serde::{Deserialize, Serialize};

use super::prepare::Received;
use super::replay_work::{ReplanLeads, ReplaySyncs, ResplitDeliveries};
use super::sql::{Arg, Row, args, list};
use super::syncs::SyncState;
use super::{Store, StoreError};
use crate::clock::Clock;
use crate::id::{DeliveryId, LeadId, PersonId, SyncId};
use crate::plan::Reason;
use crate::rules::IdentifierOrder;
use crate::store::prepare::EventOutcome;

/// How a lead is replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// A worker has it in hand.
    pub in_hand: bool,
    /// A step of its plan was sent, and nobody knows whether it was written.
    pub in_doubt: bool,
    /// It went along with a later lead of the same person.
    pub gone_along: bool,
    /// We made or found a deal of its person there.
    pub has_deal: bool,
}

/// Why a selected lead is left as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
    /// The active mapping says that it is somebody else's, and it was brought to the CRM already.
    SomebodyElses,
}

impl Item {
    /// Whether it is replayed, or why not. `observes`: its destination writes nothing.
    pub fn verdict(&self, how: How, observes: bool) -> Result<(), LeftAlone> {
        let state = SyncState::ALL.into_iter().find(|state| state.as_str() == self.state);
        if self.sync.is_none() {
            return if how == How::Replan { Ok(()) } else { Err(LeftAlone::NeverMapped) };
        }
        if self.in_hand {
            return Err(LeftAlone::UnderWay);
        }
        match state {
            None | Some(SyncState::Pushing | SyncState::Unknown) => Err(LeftAlone::UnderWay),
            Some(SyncState::Ready) if how == How::Replan => Ok(()),
            Some(SyncState::Ready) => Err(LeftAlone::UnderWay),
            Some(SyncState::Waiting) if how == How::Force => Err(LeftAlone::UnderWay),
            Some(SyncState::Waiting) => Ok(()),
            Some(SyncState::Held) if how == How::Force || !observes => Err(LeftAlone::Held),
            Some(SyncState::Held) => Ok(()),
            Some(SyncState::Filtered) if self.gone_along && how != How::Force => Err(LeftAlone::GoneAlong),
            Some(SyncState::Filtered) => Ok(()),
            Some(SyncState::NeedsAttention) if self.in_doubt && how == How::Replan => Err(LeftAlone::InDoubt),
            Some(SyncState::NeedsAttention) => Ok(()),
            Some(SyncState::Synced) if how == How::Resume => Err(LeftAlone::Done),
            Some(SyncState::Synced) => Ok(()),
        }
    }
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
        let Some((sql, arguments)) = selected(selection, after, up_to, limit) else {
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

    /// The request that a lead came in, and its place among the events of that.
    pub async fn delivery_of(&self, lead: LeadId) -> Result<Option<(Received, usize)>, StoreError> {
        let rows = self
            .read(
                "SELECT deliveries.id, deliveries.source, method, query, headers, body, deliveries.received_at, \
                 unverified_token, events.position FROM leads JOIN events ON events.id = leads.event \
                 JOIN deliveries ON deliveries.id = events.delivery WHERE leads.id = $1",
                args![lead],
            )
            .await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let position = usize::try_from(row.int(8)?).unwrap_or(usize::MAX);
        Ok(Some((super::prepare::received(row)?, position)))
    }

    /// Stores what the active mapping makes of leads. Returns what became of each, in order.
    pub async fn replan(
        &self,
        leads: Vec<Remapped>,
        order: IdentifierOrder,
        observing: BTreeSet<String>,
        clock: std::sync::Arc<dyn Clock>,
    ) -> Result<Vec<Result<(), LeftAlone>>, StoreError> {
        self.write(ReplanLeads { leads, order, observing, clock }).await
    }

    /// Deliveries that could not be read, oldest first.
    pub async fn unreadable(
        &self,
        selection: &Selection,
        after: Option<DeliveryId>,
        limit: usize,
    ) -> Result<Vec<(DeliveryId, String)>, StoreError> {
        let mut arguments = args![after.map_or_else(String::new, |after| after.to_string())];
        let mut sql =
            "SELECT id, COALESCE(why, '') FROM deliveries WHERE state = 'unreadable' AND id > $1".to_owned();
        let mut condition = |text: &str, value: Arg| {
            arguments.push(value);
            sql.push_str(&format!(" AND {text} ${}", arguments.len()));
        };
        if let Some(source) = &selection.source {
            condition("source =", source.as_str().into());
        }
        if let Some(from) = selection.from {
            condition("received_at >=", from.as_millisecond().into());
        }
        if let Some(to) = selection.to {
            condition("received_at <", to.as_millisecond().into());
        }
        sql.push_str(&format!(" ORDER BY id LIMIT {limit}"));
        self.read(&sql, arguments).await?.iter().map(|row| Ok((row.id(0)?, row.text(1)?))).collect()
    }

    /// Lets unreadable deliveries be read again; returns how many there were.
    pub async fn resplit(&self, deliveries: Vec<DeliveryId>) -> Result<u64, StoreError> {
        let touched = self.write(ResplitDeliveries { deliveries }).await?;
        self.arrived().notify_one();
        Ok(touched)
    }
}

/// The statement that finds a page of items; `None` when nothing can match. States stand in it as literals, because the
/// partial indexes only serve the very same condition.
fn selected(
    selection: &Selection,
    after: Option<LeadId>,
    up_to: Option<LeadId>,
    limit: usize,
) -> Option<(String, Vec<Arg>)> {
    let mut arguments = Vec::new();
    let mut conditions = Vec::new();
    let mut condition = |text: &str, value: Arg| {
        arguments.push(value);
        conditions.push(text.replace('?', &format!("${}", arguments.len())));
    };
    if let Some(after) = after {
        condition("l.id > ?", after.into());
    }
    if let Some(up_to) = up_to {
        condition("l.id <= ?", up_to.into());
    }
    if let Some(source) = &selection.source {
        condition("l.source = ?", source.as_str().into());
    }
    if let Some(from) = selection.from {
        condition("l.received_at >= ?", from.as_millisecond().into());
    }
    if let Some(to) = selection.to {
        condition("l.received_at < ?", to.as_millisecond().into());
    }
    if let Some(cause) = &selection.cause {
        // A reason's JSON begins with its word.
        let start = format!("{{\"code\":{}", serde_json::Value::from(cause.as_str()));
        condition(&format!("SUBSTR(WHY, 1, {}) = ?", start.chars().count()), start.into());
    }
    if let Some(destination) = &selection.destination {
        condition("s.destination = ?", destination.as_str().into());
    }
    if !selection.leads.is_empty() {
        let first = arguments.len() + 1;
        arguments.extend(selection.leads.iter().map(|lead| Arg::from(*lead)));
        conditions.push(format!("l.id IN ({})", list(first, selection.leads.len())));
    }
    let states = |known: &[&str]| {
        let words: Vec<&str> =
            known.iter().copied().filter(|word| selection.states.iter().any(|state| state == word)).collect();
        match (selection.states.is_empty(), words.as_slice()) {
            (true, _) => Some(String::new()),
            (false, []) => None,
            (false, [word]) => Some(format!("AND of.state = '{word}'")),
            (false, words) => Some(format!("AND of.state IN ('{}')", words.join("','"))),
        }
    };
    let every: Vec<&str> = SyncState::ALL.iter().map(|state| state.as_str()).collect();
    let conditions = conditions.iter().map(|text| format!("AND {text} ")).collect::<String>();
    let count = |what: &str| format!("(SELECT COUNT(*) FROM {what})");
    let mut parts = Vec::new();
    if let Some(states) = states(&every) {
        parts.push(format!(
            "SELECT l.id, l.source, s.id AS sync, s.destination, s.state, s.why, {}, {}, {}, {} \
             FROM syncs s JOIN leads l ON l.id = s.lead WHERE 1 = 1 {} {} ORDER BY 1, 3 LIMIT {limit}",
            count("leases WHERE leases.destination = s.destination AND leases.epoch = s.claimed"),
            count("steps WHERE steps.sync = s.id AND past = 0 AND steps.state IN ('sent', 'unknown')"),
            count("syncs c WHERE c.id = s.carried_by AND c.state NOT IN ('filtered', 'needs-attention')"),
            count(
                "links WHERE links.person = s.person AND links.destination = s.destination AND kind = 'deal'"
            ),
            states.replace("of.", "s."),
            conditions.replace("WHY", "s.why"),
        ));
    }
    let unmapped =
        if selection.destination.is_some() { None } else { states(&["filtered", "needs-attention"]) };
    if let Some(states) = unmapped {
        let states = if states.is_empty() {
            "AND l.state <> 'mapped'".to_owned()
        } else {
            states.replace("of.", "l.")
        };
        let none = "(SELECT COUNT(*) FROM leases WHERE 1 = 0)";
        parts.push(format!(
            "SELECT l.id, l.source, NULL AS sync, NULL, l.state, l.why, {none}, {none}, {none}, {none} \
             FROM leads l WHERE 1 = 1 {states} {} ORDER BY 1 LIMIT {limit}",
            conditions.replace("WHY", "l.why"),
        ));
    }
    let parts: Vec<String> = parts
        .iter()
        .enumerate()
        .map(|(number, part)| format!("SELECT * FROM ({part}) AS part{number}"))
        .collect();
    (!parts.is_empty())
        .then(|| (format!("{} ORDER BY 1, 3 LIMIT {limit}", parts.join(" UNION ALL ")), arguments))
}

fn item(row: &Row) -> Result<Item, StoreError> {
    Ok(Item {
        lead: row.id(0)?,
        source: row.text(1)?,
        sync: row.optional_text(2)?.map(|_| row.id(2)).transpose()?,
        destination: row.optional_text(3)?,
        state: row.text(4)?,
        why: row.optional_text(5)?.map(|_| row.json(5)).transpose()?,
        in_hand: row.int(6)? > 0,
        in_doubt: row.int(7)? > 0,
        gone_along: row.int(8)? > 0,
        has_deal: row.int(9)? > 0,
    })
}
