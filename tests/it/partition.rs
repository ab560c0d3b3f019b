//! Who is who does not depend on how fast or by how many it is worked out, and is right about made-up humans.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use leadfold::lead::{Identifier, IdentifierKind, Proof};
use leadfold::normalise::NameKey;
use leadfold::rehearse::people::{PeopleRehearsal, rehearse_people};
use leadfold::resolve::{Number, Partition, Who};
use leadfold::rules::IdentityRules;
use leadfold::sandbox::{Dice, Faults};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::humans::{Score, Sharing, ceiling, leads, resolved, score, united};
use crate::rig::{Account, Rig, event, now_millis, until};

fn judged(sharing: Sharing, seed: u64) -> (Score, Score, Score) {
    let leads = leads(600, sharing, seed);
    let ours = score(&leads, &resolved(&leads, IdentityRules::default()));
    (ours, score(&leads, &united(&leads, false)), score(&leads, &ceiling(&leads)))
}

#[test]
fn made_up_humans_who_share_nothing_are_told_apart() {
    for seed in 1..=3 {
        let (ours, united, best) = judged(Sharing::Nothing, seed);
        assert!(ours.precision >= united.precision, "seed {seed}: {ours:?} {united:?}");
        assert!(ours.recall >= 0.97 * best.recall, "seed {seed}: {ours:?} {best:?}");
        assert!(ours.person_once >= 0.95 * best.person_once, "seed {seed}: {ours:?} {best:?}");
    }
}

#[test]
fn made_up_humans_who_share_much_are_told_apart() {
    for seed in 1..=3 {
        let (ours, united, best) = judged(Sharing::Much, seed);
        assert!(ours.precision >= united.precision + 0.03, "seed {seed}: {ours:?} {united:?}");
        assert!(ours.recall >= 0.88 * best.recall, "seed {seed}: {ours:?} {best:?}");
        assert!(ours.person_once >= united.person_once, "seed {seed}: {ours:?} {united:?}");
        assert!(ours.people > united.people, "seed {seed}: {ours:?} {united:?}");
    }
}

/// An event of a human: which of their three own identifiers it has, and whether it has the phone that some share.
#[derive(Clone, Copy, Debug)]
struct Came {
    human: u8,
    own: [bool; 3],
    shared: bool,
}

fn came(sharers: u8) -> impl Strategy<Value = Came> {
    (0..6_u8, any::<[bool; 3]>(), any::<bool>()).prop_map(move |(human, own, shared)| {
        let shared = shared && human < sharers;
        // Somebody who shows nothing is nobody's.
        let own = if own == [false; 3] { [true, false, false] } else { own };
        Came { human, own, shared }
    })
}

fn partition(events: &[Came]) -> Vec<Number> {
    const NAMES: [&str; 6] = ["Anna", "Borys", "Daria", "Ihor", "Ruslan", "Olha"];
    let mut partition = Partition::under(IdentityRules::default());
    let mut at: Timestamp = "2026-03-01T09:00:00Z".parse().unwrap();
    for Came { human, own, shared } in events {
        let kinds = [IdentifierKind::Chat, IdentifierKind::Phone, IdentifierKind::Email];
        let identifier = |kind, value: String| {
            let scope = if kind == IdentifierKind::Chat { "telegram:bot" } else { "" };
            Identifier { kind, scope: scope.to_owned(), keys: vec![value], proof: Proof::Claimed }
        };
        let mut identifiers: Vec<Identifier> = kinds
            .into_iter()
            .zip(own)
            .filter(|(_, has)| **has)
            .map(|(kind, _)| identifier(kind, format!("{human}")))
            .collect();
        identifiers.extend(shared.then(|| identifier(IdentifierKind::Phone, "shared".to_owned())));
        at += SignedDuration::from_secs(1);
        partition.add(&Who {
            identifiers: &identifiers,
            name: NameKey::of(NAMES[usize::from(*human)]),
            at,
            adds_token: false,
        });
    }
    partition.finish()
}

/// Who is together, whatever the numbers of people are.
fn together(events: &[(usize, Came)], people: &[Number]) -> BTreeSet<BTreeSet<usize>> {
    let mut groups: BTreeMap<Number, BTreeSet<usize>> = BTreeMap::new();
    for ((place, _), person) in events.iter().zip(people) {
        groups.entry(*person).or_default().insert(*place);
    }
    groups.into_values().collect()
}

