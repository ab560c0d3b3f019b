//! Into a real Odoo: nobody twice, and how much faster than the script that people write first.
//!
//! `ODOO_URL=… ODOO_DB=… ODOO_KEY=… cargo bench --bench odoo`, with the key of an administrator of a database for trying
//! out: the benchmark adds users, a team, a stage and fields, and leaves its contacts there.
//!
//! 500 humans post four times each, in four spellings of their phone.
//!
//! * *naive*: for each post one search by phone, a contact where none is found, and a deal; 8 threads, nothing stored, no
//!   guarantee. Its posts already carry E.164, so that it finds what it has written.
//! * *leadfold*: the shipped `SendPulse` mapping, 32 posts at a time, until the last lead is synced. It also leaves a task
//!   for each repeat.
//!
//! To reach: exactly 500 contacts and 500 deals, in less time than naive.
#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

#[path = "common/load.rs"]
#[expect(dead_code, reason = "shared; each benchmark uses its part")]
mod load;
#[path = "common/process.rs"]
#[expect(dead_code, reason = "shared; each benchmark uses its part")]
mod process;

use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use leadfold::app::until_quiet;
use leadfold::store::Store;
use load::{Until, now_millis, post, sendpulse_mapping, sendpulse_request};
use process::{Program, Scratch};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

type Outcome<T> = Result<T, Box<dyn Error>>;

const HUMANS: u64 = 500;
const POSTS: u64 = 4 * HUMANS;
const AT_ONCE: usize = 32;
const THREADS: u64 = 8;
const OWNERS: [&str; 2] = ["olha", "petro"];

/// The account, and how a script talks to it.
struct Odoo {
    url: String,
    database: String,
    key: String,
    client: reqwest::Client,
}

impl Odoo {
    #[expect(clippy::disallowed_methods, reason = "where the real Odoo is, is set from outside")]
    fn from_environment() -> Option<Self> {
        let setting = |name| std::env::var(name).ok();
        let (url, database, key) = (setting("ODOO_URL")?, setting("ODOO_DB")?, setting("ODOO_KEY")?);
        Some(Self { url, database, key, client: reqwest::Client::builder().no_proxy().build().ok()? })
    }

    #[expect(clippy::disallowed_methods, reason = "what it is compared with does not use our client")]
    async fn call(&self, model: &str, method: &str, arguments: Value) -> Outcome<Value> {
        let request = self.client.post(format!("{}/json/2/{model}/{method}", self.url));
        let request = request.bearer_auth(&self.key).header("x-odoo-database", &self.database);
        let answer = request.json(&arguments).send().await?;
        if !answer.status().is_success() {
            return Err(format!("{model}.{method}: {}", answer.text().await?).into());
        }
        Ok(answer.json().await?)
    }

    async fn ids(&self, model: &str, domain: Value) -> Outcome<Vec<u64>> {
        let found = self.call(model, "search", json!({ "domain": domain })).await?;
        Ok(found.as_array().ok_or("no list")?.iter().filter_map(Value::as_u64).collect())
    }

    async fn ensure(&self, model: &str, there: Value, made: Value) -> Outcome<u64> {
        if let Some(id) = self.ids(model, there).await?.first() {
            return Ok(*id);
        }
        let made = self.call(model, "create", json!({ "vals_list": [made] })).await?;
        made[0].as_u64().ok_or_else(|| "no id".into())
    }

    /// What the shipped mapping names. The ids of owners, team and stage.
    async fn furnish(&self) -> Outcome<(Vec<u64>, u64, u64)> {
        let mut owners = Vec::new();
        for login in OWNERS {
            let user = json!({"login": login, "name": login});
            owners.push(self.ensure("res.users", json!([["login", "=", login]]), user).await?);
        }
        let named = |name: &str| (json!([["name", "=", name]]), json!({ "name": name }));
        let (there, made) = named("Основна");
        let team = self.ensure("crm.team", there, made).await?;
        let (there, made) = named("Нова");
        let stage = self.ensure("crm.stage", there, made).await?;
        for (model, label) in [
            ("res.partner", "telegram_chat"),
            ("res.partner", "instagram_chat"),
            ("res.partner", "viber_chat"),
            ("res.partner", "utm_source"),
        ] {
            let of = self.ids("ir.model", json!([["model", "=", model]])).await?;
            let name = format!("x_{label}");
            let there = json!([["model", "=", model], ["name", "=", name]]);
            let made = json!({"name": name, "field_description": label, "model_id": of.first(), "ttype": "char", "state": "manual"});
            self.ensure("ir.model.fields", there, made).await?;
        }
        Ok((owners, team, stage))
    }

    /// Contacts with these phones, their deals, and the tasks on those.
    async fn count(&self, phones: &[String]) -> Outcome<(usize, usize, usize)> {
        let contacts = self.ids("res.partner", json!([["phone_sanitized", "in", phones]])).await?;
        let deals = self.ids("crm.lead", json!([["partner_id", "in", contacts]])).await?;
        let tasks = json!([["res_model", "=", "crm.lead"], ["res_id", "in", deals]]);
        Ok((contacts.len(), deals.len(), self.ids("mail.activity", tasks).await?.len()))
    }
}

