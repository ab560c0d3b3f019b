//! A way to a database that can be closed, cut, and made to swallow everything.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What becomes of what is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// It arrives.
    Open,
    /// Connections break, and new ones break at once: the other side is down.
    Closed,
    /// Nothing arrives in either direction, and nobody is told. Connections that were there then are dead for ever, as
    /// when a firewall forgets them.
    Hole,
    /// What is asked arrives; the answer does not, and the connection breaks instead.
    Deaf,
}

pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    way: watch::Sender<Way>,
}

impl Proxy {
    /// Stands before a server.
    pub(crate) async fn before(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (way, now) = watch::channel(Way::Open);
        let server: Arc<str> = server.into();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(connect(near, Arc::clone(&server), now.clone()));
            }
        });
        Self { address, way }
    }

    pub(crate) fn make(&self, way: Way) {
        self.way.send_replace(way);
    }
}

async fn connect(near: TcpStream, server: Arc<str>, now: watch::Receiver<Way>) {
    if *now.borrow() == Way::Closed {
        return;
    }
    let Ok(far) = TcpStream::connect(&*server).await else { return };
    let ((near_from, near_to), (far_from, far_to)) = (near.into_split(), far.into_split());
    tokio::select! {
        () = pass(near_from, far_to, now.clone(), false) => {}
        () = pass(far_from, near_to, now, true) => {}
    }
}

/// Passes on until one side ends or the way does.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut now: watch::Receiver<Way>, answers: bool) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let way = *now.borrow_and_update();
        if way == Way::Hole {
            // Only the end of the test ends it.
            std::future::pending::<()>().await;
        }
        tokio::select! {
            changed = now.changed() => {
                if changed.is_err() || *now.borrow() == Way::Closed {
                    return;
                }
            }
            read = from.read(&mut buffer) => {
                let Ok(length @ 1..) = read else { return };
                match *now.borrow() {
                    Way::Open => {}
                    Way::Deaf if !answers => {}
                    Way::Closed | Way::Deaf => return,
                    Way::Hole => continue,
                }
                if to.write_all(&buffer[..length]).await.is_err() {
                    return;
                }
            }
        }
    }
}
