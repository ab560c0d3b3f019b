//! The statements that write a group of [`Entry`]s: one for each kind of row, however many entries there are.

use std::collections::HashSet;

use serde_json::Value as Json;

use super::StoreError;
use super::lease::Lease;
use super::ledger::{Dated, Entry};
use super::pauses::is_paused;
use super::sql::{Arg, Connection, args, json, list, placeholders};
use super::syncs::{Next, OPEN, PlanToStore, StepEnd, StepState, SyncState};
use crate::id::{StepId, SyncId};
use crate::plan::{Plan, Reason, RecordId, RecordKind, Step};

/// What is said of a step that was looked for and not found.
const NOT_THERE: &str = "looked up after the CRM had settled: it was not written";

/// Rows of one statement, each with its arguments in the order of the columns.
type Rows = Vec<Vec<Arg>>;

/// What a group of entries finds, and what stays as it is until they are durable.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Syncs that are in our hands. Whose commit had no answer is entered again, and what was put down by then is not:
    /// its entry is stored already, and somebody else may have gone on with it.
    pub(super) in_hand: HashSet<SyncId>,
    /// Steps that may be sent: they are in our hands, their plan stands, and they have come to no end.
    pub(super) sendable: HashSet<StepId>,
    /// Plans that are stored already, by their first step.
    pub(super) planned: HashSet<StepId>,
}

/// Looks at the syncs and steps of these entries. The syncs are locked where others write: who makes one person of two
/// waits for us, and then sees what was stored, or was before us, and then we see that.
pub(super) async fn find(
    connection: &mut Connection,
    lease: &Lease,
    entries: &[Dated],
) -> Result<Found, StoreError> {
    let mut found = Found::default();
    if let Some((sql, arguments)) = in_hand(lease, entries) {
        let sql = format!("{sql} {}", connection.row_locks("FOR UPDATE"));
        for row in connection.fetch(&sql, arguments).await? {
            found.in_hand.insert(row.id(0)?);
        }
    }
    if let Some((sql, arguments)) = known_steps(lease, entries) {
        for row in connection.fetch(&sql, arguments).await? {
            found.planned.insert(row.id(0)?);
            if row.int(1)? == 1 {
                found.sendable.insert(row.id(0)?);
            }
        }
    }
    Ok(found)
}

/// The statement that says which of the syncs are in our hands; `None` when there are no entries.
pub(super) fn in_hand(lease: &Lease, entries: &[Dated]) -> Option<(String, Vec<Arg>)> {
    let syncs: Vec<Arg> = entries.iter().filter_map(|(entry, _)| entry.sync()).map(Arg::from).collect();
    let steps: Vec<Arg> = sent(entries).map(Arg::from).collect();
    let of_syncs = list(2, syncs.len());
    let of_steps = format!("SELECT sync FROM steps WHERE id IN ({})", list(2 + syncs.len(), steps.len()));
    let wanted = match (syncs.is_empty(), steps.is_empty()) {
        (true, true) => return None,
        (false, true) => of_syncs,
        (true, false) => of_steps,
        // One subquery: for an OR with one PostgreSQL walks through all syncs.
        (false, false) => format!("SELECT id FROM syncs WHERE id IN ({of_syncs}) UNION {of_steps}"),
    };
    let sql = format!("SELECT id FROM syncs WHERE claimed = $1 AND (id IN ({wanted})) ORDER BY id");
    Some((sql, args![lease.epoch].into_iter().chain(syncs).chain(steps).collect()))
}

/// The statement that says which of the steps are there, and which may be sent; `None` when nothing is planned or sent.
pub(super) fn known_steps(lease: &Lease, entries: &[Dated]) -> Option<(String, Vec<Arg>)> {
    let first = entries.iter().filter_map(|(entry, _)| entry.first_step());
    let steps: Vec<Arg> = sent(entries).chain(first).map(Arg::from).collect();
    if steps.is_empty() {
        return None;
    }
    // A step that was sent may be sent once more, where that does no harm, and its first entry may have had no answer.
    // Where somebody paused the destination, what has begun is finished and nothing is begun.
    let sql = format!(
        "SELECT steps.id, CAST(CASE WHEN syncs.claimed = $1 AND syncs.state <> 'ready' AND steps.past = 0 \
           AND steps.state IN ('planned', 'sent', 'unknown') AND (NOT {} OR EXISTS (SELECT 1 FROM steps AS begun \
             WHERE begun.sync = syncs.id AND begun.past = 0 AND begun.state <> 'planned')) THEN 1 ELSE 0 END AS BIGINT) \
         FROM steps JOIN syncs ON syncs.id = steps.sync WHERE steps.id IN ({})",
        is_paused("syncs.destination"),
        list(2, steps.len())
    );
    Some((sql, args![lease.epoch].into_iter().chain(steps).collect()))
}

