//! What an account has: the fields, users, pipelines and stages that names in a mapping stand for.
//!
//! A mapping names things as people see them in the CRM; an API wants ids. Both are accepted wherever one is looked up here.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rules::folded;

/// What an account says of itself. `None` where the CRM cannot tell, or takes any name; then nothing is compared.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Catalog {
    /// Fields of contacts that may be written.
    pub contact_fields: Option<Vec<Field>>,
    /// Fields of deals that may be written.
    pub deal_fields: Option<Vec<Field>>,
    /// People who may own contacts, deals and tasks.
    pub users: Option<Vec<User>>,
    /// Pipelines with their stages, in the order of the CRM.
    pub pipelines: Option<Vec<Pipeline>>,
}

/// A field of a contact or of a deal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Field {
    /// As the API names it; this is what `fields:` of a mapping writes.
    pub id: String,
    /// As people see it.
    pub name: String,
    /// What it holds, in the CRM's own word: `char`, `many2one`, `select`.
    pub kind: String,
}

/// Somebody who works in the CRM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "CrmUser")]
pub struct User {
    /// As the API names them.
    pub id: String,
    /// As people see them.
    pub name: String,
    /// What they log in with, often an email address.
    pub login: Option<String>,
    /// `false` for somebody who left: new deals do not go to them.
    pub active: bool,
}

/// A pipeline; some CRMs call it a team or a funnel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Pipeline {
    /// As the API names it.
    pub id: String,
    /// As people see it.
    pub name: String,
    /// Its stages in order.
    pub stages: Vec<Stage>,
}

/// A stage of a pipeline; some CRMs call it a status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stage {
    /// As the API names it.
    pub id: String,
    /// As people see it.
    pub name: String,
}

/// A name that the CRM does not know, with what it has instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no {what} `{written}` in the CRM; {}", there_is(.known))]
pub struct UnknownName {
    /// `user`, `pipeline`, `stage`, `contact field`, `deal field`.
    pub what: &'static str,
    /// As the mapping writes it.
    pub written: String,
    /// The names that exist, in the order of the CRM.
    pub known: Vec<String>,
}

impl UnknownName {
    /// The names that exist, as a part of a sentence; only some of them where there are many.
    pub fn instead(&self) -> String {
        there_is(&self.known)
    }
}

/// Names shown in a message; a CRM may have hundreds of users.
pub const NAMES_SHOWN: usize = 12;

fn there_is(known: &[String]) -> String {
    match known.len() {
        0 => "there is none at all".to_owned(),
        all @ 1..=NAMES_SHOWN => {
            format!("there {} {}", if all == 1 { "is" } else { "are" }, known.join(", "))
        }
        all => format!(
            "there are {} and {} more",
            known.iter().take(NAMES_SHOWN).cloned().collect::<Vec<_>>().join(", "),
            all - NAMES_SHOWN
        ),
    }
}

impl Catalog {
    /// The user of this id, login or name; `None` where the CRM does not list its users.
    pub fn user(&self, written: &str) -> Result<Option<&User>, UnknownName> {
        let Some(users) = &self.users else { return Ok(None) };
        named("user", users, written, User::names, |user| user.name.clone()).map(Some)
    }

    /// The pipeline of this id or name; `None` where the CRM does not list its pipelines.
    pub fn pipeline(&self, written: &str) -> Result<Option<&Pipeline>, UnknownName> {
        let Some(pipelines) = &self.pipelines else { return Ok(None) };
        named("pipeline", pipelines, written, Pipeline::names, |pipeline| pipeline.name.clone()).map(Some)
    }

    /// The contact field of this id or name; `None` where the CRM does not list its fields.
    pub fn contact_field(&self, written: &str) -> Result<Option<&Field>, UnknownName> {
        field("contact field", self.contact_fields.as_deref(), written)
    }

    /// The deal field of this id or name; `None` where the CRM does not list its fields.
    pub fn deal_field(&self, written: &str) -> Result<Option<&Field>, UnknownName> {
        field("deal field", self.deal_fields.as_deref(), written)
    }
}

impl Pipeline {
    /// The stage of this id or name.
    pub fn stage(&self, written: &str) -> Result<&Stage, UnknownName> {
        named("stage", &self.stages, written, Stage::names, |stage| stage.name.clone())
    }

    /// What a mapping may call it.
    pub fn names(&self) -> Vec<&str> {
        vec![&self.id, &self.name]
    }
}

impl Stage {
    /// What a mapping may call it.
    pub fn names(&self) -> Vec<&str> {
        vec![&self.id, &self.name]
    }
}

impl Field {
    /// What a mapping may call it.
    pub fn names(&self) -> Vec<&str> {
        vec![&self.id, &self.name]
    }
}

impl User {
    /// What a mapping may call them.
    pub fn names(&self) -> Vec<&str> {
        let login = self.login.as_deref().filter(|login| !login.is_empty());
        std::iter::once(self.id.as_str()).chain(login).chain([self.name.as_str()]).collect()
    }
}

fn field<'a>(
    what: &'static str,
    fields: Option<&'a [Field]>,
    written: &str,
) -> Result<Option<&'a Field>, UnknownName> {
    let Some(fields) = fields else { return Ok(None) };
    named(what, fields, written, Field::names, |field| field.id.clone()).map(Some)
}

/// The thing that somebody means: by the first of its names that fits exactly, else without regard to case.
fn named<'a, T>(
    what: &'static str,
    things: &'a [T],
    written: &str,
    names: impl Fn(&T) -> Vec<&str>,
    shown: impl Fn(&T) -> String,
) -> Result<&'a T, UnknownName> {
    let written = written.trim();
    let exact = |thing: &&T| names(thing).contains(&written);
    let alike = |thing: &&T| names(thing).iter().any(|name| folded(name) == folded(written));
    things.iter().find(exact).or_else(|| things.iter().find(alike)).ok_or_else(|| UnknownName {
        what,
        written: written.to_owned(),
        known: things.iter().map(&shown).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(id: &str, name: &str, login: &str) -> User {
        User { id: id.into(), name: name.into(), login: Some(login.into()), active: true }
    }

    #[test]
    fn a_name_is_found_by_id_login_or_name() {
        let users = vec![user("2", "Olha Kovalenko", "olha@example.com"), user("7", "2", "two@example.com")];
        let catalog = Catalog { users: Some(users), ..Catalog::default() };
        let id = |written: &str| catalog.user(written).unwrap().unwrap().id.clone();
        assert_eq!(id("2"), "2", "an id goes before a name");
        assert_eq!(id("olha@example.com"), "2");
        assert_eq!(id(" OLHA kovalenko"), "2");
        assert_eq!(id("two@example.com"), "7");
        let unknown = catalog.user("petro").unwrap_err();
        assert_eq!(unknown.to_string(), "there is no user `petro` in the CRM; there are Olha Kovalenko, 2");
        assert_eq!(
            Catalog::default().user("petro"),
            Ok(None),
            "a CRM that lists nobody is not compared with"
        );
    }

    #[test]
    fn a_message_does_not_list_hundreds() {
        let users = (0..100).map(|number| user(&number.to_string(), &format!("user {number}"), "")).collect();
        let unknown = Catalog { users: Some(users), ..Catalog::default() }.user("nobody").unwrap_err();
        assert!(unknown.to_string().ends_with("user 11 and 88 more"), "{unknown}");
    }
}
