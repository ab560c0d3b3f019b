use std::collections::VecDeque;
use std::sync::Arc;

use governor::clock::FakeRelativeClock;
use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// Calls as often as the gate lets through for `length`, each wake-up late by what `late` gives; returns the instants.
fn drive(window: Window, share: f64, length: Duration, mut late: impl FnMut() -> Duration) -> Vec<Duration> {
    let clock = FakeRelativeClock::default();
    let gate = Gate::new(window, share, clock.clone());
    let mut now = Duration::ZERO;
    let mut calls = Vec::new();
    while now < length {
        match gate.take("any") {
            Ok(()) => calls.push(now),
            Err(wait) => {
                let wait = wait + late();
                clock.advance(wait);
                now += wait;
            }
        }
    }
    calls
}

/// The most calls in any half-open stretch of `length`.
fn busiest(calls: &[Duration], length: Duration) -> usize {
    let mut inside = VecDeque::new();
    let mut most = 0;
    for call in calls {
        inside.push_back(*call);
        while inside.front().is_some_and(|first| *first + length <= *call) {
            inside.pop_front();
        }
        most = most.max(inside.len());
    }
    most
}

#[test]
fn a_sliding_window_is_kept_and_used() {
    for (count, length) in [(1, SECOND), (2, SECOND), (7, SECOND), (10, SECOND), (50, SECOND), (1000, SECOND)]
        .into_iter()
        .chain([(60, SECOND * 60), (190, SECOND * 10), (20, SECOND * 2)])
    {
        let span = length * 20;
        let calls = drive(Window::sliding(count, length), 1.0, span, || Duration::from_millis(1));
        let most = busiest(&calls, length);
        assert!(most <= count as usize, "{count} per {length:?}: {most} calls in one window");
        let used = f64::from(u32::try_from(calls.len()).unwrap()) / (f64::from(count) * 20.0);
        assert!(used >= 0.95, "{count} per {length:?}: only {used:.3} of the budget used");
    }
}

#[test]
fn the_first_second_is_no_burst() {
    let calls = drive(Window::sliding(10, SECOND), 1.0, SECOND, || Duration::ZERO);
    assert!(calls.len() <= 10, "{} calls in the first second", calls.len());
}

#[test]
fn a_share_is_a_part_of_the_window() {
    let calls = drive(Window::sliding(50, SECOND), 0.5, SECOND * 20, || Duration::ZERO);
    assert!((480..=500).contains(&calls.len()), "{} calls", calls.len());
    let calls = drive(Window::sliding(1, SECOND), 0.25, SECOND * 40, || Duration::ZERO);
    assert!((9..=10).contains(&calls.len()), "{} calls", calls.len());
}

#[test]
fn a_bucket_uses_its_burst() {
    let calls = drive(Window::bucket(2.0, 50), 1.0, SECOND * 100, || Duration::ZERO);
    let at_once = calls.iter().filter(|at| at.is_zero()).count();
    assert_eq!(at_once, 50);
    assert!((240..=250).contains(&calls.len()), "{} calls", calls.len());
}

#[test]
fn dear_operations_cost_more_and_free_ones_nothing() {
    let window = Window {
        limit: Limit::Sliding { count: 100, length: SECOND },
        costs: &[("search", 20), ("free", 0)],
        other: 1,
    };
    let clock = FakeRelativeClock::default();
    let gate = Gate::new(window, 1.0, clock.clone());
    let mut searches = 0;
    for _ in 0..10_000 {
        assert_eq!(gate.take("free"), Ok(()));
        searches += usize::from(gate.take("search").is_ok());
        clock.advance(Duration::from_millis(1));
    }
    // 81 of 100 units are spread over the second, so that 20 at once still fit into any second.
    assert!((37..=41).contains(&searches), "{searches} searches of 20 units in 10 s of 100/s");
}

