//! `leadfold doctor`: asks every destination what it is and what it has, writes nothing, and says what to fix.

mod told;

use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use futures_util::future::join_all;
use serde_json::{Value, json};

use self::told::Told;
use super::check::{as_json, load};
use super::terminal::has_colours;
use super::{End, Failure, WorkspaceOption, country, say};
use crate::compare::{Account, Comparison, compare, fallbacks};
use crate::crm::catalog::Catalog;
use crate::crm::examine::{Asked, Examination, Sought, examine};
use crate::crm::http::{Exchange, install_tls};
use crate::crm::{self, Crm, CrmError, Found, Guarantee};
use crate::decide::Capabilities;
use crate::map::{Mention, Problem, Severity, Workspace, closest, mentions};
use crate::normalise;
use crate::operation::DEFAULT_REGION;
use crate::plan::StepKind;
use crate::rules::{Destination, Operation};

/// Nobody has this phone: 555-0100 to 555-0199 are reserved for fiction.
const NOBODYS_PHONE: &str = "+12025550143";

/// Nobody has this mailbox: example.com is reserved for examples.
const NOBODYS_EMAIL: &str = "nobody.of.leadfold@example.com";

/// No question takes longer than so many times the time-out of one call: some take several calls.
const CALLS_OF_A_QUESTION: u32 = 3;

const EXAMPLES: &str = "\
Examples:
  leadfold doctor                    every destination of the workspace
  leadfold doctor crm --phone \"067 123 45 67\"
                                     looks that person up as a lead would be
  leadfold doctor crm --verbose      each request with its answer, for whoever
                                     describes a CRM in YAML
  leadfold doctor --json | jq '.to_fix'

It writes nothing. It asks, in this order: ping, the lists (fields, users,
pipelines, stages), a search for each phone and email, and the first contact
found once more by its id. Of a bot it asks only whether it is there, and says
what it can be asked to do. When nobody is named it searches for a phone and an
email that nobody has, to see whether the CRM answers searches, and does not
answer them with just anybody. These few calls come on top of what a running
`leadfold serve` takes of the rate budget.

Found people are shown as the CRM has them. Secrets never are.

Exit codes: 0 nothing is wrong (warnings are allowed), 1 something is,
2 it could not be done.";

/// Arguments of `doctor`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    /// Names of destinations; all of the workspace when there are none
    #[arg(value_name = "DESTINATION")]
    destinations: Vec<String>,
    /// Look somebody up by a phone in any spelling; may be repeated
    #[arg(long, value_name = "PHONE")]
    phone: Vec<String>,
    /// Look somebody up by an email address; may be repeated
    #[arg(long, value_name = "EMAIL")]
    email: Vec<String>,
    /// Country of phones that name none; may be repeated, the first is tried first
    #[arg(long, value_name = "COUNTRY", default_value = DEFAULT_REGION, value_parser = country)]
    region: Vec<String>,
    /// Show every request with its answer, and every field
    #[arg(long, short)]
    verbose: bool,
    /// Print one JSON object instead of text; with --verbose it has the requests and answers as well
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    workspace: WorkspaceOption,
}

/// A destination and everything that was learnt of it.
struct Finding<'a> {
    destination: &'a Destination,
    /// Its account, or why there is none.
    account: Result<Examined, String>,
}

struct Examined {
    crm: Arc<dyn Crm>,
    examination: Examination,
    comparison: Comparison,
}

/// Something that is wrong, and what to do about it.
struct Fix {
    destination: String,
    what: String,
    todo: String,
}

