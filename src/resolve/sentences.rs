//! What was decided about a lead's person, in words: one whole sentence for each finding, in each language.
//!
//! A sentence is never put together from parts, because languages do not agree on where the parts go. What differs from
//! case to case stands in `{braces}`.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::decision::{Decision, Finding, Outcome, Refusal, Rule};
use super::merge::MergeRule;
use crate::id::PersonId;
use crate::lead::IdentifierKind;
use crate::plan::Reason;

/// A language that we speak, by its ISO 639-1 code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Language {
    /// English.
    #[default]
    #[serde(rename = "en")]
    English,
    /// Ukrainian.
    #[serde(rename = "uk")]
    Ukrainian,
}

impl Language {
    /// The language of this ISO 639-1 code.
    pub fn parse(code: &str) -> Option<Self> {
        match code {
            "en" => Some(Self::English),
            "uk" => Some(Self::Ukrainian),
            _ => None,
        }
    }
}

/// Code, English, Ukrainian. The codes are stable: they are what the API gives.
const SENTENCES: &[(&str, &str, &str)] = &[
    (
        "nobody_known",
        "A new person: nobody had any of these identifiers.",
        "Нова людина: жоден із цих ідентифікаторів ще нікому не належав.",
    ),
    (
        "by_crm_id",
        "The same person: the CRM record {value} is theirs.",
        "Та сама людина: їй належить запис CRM {value}.",
    ),
    (
        "by_external_customer",
        "The same person: the customer id {value} is theirs.",
        "Та сама людина: їй належить ідентифікатор клієнта {value}.",
    ),
    (
        "by_chat",
        "The same person: the chat {value} is theirs.",
        "Та сама людина: чат {value} вже належить їй.",
    ),
    (
        "by_proven_phone",
        "The same person: the messenger vouches for the phone {value}, which is theirs.",
        "Та сама людина: месенджер підтвердив телефон {value}, який належить їй.",
    ),
    (
        "by_proven_email",
        "The same person: the email {value} was confirmed, and it is theirs.",
        "Та сама людина: пошту {value} підтверджено, і вона належить їй.",
    ),
    (
        "by_claimed_phone",
        "Matched by the phone {value}, as it was typed.",
        "Збіглося за телефоном {value}, як його ввели.",
    ),
    (
        "by_claimed_email",
        "Matched by the email {value}, as it was typed.",
        "Збіглося за поштою {value}, як її ввели.",
    ),
    (
        "by_click",
        "Reported of this person: they are who came with the click id {value}.",
        "Повідомлено про цю людину: саме вона прийшла з ідентифікатором кліку {value}.",
    ),
    (
        "by_name",
        "Phone and email belong to two people; {value} decided, because the name agrees with that one alone.",
        "Телефон і пошта належать двом людям; вирішило {value}, бо ім'я збігається лише з цією людиною.",
    ),
    (
        "merged_anonymous_chat",
        "Person {person} is the same one: nothing but a chat was known of them, and {value} ties it to this person.",
        "Людина {person} — та сама: про неї був відомий лише чат, і {value} пов'язує його з цією людиною.",
    ),
    (
        "merged_proven_both",
        "Person {person} is the same one: {value} and what decided are both vouched for.",
        "Людина {person} — та сама: підтверджено і {value}, і те, що вирішило.",
    ),
    (
        "merged_names_agree",
        "Person {person} is the same one: {value} is theirs, the names agree, and nobody of another name ever gave it.",
        "Людина {person} — та сама: {value} належить їй, імена збігаються, і ніхто з іншим ім'ям цього не вказував.",
    ),
    (
        "merged_nothing_differs",
        "Person {person} is the same one: {value} is theirs, the names do not differ, and nothing else does.",
        "Людина {person} — та сама: {value} належить їй, імена не суперечать одне одному, і більше нічого не відрізняється.",
    ),
    (
        "merged_one_crm_record",
        "Person {person} is the same one: this person had no contact in the CRM, and {value} there holds an identifier of \
         both.",
        "Людина {person} — та сама: у цієї людини не було контакту в CRM, а {value} там містить ідентифікатор обох.",
    ),
    (
        "shared",
        "{value} was not used to recognise anybody: clearly different people gave it, at least {people} of them.",
        "{value} не використано для впізнавання: його вказували явно різні люди, щонайменше {people}.",
    ),
    (
        "forgotten",
        "Not joined with person {person}: {value} was last seen {days} days ago, and the name is another one. The number may \
         have been given to somebody else.",
        "Не об'єднано з людиною {person}: {value} востаннє траплялося стільки днів тому: {days}, а ім'я інше. Можливо, номер \
         тепер у когось іншого.",
    ),
    (
        "other_customer",
        "Not joined with person {person}: {value} is theirs, but the customer ids in {namespace} differ. It looks like two \
         people who share it.",
        "Не об'єднано з людиною {person}: {value} належить їй, але ідентифікатори клієнта в {namespace} різні. Схоже, двоє \
         людей користуються ним разом.",
    ),
    (
        "only_hinted",
        "Not joined with person {person}: {value} stood in a link that anybody could have written.",
        "Не об'єднано з людиною {person}: {value} було в посиланні, яке міг скласти будь-хто.",
    ),
    (
        "too_large",
        "{value} was not joined with person {person}: more is known of them than one human has, and somebody should look.",
        "{value} не приєднано до людини {person}: про неї відомо більше, ніж буває в однієї людини, варто перевірити.",
    ),
    (
        "said_to_differ",
        "Not joined with person {person}: somebody said that these are two people.",
        "Не об'єднано з людиною {person}: хтось із ваших позначив, що це різні люди.",
    ),
    (
        "deals_of_two_owners",
        "Not joined with person {person}: both have deals, and different people are responsible for them.",
        "Не об'єднано з людиною {person}: в обох є угоди, і за них відповідають різні менеджери.",
    ),
    (
        "disagree",
        "{value} belongs to person {person} and stays with them: nothing proves that the two are one.",
        "{value} належить людині {person} і залишається в неї: ніщо не доводить, що це одна людина.",
    ),
];

