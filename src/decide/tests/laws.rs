//! What holds for every decision.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::arbitrary::case;
use super::*;

fn kinds(plan: &Plan) -> Vec<StepKind> {
    plan.steps.iter().map(|step| step.action.kind()).collect()
}

/// The records that a step refers to.
fn references(action: &Action) -> Vec<Reference> {
    match action {
        Action::CreateContact { .. } | Action::Call { .. } => vec![],
        Action::UpdateContact { contact, .. } => vec![Reference::Record(contact.clone())],
        Action::UpdateDeal { deal, .. } => vec![Reference::Record(deal.clone())],
        Action::CreateDeal { contact, .. } => vec![contact.clone()],
        Action::CreateTask { contact, deal, .. } | Action::AddNote { contact, deal, .. } => {
            std::iter::once(contact).chain(deal).cloned().collect()
        }
    }
}

/// The CRM after the plan's contact and deal steps.
fn apply(plan: &Plan, found: &[FoundContact]) -> Vec<FoundContact> {
    let mut contacts = found.to_vec();
    for step in &plan.steps {
        match &step.action {
            Action::CreateContact { contact } => contacts.push(FoundContact {
                id: RecordId("new".to_owned()),
                owner: contact.owner.clone(),
                created_at: Some(now()),
                name: contact.name.clone(),
                phones: contact.phones.clone(),
                emails: contact.emails.clone(),
                fields: contact.fields.clone(),
                deals: vec![],
            }),
            Action::UpdateContact { contact, changes } => {
                let contact = contacts.iter_mut().find(|known| known.id == *contact).unwrap();
                write(&mut contact.name, changes.name.as_ref());
                contact.fields.extend(changes.fields.clone());
                for (list, new) in
                    [(&mut contact.phones, &changes.phones), (&mut contact.emails, &changes.emails)]
                {
                    if !new.is_empty() {
                        list.clone_from(new);
                    }
                }
            }
            Action::CreateDeal { contact, deal } => {
                let id = match contact {
                    Reference::Record(id) => id.clone(),
                    Reference::Step(_) => RecordId("new".to_owned()),
                };
                contacts.iter_mut().find(|known| known.id == id).unwrap().deals.push(FoundDeal {
                    id: RecordId("new deal".to_owned()),
                    title: deal.title.clone(),
                    pipeline: deal.pipeline.clone(),
                    stage: deal.stage.clone(),
                    owner: deal.owner.clone(),
                    created_at: Some(now()),
                    fields: deal.fields.clone(),
                });
            }
            Action::UpdateDeal { deal, changes } => {
                let mut deals = contacts.iter_mut().flat_map(|contact| &mut contact.deals);
                let deal = deals.find(|known| known.id == *deal).unwrap();
                write(&mut deal.title, changes.title.as_ref());
                write(&mut deal.pipeline, changes.pipeline.as_ref());
                write(&mut deal.stage, changes.stage.as_ref());
                deal.fields.extend(changes.fields.clone());
            }
            Action::CreateTask { .. } | Action::AddNote { .. } | Action::Call { .. } => {}
        }
    }
    contacts
}

/// The contact of the CRM that an action is about.
fn written_to(action: &Action) -> Option<&RecordId> {
    match action {
        Action::UpdateContact { contact, .. }
        | Action::CreateDeal { contact: Reference::Record(contact), .. }
        | Action::CreateTask { contact: Reference::Record(contact), .. }
        | Action::AddNote { contact: Reference::Record(contact), .. } => Some(contact),
        Action::CreateContact { .. }
        | Action::UpdateDeal { .. }
        | Action::CreateDeal { .. }
        | Action::CreateTask { .. }
        | Action::AddNote { .. }
        | Action::Call { .. } => None,
    }
}

