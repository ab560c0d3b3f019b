//! `leadfold explain`: what became of a lead, and why, in plain words.

use std::fmt::Write as _;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, value_parser};
use serde_json::Value;

use super::{DatabaseOption, End, Failure, country, how_many, say};
use crate::id::LeadId;
use crate::normalise::spellings;
use crate::operation::DEFAULT_REGION;
use crate::resolve::Language;
use crate::store::Store;
use crate::store::audits::AuditDetail;
use crate::store::erase::ERASED_CODE;
use crate::store::registry::{LeadDetail, SyncDetail};

const EXAMPLES: &str = "\
Examples:
  leadfold explain 067-418-52-06              the last leads of whoever has it
  leadfold explain olena@example.com --limit 1
  leadfold explain 0190a0b0-0000-7000-8000-000000000000
  leadfold explain 0674185206 --language uk
  leadfold explain 0674185206 --json | jq '.[0].state'

It only reads, so a server may run. With --json it prints a list of leads, each
as GET /api/leads/<id> answers it.

Exit codes: 0 found, 1 nothing is known of it, 2 it could not be looked up.";

/// Arguments of `explain`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    /// A lead id, a phone in any spelling, an email, or a chat id
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    lead: String,
    /// Country of phones that name none; may be repeated, the first is tried first
    #[arg(long, value_name = "COUNTRY", default_value = DEFAULT_REGION, value_parser = country)]
    region: Vec<String>,
    /// At most so many leads, the newest first
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = value_parser!(i64).range(1..))]
    limit: i64,
    /// Language in which it says whose the lead is: en or uk
    #[arg(long, value_name = "LANGUAGE", default_value = "en", value_parser = language)]
    language: Language,
    /// Print one JSON array instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseOption,
}

fn language(code: &str) -> Result<Language, String> {
    Language::parse(code).ok_or_else(|| "it is en or uk".to_owned())
}

pub(super) async fn run(options: Options) -> Result<End, Failure> {
    let failed = |failure: crate::store::StoreError| failure.to_string();
    let store = Store::open_to_read(&options.database.database).await.map_err(failed)?;
    let mut ids: Vec<LeadId> = options.lead.trim().parse().ok().into_iter().collect();
    if ids.is_empty() {
        let values = spellings(&options.lead, &options.region);
        let rows = store.leads_of(&values, options.limit).await.map_err(failed)?;
        ids = rows.into_iter().map(|row| row.id).collect();
    }
    let mut leads = Vec::new();
    for id in ids {
        leads.extend(store.lead_in(id, options.language).await.map_err(failed)?);
    }
    store.close().await;
    if options.json {
        say(&serde_json::json!(leads).to_string())?;
    } else if leads.is_empty() {
        say(&format!(
            "Nothing is known of '{}'. Give a lead id, a phone (with --region for its country), an email or a chat id.",
            options.lead
        ))?;
    } else {
        say(leads.iter().map(told).collect::<Vec<_>>().join("\n").trim_end())?;
    }
    Ok(if leads.is_empty() { End::FoundProblems } else { End::Done })
}

/// A lead with all that happened to it.
pub(super) fn told(lead: &LeadDetail) -> String {
    let mut text = String::new();
    let mut line = |words: String| {
        // Writing to a String cannot fail.
        writeln!(text, "{words}").ok();
    };
    let row = &lead.row;
    line(format!("Lead {} from '{}': {}", row.id, row.source, row.state));
    line(format!("  received  {} in delivery {}", row.received_at, word(lead.delivery.get("id"))));
    if let Some(at) = lead.delivery.get("emptied_at") {
        let erased = row.why.as_ref().is_some_and(|why| word(why.get("code")) == ERASED_CODE);
        let what =
            if erased { "everything personal was erased" } else { "its body was removed by retention" };
        line(format!("            {what} on {}", word(Some(at))));
    }
    if !lead.redeliveries.is_empty() {
        let times = how_many(lead.redeliveries.len(), "more time", "more times");
        line(format!("            the platform sent it {times}; counted once"));
    }
    if let Some(mapped) = &lead.lead {
        let contact = row.contact.as_ref();
        let of = |name| word(contact.and_then(|contact| contact.get(name)));
        line(format!(
            "  mapped    branch '{}': {}, {}, {}",
            word(mapped.get("branch")),
            of("name"),
            of("phone"),
            of("email")
        ));
        if let Some(postback) = mapped.get("postback") {
            let (event, ordinal) = (word(postback.get("event")), word(postback.get("ordinal")));
            line(format!("            counted as {event}#{ordinal} of this person"));
        }
        for flaw in mapped.get("flaws").and_then(Value::as_array).into_iter().flatten() {
            line(format!(
                "            {} '{}': {}",
                word(flaw.get("field")),
                word(flaw.get("raw")),
                word(flaw.get("text"))
            ));
        }
    }
    if let Some(person) = &row.person {
        line(format!("  who       person {person}"));
    }
    if let Some(decision) = &lead.decision {
        for (heading, sentences) in [("because", &decision.why), ("but not", &decision.why_not)] {
            for sentence in sentences {
                line(format!("            {heading:<10}{}", sentence.text));
            }
        }
    }
    if lead.syncs.is_empty()
        && let Some(why) = &row.why
    {
        line(format!("  why       {}", word(why.get("text"))));
    }
    for sync in &lead.syncs {
        line(told_sync(sync));
    }
    for call in &lead.calls_to_come {
        line(format!("  later     '{}', {}: {}", call.to, call.moment, call.why));
    }
    text
}

