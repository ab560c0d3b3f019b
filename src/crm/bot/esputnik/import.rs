//! Imports of contacts: begun by one call, asked about by the next ones.
//!
//! Sessions are remembered in memory by the ids of their steps. Whoever remembers none sends the contact again, which
//! changes nothing.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::Method;
use serde_json::Value as Json;
use tokio::time::Instant;

use super::contact::{self, Kind};
use super::{Batch, Esputnik, Item, Outcomes, Refused, done, error_message, pieces};
use crate::crm::{CrmError, Outcome, Priority};
use crate::id::StepId;
use crate::plan::RecordId;

/// How soon an import is asked about; then after as long as it has taken so far.
const FIRST_LOOK: Duration = Duration::from_secs(2);

/// At most so long between two looks.
const LONGEST_LOOK: Duration = Duration::from_secs(30);

/// An import that eSputnik is at work on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Import {
    session: String,
    /// How many contacts are in it.
    contacts: usize,
    began: Instant,
}

/// The imports under way, as far as this process began them.
pub(super) struct Imports {
    timeout: Duration,
    of: Mutex<HashMap<StepId, Import>>,
}

impl Imports {
    pub(super) fn new(timeout: Duration) -> Self {
        Self { timeout, of: Mutex::default() }
    }

    /// The import that a step's contact is in.
    pub(super) fn of(&self, step: StepId) -> Option<Import> {
        self.lock().get(&step).cloned()
    }

    fn remember(&self, import: &Import, steps: impl Iterator<Item = StepId>) {
        let mut of = self.lock();
        // Steps that nobody asks about any more, because their lead was erased or given up.
        of.retain(|_, import| import.began.elapsed() < self.timeout * 2);
        of.extend(steps.map(|step| (step, import.clone())));
    }

