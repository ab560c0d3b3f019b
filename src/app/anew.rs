//! Tasks that begin anew when they end abnormally: nobody waits for them, so nobody would see that they are gone.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio_util::sync::CancellationToken;
use tracing::error;

/// How soon what ended abnormally begins anew.
const SOON: Duration = Duration::from_secs(1);

/// Runs a task to its end, and begins it anew when it fails, until `stop`. `what` says in the log what it does.
pub(super) async fn begin_anew<F: Future<Output = ()>>(
    what: &'static str,
    stop: CancellationToken,
    task: impl Fn(CancellationToken) -> F,
) {
    // Each run is made of the same parts, and none is left half-changed: they are channels and the registry.
    while AssertUnwindSafe(task(stop.clone())).catch_unwind().await.is_err() {
        error!(
            "what {what} ended abnormally; this is a bug of leadfold: report it with the log of this time. It begins anew"
        );
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(SOON) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn what_fails_begins_anew_and_what_ends_does_not() {
        let runs = AtomicU32::new(0);
        let task = |_| async {
            assert_eq!(runs.fetch_add(1, Ordering::Relaxed), 1, "it fails the first time");
        };
        begin_anew("is tried here", CancellationToken::new(), task).await;
        assert_eq!(runs.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn a_stop_ends_what_always_fails() {
        let stop = CancellationToken::new();
        stop.cancel();
        let runs = AtomicU32::new(0);
        let task = |_| async {
            runs.fetch_add(1, Ordering::Relaxed);
            panic!("it fails");
        };
        begin_anew("is tried here", stop, task).await;
        assert_eq!(runs.load(Ordering::Relaxed), 1);
    }
}
