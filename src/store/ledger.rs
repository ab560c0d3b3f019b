//! What a worker decides, sends and learns goes into the registry group by group.
//!
//! Every push writes a few small things, and each has to be durable before the push goes on. Written one by one they cost
//! more processor time than all else that leadfold does with a lead, so one task per destination gathers them for a
//! moment and writes each kind with one statement, all in one transaction. Entries of one sync never meet in a group:
//! whoever enters one waits for it before the next.
//!
//! Whoever gets no answer enters the same again, although the first time may have been stored. What becomes of it then:
//!
//! | entered again | when it was stored the first time |
//! |---|---|
//! | a plan with steps | it is taken, and nothing is written; its turn of the owner pool counts once |
//! | whatever put the sync down: an end, a held plan, a plan without steps, a refusal | nothing is written: the sync is in nobody's hands any more, or in another's |
//! | outcomes after which the sync goes on | the same is written: nobody else has the sync |
//! | steps about to be sent | it is taken: they are not refused for having been sent |
//!
//! That rests on one thing more: a sync is not claimed again before whoever has it in hand is done with it ([`Store::claim`]).

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde_json::Value as Json;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use super::afterwards;
use super::doubles::tell_of_two_contacts;
use super::hourly::{Kind, Tally};
use super::lease::{Lease, bump_noting};
use super::pins::{SentPin, pin_sent};
use super::pools::count_turns;
use super::record::{self, Record};
use super::sql::{Arg, Connection, list};
use super::syncs::{Next, PlanToStore, StepEnd};
use super::{Store, StoreError, Work};
use crate::id::{PersonId, StepId, SyncId};
use crate::plan::Plan;
use crate::rules::Turn;

/// Groups begin at least so far apart. A push writes about four times and waits for the CRM much longer; nobody feels
/// these milliseconds, and an entry that comes alone does not wait.
const BETWEEN_GROUPS: Duration = Duration::from_millis(4);
/// Entries per transaction.
const LARGEST_GROUP: usize = 64;
/// Entries that may wait before those who enter them wait too.
const CAPACITY: usize = 1024;

/// Something that a worker decided, is about to do, or learned.
#[derive(Clone, Debug)]
pub enum Entry {
    /// A plan, before its first step is sent, in place of what was planned and not sent. Refused when the sync has become
    /// another person's since it was decided, when another lead of its person has begun, or when somebody paused the
    /// destination; then it is back in the queue.
    Plan(PlanToStore),
    /// A plan that is not pushed (mode observe), for people to look at; refused like any plan.
    Hold {
        /// Which sync.
        sync: SyncId,
        /// Whose it was when it was decided.
        person: PersonId,
        /// What would be done.
        plan: Plan,
    },
    /// An end without a plan, decided for this person; refused like a plan.
    Verdict {
        /// Which sync.
        sync: SyncId,
        /// Whose it was when it was decided.
        person: PersonId,
        /// How it goes on.
        next: Next,
        /// What the CRM had, where a call may ask for it.
        found: Option<Json>,
    },
    /// These steps are about to be sent. Refused when one of them is not in our hands any more or has come to its end, and
    /// when nothing of its plan was sent before and its person has become one with another since, or its destination was
    /// paused: it is decided anew.
    Sent {
        /// Which.
        steps: Vec<StepId>,
        /// The PINs that they carry: each opens its link from now on.
        pins: Vec<SentPin>,
    },
    /// What became of steps.
    Outcomes {
        /// Whose steps.
        sync: SyncId,
        /// Each with its end.
        steps: Vec<(StepId, StepEnd)>,
        /// How the sync goes on.
        next: Next,
    },
}

/// An entry and when it was made. Shared, because it is written once more when its group fails.
pub type Dated = (Arc<Entry>, Timestamp);

/// Where the pushes of one destination enter what must be durable.
#[derive(Clone)]
pub struct Ledger {
    entries: mpsc::Sender<Waiting>,
}

/// Says what is used of a rate budget; `None` where there is none.
pub type Used = Box<dyn Fn() -> Option<String> + Send + Sync>;

struct Waiting {
    /// `None` only asks for everything before it.
    entry: Option<Dated>,
    tell: oneshot::Sender<Result<bool, StoreError>>,
}

