//! `leadfold torture`: an adversary against real processes on this machine, and the reckoning.

use std::fmt::{self, Write as _};
use std::io::{IsTerminal as _, Write as _};
use std::pin::pin;
use std::str::FromStr;
use std::sync::Mutex;
use std::time::Duration;

use clap::{Args, value_parser};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::SignedDuration;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::Instant;

use super::explain::told;
use super::serve::stop_signal;
use super::{End, Failure, how_many, leads, say, seed};
use crate::clock::{Clock as _, SystemClock};
use crate::store::is_postgres;
use crate::torture::reconcile::{Count, Harm, Verdict};
use crate::torture::report::{Report, Spread};
use crate::torture::schedule::MOST_HUMANS;
use crate::torture::storm::StormOptions;
use crate::torture::{Options as TortureOptions, Progress, Torture};

const EXAMPLES: &str = "\
Examples:
  leadfold torture                      one process on SQLite, for a minute
  leadfold torture --database postgres://me@localhost/empty --processes 3
  leadfold torture --posts 20000 --humans 5000 --seconds 120 --kill-every 2s
  leadfold torture --freeze-every never --seed 7 --json

It starts real processes and a CRM that lies, posts what humans do, and kills,
freezes and cuts whatever it can. In the end it compares what was posted with
what the registry and the CRM hold. Nothing of yours is touched: it works in a
folder of its own, and on PostgreSQL only in an empty database, which it empties
again. When it finds harm it leaves everything where it is, to be looked at.

A seed repeats what is posted and done; what the machine makes of it varies.

Exit codes: 0 nothing was lost or doubled, 1 something was, 2 it could not be
done.";

/// Arguments of `torture`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    /// An empty PostgreSQL database, `postgres://…` [default: a SQLite file that is gone at the end]
    #[arg(long, value_name = "URL")]
    database: Option<SecretString>,
    /// Processes on that database [default: 3, on SQLite 1]
    #[arg(long, value_name = "N", value_parser = value_parser!(u8).range(1..=32))]
    processes: Option<u8>,
    /// Requests that the platforms post, redeliveries included
    #[arg(long, value_name = "N", default_value_t = 5_000, value_parser = value_parser!(u64).range(1..=1_000_000))]
    posts: u64,
    /// Humans who press Send, each in several messengers
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = value_parser!(u64).range(1..=MOST_HUMANS))]
    humans: u64,
    /// Connections that post at once
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = value_parser!(u16).range(1..=1_000))]
    concurrency: u16,
    /// How long it goes on; the posts come in its first half
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// kill -9 of a random process, this often on average: 2s, 500ms or never
    #[arg(long, value_name = "TIME", default_value = "4s")]
    kill_every: Every,
    /// SIGSTOP of a random process for less or for more than its lease
    #[arg(long, value_name = "TIME", default_value = "15s")]
    freeze_every: Every,
    /// Break every connection to PostgreSQL
    #[arg(long, value_name = "TIME", default_value = "10s")]
    cut_every: Every,
    /// Shell command that restarts PostgreSQL: run half-way, in long runs once a minute
    #[arg(long, value_name = "COMMAND", requires = "database")]
    restart: Option<String>,
    /// The CRM cannot find tasks again: what may have been written is left to a person
    #[arg(long)]
    blind: bool,
    /// Repeat what an earlier run drew
    #[arg(long, value_name = "S", value_parser = seed)]
    seed: Option<u64>,
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// How often something is done, on average.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Every(Option<Duration>);

impl FromStr for Every {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "never" {
            return Ok(Self(None));
        }
        let time = text.parse::<SignedDuration>().ok().and_then(|time| Duration::try_from(time).ok());
        let time = time.filter(|time| *time >= SHORTEST);
        time.map(|time| Self(Some(time)))
            .ok_or_else(|| format!("write a time of at least {SHORTEST:?}, such as 2s or 500ms, or never"))
    }
}

impl fmt::Display for Every {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(every) => write!(f, "{every:?}"),
            None => f.write_str("never"),
        }
    }
}

/// More often than that, no process would ever come up.
const SHORTEST: Duration = Duration::from_millis(100);
/// Problems that are told one by one, and leads of each.
const TOLD: usize = 5;
const TOLD_LEADS: usize = 3;

impl Options {
    /// The same run again, without what carries a password.
    fn again(&self, seed: u64) -> String {
        let mut words = String::from("leadfold torture");
        // Writing to a String cannot fail.
        if self.database.is_some() {
            write!(words, " --database … --processes {}", self.processes()).ok();
            write!(words, " --cut-every {}", self.cut_every).ok();
        }
        write!(words, " --posts {} --humans {}", self.posts, self.humans).ok();
        write!(words, " --concurrency {} --seconds {}", self.concurrency, self.seconds).ok();
        write!(words, " --kill-every {} --freeze-every {}", self.kill_every, self.freeze_every).ok();
        if self.restart.is_some() {
            words.push_str(" --restart …");
        }
        if self.blind {
            words.push_str(" --blind");
        }
        write!(words, " --seed {seed}").ok();
        words
    }

