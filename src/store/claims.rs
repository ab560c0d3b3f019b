//! Who has which sync in hand: claiming what is due, and freeing what is in nobody's hands any more.

use std::collections::{BTreeMap, BTreeSet};
use std::iter;

use futures_util::future::BoxFuture;

use super::context;
use super::faces::{Faces, faces};
use super::lease::{Lease, bump};
use super::pauses::is_paused;
use super::sql::{Arg, Connection, ROWS_PER_STATEMENT, Row, args, json, list};
use super::syncs::{Abandoned, Claimed, OPEN, PersonContext, StepState, StoredStep};
use super::{StoreError, Work};
use crate::id::{PersonId, SyncId};
use crate::plan::{Priority, Reason, RecordId, Step};
use crate::resolve::{Decision, Language};

/// The statement that claims. What waits for somebody may be very much and not due for hours, so it is looked for by the
/// time at which it is due; everything else in the order of the queue.
///
/// The last arguments are so many syncs that whoever claims has in hand, whatever the rows say: one that was put down may
/// have been put down by a commit without an answer, and then the same is entered once more.
///
/// Of a destination that somebody paused nothing is claimed.
///
/// One that is changing hands just now is passed over by `locks` until it has. Two of one human may still be claimed at
/// once, when they become one during this statement: then the plan of the second is refused.
pub(super) fn claim(live: bool, in_hand: usize, locks: &str) -> String {
    // One human's leads go one after another: first what has begun (people who became one may have begun several), then
    // in their order, but backfill that has not begun last. What is held waits for a person and holds nobody back. Where
    // nothing is to be written, nothing that has begun goes on, unless a person let it through.
    let mine = if live { "" } else { "AND (s.let_through = 1 OR s.state IN ('ready', 'waiting'))" };
    let turn = |of: &str| {
        format!(
            "CASE WHEN {of}.state IN ('pushing', 'unknown') THEN 0 \
             WHEN {of}.priority = 1 AND {of}.state = 'ready' THEN 2 ELSE 1 END"
        )
    };
    let free = format!(
        "s.destination = $1 AND s.next_at <= $3 AND s.claimed <> $2 {mine} AND s.id NOT IN ({}) \
           AND NOT {} AND NOT EXISTS (SELECT 1 FROM syncs e \
           WHERE e.person = s.person AND e.destination = s.destination AND e.{OPEN} AND e.id <> s.id \
             AND (e.claimed = $2 OR ({}, e.sequence) < ({}, s.sequence)))",
        list(5, in_hand),
        is_paused("$1"),
        turn("e"),
        turn("s"),
    );
    format!(
        "WITH due AS MATERIALIZED (SELECT id FROM ( \
           SELECT * FROM (SELECT s.id, s.priority, s.sequence FROM syncs s \
             WHERE s.state IN ('ready', 'pushing', 'unknown') AND {free} \
             ORDER BY s.priority, s.sequence LIMIT $4 {locks}) AS queued \
           UNION ALL SELECT * FROM (SELECT s.id, s.priority, s.sequence FROM syncs s \
             WHERE s.state = 'waiting' AND {free} ORDER BY s.next_at LIMIT $4 {locks}) AS woken) AS found \
         ORDER BY priority, sequence LIMIT $4) \
         UPDATE syncs SET claimed = $2 WHERE id IN (SELECT id FROM due) RETURNING id"
    )
}

pub(crate) struct Claim {
    pub(crate) lease: Lease,
    pub(crate) live: bool,
    pub(crate) now: i64,
    pub(crate) limit: i64,
    pub(crate) in_hand: Vec<SyncId>,
}

impl Work for Claim {
    type Output = Vec<Claimed>;

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<Vec<Claimed>, StoreError>> {
        Box::pin(async move {
            bump(connection, &self.lease).await?;
            let mut arguments =
                args![self.lease.destination.as_str(), self.lease.epoch, self.now, self.limit];
            // Filled up with no sync's id, so that there are few texts: a database prepares each of them anew.
            let places = self.in_hand.len().next_power_of_two();
            let ids = self.in_hand.iter().map(|sync| Arg::from(*sync));
            arguments.extend(ids.chain(iter::repeat_with(|| Arg::from(""))).take(places));
            let sql = claim(self.live, places, connection.row_locks("FOR UPDATE OF s SKIP LOCKED"));
            let rows = connection.fetch(&sql, arguments).await?;
            if rows.is_empty() {
                return Ok(Vec::new());
            }
            let ids: Vec<Arg> =
                rows.iter().map(|row| row.text(0).map(Arg::from)).collect::<Result<_, _>>()?;
            let (claimed, mut unreadable) = load_claimed(connection, ids).await?;
            let claimed = self.with_contexts(connection, claimed, &mut unreadable).await?;
            for (sync, failure) in unreadable {
                self.set_aside(connection, &sync, &failure).await?;
            }
            Ok(claimed)
        })
    }
}

