//! The sandbox's JSON: requests that are built and answers that are read.

use jiff::Timestamp;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::crm::catalog::{Catalog, Field, Pipeline, Stage, User};
use crate::crm::{CrmError, NO_BOT, entries};
use crate::lead::Fields;
use crate::plan::{Action, FoundContact, FoundDeal, RecordId, RecordKind, Reference, Step, TaskFields};

/// One operation, to be sent by itself or in a batch.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) operation: &'static str,
    pub(super) method: Method,
    pub(super) segments: Vec<String>,
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) body: Option<Value>,
    pub(super) accepted: &'static [u16],
}

impl Request {
    fn get(operation: &'static str, segments: Vec<String>, query: Vec<(&'static str, String)>) -> Self {
        Self { operation, method: Method::GET, segments, query, body: None, accepted: &[] }
    }

    fn send(
        operation: &'static str,
        method: Method,
        segments: Vec<String>,
        body: Map<String, Value>,
    ) -> Self {
        let body = Some(Value::Object(body));
        Self { operation, method, segments, query: Vec::new(), body, accepted: &[] }
    }

    /// The people who work there.
    pub(super) fn users() -> Self {
        Self::get("list_users", vec!["users".to_owned()], Vec::new())
    }

    /// The lists of the account.
    pub(super) fn account() -> Self {
        Self::get("get_account", vec!["account".to_owned()], Vec::new())
    }

    /// Records whose field has this very text.
    pub(super) fn search(collection: &'static str, key: &'static str, value: &str) -> Self {
        Self::get("search", vec![collection.to_owned()], vec![(key, value.to_owned())])
    }

    /// A contact with its open deals, read past the search index; 404 is an answer.
    pub(super) fn contact_with_deals(id: &RecordId) -> Self {
        let segments = vec!["contacts".to_owned(), id.0.clone()];
        let request = Self::get("get_contact", segments, vec![("with", "open_deals".to_owned())]);
        Self { accepted: &[404], ..request }
    }

    /// The request that writes a step.
    pub(super) fn of_step(step: &Step, markers: bool) -> Result<Self, String> {
        let made = |operation, collection: &str, mut body: Map<String, Value>| {
            if markers {
                body.insert("marker".into(), step.id.to_string().into());
            }
            Self::send(operation, Method::POST, vec![collection.to_owned()], body)
        };
        let changed = |operation, collection: &str, id: &RecordId, body| {
            Self::send(operation, Method::PATCH, vec![collection.to_owned(), id.0.clone()], body)
        };
        Ok(match &step.action {
            Action::CreateContact { contact } => {
                made("create_contact", "contacts", entries::contact(contact))
            }
            Action::UpdateContact { contact, changes } => {
                changed("update_contact", "contacts", contact, entries::contact(changes))
            }
            Action::CreateDeal { contact, deal } => {
                let mut body = entries::deal(deal);
                body.insert("contact_id".into(), known(contact)?);
                made("create_deal", "deals", body)
            }
            Action::UpdateDeal { deal, changes } => {
                changed("update_deal", "deals", deal, entries::deal(changes))
            }
            Action::CreateTask { contact, deal, task } => {
                made("create_task", "tasks", attached(task_body(task), contact, deal.as_ref())?)
            }
            Action::AddNote { contact, deal, text } => {
                let body = Map::from_iter([("text".to_owned(), json!(text))]);
                made("add_note", "notes", attached(body, contact, deal.as_ref())?)
            }
            Action::Call { .. } => return Err(NO_BOT.to_owned()),
        })
    }

    /// As an item of a batch.
    pub(super) fn as_operation(&self) -> Value {
        let mut path = String::new();
        for segment in &self.segments {
            path.push('/');
            path.extend(form_urlencoded::byte_serialize(segment.as_bytes()));
        }
        if !self.query.is_empty() {
            let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.query).finish();
            path = format!("{path}?{query}");
        }
        json!({ "method": self.method.as_str(), "path": path, "body": self.body })
    }
}

fn known(reference: &Reference) -> Result<Value, String> {
    match reference {
        Reference::Record(id) => Ok(id_value(id)),
        Reference::Step(step) => Err(format!("the step refers to step {step}, which has not been written")),
    }
}

/// The sandbox's ids are numbers; anything else is passed on for it to refuse.
fn id_value(id: &RecordId) -> Value {
    id.0.parse::<u64>().map_or_else(|_| json!(id.0), |number| json!(number))
}

fn attached(
    mut body: Map<String, Value>,
    contact: &Reference,
    deal: Option<&Reference>,
) -> Result<Map<String, Value>, String> {
    body.insert("contact_id".into(), known(contact)?);
    if let Some(deal) = deal {
        body.insert("deal_id".into(), known(deal)?);
    }
    Ok(body)
}

fn task_body(task: &TaskFields) -> Map<String, Value> {
    entries::present([
        ("title", Some(json!(task.title))),
        ("text", Some(json!(task.text))),
        ("kind", entries::text(task.kind.as_ref())),
        ("due_at", Some(json!(task.due_at))),
        ("owner", entries::text(task.owner.as_ref())),
    ])
}

