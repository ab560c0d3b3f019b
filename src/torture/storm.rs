//! What is done to the processes, the database and the CRM, and when: the same for the same seed.

use std::time::Duration;

use crate::sandbox::{Dice, Faults, Latency, Rate};
use crate::sync::WATCH;

/// Another process has the lease after so long at the latest, because it looks about once a second; a process that was
/// frozen for longer has lost it.
pub const LEASE: Duration = WATCH.saturating_add(Duration::from_secs(2));
/// The CRM misbehaves in another way after so long.
const ANOTHER_FAULT: Duration = Duration::from_secs(2);
/// A killed process is started again within this.
const LONGEST_DOWN: Duration = Duration::from_millis(1_500);
/// In a long storm the database is restarted so often.
const RESTART: Duration = Duration::from_mins(1);

/// How often what is done.
#[derive(Clone, Debug)]
pub struct StormOptions {
    /// Of chance.
    pub seed: u64,
    /// Processes there are.
    pub processes: usize,
    /// Kills, on average; `None` for never.
    pub kill_every: Option<Duration>,
    /// Freezes, on average.
    pub freeze_every: Option<Duration>,
    /// Breaks of all connections to the database, on average.
    pub cut_every: Option<Duration>,
    /// Whether the database is restarted: half-way, and once a minute in a storm longer than two.
    pub restart: bool,
    /// How long the storm is meant to last.
    pub lasts: Duration,
    /// Whether the CRM finds nothing by its marker.
    pub blind: bool,
}

/// Something that is done once.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// kill -9.
    Kill {
        /// Its place; another one where that does not run.
        process: usize,
        /// Until it is started again.
        down: Duration,
    },
    /// SIGSTOP, and SIGCONT later.
    Freeze {
        /// Its place; another one where that does not run, or where somebody else pushes and `lasts` is longer than a lease.
        process: usize,
        /// Until it is continued.
        lasts: Duration,
    },
    /// Every connection to the database breaks.
    Cut,
    /// The database is restarted by the command that was given.
    Restart,
    /// From now on the CRM misbehaves like this.
    Misbehave(Faults),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Misbehave,
    Kill,
    Freeze,
    Cut,
    Restart,
}

/// What is done next, and when after the beginning; without an end.
pub struct Storm {
    dice: Dice,
    processes: u64,
    blind: bool,
    /// What is done again and again: how often, and when next.
    habits: Vec<(Kind, Duration, Duration)>,
}

impl Storm {
    /// From the beginning.
    pub fn new(options: &StormOptions) -> Self {
        let mut dice = Dice::new(options.seed);
        let every = [
            (Kind::Misbehave, Some(ANOTHER_FAULT)),
            (Kind::Kill, options.kill_every),
            (Kind::Freeze, options.freeze_every),
            (Kind::Cut, options.cut_every),
        ];
        let habits = every.into_iter().filter_map(|(kind, every)| {
            let every = every?.max(Duration::from_millis(1));
            Some((kind, every, wait(&mut dice, kind, every)))
        });
        let mut habits: Vec<_> = habits.collect();
        if options.restart {
            habits.push((Kind::Restart, RESTART, RESTART.min(options.lasts / 2)));
        }
        Self { processes: (options.processes as u64).max(1), blind: options.blind, habits, dice }
    }

    fn act(&mut self, kind: Kind) -> Act {
        let dice = &mut self.dice;
        match kind {
            Kind::Misbehave => Act::Misbehave(faults(dice, self.blind)),
            Kind::Cut => Act::Cut,
            Kind::Restart => Act::Restart,
            Kind::Kill => {
                let process = place(dice, self.processes);
                Act::Kill { process, down: dice.less_than(LONGEST_DOWN) }
            }
            Kind::Freeze => {
                let process = place(dice, self.processes);
                // Half of them wake up before anybody misses them, half of them when another one does their work.
                let lasts = if dice.below(2) == 0 {
                    Duration::from_millis(200) + dice.less_than(LEASE / 2)
                } else {
                    LEASE + Duration::from_secs(1) + dice.less_than(LEASE / 2)
                };
                Act::Freeze { process, lasts }
            }
        }
    }
}

