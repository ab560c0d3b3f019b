//! The statements behind [`super::prepare`]: event keys, events, people, leads and their syncs, in one transaction.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::sleep;

use super::erase_requests::forget_redeliveries;
use super::people::People;
use super::prepare::{
    EventOutcome, PrepareCounts, Prepared, PreparedDelivery, PreparedEvent, Stages, at_most,
    ended_abnormally, in_stages, oldest_received,
};
use super::sql::{Arg, Connection, ROWS_PER_STATEMENT, args, json, list, placeholders};
use super::{StoreError, Work};
use crate::clock::Clock;
use crate::id::{DeliveryId, EventId, PersonId};
use crate::resolve::Who;
use crate::rules::IdentityRules;

/// Deliveries that one transaction lets go on: a source that was paused for a week has very many, and acknowledgements wait
/// for the transaction.
pub(super) const REQUEUED_TOGETHER: u64 = 1_000;

/// How often PostgreSQL hears that we are still there while the stages run: it ends a transaction of which it hears nothing
/// for five seconds, as that of a process which is frozen or gone, and a large delivery takes longer than that.
const STILL_HERE: Duration = Duration::from_secs(1);

/// The statement that lets deliveries of so many sources go on.
pub(super) fn requeue(sources: usize) -> String {
    // The state twice: another process may have let it go on, and it may be prepared, since it was found.
    format!(
        "UPDATE deliveries SET state = 'received' WHERE state = 'waiting' AND id IN (SELECT id FROM deliveries \
           WHERE state = 'waiting' AND source IN ({}) LIMIT {REQUEUED_TOGETHER})",
        list(1, sources)
    )
}

#[derive(Clone)]
pub(super) struct RequeueWaiting {
    pub(super) sources: Vec<String>,
}

impl Work for RequeueWaiting {
    type Output = u64;

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<u64, StoreError>> {
        Box::pin(async move {
            let sql = requeue(self.sources.len());
            connection
                .execute(&sql, self.sources.iter().map(|source| Arg::from(source.as_str())).collect())
                .await
        })
    }
}

/// Deliveries of which the stages have made what becomes of them.
pub(super) struct PrepareBatch {
    pub(super) deliveries: Arc<[PreparedDelivery]>,
    pub(super) rules: IdentityRules,
    pub(super) clock: Arc<dyn Clock>,
}

impl Work for PrepareBatch {
    type Output = PrepareCounts;

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<PrepareCounts, StoreError>> {
        Box::pin(async move { store(connection, &self.deliveries, &self.rules, &*self.clock).await })
    }
}

/// The oldest deliveries that no other process has in hand.
pub(super) struct PrepareOldest {
    pub(super) limit: usize,
    pub(super) stages: Stages,
    pub(super) rules: IdentityRules,
    pub(super) clock: Arc<dyn Clock>,
}

impl Work for PrepareOldest {
    type Output = PrepareCounts;

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<PrepareCounts, StoreError>> {
        Box::pin(async move {
            let sql = oldest_received(connection.row_locks("FOR UPDATE SKIP LOCKED"));
            let rows = connection.fetch(&sql, at_most(self.limit)).await?;
            if rows.is_empty() {
                return Ok(PrepareCounts::default());
            }
            // Run again, it may find others; whatever the stages make has ids of its own then.
            let mut stages = in_stages(Arc::clone(&self.stages), rows);
            let deliveries = loop {
                tokio::select! {
                    deliveries = &mut stages => break deliveries.map_err(|_| ended_abnormally())??,
                    () = sleep(STILL_HERE) => {
                        connection.execute("SELECT 1", vec![]).await?;
                    }
                }
            };
            store(connection, &deliveries, &self.rules, &*self.clock).await
        })
    }
}

/// Stores what became of deliveries, in their order.
async fn store(
    connection: &mut Connection,
    deliveries: &[PreparedDelivery],
    rules: &IdentityRules,
    clock: &dyn Clock,
) -> Result<PrepareCounts, StoreError> {
    let now = clock.now().as_millisecond();
    let mut counts = PrepareCounts::default();
    let claimed = claim(connection, deliveries).await?;
    counts.deliveries = u64::try_from(claimed.len()).unwrap_or(u64::MAX);
    let events: Vec<(DeliveryId, usize, &PreparedEvent)> = deliveries
        .iter()
        .filter(|delivery| claimed.contains(&delivery.id))
        .filter_map(|delivery| match &delivery.result {
            Prepared::Events(events) => Some((delivery.id, events)),
            Prepared::Unreadable(_) | Prepared::Waiting(_) | Prepared::Refused(_) => None,
        })
        .flat_map(|(id, events)| {
            events.iter().enumerate().map(move |(position, event)| (id, position, event))
        })
        .collect();
    let firsts = take_keys(connection, &events).await?;
    insert_events(connection, &events, &firsts).await?;
    let again: Vec<(DeliveryId, usize, EventId)> = events
        .iter()
        .filter_map(|(delivery, position, event)| {
            let first = *firsts.get(&event.id).filter(|first| **first != event.id)?;
            Some((*delivery, *position, first))
        })
        .collect();
    forget_redeliveries(connection, &again, clock.now()).await?;

    let fresh: Vec<&PreparedEvent> = events
        .iter()
        .map(|(_, _, event)| *event)
        .filter(|event| firsts.get(&event.id).is_none_or(|first| *first == event.id))
        .collect();
    counts.redeliveries = u64::try_from(events.len() - fresh.len()).unwrap_or(u64::MAX);
    for event in &fresh {
        let (count, state) = match event.outcome {
            EventOutcome::Lead { .. } => (&mut counts.leads, "mapped"),
            EventOutcome::Filtered(_) => (&mut counts.filtered, "filtered"),
            EventOutcome::NeedsAttention(_) => (&mut counts.needs_attention, "needs-attention"),
        };
        *count += 1;
        *counts.by_source.entry((event.source.clone(), state)).or_default() += 1;
    }
    insert_leads(connection, &fresh, rules, clock, now).await?;
    Ok(counts)
}

