//! Runs the `tests:` of mappings with the production engine: the same split, map, normalise and decide as live traffic,
//! against a CRM that holds what the test says and can do what that of the lead's first destination can. Nothing is asked,
//! nothing is written and no pool is moved.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::crm;
use crate::decide::{Capabilities, Decision, PersonView, Situation, decide};
use crate::event::{Delivery, Preset, preset};
use crate::id::{DeliveryId, StepId};
use crate::lead::{IdentifierKind, Lead};
use crate::map::{Branch, CrmState, Example, Mapping, Source, Workspace};
use crate::pipeline::{Interpreted, Late, calls, differences, interpret_numbered};
use crate::plan::{FoundContact, FoundDeal, RecordId};
use crate::rules::{OwnerPool, PoolState, Rules};
use crate::store::calls::found_as_json;

/// How one test ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The source whose file it stands in.
    pub source: String,
    /// Line of the test in that file.
    pub line: usize,
    /// Its name.
    pub name: String,
    /// What was expected and what came instead; `None` when it passed.
    pub failure: Option<String>,
    /// Whether its request could be read: only then it says something of the mapping.
    pub ran: bool,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.failure {
            None => write!(f, "ok      {}: {}", self.source, self.name),
            Some(failure) => {
                write!(f, "FAILED  {}.yaml:{}: {}\n        {failure}", self.source, self.line, self.name)
            }
        }
    }
}

/// Runs every test of every mapping; files are read relative to the workspace's folder.
pub fn run(workspace: &Workspace, folder: &Path) -> Vec<Ended> {
    run_with(workspace, &|given| {
        std::fs::read(folder.join(given)).map_err(|error| format!("`given: {given}` cannot be read: {error}"))
    })
}

/// The same with the requests that `sample` reads, by what stands under `given`.
pub fn run_with(workspace: &Workspace, sample: &dyn Fn(&str) -> Result<Vec<u8>, String>) -> Vec<Ended> {
    let mut ended = Vec::new();
    for source in workspace.sources.values() {
        let Ok(mapping) = &source.mapping else { continue };
        for example in mapping.tests() {
            let body = sample(&example.given);
            let ran = body.is_ok();
            let failure = body.and_then(|body| try_example(workspace, source, mapping, example, body)).err();
            ended.push(Ended {
                source: source.name.clone(),
                line: example.line,
                name: example.name.clone(),
                failure,
                ran,
            });
        }
    }
    ended
}

/// The results for programs.
pub fn json(ended: &[Ended]) -> Value {
    let tests: Vec<Value> = ended
        .iter()
        .map(|test| {
            json!({ "source": test.source, "line": test.line, "name": test.name, "passed": test.failure.is_none(),
                "failure": test.failure })
        })
        .collect();
    let failed = ended.iter().filter(|test| test.failure.is_some()).count();
    json!({ "passed": ended.len() - failed, "failed": failed, "tests": tests })
}

fn try_example(
    workspace: &Workspace,
    source: &Source,
    mapping: &Mapping,
    example: &Example,
    body: Vec<u8>,
) -> Result<(), String> {
    let preset = preset(&source.preset).ok_or_else(|| format!("there is no preset '{}'", source.preset))?;
    let events = (preset.split)(&request(preset, &source.name, body)).map_err(|unreadable| unreadable.0)?;
    let event = events.get(example.event).ok_or_else(|| {
        format!("`event: {}`: the request has {} events, counted from 0", example.event, events.len())
    })?;
    let mut came = interpret_numbered(mapping, event, example.ordinal, at());
    let mut plan = None;
    let mut called = None;
    if let Interpreted::Lead(lead, branch) = &came {
        if lead.to.is_empty() {
            // It is remembered here, and nothing goes anywhere.
            plan = Some(Vec::new());
        }
        let branch = mapping.branches().get(*branch).ok_or("the branch that held is not in the mapping")?;
        called = Some(calls_of(workspace, mapping, branch, lead, example.crm)?);
        // A lead that goes to bots alone is decided by its calls.
        if crm_of(workspace, lead).is_some() {
            match decided(workspace, lead, &branch.rules, example.crm) {
                Decision::Push { plan: decided, .. } => {
                    plan = Some(decided.steps.iter().map(|step| step.action.kind()).collect::<Vec<_>>());
                }
                Decision::Filtered(reason) => came = Interpreted::Filtered(reason),
                Decision::NeedsAttention { reason, todo } => {
                    came = Interpreted::NeedsAttention { reason, todo };
                }
                Decision::Waiting { reason, .. } => {
                    return Err(format!("the lead would wait: {}", reason.text));
                }
            }
        }
    }
    let differences = differences(&example.expect, &came, plan.as_deref(), called.as_deref());
    if differences.is_empty() { Ok(()) } else { Err(differences.join("; ")) }
}

