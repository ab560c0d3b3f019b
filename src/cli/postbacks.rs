//! `leadfold postbacks`: what waits for its click id, what was dropped as a repeat, and correcting it.

use std::fmt::Write as _;

use clap::builder::{NonEmptyStringValueParser, PossibleValuesParser, TypedValueParser as _};
use clap::{Args, Subcommand, value_parser};
use serde_json::json;

use super::client::{Client, ServerOption};
use super::{End, Failure, how_many, say};
use crate::operation::postbacks::{CountPostback, LookAtPostbacks, Postbacks, UncountPostback};
use crate::store::postback_hand::Corrected;
use crate::store::postbacks::{PostbackRow, PostbackState};

const EXAMPLES: &str = "\
Examples:
  leadfold postbacks list                    what waits for its click id
  leadfold postbacks list --state repeat     what was dropped as the same again
  leadfold postbacks count 0190a0b0-0000-7000-8000-000000000000
  leadfold postbacks uncount 0190a0b0-0000-7000-8000-000000000000

A postback is somebody's by its click id, and each of a person's events of a
name has its number: `on: resale#2` is for the second resale.";

const LIST: &str = "\
Examples:
  leadfold postbacks list
  leadfold postbacks list --state repeat --source 1win
  leadfold postbacks list --state waiting --json | jq '.postbacks[].click'

States: arrived (its turn comes), waiting (nobody came with its click id yet),
counted, repeat, uncounted, ended (nobody came in time). Oldest first. It only
reads, so a server may run.
Exit codes: 0 listed, 2 it could not be looked up.";

const COUNT: &str = "\
Examples:
  leadfold postbacks count 0190a0b0-0000-7000-8000-000000000000
  leadfold postbacks count 0190a0b0-0000-7000-8000-000000000000 --json

For a repeat that was none: two deposits of the same sum within a minute. It
gets the next number of its person, and what a branch has for that is done. One
that was uncounted gets a number again, and nothing of it is done once more.
Exit codes: 0 done, 2 it could not be done.";

const UNCOUNT: &str = "\
Examples:
  leadfold postbacks uncount 0190a0b0-0000-7000-8000-000000000000
  leadfold postbacks uncount 0190a0b0-0000-7000-8000-000000000000 --json

For a counted one that was a repeat. Those behind it move up by one, so the next
gets the right number. What had not begun is stopped; what was done stays, and
nothing is done again.
Exit codes: 0 done, 2 it could not be done.";

/// Arguments of `postbacks`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List postbacks in one state
    #[command(after_help = LIST)]
    List(ListOptions),
    /// Count a repeat that was none
    #[command(after_help = COUNT)]
    Count(OneOptions),
    /// Take the number of a counted one back: it was a repeat
    #[command(after_help = UNCOUNT)]
    Uncount(OneOptions),
}

#[derive(Debug, Args)]
struct ListOptions {
    /// Those in this state
    #[arg(long, default_value = "waiting", value_name = "STATE", value_parser = state())]
    state: PostbackState,
    /// Only those of this source
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = value_parser!(i64).range(1..=1_000))]
    limit: i64,
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerOption,
}

#[derive(Debug, Args)]
struct OneOptions {
    /// The id of its lead, its event or its delivery
    #[arg(value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    which: String,
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerOption,
}

fn state() -> impl clap::builder::TypedValueParser<Value = PostbackState> {
    PossibleValuesParser::new(PostbackState::ALL.map(PostbackState::as_str))
        .try_map(|word| PostbackState::parse(&word).ok_or("no such state"))
}

pub(super) async fn run(options: Options) -> Result<End, Failure> {
    match options.command {
        Command::List(options) => list(options).await,
        Command::Count(options) => {
            let client = Client::open(&options.server).await?;
            let corrected = client.run_and_close(CountPostback { which: options.which }).await?;
            told(&corrected, options.json, told_counted)
        }
        Command::Uncount(options) => {
            let client = Client::open(&options.server).await?;
            let corrected = client.run_and_close(UncountPostback { which: options.which }).await?;
            told(&corrected, options.json, told_uncounted)
        }
    }
}

async fn list(options: ListOptions) -> Result<End, Failure> {
    let ListOptions { state, source, limit, json, server } = options;
    let client = Client::open_to_look(&server).await?;
    let found = client
        .run_and_close(LookAtPostbacks { state: Some(state), source, after: None, limit: Some(limit) })
        .await?;
    say(&if json { json!(found).to_string() } else { told_list(state, &found) })?;
    Ok(End::Done)
}

fn told(corrected: &Corrected, json: bool, text: fn(&Corrected) -> String) -> Result<End, Failure> {
    say(&if json { json!(corrected).to_string() } else { text(corrected) })?;
    Ok(End::Done)
}

