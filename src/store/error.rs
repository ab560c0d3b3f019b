//! Why the database did not do what it was asked, and what that means for whoever asked.

use crate::telemetry::masked;

/// Why something could not be stored or read, in words for the log and for whoever runs the server.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct StoreError {
    pub(super) message: String,
    pub(super) kind: Failure,
}

/// What a failure means for whoever asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// It may pass.
    MayPass,
    /// The database is not there, or cannot do what it is asked: a full disk, a broken connection. Nothing is wrong with
    /// what was asked, and nothing else would fare better. `known` when somebody has said so already.
    Away {
        /// It is no news.
        known: bool,
    },
    /// No connection was to be had: all are busy, or the server gives no more. Whether it takes writes is another question,
    /// and nothing is known against the connections that there are.
    Busy,
    /// The same work may succeed when it is simply run again (a serialisation failure or a deadlock).
    RunAgain,
    /// The database works, and does not take these very rows.
    Refused,
    /// Another process has the lease, or the store is closed: this process records nothing more.
    Final,
}

impl StoreError {
    /// An error that may pass by itself.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), kind: Failure::MayPass }
    }

    /// An error after which this process must not go on with what it was recording.
    pub(crate) fn for_good(message: impl Into<String>) -> Self {
        Self { message: message.into(), kind: Failure::Final }
    }

    /// The database is not there, or cannot do what it is asked.
    pub(crate) fn away(message: impl Into<String>) -> Self {
        Self { message: message.into(), kind: Failure::Away { known: false } }
    }

    /// No connection was to be had.
    pub(super) fn busy(message: impl Into<String>) -> Self {
        Self { message: message.into(), kind: Failure::Busy }
    }

    /// The same where the database is named with another option.
    pub(super) fn naming(self, option: &str) -> Self {
        Self { message: self.message.replace("--database", option), ..self }
    }

    /// Whether the database is not there, or cannot do what it is asked.
    pub(super) fn is_away(&self) -> bool {
        matches!(self.kind, Failure::Away { .. })
    }

    /// Whether no connection was to be had.
    pub(super) fn is_busy(&self) -> bool {
        self.kind == Failure::Busy
    }

    /// Whether nothing is wrong with what was asked and nothing else would fare better: it is of no use to try the parts
    /// of a group one by one.
    pub(crate) fn meets_all(&self) -> bool {
        self.is_away() || self.is_busy()
    }

    /// Whether the log should tell of it: what meets all is told of once, not by everybody who has to do with it.
    pub(crate) fn is_news(&self) -> bool {
        !matches!(self.kind, Failure::Away { known: true } | Failure::Busy)
    }

    pub(super) fn known(self) -> Self {
        Self { kind: Failure::Away { known: true }, ..self }
    }

    /// Whether trying the same again can only fail again.
    pub fn is_final(&self) -> bool {
        self.kind == Failure::Final
    }

    /// Whether the database works and does not take these very rows.
    pub fn is_refusal(&self) -> bool {
        self.kind == Failure::Refused
    }

    /// The database holds something that this version did not write.
    pub(crate) fn damaged(message: impl Into<String>) -> Self {
        Self::new(format!("the database holds an unexpected value: {}", message.into()))
    }
}

/// Somebody stands between, and hands statements of several clients to one connection.
const SHARED: &str = "a pooler before the database lends its connections from statement to statement, and mixes up what \
    was prepared there. PgBouncer in transaction mode does without trouble from version 1.21 on, with \
    max_prepared_statements = 1000; an older one needs pool_mode = session, or name the database itself with --database";

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let Some(refusal) = error.as_database_error() else {
            use sqlx::Error::{Io, PoolClosed, PoolTimedOut, Protocol, Tls, WorkerCrashed};
            #[expect(clippy::wildcard_enum_match_arm, reason = "of the many, these are told apart")]
            let kind = match error {
                Io(_) | Tls(_) | Protocol(_) | WorkerCrashed => Failure::Away { known: false },
                PoolTimedOut => Failure::Busy,
                PoolClosed => Failure::Final,
                _ => Failure::MayPass,
            };
            return Self { message: format!("the database did not answer: {error}"), kind };
        };
        let code = refusal.code().unwrap_or_default();
        let message = match &*code {
            // An invalid name of a prepared statement, or one that is there already.
            "26000" | "42P05" => SHARED.to_owned(),
            // The message alone: its detail quotes row values.
            _ => format!("the database says: {}", masked(refusal.message())),
        };
        Self { message, kind: failure(&code) }
    }
}

/// What an error code means. PostgreSQL's have five characters, of which two name a class (its documentation, appendix A);
/// SQLite's are numbers, of which the lowest byte counts.
pub(super) fn failure(code: &str) -> Failure {
    let away = Failure::Away { known: false };
    match code.as_bytes() {
        // Serialisation failure and deadlock.
        b"40001" | b"40P01" => Failure::RunAgain,
        // A statement that took too long, perhaps for a lock, and a transaction of which nothing was heard for too long:
        // the database is there.
        b"57014" | b"25P03" => Failure::MayPass,
        // A read-only transaction; and the classes of lost connections, insufficient resources (a full disk), intervention
        // by an operator, and errors of the system.
        b"25006" | [b'0', b'8', _, _, _] | [b'5', b'3' | b'7' | b'8', _, _, _] => away,
        // Data that does not fit, a constraint, a limit of the program, or an exception that a trigger raised.
        [b'2', b'2' | b'3', _, _, _] | [b'5', b'4', _, _, _] | [b'P', b'0', _, _, _] => Failure::Refused,
        [_, _, _, _, _] => Failure::MayPass,
        _ => match code.parse::<u32>().map(|code| code & 0xff) {
            // What speaks of the file and not of what was asked: permission, busy, locked, out of memory, read-only, input
            // and output, damaged, full, cannot open, locking protocol, not a database.
            Ok(3 | 5..=8 | 10 | 11 | 13..=15 | 26) => away,
            // Too large, a constraint, and a type that does not fit.
            Ok(18..=20) => Failure::Refused,
            _ => Failure::MayPass,
        },
    }
}