impl Ledger {
    /// Opens the ledger of a destination under its lease. Its task ends with the last handle. `budget` says what is used of
    /// the account's rate budget, and is noted with every group.
    pub fn open(store: Store, lease: Lease, budget: Used) -> Self {
        let (entries, queue) = mpsc::channel(CAPACITY);
        tokio::spawn(write_groups(store, lease, budget, queue));
        Self { entries }
    }

    /// Returns once the entry is durable; `false` when it was refused (see [`Entry::Plan`]).
    pub async fn enter(&self, entry: Arc<Entry>, at: Timestamp) -> Result<bool, StoreError> {
        self.send(Some((entry, at))).await
    }

    /// Returns once everything that was entered before is durable, or has failed.
    pub async fn settled(&self) -> Result<(), StoreError> {
        self.send(None).await.map(drop)
    }

    /// Returns once the task that writes has ended, which it does not by itself while there is a handle.
    pub async fn broken(&self) {
        self.entries.closed().await;
    }

    async fn send(&self, entry: Option<Dated>) -> Result<bool, StoreError> {
        let ended = || StoreError::for_good("the ledger of the destination has ended");
        let (tell, told) = oneshot::channel();
        self.entries.send(Waiting { entry, tell }).await.map_err(|_| ended())?;
        told.await.map_err(|_| ended())?
    }
}

async fn write_groups(store: Store, lease: Lease, budget: Used, mut queue: mpsc::Receiver<Waiting>) {
    let mut group = Vec::with_capacity(LARGEST_GROUP);
    let mut began = Instant::now();
    while queue.recv_many(&mut group, LARGEST_GROUP).await > 0 {
        let next = began + BETWEEN_GROUPS;
        if Instant::now() < next && group.len() < LARGEST_GROUP {
            sleep_until(next).await;
            while group.len() < LARGEST_GROUP
                && let Ok(waiting) = queue.try_recv()
            {
                group.push(waiting);
            }
        }
        began = Instant::now();
        write_group(&store, &lease, &budget, group.drain(..)).await;
    }
}

async fn write_group(store: &Store, lease: &Lease, budget: &Used, group: impl Iterator<Item = Waiting>) {
    let (mut entries, mut tells, mut settled) = (Vec::new(), Vec::new(), Vec::new());
    for Waiting { entry, tell } in group {
        match entry {
            Some(entry) => {
                entries.push(entry);
                tells.push(tell);
            }
            None => settled.push(tell),
        }
    }
    // Whoever asked may have gone; what they entered is written all the same.
    match store.record_with_budget(lease, entries.clone(), budget()).await {
        Ok(stored) => {
            for (tell, stored) in tells.into_iter().zip(stored) {
                tell.send(Ok(stored)).ok();
            }
        }
        // One entry that the database does not take must not fail the others.
        Err(failure) if entries.len() > 1 && !failure.is_final() && !failure.meets_all() => {
            for (entry, tell) in entries.into_iter().zip(tells) {
                let stored = store.record(lease, vec![entry]).await;
                tell.send(stored.map(|stored| stored.first().copied().unwrap_or(false))).ok();
            }
        }
        Err(failure) => {
            for tell in tells {
                tell.send(Err(failure.clone())).ok();
            }
        }
    }
    for tell in settled {
        tell.send(Ok(true)).ok();
    }
}

impl Store {
    /// Writes these entries in one transaction; says of each whether it was taken. No two may be of one sync.
    pub async fn record(&self, lease: &Lease, entries: Vec<Dated>) -> Result<Vec<bool>, StoreError> {
        self.record_with_budget(lease, entries, None).await
    }

    async fn record_with_budget(
        &self,
        lease: &Lease,
        entries: Vec<Dated>,
        budget: Option<String>,
    ) -> Result<Vec<bool>, StoreError> {
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        self.write(Group { lease: lease.clone(), entries: entries.into(), budget }).await
    }
}

struct Group {
    lease: Lease,
    entries: Arc<[Dated]>,
    budget: Option<String>,
}

