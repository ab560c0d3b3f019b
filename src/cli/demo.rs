//! `leadfold demo`: sample webhooks, this leadfold, and a CRM and bots of our own, all on this machine.

mod stories;
mod table;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};

use self::stories::{Played, Stage};
use super::faults::FaultOptions;
use super::serve::stop_signal;
use super::{End, Failure, how_many, loopback, process_environment, say};
use crate::app::{App, Door, Follow, Options as AppOptions, until_quiet};
use crate::clock::{Clock as _, SystemClock};
use crate::crm::http::post_sample;
use crate::demo::{FIXTURES, MAPPINGS, TRUTH};
use crate::map::Files;
use crate::receive::Limits;
use crate::sandbox::{Faults, Sandbox, SandboxOptions, Stats};
use crate::store::StoreError;
use crate::sync::WorkerHandle;
use crate::telemetry::{LogFormat, Metrics, start_logs};
use crate::workspace::{Environment, finish_edit, read_files};

const EXAMPLES: &str = "\
Examples:
  leadfold demo                         stays up, to be looked at and broken
  leadfold demo --once                  ends when the samples are done
  leadfold demo --once --rate 10/s --timeout-after 0.3
  leadfold demo --workspace mappings    with your own mappings

It needs no account anywhere and leaves nothing behind: the CRM and the bots are
leadfold's own, and the database is gone at the end.

After the samples it plays one story of each system (SendPulse, Mindbox with
Botmother, Chatterfy, Metabot, eSputnik), and tells what came of it there. A
story whose mappings are not in the workspace is left out.

Exit codes: 0 done, 1 a story did not come out as it should, or some leads had
not come to an end after five minutes, 2 it could not be done.";

/// Arguments of `demo`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    /// Send the samples, wait until all is done, print the result and end
    #[arg(long)]
    once: bool,
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
    /// Folder with workspace.yaml and one YAML file per source [default: `mappings` here, or else the built-in one]
    #[arg(long, value_name = "DIR")]
    workspace: Option<PathBuf>,
    /// Port of leadfold; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 8080)]
    port: u16,
    #[command(flatten)]
    faults: FaultOptions,
}

/// The samples are done long before this, whatever the faults.
const AT_MOST: Duration = Duration::from_mins(5);

/// How often the workers are told that there may be something to do.
const LOOK: Duration = Duration::from_millis(50);

