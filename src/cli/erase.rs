//! `leadfold erase`: one human's personal data goes; what is beyond leadfold's reach is said.

use std::fmt::Write as _;
use std::time::Duration;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde_json::json;

use super::client::{Client, ServerOption};
use super::terminal::{Asking, Progress};
use super::{End, Failure, country, how_many, leads, say};
use crate::operation::DEFAULT_REGION;
use crate::operation::erase::{Erasable, Erase, Erased, PreviewErase, RewriteFile, SearchRequests, Who};
use crate::store::erase::{Belongings, HeldRecord, Searched};

const EXAMPLES: &str = "\
Examples:
  leadfold erase 067-418-52-06 --dry-run
  leadfold erase olena@example.com --author \"DPO\" --note \"request 17\"
  leadfold erase 0190a0b0-0000-7000-8000-000000000000 --yes --json
  leadfold erase 0674185206 --rewrite         and write the SQLite file anew

Everything personal of one human goes: identifiers, names, what their leads
said, the requests they came in, what was written to CRMs, texts of alerts.
Stored requests that never became a lead are searched for their phones, emails
and ids, in any spelling; a name alone finds nothing. What stays is that
something came, when, from where, and the ids of CRM records; and that somebody
was erased, when and by whom.

It shows what would go, and asks. Leads that wait are given up; those that are
being brought to a CRM finish first. When it breaks off, run the same again.

Not reached from here: the CRMs (it lists their records), backups (erase again
after restoring one), logs (masked), and on PostgreSQL what VACUUM has not
overwritten yet.

Exit codes: 0 erased, 1 nothing is known of them, or more than one person is,
or something is still under way, 2 it could not be done.";

/// Arguments of `erase`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    /// A phone in any spelling, an email, the id of a chat or a customer, or the id of a person
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    who: String,
    /// Country of phones that name none; may be repeated, the first is tried first
    #[arg(long, value_name = "COUNTRY", default_value = DEFAULT_REGION, value_parser = country)]
    region: Vec<String>,
    /// Also leads of which a step may be in the CRM: nobody looks for it any more
    #[arg(long)]
    even_in_doubt: bool,
    /// Who asks for it; kept
    #[arg(long, value_name = "NAME")]
    author: Option<String>,
    /// On what ground; kept, so nothing personal
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Write a large SQLite file anew at once; senders wait, about 1 s for each 50 MB
    #[arg(long)]
    rewrite: bool,
    #[command(flatten)]
    asking: Asking,
    #[command(flatten)]
    server: ServerOption,
}

/// Files of SQLite up to this size are written anew without being asked: it takes a second or two.
const SMALL: u64 = 64_000_000;
const MEGABYTE: u64 = 1_000_000;
/// How often it is looked whether what is under way has finished, and how long between.
const LOOKS: u32 = 60;
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);

pub(super) async fn run(options: Options) -> Result<End, Failure> {
    options.asking.check()?;
    let client = Client::open(&options.server).await?;
    let end = look_and_erase(&client, &options).await;
    client.close().await;
    end
}

async fn look_and_erase(client: &Client, options: &Options) -> Result<End, Failure> {
    let human = Who { who: options.who.clone(), regions: options.region.clone() };
    let there = client.run(PreviewErase(human.clone())).await?;
    if let [_, _, ..] = there.people.as_slice() {
        let said = if options.asking.json {
            json!({ "preview": there }).to_string()
        } else {
            told_several(&there.people)
        };
        say(&said)?;
        return Ok(End::FoundProblems);
    }
    let found = search(client, &human, &there, false).await?;
    let nothing = found.found == 0 && there.people.iter().all(is_gone);
    if !options.asking.json {
        say(&told(&there, &found, nothing))?;
    }
    let mut done = None;
    if nothing && options.rewrite && !options.asking.dry_run && there.file_size.is_some() {
        // Asked for after they were erased.
        client.run(RewriteFile {}).await?;
        if !options.asking.json {
            say("The file of the database was written anew.")?;
        }
    }
    if !nothing && options.asking.consents("Erase this for good?")? {
        done = Some(erase(client, options, human, &there).await?);
    }
    let missed = match &done {
        Some((erased, _, _)) => !erased.done,
        None => nothing,
    };
    if options.asking.json {
        let done = done.as_ref().map(|(erased, searched, rewritten)| {
            json!({ "erased": erased, "requests": searched, "rewritten": rewritten })
        });
        say(&json!({ "preview": there, "requests": found, "done": done }).to_string())?;
    } else if let Some((erased, searched, rewritten)) = &done {
        say(&told_end(erased, searched, *rewritten, &there))?;
    }
    Ok(if missed { End::FoundProblems } else { End::Done })
}