pub(super) async fn run(options: Options) -> Result<End, Failure> {
    let (files, compiled) = load(&options.workspace)?;
    let sought = sought(&options)?;
    let destinations = chosen(&options.destinations, &compiled.workspace)?;
    if destinations.is_empty() && compiled.is_sound() {
        let folder = options.workspace.workspace.display();
        return Err(format!("{folder}/workspace.yaml has no destination. Write one under `destinations:`"));
    }
    install_tls();
    if std::io::stderr().is_terminal() {
        let names: Vec<&str> = destinations.iter().map(|destination| destination.name.as_str()).collect();
        // A hint for somebody who waits; nothing depends on it.
        writeln!(std::io::stderr(), "asking {} …", names.join(", ")).ok();
    }
    let mentions = mentions(&files);
    let findings = join_all(destinations.into_iter().map(|one| find_out(one, &sought, &mentions))).await;
    let broken: Vec<&Problem> =
        compiled.problems.iter().filter(|problem| problem.severity == Severity::Error).collect();
    let to_fix: Vec<Fix> = findings
        .iter()
        // A setting that is missing is found by the loader as well, with its place.
        .filter(|finding| finding.account.is_ok() || compiled.workspace.broken.is_none())
        .flat_map(to_fix)
        .collect();
    let wrong_names = findings.iter().flat_map(problems).any(|problem| problem.severity == Severity::Error);
    if options.json {
        say(&as_one(&findings, &broken, &to_fix, options.verbose).to_string())?;
    } else {
        let colour = has_colours(&std::io::stdout());
        let nobody = options.phone.is_empty() && options.email.is_empty();
        let mut told = Told::new(colour, options.verbose, nobody);
        for finding in &findings {
            told.finding(finding);
        }
        told.end(&files, &findings, &broken, &to_fix);
        say(&told.text)?;
    }
    let well = to_fix.is_empty() && broken.is_empty() && !wrong_names;
    Ok(if well { End::Done } else { End::FoundProblems })
}

/// Whom to look for: whoever was named, else nobody.
fn sought(options: &Options) -> Result<Vec<Sought>, Failure> {
    if options.phone.is_empty() && options.email.is_empty() {
        return Ok(vec![Sought::Phone(NOBODYS_PHONE.to_owned()), Sought::Email(NOBODYS_EMAIL.to_owned())]);
    }
    let phones = options.phone.iter().map(|text| match normalise::phone(text, &options.region) {
        Ok(phone) => Ok(Sought::Phone(phone.e164)),
        Err(flaw) => Err(format!(
            "'{text}' is no phone: {} Write it with its country code, or name the country with \
             --region",
            flaw.text
        )),
    });
    let emails = options.email.iter().map(|text| match normalise::email(text) {
        Ok(email) => Ok(Sought::Email(email.address)),
        Err(flaw) => Err(format!("'{text}' is no email address: {} Write it as name@example.com", flaw.text)),
    });
    phones.chain(emails).collect()
}

fn chosen<'a>(names: &[String], workspace: &'a Workspace) -> Result<Vec<&'a Destination>, Failure> {
    let all = &workspace.destinations;
    if names.is_empty() {
        return Ok(all.values().collect());
    }
    let find = |name: &String| {
        all.get(name).ok_or_else(|| {
            let known: Vec<&str> = all.keys().map(String::as_str).collect();
            let near = closest(name, known.iter().copied());
            let near = near.map(|near| format!(". Did you mean '{near}'?")).unwrap_or_default();
            format!(
                "the workspace has no usable destination '{name}'; it has {}{near}",
                if known.is_empty() { "none".to_owned() } else { known.join(", ") }
            )
        })
    };
    names.iter().map(find).collect()
}

async fn find_out<'a>(destination: &'a Destination, sought: &[Sought], mentions: &[Mention]) -> Finding<'a> {
    let crm = match crm::connect(destination) {
        Ok(crm) => crm,
        Err(error) => return Finding { destination, account: Err(error.to_string()) },
    };
    let patience = (destination.timeout * CALLS_OF_A_QUESTION).max(Duration::from_secs(1));
    let examination = examine(&*crm, sought, patience).await;
    let lists = examination.catalog.as_ref().and_then(|asked| asked.answer.as_ref().ok());
    let nothing = Catalog::default();
    let account = Account {
        destination: &destination.name,
        catalog: lists.unwrap_or(&nothing),
        can: crm.capabilities(),
    };
    let comparison = compare(mentions, &account);
    Finding { destination, account: Ok(Examined { crm, examination, comparison }) }
}