    fn processes(&self) -> usize {
        self.processes.map_or(if self.database.is_some() { 3 } else { 1 }, usize::from)
    }

    fn checked(&self, seed: u64) -> Result<TortureOptions, Failure> {
        let database = self.database.as_ref().map(|database| database.expose_secret().to_owned());
        if let Some(url) = &database
            && !is_postgres(url).unwrap_or(false)
        {
            return Err(
                "--database wants postgres://…; without it a SQLite file of its own is tortured".to_owned()
            );
        }
        if database.is_none() && self.processes() > 1 {
            return Err(
                "SQLite has one process: name an empty PostgreSQL database with --database".to_owned()
            );
        }
        let program = std::env::current_exe()
            .map_err(|error| format!("it is not known where leadfold itself is: {error}"))?;
        Ok(TortureOptions {
            program,
            restart: self.restart.clone(),
            posts: self.posts,
            humans: self.humans,
            concurrency: usize::from(self.concurrency),
            storm: StormOptions {
                seed,
                processes: self.processes(),
                kill_every: self.kill_every.0,
                freeze_every: self.freeze_every.0,
                cut_every: self.cut_every.0.filter(|_| database.is_some()),
                restart: self.restart.is_some(),
                lasts: Duration::from_secs(self.seconds),
                blind: self.blind,
            },
            database,
        })
    }
}

pub(super) async fn run(options: Options) -> Result<End, Failure> {
    let drawn = || SystemClock.now().as_millisecond().unsigned_abs() % 1_000_000;
    let seed = options.seed.unwrap_or_else(drawn);
    let checked = options.checked(seed)?;
    let mut stopped = pin!(stop_signal()?);
    let watch = Watch::new(options.posts);
    let mut torture = Torture::start(checked, &mut stopped).await?;
    let carried_out = async {
        torture.storm(&|progress| watch.tell(progress)).await?;
        torture.come_to_rest(&|progress| watch.tell(progress)).await?;
        torture.reconcile().await
    };
    let report = tokio::select! {
        report = carried_out => report,
        () = stopped => {
            watch.end();
            torture.end(false).await?;
            return Err("it was stopped; its processes have ended and nothing is left behind".to_owned());
        }
    };
    watch.end();
    let report = match report {
        Ok(report) => report,
        Err(failure) => {
            let folder = torture.folder().display().to_string();
            torture.end(true).await?;
            return Err(format!("{failure}\nThe logs are in {folder}"));
        }
    };
    let again = options.again(seed);
    let clean = report.is_clean();
    let folder = (!clean).then(|| torture.folder().display().to_string());
    if options.json {
        let mut document = serde_json::to_value(&report).map_err(|error| error.to_string())?;
        document["again"] = again.into();
        document["folder"] = folder.into();
        say(&document.to_string())?;
    } else {
        say(&in_words(&report))?;
        match folder {
            None => say("\nNothing was lost or doubled.")?,
            Some(folder) => {
                say(&format!("{}\nLogs and database stay: {folder}", failures(&report, &torture).await?))?;
            }
        }
        say(&format!("The same again: {again}"))?;
    }
    torture.end(!clean).await?;
    Ok(if clean { End::Done } else { End::FoundProblems })
}

/// The numbers of a report.
fn in_words(report: &Report) -> String {
    let Report { posted, suffered, verdict, .. } = report;
    let mut text = String::new();
    let mut line = |words: String| {
        // Writing to a String cannot fail.
        writeln!(text, "{words}").ok();
    };
    let database = if report.database == "sqlite" { "SQLite" } else { "PostgreSQL" };
    line(format!(
        "{} on {database}, seed {}",
        how_many(report.processes as u64, "process", "processes"),
        report.seed
    ));
    line(format!(
        "posted      {} of {}: {} different events, {} acknowledged, {} a second for {} s",
        how_many(posted.posts as u64, "request", "requests"),
        how_many(posted.humans as u64, "human", "humans"),
        posted.events,
        posted.acknowledged,
        posted.acks_per_second,
        posted.posting_seconds
    ));
    let never = posted.events - posted.acknowledged;
    if never > 0 {
        line(format!(
            "            {} never acknowledged",
            how_many(never as u64, "event was", "events were")
        ));
    }
    line(format!("answered    {}", spread(posted.ack_ms)));
    let failed: Vec<String> =
        posted.sent_again.iter().map(|(what, times)| format!("{what} {times}×")).collect();
    line(format!("sent again  {}", if failed.is_empty() { "nothing".to_owned() } else { failed.join(", ") }));
    line(format!(
        "suffered    {} kill -9, {} ({} longer than a lease), {} of all connections, {} of the database",
        suffered.kills,
        how_many(suffered.freezes as u64, "freeze", "freezes"),
        suffered.long_freezes,
        how_many(suffered.cuts as u64, "cut", "cuts"),
        how_many(suffered.restarts as u64, "restart", "restarts")
    ));
    line(format!(
        "the CRM     {}, {} of them refused for coming too fast",
        how_many(suffered.crm_calls + suffered.rate_limited, "call", "calls"),
        suffered.rate_limited
    ));
    line(format!("take-overs  {}", spread(report.take_over_ms)));
    let rest = if report.at_rest { "came to rest within" } else { "did NOT come to rest within" };
    line(format!(
        "afterwards  {} still waited; {rest} {} s",
        leads(report.waiting.unsigned_abs()),
        report.rest_seconds
    ));
    line(format!(
        "registry    {} kept until they have a phone, {} found again after a lost answer, {} left to a person",
        verdict.kept_without_phone, report.found_again, verdict.left_to_a_person
    ));
    let attention: Vec<String> =
        verdict.needs_attention.iter().map(|(why, times)| format!("{why} {times}×")).collect();
    if !attention.is_empty() {
        line(format!("attention   {}", attention.join(", ")));
    }
    for ended in &report.ended_by_themselves {
        line(format!("crashed     {ended}"));
    }
    if report.failed_starts > 0 {
        line(format!("starts      {} failed and were repeated", report.failed_starts));
    }
    line(String::new());
    line(harm(verdict));
    line(String::new());
    line("            expected   found".to_owned());
    for (what, Count { expected, found }) in
        [("contacts", verdict.contacts), ("deals", verdict.deals), ("tasks", verdict.tasks)]
    {
        line(format!("{what:<11} {expected:>8}{found:>8}"));
    }
    text.truncate(text.trim_end().len());
    text
}

