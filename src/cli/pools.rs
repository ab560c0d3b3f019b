//! `leadfold pools`: who got how many deals, and who takes one now.

use clap::Args;

use super::{DatabaseOption, End, Failure, process_environment, say};
use crate::clock::{Clock as _, SystemClock};
use crate::map::Workspace;
use crate::operation::NO_VERSION;
use crate::operation::pools::{PoolNow, pools_now};
use crate::store::{Store, StoreError};
use crate::workspace::compile_with;

const EXAMPLES: &str = "\
Examples:
  leadfold pools                      every pool
  leadfold pools kyiv-sales
  leadfold pools --json | jq '.pools[].owners[] | select(.available | not)'

It says who got how many deals today, since Monday and in total, who takes one
now, and if not, why. A deal that stayed with the contact's owner does not
count. Users who are inactive in the CRM are known to the running server only;
their leads say so in `leadfold explain`.";

/// Arguments of `pools`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    /// Names of owner pools; all of the workspace when there are none
    #[arg(value_name = "POOL")]
    pools: Vec<String>,
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseOption,
}

pub(super) async fn run(options: Options) -> Result<End, Failure> {
    let failed = |failure: StoreError| failure.to_string();
    let store = Store::open_to_read(&options.database.database).await.map_err(failed)?;
    let (_, files) = store.active_version().await.map_err(failed)?.ok_or(NO_VERSION)?;
    let workspace = compile_with(&files, &process_environment()).workspace;
    if let Some(unknown) = options.pools.iter().find(|name| !workspace.owner_pools.contains_key(*name)) {
        return Err(format!("the workspace has no owner pool '{unknown}'; it has {}", names(&workspace)));
    }
    let now = SystemClock.now();
    let mut listed = pools_now(&store, &workspace, now).await.map_err(failed)?;
    listed.retain(|pool| options.pools.is_empty() || options.pools.contains(&pool.pool));
    store.close().await;
    if options.json {
        say(&serde_json::json!({ "pools": listed }).to_string())?;
    } else if listed.is_empty() {
        say("The workspace has no owner pools: the CRM decides who is responsible for a new deal.")?;
    } else {
        say(&listed.iter().map(told).collect::<Vec<_>>().join("\n\n"))?;
    }
    Ok(End::Done)
}

fn names(workspace: &Workspace) -> String {
    let names: Vec<&str> = workspace.owner_pools.keys().map(String::as_str).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn told(listed: &PoolNow) -> String {
    let mut rows = vec![["owner", "weight", "today", "week", "total", "now"].map(str::to_owned)];
    rows.extend(listed.owners.iter().map(|member| {
        let today = match member.daily_cap {
            Some(cap) => format!("{} of {cap}", member.today),
            None => member.today.to_string(),
        };
        let now = match (&member.why, &member.back) {
            (None, _) => "available".to_owned(),
            (Some(why), Some(back)) => format!("{why}, back {back}"),
            (Some(why), None) => why.clone(),
        };
        let (weight, week, total) =
            (member.weight.to_string(), member.week.to_string(), member.total.to_string());
        [member.user.clone(), weight, today, week, total, now]
    }));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 5] = std::array::from_fn(width);
    let lines = rows.iter().map(|[user, weight, today, week, total, now]| {
        let [first, second, third, fourth, fifth] = widths;
        format!(
            "  {user:first$}  {weight:>second$}  {today:>third$}  {week:>fourth$}  {total:>fifth$}  {now}"
        )
    });
    let mut text = format!("{} for '{}', {}", listed.pool, listed.destination, listed.at);
    for line in lines {
        text.push('\n');
        text.push_str(&line);
    }
    if let Some(fallback) = &listed.fallback {
        text.push_str("\n  fallback: ");
        text.push_str(fallback);
    }
    text
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;
    use crate::rules::{Days, OwnerPool, PoolOwner, PoolState, Turn};

    #[test]
    fn a_pool_is_told_as_a_table() {
        let away = Days { first: date(2026, 5, 4), last: date(2026, 5, 10) };
        let pool = OwnerPool {
            fallback: Some("chief".to_owned()),
            ..OwnerPool::new(
                "sales",
                vec![
                    PoolOwner { daily_cap: Some(20), ..PoolOwner::new("olha") },
                    PoolOwner { weight: 10, away: vec![away], ..PoolOwner::new("петро") },
                    PoolOwner { away: vec![Days::ALL], ..PoolOwner::new("max") },
                ],
            )
        };
        let mut state = PoolState::default();
        for day in [date(2026, 5, 3), date(2026, 5, 4)] {
            state.take(&Turn { user: "olha".to_owned(), day, owed: [].into() });
        }
        let week = [("olha".to_owned(), 1)].into();
        let listed = PoolNow::of(&pool, &state, &week, "crm", "2026-05-04T10:00:00Z".parse().unwrap());
        assert_eq!(
            told(&listed),
            "sales for 'crm', Mon 2026-05-04 10:00 UTC\n  \
             owner  weight    today  week  total  now\n  \
             olha        1  1 of 20     1      2  available\n  \
             петро      10        0     0      0  away, back Mon 2026-05-11 00:00\n  \
             max         1        0     0      0  away\n  \
             fallback: chief"
        );
        let json = serde_json::to_value(&listed).unwrap();
        assert_eq!(json["owners"][0]["today"], 1);
        assert_eq!(json["owners"][1]["back_at"], "2026-05-11T00:00:00Z");
        assert_eq!(
            (json["owners"][1]["available"].as_bool(), json["owners"][1]["why"].as_str()),
            (Some(false), Some("away"))
        );
    }
}
