//! What a worker enters: a sync in its hands, and that everything it writes is found by id.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use uuid::Uuid;

use super::{plan, seeks};
use crate::clock::{Clock as _, SystemClock};
use crate::id::{PersonId, StepId, SyncId};
use crate::plan::{Action, ContactFields, Plan, RecordId, RecordKind, Step};
use crate::store::lease::Lease;
use crate::store::ledger::{Dated, Entry};
use crate::store::record::{self, Record, put_back_statement};
use crate::store::sql::{Connection, args};
use crate::store::syncs::{Next, PlanToStore, StepEnd, SyncState};
use crate::store::{Store, StoreError, Work};

/// A sync that is in our hands under this lease, with a plan of this one step under way.
pub(crate) async fn in_hand(store: &Store, lease: &Lease, step: StepId) -> SyncId {
    let sync = SyncId(SystemClock.new_id());
    store.write(InHand { sync, lease: lease.clone(), step }).await.unwrap();
    sync
}

struct InHand {
    sync: SyncId,
    lease: Lease,
    step: StepId,
}

impl Work for InHand {
    type Output = ();

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let Self { sync, lease, step } = self;
            let sql = "INSERT INTO syncs (id, lead, destination, person, sequence, priority, state, next_at, claimed, \
                       updated_at) VALUES ($1, $1, $2, $1, 1, 0, 'pushing', 0, $3, 0)";
            connection.execute(sql, args![*sync, lease.destination.as_str(), lease.epoch]).await?;
            let sql = "INSERT INTO steps (id, sync, position, kind, action, state) \
                       VALUES ($1, $2, 0, 'create contact', '{}', 'planned')";
            connection.execute(sql, args![*step, *sync]).await?;
            Ok(())
        })
    }
}

/// Thirty-two of everything that a worker enters.
fn entries() -> Vec<Dated> {
    let now = Timestamp::UNIX_EPOCH;
    let id = |number: u128| Uuid::from_u128(number);
    let mut entries = Vec::new();
    for number in 0..32_u128 {
        let (sync, person, step) = (SyncId(id(number)), PersonId(id(number)), StepId(id(number)));
        let action = Action::CreateContact { contact: ContactFields::default() };
        let plan = Plan { steps: vec![Step { id: step, action }], reasons: Vec::new(), picked_owner: None };
        let adopt = Some(RecordId(number.to_string()));
        let (replaces, turn, carried) = (true, None, vec![sync]);
        let told = vec![(RecordId(number.to_string()), step)];
        let to_store = PlanToStore {
            sync,
            person,
            plan: plan.clone(),
            replaces,
            turn,
            adopt,
            carried,
            told,
            found: None,
        };
        let next = || Next::Release { state: SyncState::Synced, why: None, next_at: now, attempts: 0 };
        let link = Some((RecordKind::Contact, None));
        let done = StepEnd::Done { record: RecordId(number.to_string()), link };
        for entry in [
            Entry::Plan(to_store),
            Entry::Hold { sync, person, plan },
            Entry::Verdict { sync, person, next: next(), found: None },
            Entry::Sent { steps: vec![step], pins: Vec::new() },
            Entry::Outcomes { sync, steps: vec![(step, done)], next: next() },
        ] {
            entries.push((Arc::new(entry), now));
        }
    }
    entries
}

#[tokio::test]
async fn what_a_worker_enters_is_written_by_id() {
    let taken_at = Timestamp::UNIX_EPOCH;
    let lease = Lease { destination: "crm".to_owned(), epoch: 1, taken_at, clean: true };
    let entries = entries();
    let mut record = Record::new(&lease);
    for (entry, at) in &entries {
        record.add(entry, at.as_millisecond()).unwrap();
    }
    let mut statements = record.statements();
    let in_hand = entries.iter().filter_map(|(entry, _)| entry.sync()).collect();
    statements.extend(put_back_statement(&entries, &in_hand));
    statements.extend(record::in_hand(&lease, &entries));
    statements.extend(record::known_steps(&lease, &entries));
    assert_eq!(statements.len(), 13);
    for (sql, arguments) in statements {
        if !sql.starts_with("INSERT INTO steps") {
            let places = ["(id=?)", "steps_sync (sync=?)", "(destination=? AND kind=? AND record=?)"];
            let plan = plan(&sql, arguments.clone()).await;
            let found = plan.iter().any(|line| places.iter().any(|place| line.contains(place)));
            assert!(found, "{sql}: {plan:#?}");
        }
        seeks(&sql, arguments, &[]).await;
    }
}
