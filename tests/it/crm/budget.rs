//! How much of a rate budget is used, and how often it is overrun.

use std::time::{Duration, Instant};

use leadfold::crm::{Outcome, Priority, Query, Remaining};
use leadfold::plan::{Action, ContactFields, Step};
use leadfold::sandbox::{Faults, Rate};

use super::fixture::{Fixture, Recorder, alone, step};

/// Measured on a quiet machine: 97 % of the budget, no 429. The bounds here are wider, because tests share the machine.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_budget_is_used_and_kept() {
    const CALLS: u32 = 200;
    const PER_SECOND: u32 = 50;
    let fixture = Fixture::sandbox(&[("rate", "50/s"), ("concurrency", "8")]).await;
    let rate = Rate { count: PER_SECOND, per_ms: 1000, retry_after: false };
    fixture.server.set_faults(Faults { rate: Some(rate), ..Faults::default() });
    let steps: Vec<Step> = (0..CALLS)
        .map(|number| {
            let phones = vec![format!("+38067{number:07}")];
            step(Action::CreateContact { contact: ContactFields { phones, ..ContactFields::default() } })
        })
        .collect();
    let plans: Vec<Remaining<'_>> = steps.iter().map(alone).collect();
    let began = Instant::now();
    let outcomes = fixture.crm.write(&plans, &Recorder::default()).await;
    let took = began.elapsed();

    let done = outcomes.iter().filter(|outcomes| matches!(outcomes[..], [Outcome::Done(_)])).count();
    let stats = fixture.server.stats();
    let used = f64::from(CALLS) / f64::from(PER_SECOND) / took.as_secs_f64();
    println!(
        "{done} of {CALLS} in {took:?}: {:.1} % of the budget, {} × 429",
        used * 100.0,
        stats.rate_limited
    );
    assert!(stats.rate_limited <= u64::from(CALLS / 100), "{} × 429", stats.rate_limited);
    assert!(done as u64 + stats.rate_limited >= u64::from(CALLS));
    assert!(used > 0.8, "{:.1} % of the budget used", used * 100.0);
}

#[tokio::test]
async fn backfill_lets_live_calls_go_first() {
    let fixture = Fixture::sandbox(&[("rate", "10/s")]).await;
    let crm = &*fixture.crm;
    let query = |priority| [Query { phones: vec!["+380671234567".into()], priority, ..Query::default() }];
    let (backfill, live) = (query(Priority::Backfill), query(Priority::Live));
    let queue = async {
        for _ in 0..10 {
            crm.find(&backfill).await;
        }
    };
    let urgent = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let began = Instant::now();
        for _ in 0..4 {
            crm.find(&live).await;
        }
        began.elapsed()
    };
    let all = Instant::now();
    let (took, ()) = tokio::join!(urgent, queue);
    assert!(took < all.elapsed() * 3 / 4, "live calls took {took:?} of {:?}", all.elapsed());
}
