//! What a page of the registry costs among a million leads beside one among a thousand.
//!
//! `cargo bench --bench pages`; with `DATABASE_URL=postgres://…` also on that server, in databases of its own.
//! `LEADFOLD_PAGES_ROWS` for another size of the large registry.
//!
//! Each line is the statements behind one page of the console: the newest, one from the middle, every filter, searches, and
//! filters that find nothing, which look at as many leads as a page may. To reach: three times the small registry's time.
#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

#[path = "common/generate.rs"]
#[expect(dead_code, reason = "shared; each benchmark uses its part")]
mod generate;
#[path = "common/load.rs"]
#[expect(dead_code, reason = "shared; each benchmark uses its part")]
mod load;
#[path = "common/process.rs"]
#[expect(dead_code, reason = "shared; each benchmark uses its part")]
mod process;

use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use generate::{Kind, Registry};
use jiff::Timestamp;
use leadfold::clock::SystemClock;
use leadfold::store::Store;
use leadfold::store::deliveries;
use leadfold::store::listing::{Filter, Standing, Turn};
use load::{median, now_millis};
use process::Scratch;

const SMALL: u64 = 1_000;
const LARGE: u64 = 1_000_000;
const PAGE: usize = 50;
const ROUNDS: usize = 25;
/// How many times the small registry's time a page may take.
const MOST: f64 = 3.0;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let rows = match setting("LEADFOLD_PAGES_ROWS") {
        Some(text) => text.replace('_', "").parse()?,
        None => LARGE,
    };
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let scratch = Scratch::new("pages")?;
        let file = |name: &str| Registry {
            kind: Kind::Sqlite,
            url: format!("sqlite://{}", scratch.path().join(name).display()),
        };
        compare("SQLite", &file("small.db"), &file("large.db"), rows).await?;
        let Some(server) = setting("DATABASE_URL") else {
            println!("DATABASE_URL names no PostgreSQL, so there is nothing about it");
            return Ok(());
        };
        let small = Registry::create_in_postgres(&server, "small").await?;
        let large = Registry::create_in_postgres(&server, "large").await?;
        let compared = compare("PostgreSQL", &small, &large, rows).await;
        small.drop_in_postgres(&server).await?;
        large.drop_in_postgres(&server).await?;
        compared
    })
}

#[expect(clippy::disallowed_methods, reason = "cargo passes a benchmark its own arguments")]
fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

async fn compare(name: &str, small: &Registry, large: &Registry, rows: u64) -> Outcome<()> {
    let mut stores = Vec::new();
    for (registry, rows) in [(small, SMALL), (large, rows)] {
        Store::open(&registry.url, Arc::new(SystemClock)).await?.close().await;
        registry.fill(rows).await?;
        stores.push(Store::open(&registry.url, Arc::new(SystemClock)).await?);
    }
    println!("\n{name:<44}{SMALL:>12}{rows:>12}{:>8}", "ratio");
    for (what, filter) in filters()? {
        let mut costs = [Vec::new(), Vec::new()];
        for round in 0..=ROUNDS {
            for (store, costs) in stores.iter().zip(&mut costs) {
                let turn = if what == "from the middle" { middle(store).await? } else { Turn::Newest };
                let began = Instant::now();
                store.listed(&filter, turn, PAGE).await?;
                // The first round warms up.
                if round > 0 {
                    costs.push(began.elapsed().as_secs_f64() * 1e6);
                }
            }
        }
        line(what, costs);
    }
    for (what, kind, source) in [
        ("requests", None, None),
        ("requests, sent again", Some(deliveries::Kind::Redelivery), None),
        ("requests, unreadable", Some(deliveries::Kind::Unreadable), None),
        ("requests of a source that has none", None, Some("nowhere")),
    ] {
        let mut costs = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            for (store, costs) in stores.iter().zip(&mut costs) {
                let began = Instant::now();
                store.deliveries(kind, source, deliveries::Turn::Newest, PAGE).await?;
                costs.push(began.elapsed().as_secs_f64() * 1e6);
            }
        }
        line(what, costs);
    }
    for store in stores {
        store.close().await;
    }
    Ok(())
}

fn line(what: &str, costs: [Vec<f64>; 2]) {
    let [small, large] = costs.map(median);
    let verdict = if large / small <= MOST { "" } else { "  NOT REACHED" };
    println!("{what:<44}{small:>9.0} µs{large:>9.0} µs{:>8.1}{verdict}", large / small);
}

async fn middle(store: &Store) -> Outcome<Turn> {
    let newest = store.pulse().await?.newest;
    Ok(Turn::Before((newest / 2).to_string().parse()?))
}

/// What somebody may look for.
fn filters() -> Outcome<Vec<(&'static str, Filter)>> {
    let all = || Filter { regions: vec!["UA".to_owned()], ..Filter::default() };
    let word = |text: &str| Some(text.to_owned());
    let day = |days: u64| -> Outcome<Option<Timestamp>> {
        Ok(Some(Timestamp::from_millisecond(i64::try_from(now_millis() - days * 86_400_000)?)?))
    };
    let standing = |standing| Filter { standing: Some(standing), ..all() };
    let text = |typed: &str| Filter { text: word(typed), ..all() };
    let (from, to) = (day(200)?, day(100)?);
    Ok(vec![
        ("newest", all()),
        ("from the middle", all()),
        ("of a source", Filter { source: word("sendpulse"), ..all() }),
        ("to a destination", Filter { destination: word("crm"), ..all() }),
        ("of some days", Filter { from, to, ..all() }),
        (
            "of some days, of a source, to a destination",
            Filter { from, to, source: word("sendpulse"), destination: word("crm"), ..all() },
        ),
        ("done", standing(Standing::Synced)),
        ("filtered", standing(Standing::Filtered)),
        ("needs attention: none", standing(Standing::NeedsAttention)),
        (
            "filtered, to a destination: none",
            Filter { destination: word("crm"), ..standing(Standing::Filtered) },
        ),
        (
            "of a source that has none, to one",
            Filter { source: word("nowhere"), destination: word("crm"), ..all() },
        ),
        ("held, before the first", Filter { to: Some(Timestamp::UNIX_EPOCH), ..standing(Standing::Held) }),
        ("by phone", text("+999387420489")),
        ("by a name that most have", text("olena")),
        ("by how a name begins", text("ol")),
        ("by two words of a name: none", text("olena zzz")),
        ("by what nobody has", text("nobody-has-this")),
    ])
}
