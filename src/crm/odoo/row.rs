//! A step as one row of a `load`. Pure.
//!
//! `load` is what Odoo's own import of files uses: cells are text, and Odoo itself finds the country behind `Ukraine`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::names::{Names, Of, Shape};
use super::wire::to_html;
use crate::crm::NO_BOT;
use crate::crm::catalog::UnknownName;
use crate::lead::Fields;
use crate::plan::{
    Action, ContactFields, DealFields, RecordId, RecordKind, Reference, Step, StepKind, TaskFields,
};

/// The module part of the external ids that we give.
pub(super) const MODULE: &str = "leadfold";

/// One record to make or to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) kind: RecordKind,
    /// Text by column. Rows of one call have the same columns, because an empty cell would empty the field.
    pub(super) cells: BTreeMap<String, String>,
}

/// Why a step cannot be a row.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum RowError {
    /// A name that may exist by now.
    #[error(transparent)]
    Unknown(#[from] UnknownName),
    /// No look at the CRM will change it.
    #[error("{0}")]
    Wrong(String),
}

/// The model of a kind of records.
pub(super) fn model(kind: RecordKind) -> &'static str {
    match kind {
        RecordKind::Contact => "res.partner",
        RecordKind::Deal => "crm.lead",
        RecordKind::Task => "mail.activity",
        RecordKind::Note => "mail.message",
    }
}

/// What a call is called in metrics and messages.
pub(super) fn operation(kind: StepKind) -> &'static str {
    match kind {
        StepKind::CreateContact => "create_contact",
        StepKind::UpdateContact => "update_contact",
        StepKind::CreateDeal => "create_deal",
        StepKind::UpdateDeal => "update_deal",
        StepKind::CreateTask => "create_task",
        StepKind::AddNote => "add_note",
        StepKind::Call => "call",
    }
}

/// Whether a step names anything whose id must be known.
pub(super) fn names_something(step: &Step) -> bool {
    match &step.action {
        Action::CreateContact { contact } | Action::UpdateContact { changes: contact, .. } => {
            contact.owner.is_some() || !contact.fields.is_empty()
        }
        Action::CreateDeal { deal, .. } | Action::UpdateDeal { changes: deal, .. } => {
            let named = deal.owner.is_some() || deal.pipeline.is_some() || deal.stage.is_some();
            named || !deal.fields.is_empty()
        }
        // A day begins at some hour of the user's zone.
        Action::CreateTask { .. } => true,
        Action::AddNote { .. } | Action::Call { .. } => false,
    }
}

impl Row {
    /// The row that writes this step.
    pub(super) fn of(step: &Step, names: &Names) -> Result<Self, RowError> {
        let made = |kind, cells: BTreeMap<String, String>| {
            let mut cells = cells;
            cells.insert("id".to_owned(), format!("{MODULE}.step_{}", step.id.0.simple()));
            Self { kind, cells }
        };
        let changed = |kind, record: &RecordId, cells: BTreeMap<String, String>| {
            let mut cells = cells;
            cells.insert(".id".to_owned(), id(record)?.to_string());
            Ok(Self { kind, cells })
        };
        match &step.action {
            Action::CreateContact { contact } => {
                Ok(made(RecordKind::Contact, new_contact_cells(contact, names)?))
            }
            Action::UpdateContact { contact, changes } => {
                changed(RecordKind::Contact, contact, contact_cells(changes, names)?)
            }
            Action::CreateDeal { contact, deal } => {
                let mut cells = deal_cells(deal, names)?;
                cells.insert("type".to_owned(), "opportunity".to_owned());
                cells.insert("partner_id/.id".to_owned(), known(contact)?.to_string());
                Ok(made(RecordKind::Deal, cells))
            }
            Action::UpdateDeal { deal, changes } => {
                changed(RecordKind::Deal, deal, deal_cells(changes, names)?)
            }
            Action::CreateTask { contact, deal, task } => {
                let mut cells = task_cells(task, names)?;
                let (_, external_id, record) = attached(contact, deal.as_ref())?;
                cells.insert("res_model_id/id".to_owned(), external_id.to_owned());
                cells.insert("res_id".to_owned(), record.to_string());
                Ok(made(RecordKind::Task, cells))
            }
            Action::AddNote { contact, deal, text } => {
                let (kind, _, record) = attached(contact, deal.as_ref())?;
                let cells = [
                    ("model", model(kind).to_owned()),
                    ("res_id", record.to_string()),
                    ("body", to_html(text)),
                    ("message_type", "comment".to_owned()),
                    ("subtype_id/id", "mail.mt_note".to_owned()),
                ];
                Ok(made(RecordKind::Note, cells.map(|(column, cell)| (column.to_owned(), cell)).into()))
            }
            Action::Call { .. } => Err(RowError::Wrong(NO_BOT.to_owned())),
        }
    }
}

/// Odoo's ids are whole numbers of 32 bits.
pub(super) fn id(record: &RecordId) -> Result<u64, RowError> {
    let number = record.0.parse::<u64>().ok().filter(|id| (1..=2_147_483_647).contains(id));
    number.ok_or_else(|| RowError::Wrong(format!("`{record}` is no id of a record in Odoo")))
}

