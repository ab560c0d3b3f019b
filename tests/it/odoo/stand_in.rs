//! A small Odoo that behaves as the real one was seen to: the JSON-2 API, `search_read` with domains, `load` with external
//! ids, all rows or none, lost races that answer 200, errors in Odoo's form.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::domain;

/// The database that it serves.
pub(crate) const DATABASE: &str = "crm";

/// What it does wrong: chances of each call, except `unauthorised`.
#[derive(Clone, Copy, Default)]
pub(crate) struct Faults {
    /// A proxy answers 500, and Odoo never sees the call.
    pub(crate) fail_before: f64,
    /// Committed, and no answer.
    pub(crate) timeout_after: f64,
    /// A load loses a race: 200, `ids: false`.
    pub(crate) conflict: f64,
    pub(crate) unauthorised: bool,
}

/// A record, by field; what is not there is empty.
pub(crate) type Record = Map<String, Value>;

#[derive(Default)]
pub(crate) struct Tables {
    pub(crate) records: BTreeMap<String, BTreeMap<u64, Record>>,
    external_ids: BTreeMap<String, (String, u64)>,
    next_id: u64,
    /// Calls by model and method.
    pub(crate) calls: BTreeMap<String, u64>,
    pub(crate) faults: Faults,
    /// A field that is there no more.
    pub(crate) removed_field: Option<String>,
    /// The next call of this model and method fails before Odoo sees it.
    pub(crate) fail_once: Option<&'static str>,
    chance: u64,
}

/// A running server. Dropping it stops it.
pub(crate) struct StandIn {
    pub(crate) addr: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    api_key: String,
    tables: Mutex<Tables>,
}

/// Type, and the model that a reference leads to.
type Kind = (&'static str, &'static str);

/// The fields of the models that leadfold touches.
fn field(model: &str, name: &str) -> Option<Kind> {
    let kind = match (model, name) {
        (_, "id") | ("mail.activity" | "mail.message", "res_id") => ("integer", ""),
        (
            "res.partner",
            "name" | "phone" | "phone_sanitized" | "email" | "email_normalized" | "country_code" | "city"
            | "lang" | "x_source" | "x_telegram_chat",
        )
        | ("crm.lead", "name" | "x_utm_source")
        | ("mail.activity", "summary")
        | ("mail.message", "model" | "message_type")
        | ("res.users", "login" | "name")
        | (
            "crm.team" | "crm.stage" | "crm.tag" | "mail.activity.type" | "res.country",
            "name" | "display_name",
        ) => ("char", ""),
        ("res.partner", "comment") | ("mail.activity", "note") | ("mail.message", "body") => ("html", ""),
        ("crm.lead", "type" | "won_status") => ("selection", ""),
        ("mail.activity", "date_deadline") => ("date", ""),
        ("res.partner" | "crm.lead" | "res.users", "active") | ("res.users", "share") => ("boolean", ""),
        ("res.partner" | "crm.lead", "create_date") => ("datetime", ""),
        ("res.partner" | "crm.lead" | "mail.activity", "user_id") => ("many2one", "res.users"),
        ("res.partner", "country_id") => ("many2one", "res.country"),
        ("crm.lead", "partner_id") => ("many2one", "res.partner"),
        ("crm.lead", "team_id") => ("many2one", "crm.team"),
        ("crm.lead", "stage_id") => ("many2one", "crm.stage"),
        ("crm.lead", "tag_ids") => ("many2many", "crm.tag"),
        ("crm.stage", "team_ids") => ("many2many", "crm.team"),
        ("mail.activity", "res_model_id") => ("many2one", "ir.model"),
        ("mail.activity", "activity_type_id") => ("many2one", "mail.activity.type"),
        ("mail.message", "subtype_id") => ("many2one", "mail.message.subtype"),
        _ => return None,
    };
    Some(kind)
}

