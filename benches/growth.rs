//! What a registry of ten million deliveries costs beside an empty one.
//!
//! `cargo bench --bench growth`; with `DATABASE_URL=postgres://…` also on that server, in a database of its own.
//! `LEADFOLD_GROWTH_ROWS=1000000` for a smaller one, `LEADFOLD_GROWTH_ON=sqlite` or `postgres` for one of the two.
//!
//! The large registry is made inside the database: of every ten deliveries seven became a synced lead with a step, three
//! were filtered; every fourth is of a new human with a phone, a chat, a contact and a deal; the bodies of the older three
//! quarters are gone, as retention leaves it. Keys and identifiers come in random order, so their indexes look as after
//! years. Then both registries take turns with each of these, now one first and now the other:
//!
//! * *acknowledge*: sixty-four senders, requests of 1.2 KB of humans that are new, through the inbox and onto the disk.
//! * *prepare*: reading them, mapping and normalising, and storing their leads, in batches as in production.
//! * *claim*: the claims of the worker until all of them are in hand.
//! * *newest page*: fifty leads, as the registry shows them.
//!
//! To reach: acknowledge, claim and newest page within 20 % of empty, prepare within 50 %. Below them: searches, the gauges,
//! and what retention takes to remove 64 deliveries.
//!
//! The column *of empty* decides: the two of a pair of turns follow one another within a second or two, so what else the
//! machine does mostly disturbs both, and this is the median of the ratios of the pairs. *Middle half* is where half of them
//! lie: a wide one tells of a machine that was too busy to measure on. *In all* is the time of all turns together, with
//! everything rare, such as a checkpoint; and also with whatever a neighbour did. *Processor* is the same for processor
//! time, which waits for nobody; on PostgreSQL it is without the server's. What this process reads and writes each time is
//! told for SQLite, where it is the pages that were not in its own cache, the log, and the checkpoint's copying.
#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

#[path = "common/generate.rs"]
mod generate;
#[path = "common/load.rs"]
#[expect(dead_code, reason = "shared; each benchmark uses its part")]
mod load;
#[path = "common/meter.rs"]
mod meter;
#[path = "common/process.rs"]
#[expect(dead_code, reason = "shared; each benchmark uses its part")]
mod process;

use std::collections::HashMap;
use std::error::Error;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

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
use load::{count, median, nine_digits, now_millis, sendpulse_mapping, sendpulse_request};
use meter::{Cost, Meter};
use process::Scratch;

const ROWS: u64 = 10_000_000;
/// Many and small: the shorter a pair of turns, the less changes between them.
const ROUNDS: u64 = 101;
/// Deliveries of a round.
const DELIVERIES: u64 = 256;
const SENDERS: usize = 64;
/// As the preparer and a worker of the sandbox take them.
const BATCH: usize = 32;
/// How often something is read in a round.
const READS: u64 = 10;

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
    let only = setting("LEADFOLD_GROWTH_ON");
    if only.as_deref().is_some_and(|only| !["sqlite", "postgres"].contains(&only)) {
        return Err("LEADFOLD_GROWTH_ON is sqlite or postgres".into());
    }
    let wanted = |name: &str| only.as_deref().is_none_or(|only| only == name);
    runtime.block_on(async {
        if wanted("sqlite") {
            on_sqlite(rows).await?;
        }
        match setting("DATABASE_URL") {
            Some(server) if wanted("postgres") => on_postgres(&server, rows).await,
            None if wanted("postgres") => {
                println!("DATABASE_URL names no PostgreSQL, so there is nothing about it");
                Ok(())
            }
            Some(_) | None => Ok(()),
        }
    })
}

async fn on_sqlite(rows: u64) -> Outcome<()> {
    let scratch = Scratch::new("growth")?;
    let needed = rows * 1_700 / 1_000_000;
    println!("{rows} deliveries; on SQLite this needs about {needed} MB in {}", scratch.path().display());
    let free = free_megabytes(&scratch)?;
    if free < needed + needed / 4 {
        return Err(format!("there are {free} MB: free some, or set LEADFOLD_GROWTH_ROWS or TMPDIR").into());
    }
    let large = Registry { kind: Kind::Sqlite, url: scratch.database() };
    let empty = Registry {
        kind: Kind::Sqlite,
        url: format!("sqlite://{}", scratch.path().join("empty.db").display()),
    };
    compare("SQLite", &large, &empty, rows).await
}

