//! Comparing what came of an event with what a mapping's test expects.

use serde_json::Value as Json;

use super::Interpreted;
use crate::lead::Lead;
use crate::map::{Expectation, Expected, Filtered};
use crate::plan::StepKind;

/// What differs, one sentence each; empty when the test passes. `plan` is what was decided, and `called` the calls as
/// `bot: operation`, when it came to that.
pub fn differences(
    expect: &Expectation,
    got: &Interpreted,
    plan: Option<&[StepKind]>,
    called: Option<&[String]>,
) -> Vec<String> {
    let mut found = Vec::new();
    let lead = match got {
        Interpreted::Lead(lead, _) => lead,
        Interpreted::Filtered(reason) => {
            return match &expect.filtered {
                Some(Filtered::Yes) => found,
                Some(Filtered::By(rule)) if *rule == reason.code => found,
                Some(Filtered::By(rule)) => {
                    vec![format!("filtered by `{}`, expected `{rule}`: {}", reason.code, reason.text)]
                }
                Some(Filtered::No) | None => vec![format!("filtered ({}): {}", reason.code, reason.text)],
            };
        }
        Interpreted::NeedsAttention { reason, todo } => {
            return vec![format!("needs attention: {} {todo}", reason.text)];
        }
    };
    match &expect.filtered {
        Some(Filtered::Yes | Filtered::By(_)) => {
            found.push(format!("made a lead in branch `{}`, expected it to be filtered", lead.branch));
        }
        Some(Filtered::No) | None => {}
    }
    texts(&mut found, expect, lead);
    for (name, expected) in &expect.fields {
        let value =
            lead.contact.fields.get(name).or_else(|| lead.deal.fields.get(name)).unwrap_or(&Json::Null);
        if value != expected {
            found.push(format!("field `{name}` is {value}, expected {expected}"));
        }
    }
    for (name, expected) in &expect.person {
        let value = lead.person_fields.get(name).unwrap_or(&Json::Null);
        if value != expected {
            found.push(format!("`{name}` of the person is {value}, expected {expected}"));
        }
    }
    if let (Some(expected), Some(steps)) = (&expect.plan, plan)
        && expected.as_slice() != steps
    {
        found.push(format!("the plan is [{}], expected [{}]", words(steps), words(expected)));
    }
    if let (Some(expected), Some(called)) = (&expect.calls, called)
        && expected.as_slice() != called
    {
        found.push(format!("the calls are [{}], expected [{}]", called.join(", "), expected.join(", ")));
    }
    found
}

fn texts(found: &mut Vec<String>, expect: &Expectation, lead: &Lead) {
    if let Some(branch) = expect.branch.as_ref().filter(|branch| **branch != lead.branch) {
        found.push(format!("branch is `{}`, expected `{branch}`", lead.branch));
    }
    let contact = &lead.contact;
    let pairs = [
        ("phone", &expect.phone, contact.phones.first().map(|phone| phone.e164.as_str())),
        ("email", &expect.email, contact.emails.first().map(|email| email.address.as_str())),
        ("name", &expect.name, contact.name.as_deref()),
        ("title", &expect.title, lead.deal.title.as_deref()),
    ];
    for (what, expected, got) in pairs {
        let expected = match expected {
            Expected::Anything => continue,
            Expected::Nothing => None,
            Expected::Text(text) => Some(text.as_str()),
        };
        if expected != got {
            let say =
                |value: Option<&str>| value.map_or_else(|| "absent".to_owned(), |value| format!("`{value}`"));
            found.push(format!("{what} is {}, expected {}", say(got), say(expected)));
        }
    }
}

fn words(steps: &[StepKind]) -> String {
    steps.iter().map(|step| step.as_str()).collect::<Vec<_>>().join(", ")
}
