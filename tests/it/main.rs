//! Integration tests: one binary, everything over real sockets and real files.

#![expect(clippy::unwrap_used, clippy::string_slice, reason = "a test may panic")]

mod crm;
mod laws;
mod mishaps;
mod phone_differential;
mod receive;
mod rig;
mod scenarios;
mod store;
mod tidy;