/// Events with their places in one order.
type Placed = Vec<(usize, Came)>;

/// Events, and the same in another order.
fn in_two_orders(sharers: u8) -> impl Strategy<Value = (Placed, Placed)> {
    vec(came(sharers), 0..40).prop_flat_map(|events| {
        let placed: Placed = events.into_iter().enumerate().collect();
        (Just(placed.clone()), Just(placed).prop_shuffle())
    })
}

fn told(events: &[(usize, Came)]) -> BTreeSet<BTreeSet<usize>> {
    let came: Vec<Came> = events.iter().map(|(_, came)| *came).collect();
    together(events, &partition(&came))
}

proptest! {
    #[test]
    fn where_nothing_is_shared_any_order_gives_the_same_people((one, other) in in_two_orders(0)) {
        prop_assert_eq!(told(&one), told(&other));
    }

    /// Order matters for a shared value: the first who comes with it has it, and a stranger who brings nothing else that
    /// is known is taken for them. Everybody who does not use it is the same person in any order, and nobody else's.
    #[test]
    fn order_matters_for_those_alone_who_share((one, other) in in_two_orders(3)) {
        let people = [told(&one), told(&other)];
        let sharer = |place: &usize| one.iter().any(|(at, came)| at == place && came.human < 3);
        let [one, other] = people.map(|people| {
            let (with, without): (BTreeSet<_>, BTreeSet<_>) =
                people.into_iter().partition(|group| group.iter().any(&sharer));
            assert!(with.iter().all(|group| group.iter().all(&sharer)), "a stranger is among those who share: {with:?}");
            without
        });
        prop_assert_eq!(one, other);
    }
}

/// `SendPulse` events of humans who share nothing: one name, a chat in two messengers, a phone, an email.
fn own_things(humans: u64, dice: &mut Dice) -> Vec<Value> {
    let mut events = Vec::new();
    for human in 0..humans {
        for turn in 0..5 {
            let service = ["telegram", "viber"][usize::try_from(dice.below(2)).unwrap()];
            let mut variables = json!({});
            if dice.below(2) == 0 {
                variables["phone"] = json!(format!("06712{:05}", 10_000 + human * 37));
            }
            if dice.below(2) == 0 {
                variables["email"] = json!(format!("human{human}@example.org"));
            }
            events.push(event(&format!("chat{human}"), service, variables, now_millis() + turn));
        }
    }
    shuffled(events, dice)
}

/// The same with a phone that all of a family type, under their own names.
fn families(humans: u64, dice: &mut Dice) -> Vec<Value> {
    const NAMES: [&str; 6] = ["Anna", "Borys", "Daria", "Ihor", "Ruslan", "Olha"];
    let mut events = own_things(humans, dice);
    for human in 0..humans {
        for turn in 0..3 {
            let phone = json!({ "phone": format!("06799{:05}", 10_000 + human / 6 * 41) });
            let mut one = event(&format!("chat{human}"), "telegram", phone, now_millis() + 100 + turn);
            one[0]["contact"]["name"] = json!(NAMES[usize::try_from(human % 6).unwrap()]);
            events.push(one);
        }
    }
    shuffled(events, dice)
}

fn shuffled(mut events: Vec<Value>, dice: &mut Dice) -> Vec<Value> {
    for place in (1..events.len()).rev() {
        events.swap(place, usize::try_from(dice.below(u64::try_from(place + 1).unwrap())).unwrap());
    }
    events
}

