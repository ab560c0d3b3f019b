//! Who is who, through the registry: the cases of the traps, on both databases, and the same people as in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use IdentifierKind::{Chat, CrmId, Email, ExternalCustomer, Phone};
use jiff::SignedDuration;
use leadfold::clock::Clock;
use leadfold::id::{EventId, LeadId, PersonId, SyncId};
use leadfold::lead::{ContactPart, DealPart, Fields, Identifier, IdentifierKind, Lead, Proof};
use leadfold::plan::{Action, DealFields, RecordId, Reference};
use leadfold::resolve::{Known, Language, Told, Who, resolve};
use leadfold::rules::IdentityRules;
use leadfold::store::Store;
use leadfold::store::prepare::{EventOutcome, Prepared, PreparedDelivery, PreparedEvent};

use crate::laws::canonical;
use crate::many::{LEFT_BEHIND, on_both};
use crate::postgres::Database;
use crate::rig::PATIENCE;
use crate::store::{Story, run};

/// What somebody gave: a name and identifiers.
#[derive(Clone, Default)]
struct Given {
    name: &'static str,
    identifiers: Vec<Identifier>,
}

fn given(name: &'static str) -> Given {
    Given { name, identifiers: Vec::new() }
}

impl Given {
    fn with(mut self, kind: IdentifierKind, scope: &str, value: &str, proof: Proof) -> Self {
        let (scope, keys) = (scope.to_owned(), vec![value.to_owned()]);
        self.identifiers.push(Identifier { kind, scope, keys, proof });
        self
    }

    fn phone(self, value: &str) -> Self {
        self.with(Phone, "", value, Proof::Claimed)
    }

    fn proven_phone(self, value: &str) -> Self {
        self.with(Phone, "", value, Proof::Proven)
    }

    fn email(self, value: &str) -> Self {
        self.with(Email, "", value, Proof::Claimed)
    }

    fn chat(self, value: &str) -> Self {
        self.with(Chat, "telegram:bot", value, Proof::Claimed)
    }

    fn customer(self, value: &str) -> Self {
        self.with(ExternalCustomer, "shop", value, Proof::Claimed)
    }

    fn lead(&self) -> Lead {
        let name = Some(self.name.to_owned()).filter(|name| !name.is_empty());
        Lead {
            source: "shop".to_owned(),
            branch: "all".to_owned(),
            to: vec!["crm".to_owned()],
            contact: ContactPart { name, ..ContactPart::default() },
            deal: DealPart::default(),
            task: None,
            note: None,
            owners: None,
            identifiers: self.identifiers.clone(),
            links: Vec::new(),
            chat: None,
            chat_scope: None,
            chat_active: false,
            person_fields: Fields::new(),
            adds_token: false,
            flaws: Vec::new(),
            postback: None,
            afterwards: Vec::new(),
            given: None,
        }
    }
}

/// Each as a delivery of its own, a second apart, so many in a transaction; their leads.
async fn see(story: &Story, registry: &Store, all: &[Given], together: usize) -> Vec<LeadId> {
    let mut leads = Vec::new();
    for batch in all.chunks(together) {
        let mut prepared = Vec::new();
        for given in batch {
            story.clock.advance(SignedDuration::from_secs(1));
            let arrival = story.arrival("shop", None);
            let lead_id = LeadId(story.clock.new_id());
            leads.push(lead_id);
            let event = PreparedEvent {
                id: EventId(story.clock.new_id()),
                lead_id,
                fresh_person: PersonId(story.clock.new_id()),
                source: "shop".to_owned(),
                key: lead_id.to_string(),
                key_until: story.now() + SignedDuration::from_mins(10),
                received_at: story.now(),
                version: "v1".to_owned(),
                chat: None,
                holder: None,
                outcome: EventOutcome::Lead {
                    lead: Box::new(given.lead()),
                    branch: 0,
                    syncs: vec![(SyncId(story.clock.new_id()), "crm".to_owned())],
                    to_come: None,
                },
            };
            prepared
                .push(PreparedDelivery { id: arrival.delivery.id, result: Prepared::Events(vec![event]) });
            registry.inbox().keep(arrival).await.unwrap();
        }
        let clock = Arc::clone(&story.clock) as Arc<dyn Clock>;
        registry.prepare(prepared, IdentityRules::default(), clock).await.unwrap();
    }
    leads
}

