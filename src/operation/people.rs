//! Who is who, corrected by hand: looking at people, making two one, taking them apart, and saying that two are two.
//!
//! A person is named by an id (of the person, or of one of their leads) or by what is theirs: a phone in any spelling, an
//! email, a chat id. Nothing is merged or split in a CRM: the answers say what is there.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Means, Operation, OperationError, default_regions, without_personal_data};
use crate::access::Role;
use crate::crm;
use crate::id::{MergeId, PersonId};
use crate::normalise::spellings;
use crate::plan::RecordId;
use crate::resolve::Language;
use crate::store::StoreError;
use crate::store::corrections::{Asked, By, ContactOf, KeptApart, MadeOne, NotDone, TakenApart};
use crate::store::profile::{Brief, DuplicatePlace, PossibleDuplicate, Profile};

/// People of one answer.
pub const MOST_PEOPLE: usize = 20;
/// Possible duplicates, or people in a few words, of one answer.
const MOST_DUPLICATES: i64 = 200;
/// How often something that is just on its way to a CRM is waited for, and how long each time.
const TRIES: u32 = 20;
const BETWEEN_TRIES: Duration = Duration::from_millis(250);

/// Asks for everybody who is meant by a text.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LookAtPeople {
    /// An id, a phone in any spelling, an email, a chat id, or, where nobody has it as one of these, the beginning of a name.
    pub who: String,
    /// Countries of a phone that names none, the first first.
    #[serde(default = "default_regions")]
    pub regions: Vec<String>,
    /// Newest leads of each.
    #[serde(default)]
    pub leads: Option<i64>,
    /// `en` or `uk`, for the sentences.
    #[serde(default)]
    pub language: Language,
}

/// Everybody who is meant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct People {
    /// Each with all that is known of them.
    pub people: Vec<Profile>,
}

impl Operation for LookAtPeople {
    const PATH: &'static str = "/api/people";
    const ROLE: Role = Role::Viewer;
    type Answer = People;

    async fn run(self, means: &Means) -> Result<People, OperationError> {
        let leads = self.leads.unwrap_or(5).clamp(0, 200);
        let mut found = found(means, &self.who, &self.regions).await?;
        if found.is_empty() {
            // A name shows people to somebody who looks. Whoever changes something names them by what is theirs alone.
            found = means.store.people_called(&self.who, MOST_PEOPLE).await?;
        }
        let mut people = Vec::new();
        for person in found.into_iter().take(MOST_PEOPLE) {
            let Some(mut profile) = means.store.profile_in(person, leads, self.language).await? else {
                continue;
            };
            add_pages(means, &mut profile.contacts).await;
            people.push(profile);
        }
        Ok(People { people })
    }
}

/// Asks for people who may be one, oldest first.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LookAtDuplicates {
    /// At most so many; 50 when absent.
    #[serde(default)]
    pub limit: Option<i64>,
    /// Those behind this one: the last of the page before.
    #[serde(default)]
    pub after: Option<DuplicatePlace>,
    /// `en` or `uk`, for the sentences.
    #[serde(default)]
    pub language: Language,
}

/// People who may be one, until somebody says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Duplicates {
    /// Each pair with its evidence.
    pub duplicates: Vec<PossibleDuplicate>,
}

impl Operation for LookAtDuplicates {
    const PATH: &'static str = "/api/people/duplicates";
    const ROLE: Role = Role::Viewer;
    type Answer = Duplicates;

    async fn run(self, means: &Means) -> Result<Duplicates, OperationError> {
        let limit = self.limit.unwrap_or(50).clamp(1, MOST_DUPLICATES);
        let after = self.after.as_ref();
        let duplicates = means.store.possible_duplicates(None, after, self.language, limit).await?;
        Ok(Duplicates { duplicates })
    }
}

/// Asks who came last.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LookAtNewestPeople {
    /// Those before this one: the last of the page before.
    #[serde(default)]
    pub before: Option<PersonId>,
    /// At most so many; 50 when absent.
    #[serde(default)]
    pub limit: Option<i64>,
}

/// Who came last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NewestPeople {
    /// The newest first.
    pub people: Vec<Brief>,
}

impl Operation for LookAtNewestPeople {
    const PATH: &'static str = "/api/people/newest";
    const ROLE: Role = Role::Viewer;
    type Answer = NewestPeople;

    async fn run(self, means: &Means) -> Result<NewestPeople, OperationError> {
        let limit = self.limit.unwrap_or(50).clamp(1, MOST_DUPLICATES);
        Ok(NewestPeople { people: means.store.newest_people(self.before, limit).await? })
    }
}

/// Who says something, and whether they only look.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Said {
    /// Who, in their words.
    #[serde(default)]
    pub author: Option<String>,
    /// Why, in their words.
    #[serde(default)]
    pub note: Option<String>,
    /// Say what would follow, and change nothing.
    #[serde(default)]
    pub only_look: bool,
}

impl Said {
    fn by(&self, means: &Means) -> By {
        By {
            author: Some(self.author.clone().unwrap_or_else(|| means.caller.name.clone())),
            note: self.note.clone(),
            only_look: self.only_look,
            clock: std::sync::Arc::clone(&means.clock),
        }
    }
}

/// Two people are one.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Merge {
    /// The one.
    pub one: String,
    /// The other.
    pub other: String,
    /// It answers for possible duplicates, and refuses any others.
    #[serde(default)]
    pub same: bool,
    /// By whom.
    #[serde(default)]
    pub said: Said,
    /// Countries of phones that name none.
    #[serde(default = "default_regions")]
    pub regions: Vec<String>,
}

impl Operation for Merge {
    const PATH: &'static str = "/api/people/merge";
    const ROLE: Role = Role::Operator;
    type Answer = MadeOne;