/// Nothing but what was kept on purpose.
fn is_gone(there: &Belongings) -> bool {
    there.identifiers.is_empty() && there.leads == 0
}

async fn search(client: &Client, human: &Who, there: &Erasable, erase: bool) -> Result<Searched, Failure> {
    let mut all = Searched::default();
    let mut progress = Progress::new("requests searched", there.stored_requests);
    let mut after = None;
    loop {
        let page = client.run(SearchRequests { human: human.clone(), after, erase }).await?;
        progress.advance(page.looked_at);
        all.looked_at += page.looked_at;
        all.found += page.found;
        all.not_read_yet += page.not_read_yet;
        all.unsplit += page.unsplit;
        all.others.extend(page.others);
        after = page.next;
        if after.is_none() {
            progress.end();
            return Ok(all);
        }
    }
}

/// Requests of nobody first: what they are found by is forgotten last.
async fn erase(
    client: &Client,
    options: &Options,
    human: Who,
    there: &Erasable,
) -> Result<(Erased, Searched, Option<bool>), Failure> {
    let again = |failure: Failure| format!("{failure}\nWhat was erased is; run the same again for the rest");
    let searched = search(client, &human, there, true).await.map_err(again)?;
    let mut all = Erased::default();
    let mut looks = 0;
    while !all.done && looks < LOOKS {
        let piece = Erase {
            human: human.clone(),
            even_in_doubt: options.even_in_doubt,
            author: options.author.clone(),
            note: options.note.clone(),
        };
        let erased = client.run(piece).await.map_err(again)?;
        all.done = erased.done;
        all.records.extend(erased.records);
        all.piece.leads += erased.piece.leads;
        all.piece.requests += erased.piece.requests;
        all.piece.unsplit += erased.piece.unsplit;
        all.piece.given_up += erased.piece.given_up;
        all.piece.under_way = erased.piece.under_way;
        if erased.piece.leads == 0 && erased.piece.under_way > 0 {
            looks += 1;
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    }
    let rewrites = all.done && there.file_size.is_some_and(|size| options.rewrite || size <= SMALL);
    let rewritten = if rewrites { Some(client.run(RewriteFile {}).await?.log_emptied) } else { None };
    Ok((all, searched, rewritten))
}

fn told_several(people: &[Belongings]) -> String {
    let mut text =
        "Several people are known by that, and only one can be meant. Name one by the id:".to_owned();
    for there in people {
        // Writing to a String cannot fail, here and below.
        write!(text, "\n  {}  {}, {}", there.person, leads(there.leads), known_by(there)).ok();
    }
    text
}

fn known_by(there: &Belongings) -> String {
    let known: Vec<String> =
        there.identifiers.iter().map(|(kind, shown)| format!("{} {shown}", kind.replace('_', " "))).collect();
    known.join(", ")
}

fn requests(number: u64) -> String {
    how_many(number, "request", "requests")
}

fn told(there: &Erasable, found: &Searched, nothing: bool) -> String {
    let mut text = String::new();
    for there in &there.people {
        writeln!(text, "Person {}", there.person).ok();
        if let Some(at) = there.erased_at {
            writeln!(text, "  was erased on {at:.0}").ok();
        }
        if !there.identifiers.is_empty() {
            writeln!(text, "  known by    {}", known_by(there)).ok();
        }
        writeln!(
            text,
            "  would go    {}, and {} that they came in",
            leads(there.leads),
            requests(there.requests)
        )
        .ok();
        if there.given_up > 0 {
            writeln!(text, "  given up    on their way to a CRM, waiting or held: {}", there.given_up).ok();
        }
        if there.under_way > 0 {
            writeln!(text, "  under way   being brought to a CRM, and finished first: {}", there.under_way)
                .ok();
        }
        text.push_str(&told_records(&there.records));
    }
    if found.looked_at > 0 {
        writeln!(
            text,
            "Of {} that were searched, {} without a person mention them and would go{}.",
            requests(found.looked_at),
            found.found,
            match found.not_read_yet {
                0 => String::new(),
                number => format!("; {number} of these would still have become leads"),
            }
        )
        .ok();
    }
    text.push_str(&told_others(found));
    if nothing {
        writeln!(
            text,
            "Nothing more is known of them. Give a phone (with --region for its country), an email, or an id."
        )
        .ok();
    }
    text.trim_end().to_owned()
}

fn told_records(records: &std::collections::BTreeSet<HeldRecord>) -> String {
    let mut text = String::new();
    for record in records {
        let HeldRecord { destination, kind, record, step } = record;
        match record {
            Some(record) => writeln!(text, "  stays in    '{destination}': {kind} {record}").ok(),
            None => writeln!(
                text,
                "  may be in   '{destination}': a {kind} with the marker {}",
                step.as_deref().unwrap_or("–")
            )
            .ok(),
        };
    }
    text
}

fn told_others(searched: &Searched) -> String {
    if searched.others.is_empty() {
        return String::new();
    }
    let people: Vec<String> = searched.others.iter().map(ToString::to_string).collect();
    format!(
        "Messages of others mention them too, and stay: see whether these are the same human, and erase them by id: {}.\n",
        people.join(", ")
    )
}

fn told_end(erased: &Erased, searched: &Searched, rewritten: Option<bool>, there: &Erasable) -> String {
    let piece = &erased.piece;
    let mut text =
        format!("Erased: {}, and {}.\n", leads(piece.leads), requests(piece.requests + searched.found));
    let unsplit = piece.unsplit + searched.unsplit;
    if unsplit > 0 {
        writeln!(
            text,
            "{} held events of others too and could not be split: all of the body went; the leads of the others stay.",
            requests(unsplit)
        )
        .ok();
    }
    if piece.given_up > 0 {
        writeln!(text, "Given up on their way to a CRM: {}.", leads(piece.given_up)).ok();
    }
    if !erased.done {
        writeln!(
            text,
            "NOT ALL OF IT: {} being brought to a CRM. Run the same again when that is done (start leadfold if it does not \
             run); --even-in-doubt gives up what waits for an answer of the CRM.",
            how_many(piece.under_way, "lead is", "leads are")
        )
        .ok();
        return text.trim_end().to_owned();
    }
    if !erased.records.is_empty() {
        text.push_str("CRMs still have, and a person must remove it there:\n");
        text.push_str(&told_records(&erased.records));
    }
    text.push_str(&told_others(searched));
    match (there.file_size, rewritten) {
        (None, _) => text.push_str(
            "PostgreSQL keeps old versions of rows until VACUUM, and their bytes until they are overwritten: VACUUM FULL of \
             the tables does it at once and locks them. Its archives of the log keep them as well.\n",
        ),
        (Some(_), Some(true)) => text.push_str("The file of the database was written anew: nothing of it is left there.\n"),
        (Some(_), Some(false)) => text.push_str(
            "The file of the database was written anew. The log beside it (-wal) is being read by somebody, and is emptied \
             when the server stops.\n",
        ),
        (Some(size), None) => {
            writeln!(
                text,
                "Free parts of the file of the database may still hold copies. It has {} MB: run this again with --rewrite in a \
                 quiet hour, which writes it anew while senders wait.",
                size / MEGABYTE
            )
            .ok();
        }
    }
    text.push_str(
        "Backups made before still hold everything: erase again after restoring one. Logs hold it masked.",
    );
    text
}
