//! Situations made at random from few values, so that they often collide.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn maybe(words: &'static [&'static str]) -> impl Strategy<Value = Option<String>> {
    option::of(prop::sample::select(words).prop_map(str::to_owned))
}

fn value() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![
        json!(null),
        json!(""),
        json!(" "),
        json!("a"),
        json!("b"),
        json!("a, b"),
        json!("5"),
        json!(5),
        json!(5.50),
        json!(true),
        json!([]),
        json!(["a"]),
        json!(["b", "", "c"]),
        json!([["a"], null]),
        json!({}),
        json!({"id": "a"}),
    ])
}

fn fields() -> impl Strategy<Value = Fields> {
    btree_map(prop::sample::select(vec!["city", "chat", "tags"]).prop_map(str::to_owned), value(), 0..3)
}

const PHONES: &[&str] = &["+380671234567", "+48601234567", "+551112345678"];
const SPELLINGS: &[&str] =
    &["+380 67 123 45 67", "0671234567", "601-234-567", "+5511912345678", "no phone", " "];
const EMAILS: &[&str] = &["o@example.com", "O@Example.com", "p@example.com"];

fn a_phone() -> impl Strategy<Value = Phone> {
    prop::sample::select(PHONES).prop_map(|e164| {
        let mut phone = phone(e164);
        if e164 == "+551112345678" {
            phone.match_keys.push("+5511912345678".to_owned());
        }
        phone
    })
}

fn lead() -> impl Strategy<Value = Lead> {
    let contact = (
        maybe(&["Olena", " ", "Ivan"]),
        vec(a_phone(), 0..3),
        vec(prop::sample::select(SPELLINGS).prop_map(str::to_owned), 0..2),
        vec(prop::sample::select(EMAILS).prop_map(email), 0..3),
        fields(),
    );
    let deal = (maybe(&["Order", ""]), maybe(&["Main", "Retail"]), maybe(&["New", "Talks", " "]), fields());
    let rest = (maybe(&["call me", " "]), any::<bool>(), any::<bool>());
    (contact, deal, rest).prop_map(|(contact, deal, (note, chat, flaw))| {
        let mut lead = bare_lead();
        (
            lead.contact.name,
            lead.contact.phones,
            lead.contact.raw_phones,
            lead.contact.emails,
            lead.contact.fields,
        ) = contact;
        (lead.deal.title, lead.deal.pipeline, lead.deal.stage, lead.deal.fields) = deal;
        lead.note = note;
        lead.chat = chat.then(|| Chat {
            channel: "viber".to_owned(),
            bot: "b".to_owned(),
            bot_name: None,
            id: "7".to_owned(),
            link: None,
        });
        if flaw {
            let [field, raw, code, text] = ["phone", "1", "too_short", "too short"].map(str::to_owned);
            lead.flaws.push(Flaw { field, raw, code, text });
        }
        lead
    })
}

fn age() -> impl Strategy<Value = Option<Timestamp>> {
    option::of((-2_i64..5).prop_map(|days| now() - SignedDuration::from_hours(24 * days)))
}

fn found_deal() -> impl Strategy<Value = FoundDeal> {
    let places = (maybe(&["Main", "Closed"]), maybe(&["New", "Won"]));
    (maybe(&["Order", " "]), places, maybe(&["petro", ""]), age(), fields()).prop_map(
        |(title, (pipeline, stage), owner, created_at, fields)| FoundDeal {
            id: RecordId(String::new()),
            title,
            pipeline,
            stage,
            owner,
            created_at,
            fields,
        },
    )
}

fn found() -> impl Strategy<Value = Vec<FoundContact>> {
    let contact = (
        (maybe(&["maria", ""]), age(), maybe(&["Olena", ""])),
        vec(prop::sample::select(SPELLINGS).prop_map(str::to_owned), 0..3),
        vec(prop::sample::select(EMAILS).prop_map(str::to_owned), 0..2),
        fields(),
        vec(found_deal(), 0..3),
    );
    vec(contact, 0..4).prop_map(|contacts| {
        let contacts = contacts.into_iter().enumerate();
        let numbered =
            contacts.map(|(number, ((owner, created_at, name), phones, emails, fields, mut deals))| {
                for (count, deal) in deals.iter_mut().enumerate() {
                    deal.id = RecordId(format!("d{number}{count}"));
                }
                let id = RecordId(number.to_string());
                FoundContact { id, owner, created_at, name, phones, emails, fields, deals }
            });
        numbered.collect()
    })
}

