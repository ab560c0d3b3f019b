//! Integration tests: one binary, everything over real sockets and real files.

#![expect(clippy::unwrap_used, clippy::string_slice, reason = "a test may panic")]

mod alerts;
mod answers;
mod api;
mod apply;
mod audits;
mod commands;
mod crm;
mod deploy;
mod doctor;
mod failpoints;
mod hostile;
mod humans;
mod kill;
mod laws;
mod leases;
mod live;
mod many;
mod migrate;
mod mishaps;
mod moving;
mod odoo;
mod outage;
mod partition;
mod phone_differential;
mod pools;
mod postgres;
mod receive;
mod rehearse;
mod reload;
mod replay;
mod retention;
mod rig;
mod scenarios;
mod schema;
mod sources;
mod states;
mod store;
mod tidy;
mod tls;
mod torture;
mod who;
mod windows;
