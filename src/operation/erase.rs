//! Erasing one human: [what there is](PreviewErase), [requests that belong to nobody](SearchRequests), and
//! [their leads and all that they are known by](Erase), piece by piece.
//!
//! Whoever asks goes on until it is done; what is done when it breaks off stays done, and asking for the same again takes
//! the rest. What cannot be reached from here is in the answer: records of CRMs. Backups and logs are whoever's who keeps
//! them.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Means, Operation, OperationError, default_regions};
use crate::access::Role;
use crate::failpoint::failpoint;
use crate::id::{DeliveryId, PersonId};
use crate::normalise::{self, Wanted, spellings};
use crate::store::erase::{Belongings, HeldRecord, Searched};
use crate::store::erase_people::{Forgotten, LeadsPiece};

/// Longest text that an author or a note may be, in bytes.
const LONGEST: usize = 500;

/// Whom to erase.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Who {
    /// A phone in any spelling, an email, the id of a chat or a customer, or the id of a person.
    pub who: String,
    /// Countries of a phone that names none, the first first; `UA` when absent.
    #[serde(default = "default_regions")]
    pub regions: Vec<String>,
}

/// Looks what there is of a human. Changes nothing.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct PreviewErase(pub Who);

/// What there is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Erasable {
    /// Everybody who is known by it. Only one can be erased: name one of several by the id.
    pub people: Vec<Belongings>,
    /// How many requests a search goes through.
    pub stored_requests: u64,
    /// Bytes of the file of a SQLite database; absent on PostgreSQL.
    pub file_size: Option<u64>,
}

/// Searches the next page of stored requests for a human: those that never became a lead of anybody.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SearchRequests {
    /// Whom to look for.
    pub human: Who,
    /// Go on behind this: `next` of the page before.
    #[serde(default)]
    pub after: Option<DeliveryId>,
    /// Erase what is found, instead of counting it.
    #[serde(default)]
    pub erase: bool,
}

/// Erases the next leads of a human, and at last the human.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Erase {
    /// Whom.
    pub human: Who,
    /// Also leads of which a step may be in the CRM: nobody looks for it any more.
    #[serde(default)]
    pub even_in_doubt: bool,
    /// Who asks for it, for the record.
    #[serde(default)]
    pub author: Option<String>,
    /// On what ground, for the record; nothing personal.
    #[serde(default)]
    pub note: Option<String>,
}

/// How far it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Erased {
    /// What went with this request.
    pub piece: LeadsPiece,
    /// Nothing personal is left. Otherwise ask again: at once, or in a moment when nothing but what is under way is left.
    pub done: bool,
    /// What CRMs still have, as far as leadfold knows.
    pub records: BTreeSet<HeldRecord>,
}

/// Writes the file of a SQLite database anew, so that nothing that was erased is left in its free parts. Whoever sends
/// leads waits meanwhile, about a second for each 50 MB.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RewriteFile {}

/// What came of that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rewritten {
    /// Whether the log beside the file was emptied too; otherwise it is when the server stops.
    pub log_emptied: bool,
}

impl Operation for PreviewErase {
    const PATH: &'static str = "/api/erase/preview";
    const ROLE: Role = Role::Admin;
    type Answer = Erasable;

    fn record(&self) -> Option<Value> {
        None
    }

    async fn run(self, means: &Means) -> Result<Erasable, OperationError> {
        let mut people = Vec::new();
        for person in self.0.people(means).await? {
            people.push(means.store.belongings(person).await?);
        }
        let stored_requests = means.store.stored_requests().await?;
        Ok(Erasable { people, stored_requests, file_size: means.store.file_size().await? })
    }
}

impl Operation for SearchRequests {
    const PATH: &'static str = "/api/erase/requests";
    const ROLE: Role = Role::Admin;
    type Answer = Searched;

    fn record(&self) -> Option<Value> {
        None
    }

    async fn run(self, means: &Means) -> Result<Searched, OperationError> {
        let person = self.human.person(means).await?;
        let wanted = self.human.wanted(means, person).await?;
        if wanted.is_empty() {
            return Ok(Searched::default());
        }
        let erase = self.erase.then(|| means.clock.now());
        let searched = means.store.search_requests(&wanted, person, self.after, erase).await?;
        failpoint!("erase.requests");
        Ok(searched)
    }
}

