//! Finding a database by its address, and saying which one could not be opened and what to do about it.

use std::convert::Infallible;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, PgPool};
use tokio::time::{Instant, sleep};
use tracing::warn;

use super::StoreError;
use super::health::Health;

/// A connection that was idle for longer may have been cut by a firewall.
const ASK_AFTER: Duration = Duration::from_secs(30);
/// How often, in milliseconds, the server looks whether whoever asked is still there while it works for them.
const SEE_WHO_LEFT: &str = "SET client_connection_check_interval = 2000";
/// Whoever starts is told after this time that it waits for the database; a connection is made in less.
const SOON: Duration = Duration::from_millis(500);
/// And after each of these again.
const SAY_AGAIN: Duration = Duration::from_secs(5);

/// Whether a database is PostgreSQL; otherwise it is SQLite.
pub(crate) fn is_postgres(url: &str) -> Result<bool, StoreError> {
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        Ok(true)
    } else if url.starts_with("sqlite:") {
        Ok(false)
    } else {
        Err(StoreError::new(format!(
            "--database '{}' is neither sqlite://FILE nor postgres://…: name one of them",
            url.split("://").next().unwrap_or_default()
        )))
    }
}

/// A SQLite file as every connection to it is opened.
pub(super) fn sqlite_options(url: &str) -> Result<SqliteConnectOptions, StoreError> {
    let options = SqliteConnectOptions::from_str(url).map_err(|error| {
        StoreError::new(format!("--database cannot be read ({error}): write sqlite://FILE"))
    })?;
    Ok(options.busy_timeout(Duration::from_secs(10)).foreign_keys(false).statement_cache_capacity(512))
}

pub(super) fn exists(options: &SqliteConnectOptions) -> Result<(), StoreError> {
    if options.get_filename().exists() {
        return Ok(());
    }
    Err(StoreError::new(format!(
        "there is no database at {}: start `leadfold serve` once, or name it with --database",
        options.get_filename().display()
    )))
}

/// Parameters that an address of PostgreSQL may have. Another would be left out of account without a word, and some are
/// about who may read what is sent.
const PARAMETERS: [&str; 12] = [
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "application_name",
    "options",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
];

/// How to reach a PostgreSQL.
pub(super) fn postgres_options(url: &str) -> Result<PgConnectOptions, StoreError> {
    for (name, value) in form_urlencoded::parse(url.split_once('?').map_or("", |(_, query)| query).as_bytes())
    {
        if !PARAMETERS.contains(&&*name) {
            return Err(StoreError::new(format!(
                "--database has the parameter '{name}', which leadfold does not know: take it out. It knows {}",
                PARAMETERS.join(", ")
            )));
        }
        if matches!(&*name, "sslrootcert" | "sslcert" | "sslkey")
            && let Err(error) = std::fs::File::open(&*value)
        {
            return Err(StoreError::new(format!(
                "--database names {value} as {name}, which cannot be read: {error}"
            )));
        }
    }
    // The text of the error never holds the address, which may carry a password.
    let options = PgConnectOptions::from_str(url).map_err(|error| {
        StoreError::new(format!(
            "--database cannot be read ({error}): write postgres://user:password@host/name"
        ))
    })?;
    // Poolers refuse to start a connection with it, and there are no such numbers here.
    let options = options.extra_float_digits(None);
    // As PostgreSQL's own programs do: whoever names an authority wants nobody else.
    let only_encrypts = matches!(options.get_ssl_mode(), PgSslMode::Require);
    let names_authority = url.contains("sslrootcert=");
    Ok(if only_encrypts && names_authority { options.ssl_mode(PgSslMode::VerifyCa) } else { options })
}

/// Host, port and name of a database, as messages name it.
pub(super) fn place_of(options: &PgConnectOptions) -> String {
    let database = options.get_database().unwrap_or(options.get_username());
    match options.get_socket() {
        Some(socket) => format!("{}:{}/{database}", socket.display(), options.get_port()),
        None => format!("{}:{}/{database}", options.get_host(), options.get_port()),
    }
}

/// How connections are pooled.
pub(super) fn pool_options(connections: u32, patience: Duration, health: &Arc<Health>) -> PgPoolOptions {
    let health = Arc::clone(health);
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(patience)
        // Asking each time would double what a small read costs. Those that may be broken are asked, or not used at all.
        .test_before_acquire(false)
        .after_connect(|connection, _| {
            // A statement that we gave up (it waits for a lock, say) ends there too, and its place among the connections of
            // the server is free: otherwise they would pile up. A server whose system cannot tell refuses this.
            Box::pin(async move { connection.execute(SEE_WHO_LEFT).await.map_or(Ok(()), |_| Ok(())) })
        })
        .before_acquire(move |connection, about| {
            let trusted = health.trusts(about.age);
            Box::pin(async move {
                if trusted && about.idle_for > ASK_AFTER {
                    connection.ping().await?;
                }
                Ok(trusted)
            })
        })
}

