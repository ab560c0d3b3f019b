//! The adapter of our own [sandbox](crate::sandbox) CRM: for the demo, for tests, and as the smallest example of an adapter.

mod find;
mod wire;
mod write;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use reqwest::Method;
use secrecy::SecretString;
use serde_json::{Value, json};

use self::wire::{FoundList, Request};
use super::catalog::Catalog;
use super::http::{ALLOW_PRIVATE_ADDRESSES, Account, Answer, Call, Http, in_parallel};
use super::limit::Limiter;
use super::settings::Reader;
use super::{
    ConnectError, Crm, CrmError, Description, Found, Guarantee, Journal, Outcome, Priority, Query, Remaining,
    unmarked,
};
use crate::plan::{Action, ContactFields, RecordId, RecordKind, Reference, Step, StepKind};
use crate::rules::{Destination, Setting};

/// The most operations that the sandbox takes in one batch.
const BATCH: usize = 50;

/// How many calls are under way at once unless the workspace says otherwise.
const CONCURRENCY: usize = 8;

pub(super) static DESCRIPTION: Description = Description {
    name: "sandbox",
    summary: "leadfold's own small CRM server, for trying things out (`leadfold sandbox`)",
    settings: &[
        Setting {
            name: "url",
            required: true,
            secret: true,
            summary: "where it listens: http://127.0.0.1:9900",
        },
        Setting { name: "token", required: true, secret: true, summary: "its bearer token: demo" },
        Setting {
            name: "concurrency",
            required: false,
            secret: false,
            summary: "calls under way at once (default 8)",
        },
        Setting {
            name: "batch",
            required: false,
            secret: false,
            summary: "true when batches are switched on there (default false)",
        },
        Setting {
            name: "markers",
            required: false,
            secret: false,
            summary: "false when it cannot find records by marker; tasks and notes are then blind (default true)",
        },
        Setting {
            name: "search_lag",
            required: false,
            secret: false,
            summary: "longest time until its search shows a write: 2s (default 0s)",
        },
        Setting {
            name: "rate",
            required: false,
            secret: false,
            summary: "its rate limit: 10/s, 60/min or 100/10s (default none)",
        },
        ALLOW_PRIVATE_ADDRESSES,
    ],
    windows: &[],
    processing: Duration::from_secs(3),
    search_lag: Duration::ZERO,
    bot: None,
    nested: None,
    connect,
};

struct Sandbox {
    http: Http,
    token: SecretString,
    concurrency: usize,
    batch: bool,
    markers: bool,
    settle: Duration,
}

fn connect(destination: &Destination) -> Result<Arc<dyn Crm>, ConnectError> {
    let settings = Reader(destination);
    let token = settings.secret("token")?;
    let windows: Vec<_> = DESCRIPTION.windows.iter().copied().chain(settings.rates("rate")?).collect();
    let search_lag = settings.duration("search_lag", DESCRIPTION.search_lag)?;
    let account = Account {
        url: settings.required("url")?,
        windows: &windows,
        secrets: vec![token.clone()],
        judge: Arc::new(|_, _| None),
    };
    Ok(Arc::new(Sandbox {
        http: Http::new(destination, &account)?,
        token,
        concurrency: settings.count("concurrency", CONCURRENCY)?,
        batch: settings.flag("batch", false)?,
        markers: settings.flag("markers", true)?,
        settle: destination.settle.unwrap_or(DESCRIPTION.processing + search_lag),
    }))
}

impl Sandbox {
    fn call(&self, request: &Request, priority: Priority) -> Call {
        let segments: Vec<&str> = request.segments.iter().map(String::as_str).collect();
        let call = self.http.call(request.operation, request.method.clone(), &segments, priority);
        let call = call.bearer(&self.token).accept(request.accepted);
        let call = if request.query.is_empty() { call } else { call.query(&request.query) };
        match &request.body {
            Some(body) => call.json(body),
            None => call,
        }
    }

    fn batch_call(&self, requests: &[Request], priority: Priority) -> Call {
        let operations: Vec<Value> = requests.iter().map(Request::as_operation).collect();
        let call = self.http.call("batch", Method::POST, &["batch"], priority).bearer(&self.token);
        call.json(&json!({ "operations": operations }))
    }

    /// Asks everything, in as few calls as there can be; one answer per request, in order.
    async fn ask(&self, requests: &[Request], priority: Priority) -> Vec<Result<Answer, CrmError>> {
        if !self.batch || requests.len() < 2 {
            let calls = requests.iter().map(|request| self.http.read(self.call(request, priority)).boxed());
            return in_parallel(self.concurrency, calls.collect()).await;
        }
        let chunks = requests.chunks(BATCH).map(|chunk| self.ask_batch(chunk, priority).boxed());
        in_parallel(self.concurrency, chunks.collect()).await.into_iter().flatten().collect()
    }

