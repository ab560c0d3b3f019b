//! How well people are told apart, how fast, and what it takes in memory.
//!
//! `cargo bench --bench identity`
//!
//! *Quality*: made-up humans (`tests/it/humans.rs`) and the leads that they leave, where they share nothing and where they
//! share much. Ours beside uniting whoever has one key, with role mailboxes as keys and without. *Of reachable* is the
//! recall beside that of uniting the leads of each human by key, which is the best that exact keys can do.
//! `person_once` is the share of humans with exactly one person who is nobody else.
//!
//! *Speed*: on one core, in memory, from evidence to what is learned of it, in the processor's time. *Memory*: what is known per million
//! identifiers, read from `/proc`.
//!
//! To reach: precision of uniting without role mailboxes or better; 97 % of reachable where nothing is shared, 88 % where
//! much is; 200,000 events a second for known identifiers, 60,000 with vetoes and shared values.
#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

#[path = "../tests/it/humans.rs"]
#[expect(clippy::unwrap_used, reason = "shared with the tests")]
mod humans;
#[path = "common/load.rs"]
#[expect(dead_code, reason = "of the load generator only the arithmetic is used")]
mod load;

use std::error::Error;
use std::hint::black_box;

use humans::{Left, Score, Sharing, ceiling, leads, resolved, score, united};
use leadfold::resolve::{Partition, Who};
use leadfold::rules::IdentityRules;
use load::{count, median};

const HUMANS: usize = 20_000;
const SEEDS: [u64; 3] = [1, 2, 3];
const ROUNDS: usize = 5;

fn main() -> Result<(), Box<dyn Error>> {
    println!(
        "{:<16}{:<32}{:>10}{:>10}{:>14}{:>13}{:>9}",
        "sharing", "method", "precision", "recall", "of reachable", "person_once", "people"
    );
    for sharing in [Sharing::Nothing, Sharing::Much] {
        for seed in SEEDS {
            let leads = leads(HUMANS, sharing, seed);
            let best = score(&leads, &ceiling(&leads));
            let strict = IdentityRules { shared_from: 2, ..IdentityRules::default() };
            show(sharing, "uniting every key", score(&leads, &united(&leads, true)), best);
            show(sharing, "uniting, roles left out", score(&leads, &united(&leads, false)), best);
            show(sharing, "ours", score(&leads, &resolved(&leads, IdentityRules::default())), best);
            show(sharing, "ours, strict", score(&leads, &resolved(&leads, strict)), best);
            show(sharing, "reachable", best, best);
        }
    }
    for (name, sharing) in
        [("known identifiers", Sharing::Nothing), ("vetoes and shared values", Sharing::Much)]
    {
        let leads = leads(HUMANS, sharing, SEEDS[0]);
        println!("{name:<40}{:>12.0} events/s", speed(&leads)?);
    }
    memory()
}

fn show(sharing: Sharing, method: &str, score: Score, best: Score) {
    let Score { precision, recall, person_once, people } = score;
    let reached = recall / best.recall;
    let sharing = format!("{sharing:?}").to_lowercase();
    println!(
        "{sharing:<16}{method:<32}{precision:>10.4}{recall:>10.4}{reached:>14.4}{person_once:>13.4}{people:>9}"
    );
}

/// Events a second when everybody has come once before, by the processor's time: others may use the machine.
fn speed(leads: &[Left]) -> Result<f64, Box<dyn Error>> {
    let events: Vec<Who<'_>> = leads.iter().map(Left::who).collect();
    let mut rates = Vec::new();
    for _ in 0..ROUNDS {
        let mut partition = Partition::under(IdentityRules::default());
        for who in &events {
            partition.add(who);
        }
        let began = processor_nanos()?;
        for who in &events {
            black_box(partition.add(who));
        }
        let took = count(processor_nanos()? - began) / 1e9;
        rates.push(count(u64::try_from(events.len())?) / took.max(1e-9));
    }
    Ok(median(rates))
}

/// What this thread has used of the processor.
fn processor_nanos() -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(status.split_whitespace().next().ok_or("no schedstat")?.parse()?)
}

fn memory() -> Result<(), Box<dyn Error>> {
    let before = resident()?;
    let mut partition = Partition::under(IdentityRules::default());
    let mut read = 0;
    // In pieces, so that the leads themselves take next to nothing.
    for seed in 0.. {
        if partition.known().keys.len() >= 1_000_000 {
            break;
        }
        let piece = leads(5_000, Sharing::Much, 100 + seed);
        read += piece.len();
        for mut lead in piece {
            for identifier in &mut lead.identifiers {
                // Humans of another piece have other chats, mailboxes and customer ids.
                for key in &mut identifier.keys {
                    *key = format!("{key}{seed:03}");
                }
            }
            partition.add(&lead.who());
        }
    }
    let (keys, people) = (partition.known().keys.len(), partition.known().people.len());
    let bytes = count((resident()? - before) * 1024) / count(u64::try_from(keys)?);
    println!(
        "{:<40}{bytes:>12.0} MB per million ({keys} of {people} people, {read} leads)",
        "memory of identifiers"
    );
    Ok(())
}

/// Kilobytes.
fn resident() -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.split_whitespace().nth(1).ok_or("no VmRSS")?.parse()?)
}
