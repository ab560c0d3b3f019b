//! One event → one lead, or why there is none. The one place that calls [`map`](crate::map) and
//! [`normalise`]; live traffic, replay, import, preview and tests all come through [`interpret`].
//!
//! Branches are tried in order. A branch's condition may ask for the normalised phone, so contact values are read and
//! normalised first; the first branch that holds makes the lead. An expression that fails in a condition, in contact
//! data or in an identifier stops the lead, because guessing there joins or loses people; one that fails elsewhere
//! leaves that value out and is recorded as a flaw.

use jiff::Timestamp;
use serde_json::Value as Json;

use crate::event::Event;
use crate::lead::{ContactPart, DealPart, Email, Fields, Flaw, Lead, Phone, Postback, TaskPart};
use crate::map::{
    Branch, EvaluationError, FieldTemplates, IfInvalid, Mapping, Scope, TaskTemplate, Template, View, When,
};
use crate::normalise;
use crate::plan::Reason;

mod calls;
mod chat;
mod contact;
mod evidence;
mod expectation;
mod postback;

pub use calls::{Late, calls};
pub use chat::chat_news;
use contact::{Contact, Contacts};
use evidence::Evidence;
pub use expectation::differences;
pub use postback::{Report, interpret_numbered, report};

/// What an event is.
#[derive(Clone, Debug, PartialEq)]
pub enum Interpreted {
    /// A lead, and the index of the branch that made it (see [`Mapping::branches`]).
    Lead(Box<Lead>, usize),
    /// Nothing to bring anywhere, by this rule.
    Filtered(Reason),
    /// A person has to look.
    NeedsAttention {
        /// What happened.
        reason: Reason,
        /// What to do.
        todo: String,
    },
}

/// Interprets one event. `received_at` is when its delivery came.
pub fn interpret(mapping: &Mapping, event: &Event, received_at: Timestamp) -> Interpreted {
    interpret_with(mapping, event, received_at, PRODUCTION, None)
}

/// The normalisers, so that what is put together here can be tested on its own.
#[derive(Clone, Copy)]
struct Normalisers {
    phone: fn(&str, &[String]) -> Result<Phone, Flaw>,
    email: fn(&str) -> Result<Email, Flaw>,
}

const PRODUCTION: Normalisers = Normalisers { phone: normalise::phone, email: normalise::email };

fn interpret_with(
    mapping: &Mapping,
    event: &Event,
    received_at: Timestamp,
    normalisers: Normalisers,
    postback: Option<&Postback>,
) -> Interpreted {
    let scope = mapping.scope(event, received_at);
    let mut contacts = Contacts::new(normalisers);
    let branches = mapping.branches();
    for (index, branch) in branches.iter().enumerate() {
        if !postback::is_for(branch, branches, postback) {
            continue;
        }
        match try_branch(mapping, event, &scope, branch, &mut contacts) {
            Ok(Tried::DoesNotHold) => {}
            Ok(Tried::Filtered(reason)) => return Interpreted::Filtered(reason),
            Ok(Tried::Lead(lead)) => return Interpreted::Lead(lead, index),
            Err(stopped) => return stopped.needs_attention(branch),
        }
    }
    let names: Vec<&str> = branches.iter().map(|branch| branch.name.as_str()).collect();
    let text = format!("the condition (`when`) of no branch holds: {}", names.join(", "));
    Interpreted::Filtered(Reason::new("no_branch", text))
}

/// What came of one branch.
enum Tried {
    DoesNotHold,
    Filtered(Reason),
    Lead(Box<Lead>),
}

/// Why a lead cannot be made.
struct Stopped {
    /// What was being made, as people know it from the YAML.
    what: &'static str,
    error: EvaluationError,
}

impl Stopped {
    fn at(what: &'static str) -> impl FnOnce(EvaluationError) -> Self {
        move |error| Self { what, error }
    }

    fn needs_attention(self, branch: &Branch) -> Interpreted {
        let Self { what, error } = self;
        let text = format!("`{what}` of branch `{}` could not be made: {}.", branch.name, error.message);
        let todo = format!(
            "Correct {} (or the data), then `leadfold replay --cause mapping_error --replan`.",
            error.place
        );
        Interpreted::NeedsAttention { reason: Reason::new("mapping_error", text), todo }
    }
}

fn try_branch<'m>(
    mapping: &Mapping,
    event: &Event,
    scope: &Scope<'_>,
    branch: &'m Branch,
    contacts: &mut Contacts<'m>,
) -> Result<Tried, Stopped> {
    // Most branches do not hold, and most conditions do not ask for the phone: do not normalise for nothing.
    let early = match &branch.when {
        When::Never => return Ok(Tried::DoesNotHold),
        When::If(when) if !when.uses_lead() => {
            if !when.holds(scope.event()).map_err(Stopped::at("when"))? {
                return Ok(Tried::DoesNotHold);
            }
            true
        }
        When::If(_) => false,
        When::Always => true,
    };
    let contact = contacts.take(branch, scope.event())?;
    let known = if branch.uses_lead { contact.as_seen_by_expressions() } else { Json::Null };
    let view = scope.with_lead(&known);
    if let (When::If(when), false) = (&branch.when, early)
        && !when.holds(view).map_err(Stopped::at("when"))?
    {
        contacts.keep(branch, contact);
        return Ok(Tried::DoesNotHold);
    }
    let rejects = branch.phone.if_invalid == IfInvalid::Reject && contact.phones.is_empty();
    if let Some(flaw) = contact.invalid_phones.first().filter(|_| rejects) {
        let rule =
            format!("branch `{}` takes no lead whose phone is none (`if_invalid: reject`)", branch.name);
        return Ok(Tried::Filtered(Reason::new("phone_rejected", format!("{rule}: {}", flaw.text))));
    }
    build(mapping, event, branch, contact, view).map(Box::new).map(Tried::Lead)
}

