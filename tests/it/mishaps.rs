//! What goes wrong inside leadfold itself: a push that panics, a row that the database refuses, one call for two steps.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use leadfold::app::until_quiet;
use leadfold::clock::{Clock, SystemClock};
use leadfold::crm::catalog::Catalog;
use leadfold::crm::{Crm, CrmError, Found, Guarantee, Journal, Outcome, Query, Remaining};
use leadfold::event::Delivery;
use leadfold::id::{DeliveryId, StepId};
use leadfold::plan::{Priority, RecordId, RecordKind, Step, StepKind};
use leadfold::prepare::Preparer;
use leadfold::store::Store;
use leadfold::store::inbox::Arrival;
use leadfold::store::registry::Counts;
use leadfold::sync::Worker;
use leadfold::workspace::{Environment, Versions, read_files};
use serde_json::json;
use sqlx::{ConnectOptions as _, Connection as _, Executor as _};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::rig::{event, hold};

/// Longest that any of this may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// A CRM that panics when it is asked, so many times, and whose one call for contact and deal gets no answer once.
struct Mishaps {
    panics: AtomicUsize,
    lost_answers: AtomicUsize,
    /// After the answers that are lost, it is too busy so many times.
    busy: AtomicUsize,
    /// So many times it has taken a step and is not done with it.
    under_way: AtomicUsize,
    guarantee: Guarantee,
    /// Its search shows nothing of what was written.
    hides: bool,
    written: Mutex<Vec<StepId>>,
}

impl Mishaps {
    fn new(panics: usize, lost_answers: usize) -> Arc<Self> {
        Self::with(panics, lost_answers, 0, Guarantee::Findable)
    }

    fn with(panics: usize, lost_answers: usize, busy: usize, guarantee: Guarantee) -> Arc<Self> {
        let (panics, lost_answers, busy) = (panics.into(), lost_answers.into(), busy.into());
        Arc::new(Self { panics, lost_answers, busy, ..Self::well(guarantee) })
    }

    /// Has each step under way so many times before it is done.
    fn slow(under_way: usize) -> Arc<Self> {
        Arc::new(Self { under_way: under_way.into(), ..Self::well(Guarantee::Keyed) })
    }

    /// Does what it is told.
    fn well(guarantee: Guarantee) -> Self {
        let none = AtomicUsize::default;
        Self {
            panics: none(),
            lost_answers: none(),
            busy: none(),
            under_way: none(),
            guarantee,
            hides: false,
            written: Mutex::default(),
        }
    }

    /// Never says what it has written, neither in an answer nor in a search.
    fn silent() -> Arc<Self> {
        let lost_answers = usize::MAX.into();
        Arc::new(Self { lost_answers, hides: true, ..Self::well(Guarantee::Findable) })
    }

    fn one_less(count: &AtomicUsize) -> bool {
        count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
    }

    fn written(&self) -> usize {
        self.written.lock().unwrap().len()
    }
}

impl Crm for Mishaps {
    fn find<'a>(&'a self, queries: &'a [Query]) -> BoxFuture<'a, Vec<Result<Found, CrmError>>> {
        assert!(!Self::one_less(&self.panics), "this panic is part of the test");
        Box::pin(async move { queries.iter().map(|_| Ok(Found::default())).collect() })
    }

