use governor::clock::FakeRelativeClock;
use proptest::prelude::*;

use super::super::{Limit, Window};
use super::*;

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_hours(24);

fn at(second: u64) -> Timestamp {
    Timestamp::from_second(1_772_442_000 + i64::try_from(second).unwrap()).unwrap()
}

/// Calls that go through without waiting, at most this many.
fn at_once(limiter: &Limiter, most: usize) -> usize {
    (0..most).take_while(|_| limiter.gates.iter().all(|gate| gate.take("any").is_ok())).count()
}

/// How long the next call waits.
fn waits(limiter: &Limiter) -> Duration {
    limiter.gates[0].take("any").err().unwrap_or_default()
}

/// Calls so often, hands the budget on, and says how many calls go through at once after so many seconds.
fn handed_on(before: Window, calls: usize, after: u64, complete: bool, then: Window) -> usize {
    let first = Limiter::new(&[before], 1.0);
    assert_eq!(at_once(&first, calls), calls);
    let stored = serde_json::to_string(&first.budget(at(0), complete)).unwrap();
    let next = Limiter::new(&[then], 1.0);
    next.resume(&serde_json::from_str(&stored).unwrap(), at(after));
    at_once(&next, 1_000)
}

#[test]
fn a_burst_is_not_let_through_once_more() {
    let bucket = Window::bucket(2.0, 50);
    let check = |calls: usize, after: u64, complete: bool, expect: std::ops::RangeInclusive<usize>| {
        let went = handed_on(bucket, calls, after, complete, bucket);
        assert!(expect.contains(&went), "{calls} calls, {after} s, complete {complete}: {went}");
    };
    check(50, 0, true, 0..=1);
    // Ten seconds refill twenty; the clocks may differ by five of them.
    check(50, 10, true, 9..=11);
    check(50, 40, true, 50..=51);
    check(10, 0, true, 30..=32);
    check(0, 0, true, 50..=51);
    // Killed: nobody knows what was called after the note.
    check(50, 40, false, 0..=1);
    check(0, 0, false, 0..=1);
}

#[test]
fn a_long_window_with_a_small_count_waits_as_if_nothing_had_happened() {
    let ten_a_day = Window::sliding(10, DAY);
    let first = Limiter::new(&[ten_a_day], 1.0);
    assert_eq!(at_once(&first, 10), 1);
    // No call could go through in the hour after it, so nothing is unknown although the process was killed.
    let next = Limiter::new(&[ten_a_day], 1.0);
    next.resume(&first.budget(at(0), false), at(3600));
    let (spacing, waits) = (DAY.mul_f64(1.03 / 10.0), waits(&next) + SECOND * 3600);
    assert!(waits + SECOND >= spacing && waits < spacing + SECOND * 1000, "{waits:?} of {spacing:?}");
}

#[test]
fn a_window_that_nobody_used_waits_for_nothing() {
    let once_a_day = Window::sliding(1, DAY);
    assert_eq!(handed_on(once_a_day, 0, 1, true, once_a_day), 1);
}

#[test]
fn an_edited_window_begins_with_what_the_last_one_used() {
    let went = handed_on(Window::bucket(2.0, 50), 50, 0, true, Window::bucket(2.0, 60));
    assert!(went <= 5, "{went}");
    assert!(handed_on(Window::bucket(2.0, 50), 0, 1, true, Window::bucket(2.0, 60)) >= 60);
}

#[test]
fn a_hold_goes_on_and_is_believed_for_a_day() {
    let first = Limiter::new(&[], 1.0);
    first.rate_limited(Some(SECOND * 3600));
    let budget = first.budget(at(0), false);
    let held = |budget: &Budget, second: u64| {
        let next = Limiter::new(&[], 1.0);
        next.resume(budget, at(second));
        next.usage().held_for.unwrap_or_default()
    };
    let left = held(&budget, 600);
    assert!((SECOND * 2990..=SECOND * 3006).contains(&left), "{left:?}");
    assert!(held(&budget, 3599) <= SECOND * 2, "{:?}", held(&budget, 3599));
    assert_eq!(held(&budget, 3700), Duration::ZERO);
    let wrong_clock = Budget { held_until: Some(at(400 * 86_400)), ..Budget::default() };
    assert!(held(&wrong_clock, 0) <= DAY);
}

