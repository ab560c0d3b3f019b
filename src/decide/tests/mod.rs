//! Tests of [`decide`](super::decide()): examples by theme, the whole table, and laws on situations made at random.

mod arbitrary;
mod choosing;
mod content;
mod hours;
mod laws;
mod pools;
mod rows;
mod shares;
mod table;
mod texts;
mod twins;

use jiff::SignedDuration;
use serde_json::json;

use super::*;
use crate::lead::*;
use crate::plan::{FoundDeal, StepKind, TaskFields};
use crate::rules::*;

/// A situation that owns its parts, to be bent by each test.
#[derive(Clone, Debug)]
struct Case {
    lead: Lead,
    rules: Rules,
    order: IdentifierOrder,
    person: PersonView,
    found: Vec<FoundContact>,
    linked: Option<RecordId>,
    twins: Vec<RecordId>,
    conflicts: Vec<Reason>,
    pool: Option<(OwnerPool, PoolState)>,
    inactive: InactiveUsers,
    now: Timestamp,
    sticky_owner: Option<String>,
    last_task_at: Option<Timestamp>,
    superseded: bool,
    brought: Option<Brought>,
    forced: bool,
    can: Capabilities,
}

impl Case {
    /// Olena, with a phone, nobody in the CRM, two people in the pool.
    fn new() -> Self {
        let mut lead = bare_lead();
        lead.contact.name = Some("Olena".into());
        lead.contact.phones = vec![phone("+380671234567")];
        lead.owners = Some("sales".into());
        Self {
            lead,
            rules: Rules::default(),
            order: IdentifierOrder::default(),
            person: PersonView { phones: vec!["+380671234567".into()], ..PersonView::default() },
            found: vec![],
            linked: None,
            twins: vec![],
            conflicts: vec![],
            pool: Some((sales(), PoolState::default())),
            inactive: InactiveUsers::default(),
            now: now(),
            sticky_owner: None,
            last_task_at: None,
            superseded: false,
            brought: None,
            forced: false,
            can: ALL,
        }
    }

    fn with(change: impl FnOnce(&mut Self)) -> Self {
        let mut case = Self::new();
        change(&mut case);
        case
    }

    fn found(contacts: Vec<FoundContact>) -> Self {
        Self::with(|case| case.found = contacts)
    }

    fn decide(&self) -> Decision {
        let situation = Situation {
            lead: &self.lead,
            rules: &self.rules,
            order: &self.order,
            person: &self.person,
            found: &self.found,
            linked: self.linked.as_ref(),
            twins: &self.twins,
            conflicts: &self.conflicts,
            pool: self.pool.as_ref().map(|(pool, state)| (pool, state)),
            inactive: &self.inactive,
            sticky_owner: self.sticky_owner.as_deref(),
            last_task_at: self.last_task_at,
            superseded: self.superseded,
            brought: self.brought.as_ref(),
            forced: self.forced,
            can: self.can,
            now: self.now,
        };
        let mut count = 0;
        decide(&situation, &mut || {
            count += 1;
            StepId(uuid::Uuid::from_u128(count))
        })
    }

    fn pool(&mut self) -> &mut OwnerPool {
        &mut self.pool.as_mut().unwrap().0
    }

    /// Decides and has the pool remember its turn.
    fn next(&mut self) -> Decision {
        let decision = self.decide();
        if let Decision::Push { turn: Some(turn), .. } = &decision {
            self.pool.as_mut().unwrap().1.take(turn);
        }
        decision
    }

    fn plan(&self) -> Plan {
        let decision = self.decide();
        let Decision::Push { plan, .. } = decision else { panic!("expected a plan, got {decision:#?}") };
        plan
    }
}

const ALL: Capabilities = Capabilities::ALL;

fn now() -> Timestamp {
    "2026-05-04T10:00:00Z".parse().unwrap()
}

fn phone(e164: &str) -> Phone {
    Phone {
        e164: e164.into(),
        extension: None,
        region: None,
        kind: PhoneKind::Mobile,
        confidence: Confidence::Exact,
        match_keys: vec![e164.into()],
        raw: e164.into(),
    }
}

fn email(address: &str) -> Email {
    Email { address: address.into(), match_key: Some(address.into()), raw: address.into() }
}

