//! How a command writes: itself where the database is free or is PostgreSQL, else through the server that has it.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use secrecy::SecretString;
use serde_json::Value;

use super::{DatabaseOption, Failure, process_environment};
use crate::access::Caller;
use crate::clock::SystemClock;
use crate::crm::http::post_to_server;
use crate::operation::entrance::Entrance;
use crate::operation::{Means, Operation, ask};
use crate::store::{Opened, Store, StoreError};
use crate::web::{TOKEN_FLAG, TOKEN_VARIABLE};
use crate::workspace::Versions;

/// Where a command writes.
#[derive(Clone, Debug, Args)]
pub(super) struct ServerOption {
    #[command(flatten)]
    database: DatabaseOption,
    /// Address of a running leadfold, such as `http://127.0.0.1:8080`; the one on a SQLite database here is found without
    #[arg(long, env = "LEADFOLD_SERVER", hide_env_values = true, value_name = "URL", value_parser = address)]
    server: Option<String>,
    /// Token of that leadfold's API
    #[arg(long, env = "LEADFOLD_API_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    api_token: Option<SecretString>,
}

/// The root of a server's address.
pub(super) fn address(text: &str) -> Result<String, String> {
    let root = text.trim_end_matches('/');
    if root.starts_with("http://") || root.starts_with("https://") {
        return Ok(root.to_owned());
    }
    Err("write http://host:port, or https://host".to_owned())
}

/// Whoever runs operations for this command.
pub(super) enum Client {
    /// This process.
    Here(Means),
    /// A server, by the root of its address.
    There { server: String, token: Option<SecretString> },
}

/// How often a database that is just being opened or closed is asked for again.
const TRIES: u32 = 20;
/// How long between.
const BETWEEN_TRIES: Duration = Duration::from_millis(250);

impl Client {
    /// Opens the database, or finds the server that has it.
    pub(super) async fn open(options: &ServerOption) -> Result<Self, Failure> {
        let there = |server: String| Self::There { server, token: options.api_token.clone() };
        if let Some(server) = &options.server {
            return Ok(there(server.clone()));
        }
        for _ in 0..TRIES {
            let opened = Store::open_or_find(&options.database.database, Arc::new(SystemClock)).await;
            match opened.map_err(|failure| failure.to_string())? {
                Opened::Here(store) => return Ok(Self::Here(means(store))),
                Opened::Elsewhere(Some(server)) => return Ok(there(server)),
                Opened::Elsewhere(None) => tokio::time::sleep(BETWEEN_TRIES).await,
            }
        }
        Err("another leadfold works on this database and takes no requests: it is starting, stopping, or a command \
             that writes. Try again when it is done"
            .to_owned())
    }

    /// The same, and makes a SQLite database that is not there yet: for what one does before the first start.
    pub(super) async fn open_or_make(options: &ServerOption) -> Result<Self, Failure> {
        let url = &options.database.database;
        let said = |failure: StoreError| failure.to_string();
        if options.server.is_some() || !Store::is_missing(url).map_err(said)? {
            return Self::open(options).await;
        }
        Ok(Self::Here(means(Store::open(url, Arc::new(SystemClock)).await.map_err(said)?)))
    }

    /// Opens the database for operations that only look, also while a server has it.
    pub(super) async fn open_to_look(options: &ServerOption) -> Result<Self, Failure> {
        if options.server.is_some() {
            return Self::open(options).await;
        }
        let store = Store::open_to_read(&options.database.database).await;
        Ok(Self::Here(means(store.map_err(|failure| failure.to_string())?)))
    }

    /// Runs an operation; an error says what to do.
    pub(super) async fn run<O: Operation>(&self, operation: O) -> Result<O::Answer, Failure> {
        match self {
            Self::Here(means) => {
                let caller = Caller::command(process_environment()("USER"));
                ask(operation, &caller, means).await.map_err(|error| error.to_string())
            }
            Self::There { server, token } => {
                let body = serde_json::to_string(&operation)
                    .map_err(|error| format!("the request cannot be written: {error}"))?;
                let url = format!("{server}{}", O::PATH);
                let (status, text) = post_to_server(&url, token.as_ref(), body).await.map_err(|why| {
                    format!(
                        "leadfold at {server} does not answer: {why}. Start it, or name another address with --server"
                    )
                })?;
                // An answer may have another status than 200; a refusal says what is wrong under `error`.
                let refuses = |answer: &Value| answer.get("error").is_some();
                if serde_json::from_str(&text).is_ok_and(|answer: Value| !refuses(&answer)) {
                    return serde_json::from_str(&text).map_err(|error| {
                        format!(
                            "{server} does not answer like this version of leadfold ({error}). Run the command of its own \
                             version"
                        )
                    });
                }
                Err(refusal(server, token.is_some(), status, &text))
            }
        }
    }

    /// Runs the only operation of a command, and finishes what it wrote.
    pub(super) async fn run_and_close<O: Operation>(self, operation: O) -> Result<O::Answer, Failure> {
        let answer = self.run(operation).await;
        self.close().await;
        answer
    }

    /// Finishes what was written.
    pub(super) async fn close(self) {
        if let Self::Here(means) = self {
            means.store.close().await;
        }
    }
}

fn means(store: Store) -> Means {
    let versions = Arc::new(Versions::new(store.clone(), process_environment()));
    // Who pushes, if anybody does, is another process, and looks every second. Whoever may type commands here can make
    // an admin whenever there is none.
    Means {
        store,
        versions,
        home: Arc::default(),
        catalogs: Arc::default(),
        entrance: Arc::new(Entrance::new(false)),
        loopback: true,
        caller: Caller::command(process_environment()("USER")),
        clock: Arc::new(SystemClock),
        wake_workers: Arc::new(|| ()),
    }
}

/// What a refusal means for whoever ran the command.
fn refusal(server: &str, has_token: bool, status: u16, text: &str) -> Failure {
    let error = serde_json::from_str::<Value>(text).ok();
    let error = error.as_ref().and_then(|answer| answer.get("error")).and_then(Value::as_str);
    match (status, error) {
        (401, Some(_)) if has_token => format!(
            "leadfold at {server} does not accept this token: set {TOKEN_VARIABLE} (or {TOKEN_FLAG}) to the one that it \
             was started with, or to one that `leadfold tokens add` made"
        ),
        (401, Some(_)) => format!(
            "leadfold at {server} has the database and wants a token: set {TOKEN_VARIABLE} (or {TOKEN_FLAG}) to the one \
             that it was started with, or stop it and run this again"
        ),
        (_, Some(error)) => error.to_owned(),
        (_, None) => {
            format!(
                "{server} answered {status}, and not as leadfold does. Name the right address with --server"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_to_do() {
        let check = |has_token: bool, status: u16, text: &str, expect: &str| {
            let said = refusal("http://a:1", has_token, status, text);
            assert!(said.contains(expect), "{said}");
        };
        check(true, 401, r#"{"error": "no"}"#, "does not accept this token: set LEADFOLD_API_TOKEN");
        check(false, 401, r#"{"error": "no"}"#, "wants a token: set LEADFOLD_API_TOKEN");
        check(true, 422, r#"{"error": "there is no destination 'x'"}"#, "there is no destination 'x'");
        check(true, 404, "<html>", "http://a:1 answered 404, and not as leadfold does");
        check(false, 401, "{}", "--server");
    }
}
