//! The statements behind [`super::prepare`]: event keys, events, people, leads and their syncs, in one transaction.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::sleep;

use super::chats::Chats;
use super::event_keys::{Keyed, take_and_insert};
use super::facts::Remembered;
use super::hourly::{Kind, REDELIVERY, Tally};
use super::names::store_names;
use super::people::People;
use super::postback_work::{THEIR_TURN, keep_postbacks};
use super::prepare::{
    EventOutcome, PrepareCounts, Prepared, PreparedDelivery, PreparedEvent, Stages, at_most,
    ended_abnormally, in_stages, oldest_received,
};
use super::sql::{Arg, Connection, ROWS_PER_STATEMENT, args, json, list};
use super::start_tokens::redeem;
use super::{StoreError, Work};
use crate::clock::Clock;
use crate::id::{DeliveryId, PersonId};
use crate::lead::Lead;
use crate::resolve::{Resolution, Who};
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
           WHERE state = 'waiting' AND postback = 0 AND source IN ({}) LIMIT {REQUEUED_TOGETHER})",
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
            Prepared::Unreadable(_) | Prepared::Waiting(_) | Prepared::Refused(_) | Prepared::Postback(_) => {
                None
            }
        })
        .flat_map(|(id, events)| {
            events.iter().enumerate().map(move |(position, event)| (id, position, event))
        })
        .collect();
    let keyed: Vec<Keyed<'_>> =
        events.iter().map(|(delivery, position, event)| event.keyed(*delivery, *position)).collect();
    let arrived = deliveries.iter().filter_map(|delivery| {
        let Prepared::Postback(arrived) = &delivery.result else { return None };
        claimed.contains(&delivery.id).then_some((delivery.id, arrived))
    });
    keep_postbacks(connection, arrived).await?;
    let firsts = take_and_insert(connection, &keyed, clock.now()).await?;

    let fresh: Vec<&PreparedEvent> = events
        .iter()
        .map(|(_, _, event)| *event)
        .filter(|event| firsts.get(&event.id).is_none_or(|first| *first == event.id))
        .collect();
    counts.redeliveries = u64::try_from(events.len() - fresh.len()).unwrap_or(u64::MAX);
    counts.add_fresh(&fresh);
    insert_leads(connection, &fresh, rules, clock, now).await?;
    let mut tally = Tally::default();
    for (_, _, event) in &events {
        if firsts.get(&event.id).is_some_and(|first| *first != event.id) {
            tally.add(Kind::Lead, event.received_at.as_millisecond(), &event.source, REDELIVERY, 1);
        }
    }
    tally.store(connection).await?;
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
            Prepared::Postback(_) => ("waiting", Some(THEIR_TURN)),
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
pub(super) async fn insert_leads(
    connection: &mut Connection,
    fresh: &[&PreparedEvent],
    rules: &IdentityRules,
    clock: &dyn Clock,
    now: i64,
) -> Result<(), StoreError> {
    if fresh.is_empty() {
        return Ok(());
    }
    let leads_of = fresh.iter().filter_map(|event| Some((event.lead_id, event.lead()?, event.received_at)));
    let redeemed = redeem(connection, leads_of).await?;
    let holders = fresh.iter().filter_map(|event| event.holder);
    let mut people =
        People::load(connection, redeemed.values().map(AsRef::as_ref), holders, rules, now).await?;
    let mut leads = Vec::with_capacity(fresh.len());
    let mut syncs = Vec::new();
    let mut names = Vec::new();
    let (mut chats, mut remembered) = (Chats::default(), Remembered::default());
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
        if let Some(news) = &event.chat {
            chats.tell(news, event.received_at);
            chats.tell_of_whom_it_names(news, event.received_at);
        }
        // A postback is somebody's, whatever the mapping makes of it.
        let holder = event.holder.map(|holder| people.present(holder));
        match &event.outcome {
            EventOutcome::Filtered(why) => row(None, holder, "filtered", Some(json(why)?), None, None, None),
            EventOutcome::NeedsAttention(why) => {
                row(None, holder, "needs-attention", Some(json(why)?), None, None, None);
            }
            EventOutcome::Lead { lead, branch, syncs: ids, to_come } => {
                let lead = redeemed.get(&event.lead_id).map_or(&**lead, AsRef::as_ref);
                let resolution = whose(&mut people, event, lead);
                // Of a postback it stays with who came with the click id, as their count does.
                let of = event.holder.unwrap_or(resolution.person);
                remembered.add(lead, of, event.received_at, place)?;
                if let Some(news) = event.chat.as_ref().filter(|news| news.chat.is_none()) {
                    chats.tell_of_one(
                        news,
                        people.chats_of(resolution.person, &news.scope),
                        event.received_at,
                    );
                }
                let branch = i64::try_from(*branch).unwrap_or(i64::MAX);
                names.extend(lead.contact.name.as_deref().map(|name| (place, name)));
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
    chats.store(connection).await?;
    remembered.store_clicks(connection).await?;
    let first = take_places(connection, fresh.len()).await?;
    // Only whoever has the counter of places writes these, so nobody waits for them.
    let mut tally = Tally::default();
    for event in fresh {
        let at = event.received_at.as_millisecond();
        tally.add(Kind::Lead, at, &event.source, event.outcome.state(), 1);
    }
    tally.store(connection).await?;
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
    store_names(connection, names.into_iter().map(|(place, name)| (first + place, name))).await?;
    remembered.store_fields(connection, first).await?;
    people.merge(connection, clock).await
}

/// Whose a lead is. A postback says nothing of its person that is remembered.
fn whose(people: &mut People, event: &PreparedEvent, lead: &Lead) -> Resolution {
    if let (Some(holder), Some(postback)) = (event.holder, &lead.postback) {
        return Resolution::by_click(&postback.click, people.present(holder));
    }
    let who = Who::of(lead, event.received_at);
    let resolution = people.resolve(&who, event.fresh_person);
    people.learn(event.lead_id, lead, &who, &resolution);
    resolution
}

/// Takes so many places at the end of the order of all leads; returns the first. What is rolled back gives them back.
async fn take_places(connection: &mut Connection, count: usize) -> Result<i64, StoreError> {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let sql = "UPDATE counters SET value = value + $1 WHERE name = 'sequence' RETURNING value";
    let rows = connection.fetch(sql, args![count]).await?;
    let last = rows.first().ok_or_else(|| StoreError::damaged("counter 'sequence' is gone"))?.int(0)?;
    Ok(last - count + 1)
}