/// A decision in words: what people and programs are told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Told {
    /// The stable word of what decided; none for leads of before decisions were written down.
    pub rule: Option<String>,
    /// [`RULES_VERSION`](super::RULES_VERSION) of the leadfold that decided.
    pub version: Option<u32>,
    /// What decided first, then who turned out to be the same.
    pub why: Vec<Sentence>,
    /// Who it could have been otherwise, and why it is not.
    pub why_not: Vec<Sentence>,
}

impl Told {
    /// The sentences alone: what decided, and what it could have been otherwise.
    pub fn texts(self) -> Vec<String> {
        self.why.into_iter().chain(self.why_not).map(|sentence| sentence.text).collect()
    }
}

/// One finding in words.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Sentence {
    /// Its stable word.
    pub code: String,
    /// The whole sentence.
    pub text: String,
    /// What the identifier is.
    pub kind: Option<IdentifierKind>,
    /// Its value, masked.
    pub shown: Option<String>,
    /// Whose it was.
    pub person: Option<PersonId>,
}

impl From<Reason> for Sentence {
    fn from(reason: Reason) -> Self {
        Self { code: reason.code, text: reason.text, kind: None, shown: None, person: None }
    }
}

impl Decision {
    /// Everybody whom its sentences name.
    pub fn people(&self) -> BTreeSet<PersonId> {
        self.findings.iter().map(|finding| finding.person).collect()
    }

    /// Why, and why not otherwise. `name` is what people know somebody by.
    pub fn told(&self, language: Language, name: &dyn Fn(PersonId) -> String) -> Told {
        let mut told =
            Told { rule: Some(self.rule.code().to_owned()), version: Some(self.version), ..Told::default() };
        if self.rule == Rule::NobodyKnown {
            let code = self.rule.code();
            told.why.push(Reason::new(code, text(code, language)).into());
        }
        for finding in &self.findings {
            let list = match finding.outcome {
                Outcome::Decided | Outcome::Merged(_) => &mut told.why,
                Outcome::Refused(_) => &mut told.why_not,
            };
            list.push(Sentence {
                kind: Some(finding.kind),
                shown: Some(finding.shown.clone()),
                person: Some(finding.person),
                ..self.reason(finding, language, name).into()
            });
        }
        told
    }

