//! Anything that takes an HTTP request: a tracker's postback, an automation, a colleague's script.
//!
//! The request is the author's: method, address, headers, and a body as JSON or as a form. What leads hold goes into single
//! values of it, each escaped for its place, so that it can be no other host, path, parameter, header or key. Only hosts
//! that the destination names are called, without following redirects. All hosts of a destination get its `auth`, which is
//! why another vendor is another destination.
//!
//! Nothing is known of the other side, so a request whose answer was lost is not repeated, a GET as little as a POST: those
//! of trackers count something. Every request carries the header `Idempotency-Key` with the id of the step, the same at
//! every try; `repeatable: true` says that the other side heeds it, or that a second copy does no harm. The status alone
//! says what became of a request, whatever the body is.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use reqwest::{Method, Url};
use serde_json::{Map, Value as Json};

use super::{Bot, Sending, answered, as_crm};
use crate::crm::auth::{self, Auth};
use crate::crm::http::{ALLOW_PRIVATE_ADDRESSES, Account, Call as Request, Http};
use crate::crm::settings::Reader as Settings;
use crate::crm::{ConnectError, Crm, Description, Outcome};
use crate::map::{Node, Reader, Section};
use crate::plan::{Address, Call};
use crate::rules::{BotKind, Destination, Misuse, Operation, Parameter, Setting, Shape};

const REQUEST: &str = "request";

/// What a request carries so that a server can tell a repeated one.
const KEY: &str = "Idempotency-Key";

const METHODS: [(&str, Method); 5] = [
    ("GET", Method::GET),
    ("POST", Method::POST),
    ("PUT", Method::PUT),
    ("PATCH", Method::PATCH),
    ("DELETE", Method::DELETE),
];

/// Headers that say how a request travels, and where to.
const TRANSPORT: [&str; 9] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "upgrade",
    "expect",
];

/// How many calls are under way at once unless the workspace says otherwise.
const CONCURRENCY: usize = 4;

static OPERATIONS: &[Operation] = &[Operation {
    name: REQUEST,
    summary: "sends a request to one of the hosts of the destination; at most once, unless that says `repeatable: true`",
    needs_chat: false,
    main: Some("url"),
    parameters: &[
        Parameter {
            name: "url",
            required: true,
            shape: Shape::Address,
            summary: "where to: https://tracker.example/postback?clickid={{ person.click }}; \
                      all of its placeholders must find something, and what may be missing goes under `query`",
        },
        Parameter {
            name: "method",
            required: false,
            shape: Shape::Value,
            summary: "GET, POST, PUT, PATCH or DELETE (default GET, with a body POST)",
        },
        Parameter {
            name: "query",
            required: false,
            shape: Shape::Nested,
            summary: "further parameters of the address, those left out that are empty: { cost: \"{{ query.sum }}\" }",
        },
        Parameter {
            name: "headers",
            required: false,
            shape: Shape::Nested,
            summary: "further headers: { X-Source: leadfold }; credentials go under `auth:` of the destination",
        },
        Parameter {
            name: "json",
            required: false,
            shape: Shape::Nested,
            summary: "the body as JSON: { name: \"{{ lead.name }}\" }",
        },
        Parameter {
            name: "form",
            required: false,
            shape: Shape::Nested,
            summary: "the body as a form: { name: \"{{ lead.name }}\" }",
        },
    ],
    repeatable: false,
}];

