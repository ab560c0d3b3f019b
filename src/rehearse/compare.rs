//! What became of an event under one version, place by place, and how two such outcomes differ.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::decide::Decision;
use crate::lead::{Fields, Lead};
use crate::pipeline::Interpreted;
use crate::plan::{Action, ContactFields, DealFields, Plan, Reason, Step};

/// What became of an event under one version.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    places: Vec<Place>,
    /// Why the plans are what they are, by destination.
    reasons: BTreeMap<String, Vec<Reason>>,
}

#[derive(Debug)]
struct Place {
    name: String,
    value: String,
    kind: Kind,
}

/// How a place counts when leads are grouped by what changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// One of a few words: another one is another change.
    Word,
    /// Whatever people write: that it changes is the change.
    #[default]
    Value,
    /// A value in a step of the plan for this destination.
    InPlan(String),
}

/// One place at which two outcomes differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Difference {
    /// The place, such as `branch`, `deal.stage` or `plan for crm`.
    pub place: String,
    /// Under the active version; `None` when there is nothing.
    pub old: Option<String>,
    /// Under the rehearsed one.
    pub new: Option<String>,
    #[serde(skip)]
    kind: Kind,
}

/// What leads must have in common to be shown as one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Shape(Vec<(String, Kind, Option<String>, Option<String>)>);

impl Outcome {
    /// A delivery or an event that becomes no lead for a reason outside of the branches.
    pub(super) fn nothing(word: &str, why: &str) -> Self {
        let mut outcome = Self::default();
        outcome.word("outcome", word);
        outcome.value("why", why);
        outcome
    }

    /// What the mapping made of an event.
    pub(super) fn of(came: &Interpreted) -> Self {
        match came {
            Interpreted::Filtered(reason) => Self::nothing(&format!("filtered ({})", reason.code), ""),
            Interpreted::NeedsAttention { reason, .. } => {
                Self::nothing(&format!("needs attention ({})", reason.code), &reason.text)
            }
            Interpreted::Lead(lead, _) => {
                let mut outcome = Self::default();
                outcome.word("outcome", "a lead");
                outcome.lead(lead);
                outcome
            }
        }
    }

    fn lead(&mut self, lead: &Lead) {
        let Lead { contact, deal, .. } = lead;
        self.word("branch", &lead.branch);
        self.word("destinations", &lead.to.join(", "));
        let later = lead.afterwards.iter().map(|call| format!("{} {}", call.to, call.moment.key()));
        self.word("called later", &later.collect::<Vec<_>>().join(", "));
        self.word("owner pool", lead.owners.as_deref().unwrap_or_default());
        self.text("name", contact.name.as_ref());
        self.value("phone", &joined(contact.phones.iter().map(|phone| phone.e164.as_str())));
        self.value("phone as typed", &contact.raw_phones.join(", "));
        self.value("email", &joined(contact.emails.iter().map(|email| email.address.as_str())));
        self.fields("contact", &contact.fields);
        self.text("deal.title", deal.title.as_ref());
        self.word("deal.pipeline", deal.pipeline.as_deref().unwrap_or_default());
        self.word("deal.stage", deal.stage.as_deref().unwrap_or_default());
        self.fields("deal", &deal.fields);
        if let Some(task) = &lead.task {
            self.text("task.title", task.title.as_ref());
            self.text("task.text", task.text.as_ref());
            self.word("task.type", task.kind.as_deref().unwrap_or_default());
            self.word("task.due", &task.due_seconds.map_or_else(String::new, |due| format!("after {due} s")));
        }
        self.text("note", lead.note.as_ref());
        self.fields("person", &lead.person_fields);
        let chat = lead.chat.as_ref();
        self.value(
            "chat",
            &chat.map_or_else(String::new, |chat| format!("{} {} {}", chat.channel, chat.bot, chat.id)),
        );
        self.text("chat.link", chat.and_then(|chat| chat.link.as_ref()));
        let evidence = lead.identifiers.iter().map(|known| {
            format!("{} {}", known.kind.as_str(), known.keys.first().map_or("", String::as_str))
        });
        self.value("identifiers", &evidence.collect::<Vec<_>>().join(", "));
        let flaws = lead.flaws.iter().map(|flaw| match flaw.raw.as_str() {
            "" => flaw.text.clone(),
            raw => format!("{} '{raw}': {}", flaw.field, flaw.text),
        });
        self.value("flaws", &flaws.collect::<Vec<_>>().join("; "));
    }