impl Claim {
    async fn with_contexts(
        &self,
        connection: &mut Connection,
        claimed: Vec<Claimed>,
        unreadable: &mut Vec<(String, StoreError)>,
    ) -> Result<Vec<Claimed>, StoreError> {
        let people: Vec<_> = claimed.iter().map(|claimed| (claimed.id, claimed.person)).collect();
        let mut contexts = context::load(connection, &people, &self.lease.destination).await?;
        let mut complete = Vec::with_capacity(claimed.len());
        for mut claimed in claimed {
            match contexts.remove(&claimed.person).transpose() {
                Ok(context) => {
                    claimed.context = context.unwrap_or_default();
                    complete.push(claimed);
                }
                Err(failure) => unreadable.push((claimed.id.to_string(), failure)),
            }
        }
        Ok(complete)
    }

    /// One row that cannot be read must not stop the queue behind it.
    async fn set_aside(
        &self,
        connection: &mut Connection,
        sync: &str,
        failure: &StoreError,
    ) -> Result<(), StoreError> {
        tracing::error!(sync, %failure, "a lead in the registry cannot be read; it needs attention");
        let why = Reason::new(
            "lead_unreadable",
            format!(
                "This lead cannot be read from the registry ({failure}). Run the version of leadfold that stored it, and \
                 there `leadfold replay --cause lead_unreadable --resume`."
            ),
        );
        connection
            .execute(
                "UPDATE syncs SET state = 'needs-attention', why = $2, claimed = 0, updated_at = $3 WHERE id = $1",
                args![sync, json(&why)?, self.now],
            )
            .await?;
        Ok(())
    }
}

/// The statement that reads so many syncs with their leads.
pub(super) fn claimed_rows(syncs: usize) -> String {
    format!(
        "SELECT s.id, s.lead, l.lead, l.version, l.branch, s.person, s.priority, s.attempts, s.owner, l.conflicts, \
         s.let_through, s.forced, s.brought, l.decision \
         FROM syncs s JOIN leads l ON l.id = s.lead WHERE s.id IN ({}) ORDER BY s.priority, s.sequence",
        list(1, syncs)
    )
}

/// The statement that reads the steps of so many syncs.
pub(super) fn claimed_steps(syncs: usize) -> String {
    format!(
        "SELECT sync, id, action, state, record, sent_at FROM steps WHERE sync IN ({}) AND past = 0 \
         ORDER BY sync, position",
        list(1, syncs)
    )
}

/// The syncs with their leads and steps, and those that cannot be read.
async fn load_claimed(
    connection: &mut Connection,
    ids: Vec<Arg>,
) -> Result<(Vec<Claimed>, Vec<(String, StoreError)>), StoreError> {
    let mut unreadable = Vec::new();
    let mut claimed = Vec::with_capacity(ids.len());
    let mut decisions = BTreeMap::new();
    for row in connection.fetch(&claimed_rows(ids.len()), ids.clone()).await? {
        match claimed_row(&row).and_then(|sync| Ok((sync, row.optional_json::<Decision>(13)?))) {
            Ok((sync, decision)) => {
                decisions.extend(decision.map(|decision| (sync.id, decision)));
                claimed.push(sync);
            }
            Err(failure) => unreadable.push((row.text(0)?, failure)),
        }
    }
    tell_conflicts(connection, &mut claimed, &decisions).await?;
    for row in connection.fetch(&claimed_steps(ids.len()), ids).await? {
        let sync: SyncId = row.id(0)?;
        let Some(index) = claimed.iter().position(|claimed| claimed.id == sync) else { continue };
        match stored_step(&row) {
            Ok(step) => claimed[index].steps.push(step),
            Err(failure) => {
                claimed.remove(index);
                unreadable.push((row.text(0)?, failure));
            }
        }
    }
    Ok((claimed, unreadable))
}

