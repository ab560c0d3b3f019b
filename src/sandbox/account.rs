//! The lists of a real CRM account: who works there, which pipelines and stages, which fields. Without them the sandbox
//! takes any name; with them it refuses what it does not have, as real ones do.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::records::{ContactInput, Deal, DealInput, Refusal, RemarkInput};

/// What an account has; a name that is not in it is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SandboxAccount {
    /// Who may own contacts, deals and tasks.
    pub users: Vec<SandboxUser>,
    /// Pipelines in order.
    pub pipelines: Vec<SandboxPipeline>,
    /// Names of the further fields of contacts.
    pub contact_fields: Vec<String>,
    /// Names of the further fields of deals.
    pub deal_fields: Vec<String>,
}

/// Somebody who works there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SandboxUser {
    /// What `owner` of a record holds; the name does as well.
    pub id: String,
    /// As people see them; the id where it is missing.
    #[serde(default)]
    pub name: Option<String>,
    /// Somebody who left is `false`; they may still own things.
    #[serde(default = "yes")]
    pub active: bool,
}

fn yes() -> bool {
    true
}

impl SandboxUser {
    fn is(&self, written: &str) -> bool {
        same(&self.id, written) || self.name.as_deref().is_some_and(|name| same(name, written))
    }
}

/// Names that people see are taken in any case. Fields are the API's own and are compared as they are.
fn same(known: &str, written: &str) -> bool {
    known.trim().to_lowercase() == written.trim().to_lowercase()
}

/// A pipeline with its stages in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SandboxPipeline {
    /// What `pipeline` of a deal holds.
    pub name: String,
    /// What `stage` of a deal in it may hold.
    pub stages: Vec<String>,
}

/// Looks every name of a record up. No account knows every name.
#[derive(Clone, Copy)]
pub(super) struct Register<'a>(pub(super) Option<&'a SandboxAccount>);

impl Register<'_> {
    pub(super) fn contact(self, input: &ContactInput) -> Result<(), Refusal> {
        let Some(account) = self.0 else { return Ok(()) };
        account.user(input.owner.as_deref())?;
        fields("contact", &account.contact_fields, &input.fields)
    }

    /// A deal to be made, or the changes of one that is there.
    pub(super) fn deal(self, input: &DealInput, before: Option<&Deal>) -> Result<(), Refusal> {
        let Some(account) = self.0 else { return Ok(()) };
        account.user(input.owner.as_deref())?;
        fields("deal", &account.deal_fields, &input.fields)?;
        let pipeline = input.pipeline.as_deref().or_else(|| before?.pipeline.as_deref());
        account.stage(pipeline, input.stage.as_deref())
    }

    pub(super) fn remark(self, input: &RemarkInput) -> Result<(), Refusal> {
        self.0.map_or(Ok(()), |account| account.user(input.owner.as_deref()))
    }
}

impl SandboxAccount {
    fn user(&self, owner: Option<&str>) -> Result<(), Refusal> {
        match owner {
            Some(owner) if !self.users.iter().any(|user| user.is(owner)) => {
                Err(unknown("owner", format_args!("there is no user `{owner}`")))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// A deal without a pipeline stands in the first one.
    fn stage(&self, pipeline: Option<&str>, stage: Option<&str>) -> Result<(), Refusal> {
        let found = match pipeline {
            Some(name) => self.pipelines.iter().find(|pipeline| same(&pipeline.name, name)),
            None => self.pipelines.first(),
        };
        let Some(found) = found else {
            let name = pipeline.unwrap_or_default();
            return Err(unknown("pipeline", format_args!("there is no pipeline `{name}`")));
        };
        match stage {
            Some(stage) if !found.stages.iter().any(|known| same(known, stage)) => {
                let name = &found.name;
                Err(unknown("stage", format_args!("there is no stage `{stage}` in pipeline `{name}`")))
            }
            Some(_) | None => Ok(()),
        }
    }
}

fn fields(of: &str, known: &[String], sent: &Map<String, Value>) -> Result<(), Refusal> {
    match sent.keys().find(|name| !known.contains(name)) {
        Some(name) => Err(unknown("fields", format_args!("a {of} has no field `{name}`"))),
        None => Ok(()),
    }
}

/// A refusal that names the entry of the request.
fn unknown(entry: &str, what: fmt::Arguments<'_>) -> Refusal {
    Refusal::Invalid(format!("`{entry}`: {what}"))
}
