//! `leadfold people`: who is who, and correcting it by hand.

mod told;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand, value_parser};
use serde_json::json;

use self::told::{told_apart, told_duplicates, told_kept_apart, told_one, told_profile};
use super::client::{Client, ServerOption};
use super::terminal::confirm;
use super::{End, Failure, country, people_rehearse, say};
use crate::operation::DEFAULT_REGION;
use crate::operation::people::{LookAtDuplicates, LookAtPeople, Merge, NotSame, Said, Split};
use crate::resolve::Language;

const EXAMPLES: &str = "\
Examples:
  leadfold people show 067-418-52-06    who has it, and what is theirs
  leadfold people duplicates            who may be one, with the evidence
  leadfold people same 067-418-52-06 olena@example.com
  leadfold people not-same 067-418-52-06 olena@example.com
  leadfold people split 0190a0b0-0000-7000-8000-000000000000

A person is named by an id (theirs, or one of their leads'), a phone in any
spelling, an email or a chat id. What you decide is kept for good, and outranks
every rule. Nothing is merged or split in a CRM; the answer says what is there.";

const SHOW: &str = "\
Examples:
  leadfold people show 067-418-52-06
  leadfold people show olena@example.com --leads 20
  leadfold people show 0674185206 --json | jq '.people[0].chats'

It only reads, so a server may run.
Exit codes: 0 found, 1 nobody is known by it, 2 it could not be looked up.";

const DUPLICATES: &str = "\
Examples:
  leadfold people duplicates
  leadfold people duplicates --json | jq '.duplicates | length'

Oldest first. `leadfold people same` and `leadfold people not-same` settle one.
Exit codes: 0 there are none, 1 some wait for an answer, 2 it failed.";

const MERGE: &str = "\
Examples:
  leadfold people merge 067-418-52-06 olena@example.com
  leadfold people merge 0674185206 0501112233 --note \"she changed her number\"
  leadfold people merge 0674185206 0501112233 --yes --json

The older stays, or the one of whom more than a chat is known. It shows what
would move and asks. `leadfold people split` undoes it.
Exit codes: 0 done, 1 not confirmed, 2 it could not be done.";

const SAME: &str = "\
Examples:
  leadfold people same 067-418-52-06 olena@example.com
  leadfold people same 0674185206 0501112233 --yes --json

As `leadfold people merge`, and only for two whom `leadfold people duplicates`
lists.
Exit codes: 0 done, 1 not confirmed, 2 it could not be done.";

const SPLIT: &str = "\
Examples:
  leadfold people split 067-418-52-06       the only merge of this person
  leadfold people split 0190a0b0-0000-7000-8000-000000000000
  leadfold people split 0674185206 --note \"two sisters, one phone\" --yes

Whoever was merged is there again with all that was theirs; what came since
stays. Nothing joins the two again, unless you merge them.
Exit codes: 0 done, 1 not confirmed, 2 it could not be done.";

const NOT_SAME: &str = "\
Examples:
  leadfold people not-same 067-418-52-06 olena@example.com
  leadfold people not-same 0674185206 0501112233 --note \"mother and son\"

Nothing joins the two from now on. It moves nothing, so it does not ask.
Exit codes: 0 done, 2 it could not be done.";

/// Arguments of `people`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show a person: identifiers, chats, what is remembered, CRM records, leads, merges
    #[command(after_help = SHOW)]
    Show(ShowOptions),
    /// List people who may be one, with the evidence
    #[command(after_help = DUPLICATES)]
    Duplicates(DuplicatesOptions),
    /// Make two people one
    #[command(after_help = MERGE)]
    Merge(PairOptions),
    /// Say that two possible duplicates are one human
    #[command(after_help = SAME)]
    Same(PairOptions),
    /// Undo a merge
    #[command(after_help = SPLIT)]
    Split(SplitOptions),
    /// Say that two people are two, for good
    #[command(name = "not-same", after_help = NOT_SAME)]
    NotSame(PairOptions),
    /// Show who would be split and who would be one under other rules
    Rehearse(people_rehearse::Options),
}

#[derive(Debug, Args)]
struct ShowOptions {
    /// An id, a phone in any spelling, an email, a chat id, or the beginning of a name
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    who: String,
    /// Show so many of their leads, the newest first
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = value_parser!(i64).range(1..=200))]
    leads: i64,
    #[command(flatten)]
    shared: Shared,
}

#[derive(Debug, Args)]
struct DuplicatesOptions {
    /// At most so many, the oldest first
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = value_parser!(i64).range(1..=200))]
    limit: i64,
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerOption,
}

#[derive(Debug, Args)]
struct PairOptions {
    /// A person: an id, a phone in any spelling, an email, or a chat id
    #[arg(value_name = "A", value_parser = NonEmptyStringValueParser::new())]
    one: String,
    /// The other
    #[arg(value_name = "B", value_parser = NonEmptyStringValueParser::new())]
    other: String,
    #[command(flatten)]
    words: Words,
    #[command(flatten)]
    shared: Shared,
}

#[derive(Debug, Args)]
struct SplitOptions {
    /// The id of a merge, or a person with one merge
    #[arg(value_name = "MERGE|PERSON", value_parser = NonEmptyStringValueParser::new())]
    what: String,
    #[command(flatten)]
    words: Words,
    #[command(flatten)]
    shared: Shared,
}

