//! `leadfold init`: writes a workspace to begin with.

mod shipped;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser};

use self::shipped::Beginning;
use super::schema::{self, Of};
use super::{End, Failure, say};
use crate::crm::{self, BOTS, DESCRIPTIONS, Description};
use crate::event;
use crate::rules::Setting;

const EXAMPLES: &str = "\
Examples:
  leadfold init                            SendPulse, into the sandbox CRM
  leadfold init --preset json --crm odoo   anything that posts JSON, into Odoo
  leadfold init --preset sendpulse --bot sendpulse --crm odoo
                                           and back: what SendPulse is to do
  leadfold init shop --preset form,telegram --crm rest
                                           web forms and a bot of your own,
                                           into any CRM with an API

It writes workspace.yaml, a file for each source with a test and a sample
request, and the schemas for editors, and nothing that you did not name. All of
it passes `leadfold check` as it is. Nothing that exists is overwritten without
--force.

CRMs and bots are only observed at first: `mode: live` lets them be written to.";

/// Arguments of `init`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    /// The folder; it is made when it is not there
    #[arg(value_name = "DIR", default_value = "mappings")]
    dir: PathBuf,
    /// What sends the leads; several with commas
    #[arg(long, value_delimiter = ',', value_parser = presets(), default_value = "sendpulse")]
    preset: Vec<String>,
    /// What they are brought to
    #[arg(long, value_parser = crms(), default_value = "sandbox")]
    crm: String,
    /// What is called back besides; several with commas
    #[arg(long, value_delimiter = ',', value_parser = bots())]
    bot: Vec<String>,
    /// Overwrite files that exist
    #[arg(long)]
    force: bool,
}

/// What is no platform of its own: file, sample and what it is.
const ANYTHING: [(&str, &str, &str, (&str, &str)); 2] = [
    (
        "json",
        "Anything that posts JSON",
        include_str!("init/json.yaml"),
        ("samples/json.json", include_str!("init/json.json")),
    ),
    (
        "form",
        "Web forms",
        include_str!("init/form.yaml"),
        ("samples/form.txt", include_str!("init/form.txt")),
    ),
];

fn presets() -> PossibleValuesParser {
    let platforms = shipped::all().map(|shipped| PossibleValue::new(shipped.name()).help(shipped.summary()));
    let anything = ANYTHING.iter().map(|(name, summary, ..)| PossibleValue::new(*name).help(*summary));
    PossibleValuesParser::new(platforms.chain(anything))
}

fn crms() -> PossibleValuesParser {
    PossibleValuesParser::new(DESCRIPTIONS.iter().map(|description| described(description)))
}

/// Those that can be set up without knowing more of them.
fn bots() -> PossibleValuesParser {
    let known = BOTS.iter().filter(|bot| bot.nested.is_none() || shipped::bot(bot.name).is_some());
    PossibleValuesParser::new(known.map(|description| described(description)))
}

fn described(description: &Description) -> PossibleValue {
    PossibleValue::new(description.name).help(description.summary)
}

/// The first line of a mapping, by which editors find its schema.
const SCHEMA_LINE: &str = "# yaml-language-server: $schema=.schema/mapping.json\n#\n";

fn beginning(preset: &str, bots: &BTreeSet<String>) -> Result<Beginning, Failure> {
    if let Some((.., text, (file, request))) = ANYTHING.iter().find(|(name, ..)| *name == preset) {
        return Ok(Beginning {
            text: (*text).to_owned(),
            sample: Some(((*file).to_owned(), *request)),
            pools: BTreeSet::from(["sales".to_owned()]),
            bots: BTreeSet::new(),
        });
    }
    let shipped = shipped::all().find(|shipped| shipped.name() == preset);
    let begin = shipped.ok_or_else(|| format!("there is no preset '{preset}'"))?.beginning(bots);
    Ok(Beginning { text: format!("{SCHEMA_LINE}{}", begin.text), ..begin })
}

