//! The statements behind [`super::postbacks`]: keeping what arrived, and counting it in its order.

use std::collections::{BTreeSet, HashMap};

use futures_util::future::BoxFuture;
use jiff::Timestamp;

use super::event_keys::{Keyed, take_and_insert};
use super::ordinals::{Ordinals, signed};
use super::postbacks::{CountedPostbacks, Counting, MOST_WAITING, PostbackState};
use super::prepare::{Arrived, EventOutcome, PreparedEvent, Received, received};
use super::prepare_work::insert_leads;
use super::sql::{Arg, Connection, ROWS_PER_STATEMENT, Row, args, list};
use super::{StoreError, Work};
use crate::id::{DeliveryId, EventId, LeadId, PersonId};
use crate::plan::Reason;

/// Why the delivery of a postback waits, until it is counted or ended.
pub(super) const THEIR_TURN: &str =
    "a postback: it is counted as soon as somebody with its click id is known (`leadfold postbacks`)";
/// Click ids whose waiting postbacks one transaction puts back in line, and postbacks whose time is over that one looks at.
const TOGETHER: usize = 256;

/// Keeps postbacks that preparing has read. One that is there already was read again.
pub(super) async fn keep_postbacks<'d>(
    connection: &mut Connection,
    postbacks: impl Iterator<Item = (DeliveryId, &'d Arrived)>,
) -> Result<(), StoreError> {
    let (mut rows, mut ids) = (Vec::new(), Vec::new());
    for (delivery, arrived) in postbacks {
        ids.push(Arg::from(delivery));
        rows.push(args![
            delivery,
            arrived.source.as_str(),
            arrived.click.as_str(),
            arrived.name.as_str(),
            arrived.key.as_str(),
            arrived.key_until.as_millisecond(),
            arrived.received_at.as_millisecond(),
            arrived.until.as_millisecond(),
            arrived.version.as_str(),
            PostbackState::Arrived.as_str(),
        ]);
    }
    for piece in ids.chunks(ROWS_PER_STATEMENT) {
        let sql = format!("UPDATE deliveries SET postback = 1 WHERE id IN ({})", list(1, piece.len()));
        connection.execute(&sql, piece.to_vec()).await?;
    }
    connection
        .insert_rows(
            "postbacks (delivery, source, click, name, key, key_until, received_at, until, version, state)",
            rows,
            "ON CONFLICT (delivery) DO UPDATE SET click = excluded.click, name = excluded.name, key = excluded.key, \
             key_until = excluded.key_until, until = excluded.until, version = excluded.version, state = excluded.state",
        )
        .await
}

pub(super) struct CountPostbacks {
    pub(super) limit: usize,
    pub(super) counting: Counting,
}

/// A postback whose turn has come.
struct Due {
    received: Received,
    name: String,
    key: String,
    key_until: Timestamp,
    until: Timestamp,
    version: String,
    /// Of one that ended before, and was let wait again.
    event: Option<EventId>,
    lead: Option<LeadId>,
    /// Who came with its click id.
    holder: Option<PersonId>,
}

/// A postback that becomes an event now.
struct Taken {
    due: Due,
    event: EventId,
    /// Whose it is, or why it ends.
    to: Result<PersonId, Reason>,
}

impl Work for CountPostbacks {
    type Output = CountedPostbacks;

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<Self::Output, StoreError>> {
        Box::pin(async move {
            let mut counted = CountedPostbacks::default();
            if !take_turn(connection, "FOR UPDATE SKIP LOCKED").await? {
                return Ok(counted);
            }
            let now = self.counting.clock.now();
            counted.moved += put_back_in_line(connection).await?;
            counted.moved += look_at_old(connection, now).await?;
            let due = self.due(connection).await?;
            let (mut waiting, mut taken) = (Vec::new(), Vec::new());
            let mut full = Waiting::default();
            for due in due {
                // What was read for a person is counted as it was read.
                if due.version != self.counting.version && due.event.is_none() {
                    // In the order of arrival, so nothing behind it goes before it is read again.
                    counted.read_again +=
                        read_again(connection, &[Arg::from(due.received.delivery.id)]).await?;
                    break;
                }
                let to = match due.holder {
                    Some(holder) => Ok(holder),
                    None if due.until <= now => Err(no_such_click(&due)),
                    None if full.has_room(connection, &due.received.delivery.source).await? => {
                        waiting.push(Arg::from(due.received.delivery.id));
                        continue;
                    }
                    None => Err(too_many(&due.received.delivery.source)),
                };
                let event = due.event.unwrap_or_else(|| EventId(self.counting.clock.new_id()));
                taken.push(Taken { due, event, to });
            }
            counted.moved +=
                u64::try_from(waiting.len() + taken.len()).unwrap_or(u64::MAX) + counted.read_again;
            for piece in waiting.chunks(ROWS_PER_STATEMENT) {
                let sql = format!(
                    "UPDATE postbacks SET state = 'waiting' WHERE delivery IN ({})",
                    list(1, piece.len())
                );
                connection.execute(&sql, piece.to_vec()).await?;
            }
            self.take(connection, taken, &mut counted).await?;
            Ok(counted)
        })
    }
}

