//! `leadfold live`: what was held while a destination was only observed, and the answer to it.

use std::fmt::Write as _;

use clap::Args;
use serde_json::json;

use super::client::{Client, ServerOption};
use super::terminal::{Progress, ask, confirm, has_somebody};
use super::{End, Failure, leads, say};
use crate::operation::held::{AnswerHeld, HeldHere, LookAtHeld, only_observes};
use crate::rules::Mode;
use crate::store::held::Answer;

const EXAMPLES: &str = "\
Examples:
  leadfold live crm                    what was held, and what would be done
  leadfold live crm --push --limit 5   a trial: the oldest 5 go to the CRM
  leadfold live crm --push             all of it is decided anew and pushed
  leadfold live crm --skip             none of it is
  leadfold live crm --push --yes --json

From observing to live, in four steps:
  1. `mode: observe` on the destination: its leads are looked up, decided and
     explained, and nothing is written.
  2. Look at what was held. A trial with --limit leaves the mode as it is.
  3. `mode: live`: new leads go to the CRM. What was held waits for an answer.
  4. --push brings it to the CRM, behind new leads; --skip does not, and
     `leadfold replay --cause skipped --resume` undoes that.

Exit codes: 0 done, or nothing is held, 1 leads are held and wait for an answer,
2 it could not be done.";

/// Arguments of `live`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    /// Name of the destination in workspace.yaml
    destination: String,
    #[command(flatten)]
    given: Given,
    /// Only the oldest so many
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Do it without asking
    #[arg(long)]
    yes: bool,
    /// Print one JSON object instead of text; to push or to skip it needs --yes
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerOption,
}

/// An answer given with the command.
#[derive(Clone, Copy, Debug, Args)]
#[group(multiple = false)]
struct Given {
    /// Bring to the CRM what was held
    #[arg(long)]
    push: bool,
    /// Leave it out of the CRM; it stays in the registry
    #[arg(long)]
    skip: bool,
}

impl Given {
    fn answer(self) -> Option<Answer> {
        match self {
            Self { push: true, .. } => Some(Answer::Push),
            Self { skip: true, .. } => Some(Answer::Skip),
            Self { .. } => None,
        }
    }
}

pub(super) async fn run(options: Options) -> Result<End, Failure> {
    if options.json && options.given.answer().is_some() && !options.yes {
        return Err(
            "--json does not ask: add --yes to do it, or leave --push and --skip out to look".to_owned()
        );
    }
    let client = Client::open(&options.server).await?;
    let end = look_and_answer(&client, &options).await;
    client.close().await;
    end
}

async fn look_and_answer(client: &Client, options: &Options) -> Result<End, Failure> {
    let destination = options.destination.clone();
    let look = LookAtHeld { destination: destination.clone(), limit: options.limit };
    let found = client.run(look).await?;
    if !options.json {
        say(&told(&found, options))?;
    }
    let answer = if found.held.count == 0 { None } else { answer(&found, options)? };
    let mut answered = None;
    if let Some(answer) = answer {
        answered = Some(give(client, &found, options, answer).await?);
    }
    if options.json {
        say(&json!({ "mode": found.mode, "held": found.held, "answer": answer, "answered": answered })
            .to_string())?;
    } else if let (Some(answer), Some(count)) = (answer, answered) {
        say(&match answer {
            Answer::Push => format!("{} on the way to '{destination}'.", leads(count)),
            Answer::Skip => format!("{} skipped. They stay in the registry.", leads(count)),
        })?;
    }
    let waits = found.held.count > 0 && answered.is_none();
    Ok(if waits { End::FoundProblems } else { End::Done })
}

/// What is to become of them; `None` when nobody says.
fn answer(found: &HeldHere, options: &Options) -> Result<Option<Answer>, Failure> {
    let Some(given) = options.given.answer() else {
        if options.json || !has_somebody() || (found.mode == Mode::Observe && options.limit.is_none()) {
            return Ok(None);
        }
        return Ok(match ask("Push them, skip them, or leave them held? [push/skip/N]")?.as_str() {
            "p" | "push" => Some(Answer::Push),
            "s" | "skip" => Some(Answer::Skip),
            _ => None,
        });
    };
    if given == Answer::Push && found.mode == Mode::Observe && options.limit.is_none() {
        return Err(only_observes(&options.destination));
    }
    let word = match given {
        Answer::Push => "Push",
        Answer::Skip => "Skip",
    };
    let sure = options.yes || confirm(&format!("{word} {}?", leads(found.held.count)))?;
    Ok(sure.then_some(given))
}

async fn give(client: &Client, found: &HeldHere, options: &Options, answer: Answer) -> Result<u64, Failure> {
    let mut progress = Progress::new("answering", found.held.count);
    let mut count = 0;
    loop {
        let limit = options.limit.map(|limit| limit.saturating_sub(count));
        let piece = AnswerHeld {
            destination: options.destination.clone(),
            answer,
            limit,
            up_to: Some(found.held.up_to),
        };
        let answered = client.run(piece).await?.count;
        progress.advance(answered);
        count += answered;
        if answered == 0 || count >= found.held.count {
            progress.end();
            return Ok(count);
        }
    }
}

fn told(found: &HeldHere, options: &Options) -> String {
    let HeldHere { mode, held } = found;
    let name = &options.destination;
    let mut text = String::new();
    // Writing to a String cannot fail, here and below.
    let mut line = |words: String| writeln!(text, "{words}").ok();
    let mode = match mode {
        Mode::Live => "is live",
        Mode::Observe => "only observes",
        Mode::Paused => "is paused",
    };
    if held.count == 0 {
        line(format!("'{name}' {mode}; nothing is held."));
        return text.trim_end().to_owned();
    }
    let which = if options.limit.is_some() { "the oldest " } else { "" };
    let since = held.oldest.map_or_else(String::new, |oldest| format!(", since {oldest}"));
    line(format!("'{name}' {mode}; held: {which}{}{since}", leads(held.count)));
    for (plan, count) in &held.plans {
        line(format!("  {count:>6}  {plan}"));
    }
    line("  These plans are from when the leads came; whatever is pushed is decided anew.".to_owned());
    if found.mode == Mode::Observe && options.limit.is_none() {
        line(format!(
            "  Try it with `leadfold live {name} --push --limit 5`, or set `mode: live`; these leads wait for your answer."
        ));
    }
    text.trim_end().to_owned()
}
