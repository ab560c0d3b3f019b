//! What the account has: fields, users, teams, stages and activity types, and the ids behind their names.
//!
//! Read once and kept; read anew when a name is not found, so that a stage made a minute ago works without a restart.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::FutureExt as _;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Odoo, wire};
use crate::crm::catalog::{Catalog, Field, Pipeline, Stage, UnknownName, User};
use crate::crm::http::in_parallel;
use crate::crm::{CrmError, Priority};

/// A name that nobody knows does not make every lead ask again.
const READ_AGAIN: Duration = Duration::from_secs(5);

/// Types of fields that cannot be written as one cell of a row.
const NOT_A_CELL: [&str; 7] =
    ["binary", "json", "one2many", "properties", "properties_definition", "reference", "many2one_reference"];

/// How a field is read and written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// Odoo's type: `char`, `many2one`, `html`.
    pub(super) kind: String,
    /// The model that it refers to.
    pub(super) relation: Option<String>,
}

/// Everything that has a name.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) catalog: Catalog,
    contact_shapes: BTreeMap<String, Shape>,
    deal_shapes: BTreeMap<String, Shape>,
    /// Id and name.
    activity_types: Vec<(u64, String)>,
    /// The time zone of the API's user, in which days begin.
    pub(super) zone: TimeZone,
    read_at: Instant,
}

/// Whose fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    Contact,
    Deal,
}

impl Names {
    /// Knows nobody and nothing, for a step that names nothing.
    pub(super) fn none() -> Self {
        Self {
            catalog: Catalog::default(),
            contact_shapes: BTreeMap::new(),
            deal_shapes: BTreeMap::new(),
            activity_types: Vec::new(),
            zone: TimeZone::UTC,
            read_at: Instant::now(),
        }
    }

    /// The field of this id or label.
    pub(super) fn field(&self, of: Of, written: &str) -> Result<(&str, &Shape), UnknownName> {
        let (field, shapes) = match of {
            Of::Contact => (self.catalog.contact_field(written)?, &self.contact_shapes),
            Of::Deal => (self.catalog.deal_field(written)?, &self.deal_shapes),
        };
        let known = field.and_then(|field| Some((field.id.as_str(), shapes.get(&field.id)?)));
        known.ok_or_else(|| UnknownName { what: "field", written: written.to_owned(), known: Vec::new() })
    }

    pub(super) fn user(&self, written: &str) -> Result<String, UnknownName> {
        let user = self.catalog.user(written)?;
        Ok(user.map_or_else(|| written.to_owned(), |user| user.id.clone()))
    }

    /// What a plan calls the user of this id: the login, which is unique and which people know.
    pub(super) fn login(&self, id: u64) -> Option<&str> {
        let id = id.to_string();
        let user = self.catalog.users.iter().flatten().find(|user| user.id == id)?;
        user.login.as_deref()
    }

    /// The ids of a team and a stage. A stage is looked for in the team, or in all of them where none is named.
    pub(super) fn place(
        &self,
        team: Option<&str>,
        stage: Option<&str>,
    ) -> Result<(Option<String>, Option<String>), UnknownName> {
        let team = match team {
            Some(written) => self.catalog.pipeline(written)?,
            None => None,
        };
        let stage = match stage {
            Some(written) => Some(match team {
                Some(team) => team.stage(written)?.id.clone(),
                None => self.any_stage(written)?,
            }),
            None => None,
        };
        Ok((team.map(|team| team.id.clone()), stage))
    }

    fn any_stage(&self, written: &str) -> Result<String, UnknownName> {
        let mut seen = BTreeSet::new();
        let stages = self.catalog.pipelines.iter().flatten().flat_map(|team| &team.stages);
        let stages: Vec<Stage> = stages.filter(|stage| seen.insert(stage.id.clone())).cloned().collect();
        let all = Pipeline { id: String::new(), name: String::new(), stages };
        Ok(all.stage(written)?.id.clone())
    }

    pub(super) fn activity_type(&self, written: &str) -> Result<u64, UnknownName> {
        let folded = written.trim().to_lowercase();
        let known = |(id, name): &&(u64, String)| id.to_string() == folded || name.to_lowercase() == folded;
        let found = self.activity_types.iter().find(known).map(|(id, _)| *id);
        found.ok_or_else(|| UnknownName {
            what: "activity type",
            written: written.to_owned(),
            known: self.activity_types.iter().map(|(_, name)| name.clone()).collect(),
        })
    }
}

impl Odoo {
    /// What is known, read now if nothing is.
    pub(super) async fn names(&self) -> Result<Arc<Names>, CrmError> {
        let mut kept = self.names.lock().await;
        if let Some(names) = &*kept {
            return Ok(Arc::clone(names));
        }
        let names = Arc::new(self.read_names().await?);
        *kept = Some(Arc::clone(&names));
        Ok(names)
    }

    /// What is known by now, after `old` lacked a name.
    pub(super) async fn newer_names(&self, old: &Arc<Names>) -> Result<Arc<Names>, CrmError> {
        let mut kept = self.names.lock().await;
        if let Some(names) = &*kept
            && (!Arc::ptr_eq(names, old) || names.read_at.elapsed() < READ_AGAIN)
        {
            return Ok(Arc::clone(names));
        }
        let names = Arc::new(self.read_names().await?);
        *kept = Some(Arc::clone(&names));
        Ok(names)
    }