fn problems<'a>(finding: &'a Finding<'_>) -> &'a [Problem] {
    finding.account.as_ref().map_or(&[], |examined| &examined.comparison.problems)
}

/// What is wrong with a destination itself. Wrong names have their own place in the files.
fn to_fix(finding: &Finding<'_>) -> Vec<Fix> {
    let name = &finding.destination.name;
    let fix = |what: String, todo: String| Fix { destination: name.clone(), what, todo };
    let examined = match &finding.account {
        Err(why) => return vec![fix(why.clone(), format!("fix `{name}` in workspace.yaml"))],
        Ok(examined) => examined,
    };
    let mut fixes = Vec::new();
    let Examination { reached, catalog, searches } = &examined.examination;
    if let Err(error) = &reached.answer {
        let what = match error {
            CrmError::Retry { .. } => "it cannot be reached",
            CrmError::Rejected { .. } => "it does not understand us",
            CrmError::Unauthorised { .. } => "it does not let us in",
        };
        fixes.push(fix(format!("{what}: {error}"), todo(error, name)));
    }
    if let Some(Err(error)) = catalog.as_ref().map(|asked| &asked.answer) {
        fixes.push(fix(format!("its lists cannot be read: {error}"), todo(error, name)));
    }
    for (sought, asked) in searches {
        match (sought, &asked.answer) {
            (_, Err(error)) => {
                fixes.push(fix(
                    format!("it cannot be searched {}: {error}", told::by(sought)),
                    todo(error, name),
                ));
            }
            (Sought::Contact(id), Ok(found)) if !found.contacts.iter().any(|contact| contact.id == *id) => {
                let what =
                    format!("contact {id} was found by a search, and is not there when it is read by its id");
                let todo = "leads of people who are already linked would be searched anew each time: compare the two \
                            answers with --verbose and fix where the id stands in a search"
                    .to_owned();
                fixes.push(fix(what, todo));
            }
            (_, Ok(_)) => {}
        }
    }
    fixes
}

fn todo(error: &CrmError, name: &str) -> String {
    match error {
        CrmError::Unauthorised { .. } => {
            format!(
                "look at the credentials of `{name}`: are they of this account, valid, and allowed to read?"
            )
        }
        CrmError::Retry { after: Some(wait), .. } => {
            format!(
                "wait {wait:?} and try again; another tool may be using up the account's limit, see `share`"
            )
        }
        CrmError::Retry { after: None, .. } => {
            format!(
                "look whether the CRM is up and `url` of `{name}` leads to it; a slow one needs a longer `timeout`"
            )
        }
        CrmError::Rejected { .. } => {
            "the CRM answers, and not as expected: look at the request and the answer above".to_owned()
        }
    }
}

