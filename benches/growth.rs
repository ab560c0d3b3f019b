//! What a registry of ten million deliveries costs beside an empty one.
//!
//! `cargo bench --bench growth`; with `DATABASE_URL=postgres://…` also on that server, in a database of its own.
//! `LEADFOLD_GROWTH_ROWS=1000000` for a smaller one.
//!
//! The large registry is made inside the database: of every ten deliveries seven became a synced lead with a step, three
//! were filtered; every fourth is of a new human with a phone, a chat, a contact and a deal; the bodies of the older three
//! quarters are gone, as retention leaves it. Keys and identifiers come in random order, so their indexes look as after
//! years. Then both registries take turns, so the ratios mean something on a noisy machine:
//!
//! * *acknowledge*: sixty-four senders, requests of 1.2 KB of humans that are new, through the inbox and onto the disk.
//! * *prepare*: reading them, mapping and normalising, and storing their leads, in batches as in production.
//! * *claim*: the claims of the worker until all of them are in hand.
//! * *newest page*: fifty leads, as the registry shows them.
//!
//! Where neighbours disturb, look at the last column: the quickest round of each.
//!
//! To reach: acknowledge, claim and newest page within 20 % of empty, prepare within 50 %. Below the line: searches, the
//! gauges, and what retention takes to remove 64 deliveries.
#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

#[path = "common/generate.rs"]
mod generate;
#[path = "common/load.rs"]
#[expect(dead_code, reason = "shared; each benchmark uses its part")]
mod load;
#[path = "common/process.rs"]
#[expect(dead_code, reason = "shared; each benchmark uses its part")]
mod process;

use std::error::Error;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt as _};
use generate::{Kind, Registry};
use jiff::{SignedDuration, Timestamp};
use leadfold::clock::{Clock as _, SystemClock};
use leadfold::event::Delivery;
use leadfold::id::DeliveryId;
use leadfold::map::{Files, Workspace};
use leadfold::prepare::prepare;
use leadfold::rules::Mode;
use leadfold::store::Store;
use leadfold::store::inbox::Arrival;
use leadfold::store::lease::Lease;
use leadfold::store::ledger::Entry;
use leadfold::store::prepare::PreparedDelivery;
use leadfold::store::retention::{Batch, What};
use leadfold::store::syncs::{Next, SyncState};
use leadfold::workspace::compile_without_secrets;
use load::{count, median, nine_digits, now_millis, sendpulse_request};
use process::Scratch;

const ROWS: u64 = 10_000_000;
const ROUNDS: usize = 21;
/// Deliveries of a round.
const DELIVERIES: u64 = 1_024;
const SENDERS: usize = 64;
/// As the preparer and a worker of the sandbox take them.
const BATCH: usize = 32;
const PAGES: u32 = 50;

const WORKSPACE: &str = "
destinations:
  crm: { crm: sandbox, url: \"http://127.0.0.1:9\", token: demo }
owner_pools:
  kyiv-sales: [olha, petro]
";

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let rows = match setting("LEADFOLD_GROWTH_ROWS") {
        Some(text) => text.replace('_', "").parse()?,
        None => ROWS,
    };
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let scratch = Scratch::new("growth")?;
        let needed = rows * 1_700 / 1_000_000;
        println!("{rows} deliveries; on SQLite this needs about {needed} MB in {}", scratch.path().display());
        let free = free_megabytes(&scratch)?;
        if free < needed + needed / 4 {
            return Err(
                format!("there are {free} MB: free some, or set LEADFOLD_GROWTH_ROWS or TMPDIR").into()
            );
        }
        let large = Registry { kind: Kind::Sqlite, url: scratch.database() };
        let empty = Registry {
            kind: Kind::Sqlite,
            url: format!("sqlite://{}", scratch.path().join("empty.db").display()),
        };
        compare("SQLite", &large, &empty, rows).await?;
        drop(scratch);
        let Some(server) = setting("DATABASE_URL") else {
            println!("DATABASE_URL names no PostgreSQL, so there is nothing about it");
            return Ok(());
        };
        let large = Registry::create_in_postgres(&server, "large").await?;
        let empty = Registry::create_in_postgres(&server, "empty").await?;
        let compared = compare("PostgreSQL", &large, &empty, rows).await;
        large.drop_in_postgres(&server).await?;
        empty.drop_in_postgres(&server).await?;
        compared
    })
}

