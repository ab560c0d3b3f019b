//! Bringing leads to a destination: claim → look up → decide → plan stored → steps pushed → outcomes stored.
//!
//! One [`Worker`] per destination, and at any moment one process that runs it: the one that holds the lease ([`hold`]).
//! Everything a worker knows beyond the database may be lost: a claim of an older epoch is free again, a step stored as
//! `sent` counts as unknown, and an unknown step is looked up before it is ever sent again.
//!
//! | state of a sync | who looks at it again, and when |
//! |---|---|
//! | ready | [`worker`], at `next_at` |
//! | pushing | [`worker`], at `next_at`: the steps that are left ([`push`]) |
//! | unknown | [`worker`], when the CRM has settled: a look-up ([`settle`]); what it is at work on, when it is worth asking again |
//! | waiting | [`worker`], at `next_at`: decided anew |
//! | held | nobody, until a person says push or skip ([`crate::operation::held`]); pushed, it is decided anew |
//! | synced, filtered, needs-attention | [`audit`], once, where a step was sent again after a look-up; then nobody, until a person replays them ([`crate::operation::replay`]) |

mod audit;
mod backoff;
mod breaker;
mod budget;
mod calls;
mod candidates;
#[cfg(test)]
mod fixture;
mod hands;
mod hold;
mod journal;
mod judge;
mod pins;
mod push;
mod records;
mod settle;
mod users;
mod worker;

pub use hold::{Hold, Moment, Presence, SURE, WATCH};
pub use worker::{Worker, WorkerHandle};
