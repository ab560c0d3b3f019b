//! `/live`: tells open pages that something has changed; they ask for the rest themselves.
//!
//! However many pages are open, and in however many processes, the database is looked at once a second by each process at
//! most: whoever looks first keeps what it saw for the others.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, PoisonError};
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
use super::guard::{Reader, session_of};
use super::page::Failure;
use crate::store::listing::Pulse;

/// Pages that are told at one time, by one process.
const STREAMS: usize = 64;
/// Pages of one reader among them, so that nobody's open tabs, or script, keep the others from being told.
const OF_ONE: usize = 16;
/// How often the database is looked at.
const EVERY: Duration = Duration::from_secs(1);
/// How often it is asked whether whoever reads may still read.
const MAY_READ: Duration = Duration::from_secs(5);

/// What the open pages of this process have in common.
pub(super) struct Live {
    places: Arc<Semaphore>,
    /// Open pages by reader.
    readers: std::sync::Mutex<BTreeMap<String, usize>>,
    seen: Mutex<Option<(Instant, Pulse)>>,
    stop: CancellationToken,
}

/// The place of an open page, until it is dropped.
struct Place {
    live: Arc<Live>,
    reader: String,
    _of_all: OwnedSemaphorePermit,
}

impl Live {
    pub(super) fn new(stop: CancellationToken) -> Self {
        Self {
            places: Arc::new(Semaphore::new(STREAMS)),
            readers: std::sync::Mutex::default(),
            seen: Mutex::default(),
            stop,
        }
    }

    /// A place for one more page of this reader, if there is one.
    fn place(self: &Arc<Self>, reader: &str) -> Option<Place> {
        let of_all = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        let open = readers.entry(reader.to_owned()).or_default();
        if *open == OF_ONE {
            return None;
        }
        *open += 1;
        Some(Place { live: Arc::clone(self), reader: reader.to_owned(), _of_all: of_all })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut readers = self.live.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = readers.get_mut(&self.reader) {
            *open -= 1;
            if *open == 0 {
                readers.remove(&self.reader);
            }
        }
    }
}

/// One open page.
struct Watching {
    console: Console,
    cookies: CookieJar,
    told: Option<Pulse>,
    asked: Instant,
    _place: Place,
}

pub(super) async fn live(State(console): State<Console>, reader: Reader, cookies: CookieJar) -> Response {
    let Some(place) = console.live.place(&reader.caller.name) else {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_all_places() {
        let live = Arc::new(Live::new(CancellationToken::new()));
        let mut open: Vec<Place> = (0..OF_ONE).map(|_| live.place("olena").unwrap()).collect();
        assert!(live.place("olena").is_none());
        assert!(live.place("petro").is_some());
        open.pop();
        open.push(live.place("olena").unwrap());
        let others: Vec<Place> = (0..STREAMS).map_while(|reader| live.place(&reader.to_string())).collect();
        assert_eq!(others.len(), STREAMS - OF_ONE, "so many at once");
        drop((open, others));
        assert!(live.readers.lock().unwrap().is_empty(), "nobody is remembered for ever");
    }
}