/// What a mapping may write, with the label that people see.
fn writable(model: &str) -> &'static [(&'static str, &'static str)] {
    match model {
        "res.partner" => &[
            ("name", "Name"),
            ("phone", "Phone"),
            ("email", "Email"),
            ("city", "City"),
            ("country_id", "Country"),
            ("lang", "Language"),
            ("comment", "Notes"),
            ("user_id", "Salesperson"),
            ("x_source", "source"),
            ("x_telegram_chat", "telegram_chat"),
        ],
        "crm.lead" => &[
            ("name", "Opportunity"),
            ("partner_id", "Contact"),
            ("team_id", "Sales Team"),
            ("stage_id", "Stage"),
            ("tag_ids", "Tags"),
            ("user_id", "Salesperson"),
            ("type", "Type"),
            ("x_utm_source", "utm_source"),
        ],
        _ => &[],
    }
}

impl StandIn {
    /// With users anna, borys and dana, a team of stages, and the fields that the tests use.
    pub(crate) async fn start(api_key: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let mut tables = Tables { next_id: 100, ..Tables::default() };
        for (model, id, record) in [
            ("res.users", 2, json!({"login": "admin", "name": "Administrator", "active": true})),
            ("res.users", 7, json!({"login": "anna", "name": "Anna", "active": true})),
            ("res.users", 8, json!({"login": "borys", "name": "Borys", "active": true})),
            ("res.users", 9, json!({"login": "dana", "name": "Dana", "active": true})),
            ("crm.team", 1, json!({"name": "Sales"})),
            ("crm.team", 2, json!({"name": "Основна"})),
            ("crm.stage", 1, json!({"name": "New", "team_ids": []})),
            ("crm.stage", 2, json!({"name": "Нова", "team_ids": [2]})),
            ("crm.tag", 1, json!({"name": "VIP"})),
            ("crm.tag", 2, json!({"name": "Bot"})),
            ("mail.activity.type", 2, json!({"name": "Call"})),
            ("mail.activity.type", 4, json!({"name": "To-Do"})),
            ("res.country", 229, json!({"name": "Ukraine"})),
            ("ir.model", 90, json!({"name": "Contact"})),
            ("ir.model", 421, json!({"name": "Lead"})),
            ("mail.message.subtype", 2, json!({"name": "Note"})),
        ] {
            let Value::Object(record) = record else { unreachable!() };
            tables.records.entry(model.to_owned()).or_default().insert(id, record);
        }
        for (external_id, model, id) in [
            ("base.model_res_partner", "ir.model", 90),
            ("crm.model_crm_lead", "ir.model", 421),
            ("mail.mt_note", "mail.message.subtype", 2),
        ] {
            tables.external_ids.insert(external_id.to_owned(), (model.to_owned(), id));
        }
        let shared = Arc::new(Shared { api_key: api_key.to_owned(), tables: Mutex::new(tables) });
        let router =
            Router::new().route("/json/2/{model}/{method}", post(answer)).with_state(Arc::clone(&shared));
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { addr, shared, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    pub(crate) fn tables(&self) -> MutexGuard<'_, Tables> {
        self.shared.tables.lock().unwrap()
    }

    pub(crate) fn set_faults(&self, faults: Faults) {
        self.tables().faults = faults;
    }

    /// A record made by a person.
    pub(crate) fn add(&self, model: &str, record: Value) -> u64 {
        let Value::Object(record) = record else { panic!("not a record: {record}") };
        self.tables().create(model, record)
    }

    pub(crate) fn count(&self, model: &str) -> usize {
        self.tables().records.get(model).map_or(0, BTreeMap::len)
    }

    pub(crate) fn calls(&self, name: &str) -> u64 {
        self.tables().calls.get(name).copied().unwrap_or(0)
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    Path((model, method)): Path<(String, String)>,
    headers: HeaderMap,
    Json(arguments): Json<Value>,
) -> Response {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let key = header("authorization").split_once(' ').map(|(_, key)| key.to_owned());
    let database = header("x-odoo-database").to_owned();
    let (result, silent) = {
        let mut tables = shared.tables.lock().unwrap();
        *tables.calls.entry(format!("{model}.{method}")).or_default() += 1;
        if tables.faults.unauthorised || key.as_deref() != Some(&shared.api_key) {
            return refusal(401, "werkzeug.exceptions.Unauthorized", "Invalid apikey");
        }
        if database != DATABASE {
            return (StatusCode::NOT_FOUND, "<h1>Not Found</h1>").into_response();
        }
        let faults = tables.faults;
        let fails = tables.fail_once.take_if(|name| **name == format!("{model}.{method}")).is_some();
        if fails || tables.happens(faults.fail_before) {
            return (StatusCode::INTERNAL_SERVER_ERROR, "<h1>proxy error</h1>").into_response();
        }
        let lost = method == "load" && tables.happens(faults.conflict);
        let result = if lost { Ok(conflict()) } else { tables.call(&model, &method, &arguments) };
        (result, tables.happens(faults.timeout_after))
    };
    if silent {
        tokio::time::sleep(Duration::from_mins(10)).await;
    }
    match result {
        Ok(value) => Json(value).into_response(),
        Err((status, name, message)) => refusal(status, name, &message),
    }
}

fn refusal(status: u16, name: &str, message: &str) -> Response {
    let body = json!({"name": name, "message": message, "arguments": [message], "context": {}, "debug": "Traceback …"});
    (StatusCode::from_u16(status).unwrap(), Json(body)).into_response()
}

fn conflict() -> Value {
    let message = "could not serialize access due to concurrent update\n";
    json!({"ids": false, "messages": [{"type": "error", "record": 0, "message": message}], "nextrow": 0})
}

type Refusal = (u16, &'static str, String);

fn value_error(message: String) -> Refusal {
    (500, "builtins.ValueError", message)
}

impl Tables {
    /// `SplitMix64`.
    fn happens(&mut self, chance: f64) -> bool {
        self.chance = self.chance.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.chance;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let drawn = u32::try_from((mixed ^ (mixed >> 31)) >> 32).unwrap();
        f64::from(drawn) < chance * f64::from(u32::MAX)
    }

    fn call(&mut self, model: &str, method: &str, arguments: &Value) -> Result<Value, Refusal> {
        match method {
            "context_get" => Ok(json!({"lang": "uk_UA", "tz": "Europe/Kyiv", "uid": 2})),
            "fields_get" => {
                let mut fields = fields_of(model);
                let gone = self.removed_field.as_deref().unwrap_or_default();
                fields.as_object_mut().unwrap().remove(gone);
                Ok(fields)
            }
            "search_read" => self.search_read(model, arguments),
            "load" => self.load(model, arguments),
            other => Err((
                404,
                "werkzeug.exceptions.NotFound",
                format!("The method '{model}.{other}' does not exist"),
            )),
        }
    }

    fn search_read(&self, model: &str, arguments: &Value) -> Result<Value, Refusal> {
        let fields: Vec<&str> =
            arguments["fields"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
        let terms = arguments["domain"].as_array().unwrap();
        let asked = domain::fields(terms);
        if let Some(unknown) = fields
            .iter()
            .chain(&asked)
            .find(|name| field(model, name).is_none() || self.removed_field.as_deref() == Some(**name))
        {
            return Err(value_error(format!("Invalid field '{unknown}' on '{model}'")));
        }
        let archived_too = arguments["context"]["active_test"] == json!(false);
        let shows_archived = archived_too || field(model, "active").is_none() || asked.contains(&"active");
        let mut items = Vec::new();
        for (id, record) in self.records.get(model).into_iter().flatten() {
            if (!shows_archived && record.get("active") == Some(&json!(false)))
                || !domain::holds(terms, *id, record)
            {
                continue;
            }
            let mut item = Record::from_iter([("id".to_owned(), json!(id))]);
            for name in &fields {
                item.insert((*name).to_owned(), self.shown(model, name, *id, record));
            }
            items.push(Value::Object(item));
        }
        Ok(Value::Array(items))
    }

    /// A value as `search_read` gives it.
    fn shown(&self, model: &str, name: &str, id: u64, record: &Record) -> Value {
        let value = record.get(name).cloned().unwrap_or(Value::Bool(false));
        match (name, field(model, name), value.as_u64()) {
            ("id", ..) => json!(id),
            ("display_name", ..) => record["name"].clone(),
            (_, Some(("many2one", relation)), Some(id)) => {
                json!([id, self.records[relation].get(&id).map(|record| &record["name"])])
            }
            (_, Some(("many2many", _)), _) if value == json!(false) => json!([]),
            _ => value,
        }
    }

    fn load(&mut self, model: &str, arguments: &Value) -> Result<Value, Refusal> {
        let columns: Vec<&str> =
            arguments["fields"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
        for column in &columns {
            let name = column.split('/').next().unwrap();
            if !matches!(name, ".id") && field(model, name).is_none() {
                return Err(value_error(format!("Invalid field name '{name}'")));
            }
        }
        let context = &arguments["context"];
        let keeps = context["mode"] == "update" && context["noupdate"] == json!(true);
        let mut errors = Vec::new();
        let mut rows = Vec::new();
        for (index, row) in arguments["data"].as_array().unwrap().iter().enumerate() {
            let cells: Vec<&str> =
                row.as_array().unwrap().iter().map(|cell| cell.as_str().unwrap()).collect();
            match self.convert(model, &columns, &cells) {
                Ok(row) => rows.push(row),
                Err((name, message)) => errors
                    .push(json!({"rows": {"from": index, "to": index}, "type": "error", "record": index, "field": name, "message": message})),
            }
        }
        // What only the database refuses, Odoo also says of the first row when it tried them together.
        let refused = |row: &Row| row.values.get("city") == Some(&json!("Refused"));
        if let Some(bad) = rows.iter().position(refused) {
            for record in [0, bad] {
                errors.push(json!({"type": "error", "record": record, "message": "The operation cannot be completed"}));
            }
        }
        if !errors.is_empty() {
            return Ok(json!({"ids": false, "messages": errors, "nextrow": 0}));
        }
        let ids: Vec<u64> = rows.into_iter().map(|row| self.write(model, row, keeps)).collect();
        Ok(json!({"ids": ids, "messages": [], "nextrow": 0}))
    }

    fn write(&mut self, model: &str, row: Row, keeps: bool) -> u64 {
        let Row { external_id, id, values } = row;
        let known = external_id.as_ref().and_then(|external_id| self.external_ids.get(external_id));
        let known = known.map(|(_, id)| *id).filter(|id| self.records[model].contains_key(id));
        if let Some(known) = known {
            if !keeps {
                self.update(model, known, values);
            }
            return known;
        }
        if let Some(id) = id {
            self.update(model, id, values);
            return id;
        }
        let id = self.create(model, values);
        if let Some(external_id) = external_id {
            self.external_ids.insert(external_id, (model.to_owned(), id));
        }
        id
    }

    fn create(&mut self, model: &str, values: Record) -> u64 {
        self.next_id += 1;
        let id = self.next_id;
        let mut record = Record::new();
        if field(model, "active").is_some() {
            record.insert("active".to_owned(), json!(true));
        }
        if model == "crm.lead" {
            record.insert("won_status".to_owned(), json!("pending"));
        }
        // Younger records have later times.
        let time = format!("2026-11-21 {:02}:{:02}:{:02}", id / 3600 % 24, id / 60 % 60, id % 60);
        record.insert("create_date".to_owned(), json!(time));
        self.records.entry(model.to_owned()).or_default().insert(id, record);
        self.update(model, id, values);
        id
    }

    pub(crate) fn update(&mut self, model: &str, id: u64, values: Record) {
        let record = self.records.get_mut(model).unwrap().get_mut(&id).unwrap();
        record.extend(values);
        if model == "res.partner" {
            let text = |name: &str| record.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            let (phone, email) = (sanitized(&text("phone")), normalized(&text("email")));
            record.insert("phone_sanitized".to_owned(), phone);
            record.insert("email_normalized".to_owned(), email);
        }
    }

    fn convert(&self, model: &str, columns: &[&str], cells: &[&str]) -> Result<Row, (String, String)> {
        let mut row = Row::default();
        for (column, cell) in columns.iter().zip(cells) {
            let (name, by) = column.split_once('/').unwrap_or((column, ""));
            let problem = |message: String| Err((name.to_owned(), message));
            if *column == "id" {
                row.external_id = Some((*cell).to_owned());
                continue;
            }
            if *column == ".id" {
                let id = cell.parse().ok().filter(|id| self.records[model].contains_key(id));
                match id {
                    Some(id) => row.id = Some(id),
                    None => return problem(format!("Unknown database identifier '{cell}'")),
                }
                continue;
            }
            let (kind, relation) = field(model, name).unwrap();
            let value = match (kind, by) {
                _ if cell.is_empty() => json!(false),
                ("many2one", ".id") => match cell.parse::<u64>() {
                    Ok(id) if self.records[relation].contains_key(&id) => json!(id),
                    _ => {
                        return problem(format!(
                            "No matching record found for database id '{cell}' in field '{name}'"
                        ));
                    }
                },
                ("many2one", "id") => match self.external_ids.get(*cell) {
                    Some((_, id)) => json!(id),
                    None => return problem(format!("No matching record found for external id '{cell}'")),
                },
                ("many2one", _) => match self.named(relation, cell) {
                    Some(id) => json!(id),
                    None => {
                        return problem(format!(
                            "No matching record found for name '{cell}' in field '{name}'"
                        ));
                    }
                },
                ("many2many", _) => {
                    let ids: Option<Vec<u64>> =
                        cell.split(',').map(|part| self.named(relation, part)).collect();
                    match ids {
                        Some(ids) => json!(ids),
                        None => {
                            return problem(format!(
                                "No matching record found for name '{cell}' in field '{name}'"
                            ));
                        }
                    }
                }
                ("integer", _) => json!(cell.parse::<u64>().unwrap()),
                ("boolean", _) => json!(*cell == "True"),
                _ if name == "lang" && *cell != "uk_UA" => {
                    return problem(format!("Value '{cell}' not found in selection field 'Language'"));
                }
                _ => json!(cell),
            };
            row.values.insert(name.to_owned(), value);
        }
        if model == "res.partner" && row.id.is_none() && !row.values.contains_key("name") {
            return Err(("name".to_owned(), "Contacts require a name".to_owned()));
        }
        Ok(row)
    }

    fn named(&self, relation: &str, name: &str) -> Option<u64> {
        self.records[relation].iter().find(|(_, record)| record["name"] == name).map(|(id, _)| *id)
    }
}

/// A row of a load, converted.
#[derive(Default)]
struct Row {
    external_id: Option<String>,
    id: Option<u64>,
    values: Record,
}

fn fields_of(model: &str) -> Value {
    let about = |(name, label): &(&str, &str)| {
        let (kind, relation) = field(model, name).unwrap();
        let mut about = json!({"string": label, "type": kind, "readonly": false});
        if !relation.is_empty() {
            about["relation"] = json!(relation);
        }
        ((*name).to_owned(), about)
    };
    let mut fields: Map<String, Value> = writable(model).iter().map(about).collect();
    fields
        .insert("create_date".into(), json!({"string": "Created on", "type": "datetime", "readonly": true}));
    Value::Object(fields)
}

/// Odoo reads a phone only where it says its country.
fn sanitized(phone: &str) -> Value {
    let digits: String = phone.chars().filter(char::is_ascii_digit).collect();
    if phone.starts_with('+') && digits.len() > 7 { json!(format!("+{digits}")) } else { json!(false) }
}

fn normalized(email: &str) -> Value {
    let address = email.split_once('<').map_or(email, |(_, rest)| rest.trim_end_matches('>'));
    if address.contains('@') { json!(address.trim().to_lowercase()) } else { json!(false) }
}
