//! eSputnik, also sold as Yespo and, by the same makers, as Reteno: contacts and the tokens of their chats.
//!
//! Basic authentication with any user name and the API key as password; JSON both ways; 200 requests a second (eSputnik:
//! API reference, "Getting started with your API").
//!
//! | operation | request | done when |
//! |---|---|---|
//! | `upsert_contact` | `POST /v1/contacts`, up to 3,000 of one kind in a call | `GET /v1/importstatus/{asyncSessionId}` says FINISHED |
//! | `add_token` | `POST /v1/apps/{app}/tokens`, those of one app in a call | it is answered with 2xx |
//!
//! **Contacts** are imported in the background, within minutes (Reteno: "Bulk contact uploading"). The answer to the call
//! has an `asyncSessionId` and `failedContacts`, those that could not be taken. The state of the import is STARTED,
//! IMPORTING, FINISHED or ERROR; the page of that method is not public, these words are those of eSputnik's own plug-ins.
//! So the call is [`UnderWay`](Outcome::UnderWay) until then, and is asked about when the engine makes it again: see
//! [`import`]. The same contact again changes nothing, so that after a restart, which forgets the sessions, it is sent
//! anew.
//!
//! **Tokens** are only ever added (eSputnik: "Integrating with a Telegram bot": the method "does not update existing tokens
//! but only creates new ones"). What a second call with the same token does is not said, and there is nothing to ask, so
//! the call is not repeated where nobody knows whether it was made.
//!
//! A call that is refused for what is in it (400, 413, 422) goes again in halves, until what is at fault is refused alone.
//!
//! Deliberately absent: `POST /v1/contact`, of which pages of different age say that it always creates and that it updates;
//! subscriptions; events.

mod contact;
mod import;
mod token;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _};
use reqwest::Method;
use secrecy::SecretString;
use serde_json::Value as Json;

use self::contact::Kind;
use self::import::{Import, Imports};
use super::{Bot, Sending, as_crm, done};
use crate::crm::http::{ALLOW_PRIVATE_ADDRESSES, Account, Call as Request, Http, in_parallel};
use crate::crm::limit::Window;
use crate::crm::settings::Reader;
use crate::crm::{ConnectError, Crm, CrmError, Description, Outcome, Priority};
use crate::plan::Call;
use crate::rules::{BotKind, Destination, Operation, Setting};

const URL: &str = "https://esputnik.com/api";

/// Contacts in one call, by eSputnik's own limit; tokens, of which no limit is named, do not need more.
const BATCH: usize = 3_000;

/// Batches under way at once unless the workspace says otherwise.
const CONCURRENCY: usize = 2;

/// How long an import may take before it is sent again.
const IMPORT_TIMEOUT: Duration = Duration::from_mins(30);

/// The key alone says who we are.
const USER: &str = "leadfold";

const OPERATIONS: &[Operation] = &[contact::OPERATION, token::OPERATION];

pub(in crate::crm) static DESCRIPTION: Description = Description {
    name: "esputnik",
    summary: "eSputnik, Yespo or Reteno: contacts, and the tokens of their chats",
    settings: &[
        Setting { name: "api_key", required: true, secret: true, summary: "an API key of the account" },
        Setting {
            name: "url",
            required: false,
            secret: true,
            summary: "where its API is: https://yespo.io/api (default https://esputnik.com/api)",
        },
        Setting {
            name: "import_timeout",
            required: false,
            secret: false,
            summary: "how long an import of contacts may take before it is sent again (default 30m)",
        },
        Setting {
            name: "rate",
            required: false,
            secret: false,
            summary: "a rate limit below its own of 200/s: 50/s (default none)",
        },
        Setting {
            name: "concurrency",
            required: false,
            secret: false,
            summary: "calls under way at once (default 2)",
        },
        ALLOW_PRIVATE_ADDRESSES,
    ],
    bot: Some(BotKind { operations: OPERATIONS, chats: &["telegram:*"], writes_there: false, check: None }),
    nested: None,
    windows: &[Window::sliding(200, Duration::from_secs(1))],
    processing: Duration::from_secs(30),
    search_lag: Duration::ZERO,
    connect,
};

struct Esputnik {
    http: Http,
    api_key: SecretString,
    imports: Imports,
}

fn connect(destination: &Destination) -> Result<Arc<dyn Crm>, ConnectError> {
    let settings = Reader(destination);
    let api_key = settings.secret("api_key")?;
    let account = Account {
        url: settings.text("url").unwrap_or(URL),
        windows: &[DESCRIPTION.windows, &settings.rates("rate")?].concat(),
        secrets: vec![api_key.clone()],
        judge: Arc::new(|_, _| None),
    };
    let bot = Esputnik {
        http: Http::new(destination, &account)?,
        api_key,
        imports: Imports::new(settings.duration("import_timeout", IMPORT_TIMEOUT)?),
    };
    as_crm(bot, destination, &DESCRIPTION, CONCURRENCY)
}

/// What goes out in one call.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Batch {
    Contacts(Kind),
    /// Of this app.
    Tokens(String),
}

/// One call's part of a batch.
struct Item<'a> {
    /// The place of its outcome.
    place: usize,
    sending: Sending<'a>,
    json: Json,
}

type Outcomes = Vec<(usize, Outcome)>;

/// What became of a whole batch that was not taken.
enum Refused {
    /// By what is in it. Surely not done, and perhaps the fault of one.
    AsAWhole(Outcome),
    /// By what is around it: it would be the same for each.
    All(Outcome),
}

/// Statuses that speak of what was sent.
const FAULTS_OF_DATA: [u16; 3] = [400, 413, 422];

