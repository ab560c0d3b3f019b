//! The real Odoo of `ODOO_URL`, `ODOO_DB` and `ODOO_KEY`, where these are set. Tests take turns on it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use leadfold::rules::Destination;
use serde_json::{Value, json};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::crm::fixture;

/// A call that takes longer is a failure of the test.
const ANSWER: Duration = Duration::from_mins(1);

pub(crate) struct Real {
    pub(crate) url: String,
    pub(crate) database: String,
    pub(crate) api_key: String,
    client: reqwest::Client,
    _turn: OwnedMutexGuard<()>,
}

#[expect(clippy::disallowed_methods, reason = "where the real Odoo is, is set from outside")]
fn settings() -> Option<[String; 3]> {
    let [url, database, api_key] = ["ODOO_URL", "ODOO_DB", "ODOO_KEY"].map(|name| std::env::var(name).ok());
    Some([url?, database?, api_key?])
}

static TURN: OnceLock<Arc<Mutex<()>>> = OnceLock::new();

/// Whether there is one.
pub(crate) fn is_there() -> bool {
    settings().is_some()
}

impl Real {
    /// Waits for its turn; `None`, said by name, where there is none.
    pub(crate) async fn take(test: &str) -> Option<Self> {
        let Some([url, database, api_key]) = settings() else {
            eprintln!("SKIPPED {test}: set ODOO_URL, ODOO_DB and ODOO_KEY to run it against a real Odoo");
            return None;
        };
        let turn = Arc::clone(TURN.get_or_init(Arc::default)).lock_owned().await;
        leadfold::crm::http::install_tls();
        let client = reqwest::Client::builder().no_proxy().timeout(ANSWER).build().unwrap();
        let real = Self { url, database, api_key, client, _turn: turn };
        real.furnish().await;
        Some(real)
    }

    /// leadfold's destination `crm`.
    pub(crate) fn destination(&self) -> Destination {
        let settings = [("url", &self.url), ("database", &self.database), ("api_key", &self.api_key)];
        let mut destination = fixture::destination("odoo", &self.url);
        destination.timeout = Duration::from_secs(30);
        destination.settings.0.extend(settings.map(|(name, value)| (name.to_owned(), value.clone())));
        destination
    }

    #[expect(clippy::disallowed_methods, reason = "the test is a person at the CRM")]
    pub(crate) async fn call(&self, model: &str, method: &str, arguments: Value) -> Value {
        let request = self.client.post(format!("{}/json/2/{model}/{method}", self.url));
        let request = request.bearer_auth(&self.api_key).header("x-odoo-database", &self.database);
        let answer = request.json(&arguments).send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{model}.{method}: {status} {text}");
        serde_json::from_str(&text).unwrap()
    }

    pub(crate) async fn count(&self, model: &str, domain: Value) -> u64 {
        let context = json!({ "active_test": false });
        let count = self.call(model, "search_count", json!({ "domain": domain, "context": context })).await;
        count.as_u64().unwrap()
    }

    pub(crate) async fn ids(&self, model: &str, domain: Value) -> Value {
        let context = json!({ "active_test": false });
        self.call(model, "search", json!({ "domain": domain, "context": context })).await
    }

    /// Removes the contacts of a domain with their deals.
    pub(crate) async fn remove(&self, contacts: Value) {
        let contacts = self.ids("res.partner", contacts).await;
        let deals = self.ids("crm.lead", json!([["partner_id", "in", contacts]])).await;
        self.call("crm.lead", "unlink", json!({ "ids": deals })).await;
        self.call("res.partner", "unlink", json!({ "ids": contacts })).await;
    }

    /// Users, team, stage and fields of the same names as in the stand-in.
    async fn furnish(&self) {
        for login in ["anna", "borys", "dana"] {
            self.ensure("res.users", json!([["login", "=", login]]), json!({"login": login, "name": login}))
                .await;
        }
        self.ensure("crm.team", json!([["name", "=", "Основна"]]), json!({ "name": "Основна" })).await;
        self.ensure("crm.stage", json!([["name", "=", "Нова"]]), json!({ "name": "Нова" })).await;
        for (model, name, label) in [
            ("res.partner", "x_source", "source"),
            ("res.partner", "x_telegram_chat", "telegram_chat"),
            ("crm.lead", "x_utm_source", "utm_source"),
        ] {
            let model_id = self.ids("ir.model", json!([["model", "=", model]])).await[0].clone();
            let there = json!([["model", "=", model], ["name", "=", name]]);
            let made = json!({"name": name, "field_description": label, "model_id": model_id, "ttype": "char", "state": "manual"});
            self.ensure("ir.model.fields", there, made).await;
        }
    }

    async fn ensure(&self, model: &str, there: Value, made: Value) {
        if self.count(model, there).await == 0 {
            self.call(model, "create", json!({ "vals_list": [made] })).await;
        }
    }
}
