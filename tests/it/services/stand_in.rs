//! A vendor's API that answers as it is told, and remembers what it was asked.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Response, Uri};
use futures_util::stream;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) path: String,
    /// Not escaped any more, in order.
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: HeaderMap,
    /// `null` where there was none.
    pub(crate) body: Value,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Method and path.
    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// How it answers.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Json(u16, Value),
    /// With a Retry-After in seconds.
    Busy(u16, u64),
    /// A text that need not be JSON; none is an empty body.
    Text(u16, &'static str),
    /// Never.
    Silent,
    /// Breaks off in the middle of its answer.
    Broken,
}

type Answer = dyn Fn(&Seen) -> Reply + Send + Sync;

struct Shared {
    answer: Box<Answer>,
    seen: Mutex<Vec<Seen>>,
}

pub(crate) struct StandIn {
    addr: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl StandIn {
    pub(crate) async fn start(answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let shared = Arc::new(Shared { answer: Box::new(answer), seen: Mutex::default() });
        let router = Router::new()
            .fallback(serve)
            .layer(axum::extract::DefaultBodyLimit::disable())
            .with_state(Arc::clone(&shared));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { addr, shared, task }
    }

    /// One that answers everything alike.
    pub(crate) async fn always(reply: Reply) -> Self {
        Self::start(move |_| reply.clone()).await
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let query = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() };
    let seen = Seen { method, path: uri.path().to_owned(), query, headers, body };
    let reply = (shared.answer)(&seen);
    shared.seen.lock().unwrap().push(seen);
    let with = |status: u16, body: Body| Response::builder().status(status).body(body).unwrap();
    match reply {
        Reply::Json(status, body) => with(status, Body::from(body.to_string())),
        Reply::Text(status, body) => with(status, Body::from(body)),
        Reply::Busy(status, seconds) => {
            let answer = Response::builder().status(status).header("Retry-After", seconds);
            answer.body(Body::from(r#"{"message":"slow down"}"#)).unwrap()
        }
        Reply::Silent => std::future::pending().await,
        Reply::Broken => {
            let parts = [Ok(Bytes::from_static(b"{\"a\":")), Err(std::io::Error::other("broken"))];
            with(200, Body::from_stream(stream::iter(parts)))
        }
    }
}