/// Connections to PostgreSQL, and where it is.
pub(super) async fn postgres_pool(
    url: &str,
    connections: u32,
    patience: Duration,
    health: &Arc<Health>,
) -> Result<(PgPool, String), StoreError> {
    let options = postgres_options(url)?;
    let place = place_of(&options);
    let pool = pool_options(connections, patience, health);
    let connected = tokio::select! {
        connected = pool.connect_with(options.clone()) => connected,
        never = say_that_it_waits(&options, &place, patience) => match never {},
    };
    match connected {
        Ok(pool) => Ok((pool, place)),
        Err(sqlx::Error::PoolTimedOut) => Err(cannot_open(&place, &why_none(&options, patience).await)),
        Err(error) => Err(cannot_open(&place, &error)),
    }
}

/// Says at once, and now and then, what is waited for and why.
async fn say_that_it_waits(options: &PgConnectOptions, place: &str, patience: Duration) -> Infallible {
    let began = Instant::now();
    sleep(SOON).await;
    loop {
        let (why, _) = why_not(&why_none(options, SOON).await);
        warn!(
            database = place,
            why,
            seconds = began.elapsed().as_secs(),
            at_most = patience.as_secs(),
            "waiting for PostgreSQL; nobody is served before it answers"
        );
        sleep(SAY_AGAIN).await;
    }
}

/// Why a pool has no connection: it has tried again and again, and does not say what went wrong.
pub(super) async fn why_none(options: &PgConnectOptions, patience: Duration) -> sqlx::Error {
    let once = tokio::time::timeout(patience, options.connect()).await;
    once.ok().and_then(Result::err).unwrap_or(sqlx::Error::PoolTimedOut)
}

/// Which database it is, what is wrong with it, and what to do.
pub(super) fn cannot_open(place: &str, error: &sqlx::Error) -> StoreError {
    let (why, advice) = why_not(error);
    StoreError::new(format!("the database at {place} cannot be opened: {why}. {advice}"))
}

fn why_not(error: &sqlx::Error) -> (String, &'static str) {
    let usual = "Look whether it is up and yours, or name another with --database";
    match error.as_database_error() {
        // The message alone: its detail quotes row values.
        Some(refusal) => (refusal.message().to_owned(), usual),
        None if matches!(error, sqlx::Error::PoolTimedOut) => ("it does not answer".to_owned(), usual),
        None => untrusted(error).unwrap_or_else(|| (error.to_string(), usual)),
    }
}

/// Why an encrypted connection did not come about.
fn untrusted(error: &sqlx::Error) -> Option<(String, &'static str)> {
    use rustls::CertificateError::{
        BadSignature, Expired, ExpiredContext, NotValidForName, NotValidForNameContext, UnknownIssuer,
    };
    if let sqlx::Error::Tls(why) = error {
        return Some((why.to_string(), "Switch TLS on at the server, or write sslmode=disable"));
    }
    let sqlx::Error::Io(broken) = error else { return None };
    let refused = broken.get_ref()?.downcast_ref::<rustls::Error>()?;
    let rustls::Error::InvalidCertificate(why) = refused else {
        return Some((refused.to_string(), "Look at the TLS settings of the server"));
    };
    #[expect(clippy::wildcard_enum_match_arm, reason = "of the many, these are told apart")]
    Some(match why {
        // An authority may share the name of one that is known.
        UnknownIssuer | BadSignature => (
            "its certificate is from an authority that this machine does not know".to_owned(),
            "Name the file with that authority's certificate: ?sslmode=verify-full&sslrootcert=FILE",
        ),
        NotValidForName | NotValidForNameContext { .. } => (
            "its certificate is for another host".to_owned(),
            "Name the host as its certificate does; a server that cannot be trusted must not get leads",
        ),
        Expired | ExpiredContext { .. } => {
            ("its certificate has expired".to_owned(), "Renew it at the server, or set the clock here")
        }
        other => (
            format!("its certificate is refused ({other:?})"),
            "Give the server a certificate that an authority has signed for its host",
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_address_asks_for_is_done_or_refused() {
        let check = |url: &str, expect: &str| {
            let said = match postgres_options(url) {
                Ok(options) => format!("{} {:?}", place_of(&options), options.get_ssl_mode()),
                Err(refusal) => refusal.to_string(),
            };
            assert!(said.contains(expect), "{url}: {said}");
            assert!(!said.contains("s3cret"), "{url}: {said}");
        };
        let file = std::env::current_exe().unwrap();
        let file = file.display();
        check("postgres://leadfold:s3cret@db:6432/leads?sslmode=require", "db:6432/leads Require");
        check("postgres://db/leads?sslmode=verify-full", "db:5432/leads VerifyFull");
        check(&format!("postgres://db/leads?sslmode=require&sslrootcert={file}"), "VerifyCa");
        check(&format!("postgres://db/leads?sslmode=verify-full&sslrootcert={file}"), "VerifyFull");
        check("postgres://db/leads?sslrootcert=/nowhere/ca.pem", "names /nowhere/ca.pem as sslrootcert");
        check("postgres://db/leads?sslmode=safe", "--database cannot be read");
        check("postgres://db/leads?channel_binding=require", "the parameter 'channel_binding'");
        check("postgres://db/leads?sslpassword=s3cret", "the parameter 'sslpassword'");
        check("postgres://leadfold:s3cret@db:x/leads", "--database cannot be read");
    }
}
