//! How many requests a second are acknowledged once they are on disk, compared with a handler that only reads the body.
//!
//! `cargo bench --bench receive`
//!
//! Sixty-four keep-alive connections post requests of 1.2 KB, each a new event of one of 50,000 humans. Generator and
//! server share the machine in all rows, and the rows take turns, so the ratios mean something on a noisy machine:
//!
//! * *bare*: an axum handler that reads the body and answers 200.
//! * *kept*: the whole receiving path (token, limits, `SQLite` with `synchronous=FULL`), with a paused source, so that
//!   nothing else is done meanwhile.
//! * *kept and prepared*: as in production, with mapping, normalising and resolving going on behind it.
//!
//! To reach: kept and prepared ≥ 25 % of bare (aim: 35 %), p99 ≤ 15 ms.
#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

#[path = "common/load.rs"]
#[expect(dead_code, reason = "shared; each benchmark uses its part")]
mod load;

use std::error::Error;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::routing::any;
use leadfold::app::{App, Door, Follow, Options};
use leadfold::clock::{Clock as _, SystemClock};
use leadfold::map::Files;
use leadfold::receive::Limits;
use leadfold::telemetry::Metrics;
use load::{Measured, Until, median, nine_digits, now_millis, post, sendpulse_mapping, sendpulse_request};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

const CONNECTIONS: usize = 64;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(2);
const HUMANS: u64 = 50_000;

/// The CRM is left out: what it does later is another benchmark.
const WORKSPACE: &str = "
destinations:
  crm: { crm: sandbox, url: \"http://127.0.0.1:9\", token: demo, mode: paused }
owner_pools:
  kyiv-sales: [olha, petro]
";

fn main() -> Result<(), Box<dyn Error>> {
    leadfold::crm::http::install_tls();
    let runtime = Runtime::new()?;
    let folder = std::env::temp_dir().join(format!("leadfold-bench-receive-{}", SystemClock.new_id()));
    let metrics = Metrics::start()?;
    let shipped = sendpulse_mapping();
    let paused = shipped.replace("  preset: sendpulse\n", "  preset: sendpulse\n  paused: true\n");
    let kept = runtime.block_on(App::start(options(&paused, &folder.join("kept"), &metrics)))?;
    let prepared = runtime.block_on(App::start(options(&shipped, &folder.join("prepared"), &metrics)))?;
    let bare = runtime.block_on(bare())?;

    let rows = [("bare", bare), ("kept", kept.address), ("kept and prepared", prepared.address)];
    let mut measured: Vec<Vec<Measured>> = rows.iter().map(|_| Vec::new()).collect();
    for round in 0..=ROUNDS {
        for ((_, address), results) in rows.iter().zip(&mut measured) {
            let result = post(*address, CONNECTIONS, Until::Elapsed(ROUND), writer())?;
            // The first round warms up.
            if round > 0 {
                results.push(result);
            }
            runtime.block_on(all_prepared(&prepared))?;
        }
    }

    if runtime.block_on(prepared.store.leads(None, 1))?.is_empty() {
        return Err("no lead was made: the mapping does not work, so nothing was measured".into());
    }
    println!("{:<20}{:>14}{:>14}{:>12}", "", "requests/s", "of bare", "p99 ms");
    let per_second = |results: &[Measured]| median(results.iter().map(Measured::per_second).collect());
    let of_bare = measured.first().map_or(f64::NAN, |results| per_second(results));
    for ((name, _), results) in rows.iter().zip(&mut measured) {
        let p99 = median(results.iter_mut().map(Measured::p99_millis).collect());
        let rate = per_second(results);
        println!("{name:<20}{rate:>14.0}{:>13.1}%{p99:>12.2}", rate / of_bare * 100.0);
    }
    println!("to reach: kept and prepared >= 25 % of bare (aim 35 %), p99 <= 15 ms");
    runtime.block_on(async {
        kept.stop().await;
        prepared.stop().await;
    });
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

fn options(mapping: &str, folder: &Path, metrics: &Metrics) -> Options {
    let files = [("workspace.yaml", WORKSPACE), ("sendpulse.yaml", mapping)];
    Options {
        files: Files(files.map(|(name, text)| (name.to_owned(), text.to_owned())).into()),
        folder: folder.to_owned(),
        follow: Follow::Database,
        read_only_workspace: true,
        database: format!("sqlite://{}", folder.join("leadfold.db").display()),
        listen: ([127, 0, 0, 1], 0).into(),
        door: Door::Demo,
        metrics: metrics.clone(),
        public_url: None,
        limits: Limits::default(),
        environment: Arc::new(|_| None),
        clock: Arc::new(SystemClock),
    }
}

/// Requests whose events have not been before.
fn writer() -> impl Fn(u64, &mut Vec<u8>) {
    let start = now_millis();
    move |number, buffer| {
        let human = number * 7 % HUMANS;
        sendpulse_request(buffer, &format!("+380{}", nine_digits(human)), human, start + number);
    }
}

async fn bare() -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let read = |body: Bytes| async move { if body.is_empty() { "empty" } else { "ok" } };
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/in/{*path}", any(read))).await });
    Ok(address)
}

/// Waits until nothing is left to be prepared, so that no row pays for another.
async fn all_prepared(app: &App) -> Result<(), Box<dyn Error>> {
    let began = Instant::now();
    while !app.store.received(1).await?.is_empty() {
        if began.elapsed() > Duration::from_mins(5) {
            return Err("deliveries are not prepared".into());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}