    /// What was decided for a destination.
    pub(super) fn decided(&mut self, destination: &str, decision: &Decision) {
        let (word, reasons) = match decision {
            Decision::Push { plan, .. } => (self.plan(destination, plan), plan.reasons.clone()),
            Decision::Filtered(reason) => {
                (format!("nothing: filtered ({})", reason.code), vec![reason.clone()])
            }
            Decision::Waiting { reason, .. } => (format!("waits ({})", reason.code), vec![reason.clone()]),
            Decision::NeedsAttention { reason, .. } => {
                (format!("needs attention ({})", reason.code), vec![reason.clone()])
            }
        };
        self.word(&format!("plan for {destination}"), &word);
        self.reasons.insert(destination.to_owned(), reasons);
    }

    fn plan(&mut self, destination: &str, plan: &Plan) -> String {
        let mut calls = 0;
        for step in &plan.steps {
            let mut what = step.action.kind().as_str().to_owned();
            if matches!(step.action, Action::Call { .. }) {
                // A plan may have several, each with its own parameters.
                calls += 1;
                what = format!("{what} {calls} of {destination}");
            }
            let mut value = |name: &str, value: &str| {
                self.put(&format!("{what}: {name}"), value, Kind::InPlan(destination.to_owned()));
            };
            match &step.action {
                Action::CreateContact { contact } | Action::UpdateContact { changes: contact, .. } => {
                    let ContactFields { name, phones, emails, owner, fields } = contact;
                    value("name", name.as_deref().unwrap_or_default());
                    value("phone", &phones.join(", "));
                    value("email", &emails.join(", "));
                    value("owner", owner.as_deref().unwrap_or_default());
                    for (name, field) in fields {
                        value(name, &shown(field));
                    }
                }
                Action::CreateDeal { deal, .. } | Action::UpdateDeal { changes: deal, .. } => {
                    let DealFields { title, pipeline, stage, owner, fields } = deal;
                    for (name, text) in
                        [("title", title), ("pipeline", pipeline), ("stage", stage), ("owner", owner)]
                    {
                        value(name, text.as_deref().unwrap_or_default());
                    }
                    for (name, field) in fields {
                        value(name, &shown(field));
                    }
                }
                Action::CreateTask { task, .. } => {
                    value("title", &task.title);
                    value("text", &task.text);
                    value("type", task.kind.as_deref().unwrap_or_default());
                    value("owner", task.owner.as_deref().unwrap_or_default());
                }
                Action::AddNote { text, .. } => value("text", text),
                Action::Call { call } => {
                    value("chat", call.chat.as_ref().map_or("", |chat| &chat.id));
                    for (name, parameter) in &call.with {
                        value(name, &shown(parameter));
                    }
                }
            }
        }
        if plan.steps.is_empty() {
            return "nothing to write".to_owned();
        }
        let word = |step: &Step| {
            let kind = step.action.kind().as_str();
            if let Action::Call { call } = &step.action {
                return format!("{kind} {}", call.operation);
            }
            kind.to_owned()
        };
        plan.steps.iter().map(word).collect::<Vec<_>>().join(", ")
    }

    fn fields(&mut self, part: &str, fields: &Fields) {
        for (name, field) in fields {
            self.value(&format!("{part}.{name}"), &shown(field));
        }
    }

    fn text(&mut self, name: &str, text: Option<&String>) {
        self.value(name, text.map_or("", String::as_str));
    }

    fn word(&mut self, name: &str, word: &str) {
        self.put(name, word, Kind::Word);
    }

    fn value(&mut self, name: &str, value: &str) {
        self.put(name, value, Kind::Value);
    }

    fn put(&mut self, name: &str, value: &str, kind: Kind) {
        if !value.is_empty() {
            self.places.push(Place { name: name.to_owned(), value: value.to_owned(), kind });
        }
    }

    fn at(&self, place: &Place) -> Option<&str> {
        let found = self.places.iter().find(|other| other.name == place.name && other.kind == place.kind);
        found.map(|place| place.value.as_str())
    }

    /// Reasons of this outcome's plans that the other's do not have, for the destinations whose plan is another.
    pub(super) fn because(&self, old: &Self, differences: &[Difference]) -> Vec<String> {
        let changed = |destination: &str| {
            differences.iter().any(|difference| difference.place == format!("plan for {destination}"))
        };
        let news = self.reasons.iter().filter(|(destination, _)| changed(destination)).flat_map(
            |(destination, reasons)| {
                let before = old.reasons.get(destination).map(Vec::as_slice).unwrap_or_default();
                reasons.iter().filter(|reason| !before.contains(reason)).map(|reason| reason.text.clone())
            },
        );
        news.collect()
    }
}

