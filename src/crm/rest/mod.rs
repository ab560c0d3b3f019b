//! Any CRM with an HTTP API, described in the workspace.
//!
//! The description is data: one request for each operation, with the placeholders of mappings; where things stand in the
//! answers, by JSONPath; and what answers mean. An operation that is not described is something the CRM cannot do.
//! Deliberately absent: loops, pages of a list, conditions on what to ask. Whoever needs those needs an adapter.
//!
//! | file | what it is |
//! |---|---|
//! | `operation.rs` | the operations by name, what their requests may say, what follows without them |
//! | `reading.rs`, `soundness.rs` | YAML → [`Api`], and what is wrong with it |
//! | `request.rs`, `spelling.rs` | what is sent |
//! | `answer.rs` | what comes back |
//! | `find.rs`, `look_up.rs`, `write.rs`, `about.rs` | the work of an adapter |

mod about;
mod answer;
mod find;
mod look_up;
mod operation;
mod reading;
mod request;
mod soundness;
mod spelling;
mod write;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use serde_json::Value as Json;

use self::find::strange;
use self::operation::{Op, Operation};
use self::reading::Api;
use super::auth::Auth;
use super::catalog::Catalog;
use super::http::{ALLOW_PRIVATE_ADDRESSES, Account, Answer, Http, in_parallel};
use super::limit::Limiter;
use super::settings;
use super::{
    ConnectError, Crm, CrmError, Description, Found, Guarantee, Journal, Outcome, Priority, Query, Remaining,
};
use crate::decide::Capabilities;
use crate::map::{Node, Reader};
use crate::plan::{RecordId, RecordKind, Step, StepKind};
use crate::rules::{Destination, Setting};

/// How many calls are under way at once unless the workspace says otherwise.
const CONCURRENCY: usize = 4;

/// The settings that make up an [`Api`].
const NESTED: &[&str] = &["auth", "headers", "operations", "contact", "deal", "answers", "phone_spellings"];

pub(super) static DESCRIPTION: Description = Description {
    name: "rest",
    summary: "any CRM with an HTTP API, described here (see mappings/examples)",
    settings: &[
        Setting {
            name: "url",
            required: true,
            secret: true,
            summary: "the root of its API, as its documentation has it: https://api.example.com/v1",
        },
        Setting {
            name: "auth",
            required: false,
            secret: true,
            summary: "who we are: { bearer: \"${TOKEN}\" }, { header: { X-Api-Key: \"${KEY}\" } }, { query: … } or { basic: … }",
        },
        Setting {
            name: "headers",
            required: false,
            secret: false,
            summary: "further headers of every request: { Accept-Language: uk }",
        },
        Setting {
            name: "rate",
            required: false,
            secret: false,
            summary: "its rate limits: 60/min, or several: 10/min, 100/h, 1000/day (default none)",
        },
        Setting {
            name: "concurrency",
            required: false,
            secret: false,
            summary: "calls under way at once (default 4)",
        },
        Setting {
            name: "phone_spellings",
            required: false,
            secret: false,
            summary: "how it may hold phones, tried one after another: [international, digits, national, short]",
        },
        Setting {
            name: "operations",
            required: true,
            secret: false,
            summary: "what it can do: { find_contact_by_phone: { get: /contacts, query: { phone: \"{{ phone }}\" } }, … }",
        },
        Setting {
            name: "contact",
            required: false,
            secret: false,
            summary: "where things stand in a contact: { id: $.id, name: $.name, phones: $.phones }",
        },
        Setting {
            name: "deal",
            required: false,
            secret: false,
            summary: "where things stand in a deal: { id: $.id, title: $.name, stage: $.stage.name }",
        },
        Setting {
            name: "answers",
            required: false,
            secret: false,
            summary: "answers that mean something unusual: { refused: { when: \"{{ success == false }}\" } }",
        },
        ALLOW_PRIVATE_ADDRESSES,
    ],
    windows: &[],
    // Nobody knows of a CRM that is described here how long it may work; `settle` says it better.
    processing: Duration::from_secs(30),
    search_lag: Duration::from_secs(30),
    bot: None,
    nested: Some(note_problems),
    connect,
};

fn note_problems(reader: &Reader<'_>, destination: &Node) {
    reading::read(reader, destination);
}

struct Rest {
    http: Http,
    api: Arc<Api>,
    auth: Auth,
    concurrency: usize,
    settle: Duration,
}

fn connect(destination: &Destination) -> Result<Arc<dyn Crm>, ConnectError> {
    let settings = settings::Reader(destination);
    let api = Arc::new(api(destination)?);
    let auth = Auth::of(settings)?;
    let judging = Arc::clone(&api);
    let account = Account {
        url: settings.required("url")?,
        windows: &settings.rates("rate")?,
        secrets: auth.secrets(),
        judge: Arc::new(move |status, body| judging.meanings.judge(status, body)),
    };
    let longest = DESCRIPTION.processing + DESCRIPTION.search_lag;
    Ok(Arc::new(Rest {
        http: Http::new(destination, &account)?,
        api,
        auth,
        concurrency: settings.count("concurrency", CONCURRENCY)?,
        settle: destination.settle.unwrap_or(longest),
    }))
}

