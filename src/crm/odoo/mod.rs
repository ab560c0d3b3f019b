//! Odoo 19 and later, by its JSON-2 API (`POST /json/2/<model>/<method>`).
//!
//! | ours | Odoo's |
//! |---|---|
//! | contact | `res.partner`; one phone and one email each, more go into the internal notes of a new one |
//! | deal | `crm.lead` of type opportunity; open while `won_status` is pending, because lost ones are archived and won ones stay |
//! | pipeline, stage | sales team, stage (its own or everybody's) |
//! | task | `mail.activity` on the deal, or on the contact; due on a day, the hour is in its note |
//! | note | `mail.message` of the kind "internal note" on the deal, or on the contact |
//! | owner | user by login; the id or the name may be written too |
//!
//! Everything is written by `load` with the step's id as external id, which is why every create is
//! [`Keyed`](Guarantee::Keyed): see [`mod@write`]. Nothing is read that is not needed: see [`find`].
//!
//! People who work in a company are contacts of their own under it; a deal stands on the person, and Odoo itself adds it
//! up on the company (its *commercial partner*).
//!
//! What was seen on Odoo 19: `phone_sanitized` is the E.164 of a phone that Odoo can read, and empty for a local number of
//! a contact without country, so those are searched by their digits and compared on our side. Search has no lag. Of
//! parallel loads of one external id all but one answer 200 with `ids: false` and "could not serialize access".
//!
//! An archived contact is still that human's; a deal that stands on no contact is nobody's, so it is not seen.
//!
//! Deliberately absent: leads of the type lead (they are made opportunities by a person), companies, and versions before
//! 19, whose JSON-RPC and XML-RPC Odoo removes.

mod find;
mod names;
mod row;
mod wire;
mod write;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _};
use reqwest::Method;
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use self::names::Names;
use super::catalog::Catalog;
use super::http::{ALLOW_PRIVATE_ADDRESSES, Account, Call, Http};
use super::limit::Limiter;
use super::settings::Reader;
use super::{
    ConnectError, Crm, CrmError, Description, Found, Guarantee, Journal, Outcome, Priority, Query, Remaining,
};
use crate::decide::Capabilities;
use crate::plan::{RecordId, StepKind};
use crate::rules::{Destination, Setting};

/// Queries and rows of one call. On two processor cores Odoo makes 100 opportunities in 0.7 s, and few large calls are
/// much cheaper for it than many small ones.
const BATCH: usize = 100;

/// Calls under way at once unless the workspace says otherwise. Odoo works on as many as it has worker processes.
const CONCURRENCY: usize = 2;

pub(super) static DESCRIPTION: Description = Description {
    name: "odoo",
    summary: "Odoo 19 or later, hosted by Odoo or by yourself",
    settings: &[
        Setting {
            name: "url",
            required: true,
            secret: true,
            summary: "where people open it: https://example.odoo.com",
        },
        Setting {
            name: "database",
            required: true,
            secret: false,
            summary: "name of the database; on odoo.com the first part of the address",
        },
        Setting {
            name: "api_key",
            required: true,
            secret: true,
            summary: "key of a user who may edit contacts and all opportunities (Preferences > Account Security > API Keys)",
        },
        Setting {
            name: "concurrency",
            required: false,
            secret: false,
            summary: "calls under way at once (default 2)",
        },
        Setting {
            name: "rate",
            required: false,
            secret: false,
            summary: "a rate limit, if somebody before Odoo sets one: 10/s or 60/min (default none)",
        },
        ALLOW_PRIVATE_ADDRESSES,
    ],
    bot: None,
    nested: None,
    windows: &[],
    processing: Duration::from_secs(5),
    search_lag: Duration::ZERO,
    connect,
};

struct Odoo {
    http: Http,
    database: String,
    api_key: SecretString,
    concurrency: usize,
    settle: Duration,
    names: Mutex<Option<Arc<Names>>>,
}

fn connect(destination: &Destination) -> Result<Arc<dyn Crm>, ConnectError> {
    let settings = Reader(destination);
    let api_key = settings.secret("api_key")?;
    let account = Account {
        url: settings.required("url")?,
        windows: &settings.rates("rate")?,
        secrets: vec![api_key.clone()],
        judge: Arc::new(wire::judge),
    };
    Ok(Arc::new(Odoo {
        http: Http::new(destination, &account)?,
        database: settings.required("database")?.to_owned(),
        api_key,
        concurrency: settings.count("concurrency", CONCURRENCY)?,
        settle: destination.settle.unwrap_or(DESCRIPTION.processing + DESCRIPTION.search_lag),
        names: Mutex::default(),
    }))
}

impl Odoo {
    /// A call of a model's method with named arguments.
    fn call(
        &self,
        operation: &'static str,
        model: &str,
        method: &str,
        arguments: &Value,
        priority: Priority,
    ) -> Call {
        let call = self.http.call(operation, Method::POST, &["json", "2", model, method], priority);
        call.bearer(&self.api_key).header("X-Odoo-Database", &self.database).json(arguments)
    }

    async fn whoami(&self) -> Result<String, CrmError> {
        let context = self.call("ping", "res.users", "context_get", &json!({}), Priority::Live);
        let context = self.http.read(context).await?.body;
        let id = context["uid"].as_u64().ok_or_else(|| wire::strange("who we are"))?;
        let arguments = json!({ "domain": [["id", "=", id]], "fields": ["name", "login"] });
        let user = self.call("ping", "res.users", "search_read", &arguments, Priority::Live);
        let users = wire::records(self.http.read(user).await?.body)?;
        let said = |field| users.first().and_then(|user| user.text(field)).unwrap_or("?");
        let (name, login) = (said("name"), said("login"));
        Ok(format!("{name} ({login}) in database {} of {}", self.database, self.http.host()))
    }
}

impl Crm for Odoo {
    fn find<'a>(&'a self, queries: &'a [Query]) -> BoxFuture<'a, Vec<Result<Found, CrmError>>> {
        self.find_all(queries).boxed()
    }

    fn write<'a>(
        &'a self,
        plans: &'a [Remaining<'a>],
        journal: &'a dyn Journal,
    ) -> BoxFuture<'a, Vec<Vec<Outcome>>> {
        self.write_all(plans, journal).boxed()
    }

    fn ping(&self) -> BoxFuture<'_, Result<String, CrmError>> {
        self.whoami().boxed()
    }

    fn describe(&self) -> BoxFuture<'_, Result<Catalog, CrmError>> {
        async { Ok(self.fresh_names().await?.catalog.clone()) }.boxed()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { lists: false, ..Capabilities::ALL }
    }

    /// The address that Odoo's own notifications lead to; it sends on to the form of the record.
    fn contact_page(&self, contact: &RecordId) -> Option<String> {
        self.http.page("/mail/view", &[("model", "res.partner"), ("res_id", &contact.0)])
    }

    /// The same values again change nothing, and a create carries an external id.
    fn guarantee(&self, _: StepKind) -> Guarantee {
        Guarantee::Keyed
    }

    fn settle(&self) -> Duration {
        self.settle
    }

    fn batch(&self) -> usize {
        BATCH
    }

    fn concurrency(&self) -> usize {
        self.concurrency
    }

    fn limiter(&self) -> Option<&Limiter> {
        Some(self.http.limiter())
    }
}
