//! `leadfold rehearse`: what would be different with the edited workspace.

use clap::Args;
use jiff::Timestamp;
use serde_json::json;

use super::moment::moment;
use super::terminal::has_colours;
use super::{DatabaseOption, End, Failure, WorkspaceOption, how_many, process_environment, say};
use crate::map::{Compiled, Files};
use crate::operation::NO_VERSION;
use crate::rehearse::{Group, Rehearsal, Rehearsing, Shown};
use crate::store::rehearsal::Selection;
use crate::store::{Store, StoreError};
use crate::workspace::{compile_without_secrets, read_files, short};

const EXAMPLES: &str = "\
Examples:
  leadfold rehearse                     the last 500 deliveries
  leadfold rehearse --last 5000 --source sendpulse
  leadfold rehearse --from 7d           those of the last seven days
  leadfold rehearse --from 2026-11-01 --to 2026-11-08T12:00

Both versions, the active one and the files, go through the same stages as live
traffic, on the same stored deliveries and with what the registry knew when each
lead came. Nothing is written, no CRM is asked, no bot is called, and a server
may run; calls that would be other ones are shown with their parameters. Leads
that change in the same way are shown once, with their number and the newest of
them as the example.

Exit codes: 0 nothing would change, 1 something would, 2 it could not be
rehearsed.";

/// Arguments of `rehearse`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    #[command(flatten)]
    workspace: WorkspaceOption,
    #[command(flatten)]
    database: DatabaseOption,
    /// At most so many deliveries, the newest first [default: 500, or all between --from and --to]
    #[arg(long, value_name = "N")]
    last: Option<usize>,
    /// Only what was received since: 2026-05-01, 2026-05-01T10:00 (UTC), or an age such as 3d or 2h
    #[arg(long, value_name = "TIME", value_parser = moment)]
    from: Option<Timestamp>,
    /// Only what was received before
    #[arg(long, value_name = "TIME", value_parser = moment)]
    to: Option<Timestamp>,
    /// Only what came to this source
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// Deliveries without --last, --from and --to.
const LAST: usize = 500;

pub(super) async fn run(options: Options) -> Result<End, Failure> {
    let files = read_files(&options.workspace.workspace)?;
    let environment = process_environment();
    let (new, missing) = compile_without_secrets(&files, &environment);
    if !new.is_sound() {
        return Err(broken(&options, &files, &new));
    }
    let failed = |failure: StoreError| failure.to_string();
    let store = Store::open_to_read(&options.database.database).await.map_err(failed)?;
    let active = store.active_version().await.map_err(failed)?;
    let (hash, active) = active.ok_or(NO_VERSION)?;
    let old = compile_without_secrets(&active, &environment).0.workspace;
    if let Some(source) = &options.source
        && !old.sources.contains_key(source)
        && !new.workspace.sources.contains_key(source)
    {
        let known: Vec<&str> = new.workspace.sources.keys().map(String::as_str).collect();
        return Err(format!("the workspace has no source '{source}'; it has {}", known.join(", ")));
    }
    let selection = Selection { from: options.from, to: options.to, source: options.source.clone() };
    let all = options.from.is_some() || options.to.is_some();
    let at_most = options.last.unwrap_or(if all { usize::MAX } else { LAST });
    let rehearsing = Rehearsing::begin(&store, &old, &new.workspace).await.map_err(failed)?;
    let rehearsed = rehearsing.run(&selection, at_most, &mut |_| ()).await;
    store.close().await;
    let rehearsal = rehearsed.map_err(failed)?;
    if options.json {
        say(&json!({ "active": hash, "files": files.hash(), "secrets_not_set_here": missing,
            "rehearsal": rehearsal })
        .to_string())?;
    } else {
        say(&told(&rehearsal, &options.workspace.workspace.display().to_string(), &hash))?;
        if !missing.is_empty() {
            let missing = missing.into_iter().collect::<Vec<_>>().join(", ");
            say(&format!("Not set here, and not needed for this: {missing}."))?;
        }
    }
    Ok(if rehearsal.changed > 0 { End::FoundProblems } else { End::Done })
}

fn broken(options: &Options, files: &Files, compiled: &Compiled) -> Failure {
    let colour = has_colours(&std::io::stderr());
    let problems: Vec<String> =
        compiled.problems.iter().map(|problem| problem.render(files, colour)).collect();
    format!(
        "{} has errors, so nothing is rehearsed. Fix them first:\n{}",
        options.workspace.workspace.display(),
        problems.join("\n").trim_end()
    )
}

fn told(rehearsal: &Rehearsal, folder: &str, active: &str) -> String {
    let Rehearsal { deliveries, emptied, events, redeliveries, same, changed, span, groups } = rehearsal;
    let Some((oldest, newest)) = span else {
        return "No stored delivery is like that, so nothing was rehearsed.".to_owned();
    };
    let mut text = format!(
        "{folder} against the active version {}: {} from {oldest:.0} to {newest:.0}, {}, redeliveries left out: \
         {redeliveries}\n{changed} would change, {same} stay as they are.\n",
        short(active),
        how_many(*deliveries, "delivery", "deliveries"),
        how_many(*events, "event", "events"),
    );
    if *emptied > 0 {
        text.push_str("Left out: ");
        text.push_str(&how_many(*emptied, "delivery whose body", "deliveries whose bodies"));
        text.push_str(" retention has removed (`bodies` in workspace.yaml).\n");
    }
    for group in groups {
        text.push('\n');
        text.push_str(&told_group(group));
    }
    if *changed > 0 {
        text.push_str(
            "\nNot asked: the CRM. Plans rest on what leadfold has found and made there itself; its deals count as open, \
             and people whom it has not brought there count as unknown. Who is who stays as it was when the leads came.",
        );
    }
    text.trim_end().to_owned()
}

fn told_group(group: &Group) -> String {
    let Group { source, count, differences, because, example } = group;
    let mut lines = vec![format!("{} of {source}:", how_many(*count, "event", "events"))];
    let width = differences.iter().map(|shown| shown.difference.place.chars().count()).max().unwrap_or(0);
    lines.extend(differences.iter().map(|shown| told_difference(shown, width, *count)));
    lines.extend(because.iter().map(|reason| format!("    because: {reason}")));
    let id = match example.lead {
        Some(lead) => format!("lead {lead}"),
        None => format!("delivery {}", example.delivery),
    };
    let who = if example.who.is_empty() { String::new() } else { format!(", {}", example.who) };
    let for_example = if *count == 1 { "" } else { "for example " };
    lines.push(format!("    {for_example}{id} of {:.0}{who}", example.received_at));
    lines.join("\n") + "\n"
}

fn told_difference(shown: &Shown, width: usize, count: usize) -> String {
    let side = |side: &Option<String>| side.as_deref().map_or_else(|| "nothing".to_owned(), in_short);
    let difference = &shown.difference;
    let example = if shown.same_for_all || count == 1 { "" } else { "   (in the example)" };
    format!("  {:width$}  {} → {}{example}", difference.place, side(&difference.old), side(&difference.new))
}

/// Longest value that is shown whole.
const LONGEST: usize = 100;

fn in_short(text: &str) -> String {
    let line = text.replace('\n', " ⏎ ");
    if line.chars().count() <= LONGEST {
        return line;
    }
    line.chars().take(LONGEST).collect::<String>() + "…"
}