/// Marks the deliveries as prepared; those that another process took first are not returned.
async fn claim(
    connection: &mut Connection,
    deliveries: &[PreparedDelivery],
) -> Result<HashSet<DeliveryId>, StoreError> {
    let mut by_state: BTreeMap<(&str, Option<&str>), Vec<DeliveryId>> = BTreeMap::new();
    for delivery in deliveries {
        let end = match &delivery.result {
            Prepared::Events(_) => ("prepared", None),
            Prepared::Unreadable(why) => ("unreadable", Some(why.as_str())),
            Prepared::Waiting(why) => ("waiting", Some(why.as_str())),
            Prepared::Refused(why) => ("refused", Some(why.as_str())),
        };
        by_state.entry(end).or_default().push(delivery.id);
    }
    let mut claimed = HashSet::new();
    for ((state, why), ids) in by_state {
        for piece in ids.chunks(ROWS_PER_STATEMENT) {
            let sql = format!(
                "UPDATE deliveries SET state = $1, why = $2 WHERE state = 'received' AND id IN ({}) RETURNING id",
                list(3, piece.len())
            );
            let mut arguments = args![state, why.map(str::to_owned)];
            arguments.extend(piece.iter().map(|id| Arg::from(*id)));
            for row in connection.fetch(&sql, arguments).await? {
                claimed.insert(row.id(0)?);
            }
        }
    }
    Ok(claimed)
}

/// Finds out whose the leads are, and stores them with their syncs.
///
/// Their place in the order of all leads is taken last, under the people's locks: who waited for those comes later in the
/// order too, and no other process waits longer than for these last rows.
async fn insert_leads(
    connection: &mut Connection,
    fresh: &[&PreparedEvent],
    rules: &IdentityRules,
    clock: &dyn Clock,
    now: i64,
) -> Result<(), StoreError> {
    if fresh.is_empty() {
        return Ok(());
    }
    let mut people =
        People::load(connection, fresh.iter().filter_map(|event| event.lead()), None, rules, now).await?;
    let mut leads = Vec::with_capacity(fresh.len());
    let mut syncs = Vec::new();
    for (event, place) in fresh.iter().zip(0_i64..) {
        let mut row = |branch: Option<i64>,
                       person: Option<PersonId>,
                       state: &str,
                       why: Option<String>,
                       lead: Option<String>,
                       decision: Option<String>,
                       to_come: Option<String>| {
            leads.push(args![
                event.lead_id,
                event.id,
                event.source.as_str(),
                event.version.as_str(),
                branch,
                person.map(|person| person.to_string()),
                state,
                why,
                lead,
                // Those of rows that were written before there were decisions stay readable.
                "[]",
                decision,
                event.received_at.as_millisecond(),
                to_come,
            ]);
        };
        match &event.outcome {
            EventOutcome::Filtered(why) => row(None, None, "filtered", Some(json(why)?), None, None, None),
            EventOutcome::NeedsAttention(why) => {
                row(None, None, "needs-attention", Some(json(why)?), None, None, None);
            }
            EventOutcome::Lead { lead, branch, syncs: ids, to_come } => {
                let who = Who::of(lead, event.received_at);
                let resolution = people.resolve(&who, event.fresh_person);
                people.learn(event.lead_id, lead, &who, &resolution);
                let branch = i64::try_from(*branch).unwrap_or(i64::MAX);
                let person = resolution.person;
                let decision = json(&resolution.decision)?;
                let to_come = to_come.as_ref().map(json).transpose()?;
                row(Some(branch), Some(person), "mapped", None, Some(json(lead)?), Some(decision), to_come);
                for (id, to) in ids {
                    let row = args![*id, event.lead_id, to.as_str(), person, 0, "ready", now, now];
                    syncs.push((place, row));
                }
            }
        }
    }
    people.store(connection, &[]).await?;
    let first = take_places(connection, fresh.len()).await?;
    for (row, sequence) in leads.iter_mut().zip(first..) {
        row.push(Arg::from(sequence));
    }
    let syncs = syncs.into_iter().map(|(place, mut row)| {
        row.push(Arg::from(first + place));
        row
    });
    connection
        .insert_rows(
            "leads (id, event, source, version, branch, person, state, why, lead, conflicts, decision, received_at, \
             afterwards, sequence)",
            leads,
            "",
        )
        .await?;
    connection
        .insert_rows(
            "syncs (id, lead, destination, person, priority, state, next_at, updated_at, sequence)",
            syncs.collect(),
            "",
        )
        .await?;
    people.merge(connection, clock).await
}