    fn look_up<'a>(
        &'a self,
        steps: &'a [(RecordKind, &'a Step)],
        _: Priority,
    ) -> BoxFuture<'a, Vec<Result<Vec<RecordId>, CrmError>>> {
        let written = self.written.lock().unwrap().clone();
        let shows = |step: &Step| !self.hides && written.contains(&step.id);
        let found = |step: &Step| shows(step).then(|| RecordId(step.id.to_string())).into_iter().collect();
        let answers = steps.iter().map(|(_, step)| Ok(found(step))).collect();
        Box::pin(async move { answers })
    }

    fn write<'a>(
        &'a self,
        plans: &'a [Remaining<'a>],
        journal: &'a dyn Journal,
    ) -> BoxFuture<'a, Vec<Vec<Outcome>>> {
        Box::pin(async move {
            let mut outcomes = Vec::new();
            for plan in plans {
                // Who has a key for each step writes one at a time.
                let keyed = self.guarantee == Guarantee::Keyed;
                let steps = if keyed { &plan.steps[..1] } else { plan.steps };
                let keys: Vec<_> = steps.iter().map(|step| (plan.sync, step.id)).collect();
                journal.sent(&keys).await.unwrap();
                if Self::one_less(&self.under_way) {
                    let after = Duration::from_millis(5);
                    outcomes.push(vec![Outcome::UnderWay { after, why: "import 7".into() }]);
                    continue;
                }
                let lost = Self::one_less(&self.lost_answers);
                if !lost && Self::one_less(&self.busy) {
                    outcomes.push(vec![Outcome::Retry { after: None, why: "busy".into() }]);
                    continue;
                }
                self.written.lock().unwrap().extend(steps.iter().map(|step| step.id));
                outcomes.push(if lost {
                    vec![Outcome::Unknown { why: "no answer".into() }]
                } else {
                    steps.iter().map(|step| Outcome::Done(RecordId(step.id.to_string()))).collect()
                });
            }
            outcomes
        })
    }

    fn ping(&self) -> BoxFuture<'_, Result<String, CrmError>> {
        Box::pin(async { Ok("mishaps".to_owned()) })
    }

    fn describe(&self) -> BoxFuture<'_, Result<Catalog, CrmError>> {
        Box::pin(async { Ok(Catalog::default()) })
    }

    fn guarantee(&self, _: StepKind) -> Guarantee {
        self.guarantee
    }

    fn settle(&self) -> Duration {
        Duration::from_millis(50)
    }

    fn batch(&self) -> usize {
        1
    }

    fn concurrency(&self) -> usize {
        2
    }
}

/// Takes these phones in as leads, with that CRM, until everything is quiet. `sql` runs before they are prepared.
pub(crate) async fn bring(crm: Arc<dyn Crm>, phones: &[&str], sql: Option<&str>) -> Counts {
    let begun = begin(crm, phones, sql).await;
    assert!(until_quiet(&begun.store, PATIENCE).await.unwrap());
    let counts = begun.store.counts().await.unwrap();
    begun.end().await;
    counts
}

/// A worker and a preparer that run.
pub(crate) struct Begun {
    pub(crate) store: Store,
    pub(crate) url: String,
    folder: PathBuf,
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: TaskTracker,
}

impl Begun {
    pub(crate) async fn end(self) {
        self.stop.cancel();
        self.tasks.wait().await;
        self.store.close().await;
        std::fs::remove_dir_all(self.folder).unwrap();
    }
}

/// The same, while it goes on.
pub(crate) async fn begin(crm: Arc<dyn Crm>, phones: &[&str], sql: Option<&str>) -> Begun {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let folder = std::env::temp_dir().join(format!("leadfold-mishaps-{}", clock.new_id()));
    let url = format!("sqlite://{}", folder.join("leadfold.db").display());
    let store = Store::open(&url, Arc::clone(&clock)).await.unwrap();
    if let Some(sql) = sql {
        let options: sqlx::sqlite::SqliteConnectOptions = url.parse().unwrap();
        let mut connection = options.connect().await.unwrap();
        connection.execute(sqlx::AssertSqlSafe(sql.to_owned())).await.unwrap();
        connection.close().await.unwrap();
    }
    let environment: Environment = Arc::new(|_| None);
    let versions = Arc::new(Versions::new(store.clone(), environment));
    let mut files = read_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("mappings")).unwrap();
    // Nobody works for the bots here, so nothing that calls them would come to its end.
    let mapping = files.0.get_mut("sendpulse.yaml").unwrap();
    assert!(mapping.contains("\n  after_done:\n"));
    *mapping = mapping.replace("\n  after_done:\n    - { to: sendpulse, set_tag: CRM }\n", "\n");
    assert!(!mapping.contains("\n  after_done:"));
    let workspace = Arc::new(versions.compile(&files).await.unwrap().workspace);
    store.activate(&workspace.hash, &files, clock.now()).await.unwrap();
    for (at, phone) in phones.iter().enumerate() {
        let body = event(&format!("chat-{at}"), "telegram", json!({ "phone": phone }), 1);
        let delivery = Delivery {
            id: DeliveryId(clock.new_id()),
            source: "sendpulse".to_owned(),
            method: "POST".to_owned(),
            query: None,
            headers: Vec::new(),
            body: body.to_string().into_bytes(),
            received_at: clock.now(),
        };
        store.inbox().keep(Arrival { delivery, waiting: None, unverified_token: None }).await.unwrap();
    }
    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
    let destination = workspace.destinations["crm"].clone();
    let (keep, active) = watch::channel(Some(workspace));
    let hold = hold(&store, "crm").await;
    let worker =
        Worker::new(store.clone(), Arc::clone(&clock), destination, crm, versions, active.clone(), hold);
    let worker = worker.await.unwrap().start(stop.clone(), &tasks);
    let preparer =
        Preparer { store: store.clone(), clock, active, wake_workers: Arc::new(move || worker.wake()) };
    let over = stop.clone();
    tasks.spawn(async move {
        preparer.run(over).await;
        drop(keep);
    });
    tasks.close();
    Begun { store, url, folder, stop, tasks }
}