impl Work for Group {
    type Output = Vec<bool>;

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<Vec<bool>, StoreError>> {
        Box::pin(async move {
            bump_noting(connection, &self.lease, self.budget.as_deref()).await?;
            let found = record::find(connection, &self.lease, &self.entries).await?;
            let refused = record::put_back(connection, &self.entries, &found.in_hand).await?;
            let mut record = Record::new(&self.lease);
            let mut taken = Vec::with_capacity(self.entries.len());
            let mut ended = Vec::new();
            let mut at_their_end = Vec::new();
            let mut turns = Vec::new();
            let mut now = 0;
            for (entry, at) in &*self.entries {
                let take = match entry.sync() {
                    Some(sync) => found.in_hand.contains(&sync) && !refused.contains(&sync),
                    None => entry.sent().iter().all(|step| found.sendable.contains(step)),
                };
                let is_stored = entry.first_step().is_some_and(|step| found.planned.contains(&step));
                if take && !is_stored {
                    now = at.as_millisecond();
                    record.add(entry, now)?;
                    ended.extend(entry.ended().map(Arg::from));
                    at_their_end.extend(entry.ended().or_else(|| entry.verdict()));
                    turns.extend(entry.turn());
                }
                taken.push(take);
            }
            connection.execute_all(record.statements()).await?;
            let taken_entries = self.entries.iter().zip(&taken).filter(|(_, taken)| **taken);
            for pin in taken_entries.flat_map(|((entry, _), _)| entry.pins()) {
                pin_sent(connection, pin).await?;
            }
            afterwards::begin(connection, at_their_end.iter().copied().map(Arg::from).collect(), now).await?;
            if !ended.is_empty() {
                let people = format!("SELECT person FROM syncs WHERE id IN ({})", list(1, ended.len()));
                tell_of_two_contacts(connection, &people, ended, now).await?;
            }
            let (mut tally, destination) = (Tally::default(), self.lease.destination.as_str());
            tally.add_ends(connection, destination, &at_their_end, now).await?;
            for (pool, turn) in &turns {
                tally.add(Kind::Turn, now, destination, &format!("{pool}\t{}", turn.user), 1);
            }
            tally.store(connection).await?;
            count_turns(connection, &self.lease, turns.into_iter()).await?;
            Ok(taken)
        })
    }
}

impl Entry {
    /// The turn of an owner pool that comes with the entry.
    fn turn(&self) -> Option<(&str, &Turn)> {
        match self {
            Self::Plan(plan) => plan.turn.as_ref().map(|(pool, turn)| (pool.as_str(), turn)),
            Self::Hold { .. } | Self::Verdict { .. } | Self::Sent { .. } | Self::Outcomes { .. } => None,
        }
    }

    /// The sync it is about; what was sent is told by its steps alone.
    pub(super) fn sync(&self) -> Option<SyncId> {
        match self {
            Self::Plan(plan) => Some(plan.sync),
            Self::Hold { sync, .. } | Self::Verdict { sync, .. } | Self::Outcomes { sync, .. } => Some(*sync),
            Self::Sent { .. } => None,
        }
    }

    /// The steps that are about to be sent.
    pub(super) fn sent(&self) -> &[StepId] {
        match self {
            Self::Sent { steps, .. } => steps,
            Self::Plan(_) | Self::Hold { .. } | Self::Verdict { .. } | Self::Outcomes { .. } => &[],
        }
    }

    /// The PINs that are about to be sent.
    fn pins(&self) -> &[SentPin] {
        match self {
            Self::Sent { pins, .. } => pins,
            Self::Plan(_) | Self::Hold { .. } | Self::Verdict { .. } | Self::Outcomes { .. } => &[],
        }
    }

    /// What a plan that is pushed is known by, once it is stored.
    pub(super) fn first_step(&self) -> Option<StepId> {
        match self {
            Self::Plan(plan) => plan.plan.steps.first().map(|step| step.id),
            Self::Hold { .. } | Self::Verdict { .. } | Self::Sent { .. } | Self::Outcomes { .. } => None,
        }
    }

    /// The sync, when its plan has come to its end with this.
    fn ended(&self) -> Option<SyncId> {
        match self {
            Self::Plan(plan) => plan.plan.steps.is_empty().then_some(plan.sync),
            Self::Outcomes { sync, next: Next::Release { state, .. }, .. } => {
                (!state.is_open()).then_some(*sync)
            }
            Self::Outcomes { .. } | Self::Hold { .. } | Self::Verdict { .. } | Self::Sent { .. } => None,
        }
    }