#[expect(clippy::disallowed_methods, reason = "cargo passes a benchmark its own arguments")]
fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn free_megabytes(scratch: &Scratch) -> Outcome<u64> {
    let answer = Command::new("df").args(["-m", "--output=avail"]).arg(scratch.path()).output()?;
    let text = String::from_utf8(answer.stdout)?;
    Ok(text.lines().last().unwrap_or_default().trim().parse()?)
}

async fn compare(name: &str, large: &Registry, empty: &Registry, rows: u64) -> Outcome<()> {
    let began = Instant::now();
    for registry in [large, empty] {
        Store::open(&registry.url, Arc::new(SystemClock)).await?.close().await;
    }
    large.fill(rows).await?;
    println!(
        "\n{name}: made in {:.0} s, {:.0} MB",
        began.elapsed().as_secs_f64(),
        count(large.bytes().await?) / 1e6
    );
    let mut sides = [Side::open(empty).await?, Side::open(large).await?];
    for round in 0..=ROUNDS {
        for side in &mut sides {
            let took = side.round().await?;
            // The first round warms up.
            if round > 0 {
                side.took.push(took);
            }
        }
    }
    println!("{:<26}{:>12}{:>12}{:>10}{:>14}", "", "empty, µs", "large, µs", "of empty", "best rounds");
    for (at, (what, most)) in ASKED.iter().enumerate() {
        let of =
            |side: &Side| -> Vec<f64> { side.took.iter().filter_map(|took| took.get(at).copied()).collect() };
        let best = sides.each_ref().map(|side| of(side).into_iter().fold(f64::INFINITY, f64::min));
        let [empty, large] = sides.each_ref().map(|side| median(of(side)));
        let verdict = match most {
            Some(most) if large / empty <= *most => "reached",
            Some(_) => "NOT REACHED",
            None => "",
        };
        let [ratio, of_best] = [large / empty, best[1] / best[0]].map(|ratio| ratio * 100.0);
        println!("{what:<26}{empty:>12.1}{large:>12.1}{ratio:>9.0}%{of_best:>13.0}%  {verdict}");
    }
    let [empty, large] = &sides;
    println!(
        "{:<26}{:>24.1}  µs a delivery, 64 in one transaction",
        "remove what is old",
        large.remove_old().await?
    );
    empty.store.close().await;
    large.store.close().await;
    Ok(())
}

/// What is measured, in the order of a round, and how much of the empty registry's time it may take.
const ASKED: [(&str, Option<f64>); 9] = [
    ("acknowledge, each", Some(1.2)),
    ("prepare, each", Some(1.5)),
    ("claim, each", Some(1.2)),
    ("newest page", Some(1.2)),
    ("of prepare: the database", None),
    ("find by phone", None),
    ("one lead with timeline", None),
    ("gauges", None),
    ("when is something due", None),
];

struct Side {
    store: Store,
    lease: Lease,
    workspace: Workspace,
    number: u64,
    took: Vec<Vec<f64>>,
}

impl Side {
    async fn open(registry: &Registry) -> Outcome<Self> {
        let store = Store::open(&registry.url, Arc::new(SystemClock)).await?;
        let lease = store.take_lease("crm", "the benchmark").await?;
        let mapping = include_str!("../mappings/sendpulse.yaml");
        let files = [("workspace.yaml", WORKSPACE), ("sendpulse.yaml", mapping)];
        let files = Files(files.map(|(name, text)| (name.to_owned(), text.to_owned())).into());
        let workspace = compile_without_secrets(&files, &(Arc::new(|_: &str| None) as _)).0.workspace;
        Ok(Self { store, lease, workspace, number: 0, took: Vec::new() })
    }

    /// Microseconds of each of [`ASKED`].
    async fn round(&mut self) -> Outcome<Vec<f64>> {
        let first = self.number;
        self.number += DELIVERIES;
        let arrivals: Vec<Arrival> = (first..self.number).map(arrival).collect();
        let began = Instant::now();
        let kept: Vec<_> = stream::iter(arrivals)
            .map(|arrival| {
                let inbox = self.store.inbox();
                async move { inbox.keep(arrival).await }
            })
            .buffer_unordered(SENDERS)
            .collect()
            .await;
        let acknowledge = each(began.elapsed(), DELIVERIES);
        kept.into_iter().collect::<Result<Vec<()>, _>>()?;
        let (prepared, of_it) = self.prepare().await?;
        let claimed = self.claim().await?;

        let began = Instant::now();
        for _ in 0..PAGES {
            self.store.leads(None, 50).await?;
        }
        let page = each(began.elapsed(), u64::from(PAGES));
        let mut took = vec![acknowledge, prepared, claimed, page, of_it];
        let phone = format!("+380{}", nine_digits(first));
        let newest = self.store.leads(None, 1).await?;
        let lead = newest.first().ok_or("no lead was made")?.id;
        let now = SystemClock.now();
        took.push(
            repeat(async || self.store.leads_of(std::slice::from_ref(&phone), 50).await.map(drop)).await?,
        );
        took.push(repeat(async || self.store.lead(lead).await.map(drop)).await?);
        took.push(repeat(async || self.store.backlog().await.map(drop)).await?);
        took.push(repeat(async || self.store.next_due("crm", now).await.map(drop)).await?);
        Ok(took)
    }