fn sent(entries: &[Dated]) -> impl Iterator<Item = StepId> {
    entries.iter().flat_map(|(entry, _)| entry.sent()).copied()
}

/// Puts syncs back into the queue that were decided for somebody who is another by now, or whose other lead has begun
/// meanwhile: what is in flight finishes first, and the decision must see it. And all of a destination that somebody paused
/// meanwhile. Says which.
pub(super) async fn put_back(
    connection: &mut Connection,
    entries: &[Dated],
    in_hand: &HashSet<SyncId>,
) -> Result<HashSet<SyncId>, StoreError> {
    let Some((sql, arguments)) = put_back_statement(entries, in_hand) else { return Ok(HashSet::new()) };
    let rows = connection.fetch(&sql, arguments).await?;
    rows.iter().map(|row| row.id(0)).collect()
}

/// The statement that does it; `None` when nothing was decided.
pub(super) fn put_back_statement(entries: &[Dated], in_hand: &HashSet<SyncId>) -> Option<(String, Vec<Arg>)> {
    let mut people = HashSet::new();
    let decided: Rows = entries
        .iter()
        .filter_map(|(entry, at)| {
            let (sync, person) = entry.decided().filter(|(sync, _)| in_hand.contains(sync))?;
            let second = i64::from(!people.insert(person));
            Some(args![sync, person, at.as_millisecond(), second])
        })
        .collect();
    if decided.is_empty() {
        return None;
    }
    let sql = format!(
        "UPDATE syncs SET state = 'ready', claimed = 0, next_at = decided.column3, updated_at = decided.column3 \
         FROM (VALUES {}) AS decided WHERE syncs.id = decided.column1 \
           AND (syncs.person <> decided.column2 OR decided.column4 = 1 OR {} OR EXISTS (SELECT 1 FROM syncs AS other \
             WHERE other.person = syncs.person AND other.destination = syncs.destination AND other.{OPEN} \
               AND other.state IN ('pushing', 'unknown') AND other.id <> syncs.id)) \
         RETURNING syncs.id",
        placeholders(&decided),
        is_paused("syncs.destination")
    );
    Some((sql, decided.into_iter().flatten().collect()))
}

/// Rows to be written, by statement.
pub(super) struct Record<'a> {
    lease: &'a Lease,
    dropped_plans: Rows,
    planned_steps: Rows,
    planned_syncs: Rows,
    carried: Rows,
    told: Rows,
    sent_steps: Rows,
    ended_steps: Rows,
    links: Rows,
    audits: Rows,
    held: Rows,
    found: Rows,
    released: Rows,
}

impl<'a> Record<'a> {
    pub(super) fn new(lease: &'a Lease) -> Self {
        Self {
            lease,
            dropped_plans: Rows::new(),
            planned_steps: Rows::new(),
            planned_syncs: Rows::new(),
            carried: Rows::new(),
            told: Rows::new(),
            sent_steps: Rows::new(),
            ended_steps: Rows::new(),
            links: Rows::new(),
            audits: Rows::new(),
            held: Rows::new(),
            found: Rows::new(),
            released: Rows::new(),
        }
    }

    /// Adds the rows of an entry; `now` in milliseconds since 1970.
    pub(super) fn add(&mut self, entry: &'a Entry, now: i64) -> Result<(), StoreError> {
        match entry {
            Entry::Plan(plan) => self.plan(plan, now),
            Entry::Hold { sync, plan, .. } => self.hold(*sync, plan, now),
            Entry::Verdict { sync, next, found, .. } => {
                self.found(*sync, found.as_ref())?;
                self.release(*sync, next, now)
            }
            Entry::Sent { steps, .. } => {
                self.sent_steps.extend(steps.iter().map(|step| args![*step, now]));
                Ok(())
            }
            Entry::Outcomes { sync, steps, next } => {
                for (step, end) in steps {
                    self.end_step(*sync, *step, end, now)?;
                }
                self.release(*sync, next, now)
            }
        }
    }