/// Waits for whoever else counts, or does without (`SKIP LOCKED`): then there is no turn.
pub(super) async fn take_turn(connection: &mut Connection, clause: &'static str) -> Result<bool, StoreError> {
    let sql = format!("SELECT value FROM counters WHERE name = 'postbacks' {}", connection.row_locks(clause));
    Ok(!connection.fetch(&sql, args![]).await?.is_empty())
}

/// Puts what waited for click ids that somebody came with since back in line, in its order of arrival.
async fn put_back_in_line(connection: &mut Connection) -> Result<u64, StoreError> {
    let sql = format!("SELECT click FROM clicks WHERE fresh = 1 ORDER BY click LIMIT {TOGETHER}");
    let rows = connection.fetch(&sql, args![]).await?;
    let clicks: Vec<Arg> = rows.iter().map(|row| row.text(0).map(Arg::from)).collect::<Result<_, _>>()?;
    if clicks.is_empty() {
        return Ok(0);
    }
    let these = list(1, clicks.len());
    let sql =
        format!("UPDATE postbacks SET state = 'arrived' WHERE state = 'waiting' AND click IN ({these})");
    connection.execute(&sql, clicks.clone()).await?;
    let sql = format!("UPDATE clicks SET fresh = 0 WHERE fresh = 1 AND click IN ({these})");
    connection.execute(&sql, clicks).await
}

/// Those whose time is over have their turn once more.
async fn look_at_old(connection: &mut Connection, now: Timestamp) -> Result<u64, StoreError> {
    let sql = format!(
        "UPDATE postbacks SET state = 'arrived' WHERE state = 'waiting' AND delivery IN \
         (SELECT delivery FROM postbacks WHERE state = 'waiting' AND until <= $1 ORDER BY until LIMIT {TOGETHER})"
    );
    connection.execute(&sql, args![now.as_millisecond()]).await
}

/// Lets these deliveries be prepared again. They were postbacks of another version, and may be none now.
async fn read_again(connection: &mut Connection, deliveries: &[Arg]) -> Result<u64, StoreError> {
    let these = list(1, deliveries.len());
    let sql = format!("DELETE FROM postbacks WHERE event IS NULL AND delivery IN ({these})");
    connection.execute(&sql, deliveries.to_vec()).await?;
    let sql = format!(
        "UPDATE deliveries SET state = 'received', why = NULL, postback = 0 WHERE state = 'waiting' AND id IN ({these})"
    );
    connection.execute(&sql, deliveries.to_vec()).await
}

pub(super) struct ReadAgain {
    pub(super) version: String,
}

impl Work for ReadAgain {
    type Output = u64;

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<u64, StoreError>> {
        Box::pin(async move {
            if !take_turn(connection, "FOR UPDATE SKIP LOCKED").await? {
                return Ok(0);
            }
            let sql = format!(
                "SELECT delivery FROM postbacks WHERE state = 'waiting' AND version <> $1 ORDER BY delivery LIMIT {TOGETHER}"
            );
            let rows = connection.fetch(&sql, args![self.version.as_str()]).await?;
            let ids: Vec<Arg> =
                rows.iter().map(|row| row.text(0).map(Arg::from)).collect::<Result<_, _>>()?;
            if ids.is_empty() {
                return Ok(0);
            }
            read_again(connection, &ids).await
        })
    }
}

