//! `leadfold sandbox`: our own small CRM, for the demo, for tests, and for trying out faults by hand.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::faults::FaultOptions;
use super::serve::stop_signal;
use super::{End, Failure, listen_address, loopback, say, seed};
use crate::sandbox::{Sandbox, SandboxAccount, SandboxOptions};

const EXAMPLES: &str = "\
Examples:
  leadfold sandbox                              then open http://127.0.0.1:9900/
  leadfold sandbox --rate 10/s --latency-ms 50  a slow CRM with a rate limit
  leadfold sandbox --account account.yaml       one that knows its names

While it runs, GET /stats counts what is in it, and POST /faults changes what
goes wrong:

  curl -d '{\"timeout_after\": 0.5}' http://127.0.0.1:9900/faults

Nothing is stored: it begins empty each time. An account has users, pipelines
and fields; any other name is then refused, as real CRMs do:

  users: [{ id: olha, name: Olha }, { id: petro }]
  pipelines: [{ name: Sales, stages: [New, Won] }]
  contact_fields: [telegram_chat]
  deal_fields: []";

/// Arguments of `sandbox`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    /// Address to listen on
    #[arg(long, value_name = "ADDRESS", default_value_t = loopback(9900), value_parser = listen_address)]
    listen: SocketAddr,
    /// Token that clients must send
    #[arg(long, value_name = "TOKEN", env = "SANDBOX_TOKEN", default_value = "demo", hide_env_values = true)]
    token: String,
    /// Seed of the faults that happen by chance
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = seed)]
    seed: u64,
    /// YAML or JSON file with the users, pipelines and fields that it has
    #[arg(long, value_name = "FILE")]
    account: Option<PathBuf>,
    /// Print its address as one JSON object instead of text
    #[arg(long)]
    json: bool,
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
    .map_err(|error| {
        format!(
            "the sandbox cannot listen on {}: {error}. Choose another address with --listen",
            options.listen
        )
    })?;
    let stopped = stop_signal()?;
    let address = running.addr();
    say(&if options.json {
        json!({ "url": format!("http://{address}") }).to_string()
    } else {
        format!(
            "sandbox CRM on http://{address} (contacts and deals as a page; GET /stats, POST /faults, POST /account)"
        )
    })?;
    stopped.await;
    running.stop().await;
    Ok(End::Done)
}

fn account(file: &Path) -> Result<SandboxAccount, Failure> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        format!("the account {} cannot be read: {error}. Name another file with --account", file.display())
    })?;
    serde_saphyr::from_str(&text).map_err(|error| {
        format!("{} is no account: {error}. `leadfold sandbox --help` shows one to copy", file.display())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_in_the_help_is_one() {
        let (_, shown) = EXAMPLES.split_once("users:").unwrap();
        let account: SandboxAccount = serde_saphyr::from_str(&format!("  users:{shown}")).unwrap();
        assert_eq!((account.users.len(), account.pipelines.len()), (2, 1));
    }
}
