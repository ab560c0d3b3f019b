//! The one way to call a CRM: limiter, journal, request, classification, redaction.
//!
//! It promises: a write is journalled between the permit and the request; an outcome is only ever called surely-not-done
//! when it surely is not; requests go to the hosts of the workspace and follow no redirect; answers have a size limit;
//! no secret, no URL and no whole phone or email is in any text it returns.
//!
//! It retries nothing. Whoever asked decides.

mod address;
mod body;
mod classify;
mod post;
mod record;
mod redact;
mod request;

use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt};
use reqwest::{Client, ClientBuilder, Method, RequestBuilder, Url};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

pub use self::address::resolve;
use self::body::{BodyError, Received, sentence};
pub use self::classify::{Judge, Verdict};
pub use self::post::{ask_server, post_json, post_sample, post_to_server};
pub use self::record::{Exchange, recorded};
use self::redact::Redactor;
pub use self::request::Call;
use self::request::Roots;
use super::limit::{Limiter, Window};
use super::settings::Reader;
use super::{ConnectError, CrmError, Journal, Outcome, Priority};
use crate::clock::{Clock as _, SystemClock};
use crate::failpoint::failpoint;
use crate::id::{StepId, SyncId};
use crate::rules::{Destination, Setting};
use crate::telemetry::metric;

/// A connection is made within this, or within half of the call's time where that is less, so that running out of time
/// while connecting is told apart from running out of time after the request was sent.
const LONGEST_CONNECT: Duration = Duration::from_secs(5);

/// Idle connections are closed by us before the CRM closes them, because a request sent into a closing one is lost
/// without anybody knowing whether it arrived.
const KEEP_IDLE: Duration = Duration::from_secs(4);

/// The setting that every adapter has because it calls through this module.
pub const ALLOW_PRIVATE_ADDRESSES: Setting = Setting {
    name: "allow_private_addresses",
    required: false,
    secret: false,
    summary: "true when the CRM's host name leads into your own network; without it such a name is refused",
};

/// Calls one account of one CRM.
pub struct Http {
    destination: String,
    /// What answers, for people.
    who: &'static str,
    client: Client,
    /// Roots of the API; all but the first are only called where a call names them.
    roots: Roots,
    timeout: Duration,
    limiter: Limiter,
    judge: Judge,
    redactor: Redactor,
}

/// What [`Http::new`] needs to know beyond the [`Destination`].
pub struct Account<'a> {
    /// Root of the API, from the workspace. Every call stays on its host.
    pub url: &'a str,
    /// Windows of the account.
    pub windows: &'a [Window],
    /// Texts that must never be shown.
    pub secrets: Vec<SecretString>,
    /// The CRM's own meaning of answers.
    pub judge: Judge,
}

/// An answer that is what was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// 2xx, or one of the accepted statuses.
    pub status: u16,
    /// The body; `null` when it was empty.
    pub body: Value,
}

/// Whether a call changes anything. It decides what an unclear end means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    Read,
    Write,
}

/// A call that gave no usable answer.
struct Failure {
    verdict: Verdict,
    after: Option<Duration>,
    why: String,
}

/// A client that goes nowhere but where it is sent: no redirects, no proxy of the environment, no private address behind
/// a public name. `plain`: for `http://`, where no call will need the system's certificates.
fn hardened(resolver: address::Resolver, plain: bool) -> ClientBuilder {
    install_tls();
    let client = Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .no_proxy()
        .no_gzip()
        .user_agent(concat!("leadfold/", env!("CARGO_PKG_VERSION")))
        .dns_resolver(resolver);
    if plain { client.tls_certs_only([]) } else { client.https_only(true) }
}

/// Chooses the TLS library of the process, unless somebody has.
pub fn install_tls() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Fails only when another thread was faster, and then there is one.
        rustls::crypto::ring::default_provider().install_default().ok();
    }
}

