//! Who gets a new deal: smooth weighted round robin, its memory as a value in and a value out.

use std::collections::BTreeMap;

use super::Situation;
use crate::plan::Reason;
use crate::rules::{OwnerPool, PoolState};

/// Who a new deal is given to, and why.
pub(super) struct Given {
    /// The user; `None` leaves the choice to the CRM.
    pub(super) user: Option<String>,
    /// The user again when they came from the pool, by turn: the sync keeps them if this plan is dropped.
    pub(super) picked: Option<String>,
    /// The pool's memory after the pick; `None` when no turn was taken.
    pub(super) state: Option<PoolState>,
    /// Why them.
    pub(super) reason: Reason,
}

/// Gives a new deal to somebody of the pool. `Err` says that nobody is there to take it.
pub(super) fn give(situation: &Situation) -> Result<Given, Reason> {
    let Some((pool, state)) = situation.pool else {
        let text = match &situation.lead.owners {
            None => "No owner pool is named: the CRM decides who is responsible.".to_owned(),
            Some(name) => {
                format!("The workspace has no owner pool {name}: the CRM decides who is responsible.")
            }
        };
        let reason = Reason::new("no_owner_pool", text);
        return Ok(Given { user: None, picked: None, state: None, reason });
    };
    if let Some(user) =
        situation.sticky_owner.filter(|user| pool.owners.iter().any(|owner| owner.user == *user))
    {
        let text = format!(
            "{user} of pool {} was picked for this lead earlier and keeps it: no new turn.",
            pool.name
        );
        let reason = Reason::new("owner_kept", text);
        return Ok(Given { user: Some(user.to_owned()), picked: Some(user.to_owned()), state: None, reason });
    }
    if let Some((user, state)) = pick(pool, state) {
        let text = format!("The owner is {user}, whose turn it was in pool {}.", pool.name);
        let reason = Reason::new("owner_picked", text);
        return Ok(Given { user: Some(user.clone()), picked: Some(user), state: Some(state), reason });
    }
    match &pool.fallback {
        Some(user) => {
            let text = format!(
                "Nobody of pool {} is available: the owner is {user}, the fallback of the pool.",
                pool.name
            );
            let reason = Reason::new("owner_fallback", text);
            Ok(Given { user: Some(user.clone()), picked: None, state: None, reason })
        }
        None => Err(Reason::new(
            "nobody_available",
            format!(
                "Nobody of owner pool {} is available and the pool has no fallback: the lead waits until \
                 somebody is back, or until the pool gets a `fallback`.",
                pool.name
            ),
        )),
    }
}

