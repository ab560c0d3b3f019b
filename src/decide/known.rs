//! Second and third row of the table: the person is in the CRM.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::change::{Changer, Wanted};
use super::choose::Choice;
use super::hours::Schedule;
use super::owner::{self, Nobody};
use super::{Draft, Giving, Situation, change, leave_notes, new_deal, notes, say_carried, say_forced, text};
use crate::plan::{Action, FoundContact, FoundDeal, Reason, RecordId, Reference, TaskFields};
use crate::rules::{CreateDeal, TaskOnRepeat, Update};

/// When a task is due whose mapping does not say.
const TASK_DUE: SignedDuration = SignedDuration::from_hours(1);

/// Brings a lead to the contact, and the open deal, that were chosen for it.
pub(super) fn bring(situation: &Situation, choice: Choice, draft: &mut Draft) -> Giving {
    let Situation { lead, rules, can, .. } = *situation;
    let contact = choice.contact;
    draft.reasons = choice.reasons;
    let wanted = Wanted::new(lead, &situation.person.earlier);
    let mut policy = Changer::new(rules, situation.superseded);

    let changes = policy.contact(contact, &wanted);
    let contact_changes = !changes.is_empty();
    if contact_changes {
        draft.step(Action::UpdateContact { contact: contact.id.clone(), changes });
    }
    let record = Reference::Record(contact.id.clone());

    let forced_beside = choice.deal.filter(|_| situation.forced);
    let Some((holder, deal)) = choice.deal.filter(|_| !situation.forced) else {
        say_forced(situation, forced_beside.map(|(_, deal)| &deal.id), draft);
        say_updates(situation, draft, &[("contact", &contact.id, contact_changes)], &policy);
        say_carried(situation, &wanted, draft);
        if situation.brought.is_some() && !situation.forced {
            draft.say("brought_before", BROUGHT_BEFORE);
            let notes = notes(situation, draft);
            leave_notes(situation, draft, &notes, record, None);
            return Ok(None);
        }
        if rules.create_deal == CreateDeal::Never && !situation.forced {
            draft.say("create_deal_never", "The rules never create a deal (create_deal: never).");
            let notes = notes(situation, draft);
            leave_notes(situation, draft, &notes, record, None);
            return Ok(None);
        }
        if !can.deals {
            let repeat = Repeat { contact: record, deal: None, owners: [None, owner_of_contact(contact)] };
            return leave_task(situation, draft, &wanted, &policy, repeat);
        }
        let given = owner_of_new_deal(situation, contact, draft)?;
        draft.reasons.push(given.reason.clone());
        let deal = new_deal(lead, given.user.clone());
        let deal = draft.step(Action::CreateDeal { contact: record.clone(), deal });
        let notes = notes(situation, draft);
        leave_notes(situation, draft, &notes, record, Some(deal));
        return Ok(Some(given));
    };

    let changes = policy.deal(deal, lead);
    let deal_changes = !changes.is_empty();
    if deal_changes {
        draft.step(Action::UpdateDeal { deal: deal.id.clone(), changes });
    }
    let updates = [("contact", &contact.id, contact_changes), ("deal", &deal.id, deal_changes)];
    say_updates(situation, draft, &updates, &policy);
    say_place_kept(situation, draft, deal);
    say_carried(situation, &wanted, draft);
    let repeat = Repeat {
        contact: Reference::Record(holder.id.clone()),
        deal: Some(Reference::Record(deal.id.clone())),
        owners: [change::text(deal.owner.as_deref()).map(|owner| (owner, "deal")), owner_of_contact(holder)],
    };
    leave_task(situation, draft, &wanted, &policy, repeat)
}

/// The contact's owner keeps the person. Only where there is none, or they left, the pool gives the deal to somebody.
fn owner_of_new_deal(
    situation: &Situation,
    contact: &FoundContact,
    draft: &mut Draft,
) -> Result<owner::Given, Nobody> {
    let Some((owner, _)) = owner_of_contact(contact) else {
        return owner::give(situation);
    };
    if situation.inactive.has(owner) {
        say_inactive(draft, owner, &format!("contact {}", contact.id));
        return owner::give(situation);
    }
    let text = format!("A new deal goes to {owner}, who is responsible for contact {}.", contact.id);
    let reason = Reason::new("owner_of_contact", text);
    Ok(owner::Given { user: Some(owner.to_owned()), picked: None, turn: None, reason })
}