/// `auth` stays away: its secrets are final, and reading would look for `${…}` in them once more.
fn api(destination: &Destination) -> Result<Api, ConnectError> {
    let settings = settings::Reader(destination);
    settings.required("operations")?;
    let names: Vec<&str> = NESTED.iter().copied().filter(|name| *name != "auth").collect();
    settings.nested(&names, reading::read)
}

impl Rest {
    fn operation(&self, op: Op) -> Result<&Operation, CrmError> {
        self.api.operations.get(&op).ok_or_else(|| CrmError::Rejected {
            why: format!(
                "`operations` of this destination has no `{}`; describe it in workspace.yaml",
                op.word()
            ),
        })
    }

    async fn ask(&self, operation: &Operation, values: Json, priority: Priority) -> Result<Answer, CrmError> {
        let call = self.call(operation, values, priority);
        let call = call.map_err(|why| CrmError::Rejected { why: format!("{}: {why}", operation.word) })?;
        let statuses: Vec<u16> = operation.not_found.iter().flat_map(|rule| rule.statuses.clone()).collect();
        self.http.read(call.accept(&statuses)).await
    }

    /// The records that an operation answers with; none where the answer means that there is none.
    async fn list(
        &self,
        operation: &Operation,
        values: Json,
        priority: Priority,
    ) -> Result<Vec<Json>, CrmError> {
        let answer = self.ask(operation, values, priority).await?;
        for rule in &operation.not_found {
            match rule.holds(answer.status, &answer.body) {
                Ok(true) => return Ok(Vec::new()),
                Ok(false) => {}
                Err(why) => {
                    return Err(CrmError::Retry { after: None, why: format!("{}: {why}", operation.word) });
                }
            }
        }
        // A status that may mean "none" was let through, and may mean something else.
        let answer = self.http.read_item(operation.word, answer.status, answer.body, &[])?;
        if answer.status == 204 {
            return Ok(Vec::new());
        }
        operation.items.of(&answer.body).ok_or_else(|| strange(operation.word, "nothing where `items` looks"))
    }

    /// Whether deals are written with a title, and read with it.
    fn titles_deals(&self) -> bool {
        let create = self.api.operations.get(&Op::CreateDeal);
        self.api.deal.name.is_some() && create.is_some_and(|operation| operation.reads("title"))
    }
}

impl Crm for Rest {
    fn find<'a>(&'a self, queries: &'a [Query]) -> BoxFuture<'a, Vec<Result<Found, CrmError>>> {
        let calls = queries.iter().map(|query| self.find_one(query).boxed());
        in_parallel(self.concurrency, calls.collect()).boxed()
    }

    fn look_up<'a>(
        &'a self,
        steps: &'a [(RecordKind, &'a Step)],
        priority: Priority,
    ) -> BoxFuture<'a, Vec<Result<Vec<RecordId>, CrmError>>> {
        let look_ups = steps.iter().map(|(kind, step)| self.look_up_one(*kind, step, priority).boxed());
        in_parallel(self.concurrency, look_ups.collect()).boxed()
    }

    fn write<'a>(
        &'a self,
        plans: &'a [Remaining<'a>],
        journal: &'a dyn Journal,
    ) -> BoxFuture<'a, Vec<Vec<Outcome>>> {
        Box::pin(self.write_all(plans, journal))
    }

    fn ping(&self) -> BoxFuture<'_, Result<String, CrmError>> {
        self.greet().boxed()
    }

    fn describe(&self) -> BoxFuture<'_, Result<Catalog, CrmError>> {
        self.catalog().boxed()
    }

    fn capabilities(&self) -> Capabilities {
        let can = |op: Op| self.api.operations.contains_key(&op);
        Capabilities {
            deals: can(Op::CreateDeal),
            tasks: can(Op::CreateTask),
            notes: can(Op::AddNote),
            contact_updates: can(Op::UpdateContact),
            deal_updates: can(Op::UpdateDeal),
            // Whoever writes `{{ phones[0] }}` into the request means the first of the list that it then holds.
            lists: true,
        }
    }

    fn guarantee(&self, kind: StepKind) -> Guarantee {
        let operation = Op::of(kind).and_then(|op| self.api.operations.get(&op));
        let keyed = operation.is_some_and(|operation| operation.keyed);
        match kind {
            // The same values again change nothing.
            StepKind::UpdateContact | StepKind::UpdateDeal => Guarantee::Keyed,
            _ if keyed => Guarantee::Keyed,
            // By their phone or email, where there is no marker.
            StepKind::CreateContact => Guarantee::Findable,
            // By their title among the open deals of the contact.
            StepKind::CreateDeal if self.titles_deals() => Guarantee::Findable,
            StepKind::CreateDeal | StepKind::CreateTask | StepKind::AddNote | StepKind::Call => {
                let marked = |kind| self.api.operations.contains_key(&Op::FindByMarker(kind));
                if kind.creates().is_some_and(marked) { Guarantee::Findable } else { Guarantee::Blind }
            }
        }
    }

    fn settle(&self) -> Duration {
        self.settle
    }

    fn batch(&self) -> usize {
        1
    }

    fn concurrency(&self) -> usize {
        self.concurrency
    }

    fn limiter(&self) -> Option<&Limiter> {
        Some(self.http.limiter())
    }
}

#[cfg(test)]
pub(crate) mod tests;
