//! `leadfold people rehearse`: who would be who under other rules.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::terminal::has_colours;
use super::{DatabaseOption, End, Failure, WorkspaceOption, how_many, process_environment, say};
use crate::map::Files;
use crate::operation::NO_VERSION;
use crate::rehearse::people::{Evidence, PeopleGroup, PeopleRehearsal, PersonPart, rehearse_people};
use crate::rules::IdentityRules;
use crate::store::{Store, StoreError};
use crate::workspace::{compile_without_secrets, short};

const EXAMPLES: &str = "\
Examples:
  leadfold people rehearse                    the edited mappings/workspace.yaml
  leadfold people rehearse --rules new.yaml   its `identity:` alone is enough
  leadfold people rehearse --workspace next --limit 5

Every lead of the registry is told twice, in its order: under the active rules
and under those of the file. What differs is shown with the leads that decide
it. People whom somebody merged, split, or said to be or not to be the same keep
their leads. Nothing is written, no CRM is asked, and a server may run.

All of it happens in memory: count on about 2.7 GB per million identifiers, and
30 MB per million leads.

Exit codes: 0 nobody would be somebody else, 1 somebody would, 2 it could not be
rehearsed.";

/// Arguments of `people rehearse`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    /// A workspace.yaml with the other rules, or a file with its `identity:` alone [default: that of the workspace]
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    #[command(flatten)]
    workspace: WorkspaceOption,
    #[command(flatten)]
    database: DatabaseOption,
    /// Show at most so many groups of people, those with the most leads that would move first
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(options: Options) -> Result<End, Failure> {
    let file = match &options.rules {
        Some(file) => file.clone(),
        None => options.workspace.workspace.join("workspace.yaml"),
    };
    let others = rules_in(&file)?;
    let failed = |failure: StoreError| failure.to_string();
    let store = Store::open_to_read(&options.database.database).await.map_err(failed)?;
    let rehearsed = rehearsed(&store, &others, options.limit).await;
    store.close().await;
    let (active, rehearsal) = rehearsed?;
    if options.json {
        say(&json!({ "active": active, "rehearsal": rehearsal }).to_string())?;
    } else {
        say(&told(&rehearsal, &file.display().to_string(), &active))?;
    }
    Ok(if rehearsal.changed > 0 { End::FoundProblems } else { End::Done })
}

/// The identity rules that the file gives; whatever else stands in it is not asked.
fn rules_in(path: &Path) -> Result<IdentityRules, Failure> {
    let file = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| {
        format!(
            "the rules in {file} cannot be read: {error}. Name a workspace.yaml, or a file with `identity:`"
        )
    })?;
    let files = Files([("workspace.yaml".to_owned(), text)].into());
    let compiled = compile_without_secrets(&files, &process_environment()).0;
    if !compiled.is_sound() {
        let colour = has_colours(&std::io::stderr());
        let problems: Vec<String> =
            compiled.problems.iter().map(|problem| problem.render(&files, colour)).collect();
        return Err(format!(
            "{file} has errors, so nobody is rehearsed. Fix them first:\n{}",
            problems.join("\n").trim_end()
        ));
    }
    Ok(compiled.workspace.identity)
}

async fn rehearsed(
    store: &Store,
    others: &IdentityRules,
    limit: usize,
) -> Result<(String, PeopleRehearsal), Failure> {
    let failed = |failure: StoreError| failure.to_string();
    let (hash, active) = store.active_version().await.map_err(failed)?.ok_or(NO_VERSION)?;
    let active = compile_without_secrets(&active, &process_environment()).0.workspace.identity;
    let rehearsal = rehearse_people(store, &active, others, limit, &mut |_| ()).await.map_err(failed)?;
    Ok((hash, rehearsal))
}

fn told(rehearsal: &PeopleRehearsal, file: &str, active: &str) -> String {
    let PeopleRehearsal { leads: all, identifiers, corrected, elsewhere, before, after, .. } = rehearsal;
    if *all == 0 {
        return "The registry has no leads, so nobody was rehearsed.".to_owned();
    }
    let mut lines = vec![
        format!(
            "{file} against the active version {}: {} with {}",
            short(active),
            how_many(*all, "lead", "leads"),
            how_many(*identifiers, "identifier", "identifiers"),
        ),
        format!("{} under the active rules, {after} under these.", how_many(*before, "person", "people")),
    ];
    lines.push(match rehearsal.changed {
        0 => "Nobody would be somebody else.".to_owned(),
        _ => format!(
            "{} would be split, {} would be one with others, {} would be somebody else's.",
            how_many(rehearsal.split, "person", "people"),
            rehearsal.joined,
            how_many(rehearsal.moved, "lead", "leads"),
        ),
    });
    lines.extend(rehearsal.groups.iter().map(|group| format!("\n{}", told_group(group))));
    let hidden = rehearsal.changed - rehearsal.groups.len();
    if hidden > 0 {
        lines
            .push(format!("\nAnd {} more; --limit shows more of them.", how_many(hidden, "group", "groups")));
    }
    lines.push(String::new());
    if *corrected > 0 {
        let people = how_many(*corrected, "person whom somebody", "people whom somebody");
        let keep = if *corrected == 1 { "keeps" } else { "keep" };
        lines.push(format!("{people} corrected by hand {keep} their leads under any rules."));
    }
    if *elsewhere > 0 {
        lines.push(format!(
            "{} of the registry {} with somebody else than the active rules alone would put them: what a CRM knows, leads \
             that retention has removed, and decisions under earlier rules do that. It counts as no difference here.",
            how_many(*elsewhere, "lead", "leads"),
            if *elsewhere == 1 { "is" } else { "are" },
        ));
    }
    lines.push(
        "Nothing was changed: other rules decide about leads that come, and never about those that came."
            .to_owned(),
    );
    lines.join("\n")
}

fn told_group(group: &PeopleGroup) -> String {
    let PeopleGroup { before, after, moved, because } = group;
    let many = |parts: &[PersonPart]| how_many(parts.len(), "person", "people");
    let mut lines = vec![format!(
        "{} would be {}, {} would be somebody else's:",
        many(before),
        many(after),
        how_many(*moved, "lead", "leads")
    )];
    for PersonPart { person, leads, first } in before {
        let leads = how_many(*leads, "lead", "leads");
        lines.push(format!("  now   person {person}: {leads}, the first is {first}"));
    }
    for PersonPart { leads, first, .. } in after {
        let leads = how_many(*leads, "lead", "leads");
        lines.push(format!("  then  somebody with {leads}, the first is {first}"));
    }
    for Evidence { lead, received_at, before, after } in because {
        lines.push(format!("    lead {lead} of {received_at:.0}"));
        lines.push(format!("      now:  {}", before.join(" ")));
        lines.push(format!("      then: {}", after.join(" ")));
    }
    lines.join("\n")
}
