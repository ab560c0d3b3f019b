//! Lead × what the CRM has × rules → a [`Plan`], with its reasons. Every choice is made here; pushing makes none.
//!
//! | contact in the CRM | open deal | plan | owner |
//! |---|---|---|---|
//! | none | – | create contact, create deal | picked from the owner pool |
//! | found | none | update contact by policy, create deal | the contact's owner |
//! | found | found | update contact and deal by policy, create task | the deal's owner |
//!
//! An owner who is inactive in the CRM is no owner: then the pool picks.
//!
//! [`decide`] is total and deterministic: any [`Situation`] gets an answer, and the same one each time. It promises that
//! a plan never makes two contacts, never makes a deal beside an open one (unless a person forced that very lead), never
//! makes anything twice for one lead, never erases a value, holds no step that changes nothing, and refers only to records
//! that exist or that its earlier steps make.

mod calls;
mod change;
mod choose;
mod hours;
mod known;
mod owner;
mod text;
mod turns;
mod twins;

#[cfg(test)]
mod tests;

use jiff::Timestamp;

pub use self::calls::{Chats, PersonChat, plan_calls};
use self::change::Wanted;
use self::owner::Nobody;
pub use self::owner::{Absence, Attendance, attendance, back_at, spell};
use crate::id::StepId;
use crate::lead::{Fields, Lead};
use crate::plan::{Action, ContactFields, DealFields, FoundContact, Plan, Reason, RecordId, Reference, Step};
use crate::rules::{
    Conflict, CreateDeal, IdentifierOrder, InactiveUsers, Need, OwnerPool, PoolState, Rules, Turn,
};

/// Everything that one decision rests on.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The lead to bring to the CRM.
    pub lead: &'a Lead,
    /// The rules of its branch.
    pub rules: &'a Rules,
    /// Identifier priority of the workspace; among several contacts the stronger match wins.
    pub order: &'a IdentifierOrder,
    /// Whose lead it is.
    pub person: &'a PersonView,
    /// Contacts that match the person after the exact re-check, each with the deals that the CRM calls open.
    pub found: &'a [FoundContact],
    /// The contact that our own link names; it is among `found` unless it is gone.
    pub linked: Option<&'a RecordId>,
    /// Further contacts of the person of which the CRM says nothing yet: there before it was known that two people are one.
    pub twins: &'a [RecordId],
    /// Disagreements that `resolve` recorded for this lead, each a sentence.
    pub conflicts: &'a [Reason],
    /// The owner pool that the lead names and what the pool remembers.
    pub pool: Option<(&'a OwnerPool, &'a PoolState)>,
    /// Users who left: nothing new goes to them.
    pub inactive: &'a InactiveUsers,
    /// The owner picked by an earlier plan of the same sync that was dropped.
    pub sticky_owner: Option<&'a str>,
    /// When the newest task (or the note in its place) was left for this person in this CRM.
    pub last_task_at: Option<Timestamp>,
    /// A later lead of this person was brought here before this one, as happens with imports and replays.
    pub superseded: bool,
    /// What an earlier plan left there for this very lead, when it is replayed; `None` for one that was never brought there.
    pub brought: Option<&'a Brought>,
    /// A person asked for this lead's deal whatever the rules say (`replay --force`).
    pub forced: bool,
    /// What the CRM has.
    pub can: Capabilities,
    /// The current time.
    pub now: Timestamp,
}

/// Nobody left.
static NOBODY_LEFT: InactiveUsers = InactiveUsers::NONE;

impl<'a> Situation<'a> {
    /// A lead that comes for the first time, to a CRM that can do everything and holds nobody.
    pub fn new(
        lead: &'a Lead,
        rules: &'a Rules,
        order: &'a IdentifierOrder,
        person: &'a PersonView,
        now: Timestamp,
    ) -> Self {
        Self {
            lead,
            rules,
            order,
            person,
            found: &[],
            linked: None,
            twins: &[],
            conflicts: &[],
            pool: None,
            inactive: &NOBODY_LEFT,
            sticky_owner: None,
            last_task_at: None,
            superseded: false,
            brought: None,
            forced: false,
            can: Capabilities::ALL,
            now,
        }
    }
}