/// Everything, for programs.
fn as_one(findings: &[Finding<'_>], broken: &[&Problem], to_fix: &[Fix], verbose: bool) -> Value {
    let destinations: Vec<Value> = findings.iter().map(|finding| finding_as_json(finding, verbose)).collect();
    let to_fix: Vec<Value> = to_fix
        .iter()
        .map(|Fix { destination, what, todo }| json!({ "destination": destination, "what": what, "todo": todo }))
        .collect();
    let errors: Vec<Value> = broken.iter().map(|problem| as_json(problem)).collect();
    json!({ "destinations": destinations, "workspace_errors": errors, "to_fix": to_fix })
}

fn finding_as_json(finding: &Finding<'_>, verbose: bool) -> Value {
    let Destination { name, crm, mode, share, timeout, .. } = finding.destination;
    let mut out =
        json!({ "name": name, "crm": crm, "mode": mode, "share": share, "timeout_ms": millis(*timeout) });
    let Value::Object(entries) = &mut out else { return out };
    let examined = match &finding.account {
        Err(why) => {
            entries.insert("error".into(), json!(why));
            return out;
        }
        Ok(examined) => examined,
    };
    let Examined { crm, examination: Examination { reached, catalog, searches }, comparison } = examined;
    let windows: Vec<String> = crm.usage().windows.iter().map(ToString::to_string).collect();
    let guarantees: serde_json::Map<String, Value> =
        kinds(&**crm).map(|kind| (kind.as_str().to_owned(), json!(crm.guarantee(kind)))).collect();
    let bot = crm::description(&finding.destination.crm).and_then(|description| description.bot);
    let operations: Option<Vec<Value>> = bot.map(|bot| {
        let told = |operation: &Operation| {
            let Operation { name, summary, repeatable, .. } = operation;
            json!({ "name": name, "summary": summary, "repeatable": repeatable })
        };
        bot.operations.iter().map(told).collect()
    });
    let more = json!({
        "windows": windows,
        "settle_ms": millis(crm.settle()),
        "batch": crm.batch(),
        "concurrency": crm.concurrency(),
        "guarantees": guarantees,
        "lacks": if operations.is_some() { Vec::new() } else { fallbacks(crm.capabilities()) },
        "operations": operations,
        "reached": asked_as_json("as", reached, verbose),
        "catalog": catalog.as_ref().map(|asked| asked_as_json("lists", asked, verbose)),
        "searches": searches.iter().map(|(sought, asked)| search_as_json(sought, asked, verbose)).collect::<Vec<_>>(),
        "names_compared": comparison.names,
        "problems": comparison.problems.iter().map(as_json).collect::<Vec<_>>(),
    });
    if let Value::Object(more) = more {
        entries.extend(more);
    }
    out
}

fn search_as_json(sought: &Sought, asked: &Asked<Found>, verbose: bool) -> Value {
    let (by, value) = match sought {
        Sought::Phone(phone) => ("phone", phone.as_str()),
        Sought::Email(email) => ("email", email.as_str()),
        Sought::Contact(id) => ("contact", id.0.as_str()),
    };
    let contacts = asked.answer.as_ref().map(|found| &found.contacts).map_err(Clone::clone);
    let passed_over = asked.answer.as_ref().ok().map(|found| found.passed_over);
    let asked = Asked { answer: contacts, exchanges: asked.exchanges.clone(), took: asked.took };
    let mut out = asked_as_json("contacts", &asked, verbose);
    if let Value::Object(entries) = &mut out {
        entries.insert("passed_over".into(), json!(passed_over));
        entries.insert("by".into(), json!(by));
        entries.insert("value".into(), json!(value));
    }
    out
}

fn asked_as_json<T: serde::Serialize>(key: &str, asked: &Asked<T>, verbose: bool) -> Value {
    let exchanges: Option<&[Exchange]> = verbose.then_some(&asked.exchanges);
    json!({
        key: asked.answer.as_ref().ok(),
        "error": asked.answer.as_ref().err().map(ToString::to_string),
        "took_ms": millis(asked.took),
        "exchanges": exchanges,
    })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The kinds of steps that this CRM can be asked for.
fn kinds(crm: &dyn Crm) -> impl Iterator<Item = StepKind> + use<> {
    let can = crm.capabilities();
    let all = [
        (StepKind::CreateContact, can != Capabilities::NONE),
        (StepKind::UpdateContact, can.contact_updates),
        (StepKind::CreateDeal, can.deals),
        (StepKind::UpdateDeal, can.deals),
        (StepKind::CreateTask, can.tasks),
        (StepKind::AddNote, can.notes),
        (StepKind::Call, can == Capabilities::NONE),
    ];
    all.into_iter().filter(|(_, has)| *has).map(|(kind, _)| kind)
}

/// What the CRM is, in the words of its adapter.
fn summary(name: &str) -> &'static str {
    crm::description(name).map_or("", |description| description.summary)
}

/// Steps by what protects them from being written twice.
fn protected(crm: &dyn Crm, guarantee: Guarantee) -> Vec<&'static str> {
    kinds(crm).filter(|kind| crm.guarantee(*kind) == guarantee).map(StepKind::as_str).collect()
}
