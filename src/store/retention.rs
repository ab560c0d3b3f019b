//! What is old goes: first what a request held, later the request with everything that followed from it, children first.
//!
//! One process at a time removes, in small transactions of their own. It holds a *round*: a row that says until when
//! nobody else begins, and that each of its transactions moves on. Whoever was killed in the middle is followed by the
//! next one; nothing is remembered but what is still there. The removing itself is in [`super::retention_work`].
//!
//! What is never removed by age: people, their identifiers and links (they prevent duplicates), their chats and what is
//! remembered of them, merges, what owner pools remember, and every request of which something is not at its end.

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::retention_work::{BeginRound, EndRound, RemoveOld, RemoveVersions};
use super::sql::args;
use super::{Store, StoreError};
use crate::id::DeliveryId;

/// Deliveries that are looked at together, and the most that one transaction touches.
const PAGE: usize = 64;
/// A key outlives its last moment by this much: processes have clocks of their own, and a request that came in time may
/// still be on its way into the registry.
const GRACE: SignedDuration = SignedDuration::from_hours(1);
/// Requests at their end, by the state of their row.
pub(super) const EMPTIED: &str = "d.state IN ('prepared', 'refused') AND d.emptied_at IS NULL";
/// A request that could not be read keeps its body as long as its row: the body is all there is of it.
pub(super) const REMOVED: &str = "d.state IN ('prepared', 'refused', 'unreadable')";
/// The leads of a request that are not at their end.
pub(super) const NOT_ENDED: &str = "events e JOIN leads l ON l.event = e.id WHERE e.delivery = d.id \
    AND (l.state NOT IN ('mapped', 'filtered') OR EXISTS (SELECT 1 FROM syncs s \
      WHERE s.lead = l.id AND s.state NOT IN ('synced', 'filtered')))";

/// The right to remove what is old, while it is moved on in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Round {
    /// Until when nobody else begins: the value of the row, by which we know it as ours.
    pub(super) until: i64,
}

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Requests whose body, query and headers go.
    Bodies,
    /// Requests that go with everything.
    Rows,
}

/// A page of old requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Old {
    /// Those that may go, oldest first.
    pub ended: Vec<DeliveryId>,
    /// How many stay because something of them is not at its end.
    pub kept: u64,
    /// Where the next page begins; `None` at the end.
    pub next: Option<DeliveryId>,
}

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Requests that were emptied.
    pub bodies: u64,
    /// Requests that are gone.
    pub deliveries: u64,
    /// Leads that are gone.
    pub leads: u64,
    /// Event keys by which nothing is recognised any more.
    pub keys: u64,
    /// Versions of the workspace that no lead is pinned to.
    pub versions: u64,
    /// Chats of nobody.
    pub chats: u64,
    /// Links to a site, tokens of links into bots, and failures to open one.
    pub links: u64,
    /// Entries of the audit log.
    pub actions: u64,
    /// Sessions of the console that have ended.
    pub sessions: u64,
}

impl Removed {
    /// Counts another part.
    pub fn add(&mut self, other: Self) {
        let Self { bodies, deliveries, leads, keys, versions, chats, links, actions, sessions } = other;
        self.bodies += bodies;
        self.deliveries += deliveries;
        self.leads += leads;
        self.keys += keys;
        self.versions += versions;
        self.chats += chats;
        self.links += links;
        self.actions += actions;
        self.sessions += sessions;
    }
}

/// A transaction of a round.
#[derive(Clone, Debug)]
pub struct Batch {
    /// What is done to them.
    pub what: What,
    /// Which requests. Those of which something is no longer at its end stay; so do the last ones, where all together are
    /// too much for one transaction.
    pub deliveries: Vec<DeliveryId>,
    /// Keys that no request from before this moment can meet any more go.
    pub keys_until: Timestamp,
}

impl Store {
    /// Begins a round when nobody has one and the last is long enough ago; `None` when it is not time yet.
    pub async fn begin_round(&self, now: Timestamp, until: Timestamp) -> Result<Option<Round>, StoreError> {
        let rows = self.read("SELECT value FROM counters WHERE name = 'retention'", args![]).await?;
        let busy_until = rows.first().map_or(Ok(i64::MIN), |row| row.int(0))?;
        // The common case costs no write.
        if busy_until > now.as_millisecond() {
            return Ok(None);
        }
        self.write(BeginRound { now: now.as_millisecond(), until: until.as_millisecond() }).await
    }

