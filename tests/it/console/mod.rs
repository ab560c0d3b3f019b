//! The console as a browser meets it: cookies are kept, redirects are not followed unasked, forms carry the key of the page.

mod access;
mod attacks;
mod attacks_door;
mod attacks_forms;
mod attacks_kill;
mod attacks_secrets;
mod attacks_text;
mod attention;
mod commands;
mod destinations;
mod keyboard;
mod live;
mod mappings;
mod people;
mod registry;
mod roles;
mod stories;
mod story_access;
mod story_attention;
mod story_destinations;
mod story_people;
mod walk;
mod webdriver;
mod weight;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use leadfold::access::Role;
use leadfold::sandbox::Faults;
use leadfold::store::access::{AccessToken, Holder};
use leadfold::token;
use reqwest::header::{COOKIE, HeaderMap, LOCATION, SET_COOKIE};
use reqwest::redirect::Policy;
use serde_json::json;

use crate::postgres::Database;
use crate::rig::{IMPATIENT, MAPPING, Rig};

/// Of every user of a test that needs no other.
pub(crate) const PASSWORD: &str = "correct horse battery";

/// The token that [`rig`] is started with.
pub(crate) const TOKEN: &str = "s3cret";

/// A leadfold that asks who one is.
pub(crate) async fn rig() -> Rig {
    rig_on(None).await
}

/// The same, with its registry in PostgreSQL.
pub(crate) async fn rig_on(postgres: Option<Database>) -> Rig {
    let mut rig = Rig::prepare(Faults::default(), IMPATIENT, MAPPING).await;
    rig.postgres = postgres;
    rig.token = Some(TOKEN);
    rig.boot().await;
    rig
}

/// What was answered.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Page {
    /// Whether a person reads this.
    #[track_caller]
    pub(crate) fn says(&self, text: &str) -> &Self {
        assert!(self.text.contains(text), "'{text}' is not in {}: {}", self.status, self.text);
        self
    }

    #[track_caller]
    pub(crate) fn says_nothing_of(&self, text: &str) -> &Self {
        assert!(!self.text.contains(text), "'{text}' is in {}", self.text);
        self
    }

    #[track_caller]
    pub(crate) fn is(&self, status: u16) -> &Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// Where it leads; empty when nowhere.
    pub(crate) fn location(&self) -> &str {
        self.header(LOCATION.as_str())
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    /// What forms of this page carry.
    pub(crate) fn key(&self) -> Option<&str> {
        let (_, rest) = self.text.split_once("name=\"key\" value=\"")?;
        rest.split('"').next()
    }
}

/// A browser: one person's cookies.
pub(crate) struct Browser {
    client: reqwest::Client,
    root: String,
    cookies: Mutex<BTreeMap<String, String>>,
    /// Of the page that was read last.
    key: Mutex<String>,
}

impl Browser {
    /// One that was never here.
    pub(crate) fn new(rig: &Rig) -> Self {
        Self::at(rig.url(""))
    }

    /// The same, at the root of an address.
    pub(crate) fn at(root: String) -> Self {
        let client = reqwest::Client::builder().no_proxy().redirect(Policy::none()).build().unwrap();
        Self { client, root, cookies: Mutex::default(), key: Mutex::default() }
    }

    /// One in which somebody with this role has signed in.
    pub(crate) async fn of(rig: &Rig, role: Role) -> Self {
        let browser = Self::new(rig);
        let token = token_of(rig, role).await;
        let (store, secret) = (&rig.app().store, rig.clock.new_id().to_string());
        let name = store.access_token(&token::hash(&token)).await.unwrap().unwrap().name;
        let (holder, proof) = (Holder::Token(name), token::to_hex(&token::hash(&token)));
        // Not by the form, which lets nobody in more than a few times a minute.
        let begun = store.begin_session(&token::hash(&secret), &holder, &proof, rig.clock.now()).await;
        assert!(begun.unwrap());
        browser.cookies().insert("leadfold_session".to_owned(), secret);
        browser
    }

    /// Signs in with name and password.
    pub(crate) async fn sign_in(&self, name: &str, password: &str) -> Page {
        self.post("/sign-in", &[("name", name), ("password", password)]).await
    }

    pub(crate) fn cookies(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.cookies.lock().unwrap()
    }

    /// Reads pages in this language from now on: `en` or `uk`.
    pub(crate) fn speak(&self, language: &str) {
        self.cookies().insert("leadfold_language".to_owned(), language.to_owned());
    }

    pub(crate) async fn get(&self, path: &str) -> Page {
        self.get_with(path, &[]).await
    }

    pub(crate) async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Page {
        let mut request = self.client.get(format!("{}{path}", self.root));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request).await
    }

    /// Sends any body.
    pub(crate) async fn post_with_body(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Page {
        let mut request = self.client.post(format!("{}{path}", self.root)).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request).await
    }

    /// Asks by any method, without a body.
    pub(crate) async fn ask_by(&self, method: reqwest::Method, path: &str, headers: &[(&str, &str)]) -> Page {
        let mut request = self.client.request(method, format!("{}{path}", self.root));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request).await
    }

    /// Sends a form with the key of the page that was read last.
    pub(crate) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        let key = self.key.lock().unwrap().clone();
        let mut fields = fields.to_vec();
        if !fields.iter().any(|(name, _)| *name == "key") {
            fields.push(("key", &key));
        }
        self.post_with(path, &[], &fields).await
    }

    /// Sends just these fields, with these headers.
    pub(crate) async fn post_with(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        fields: &[(&str, &str)],
    ) -> Page {
        let form: String = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = self.client.post(format!("{}{path}", self.root)).body(form);
        let mut request = request.header("content-type", "application/x-www-form-urlencoded");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request).await
    }

    /// Sends a form and reads the page that it leads to.
    pub(crate) async fn post_and_follow(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        let answer = self.post(path, fields).await;
        answer.is(303);
        self.get(answer.location()).await
    }

    #[expect(clippy::disallowed_methods, reason = "the test is a person with a browser")]
    async fn send(&self, request: reqwest::RequestBuilder) -> Page {
        let cookies: Vec<String> =
            self.cookies().iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = if cookies.is_empty() { request } else { request.header(COOKIE, cookies.join("; ")) };
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        for cookie in headers.get_all(SET_COOKIE) {
            let text = cookie.to_str().unwrap();
            let (name, value) = text.split(';').next().unwrap().split_once('=').unwrap();
            if text.contains("Max-Age=0") {
                self.cookies().remove(name);
            } else {
                self.cookies().insert(name.to_owned(), value.to_owned());
            }
        }
        let page = Page { status, headers, text: answer.text().await.unwrap() };
        if let Some(key) = page.key() {
            key.clone_into(&mut self.key.lock().unwrap());
        }
        page
    }
}

/// A user whose password is [`PASSWORD`].
pub(crate) async fn add_user(rig: &Rig, name: &str, role: Role) {
    let (status, answer) =
        rig.post_to_api("/api/users/add", &json!({ "name": name, "role": role, "password": PASSWORD })).await;
    assert_eq!(status, 200, "{answer}");
}

/// A new access token of this role.
pub(crate) async fn token_of(rig: &Rig, role: Role) -> String {
    let secret = rig.clock.new_id().to_string();
    let name = format!("{role}-{secret}");
    let token = AccessToken { name, role, created_at: rig.clock.now() };
    assert!(rig.app().store.add_access_token(token, token::hash(&secret)).await.unwrap());
    secret
}