fn told_sync(sync: &SyncDetail) -> String {
    let mut text = format!("  to        '{}': {}", sync.destination, sync.state);
    let mut line = |words: String| {
        // Writing to a String cannot fail.
        write!(text, "\n            {words}").ok();
    };
    if let Some(why) = &sync.why {
        line(word(why.get("text")));
    }
    if sync.state == "held" {
        let planned = sync.planned_at.map_or_else(String::new, |at| format!(" as of {at}"));
        line(format!(
            "held      the plan below is{planned}; nothing is written before `leadfold live {}` pushes it, decided anew, or \
             skips it",
            sync.destination
        ));
    }
    if let Some(next) = sync.next_at {
        line(format!("looked at again at {next}"));
    }
    // What is held was told its first reason above.
    let told = usize::from(sync.state == "held");
    for reason in sync.reasons.iter().filter_map(Value::as_array).flatten().skip(told) {
        line(format!("because   {}", word(reason.get("text"))));
    }
    for step in &sync.steps {
        let record = step.record.as_ref().map(|record| format!(" → record {record}")).unwrap_or_default();
        let why = step.why.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
        let past = if step.past { ", before the last replay" } else { "" };
        line(format!("step      {}: {}{past}{record}{why}", step.kind, step.state));
        if sync.state == "held" {
            for (field, value) in written(&step.action) {
                line(format!("            {field}: {value}"));
            }
        }
    }
    for audit in &sync.audits {
        line(format!("audit     {}: {}", audit.kind, audited(audit)));
    }
    text
}

/// What became of looking once more for a step that was sent again.
fn audited(audit: &AuditDetail) -> String {
    let records = || audit.records.join(", ");
    match audit.result.as_deref() {
        None => format!("sent again, so it is looked for once more at {}", audit.due_at),
        Some("once") => format!("sent again, and there once (record {})", records()),
        Some("none") => "sent again, and not there any more".to_owned(),
        Some("twice") => format!("sent again, and too much is there (records {})", records()),
        Some(_) => format!(
            "sent again, and nobody can tell whether it is there once ({})",
            audit.note.as_deref().unwrap_or("the CRM does not say")
        ),
    }
}

/// What a step would write, by field. References to other records are left out: the steps stand below one another.
fn written(action: &Value) -> Vec<(String, String)> {
    let parts = ["contact", "deal", "changes", "task"].map(|part| action.get(part));
    let text = action.get("text").map(|text| ("text".to_owned(), word(Some(text))));
    let mut fields: Vec<(String, String)> = parts.into_iter().flatten().flat_map(filled).collect();
    fields.extend(text);
    fields
}

/// The fields of a part that hold something; further CRM fields as if they were its own.
fn filled(part: &Value) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    for (name, value) in part.as_object().into_iter().flatten() {
        match value {
            Value::Object(_) if name == "fields" => fields.extend(filled(value)),
            Value::Array(list) if !list.is_empty() => {
                let words: Vec<String> = list.iter().map(|value| word(Some(value))).collect();
                fields.push((name.clone(), words.join(", ")));
            }
            // What is left alone; and which record or step the reference names.
            Value::Null | Value::Array(_) => {}
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
                if !matches!(name.as_str(), "record" | "step") {
                    fields.push((name.clone(), word(Some(value))));
                }
            }
        }
    }
    fields
}

/// A JSON value as a person reads it; a dash where there is none.
fn word(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        None | Some(Value::Null) => "–".to_owned(),
        Some(other) => other.to_string(),
    }
}
