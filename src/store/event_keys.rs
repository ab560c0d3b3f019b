//! The keys of events: who had one first, and which event is a redelivery.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;

use super::StoreError;
use super::erase_requests::forget_redeliveries;
use super::sql::{Arg, Connection, ROWS_PER_STATEMENT, args, placeholders};
use crate::id::{DeliveryId, EventId};

/// An event with its key.
pub(super) struct Keyed<'e> {
    pub(super) delivery: DeliveryId,
    pub(super) position: usize,
    pub(super) event: EventId,
    pub(super) source: &'e str,
    pub(super) key: &'e str,
    pub(super) received_at: Timestamp,
    /// Until when a second one with this key is a redelivery.
    pub(super) until: Timestamp,
}

/// Stores events with their keys. Returns, for every event, the event that had its key first: itself when it is new.
pub(super) async fn take_and_insert(
    connection: &mut Connection,
    events: &[Keyed<'_>],
    now: Timestamp,
) -> Result<HashMap<EventId, EventId>, StoreError> {
    let firsts = take_keys(connection, events).await?;
    insert_events(connection, events, &firsts).await?;
    let again: Vec<(DeliveryId, usize, EventId)> = events
        .iter()
        .filter_map(|event| {
            let first = *firsts.get(&event.event).filter(|first| **first != event.event)?;
            Some((event.delivery, event.position, first))
        })
        .collect();
    forget_redeliveries(connection, &again, now).await?;
    Ok(firsts)
}

async fn take_keys(
    connection: &mut Connection,
    events: &[Keyed<'_>],
) -> Result<HashMap<EventId, EventId>, StoreError> {
    let mut firsts = HashMap::with_capacity(events.len());
    let mut left: Vec<&Keyed<'_>> = events.iter().collect();
    while !left.is_empty() {
        // A statement may touch a key only once, so repeats within the batch wait for the next round.
        let mut round: BTreeMap<(&str, &str), &Keyed<'_>> = BTreeMap::new();
        let mut repeats = Vec::new();
        for event in left {
            match round.entry((event.source, event.key)) {
                Entry::Vacant(place) => {
                    place.insert(event);
                }
                Entry::Occupied(_) => repeats.push(event),
            }
        }
        let round: Vec<&Keyed<'_>> = round.into_values().collect();
        for piece in round.chunks(ROWS_PER_STATEMENT) {
            take_distinct_keys(connection, piece, &mut firsts).await?;
        }
        left = repeats;
    }
    Ok(firsts)
}

async fn take_distinct_keys(
    connection: &mut Connection,
    events: &[&Keyed<'_>],
    firsts: &mut HashMap<EventId, EventId>,
) -> Result<(), StoreError> {
    let rows: Vec<Vec<Arg>> = events
        .iter()
        .map(|event| {
            args![
                event.source,
                event.key,
                event.event,
                event.received_at.as_millisecond(),
                event.until.as_millisecond()
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
    let taken: Vec<&Keyed<'_>> =
        events.iter().copied().filter(|event| !firsts.contains_key(&event.event)).collect();
    if taken.is_empty() {
        return Ok(());
    }
    let rows: Vec<Vec<Arg>> = taken.iter().map(|event| args![event.source, event.key]).collect();
    let mut owners = HashMap::new();
    for row in connection.fetch(&taken_keys(&rows), rows.into_iter().flatten().collect()).await? {
        owners.insert((row.text(0)?, row.text(1)?), row.id(2)?);
    }
    for event in taken {
        let owner = owners.get(&(event.source.to_owned(), event.key.to_owned()));
        let owner = owner.ok_or_else(|| StoreError::damaged("an event key vanished while it was taken"))?;
        firsts.insert(event.event, *owner);
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
    events: &[Keyed<'_>],
    firsts: &HashMap<EventId, EventId>,
) -> Result<(), StoreError> {
    let rows = events
        .iter()
        .map(|event| {
            let redelivery_of = firsts.get(&event.event).filter(|first| **first != event.event);
            args![
                event.event,
                event.delivery,
                i64::try_from(event.position).unwrap_or(i64::MAX),
                event.source,
                event.key,
                redelivery_of.map(EventId::to_string),
            ]
        })
        .collect();
    connection.insert_rows("events (id, delivery, position, source, key, redelivery_of)", rows, "").await
}
