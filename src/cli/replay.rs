//! `leadfold replay`: lets leads go on, maps them again, or forces them; shows what it would do first.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use serde_json::json;

use super::client::{Client, ServerOption};
use super::moment::moment;
use super::terminal::{Asking, Progress};
use super::{End, Failure, how_many, leads, say};
use crate::id::LeadId;
use crate::operation::replay::{Preview, PreviewReplay, Replay, Replayed};
use crate::store::replay::{How, LeftAlone, Selection};

const EXAMPLES: &str = "\
Examples:
  leadfold replay 0190a0b0-0000-7000-8000-000000000000 --resume
  leadfold replay --cause mapping_error --source sendpulse --replan
  leadfold replay --destination crm --from 2026-05-01 --resume --yes
  leadfold replay --state filtered --cause skipped --from 3d --resume
  leadfold replay --state unreadable --source shop --replan
  leadfold replay --cause crm_rejected --resume --dry-run --json

Which way?
  --resume   The CRM was at fault, and is fixed: the stored lead goes on. A step
             that may have happened is looked up first and never blindly sent
             again.
  --replan   The mapping was at fault, and is fixed: the stored request is
             mapped again by the active mapping. What is in the CRM already is
             updated by the rules; nothing is made twice.
  --force    The rules keep it out, and it shall go in all the same: its deal is
             made, also beside an open one.

It shows what it would do, and asks. Without --state, and unless leads are
named, leads that need attention are meant.

Exit codes: 0 done, 1 nothing matched, or not all of it could be replayed,
2 it could not be done.";

/// Arguments of `replay`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    /// Ids of leads, as `leadfold explain` shows them
    #[arg(value_name = "LEAD", value_parser = lead)]
    leads: Vec<LeadId>,
    #[command(flatten)]
    way: Way,
    /// Only leads that stand in this state; may be repeated
    #[arg(long, value_enum)]
    state: Vec<State>,
    /// Only leads whose reason has this word, such as `crm_rejected`
    #[arg(long, value_name = "WORD")]
    cause: Option<String>,
    /// Only leads on their way to this destination
    #[arg(long, value_name = "NAME")]
    destination: Option<String>,
    /// Only leads from this source
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Only leads received since: 2026-05-01, 2026-05-01T10:00 (UTC), or an age such as 3d or 2h
    #[arg(long, value_name = "TIME", value_parser = moment)]
    from: Option<Timestamp>,
    /// Only leads received before
    #[arg(long, value_name = "TIME", value_parser = moment)]
    to: Option<Timestamp>,
    /// Only the oldest so many
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    #[command(flatten)]
    asking: Asking,
    #[command(flatten)]
    server: ServerOption,
}

fn lead(text: &str) -> Result<LeadId, String> {
    text.trim()
        .parse()
        .map_err(|_| "this is no id of a lead; `leadfold explain` finds it by phone or email".to_owned())
}

/// One of three.
#[derive(Clone, Copy, Debug, Args)]
#[group(required = true, multiple = false)]
struct Way {
    /// Let the stored lead go on
    #[arg(long)]
    resume: bool,
    /// Map the stored request again by the active mapping
    #[arg(long)]
    replan: bool,
    /// Push it whatever the rules say
    #[arg(long)]
    force: bool,
}

impl Way {
    fn how(self) -> How {
        match self {
            Self { force: true, .. } => How::Force,
            Self { replan: true, .. } => How::Replan,
            Self { .. } => How::Resume,
        }
    }
}

/// Where a lead stands.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum State {
    /// A person must look
    NeedsAttention,
    /// A rule ended it
    Filtered,
    /// It is in the CRM
    Synced,
    /// It waits for something, such as an available owner
    Waiting,
    /// Decided while the destination only observed
    Held,
    /// Waits for its turn
    Ready,
    /// A request that could not be read
    Unreadable,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::NeedsAttention => "needs-attention",
            Self::Filtered => "filtered",
            Self::Synced => "synced",
            Self::Waiting => "waiting",
            Self::Held => "held",
            Self::Ready => "ready",
            Self::Unreadable => "unreadable",
        }
    }
}

pub(super) async fn run(options: Options) -> Result<End, Failure> {
    options.asking.check()?;
    let client = Client::open(&options.server).await?;
    let end = look_and_replay(&client, options).await;
    client.close().await;
    end
}

async fn look_and_replay(client: &Client, options: Options) -> Result<End, Failure> {
    let how = options.way.how();
    let counted: Counted =
        if options.state.iter().any(|state| matches!(state, State::Unreadable)) { deliveries } else { leads };
    let select = Selection {
        leads: options.leads,
        states: options.state.iter().map(|state| state.word().to_owned()).collect(),
        cause: options.cause,
        destination: options.destination,
        without_destination: false,
        source: options.source,
        from: options.from,
        to: options.to,
    };
    let preview = client
        .run(PreviewReplay { select: select.clone(), how, limit: options.limit, look_at: None })
        .await?;
    if !options.asking.json {
        say(&told(&preview, how, counted))?;
    }
    let mut replayed = None;
    if preview.count > 0 && options.asking.consents(&question(&preview, how, counted))? {
        replayed = Some(replay(client, select, how, &preview).await?);
    }
    if options.asking.json {
        say(&json!({ "preview": preview, "replayed": replayed }).to_string())?;
    } else if let Some(replayed) = &replayed {
        say(&told_end(replayed, how, counted))?;
    }
    let missed = replayed.is_some_and(|replayed| replayed.count < preview.count);
    Ok(if preview.count == 0 || missed { End::FoundProblems } else { End::Done })
}