    /// Why people turned out to be one, in the order of the merges.
    pub fn merges(&self, language: Language, name: &dyn Fn(PersonId) -> String) -> Vec<Reason> {
        let merged = |finding: &&Finding| matches!(finding.outcome, Outcome::Merged(_));
        self.findings.iter().filter(merged).map(|finding| self.reason(finding, language, name)).collect()
    }

    /// Identifiers that belong to somebody else, which somebody may want to look at.
    pub fn conflicts(&self, language: Language, name: &dyn Fn(PersonId) -> String) -> Vec<Reason> {
        let disagrees = |finding: &&Finding| match &finding.outcome {
            Outcome::Refused(refusal) => refusal.tells_of_a_duplicate(),
            Outcome::Decided | Outcome::Merged(_) => false,
        };
        self.findings.iter().filter(disagrees).map(|finding| self.reason(finding, language, name)).collect()
    }

    fn reason(&self, finding: &Finding, language: Language, name: &dyn Fn(PersonId) -> String) -> Reason {
        finding.reason(self.rule, language, name)
    }
}

impl Finding {
    /// Why its person turned out to be the same.
    pub fn why_merged(&self, language: Language, name: &dyn Fn(PersonId) -> String) -> Reason {
        self.reason(Rule::CrmId, language, name)
    }

    fn reason(&self, rule: Rule, language: Language, name: &dyn Fn(PersonId) -> String) -> Reason {
        let code = self.outcome.code(rule);
        // Names come last: nothing in them is a place to fill in.
        let mut sentence = text(code, language).replace("{value}", &self.shown);
        if let Outcome::Refused(refusal) = &self.outcome {
            sentence = match refusal {
                Refusal::Shared { people } => sentence.replace("{people}", &people.to_string()),
                Refusal::Forgotten { days } => sentence.replace("{days}", &days.to_string()),
                Refusal::OtherCustomer { namespace } => sentence.replace("{namespace}", namespace),
                Refusal::OnlyHinted
                | Refusal::TooLarge
                | Refusal::SaidToDiffer
                | Refusal::DealsOfTwoOwners
                | Refusal::Disagree => sentence,
            };
        }
        if sentence.contains("{person}") {
            sentence = sentence.replace("{person}", &name(self.person));
        }
        Reason::new(code, sentence)
    }
}

/// The sentence of a code. Every code has one: the tests go through all of them.
fn text(code: &str, language: Language) -> &'static str {
    let found = SENTENCES.iter().find(|(known, _, _)| *known == code);
    found.map_or("", |(_, english, ukrainian)| match language {
        Language::English => english,
        Language::Ukrainian => ukrainian,
    })
}

impl Rule {
    /// The stable word of the API and of [`SENTENCES`].
    pub fn code(self) -> &'static str {
        match self {
            Self::NobodyKnown => "nobody_known",
            Self::CrmId => "by_crm_id",
            Self::ExternalCustomer => "by_external_customer",
            Self::Chat => "by_chat",
            Self::ProvenPhone => "by_proven_phone",
            Self::ProvenEmail => "by_proven_email",
            Self::ClaimedPhone => "by_claimed_phone",
            Self::ClaimedEmail => "by_claimed_email",
            Self::Click => "by_click",
            Self::NameDecides => "by_name",
        }
    }
}

impl MergeRule {
    /// The stable word of the API and of [`SENTENCES`].
    pub fn code(self) -> &'static str {
        match self {
            Self::AnonymousChat => "merged_anonymous_chat",
            Self::ProvenBoth => "merged_proven_both",
            Self::NothingDiffers => "merged_nothing_differs",
            Self::NamesAgree => "merged_names_agree",
            Self::OneCrmRecord => "merged_one_crm_record",
        }
    }
}