#[tokio::test]
async fn a_push_that_panics_is_tried_again() {
    let crm = Mishaps::new(1, 0);
    let counts = bring(Arc::clone(&crm) as Arc<dyn Crm>, &["0671234567"], None).await;
    assert_eq!((counts.synced, counts.needs_attention, crm.written()), (1, 0, 2), "{counts:?}");
}

#[tokio::test]
async fn a_push_that_always_panics_comes_before_a_person() {
    let crm = Mishaps::new(usize::MAX, 0);
    let counts = bring(crm, &["0671234567"], None).await;
    assert_eq!((counts.synced, counts.needs_attention, counts.open), (0, 1, 0), "{counts:?}");
}

#[tokio::test]
async fn every_step_of_a_call_without_answer_is_looked_up() {
    let crm = Mishaps::new(0, 1);
    let counts = bring(Arc::clone(&crm) as Arc<dyn Crm>, &["0671234567"], None).await;
    assert_eq!((counts.synced, crm.written()), (1, 2), "contact and deal were there: neither is sent again");
}

#[tokio::test]
async fn a_create_that_is_never_confirmed_is_not_repeated_for_ever() {
    let crm = Mishaps::silent();
    let counts = bring(Arc::clone(&crm) as Arc<dyn Crm>, &["0671234567"], None).await;
    assert_eq!((counts.synced, counts.needs_attention, counts.open), (0, 1, 0), "{counts:?}");
    assert!(crm.written() <= 40, "contact and deal were sent {} times", crm.written() / 2);
}

#[tokio::test]
async fn a_step_that_is_sent_again_keeps_its_key_until_somebody_knows() {
    let crm = Mishaps::with(0, 1, 2, Guarantee::Keyed);
    let counts = bring(Arc::clone(&crm) as Arc<dyn Crm>, &["0671234567"], None).await;
    let mut written = crm.written.lock().unwrap().clone();
    written.sort_unstable();
    written.dedup();
    assert_eq!((counts.synced, written.len()), (1, 2), "a plan that is made anew has other keys: {counts:?}");
}

#[tokio::test]
async fn what_is_under_way_is_asked_about_until_it_is_done() {
    // More often than a step may fail, and than a destination may before it is paused.
    let crm = Mishaps::slow(30);
    let counts = bring(Arc::clone(&crm) as Arc<dyn Crm>, &["+380671234567"], None).await;
    assert_eq!((counts.synced, counts.needs_attention), (1, 0), "{counts:?}");
    assert_eq!(crm.written(), 2, "contact and deal, once each");
}

#[tokio::test]
async fn a_delivery_that_the_database_refuses_stops_nobody() {
    let refuse = "CREATE TRIGGER refuse BEFORE INSERT ON leads WHEN NEW.lead LIKE '%+380671234568%' \
                  BEGIN SELECT RAISE(ABORT, 'refused by the test'); END";
    let phones = ["0671234567", "0671234568", "0671234569"];
    let counts = bring(Mishaps::new(0, 0), &phones, Some(refuse)).await;
    assert_eq!((counts.synced, counts.unreadable, counts.received), (2, 1, 0), "{counts:?}");
}