pub(super) async fn run(options: Options) -> Result<End, Failure> {
    start_logs(LogFormat::Text, "warn").map_err(|error| error.to_string())?;
    let folder = std::env::temp_dir().join(format!("leadfold-demo-{}", SystemClock.new_id()));
    let ended = set_up(&options, &folder).await;
    let removed = match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(format!("{} could not be removed: {error}", folder.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    };
    ended.and_then(|end| removed.map(|()| end))
}

async fn set_up(options: &Options, folder: &Path) -> Result<End, Failure> {
    let port = if options.once { 0 } else { options.port };
    let sandbox = start_sandbox(options.faults.faults()?, options.once).await?;
    sandbox.set_truth(serde_json::from_str(TRUTH).map_err(|error| format!("fixtures/truth.json: {error}"))?);
    let texts = workspace(options.workspace.as_deref())?;
    let files = texts.files.clone();
    let app = start_app(texts, folder, port, &sandbox.url()).await?;
    let ended = perform(options, &Stage { app: &app, sandbox: &sandbox, files: &files }).await;
    // Whoever still waits for a broken database would wait for ever.
    if ended.is_ok() {
        app.stop().await;
    }
    sandbox.stop().await;
    ended
}

/// Sends the samples, plays the stories, and tells what came of them.
async fn perform(options: &Options, stage: &Stage<'_>) -> Result<End, Failure> {
    let (app, crm) = (stage.app, stage.sandbox.url());
    let hook = format!("http://{}/in/sendpulse/demo", app.address);
    let tell = |text: &str| if options.json { Ok(()) } else { say(text) };
    tell(&format!("leadfold on http://{}, a CRM and bots of our own on {crm}", app.address))?;
    let (mut quiet, mut taken) = (true, 0);
    for (name, body) in FIXTURES {
        let sent = post_sample(&hook, None, body).await;
        let (status, answer) = sent.map_err(|error| format!("{name} could not be sent: {error}"))?;
        if status == 200 {
            taken += 1;
        } else {
            tell(&format!("  {name} was answered {status}: {answer}"))?;
        }
        // One after another, so that the result is the same each time; the tests do it all at once.
        quiet &= calm(app).await?;
    }
    tell(&format!("{} samples of SendPulse sent, {taken} answered 200", FIXTURES.len()))?;
    let mut result = result(app, &stage.sandbox.stats()).await?;
    tell(&told(&result))?;
    let played = stories::play(stage).await?;
    if options.json {
        result["stories"] = played.iter().map(Played::json).collect();
        if !options.once {
            result["url"] = json!(format!("http://{}", app.address));
            result["crm_url"] = json!(crm);
        }
        say(&result.to_string())?;
    } else if !played.is_empty() {
        say(&format!("\n{}", table::told(&played)))?;
    }
    let good = quiet && played.iter().all(Played::is_as_it_should_be);
    if !options.once {
        let stopped = stop_signal()?;
        tell(&next(app, &crm, &hook))?;
        stopped.await;
        return Ok(End::Done);
    }
    Ok(if good { End::Done } else { End::FoundProblems })
}

/// Waits until all has come to an end, [at most so long](AT_MOST). Fails as soon as the database takes no writes: nothing will
/// come to an end then.
async fn calm(app: &App) -> Result<bool, Failure> {
    let mut trouble = app.store.trouble();
    tokio::select! {
        quiet = until_all_is_called(app) => quiet.map_err(|error| error.to_string()),
        Ok(why) = trouble.wait_for(Option::is_some) => Err(format!(
            "the demo's own database takes no writes: {}. It is in {}; make room there, or set TMPDIR to another folder",
            why.as_deref().unwrap_or_default(),
            std::env::temp_dir().display(),
        )),
    }
}

/// Looks as often for what is to be called once the CRM has confirmed: a second is soon enough for a bot, and too long for
/// whoever watches.
async fn until_all_is_called(app: &App) -> Result<bool, StoreError> {
    let began = Instant::now();
    while !until_quiet(&app.store, LOOK).await? {
        if began.elapsed() > AT_MOST {
            return Ok(false);
        }
        app.workers().iter().for_each(WorkerHandle::wake);
    }
    Ok(true)
}

async fn start_sandbox(faults: Faults, once: bool) -> Result<crate::sandbox::Running, Failure> {
    let options = |port| SandboxOptions {
        listen: loopback(port),
        token: "demo".to_owned(),
        faults: faults.clone(),
        seed: 1,
        account: None,
    };
    // The well-known port is nicer to look at; any other does as well when it is taken.
    if !once && let Ok(running) = Sandbox::start(options(9900)).await {
        return Ok(running);
    }
    Sandbox::start(options(0)).await.map_err(|error| format!("the sandbox CRM cannot be started: {error}"))
}

async fn start_app(texts: Texts, folder: &Path, port: u16, crm: &str) -> Result<App, Failure> {
    let crm = crm.to_owned();
    let process = process_environment();
    let environment: Environment = Arc::new(move |name| match name {
        "SANDBOX_URL" => Some(crm.clone()),
        "SANDBOX_TOKEN" => Some("demo".to_owned()),
        // Who sets them elsewhere means the real ones, and the samples come with those of the demo.
        hook if hook.ends_with("_HOOK_TOKEN") || hook.ends_with("_HOOK_SECRET") => Some("demo".to_owned()),
        other => process(other),
    });
    let options = AppOptions {
        files: texts.files,
        folder: texts.folder,
        follow: texts.follow,
        read_only_workspace: false,
        database: format!("sqlite://{}", folder.join("demo.db").display()),
        listen: loopback(port),
        door: Door::Demo,
        metrics: Metrics::start().map_err(|error| error.to_string())?,
        public_url: None,
        limits: Limits::default(),
        environment,
        clock: Arc::new(SystemClock),
    };
    App::start(options).await.map_err(|error| error.to_string())
}

/// The mappings to demonstrate.
struct Texts {
    files: Files,
    folder: PathBuf,
    follow: Follow,
}

/// The mappings of the folder, of `mappings/` here, or the built-in ones.
fn workspace(folder: Option<&Path>) -> Result<Texts, Failure> {
    let of = |folder: &Path| {
        finish_edit(folder)?;
        Ok(Texts { files: read_files(folder)?, folder: folder.to_owned(), follow: Follow::Files })
    };
    match folder {
        Some(folder) => of(folder),
        None => of(Path::new("mappings")).or_else(|_: Failure| {
            let files = MAPPINGS.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
            // There is no folder to follow.
            let (folder, follow) = (PathBuf::from("the built-in mappings"), Follow::Database);
            Ok(Texts { files: Files(files.collect()), folder, follow })
        }),
    }
}

async fn result(app: &App, stats: &Stats) -> Result<Value, Failure> {
    let counts = app.store.counts().await.map_err(|error| error.to_string())?;
    Ok(json!({
        "deliveries": counts.deliveries,
        "redeliveries": counts.redeliveries,
        "leads": counts.leads,
        "contacts": stats.contacts,
        "deals": stats.deals,
        "tasks": stats.tasks,
        "filtered": counts.filtered,
        "needs_attention": counts.needs_attention,
        "duplicate_contacts": stats.duplicate_contacts,
        "duplicate_deals": stats.duplicate_deals,
        "wrongly_joined": stats.wrongly_joined,
        "open": counts.open,
        "unreadable": counts.unreadable,
        "crm_calls": stats.calls_total,
        "rate_limited": stats.rate_limited,
    }))
}

/// What to do with a demo that stays up.
fn next(app: &App, crm: &str, hook: &str) -> String {
    format!(
        "\nLook:   http://{}/ (the console: every lead and why; no password, from this machine only), {crm}/ (the CRM and \
         the bots)\n\
         Send:   curl -d @fixtures/sendpulse/01_new_lead_telegram.json {hook}   (the same again is a redelivery)\n\
         Break:  curl -d '{{\"timeout_after\": 0.5}}' {crm}/faults   then send again; or edit mappings/, and send \
         something new. Ctrl-C ends",
        app.address
    )
}

fn told(result: &Value) -> String {
    let number = |name: &str| result.get(name).and_then(Value::as_u64).unwrap_or_default();
    let of = |name: &str, one: &str, many: &str| how_many(number(name), one, many);
    format!(
        "\n{}: {}, {}, {} filtered, {} needing attention\nin the CRM: {}, {}, {}; duplicates: {}, {}",
        of("deliveries", "delivery", "deliveries"),
        of("leads", "lead", "leads"),
        of("redeliveries", "redelivery", "redeliveries"),
        number("filtered"),
        number("needs_attention"),
        of("contacts", "contact", "contacts"),
        of("deals", "deal", "deals"),
        of("tasks", "task", "tasks"),
        of("duplicate_contacts", "contact", "contacts"),
        of("duplicate_deals", "deal", "deals"),
    )
}
