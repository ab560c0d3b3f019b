//! Which leases a process takes and gives away, by what it sees: destinations spread evenly over the processes that push.
//! Pure, and the same rule in every process; nobody decides for another.

use std::collections::{BTreeMap, BTreeSet};

use crate::store::lease::Process;

/// So many looks a process leaves a free lease to those that have fewer. Then it takes it: nobody waits for ever for a
/// process that does not come.
const LEAVE: usize = 3;
/// Who got back what it gave away gives nothing for so many looks: the others do not want it.
const REST: u32 = 60;
/// A large surplus is given away in tenths, so that 10,000 destinations move in minutes and a few move one by one.
const PART: usize = 10;

/// What a process sees at a look.
pub(super) struct Situation<'a> {
    /// Its id.
    pub(super) me: &'a str,
    /// Everybody who lives.
    pub(super) processes: &'a [Process],
    /// Destinations of its version of the workspace.
    pub(super) wanted: usize,
    /// What it holds and is not giving away already.
    pub(super) mine: &'a BTreeSet<String>,
    /// Those of the destinations that no living process holds.
    pub(super) free: &'a [String],
}

/// What it does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Moves {
    /// Leases to take.
    pub(super) take: Vec<String>,
    /// Leases to hand over.
    pub(super) give: Vec<String>,
}

/// What a process remembers from look to look.
#[derive(Debug, Default)]
pub(super) struct Balance {
    /// For how many looks a lease has been free.
    free_for: BTreeMap<String, usize>,
    given: BTreeSet<String>,
    rest: u32,
}

impl Balance {
    /// Looks once.
    pub(super) fn look(&mut self, seen: &Situation) -> Moves {
        let before = std::mem::take(&mut self.free_for);
        self.free_for = seen
            .free
            .iter()
            .map(|name| (name.clone(), before.get(name).map_or(0, |looks| looks + 1)))
            .collect();
        self.rest = self.rest.saturating_sub(1);
        if self.given.iter().any(|name| seen.mine.contains(name)) {
            self.given.clear();
            self.rest = REST;
        }
        let mine = seen.mine.len();
        let others = || seen.processes.iter().filter(|process| process.pushes && process.id != seen.me);
        let share = seen.wanted.div_ceil(others().count() + 1);
        Moves { take: self.take(seen, mine, share, others), give: self.give(seen, mine, share, others) }
    }

    fn take<'a, I: Iterator<Item = &'a Process>>(
        &self,
        seen: &Situation,
        mine: usize,
        share: usize,
        others: impl Fn() -> I,
    ) -> Vec<String> {
        let poorer = others().filter(|other| other.held < mine).count();
        let mut room = share.saturating_sub(mine);
        let mut take = Vec::new();
        for name in seen.free {
            let looks = self.free_for.get(name).copied().unwrap_or_default();
            if room > 0 && looks >= poorer.min(LEAVE) {
                room -= 1;
                take.push(name.clone());
            } else if looks >= LEAVE {
                take.push(name.clone());
            }
        }
        take
    }

