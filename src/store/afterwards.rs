//! Calls that wait for a CRM: their syncs are made in the very transaction in which the last CRM comes so far, so that no
//! row waits for another and nothing is called before the CRM has confirmed.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::StoreError;
use super::sql::{Arg, Connection, args, list};
use crate::id::{LeadId, PersonId, SyncId};
use crate::lead::{Lead, Moment};

/// The calls of a lead that are to come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToCome {
    /// Names of the CRMs that are waited for.
    pub after: Vec<String>,
    /// The bots, each with the id of its sync: given beforehand, so that it is made once.
    pub calls: Vec<Coming>,
}

/// A bot that will be called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coming {
    /// The sync that will be made.
    pub sync: SyncId,
    /// Name of the bot.
    pub to: String,
    /// What it waits for.
    pub moment: Moment,
}

/// A call that is not made yet, and what it waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CallToCome {
    /// Name of the bot.
    pub to: String,
    /// The key of the mapping under which it stands: `after_done`, `after_look_up`.
    pub moment: &'static str,
    /// In a sentence.
    pub why: String,
}

impl ToCome {
    /// The calls that have no sync yet; `syncs` are those that are there, and `states` the state at each destination.
    pub(super) fn waiting(&self, syncs: &[String], states: &BTreeMap<String, String>) -> Vec<CallToCome> {
        let is_made = |call: &Coming| syncs.contains(&call.sync.to_string());
        let waiting = self.calls.iter().filter(|call| !is_made(call));
        let told = waiting.map(|call| CallToCome {
            to: call.to.clone(),
            moment: call.moment.key(),
            why: self.why(call.moment, states),
        });
        told.collect()
    }

    fn why(&self, moment: Moment, states: &BTreeMap<String, String>) -> String {
        let state = |name: &String| states.get(name).map_or("not begun", String::as_str);
        let mut held_up = self.after.iter().filter(|name| {
            let state = state(name);
            state != "synced" && !(moment == Moment::LookedUp && state == "filtered")
        });
        // What does not come by itself is told first.
        let first = held_up.clone().find(|name| matches!(state(name), "needs-attention" | "filtered"));
        let Some(name) = first.or_else(|| held_up.next()) else {
            return "It is due, and begins in a moment.".to_owned();
        };
        match state(name) {
            "needs-attention" => format!(
                "It is not made: '{name}' has not confirmed and needs attention. It is made once that is cleared up and has \
                 come through."
            ),
            "filtered" => {
                format!("It is not made: nothing was written to '{name}', so there is nothing to confirm.")
            }
            state => format!("It waits for '{name}', which is {state}."),
        }
    }

    /// What is to come for a lead; `bots` are the destinations of `lead.to` that are none to wait for.
    pub fn of(
        lead: &Lead,
        is_bot: impl Fn(&str) -> bool,
        mut new_sync_id: impl FnMut() -> SyncId,
    ) -> Option<Self> {
        if lead.afterwards.is_empty() {
            return None;
        }
        let calls = lead.afterwards.iter().map(|call| Coming {
            sync: new_sync_id(),
            to: call.to.clone(),
            moment: call.moment,
        });
        Some(Self {
            after: lead.to.iter().filter(|name| !is_bot(name)).cloned().collect(),
            calls: calls.collect(),
        })
    }

    /// Those whose moment has come, by the states of the lead's syncs.
    fn due(&self, states: &BTreeMap<String, String>) -> Vec<&Coming> {
        let all = |words: &[&str]| {
            self.after
                .iter()
                .all(|name| states.get(name).is_some_and(|state| words.contains(&state.as_str())))
        };
        let (done, looked_up) = (all(&["synced"]), all(&["synced", "filtered"]));
        let is_due = |call: &&Coming| match call.moment {
            Moment::AtOnce => true,
            Moment::Done => done,
            Moment::LookedUp => looked_up,
        };
        self.calls.iter().filter(is_due).collect()
    }
}

