//! What leadfold holds in memory while a CRM is away, and how soon it answers after a start.
//!
//! `cargo bench --bench memory`
//!
//! The release binary as a process of its own, with a paused destination: 100,000 leads of as many humans are posted and
//! prepared, with phones of ten countries. Read from `/proc`: resident memory after the start, at its peak, and with the
//! backlog in place. Then it is started once more on that backlog.
//!
//! To reach: ≤ 200 MB at the peak; answers within a second, with and without a backlog.
#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

#[path = "common/load.rs"]
#[expect(dead_code, reason = "shared; each benchmark uses its part")]
mod load;
#[path = "common/process.rs"]
#[expect(dead_code, reason = "shared; each benchmark uses its part")]
mod process;

use std::error::Error;
use std::time::{Duration, Instant};

use leadfold::store::Store;
use load::{Until, count, nine_digits, now_millis, post, sendpulse_mapping, sendpulse_request};
use process::{Program, Scratch};
use tokio::runtime::Runtime;

const LEADS: u64 = 100_000;

const WORKSPACE: &str = "
destinations:
  crm: { crm: sandbox, url: \"http://127.0.0.1:9\", token: demo, mode: paused }
owner_pools:
  kyiv-sales: [olha, petro]
";

fn main() -> Result<(), Box<dyn Error>> {
    let scratch = Scratch::new("memory")?;
    let mapping = sendpulse_mapping()
        .replace("regions: [UA, PL] ", "regions: [UA, PL, DE, CZ, KZ, GB, US, BR, ES, FR] ");
    let files = [("workspace.yaml", WORKSPACE), ("sendpulse.yaml", mapping.as_str())];
    let program = Program::serve(&scratch, &files)?;
    let idle = program.memory("VmRSS")?;
    let started_in = program.started_in;
    let start = now_millis();
    let began = Instant::now();
    post(program.address, 32, Until::Answered(LEADS), |number, buffer| {
        sendpulse_request(buffer, &phone(number), number, start + number);
    })?;
    let leads = Runtime::new()?.block_on(prepared(&scratch))?;
    let took = began.elapsed();
    let cost = program.processor_time()?.as_secs_f64() * 1000.0 / count(LEADS);
    let (backlog, peak) = (program.memory("VmRSS")?, program.memory("VmHWM")?);
    drop(program);
    let again = Program::serve(&scratch, &files)?;
    println!("{:<40}{:>8.0} ms", "first start to first answer", started_in.as_secs_f64() * 1000.0);
    println!(
        "{:<40}{:>8.0} ms",
        "start on the backlog to first answer",
        again.started_in.as_secs_f64() * 1000.0
    );
    println!("{:<40}{idle:>8.1} MB", "memory, idle");
    println!("{:<40}{backlog:>8.1} MB", format!("memory, backlog of {leads} leads"));
    println!("{:<40}{peak:>8.1} MB", "memory, peak");
    println!("{:<40}{cost:>8.3} ms", "processor time a lead, received and prepared");
    println!("received and prepared in {:.1} s; to reach: 200 MB, 1000 ms", took.as_secs_f64());
    Ok(())
}

/// Phones of ten countries in turn, each as its people write it.
fn phone(number: u64) -> String {
    let six = 100_003 + number * 7 % 800_011;
    match number % 10 {
        0 => format!("0{}", nine_digits(number)),
        1 => format!("+48 512 {six}"),
        2 => format!("+49 1512 3{six}"),
        3 => format!("+420 602 {six}"),
        4 => format!("+7 701 2{six}"),
        5 => format!("+44 7400 {six}"),
        6 => format!("+1 212 5{six}"),
        7 => format!("+55 11 987{six}"),
        8 => format!("+34 612 {six}"),
        _ => format!("+33 6 12 {six}"),
    }
}

/// Waits until all posts are leads.
async fn prepared(scratch: &Scratch) -> Result<i64, Box<dyn Error>> {
    let store = Store::open_to_read(&scratch.database()).await?;
    let deadline = Instant::now() + Duration::from_mins(10);
    loop {
        if store.received(1).await?.is_empty() {
            let leads = store.counts().await?.leads;
            store.close().await;
            return Ok(leads);
        }
        if Instant::now() > deadline {
            return Err("the posts did not become leads in ten minutes".into());
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