    fn forget(&self, items: &[Item<'_>]) {
        let mut of = self.lock();
        for item in items {
            of.remove(&item.sending.step);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<StepId, Import>> {
        self.of.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Import {
    fn under_way(&self) -> Outcome {
        let after = self.began.elapsed().clamp(FIRST_LOOK, LONGEST_LOOK);
        Outcome::UnderWay {
            after,
            why: format!("upsert_contact: eSputnik has import {} under way", self.session),
        }
    }
}

impl Esputnik {
    /// Begins an import; what of it eSputnik refuses at once has failed already.
    pub(super) async fn send_contacts(
        &self,
        kind: &Kind,
        items: &[Item<'_>],
    ) -> Result<Vec<Outcome>, Refused> {
        let body = kind.body(items.iter().map(|item| &item.json));
        let answer = self.post("upsert_contact", &["v1", "contacts"], &body, items).await?;
        if let Some(said) = error_message(&answer) {
            return Err(Refused::AsAWhole(self.rejected(said)));
        }
        let failures = Failures::of(&answer, items);
        // Which contact it was shows when they go in smaller calls.
        if let Some(stranger) = failures.stranger {
            return Err(Refused::AsAWhole(self.failed(stranger)));
        }
        let contacts = failures.each.iter().filter(|failure| failure.is_none()).count();
        let import = Import { session: session(&answer), contacts, began: Instant::now() };
        let outcome = |failure: Option<&Json>| match failure {
            Some(failure) => self.failed(failure),
            None if import.session.is_empty() => Outcome::Unknown {
                why: "upsert_contact: eSputnik answered without `asyncSessionId`".to_owned(),
            },
            None => import.under_way(),
        };
        let outcomes: Vec<Outcome> = failures.each.iter().copied().map(outcome).collect();
        let taken = items.iter().zip(&outcomes);
        let taken = taken.filter(|(_, outcome)| matches!(outcome, Outcome::UnderWay { .. }));
        self.imports.remember(&import, taken.map(|(item, _)| item.sending.step));
        Ok(outcomes)
    }

    /// Asks how far an import is.
    pub(super) async fn ask(&self, batch: Batch, import: Import, items: Vec<Item<'_>>) -> Outcomes {
        let path = ["v1", "importstatus", &import.session];
        let request = self.request("import_status", Method::GET, &path, Priority::Live).accept(&[404]);
        let all = |outcome: Outcome| items.iter().map(|item| (item.place, outcome.clone())).collect();
        let lost = |why: String| {
            self.imports.forget(&items);
            all(Outcome::Unknown { why: format!("{why}; its contacts are sent again") })
        };
        let body = match self.http.read(request).await {
            Ok(answer) if answer.status == 404 => {
                return lost(format!("import_status: eSputnik knows no import {}", import.session));
            }
            Ok(answer) => answer.body,
            Err(CrmError::Retry { after, why }) => return all(Outcome::Retry { after, why }),
            Err(CrmError::Unauthorised { why }) => return all(Outcome::Unauthorised { why }),
            Err(CrmError::Rejected { why }) => return lost(why),
        };
        match body["status"].as_str() {
            Some("FINISHED") => self.finished(&import, &items, &body),
            Some("ERROR") if import.contacts > 1 => {
                self.imports.forget(&items);
                let mut outcomes = Outcomes::with_capacity(items.len());
                for half in pieces(items, import.contacts.div_ceil(2)) {
                    outcomes.extend(self.send(batch.clone(), half).await);
                }
                outcomes
            }
            Some("ERROR") => {
                self.imports.forget(&items);
                all(self.rejected(body["description"].as_str().unwrap_or("its import ended with an error")))
            }
            _ if import.began.elapsed() >= self.imports.timeout => {
                let Import { session, .. } = &import;
                lost(format!("import_status: import {session} has not ended in {:?}", self.imports.timeout))
            }
            _ => all(import.under_way()),
        }
    }

    fn finished(&self, import: &Import, items: &[Item<'_>], body: &Json) -> Outcomes {
        self.imports.forget(items);
        let failures = Failures::of(body, items);
        // It may be one of the contacts that are asked about by another call.
        let stranger = failures.stranger.filter(|_| items.len() == import.contacts);
        let outcome = |(item, failure): (&Item<'_>, Option<&Json>)| {
            let outcome = match (failure, stranger) {
                (Some(failure), _) => self.failed(failure),
                (None, None) => done(item.sending.step),
                (None, Some(_)) => Outcome::Unknown {
                    why: format!(
                        "import_status: import {} has failures and does not say whose",
                        import.session
                    ),
                },
            };
            (item.place, outcome)
        };
        items.iter().zip(failures.each).map(outcome).collect()
    }

    fn failed(&self, failure: &Json) -> Outcome {
        let said = ["errorMessage", "message", "error", "description"];
        said.iter().find_map(|key| failure[*key].as_str()).map_or_else(
            || Outcome::Rejected {
                why: "upsert_contact: eSputnik could not take this contact and does not say why; look at its email, phone \
                      and names"
                    .to_owned(),
            },
            |said| self.rejected(said),
        )
    }

    fn rejected(&self, said: &str) -> Outcome {
        Outcome::Rejected { why: self.http.clean(&format!("upsert_contact: eSputnik says: {said}")) }
    }
}

/// The session of an import; empty where the answer names none.
fn session(answer: &Json) -> String {
    let session = match &answer["asyncSessionId"] {
        Json::String(text) => text.trim().to_owned(),
        Json::Number(number) => number.to_string(),
        Json::Null | Json::Bool(_) | Json::Array(_) | Json::Object(_) => String::new(),
    };
    if session.len() <= RecordId::LONGEST { session } else { String::new() }
}

/// What an answer says of contacts that could not be taken.
struct Failures<'a> {
    /// For each of ours its failure, in order.
    each: Vec<Option<&'a Json>>,
    /// A failure that is none of ours, as far as can be told.
    stranger: Option<&'a Json>,
}

impl<'a> Failures<'a> {
    fn of(answer: &'a Json, items: &[Item<'_>]) -> Self {
        let named: Vec<&Json> = match &answer["failedContacts"] {
            Json::Array(contacts) => contacts.iter().collect(),
            // A list of one may come as the one.
            one @ Json::Object(_) => vec![one],
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => Vec::new(),
        };
        let mut failures = Self { each: vec![None; items.len()], stranger: None };
        if named.is_empty() {
            return failures;
        }
        let mut ours: HashMap<_, Vec<usize>> = HashMap::new();
        for (index, item) in items.iter().enumerate() {
            for mark in contact::marks(&item.json) {
                ours.entry(mark).or_default().push(index);
            }
        }
        for named in named {
            let marks = contact::marks(named);
            let hit: Vec<usize> = marks.iter().filter_map(|mark| ours.get(mark)).flatten().copied().collect();
            if hit.is_empty() {
                failures.stranger = Some(named);
            }
            for index in hit {
                failures.each[index] = Some(named);
            }
        }
        failures
    }
}
