//! How fast events become decided leads in memory, on one core: split, map and normalise, resolve, decide.
//!
//! `cargo bench --bench pipeline`
//!
//! The shipped mapping on the shipped fixtures; those that the mapping filters are interpreted too and do not count as
//! leads. Half of the leads meet a CRM that knows nobody, half one with an open deal. The times are medians of
//! interleaved rounds. *map and normalise* is one stage in the code; *of it normalise* calls the normalisers alone on the
//! same values.
//!
//! *one phone* is the mean over spellings of every kind, junk included. To reach: 5,000 ns.
//!
//! To reach: 50,000 leads a second, which is 20,000 ns a lead.
#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

#[path = "common/load.rs"]
#[expect(dead_code, reason = "of the load generator only the arithmetic is used")]
mod load;

use std::collections::BTreeMap;
use std::error::Error;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use leadfold::decide::{PersonView, Situation, decide};
use leadfold::event::{Delivery, Event, preset};
use leadfold::id::{DeliveryId, PersonId, StepId};
use leadfold::lead::Lead;
use leadfold::map::{Mapping, Workspace};
use leadfold::normalise;
use leadfold::pipeline::{Interpreted, interpret};
use leadfold::plan::{FoundContact, FoundDeal, RecordId};
use leadfold::resolve::{Known, Who, resolve};
use leadfold::rules::PoolState;
use leadfold::workspace::{compile_with, read_files};
use load::{count, median};
use uuid::Uuid;

const ROUNDS: usize = 15;
/// Passes over all fixtures in one round.
const PASSES: usize = 300;

const AT: Timestamp = Timestamp::UNIX_EPOCH;

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = read_files(&root.join("mappings"))?;
    let environment: leadfold::workspace::Environment = std::sync::Arc::new(|_| None);
    let workspace = compile_with(&files, &environment).workspace;
    let source = workspace.sources.get("sendpulse").ok_or("the workspace has no source sendpulse")?;
    let mapping = source.mapping.as_ref().map_err(ToString::to_string)?;
    let split = preset(&source.preset).ok_or("the source has no preset")?.split;
    let deliveries = deliveries(&root.join("fixtures/sendpulse"))?;

    let mut events = Vec::new();
    for delivery in &deliveries {
        events.extend(split(delivery)?);
    }
    let leads: Vec<(Box<Lead>, usize)> = events.iter().filter_map(|event| lead_of(mapping, event)).collect();
    let per_round = count(u64::try_from(leads.len() * PASSES)?);

    let mut spellings = SPELLINGS.iter().cycle();
    let mut times: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for round in 0..=ROUNDS {
        let mut stage = |name: &'static str, run: &mut dyn FnMut()| {
            let began = Instant::now();
            for _ in 0..PASSES {
                run();
            }
            // The first round warms up.
            if round > 0 {
                times.entry(name).or_default().push(nanos(began.elapsed()) / per_round);
            }
        };
        stage(SPLIT, &mut || {
            for delivery in &deliveries {
                black_box(split(delivery)).ok();
            }
        });
        stage(MAP, &mut || {
            for event in &events {
                black_box(interpret(mapping, event, AT));
            }
        });
        stage(NORMALISE, &mut || leads.iter().for_each(|(lead, _)| normalise_again(lead)));
        let mut known = Known::default();
        stage(RESOLVE, &mut || {
            for (number, (lead, _)) in (1_u128..).zip(&leads) {
                let fresh = PersonId(Uuid::from_u128(number));
                let who = Who::of(lead, AT);
                let resolution = resolve(&who, &known, &workspace.identity, fresh);
                known.learn(&who, &resolution);
            }
        });
        stage(PHONES, &mut || read_phones(spellings.by_ref().take(leads.len())));
        stage(DECIDE, &mut || decide_all(&workspace, &leads));
    }

    println!("{:<24}{:>12}", "stage", "ns a lead");
    let time = |name: &str| times.get(name).map_or(f64::NAN, |rounds| median(rounds.clone()));
    for name in [SPLIT, MAP, NORMALISE, PHONES, RESOLVE, DECIDE] {
        println!("{name:<24}{:>12.0}", time(name));
    }
    let sum: f64 = [SPLIT, MAP, RESOLVE, DECIDE].iter().map(|name| time(name)).sum();
    println!("{:<24}{sum:>12.0}", "together");
    println!("{:.0} leads a second on one core; to reach: 50000", 1e9 / sum);
    Ok(())
}