/// What is known of the person, beyond this lead.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PersonView {
    /// E.164 phones that `resolve` attached to the person.
    pub phones: Vec<String>,
    /// Addresses that `resolve` attached to the person.
    pub emails: Vec<String>,
    /// Leads of the person that were kept as ours for want of what the rules need, and went along with none yet; oldest
    /// first.
    pub earlier: Vec<Lead>,
}

impl PersonView {
    /// Somebody of whom nothing is known but this lead.
    pub fn of(lead: &Lead) -> Self {
        Self {
            phones: lead.contact.phones.iter().map(|phone| phone.e164.clone()).collect(),
            emails: lead.contact.emails.iter().map(|email| email.address.clone()).collect(),
            earlier: Vec::new(),
        }
    }
}

/// What an earlier plan of the same lead left in the CRM, beyond the contact that is found again.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Brought {
    /// Texts of the notes.
    pub notes: Vec<String>,
}

/// What a CRM has. What it lacks is replaced by the next best thing, and the reasons say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one thing that a CRM has or lacks")]
pub struct Capabilities {
    /// Without deals a lead makes or meets a contact alone; the deal's values go into a note.
    pub deals: bool,
    /// Without tasks a repeated lead leaves a note.
    pub tasks: bool,
    /// Without notes their text goes into the task, where there is one.
    pub notes: bool,
    /// Without these a contact stays as it is, and what differs is said.
    pub contact_updates: bool,
    /// The same for deals.
    pub deal_updates: bool,
    /// Whether a contact holds several phones and several emails. Without, a policy to write replaces the one it has, and
    /// `append` only fills an empty one.
    pub lists: bool,
}

impl Capabilities {
    /// A CRM that has everything.
    pub const ALL: Self = Self {
        deals: true,
        tasks: true,
        notes: true,
        contact_updates: true,
        deal_updates: true,
        lists: true,
    };

    /// What has neither contacts nor deals: a bot.
    pub const NONE: Self = Self {
        deals: false,
        tasks: false,
        notes: false,
        contact_updates: false,
        deal_updates: false,
        lists: false,
    };
}

/// What is to be done with a lead.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Push this plan. It may have no steps: then the CRM has everything already.
    Push {
        /// The steps and why.
        plan: Plan,
        /// The turn that the owner pool took, to be counted where the plan is stored; `None` when it took none.
        turn: Option<Turn>,
    },
    /// Nothing is written. The lead stays in the registry.
    Filtered(Reason),
    /// Decide again later.
    Waiting {
        /// When.
        until: Timestamp,
        /// What for.
        reason: Reason,
    },
    /// A person has to look.
    NeedsAttention {
        /// Why.
        reason: Reason,
        /// What to do, as one sentence.
        todo: String,
    },
}

/// Decides. `new_step_id` is asked once for each step, in order.
pub fn decide(situation: &Situation, new_step_id: &mut dyn FnMut() -> StepId) -> Decision {
    let disagreements = disagreements(situation);
    if situation.rules.conflict == Conflict::Review && !disagreements.is_empty() && !situation.forced {
        return review(&disagreements);
    }
    let mut draft = Draft { steps: Vec::new(), reasons: Vec::new(), new_step_id };
    let given = match choose::choose(situation) {
        Some(choice) => {
            let (kept, deal) = (choice.contact, choice.deal.map(|(_, deal)| deal));
            let given = known::bring(situation, choice, &mut draft);
            twins::ask_to_merge(situation, kept, deal, &mut draft);
            given
        }
        None => match filtered(situation) {
            Some(reason) => return Decision::Filtered(reason),
            None => create(situation, &mut draft),
        },
    };
    let (picked_owner, turn) = match given {
        Ok(Some(given)) => (given.picked, given.turn),
        Ok(None) => (None, None),
        Err(Nobody { until, reason }) => return Decision::Waiting { until, reason },
    };
    draft.reasons.extend(disagreements);
    Decision::Push { plan: Plan { steps: draft.steps, reasons: draft.reasons, picked_owner }, turn }
}