/// Makes the syncs of calls whose moment has come because these syncs came to their end; `now` in milliseconds since 1970.
pub(super) async fn begin(connection: &mut Connection, ended: Vec<Arg>, now: i64) -> Result<(), StoreError> {
    if ended.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "SELECT leads.id, leads.afterwards, leads.sequence, syncs.person, syncs.priority FROM syncs \
         JOIN leads ON leads.id = syncs.lead WHERE syncs.id IN ({}) AND leads.afterwards IS NOT NULL ORDER BY leads.id",
        list(1, ended.len())
    );
    let mut fresh = Vec::new();
    for row in connection.fetch(&sql, ended).await? {
        let (lead, to_come): (LeadId, ToCome) = (row.id(0)?, row.json(1)?);
        if to_come.after.len() > 1 {
            // Two CRMs may confirm at one moment, in two processes, and each would wait for the other.
            connection.execute("UPDATE leads SET sequence = sequence WHERE id = $1", args![lead]).await?;
        }
        let states =
            connection.fetch("SELECT destination, state FROM syncs WHERE lead = $1", args![lead]).await?;
        let states = states.iter().map(|row| Ok((row.text(0)?, row.text(1)?)));
        let states = states.collect::<Result<BTreeMap<_, _>, StoreError>>()?;
        let (sequence, person, priority) = (row.int(2)?, row.id::<PersonId>(3)?, row.int(4)?);
        for call in to_come.due(&states) {
            let to = call.to.as_str();
            fresh.push(args![call.sync, lead, to, person, priority, "ready", now, now, sequence]);
        }
    }
    connection
        .insert_rows(
            "syncs (id, lead, destination, person, priority, state, next_at, updated_at, sequence)",
            fresh,
            "ON CONFLICT (id) DO NOTHING",
        )
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_waits_for_all_crms() {
        let coming = |moment| Coming { sync: SyncId(uuid::Uuid::nil()), to: "bot".to_owned(), moment };
        let check = |states: &[(&str, &str)], expect: &[Moment]| {
            let calls = vec![coming(Moment::Done), coming(Moment::LookedUp)];
            let to_come = ToCome { after: vec!["crm".to_owned(), "other".to_owned()], calls };
            let states =
                states.iter().map(|(name, state)| ((*name).to_owned(), (*state).to_owned())).collect();
            let due: Vec<Moment> = to_come.due(&states).iter().map(|call| call.moment).collect();
            assert_eq!(due, expect, "{states:?}");
        };
        check(&[("crm", "synced"), ("other", "synced")], &[Moment::Done, Moment::LookedUp]);
        check(&[("crm", "synced"), ("other", "filtered")], &[Moment::LookedUp]);
        check(&[("crm", "synced"), ("other", "pushing")], &[]);
        check(&[("crm", "synced"), ("other", "needs-attention")], &[]);
        check(&[("crm", "synced")], &[]);
    }

    #[test]
    fn a_call_that_is_not_made_says_what_it_waits_for() {
        let check = |moment, states: &[(&str, &str)], expect: &str| {
            let coming = Coming { sync: SyncId(uuid::Uuid::nil()), to: "bot".to_owned(), moment };
            let after = vec!["crm".to_owned(), "other".to_owned()];
            let to_come = ToCome { after, calls: vec![coming.clone()] };
            let states = states.iter().map(|(name, state)| ((*name).to_owned(), (*state).to_owned()));
            let states: BTreeMap<_, _> = states.collect();
            let [told] = &to_come.waiting(&[], &states)[..] else { panic!("one call") };
            assert!(told.why.contains(expect), "{states:?}: {}", told.why);
            assert_eq!(to_come.waiting(&[coming.sync.to_string()], &states), []);
        };
        let (done, looked_up) = (Moment::Done, Moment::LookedUp);
        check(done, &[("crm", "synced"), ("other", "pushing")], "waits for 'other', which is pushing");
        check(done, &[("crm", "ready"), ("other", "needs-attention")], "'other' has not confirmed");
        check(done, &[("crm", "filtered"), ("other", "ready")], "nothing was written to 'crm'");
        check(looked_up, &[("crm", "filtered"), ("other", "ready")], "waits for 'other', which is ready");
        check(looked_up, &[("crm", "filtered"), ("other", "synced")], "due");
        check(done, &[("crm", "synced")], "waits for 'other', which is not begun");
    }
}
