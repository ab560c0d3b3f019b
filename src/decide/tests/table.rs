//! Every state of the table against a second statement of it.

use std::time::Duration;

use super::*;

#[test]
fn the_whole_table() {
    let windows = [
        TaskOnRepeat::Always,
        TaskOnRepeat::Never,
        TaskOnRepeat::Collapse(Duration::from_mins(1)),
        TaskOnRepeat::Collapse(Duration::from_hours(1)),
    ];
    let mut states = 0;
    for contacts in 0..3_usize {
        for deals in [vec![], vec!["Main"], vec!["Main", "Main"], vec!["Closed"]] {
            for create_deal in [CreateDeal::WhenNoneOpen, CreateDeal::Never] {
                for task_on_repeat in windows {
                    for update in [Update::None, Update::OnlyEmpty, Update::All] {
                        for flags in 0..1_u8 << 6 {
                            let flag = |bit: u8| flags & (1 << bit) != 0;
                            let case = table_case(contacts, &deals, |case| {
                                case.rules.create_deal = create_deal;
                                case.rules.task_on_repeat = task_on_repeat;
                                case.rules.update = update;
                                case.can =
                                    Capabilities { deals: flag(0), tasks: flag(1), notes: flag(2), ..ALL };
                                if flag(3) {
                                    case.lead.contact.phones.clear();
                                    case.person = PersonView::default();
                                }
                                if flag(4) {
                                    case.conflicts = vec![Reason::new("c", "The phone is another person's.")];
                                }
                                if flag(5) {
                                    case.rules.conflict = Conflict::Review;
                                }
                            });
                            let expected = table_answer(&case);
                            assert_eq!(outline(&case.decide()), expected, "{case:#?}");
                            states += 1;
                        }
                    }
                }
            }
        }
    }
    assert_eq!(states, 3 * 4 * 2 * 4 * 3 * 64);
}

fn table_case(contacts: usize, deals: &[&str], change: impl FnOnce(&mut Case)) -> Case {
    let mut case = Case::new();
    case.lead.contact.fields = Fields::from([("city".into(), json!("Lviv"))]);
    case.lead.deal.fields = Fields::from([("utm".into(), json!("ad"))]);
    case.rules.open_deal.pipelines = vec!["Main".into()];
    case.last_task_at = Some(now() - SignedDuration::from_mins(30));
    let deals = |contact: usize| {
        deals.iter().enumerate().map(move |(number, pipeline)| FoundDeal {
            pipeline: Some((*pipeline).into()),
            ..deal(&format!("{contact}{number}"))
        })
    };
    case.found = (0..contacts).map(|id| contact(&id.to_string(), deals(id).collect())).collect();
    change(&mut case);
    case
}

fn table_answer(case: &Case) -> String {
    let (rules, can) = (&case.rules, case.can);
    if rules.conflict == Conflict::Review && !case.conflicts.is_empty() {
        return "needs attention conflict".into();
    }
    let never = rules.create_deal == CreateDeal::Never;
    let mut steps = Vec::new();
    let deal_note = !can.deals && !never && can.notes;
    if case.found.is_empty() {
        if never {
            return "filtered nothing_to_update".into();
        }
        if case.lead.contact.phones.is_empty() {
            return "filtered needs_phone_or_email".into();
        }
        steps.push(StepKind::CreateContact);
        steps.extend(can.deals.then_some(StepKind::CreateDeal));
        steps.extend(deal_note.then_some(StepKind::AddNote));
    } else {
        let open =
            can.deals && case.found[0].deals.iter().any(|deal| deal.pipeline.as_deref() == Some("Main"));
        let updates = rules.update != Update::None;
        steps.extend(updates.then_some(StepKind::UpdateContact));
        steps.extend((updates && open).then_some(StepKind::UpdateDeal));
        let due = match rules.task_on_repeat {
            TaskOnRepeat::Always => true,
            TaskOnRepeat::Never => false,
            TaskOnRepeat::Collapse(window) => window < Duration::from_mins(30),
        };
        let repeat = due && (open || (!can.deals && !never));
        if can.deals && !open && !never {
            steps.push(StepKind::CreateDeal);
        }
        steps.extend((repeat && can.tasks).then_some(StepKind::CreateTask));
        let instead = repeat && !can.tasks && can.notes;
        steps.extend((instead || deal_note).then_some(StepKind::AddNote));
    }
    steps.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(", ")
}
