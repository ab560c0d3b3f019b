//! Whose turn it is: weighted round robin, its memory as a value in and a turn out.
//!
//! Every available member is owed their share of each deal, and whoever takes it pays it back, so what is owed adds up to
//! nothing. While the same people are available, nobody is ever a whole deal away from their share. Where that changes
//! all the time, no rule that does not see the future can promise that (it is the carpool problem of Fagin and Williams);
//! what somebody is owed stays until they are back, and two deals at the most.

use std::collections::BTreeMap;

use jiff::civil::Date;

use crate::rules::{PoolOwner, PoolState, Turn};

/// One deal, in the unit of [`PoolState::owed`].
const DEAL: i64 = 1_000_000_000_000;
/// Nobody is owed more than this, or owes it, whatever the memory says.
const MOST_OWED: i64 = 2 * DEAL;
/// What rounding may add up to over years; shares of a deal are far larger.
const ROUNDING: i64 = DEAL / 1_000_000;

/// The next turn among these; `None` when there is nobody.
///
/// Among the members who are owed something, the one who would be the first to be owed a whole deal goes next. (Taking
/// whoever is owed most, as is more common, lets a share drift by more than one deal; earliest deadline first does not.)
pub(super) fn next(owners: &[&PoolOwner], state: &PoolState, day: Date) -> Option<Turn> {
    let owners = owners.iter().copied().filter(|owner| owner.weight > 0);
    let weights: i128 = owners.clone().map(|owner| i128::from(owner.weight)).sum();
    let mut given = 0;
    let mut changes = BTreeMap::new();
    let mut next: Option<(Urgency, &PoolOwner)> = None;
    for owner in owners {
        let weight = i128::from(owner.weight);
        // No larger than a deal.
        let share = i64::try_from(i128::from(DEAL) * weight / weights).unwrap_or(DEAL);
        given += share;
        let before = state.owed.get(&owner.user).copied().unwrap_or(0);
        let owed = before.clamp(-MOST_OWED, MOST_OWED) + share;
        changes.insert(owner.user.clone(), owed.saturating_sub(before));
        let urgency = if owed > ROUNDING {
            let missing = i128::from(owed - DEAL + ROUNDING) * weights;
            Urgency { owes: false, turns_left: -missing.div_euclid(weight * i128::from(DEAL)), owed: -owed }
        } else {
            Urgency { owes: true, turns_left: 0, owed: -owed }
        };
        // The order of the YAML breaks ties.
        if next.as_ref().is_none_or(|(best, _)| urgency.is_before(best)) {
            next = Some((urgency, owner));
        }
    }
    let user = next?.1.user.clone();
    if let Some(change) = changes.get_mut(&user) {
        *change = change.saturating_sub(given);
    }
    Some(Turn { user, day, owed: changes })
}

/// How soon somebody must get a deal; less is sooner.
struct Urgency {
    owes: bool,
    turns_left: i128,
    owed: i64,
}

impl Urgency {
    fn is_before(&self, other: &Self) -> bool {
        let order = (self.owes, self.turns_left).cmp(&(other.owes, other.turns_left));
        order.is_lt() || (order.is_eq() && other.owed - self.owed > ROUNDING)
    }
}