async fn told(story: &Story, lead: LeadId) -> Told {
    story.store.lead(lead).await.unwrap().unwrap().decision.unwrap()
}

/// Sees these and says which are one human's, by numbers in the order of their first leads.
async fn people(story: &Story, all: &[Given], together: usize) -> Vec<usize> {
    let leads = see(story, &story.store, all, together).await;
    let mut persons = Vec::new();
    for lead in leads {
        persons.push(story.person(lead).await);
    }
    canonical(persons.into_iter())
}

/// In transactions of one and of all, on both databases.
async fn check(of: &str, all: &[Given], expect: &[usize]) {
    on_both(async |story| {
        assert_eq!(people(story, all, 1).await, expect, "{of}, one by one");
        assert_eq!(run(&story.url, LEFT_BEHIND).await, [0], "{of}");
    })
    .await;
    on_both(async |story| assert_eq!(people(story, all, 64).await, expect, "{of}, all at once")).await;
}

const NAMES: [&str; 10] =
    ["Anna", "Borys", "Daria", "Ihor", "Ruslan", "Olena", "Petro", "Nadia", "Maksym", "Zoriana"];

#[tokio::test]
async fn the_phone_of_a_reception_joins_whose_name_agrees() {
    let mut all: Vec<Given> = NAMES.iter().map(|name| given(name).phone("+380440000001")).collect();
    // Known to be shared since the fourth name: who comes later is somebody of their own, and is known again by name.
    all.extend(["Ruslan", "Русик", "Zoriana"].map(|name| given(name).phone("+380440000001")));
    check("reception", &all, &[0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 1, 1, 6]).await;
}

#[tokio::test]
async fn a_family_on_one_phone_is_told_apart_by_customer_ids() {
    let all = [
        given("Anna").phone("+380671110001").customer("A-17"),
        given("Ihor").phone("+380671110001").customer("A-44"),
        given("").customer("A-44"),
        given("Anna").phone("+380671110001"),
    ];
    check("family", &all, &[0, 1, 1, 0]).await;
    on_both(async |story| {
        let leads = see(story, &story.store, &all, 64).await;
        let why_not = told(story, leads[1]).await.why_not;
        assert_eq!(why_not[0].code, "other_customer");
        assert!(
            why_not[0].text.contains("Anna") && !why_not[0].text.contains("+380671110001"),
            "{why_not:?}"
        );
        let possible = "SELECT COUNT(*) FROM possible_duplicates";
        assert_eq!(run(&story.url, possible).await, [1], "a person looks at them");
        let ukrainian = story.store.lead_in(leads[1], Language::Ukrainian).await.unwrap().unwrap();
        assert!(ukrainian.decision.unwrap().why_not[0].text.starts_with("Не об'єднано з людиною Anna"));
    })
    .await;
}

#[tokio::test]
async fn a_number_that_was_given_out_again_is_somebody_elses() {
    on_both(async |story| {
        let (old, new) =
            ([given("Anna").phone("+380671110002").chat("a")], given("Ihor").phone("+380671110002"));
        let anna = see(story, &story.store, &old, 1).await[0];
        story.clock.advance(SignedDuration::from_hours(24 * 578));
        let leads = see(
            story,
            &story.store,
            &[new.clone(), new, given("").phone("+380671110002"), given("").chat("a")],
            1,
        )
        .await;
        assert_eq!(told(story, leads[0]).await.why_not[0].code, "forgotten");
        let ihor = story.person(leads[0]).await;
        assert_ne!(ihor, story.person(anna).await);
        assert_eq!((story.person(leads[1]).await, story.person(leads[2]).await), (ihor, ihor));
        assert_eq!(story.person(leads[3]).await, story.person(anna).await, "she keeps what is still hers");
    })
    .await;
}

