//! What a replay would do, before anything is done.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::{Again, UNREADABLE, checked, is_of_deliveries, observes, remapped};
use crate::access::Role;
use crate::id::LeadId;
use crate::map::Workspace;
use crate::operation::{Means, Operation, OperationError};
use crate::store::StoreError;
use crate::store::prepare::EventOutcome;
use crate::store::replay::{How, Item, LeftAlone, Selection};

/// Items read at once while everything is counted.
const COUNTED_AT_ONCE: usize = 5_000;
/// Leads whose new plan is shown.
const SAMPLES: usize = 5;

/// What a replay would do. Changes nothing.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PreviewReplay {
    /// Which leads.
    pub select: Selection,
    /// Resume, re-plan or force.
    pub how: How,
    /// At most so many, oldest first.
    #[serde(default)]
    pub limit: Option<u64>,
    /// Look at no more than so many: what is told is of those, and `more` says that there are others.
    #[serde(default)]
    pub look_at: Option<u64>,
}

/// What a replay would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Preview {
    /// How many would be replayed: leads, by destination, or deliveries that could not be read.
    pub count: u64,
    /// The same by where they stand and why; most first.
    pub groups: Vec<Group>,
    /// Selected, and left as they are.
    pub left_alone: BTreeMap<LeftAlone, u64>,
    /// Forced leads of people who have a deal there already, as far as the registry knows.
    pub beside_a_deal: u64,
    /// What the active mapping makes of the first of them, when they are planned again.
    pub samples: Vec<Sample>,
    /// The last of them: a replay up to here touches no others.
    pub up_to: Option<Uuid>,
    /// There are more than were to be looked at.
    #[serde(default)]
    pub more: bool,
}

/// Leads that stand in one place for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Group {
    /// Where they stand.
    pub state: String,
    /// The word of the reason.
    pub cause: Option<String>,
    /// The destination, or the source of what has none.
    pub place: String,
    /// How many.
    pub count: u64,
    /// The reason of the first of them.
    pub example: String,
}

/// One lead, mapped again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sample {
    /// Which.
    pub lead: LeadId,
    /// Where it stands.
    pub before: String,
    /// What the active mapping makes of it.
    pub after: String,
    /// The lead that it makes of it, where it makes one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mapped: Option<Value>,
}

impl Operation for PreviewReplay {
    const PATH: &'static str = "/api/replay/preview";
    const ROLE: Role = Role::Viewer;
    type Answer = Preview;

    async fn run(self, means: &Means) -> Result<Preview, OperationError> {
        let Self { select, how, limit, look_at } = self;
        let select = checked(select, how)?;
        let limit = limit.unwrap_or(u64::MAX);
        if is_of_deliveries(&select) {
            return preview_deliveries(means, &select, limit, look_at).await;
        }
        let workspace = means.active().await?;
        let mut groups: BTreeMap<(String, Option<String>, String), Group> = BTreeMap::new();
        let mut preview = Preview::default();
        let mut after = None;
        let mut left = look_at.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
        'pages: loop {
            let page = left.min(COUNTED_AT_ONCE);
            let (items, next) = means.store.replayable(&select, after, None, page).await?;
            left = left.saturating_sub(items.len());
            for item in items {
                let of_this_lead = Some(item.lead.0) == preview.up_to;
                if preview.count >= limit && !of_this_lead {
                    break 'pages;
                }
                if let Err(left) = item.verdict(how, observes(&workspace, &item)) {
                    *preview.left_alone.entry(left).or_default() += 1;
                    continue;
                }
                preview.count += 1;
                preview.up_to = Some(item.lead.0);
                preview.beside_a_deal += u64::from(how == How::Force && item.has_deal);
                if how == How::Replan && !of_this_lead && preview.samples.len() < SAMPLES {
                    preview.samples.push(sample(means, &workspace, &item).await?);
                }
                count(&mut groups, item);
            }
            match next {
                Some(_) if left == 0 => {
                    preview.more = true;
                    break;
                }
                Some(_) => after = next,
                None => break,
            }
        }
        preview.groups = groups.into_values().collect();
        preview.groups.sort_by_key(|group| std::cmp::Reverse(group.count));
        Ok(preview)
    }
}

fn count(groups: &mut BTreeMap<(String, Option<String>, String), Group>, item: Item) {
    let Item { state, why, destination, source, .. } = item;
    let (cause, example) = why.map_or((None, String::new()), |why| (Some(why.code), why.text));
    let place = destination.unwrap_or(source);
    let group = groups.entry((state.clone(), cause.clone(), place.clone())).or_insert_with(|| Group {
        state,
        cause,
        place,
        count: 0,
        example,
    });
    group.count += 1;
}

async fn sample(means: &Means, workspace: &Arc<Workspace>, item: &Item) -> Result<Sample, StoreError> {
    let mut mapped = None;
    let after = match remapped(means, workspace, item.lead).await? {
        Ok(Again::Mapped(EventOutcome::Lead { lead, .. }, _)) => {
            mapped = serde_json::to_value(&*lead).ok();
            format!("branch '{}', to {}", lead.branch, lead.to.join(", "))
        }
        Ok(Again::Mapped(EventOutcome::Filtered(why), _)) => format!("filtered: {}", why.text),
        Ok(Again::Mapped(EventOutcome::NeedsAttention(why), _)) => format!("needs attention: {}", why.text),
        Ok(Again::Waits(_)) => "waits for somebody with its click id".to_owned(),
        Err((_, why)) => format!("left alone: {why}"),
    };
    let why = item.why.as_ref().map_or_else(String::new, |why| format!(": {}", why.text));
    Ok(Sample { lead: item.lead, before: format!("{}{why}", item.state), after, mapped })
}

async fn preview_deliveries(
    means: &Means,
    select: &Selection,
    limit: u64,
    look_at: Option<u64>,
) -> Result<Preview, OperationError> {
    let most = limit.min(look_at.unwrap_or(u64::MAX));
    let mut preview = Preview::default();
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    let mut after = None;
    while preview.count < most {
        let left = usize::try_from(most - preview.count).unwrap_or(usize::MAX).min(COUNTED_AT_ONCE);
        let found = means.store.unreadable(select, after, left).await?;
        if found.is_empty() {
            break;
        }
        for (delivery, why) in found {
            after = Some(delivery);
            preview.count += 1;
            let group = groups.entry(why.clone()).or_insert_with(|| Group {
                state: UNREADABLE.to_owned(),
                cause: None,
                place: select.source.clone().unwrap_or_else(|| "any source".to_owned()),
                count: 0,
                example: why,
            });
            group.count += 1;
        }
    }
    preview.more = look_at.is_some_and(|look_at| preview.count >= look_at);
    preview.up_to = after.map(|delivery| delivery.0);
    preview.groups = groups.into_values().collect();
    preview.groups.sort_by_key(|group| std::cmp::Reverse(group.count));
    Ok(preview)
}