/// As a process does that is killed every two seconds while the CRM wants a minute of silence.
#[test]
fn a_hold_that_is_handed_on_again_and_again_ends() {
    let first = Limiter::new(&[], 1.0);
    first.rate_limited(Some(SECOND * 60));
    let mut budget = first.budget(at(0), false);
    for second in (2..=60).step_by(2) {
        let next = Limiter::new(&[], 1.0);
        next.resume(&budget, at(second));
        budget = next.budget(at(second), false);
    }
    let last = Limiter::new(&[], 1.0);
    last.resume(&budget, at(64));
    assert_eq!(last.usage().held_for, None, "{budget:?}");
}

#[test]
fn what_this_limiter_used_is_not_given_back() {
    let limiter = Limiter::new(&[Window::bucket(2.0, 50)], 1.0);
    assert_eq!(at_once(&limiter, 30), 30);
    limiter.resume(&Budget { complete: true, ..Budget::default() }, at(0));
    limiter.resume(&limiter.budget(at(0), true), at(5));
    assert!((19..=21).contains(&at_once(&limiter, 100)));
}

/// What is noted of a gate.
fn noted(gate: &Gate<FakeRelativeClock>, at: Timestamp, complete: bool) -> Budget {
    let mut budget = Budget { complete, ..Budget::default() };
    gate.note(&mut budget, at);
    budget
}

/// What people are shown after so many calls, so many seconds later, by this process or the next.
#[test]
fn a_window_is_as_used_as_its_vendor_counts_it() {
    let check = |window: Window, share: f64, calls: usize, later: u64, expect: f64| {
        let clock = FakeRelativeClock::default();
        let gate = Gate::new(window, share, clock.clone());
        for _ in 0..calls {
            while let Err(wait) = gate.take("any") {
                clock.advance(wait);
            }
        }
        let next = Gate::new(window, share, FakeRelativeClock::default());
        next.resume(&noted(&gate, at(0), true), None, at(0));
        let told = |gate: &Gate<_>| window.standing(share, &noted(gate, at(0), true), at(later)).used;
        // The next one takes it that the clocks differ by seconds, which counts in a bucket.
        let slow = if matches!(window.limit, Limit::Bucket { .. }) { 0.2 } else { 0.0 };
        for (used, expect) in [(told(&gate), expect), (told(&next), expect + slow)] {
            assert!((used - expect).abs() <= 0.11, "{window} {share} {calls} {later}: {used} for {expect}");
        }
    };
    let minute = Window::sliding(60, SECOND * 60);
    // The pace has nothing left right after a call, and everything a second later; the vendor has counted one.
    check(minute, 1.0, 1, 0, 0.02);
    check(minute, 1.0, 30, 0, 0.5);
    check(minute, 0.5, 30, 0, 0.97);
    check(minute, 1.0, 200, 0, 0.97);
    check(minute, 1.0, 200, 30, 0.49);
    check(minute, 1.0, 200, 61, 0.0);
    check(Window::bucket(2.0, 50), 1.0, 25, 0, 0.5);
}

/// A bucket as the vendor counts it; how far it is overdrawn at most.
fn overdrawn(calls: &[Duration], per_second: f64, burst: u32) -> f64 {
    let (mut level, mut last, mut worst) = (f64::from(burst), Duration::ZERO, 0.0_f64);
    for call in calls {
        level = (level + call.saturating_sub(last).as_secs_f64() * per_second).min(f64::from(burst)) - 1.0;
        last = *call;
        worst = worst.max(-level);
    }
    worst
}

