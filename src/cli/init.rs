//! `leadfold init`: writes a workspace to begin with.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum};

use super::schema::{self, Of};
use super::{End, Failure, say};
use crate::crm::{self, DESCRIPTIONS};
use crate::demo::FIXTURES;
use crate::rules::Setting;

const EXAMPLES: &str = "\
Examples:
  leadfold init                            SendPulse, into the sandbox CRM
  leadfold init --preset json --crm odoo   anything that posts JSON, into Odoo
  leadfold init shop --preset form --crm rest
                                           web forms, into any CRM with an API

It writes workspace.yaml, the file of one source with a test and a sample
request, and the schemas for editors. All of it passes `leadfold check` as it
is. Nothing that exists is overwritten without --force.";

/// Arguments of `init`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    /// The folder; it is made when it is not there
    #[arg(value_name = "DIR", default_value = "mappings")]
    dir: PathBuf,
    /// What sends the leads
    #[arg(long, value_enum, default_value_t = Sender::Sendpulse)]
    preset: Sender,
    /// What they are brought to
    #[arg(long, value_parser = crms(), default_value = "sandbox")]
    crm: String,
    /// Overwrite files that exist
    #[arg(long)]
    force: bool,
}

/// Presets with a file to begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Sender {
    #[value(help = "SendPulse chatbots")]
    Sendpulse,
    /// Anything that posts JSON
    Json,
    /// Web forms and postbacks
    Form,
}

fn crms() -> PossibleValuesParser {
    PossibleValuesParser::new(DESCRIPTIONS.iter().map(|description| description.name))
}

impl Sender {
    fn name(self) -> &'static str {
        match self {
            Self::Sendpulse => "sendpulse",
            Self::Json => "json",
            Self::Form => "form",
        }
    }

    fn mapping(self) -> &'static str {
        match self {
            Self::Sendpulse => include_str!("init/sendpulse.yaml"),
            Self::Json => include_str!("init/json.yaml"),
            Self::Form => include_str!("init/form.yaml"),
        }
    }

    /// Name and text of its sample request.
    fn sample(self) -> (&'static str, &'static str) {
        match self {
            Self::Sendpulse => {
                ("samples/sendpulse.json", FIXTURES.first().map(|(_, text)| *text).unwrap_or_default())
            }
            Self::Json => ("samples/json.json", include_str!("init/json.json")),
            Self::Form => ("samples/form.txt", include_str!("init/form.txt")),
        }
    }
}

pub(super) fn run(options: &Options) -> Result<End, Failure> {
    let Options { dir, preset, crm, force } = options;
    let name = preset.name();
    let (sample, request) = preset.sample();
    let files = [
        ("workspace.yaml".to_owned(), workspace(crm)?),
        (format!("{name}.yaml"), preset.mapping().to_owned()),
        (sample.to_owned(), request.to_owned()),
        (".schema/workspace.json".to_owned(), schema::text(Of::Workspace)?),
        (".schema/mapping.json".to_owned(), schema::text(Of::Mapping)?),
    ];
    let there: Vec<&str> =
        files.iter().map(|(file, _)| file.as_str()).filter(|file| dir.join(file).exists()).collect();
    if !force && !there.is_empty() {
        return Err(format!(
            "{} has {} already, so nothing is written. Name another folder, or overwrite with --force",
            dir.display(),
            there.join(", ")
        ));
    }
    for (file, text) in &files {
        write(&dir.join(file), text)?;
    }
    let dir = dir.display().to_string();
    say(&format!(
        "Written: {dir}/workspace.yaml, {dir}/{name}.yaml, {dir}/{sample}, and schemas for editors.\n"
    ))?;
    // The folder that every command takes by itself need not be named.
    let workspace = match dir.as_str() {
        "mappings" => String::new(),
        other => format!(" --workspace {other}"),
    };
    let mut next = vec![(format!("leadfold check{workspace}"), "says what is wrong, with line and column")];
    next.push(if crm == "sandbox" {
        ("leadfold sandbox &".to_owned(), "the CRM to try it on; http://127.0.0.1:9900/ shows what is in it")
    } else {
        (format!("leadfold doctor{workspace}"), "asks the CRM, once its secrets are set")
    });
    next.push((format!("leadfold serve{workspace}"), "receives, and takes up every valid edit by itself"));
    let width = next.iter().map(|(command, _)| command.chars().count()).max().unwrap_or(0);
    say("Next:")?;
    for (command, what) in next {
        say(&format!("  {command:width$}   {what}"))?;
    }
    say(&format!("Then: curl -d @{dir}/{sample} http://127.0.0.1:8080/in/{name}/demo"))?;
    Ok(End::Done)
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let failed = |error: std::io::Error| format!("{} cannot be written: {error}", path.display());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    std::fs::write(path, text).map_err(failed)
}

fn workspace(crm: &str) -> Result<String, Failure> {
    let template = include_str!("init/workspace.yaml");
    Ok(template.replace("{DESTINATIONS}\n", &destinations(crm)?))
}

/// The described CRM that comes with leadfold: the destination of its workspace is what a described one begins with.
const DESCRIBED: &str = include_str!("../../mappings/examples/sandbox-rest/workspace.yaml");

const OBSERVE: &str = "mode: observe";
const OBSERVE_ABOUT: &str = "looks up and explains, writes nothing; then: live";

/// Where comments begin behind the settings of a destination.
const ABOUT: usize = 52;

/// The `destinations:` of a workspace, from what the CRM says about its settings.
fn destinations(crm: &str) -> Result<String, Failure> {
    let known = DESCRIPTIONS.iter().find(|description| description.name == crm);
    let description = known.ok_or_else(|| format!("there is no CRM '{crm}'"))?;
    let nested = crm::kinds().iter().any(|kind| kind.name == crm && kind.is_nested());
    if nested {
        let described = DESCRIBED.split_once("destinations:").map_or("", |(_, rest)| rest);
        let described = described.split("\nowner_pools:").next().unwrap_or_default();
        let begin = format!("    crm: {crm}\n");
        let observing = format!("{begin}    {OBSERVE:<48}# {OBSERVE_ABOUT}\n");
        return Ok(format!("destinations:{described}\n").replacen(&begin, &observing, 1));
    }
    let (needed, further): (Vec<&Setting>, Vec<&Setting>) =
        description.settings.iter().partition(|setting| setting.required);
    let mut text = "destinations:\n  crm:\n".to_owned();
    let mut line = |said: &str, about: &str| {
        // Writing to a String cannot fail.
        writeln!(text, "    {said:<ABOUT$}# {about}").ok();
    };
    line(&format!("crm: {crm}"), description.summary);
    if crm != "sandbox" {
        line(OBSERVE, OBSERVE_ABOUT);
    }
    for setting in needed {
        line(&format!("{}: {}", setting.name, value(crm, setting)), setting.summary);
    }
    line("# share: 50%", "leave the other half of the rate limit to other tools");
    for setting in further {
        line(&format!("# {}:", setting.name), setting.summary);
    }
    Ok(text + "\n")
}

/// A value that `check` takes: a secret comes from the environment, and its default is what the summary gives as example.
fn value(crm: &str, setting: &Setting) -> String {
    let example = setting.summary.rsplit_once(": ").map(|(_, example)| example);
    let example = example.filter(|example| !example.contains(' ')).unwrap_or("change-me");
    if setting.secret {
        let variable = format!("{crm}_{}", setting.name).to_uppercase();
        format!("\"${{{variable}:-{example}}}\"")
    } else {
        example.to_owned()
    }
}