/// What is kept with a decision.
#[derive(Debug, Args)]
struct Words {
    /// Why, for whoever looks at it later
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Who says so
    #[arg(long, env = "USER", hide_env_values = true, value_name = "NAME")]
    author: Option<String>,
    /// Do it without asking
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, Args)]
struct Shared {
    /// Country of phones that name none; may be repeated, the first is tried first
    #[arg(long, value_name = "COUNTRY", default_value = DEFAULT_REGION, value_parser = country)]
    region: Vec<String>,
    /// Print one JSON object instead of text; where it asks, needs --yes
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerOption,
}

impl Words {
    fn said(&self, only_look: bool) -> Said {
        Said { author: self.author.clone(), note: self.note.clone(), only_look }
    }
}

pub(super) async fn run(options: Options) -> Result<End, Failure> {
    match options.command {
        Command::Show(options) => show(&options).await,
        Command::Duplicates(options) => duplicates(&options).await,
        Command::Merge(options) => merge(&options, false).await,
        Command::Same(options) => merge(&options, true).await,
        Command::Split(options) => split(&options).await,
        Command::NotSame(options) => not_same(&options).await,
        Command::Rehearse(options) => people_rehearse::run(options).await,
    }
}

async fn show(options: &ShowOptions) -> Result<End, Failure> {
    let client = Client::open_to_look(&options.shared.server).await?;
    let look = LookAtPeople {
        who: options.who.clone(),
        regions: options.shared.region.clone(),
        leads: Some(options.leads),
        language: Language::English,
    };
    let found = client.run_and_close(look).await?;
    if options.shared.json {
        say(&json!(found).to_string())?;
    } else if found.people.is_empty() {
        say(&format!(
            "Nobody is known by '{}'. Give an id, a phone (with --region for its country), an email, a chat id or the beginning of a \
             name.",
            options.who
        ))?;
    } else {
        say(&found.people.iter().map(told_profile).collect::<Vec<_>>().join("\n"))?;
    }
    Ok(if found.people.is_empty() { End::FoundProblems } else { End::Done })
}

async fn duplicates(options: &DuplicatesOptions) -> Result<End, Failure> {
    let client = Client::open_to_look(&options.server).await?;
    let found = client
        .run_and_close(LookAtDuplicates { limit: Some(options.limit), ..LookAtDuplicates::default() })
        .await?;
    if options.json {
        say(&json!(found).to_string())?;
    } else {
        say(&told_duplicates(&found.duplicates))?;
    }
    Ok(if found.duplicates.is_empty() { End::Done } else { End::FoundProblems })
}

/// Shows what would follow and asks; then it is done to those very people.
async fn merge(options: &PairOptions, same: bool) -> Result<End, Failure> {
    let PairOptions { one, other, words, shared } = options;
    can_ask(words, shared)?;
    let client = Client::open(&shared.server).await?;
    let asked = |one: &str, other: &str, only_look| Merge {
        one: one.to_owned(),
        other: other.to_owned(),
        same,
        said: words.said(only_look),
        regions: shared.region.clone(),
    };
    let end = async {
        let seen = client.run(asked(one, other, true)).await?;
        if !shared.json {
            say(&told_one(&seen, false))?;
        }
        if !words.yes && !confirm("Make them one?")? {
            return Ok(End::FoundProblems);
        }
        let made = client.run(asked(&seen.from.to_string(), &seen.into.to_string(), false)).await?;
        say(&if shared.json { json!(made).to_string() } else { told_one(&made, true) })?;
        Ok(End::Done)
    };
    let end = end.await;
    client.close().await;
    end
}

async fn split(options: &SplitOptions) -> Result<End, Failure> {
    let SplitOptions { what, words, shared } = options;
    can_ask(words, shared)?;
    let client = Client::open(&shared.server).await?;
    let asked = |what: &str, only_look| Split {
        what: what.to_owned(),
        said: words.said(only_look),
        regions: shared.region.clone(),
    };
    let end = async {
        let seen = client.run(asked(what, true)).await?;
        if !shared.json {
            say(&told_apart(&seen, false))?;
        }
        if !words.yes && !confirm("Take them apart?")? {
            return Ok(End::FoundProblems);
        }
        let taken = client.run(asked(&seen.merge.to_string(), false)).await?;
        say(&if shared.json { json!(taken).to_string() } else { told_apart(&taken, true) })?;
        Ok(End::Done)
    };
    let end = end.await;
    client.close().await;
    end
}

async fn not_same(options: &PairOptions) -> Result<End, Failure> {
    let PairOptions { one, other, words, shared } = options;
    let client = Client::open(&shared.server).await?;
    let said = NotSame {
        one: one.clone(),
        other: other.clone(),
        said: words.said(false),
        regions: shared.region.clone(),
    };
    let kept = client.run_and_close(said).await?;
    say(&if shared.json { json!(kept).to_string() } else { told_kept_apart(&kept) })?;
    Ok(End::Done)
}

fn can_ask(words: &Words, shared: &Shared) -> Result<(), Failure> {
    if shared.json && !words.yes {
        return Err(
            "--json does not ask: add --yes to do it, or leave --json out to look and be asked".to_owned()
        );
    }
    Ok(())
}