/// Takes so many places at the end of the order of all leads; returns the first. What is rolled back gives them back.
async fn take_places(connection: &mut Connection, count: usize) -> Result<i64, StoreError> {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let sql = "UPDATE counters SET value = value + $1 WHERE name = 'sequence' RETURNING value";
    let rows = connection.fetch(sql, args![count]).await?;
    let last = rows.first().ok_or_else(|| StoreError::damaged("counter 'sequence' is gone"))?.int(0)?;
    Ok(last - count + 1)
}

/// Takes the keys of new events. Returns, for every event, the event that had its key first: itself when it is new.
async fn take_keys(
    connection: &mut Connection,
    events: &[(DeliveryId, usize, &PreparedEvent)],
) -> Result<HashMap<EventId, EventId>, StoreError> {
    let mut firsts = HashMap::with_capacity(events.len());
    let mut left: Vec<&PreparedEvent> = events.iter().map(|(_, _, event)| *event).collect();
    while !left.is_empty() {
        // A statement may touch a key only once, so repeats within the batch wait for the next round.
        let mut round: BTreeMap<(&str, &str), &PreparedEvent> = BTreeMap::new();
        let mut repeats = Vec::new();
        for event in left {
            match round.entry((&event.source, &event.key)) {
                Entry::Vacant(place) => {
                    place.insert(event);
                }
                Entry::Occupied(_) => repeats.push(event),
            }
        }
        let round: Vec<&PreparedEvent> = round.into_values().collect();
        for piece in round.chunks(ROWS_PER_STATEMENT) {
            take_distinct_keys(connection, piece, &mut firsts).await?;
        }
        left = repeats;
    }
    Ok(firsts)
}

async fn take_distinct_keys(
    connection: &mut Connection,
    events: &[&PreparedEvent],
    firsts: &mut HashMap<EventId, EventId>,
) -> Result<(), StoreError> {
    let rows: Vec<Vec<Arg>> = events
        .iter()
        .map(|event| {
            args![
                event.source.as_str(),
                event.key.as_str(),
                event.id,
                event.received_at.as_millisecond(),
                event.key_until.as_millisecond()
            ]
        })
        .collect();
    let sql = format!(
        "INSERT INTO event_keys (source, key, event, at, until) VALUES {} \
         ON CONFLICT (source, key) DO UPDATE \
         SET event = excluded.event, at = excluded.at, until = excluded.until \
         WHERE event_keys.until < excluded.at RETURNING event",
        placeholders(&rows)
    );
    for row in connection.fetch(&sql, rows.into_iter().flatten().collect()).await? {
        let event: EventId = row.id(0)?;
        firsts.insert(event, event);
    }
    let taken: Vec<&PreparedEvent> =
        events.iter().copied().filter(|event| !firsts.contains_key(&event.id)).collect();
    if taken.is_empty() {
        return Ok(());
    }
    let rows: Vec<Vec<Arg>> =
        taken.iter().map(|event| args![event.source.as_str(), event.key.as_str()]).collect();
    let mut owners = HashMap::new();
    for row in connection.fetch(&taken_keys(&rows), rows.into_iter().flatten().collect()).await? {
        owners.insert((row.text(0)?, row.text(1)?), row.id(2)?);
    }
    for event in taken {
        let owner = owners.get(&(event.source.clone(), event.key.clone()));
        let owner = owner.ok_or_else(|| StoreError::damaged("an event key vanished while it was taken"))?;
        firsts.insert(event.id, *owner);
    }
    Ok(())
}

/// The statement that reads who has these keys.
pub(super) fn taken_keys(rows: &[Vec<Arg>]) -> String {
    format!(
        "SELECT source, key, event FROM event_keys WHERE (source, key) IN (VALUES {})",
        placeholders(rows)
    )
}

async fn insert_events(
    connection: &mut Connection,
    events: &[(DeliveryId, usize, &PreparedEvent)],
    firsts: &HashMap<EventId, EventId>,
) -> Result<(), StoreError> {
    let rows = events
        .iter()
        .map(|(delivery, position, event)| {
            let redelivery_of = firsts.get(&event.id).filter(|first| **first != event.id);
            args![
                event.id,
                *delivery,
                i64::try_from(*position).unwrap_or(i64::MAX),
                event.source.as_str(),
                event.key.as_str(),
                redelivery_of.map(EventId::to_string),
            ]
        })
        .collect();
    connection.insert_rows("events (id, delivery, position, source, key, redelivery_of)", rows, "").await
}
