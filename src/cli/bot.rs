//! `leadfold bot`: has bots do something in a person's chat, or shows what they would.

use std::str::FromStr;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::client::{Client, ServerOption};
use super::{End, Failure, country, say};
use crate::operation::triggers::{Address, Outcome, Text, Trigger, Triggered};

const EXAMPLES: &str = "\
Examples:
  leadfold bot send order_shipped --to web_user=10045 --dry-run
  leadfold bot send order_shipped --to lead=502 --data '{\"order\":1007}'
  leadfold bot send order_shipped --to phone=067-418-52-06 --channel telegram
  leadfold bot send order_shipped --to chat=700000101 --json

A trigger is a file of the workspace with `source: { preset: trigger }`. Who is
meant: chat, lead, person, web_user, phone or email. Without --dry-run the call
is kept and goes out through the queue; bots tell nothing of delivery.

Exit codes: 0 it goes out or would, 1 nothing is called, 2 it could not be done.";

/// Arguments of `bot`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Calls a trigger for one person
    #[command(after_help = EXAMPLES)]
    Send(Send),
}

#[derive(Debug, Args)]
struct Send {
    /// The trigger: the name of its file
    trigger: String,
    /// Who is meant
    #[arg(long, value_name = "KIND=VALUE")]
    to: Whom,
    /// The messenger, where the person has several chats
    #[arg(long)]
    channel: Option<String>,
    /// What the mapping reads as `data`: a JSON object
    #[arg(long, value_name = "JSON", default_value = "{}", value_parser = object)]
    data: Map<String, Value>,
    /// Show what would go out, and keep nothing
    #[arg(long)]
    dry_run: bool,
    /// Country of a phone that names none; may be repeated, the first is tried first
    #[arg(long, value_name = "COUNTRY", default_value = "UA", value_parser = country)]
    region: Vec<String>,
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerOption,
}

/// A kind of address and its value.
#[derive(Clone, Debug)]
struct Whom(String, String);

impl FromStr for Whom {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, value) = text.split_once('=').ok_or("write KIND=VALUE, such as web_user=10045")?;
        if !["chat", "lead", "person", "web_user", "phone", "email"].contains(&kind) {
            return Err(format!("`{kind}` is none of chat, lead, person, web_user, phone, email"));
        }
        Ok(Self(kind.to_owned(), value.to_owned()))
    }
}

impl Whom {
    fn address(&self) -> Result<Address, Failure> {
        let Self(kind, value) = self;
        let text = Text::try_from(json!(value))?;
        let mut address = Address::default();
        match kind.as_str() {
            "chat" => address.chat = Some(text),
            "lead" => address.lead = Some(text),
            "web_user" => address.web_user = Some(text),
            "phone" => address.phone = Some(text),
            "email" => address.email = Some(text),
            _ => {
                let id = value.parse().map_err(|_| format!("'{value}' is no person's id"))?;
                address.person = Some(id);
            }
        }
        Ok(address)
    }
}

fn object(text: &str) -> Result<Map<String, Value>, String> {
    serde_json::from_str(text).map_err(|error| format!("this is no JSON object: {error}"))
}

pub(super) async fn run(options: Options) -> Result<End, Failure> {
    let Command::Send(send) = options.command;
    let trigger = Trigger {
        trigger: send.trigger,
        to: send.to.address()?,
        channel: send.channel,
        data: send.data,
        key: None,
        regions: send.region,
        dry_run: send.dry_run,
    };
    let client = Client::open(&send.server).await?;
    let answer = client.run_and_close(trigger).await?;
    say(&if send.json { json!(answer).to_string() } else { told(&answer, send.dry_run) })?;
    Ok(if answer.outcome == Outcome::Accepted { End::Done } else { End::FoundProblems })
}

fn told(answer: &Triggered, dry_run: bool) -> String {
    let Triggered { outcome, message, delivery, person, channel, calls } = answer;
    let mut lines = Vec::new();
    lines.push(match (outcome, dry_run) {
        (Outcome::Accepted, true) => "this would go out; nothing is kept and nothing is called".to_owned(),
        _ => message.clone(),
    });
    lines.extend(person.map(|person| format!("  person   {person}")));
    lines.extend(channel.as_ref().map(|channel| format!("  channel  {channel}")));
    lines.extend(delivery.map(|delivery| format!("  delivery {delivery}")));
    lines.extend(calls.iter().map(|call| format!("  call     {call}")));
    lines.join("\n")
}
