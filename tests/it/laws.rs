//! What holds for any events in any order, tried on the registry itself.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use leadfold::clock::{Clock, ManualClock, SystemClock};
use leadfold::decide::{Decision, PersonView, Situation, decide};
use leadfold::event::{Delivery, PRESETS};
use leadfold::id::{DeliveryId, StepId};
use leadfold::map::Workspace;
use leadfold::pipeline::{Interpreted, interpret};
use leadfold::plan::{FoundContact, FoundDeal, RecordId};
use leadfold::prepare::prepare;
use leadfold::store::Store;
use leadfold::store::inbox::Arrival;
use leadfold::store::registry::Counts;
use leadfold::workspace::{Environment, compile_with, read_files};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// The mapping that ships with leadfold.
pub(crate) fn shipped() -> &'static Workspace {
    static SHIPPED: OnceLock<Workspace> = OnceLock::new();
    SHIPPED.get_or_init(|| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("mappings");
        let environment: Environment = Arc::new(|_| None);
        compile_with(&read_files(&folder).unwrap(), &environment).workspace
    })
}

pub(crate) fn noon() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

/// Any JSON; keys and texts that mappings know come up often.
fn any_json() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "\\PC{0,12}",
        "[+0-9() -]{0,16}",
        Just("incoming_message".to_owned()),
        Just("телефон 067 123 45 67 доб. 5".to_owned()),
        Just("a@b.example".to_owned()),
        Just("{{ contact }}".to_owned()),
        Just("\0".to_owned()),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    let key = prop_oneof![
        "[a-zа-я.]{0,6}",
        prop::sample::select(vec![
            "contact",
            "variables",
            "bot",
            "id",
            "name",
            "phone",
            "email",
            "service",
            "title",
            "date",
            "city",
            "info",
            "message",
            "tags",
            "username",
        ])
        .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(4, 48, 6, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((key.clone(), inner), 0..6).prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

/// An event of the platform's shape with anything in its places.
fn any_event() -> impl Strategy<Value = Value> {
    let places = prop::sample::select(vec![
        "/service",
        "/title",
        "/bot",
        "/bot/id",
        "/bot/name",
        "/contact",
        "/contact/id",
        "/contact/name",
        "/contact/username",
        "/contact/phone",
        "/contact/email",
        "/contact/variables",
        "/contact/variables/phone",
        "/contact/variables/email",
        "/contact/variables/name",
        "/contact/variables/city",
        "/info",
        "/date",
    ]);
    vec((places, any_json()), 0..5).prop_map(|changes| {
        let mut event = message(1, "telegram", Some(1), Some(1), 7);
        for (place, value) in changes {
            if let Some(target) = event.pointer_mut(place) {
                *target = value;
            }
        }
        event
    })
}

pub(crate) fn message(chat: u8, service: &str, phone: Option<u8>, email: Option<u8>, date: usize) -> Value {
    let mut variables = Map::new();
    variables.insert("name".into(), json!("Олена"));
    variables.insert("city".into(), json!("Київ"));
    if let Some(phone) = phone {
        variables.insert("phone".into(), json!(format!("06711{:05}", 20_000 + u32::from(phone) * 17)));
    }
    if let Some(email) = email {
        variables.insert("email".into(), json!(format!("person{email}@example.org")));
    }
    json!({
        "service": service,
        "title": "incoming_message",
        "bot": { "id": format!("bot-{service}"), "name": "Polynia Shop" },
        "contact": {
            "id": format!("chat-{chat}"), "name": "Олена", "username": null, "phone": null, "email": null,
            "variables": variables
        },
        "info": null,
        "date": date
    })
}

pub(crate) fn delivery(id: Uuid, body: &Value) -> Delivery {
    Delivery {
        id: DeliveryId(id),
        source: "sendpulse".to_owned(),
        method: "POST".to_owned(),
        query: Some("a.b=1&a.c=%00&phone=0671234567".to_owned()),
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: body.to_string().into_bytes(),
        received_at: noon(),
    }
}

/// A contact as the CRM may have it, with or without an open deal.
fn contact(open: bool) -> FoundContact {
    let deal = FoundDeal {
        id: RecordId("d".into()),
        title: None,
        pipeline: None,
        stage: None,
        owner: None,
        created_at: None,
        fields: BTreeMap::new(),
    };
    FoundContact {
        id: RecordId("c".into()),
        owner: None,
        created_at: None,
        name: None,
        phones: Vec::new(),
        emails: Vec::new(),
        fields: BTreeMap::new(),
        deals: if open { vec![deal] } else { Vec::new() },
    }
}

/// Through split, interpret and decide. Returns how many leads there were.
fn all_the_way(body: &Value) -> usize {
    let workspace = shipped();
    let mapping = workspace.sources["sendpulse"].mapping.as_ref().unwrap();
    let clock = ManualClock::new(noon());
    let mut leads = 0;
    for preset in PRESETS {
        let Ok(events) = (preset.split)(&delivery(clock.new_id(), body)) else { continue };
        for event in &events {
            let Interpreted::Lead(lead, branch) = interpret(mapping, event, noon()) else { continue };
            leads += 1;
            for found in [vec![], vec![contact(false)], vec![contact(true)]] {
                let rules = workspace.rules("sendpulse", branch).unwrap();
                let person = PersonView::default();
                let situation = Situation {
                    found: &found,
                    ..Situation::new(&lead, rules, &workspace.identity.order, &person, noon())
                };
                let decision = decide(&situation, &mut || StepId(clock.new_id()));
                if let Decision::Push { plan, .. } = decision {
                    assert!(!plan.reasons.is_empty(), "a plan says why");
                }
            }
        }
    }
    leads
}

#[test]
fn an_ordinary_event_makes_a_lead() {
    // As what it is, and by the presets that take any list of JSON; the others read forms, or lists of something else.
    assert!(all_the_way(&message(1, "telegram", Some(1), None, 1)) >= 4);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_json_makes_it_panic(body in any_json()) {
        all_the_way(&body);
    }

    #[test]
    fn nothing_in_an_event_makes_it_panic(events in vec(any_event(), 1..3)) {
        all_the_way(&Value::Array(events));
    }
}

/// A registry of its own.
pub(crate) struct Registry {
    store: Store,
    clock: Arc<ManualClock>,
    folder: std::path::PathBuf,
}

impl Registry {
    pub(crate) async fn new() -> Self {
        let clock = Arc::new(ManualClock::new(noon()));
        let folder = std::env::temp_dir().join(format!("leadfold-laws-{}", SystemClock.new_id()));
        let url = format!("sqlite://{}", folder.join("leadfold.db").display());
        let store = Store::open(&url, Arc::clone(&clock) as Arc<dyn Clock>).await.unwrap();
        Self { store, clock, folder }
    }

    pub(crate) async fn end(self) {
        self.store.close().await;
        std::fs::remove_dir_all(&self.folder).unwrap();
    }

    /// Keeps these in order and prepares them so many at a time.
    pub(crate) async fn take_in(&self, bodies: &[Value], batch: usize) {
        for body in bodies {
            let delivery = delivery(self.clock.new_id(), body);
            let arrival = Arrival { delivery, waiting: None, unverified_token: None };
            self.store.inbox().keep(arrival).await.unwrap();
        }
        loop {
            let received = self.store.received(batch).await.unwrap();
            if received.is_empty() {
                return;
            }
            let prepared: Vec<_> =
                received.iter().map(|received| prepare(received, shipped(), &*self.clock)).collect();
            let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
            self.store.prepare(prepared, shipped().identity.clone(), clock).await.unwrap();
        }
    }

    /// Whose the leads are, by the `date` of their event: equal numbers mean one person.
    pub(crate) async fn people(&self, bodies: &[Value]) -> BTreeMap<i64, usize> {
        let mut rows = self.store.leads(None, 1_000).await.unwrap();
        rows.reverse();
        assert_eq!(rows.len(), bodies.len(), "each event makes one lead");
        let dates = bodies.iter().map(|body| body["date"].as_i64().unwrap());
        dates.zip(canonical(rows.into_iter().map(|row| row.person.unwrap()))).collect()
    }
}

/// The same partition has the same numbers, whatever its parts are called.
pub(crate) fn canonical<T: Eq + std::hash::Hash>(parts: impl Iterator<Item = T>) -> Vec<usize> {
    let mut numbers = HashMap::new();
    parts
        .map(|part| {
            let next = numbers.len();
            *numbers.entry(part).or_insert(next)
        })
        .collect()
}

/// Partition of things by name, comparable whatever order its numbers were given in.
fn partition(people: &BTreeMap<i64, usize>) -> Vec<usize> {
    canonical(people.values())
}

fn run<F: Future>(test: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}

fn messages() -> impl Strategy<Value = Vec<Value>> {
    let service = prop::sample::select(vec!["telegram", "instagram"]);
    let one = (0_u8..4, service, option::of(0_u8..3), option::of(0_u8..3));
    vec(one, 1..14).prop_map(|all| {
        let numbered = all.into_iter().enumerate();
        numbered.map(|(at, (chat, service, phone, email))| message(chat, service, phone, email, at)).collect()
    })
}

/// Events of people who each have one phone and chats of their own.
fn peaceful_messages() -> impl Strategy<Value = Vec<Value>> {
    vec((0_u8..3, 0_u8..3, any::<bool>()), 1..12).prop_map(|all| {
        let numbered = all.into_iter().enumerate();
        numbered
            .map(|(at, (human, chat, tells))| {
                message(human * 3 + chat, "telegram", tells.then_some(human), None, at)
            })
            .collect()
    })
}

/// What a redelivery must leave as it is.
fn essence(counts: Counts) -> Counts {
    Counts { deliveries: 0, redeliveries: 0, ..counts }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn redelivering_any_prefix_changes_nothing(
        bodies in messages(),
        prefix in any::<prop::sample::Index>(),
        batch in 1_usize..9,
    ) {
        run(async {
            let registry = Registry::new().await;
            registry.take_in(&bodies, batch).await;
            let (counts, people) = (registry.store.counts().await.unwrap(), registry.people(&bodies).await);
            let again = &bodies[..=prefix.index(bodies.len())];
            registry.take_in(again, batch).await;
            registry.clock.advance(jiff::SignedDuration::from_mins(5));
            registry.take_in(again, 64).await;
            let after = registry.store.counts().await.unwrap();
            // No new lead and no new sync, so nothing that a CRM could be told either.
            prop_assert_eq!(essence(after), essence(counts));
            prop_assert_eq!(after.redeliveries, counts.redeliveries + 2 * i64::try_from(again.len()).unwrap());
            prop_assert_eq!(registry.people(&bodies).await, people);
            registry.end().await;
            Ok(())
        })?;
    }

    #[test]
    fn batches_of_any_size_make_the_same_people(bodies in messages()) {
        run(async {
            let (small, large) = (Registry::new().await, Registry::new().await);
            small.take_in(&bodies, 1).await;
            large.take_in(&bodies, 64).await;
            prop_assert_eq!(small.people(&bodies).await, large.people(&bodies).await);
            small.end().await;
            large.end().await;
            Ok(())
        })?;
    }

    #[test]
    fn without_conflicts_the_order_does_not_matter(
        (forward, shuffled) in peaceful_messages()
            .prop_flat_map(|bodies| (Just(bodies.clone()), Just(bodies).prop_shuffle()))
    ) {
        run(async {
            let (first, second) = (Registry::new().await, Registry::new().await);
            first.take_in(&forward, 3).await;
            second.take_in(&shuffled, 3).await;
            let (one, other) = (first.people(&forward).await, second.people(&shuffled).await);
            prop_assert_eq!(partition(&one), partition(&other));
            first.end().await;
            second.end().await;
            Ok(())
        })?;
    }
}