pub(super) static DESCRIPTION: Description = Description {
    name: "webhook",
    summary: "any server that takes HTTP requests, described call by call",
    settings: &[
        Setting {
            name: "hosts",
            required: true,
            secret: true,
            summary: "the hosts that may be called, and no others: [tracker.example, https://api.example:8443]",
        },
        Setting {
            name: "auth",
            required: false,
            secret: true,
            summary: "who we are, to all of its hosts: { bearer: \"${TOKEN}\" }, { header: { X-Api-Key: \"${KEY}\" } }, \
                      { query: … } or { basic: … }",
        },
        Setting {
            name: "repeatable",
            required: false,
            secret: false,
            summary: "true when the same request twice does no more than once there (default false)",
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
        ALLOW_PRIVATE_ADDRESSES,
    ],
    windows: &[],
    processing: Duration::from_secs(30),
    search_lag: Duration::ZERO,
    // It calls no chat, but may tell of any: `{{ chat.id }}` is the one in which the lead came, or the person's last.
    bot: Some(BotKind { operations: OPERATIONS, chats: &["*"], writes_there: false, check: Some(check) }),
    nested: Some(note_problems),
    connect,
};

struct Webhook {
    http: Http,
    auth: Auth,
    repeatable: bool,
}

fn connect(destination: &Destination) -> Result<Arc<dyn Crm>, ConnectError> {
    let settings = Settings(destination);
    let hosts = hosts(destination)?;
    let Some((first, further)) = hosts.split_first() else {
        let name = &destination.name;
        return Err(ConnectError(format!("destination `{name}`: setting `hosts` is empty; {HOSTS}")));
    };
    let auth = Auth::of(settings)?;
    let account = Account {
        url: first.as_str(),
        windows: &settings.rates("rate")?,
        secrets: auth.secrets(),
        judge: Arc::new(|_, _| None),
    };
    let mut http = Http::new(destination, &account)?;
    for host in further {
        http = http.with_host(host.as_str())?;
    }
    let bot = Webhook { http, auth, repeatable: settings.flag("repeatable", false)? };
    as_crm(bot, destination, &DESCRIPTION, CONCURRENCY)
}

const HOSTS: &str = "write the hosts that may be called: hosts: [tracker.example, https://api.example:8443]";

/// The roots of `hosts:`.
fn hosts(destination: &Destination) -> Result<Vec<Url>, ConnectError> {
    let text = Settings(destination).required("hosts")?;
    let texts: Vec<String> = match serde_json::from_str::<Json>(text) {
        Ok(Json::Array(items)) => items.iter().filter_map(Json::as_str).map(str::to_owned).collect(),
        _ => text.split([',', ' ']).filter(|text| !text.is_empty()).map(str::to_owned).collect(),
    };
    let root = |text: &String| {
        root(text).map_err(|wrong| ConnectError(format!("destination `{}`: {wrong}", destination.name)))
    };
    texts.iter().map(root).collect()
}

/// A host as it is written: its name, or the beginning of its addresses.
fn root(text: &str) -> Result<Url, String> {
    let text = text.trim();
    let address = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    // It is not repeated: somebody may have put credentials into it.
    let wrong = || format!("an entry of `hosts` is no host; {HOSTS}");
    let url = Url::parse(&address).map_err(|_| wrong())?;
    let bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
    let anonymous = url.username().is_empty() && url.password().is_none();
    if text.is_empty() || !bare || !anonymous || url.host().is_none() {
        return Err(wrong());
    }
    Ok(url)
}

impl Bot for Webhook {
    fn http(&self) -> &Http {
        &self.http
    }

    fn operations(&self) -> &'static [Operation] {
        OPERATIONS
    }

    fn repeatable(&self, _: &Call) -> bool {
        self.repeatable
    }

    fn call<'a>(&'a self, call: &'a Call, sending: Sending<'a>) -> BoxFuture<'a, Outcome> {
        async move {
            let request = match self.request(call, &sending) {
                Ok(request) => request,
                Err(why) => return Outcome::Rejected { why: format!("{REQUEST}: {why}") },
            };
            let steps = [(sending.sync, sending.step)];
            answered(sending.step, self.http.write(request.any_body(), sending.journal, &steps).await)
        }
        .boxed()
    }
}

impl Webhook {
    fn request(&self, call: &Call, sending: &Sending<'_>) -> Result<Request, String> {
        let address = call.address("url").ok_or("the call has no address; this is a bug of leadfold")?;
        let (json, form) = (body(call, "json"), body(call, "form"));
        let method = method(call.text("method").as_deref(), json.is_some() || form.is_some())?;
        let Address { origin, mut segments, query } = address;
        let folder = segments.last().is_some_and(String::is_empty);
        segments.truncate(segments.len() - usize::from(folder));
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let request =
            self.http.call_at(REQUEST, method.clone(), &origin, &segments, folder, sending.priority);
        let query: Vec<_> = query.into_iter().chain(pairs(call, "query")?).collect();
        let mut request = if query.is_empty() { request } else { request.query(&query) };
        let headers = pairs(call, "headers")?;
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(KEY)) {
            request = request.header(KEY, &sending.step.to_string());
        }
        for (name, value) in &headers {
            check_header(name, form.is_some())?;
            request = request.header(name, value);
        }
        let request = self.auth.on(request);
        match (json, form) {
            (Some(_), Some(_)) => Err(BOTH.to_owned()),
            (Some(_), None) | (None, Some(_)) if method == Method::GET => Err(WITH_GET.to_owned()),
            (Some(json), None) => Ok(request.json(json)),
            (None, Some(_)) => Ok(request.form(&pairs(call, "form")?)),
            (None, None) => Ok(request),
        }
    }
}