    /// The next who asks reads them anew.
    pub(super) async fn forget_names(&self) {
        *self.names.lock().await = None;
    }

    /// What is there now.
    pub(super) async fn fresh_names(&self) -> Result<Arc<Names>, CrmError> {
        let names = Arc::new(self.read_names().await?);
        *self.names.lock().await = Some(Arc::clone(&names));
        Ok(names)
    }

    async fn read_names(&self) -> Result<Names, CrmError> {
        let read_at = Instant::now();
        let fields = json!({ "attributes": ["string", "type", "readonly", "relation"] });
        let list = |fields: &[&str], domain: Value, all: bool| {
            let context = if all { json!({ "active_test": false }) } else { json!({}) };
            json!({ "domain": domain, "fields": fields, "context": context })
        };
        let questions = [
            ("res.partner", "fields_get", fields.clone()),
            ("crm.lead", "fields_get", fields),
            (
                "res.users",
                "search_read",
                list(&["login", "name", "active"], json!([["share", "=", false]]), true),
            ),
            ("crm.team", "search_read", list(&["name"], json!([]), false)),
            ("crm.stage", "search_read", list(&["name", "team_ids"], json!([]), false)),
            ("mail.activity.type", "search_read", list(&["name"], json!([]), false)),
            ("res.users", "context_get", json!({})),
        ];
        let calls = questions.iter().map(|(model, method, arguments)| {
            let call = self.call("describe", model, method, arguments, Priority::Live);
            self.http.read(call).boxed()
        });
        let answers = in_parallel(self.concurrency, calls.collect()).await;
        let mut answers = answers.into_iter().map(|answer| Ok(answer?.body));
        let mut next = || answers.next().unwrap_or(Ok(Value::Null));
        let (contact_fields, contact_shapes) = fields_of(&next()?)?;
        let (deal_fields, deal_shapes) = fields_of(&next()?)?;
        let users = users(&wire::records(next()?)?);
        let teams = wire::records(next()?)?;
        let stages = wire::records(next()?)?;
        let activity_types = wire::records(next()?)?;
        let zone = zone(&next()?);
        Ok(Names {
            catalog: Catalog {
                contact_fields: Some(contact_fields),
                deal_fields: Some(deal_fields),
                users: Some(users),
                pipelines: Some(pipelines(&teams, &stages)),
            },
            contact_shapes,
            deal_shapes,
            activity_types: activity_types.iter().filter_map(named).collect(),
            zone,
            read_at,
        })
    }
}

fn named(record: &wire::Record) -> Option<(u64, String)> {
    Some((record.id()?, record.text("name")?.to_owned()))
}

/// The fields of a model that a row may set, with their shapes by id.
fn fields_of(body: &Value) -> Result<(Vec<Field>, BTreeMap<String, Shape>), CrmError> {
    let entries = body.as_object().ok_or_else(|| wire::strange("the fields of a model"))?;
    let mut shapes = BTreeMap::new();
    let mut fields = Vec::new();
    for (id, about) in entries {
        let kind = about["type"].as_str().unwrap_or_default();
        if about["readonly"] == json!(true) || id == "id" || NOT_A_CELL.contains(&kind) {
            continue;
        }
        let name = about["string"].as_str().unwrap_or(id).to_owned();
        fields.push(Field { id: id.clone(), name, kind: kind.to_owned() });
        let relation = about["relation"].as_str().map(str::to_owned);
        shapes.insert(id.clone(), Shape { kind: kind.to_owned(), relation });
    }
    // A team's own fields first: those are what mappings mostly name, and messages show the first.
    fields.sort_by_key(|field: &Field| (!field.id.starts_with("x_"), field.id.clone()));
    Ok((fields, shapes))
}

fn users(records: &[wire::Record]) -> Vec<User> {
    let user = |record: &wire::Record| {
        let (id, name) = named(record)?;
        let login = record.text("login").map(str::to_owned);
        Some(User { id: id.to_string(), name, login, active: record.flag("active") })
    };
    records.iter().filter_map(user).collect()
}

/// Each team with the stages that are its own or everybody's, in Odoo's order.
fn pipelines(teams: &[wire::Record], stages: &[wire::Record]) -> Vec<Pipeline> {
    let stages_of = |team: u64| {
        let belongs = move |stage: &&wire::Record| {
            let teams = stage.references("team_ids");
            teams.is_empty() || teams.contains(&team)
        };
        let stage = |(id, name): (u64, String)| Stage { id: id.to_string(), name };
        stages.iter().filter(belongs).filter_map(named).map(stage).collect()
    };
    let team = |(id, name): (u64, String)| Pipeline { id: id.to_string(), name, stages: stages_of(id) };
    teams.iter().filter_map(named).map(team).collect()
}

/// UTC where the API's user has set no time zone, as Odoo itself takes it.
fn zone(context: &Value) -> TimeZone {
    let name = context["tz"].as_str().unwrap_or("UTC");
    TimeZone::get(name).unwrap_or(TimeZone::UTC)
}