impl Http {
    /// Prepares to call the account; connects to nothing yet.
    pub fn new(destination: &Destination, account: &Account<'_>) -> Result<Self, ConnectError> {
        let problem = |text: String| ConnectError(format!("destination `{}`: {text}", destination.name));
        let roots = Roots::new(account.url).map_err(|wrong| problem(format!("setting `url` {wrong}")))?;
        let allow_private = Reader(destination).flag(ALLOW_PRIVATE_ADDRESSES.name, false)?;
        let resolver = address::Resolver { allow_private };
        let client = hardened(resolver, roots.are_plain())
            .connect_timeout(LONGEST_CONNECT.min(destination.timeout / 2))
            .pool_idle_timeout(KEEP_IDLE);
        let client = client.build().map_err(|error| problem(sentence(&error.without_url())))?;
        let secrets = account.secrets.iter().map(|secret| secret.expose_secret().to_owned());
        Ok(Self {
            destination: destination.name.clone(),
            who: if super::is_bot(&destination.crm) { "bot" } else { "CRM" },
            client,
            roots,
            timeout: destination.timeout,
            limiter: Limiter::new(account.windows, destination.share),
            judge: Judge::clone(&account.judge),
            redactor: Redactor::new(secrets),
        })
    }

    /// Lets calls go to a further host; see [`call_at`](Self::call_at).
    pub fn with_host(mut self, url: &str) -> Result<Self, ConnectError> {
        let added = self.roots.add(url);
        added.map_err(|wrong| ConnectError(format!("destination `{}`: {wrong}", self.destination)))?;
        Ok(self)
    }

    /// A call of one of the account's hosts, named by its scheme, host and port. Any other is not called.
    pub fn call_at(
        &self,
        operation: &'static str,
        method: Method,
        origin: &str,
        segments: &[&str],
        folder: bool,
        priority: Priority,
    ) -> Call {
        let found = self.roots.find(origin);
        let root = found.unwrap_or_default();
        let mut call = self.call_below(root, operation, method, segments, folder, priority);
        if found.is_none() {
            call.problem = Some(format!(
                "{operation}: {origin} is not among the hosts of destination `{}`, and others are not called",
                self.destination
            ));
        }
        call
    }

    /// A call below the account's root. Segments are escaped, so a value from outside cannot lead elsewhere.
    /// `operation` names it for the limiter's costs, for metrics and in messages.
    pub fn call(
        &self,
        operation: &'static str,
        method: Method,
        segments: &[&str],
        priority: Priority,
    ) -> Call {
        self.call_to(operation, method, segments, false, priority)
    }

    /// Like [`call`](Self::call), with a slash at the end of the address where `folder` says so.
    pub fn call_to(
        &self,
        operation: &'static str,
        method: Method,
        segments: &[&str],
        folder: bool,
        priority: Priority,
    ) -> Call {
        self.call_below(0, operation, method, segments, folder, priority)
    }