const BOTH: &str = "a request has one body; write `json` or `form`";
const WITH_GET: &str = "a GET has no body; write `method: POST`, or `query:` in place of the body";

fn body<'c>(call: &'c Call, name: &str) -> Option<&'c Json> {
    call.with.get(name).filter(|body| !body.is_null())
}

fn method(word: Option<&str>, has_body: bool) -> Result<Method, String> {
    let usual = if has_body { Method::POST } else { Method::GET };
    let Some(word) = word.map(str::trim).filter(|word| !word.is_empty()) else { return Ok(usual) };
    let found = METHODS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
    found.map(|(_, method)| method.clone()).ok_or_else(|| {
        let names = METHODS.map(|(name, _)| name).join(", ");
        format!("`{word}` is no method; write one of: {names}")
    })
}

fn check_header(name: &str, has_form: bool) -> Result<(), String> {
    let lower = name.to_ascii_lowercase();
    if TRANSPORT.contains(&lower.as_str()) || (has_form && lower == "content-type") {
        return Err(format!("the header `{name}` follows from the address and the body; leave it out"));
    }
    Ok(())
}

/// Names with their values; a list gives its name several times, and what is empty is left out.
fn pairs(call: &Call, parameter: &str) -> Result<Vec<(String, String)>, String> {
    let entries = match call.with.get(parameter) {
        None | Some(Json::Null) => return Ok(Vec::new()),
        Some(Json::Object(entries)) => entries,
        Some(_) => return Err(format!("`{parameter}` must be a mapping: {{ name: value }}")),
    };
    let mut pairs = Vec::with_capacity(entries.len());
    for (name, value) in entries {
        let items = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        for item in items {
            let text = match item {
                Json::Null => continue,
                Json::String(text) => text.clone(),
                Json::Bool(_) | Json::Number(_) => item.to_string(),
                Json::Array(_) | Json::Object(_) => {
                    return Err(format!("`{parameter}.{name}` must be one value, not a mapping"));
                }
            };
            if !text.is_empty() {
                pairs.push((name.clone(), text));
            }
        }
    }
    Ok(pairs)
}

/// Reads `hosts:` and `auth:` for their problems.
fn note_problems(reader: &Reader<'_>, destination: &Node) {
    auth::check(reader, &Section { node: destination });
    let Some(node) = destination.get("hosts").filter(|node| !node.is_null()) else { return };
    for item in node.one_or_many() {
        match item.scalar() {
            None => reader.wrong_shape(item, "`hosts` must be a list of names"),
            // Known when it runs.
            Some(text) if text.contains("${") => {}
            Some(text) => {
                for host in text.split([',', ' ']).filter(|host| !host.is_empty()) {
                    if let Err(wrong) = root(host) {
                        reader.error(item.span, wrong, None);
                    }
                }
            }
        }
    }
}

/// An address whose host the destination does not name, a method that there is not, and what goes into no request.
fn check(destination: &Destination, _: &str, arguments: &Map<String, Json>) -> Vec<Misuse> {
    let mut found = Vec::new();
    let mut misuse = |parameter, message: String, help: Option<String>| {
        found.push(Misuse { parameter, message, help });
    };
    let origin = arguments.get("url").and_then(|url| url.get("origin")?.as_str());
    if let (Some(origin), Ok(hosts)) = (origin, hosts(destination)) {
        let known =
            Url::parse(origin).is_ok_and(|url| hosts.iter().any(|host| host.origin() == url.origin()));
        if !known {
            let message = format!("`{origin}` is not among the hosts of destination `{}`", destination.name);
            let names: Vec<_> = hosts.iter().map(|host| host.origin().ascii_serialization()).collect();
            let help = format!("add it to its `hosts:`, if it is meant; named there: {}", names.join(", "));
            misuse("url", message, Some(help));
        }
    }
    let has = |name: &str| arguments.contains_key(name);
    let has_body = has("json") || has("form");
    let word = arguments.get("method").filter(|method| !method.is_null());
    match method(word.and_then(Json::as_str), has_body) {
        Err(wrong) => misuse("method", wrong, None),
        Ok(Method::GET) if has_body && word.is_some() => misuse("method", WITH_GET.to_owned(), None),
        Ok(_) => {}
    }
    if has("json") && has("form") {
        misuse("form", BOTH.to_owned(), None);
    }
    let headers = arguments.get("headers").and_then(Json::as_object);
    for name in headers.iter().flat_map(|headers| headers.keys()) {
        if let Err(wrong) = check_header(name, has("form")) {
            misuse("headers", wrong, None);
        }
    }
    found
}
