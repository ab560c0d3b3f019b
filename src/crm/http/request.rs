//! A request on its way: where it may go, and what it carries.

use std::collections::BTreeSet;

use reqwest::header::CONTENT_TYPE;
use reqwest::{RequestBuilder, Url};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;

use crate::crm::Priority;

/// The addresses below which calls are made.
pub(super) struct Roots {
    first: Url,
    further: Vec<Url>,
}

impl Roots {
    /// The error goes on with what `url` is.
    pub(super) fn new(url: &str) -> Result<Self, String> {
        Ok(Self { first: root(url)?, further: Vec::new() })
    }

    /// Adds a host. The error is a sentence.
    pub(super) fn add(&mut self, url: &str) -> Result<(), String> {
        let root = root(url).map_err(|wrong| format!("a host {wrong}"))?;
        // One client either insists on TLS or has no certificates.
        if root.scheme() != self.first.scheme() {
            return Err("some of its hosts are called by https:// and some by http://; \
                        make a destination of each kind"
                .to_owned());
        }
        self.further.push(root);
        Ok(())
    }

    /// Whether they are called without TLS.
    pub(super) fn are_plain(&self) -> bool {
        self.first.scheme() == "http"
    }

    /// The first where there are not so many.
    pub(super) fn get(&self, index: usize) -> &Url {
        index.checked_sub(1).and_then(|index| self.further.get(index)).unwrap_or(&self.first)
    }

    /// Their hosts, each once.
    pub(super) fn hosts(&self) -> BTreeSet<&str> {
        std::iter::once(&self.first).chain(&self.further).filter_map(Url::host_str).collect()
    }

    /// The one with this scheme, host and port.
    pub(super) fn find(&self, origin: &str) -> Option<usize> {
        let named = Url::parse(origin).ok()?.origin();
        std::iter::once(&self.first).chain(&self.further).position(|root| root.origin() == named)
    }
}

/// The root of an API. The error does not repeat it: some CRMs carry their secret in it.
fn root(url: &str) -> Result<Url, String> {
    let root = Url::parse(url).map_err(|error| format!("is not an address: {error}"))?;
    if !matches!(root.scheme(), "http" | "https") || root.host().is_none() {
        return Err("must begin with https:// (or http://) and name a host".to_owned());
    }
    Ok(root)
}

/// A request that is not sent yet.
pub struct Call {
    pub(super) operation: &'static str,
    pub(super) priority: Priority,
    /// Which of the roots it is below.
    pub(super) root: usize,
    pub(super) accepted: Vec<u16>,
    /// Whether an answer may be something other than JSON.
    pub(super) any_body: bool,
    /// Where a secret stands in the answer.
    pub(super) secret: Option<&'static str>,
    pub(super) request: RequestBuilder,
    /// Why it cannot be sent.
    pub(super) problem: Option<String>,
}

impl Call {
    /// Adds query parameters.
    #[must_use]
    pub fn query<T: Serialize + ?Sized>(mut self, parameters: &T) -> Self {
        self.request = self.request.query(parameters);
        self
    }

    /// Sets a JSON body.
    #[must_use]
    pub fn json<T: Serialize + ?Sized>(mut self, body: &T) -> Self {
        self.request = self.request.json(body);
        self
    }

    /// Sends a token as `Authorization: Bearer`.
    #[must_use]
    pub fn bearer(mut self, token: &SecretString) -> Self {
        self.request = self.request.bearer_auth(token.expose_secret());
        self
    }

    /// Sends a name and a password as `Authorization: Basic`.
    #[must_use]
    pub fn basic(mut self, user: &str, password: &SecretString) -> Self {
        self.request = self.request.basic_auth(user, Some(password.expose_secret()));
        self
    }

    /// Sends a header. What cannot stand in one makes the call a request that cannot be built.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    /// Sets a body as forms have it.
    #[must_use]
    pub fn form(mut self, pairs: &[(String, String)]) -> Self {
        let body: String = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        self.request = self.request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(body);
        self
    }

    /// Takes an answer that is no JSON, or broke off: its status says what became of the call. The body is then a text.
    #[must_use]
    pub fn any_body(mut self) -> Self {
        self.any_body = true;
        self
    }

    /// Where a secret stands in the answer, as a JSON pointer; it is hidden from then on.
    #[must_use]
    pub fn secret_in_answer(mut self, pointer: &'static str) -> Self {
        self.secret = Some(pointer);
        self
    }

    /// Statuses beyond 2xx that are an answer, such as 404 for "is it still there?".
    #[must_use]
    pub fn accept(mut self, statuses: &[u16]) -> Self {
        self.accepted = statuses.to_vec();
        self
    }
}