fn say_inactive(draft: &mut Draft, owner: &str, of: &str) {
    draft.say(
        "owner_inactive",
        format!("{owner}, who is responsible for {of}, is inactive in the CRM and gets nothing new."),
    );
}

/// Where a repeated lead lands.
struct Repeat<'a> {
    contact: Reference,
    deal: Option<Reference>,
    /// Who may be told, the first before the second, and which record they are responsible for.
    owners: [Option<(&'a str, &'static str)>; 2],
}

fn owner_of_contact(contact: &FoundContact) -> Option<(&str, &'static str)> {
    change::text(contact.owner.as_deref()).map(|owner| (owner, "contact"))
}

/// Leaves what a repeated lead leaves: a task, or a note in its place, and the lead's own note.
fn leave_task(
    situation: &Situation,
    draft: &mut Draft,
    wanted: &Wanted,
    policy: &Changer,
    repeat: Repeat,
) -> Giving {
    let mut notes = notes(situation, draft);
    let Repeat { contact, deal, owners } = repeat;
    if !task_is_due(situation, draft) {
        leave_notes(situation, draft, &notes, contact, deal);
        return Ok(None);
    }
    let task = situation.lead.task.as_ref();
    let title = task.and_then(|task| change::text(task.title.as_deref()));
    let body = task.and_then(|task| change::text(task.text.as_deref()));
    let title = title.map_or_else(|| text::task_title(situation, wanted), str::to_owned);
    let mut body = body.map_or_else(|| text::task_body(situation.lead, &policy.differences), str::to_owned);

    if !situation.can.tasks {
        if situation.can.notes {
            draft.say("no_tasks_here", "This CRM has no tasks: a note says that the person came back.");
            notes.insert(0, format!("{title}\n{body}"));
        } else {
            draft.say(
                "no_tasks_here",
                "This CRM has neither tasks nor notes: nothing there says that the person came back.",
            );
        }
        leave_notes(situation, draft, &notes, contact, deal);
        return Ok(None);
    }
    if !situation.can.notes && !notes.is_empty() {
        draft.say("note_in_task", "This CRM takes no notes: the note stands in the task.");
        body = format!("{body}\n\n{}", notes.join("\n\n"));
        notes.clear();
    }
    let (owner, given) = owner_of_task(situation, owners, draft)?;
    let due = task
        .and_then(|task| task.due_seconds)
        .map_or(TASK_DUE, |seconds| SignedDuration::from_secs(seconds.max(0)));
    let task = TaskFields {
        title,
        text: body,
        kind: task.and_then(|task| change::text(task.kind.as_deref())).map(str::to_owned),
        due_at: due_at(situation, due),
        owner,
    };
    draft.step(Action::CreateTask { contact: contact.clone(), deal: deal.clone(), task });
    leave_notes(situation, draft, &notes, contact, deal);
    Ok(given)
}

/// Who is told that the person came back. Where those who were responsible left, the pool gives the task to somebody.
fn owner_of_task(
    situation: &Situation,
    owners: [Option<(&str, &str)>; 2],
    draft: &mut Draft,
) -> Result<(Option<String>, Option<owner::Given>), Nobody> {
    let mut left = false;
    for (owner, record) in owners.into_iter().flatten() {
        if !situation.inactive.has(owner) {
            let text =
                format!("The person came back: a task for {owner}, who is responsible for the {record}.");
            draft.say("task_left", text);
            return Ok((Some(owner.to_owned()), None));
        }
        say_inactive(draft, owner, &format!("the {record}"));
        left = true;
    }
    if left && situation.pool.is_some() {
        let given = owner::give(situation)?;
        draft.reasons.push(given.reason.clone());
        let whom = given.user.as_deref().unwrap_or("nobody in particular");
        draft.say("task_left", format!("The person came back: a task for {whom}."));
        return Ok((given.user.clone(), Some(given)));
    }
    let why = if left {
        "whoever was responsible left, and the mapping names no owner pool"
    } else {
        "nobody is responsible for deal or contact"
    };
    draft.say("task_left", format!("The person came back: a task for nobody in particular, because {why}."));
    Ok((None, None))
}

