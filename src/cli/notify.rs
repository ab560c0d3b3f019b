//! Telling the service manager how far the server is (`Type=notify` of systemd), so that `systemctl restart` returns once
//! the new process answers, and several processes can be restarted one after another without a script that asks.
//!
//! The protocol is one datagram of text to the socket that `$NOTIFY_SOCKET` names: `sd_notify(3)`. systemd names a path;
//! the abstract names (`@…`) of that page are not spoken. There is deliberately no watchdog: on a machine that is short
//! of processor time it would kill what only waits for its turn.

use std::io;
use std::os::unix::net::UnixDatagram;

use super::process_environment;

/// What the service manager learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// Requests are answered.
    Ready,
    /// The orderly end has begun.
    Stopping,
}

/// Tells it, where there is one. A failure is logged and no more: systemd then waits in vain, and says so itself.
pub(super) fn notify(event: Event) {
    let Some(socket) = process_environment()("NOTIFY_SOCKET").filter(|socket| !socket.is_empty()) else {
        return;
    };
    if let Err(error) = send(&socket, event) {
        tracing::warn!(%error, socket, "the service manager could not be told of {event:?}; look at $NOTIFY_SOCKET");
    }
}

fn send(socket: &str, event: Event) -> io::Result<()> {
    let text = match event {
        Event::Ready => "READY=1",
        Event::Stopping => "STOPPING=1",
    };
    UnixDatagram::unbound()?.send_to(text.as_bytes(), socket).map(drop)
}