pub(super) fn run(options: &Options) -> Result<End, Failure> {
    let Options { dir, preset, crm, bot, force } = options;
    let mut bots: BTreeSet<String> = bot.iter().cloned().collect();
    let presets: BTreeSet<&str> = preset.iter().map(String::as_str).collect();
    let mut pools = BTreeSet::new();
    let mut files = Vec::new();
    let mut samples = Vec::new();
    for name in presets {
        let begin = beginning(name, &bots)?;
        files.push((format!("{name}.yaml"), begin.text));
        if let Some((file, request)) = begin.sample {
            samples.push((name, file.clone()));
            files.push((file, request.to_owned()));
        }
        pools.extend(begin.pools);
        bots.extend(begin.bots);
    }
    files.insert(0, ("workspace.yaml".to_owned(), workspace(crm, &bots, &pools)?));
    let written: Vec<String> = files.iter().map(|(file, _)| dir.join(file).display().to_string()).collect();
    files.push((".schema/workspace.json".to_owned(), schema::text(Of::Workspace)?));
    files.push((".schema/mapping.json".to_owned(), schema::text(Of::Mapping)?));
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
    say(&format!("Written: {}, and schemas for editors.\n", written.join(", ")))?;
    say_next(dir, crm, &bots, &samples)
}

/// What to do now.
fn say_next(
    dir: &Path,
    crm: &str,
    bots: &BTreeSet<String>,
    samples: &[(&str, String)],
) -> Result<End, Failure> {
    let dir = dir.display().to_string();
    // The folder that every command takes by itself need not be named.
    let workspace = match dir.as_str() {
        "mappings" => String::new(),
        other => format!(" --workspace {other}"),
    };
    let mut next = vec![(format!("leadfold check{workspace}"), "says what is wrong, with line and column")];
    if crm == "sandbox" {
        let about = "the CRM to try it on; http://127.0.0.1:9900/ shows what is in it";
        next.push(("leadfold sandbox &".to_owned(), about));
    }
    if crm != "sandbox" || !bots.is_empty() {
        let about = if bots.is_empty() { "asks the CRM, once its secrets are set" } else { DOCTOR };
        next.push((format!("leadfold doctor{workspace}"), about));
    }
    next.push((format!("leadfold serve{workspace}"), "receives, and takes up every valid edit by itself"));
    let width = next.iter().map(|(command, _)| command.chars().count()).max().unwrap_or(0);
    say("Next:")?;
    for (command, what) in next {
        say(&format!("  {command:width$}   {what}"))?;
    }
    for (name, sample) in samples {
        // What proves itself by more than the path, or comes by another way, is sent by its platform alone.
        let plain = event::preset(name)
            .is_some_and(|preset| preset.verify.is_none() && preset.methods.contains(&"POST"));
        if plain || ANYTHING.iter().any(|(anything, ..)| anything == name) {
            say(&format!("Then: curl -d @{dir}/{sample} http://127.0.0.1:8080/in/{name}/demo"))?;
        }
    }
    Ok(End::Done)
}

const DOCTOR: &str = "asks the CRM and the bots, once their secrets are set, and says what bots can do";

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let failed = |error: std::io::Error| format!("{} cannot be written: {error}", path.display());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    std::fs::write(path, text).map_err(failed)
}

fn workspace(crm: &str, bots: &BTreeSet<String>, pools: &BTreeSet<String>) -> Result<String, Failure> {
    let template = include_str!("init/workspace.yaml");
    let mut destinations = destinations(crm)?;
    for bot in bots {
        destinations.push_str(&set_up(bot, crm)?);
    }
    let sales = BTreeSet::from(["sales".to_owned()]);
    let pools = if pools.is_empty() { &sales } else { pools };
    let pools: Vec<String> = pools.iter().map(|pool| format!("  {pool}: [olha, petro]")).collect();
    Ok(template.replace("{DESTINATIONS}\n", &destinations).replace("{POOLS}", &pools.join("\n")))
}