fn main() -> Outcome<()> {
    leadfold::crm::http::install_tls();
    let Some(odoo) = Odoo::from_environment() else {
        println!("SKIPPED: set ODOO_URL, ODOO_DB and ODOO_KEY of an Odoo for trying out");
        return Ok(());
    };
    let runtime = Runtime::new()?;
    let (owners, team, stage) = runtime.block_on(odoo.furnish())?;
    // Humans whom no earlier run has written.
    let run = now_millis() / 1000 % 8_000;
    let humans = |side: u64| -> Vec<String> {
        (0..HUMANS)
            .map(|human| format!("6{side}{:07}", 1_000_000 + (run * HUMANS + human) % 8_000_000))
            .collect()
    };
    let (naive_humans, our_humans) = (humans(7), humans(8));

    let began = Instant::now();
    runtime.block_on(naive(&odoo, &naive_humans, &owners, team, stage))?;
    let naive_took = began.elapsed();
    let took = leadfold(&runtime, &odoo, &our_humans)?;

    let e164 = |humans: &[String]| humans.iter().map(|human| format!("+380{human}")).collect::<Vec<_>>();
    let naive_made = runtime.block_on(odoo.count(&e164(&naive_humans)))?;
    let made = runtime.block_on(odoo.count(&e164(&our_humans)))?;
    println!("{POSTS} posts of {HUMANS} humans    seconds   of naive   contacts   deals   tasks");
    let row = |name: &str, took: Duration, (contacts, deals, tasks): (usize, usize, usize)| {
        let ratio = took.as_secs_f64() / naive_took.as_secs_f64();
        println!("{name:26}{:>10.1}{ratio:>11.3}{contacts:>11}{deals:>8}{tasks:>8}", took.as_secs_f64());
    };
    row("naive, 8 threads", naive_took, naive_made);
    row("leadfold", took, made);
    println!("to reach                              1.000        500     500    1500");
    let expected = (usize::try_from(HUMANS)?, usize::try_from(HUMANS)?, usize::try_from(POSTS - HUMANS)?);
    if made == expected { Ok(()) } else { Err(format!("{made:?} instead of {expected:?}").into()) }
}

async fn naive(odoo: &Odoo, humans: &[String], owners: &[u64], team: u64, stage: u64) -> Outcome<()> {
    let next = AtomicU64::new(0);
    let worker = || async {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= POSTS {
                return Outcome::Ok(());
            }
            let human = &humans[usize::try_from(number % HUMANS)?];
            let owner = owners[usize::try_from(number)? % owners.len()];
            let phone = format!("+380{human}");
            let found = odoo.ids("res.partner", json!([["phone_sanitized", "=", phone]])).await?;
            let contact = if let Some(contact) = found.first() {
                *contact
            } else {
                let contact = json!({
                    "name": "Олена Вигадана", "phone": phone, "user_id": owner, "x_utm_source": "tg_ads"
                });
                let made = odoo.call("res.partner", "create", json!({ "vals_list": [contact] })).await?;
                made[0].as_u64().ok_or("no id")?
            };
            let deal = json!({
                "name": "Lead", "type": "opportunity", "partner_id": contact, "team_id": team,
                "stage_id": stage, "user_id": owner
            });
            odoo.call("crm.lead", "create", json!({ "vals_list": [deal] })).await?;
        }
    };
    let ended = futures_util::future::join_all((0..THREADS).map(|_| worker())).await;
    ended.into_iter().collect()
}

fn leadfold(runtime: &Runtime, odoo: &Odoo, humans: &[String]) -> Outcome<Duration> {
    let scratch = Scratch::new("odoo")?;
    let workspace = format!(
        "destinations:\n  crm: {{ crm: odoo, url: \"{}\", database: \"{}\", api_key: \"{}\", timeout: 1m }}\n\
         owner_pools:\n  kyiv-sales: [{}]\n",
        odoo.url,
        odoo.database,
        odoo.key,
        OWNERS.join(", ")
    );
    let mapping = sendpulse_mapping();
    let program = Program::serve(&scratch, &[("workspace.yaml", &workspace), ("sendpulse.yaml", &mapping)])?;
    let began = Instant::now();
    let start = now_millis();
    post(program.address, AT_ONCE, Until::Answered(POSTS), |number, buffer| {
        let human = number % HUMANS;
        let digits =
            usize::try_from(human).ok().and_then(|human| humans.get(human)).map_or("", String::as_str);
        sendpulse_request(buffer, &spelled(digits, number / HUMANS), human, start + number);
    })?;
    let store = runtime.block_on(Store::open_to_read(&scratch.database()))?;
    if !runtime.block_on(until_quiet(&store, Duration::from_mins(5)))? {
        return Err("not everything was synced".into());
    }
    let took = began.elapsed();
    runtime.block_on(store.close());
    Ok(took)
}

/// A phone as its human writes it this time.
fn spelled(digits: &str, time: u64) -> String {
    match time {
        0 => format!("+380{digits}"),
        1 => format!("0{digits}"),
        2 => format!("380{digits}"),
        _ => {
            format!("+38 (0{}) {}", digits.get(..2).unwrap_or_default(), digits.get(2..).unwrap_or_default())
        }
    }
}