    async fn ask_batch(&self, requests: &[Request], priority: Priority) -> Vec<Result<Answer, CrmError>> {
        match self.http.read(self.batch_call(requests, priority)).await {
            Ok(answer) => {
                let mut items = wire::batch_items(answer.body).into_iter();
                requests.iter().map(|request| self.asked(request, items.next())).collect()
            }
            Err(error) => vec![Err(error); requests.len()],
        }
    }

    fn asked(&self, request: &Request, item: Option<(u16, Value)>) -> Result<Answer, CrmError> {
        let Some((status, body)) = item else {
            let why = format!("{}: the batch answer lacks this item", request.operation);
            return Err(CrmError::Retry { after: None, why });
        };
        self.http.read_item(request.operation, status, body, request.accepted)
    }

    async fn look_up_one(
        &self,
        kind: RecordKind,
        step: &Step,
        priority: Priority,
    ) -> Result<Vec<RecordId>, CrmError> {
        if self.markers {
            let request = Request::search(wire::collection(kind), "marker", &step.id.to_string());
            return wire::records(self.http.read(self.call(&request, priority)).await?.body);
        }
        match &step.action {
            Action::CreateContact { contact } => self.contacts_like(contact, priority).await,
            Action::CreateDeal { contact: Reference::Record(contact), deal } => {
                let request = Request::contact_with_deals(contact);
                let answer = self.http.read(self.call(&request, priority)).await?;
                if answer.status == 404 {
                    return Ok(Vec::new());
                }
                let deals = wire::contact(answer.body)?.deals.into_iter();
                Ok(deals.filter(|found| found.title == deal.title).map(|found| found.id).collect())
            }
            Action::CreateDeal { .. }
            | Action::CreateTask { .. }
            | Action::AddNote { .. }
            | Action::UpdateContact { .. }
            | Action::UpdateDeal { .. }
            | Action::Call { .. } => Err(unmarked::cannot_be_found(&step.action)),
        }
    }

    /// Contacts that we may have made, by the phone or email that we sent.
    async fn contacts_like(
        &self,
        contact: &ContactFields,
        priority: Priority,
    ) -> Result<Vec<RecordId>, CrmError> {
        let query = Query {
            contact: None,
            phones: contact.phones.clone(),
            emails: contact.emails.clone(),
            priority,
            ..Query::default()
        };
        if query.phones.is_empty() && query.emails.is_empty() {
            let why = "a lost contact without phone and email cannot be found without markers".to_owned();
            return Err(CrmError::Rejected { why });
        }
        let found =
            self.find_all(&[query]).await.into_iter().next().unwrap_or_else(|| Ok(Found::default()))?;
        Ok(unmarked::by_age(found))
    }
}

impl Crm for Sandbox {
    fn find<'a>(&'a self, queries: &'a [Query]) -> BoxFuture<'a, Vec<Result<Found, CrmError>>> {
        Box::pin(self.find_all(queries))
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
        Box::pin(async {
            let request = Request::users();
            let FoundList { items } =
                wire::list(self.http.read(self.call(&request, Priority::Live)).await?.body)?;
            Ok(format!("sandbox at {} with {} users", self.http.host(), items.len()))
        })
    }

    /// Without an account it takes any field, user, pipeline and stage.
    fn describe(&self) -> BoxFuture<'_, Result<Catalog, CrmError>> {
        Box::pin(async {
            let request = Request::account();
            wire::catalog(self.http.read(self.call(&request, Priority::Live)).await?.body)
        })
    }

    fn guarantee(&self, kind: StepKind) -> Guarantee {
        match kind {
            // The same values again change nothing.
            StepKind::UpdateContact | StepKind::UpdateDeal => Guarantee::Keyed,
            StepKind::CreateContact | StepKind::CreateDeal => Guarantee::Findable,
            StepKind::CreateTask | StepKind::AddNote if self.markers => Guarantee::Findable,
            StepKind::CreateTask | StepKind::AddNote | StepKind::Call => Guarantee::Blind,
        }
    }

    fn settle(&self) -> Duration {
        self.settle
    }

    fn batch(&self) -> usize {
        if self.batch { BATCH } else { 1 }
    }

    fn concurrency(&self) -> usize {
        self.concurrency
    }

    fn limiter(&self) -> Option<&Limiter> {
        Some(self.http.limiter())
    }
}
