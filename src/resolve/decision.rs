//! What was decided about a lead's person, and why, as data. The sentences are made of it when somebody reads them.

use serde::{Deserialize, Serialize};

use super::{Key, MergeRule};
use crate::id::PersonId;
use crate::lead::{IdentifierKind, Proof, mask};

/// The rules of this version of leadfold, as decisions name them.
pub const RULES_VERSION: u32 = 1;

/// Why this person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// Nobody has any of the identifiers.
    NobodyKnown,
    /// A record of the CRM.
    CrmId,
    /// The client's own customer id.
    // Once an id that stood in a link decided as well; such decisions are stored as `hint`.
    #[serde(alias = "hint")]
    ExternalCustomer,
    /// A chat.
    Chat,
    /// A phone that somebody vouches for.
    ProvenPhone,
    /// An email that somebody vouches for.
    ProvenEmail,
    /// A typed phone.
    ClaimedPhone,
    /// A typed email.
    ClaimedEmail,
    /// The click id of a postback.
    Click,
    /// Phone and email named two people, and the name agrees with one of them.
    NameDecides,
}

impl Rule {
    pub(super) fn of(kind: IdentifierKind, proof: Proof) -> Self {
        let proven = proof == Proof::Proven;
        match kind {
            IdentifierKind::CrmId => Self::CrmId,
            IdentifierKind::ExternalCustomer => Self::ExternalCustomer,
            IdentifierKind::Chat => Self::Chat,
            IdentifierKind::Phone if proven => Self::ProvenPhone,
            IdentifierKind::Phone => Self::ClaimedPhone,
            IdentifierKind::Email if proven => Self::ProvenEmail,
            IdentifierKind::Email => Self::ClaimedEmail,
            // Such a key never finds anybody.
            IdentifierKind::Device | IdentifierKind::Click => Self::NobodyKnown,
        }
    }
}

/// Why an identifier of somebody else did not count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "code")]
pub enum Refusal {
    /// Many clearly different people use it, and nobody of this name.
    Shared {
        /// How many at least.
        people: usize,
    },
    /// Nobody came with it for long, and now another name does.
    Forgotten {
        /// Days since it came last.
        days: i64,
    },
    /// They have another customer id in this namespace.
    OtherCustomer {
        /// The namespace.
        namespace: String,
    },
    /// It came in a link that anybody may have made up.
    OnlyHinted,
    /// They have more than one human has.
    TooLarge,
    /// Somebody said that they are two people.
    SaidToDiffer,
    /// Both have deals, and different people are responsible for them.
    DealsOfTwoOwners,
    /// It belongs to somebody else, and nothing proves that the two are one.
    Disagree,
}

impl Refusal {
    /// Whether somebody should look if the two are one.
    pub(super) fn tells_of_a_duplicate(&self) -> bool {
        match self {
            Self::Forgotten { .. }
            | Self::OtherCustomer { .. }
            | Self::TooLarge
            | Self::DealsOfTwoOwners
            | Self::Disagree => true,
            // Nobody, anybody who makes links up, and what somebody has looked at already.
            Self::Shared { .. } | Self::OnlyHinted | Self::SaidToDiffer => false,
        }
    }
}

/// Why a person, and why not another one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// Why this one.
    pub rule: Rule,
    /// [`RULES_VERSION`] of the leadfold that decided.
    pub version: u32,
    /// What each identifier said that somebody has; the one that decided first.
    pub findings: Vec<Finding>,
}

/// What an identifier said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// What it is.
    pub kind: IdentifierKind,
    /// Its value, masked.
    pub shown: String,
    /// Whose it is.
    pub person: PersonId,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of an identifier that somebody has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It decided.
    Decided,
    /// Its person turned out to be the same.
    Merged(MergeRule),
    /// It did not count.
    Refused(Refusal),
}

impl Finding {
    /// Of a record in a CRM: its person is the same. `shown` says which record.
    pub fn one_crm_record(shown: String, person: PersonId) -> Self {
        let outcome = Outcome::Merged(MergeRule::OneCrmRecord);
        Self { kind: IdentifierKind::CrmId, shown, person, outcome }
    }

    fn new(key: &Key, person: PersonId, outcome: Outcome) -> Self {
        Self { kind: key.kind, shown: mask(&key.value), person, outcome }
    }

    pub(super) fn decided(key: &Key, person: PersonId) -> Self {
        Self::new(key, person, Outcome::Decided)
    }

    pub(super) fn merged(key: &Key, person: PersonId, rule: MergeRule) -> Self {
        Self::new(key, person, Outcome::Merged(rule))
    }

    pub(super) fn refused(key: &Key, person: PersonId, refusal: Refusal) -> Self {
        Self::new(key, person, Outcome::Refused(refusal))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_by_a_hint_of_an_earlier_version_is_still_told() {
        let stored = r#"{"rule":"hint","version":1,"findings":[{"kind":"external_customer","shown":"•••",
            "person":"00000000-0000-0000-0000-000000000007","outcome":"decided"}]}"#;
        let decision: Decision = serde_json::from_str(stored).unwrap();
        let told = decision.told(crate::resolve::Language::English, &|_| String::new());
        assert_eq!(told.texts(), ["The same person: the customer id ••• is theirs."]);
    }
}
