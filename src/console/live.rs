//! `/live`: tells open pages that something has changed; they ask for the rest themselves.
//!
//! However many pages are open, and in however many processes, the database is looked at once a second by each process at
//! most: whoever looks first keeps what it saw for the others.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use axum_extra::extract::CookieJar;
use futures_util::stream;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::Console;
use super::guard::session_of;
use super::page::Failure;
use crate::store::listing::Pulse;

/// Pages that are told at one time, by one process.
const STREAMS: usize = 64;
/// How often the database is looked at.
const EVERY: Duration = Duration::from_secs(1);
/// How often it is asked whether whoever reads may still read.
const MAY_READ: Duration = Duration::from_secs(5);

/// What the open pages of this process have in common.
pub(super) struct Live {
    places: Arc<Semaphore>,
    seen: Mutex<Option<(Instant, Pulse)>>,
    stop: CancellationToken,
}

impl Live {
    pub(super) fn new(stop: CancellationToken) -> Self {
        Self { places: Arc::new(Semaphore::new(STREAMS)), seen: Mutex::default(), stop }
    }
}

/// One open page.
struct Watching {
    console: Console,
    cookies: CookieJar,
    told: Option<Pulse>,
    asked: Instant,
    _place: OwnedSemaphorePermit,
}

pub(super) async fn live(State(console): State<Console>, cookies: CookieJar) -> Response {
    let Ok(place) = Arc::clone(&console.live.places).try_acquire_owned() else {
        let text = "so many pages are open that this one is not told of news: load it again to see them\n";
        return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    };
    let watching = Watching { console, cookies, told: None, asked: Instant::now(), _place: place };
    let events = stream::unfold(watching, |mut watching| async {
        let pulse = watching.next().await?;
        let event = Event::default().data(serde_json::json!(pulse).to_string());
        Some((Ok::<_, Infallible>(event), watching))
    });
    // A proxy that collects answers would keep the news to itself.
    ([("x-accel-buffering", "no")], Sse::new(events).keep_alive(KeepAlive::default())).into_response()
}

impl Watching {
    /// What has changed, once it has; `None` when there is nobody to tell any more.
    async fn next(&mut self) -> Option<Pulse> {
        loop {
            if self.asked.elapsed() >= MAY_READ {
                if !self.may_read().await {
                    return None;
                }
                self.asked = Instant::now();
            }
            // What cannot be read now is read later; the page stands as it is meanwhile.
            if let Ok(pulse) = self.look().await
                && self.told != Some(pulse)
            {
                self.told = Some(pulse);
                return Some(pulse);
            }
            tokio::select! {
                () = self.console.live.stop.cancelled() => return None,
                () = sleep(EVERY) => {}
            }
        }
    }

    async fn look(&self) -> Result<Pulse, Failure> {
        let mut seen = self.console.live.seen.lock().await;
        if let Some((at, pulse)) = *seen
            && at.elapsed() < EVERY
        {
            return Ok(pulse);
        }
        let pulse = self.console.means.store.pulse().await?;
        *seen = Some((Instant::now(), pulse));
        Ok(pulse)
    }

    /// Whether the session has not ended. Watching is no use of it, so a page that is left open does not keep it alive.
    async fn may_read(&self) -> bool {
        !matches!(session_of(&self.console, &self.cookies, false).await, Ok(None))
    }
}