/// The path of a kind of records.
pub(super) fn collection(kind: RecordKind) -> &'static str {
    match kind {
        RecordKind::Contact => "contacts",
        RecordKind::Deal => "deals",
        RecordKind::Task => "tasks",
        RecordKind::Note => "notes",
    }
}

/// The id in the answer to a create.
pub(super) fn record(body: &Value) -> Option<RecordId> {
    let id = body.get("id")?.as_number()?.to_string();
    (id.len() <= RecordId::LONGEST).then_some(RecordId(id))
}

#[derive(Deserialize)]
pub(super) struct FoundList {
    pub(super) items: Vec<Value>,
}

#[derive(Deserialize)]
struct WireContact {
    name: Option<String>,
    phones: Vec<String>,
    emails: Vec<String>,
    owner: Option<String>,
    fields: Fields,
    created_at: Option<Timestamp>,
    #[serde(default)]
    deals: Vec<Value>,
}

#[derive(Deserialize)]
struct WireDeal {
    title: Option<String>,
    pipeline: Option<String>,
    stage: Option<String>,
    owner: Option<String>,
    fields: Fields,
    created_at: Option<Timestamp>,
}

fn read<T: for<'a> Deserialize<'a>>(what: &str, body: Value) -> Result<T, CrmError> {
    // The error is not passed on: it may quote the record.
    serde_json::from_value(body).map_err(|_| strange(what))
}

fn strange(what: &str) -> CrmError {
    let why =
        format!("the CRM answered with a {what} in a form that is not known; is this really the sandbox?");
    CrmError::Rejected { why }
}

pub(super) fn list(body: Value) -> Result<FoundList, CrmError> {
    read("list", body)
}

pub(super) fn contacts(body: Value) -> Result<Vec<FoundContact>, CrmError> {
    list(body)?.items.into_iter().map(contact).collect()
}

pub(super) fn records(body: Value) -> Result<Vec<RecordId>, CrmError> {
    list(body)?.items.iter().map(|item| record(item).ok_or_else(|| strange("record"))).collect()
}

pub(super) fn contact(body: Value) -> Result<FoundContact, CrmError> {
    let id = record(&body).ok_or_else(|| strange("contact"))?;
    let WireContact { name, phones, emails, owner, fields, created_at, deals } = read("contact", body)?;
    let deals = deals.into_iter().map(deal).collect::<Result<_, _>>()?;
    Ok(FoundContact { id, owner, created_at, name, phones, emails, fields, deals })
}

fn deal(body: Value) -> Result<FoundDeal, CrmError> {
    let id = record(&body).ok_or_else(|| strange("deal"))?;
    let WireDeal { title, pipeline, stage, owner, fields, created_at } = read("deal", body)?;
    Ok(FoundDeal { id, title, pipeline, stage, owner, created_at, fields })
}

/// The lists of the account; nothing to compare with where it has none.
pub(super) fn catalog(body: Value) -> Result<Catalog, CrmError> {
    #[derive(Deserialize)]
    struct Account {
        users: Vec<WireUser>,
        pipelines: Vec<WirePipeline>,
        contact_fields: Vec<String>,
        deal_fields: Vec<String>,
    }
    #[derive(Deserialize)]
    struct WireUser {
        id: String,
        name: Option<String>,
        active: bool,
    }
    #[derive(Deserialize)]
    struct WirePipeline {
        name: String,
        stages: Vec<String>,
    }
    let Some(Account { users, pipelines, contact_fields, deal_fields }) = read("account", body)? else {
        return Ok(Catalog::default());
    };
    let fields = |names: Vec<String>| {
        let field = |name: String| Field { id: name.clone(), name, kind: "any JSON".to_owned() };
        Some(names.into_iter().map(field).collect())
    };
    let stage = |name: String| Stage { id: name.clone(), name };
    Ok(Catalog {
        contact_fields: fields(contact_fields),
        deal_fields: fields(deal_fields),
        users: Some(
            users
                .into_iter()
                .map(|WireUser { id, name, active }| {
                    let name = name.unwrap_or_else(|| id.clone());
                    User { id, name, login: None, active }
                })
                .collect(),
        ),
        pipelines: Some(
            pipelines
                .into_iter()
                .map(|WirePipeline { name, stages }| {
                    let stages = stages.into_iter().map(stage).collect();
                    Pipeline { id: name.clone(), name, stages }
                })
                .collect(),
        ),
    })
}

/// Status and body of each item of a batch answer; what cannot be read is left out and so counts as lacking.
pub(super) fn batch_items(body: Value) -> Vec<(u16, Value)> {
    #[derive(Deserialize)]
    struct Batch {
        results: Vec<Item>,
    }
    #[derive(Deserialize)]
    struct Item {
        status: u16,
        body: Value,
    }
    let read: Result<Batch, _> = serde_json::from_value(body);
    read.map_or_else(
        |_| Vec::new(),
        |batch| batch.results.into_iter().map(|item| (item.status, item.body)).collect(),
    )
}