async fn on_postgres(server: &str, rows: u64) -> Outcome<()> {
    println!("{rows} deliveries; on PostgreSQL this needs about {} MB", rows * 2_200 / 1_000_000);
    let large = Registry::create_in_postgres(server, "large").await?;
    let empty = Registry::create_in_postgres(server, "empty").await?;
    let compared = compare("PostgreSQL", &large, &empty, rows).await;
    large.drop_in_postgres(server).await?;
    empty.drop_in_postgres(server).await?;
    compared
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
        for stage in STAGES {
            let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
            for at in order {
                let cost = sides[at].measure(stage).await?;
                // The first round warms up.
                if round > 0 {
                    sides[at].costs.entry(stage).or_default().push(cost);
                }
            }
        }
    }
    let head = ["empty, µs", "large, µs", "of empty", "middle half", "in all", "processor"];
    let [empty, large, ratio, half, all, processor] = head;
    let [read, written] = if name == "SQLite" { ["read, KB", "written, KB"] } else { [""; 2] };
    println!(
        "{:<24}{empty:>10}{large:>10}{ratio:>10}{half:>13}{all:>10}{processor:>11}{read:>15}{written:>15}",
        ""
    );
    for stage in STAGES {
        let [Some(empty), Some(large)] = sides.each_ref().map(|side| side.costs.get(&stage)) else {
            continue;
        };
        println!("{}", line(stage, empty, large, name == "SQLite"));
    }
    let [empty, large] = &sides;
    println!(
        "{:<24}{:>20.1}  µs a delivery, 64 in one transaction",
        "remove what is old",
        large.remove_old().await?
    );
    empty.store.close().await;
    large.store.close().await;
    Ok(())
}

fn line(stage: Stage, empty: &[Cost], large: &[Cost], with_bytes: bool) -> String {
    let mut ratios: Vec<f64> =
        empty.iter().zip(large).map(|(empty, large)| large.wall / empty.wall * 100.0).collect();
    ratios.sort_by(f64::total_cmp);
    let [quarter, half, three_quarters] =
        [1, 2, 3].map(|quarter| ratios.get(ratios.len() * quarter / 4).copied().unwrap_or(f64::NAN));
    let verdict = match stage.most() {
        Some(most) if half <= most => "reached",
        Some(_) => "NOT REACHED",
        None => "",
    };
    let [empty_wall, large_wall] =
        [empty, large].map(|costs| median(costs.iter().map(|cost| cost.wall).collect()));
    let [empty, large] = [empty, large].map(|costs| costs.iter().copied().sum::<Cost>().each(count(ROUNDS)));
    let bytes = if with_bytes {
        let pair = |empty: f64, large: f64| format!("{:.1} → {:.1}", empty / 1024.0, large / 1024.0);
        [pair(empty.read, large.read), pair(empty.written, large.written)]
    } else {
        Default::default()
    };
    format!(
        "{:<24}{empty_wall:>10.1}{large_wall:>10.1}{half:>9.0}%{:>13}{:>9.0}%{:>10.0}%{:>15}{:>15}  {verdict}",
        stage.name(),
        format!("{quarter:.0}–{three_quarters:.0}%"),
        large.wall / empty.wall * 100.0,
        large.processor / empty.processor * 100.0,
        bytes[0],
        bytes[1],
    )
}

/// What is measured, in the order of a round.
const STAGES: [Stage; 8] = [
    Stage::Acknowledge,
    Stage::Prepare,
    Stage::Claim,
    Stage::NewestPage,
    Stage::ByPhone,
    Stage::OneLead,
    Stage::Gauges,
    Stage::NextDue,
];

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Stage {
    Acknowledge,
    Prepare,
    Claim,
    NewestPage,
    ByPhone,
    OneLead,
    Gauges,
    NextDue,
}

impl Stage {
    fn name(self) -> &'static str {
        match self {
            Self::Acknowledge => "acknowledge, each",
            Self::Prepare => "prepare, each",
            Self::Claim => "claim, each",
            Self::NewestPage => "newest page",
            Self::ByPhone => "find by phone",
            Self::OneLead => "one lead with timeline",
            Self::Gauges => "gauges",
            Self::NextDue => "when is something due",
        }
    }

    /// How much of the empty registry's time it may take, in percent.
    fn most(self) -> Option<f64> {
        match self {
            Self::Acknowledge | Self::Claim | Self::NewestPage => Some(120.0),
            Self::Prepare => Some(150.0),
            Self::ByPhone | Self::OneLead | Self::Gauges | Self::NextDue => None,
        }
    }
}

struct Side {
    store: Store,
    lease: Lease,
    workspace: Workspace,
    number: u64,
    costs: HashMap<Stage, Vec<Cost>>,
}