    fn call_below(
        &self,
        root: usize,
        operation: &'static str,
        method: Method,
        segments: &[&str],
        folder: bool,
        priority: Priority,
    ) -> Call {
        let mut url = self.roots.get(root).clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments).extend(folder.then_some(""));
        }
        // Addresses have no way to write these; leaving them out would make it another request.
        let unwritable = |segment: &&&str| {
            matches!(**segment, "" | "." | "..") || segment.contains(|letter: char| letter.is_control())
        };
        let problem = segments
            .iter()
            .find(unwritable)
            .map(|segment| format!("{operation}: {segment:?} cannot be a part of an address"));
        let request = self.client.request(method, url).timeout(self.timeout);
        Call {
            operation,
            priority,
            root,
            accepted: Vec::new(),
            any_body: false,
            secret: None,
            request,
            problem,
        }
    }

    /// Asks something that changes nothing.
    pub async fn read(&self, call: Call) -> Result<Answer, CrmError> {
        if let Some(why) = call.problem {
            return Err(CrmError::Rejected { why });
        }
        self.limiter.permit(call.operation, call.priority).await;
        self.exchange(call, Effect::Read).await.map_err(Failure::of_read)
    }

    /// Writes these steps. They are journalled as sent between the permit and the request.
    pub async fn write(
        &self,
        call: Call,
        journal: &dyn Journal,
        steps: &[(SyncId, StepId)],
    ) -> Result<Answer, Outcome> {
        if let Some(why) = call.problem {
            return Err(Outcome::Rejected { why });
        }
        self.limiter.permit(call.operation, call.priority).await;
        failpoint!("crm.permitted");
        if let Err(error) = journal.sent(steps).await {
            return Err(Outcome::Retry { after: None, why: error.to_string() });
        }
        self.exchange(call, Effect::Write).await.map_err(Failure::of_write)
    }

    /// The meaning of one item of a batch of reads, by the status and body that the CRM gave it.
    pub fn read_item(
        &self,
        operation: &str,
        status: u16,
        body: Value,
        accepted: &[u16],
    ) -> Result<Answer, CrmError> {
        self.judged(operation, status, body, accepted, None).map_err(Failure::of_read)
    }

    /// The meaning of one item of a batch of writes.
    pub fn written_item(&self, operation: &str, status: u16, body: Value) -> Result<Answer, Outcome> {
        self.judged(operation, status, body, &[], None).map_err(Failure::of_write)
    }

    /// What keeps the account's rate limit.
    pub fn limiter(&self) -> &Limiter {
        &self.limiter
    }

    /// Where people open something of the account in a browser: on its host, without whatever the address of the API holds
    /// besides.
    pub fn page(&self, path: &str, query: &[(&str, &str)]) -> Option<String> {
        let mut url = self.roots.get(0).join("/").ok()?;
        url.set_username("").ok()?;
        url.set_password(None).ok()?;
        url.set_path(path);
        url.query_pairs_mut().extend_pairs(query);
        Some(url.to_string())
    }

    /// A text of the CRM as it may be shown: without secrets and whole phones or emails, and not too long.
    pub fn clean(&self, text: &str) -> String {
        self.redactor.clean(text)
    }

    /// What was answered, in a sentence for people.
    pub fn said(&self, operation: &str, status: u16, body: &Value) -> String {
        let said = self.redactor.clean(&classify::message(body));
        format!("{operation}: the {} answered {status}: {said}", self.who)
    }

    /// The host that is called, for people.
    pub fn host(&self) -> &str {
        self.roots.get(0).host_str().unwrap_or_default()
    }

    /// Every host that may be called, for people.
    pub fn hosts(&self) -> String {
        self.roots.hosts().into_iter().collect::<Vec<_>>().join(", ")
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that sends")]
    async fn exchange(&self, call: Call, effect: Effect) -> Result<Answer, Failure> {
        let Call { operation, accepted, any_body, secret, request, .. } = call;
        let root = self.roots.get(call.root);
        let recorded = record::begin(operation, &request, root, &self.redactor);
        let began = Instant::now();
        if effect == Effect::Write {
            failpoint!("crm.sent");
        }
        let result = match request.send().await {
            Ok(response) => {
                if effect == Effect::Write {
                    failpoint!("crm.committed");
                }
                let received = Received::read(response, SystemClock.now()).await;
                let secret =
                    secret.and_then(|pointer| received.body.as_ref().ok()?.pointer(pointer)?.as_str());
                if let Some(secret) = secret {
                    self.redactor.learn(secret);
                }
                if let Some(recorded) = recorded {
                    recorded.answered(&received);
                }
                self.answer(operation, received, &accepted, any_body)
            }
            Err(error) => {
                let failure = self.no_answer(operation, root, error, effect);
                if let Some(recorded) = recorded {
                    recorded.unanswered(&failure.why);
                }
                Err(failure)
            }
        };
        let end = match &result {
            Ok(_) => "answer",
            Err(failure) => failure.word(effect),
        };
        let destination = self.destination.clone();
        metrics::histogram!(metric::CALL_SECONDS, "destination" => destination.clone(), "operation" => operation)
            .record(began.elapsed());
        metrics::counter!(
            metric::CALLS,
            "destination" => destination,
            "operation" => operation,
            "answer" => end,
        )
        .increment(1);
        tracing::debug!(destination = %self.destination, operation, end, "called the CRM");
        if effect == Effect::Write {
            failpoint!("crm.answered");
        }
        result
    }

    fn answer(
        &self,
        operation: &str,
        received: Received,
        accepted: &[u16],
        any_body: bool,
    ) -> Result<Answer, Failure> {
        let Received { status, after, body } = received;
        match body {
            Ok(body) => self.judged(operation, status, body, accepted, after),
            // A refusal is a refusal, whatever became of its text.
            Err(BodyError { text, .. }) if any_body || classify::usual(status) != Verdict::Answer => {
                self.judged(operation, status, Value::String(text), accepted, after)
            }
            Err(BodyError { why, .. }) => Err(Failure {
                verdict: Verdict::Unclear,
                after: None,
                why: format!(
                    "{operation}: the {} answered {status}, but {}",
                    self.who,
                    self.redactor.clean(&why)
                ),
            }),
        }
    }

    fn judged(
        &self,
        operation: &str,
        status: u16,
        body: Value,
        accepted: &[u16],
        after: Option<Duration>,
    ) -> Result<Answer, Failure> {
        if accepted.contains(&status) {
            return Ok(Answer { status, body });
        }
        let verdict = (self.judge)(status, &body).unwrap_or_else(|| classify::usual(status));
        let after = after.or_else(|| classify::wait_in(&body));
        let advice = match verdict {
            Verdict::Answer => return Ok(Answer { status, body }),
            Verdict::RateLimited => {
                self.limiter.rate_limited(after);
                "over its rate limit; calls hold and go on by themselves"
            }
            Verdict::Unauthorised => "check the credentials and rights of this destination in workspace.yaml",
            Verdict::Rejected if (300..400).contains(&status) => {
                "it redirects; check the destination's `url`"
            }
            Verdict::Rejected | Verdict::NotDone | Verdict::Unclear => "",
        };
        let separator = if advice.is_empty() { "" } else { "; " };
        let why = format!("{}{separator}{advice}", self.said(operation, status, &body));
        Err(Failure { verdict, after, why })
    }

    /// Only a connection that was never made is surely not a write.
    fn no_answer(&self, operation: &str, root: &Url, error: reqwest::Error, effect: Effect) -> Failure {
        let error = error.without_url();
        let what = self.redactor.clean(&sentence(&error));
        if error.is_builder() {
            let why = format!("{operation}: the request could not be built: {what}");
            return Failure { verdict: Verdict::Rejected, after: None, why };
        }
        if error.is_connect() {
            let host = root.host_str().unwrap_or_default();
            let port = root.port().map(|port| format!(":{port}")).unwrap_or_default();
            let what = self.redactor.clean(&body::root(&error));
            let why = format!("{operation}: no connection to {host}{port}: {what}");
            return Failure { verdict: Verdict::NotDone, after: None, why };
        }
        let tail = match effect {
            Effect::Read => "",
            Effect::Write => "; whether it was written is not known",
        };
        let why = if error.is_timeout() {
            format!("{operation}: no answer within {:?}{tail}", self.timeout)
        } else {
            format!("{operation}: the connection broke before the answer: {what}{tail}")
        };
        Failure { verdict: Verdict::Unclear, after: None, why }
    }
}