/// Sets the next postback aside: the database does not take what it became.
pub(super) struct SetAside {
    pub(super) counting: Counting,
    pub(super) why: String,
}

impl Work for SetAside {
    type Output = Option<DeliveryId>;

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<Self::Output, StoreError>> {
        Box::pin(async move {
            take_turn(connection, "FOR UPDATE").await?;
            let next = CountPostbacks { limit: 1, counting: self.counting.clone() };
            let due = next.due(connection).await?;
            let Some(id) = due.first().map(|due| due.received.delivery.id) else { return Ok(None) };
            connection.execute("DELETE FROM postbacks WHERE delivery = $1", args![id]).await?;
            let sql = "UPDATE deliveries SET state = 'unreadable', why = $1, postback = 0 WHERE id = $2";
            connection.execute(sql, args![self.why.as_str(), id]).await?;
            Ok(Some(id))
        })
    }
}

/// How many postbacks of each source may still wait.
#[derive(Default)]
struct Waiting(HashMap<String, i64>);

impl Waiting {
    async fn has_room(&mut self, connection: &mut Connection, source: &str) -> Result<bool, StoreError> {
        if !self.0.contains_key(source) {
            let sql = "SELECT COUNT(*) FROM postbacks WHERE state = 'waiting' AND source = $1";
            let rows = connection.fetch(sql, args![source]).await?;
            let waiting = rows.first().map_or(Ok(0), |row| row.int(0))?;
            self.0.insert(source.to_owned(), MOST_WAITING - waiting);
        }
        let room = self.0.entry(source.to_owned()).or_default();
        *room -= 1;
        Ok(*room >= 0)
    }
}

fn no_such_click(due: &Due) -> Reason {
    Reason::new(
        "no_such_click",
        format!(
            "Nobody came with the click id of this postback until {}. When somebody does, `leadfold replay` lets it wait and \
             be counted after all.",
            due.until
        ),
    )
}

fn too_many(source: &str) -> Reason {
    Reason::new(
        "too_many_waiting",
        format!(
            "Nobody has come with the click id of this postback, and {MOST_WAITING} postbacks of source '{source}' wait \
             already. Look whether the network sends click ids of another account; `leadfold replay` lets it wait after all."
        ),
    )
}

impl CountPostbacks {
    /// The oldest whose turn has come: none behind a delivery that nobody has prepared yet, because that may be an earlier
    /// postback of the same person.
    async fn due(&self, connection: &mut Connection) -> Result<Vec<Due>, StoreError> {
        let sql = "SELECT id FROM deliveries WHERE state = 'received' ORDER BY id LIMIT 1";
        let rows = connection.fetch(sql, args![]).await?;
        // Behind every id.
        let horizon = rows.first().map_or_else(|| Ok("~".to_owned()), |row| row.text(0))?;
        let sql = format!(
            "SELECT d.id, d.source, d.method, d.query, d.headers, d.body, d.received_at, NULL, p.name, p.key, \
             p.key_until, p.until, p.version, p.event, p.lead, c.person FROM postbacks p \
             JOIN deliveries d ON d.id = p.delivery LEFT JOIN clicks c ON c.click = p.click AND c.fresh = 0 \
             WHERE p.state = 'arrived' AND d.state = 'waiting' AND p.delivery < $1 ORDER BY p.delivery LIMIT $2 {}",
            connection.row_locks("FOR UPDATE OF d")
        );
        let limit = i64::try_from(self.limit).unwrap_or(i64::MAX);
        connection.fetch(&sql, args![horizon, limit]).await?.iter().map(due).collect()
    }