/// What was seen is remembered as of the event; the lock of a key must not make it look as if it had just come.
#[tokio::test]
async fn looking_at_a_number_does_not_keep_it_alive() {
    on_both(async |story| {
        let phone = || given("Anna").phone("+380671110003");
        see(story, &story.store, &[phone()], 1).await;
        // Somebody of another name comes along with it again and again, recognised by their chat.
        let first = see(story, &story.store, &[given("Ihor").chat("i").customer("I-1")], 1).await[0];
        story.clock.advance(SignedDuration::from_hours(24 * 600));
        let later = given("Ihor").chat("i").phone("+380671110003");
        let later = see(story, &story.store, &[later, given("").phone("+380671110003")], 1).await;
        let ihor = story.person(first).await;
        assert_eq!((story.person(later[0]).await, story.person(later[1]).await), (ihor, ihor));
    })
    .await;
}

#[tokio::test]
async fn two_people_who_are_proven_to_be_one_become_one() {
    let all = [
        given("Olha").proven_phone("+380671110004").email("o@example.org"),
        given("Оля").chat("o").email("olha@example.org"),
        given("").chat("o").proven_phone("+380671110004"),
        given("").email("olha@example.org"),
        given("").email("o@example.org"),
    ];
    check("proven", &all, &[0, 0, 0, 0, 0]).await;
    on_both(async |story| {
        let leads = see(story, &story.store, &all, 1).await;
        let why = told(story, leads[2]).await.why;
        assert_eq!(
            why.iter().map(|sentence| sentence.code.as_str()).collect::<Vec<_>>(),
            ["by_chat", "merged_proven_both"]
        );
        let first = "SELECT COUNT(*) FROM merges WHERE reason LIKE '%merged_proven_both%'";
        assert_eq!(run(&story.url, first).await, [1]);
        assert_eq!(run(&story.url, "SELECT merges FROM persons WHERE merged_into IS NULL").await, [1]);
    })
    .await;
}

#[tokio::test]
async fn two_people_who_disagree_stay_two_and_the_lead_lands_on_one() {
    let all = [
        given("Anna").phone("+380671110005").email("a@example.org"),
        given("Borys").phone("+380671110006").email("b@example.org"),
        given("").phone("+380671110005").email("b@example.org"),
        given("Борис").phone("+380671110005").email("b@example.org"),
        given("").email("b@example.org"),
    ];
    check("disagree", &all, &[0, 1, 0, 1, 1]).await;
}

#[tokio::test]
async fn a_forged_start_parameter_takes_over_nobody() {
    let hint = |chat: &str, id: &str| {
        given("").chat(chat).with(ExternalCustomer, "shop", id, Proof::Hinted).with(
            CrmId,
            "crm",
            id,
            Proof::Hinted,
        )
    };
    let mut all = vec![
        given("Anna").customer("1").phone("+380671110007").chat("anna"),
        given("Borys").customer("2").phone("+380671110008").chat("borys"),
    ];
    // A stranger counts through the ids.
    all.extend((1..=9).map(|id| hint("stranger", &id.to_string())));
    all.extend([given("").customer("1"), given("").chat("stranger")]);
    let expect = [&[0, 1][..], &[2; 9], &[0, 2]].concat();
    check("forged", &all, &expect).await;
    on_both(async |story| {
        see(story, &story.store, &all, 1).await;
        let possible = run(&story.url, "SELECT COUNT(*) FROM possible_duplicates").await;
        assert_eq!(possible, [0], "whoever writes links must not write a list for people either");
    })
    .await;
}

#[tokio::test]
async fn somebody_who_grew_too_large_takes_in_nobody() {
    let phone = |number: usize| format!("+38067222000{number}");
    let mut all: Vec<Given> = (0..8).map(|number| given("").chat("c").phone(&phone(number))).collect();
    all.extend([given("").phone(&phone(1)), given("").chat("c").email("c@example.org"), given("").chat("c")]);
    check("too large", &all, &[0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0]).await;
}

#[tokio::test]
async fn a_reception_of_before_costs_no_more_than_its_limits_and_takes_in_nobody() {
    on_both(async |story| {
        let first = see(story, &story.store, &[given("").phone("+380440000002")], 1).await[0];
        let person = story.person(first).await;
        // An earlier leadfold joined whoever gave the phone.
        let chats: Vec<String> = (0..3_000)
            .map(|chat| format!("('chat', 'telegram:bot', 'old-{chat}', '{person}', NULL, 'claimed', 0, 0)"))
            .collect();
        for piece in chats.chunks(500) {
            let into =
                "INSERT INTO identifiers (kind, scope, value, person, shown, proof, first_seen, seen) VALUES";
            run(&story.url, &format!("{into} {}", piece.join(","))).await;
        }
        let leads = see(
            story,
            &story.store,
            &[given("").chat("old-2999"), given("").chat("n").phone("+380440000002")],
            1,
        )
        .await;
        assert_eq!(story.person(leads[0]).await, person, "a chat is theirs whose it is");
        assert_ne!(story.person(leads[1]).await, person);
        assert_eq!(told(story, leads[1]).await.why_not[0].code, "too_large");
    })
    .await;
}