/// `lost 0 · doubled contacts 0 · …`: the three that it is about always, the others when there are some.
fn harm(verdict: &Verdict) -> String {
    let always = [Harm::Lost, Harm::DoubledContact, Harm::DoubledDeal, Harm::DoubledTask];
    let shown = verdict.harm.iter().filter(|(harm, times)| **times > 0 || always.contains(harm));
    let words: Vec<String> = shown.map(|(harm, times)| format!("{} {times}", name(*harm))).collect();
    words.join(" · ")
}

fn name(harm: Harm) -> String {
    harm.name().replace('_', " ")
}

fn spread(spread: Option<Spread>) -> String {
    spread.map_or_else(
        || "none".to_owned(),
        |Spread { count, min, median, p99, max }| {
            format!("{count}× in {min} ms at least, {median} ms in the middle, {p99} ms for 99 %, {max} ms at most")
        },
    )
}

/// The first problems, with what `explain` tells of their leads.
async fn failures(report: &Report, torture: &Torture) -> Result<String, Failure> {
    let problems = &report.verdict.problems;
    let mut text = String::new();
    for problem in problems.iter().take(TOLD) {
        // Writing to a String cannot fail, here and below.
        writeln!(text, "\n{}: {}", name(problem.harm), problem.text).ok();
        for lead in problem.leads.iter().take(TOLD_LEADS) {
            let lead = torture.registry().lead(*lead).await.map_err(|failure| failure.to_string())?;
            text.extend(lead.as_ref().map(told));
        }
    }
    if problems.len() > TOLD {
        writeln!(text, "\n… and {} more; --json lists all of them.", problems.len() - TOLD).ok();
    }
    Ok(text)
}

/// What is going on: a bar on a terminal, elsewhere a line now and then.
struct Watch {
    bar: Option<ProgressBar>,
    posts: u64,
    told: Mutex<Option<Instant>>,
}

/// Without a terminal a line comes this often.
const LINE: Duration = Duration::from_secs(10);

impl Watch {
    fn new(posts: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(posts);
            if let Ok(style) = ProgressStyle::with_template("posted {bar:25} {pos}/{len}  {msg}") {
                bar.set_style(style);
            }
            bar
        });
        Self { bar, posts, told: Mutex::default() }
    }

    fn tell(&self, progress: &Progress) {
        if let Some(bar) = &self.bar {
            bar.set_position(progress.posted as u64);
            bar.set_message(going_on(progress));
            return;
        }
        let mut told = self.told.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if told.is_none_or(|told| told.elapsed() >= LINE) {
            *told = Some(Instant::now());
            let going_on = going_on(progress);
            // When standard error is gone there is nobody left to tell.
            writeln!(std::io::stderr(), "posted {} of {}; {going_on}", progress.posted, self.posts).ok();
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn going_on(progress: &Progress) -> String {
    let Progress { suffered, up, .. } = progress;
    let waits = progress.backlog.map_or_else(|| "?".to_owned(), |backlog| backlog.to_string());
    if progress.calm {
        return format!("coming to rest, {waits} waiting");
    }
    format!(
        "{up} up, {waits} waiting, {} kills, {} freezes, {} cuts, {} restarts",
        suffered.kills, suffered.freezes, suffered.cuts, suffered.restarts
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        let check = |text: &str, expect: Option<Option<u64>>| {
            let every = text.parse::<Every>().ok().map(|every| every.0.map(|every| every.as_millis()));
            assert_eq!(every, expect.map(|every| every.map(u128::from)), "{text}");
        };
        check("2s", Some(Some(2_000)));
        check("500ms", Some(Some(500)));
        check("1m", Some(Some(60_000)));
        check("never", Some(None));
        check("0s", None);
        check("-2s", None);
        check("2", None);
        check("", None);
    }
}
