//! What people do with the console, in a real browser.
//!
//! What is asserted is what a page shows, or what the sandbox's CRM has: nothing is read from the registry.

mod finding;
mod lead;
mod mapping;
mod request;
mod saving;
mod sign_in;
mod wizard;