fn claimed_row(row: &Row) -> Result<Claimed, StoreError> {
    Ok(Claimed {
        id: row.id(0)?,
        lead_id: row.id(1)?,
        lead: row.json(2)?,
        version: row.text(3)?,
        branch: usize::try_from(row.int(4)?).unwrap_or(0),
        person: row.id(5)?,
        priority: if row.int(6)? == 0 { Priority::Live } else { Priority::Backfill },
        attempts: row.int(7)?,
        owner: row.optional_text(8)?,
        // Before there were decisions, only that was written down.
        conflicts: row.json(9)?,
        let_through: row.int(10)? != 0,
        forced: row.int(11)? != 0,
        brought: row.int(12)? != 0,
        steps: Vec::new(),
        context: PersonContext::default(),
    })
}

/// What the identifiers of these leads disagreed about. Few do, so that it costs nothing.
async fn tell_conflicts(
    connection: &mut Connection,
    claimed: &mut [Claimed],
    decisions: &BTreeMap<SyncId, Decision>,
) -> Result<(), StoreError> {
    let nobody = |person: PersonId| person.to_string();
    let torn = |decision: &&Decision| !decision.conflicts(Language::English, &nobody).is_empty();
    let people: BTreeSet<PersonId> = decisions.values().filter(torn).flat_map(Decision::people).collect();
    if people.is_empty() {
        return Ok(());
    }
    let people: Vec<Arg> = people.into_iter().map(Arg::from).collect();
    let faces = Faces::read(&connection.fetch(&faces(people.len()), people).await?)?;
    for sync in claimed {
        if let Some(decision) = decisions.get(&sync.id) {
            sync.conflicts = decision.conflicts(Language::English, &|person| faces.without_name(person));
        }
    }
    Ok(())
}

fn stored_step(row: &Row) -> Result<StoredStep, StoreError> {
    Ok(StoredStep {
        step: Step { id: row.id(1)?, action: row.json(2)? },
        state: row.parsed(3, StepState::parse)?,
        record: row.optional_text(4)?.map(RecordId),
        sent_at: row.optional_timestamp(5)?,
    })
}

pub(crate) struct PutDownAbandoned {
    pub(crate) lease: Lease,
    pub(crate) abandoned: Abandoned,
    pub(crate) now: i64,
}

impl Work for PutDownAbandoned {
    type Output = ();

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            bump(connection, &self.lease).await?;
            let Abandoned { syncs, why, next_at, most_attempts } = &self.abandoned;
            for piece in syncs.chunks(ROWS_PER_STATEMENT) {
                // The state stays: what was sent is looked up as if it had got no answer.
                let sql = format!(
                    "UPDATE syncs SET claimed = 0, attempts = attempts + 1, why = $2, next_at = $3, updated_at = $4, \
                     state = CASE WHEN attempts + 1 >= $5 THEN 'needs-attention' ELSE state END \
                     WHERE claimed = $1 AND {OPEN} AND id IN ({})",
                    list(6, piece.len())
                );
                let mut arguments =
                    args![self.lease.epoch, json(why)?, next_at.as_millisecond(), self.now, *most_attempts];
                arguments.extend(piece.iter().map(|sync| Arg::from(*sync)));
                connection.execute(&sql, arguments).await?;
            }
            Ok(())
        })
    }
}

pub(crate) struct FreeClaims {
    pub(crate) lease: Lease,
    pub(crate) held: Vec<SyncId>,
}

impl Work for FreeClaims {
    type Output = u64;

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<u64, StoreError>> {
        Box::pin(async move {
            bump(connection, &self.lease).await?;
            let except = if self.held.is_empty() {
                String::new()
            } else {
                format!("AND id NOT IN ({})", list(3, self.held.len()))
            };
            let mut arguments = args![self.lease.destination.as_str(), self.lease.epoch];
            arguments.extend(self.held.iter().map(|sync| Arg::from(*sync)));
            let sql = format!(
                "UPDATE syncs SET claimed = 0 WHERE destination = $1 AND claimed = $2 AND {OPEN} {except}"
            );
            connection.execute(&sql, arguments).await
        })
    }
}