    /// Makes events of these, and leads of those that repeat nothing.
    async fn take(
        &self,
        connection: &mut Connection,
        taken: Vec<Taken>,
        counted: &mut CountedPostbacks,
    ) -> Result<(), StoreError> {
        if taken.is_empty() {
            return Ok(());
        }
        let keyed: Vec<Keyed<'_>> = taken
            .iter()
            .filter(|taken| taken.due.event.is_none())
            .map(|Taken { due, event, .. }| Keyed {
                delivery: due.received.delivery.id,
                position: 0,
                event: *event,
                source: &due.received.delivery.source,
                key: &due.key,
                received_at: due.received.delivery.received_at,
                until: due.key_until,
            })
            .collect();
        let firsts = take_and_insert(connection, &keyed, self.counting.clock.now()).await?;
        drop(keyed);
        let deliveries: Vec<Arg> =
            taken.iter().map(|taken| Arg::from(taken.due.received.delivery.id)).collect();
        let (again, fresh): (Vec<Taken>, Vec<Taken>) = taken
            .into_iter()
            .partition(|taken| firsts.get(&taken.event).is_some_and(|first| *first != taken.event));
        counted.leads.redeliveries += u64::try_from(again.len()).unwrap_or(u64::MAX);
        let mut changes: Vec<(String, Vec<Arg>)> = again
            .iter()
            .map(|taken| {
                end(taken.due.received.delivery.id, PostbackState::Repeat, taken.event, None, None, None)
            })
            .collect();
        let holders: BTreeSet<PersonId> =
            fresh.iter().filter_map(|taken| taken.to.as_ref().ok().copied()).collect();
        let mut ordinals = Ordinals::load(connection, holders).await?;
        let mut events = Vec::with_capacity(fresh.len());
        for Taken { due, event, to } in fresh {
            let delivery = due.received.delivery.id;
            let (state, holder, ordinal, outcome) = match to {
                Ok(holder) => {
                    let ordinal = ordinals.take(holder, &due.name);
                    let outcome = (self.counting.stage)(&due.received, ordinal);
                    (PostbackState::Counted, Some(holder), Some(ordinal), outcome)
                }
                Err(why) => (PostbackState::Ended, None, None, EventOutcome::Filtered(why)),
            };
            let prepared = self.counting.prepared(&due.received, event, due.lead, holder, outcome);
            changes.push(end(delivery, state, event, Some(prepared.lead_id), holder, ordinal));
            events.push(prepared);
        }
        ordinals.store(connection).await?;
        let events: Vec<&PreparedEvent> = events.iter().collect();
        let now = self.counting.clock.now().as_millisecond();
        insert_leads(connection, &events, &self.counting.rules, &*self.counting.clock, now).await?;
        counted.leads.deliveries += u64::try_from(deliveries.len()).unwrap_or(u64::MAX);
        counted.leads.add_fresh(&events);
        for piece in deliveries.chunks(ROWS_PER_STATEMENT) {
            let sql = format!(
                "UPDATE deliveries SET state = 'prepared', why = NULL WHERE id IN ({})",
                list(1, piece.len())
            );
            changes.push((sql, piece.to_vec()));
        }
        connection.execute_all(changes).await
    }
}

impl Counting {
    /// What a postback became, as preparing has it.
    pub(super) fn prepared(
        &self,
        received: &Received,
        event: EventId,
        lead: Option<LeadId>,
        holder: Option<PersonId>,
        outcome: EventOutcome,
    ) -> PreparedEvent {
        PreparedEvent {
            id: event,
            lead_id: lead.unwrap_or_else(|| LeadId(self.clock.new_id())),
            fresh_person: PersonId(self.clock.new_id()),
            source: received.delivery.source.clone(),
            // Its key is taken already.
            key: String::new(),
            key_until: received.delivery.received_at,
            received_at: received.delivery.received_at,
            version: self.version.clone(),
            holder,
            chat: None,
            outcome,
        }
    }
}

/// The statement that stores what became of a postback.
pub(super) fn end(
    delivery: DeliveryId,
    state: PostbackState,
    event: EventId,
    lead: Option<LeadId>,
    person: Option<PersonId>,
    ordinal: Option<u64>,
) -> (String, Vec<Arg>) {
    let sql = "UPDATE postbacks SET state = $1, event = $2, lead = $3, person = $4, ordinal = $5 WHERE delivery = $6";
    let (lead, person) = (lead.map(|lead| lead.to_string()), person.map(|person| person.to_string()));
    (sql.to_owned(), args![state.as_str(), event, lead, person, ordinal.map(signed), delivery])
}

fn due(row: &Row) -> Result<Due, StoreError> {
    Ok(Due {
        received: received(row)?,
        name: row.text(8)?,
        key: row.text(9)?,
        key_until: row.timestamp(10)?,
        until: row.timestamp(11)?,
        version: row.text(12)?,
        event: row.optional_id(13)?,
        lead: row.optional_id(14)?,
        holder: row.optional_id(15)?,
    })
}
