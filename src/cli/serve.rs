//! `leadfold serve`: the real thing.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::signal::unix::{Signal, SignalKind};

use super::notify::{Event, notify};
use super::{
    DatabaseOption, End, Failure, WorkspaceOption, listen_address, loopback, process_environment, say,
    seconds,
};
use crate::app::{App, Door, Follow, Options as AppOptions};
use crate::clock::SystemClock;
use crate::receive::Limits;
use crate::telemetry::{LogFormat, Metrics, start_logs};
use crate::workspace::{finish_edit, read_files};

const EXAMPLES: &str = "\
Examples:
  leadfold serve
  leadfold serve --database sqlite:///var/lib/leadfold/leadfold.db
  leadfold serve --listen 0.0.0.0:8080 --log-format json
  leadfold serve --database postgres://leadfold@db.example.com/leadfold

Platforms post to /in/<source>/<token>. /healthz and /readyz are open, /api and
/metrics want the token. Secrets, such as that token, belong in the environment:

  LEADFOLD_API_TOKEN=… SENDPULSE_HOOK_TOKEN=… leadfold serve

The log goes to standard error. SIGTERM or Ctrl-C finishes what was acknowledged
and ends with 0; with --drain it goes on receiving for that long first, while
/readyz says no, and a second signal cuts that short. SIGHUP looks at the
workspace at once. When it cannot start it ends with 2.

`leadfold deploy` has files for systemd, containers and proxies.";

/// Arguments of `serve`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    #[command(flatten)]
    workspace: WorkspaceOption,
    #[command(flatten)]
    database: DatabaseOption,
    /// Make valid edits of the workspace active by themselves; `false` leaves that to `leadfold apply` [default: true on
    /// SQLite, false on PostgreSQL]
    #[arg(
        long,
        env = "LEADFOLD_FOLLOW_FILES",
        hide_env_values = true,
        value_name = "BOOL",
        num_args = 0..=1,
        default_missing_value = "true"
    )]
    follow_files: Option<bool>,
    /// Let nobody change the workspace from the console: it gives a patch to download instead
    #[arg(long, env = "LEADFOLD_READ_ONLY_WORKSPACE", hide_env_values = true)]
    read_only_workspace: bool,
    /// Address to listen on
    #[arg(long, env = "LEADFOLD_LISTEN", hide_env_values = true, value_name = "ADDRESS", default_value_t = loopback(8080), value_parser = listen_address)]
    listen: SocketAddr,
    /// Start token: opens /api, /metrics and the console; beside it there are `leadfold users` and `leadfold tokens`
    #[arg(long, env = "LEADFOLD_API_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    api_token: Option<SecretString>,
    /// Weaker token for a web site: it opens /api/links for its visitors, and nothing else
    #[arg(long, env = "LEADFOLD_LINKS_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    links_token: Option<SecretString>,
    /// Where people open the console, such as `https://leads.example.com`: for links to it in alerts
    #[arg(long, env = "LEADFOLD_PUBLIC_URL", hide_env_values = true, value_name = "URL", value_parser = public_url)]
    public_url: Option<String>,
    /// How log lines look
    #[arg(long, env = "LEADFOLD_LOG_FORMAT", hide_env_values = true, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    /// What is logged, such as `info` or `leadfold::sync=debug`
    #[arg(long, env = "LEADFOLD_LOG", hide_env_values = true, default_value = "info", value_name = "FILTER")]
    log: String,
    /// Largest body that is received
    #[arg(long, env = "LEADFOLD_MAX_BODY", hide_env_values = true, value_name = "BYTES", default_value_t = 1024 * 1024)]
    max_body: usize,
    /// How long to go on receiving after SIGTERM while /readyz answers 503: as long as a load balancer that asks it needs
    /// to notice
    #[arg(long, env = "LEADFOLD_DRAIN", hide_env_values = true, value_name = "SECONDS", default_value_t = 0, value_parser = seconds)]
    drain: u32,
}

/// Characters of the shortest token that is taken where strangers come. Guesses at a token are not counted, because that would
/// let strangers keep out whoever has it; so it must be one that nobody guesses.
const SHORTEST_TOKEN: usize = 16;

/// Why a token can be guessed.
fn guessable(name: &str, token: &SecretString) -> Option<String> {
    (token.expose_secret().chars().count() < SHORTEST_TOKEN).then(|| {
        format!(
            "{name} can be guessed: it is shorter than {SHORTEST_TOKEN} characters. Make another one, for instance with \
             `openssl rand -hex 32`, and set it also wherever it is used"
        )
    })
}