#[tokio::test]
async fn who_was_said_to_differ_stays_apart_also_when_one_of_them_becomes_another() {
    on_both(async |story| {
        let all = [
            given("").proven_phone("+380671110009"),
            given("").chat("x").email("x@example.org"),
            given("").chat("y"),
        ];
        let leads = see(story, &story.store, &all, 1).await;
        let (one, other) = (story.person(leads[0]).await, story.person(leads[1]).await);
        let (first, second) = if one < other { (one, other) } else { (other, one) };
        run(&story.url, &format!("INSERT INTO apart (one, other, since) VALUES ('{first}', '{second}', 0)"))
            .await;
        // The anonymous chat becomes one with the first, and the second stays apart from both.
        let more = [
            given("").chat("y").proven_phone("+380671110009"),
            given("").chat("x").chat("y").proven_phone("+380671110009"),
        ];
        let more = see(story, &story.store, &more, 1).await;
        assert_eq!(story.person(leads[2]).await, one);
        assert_eq!((story.person(leads[0]).await, story.person(leads[1]).await), (one, other));
        assert!(told(story, more[1]).await.why_not.iter().any(|sentence| sentence.code == "said_to_differ"));
        // Nobody who is one with the one becomes one with the other on the way.
        let anonymous = given("").chat("z");
        let all_three = given("").chat("z").chat("x").proven_phone("+380671110009");
        see(story, &story.store, &[anonymous, all_three], 1).await;
        assert_ne!(story.person(leads[0]).await, story.person(leads[1]).await);
    })
    .await;
}

/// A hundred events at once of chats that turn out to be one human's, until there are more than one human has.
#[tokio::test]
async fn a_hundred_events_of_people_who_become_one() {
    let chat = |at: usize| given("").chat(&format!("c{}", at % 33));
    let mut all: Vec<Given> = (0..33).map(chat).collect();
    all.extend((33..66).map(|at| chat(at).phone("+380671110010")));
    all.extend((66..100).map(chat));
    // Eleven chats are more than the limit of ten, and from then on the phone brings nobody along.
    let expect: Vec<usize> = (0..100).map(|at| (at % 33_usize).saturating_sub(10)).collect();
    for together in [1, 7, 100] {
        on_both(async |story| {
            assert_eq!(people(story, &all, together).await, expect, "{together} at once");
            assert_eq!(run(&story.url, LEFT_BEHIND).await, [0]);
            assert_eq!(run(&story.url, "SELECT COUNT(*) FROM merges").await, [10]);
        })
        .await;
    }
}