fn told_list(state: PostbackState, found: &Postbacks) -> String {
    if found.postbacks.is_empty() {
        return format!("No postback is {}.", state.as_str());
    }
    let mut text = String::new();
    for row in &found.postbacks {
        let PostbackRow {
            delivery, source, click, event, received_at, until, lead, ordinal, repeats, ..
        } = row;
        let number = ordinal.map(|ordinal| format!("#{ordinal}")).unwrap_or_default();
        // Writing to a String cannot fail, here and below.
        writeln!(text, "{received_at}  {event}{number}  click id {click}, from '{source}'").ok();
        writeln!(text, "  delivery {delivery}").ok();
        if let Some(lead) = lead {
            writeln!(text, "  lead {lead}").ok();
        }
        if let Some(first) = repeats {
            writeln!(
                text,
                "  repeats lead {first}; `leadfold postbacks count {delivery}` counts it all the same"
            )
            .ok();
        }
        if state == PostbackState::Waiting {
            writeln!(text, "  waits for somebody with the click id until {until}").ok();
        }
    }
    if found.next.is_some() {
        writeln!(text, "There may be more: ask with a larger --limit, or narrow it with --source.").ok();
    }
    text.truncate(text.trim_end().len());
    text
}

fn told_counted(corrected: &Corrected) -> String {
    let Corrected { postback, made, .. } = corrected;
    let number = postback.ordinal.map(|ordinal| format!("#{ordinal}")).unwrap_or_default();
    let lead = postback.lead.map(|lead| lead.to_string()).unwrap_or_default();
    let counted = format!("Counted as {}{number} of its person.", postback.event);
    if *made {
        format!("{counted} Its lead goes its way now: leadfold explain {lead}")
    } else {
        format!("{counted} What was done for it stays, and nothing is done again: leadfold explain {lead}")
    }
}

fn told_uncounted(corrected: &Corrected) -> String {
    let Corrected { postback, stopped, left, .. } = corrected;
    let ways = |number: u64| how_many(number, "way", "ways");
    let mut text = format!(
        "It counts as no {} any more; those behind it moved up, and the next gets the right number.",
        postback.event
    );
    if *stopped > 0 {
        write!(text, " Stopped on {} before it began.", ways(*stopped)).ok();
    }
    if *left > 0 {
        write!(text, " What was done on {} stays done.", ways(*left)).ok();
    }
    text
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::id::{DeliveryId, LeadId};

    fn row(state: PostbackState) -> PostbackRow {
        PostbackRow {
            delivery: DeliveryId(Uuid::from_u128(1)),
            source: "1win".to_owned(),
            click: "67aB".to_owned(),
            event: "resale".to_owned(),
            state,
            received_at: "2026-05-04T10:00:00Z".parse().unwrap(),
            until: "2026-05-11T10:00:00Z".parse().unwrap(),
            event_id: None,
            lead: None,
            person: None,
            ordinal: None,
            repeats: None,
        }
    }

    #[test]
    fn a_list_says_what_each_waits_for_and_what_can_be_done() {
        let page = |rows: Vec<PostbackRow>| Postbacks { postbacks: rows, next: None };
        assert_eq!(told_list(PostbackState::Waiting, &page(vec![])), "No postback is waiting.");
        let told = told_list(PostbackState::Waiting, &page(vec![row(PostbackState::Waiting)]));
        assert_eq!(
            told,
            "2026-05-04T10:00:00Z  resale  click id 67aB, from '1win'\n  \
             delivery 00000000-0000-0000-0000-000000000001\n  \
             waits for somebody with the click id until 2026-05-11T10:00:00Z"
        );
        let repeat = PostbackRow { repeats: Some(LeadId(Uuid::from_u128(2))), ..row(PostbackState::Repeat) };
        let told = told_list(PostbackState::Repeat, &page(vec![repeat]));
        assert!(told.ends_with(
            "repeats lead 00000000-0000-0000-0000-000000000002; \
             `leadfold postbacks count 00000000-0000-0000-0000-000000000001` counts it all the same"
        ));
    }

    #[test]
    fn a_correction_says_what_was_done_and_what_was_not() {
        let check = |corrected: Corrected, text: fn(&Corrected) -> String, expect: &str| {
            assert!(text(&corrected).contains(expect), "{}", text(&corrected));
        };
        let counted = PostbackRow { ordinal: Some(2), ..row(PostbackState::Counted) };
        let made = Corrected { postback: counted.clone(), made: true, stopped: 0, left: 0 };
        check(made, told_counted, "Counted as resale#2 of its person. Its lead goes its way now");
        let again = Corrected { postback: counted, made: false, stopped: 0, left: 1 };
        check(again, told_counted, "nothing is done again");
        let uncounted =
            Corrected { postback: row(PostbackState::Uncounted), made: false, stopped: 1, left: 2 };
        check(uncounted.clone(), told_uncounted, "Stopped on 1 way before it began.");
        check(uncounted, told_uncounted, "What was done on 2 ways stays done.");
    }
}