fn known(reference: &Reference) -> Result<u64, RowError> {
    match reference {
        Reference::Record(record) => id(record),
        Reference::Step(step) => {
            Err(RowError::Wrong(format!("the step refers to step {step}, which has not been written")))
        }
    }
}

/// What a task or note stands on: the deal, where there is one. With the external id of its model.
fn attached(
    contact: &Reference,
    deal: Option<&Reference>,
) -> Result<(RecordKind, &'static str, u64), RowError> {
    Ok(match deal {
        Some(deal) => (RecordKind::Deal, "crm.model_crm_lead", known(deal)?),
        None => (RecordKind::Contact, "base.model_res_partner", known(contact)?),
    })
}

/// The columns of those that have a value.
fn present<const N: usize>(cells: [(&str, Option<String>); N]) -> BTreeMap<String, String> {
    cells.into_iter().filter_map(|(column, cell)| Some((column.to_owned(), cell?))).collect()
}

fn contact_cells(contact: &ContactFields, names: &Names) -> Result<BTreeMap<String, String>, RowError> {
    let mut cells = present([
        ("name", contact.name.clone()),
        ("phone", contact.phones.first().cloned()),
        ("email", contact.emails.first().cloned()),
        ("user_id/.id", contact.owner.as_deref().map(|owner| names.user(owner)).transpose()?),
    ]);
    add_fields(&mut cells, Of::Contact, &contact.fields, names)?;
    Ok(cells)
}

/// A contact has one phone and one email; what is known beyond them goes where people read it.
fn new_contact_cells(contact: &ContactFields, names: &Names) -> Result<BTreeMap<String, String>, RowError> {
    let mut cells = contact_cells(contact, names)?;
    let others = contact.phones.iter().skip(1).chain(contact.emails.iter().skip(1));
    let others: Vec<&str> = others.map(String::as_str).collect();
    if !others.is_empty() {
        cells.entry("comment".to_owned()).or_default().push_str(&to_html(&others.join("\n")));
    }
    Ok(cells)
}

fn deal_cells(deal: &DealFields, names: &Names) -> Result<BTreeMap<String, String>, RowError> {
    let (team, stage) = names.place(deal.pipeline.as_deref(), deal.stage.as_deref())?;
    let mut cells = present([
        ("name", deal.title.clone()),
        ("team_id/.id", team),
        ("stage_id/.id", stage),
        ("user_id/.id", deal.owner.as_deref().map(|owner| names.user(owner)).transpose()?),
    ]);
    add_fields(&mut cells, Of::Deal, &deal.fields, names)?;
    Ok(cells)
}

/// An activity is due on a day; the hour goes into its note, in signs that need no translation.
fn task_cells(task: &TaskFields, names: &Names) -> Result<BTreeMap<String, String>, RowError> {
    let due = task.due_at.to_zoned(names.zone.clone());
    let note = format!("\u{23f0} {}\n{}", due.strftime("%Y-%m-%d %H:%M %Z"), task.text);
    let kind = task.kind.as_deref().map(|kind| names.activity_type(kind)).transpose()?;
    Ok(present([
        ("summary", Some(task.title.clone())),
        ("note", Some(to_html(&note))),
        ("date_deadline", Some(due.date().to_string())),
        ("activity_type_id/.id", kind.map(|id| id.to_string())),
        ("user_id/.id", task.owner.as_deref().map(|owner| names.user(owner)).transpose()?),
    ]))
}

/// Adds the fields of the mapping. What it says explicitly goes before what we would fill in.
fn add_fields(
    cells: &mut BTreeMap<String, String>,
    of: Of,
    fields: &Fields,
    names: &Names,
) -> Result<(), RowError> {
    for (written, value) in fields {
        let (field, shape) = names.field(of, written)?;
        let Some((column, cell)) = cell(field, shape, value) else { continue };
        cells.retain(|column, _| column.split('/').next() != Some(field));
        cells.insert(column, cell);
    }
    Ok(())
}

/// The column and the text of a value; `None` for one that says nothing.
fn cell(field: &str, shape: &Shape, value: &Value) -> Option<(String, String)> {
    let text = match value {
        Value::Null => return None,
        Value::Bool(flag) => if *flag { "True" } else { "False" }.to_owned(),
        Value::Number(number) if shape.kind == "many2one" => {
            return Some((format!("{field}/.id"), number.to_string()));
        }
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.trim().to_owned(),
        Value::Array(items) => {
            let items = items.iter().filter_map(|item| cell(field, &plain(), item)).map(|(_, text)| text);
            let separator = if shape.kind == "many2many" { "," } else { ", " };
            items.collect::<Vec<_>>().join(separator)
        }
        Value::Object(_) => json!(value).to_string(),
    };
    if text.is_empty() {
        return None;
    }
    let text = if shape.kind == "html" { to_html(&text) } else { text };
    Some((field.to_owned(), text))
}

fn plain() -> Shape {
    Shape { kind: "char".to_owned(), relation: None }
}

#[cfg(test)]
mod tests;