    fn plan(&mut self, to_store: &'a PlanToStore, now: i64) -> Result<(), StoreError> {
        let PlanToStore { sync, person: _, plan, replaces, turn: _, adopt, carried, told, found } = to_store;
        self.found(*sync, found.as_ref())?;
        if *replaces {
            self.dropped_plans.push(args![*sync]);
        }
        self.steps(*sync, &plan.steps)?;
        let state = if plan.steps.is_empty() { SyncState::Synced } else { SyncState::Pushing };
        self.planned_syncs.push(args![
            *sync,
            state.as_str(),
            json(&plan.reasons)?,
            now,
            plan.picked_owner.clone()
        ]);
        if let Some(contact) = adopt {
            self.link(*sync, "contact", contact, None, None, now);
        }
        let destination = self.lease.destination.as_str();
        self.told.extend(told.iter().map(|(contact, step)| args![destination, contact.0.as_str(), *step]));
        self.carried.extend(carried.iter().map(|kept| args![*kept, *sync]));
        Ok(())
    }

    fn found(&mut self, sync: SyncId, found: Option<&Json>) -> Result<(), StoreError> {
        if let Some(found) = found {
            self.found.push(args![sync, json(found)?]);
        }
        Ok(())
    }

    fn steps(&mut self, sync: SyncId, steps: &[Step]) -> Result<(), StoreError> {
        for (step, position) in steps.iter().zip(0_i64..) {
            let kind = step.action.kind().as_str();
            self.planned_steps.push(args![step.id, sync, position, kind, json(&step.action)?, "planned"]);
        }
        Ok(())
    }

    fn hold(&mut self, sync: SyncId, plan: &Plan, now: i64) -> Result<(), StoreError> {
        self.dropped_plans.push(args![sync]);
        self.steps(sync, &plan.steps)?;
        let reasons = held_reasons(plan);
        self.held.push(args![sync, json(&reasons.first())?, json(&reasons)?, now]);
        Ok(())
    }

    fn end_step(&mut self, sync: SyncId, step: StepId, end: &StepEnd, now: i64) -> Result<(), StoreError> {
        let (state, record, why) = match end {
            StepEnd::Done { record, .. } => (StepState::Done, Some(record.0.clone()), None),
            StepEnd::NotWritten(why) => (StepState::Planned, None, Some(why.clone())),
            StepEnd::NotThere { .. } => (StepState::Planned, None, Some(NOT_THERE.to_owned())),
            StepEnd::Unknown(why) => (StepState::Unknown, None, Some(why.clone())),
            StepEnd::Rejected(why) => (StepState::Rejected, None, Some(why.clone())),
        };
        self.ended_steps.push(args![step, state.as_str(), record, why, now]);
        if let StepEnd::Done { record, link: Some((kind, contact)) } = end {
            let kind = match kind {
                RecordKind::Contact => "contact",
                RecordKind::Deal => "deal",
                RecordKind::Task | RecordKind::Note => return Ok(()),
            };
            self.link(sync, kind, record, contact.as_ref(), Some(step), now);
        }
        if let StepEnd::NotThere { action, audit_at } = end {
            let (kind, due_at) = (action.kind().as_str(), audit_at.as_millisecond());
            let destination = self.lease.destination.as_str();
            self.audits.push(args![step, sync, destination, json(action)?, kind, due_at]);
        }
        Ok(())
    }

    fn link(
        &mut self,
        sync: SyncId,
        kind: &str,
        record: &RecordId,
        contact: Option<&RecordId>,
        step: Option<StepId>,
        now: i64,
    ) {
        self.links.push(args![
            sync,
            self.lease.destination.as_str(),
            kind,
            record.0.as_str(),
            contact.map(|contact| contact.0.clone()),
            step.map(|step| step.to_string()),
            now
        ]);
    }

    fn release(&mut self, sync: SyncId, next: &Next, now: i64) -> Result<(), StoreError> {
        if let Next::Release { state, why, next_at, attempts } = next {
            let why = why.as_ref().map(json).transpose()?;
            self.released.push(args![sync, state.as_str(), why, next_at.as_millisecond(), *attempts, now]);
        }
        Ok(())
    }