/// A request as the platform would send it: the file is its body, or its query where the platform calls by GET. Its time
/// and id are fixed: they do not change what becomes of it.
fn request(preset: &Preset, source: &str, given: Vec<u8>) -> Delivery {
    let method = preset.methods.first().copied().unwrap_or("POST");
    let content_type = if given.first().is_some_and(|byte| matches!(byte, b'{' | b'[')) {
        "application/json"
    } else {
        "application/x-www-form-urlencoded"
    };
    let (query, body) = match method {
        "GET" => (Some(String::from_utf8_lossy(&given).trim().to_owned()), Vec::new()),
        _ => (None, given),
    };
    Delivery {
        id: DeliveryId(Uuid::nil()),
        source: source.to_owned(),
        method: method.to_owned(),
        query,
        headers: vec![("content-type".to_owned(), content_type.to_owned())],
        body,
        received_at: at(),
    }
}

/// The moment at which tests take place.
fn at() -> Timestamp {
    Timestamp::UNIX_EPOCH
}

/// The first CRM that a lead goes to.
fn crm_of<'l>(workspace: &Workspace, lead: &'l Lead) -> Option<&'l String> {
    lead.to.iter().find(|name| !workspace.bots.contains_key(*name))
}

fn decided(workspace: &Workspace, lead: &Lead, rules: &Rules, state: CrmState) -> Decision {
    let pool = lead.owners.as_ref().and_then(|name| workspace.owner_pools.get(name));
    let memory = PoolState::default();
    // A test does not depend on who works when.
    let pool = pool.map(OwnerPool::fully_staffed);
    let destination = crm_of(workspace, lead).and_then(|name| workspace.destinations.get(name));
    let person = PersonView::of(lead);
    imagine(&Situation {
        found: &crm_holds(state, lead),
        pool: pool.as_ref().map(|pool| (pool, &memory)),
        can: destination.map_or(Capabilities::ALL, crm::capabilities),
        ..Situation::new(lead, rules, &workspace.identity.order, &person, at())
    })
}

/// Decides as production does; nobody will push it. Step ids count up from 1.
pub(crate) fn imagine(situation: &Situation<'_>) -> Decision {
    let mut next_id = 0_u128;
    decide(situation, &mut || {
        next_id += 1;
        StepId(Uuid::from_u128(next_id))
    })
}

/// The calls whose condition holds, each as `bot: operation`, where the CRM holds what the test says and nothing is known
/// of the person but what the lead says.
fn calls_of(
    workspace: &Workspace,
    mapping: &Mapping,
    branch: &Branch,
    lead: &Lead,
    state: CrmState,
) -> Result<Vec<String>, String> {
    let found = crm_holds(state, lead);
    let contact = found.first();
    let found = found_as_json(contact, contact.and_then(|contact| contact.deals.first()));
    let chat = lead.chat.as_ref().map(|chat| json!({ "id": chat.id, "channel": chat.channel }));
    let late = Late {
        pin: None,
        person: json!({ "click": clicks(lead).next() }),
        found,
        crm: json!({ "contact": "contact", "deal": "deal" }),
        chat: json!(chat),
    };
    let mut called = Vec::new();
    for bot in workspace.bots.keys() {
        let rendered = calls(mapping, branch, bot, lead, at(), late.clone()).map_err(|reason| reason.text)?;
        called.extend(rendered.iter().map(|call| format!("{bot}: {}", call.operation)));
    }
    Ok(called)
}

fn clicks(lead: &Lead) -> impl Iterator<Item = &String> {
    let clicks = lead.identifiers.iter().filter(|identifier| identifier.kind == IdentifierKind::Click);
    clicks.flat_map(|identifier| &identifier.keys)
}

/// A contact that holds nothing but what finds it, so that a test shows every field the mapping would add.
fn crm_holds(state: CrmState, lead: &Lead) -> Vec<FoundContact> {
    let deals = match state {
        CrmState::Nothing => return Vec::new(),
        CrmState::Contact => Vec::new(),
        CrmState::OpenDeal => vec![FoundDeal {
            id: RecordId("deal".to_owned()),
            title: lead.deal.title.clone(),
            pipeline: lead.deal.pipeline.clone(),
            stage: lead.deal.stage.clone(),
            owner: Some("owner of the deal".to_owned()),
            created_at: Some(at()),
            fields: lead.deal.fields.clone(),
        }],
    };
    vec![FoundContact {
        id: RecordId("contact".to_owned()),
        owner: Some("owner of the contact".to_owned()),
        created_at: Some(at()),
        name: lead.contact.name.clone(),
        phones: lead.contact.phones.iter().map(|phone| phone.e164.clone()).collect(),
        emails: lead.contact.emails.iter().map(|email| email.address.clone()).collect(),
        fields: BTreeMap::new(),
        deals,
    }]
}
