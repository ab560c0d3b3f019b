//! A leadfold on a large registry, and everything that can be asked of it by whoever only looks.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use leadfold::app::{App, Door, Follow, Options};
use leadfold::clock::{Clock as _, SystemClock};
use leadfold::map::Files;
use leadfold::receive::Limits;
use leadfold::telemetry::Metrics;
use reqwest::redirect::Policy;
use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::generate::Registry;
use crate::lived::{GREAT_PERSON, SENT_AGAIN_LEAD};

/// More kinds of pages than the console will ever have.
const MOST_PAGES: usize = 120;

/// Nothing is written anywhere, so that the registry stays as it is.
const WORKSPACE: &str = "
destinations:
  crm: { crm: sandbox, url: \"http://127.0.0.1:9\", token: demo, mode: paused }
  trial: { crm: sandbox, url: \"http://127.0.0.1:9\", token: demo, mode: paused }
  sendpulse: { bot: sendpulse, client_id: demo, client_secret: demo, url: \"http://127.0.0.1:9\", mode: paused }
owner_pools:
  kyiv-sales: [olha, petro]
retention: { bodies: 9000d, rows: 9000d }
";
const SENDPULSE: &str = include_str!("../../mappings/sendpulse.yaml");
pub(crate) const FILES: [(&str, &str); 4] = [
    ("workspace.yaml", WORKSPACE),
    ("sendpulse.yaml", SENDPULSE),
    ("site.yaml", SENDPULSE),
    ("viber.yaml", SENDPULSE),
];

type Outcome<T> = Result<T, Box<dyn Error>>;

/// What is asked for: path and query, and the body of a POST.
pub(crate) type Ask = (String, Option<Value>);

/// A leadfold with its registry.
pub(crate) struct Site {
    app: App,
    client: Client,
    rows: u64,
}

impl Site {
    pub(crate) async fn open(
        registry: &Registry,
        rows: u64,
        metrics: &Metrics,
        folder: &Path,
    ) -> Outcome<Self> {
        let app = App::start(Options {
            files: Files(FILES.map(|(name, text)| (name.to_owned(), text.to_owned())).into()),
            folder: folder.join(rows.to_string()),
            follow: Follow::Database,
            read_only_workspace: true,
            database: registry.url.clone(),
            listen: ([127, 0, 0, 1], 0).into(),
            door: Door::Demo,
            metrics: metrics.clone(),
            public_url: None,
            limits: Limits::default(),
            environment: Arc::new(|_| None),
            clock: Arc::new(SystemClock),
        })
        .await?;
        let client = Client::builder().redirect(Policy::none()).timeout(Duration::from_mins(2)).build()?;
        Ok(Self { app, client, rows })
    }

    #[expect(clippy::disallowed_methods, reason = "it asks as a browser does, which has no client of ours")]
    pub(crate) async fn ask(&self, (path, body): &Ask) -> Outcome<String> {
        let method = if body.is_some() { Method::POST } else { Method::GET };
        let mut request = self.client.request(method, format!("http://{}{path}", self.app.address));
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        if status.is_client_error() || status.is_server_error() {
            return Err(format!("{path} answers {status}: {text}").into());
        }
        Ok(text)
    }

    async fn get(&self, path: &str) -> Outcome<String> {
        self.ask(&(path.to_owned(), None)).await
    }

    /// The lead of a number in the order of all, from 0.
    async fn lead(&self, number: u64) -> Outcome<Value> {
        let text = self.get(&format!("/api/leads?limit=1&before={}", number + 2)).await?;
        let mut page: Value = serde_json::from_str(&text)?;
        Ok(page["leads"][0].take())
    }

    /// Every kind of page that links lead to, each with the first address of that kind.
    async fn walk(&self) -> Outcome<BTreeMap<String, Ask>> {
        let mut found = BTreeMap::new();
        let mut open = VecDeque::from(["/".to_owned()]);
        while let Some(path) = open.pop_front() {
            if found.contains_key(&kind(&path)) {
                continue;
            }
            let page = self.get(&path).await.map_err(|failure| format!("a link leads to {failure}"))?;
            let links = page.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
            let ours = links.filter(|link| link.starts_with('/') && !link.starts_with("/assets/"));
            open.extend(ours.map(|link| link.replace("&amp;", "&")));
            found.insert(kind(&path), (path, None));
            if found.len() > MOST_PAGES {
                return Err(format!("the walk does not end: {:?}", found.keys()).into());
            }
        }
        Ok(found)
    }

    /// Everything that is measured.
    pub(crate) async fn asks(&self) -> Outcome<BTreeMap<String, Ask>> {
        let mut asks: BTreeMap<String, Ask> =
            self.walk().await?.into_iter().map(|(kind, ask)| (format!("linked {kind}"), ask)).collect();
        let (middle, last) = (self.lead(self.rows / 2).await?, self.lead(self.rows - 10).await?);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let name = text(&middle["contact"]["name"]);
        let word = name.split(' ').next_back().unwrap_or_default().to_owned();
        let phone = text(&last["contact"]["phone"]);
        let email = text(&last["contact"]["email"]);
        let day = |days: i64| {
            let at = SystemClock.now() - SignedDuration::from_hours(24 * days);
            at.to_string().get(..10).unwrap_or_default().to_owned()
        };
        let (half, from, to) = (self.rows / 2, day(200), day(100));
        for (what, query) in [
            ("newest", String::new()),
            ("from the middle", format!("before={half}")),
            ("the last page", "before=51".to_owned()),
            ("newer than the middle", format!("after={half}")),
            ("needs attention", "state=needs-attention".to_owned()),
            ("open", "state=open".to_owned()),
            ("held", "state=held".to_owned()),
            ("synced", "state=synced".to_owned()),
            ("filtered", "state=filtered".to_owned()),
            ("of the main source", "source=sendpulse".to_owned()),
            ("of a smaller source", "source=site".to_owned()),
            ("of a rare source", "source=viber".to_owned()),
            ("of a source that has none", "source=nowhere".to_owned()),
            ("to a destination", "destination=crm".to_owned()),
            ("to a rare destination", "destination=trial".to_owned()),
            ("to a destination that has none", "destination=nowhere".to_owned()),
            ("held at a destination", "destination=trial&state=held".to_owned()),
            ("filtered, of a rare source", "source=viber&state=filtered".to_owned()),
            ("needs attention, of a rare source", "source=viber&state=needs-attention".to_owned()),
            ("of a rare source, to a destination", "source=viber&destination=crm".to_owned()),
            ("of some days", format!("from={from}&to={to}")),
            ("of some days, of a source, to one", format!("from={from}&to={to}&source=site&destination=crm")),
            ("of days before the first", "to=2001-01-01&state=synced".to_owned()),
            ("by a phone", format!("q={}", phone.replace('+', "%2B"))),
            ("by a phone that nobody has", "q=067+000-00-00".to_owned()),
            ("by an email", format!("q={email}")),
            ("by an email that nobody has", "q=nobody@example.com".to_owned()),
            ("by the id of a lead", format!("q={}", text(&middle["id"]))),
            ("by a whole rare name", format!("q={word}")),
            ("by the name that all have", "q=olena".to_owned()),
            ("by how that begins", "q=ol".to_owned()),
            ("by how many rare names begin", "q=ka".to_owned()),
            ("by both names", format!("q=olena+{word}")),
            ("by a name beside one that nobody has", "q=olena+zzz".to_owned()),
            ("by what nobody has", "q=nobody-has-this".to_owned()),
        ] {
            let api =
                query.replace(&from, &format!("{from}T00:00:00Z")).replace(&to, &format!("{to}T00:00:00Z"));
            let api = api.replace("2001-01-01", "2001-01-01T00:00:00Z");
            asks.insert(format!("/ {what}"), (format!("/?{query}"), None));
            asks.insert(format!("/api/leads {what}"), (format!("/api/leads?{api}"), None));
        }
        for kind in ["", "received", "waiting", "unreadable", "refused", "redelivery"] {
            for source in ["", "sendpulse", "site", "viber", "nowhere"] {
                let query: Vec<String> = [("kind", kind), ("source", source)]
                    .into_iter()
                    .filter(|(_, value)| !value.is_empty())
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect();
                let query = query.join("&");
                asks.insert(format!("/deliveries {query}"), (format!("/deliveries?{query}"), None));
                asks.insert(format!("/api/deliveries {query}"), (format!("/api/deliveries?{query}"), None));
            }
        }
        let great = self.lead(GREAT_PERSON).await?;
        for (what, lead) in [
            ("newest", self.lead(self.rows - 1).await?),
            ("synced", last.clone()),
            ("sent again 500 times", self.lead(SENT_AGAIN_LEAD).await?),
            ("of a person with 500", great.clone()),
            ("held", self.lead(self.rows - 98).await?),
            ("to be looked at, of a source", self.lead(self.rows - 93).await?),
            ("to be looked at, of a CRM", self.lead(self.rows - 199).await?),
        ] {
            let (id, person) = (text(&lead["id"]), text(&lead["person"]));
            let detail: Value = serde_json::from_str(&self.get(&format!("/api/leads/{id}")).await?)?;
            let delivery = text(&detail["delivery"]["id"]);
            for tail in ["", "/version", "/again?how=resume", "/again?how=replan", "/again?how=force"] {
                asks.insert(format!("/leads/*{tail}, {what}"), (format!("/leads/{id}{tail}"), None));
            }
            asks.insert(format!("/api/leads/*, {what}"), (format!("/api/leads/{id}"), None));
            asks.insert(format!("/deliveries/*, {what}"), (format!("/deliveries/{delivery}"), None));
            asks.insert(format!("/api/deliveries/*, {what}"), (format!("/api/deliveries/{delivery}"), None));
            if !person.is_empty() {
                asks.insert(format!("/people/*, {what}"), (format!("/people/{person}"), None));
                let body = json!({ "who": person, "leads": 20 });
                asks.insert(format!("/api/people, {what}"), ("/api/people".to_owned(), Some(body)));
            }
        }
        let (one, other) = (text(&great["person"]), text(&last["person"]));
        asks.extend([
            ("/people by phone".to_owned(), (format!("/people?q={}", phone.replace('+', "%2B")), None)),
            ("/people nobody".to_owned(), ("/people?q=nobody-has-this".to_owned(), None)),
            ("/people/merge".to_owned(), (format!("/people/merge?one={one}&with={other}"), None)),
            ("/overview of a month".to_owned(), ("/overview?range=30d".to_owned(), None)),
        ]);
        asks.extend(self.operations(&text(&middle["id"]), &phone).await?);
        Ok(asks)
    }

    /// The operations of the API that only look, which must be all that there are.
    async fn operations(&self, lead: &str, phone: &str) -> Outcome<Vec<(String, Ask)>> {
        let select = |select: Value| json!({ "select": select, "how": "resume", "limit": 200 });
        let versions: Value =
            serde_json::from_str(&self.ask(&("/api/versions/list".to_owned(), Some(json!({})))).await?)?;
        let version = |place: usize| versions["versions"][place]["hash"].clone();
        let active = self.ask(&("/api/mappings".to_owned(), Some(json!({})))).await?;
        let active: Value = serde_json::from_str(&active)?;
        let edit = json!({ "of": active["version"], "files": { "sendpulse.yaml": SENDPULSE } });
        let operations = [
            ("/api/actions", "", json!({})),
            ("/api/actions", "of one", json!({ "who": "petro" })),
            ("/api/attention", "", json!({})),
            ("/api/destinations", "", json!({})),
            ("/api/held", "", json!({ "destination": "trial", "limit": 50 })),
            ("/api/mappings", "", json!({})),
            ("/api/mappings", "of a file", json!({ "file": "sendpulse.yaml" })),
            ("/api/mappings/address", "", json!({ "source": "sendpulse" })),
            ("/api/mappings/arrived", "", json!({ "source": "sendpulse" })),
            ("/api/mappings/check", "", json!({ "edit": edit })),
            ("/api/mappings/names", "", json!({ "source": "sendpulse" })),
            ("/api/mappings/patch", "", json!({ "edit": edit })),
            ("/api/mappings/rehearse", "", json!({ "edit": edit, "source": "sendpulse", "last": 200 })),
            ("/api/overview", "", json!({})),
            ("/api/overview", "of a week", json!({ "hours": 168 })),
            ("/api/people", "by phone", json!({ "who": phone })),
            ("/api/people/duplicates", "", json!({})),
            ("/api/people/newest", "", json!({})),
            ("/api/postbacks", "", json!({})),
            ("/api/replay/preview", "of a lead", select(json!({ "leads": [lead] }))),
            (
                "/api/replay/preview",
                "of a cause",
                select(
                    json!({ "states": ["needs-attention"], "cause": "crm_rejected", "destination": "crm" }),
                ),
            ),
            ("/api/tokens", "", json!({})),
            ("/api/users", "", json!({})),
            ("/api/versions/active", "", json!({})),
            ("/api/versions/compare", "", json!({ "old": version(1), "new": version(0) })),
            ("/api/versions/list", "", json!({})),
        ];
        let document: Value = serde_json::from_str(&self.get("/api/openapi.json").await?)?;
        let named: BTreeSet<&str> = operations.iter().map(|(path, ..)| *path).collect();
        for (path, methods) in document["paths"].as_object().into_iter().flatten() {
            let id = methods["post"]["operationId"].as_str().unwrap_or_default();
            let reads = ["lookAt", "preview", "check", "compare", "rehearse"];
            // Erasing looks through all stored requests by its nature; it goes piece by piece.
            let looks = reads.iter().any(|word| id.starts_with(word)) && !path.starts_with("/api/erase");
            if looks && !named.contains(path.as_str()) {
                return Err(format!("{path} is a read that is not measured here: add it").into());
            }
        }
        let asked = |(path, what, body): (&str, &str, Value)| {
            (format!("{path} {what}").trim_end().to_owned(), (path.to_owned(), Some(body)))
        };
        let mut asks: Vec<(String, Ask)> = operations.into_iter().map(asked).collect();
        asks.push(("/api/openapi.json".to_owned(), ("/api/openapi.json".to_owned(), None)));
        Ok(asks)
    }

    pub(crate) async fn stop(self) {
        self.app.stop().await;
    }

    /// Bytes of the registry's page and of what it loads.
    pub(crate) async fn weight(&self) -> Outcome<usize> {
        let page = self.get("/").await?;
        let assets: BTreeSet<&str> = page.split('"').filter(|text| text.starts_with("/assets/")).collect();
        let mut weight = page.len();
        for asset in assets {
            weight += self.get(asset).await?.len();
        }
        Ok(weight)
    }
}

/// What pages that differ only in what they are about have in common: ids are `*`, and a query has no values.
fn kind(path: &str) -> String {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let is_id = |part: &&str| part.bytes().any(|byte| byte.is_ascii_digit());
    let parts: Vec<&str> = path.split('/').map(|part| if is_id(&part) { "*" } else { part }).collect();
    let pairs = form_urlencoded::parse(query.as_bytes());
    let names: BTreeSet<_> = pairs.filter(|(_, value)| !value.is_empty()).map(|(name, _)| name).collect();
    names.iter().fold(parts.join("/"), |kind, name| format!("{kind}?{name}"))
}
