//! Looking people up: own links, searches by value, candidates with their deals.

use super::Sandbox;
use super::wire::{self, Request};
use crate::crm::http::Answer;
use crate::crm::{CrmError, Found, Priority, Query, matching};
use crate::plan::{FoundContact, RecordId};

/// What one call of a look-up asks.
enum Question {
    /// Our own link: is it still there, and with which open deals?
    Link(RecordId),
    /// Candidates by the text of a phone.
    Phone(String),
    /// Candidates by the text of an email.
    Email(String),
    /// A candidate with its open deals.
    Candidate(RecordId),
}

impl Question {
    fn request(&self) -> Request {
        match self {
            Self::Link(id) | Self::Candidate(id) => Request::contact_with_deals(id),
            Self::Phone(phone) => Request::search("contacts", "phone", phone),
            Self::Email(email) => Request::search("contacts", "email", email),
        }
    }

    fn searches(query: &Query) -> impl Iterator<Item = Self> + '_ {
        let phones = query.phones.iter().cloned().map(Self::Phone);
        phones.chain(query.emails.iter().cloned().map(Self::Email))
    }
}

/// A query on its way: what was found so far, and the candidates that are still to be read with their deals.
#[derive(Default)]
struct Search {
    found: Found,
    candidates: Vec<RecordId>,
    error: Option<CrmError>,
}

impl Search {
    fn learn(&mut self, question: &Question, answer: Result<Answer, CrmError>) -> Result<(), CrmError> {
        let answer = answer?;
        match question {
            Question::Link(_) if answer.status == 404 => self.found.link_is_gone = true,
            // It was there when the search index was made.
            Question::Candidate(_) if answer.status == 404 => {}
            Question::Link(_) | Question::Candidate(_) => {
                self.found.contacts.push(wire::contact(answer.body)?);
            }
            Question::Phone(phone) => {
                self.keep(answer, |hit| {
                    hit.phones.iter().any(|written| matching::same_phone(written, phone))
                })?;
            }
            Question::Email(email) => {
                self.keep(answer, |hit| {
                    hit.emails.iter().any(|written| matching::same_email(written, email))
                })?;
            }
        }
        Ok(())
    }

    fn keep(&mut self, answer: Answer, matches: impl Fn(&FoundContact) -> bool) -> Result<(), CrmError> {
        for hit in wire::contacts(answer.body)? {
            if !matches(&hit) {
                self.found.passed_over += 1;
            } else if !self.candidates.contains(&hit.id) {
                self.candidates.push(hit.id);
            }
        }
        Ok(())
    }
}

impl Sandbox {
    /// Asks the questions of all searches at once and lets each learn its answers.
    async fn round(&self, searches: &mut [Search], questions: Vec<(usize, Question)>, priority: Priority) {
        if questions.is_empty() {
            return;
        }
        let requests: Vec<Request> = questions.iter().map(|(_, question)| question.request()).collect();
        let answers = self.ask(&requests, priority).await;
        for ((index, question), answer) in questions.iter().zip(answers) {
            let Some(search) = searches.get_mut(*index) else { continue };
            if let Err(error) = search.learn(question, answer) {
                search.error.get_or_insert(error);
            }
        }
    }

    /// Three rounds at most: own links and first searches; searches for those whose link is gone; candidates with deals.
    /// Every value is searched even after a hit, because another value may belong to another contact.
    pub(super) async fn find_all(&self, queries: &[Query]) -> Vec<Result<Found, CrmError>> {
        let priority = queries.iter().map(|query| query.priority).min().unwrap_or_default();
        let mut searches: Vec<Search> = queries.iter().map(|_| Search::default()).collect();
        let first = queries.iter().enumerate().flat_map(|(index, query)| {
            let link = query.contact.clone().map(Question::Link);
            let linked = link.is_some();
            let values = Question::searches(query).filter(move |_| !linked);
            link.into_iter().chain(values).map(move |question| (index, question))
        });
        self.round(&mut searches, first.collect(), priority).await;

        let gone =
            queries.iter().zip(&searches).enumerate().filter(|(_, (_, search))| search.found.link_is_gone);
        let again = gone
            .flat_map(|(index, (query, _))| Question::searches(query).map(move |question| (index, question)));
        let again: Vec<_> = again.collect();
        self.round(&mut searches, again, priority).await;

        let candidates: Vec<_> = searches
            .iter_mut()
            .enumerate()
            .filter(|(_, search)| search.error.is_none())
            .flat_map(|(index, search)| {
                let ids = std::mem::take(&mut search.candidates);
                ids.into_iter().map(move |id| (index, Question::Candidate(id)))
            })
            .collect();
        self.round(&mut searches, candidates, priority).await;
        searches.into_iter().map(|search| search.error.map_or(Ok(search.found), Err)).collect()
    }
}