    /// The sync, when it has come to its end without a plan.
    fn verdict(&self) -> Option<SyncId> {
        match self {
            Self::Verdict { sync, next: Next::Release { state, .. }, .. } => {
                (!state.is_open()).then_some(*sync)
            }
            Self::Verdict { .. }
            | Self::Plan(_)
            | Self::Outcomes { .. }
            | Self::Hold { .. }
            | Self::Sent { .. } => None,
        }
    }

    /// The sync and the person that the entry was decided for.
    pub(super) fn decided(&self) -> Option<(SyncId, PersonId)> {
        match self {
            Self::Plan(plan) => Some((plan.sync, plan.person)),
            Self::Hold { sync, person, .. } | Self::Verdict { sync, person, .. } => Some((*sync, *person)),
            Self::Sent { .. } | Self::Outcomes { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock as _, SystemClock};
    use crate::plan::{Action, ContactFields, Step};
    use crate::store::syncs::SyncState;
    use crate::store::tests::in_hand;

    /// Of a sync in our hands, in place of another plan.
    async fn plan(store: &Store, lease: &Lease, step: StepId) -> Entry {
        let create = Action::CreateContact { contact: ContactFields::default() };
        let steps = vec![Step { id: step, action: create }];
        let sync = in_hand(store, lease, StepId(SystemClock.new_id())).await;
        Entry::Plan(PlanToStore {
            sync,
            person: PersonId(sync.0),
            plan: Plan { steps, reasons: Vec::new(), picked_owner: None },
            replaces: true,
            turn: None,
            adopt: None,
            carried: Vec::new(),
            told: Vec::new(),
            found: None,
        })
    }

    async fn temporary() -> (Store, std::path::PathBuf) {
        let folder = std::env::temp_dir().join(format!("leadfold-test-{}", SystemClock.new_id()));
        let url = format!("sqlite://{}", folder.join("leadfold.db").display());
        (Store::open(&url, Arc::new(SystemClock)).await.unwrap(), folder)
    }

    /// What is planned in place of something else.
    async fn steps(store: &Store) -> Vec<StepId> {
        let sql = "SELECT id FROM steps WHERE action <> '{}' ORDER BY id";
        store.read(sql, Vec::new()).await.unwrap().iter().map(|row| row.id(0).unwrap()).collect()
    }

    /// The database refuses this step from now on.
    struct Refuse(StepId);

    impl Work for Refuse {
        type Output = u64;

        fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<u64, StoreError>> {
            Box::pin(async move {
                let sql = format!(
                    "CREATE TRIGGER refuse BEFORE INSERT ON steps WHEN NEW.id = '{}' \
                     BEGIN SELECT RAISE(ABORT, 'refused by the test'); END",
                    self.0
                );
                connection.execute(&sql, Vec::new()).await
            })
        }
    }

    #[tokio::test]
    async fn an_entry_that_is_not_taken_fails_alone_and_a_lost_lease_fails_all() {
        let (store, folder) = temporary().await;
        let lease = store.take_lease("crm", "me").await.unwrap();
        let ledger = Ledger::open(store.clone(), lease.clone(), Box::new(|| None));
        let [first, refused, second] = std::array::from_fn(|_| StepId(SystemClock.new_id()));
        store.write(Refuse(refused)).await.unwrap();
        let now = SystemClock.now();
        let enter = |entry| ledger.enter(Arc::new(entry), now);
        let mut plans = Vec::new();
        for step in [first, refused, second] {
            plans.push(plan(&store, &lease, step).await);
        }
        let [one, bad, other] = <[Entry; 3]>::try_from(plans).unwrap();
        // On one thread all of them are entered before the group is written.
        let (one, bad, other) = tokio::join!(enter(one), enter(bad), enter(other));
        assert!(one.unwrap() && other.unwrap());
        assert!(!bad.unwrap_err().is_final(), "the database may take it later");
        ledger.settled().await.unwrap();
        assert_eq!(steps(&store).await, [first, second]);

        store.take_lease("crm", "somebody else").await.unwrap();
        let next = Next::Release { state: SyncState::Synced, why: None, next_at: now, attempts: 0 };
        let outcomes = Entry::Outcomes { sync: SyncId(SystemClock.new_id()), steps: Vec::new(), next };
        let (one, other) =
            tokio::join!(enter(outcomes), enter(Entry::Sent { steps: vec![second], pins: Vec::new() }));
        assert!(one.unwrap_err().is_final() && other.unwrap_err().is_final());
        store.close().await;
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