#[tokio::test]
async fn two_people_with_deals_of_two_owners_stay_two() {
    on_both(async |story| {
        let all = [given("").proven_phone("+380671110011"), given("").chat("d").email("d@example.org")];
        let leads = see(story, &story.store, &all, 1).await;
        for (lead, owner) in leads.iter().zip(["olha", "petro"]) {
            let deal = DealFields { owner: Some(owner.to_owned()), ..DealFields::default() };
            let action = Action::CreateDeal { contact: Reference::Record(RecordId("1".to_owned())), deal };
            let action = serde_json::to_string(&action).unwrap();
            let person = story.person(*lead).await;
            run(
                &story.url,
                &format!(
                    "INSERT INTO steps (id, sync, position, kind, action, state) \
                     VALUES ('{owner}', 'sync', 0, 'create deal', '{action}', 'done')"
                ),
            )
            .await;
            run(
                &story.url,
                &format!(
                    "INSERT INTO links (destination, kind, record, person, contact, step, created_at) \
                     VALUES ('crm', 'deal', '{owner}', '{person}', '1', '{owner}', 0)"
                ),
            )
            .await;
        }
        let both = see(story, &story.store, &[given("").chat("d").proven_phone("+380671110011")], 1).await[0];
        assert_eq!(told(story, both).await.why_not[0].code, "deals_of_two_owners");
        assert_eq!(run(&story.url, "SELECT COUNT(*) FROM possible_duplicates").await, [1]);
    })
    .await;
}

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    /// Anything of anybody, so that everything happens: sharing, vetoes, merges, claims of others.
    fn given(&mut self) -> Given {
        let mut event =
            given(if self.roll(3) == 0 { "" } else { NAMES[usize::try_from(self.roll(10)).unwrap()] });
        let which = |dice: &mut Self| dice.roll(9).to_string();
        for _ in 0..=self.roll(3) {
            let proof = if self.roll(3) == 0 { Proof::Proven } else { Proof::Claimed };
            event = match self.roll(7) {
                0 | 1 => event.with(Phone, "", &format!("+38067{}", which(self)), proof),
                2 => event.with(Email, "", &format!("{}@example.org", which(self)), proof),
                3 => event.customer(&which(self)),
                4 => event.with(ExternalCustomer, "shop", &which(self), Proof::Hinted),
                _ => event.chat(&which(self)),
            };
        }
        event
    }
}

/// What the registry reads, writes and merges is what the pure resolver learns in memory: the same people.
#[tokio::test]
async fn the_registry_makes_the_people_that_memory_makes() {
    for seed in 1..=4 {
        let mut dice = Dice(seed);
        let all: Vec<Given> = (0..70).map(|_| dice.given()).collect();
        let mut known = Known::default();
        let (mut persons, mut became) = (Vec::new(), BTreeMap::new());
        let mut now = "2026-03-01T09:00:00Z".parse().unwrap();
        for (number, given) in all.iter().enumerate() {
            now += SignedDuration::from_secs(1);
            let lead = given.lead();
            let who = Who::of(&lead, now);
            let fresh = PersonId(uuid::Uuid::from_u128(u128::try_from(number).unwrap()));
            let resolution = resolve(&who, &known, &IdentityRules::default(), fresh);
            known.learn(&who, &resolution);
            became.extend(resolution.merges.iter().map(|merge| (merge.from, merge.into)));
            persons.push(resolution.person);
        }
        let at_last = persons.into_iter().map(|mut person| {
            while let Some(into) = became.get(&person) {
                person = *into;
            }
            person
        });
        let expect = canonical(at_last);
        for together in [1, 16] {
            on_both(async |story| {
                assert_eq!(people(story, &all, together).await, expect, "seed {seed}, {together} at once");
                assert_eq!(run(&story.url, LEFT_BEHIND).await, [0]);
            })
            .await;
        }
    }
}

/// Several processes at once, on the same few humans: nothing is left behind, and every key has one owner who is somebody.
#[tokio::test(flavor = "multi_thread")]
async fn several_preparers_at_once_leave_nothing_behind() {
    let Some(database) = Database::create().await else { return };
    let story = Story::begin(database.url.clone(), database.url.clone()).await;
    let mut stores = Vec::new();
    for _ in 0..3 {
        stores.push(Store::open(&database.url, Arc::clone(&story.clock) as Arc<dyn Clock>).await.unwrap());
    }
    let all = async |store: usize| {
        let mut dice = Dice(70 + u64::try_from(store).unwrap());
        let events: Vec<Given> = (0..80).map(|_| dice.given()).collect();
        see(&story, &stores[store], &events, 8).await.len()
    };
    let done = async { tokio::join!(all(0), all(1), all(2)) };
    assert_eq!(Box::pin(tokio::time::timeout(PATIENCE, done)).await.unwrap(), (80, 80, 80));
    assert_eq!(database.run(LEFT_BEHIND).await, [0]);
    assert_eq!(database.run("SELECT COUNT(*) FROM leads WHERE decision IS NULL").await, [0]);
    let gone = "SELECT COUNT(*) FROM holders JOIN persons ON persons.id = holders.person WHERE merged_into IS NOT NULL";
    assert_eq!(database.run(gone).await, [0]);
    for store in stores {
        store.close().await;
    }
    story.store.close().await;
    database.remove().await;
}