/// Where two outcomes of one event differ. What a step writes is only named where the lead itself does not show it and
/// the plan has the same steps.
pub(super) fn differences(old: &Outcome, new: &Outcome) -> Vec<Difference> {
    let only_old = old.places.iter().filter(|place| new.at(place).is_none());
    let mut found: Vec<Difference> = new
        .places
        .iter()
        .chain(only_old)
        .map(|place| Difference {
            place: place.name.clone(),
            old: old.at(place).map(str::to_owned),
            new: new.at(place).map(str::to_owned),
            kind: place.kind.clone(),
        })
        .filter(|difference| difference.old != difference.new)
        .collect();
    let seen = found.clone();
    found.retain(|difference| {
        let Kind::InPlan(destination) = &difference.kind else { return true };
        let plan = format!("plan for {destination}");
        seen.iter().all(|other| {
            let explains = other.kind == Kind::Value || other.kind == Kind::Word;
            other.place != plan
                && !(explains && (&other.old, &other.new) == (&difference.old, &difference.new))
        })
    });
    // In the order of the lead, also where only one of the two has the place.
    let place = |outcome: &Outcome, difference: &Difference| {
        outcome
            .places
            .iter()
            .position(|place| place.name == difference.place && place.kind == difference.kind)
    };
    found.sort_by_key(|difference| place(old, difference).or_else(|| place(new, difference)));
    found.dedup();
    found
}

/// What the leads of a group have in common.
pub(super) fn shape(differences: &[Difference]) -> Shape {
    let one = |difference: &Difference| {
        let word = |side: &Option<String>| match difference.kind {
            Kind::Word => side.clone(),
            Kind::Value | Kind::InPlan(_) => side.as_ref().map(|_| String::new()),
        };
        (difference.place.clone(), difference.kind.clone(), word(&difference.old), word(&difference.new))
    };
    Shape(differences.iter().map(one).collect())
}

fn joined<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    texts.collect::<Vec<_>>().join(", ")
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use super::*;

    fn outcome(places: &[(&str, &str, Kind)]) -> Outcome {
        let mut outcome = Outcome::default();
        for (name, value, kind) in places {
            outcome.put(name, value, kind.clone());
        }
        outcome
    }

    fn lines(old: &Outcome, new: &Outcome) -> Vec<String> {
        let side = |side: &Option<String>| side.clone().unwrap_or_else(|| "-".to_owned());
        let line =
            |found: &Difference| format!("{}: {} → {}", found.place, side(&found.old), side(&found.new));
        differences(old, new).iter().map(line).collect()
    }

    #[test]
    fn only_what_differs_is_named_and_each_thing_once() {
        let check = |old: &[(&str, &str, Kind)], new: &[(&str, &str, Kind)], expect: &[&str]| {
            assert_eq!(lines(&outcome(old), &outcome(new)), expect);
        };
        let crm = || Kind::InPlan("crm".to_owned());
        let same = ("branch", "Kyiv", Kind::Word);
        check(from_ref(&same), from_ref(&same), &[]);
        check(&[same.clone(), ("phone", "1", Kind::Value)], from_ref(&same), &["phone: 1 → -"]);
        check(
            &[("phone", "1", Kind::Value), same.clone()],
            &[("branch", "Lviv", Kind::Word)],
            &["phone: 1 → -", "branch: Kyiv → Lviv"],
        );
        // The step writes what the lead says, so the lead's own line is enough.
        check(
            &[("name", "A", Kind::Value), ("create contact: name", "A", crm())],
            &[("name", "B", Kind::Value), ("create contact: name", "B", crm())],
            &["name: A → B"],
        );
        // The rules make another plan of the same lead.
        check(&[("update contact: name", "A", crm())], &[], &["update contact: name: A → -"]);
        // With other steps, their values are others anyway.
        check(
            &[("create deal: owner", "anna", crm()), ("plan for crm", "create deal", Kind::Word)],
            &[("plan for crm", "create task", Kind::Word)],
            &["plan for crm: create deal → create task"],
        );
    }

    #[test]
    fn leads_that_change_in_the_same_way_have_one_shape() {
        let change = |old: &str, new: &str, kind: &Kind| {
            shape(&differences(&outcome(&[("x", old, kind.clone())]), &outcome(&[("x", new, kind.clone())])))
        };
        assert_eq!(change("A", "B", &Kind::Value), change("C", "D", &Kind::Value), "any other title");
        assert_ne!(change("A", "B", &Kind::Value), change("C", "", &Kind::Value), "a title that is gone");
        assert_ne!(change("A", "B", &Kind::Word), change("A", "C", &Kind::Word), "another branch");
    }
}