/// A plan in the making.
struct Draft<'a> {
    steps: Vec<Step>,
    reasons: Vec<Reason>,
    new_step_id: &'a mut dyn FnMut() -> StepId,
}

impl Draft<'_> {
    fn step(&mut self, action: Action) -> Reference {
        let id = (self.new_step_id)();
        self.steps.push(Step { id, action });
        Reference::Step(id)
    }

    fn say(&mut self, code: &str, text: impl Into<String>) {
        self.reasons.push(Reason::new(code, text));
    }
}

/// Who received the new deal, or a task that nobody else could, where there is one; `Err` when there is nobody to
/// receive it.
type Giving = Result<Option<owner::Given>, Nobody>;

/// First row of the table: nobody found.
fn create(situation: &Situation, draft: &mut Draft) -> Giving {
    let lead = situation.lead;
    let given = owner::give(situation)?;
    let mut wanted = Wanted::new(lead, &situation.person.earlier);
    say_forced(situation, None, draft);
    draft.say(
        "no_contact_found",
        if situation.can.deals {
            "Nobody in the CRM is this person: a contact and a deal are created."
        } else {
            "Nobody in the CRM is this person: a contact is created."
        },
    );
    draft.reasons.push(given.reason.clone());
    say_carried(situation, &wanted, draft);

    let name = text::who(situation, &wanted).map_or_else(|| text::deal_title(lead), str::to_owned);
    wanted.add_person(situation.person);
    let contact = draft.step(Action::CreateContact {
        contact: ContactFields {
            name: Some(name),
            phones: wanted.phones.iter().map(|line| line.text.to_owned()).collect(),
            emails: wanted.emails.iter().map(|email| (*email).to_owned()).collect(),
            owner: given.user.clone(),
            fields: wanted
                .fields
                .iter()
                .map(|(field, value)| ((*field).to_owned(), (*value).clone()))
                .collect(),
        },
    });
    let deal = situation.can.deals.then(|| {
        let deal = new_deal(lead, given.user.clone());
        draft.step(Action::CreateDeal { contact: contact.clone(), deal })
    });
    let notes = notes(situation, draft);
    leave_notes(situation, draft, &notes, contact, deal);
    Ok(Some(given))
}

fn new_deal(lead: &Lead, owner: Option<String>) -> DealFields {
    let wanted = &lead.deal;
    let filled = |text: &Option<String>| change::text(text.as_deref()).map(str::to_owned);
    let fields: Fields =
        change::filled(&wanted.fields).map(|(field, value)| (field.to_owned(), value.clone())).collect();
    DealFields {
        title: filled(&wanted.title).or_else(|| Some(text::deal_title(lead))),
        pipeline: filled(&wanted.pipeline),
        stage: filled(&wanted.stage),
        owner,
        fields,
    }
}

/// The texts that want a note: what the mappings wrote, and the deal part where the CRM has no deals. What is there of
/// this lead already is not left again.
fn notes(situation: &Situation, draft: &mut Draft) -> Vec<String> {
    let mut notes = text::notes(situation);
    if let Some(brought) = situation.brought {
        notes.retain(|note| !brought.notes.iter().any(|left| left.contains(note.as_str())));
        return notes;
    }
    if !situation.can.deals && situation.rules.create_deal == CreateDeal::WhenNoneOpen {
        draft.say("no_deals_here", "This CRM has no deals: what the deal would have said becomes a note.");
        notes.push(text::deal_part(situation.lead));
    }
    notes
}

/// Leaves the notes as one, or says that they cannot be left.
fn leave_notes(
    situation: &Situation,
    draft: &mut Draft,
    notes: &[String],
    contact: Reference,
    deal: Option<Reference>,
) {
    if notes.is_empty() {
        return;
    }
    if situation.can.notes {
        draft.say("note_added", "The lead brings a note.");
        draft.step(Action::AddNote { contact, deal, text: notes.join("\n\n") });
    } else {
        draft.say("note_not_written", "This CRM takes no notes: the note's text stays with the lead, here.");
    }
}