/// One turn of the pool; `None` when nobody is available.
///
/// Every available member gains their weight in credit, and the one who takes the deal pays the weights of all. Among
/// the members in credit, the one whose credit would be the first to reach a whole turn goes next. (Taking whoever has most credit,
/// as is more common, lets a share drift by more than one deal; earliest deadline first does not.)
fn pick(pool: &OwnerPool, state: &PoolState) -> Option<(String, PoolState)> {
    // A user who is listed twice has both weights; the map only adds up, the YAML's order breaks ties.
    let mut weights: BTreeMap<&str, i64> = BTreeMap::new();
    for owner in pool.owners.iter().filter(|owner| !owner.away && owner.weight > 0) {
        *weights.entry(&owner.user).or_default() += i64::from(owner.weight);
    }
    let turn: i64 = weights.values().sum();
    if turn == 0 {
        return None;
    }

    let mut credit = BTreeMap::new();
    for owner in &pool.owners {
        // Credit is counted in weights. Where the weights were edited or somebody was away, no member may be owed, or
        // owe, more than one turn of the pool as it is now.
        let kept = state.credit.get(&owner.user).copied().unwrap_or(0);
        credit.insert(owner.user.clone(), kept.clamp(-turn, turn));
    }
    for (user, weight) in &weights {
        if let Some(credit) = credit.get_mut(*user) {
            *credit += weight;
        }
    }

    let urgency = |user: &str, weight: i64| {
        let owed = credit.get(user).copied().unwrap_or(0);
        let turns_left = -(owed - turn).div_euclid(weight);
        (owed <= 0, if owed > 0 { turns_left } else { 0 }, -owed)
    };
    let next = pool
        .owners
        .iter()
        .filter_map(|owner| weights.get_key_value(owner.user.as_str()))
        .min_by_key(|(user, weight)| urgency(user, **weight))
        .map(|(user, _)| (*user).to_owned())?;
    if let Some(credit) = credit.get_mut(&next) {
        *credit -= turn;
    }
    Some((next, PoolState { credit }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rules::PoolOwner;

    fn pool(owners: &[(&str, u32)]) -> OwnerPool {
        let owners = owners.iter().map(|(user, weight)| PoolOwner {
            user: (*user).into(),
            weight: *weight,
            away: false,
        });
        OwnerPool { name: "kyiv-sales".into(), owners: owners.collect(), fallback: None }
    }

    fn turns(pool: &OwnerPool, state: &mut PoolState, count: usize) -> Vec<String> {
        (0..count)
            .map(|_| {
                let (user, next) = pick(pool, state).expect("somebody is available");
                *state = next;
                user
            })
            .collect()
    }

    /// The worst distance, in deals, between what each member has got and their share, looked at after every deal.
    fn worst_error(weights: &[u32], deals: u32) -> f64 {
        let names: Vec<String> = (0..weights.len()).map(|number| number.to_string()).collect();
        let owners: Vec<(&str, u32)> =
            names.iter().map(String::as_str).zip(weights.iter().copied()).collect();
        let pool = pool(&owners);
        let total: u32 = weights.iter().sum();
        let (mut state, mut got, mut worst) = (PoolState::default(), vec![0_u32; weights.len()], 0.0_f64);
        for deal in 1..=deals {
            let (user, next) = pick(&pool, &state).expect("somebody is available");
            state = next;
            got[user.parse::<usize>().unwrap()] += 1;
            for (got, weight) in got.iter().zip(weights) {
                let share = f64::from(deal) * f64::from(*weight) / f64::from(total);
                worst = worst.max((f64::from(*got) - share).abs());
            }
        }
        worst
    }

    #[test]
    fn equal_weights_take_turns_in_the_order_of_the_yaml() {
        let pool = pool(&[("zoya", 1), ("adam", 1), ("max", 1)]);
        let got = turns(&pool, &mut PoolState::default(), 6);
        assert_eq!(got, ["zoya", "adam", "max", "zoya", "adam", "max"]);
    }

    #[test]
    fn a_share_is_never_off_by_a_whole_deal() {
        for weights in
            [&[1][..], &[1, 1, 1], &[5, 1, 1], &[70, 20, 10], &[1, 27, 3, 19, 1, 1, 3, 1, 1, 19, 5]]
        {
            let error = worst_error(weights, 10_000);
            assert!(error < 1.0, "{weights:?} drifts by {error} deals");
        }
    }

    proptest! {
        #[test]
        fn no_weights_let_a_share_drift_by_a_whole_deal(weights in proptest::collection::vec(1_u32..40, 1..12)) {
            prop_assert!(worst_error(&weights, 500) < 1.0);
        }

        #[test]
        fn any_memory_is_survived(
            credit in proptest::collection::btree_map("[ab]", any::<i64>(), 0..3),
            weights in proptest::collection::vec(any::<u32>(), 2),
        ) {
            let pool = pool(&[("a", weights[0]), ("b", weights[1])]);
            let picked = pick(&pool, &PoolState { credit });
            prop_assert_eq!(picked.is_none(), weights == [0, 0]);
        }
    }

    #[test]
    fn who_is_away_or_weighs_nothing_is_skipped_and_owed_no_more_than_a_turn_later() {
        let mut pool = pool(&[("olena", 1), ("ivan", 1), ("intern", 0)]);
        let mut state = PoolState::default();
        pool.owners[0].away = true;
        assert!(turns(&pool, &mut state, 50).iter().all(|user| user == "ivan"));
        pool.owners[0].away = false;
        let back = turns(&pool, &mut state, 10);
        let olena = back.iter().filter(|user| *user == "olena").count();
        assert!((5..=6).contains(&olena), "{back:?}");
    }

    #[test]
    fn edited_weights_do_not_pay_back_old_credit_in_a_row() {
        let mut state = PoolState::default();
        turns(&pool(&[("a", 1000), ("b", 999)]), &mut state, 1);
        let got = turns(&pool(&[("a", 1), ("b", 1)]), &mut state, 10);
        let b = got.iter().filter(|user| *user == "b").count();
        assert!((5..=6).contains(&b), "{got:?}");
    }

    #[test]
    fn nobody_available_is_no_pick() {
        let mut pool = pool(&[("olena", 1)]);
        pool.owners[0].away = true;
        assert_eq!(pick(&pool, &PoolState::default()), None);
        assert_eq!(pick(&OwnerPool { owners: vec![], ..pool }, &PoolState::default()), None);
    }
}