/// A bot among the destinations: as the shipped workspace has it, or else from what the bot says about its settings. The
/// sandbox plays bots as well; otherwise they are where their vendor has them.
fn set_up(bot: &str, crm: &str) -> Result<String, Failure> {
    let description = crm::description(bot).ok_or_else(|| format!("there is no bot '{bot}'"))?;
    let Some(lines) = shipped::bot(bot) else {
        return Ok(described_by_settings(bot, "bot", description));
    };
    let url = description.settings.iter().find(|setting| setting.name == "url" && setting.required);
    let mut text = String::new();
    for line in lines {
        if crm != "sandbox" && line.starts_with("    url:") {
            if let Some(url) = url {
                writeln!(
                    text,
                    "    {:<SHIPPED_ABOUT$} # {}",
                    format!("url: {}", value(bot, url)),
                    url.summary
                )
                .ok();
            }
            continue;
        }
        let at_vendor = (crm != "sandbox").then(|| at_vendor(line, bot, description)).flatten();
        text.push_str(at_vendor.as_deref().unwrap_or(line));
        text.push('\n');
        if crm != "sandbox" && line.starts_with("    bot:") {
            writeln!(text, "    {OBSERVE:<SHIPPED_ABOUT$} # {OBSERVE_ABOUT}").ok();
        }
    }
    Ok(text + "\n")
}

/// A line whose address leads to the bot as the sandbox plays it, with one at its vendor: from the environment, because such
/// an address is a secret.
fn at_vendor(line: &str, bot: &str, description: &Description) -> Option<String> {
    let (key, address) = line.split_once(": \"${SANDBOX_URL")?;
    let (_, path) = address.split_once(&format!("/bots/{bot}/"))?;
    let url = description.settings.iter().find(|setting| setting.name == "url")?;
    let root = url.summary.split([' ', ',', ')']).find(|word| word.starts_with("https://"))?;
    let variable = format!("{bot}_{}", key.trim()).to_uppercase();
    Some(format!("{key}: \"${{{variable}:-{root}/{}}}\"", path.trim_end_matches('"')))
}

/// The described CRM that comes with leadfold: the destination of its workspace is what a described one begins with.
const DESCRIBED: &str = include_str!("../../mappings/examples/sandbox-rest/workspace.yaml");

const OBSERVE: &str = "mode: observe";
const OBSERVE_ABOUT: &str = "looks up and explains, writes nothing; then: live";

/// Where comments begin behind the settings of a destination.
const ABOUT: usize = 51;
/// The same in the shipped workspace.
const SHIPPED_ABOUT: usize = 45;

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
    Ok(format!("destinations:\n{}", described_by_settings("crm", "crm", description)))
}

/// A destination of this name, from what its description says about its settings.
fn described_by_settings(name: &str, word: &str, description: &Description) -> String {
    let (needed, further): (Vec<&Setting>, Vec<&Setting>) =
        description.settings.iter().partition(|setting| setting.required);
    let kind = description.name;
    let mut text = format!("  {name}:\n");
    let mut line = |said: &str, about: &str| {
        // Writing to a String cannot fail.
        writeln!(text, "    {said:<ABOUT$} # {about}").ok();
    };
    line(&format!("{word}: {kind}"), description.summary);
    if kind != "sandbox" {
        line(OBSERVE, OBSERVE_ABOUT);
    }
    for setting in needed {
        line(&format!("{}: {}", setting.name, value(kind, setting)), setting.summary);
    }
    line("# share: 50%", "leave the other half of the rate limit to other tools");
    for setting in further {
        line(&format!("# {}:", setting.name), setting.summary);
    }
    text + "\n"
}

/// A value that `check` takes: a secret comes from the environment, and its default is what the summary gives as example.
fn value(crm: &str, setting: &Setting) -> String {
    let example = setting.summary.rsplit_once(": ").map(|(_, example)| example);
    let address = || setting.summary.split([' ', ',']).find(|word| word.starts_with("https://"));
    let example = example.filter(|example| !example.contains(' ')).or_else(address).unwrap_or("change-me");
    if setting.secret {
        let variable = format!("{crm}_{}", setting.name).to_uppercase();
        format!("\"${{{variable}:-{example}}}\"")
    } else {
        example.to_owned()
    }
}