fn write(field: &mut Option<String>, new: Option<&String>) {
    if new.is_some() {
        *field = new.cloned();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn every_situation_has_one_answer_with_a_reason(case in case()) {
        let decision = case.decide();
        prop_assert_eq!(&case.decide(), &decision);
        let reasons: Vec<&Reason> = match &decision {
            Decision::Push { plan, .. } => plan.reasons.iter().collect(),
            Decision::Filtered(reason)
            | Decision::Waiting { reason, .. }
            | Decision::NeedsAttention { reason, .. } => vec![reason],
        };
        prop_assert!(!reasons.is_empty());
        prop_assert!(reasons.iter().all(|reason| !reason.code.is_empty() && !reason.text.is_empty()));
    }

    #[test]
    fn the_order_of_the_crms_answer_decides_nothing(case in case()) {
        let mut turned = case.clone();
        turned.found.reverse();
        turned.found.iter_mut().for_each(|contact| contact.deals.reverse());
        match (case.decide(), turned.decide()) {
            (Decision::Push { plan, .. }, Decision::Push { plan: again, .. }) => {
                prop_assert_eq!(plan.steps, again.steps);
            }
            (first, second) => prop_assert_eq!(std::mem::discriminant(&first), std::mem::discriminant(&second)),
        }
    }

    #[test]
    fn a_plan_makes_at_most_one_of_each_and_no_deal_beside_an_open_one(case in case()) {
        let Decision::Push { plan, .. } = case.decide() else { return Ok(()) };
        let kinds = kinds(&plan);
        let unique: BTreeSet<&StepKind> = kinds.iter().collect();
        prop_assert_eq!(unique.len(), kinds.len(), "{:?}", kinds);
        prop_assert_eq!(kinds.contains(&StepKind::CreateContact), case.found.is_empty());
        let deals = case.found.iter().flat_map(|contact| &contact.deals).count();
        if deals > 0 && case.rules.open_deal == OpenDeal::default() && !case.forced {
            prop_assert!(!kinds.contains(&StepKind::CreateDeal));
        }
        if case.rules.create_deal == CreateDeal::Never && !case.forced {
            prop_assert!(!kinds.contains(&StepKind::CreateDeal) && !kinds.contains(&StepKind::CreateContact));
        }
        for (kind, can) in [
            (StepKind::CreateDeal, case.can.deals),
            (StepKind::UpdateDeal, case.can.deals),
            (StepKind::CreateTask, case.can.tasks),
            (StepKind::AddNote, case.can.notes),
        ] {
            prop_assert!(can || !kinds.contains(&kind), "{kind:?} on a CRM without it");
        }
    }

    #[test]
    fn what_a_replayed_lead_left_before_is_not_left_again(case in case()) {
        let mut replayed = case.clone();
        replayed.forced = false;
        replayed.brought = Some(case.brought.unwrap_or_default());
        let Decision::Push { plan, .. } = replayed.decide() else { return Ok(()) };
        let made = |kind: &StepKind| {
            matches!(kind, StepKind::CreateContact | StepKind::CreateDeal | StepKind::CreateTask)
        };
        prop_assert!(!kinds(&plan).iter().any(made), "{plan:#?}");
        // Nor is a note that it left.
        let left = actions(&plan)
            .find_map(|action| if let Action::AddNote { text, .. } = action { Some(text.clone()) } else { None });
        if let (Some(text), Some(brought)) = (left, &mut replayed.brought) {
            brought.notes.push(text);
            let Decision::Push { plan, .. } = replayed.decide() else { return Ok(()) };
            prop_assert!(!kinds(&plan).contains(&StepKind::AddNote), "{plan:#?}");
        }
    }

    #[test]
    fn a_forced_lead_gets_its_deal(case in case()) {
        let mut forced = case;
        forced.forced = true;
        if let Decision::Push { plan, .. } = forced.decide() {
            prop_assert_eq!(kinds(&plan).contains(&StepKind::CreateDeal), forced.can.deals);
        }
    }

    #[test]
    fn steps_refer_to_what_exists_or_was_made_before(case in case()) {
        let Decision::Push { plan, .. } = case.decide() else { return Ok(()) };
        let mut made = BTreeSet::new();
        for step in &plan.steps {
            for reference in references(&step.action) {
                match reference {
                    Reference::Step(id) => prop_assert!(made.contains(&id)),
                    Reference::Record(id) => {
                        let is_here = |contact: &FoundContact| {
                            contact.id == id || contact.deals.iter().any(|deal| deal.id == id)
                        };
                        prop_assert!(case.found.iter().any(is_here));
                    }
                }
            }
            prop_assert!(made.insert(step.id), "an id twice");
        }
    }

    #[test]
    fn no_step_erases_or_changes_nothing(case in case()) {
        let Decision::Push { plan, .. } = case.decide() else { return Ok(()) };
        let after = apply(&plan, &case.found);
        for step in &plan.steps {
            match &step.action {
                Action::UpdateContact { changes, .. } => {
                    prop_assert!(!changes.is_empty());
                    prop_assert!(changes.fields.values().all(|value| !change::is_empty(value)));
                }
                Action::UpdateDeal { changes, .. } => {
                    prop_assert!(!changes.is_empty());
                    prop_assert!(changes.fields.values().all(|value| !change::is_empty(value)));
                }
                Action::AddNote { text, .. } => prop_assert!(!text.trim().is_empty()),
                Action::Call { .. } => prop_assert!(false, "a CRM takes no calls"),
                Action::CreateContact { contact } => {
                    prop_assert!(contact.name.as_ref().is_some_and(|name| !name.trim().is_empty()));
                }
                Action::CreateDeal { deal, .. } => {
                    prop_assert!(deal.title.as_ref().is_some_and(|title| !title.trim().is_empty()));
                }
                Action::CreateTask { task, .. } => prop_assert!(!task.title.is_empty() && task.due_at >= now()),
            }
        }
        for (before, after) in case.found.iter().zip(&after) {
            prop_assert_eq!(&before.owner, &after.owner);
            let kept = |before: &[String], after: &[String]| {
                let mut filled = before.iter().filter(|text| !text.trim().is_empty());
                // Where there is room for one, another one may take its place.
                if case.can.lists { filled.all(|text| after.contains(text)) } else { filled.count() == 0 || !after.is_empty() }
            };
            prop_assert!(kept(&before.phones, &after.phones) && kept(&before.emails, &after.emails));
            prop_assert!(before.name.is_none() || after.name.is_some());
        }
    }

    #[test]
    fn what_was_written_is_not_written_again(case in case()) {
        let Decision::Push { plan, .. } = case.decide() else { return Ok(()) };
        let mut again = case.clone();
        again.found = apply(&plan, &case.found);
        // Who forces a lead asks for it once, and has looked at a conflict.
        again.forced = false;
        if case.forced {
            again.rules.conflict = Conflict::PreferFirst;
        }
        // Whoever was written to is linked from then on; a link to a contact that is gone is dropped.
        again.linked = match &case.linked {
            Some(linked) if case.found.iter().any(|contact| contact.id == *linked) => Some(linked.clone()),
            _ if case.found.is_empty() => Some(RecordId("new".to_owned())),
            _ => actions(&plan).find_map(written_to).cloned(),
        };
        // A deal that was made or moved may no longer count as open by rules made at random, and then another one is
        // taken; the law is about the records that were written.
        let made = kinds(&plan).contains(&StepKind::CreateDeal);
        let moved = actions(&plan)
            .find_map(|action| if let Action::UpdateDeal { deal, .. } = action { Some(deal) } else { None });
        let new = RecordId("new deal".to_owned());
        if let Some(written) = moved.or(made.then_some(&new)) {
            again.rules.open_deal = OpenDeal::default();
            again.found.iter_mut().for_each(|contact| contact.deals.retain(|deal| deal.id == *written));
        }
        let Decision::Push { plan: second, .. } = again.decide() else {
            return Err(TestCaseError::fail("a plan became something else"));
        };
        prop_assert!(!kinds(&second).contains(&StepKind::CreateContact));
        prop_assert!(!made || !kinds(&second).contains(&StepKind::CreateDeal));
        let updates = |kind: &StepKind| matches!(kind, StepKind::UpdateContact | StepKind::UpdateDeal);
        prop_assert!(!kinds(&second).iter().any(updates), "{:#?}\n{:#?}", plan, second);
    }

    #[test]
    fn the_pool_moves_exactly_when_somebody_was_picked_by_turn(case in case()) {
        let (plan, turn) = match case.decide() {
            Decision::Push { plan, turn } => (plan, turn),
            Decision::Waiting { until, .. } => {
                prop_assert!(until > now(), "a lead that waits for the past would never rest");
                return Ok(());
            }
            Decision::Filtered(_) | Decision::NeedsAttention { .. } => return Ok(()),
        };
        let sticks = plan.picked_owner.is_some() && plan.picked_owner == case.sticky_owner;
        let turned = turn.map(|turn| turn.user);
        prop_assert_eq!(turned, plan.picked_owner.clone().filter(|_| !sticks));
        if let Some(picked) = &plan.picked_owner {
            let gets = |step: &Step| matches!(
                &step.action,
                Action::CreateContact { contact: ContactFields { owner: Some(owner), .. } }
                | Action::CreateDeal { deal: DealFields { owner: Some(owner), .. }, .. }
                | Action::CreateTask { task: TaskFields { owner: Some(owner), .. }, .. } if owner == picked
            );
            prop_assert!(plan.steps.iter().any(gets));
        }
    }

    #[test]
    fn nothing_new_goes_to_somebody_who_left(case in case()) {
        let Decision::Push { plan, .. } = case.decide() else { return Ok(()) };
        for action in actions(&plan) {
            let owner = match action {
                Action::CreateContact { contact } => &contact.owner,
                Action::CreateDeal { deal, .. } => &deal.owner,
                Action::CreateTask { task, .. } => &task.owner,
                Action::UpdateContact { .. }
                | Action::UpdateDeal { .. }
                | Action::AddNote { .. }
                | Action::Call { .. } => &None,
            };
            prop_assert!(!owner.as_ref().is_some_and(|owner| case.inactive.has(owner)), "{:?}", action);
        }
    }
}