impl Side {
    async fn open(registry: &Registry) -> Outcome<Self> {
        let store = Store::open(&registry.url, Arc::new(SystemClock)).await?;
        let lease = store.take_lease("crm", "the benchmark").await?;
        let mapping = sendpulse_mapping();
        let files = [("workspace.yaml", WORKSPACE), ("sendpulse.yaml", &mapping)];
        let files = Files(files.map(|(name, text)| (name.to_owned(), text.to_owned())).into());
        let workspace = compile_without_secrets(&files, &(Arc::new(|_: &str| None) as _)).0.workspace;
        Ok(Self { store, lease, workspace, number: 0, costs: HashMap::new() })
    }

    /// What one of them costs.
    async fn measure(&mut self, stage: Stage) -> Outcome<Cost> {
        let store = &self.store;
        match stage {
            Stage::Acknowledge => self.acknowledge().await,
            Stage::Prepare => self.prepare().await,
            Stage::Claim => self.claim().await,
            Stage::NewestPage => repeat(async || store.leads(None, 50).await.map(drop)).await,
            Stage::ByPhone => {
                let phone = [format!("+380{}", nine_digits(self.number - DELIVERIES))];
                repeat(async || store.leads_of(&phone, 50).await.map(drop)).await
            }
            Stage::OneLead => {
                let newest = store.leads(None, 1).await?;
                let lead = newest.first().ok_or("no lead was made")?.id;
                repeat(async || store.lead(lead).await.map(drop)).await
            }
            Stage::Gauges => repeat(async || store.backlog().await.map(drop)).await,
            Stage::NextDue => {
                let now = SystemClock.now();
                repeat(async || store.next_due("crm", now).await.map(drop)).await
            }
        }
    }

    async fn acknowledge(&mut self) -> Outcome<Cost> {
        let first = self.number;
        self.number += DELIVERIES;
        let arrivals: Vec<Arrival> = (first..self.number).map(arrival).collect();
        let meter = Meter::start()?;
        let kept: Vec<_> = stream::iter(arrivals)
            .map(|arrival| {
                let inbox = self.store.inbox();
                async move { inbox.keep(arrival).await }
            })
            .buffer_unordered(SENDERS)
            .collect()
            .await;
        let cost = meter.read()?;
        kept.into_iter().collect::<Result<Vec<()>, _>>()?;
        Ok(cost.each(count(DELIVERIES)))
    }

    async fn prepare(&self) -> Outcome<Cost> {
        let mut leads = 0;
        let meter = Meter::start()?;
        loop {
            let received = self.store.received(BATCH).await?;
            if received.is_empty() {
                break;
            }
            let prepared: Vec<PreparedDelivery> =
                received.iter().map(|received| prepare(received, &self.workspace, &SystemClock)).collect();
            let rules = self.workspace.identity.clone();
            leads += self.store.prepare(prepared, rules, Arc::new(SystemClock)).await?.leads;
        }
        let cost = meter.read()?;
        if leads == DELIVERIES {
            Ok(cost.each(count(DELIVERIES)))
        } else {
            Err(format!("{leads} leads were made").into())
        }
    }

    async fn claim(&self) -> Outcome<Cost> {
        let mut cost = Cost::default();
        let mut claimed = 0;
        loop {
            let now = SystemClock.now();
            let meter = Meter::start()?;
            let syncs = self.store.claim(&self.lease, Mode::Live, now, BATCH, Vec::new()).await?;
            cost = cost + meter.read()?;
            if syncs.is_empty() {
                break;
            }
            claimed += syncs.len();
            let next = Next::Release { state: SyncState::Synced, why: None, next_at: now, attempts: 0 };
            let ends = syncs
                .iter()
                .map(|sync| Entry::Verdict {
                    sync: sync.id,
                    person: sync.person,
                    next: next.clone(),
                    found: None,
                })
                .map(|end| (Arc::new(end), now));
            self.store.record(&self.lease, ends.collect()).await?;
        }
        let claimed = u64::try_from(claimed)?;
        if claimed == DELIVERIES {
            Ok(cost.each(count(claimed)))
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
            let meter = Meter::start()?;
            let removed = self.store.remove_old(&mut round, batch, now, until(now)).await?;
            if removed.deliveries != asked {
                return Err(format!("{removed:?} of {asked}").into());
            }
            took.push(meter.read()?.each(count(removed.deliveries)).wall);
            place = old.next;
        }
        Ok(median(took))
    }
}

async fn repeat<E: Error + 'static>(what: impl AsyncFn() -> Result<(), E>) -> Outcome<Cost> {
    let meter = Meter::start()?;
    for _ in 0..READS {
        what().await?;
    }
    Ok(meter.read()?.each(count(READS)))
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