    /// All of it, and of that what was neither mapping nor normalising.
    async fn prepare(&self) -> Outcome<(f64, f64)> {
        let (mut took, mut pure) = (Duration::ZERO, Duration::ZERO);
        let mut leads = 0;
        loop {
            let began = Instant::now();
            let received = self.store.received(BATCH).await?;
            if received.is_empty() {
                break;
            }
            let mapping = Instant::now();
            let prepared: Vec<PreparedDelivery> =
                received.iter().map(|received| prepare(received, &self.workspace, &SystemClock)).collect();
            pure += mapping.elapsed();
            let order = self.workspace.identifier_order.clone();
            leads += self.store.prepare(prepared, order, Arc::new(SystemClock)).await?.leads;
            took += began.elapsed();
        }
        if leads == DELIVERIES {
            Ok((each(took, leads), each(took.saturating_sub(pure), leads)))
        } else {
            Err(format!("{leads} leads were made").into())
        }
    }

    async fn claim(&self) -> Outcome<f64> {
        let mut took = Duration::ZERO;
        let mut claimed = 0;
        loop {
            let now = SystemClock.now();
            let began = Instant::now();
            let syncs = self.store.claim(&self.lease, Mode::Live, now, BATCH, Vec::new()).await?;
            took += began.elapsed();
            if syncs.is_empty() {
                break;
            }
            claimed += syncs.len();
            let next = Next::Release { state: SyncState::Synced, why: None, next_at: now, attempts: 0 };
            let ends = syncs
                .iter()
                .map(|sync| Entry::Verdict { sync: sync.id, person: sync.person, next: next.clone() })
                .map(|end| (Arc::new(end), now));
            self.store.record(&self.lease, ends.collect()).await?;
        }
        let claimed = u64::try_from(claimed)?;
        if claimed == DELIVERIES {
            Ok(each(took, claimed))
        } else {
            Err(format!("{claimed} were claimed").into())
        }
    }

    /// Removes the oldest deliveries, 64 at a time; the median in microseconds a delivery.
    async fn remove_old(&self) -> Outcome<f64> {
        let now = SystemClock.now();
        let until = |now: Timestamp| now.saturating_add(SignedDuration::from_mins(5)).unwrap_or(now);
        let mut round = self.store.begin_round(now, until(now)).await?.ok_or("a round is under way")?;
        let (mut place, mut took) = (None, Vec::new());
        for _ in 0..ROUNDS * 4 {
            let old = self.store.old(What::Rows, now, place).await?;
            let asked = u64::try_from(old.ended.len())?;
            let batch = Batch { what: What::Rows, deliveries: old.ended, keys_until: now };
            let began = Instant::now();
            let removed = self.store.remove_old(&mut round, batch, now, until(now)).await?;
            if removed.deliveries != asked {
                return Err(format!("{removed:?} of {asked}").into());
            }
            took.push(each(began.elapsed(), removed.deliveries));
            place = old.next;
        }
        Ok(median(took))
    }
}

async fn repeat<E>(what: impl AsyncFn() -> Result<(), E>) -> Result<f64, E> {
    let began = Instant::now();
    for _ in 0..PAGES {
        what().await?;
    }
    Ok(each(began.elapsed(), u64::from(PAGES)))
}

fn each(took: Duration, number: u64) -> f64 {
    took.as_secs_f64() * 1e6 / count(number)
}

/// A request of a human of its own.
fn arrival(number: u64) -> Arrival {
    let at = now_millis() + number;
    let mut request = Vec::new();
    sendpulse_request(&mut request, &format!("0{}", nine_digits(number)), number, at);
    let head = request.windows(4).position(|window| window == b"\r\n\r\n").map_or(0, |at| at + 4);
    let delivery = Delivery {
        id: DeliveryId(SystemClock.new_id()),
        source: "sendpulse".to_owned(),
        method: "POST".to_owned(),
        query: None,
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: request.split_off(head),
        received_at: SystemClock.now(),
    };
    Arrival { delivery, waiting: None, unverified_token: None }
}
