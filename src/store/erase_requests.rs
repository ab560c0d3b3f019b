//! Erasing what stands in requests: a whole body, or one human's events in it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde_json::Value;

use super::erase::IS_ERASED;
use super::erase_people::clear_leads;
use super::prepare::delivery;
use super::sql::{Arg, Connection, Row, args, list};
use super::{Store, StoreError, Work};
use crate::event::{Delivery, cut, preset};
use crate::id::{DeliveryId, EventId, LeadId, PersonId};
use crate::normalise::Wanted;

/// Requests that are searched at once; acknowledgements wait while those that were found are erased.
pub(super) const PAGE: usize = 100;

/// How long a platform may send an erased event again without bringing anybody back.
const SENT_AGAIN: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);

/// What a search found, or an erasure did.
#[derive(Default)]
pub(super) struct Hits {
    pub(super) found: u64,
    pub(super) not_read_yet: u64,
    pub(super) unsplit: u64,
    pub(super) others: BTreeSet<PersonId>,
    pub(super) deliveries: Vec<DeliveryId>,
}

/// A request as it is kept, with what became of it.
struct Kept {
    delivery: Delivery,
    preset: Option<String>,
    state: String,
    events: BTreeMap<usize, Came>,
}

/// What became of one event; of a redelivery, what became of the first.
struct Came {
    event: EventId,
    lead: Option<LeadId>,
    person: Option<PersonId>,
    erased: bool,
    /// What its lead says mentions whoever is looked for.
    mentions: bool,
}

/// What a request has of somebody.
#[derive(Default)]
struct Found {
    positions: BTreeSet<usize>,
    /// Nothing of it is anybody else's, or it cannot be told.
    whole: bool,
    others: BTreeSet<PersonId>,
}

const KEPT: &str = "SELECT deliveries.id, deliveries.source, method, query, headers, body, received_at, deliveries.state, \
    sources.preset FROM deliveries LEFT JOIN sources ON sources.name = deliveries.source";

fn came_of(deliveries: usize) -> String {
    format!(
        "SELECT events.delivery, events.position, events.id, leads.id, leads.person, \
         CAST(CASE WHEN {IS_ERASED} THEN 1 ELSE 0 END AS BIGINT), leads.lead \
         FROM events LEFT JOIN leads ON leads.event = COALESCE(events.redelivery_of, events.id) \
         WHERE events.delivery IN ({})",
        list(1, deliveries)
    )
}

fn kept(requests: &[Row], events: &[Row], wanted: &Wanted) -> Result<Vec<Kept>, StoreError> {
    let mut all = Vec::with_capacity(requests.len());
    let mut places = HashMap::new();
    for row in requests {
        places.insert(row.text(0)?, all.len());
        let (delivery, state, preset) = (delivery(row)?, row.text(7)?, row.optional_text(8)?);
        all.push(Kept { delivery, preset, state, events: BTreeMap::new() });
    }
    for row in events {
        let Some(kept) = places.get(&row.text(0)?).and_then(|place| all.get_mut(*place)) else { continue };
        let came = Came {
            event: row.id(2)?,
            lead: row.optional_id(3)?,
            person: row.optional_id(4)?,
            erased: row.int(5)? != 0,
            mentions: row.optional_text(6)?.is_some_and(|lead| wanted.is_in(&lead)),
        };
        kept.events.insert(usize::try_from(row.int(1)?).unwrap_or(usize::MAX), came);
    }
    Ok(all)
}

/// The next requests, and those of them that mention whoever is looked for and are nobody's.
pub(super) async fn find(
    store: &Store,
    wanted: &Wanted,
    person: Option<PersonId>,
    after: Option<DeliveryId>,
) -> Result<(Vec<DeliveryId>, Hits), StoreError> {
    let after = after.map_or_else(String::new, |after| after.to_string());
    let sql = format!("{KEPT} WHERE deliveries.id > $1 ORDER BY deliveries.id LIMIT {PAGE}");
    let requests = store.read(&sql, args![after]).await?;
    if requests.is_empty() {
        return Ok((Vec::new(), Hits::default()));
    }
    let ids: Vec<Arg> = requests.iter().map(|row| row.text(0).map(Arg::from)).collect::<Result<_, _>>()?;
    let events = store.read(&came_of(ids.len()), ids).await?;
    let all = kept(&requests, &events, wanted)?;
    let mut hits = Hits::default();
    for kept in &all {
        let found = kept.look(wanted, person);
        hits.count(kept, &found);
    }
    Ok((all.into_iter().map(|kept| kept.delivery.id).collect(), hits))
}

impl Hits {
    fn count(&mut self, kept: &Kept, found: &Found) {
        self.others.extend(found.others.iter().copied());
        if found.positions.is_empty() && !found.whole {
            return;
        }
        self.found += 1;
        self.deliveries.push(kept.delivery.id);
        self.not_read_yet += u64::from(matches!(kept.state.as_str(), "received" | "waiting"));
        self.unsplit += u64::from(!found.whole && kept.without(&found.positions).is_none());
    }
}

