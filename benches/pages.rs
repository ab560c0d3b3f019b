//! What every page of the console and every read of `/api` costs among a million leads beside one thousand, over HTTP.
//!
//! `cargo bench --bench pages`; with `DATABASE_URL=postgres://…` also on that server, in databases of its own.
//! `LEADFOLD_PAGES_ROWS` for another size of the large registry, `LEADFOLD_PAGES_ON=sqlite` or `postgres` for one of the two.
//!
//! Two leadfolds run in this process, on registries of the same shares (`common/lived.rs`). Pages are found by following links
//! from the first one, so that a new one is measured as soon as something leads to it; filters, searches and what only a
//! large registry has are named here, and so are the reads of the API, which the OpenAPI document checks for completeness.
//! Each is asked for in turns. It fails where a page takes more than three times as long as the small registry's, or where
//! the registry's page weighs more than 100 KB. Reads of the API are told with the same mark, and do not make it fail: a query
//! of a program may ask for whatever it likes.
#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

#[path = "common/generate.rs"]
#[expect(dead_code, reason = "shared; each benchmark uses its part")]
mod generate;
#[path = "common/lived.rs"]
mod lived;
#[path = "common/load.rs"]
#[expect(dead_code, reason = "shared; each benchmark uses its part")]
mod load;
#[path = "common/process.rs"]
#[expect(dead_code, reason = "shared; each benchmark uses its part")]
mod process;
#[path = "common/site.rs"]
mod site;

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use generate::{Kind, Registry};
use leadfold::clock::SystemClock;
use leadfold::store::Store;
use leadfold::telemetry::Metrics;
use lived::furnish;
use load::{count, median};
use process::Scratch;
use site::{Ask, FILES, Site};

const SMALL: u64 = 1_000;
const LARGE: u64 = 1_000_000;
const ROUNDS: usize = 15;
/// How many times the small registry's time a page may take.
const MOST: f64 = 3.0;
/// Bytes of the registry's page with what it loads.
const HEAVIEST: usize = 100_000;
type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    leadfold::crm::http::install_tls();
    let rows = match setting("LEADFOLD_PAGES_ROWS") {
        Some(text) => text.replace('_', "").parse()?,
        None => LARGE,
    };
    let only = setting("LEADFOLD_PAGES_ON");
    let wanted = |name: &str| only.as_deref().is_none_or(|only| only == name);
    let server = setting("DATABASE_URL").filter(|_| wanted("postgres"));
    let runtime = tokio::runtime::Runtime::new()?;
    let failures = runtime.block_on(async {
        let metrics = Metrics::start()?;
        let mut failures = 0;
        if wanted("sqlite") {
            let scratch = Scratch::new("pages")?;
            let file = |name: &str| Registry {
                kind: Kind::Sqlite,
                url: format!("sqlite://{}", scratch.path().join(name).display()),
            };
            let registries = [file("small.db"), file("large.db")];
            failures += compare("SQLite", &registries, [SMALL, rows], &metrics, scratch.path()).await?;
        }
        if let Some(server) = server {
            let scratch = Scratch::new("pages-postgres")?;
            let registries = [
                Registry::create_in_postgres(&server, "small").await?,
                Registry::create_in_postgres(&server, "large").await?,
            ];
            let compared = compare("PostgreSQL", &registries, [SMALL, rows], &metrics, scratch.path()).await;
            for registry in registries {
                registry.drop_in_postgres(&server).await?;
            }
            failures += compared?;
        }
        Outcome::Ok(failures)
    })?;
    if failures > 0 {
        return Err(format!("{failures} of what is to be reached is not").into());
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "cargo passes a benchmark its own arguments")]
fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

async fn compare(
    name: &str,
    registries: &[Registry; 2],
    rows: [u64; 2],
    metrics: &Metrics,
    folder: &Path,
) -> Outcome<usize> {
    let mut sites = Vec::new();
    for (registry, rows) in registries.iter().zip(rows) {
        let began = Instant::now();
        Store::open(&registry.url, Arc::new(SystemClock)).await?.close().await;
        let texts = registry.fill(rows).await?;
        furnish(registry, &texts, &FILES).await?;
        println!("{name}: a registry of {rows} leads is made, in {:.0} s", began.elapsed().as_secs_f64());
        sites.push(Site::open(registry, rows, metrics, folder).await?);
    }
    let [small, large] = sites.as_slice() else { return Err("there are two sites".into()) };
    let (ours, theirs) = (small.asks().await?, large.asks().await?);
    let mut failures = 0;
    println!("\n{name:<76}{:>10}{:>10}{:>8}{:>8}", rows[0], rows[1], "ratio", "KB");
    for (what, ask) in &theirs {
        let Some(other) = ours.get(what) else {
            println!("{what:<76} only the large registry has it");
            continue;
        };
        let mut costs = measure([(small, other), (large, ask)]).await?;
        if costs.ratio() > MOST {
            // Neighbours may have been busy.
            let again = measure([(small, other), (large, ask)]).await?;
            if again.ratio() < costs.ratio() {
                costs = again;
            }
        }
        let verdict = if costs.ratio() <= MOST { "" } else { "  NOT REACHED" };
        failures += usize::from(!verdict.is_empty() && !ask.0.starts_with("/api/"));
        let [fast, slow] = costs.millis;
        println!(
            "{what:<76}{fast:>7.2} ms{slow:>7.2} ms{:>8.1}{:>8.0}{verdict}",
            costs.ratio(),
            costs.kilobytes
        );
    }
    let weight = large.weight().await?;
    let verdict = if weight <= HEAVIEST { "" } else { "  NOT REACHED" };
    failures += usize::from(!verdict.is_empty());
    println!("the registry's page weighs {weight} bytes with style and script{verdict}");
    for site in sites {
        site.stop().await;
    }
    Ok(failures)
}

/// What an address costs, in the small registry and in the large one.
struct Costs {
    /// Medians.
    millis: [f64; 2],
    /// Of the large registry's answer.
    kilobytes: f64,
}

impl Costs {
    fn ratio(&self) -> f64 {
        let [small, large] = self.millis;
        large / small
    }
}

async fn measure(asks: [(&Site, &Ask); 2]) -> Outcome<Costs> {
    let mut times = [Vec::new(), Vec::new()];
    let mut bytes = 0;
    for round in 0..=ROUNDS {
        for ((site, ask), times) in asks.iter().zip(&mut times) {
            let began = Instant::now();
            bytes = site.ask(ask).await?.len();
            // The first round warms up.
            if round > 0 {
                times.push(began.elapsed().as_secs_f64() * 1e3);
            }
        }
    }
    Ok(Costs { millis: times.map(median), kilobytes: count(u64::try_from(bytes)?) / 1e3 })
}