    /// Says when the next round may begin. Nothing happens when the round is another's by now.
    pub async fn end_round(&self, round: Round, next: Timestamp) -> Result<(), StoreError> {
        match self.write(EndRound { round, next: next.as_millisecond() }).await {
            Err(failure) if failure.is_final() => Ok(()),
            ended => ended,
        }
    }

    /// Requests from before a moment, behind `after`.
    pub async fn old(
        &self,
        what: What,
        before: Timestamp,
        after: Option<DeliveryId>,
    ) -> Result<Old, StoreError> {
        let page = i64::try_from(PAGE).unwrap_or(i64::MAX);
        let after = after.unwrap_or(DeliveryId(Uuid::nil()));
        let rows = self.read(&old(what), args![after, first_id_of(before), page]).await?;
        let mut old = Old::default();
        for row in &rows {
            if row.int(1)? == 0 {
                old.ended.push(row.id(0)?);
            } else {
                old.kept += 1;
            }
        }
        if rows.len() == PAGE {
            old.next = rows.last().map(|row| row.id(0)).transpose()?;
        }
        Ok(old)
    }

    /// Before which moment an event key must have ended to be of no use: a request that waits to be prepared still meets
    /// the keys of its time.
    pub async fn keys_until(&self, now: Timestamp) -> Result<Timestamp, StoreError> {
        let rows = self.read(OLDEST_UNPREPARED, args![]).await?;
        let mut until = now;
        for row in &rows {
            until = row.optional_timestamp(0)?.map_or(until, |oldest| until.min(oldest));
        }
        Ok(until.saturating_sub(GRACE).unwrap_or(Timestamp::MIN))
    }

    /// Removes a part of what is old, and moves the round on. The error is final when the round is another's by now.
    pub async fn remove_old(
        &self,
        round: &mut Round,
        batch: Batch,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Removed, StoreError> {
        let until = until.as_millisecond();
        let work = RemoveOld { round: *round, until, batch, now: now.as_millisecond() };
        let removed = self.write(work).await?;
        round.until = until;
        Ok(removed)
    }

    /// Removes versions of the workspace that have not been active since before that moment and that no lead is pinned
    /// to; returns how many.
    pub async fn remove_versions(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.write(RemoveVersions { before }).await
    }
}

/// The statement that finds a page of old requests, each with how many of its leads are not at their end.
pub(super) fn old(what: What) -> String {
    let state = match what {
        What::Bodies => EMPTIED,
        What::Rows => REMOVED,
    };
    format!(
        "SELECT d.id, (SELECT COUNT(*) FROM {NOT_ENDED}) FROM deliveries d \
         WHERE d.id > $1 AND d.id < $2 AND {state} ORDER BY d.id LIMIT $3"
    )
}

/// When the oldest requests came that are not prepared, one row for each reason.
pub(super) const OLDEST_UNPREPARED: &str = "SELECT MIN(received_at) FROM deliveries WHERE state = 'received' \
     UNION ALL SELECT MIN(received_at) FROM deliveries WHERE state = 'waiting' AND postback = 0 \
     UNION ALL SELECT MIN(received_at) FROM postbacks WHERE state = 'waiting'";

/// The smallest id that can have been given at this moment: ids of deliveries begin with their milliseconds.
pub fn first_id_of(moment: Timestamp) -> DeliveryId {
    let millis = u128::try_from(moment.as_millisecond()).unwrap_or(0);
    DeliveryId(Uuid::from_u128(millis << 80))
}

/// The millisecond that an id begins with.
pub(super) fn millis_of(id: DeliveryId) -> i64 {
    i64::try_from(id.0.as_u128() >> 80).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock as _, ManualClock, SystemClock};

    #[test]
    fn ids_begin_with_their_moment() {
        let now = SystemClock.now();
        for id in [DeliveryId(SystemClock.new_id()), DeliveryId(ManualClock::new(now).new_id())] {
            assert!(first_id_of(now) <= id, "{id}");
            let later = now.checked_add(SignedDuration::from_secs(5)).unwrap();
            assert!(id < first_id_of(later), "{id}");
            assert!(first_id_of(now).to_string() <= id.to_string(), "the database compares texts");
            assert!((millis_of(id) - now.as_millisecond()).abs() < 5_000, "{id}");
        }
        assert_eq!(first_id_of(Timestamp::MIN), DeliveryId(Uuid::nil()));
    }
}
