//! `leadfold sandbox`: our own small CRM, for the demo, for tests, and for trying out faults by hand.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;

use super::faults::FaultOptions;
use super::serve::stop_signal;
use super::{End, Failure, loopback, say};
use crate::sandbox::{Sandbox, SandboxAccount, SandboxOptions};

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
    /// YAML or JSON file with its users, pipelines and fields; any other name is then refused, as real CRMs do
    #[arg(long, value_name = "FILE")]
    account: Option<PathBuf>,
    #[command(flatten)]
    faults: FaultOptions,
}

pub(super) async fn run(options: Options) -> Result<End, Failure> {
    let running = Sandbox::start(SandboxOptions {
        listen: options.listen,
        token: options.token,
        faults: options.faults.faults()?,
        seed: options.seed,
        account: options.account.as_deref().map(account).transpose()?,
    })
    .await
    .map_err(|error| format!("the sandbox cannot listen on {}: {error}", options.listen))?;
    let stopped = stop_signal()?;
    say(&format!(
        "sandbox CRM on http://{} (contacts and deals as a page; GET /stats, POST /faults, POST /account)",
        running.addr()
    ));
    stopped.await;
    running.stop().await;
    Ok(End::Done)
}

fn account(file: &Path) -> Result<SandboxAccount, Failure> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| format!("the account {} cannot be read: {error}", file.display()))?;
    serde_saphyr::from_str(&text).map_err(|error| {
        format!("{} is no account: {error}. fixtures/account.yaml is one to copy", file.display())
    })
}
