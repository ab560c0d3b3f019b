//! Whose a token is: the rule of eSputnik's *Add application tokens*, which looks somebody up and adds a chat to them.
//!
//! One identifier decides, the first that somebody has of external customer ids (in the order of the mapping, so contactId
//! goes first), phones and emails. It is not weighed against the others, and nothing is vetoed, because whoever calls has
//! looked at their own records; only what very many different people share names nobody.
//!
//! | looked up | the token is | then |
//! |---|---|---|
//! | somebody | new | it is added to them; the other identifiers are neither added nor moved |
//! | somebody | theirs | nothing changes |
//! | somebody | of a chat of which nothing else is known | that chat is theirs: the two are one |
//! | somebody | another person's | it stays there; the conflict is recorded |
//! | nobody | new | somebody new has it with all identifiers |
//! | nobody | of a chat of which nothing else is known | that one has all identifiers from now on |
//! | nobody | another person's | somebody new has all identifiers; the token stays there, and the conflict is recorded |

use super::veto::is_shared;
use super::{Decision, Finding, Hit, Known, Merge, MergeRule, RULES_VERSION, Refusal, Resolution, Rule, Who};
use super::{keys_of, take};
use crate::id::PersonId;
use crate::lead::{IdentifierKind, Proof};
use crate::resolve::KnownPerson;
use crate::rules::IdentityRules;

/// Decides whose token an event adds. `fresh` is the id of the person to be made when nobody is found.
pub(super) fn look_up(who: &Who<'_>, known: &Known, rules: &IdentityRules, fresh: PersonId) -> Resolution {
    let mut findings = Vec::new();
    let mut possible_duplicates = Vec::new();
    let mut chosen: Option<Hit> = None;
    for hit in hits(who, known) {
        let Some(owned) = known.keys.get(&hit.key) else { continue };
        let first = chosen.as_ref().map(|first| first.person);
        let refusal = if is_shared(&hit.key, owned, rules) {
            Refusal::Shared { people: owned.users.count() }
        } else if let Some(first) = first {
            if first == hit.person {
                continue;
            }
            Refusal::Disagree
        } else {
            findings.push(Finding::decided(&hit.key, hit.person));
            chosen = Some(hit);
            continue;
        };
        findings.push(refuse(&hit, refusal, &mut possible_duplicates));
    }
    let mut merges = Vec::new();
    let mut rule = chosen.as_ref().map_or(Rule::NobodyKnown, |hit| Rule::of(hit.key.kind, hit.proof));
    let mut person = chosen.as_ref().map(|hit| hit.person);
    for hit in hits_of(who, known, |kind| kind == IdentifierKind::Chat) {
        if person == Some(hit.person) {
            continue;
        }
        let anonymous = known.people.get(&hit.person).is_none_or(KnownPerson::is_anonymous);
        match person {
            None if anonymous => {
                findings.push(Finding::decided(&hit.key, hit.person));
                rule = Rule::Chat;
                person = Some(hit.person);
            }
            Some(into) if anonymous && !known.are_apart(into, hit.person) => {
                let rule = MergeRule::AnonymousChat;
                findings.push(Finding::merged(&hit.key, hit.person, rule));
                merges.push(Merge { from: hit.person, into, rule });
            }
            None | Some(_) => {
                let apart = person.is_some_and(|person| known.are_apart(person, hit.person));
                let refusal = if apart { Refusal::SaidToDiffer } else { Refusal::Disagree };
                findings.push(refuse(&hit, refusal, &mut possible_duplicates));
            }
        }
    }
    possible_duplicates
        .retain(|other| Some(*other) != person && !merges.iter().any(|merge| merge.from == *other));
    let created = person.is_none();
    let person = person.unwrap_or(fresh);
    // Who is found keeps the identifiers that they have; who is new, or was but a chat, gets all.
    let added: Vec<_> = who
        .identifiers
        .iter()
        .filter(|identifier| chosen.is_none() || identifier.kind == IdentifierKind::Chat)
        .cloned()
        .collect();
    let given = Who { identifiers: &added, name: who.name.clone(), ..*who };
    let (attach, hold) = take(&given, known, rules, person, &merges, &mut findings);
    let decision = Decision { rule, version: RULES_VERSION, findings };
    Resolution { person, created, attach, hold, merges, possible_duplicates, decision }
}

fn refuse(hit: &Hit, refusal: Refusal, possible_duplicates: &mut Vec<PersonId>) -> Finding {
    if refusal.tells_of_a_duplicate() && !possible_duplicates.contains(&hit.person) {
        possible_duplicates.push(hit.person);
    }
    Finding::refused(&hit.key, hit.person, refusal)
}

/// Who has the identifiers, in the order in which people are looked up.
fn hits(who: &Who<'_>, known: &Known) -> Vec<Hit> {
    let mut hits = hits_of(who, known, |kind| kind != IdentifierKind::Chat);
    hits.sort_by_key(|hit| hit.key.kind);
    hits
}

fn hits_of(who: &Who<'_>, known: &Known, wanted: fn(IdentifierKind) -> bool) -> Vec<Hit> {
    let mut hits = Vec::new();
    for identifier in who.identifiers {
        if !identifier.kind.joins() || !wanted(identifier.kind) || identifier.proof == Proof::Hinted {
            continue;
        }
        for key in keys_of(identifier) {
            if let Some(known) = known.keys.get(&key) {
                hits.push(Hit { key, proof: identifier.proof, person: known.owner });
            }
        }
    }
    hits
}