fn say_forced(situation: &Situation, beside: Option<&RecordId>, draft: &mut Draft) {
    if !situation.forced {
        return;
    }
    let beside = beside.map_or_else(String::new, |deal| format!(", beside open deal {deal}"));
    draft.say("forced", format!("Somebody asked for this lead's deal whatever the rules say{beside}."));
}

fn say_carried(situation: &Situation, wanted: &Wanted, draft: &mut Draft) {
    let count = situation.person.earlier.len();
    if count == 0 {
        return;
    }
    let leads = if count == 1 { "One earlier lead".to_owned() } else { format!("{count} earlier leads") };
    let gained = if wanted.carried.is_empty() {
        "nothing that this lead lacks".to_owned()
    } else {
        wanted.carried.join(", ")
    };
    draft
        .say("earlier_leads", format!("{leads} of this person, kept until now, go along and add: {gained}."));
}

/// Why nothing may be created for a person who is not in the CRM; `None` when it may.
fn filtered(situation: &Situation) -> Option<Reason> {
    let Situation { lead, rules, person, .. } = situation;
    if situation.forced {
        return None;
    }
    if situation.brought.is_some() {
        return Some(Reason::new(
            "brought_and_gone",
            "it was brought here before, and its contact is not in the CRM any more: nothing is made a second time; replay \
             it with --force to make contact and deal anew",
        ));
    }
    if rules.create_deal == CreateDeal::Never {
        return Some(Reason::new(
            "nothing_to_update",
            "nobody in the CRM is this person, and the rules only update what exists (create_deal: never)",
        ));
    }
    let has = |need: &Need| {
        let mut leads = std::iter::once(*lead).chain(&person.earlier);
        match need {
            Need::Phone => !person.phones.is_empty() || leads.any(|lead| !lead.contact.phones.is_empty()),
            Need::Email => !person.emails.is_empty() || leads.any(|lead| !lead.contact.emails.is_empty()),
            Need::Name => leads.any(|lead| change::text(lead.contact.name.as_deref()).is_some()),
            Need::Chat => leads.any(|lead| lead.chat.is_some()),
        }
    };
    if rules.needs.is_empty() || rules.needs.iter().any(has) {
        return None;
    }
    let words: Vec<&str> = rules
        .needs
        .iter()
        .map(|need| match need {
            Need::Phone => "phone",
            Need::Email => "email",
            Need::Name => "name",
            Need::Chat => "chat",
        })
        .collect();
    let flaws: Vec<String> = lead.flaws.iter().map(|flaw| format!("{}: {}", flaw.field, flaw.text)).collect();
    let flaws = if flaws.is_empty() { String::new() } else { format!(" ({})", flaws.join("; ")) };
    let sentence = format!(
        "no {}: kept, and goes along with this person's first lead that has one{flaws}",
        words.join(" or ")
    );
    Some(Reason::new(&format!("needs_{}", words.join("_or_")), sentence))
}

/// What the identifiers disagree about: within our own store, and among the contacts of the CRM.
fn disagreements(situation: &Situation) -> Vec<Reason> {
    let in_crm = choose::disagreement(situation).map(|(by_phone, by_email)| {
        Reason::new(
            "phone_and_email_disagree",
            format!("The phone says contact {by_phone}, the email says contact {by_email}."),
        )
    });
    situation.conflicts.iter().cloned().chain(in_crm).collect()
}

fn review(disagreements: &[Reason]) -> Decision {
    let sentences: Vec<&str> = disagreements.iter().map(|reason| reason.text.as_str()).collect();
    Decision::NeedsAttention {
        reason: Reason::new("conflict", sentences.join(" ")),
        todo: "Find out whose lead this is, correct or merge the contacts in the CRM, then replay the \
               lead (`leadfold replay <lead> --resume`); or let the stronger identifier decide by `conflict: prefer_first` in the mapping's rules."
            .to_owned(),
    }
}
