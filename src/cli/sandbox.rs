//! `leadfold sandbox`: our own small CRM, for the demo, for tests, and for trying out faults by hand.

use std::net::SocketAddr;

use clap::Args;

use super::faults::FaultOptions;
use super::serve::stop_signal;
use super::{End, Failure, loopback, say};
use crate::sandbox::{Sandbox, SandboxOptions};

/// Arguments of `sandbox`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Address to listen on
    #[arg(long, default_value_t = loopback(9900))]
    listen: SocketAddr,
    /// The token that clients must send
    #[arg(long, env = "SANDBOX_TOKEN", default_value = "demo", hide_env_values = true)]
    token: String,
    /// Seed of the faults that happen by chance
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    faults: FaultOptions,
}

pub(super) async fn run(options: Options) -> Result<End, Failure> {
    let running = Sandbox::start(SandboxOptions {
        listen: options.listen,
        token: options.token,
        faults: options.faults.faults()?,
        seed: options.seed,
    })
    .await
    .map_err(|error| format!("the sandbox cannot listen on {}: {error}", options.listen))?;
    let stopped = stop_signal()?;
    say(&format!(
        "sandbox CRM on http://{} (contacts and deals as a page; GET /stats, POST /faults)",
        running.addr()
    ));
    stopped.await;
    running.stop().await;
    Ok(End::Done)
}
