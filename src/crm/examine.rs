//! Asks an account everything that can be asked without changing anything, and keeps what went over the wire.
//!
//! It costs a handful of calls of the account's rate budget and knows nothing of any particular CRM.

use std::time::{Duration, Instant};

use super::catalog::Catalog;
use super::http::{Exchange, recorded};
use super::{Crm, CrmError, Found, Query};
use crate::decide::Capabilities;
use crate::plan::RecordId;

/// Whom to look for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sought {
    /// By an E.164 phone.
    Phone(String),
    /// By an email address.
    Email(String),
    /// By the id of a contact, as our own links are read.
    Contact(RecordId),
}

/// A question and what came of it.
#[derive(Debug)]
pub struct Asked<T> {
    /// The answer.
    pub answer: Result<T, CrmError>,
    /// The calls that it took.
    pub exchanges: Vec<Exchange>,
    /// How long it took, waiting for the rate budget included.
    pub took: Duration,
}

/// What an account answered.
#[derive(Debug)]
pub struct Examination {
    /// Whether it answers, and as whom.
    pub reached: Asked<String>,
    /// Its lists; `None` when it could not be reached, and for a bot, which has none.
    pub catalog: Option<Asked<Catalog>>,
    /// The searches in order; the first contact that was found is also read by its id. Empty when it could not be reached.
    pub searches: Vec<(Sought, Asked<Found>)>,
}

/// Examines an account. No question takes longer than `patience`.
pub async fn examine(crm: &dyn Crm, sought: &[Sought], patience: Duration) -> Examination {
    let reached = ask(patience, crm.ping()).await;
    // What the CRM does not understand says nothing of the other questions; one that is not there answers none of them.
    let is_lost = matches!(reached.answer, Err(CrmError::Retry { .. } | CrmError::Unauthorised { .. }));
    let is_bot = crm.capabilities() == Capabilities::NONE;
    if is_lost || is_bot {
        return Examination { reached, catalog: None, searches: Vec::new() };
    }
    let catalog = Some(ask(patience, crm.describe()).await);
    let mut searches = Vec::new();
    for sought in sought {
        searches.push((sought.clone(), search(crm, sought, patience).await));
    }
    let hits =
        searches.iter().filter_map(|(_, asked)| asked.answer.as_ref().ok()).flat_map(|found| &found.contacts);
    if let Some(id) = hits.map(|contact| contact.id.clone()).next() {
        let sought = Sought::Contact(id);
        let asked = search(crm, &sought, patience).await;
        searches.push((sought, asked));
    }
    Examination { reached, catalog, searches }
}

/// The account's lists, or why they cannot be had within `patience`.
pub async fn catalog(crm: &dyn Crm, patience: Duration) -> Result<Catalog, CrmError> {
    ask(patience, crm.describe()).await.answer
}

async fn search(crm: &dyn Crm, sought: &Sought, patience: Duration) -> Asked<Found> {
    let query = match sought.clone() {
        Sought::Phone(phone) => Query { phones: vec![phone], ..Query::default() },
        Sought::Email(email) => Query { emails: vec![email], ..Query::default() },
        Sought::Contact(id) => Query { contact: Some(id), ..Query::default() },
    };
    let only = [query];
    ask(patience, async { crm.find(&only).await.pop().unwrap_or_else(|| Ok(Found::default())) }).await
}

async fn ask<T>(patience: Duration, question: impl Future<Output = Result<T, CrmError>>) -> Asked<T> {
    let began = Instant::now();
    let (answer, exchanges) = recorded(tokio::time::timeout(patience, question)).await;
    let answer = answer.unwrap_or_else(|_| {
        let why = format!("no answer within {patience:?}, the wait for the rate budget included");
        Err(CrmError::Retry { after: None, why })
    });
    Asked { answer, exchanges, took: began.elapsed() }
}