const SPLIT: &str = "split";
const MAP: &str = "map and normalise";
const NORMALISE: &str = "  of it normalise";
const PHONES: &str = "  one phone";
const RESOLVE: &str = "resolve";
const DECIDE: &str = "decide";

fn nanos(time: Duration) -> f64 {
    time.as_secs_f64() * 1e9
}

fn deliveries(folder: &Path) -> Result<Vec<Delivery>, Box<dyn Error>> {
    let mut paths: Vec<_> =
        std::fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    paths.sort();
    let delivery = |path: &std::path::PathBuf| {
        Ok(Delivery {
            id: DeliveryId(Uuid::nil()),
            source: "sendpulse".to_owned(),
            method: "POST".to_owned(),
            query: None,
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: std::fs::read(path)?,
            received_at: AT,
        })
    };
    paths.iter().map(delivery).collect()
}

fn lead_of(mapping: &Mapping, event: &Event) -> Option<(Box<Lead>, usize)> {
    match interpret(mapping, event, AT) {
        Interpreted::Lead(lead, branch) => Some((lead, branch)),
        Interpreted::Filtered(_) | Interpreted::NeedsAttention { .. } => None,
    }
}

fn normalise_again(lead: &Lead) {
    let regions = ["UA".to_owned(), "PL".to_owned()];
    for phone in &lead.contact.phones {
        black_box(normalise::phone(&phone.raw, &regions)).ok();
    }
    for email in &lead.contact.emails {
        black_box(normalise::email(&email.raw)).ok();
    }
}

/// As people and platforms write them; the last three are refused.
const SPELLINGS: [&str; 15] = [
    "+380671234567",
    "067 123 45 67",
    "+38 (067) 123-45-67",
    "8 (903) 123-45-67",
    "Тел.: 067-123-45-67 (Viber)",
    "044 123 45 67 доб. 12",
    "4915228817386@s.whatsapp.net",
    "+55 31 8765-4321",
    "5215512345678",
    "＋３８０６７１２３４５６７",
    "380671234567.0",
    "671234567",
    "+38067***4567",
    "1111111111",
    "{{phone}}",
];

fn read_phones<'s>(spellings: impl Iterator<Item = &'s &'s str>) {
    let regions = ["UA".to_owned(), "PL".to_owned()];
    for raw in spellings {
        black_box(normalise::phone(black_box(raw), &regions)).ok();
    }
}

fn decide_all(workspace: &Workspace, leads: &[(Box<Lead>, usize)]) {
    let memory = PoolState::default();
    for (number, (lead, branch)) in leads.iter().enumerate() {
        let Some(rules) = workspace.rules(&lead.source, *branch) else { continue };
        let person = PersonView::of(lead);
        let contacts = if number % 2 == 0 { Vec::new() } else { vec![with_open_deal(&person)] };
        let pool = lead.owners.as_ref().and_then(|name| workspace.owner_pools.get(name));
        let situation = Situation {
            found: &contacts,
            pool: pool.map(|pool| (pool, &memory)),
            ..Situation::new(lead, rules, &workspace.identity.order, &person, AT)
        };
        let mut next_id = 0_u128;
        black_box(decide(&situation, &mut || {
            next_id += 1;
            StepId(Uuid::from_u128(next_id))
        }));
    }
}

fn with_open_deal(person: &PersonView) -> FoundContact {
    let deal = FoundDeal {
        id: RecordId("200".to_owned()),
        title: Some("Заявка".to_owned()),
        pipeline: None,
        stage: None,
        owner: Some("olha".to_owned()),
        created_at: Some(AT),
        fields: BTreeMap::new(),
    };
    FoundContact {
        id: RecordId("100".to_owned()),
        owner: Some("olha".to_owned()),
        created_at: Some(AT),
        name: Some("Олена".to_owned()),
        phones: person.phones.clone(),
        emails: person.emails.clone(),
        fields: BTreeMap::new(),
        deals: vec![deal],
    }
}