impl Operation for Erase {
    const PATH: &'static str = "/api/erase";
    const ROLE: Role = Role::Admin;
    type Answer = Erased;

    async fn run(self, means: &Means) -> Result<Erased, OperationError> {
        let Self { human, even_in_doubt, author, note } = self;
        let author = author.or_else(|| Some(means.caller.name.clone()));
        let person = human.person(means).await?;
        let wanted = human.wanted(means, person).await?;
        for (what, text) in [("author", &author), ("note", &note)] {
            let text = text.as_deref().unwrap_or_default();
            if text.len() > LONGEST {
                return Err(OperationError::Refused(format!(
                    "the {what} is longer than {LONGEST} bytes; shorten it"
                )));
            }
            if wanted.is_in(text) {
                return Err(OperationError::Refused(format!(
                    "the {what} is kept, and names whom it is about: write it without their phone, email and ids"
                )));
            }
        }
        let mut erased = Erased::default();
        if let Some(person) = person {
            erased.records = means.store.belongings(person).await?.records;
            let now = means.clock.now();
            erased.piece = means.store.erase_leads(person, wanted.clone(), even_in_doubt, now).await?;
            failpoint!("erase.piece");
            if erased.piece.leads > 0 || erased.piece.under_way > 0 {
                return Ok(erased);
            }
        }
        // Somebody may never have come, and a link was made for them.
        means.store.forget_tokens_of(spellings(&human.who, &human.regions)).await?;
        erased.done =
            means.store.forget(person, wanted, author, note, &*means.clock).await? == Forgotten::Done;
        failpoint!("erase.forgotten");
        if erased.done {
            tracing::info!(person = ?person.map(|person| person.to_string()), "a human was erased");
        }
        Ok(erased)
    }
}

impl Operation for RewriteFile {
    const PATH: &'static str = "/api/erase/rewrite";
    const ROLE: Role = Role::Admin;
    type Answer = Rewritten;

    async fn run(self, means: &Means) -> Result<Rewritten, OperationError> {
        if means.store.is_shared() {
            return Err(OperationError::Refused(
                "the registry is in PostgreSQL, which writes its own files: its VACUUM does that".to_owned(),
            ));
        }
        Ok(Rewritten { log_emptied: means.store.rewrite_file().await? })
    }
}

impl Who {
    async fn people(&self, means: &Means) -> Result<BTreeSet<PersonId>, OperationError> {
        let who = self.who.trim();
        if who.is_empty() {
            return Err(OperationError::Refused(
                "whom? Give a phone, an email, the id of a chat or the id of a person".to_owned(),
            ));
        }
        if let Ok(person) = who.parse::<PersonId>()
            && let Some(person) = means.store.present(person).await?
        {
            return Ok(BTreeSet::from([person]));
        }
        Ok(means.store.people_named(&spellings(who, &self.regions)).await?)
    }

    /// The one who is meant; `None` when nobody is known by that.
    async fn person(&self, means: &Means) -> Result<Option<PersonId>, OperationError> {
        let people = self.people(means).await?;
        if people.len() > 1 {
            let people: Vec<String> = people.iter().map(ToString::to_string).collect();
            return Err(OperationError::Refused(format!(
                "several people are known by that: {}. Look who is meant, and name one by this id",
                people.join(", ")
            )));
        }
        Ok(people.first().copied())
    }

    /// What to look for in texts: all that a person is known by, or what was given when nobody is.
    async fn wanted(&self, means: &Means, person: Option<PersonId>) -> Result<Wanted, OperationError> {
        if let Some(person) = person {
            return Ok(means.store.wanted(person).await?);
        }
        let mut wanted = Wanted::default();
        if let Ok(phone) = normalise::phone(&self.who, &self.regions) {
            wanted.phone(&phone.e164);
            phone.match_keys.iter().for_each(|key| wanted.phone(key));
        } else if let Ok(email) = normalise::email(&self.who) {
            wanted.email(&email.address);
        } else {
            wanted.id(self.who.trim());
        }
        Ok(wanted)
    }
}