/// The most that was used in any stretch of `length`.
fn busiest(calls: &[Duration], length: Duration) -> usize {
    let inside =
        |first: &Duration| calls.iter().filter(|call| (*first..*first + length).contains(*call)).count();
    calls.iter().map(inside).max().unwrap_or(0)
}

/// What happens next to the process that has the lease.
#[derive(Clone, Debug)]
enum Event {
    /// So many calls, each as soon as it may, but nobody waits longer than this.
    Calls(u8, u64),
    /// Time goes by.
    Pause(u64),
    /// What is used is noted, as with every group of the ledger.
    Note,
    /// kill -9, and a new start.
    Kill,
    /// An orderly end, and a new start on another machine, whose clock differs by so many milliseconds.
    Stop(i64),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        3 => (1_u8..30, 0_u64..3_000).prop_map(|(calls, wait)| Event::Calls(calls, wait)),
        1 => (0_u64..20_000).prop_map(Event::Pause),
        1 => Just(Event::Note),
        2 => Just(Event::Kill),
        2 => (-2_000_i64..2_000).prop_map(Event::Stop),
    ];
    proptest::collection::vec(event, 1..60)
}

/// The calls that go through whatever happens to the process.
fn live_through(window: Window, events: &[Event]) -> Vec<Duration> {
    let clock = FakeRelativeClock::default();
    let gate = || Gate::new(window, 1.0, clock.clone());
    let (mut now, mut skew, mut calls) = (Duration::ZERO, 0_i64, Vec::new());
    let wall = |now: Duration, skew: i64| {
        let millis = i64::try_from(now.as_millis()).unwrap() + 1_000_000 + skew;
        Timestamp::from_millisecond(millis).unwrap()
    };
    let mut current = gate();
    let mut stored = noted(&current, wall(now, skew), false);
    for event in events {
        match event {
            Event::Calls(count, patience) => {
                for _ in 0..*count {
                    match current.take("any") {
                        Ok(()) => calls.push(now),
                        Err(wait) if wait <= Duration::from_millis(*patience) => {
                            clock.advance(wait);
                            now += wait;
                        }
                        Err(_) => {}
                    }
                }
            }
            Event::Pause(millis) => {
                clock.advance(Duration::from_millis(*millis));
                now += Duration::from_millis(*millis);
            }
            Event::Note => stored = noted(&current, wall(now, skew), false),
            Event::Kill | Event::Stop(_) => {
                if let Event::Stop(other) = event {
                    stored = noted(&current, wall(now, skew), true);
                    skew = *other;
                }
                current = gate();
                resume_gate(&current, &stored, wall(now, skew));
                stored = noted(&current, wall(now, skew), false);
            }
        }
    }
    calls
}

fn resume_gate(gate: &Gate<FakeRelativeClock>, budget: &Budget, now: Timestamp) {
    gate.resume(budget, budget.fresh_at.values().max().copied(), now);
}

proptest! {
    #[test]
    fn a_sliding_window_is_kept_through_all_restarts(count in 1_u32..20, millis in 200_u64..60_000, events in events()) {
        let length = Duration::from_millis(millis);
        let calls = live_through(Window::sliding(count, length), &events);
        prop_assert!(busiest(&calls, length) <= count as usize, "{calls:?}");
    }

    #[test]
    fn a_bucket_is_never_overdrawn_through_all_restarts(per_second in 1_u32..20, burst in 1_u32..60, events in events()) {
        let calls = live_through(Window::bucket(f64::from(per_second), burst), &events);
        prop_assert!(overdrawn(&calls, f64::from(per_second), burst) <= 1e-6, "{calls:?}");
    }

    #[test]
    fn a_dear_operation_fits_through_all_restarts(dear in 2_u32..10, events in events()) {
        let length = SECOND * 10;
        let window = Window { limit: Limit::Sliding { count: 40, length }, costs: &[("cheap", 1)], other: dear };
        let calls = live_through(window, &events);
        prop_assert!(busiest(&calls, length) * dear as usize <= 40, "{calls:?}");
    }
}