/// `2 leads`, or `2 deliveries` where no lead has come of them yet.
type Counted = fn(u64) -> String;

fn deliveries(number: u64) -> String {
    how_many(number, "delivery", "deliveries")
}

/// Page by page; what is done when it breaks off stays done, and running it again takes the rest.
async fn replay(
    client: &Client,
    select: Selection,
    how: How,
    preview: &Preview,
) -> Result<Replayed, Failure> {
    let mut progress = Progress::new("replaying", preview.count);
    let mut all = Replayed::default();
    let mut after = None;
    loop {
        let page = Replay { select: select.clone(), how, after, up_to: preview.up_to };
        let page = client.run(page).await.map_err(|failure| {
            format!(
                "{failure}\n{} of {} were replayed before that. Run the same again for the rest",
                all.count, preview.count
            )
        })?;
        progress.advance(page.count);
        all.count += page.count;
        for (left, count) in page.left_alone {
            *all.left_alone.entry(left).or_default() += count;
        }
        after = page.next;
        if after.is_none() {
            progress.end();
            return Ok(all);
        }
    }
}

fn told(preview: &Preview, how: How, counted: Counted) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail, here and below.
    writeln!(text, "{}: {}", words(how).0, counted(preview.count)).ok();
    for group in &preview.groups {
        let cause = group.cause.as_ref().map_or_else(String::new, |cause| format!(", {cause}"));
        writeln!(text, "  {:>6}  {}{cause}, '{}'", group.count, group.state, group.place).ok();
        if !group.example.is_empty() {
            writeln!(text, "          such as: {}", group.example).ok();
        }
    }
    for sample in &preview.samples {
        writeln!(text, "  lead {}", sample.lead).ok();
        writeln!(text, "          now:   {}", sample.before).ok();
        writeln!(text, "          then:  {}", sample.after).ok();
    }
    text.push_str(&told_left_alone(&preview.left_alone));
    if preview.beside_a_deal > 0 {
        writeln!(
            text,
            "  Among them are leads of people who have a deal there already, as far as leadfold knows: {}. Where it is still \
             open, a second one will stand beside it: this breaks \"one open deal\".",
            preview.beside_a_deal
        )
        .ok();
    }
    if preview.count == 0 && preview.left_alone.is_empty() {
        writeln!(text, "  Nothing matches. `leadfold explain` shows where one lead stands.").ok();
    }
    text.trim_end().to_owned()
}

fn told_left_alone(left_alone: &BTreeMap<LeftAlone, u64>) -> String {
    let mut text = String::new();
    for (left, count) in left_alone {
        writeln!(text, "  {count:>6}  left alone: {}", why_left(*left)).ok();
    }
    text
}

fn told_end(replayed: &Replayed, how: How, counted: Counted) -> String {
    let text =
        format!("{} {}.\n{}", words(how).1, counted(replayed.count), told_left_alone(&replayed.left_alone));
    text.trim_end().to_owned()
}

fn question(preview: &Preview, how: How, counted: Counted) -> String {
    format!("{} {}?", words(how).0, counted(preview.count))
}

/// What is done, and what was done.
fn words(how: How) -> (&'static str, &'static str) {
    match how {
        How::Resume => ("Resume", "Resumed"),
        How::Replan => ("Map and plan again", "Mapped and planned again:"),
        How::Force => ("Force", "Forced"),
    }
}

fn why_left(left: LeftAlone) -> &'static str {
    match left {
        LeftAlone::UnderWay => "on its way to the CRM by itself",
        LeftAlone::Done => "in the CRM already; --replan or --force brings it again",
        LeftAlone::NeverMapped => "the mapping made no lead of it, so only --replan can help",
        LeftAlone::GoneAlong => {
            "it went along with a later lead of the same person; --force brings it by itself"
        }
        LeftAlone::Held => {
            "held since its destination was only observed; `leadfold live <destination>` answers for it"
        }
        LeftAlone::InDoubt => {
            "a step of it may be in the CRM; --resume looks, and --force sends it again when a person has looked"
        }
        LeftAlone::MappingFails => {
            "the active mapping cannot make a lead of it; `leadfold explain <lead>` says why"
        }
        LeftAlone::Emptied => {
            "the body of its request was removed by retention, so it cannot be mapped again; --resume and --force go on with \
             the lead as it was mapped"
        }
        LeftAlone::Erased => "everything personal of it was erased, so nothing of it can go on",
        LeftAlone::SomebodyElses => {
            "the active mapping says that it is another person's, and it is in the CRM already; correct it there"
        }
    }
}
