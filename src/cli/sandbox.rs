//! `leadfold sandbox`: our own small CRM, for the demo, for tests, and for trying out faults by hand.

use std::net::SocketAddr;

use clap::Args;

use super::{End, Failure, loopback, say};
use crate::sandbox::{Faults, Sandbox, SandboxOptions};

/// Arguments of `sandbox`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Address to listen on
    #[arg(long, default_value_t = loopback(9900))]
    listen: SocketAddr,
    /// The token that clients must send
    #[arg(long, env = "SANDBOX_TOKEN", default_value = "demo", hide_env_values = true)]
    token: String,
    /// Faults from the start, as JSON, such as '{"`latency_ms"`: 20, "`timeout_after"`: 0.2}'; change them later with POST /faults
    #[arg(long, value_name = "JSON")]
    faults: Option<String>,
    /// Seed of the faults that happen by chance
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub(super) async fn run(options: Options) -> Result<End, Failure> {
    let faults = match &options.faults {
        None => Faults::default(),
        Some(text) => serde_json::from_str(text)
            .map_err(|error| format!("--faults is not what it should be: {error}"))?,
    };
    let running = Sandbox::start(SandboxOptions {
        listen: options.listen,
        token: options.token,
        faults,
        seed: options.seed,
    })
    .await
    .map_err(|error| format!("the sandbox cannot listen on {}: {error}", options.listen))?;
    say(&format!(
        "sandbox CRM on http://{} (contacts and deals as a page; GET /stats, POST /faults)",
        running.addr()
    ));
    tokio::signal::ctrl_c().await.map_err(|error| format!("no signal handler: {error}"))?;
    running.stop().await;
    Ok(End::Done)
}