impl Outcome {
    /// The stable word of the API and of [`SENTENCES`]; `rule` is the decision's.
    fn code(&self, rule: Rule) -> &'static str {
        match self {
            Self::Decided => rule.code(),
            Self::Merged(rule) => rule.code(),
            Self::Refused(refusal) => refusal.code(),
        }
    }
}

impl Refusal {
    /// The stable word of the API and of [`SENTENCES`].
    pub fn code(&self) -> &'static str {
        match self {
            Self::Shared { .. } => "shared",
            Self::Forgotten { .. } => "forgotten",
            Self::OtherCustomer { .. } => "other_customer",
            Self::OnlyHinted => "only_hinted",
            Self::TooLarge => "too_large",
            Self::SaidToDiffer => "said_to_differ",
            Self::DealsOfTwoOwners => "deals_of_two_owners",
            Self::Disagree => "disagree",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::id::PersonId;
    use crate::lead::IdentifierKind;
    use crate::resolve::RULES_VERSION;

    fn slots(sentence: &str) -> BTreeSet<&str> {
        sentence.split('{').skip(1).map(|rest| rest.split('}').next().unwrap()).collect()
    }

    #[test]
    fn both_languages_say_the_same_things() {
        let mut codes = BTreeSet::new();
        for (code, english, ukrainian) in SENTENCES {
            assert!(codes.insert(code), "{code} twice");
            assert_eq!(slots(english), slots(ukrainian), "{code}");
            for sentence in [english, ukrainian] {
                assert!(sentence.ends_with('.') && !sentence.contains("  "), "{sentence}");
            }
            assert!(english.is_ascii() && ukrainian.chars().any(|letter| ('а'..='ї').contains(&letter)));
        }
    }

    fn every_finding() -> Vec<(Rule, Outcome)> {
        use Outcome::{Decided, Merged, Refused};
        let rules = [
            Rule::CrmId,
            Rule::ExternalCustomer,
            Rule::Chat,
            Rule::ProvenPhone,
            Rule::ProvenEmail,
            Rule::ClaimedPhone,
            Rule::ClaimedEmail,
            Rule::Click,
            Rule::NameDecides,
        ];
        let mut all: Vec<(Rule, Outcome)> = rules.map(|rule| (rule, Decided)).into();
        for rule in [
            MergeRule::AnonymousChat,
            MergeRule::ProvenBoth,
            MergeRule::NothingDiffers,
            MergeRule::NamesAgree,
            MergeRule::OneCrmRecord,
        ] {
            all.push((Rule::Chat, Merged(rule)));
        }
        for refusal in [
            Refusal::Shared { people: 4 },
            Refusal::Forgotten { days: 600 },
            Refusal::OtherCustomer { namespace: "shop".to_owned() },
            Refusal::OnlyHinted,
            Refusal::TooLarge,
            Refusal::SaidToDiffer,
            Refusal::DealsOfTwoOwners,
            Refusal::Disagree,
        ] {
            all.push((Rule::NobodyKnown, Refused(refusal)));
        }
        all
    }

    #[test]
    fn every_finding_has_its_sentence_with_nothing_left_open() {
        let mut said = BTreeSet::new();
        for (rule, outcome) in every_finding() {
            let person = PersonId(uuid::Uuid::from_u128(7));
            let finding =
                Finding { kind: IdentifierKind::Phone, shown: "+38•••67".to_owned(), person, outcome };
            let decision = Decision { rule, version: RULES_VERSION, findings: vec![finding] };
            for language in [Language::English, Language::Ukrainian] {
                let told = decision.told(language, &|_| "Olha".to_owned());
                let last = told.why_not.last().or(told.why.last()).unwrap().text.clone();
                assert!(!last.is_empty() && !last.contains('{'), "{decision:?}: {last}");
                said.insert(last);
            }
        }
        // And the one that stands alone.
        assert_eq!(said.len(), 2 * (SENTENCES.len() - 1));
    }
}
