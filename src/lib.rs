//! leadfold brings every chatbot lead into the CRM once: one contact, one open deal, nothing lost.
//!
//! # The way of a lead
//!
//! Every step starts from a row and ends in a row; signals only wake somebody sooner.
//!
//! ```text
//! receive   verify · store the delivery durably (group commit) · answer 2xx
//! prepare   split → map → normalise → filter → resolve · one transaction: events, leads, people, syncs
//! sync      claim → look up (our links first, then the CRM) → decide → plan stored → steps pushed → outcomes stored
//! ```
//!
//! # Where things are
//!
//! A module imports only from lines above its own, and a pure module only pure ones; a test checks both, and that this
//! table has every module in this order.
//!
//! | | module | what it is |
//! |---|---|---|
//! | words | [`id`], [`lead`], [`rules`], [`plan`], [`token`], [`access`] | the values that every stage speaks |
//! | pure | [`event`] | one request as received, and the presets that split and key it |
//! | | [`normalise`] | raw text → phone, email, or a flaw |
//! | | [`links`] | links between a bot's people and a site's users: PINs, tokens, what a start parameter is, every outcome |
//! | | [`map`] | YAML × event → what a lead becomes; `check`'s problems with file, line and column; the JSON Schema |
//! | | [`pipeline`] | event → lead: the one place that calls `map` and `normalise` |
//! | | [`resolve`] | identifiers × what is known → whose lead it is |
//! | | [`decide`] | lead × what the CRM has × rules → a plan with its reasons, and who of an owner pool takes it |
//! | IO | [`clock`] | time and ids, as an argument |
//! | | [`failpoint`] | marks where a test ends or fails the process; nothing without the feature `failpoints` |
//! | | [`telemetry`] | logs and metrics |
//! | | [`store`] | the registry: inbox, queue, identity and audit trail in one database |
//! | | [`crm`] | CRMs, a module each, over one HTTP client with limiter, time-out and classification |
//! | | [`workspace`] | reads a workspace's folder, and compiles any version of it |
//! | | [`compare`] | what a workspace names × what a CRM has → problems; pure, for `check` and `doctor` |
//! | edges | [`receive`] | `/in/<source>/<token>` |
//! | | [`prepare`] | from deliveries to leads |
//! | | [`sync`] | from leads to the CRM, one worker per destination |
//! | | [`alerts`] | tells a person once per new cause |
//! | | [`gauges`] | how much waits, for `/metrics` |
//! | | [`retention`] | removes what is old |
//! | | [`trial`] | runs the `tests:` of mappings with the production stages |
//! | | [`rehearse`] | runs another version over stored deliveries, or other identity rules over all leads, and says what would change |
//! | | [`operation`] | what people ask for by command or by `/api`: replay, live, apply, people, erase, mappings |
//! | | [`web`] | `/api`, `/metrics`, `/healthz`, `/readyz` |
//! | | [`console`] | `/`: the pages for people |
//! | beside | [`sandbox`], [`demo`] | our own small CRM with switchable faults, and the sample requests |
//! | | [`torture`] | tries to make leadfold lose or double something, and reckons up whether it did |
//! | wiring | [`app`] | one running leadfold, on the active version of its workspace |
//! | | [`cli`] | the commands |
//!
//! # Where to begin
//!
//! | to … | look at |
//! |---|---|
//! | understand a decision | the table in [`decide`], then its tests: each row is a case |
//! | find out who looks at a lead next | the table of states in [`sync`] |
//! | add a CRM | the sandbox's adapter in `crm/sandbox`, then [`crm::Description`] and the conformance suite `tests/it/crm.rs` |
//! | add a platform | [`event::PRESETS`] |
//! | add something that people ask for | [`operation::Operation`] |
//! | find a statement | the table in [`store`] |
//!
//! # What holds everywhere
//!
//! * [`decide`] makes every choice; pushing makes none.
//! * Live traffic, retry, replay, preview and tests run the same functions.
//! * No transaction is open across a network call.
//! * A create that may have happened is never blindly repeated: see [`sync`].
//! * Personal data is masked in logs ([`lead::mask`], [`telemetry::masked`]); secrets do not print at all.
//!
//! # What is deliberately absent
//!
//! A repository trait, a workflow language (a mapping is data with placeholders), a second store beside the database,
//! similarity matching (a name alone never joins anybody), and any merge inside a CRM.

pub mod access;
pub mod alerts;
pub mod app;
pub mod cli;
pub mod clock;
pub mod compare;
pub mod console;
pub mod crm;
pub mod decide;
pub mod demo;
pub mod event;
pub mod failpoint;
pub mod gauges;
pub mod id;
pub mod lead;
pub mod links;
pub mod map;
pub mod normalise;
pub mod operation;
pub mod pipeline;
pub mod plan;
pub mod prepare;
pub mod receive;
pub mod rehearse;
pub mod resolve;
pub mod retention;
pub mod rules;
pub mod sandbox;
pub mod store;
pub mod sync;
pub mod telemetry;
pub mod token;
pub mod torture;
pub mod trial;
pub mod web;
pub mod workspace;
