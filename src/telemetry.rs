//! Logs and metrics.
//!
//! House rule: personal data never reaches a log line. Values of our own are written through [`crate::lead::mask`];
//! texts of others (database errors, answers of a CRM) go through [`masked`] first.

use std::io::IsTerminal as _;
use std::time::Duration;

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::time::{MissedTickBehavior, interval};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use crate::lead::mask;

/// Names of the metrics, with their labels.
pub mod metric {
    /// Counter `{source, answer}`: requests on `/in`, by what they were answered.
    pub const DELIVERIES: &str = "leadfold_deliveries_total";
    /// Histogram, seconds: from the headers of a request until its delivery was on disk.
    pub const ACK_SECONDS: &str = "leadfold_ack_seconds";
    /// Counter `{source, state}`: new leads, by what the mapping made of them: mapped, filtered, needs-attention.
    pub const LEADS: &str = "leadfold_leads_total";
    /// Counter `{destination, state}`: syncs that came to an end: synced, filtered, needs-attention.
    pub const SYNCS: &str = "leadfold_syncs_total";
    /// Counter `{destination, operation, answer}`: calls of destinations.
    pub const CALLS: &str = "leadfold_calls_total";
    /// Histogram `{destination, operation}`, seconds: how long calls took, without the wait for the budget.
    pub const CALL_SECONDS: &str = "leadfold_call_seconds";
    /// Gauge `{destination, state}`: syncs that are not finished.
    pub const BACKLOG: &str = "leadfold_backlog";
    /// Gauge `{stage, destination}`, seconds: how long the oldest row that could be worked on has been waiting. Stage
    /// `prepare` has no destination, stage `sync` has one.
    pub const OLDEST_DUE_SECONDS: &str = "leadfold_oldest_due_seconds";
    /// Counter `{result}`: edits and versions of the workspace that this process took up, or refused: taken, refused.
    pub const RELOADS: &str = "leadfold_reloads_total";
    /// Gauge, 0 or 1: the newest edit cannot be used and an older version runs, or the files differ from what runs.
    pub const WORKSPACE_NOTICE: &str = "leadfold_workspace_notice";
    /// Gauge, 0 or 1: the active version cannot be used by this process, which receives and neither prepares nor pushes.
    pub const STANDING_BY: &str = "leadfold_standing_by";
    /// Gauge, 0 or 1: the database takes no writes, and senders are answered 503.
    pub const STORAGE_FAILING: &str = "leadfold_storage_failing";
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Why logs or metrics could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is not one.
    #[error("--log cannot be read: {0}. Write for instance `info` or `leadfold=debug,info`")]
    Filter(#[from] ParseError),
    /// Set up twice in one process.
    #[error("logging is already set up: {0}")]
    Logs(Box<dyn std::error::Error + Send + Sync>),
    /// Set up twice in one process, or a wrong bucket.
    #[error("metrics cannot be set up: {0}")]
    Metrics(#[from] BuildError),
}

/// Sends log lines to the standard error. `filter` is a `tracing` filter such as `info` or `leadfold=debug,info`.
pub fn start_logs(format: LogFormat, filter: &str) -> Result<(), TelemetryError> {
    let lines =
        tracing_subscriber::fmt().with_env_filter(EnvFilter::try_new(filter)?).with_writer(std::io::stderr);
    // Colours are for people: in a file or a journal they break every search.
    let lines = if std::io::stderr().is_terminal() { lines } else { lines.with_ansi(false) };
    match format {
        LogFormat::Text => lines.with_target(false).try_init(),
        LogFormat::Json => lines.json().try_init(),
    }
    .map_err(TelemetryError::Logs)
}

/// The metrics of this process.
#[derive(Clone, Debug)]
pub struct Metrics(PrometheusHandle);

/// Upper bounds in seconds: acknowledgements are about a millisecond, calls of a CRM up to half a minute.
const SECONDS: [f64; 12] = [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

impl Metrics {
    /// Begins to count, for the whole process.
    pub fn start() -> Result<Self, TelemetryError> {
        let handle = builder()?.install_recorder()?;
        describe();
        Ok(Self(handle))
    }

    /// Everything counted so far, as Prometheus reads it.
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// Folds recorded samples into their buckets for ever. Without it a histogram that nobody scrapes keeps every sample.
    pub async fn keep_small(self) {
        let mut tick = interval(Duration::from_secs(5));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            self.0.run_upkeep();
        }
    }
}

fn builder() -> Result<PrometheusBuilder, BuildError> {
    PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
}

fn describe() {
    describe_counter!(metric::DELIVERIES, "Requests on /in, by source and answer");
    describe_histogram!(
        metric::ACK_SECONDS,
        Unit::Seconds,
        "From the headers of a request until its delivery was on disk"
    );
    describe_counter!(metric::LEADS, "New leads, by source and what the mapping made of them");
    describe_counter!(metric::SYNCS, "Syncs that came to an end, by destination and state");
    describe_counter!(metric::CALLS, "Calls of destinations by operation and answer");
    describe_histogram!(metric::CALL_SECONDS, Unit::Seconds, "How long calls of destinations took");
    describe_gauge!(
        metric::BACKLOG,
        "Syncs that are not finished, by destination and state; held ones wait for `leadfold live`"
    );
    describe_gauge!(
        metric::OLDEST_DUE_SECONDS,
        Unit::Seconds,
        "How long the oldest row that could be worked on has waited"
    );
    describe_counter!(metric::RELOADS, "Edits of the workspace that were taken up or refused");
    describe_gauge!(metric::WORKSPACE_NOTICE, "1 while the files of the workspace are not what runs");
    describe_gauge!(metric::STANDING_BY, "1 while this process only receives");
    describe_gauge!(
        metric::STORAGE_FAILING,
        "1 while the database takes no writes and senders are answered 503"
    );
}

/// A run of this many digits may be a phone.
const PHONE_DIGITS: usize = 7;

/// A text of somebody else (a database, a CRM) for a log or a message: whatever looks like an email or a phone in it is
/// masked. So are long ids; a message can do without them.
pub fn masked(text: &str) -> String {
    let part_of_address = |letter: char| letter.is_alphanumeric() || "@.+-_%'".contains(letter);
    let hide = |(inside, run): (bool, String)| if inside && run.contains('@') { mask(&run) } else { run };
    let text: String = runs(text, part_of_address).into_iter().map(hide).collect();

    let part_of_number = |letter: char| letter.is_numeric() || "+()-. ".contains(letter);
    let hide = |(inside, run): (bool, String)| {
        let digits = run.chars().filter(|letter| letter.is_numeric()).count();
        if !inside || digits < PHONE_DIGITS {
            return run;
        }
        let number = run.trim_matches(|letter: char| !letter.is_numeric() && letter != '+');
        run.replacen(number, &mask(number), 1)
    };
    runs(&text, part_of_number).into_iter().map(hide).collect()
}

/// Splits into runs for which `belongs` is alike.
fn runs(text: &str, belongs: fn(char) -> bool) -> Vec<(bool, String)> {
    let mut runs: Vec<(bool, String)> = Vec::new();
    for letter in text.chars() {
        let inside = belongs(letter);
        match runs.last_mut() {
            Some((kind, run)) if *kind == inside => run.push(letter),
            _ => runs.push((inside, letter.to_string())),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn personal_data_of_others_is_masked() {
        let check = |text: &str, expect: &str| assert_eq!(masked(text), expect);
        check("connection refused (os error 111)", "connection refused (os error 111)");
        check("", "");
        check("Key (value)=(+380671234567) already exists", "Key (value)=(+38•••67) already exists");
        check("phone: +38 (067) 123-45-67, sorry", "phone: +38•••67, sorry");
        check("no user anna.k@example.com here", "no user ann•••om here");
        check("Анна <анна@пошта.укр>; 0671234567", "Анна <анн•••кр>; 067•••67");
        check("tel380671234567", "tel380•••67");
        check("port 5432, retry 3 of 12", "port 5432, retry 3 of 12");
    }

    #[test]
    fn histograms_have_buckets_and_described_names() {
        let recorder = builder().unwrap().build_recorder();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            describe();
            metrics::histogram!(metric::ACK_SECONDS).record(Duration::from_millis(3));
            metrics::counter!(metric::DELIVERIES, "source" => "sendpulse", "answer" => "kept").increment(2);
        });
        let text = handle.render();
        assert!(text.contains("leadfold_ack_seconds_bucket{le=\"0.005\"} 1"), "{text}");
        assert!(text.contains("leadfold_deliveries_total{source=\"sendpulse\",answer=\"kept\"} 2"), "{text}");
        assert!(text.contains("# HELP leadfold_deliveries_total Requests on /in"), "{text}");
    }
}