    fn give<'a, I: Iterator<Item = &'a Process>>(
        &mut self,
        seen: &Situation,
        mine: usize,
        share: usize,
        others: impl Fn() -> I,
    ) -> Vec<String> {
        let surplus = mine.saturating_sub(share);
        // While something is free, who has less has something to take.
        let somebody_waits = seen.free.is_empty() && others().any(|other| other.held < share);
        if surplus == 0 || self.rest > 0 || !somebody_waits {
            return Vec::new();
        }
        let give: Vec<String> = seen.mine.iter().rev().take(surplus.div_ceil(PART)).cloned().collect();
        self.given = give.iter().cloned().collect();
        give
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn process(id: &str, held: usize) -> Process {
        Process { id: id.to_owned(), name: id.to_owned(), pushes: true, beat: 1, held }
    }

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("d{number}")).collect()
    }

    /// What the process `a` does that holds `mine` of so many, beside others that hold so many, at its first look.
    fn first_look(wanted: usize, mine: usize, others: &[usize], free: usize) -> (usize, usize) {
        let mut processes = vec![process("a", mine)];
        processes.extend(others.iter().zip('b'..).map(|(held, id)| process(&id.to_string(), *held)));
        let mine = (0..mine).map(|number| format!("mine{number}")).collect();
        let seen = Situation { me: "a", processes: &processes, wanted, mine: &mine, free: &names(free) };
        let moves = Balance::default().look(&seen);
        (moves.take.len(), moves.give.len())
    }

    #[test]
    fn who_has_least_takes_first_and_who_has_too_much_gives() {
        let check = |wanted, mine, others: &[usize], free, expect: (usize, usize)| {
            let moves = first_look(wanted, mine, others, free);
            assert_eq!(moves, expect, "{mine} of {wanted}, others {others:?}, {free} free");
        };
        // Alone it takes all there is.
        check(10, 0, &[], 10, (10, 0));
        check(1, 0, &[], 1, (1, 0));
        check(0, 0, &[], 0, (0, 0));
        // Three that start together take a share each.
        check(10, 0, &[0, 0], 10, (4, 0));
        // Somebody has fewer: it waits.
        check(10, 2, &[0], 2, (0, 0));
        // It has its share.
        check(10, 5, &[5], 1, (0, 0));
        // One gives one by one, many in tenths.
        check(10, 10, &[0], 0, (0, 1));
        check(10_000, 10_000, &[0], 0, (0, 500));
        check(10, 6, &[4], 0, (0, 1));
        // Nearly even is even.
        check(10, 4, &[3, 3], 0, (0, 0));
        check(1, 1, &[0, 0], 0, (0, 0));
        // What was given is first to be taken.
        check(10, 9, &[0], 1, (0, 0));
    }

    #[test]
    fn what_nobody_takes_is_taken_after_a_few_looks() {
        let processes = [process("a", 5), process("b", 0)];
        let mine = names(5).into_iter().collect();
        let free = ["left".to_owned()];
        let seen = Situation { me: "a", processes: &processes, wanted: 6, mine: &mine, free: &free };
        let mut balance = Balance::default();
        let looks: Vec<usize> = (0..5).map(|_| balance.look(&seen).take.len()).collect();
        assert_eq!(looks, [0, 0, 0, 1, 1]);
    }

    #[test]
    fn what_comes_back_is_not_given_again_at_once() {
        let processes = [process("a", 2), process("b", 0)];
        let mine: BTreeSet<String> = names(2).into_iter().collect();
        let seen = Situation { me: "a", processes: &processes, wanted: 2, mine: &mine, free: &[] };
        let mut balance = Balance::default();
        assert_eq!(balance.look(&seen).give, ["d1"]);
        let gives: usize = (0..REST).map(|_| balance.look(&seen).give.len()).sum();
        assert_eq!(gives, 0, "the other process does not want it");
        assert_eq!(balance.look(&seen).give, ["d1"]);
    }

    #[test]
    fn who_only_receives_counts_for_nothing() {
        let mut processes = [process("a", 2), process("b", 0)];
        processes[1].pushes = false;
        let mine: BTreeSet<String> = names(2).into_iter().collect();
        let seen = Situation { me: "a", processes: &processes, wanted: 2, mine: &mine, free: &[] };
        assert_eq!(Balance::default().look(&seen), Moves::default());
    }

    /// Processes over one table of leases, looking in any order.
    struct World {
        holders: BTreeMap<String, Option<usize>>,
        alive: Vec<Option<Balance>>,
    }

    impl World {
        fn new(destinations: usize, processes: usize) -> Self {
            let holders = names(destinations).into_iter().map(|name| (name, None)).collect();
            Self { holders, alive: (0..processes).map(|_| Some(Balance::default())).collect() }
        }

        fn held(&self, of: usize) -> BTreeSet<String> {
            let held = self.holders.iter().filter(|(_, holder)| **holder == Some(of));
            held.map(|(name, _)| name.clone()).collect()
        }

        /// Returns whether anything moved.
        fn look(&mut self, of: usize) -> bool {
            let living = (0..self.alive.len()).filter(|other| self.alive[*other].is_some());
            let processes: Vec<Process> =
                living.map(|other| process(&other.to_string(), self.held(other).len())).collect();
            let free: Vec<String> = self
                .holders
                .iter()
                .filter(|(_, holder)| holder.is_none_or(|holder| self.alive[holder].is_none()))
                .map(|(name, _)| name.clone())
                .collect();
            let mine = self.held(of);
            let me = of.to_string();
            let wanted = self.holders.len();
            let Some(balance) = &mut self.alive[of] else { return false };
            let seen = Situation { me: &me, processes: &processes, wanted, mine: &mine, free: &free };
            let Moves { take, give } = balance.look(&seen);
            let moved = !take.is_empty() || !give.is_empty();
            for name in take {
                assert!(free.contains(&name), "only what is free is taken");
                self.holders.insert(name, Some(of));
            }
            for name in give {
                assert!(mine.contains(&name), "only what is one's own is given");
                self.holders.insert(name, None);
            }
            moved
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn it_becomes_even_and_stays_so(
            destinations in 0_usize..60,
            processes in 1_usize..6,
            story in proptest::collection::vec((0_usize..6, 0_usize..4), 0..80),
        ) {
            let mut world = World::new(destinations, processes);
            for (of, what) in story {
                let of = of % processes;
                match (what, world.alive[of].is_some()) {
                    (0, true) => world.alive[of] = None,
                    (0, false) => {
                        // A new process, which holds nothing.
                        for holder in world.holders.values_mut().filter(|holder| **holder == Some(of)) {
                            *holder = None;
                        }
                        world.alive[of] = Some(Balance::default());
                    }
                    _ => { world.look(of); }
                }
            }
            if world.alive.iter().all(Option::is_none) {
                world.alive[0] = Some(Balance::default());
            }
            let round = |world: &mut World| (0..processes).filter(|of| world.look(*of)).count();
            for _ in 0..200 {
                round(&mut world);
            }
            prop_assert_eq!(round(&mut world), 0, "nothing moves any more");
            let living = world.alive.iter().flatten().count();
            let share = destinations.div_ceil(living);
            let mut all = 0;
            for of in (0..processes).filter(|of| world.alive[*of].is_some()) {
                let held = world.held(of).len();
                prop_assert!(held <= share, "{held} of {destinations} over {living}");
                all += held;
            }
            prop_assert_eq!(all, destinations, "no destination is without a holder");
        }
    }
}
