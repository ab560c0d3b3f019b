//! Everything that runs over real sockets: one binary.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod crm;