fn rules() -> impl Strategy<Value = Rules> {
    let policy = prop::sample::select(vec![
        FieldPolicy::Always,
        FieldPolicy::IfEmpty,
        FieldPolicy::Append,
        FieldPolicy::Newest,
        FieldPolicy::Never,
    ]);
    let names = vec!["name", "phone", "email", "title", "pipeline", "stage", "city", "chat"];
    let policies = btree_map(prop::sample::select(names).prop_map(str::to_owned), policy, 0..4);
    let update = prop::sample::select(vec![Update::None, Update::OnlyEmpty, Update::All]);
    let tasks = prop::sample::select(vec![
        TaskOnRepeat::Always,
        TaskOnRepeat::Never,
        TaskOnRepeat::Collapse(Duration::from_hours(24)),
    ]);
    let needs = vec(prop::sample::select(vec![Need::Phone, Need::Email, Need::Name, Need::Chat]), 0..3);
    let names = |words| vec(prop::sample::select(words).prop_map(str::to_owned), 0..2);
    let open_deal =
        (names(vec!["Main", "Retail"]), names(vec!["New"]), option::of(Just(Duration::from_hours(48))))
            .prop_map(|(pipelines, stages, max_age)| OpenDeal { pipelines, stages, max_age });
    (prop::bool::weighted(0.2), prop::bool::weighted(0.2), tasks, update, policies, needs, open_deal)
        .prop_map(|(never, review, task_on_repeat, update, update_fields, needs, open_deal)| Rules {
            create_deal: if never { CreateDeal::Never } else { CreateDeal::WhenNoneOpen },
            task_on_repeat,
            update,
            update_fields,
            needs,
            open_deal,
            conflict: if review { Conflict::Review } else { Conflict::PreferFirst },
        })
}

fn pool() -> impl Strategy<Value = Option<(OwnerPool, PoolState)>> {
    // There, away, off in the night shift, or with one deal today and no more.
    let owners = prop::array::uniform2(0..4_u8);
    let outside =
        prop::sample::select(vec![OutsideHours::Wait, OutsideHours::Fallback, OutsideHours::Anyone]);
    let pool = (owners, any::<bool>(), btree_map("anna|boris|gone", any::<i64>(), 0..3), outside);
    option::of(pool.prop_map(|(kinds, fallback, owed, outside_hours)| {
        let mut pool = sales();
        let night = vec![Hours { from: 22 * 60, to: 30 * 60 }];
        for (owner, kind) in pool.owners.iter_mut().zip(kinds) {
            match kind {
                1 => owner.away = vec![Days::ALL],
                2 => owner.hours = Some(WeeklyHours(std::array::from_fn(|_| night.clone()))),
                3 => owner.daily_cap = Some(1),
                _ => {}
            }
        }
        pool.fallback = fallback.then(|| "chief".to_owned());
        pool.outside_hours = outside_hours;
        let today = BTreeMap::from([("anna".to_owned(), 1)]);
        (pool, PoolState { owed, day: Some(jiff::civil::date(2026, 5, 4)), today, ..PoolState::default() })
    }))
}

pub(super) fn case() -> impl Strategy<Value = Case> {
    let person = (
        vec(prop::sample::select(PHONES).prop_map(str::to_owned), 0..3),
        vec(prop::sample::select(EMAILS).prop_map(str::to_owned), 0..2),
        vec(lead(), 0..3),
    )
        .prop_map(|(phones, emails, earlier)| PersonView { phones, emails, earlier });
    let inactive = prop::sample::subsequence(vec!["anna", "maria", "petro", "chief"], 0..3)
        .prop_map(|users| InactiveUsers::new(users.into_iter().map(str::to_owned)));
    let pool = (pool(), maybe(&["anna", "gone"]), inactive);
    let memory = (option::of(0..4_u8), any::<bool>(), pool, age(), any::<bool>());
    let brought = vec(prop::sample::select(vec!["A note.", "Another."]).prop_map(str::to_owned), 0..2)
        .prop_map(|notes| Brought { notes });
    let replay = (option::weighted(0.2, brought), prop::bool::weighted(0.1));
    let often = || prop::bool::weighted(0.8);
    let can = (often(), often(), often(), often());
    let given = (lead(), rules(), person, found(), memory, replay, can);
    given.prop_map(|(lead, rules, person, found, memory, (brought, forced), can)| {
        let (linked, conflict, (pool, sticky_owner, inactive), last_task_at, superseded) = memory;
        Case {
            lead,
            rules,
            order: IdentifierOrder::default(),
            person,
            found,
            linked: linked.map(|id| RecordId(id.to_string())),
            twins: vec![],
            conflicts: if conflict { vec![Reason::new("c", "A disagreement.")] } else { vec![] },
            pool,
            inactive,
            now: now(),
            sticky_owner,
            last_task_at,
            superseded,
            brought,
            forced,
            can: Capabilities { deals: can.0, tasks: can.1, notes: can.2, lists: can.3, ..ALL },
        }
    })
}
