//! Odoo: what its adapter does beyond the conformance of every CRM, against a stand-in, and against a real one where
//! `ODOO_URL`, `ODOO_DB` and `ODOO_KEY` are set.

mod adapter;
mod domain;
pub(crate) mod real;
mod scenarios;
pub(crate) mod stand_in;
