//! Integration tests: one binary, everything over real sockets and real files.

#![expect(clippy::unwrap_used, clippy::string_slice, reason = "a test may panic")]

mod alerts;
mod answers;
mod api;
mod apply;
mod commands;
mod crm;
mod doctor;
mod hostile;
mod kill;
mod laws;
mod live;
mod mishaps;
mod odoo;
mod outage;
mod phone_differential;
mod pools;
mod postgres;
mod receive;
mod rehearse;
mod reload;
mod replay;
mod rig;
mod scenarios;
mod schema;
mod sources;
mod states;
mod store;
mod tidy;
mod windows;