pub(super) fn bare_lead() -> Lead {
    Lead {
        source: "sendpulse".into(),
        branch: "Kyiv leads".into(),
        to: vec!["crm".into()],
        contact: ContactPart::default(),
        deal: DealPart::default(),
        task: None,
        note: None,
        owners: None,
        identifiers: vec![],
        links: vec![],
        chat: None,
        chat_scope: None,
        chat_active: false,
        person_fields: Fields::new(),
        adds_token: false,
        flaws: vec![],
        postback: None,
        afterwards: Vec::new(),
        given: None,
    }
}

fn contact(id: &str, deals: Vec<FoundDeal>) -> FoundContact {
    FoundContact {
        id: RecordId(id.into()),
        owner: Some("maria".into()),
        created_at: None,
        name: Some("Olena".into()),
        phones: vec!["+380 67 123 45 67".into()],
        emails: vec![],
        fields: Fields::new(),
        deals,
    }
}

fn deal(id: &str) -> FoundDeal {
    FoundDeal {
        id: RecordId(id.into()),
        title: Some("Old deal".into()),
        pipeline: Some("Main".into()),
        stage: Some("Talks".into()),
        owner: Some("petro".into()),
        created_at: None,
        fields: Fields::new(),
    }
}

fn sales() -> OwnerPool {
    OwnerPool::new("sales", vec![PoolOwner::new("anna"), PoolOwner::new("boris")])
}

/// A decision in one line: the kinds of its steps, or what it is instead and the code of its reason.
fn outline(decision: &Decision) -> String {
    match decision {
        Decision::Push { plan, .. } => {
            plan.steps.iter().map(|step| step.action.kind().as_str()).collect::<Vec<_>>().join(", ")
        }
        Decision::Filtered(reason) => format!("filtered {}", reason.code),
        Decision::Waiting { reason, .. } => format!("waiting {}", reason.code),
        Decision::NeedsAttention { reason, .. } => format!("needs attention {}", reason.code),
    }
}

fn codes(plan: &Plan) -> Vec<&str> {
    plan.reasons.iter().map(|reason| reason.code.as_str()).collect()
}

#[track_caller]
fn check(case: &Case, outlined: &str, reasons: &[&str]) {
    let decision = case.decide();
    assert_eq!(outline(&decision), outlined, "{decision:#?}");
    if let Decision::Push { plan, .. } = &decision {
        assert_eq!(codes(plan), reasons, "{plan:#?}");
    }
}

fn actions(plan: &Plan) -> impl Iterator<Item = &Action> {
    plan.steps.iter().map(|step| &step.action)
}

fn created_contact(plan: &Plan) -> &ContactFields {
    let found = actions(plan)
        .find_map(|action| if let Action::CreateContact { contact } = action { Some(contact) } else { None });
    found.expect("a contact is created")
}

fn created_deal(plan: &Plan) -> &DealFields {
    let found = actions(plan)
        .find_map(|action| if let Action::CreateDeal { deal, .. } = action { Some(deal) } else { None });
    found.expect("a deal is created")
}

fn task(plan: &Plan) -> &TaskFields {
    let found = actions(plan)
        .find_map(|action| if let Action::CreateTask { task, .. } = action { Some(task) } else { None });
    found.expect("a task is left")
}

fn note(plan: &Plan) -> &str {
    let found = actions(plan)
        .find_map(|action| if let Action::AddNote { text, .. } = action { Some(text) } else { None });
    found.expect("a note is left")
}

fn contact_changes(plan: &Plan) -> ContactFields {
    let found = actions(plan).find_map(|action| {
        if let Action::UpdateContact { changes, .. } = action { Some(changes.clone()) } else { None }
    });
    found.unwrap_or_default()
}

fn deal_changes(plan: &Plan) -> DealFields {
    let found = actions(plan).find_map(|action| {
        if let Action::UpdateDeal { changes, .. } = action { Some(changes.clone()) } else { None }
    });
    found.unwrap_or_default()
}

fn telegram() -> Chat {
    Chat {
        channel: "telegram".into(),
        bot: "b1".into(),
        bot_name: Some("Shop bot".into()),
        id: "4711".into(),
        link: Some("https://chat.example/4711".into()),
    }
}

fn too_short() -> Flaw {
    Flaw {
        field: "phone".into(),
        raw: "123".into(),
        code: "too_short".into(),
        text: "too short for a phone number".into(),
    }
}