    /// The statements, in an order that suits any mix of entries.
    pub(super) fn statements(self) -> Vec<(String, Vec<Arg>)> {
        let Self { dropped_plans, planned_steps, planned_syncs, .. } = self;
        let statements = [
            (dropped_plans, "DELETE FROM steps WHERE state = 'planned' AND sync IN (VALUES", ")"),
            (planned_steps, "INSERT INTO steps (id, sync, position, kind, action, state) VALUES", ""),
            (
                planned_syncs,
                "UPDATE syncs SET state = plan.column2, why = NULL, reasons = plan.column3, \
                 planned_at = plan.column4, updated_at = plan.column4, owner = COALESCE(plan.column5, owner), \
                 claimed = CASE WHEN plan.column2 = 'synced' THEN 0 ELSE claimed END FROM (VALUES",
                ") AS plan WHERE syncs.id = plan.column1",
            ),
            (
                self.carried,
                "UPDATE syncs SET carried_by = kept.column2 FROM (VALUES",
                ") AS kept WHERE syncs.id = kept.column1",
            ),
            (
                self.told,
                "UPDATE links SET told = told.column3 FROM (VALUES",
                ") AS told WHERE links.destination = told.column1 AND links.kind = 'contact' \
                 AND links.record = told.column2",
            ),
            (
                self.sent_steps,
                "UPDATE steps SET state = 'sent', sent_at = sent.column2 FROM (VALUES",
                ") AS sent WHERE steps.id = sent.column1",
            ),
            (
                self.ended_steps,
                "UPDATE steps SET state = ended.column2, record = ended.column3, why = ended.column4, \
                 ended_at = ended.column5 FROM (VALUES",
                ") AS ended WHERE steps.id = ended.column1",
            ),
            // A record is linked to the person that the sync belongs to now; one that is somebody's already stays theirs.
            (
                self.links,
                "INSERT INTO links (destination, kind, record, person, contact, step, created_at) \
                 SELECT made.column2, made.column3, made.column4, syncs.person, made.column5, made.column6, \
                 made.column7 FROM (VALUES",
                ") AS made JOIN syncs ON syncs.id = made.column1 WHERE true \
                 ON CONFLICT (destination, kind, record) DO NOTHING",
            ),
            // A step that is lost once more is looked for that much later.
            (
                self.audits,
                "INSERT INTO audits (step, sync, destination, action, kind, due_at) VALUES",
                "ON CONFLICT (step) DO UPDATE SET due_at = excluded.due_at, action = excluded.action, \
                 done_at = NULL, result = NULL, records = NULL, note = NULL",
            ),
            (
                self.held,
                "UPDATE syncs SET state = 'held', why = held.column2, reasons = held.column3, \
                 planned_at = held.column4, updated_at = held.column4, claimed = 0 FROM (VALUES",
                ") AS held WHERE syncs.id = held.column1",
            ),
            (
                self.found,
                "UPDATE syncs SET found = found.column2 FROM (VALUES",
                ") AS found WHERE syncs.id = found.column1",
            ),
            (
                self.released,
                "UPDATE syncs SET state = released.column2, why = released.column3, next_at = released.column4, \
                 attempts = released.column5, claimed = 0, updated_at = released.column6 FROM (VALUES",
                ") AS released WHERE syncs.id = released.column1",
            ),
        ];
        let written = statements.into_iter().filter(|(rows, _, _)| !rows.is_empty());
        let texts = written.map(|(rows, before, after)| {
            let sql = format!("{before} {} {after}", placeholders(&rows));
            (sql, rows.into_iter().flatten().collect())
        });
        texts.collect()
    }
}

fn held_reasons(plan: &Plan) -> Vec<Reason> {
    let steps: Vec<&str> = plan.steps.iter().map(|step| step.action.kind().as_str()).collect();
    let would = if steps.is_empty() {
        "Would write nothing: the CRM has everything.".to_owned()
    } else {
        format!("Would do: {}.", steps.join(", "))
    };
    let mut reasons = vec![Reason::new("observed", would)];
    reasons.extend(plan.reasons.iter().cloned());
    reasons
}
