//! Decisions about one CRM record are taken one after another, also when different people's leads hit it.
//!
//! The holder of a lease is the only writer to its destination, so this lives in memory. Who cannot have a record now, or looked at it
//! before it last changed, puts the lead down and looks again.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::plan::RecordId;

/// Changes remembered; a look older than the oldest of them counts as outdated.
const REMEMBERED: usize = 16_384;

/// The records of one destination that are in somebody's hands, and which changed lately.
#[derive(Clone, Debug, Default)]
pub(crate) struct Records(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    tick: u64,
    held: HashSet<RecordId>,
    changed: HashMap<RecordId, u64>,
    order: VecDeque<(u64, RecordId)>,
    forgotten_before: u64,
}

/// A moment, to be taken before looking at the CRM.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look(u64);

/// Records in hand; they count as changed when this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    records: Records,
    ids: Vec<RecordId>,
}

impl Records {
    /// The moment now.
    pub(crate) fn look(&self) -> Look {
        Look(self.lock().tick)
    }

    /// Takes these records, unless somebody has one or one changed since the look.
    pub(crate) fn take(&self, ids: Vec<RecordId>, since: Look) -> Option<Held> {
        let mut state = self.lock();
        if since.0 < state.forgotten_before {
            return None;
        }
        let outdated = |id: &RecordId| {
            state.held.contains(id) || state.changed.get(id).is_some_and(|tick| *tick > since.0)
        };
        if ids.iter().any(outdated) {
            return None;
        }
        state.held.extend(ids.iter().cloned());
        drop(state);
        Some(Held { records: self.clone(), ids })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.records.lock();
        state.tick += 1;
        let tick = state.tick;
        for id in self.ids.drain(..) {
            state.held.remove(&id);
            state.changed.insert(id.clone(), tick);
            state.order.push_back((tick, id));
        }
        while state.order.len() > REMEMBERED {
            if let Some((tick, id)) = state.order.pop_front() {
                state.forgotten_before = tick;
                if state.changed.get(&id) == Some(&tick) {
                    state.changed.remove(&id);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> RecordId {
        RecordId(name.to_owned())
    }

    #[test]
    fn one_hand_at_a_time() {
        let records = Records::default();
        let look = records.look();
        let held = records.take(vec![id("a"), id("b")], look).unwrap();
        assert!(records.take(vec![id("b")], records.look()).is_none());
        assert!(records.take(vec![id("c")], records.look()).is_some());
        drop(held);
        assert!(records.take(vec![id("b")], records.look()).is_some());
    }

    #[test]
    fn a_look_from_before_the_change_is_outdated() {
        let records = Records::default();
        let look = records.look();
        drop(records.take(vec![id("a")], look).unwrap());
        assert!(records.take(vec![id("a")], look).is_none());
        assert!(records.take(vec![id("b")], look).is_some(), "another record did not change");
        assert!(records.take(vec![id("a")], records.look()).is_some());
    }

    #[test]
    fn what_was_forgotten_counts_as_changed() {
        let records = Records::default();
        let look = records.look();
        for number in 0..=REMEMBERED {
            drop(records.take(vec![id(&number.to_string())], records.look()).unwrap());
        }
        assert!(records.take(vec![id("never seen")], look).is_none());
        assert!(records.take(vec![id("never seen")], records.look()).is_some());
    }
}