/// When a task is due: in the working hours of the pool, where it has any.
fn due_at(situation: &Situation, after: SignedDuration) -> Timestamp {
    let hours = situation.pool.map(|(pool, _)| Schedule::of_pool(pool)).filter(|hours| !hours.is_unlimited());
    hours
        .and_then(|hours| hours.due(situation.now, after))
        .unwrap_or_else(|| situation.now.saturating_add(after).unwrap_or(Timestamp::MAX))
}

/// Why a replayed lead leaves nothing for a person who came back.
const BROUGHT_BEFORE: &str = "This lead was brought here before: it leaves no second deal and no task.";

/// Whether this repeat leaves a task; if not, says why.
fn task_is_due(situation: &Situation, draft: &mut Draft) -> bool {
    if situation.brought.is_some() && !situation.forced {
        draft.say("brought_before", BROUGHT_BEFORE);
        return false;
    }
    match situation.rules.task_on_repeat {
        TaskOnRepeat::Always => true,
        TaskOnRepeat::Never => {
            draft.say(
                "task_off",
                "The person came back; the rules leave no task for that (task_on_repeat: false).",
            );
            false
        }
        TaskOnRepeat::Collapse(window) => {
            let Some(last) = situation.last_task_at.filter(|last| within(*last, situation.now, window))
            else {
                return true;
            };
            draft.say(
                "task_collapsed",
                format!(
                    "The person came back within {} of the task left at {last}: no second task.",
                    spell(window)
                ),
            );
            false
        }
    }
}

/// Whether a task left at `last` still covers `now`. One that seems to lie in the future covers it too: clocks differ.
fn within(last: Timestamp, now: Timestamp, window: Duration) -> bool {
    SignedDuration::try_from(window).map_or(true, |window| now.duration_since(last) < window)
}

fn spell(window: Duration) -> String {
    match window.as_secs() {
        seconds if seconds > 0 && seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        seconds => format!("{seconds} s"),
    }
}

fn say_updates(
    situation: &Situation,
    draft: &mut Draft,
    updates: &[(&str, &RecordId, bool)],
    policy: &Changer,
) {
    let written: Vec<&str> = policy
        .differences
        .iter()
        .filter(|difference| difference.written)
        .map(|difference| difference.field)
        .collect();
    let changed: Vec<String> = updates
        .iter()
        .filter(|(_, _, changes)| *changes)
        .map(|(record, id, _)| format!("{record} {id}"))
        .collect();
    if !changed.is_empty() {
        draft.say("updated", format!("The lead changes {}: {}.", changed.join(" and "), written.join(", ")));
    } else if policy.differences.is_empty() {
        draft.say("nothing_differs", "The CRM has everything that the lead says.");
    } else if situation.rules.update == Update::None && situation.rules.update_fields.is_empty() {
        draft.say(
            "update_off",
            "The lead differs from the CRM, and the rules leave records as they are (update: none).",
        );
    } else {
        draft.say("update_kept", "The lead differs from the CRM only where the rules keep the CRM's value.");
    }
}

/// Says why `update: all` does not move a deal, because that surprises.
fn say_place_kept(situation: &Situation, draft: &mut Draft, deal: &FoundDeal) {
    let (rules, wanted) = (situation.rules, &situation.lead.deal);
    let places = [("pipeline", &wanted.pipeline, &deal.pipeline), ("stage", &wanted.stage, &deal.stage)];
    for (place, ours, theirs) in places {
        let (ours, theirs) = (change::text(ours.as_deref()), change::text(theirs.as_deref()));
        if rules.update == Update::All
            && !rules.update_fields.contains_key(place)
            && ours.is_some()
            && ours != theirs
        {
            draft.say(
                "place_kept",
                format!(
                    "Deal {} keeps its {place}: `update: all` does not move an open deal, only a policy for {place} does.",
                    deal.id
                ),
            );
        }
    }
}