proptest! {
    #[test]
    fn no_lateness_breaks_a_window(count in 1_u32..200, millis in 50_u64..5_000, late in proptest::collection::vec(0_u64..80, 1..40)) {
        let length = Duration::from_millis(millis);
        let mut late = late.into_iter().cycle();
        let calls = drive(Window::sliding(count, length), 1.0, length * 5, || Duration::from_millis(late.next().unwrap_or(0)));
        prop_assert!(busiest(&calls, length) <= count as usize);
    }
}

/// Lets the tasks spawned before it reach their place in the queue.
async fn settle_queue() {
    sleep(Duration::from_millis(20)).await;
}

#[tokio::test]
async fn live_goes_before_waiting_backfill() {
    let limiter = Arc::new(Limiter::new(&[Window::sliding(20, SECOND)], 1.0));
    limiter.hold_until(Instant::now() + Duration::from_millis(150));
    let (done, mut order) = sync::mpsc::unbounded_channel();
    for (name, priority) in [
        ("backfill 1", Priority::Backfill),
        ("backfill 2", Priority::Backfill),
        ("live 1", Priority::Live),
        ("live 2", Priority::Live),
    ] {
        let (limiter, done) = (Arc::clone(&limiter), done.clone());
        tokio::spawn(async move {
            limiter.permit("any", priority).await;
            done.send(name).unwrap();
        });
        settle_queue().await;
    }
    drop(done);
    let mut seen = Vec::new();
    while let Some(name) = order.recv().await {
        seen.push(name);
    }
    assert_eq!(seen, ["live 1", "live 2", "backfill 1", "backfill 2"]);
}

#[tokio::test]
async fn a_hold_holds_everything_and_is_never_shortened() {
    let limiter = Limiter::new(&[], 1.0);
    let began = Instant::now();
    limiter.rate_limited(Some(Duration::from_millis(120)));
    limiter.hold_until(began);
    assert!(limiter.usage().held_for.is_some_and(|left| left > Duration::from_millis(50)));
    limiter.permit("any", Priority::Live).await;
    assert!(began.elapsed() >= Duration::from_millis(120), "waited {:?}", began.elapsed());
    assert_eq!(limiter.usage(), Usage { permits: 1, rate_limited: 1, ..Usage::default() });
}

#[tokio::test]
async fn a_dropped_waiter_blocks_nobody() {
    let limiter = Arc::new(Limiter::new(&[Window::sliding(20, SECOND)], 1.0));
    limiter.hold_until(Instant::now() + Duration::from_millis(100));
    let waiting = tokio::spawn({
        let limiter = Arc::clone(&limiter);
        async move { limiter.permit("any", Priority::Live).await }
    });
    settle_queue().await;
    waiting.abort();
    let next = limiter.permit("any", Priority::Backfill);
    tokio::time::timeout(Duration::from_secs(5), next).await.expect("the backfill call got its turn");
}

#[test]
fn a_429_without_retry_after_holds_for_the_shortest_window() {
    let limiter = Limiter::new(&[Window::sliding(100, SECOND * 86_400), Window::sliding(7, SECOND * 2)], 1.0);
    limiter.rate_limited(None);
    let held = limiter.usage().held_for.unwrap_or_default();
    assert!(held > SECOND && held <= SECOND * 2, "{held:?}");
}

#[test]
fn windows_are_said_as_a_vendor_says_them() {
    let dear = Window { costs: &[("batch", 10)], ..Window::sliding(100, SECOND * 10) };
    let limiter = Limiter::new(&[Window::sliding(7, SECOND), dear, Window::bucket(2.5, 20)], 0.5);
    let mut told: Vec<String> = limiter.usage().windows.iter().map(ToString::to_string).collect();
    told.sort();
    assert_eq!(
        told,
        [
            "2.5 calls a second, 20 of them at once",
            "at most 100 calls in 10s, `batch` counts as 10",
            "at most 7 calls in 1s"
        ]
    );
}