/// Posts everything twice, so many at a time, to so many processes on one database; the chats of each person, and what a
/// rehearsal of the very same rules says of it.
async fn prepared(
    account: Account,
    events: &[Value],
    at_once: usize,
    processes: usize,
) -> Option<(BTreeSet<BTreeSet<String>>, PeopleRehearsal)> {
    let mut rig = Rig::start_on(account, Faults::default(), "mode: paused").await?;
    let mut others = Vec::new();
    for _ in 1..processes {
        others.push(rig.another().await);
    }
    let twice: Vec<Value> = events.iter().flat_map(|event| [event.clone(), event.clone()]).collect();
    rig.post_all(&twice, at_once).await;
    let store = rig.app().store.clone();
    until("every event is a lead", async || {
        let leads = store.evidence(0, i64::MAX, 100_000).await.unwrap().len();
        rig.counts().await.received == 0 && leads == events.len()
    })
    .await;
    let mut chats: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for lead in store.evidence(0, i64::MAX, 100_000).await.unwrap() {
        let of = chats.entry(lead.person.to_string()).or_default();
        let chat = lead.identifiers.iter().filter(|identifier| identifier.kind == IdentifierKind::Chat);
        of.extend(chat.map(|chat| format!("{} {}", chat.scope, chat.keys[0])));
    }
    let rules = IdentityRules::default();
    let rehearsal = rehearse_people(&store, &rules, &rules, 10, &mut |_| ()).await.unwrap();
    // Nobody takes what is paused, so the registry keeps it: the rig's own end would wait for it.
    for app in others {
        app.stop().await;
    }
    rig.shut_down().await;
    if let Some(postgres) = rig.postgres.take() {
        postgres.remove().await;
    }
    std::fs::remove_dir_all(&rig.folder).unwrap();
    Some((chats.into_values().collect(), rehearsal))
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_threads_nor_processes_nor_redeliveries_change_who_is_who() {
    let events = own_things(24, &mut Dice::new(7));
    let (expect, alone) = prepared(Account::Sandbox, &events, 1, 1).await.unwrap();
    assert_eq!((alone.elsewhere, alone.changed), (0, 0), "{alone:?}");
    for (account, at_once, processes) in
        [(Account::Sandbox, 64, 1), (Account::SandboxOnPostgres, 64, 1), (Account::SandboxOnPostgres, 64, 3)]
    {
        let Some((people, rehearsal)) = prepared(account, &events, at_once, processes).await else { return };
        assert_eq!(people, expect, "{account:?}, {at_once} at once, {processes} processes");
        assert_eq!(rehearsal.elsewhere, 0, "{rehearsal:?}");
    }
}

/// Where order matters, the recorded order of the leads decides and nothing else does: told again in that order, every lead
/// is whose it was made.
#[tokio::test(flavor = "multi_thread")]
async fn the_recorded_order_alone_decides_where_families_share_a_phone() {
    let events = families(24, &mut Dice::new(8));
    for (account, at_once, processes) in
        [(Account::Sandbox, 64, 1), (Account::SandboxOnPostgres, 1, 1), (Account::SandboxOnPostgres, 64, 3)]
    {
        let Some((_, rehearsal)) = prepared(account, &events, at_once, processes).await else { return };
        assert_eq!((rehearsal.leads, rehearsal.elsewhere), (events.len(), 0), "{account:?}: {rehearsal:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn strict_rules_would_split_a_family_and_the_rehearsal_says_why() {
    let mut rig = Rig::start(Faults::default(), "mode: paused").await;
    for (turn, name) in ["Anna", "Borys", "Daria"].into_iter().enumerate() {
        let at = now_millis() + i64::try_from(turn).unwrap();
        let mut one = event(&format!("chat{turn}"), "telegram", json!({ "phone": "0671234567" }), at);
        one[0]["contact"]["name"] = json!(name);
        assert_eq!(rig.post(&one).await, 200);
        let store = &rig.app().store;
        until("it is a lead", async || store.last_sequence().await.unwrap() > i64::try_from(turn).unwrap())
            .await;
    }
    let strict = IdentityRules { shared_from: IdentityRules::STRICT, ..IdentityRules::default() };
    let (store, rules) = (rig.app().store.clone(), IdentityRules::default());
    let rehearsal = rehearse_people(&store, &rules, &strict, 10, &mut |_| ()).await.unwrap();
    let numbers = (rehearsal.before, rehearsal.after, rehearsal.split, rehearsal.joined, rehearsal.moved);
    assert_eq!(numbers, (1, 2, 1, 0, 1), "{rehearsal:?}");
    let [group] = &*rehearsal.groups else { panic!("{rehearsal:?}") };
    let why = &group.because[0];
    assert!(why.before[0].contains("as it was typed"), "{why:?}");
    assert!(why.after[1].contains("clearly different people gave it"), "{why:?}");
    // And the other way round it would join them.
    let back = rehearse_people(&store, &strict, &rules, 10, &mut |_| ()).await.unwrap();
    assert_eq!((back.split, back.joined, back.moved), (0, 2, 1), "{back:?}");
    rig.shut_down().await;
    std::fs::remove_dir_all(&rig.folder).unwrap();
}