impl Iterator for Storm {
    type Item = (Duration, Act);

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.habits.iter_mut().min_by_key(|(_, _, at)| *at)?;
        let (kind, every, at) = *next;
        next.2 = at + wait(&mut self.dice, kind, every);
        Some((at, self.act(kind)))
    }
}

/// Half as long to one and a half times as long as the average; restarts are as rare as they are said to be.
fn wait(dice: &mut Dice, kind: Kind, every: Duration) -> Duration {
    if kind == Kind::Restart { every } else { every / 2 + dice.less_than(every) }
}

fn place(dice: &mut Dice, processes: u64) -> usize {
    usize::try_from(dice.below(processes)).unwrap_or_default()
}

/// One of the ways in which CRMs misbehave. Calls always take some time, so that a kill often finds them half-way.
fn faults(dice: &mut Dice, blind: bool) -> Faults {
    let well = calm(blind);
    let slow = Faults { latency_ms: Latency::Between(0, 15), ..well };
    let rate = |count| Some(Rate { count, per_ms: 200, retry_after: false });
    match dice.below(7) {
        0 => slow,
        1 => Faults { search_lag_ms: 300, ..slow },
        2 => Faults { rate: rate(40), ..slow },
        3 => Faults { fail_before: 0.2, ..slow },
        4 => Faults { timeout_after: 0.1, ..slow },
        5 => Faults { reset: 0.2, ..slow },
        _ => Faults {
            search_lag_ms: 200,
            rate: rate(60),
            fail_before: 0.1,
            timeout_after: 0.05,
            reset: 0.1,
            ..slow
        },
    }
}

/// A CRM that does what it is asked to.
pub fn calm(blind: bool) -> Faults {
    Faults { marker_lookup: !blind, ..Faults::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(seed: u64) -> StormOptions {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        StormOptions {
            seed,
            processes: 3,
            kill_every: seconds(2),
            freeze_every: seconds(10),
            cut_every: seconds(7),
            restart: true,
            lasts: Duration::from_mins(1),
            blind: false,
        }
    }

    fn minute(options: &StormOptions) -> Vec<(Duration, Act)> {
        Storm::new(options).take_while(|(at, _)| *at < Duration::from_mins(1)).collect()
    }

    #[test]
    fn the_same_seed_does_the_same() {
        assert_eq!(minute(&options(3)), minute(&options(3)));
        assert_ne!(minute(&options(3)), minute(&options(4)));
    }

    #[test]
    fn everything_happens_about_as_often_as_asked() {
        let minute = minute(&options(5));
        assert!(minute.is_sorted_by_key(|(at, _)| *at));
        let count = |is: fn(&Act) -> bool| minute.iter().filter(|(_, act)| is(act)).count();
        assert!((20..=40).contains(&count(|act| matches!(act, Act::Kill { .. }))));
        assert!((4..=8).contains(&count(|act| matches!(act, Act::Freeze { .. }))));
        assert!((6..=12).contains(&count(|act| matches!(act, Act::Cut))));
        let restarts: Vec<Duration> =
            minute.iter().filter(|(_, act)| *act == Act::Restart).map(|(at, _)| *at).collect();
        assert_eq!(restarts, [Duration::from_secs(30)]);
        let killed = |place| {
            minute.iter().any(|(_, act)| matches!(act, Act::Kill { process, .. } if *process == place))
        };
        assert!((0..3).all(killed), "no process is spared");
    }

    #[test]
    fn what_is_never_wanted_never_happens() {
        let never = StormOptions {
            kill_every: None,
            freeze_every: None,
            cut_every: None,
            restart: false,
            ..options(6)
        };
        assert!(minute(&never).iter().all(|(_, act)| matches!(act, Act::Misbehave(_))));
        let blind = StormOptions { blind: true, ..never };
        let finds =
            |(_, act): &(Duration, Act)| matches!(act, Act::Misbehave(faults) if faults.marker_lookup);
        assert!(!minute(&blind).iter().any(finds));
    }
}