fn build(
    mapping: &Mapping,
    event: &Event,
    branch: &Branch,
    contact: Contact,
    view: View<'_>,
) -> Result<Lead, Stopped> {
    let mut maker = Maker { view, flaws: Vec::new() };
    let fields = maker.fields(&branch.contact.fields)?;
    let deal = DealPart {
        title: maker.text(branch.deal.title.as_ref(), "deal.title")?,
        pipeline: maker.text(branch.deal.pipeline.as_ref(), "deal.pipeline")?,
        stage: maker.text(branch.deal.stage.as_ref(), "deal.stage")?,
        fields: maker.fields(&branch.deal.fields)?,
    };
    let task = branch.task.as_ref().map(|task| maker.task(task)).transpose()?;
    let note = maker.text(branch.note.as_ref(), "note")?;
    let mut person_fields = maker.fields(&branch.person)?;
    // An empty value says nothing, and erases nothing.
    person_fields.retain(|_, value| value.as_str().is_none_or(|text| !text.trim().is_empty()));
    let evidence = Evidence::of(mapping, event, branch, &contact, view)?;
    let Contact { name, phones, invalid_phones, emails, invalid_emails } = contact;
    let typed = invalid_phones.iter().map(|flaw| flaw.raw.clone());
    let (note, raw_phones) = match branch.phone.if_invalid {
        IfInvalid::KeepAsNote => (with_invalid_phones(note, &invalid_phones), Vec::new()),
        IfInvalid::SendRaw => (note, typed.collect()),
        IfInvalid::EmailOnly | IfInvalid::Reject => (note, Vec::new()),
    };
    let flaws = [invalid_phones, invalid_emails, evidence.flaws, maker.flaws].concat();
    let phones = phones.into_iter().map(|(phone, _)| phone).collect();
    let emails = emails.into_iter().map(|(email, _)| email).collect();
    Ok(Lead {
        source: mapping.source.clone(),
        branch: branch.name.clone(),
        to: [branch.to.clone(), calls::at_once(branch)].concat(),
        contact: ContactPart { name, phones, raw_phones, emails, fields },
        deal,
        task,
        note,
        owners: branch.owners.clone(),
        identifiers: evidence.identifiers,
        links: evidence.links,
        chat: evidence.chat,
        chat_scope: evidence.chat_scope,
        chat_active: evidence.chat_active,
        person_fields,
        adds_token: mapping.adds_tokens,
        flaws,
        postback: None,
        afterwards: calls::afterwards(branch),
        given: (!branch.calls.is_empty()).then(|| Box::new(branch.reads.given(event))),
    })
}

/// The note, with a sentence for every phone that is none.
fn with_invalid_phones(note: Option<String>, invalid: &[Flaw]) -> Option<String> {
    let sentences = invalid.iter().map(|Flaw { raw, text, .. }| format!("Phone as typed: {raw} ({text})"));
    let lines: Vec<String> = note.into_iter().chain(sentences).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// Makes the values whose failure does not stop a lead.
struct Maker<'a> {
    view: View<'a>,
    flaws: Vec<Flaw>,
}

impl Maker<'_> {
    /// Lets a failure become a flaw, unless the mapping requires the value.
    fn forgive<T>(
        &mut self,
        made: Result<Option<T>, EvaluationError>,
        template: &Template,
        field: &str,
        what: &'static str,
    ) -> Result<Option<T>, Stopped> {
        match made {
            Ok(value) => Ok(value),
            Err(error) if template.is_required() => Err(Stopped { what, error }),
            Err(error) => {
                self.flaws.push(Flaw {
                    field: field.to_owned(),
                    raw: String::new(),
                    code: "mapping_error".to_owned(),
                    text: format!("{field} was left out: {error}"),
                });
                Ok(None)
            }
        }
    }

    fn text(&mut self, template: Option<&Template>, what: &'static str) -> Result<Option<String>, Stopped> {
        let Some(template) = template else { return Ok(None) };
        let made = template.text(self.view);
        let text = self.forgive(made, template, what, what)?;
        Ok(text.filter(|text| !text.trim().is_empty()))
    }

    fn fields(&mut self, templates: &FieldTemplates) -> Result<Fields, Stopped> {
        let mut fields = Fields::new();
        for (name, template) in templates {
            let made = template.evaluate(self.view);
            if let Some(value) = self.forgive(made, template, name, "fields")? {
                fields.insert(name.clone(), value);
            }
        }
        Ok(fields)
    }

    fn task(&mut self, task: &TaskTemplate) -> Result<TaskPart, Stopped> {
        Ok(TaskPart {
            title: self.text(task.title.as_ref(), "task.title")?,
            text: self.text(task.text.as_ref(), "task.text")?,
            kind: self.text(task.kind.as_ref(), "task.type")?,
            due_seconds: task.due.map(|due| i64::try_from(due.as_secs()).unwrap_or(i64::MAX)),
        })
    }
}

#[cfg(test)]
mod tests;
