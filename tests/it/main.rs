//! Integration tests: one binary, everything over real sockets and real files.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod rig;
mod scenarios;
mod tidy;
