//! From the webhook to the CRM and back: how fast, how much of the CRM's rate limit is used, and how much processor time
//! a lead costs.
//!
//! `cargo bench --bench sync`
//!
//! 500 humans post four times each, in four spellings of their phone, 32 posts at a time. leadfold and the sandbox CRM
//! are processes of their own (the release binary); CRM and benchmark are not part of leadfold's processor time.
//!
//! * *naive*: what people write first: for each post one search, one contact created or updated, one deal; 32 workers,
//!   nothing stored, no guarantee. (It also leaves duplicates behind; that is counted elsewhere.)
//! * *leadfold*: posts until the last lead is synced and stored as such, with one call for each thing, as the naive loop.
//! * *in batches*: the same where the CRM takes fifty operations in one call, as many do.
//! * *behind 10 calls/s*: the CRM answers 429 beyond its limit, leadfold was told the limit.
//!
//! To reach: leadfold ≥ 1.4 × naive; ≤ 0.5 ms of processor time a lead; ≥ 95 % of the rate limit used, 429s ≤ 1 % of
//! the calls.
#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

#[path = "common/load.rs"]
#[expect(dead_code, reason = "shared; each benchmark uses its part")]
mod load;
#[path = "common/process.rs"]
#[expect(dead_code, reason = "shared; each benchmark uses its part")]
mod process;

use std::error::Error;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use leadfold::app::until_quiet;
use leadfold::sandbox::Stats;
use leadfold::store::Store;
use load::{Until, count, median, nine_digits, now_millis, post, sendpulse_mapping, sendpulse_request};
use process::{Program, Scratch};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

type Outcome<T> = Result<T, Box<dyn Error>>;

const HUMANS: u64 = 500;
const POSTS: u64 = 4 * HUMANS;
const AT_ONCE: usize = 32;
const ROUNDS: usize = 3;

/// Calls a second that the limited CRM allows, and how long it is watched.
const LIMIT: u64 = 10;
const WATCHED: Duration = Duration::from_secs(30);

fn workspace(crm: &Program, rate: &str) -> String {
    format!(
        "destinations:\n  crm: {{ crm: sandbox, url: \"http://{}\", token: demo, concurrency: 64{rate} }}\n\
         owner_pools:\n  kyiv-sales: [olha, petro]\n",
        crm.address
    )
}

fn main() -> Outcome<()> {
    leadfold::crm::http::install_tls();
    let runtime = Runtime::new()?;
    let (mut naive, mut single, mut batched) = (Vec::new(), Rounds::default(), Rounds::default());
    for _ in 0..ROUNDS {
        naive.push(naive_round(&runtime)?);
        single.add(leadfold_round(&runtime, false)?);
        batched.add(leadfold_round(&runtime, true)?);
    }
    let naive = median(naive);
    let (used, refused) = limited_round()?;
    println!("CRM of 20 ms            leads/s     of naive   ms of processor a lead");
    println!("naive, 32 workers{naive:>14.0}{:>13.2}", 1.0);
    for (name, rounds) in [("leadfold", single), ("in batches", batched)] {
        let (rate, cost) = (median(rounds.rates), median(rounds.costs));
        println!("{name:<17}{rate:>14.0}{:>13.2}{cost:>25.3}", rate / naive);
    }
    println!("to reach                             1.40                    0.500");
    println!();
    println!("CRM with {LIMIT} calls/s       limit used      429 of calls");
    println!("leadfold         {used:>15.1} %{refused:>15.2} %");
    println!("to reach                    95.0 %           1.00 %");
    Ok(())
}

/// The phone of a post, as this person writes it this time.
fn phone(post: u64) -> String {
    let digits = nine_digits(post % HUMANS);
    match post / HUMANS {
        0 => format!("+380{digits}"),
        1 => format!("0{digits}"),
        2 => format!("380{digits}"),
        _ => {
            format!("+38 (0{}) {}", digits.get(..2).unwrap_or_default(), digits.get(2..).unwrap_or_default())
        }
    }
}

/// Leads a second of the naive loop.
fn naive_round(runtime: &Runtime) -> Outcome<f64> {
    let scratch = Scratch::new("naive")?;
    let crm = Program::sandbox(&scratch, &["--latency-ms", "20"])?;
    let url = format!("http://{}", crm.address);
    let client = reqwest::Client::builder().no_proxy().build()?;
    let next = AtomicUsize::new(0);
    let began = Instant::now();
    let worker = || async {
        loop {
            let number = u64::try_from(next.fetch_add(1, Ordering::Relaxed))?;
            if number >= POSTS {
                return Outcome::Ok(());
            }
            naive_lead(&client, &url, &phone(number)).await?;
        }
    };
    let ended = runtime.block_on(futures_util::future::join_all((0..AT_ONCE).map(|_| worker())));
    ended.into_iter().collect::<Outcome<Vec<()>>>()?;
    Ok(count(POSTS) / began.elapsed().as_secs_f64())
}