impl Bot for Esputnik {
    fn http(&self) -> &Http {
        &self.http
    }

    fn operations(&self) -> &'static [Operation] {
        OPERATIONS
    }

    fn call<'a>(&'a self, call: &'a Call, sending: Sending<'a>) -> BoxFuture<'a, Outcome> {
        let alone = self.call_all(vec![(call, sending)], 1);
        let lost =
            || Outcome::Rejected { why: "the call has no outcome; this is a bug of leadfold".to_owned() };
        alone.map(move |outcomes| outcomes.into_iter().next().unwrap_or_else(lost)).boxed()
    }

    fn batch(&self) -> usize {
        BATCH
    }

    fn call_all<'a>(
        &'a self,
        calls: Vec<(&'a Call, Sending<'a>)>,
        concurrency: usize,
    ) -> BoxFuture<'a, Vec<Outcome>> {
        let lost = Outcome::Rejected { why: "the call has no outcome; this is a bug of leadfold".to_owned() };
        let mut outcomes = vec![lost; calls.len()];
        let mut fresh: BTreeMap<Batch, Vec<Item<'a>>> = BTreeMap::new();
        let mut taken: BTreeMap<(Batch, Import), Vec<Item<'a>>> = BTreeMap::new();
        for (place, (call, sending)) in calls.into_iter().enumerate() {
            let read = match call.operation.as_str() {
                "add_token" => token::read(call).map(|(app, json)| (Batch::Tokens(app), json)),
                _ => contact::read(call).map(|(kind, json)| (Batch::Contacts(kind), json)),
            };
            match read {
                Err(why) => {
                    outcomes[place] = Outcome::Rejected { why: format!("{}: {why}", call.operation) };
                }
                Ok((batch, json)) => {
                    let item = Item { place, sending, json };
                    match self.imports.of(sending.step) {
                        Some(import) => taken.entry((batch, import)).or_default().push(item),
                        None => fresh.entry(batch).or_default().push(item),
                    }
                }
            }
        }
        let ask = taken.into_iter().map(|((batch, import), items)| self.ask(batch, import, items).boxed());
        let send = fresh.into_iter().flat_map(|(batch, items)| {
            pieces(items, BATCH).into_iter().map(move |items| self.send(batch.clone(), items).boxed())
        });
        let work = ask.chain(send).collect();
        async move {
            for (place, outcome) in in_parallel(concurrency, work).await.into_iter().flatten() {
                outcomes[place] = outcome;
            }
            outcomes
        }
        .boxed()
    }

    fn ping(&self) -> BoxFuture<'_, Result<Option<String>, CrmError>> {
        async {
            let request = self.request("ping", Method::GET, &["v1", "account", "info"], Priority::Live);
            let account = self.http.read(request).await?.body;
            let name = account["organisationName"].as_str().or_else(|| account["userName"].as_str());
            Ok(Some(format!("{} at {}", name.unwrap_or("an account"), self.http.host())))
        }
        .boxed()
    }
}

impl Esputnik {
    fn request(&self, operation: &'static str, method: Method, path: &[&str], priority: Priority) -> Request {
        self.http.call(operation, method, path, priority).basic(USER, &self.api_key)
    }

    /// Sends a batch; what is refused as a whole, in halves.
    async fn send(&self, batch: Batch, items: Vec<Item<'_>>) -> Outcomes {
        let mut outcomes = Outcomes::with_capacity(items.len());
        let mut waiting = vec![items];
        while let Some(mut items) = waiting.pop() {
            let answered = match &batch {
                Batch::Contacts(kind) => self.send_contacts(kind, &items).await,
                Batch::Tokens(app) => self.send_tokens(app, &items).await,
            };
            match answered {
                Err(Refused::AsAWhole(_)) if items.len() > 1 => {
                    let second = items.split_off(items.len() / 2);
                    waiting.extend([second, items]);
                }
                Err(Refused::AsAWhole(outcome) | Refused::All(outcome)) => {
                    outcomes.extend(items.iter().map(|item| (item.place, outcome.clone())));
                }
                Ok(each) => outcomes.extend(items.iter().map(|item| item.place).zip(each)),
            }
        }
        outcomes
    }

    /// Makes the call of a batch; the answer, or what became of all of it.
    async fn post(
        &self,
        operation: &'static str,
        path: &[&str],
        body: &Json,
        items: &[Item<'_>],
    ) -> Result<Json, Refused> {
        let Some(Item { sending: Sending { priority, journal, .. }, .. }) = items.first() else {
            return Ok(Json::Null);
        };
        let steps: Vec<_> = items.iter().map(|item| (item.sending.sync, item.sending.step)).collect();
        let request =
            self.request(operation, Method::POST, path, *priority).json(body).accept(&FAULTS_OF_DATA);
        let answer = self.http.write(request, *journal, &steps).await.map_err(Refused::All)?;
        let judged = self.http.written_item(operation, answer.status, answer.body);
        judged.map(|answer| answer.body).map_err(Refused::AsAWhole)
    }
}

/// Pieces of at most so many, in order.
fn pieces<T>(items: Vec<T>, most: usize) -> Vec<Vec<T>> {
    let mut items = items.into_iter().peekable();
    let mut pieces = Vec::new();
    while items.peek().is_some() {
        pieces.push(items.by_ref().take(most.max(1)).collect());
    }
    pieces
}

/// What an answer says that takes back its status 200.
fn error_message(body: &Json) -> Option<&str> {
    body["errorMessage"].as_str().filter(|text| !text.trim().is_empty())
}
