//! The statements that find what a replay is asked for, a page at a time.
//!
//! A page costs as much as its rows, however large the registry is, where an index holds just the rows of the state that is
//! asked for: what needs attention, also for one cause at one place, and deliveries that could not be read. For any other
//! state the registry is walked once, in the order of leads, from page to page.

use std::fmt::Write as _;

use super::attention::CODE;
use super::replay::{SNAGS, Selection};
use super::sql::{Arg, list};
use super::syncs::SyncState;
use crate::id::{DeliveryId, LeadId};

/// The statement that finds a page of items; `None` when nothing can match. States stand in it as literals, because the
/// partial indexes only serve the very same condition. Each part is in the order of an index, so that it ends with its page
/// instead of sorting everything behind it.
pub(super) fn items(
    selection: &Selection,
    after: Option<LeadId>,
    up_to: Option<LeadId>,
    limit: usize,
) -> Option<(String, Vec<Arg>)> {
    let mut conditions = Conditions::default();
    if let Some(after) = after {
        conditions.add("OF.lead >", after);
    }
    if let Some(up_to) = up_to {
        conditions.add("OF.lead <=", up_to);
    }
    conditions.add_common(selection, "leads");
    if let Some(cause) = &selection.cause {
        conditions.add("OF.cause =", cause.as_str());
    }
    if let Some(destination) = &selection.destination {
        conditions.add("syncs.destination =", destination.as_str());
    }
    conditions.add_leads(&selection.leads);

    // The word of a reason, as the indexes of causes have it: they are in the order of leads only where their place is given.
    let of = |states: &str, table: &str, has_place: bool| {
        let word = if has_place { CODE.to_owned() } else { format!("({CODE} || '')") };
        let word = word.replace("why", &format!("{table}.why"));
        format!("{states}{}", conditions.text).replace("OF.cause", &word).replace("OF.", &format!("{table}."))
    };
    let with_syncs = states(selection, &SyncState::ALL.map(SyncState::as_str));
    let with_syncs = with_syncs.filter(|_| !selection.without_destination).map(|states| {
        format!(
            "SELECT syncs.lead, leads.source, syncs.id AS sync, syncs.destination, syncs.state, syncs.why, {SNAGS}, \
             (SELECT COUNT(*) FROM links WHERE links.person = syncs.person \
               AND links.destination = syncs.destination AND links.kind = 'deal') \
             FROM syncs JOIN leads ON leads.id = syncs.lead WHERE {} ORDER BY syncs.lead LIMIT {limit}",
            of(&states, "syncs", selection.destination.is_some()),
        )
    });
    // They ended before there was anything to sync, so they have no destination.
    let without =
        states(selection, &["filtered", "needs-attention"]).filter(|_| selection.destination.is_none());
    let without = without.map(|states| {
        let none = "(SELECT COUNT(*) FROM leases WHERE 1 = 0)";
        format!(
            "SELECT leads.id, leads.source, NULL AS sync, NULL, leads.state, leads.why, {none}, {none}, {none}, {none}, {none} \
             FROM leads WHERE {} AND leads.state <> 'mapped' ORDER BY leads.id LIMIT {limit}",
            of(&states, "leads", selection.source.is_some()).replace("leads.lead", "leads.id"),
        )
    });
    let parts: Vec<String> = [with_syncs, without]
        .into_iter()
        .flatten()
        .enumerate()
        .map(|(number, part)| format!("SELECT * FROM ({part}) AS part{number}"))
        .collect();
    let sql = format!("{} ORDER BY 1, 3 LIMIT {limit}", parts.join(" UNION ALL "));
    (!parts.is_empty()).then_some((sql, conditions.arguments))
}

/// The statement that finds a page of deliveries that could not be read, oldest first, each with why.
pub(super) fn unreadable(
    selection: &Selection,
    after: Option<DeliveryId>,
    limit: usize,
) -> (String, Vec<Arg>) {
    let mut conditions = Conditions::default();
    if let Some(after) = after {
        conditions.add("deliveries.id >", after);
    }
    conditions.add_common(selection, "deliveries");
    let sql = format!(
        "SELECT id, COALESCE(why, '') FROM deliveries WHERE state = 'unreadable'{} ORDER BY id LIMIT {limit}",
        conditions.text
    );
    (sql, conditions.arguments)
}

/// Those of the known states that are meant; `None` when none of them is.
fn states(selection: &Selection, known: &[&str]) -> Option<String> {
    let words: Vec<&str> = known
        .iter()
        .copied()
        .filter(|word| selection.states.is_empty() || selection.states.iter().any(|state| state == word))
        .collect();
    match words.as_slice() {
        [] => None,
        [word] => Some(format!("OF.state = '{word}'")),
        words => Some(format!("OF.state IN ('{}')", words.join("','"))),
    }
}

/// What rows must be, beyond their state. `OF.` stands for the table whose state is meant.
#[derive(Default)]
struct Conditions {
    text: String,
    arguments: Vec<Arg>,
}

impl Conditions {
    fn add(&mut self, what: &str, value: impl Into<Arg>) {
        self.arguments.push(value.into());
        // Writing to a String cannot fail, here and below.
        write!(self.text, " AND {what} ${}", self.arguments.len()).ok();
    }

    /// Conditions on what leads and deliveries both have.
    fn add_common(&mut self, selection: &Selection, table: &str) {
        if let Some(source) = &selection.source {
            self.add(&format!("{table}.source ="), source.as_str());
        }
        if let Some(from) = selection.from {
            self.add(&format!("{table}.received_at >="), from.as_millisecond());
        }
        if let Some(to) = selection.to {
            self.add(&format!("{table}.received_at <"), to.as_millisecond());
        }
    }

    fn add_leads(&mut self, leads: &[LeadId]) {
        if !leads.is_empty() {
            let places = list(self.arguments.len() + 1, leads.len());
            self.arguments.extend(leads.iter().map(|lead| Arg::from(*lead)));
            write!(self.text, " AND OF.lead IN ({places})").ok();
        }
    }
}