/// Who has a way into the console now; users come and go while it runs.
fn who_may_sign_in(has_users: bool, has_token: bool) -> &'static str {
    match (has_users, has_token) {
        (true, true) => "users sign in with their passwords, or anybody with LEADFOLD_API_TOKEN",
        (true, false) => "users sign in with their passwords",
        (false, true) => {
            "sign in with LEADFOLD_API_TOKEN, or get a password: `leadfold users add <name> --role admin`"
        }
        (false, false) => {
            "nobody can sign in yet: `leadfold users add <name> --role admin` gives the first password"
        }
    }
}

pub(super) async fn run(options: Options) -> Result<End, Failure> {
    start_logs(options.log_format, &options.log).map_err(|error| error.to_string())?;
    let metrics = Metrics::start().map_err(|error| error.to_string())?;
    tokio::spawn(metrics.clone().keep_small());
    let database = options.database.database;
    let follow_files = options.follow_files.unwrap_or_else(|| database.starts_with("sqlite:"));
    if follow_files && !options.read_only_workspace {
        finish_edit(&options.workspace.workspace)?;
    }
    let files = read_files(&options.workspace.workspace)?;
    // An empty variable is how many tools write one that is not set.
    let set = |token: Option<SecretString>| token.filter(|token| !token.expose_secret().is_empty());
    let (api, links) = (set(options.api_token), set(options.links_token));
    let has_token = api.is_some();
    if let (Some(api), Some(links)) = (&api, &links)
        && api.expose_secret() == links.expose_secret()
    {
        return Err(
            "LEADFOLD_LINKS_TOKEN is the token of the whole API: give the web site one of its own".to_owned()
        );
    }
    for (name, token) in [("LEADFOLD_API_TOKEN", &api), ("LEADFOLD_LINKS_TOKEN", &links)] {
        let Some(flaw) = token.as_ref().and_then(|token| guessable(name, token)) else { continue };
        if !options.listen.ip().is_loopback() {
            return Err(flaw);
        }
        tracing::warn!("{flaw}");
    }
    let door = Door::Token { api, links };
    let app = App::start(AppOptions {
        files,
        folder: options.workspace.workspace,
        follow: if follow_files { Follow::Files } else { Follow::Database },
        read_only_workspace: options.read_only_workspace,
        database,
        listen: options.listen,
        door,
        metrics,
        public_url: options.public_url.filter(|url| !url.is_empty()),
        limits: Limits { body_bytes: options.max_body, ..Limits::default() },
        environment: process_environment(),
        clock: Arc::new(SystemClock),
    })
    .await
    .map_err(|error| error.to_string())?;
    let mut stopped = pin!(stop_signal()?);
    let mut hang_up = signal(SignalKind::hangup())?;
    let has_users = app.store.has_users().await.map_err(|error| error.to_string())?;
    let (address, who) = (app.address, who_may_sign_in(has_users, has_token));
    say(&format!(
        "leadfold receives on http://{address}/in/<source>/<token>\nits console is on http://{address}/: {who}"
    ))?;
    notify(Event::Ready);
    loop {
        tokio::select! {
            () = &mut stopped => break,
            _ = hang_up.recv() => app.reload(),
        }
    }
    notify(Event::Stopping);
    if options.drain > 0 {
        let impatience = stop_signal()?;
        tracing::info!(
            seconds = options.drain,
            "stopping: /readyz says no, and requests are still taken until the load balancer has noticed"
        );
        app.leave();
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(options.drain.into())) => {}
            () = impatience => {}
        }
    }
    tracing::info!("stopping: finishing what was acknowledged");
    app.stop().await;
    Ok(End::Done)
}

/// The root of an address, without what a path begins with. Empty counts as none, as for other variables.
fn public_url(text: &str) -> Result<String, String> {
    let url = text.trim().trim_end_matches('/');
    let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let is_root = host.is_some_and(|host| {
        !host.is_empty() && !host.contains(|letter: char| letter.is_whitespace() || "?#@\\".contains(letter))
    });
    if url.is_empty() || is_root {
        return Ok(url.to_owned());
    }
    Err("write where people open the console: https://leads.example.com".to_owned())
}

/// Ctrl-C, or SIGTERM from whoever runs services here. It counts from the call on, not only once it is awaited: whoever
/// reads that we are up may end us at once, and that end shall be an orderly one.
pub(super) fn stop_signal() -> Result<impl Future<Output = ()>, Failure> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

fn signal(kind: SignalKind) -> Result<Signal, Failure> {
    tokio::signal::unix::signal(kind).map_err(|error| format!("no signal handler: {error}"))
}