impl Failure {
    fn of_read(self) -> CrmError {
        let Self { verdict, after, why } = self;
        match verdict {
            Verdict::Unauthorised => CrmError::Unauthorised { why },
            Verdict::Rejected => CrmError::Rejected { why },
            Verdict::Answer | Verdict::RateLimited | Verdict::NotDone | Verdict::Unclear => {
                CrmError::Retry { after, why }
            }
        }
    }

    fn of_write(self) -> Outcome {
        let Self { verdict, after, why } = self;
        match verdict {
            Verdict::Unauthorised => Outcome::Unauthorised { why },
            Verdict::Rejected => Outcome::Rejected { why },
            Verdict::RateLimited | Verdict::NotDone => Outcome::Retry { after, why },
            Verdict::Answer | Verdict::Unclear => Outcome::Unknown { why },
        }
    }

    /// The label of metrics.
    fn word(&self, effect: Effect) -> &'static str {
        match (self.verdict, effect) {
            (Verdict::RateLimited, _) => "rate_limited",
            (Verdict::Unauthorised, _) => "unauthorised",
            (Verdict::Rejected, _) => "rejected",
            (Verdict::Answer | Verdict::Unclear, Effect::Write) => "unknown",
            (Verdict::Answer | Verdict::Unclear, Effect::Read) | (Verdict::NotDone, _) => "retry",
        }
    }
}

/// Makes these calls, at most so many at once; the answers in order.
pub async fn in_parallel<T: Send>(most: usize, mut calls: Vec<BoxFuture<'_, T>>) -> Vec<T> {
    // Most look-ups are a single call, and a stream costs as much as building its request.
    if calls.len() < 2 {
        return match calls.pop() {
            Some(call) => vec![call.await],
            None => Vec::new(),
        };
    }
    stream::iter(calls).buffered(most.max(1)).collect().await
}
