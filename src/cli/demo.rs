//! `leadfold demo`: sample webhooks, this leadfold, and a CRM of our own, all on this machine.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use secrecy::SecretString;
use serde_json::{Value, json};

use super::faults::FaultOptions;
use super::serve::stop_signal;
use super::{End, Failure, how_many, loopback, process_environment, say};
use crate::app::{App, Door, Follow, Options as AppOptions, until_quiet};
use crate::clock::{Clock as _, SystemClock};
use crate::crm::http::post_json;
use crate::demo::{FIXTURES, MAPPINGS, TRUTH};
use crate::map::Files;
use crate::receive::Limits;
use crate::sandbox::{Faults, Sandbox, SandboxOptions, Stats};
use crate::telemetry::{LogFormat, Metrics, start_logs};
use crate::workspace::{Environment, read_files};

const EXAMPLES: &str = "\
Examples:
  leadfold demo                         stays up, to be looked at and broken
  leadfold demo --once                  ends when the samples are done
  leadfold demo --once --rate 10/s --timeout-after 0.3
  leadfold demo --workspace mappings    with your own mappings

It needs no account anywhere and leaves nothing behind: the CRM is leadfold's
own, and the database is gone at the end.

Exit codes: 0 done, 1 some leads had not come to an end after five minutes,
2 it could not be done.";

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

pub(super) async fn run(options: Options) -> Result<End, Failure> {
    start_logs(LogFormat::Text, "warn").map_err(|error| error.to_string())?;
    let port = if options.once { 0 } else { options.port };
    let sandbox = start_sandbox(options.faults.faults()?, options.once).await?;
    let crm = format!("http://{}", sandbox.addr());
    let folder = std::env::temp_dir().join(format!("leadfold-demo-{}", SystemClock.new_id()));
    let texts = workspace(options.workspace.as_deref())?;
    let app = start_app(texts, &folder, port, &crm).await?;
    sandbox.set_truth(serde_json::from_str(TRUTH).map_err(|error| format!("fixtures/truth.json: {error}"))?);

    let hook = format!("http://{}/in/sendpulse/demo", app.address);
    if !options.json {
        say(&format!("leadfold on http://{}, a CRM of our own on {crm}", app.address))?;
    }
    let mut quiet = true;
    for (name, body) in FIXTURES {
        let address = SecretString::from(hook.clone());
        let status = post_json(&address, (*body).to_owned())
            .await
            .map_err(|error| format!("{name} could not be sent: {error}"))?;
        if !options.json {
            say(&format!("  sent {name}: answered {status}"))?;
        }
        // One after another, so that the result is the same each time; the tests do it all at once.
        quiet &= until_quiet(&app.store, AT_MOST).await.map_err(|error| error.to_string())?;
    }
    let mut result = result(&app, &sandbox.stats()).await?;
    if options.json {
        if !options.once {
            result["url"] = json!(format!("http://{}", app.address));
            result["crm_url"] = json!(crm);
        }
        say(&result.to_string())?;
    } else {
        say(&told(&result))?;
    }
    let mut end = if quiet { End::Done } else { End::FoundProblems };
    if !options.once {
        let stopped = stop_signal()?;
        if !options.json {
            say(&next(&app, &crm, &hook))?;
        }
        stopped.await;
        end = End::Done;
    }
    app.stop().await;
    sandbox.stop().await;
    std::fs::remove_dir_all(&folder)
        .map_err(|error| format!("{} could not be removed: {error}", folder.display()))?;
    Ok(end)
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
        "SANDBOX_TOKEN" | "SENDPULSE_HOOK_TOKEN" => Some("demo".to_owned()),
        other => process(other),
    });
    let options = AppOptions {
        files: texts.files,
        folder: texts.folder,
        follow: texts.follow,
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
    let registry = format!("http://{}/api/leads", app.address);
    format!(
        "\nLook:   {crm}/ (the CRM), {registry} (the registry, newest first)\n\
         Send:   curl -d @fixtures/sendpulse/01_new_lead_telegram.json {hook}   (the same again is a redelivery)\n\
         Break:  curl -d '{{\"timeout_after\": 0.5}}' {crm}/faults   then send again; or edit mappings/, and send \
         something new. Ctrl-C ends"
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