impl Kept {
    /// What it has of whoever is looked for, without what is of `person`.
    fn look(&self, wanted: &Wanted, person: Option<PersonId>) -> Found {
        let mut found = Found::default();
        let is_another = |came: &Came| came.person.is_some() && came.person != person;
        for came in self.events.values().filter(|came| came.mentions && is_another(came)) {
            found.others.extend(came.person);
        }
        let preset = self.preset.as_deref().and_then(preset);
        let events = preset.and_then(|preset| (preset.split)(&self.delivery).ok());
        let of_all = wanted.is_in_bytes(self.delivery.query.as_deref().unwrap_or_default().as_bytes())
            || self.delivery.headers.iter().any(|(_, value)| wanted.is_in(value));
        let Some(events) = events.filter(|events| events.len() > 1) else {
            if of_all || wanted.is_in_bytes(&self.delivery.body) {
                match self.events.values().next().and_then(|came| came.person) {
                    None => found.whole = true,
                    Some(of) if Some(of) == person => {}
                    Some(other) => found.others.extend([other]),
                }
            }
            return found;
        };
        for (position, event) in events.iter().enumerate() {
            if !of_all && !wanted.is_in_json(&event.payload) {
                continue;
            }
            match self.events.get(&position).and_then(|came| came.person) {
                None => found.positions.extend([position]),
                Some(of) if Some(of) == person => {}
                Some(other) => found.others.extend([other]),
            }
        }
        found.whole = !events.is_empty() && found.positions.len() == events.len();
        found
    }

    /// The body without these events.
    fn without(&self, positions: &BTreeSet<usize>) -> Option<Vec<u8>> {
        cut(self.preset.as_deref().and_then(preset)?, &self.delivery, positions)
    }
}

/// Erases requests that mention somebody and are nobody's.
pub(super) struct EraseRequests {
    pub(super) deliveries: Vec<DeliveryId>,
    pub(super) wanted: Wanted,
    pub(super) person: Option<PersonId>,
    pub(super) now: Timestamp,
}

impl Work for EraseRequests {
    type Output = Hits;

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<Hits, StoreError>> {
        Box::pin(async move {
            connection.overwrite_what_goes().await?;
            // Looked at again under lock: one of them may have been prepared meanwhile.
            let all = lock(connection, &self.deliveries, &self.wanted).await?;
            let mut hits = Hits::default();
            for kept in &all {
                let found = kept.look(&self.wanted, self.person);
                if found.positions.is_empty() && !found.whole {
                    continue;
                }
                hits.count(kept, &found);
                let gone: Vec<&Came> = kept
                    .events
                    .iter()
                    .filter(|(position, came)| {
                        came.person.is_none() && (found.whole || found.positions.contains(position))
                    })
                    .map(|(_, came)| came)
                    .collect();
                keep_keys(connection, gone.iter().map(|came| came.event), self.now).await?;
                let leads: Vec<LeadId> =
                    gone.iter().filter(|came| !came.erased).filter_map(|came| came.lead).collect();
                clear_leads(connection, &leads, self.now).await?;
                let positions = (!found.whole).then_some(&found.positions);
                empty(connection, kept, positions, &self.wanted, self.now).await?;
            }
            Ok(hits)
        })
    }
}

async fn lock(
    connection: &mut Connection,
    deliveries: &[DeliveryId],
    wanted: &Wanted,
) -> Result<Vec<Kept>, StoreError> {
    let ids: Vec<Arg> = deliveries.iter().map(|id| Arg::from(*id)).collect();
    let sql = format!(
        "{KEPT} WHERE deliveries.id IN ({}) ORDER BY deliveries.id {}",
        list(1, ids.len()),
        connection.row_locks("FOR UPDATE OF deliveries")
    );
    let requests = connection.fetch(&sql, ids.clone()).await?;
    let events = connection.fetch(&came_of(ids.len()), ids).await?;
    kept(&requests, &events, wanted)
}

/// Erases what stands in these requests of the events of these people's leads. Returns how many requests that were, and how
/// many of them could not be split.
pub(super) async fn empty_requests_of(
    connection: &mut Connection,
    deliveries: &[DeliveryId],
    person: PersonId,
    wanted: &Wanted,
    now: Timestamp,
) -> Result<(u64, u64), StoreError> {
    if deliveries.is_empty() {
        return Ok((0, 0));
    }
    let mut unsplit = 0;
    let all = lock(connection, deliveries, wanted).await?;
    for kept in &all {
        let (mine, others): (Vec<_>, Vec<_>) = kept
            .events
            .iter()
            .filter(|(_, came)| !came.erased || came.person == Some(person))
            .partition(|(_, came)| came.person == Some(person));
        keep_keys(connection, mine.iter().map(|(_, came)| came.event), now).await?;
        let positions: BTreeSet<usize> = mine.iter().map(|(position, _)| **position).collect();
        let positions = (!others.is_empty()).then_some(&positions);
        unsplit += u64::from(!empty(connection, kept, positions, wanted, now).await?);
    }
    Ok((u64::try_from(all.len()).unwrap_or(u64::MAX), unsplit))
}