async fn naive_lead(client: &reqwest::Client, url: &str, phone: &str) -> Outcome<()> {
    let contact = json!({ "name": "Олена", "phones": [phone], "fields": { "utm_source": "tg_ads" } });
    let search = client.get(format!("{url}/contacts")).query(&[("phone", phone)]);
    let found = call(search).await?;
    let known = found.pointer("/items/0/id").cloned();
    let id = if let Some(id) = known {
        call(client.patch(format!("{url}/contacts/{id}")).json(&contact)).await?;
        id
    } else {
        let made = call(client.post(format!("{url}/contacts")).json(&contact)).await?;
        made.get("id").cloned().ok_or("the CRM gave no id")?
    };
    let deal = json!({ "contact_id": id, "title": "Lead", "pipeline": "Main", "stage": "New" });
    call(client.post(format!("{url}/deals")).json(&deal)).await?;
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "what it is compared with does not use our client")]
async fn call(request: reqwest::RequestBuilder) -> Outcome<Value> {
    Ok(request.bearer_auth("demo").send().await?.error_for_status()?.json().await?)
}

/// Leads a second, and milliseconds of processor time a lead, of several rounds.
#[derive(Default)]
struct Rounds {
    rates: Vec<f64>,
    costs: Vec<f64>,
}

impl Rounds {
    fn add(&mut self, (rate, cost): (f64, f64)) {
        self.rates.push(rate);
        self.costs.push(cost);
    }
}

/// Leads a second of leadfold, and milliseconds of processor time a lead.
fn leadfold_round(runtime: &Runtime, batches: bool) -> Outcome<(f64, f64)> {
    let (scratch, crm_scratch) = (Scratch::new("leadfold")?, Scratch::new("crm")?);
    let faults: &[&str] = if batches { &["--latency-ms", "20", "--batch"] } else { &["--latency-ms", "20"] };
    let crm = Program::sandbox(&crm_scratch, faults)?;
    let mapping = sendpulse_mapping();
    let workspace = workspace(&crm, if batches { ", batch: true" } else { "" });
    let program = Program::serve(&scratch, &[("workspace.yaml", &workspace), ("sendpulse.yaml", &mapping)])?;
    let (before, began) = (program.processor_time()?, Instant::now());
    post_all(&program, POSTS)?;
    let store = runtime.block_on(Store::open_to_read(&scratch.database()))?;
    if !runtime.block_on(until_quiet(&store, Duration::from_mins(2)))? {
        return Err("not everything was synced".into());
    }
    let took = began.elapsed();
    let cost = program.processor_time()?.saturating_sub(before);
    runtime.block_on(store.close());
    let stats: Stats = serde_json::from_str(&crm.get("/stats")?)?;
    let expected = (HUMANS, HUMANS, POSTS - HUMANS);
    let made = (u64::try_from(stats.contacts)?, u64::try_from(stats.deals)?, u64::try_from(stats.tasks)?);
    if made != expected {
        return Err(format!("contacts, deals, tasks: {made:?} instead of {expected:?}").into());
    }
    Ok((count(POSTS) / took.as_secs_f64(), cost.as_secs_f64() * 1000.0 / count(POSTS)))
}

/// Percent of the limit used while there is always something to do, and percent of the calls answered 429.
fn limited_round() -> Outcome<(f64, f64)> {
    let (scratch, crm_scratch) = (Scratch::new("limited")?, Scratch::new("limited-crm")?);
    let rate = format!("{LIMIT}/s");
    let crm = Program::sandbox(&crm_scratch, &["--latency-ms", "20", "--rate", &rate])?;
    let mapping = sendpulse_mapping();
    let workspace = workspace(&crm, &format!(", rate: {LIMIT}/s"));
    let program = Program::serve(&scratch, &[("workspace.yaml", &workspace), ("sendpulse.yaml", &mapping)])?;
    post_all(&program, HUMANS)?;
    let stats = || Outcome::Ok(serde_json::from_str::<Stats>(&crm.get("/stats")?)?);
    let (before, began) = (stats()?, Instant::now());
    std::thread::sleep(WATCHED);
    let (after, took) = (stats()?, began.elapsed());
    let calls = after.calls_total - before.calls_total;
    let refused = after.rate_limited - before.rate_limited;
    let allowed = count(LIMIT) * took.as_secs_f64();
    Ok((count(calls) / allowed * 100.0, count(refused) / count(calls + refused) * 100.0))
}

fn post_all(program: &Program, posts: u64) -> Outcome<()> {
    let start = now_millis();
    post(program.address, AT_ONCE, Until::Answered(posts), |number, buffer| {
        sendpulse_request(buffer, &phone(number), number % HUMANS, start + number);
    })?;
    Ok(())
}
