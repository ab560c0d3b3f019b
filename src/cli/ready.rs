//! `leadfold ready`: whether a running leadfold can do its work, for health checks where nothing else can ask.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::client::address;
use super::{End, Failure, listen_address, loopback, say, seconds};
use crate::crm::http::ask_server;
use crate::store::reachable;

const EXAMPLES: &str = "\
Examples:
  leadfold ready                                   the one on this machine
  leadfold ready --server http://10.0.0.7:8080
  leadfold ready --wait 60                         after a start: until it is up
  leadfold ready --json

It asks /readyz, which is open to anybody. Where to ask is --server, or else the
address that LEADFOLD_LISTEN tells a server in the same container to listen on.

Exit codes: 0 it is ready, 1 it is not, or nobody answers, 2 it could not be
asked.";

/// Arguments of `ready`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    /// Address of a running leadfold [default: where `leadfold serve` listens]
    #[arg(long, env = "LEADFOLD_SERVER", hide_env_values = true, value_name = "URL", value_parser = address)]
    server: Option<String>,
    /// Address that it listens on, where --server is not given
    #[arg(long, env = "LEADFOLD_LISTEN", hide_env_values = true, value_name = "ADDRESS", default_value_t = loopback(8080), value_parser = listen_address)]
    listen: SocketAddr,
    /// Ask again until it is ready, at most this long
    #[arg(long, value_name = "SECONDS", default_value_t = 0, value_parser = seconds)]
    wait: u32,
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// How long one answer may take: health checks give up after a few seconds themselves.
const ANSWER: Duration = Duration::from_secs(3);
/// How long between two questions.
const BETWEEN: Duration = Duration::from_millis(250);

pub(super) async fn run(options: Options) -> Result<End, Failure> {
    let server = options.server.unwrap_or_else(|| format!("http://{}", reachable(options.listen)));
    let url = format!("{server}/readyz");
    let deadline = Instant::now() + Duration::from_secs(options.wait.into());
    let said = loop {
        let said = understood(ask_server(&url, ANSWER).await);
        if said.is_ok() || Instant::now() + BETWEEN >= deadline {
            break said;
        }
        tokio::time::sleep(BETWEEN).await;
    };
    match &said {
        Ok(notice) if options.json => {
            say(&json!({ "server": server, "ready": true, "says": notice }).to_string())?;
        }
        Ok(notice) => {
            let notice = if notice.is_empty() { String::new() } else { format!(" It says: {notice}.") };
            say(&format!("leadfold at {server} is ready.{notice}"))?;
        }
        Err(NotReady { why, next }) if options.json => {
            say(&json!({ "server": server, "ready": false, "says": why, "next": next }).to_string())?;
        }
        Err(NotReady { why, next }) => say(&format!("leadfold at {server} is not ready: {why}. {next}."))?,
    }
    Ok(if said.is_ok() { End::Done } else { End::FoundProblems })
}

/// Why it is not ready, and what to do.
#[derive(Debug, PartialEq, Eq)]
struct NotReady {
    why: String,
    next: &'static str,
}

const START: &str = "Look whether `leadfold serve` runs and listens there, or name its address with --server";
const READ_ITS_LOG: &str = "Its log says more; --wait SECONDS waits until it is ready";
const NAME_IT: &str = "Name the address of a leadfold with --server";

/// Ready, with what a person should see to or nothing; or why not.
fn understood(answer: Result<(u16, String), String>) -> Result<String, NotReady> {
    let not_ready = |why, next| Err(NotReady { why, next });
    let (status, text) = match answer {
        Ok(answer) => answer,
        Err(why) => return not_ready(format!("it does not answer ({why})"), START),
    };
    let answer: Option<Value> = serde_json::from_str(&text).ok();
    let says = |name: &str| answer.as_ref()?.get(name)?.as_str().map(str::to_owned);
    let is_ours = answer.as_ref().is_some_and(|answer| answer.get("ready").is_some_and(Value::is_boolean));
    match status {
        200 if is_ours => Ok(says("notice").unwrap_or_default()),
        503 if is_ours => {
            not_ready(says("why").unwrap_or_else(|| "it does not say why".to_owned()), READ_ITS_LOG)
        }
        _ => not_ready(format!("what is there answers {status}, and not as leadfold does"), NAME_IT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_leadfold_itself_can_say_that_it_is_ready() {
        let check = |answer: Result<(u16, &str), &str>, expect: Result<&str, (&str, &'static str)>| {
            let answer = answer.map(|(status, text)| (status, text.to_owned())).map_err(str::to_owned);
            let expect = expect.map(str::to_owned);
            let expect = expect.map_err(|(why, next)| NotReady { why: why.to_owned(), next });
            assert_eq!(understood(answer.clone()), expect, "{answer:?}");
        };
        check(Ok((200, r#"{"ready": true}"#)), Ok(""));
        check(Ok((200, r#"{"ready": true, "notice": "the files are others"}"#)), Ok("the files are others"));
        let stopping = r#"{"ready": false, "why": "leadfold is stopping"}"#;
        check(Ok((503, stopping)), Err(("leadfold is stopping", READ_ITS_LOG)));
        check(Ok((200, "<html>")), Err(("what is there answers 200, and not as leadfold does", NAME_IT)));
        check(
            Ok((502, "Bad Gateway")),
            Err(("what is there answers 502, and not as leadfold does", NAME_IT)),
        );
        check(Err("no connection"), Err(("it does not answer (no connection)", START)));
    }
}
