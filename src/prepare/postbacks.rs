//! Postbacks: read when they are prepared, counted in the order of arrival once somebody with their click id is known, and
//! only then mapped, because a branch may be for the second of a person alone ([`crate::store::postbacks`]).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use jiff::Timestamp;
use tracing::error;

use super::{Pace, Preparer, outcome, prepared_event};
use crate::clock::Clock;
use crate::event::{Event, KeyLifetime, preset};
use crate::map::{Mapping, Source, Workspace};
use crate::pipeline::{Report, interpret_numbered, report};
use crate::plan::Reason;
use crate::store::StoreError;
use crate::store::postbacks::Counting;
use crate::store::prepare::{Arrived, EventOutcome, Prepared, PreparedEvent, Received};

/// Postbacks per transaction: acknowledgements wait for it on SQLite, where it maps them as well.
const TOGETHER: usize = 64;

/// What is needed to count with this version of the workspace.
pub fn counting(workspace: &Arc<Workspace>, clock: &Arc<dyn Clock>) -> Counting {
    let stage = {
        let (workspace, clock) = (Arc::clone(workspace), Arc::clone(clock));
        move |received: &Received, ordinal: u64| numbered(received, ordinal, &workspace, &*clock)
    };
    Counting {
        stage: Arc::new(stage),
        version: workspace.hash.clone(),
        rules: workspace.identity.clone(),
        clock: Arc::clone(clock),
    }
}

/// What a delivery of a source of postbacks says.
pub(super) fn read(
    events: &[Event],
    mapping: &Mapping,
    source: &Source,
    workspace: &Workspace,
    received_at: Timestamp,
    clock: &dyn Clock,
) -> Prepared {
    let read = events
        .first()
        .and_then(|event| Some((event, mapping.postback()?, report(mapping, event, received_at)?)));
    let Some((event, rules, report)) = read else { return Prepared::Events(Vec::new()) };
    let after = |span| received_at.checked_add(span).unwrap_or(Timestamp::MAX);
    let ended = |outcome| {
        let until = after(rules.repeats);
        let came = prepared_event(event, mapping, source, workspace, received_at, until, clock);
        Prepared::Events(vec![PreparedEvent { outcome, ..came }])
    };
    match report {
        Report::Postback(postback, key) => Prepared::Postback(Arrived {
            source: source.name.clone(),
            click: postback.click,
            name: postback.event,
            key: key.value,
            key_until: after(match key.lifetime {
                KeyLifetime::Retention => workspace.retention.rows,
                KeyLifetime::Window => rules.repeats,
            }),
            received_at,
            until: after(rules.waits),
            version: workspace.hash.clone(),
        }),
        Report::Filtered(why) => ended(EventOutcome::Filtered(why)),
        Report::NeedsAttention { reason, todo } => ended(needs_attention(reason, &todo)),
    }
}

/// What becomes of a postback that is its person's so-and-so-many-th of its name.
fn numbered(received: &Received, ordinal: u64, workspace: &Workspace, clock: &dyn Clock) -> EventOutcome {
    // A panic would stop the counting, and again at every start.
    let outcome = catch_unwind(AssertUnwindSafe(|| mapped(received, ordinal, workspace, clock)));
    outcome.unwrap_or_else(|_| {
        error!(delivery = %received.delivery.id, "leadfold failed on a postback; this is a bug. It is counted and kept");
        let text = "leadfold failed on it; this is a bug: report it with the log of this time";
        EventOutcome::NeedsAttention(Reason::new("mapping_error", text))
    })
}

fn mapped(received: &Received, ordinal: u64, workspace: &Workspace, clock: &dyn Clock) -> EventOutcome {
    let delivery = &received.delivery;
    let unreadable = |why: &str| {
        let text = format!("The postback is counted, and cannot be mapped: {why}.");
        let todo = "Then `leadfold replay --cause mapping_error --replan`.";
        needs_attention(Reason::new("mapping_error", text), todo)
    };
    let Some(source) = workspace.sources.get(&delivery.source) else {
        return unreadable("the workspace has no such source any more; put its file back");
    };
    let mapping = match &source.mapping {
        Ok(mapping) => mapping,
        Err(broken) => return unreadable(&broken.to_string()),
    };
    let events = match preset(&source.preset).map(|preset| (preset.split)(delivery)) {
        Some(Ok(events)) => events,
        Some(Err(why)) => return unreadable(&why.0),
        None => return unreadable("its source names no preset that exists"),
    };
    let Some(event) = events.first() else { return unreadable("its request holds nothing") };
    outcome(interpret_numbered(mapping, event, ordinal, delivery.received_at), workspace, clock)
}

fn needs_attention(mut reason: Reason, todo: &str) -> EventOutcome {
    reason.text = format!("{} {todo}", reason.text);
    EventOutcome::NeedsAttention(reason)
}

/// What a preparer remembers between two rounds of counting.
pub(super) struct Tally {
    pace: Pace,
    /// The version by which all that wait were read.
    read_by: Option<String>,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self { pace: Pace::of(TOGETHER), read_by: None }
    }
}

impl Preparer {
    /// Counts postbacks whose turn has come; returns of how many something changed. What the database does not take is
    /// tried in ever smaller parts, and set aside when it is alone: the others wait behind it.
    pub(super) async fn count_postbacks(&self, tally: &mut Tally) -> Result<u64, StoreError> {
        let Some(workspace) = self.active.borrow().clone() else { return Ok(0) };
        let receives =
            |source: &Source| source.mapping.as_ref().is_ok_and(|mapping| mapping.postback().is_some());
        if !workspace.sources.values().any(receives) {
            return Ok(0);
        }
        let mut moved = 0;
        if tally.read_by.as_ref() != Some(&workspace.hash) {
            moved = self.store.read_postbacks_again(&workspace.hash).await?;
            if moved == 0 {
                tally.read_by = Some(workspace.hash.clone());
            }
        }
        let counting = counting(&workspace, &self.clock);
        match self.store.count_postbacks(tally.pace.next, &counting).await {
            Ok(counted) => {
                tally.pace.went_well();
                self.report(&counted.leads);
                Ok(moved + counted.moved)
            }
            Err(failure) if failure.meets_all() || failure.is_final() => Err(failure),
            Err(failure) => {
                error!(%failure, postbacks = tally.pace.next, "postbacks could not be counted; they are kept and tried again");
                if tally.pace.failed() {
                    let why = format!("what it became could not be stored: {failure}");
                    let aside = self.store.set_postback_aside(&counting, why).await?;
                    error!(delivery = ?aside, "a postback is kept, but what it became cannot be stored; it is set aside");
                }
                Ok(moved)
            }
        }
    }
}