    fn record(&self) -> Option<Value> {
        (!self.said.only_look).then(|| without_personal_data(self))
    }

    async fn run(self, means: &Means) -> Result<MadeOne, OperationError> {
        let one = the_one(means, &self.one, &self.regions).await?;
        let other = the_one(means, &self.other, &self.regions).await?;
        let asked = if self.same { Asked::Same } else { Asked::Merge };
        let ask = || {
            let (store, by) = (means.store.clone(), self.said.by(means));
            async move { store.make_one(one, other, asked, by).await }
        };
        let mut made = patiently(self.said.only_look, ask).await?;
        add_pages(means, &mut made.contacts).await;
        if !self.said.only_look {
            tracing::info!(merge = %made.merge, from = %made.from, into = %made.into, "two people are made one by hand");
            (means.wake_workers)();
        }
        Ok(made)
    }
}

/// Two people are not one any more.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// The merge that is undone, or a person with one merge.
    pub what: String,
    /// By whom.
    #[serde(default)]
    pub said: Said,
    /// Countries of phones that name none.
    #[serde(default = "default_regions")]
    pub regions: Vec<String>,
}

impl Operation for Split {
    const PATH: &'static str = "/api/people/split";
    const ROLE: Role = Role::Operator;
    type Answer = TakenApart;

    fn record(&self) -> Option<Value> {
        (!self.said.only_look).then(|| without_personal_data(self))
    }

    async fn run(self, means: &Means) -> Result<TakenApart, OperationError> {
        let merge = self.merge(means).await?;
        let ask = || {
            let (store, by) = (means.store.clone(), self.said.by(means));
            async move { store.take_apart(merge, by).await }
        };
        let mut taken = patiently(self.said.only_look, ask).await?;
        add_pages(means, &mut taken.contacts).await;
        if !self.said.only_look {
            tracing::info!(%merge, from = %taken.from, into = %taken.into, "a merge is undone by hand");
            (means.wake_workers)();
        }
        Ok(taken)
    }
}

impl Split {
    async fn merge(&self, means: &Means) -> Result<MergeId, OperationError> {
        if let Ok(id) = self.what.trim().parse::<MergeId>() {
            // Somebody who is no more is meant by their own id.
            return match means.store.merge_of(PersonId(id.0)).await? {
                Ok(merge) => Ok(merge),
                Err(NotDone::Unknown(_)) => Ok(id),
                Err(not) => Err(not.into()),
            };
        }
        let person = the_one(means, &self.what, &self.regions).await?;
        means.store.merge_of(person).await?.map_err(OperationError::NotDone)
    }
}

/// Two people are two.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NotSame {
    /// The one.
    pub one: String,
    /// The other.
    pub other: String,
    /// By whom.
    #[serde(default)]
    pub said: Said,
    /// Countries of phones that name none.
    #[serde(default = "default_regions")]
    pub regions: Vec<String>,
}

impl Operation for NotSame {
    const PATH: &'static str = "/api/people/not-same";
    const ROLE: Role = Role::Operator;
    type Answer = KeptApart;

    fn record(&self) -> Option<Value> {
        (!self.said.only_look).then(|| without_personal_data(self))
    }

    async fn run(self, means: &Means) -> Result<KeptApart, OperationError> {
        let one = the_one(means, &self.one, &self.regions).await?;
        let other = the_one(means, &self.other, &self.regions).await?;
        let kept = means.store.keep_apart(one, other, self.said.by(means)).await?;
        kept.map_err(OperationError::NotDone)
    }
}

/// Asks again as long as something is just on its way to a CRM: that takes moments, unless the CRM does not answer.
async fn patiently<T, Answer>(only_look: bool, ask: impl Fn() -> Answer) -> Result<T, OperationError>
where
    Answer: Future<Output = Result<Result<T, NotDone>, StoreError>>,
{
    for _ in 1..TRIES {
        match ask().await? {
            Err(NotDone::UnderWay(_)) if !only_look => tokio::time::sleep(BETWEEN_TRIES).await,
            done => return done.map_err(OperationError::NotDone),
        }
    }
    ask().await?.map_err(OperationError::NotDone)
}

async fn found(means: &Means, who: &str, regions: &[String]) -> Result<Vec<PersonId>, OperationError> {
    Ok(means.store.people_of(&spellings(who, regions)).await?)
}

/// The only person who is meant.
pub(super) async fn the_one(
    means: &Means,
    who: &str,
    regions: &[String],
) -> Result<PersonId, OperationError> {
    // An id is taken at its word: whoever wrote it has looked at that very person.
    if let Ok(id) = who.trim().parse::<PersonId>()
        && means.store.profile(id, 0).await?.is_some()
    {
        return Ok(id);
    }
    let people = found(means, who, regions).await?;
    let refused = |text: String| Err(OperationError::Refused(text));
    match people.as_slice() {
        [person] => Ok(*person),
        [] => refused(format!(
            "nobody is known by '{who}': give a person's or a lead's id, a phone (with its country), an email or a chat id"
        )),
        several => {
            let ids: Vec<String> = several.iter().map(ToString::to_string).collect();
            refused(format!(
                "'{who}' is of {} people: name the one that is meant by id, of {}",
                ids.len(),
                ids.join(", ")
            ))
        }
    }
}

/// Adds where people open contacts in a browser. Without the workspace, or its secrets, that is not known.
async fn add_pages(means: &Means, contacts: &mut [ContactOf]) {
    let Ok(workspace) = means.active().await else { return };
    for contact in contacts {
        let destination = workspace.destinations.get(&contact.destination);
        let account = destination.and_then(|destination| crm::connect(destination).ok());
        contact.url = account.and_then(|crm| crm.contact_page(&RecordId(contact.record.clone())));
    }
}
