//! The faults of the sandbox CRM, one flag each, under the names of `POST /faults`.

use clap::Args;

use super::Failure;
use crate::sandbox::{Faults, Latency, Rate};

/// What goes wrong on purpose; all of it can be changed later with `POST /faults`.
#[derive(Debug, Args)]
#[command(next_help_heading = "Faults of the CRM (change them at run time with POST /faults)")]
pub(super) struct FaultOptions {
    /// Every call takes this many milliseconds: 20, or 10-50
    #[arg(long, value_name = "MS")]
    latency_ms: Option<Latency>,
    /// More calls than this are answered with 429: 10/s, 100/10s
    #[arg(long, value_name = "RATE")]
    rate: Option<Rate>,
    /// Searches show a write only after this many milliseconds
    #[arg(long, value_name = "MS", default_value_t = 0)]
    search_lag_ms: u64,
    /// Part of the calls that answer 500 and commit nothing: 0.2
    #[arg(long, value_name = "PART", default_value_t = 0.0)]
    fail_before: f64,
    /// Part of the calls that commit and then never answer
    #[arg(long, value_name = "PART", default_value_t = 0.0)]
    timeout_after: f64,
    /// Part of the calls whose connection is cut, before or after committing
    #[arg(long, value_name = "PART", default_value_t = 0.0)]
    reset: f64,
    /// Part of the writes whose connection is cut, and that are committed later all the same
    #[arg(long, value_name = "PART", default_value_t = 0.0)]
    late_commit: f64,
    /// So many milliseconds later
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    late_commit_ms: u64,
    /// Records cannot be searched by marker
    #[arg(long)]
    no_marker_lookup: bool,
    /// POST /batch exists
    #[arg(long)]
    batch: bool,
    /// Every token is refused
    #[arg(long)]
    unauthorised: bool,
}

impl FaultOptions {
    /// The faults, or which flag makes no sense.
    pub(super) fn faults(&self) -> Result<Faults, Failure> {
        Faults {
            latency_ms: self.latency_ms.unwrap_or_default(),
            rate: self.rate,
            search_lag_ms: self.search_lag_ms,
            fail_before: self.fail_before,
            timeout_after: self.timeout_after,
            reset: self.reset,
            late_commit: self.late_commit,
            late_commit_ms: self.late_commit_ms,
            marker_lookup: !self.no_marker_lookup,
            batch: self.batch,
            unauthorised: self.unauthorised,
        }
        .checked()
    }
}