/// Erases these events of a request, or all of it; all of it, too, when it cannot be split. Returns whether it went as asked.
async fn empty(
    connection: &mut Connection,
    kept: &Kept,
    positions: Option<&BTreeSet<usize>>,
    wanted: &Wanted,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let id = kept.delivery.id;
    if let Some(body) = positions.and_then(|positions| kept.without(positions)) {
        let query = kept.delivery.query.clone().filter(|query| !wanted.is_in_bytes(query.as_bytes()));
        let mentioned = kept.delivery.headers.iter().any(|(_, value)| wanted.is_in(value));
        let sql = "UPDATE deliveries SET body = $2, query = $3, headers = CASE WHEN $4 = 1 THEN '[]' ELSE headers END \
             WHERE id = $1";
        connection.execute(sql, args![id, body, query, i64::from(mentioned)]).await?;
        return Ok(true);
    }
    let why = format!("everything personal was erased on {now:.0}; it was {}", kept.state);
    let sql = "UPDATE deliveries SET body = $2, query = NULL, headers = '[]', emptied_at = COALESCE(emptied_at, $3), \
         why = CASE WHEN state = 'prepared' THEN why ELSE $4 END, \
         state = CASE WHEN state IN ('received', 'waiting') THEN 'refused' ELSE state END WHERE id = $1";
    connection.execute(sql, args![id, Vec::new(), now.as_millisecond(), why]).await?;
    // It is no postback that anybody could count any more.
    let sql = "DELETE FROM postbacks WHERE delivery = $1 AND state IN ('arrived', 'waiting')";
    connection.execute(sql, args![id]).await?;
    Ok(positions.is_none())
}

/// Lets the keys of erased events count for a while longer.
async fn keep_keys(
    connection: &mut Connection,
    events: impl Iterator<Item = EventId>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let until = now.saturating_add(SENT_AGAIN).unwrap_or(Timestamp::MAX).as_millisecond();
    for event in events {
        let sql = "UPDATE event_keys SET until = $2 WHERE until < $2 AND event = $1 \
             AND (source, key) IN (SELECT source, key FROM events WHERE id = $1)";
        connection.execute(sql, args![event, until]).await?;
    }
    Ok(())
}

/// Erases what redeliveries of erased events brought along. `again` has each redelivery's request, its place in that, and the
/// event that it repeats.
pub(super) async fn forget_redeliveries(
    connection: &mut Connection,
    again: &[(DeliveryId, usize, EventId)],
    now: Timestamp,
) -> Result<(), StoreError> {
    if again.is_empty() {
        return Ok(());
    }
    let firsts: BTreeSet<EventId> = again.iter().map(|(_, _, first)| *first).collect();
    let mut erased: BTreeSet<EventId> = BTreeSet::new();
    let firsts: Vec<Arg> = firsts.into_iter().map(Arg::from).collect();
    for piece in firsts.chunks(super::sql::ROWS_PER_STATEMENT) {
        let sql =
            format!("SELECT event FROM leads WHERE event IN ({}) AND {IS_ERASED}", list(1, piece.len()));
        for row in connection.fetch(&sql, piece.to_vec()).await? {
            erased.insert(row.id(0)?);
        }
    }
    let mut cuts: BTreeMap<DeliveryId, BTreeSet<usize>> = BTreeMap::new();
    for (delivery, position, first) in again {
        if erased.contains(first) {
            cuts.entry(*delivery).or_default().insert(*position);
        }
    }
    if cuts.is_empty() {
        return Ok(());
    }
    connection.overwrite_what_goes().await?;
    let ids: Vec<DeliveryId> = cuts.keys().copied().collect();
    for kept in lock(connection, &ids, &Wanted::default()).await? {
        let Some(positions) = cuts.get(&kept.delivery.id) else { continue };
        let positions = (positions.len() < kept.events.len()).then_some(positions);
        empty(connection, &kept, positions, &Wanted::default(), now).await?;
    }
    Ok(())
}

/// The ids of identifiers that a stored lead names: kind, scope and value.
pub(super) fn identifiers_of(lead: &str) -> BTreeSet<(String, String, String)> {
    let Ok(lead) = serde_json::from_str::<Value>(lead) else { return BTreeSet::new() };
    let mut all = BTreeSet::new();
    for identifier in lead.get("identifiers").and_then(Value::as_array).into_iter().flatten() {
        let text = |name| identifier.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let keys = identifier.get("keys").and_then(Value::as_array).into_iter().flatten();
        all.extend(keys.filter_map(Value::as_str).map(|key| (text("kind"), text("scope"), key.to_owned())));
    }
    all
}
