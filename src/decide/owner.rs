//! Who gets a new deal: who of the pool is there, whose turn it is, and what happens while nobody is.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::hours::{Schedule, moment};
use super::{Situation, turns};
use crate::plan::Reason;
use crate::rules::{Days, InactiveUsers, OutsideHours, OwnerPool, PoolOwner, PoolState, Turn};

/// When somebody looks again where nobody can tell when a member will be back. Whatever brings them back, an edit of the
/// workspace or of the CRM's list of users, wakes the lead sooner.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_hours(1);

/// Members named in one sentence; a pool may have dozens.
const MEMBERS_SHOWN: usize = 8;

/// Who a new deal is given to, and why.
pub(super) struct Given {
    /// The user; `None` leaves the choice to the CRM.
    pub(super) user: Option<String>,
    /// The user again when they came from the pool, by turn: the sync keeps them if this plan is dropped.
    pub(super) picked: Option<String>,
    /// The turn that the pool took; `None` when it took none.
    pub(super) turn: Option<Turn>,
    /// Why them.
    pub(super) reason: Reason,
}

/// Nobody is there to take a deal, and it waits.
#[derive(Debug)]
pub(super) struct Nobody {
    /// Until then.
    pub(super) until: Timestamp,
    /// Who is missing and why.
    pub(super) reason: Reason,
}

/// Why a member of a pool takes no deal now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absence {
    /// The CRM calls them inactive.
    Inactive,
    /// They are away on this day.
    Away,
    /// They took as many deals today as they may.
    CapReached(u32),
    /// Nobody of the pool works on this day.
    DayOff,
    /// They do not work at this time of day.
    OutsideHours,
}

impl Absence {
    /// Whether nothing but the clock is in the way.
    fn is_by_the_clock(self) -> bool {
        matches!(self, Self::DayOff | Self::OutsideHours)
    }

    /// As people read it behind a name.
    pub fn text(self) -> String {
        match self {
            Self::Inactive => "inactive in the CRM".to_owned(),
            Self::Away => "away".to_owned(),
            Self::CapReached(cap) => format!("daily cap of {cap} reached"),
            Self::DayOff => "day off".to_owned(),
            Self::OutsideHours => "outside hours".to_owned(),
        }
    }
}

/// A member of a pool at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attendance<'a> {
    /// Who.
    pub owner: &'a PoolOwner,
    /// Why they take no deal; `None` when they do.
    pub absence: Option<Absence>,
}

/// Every member of a pool, in the order of the YAML, and why they take no deal at this moment.
pub fn attendance<'a>(
    pool: &'a OwnerPool,
    state: &PoolState,
    inactive: &InactiveUsers,
    now: Timestamp,
) -> Vec<Attendance<'a>> {
    let today = pool.time_zone.to_datetime(now).date();
    let absence = |owner: &PoolOwner| absence(pool, state, inactive, owner, now, today);
    pool.owners.iter().map(|owner| Attendance { owner, absence: absence(owner) }).collect()
}

/// The next moment at which a member who takes no deal now will; `None` when nobody can tell.
pub fn back_at(pool: &OwnerPool, member: &Attendance<'_>, now: Timestamp) -> Option<Timestamp> {
    let since = match member.absence? {
        Absence::Inactive => return None,
        Absence::CapReached(_) => {
            let tomorrow = pool.time_zone.to_datetime(now).date().tomorrow().ok()?;
            moment(&pool.time_zone, tomorrow, SignedDuration::ZERO)?
        }
        Absence::Away | Absence::DayOff | Absence::OutsideHours => now,
    };
    Schedule::of_owner(pool, member.owner).next_work(since)
}

fn absence(
    pool: &OwnerPool,
    state: &PoolState,
    inactive: &InactiveUsers,
    owner: &PoolOwner,
    now: Timestamp,
    today: Date,
) -> Option<Absence> {
    if inactive.has(&owner.user) {
        return Some(Absence::Inactive);
    }
    let schedule = Schedule::of_owner(pool, owner);
    let works = schedule.is_unlimited() || schedule.shift_at(now).is_some();
    let capped = owner.daily_cap.filter(|cap| state.taken_on(today, &owner.user) >= u64::from(*cap));
    if works && owner.weight > 0 {
        return capped.map(Absence::CapReached);
    }
    // A night belongs to the day on which it begins, and so does an absence.
    let day = schedule.every_day().shift_at(now).map_or(today, |shift| shift.day);
    let off = |days: &[Days]| days.iter().any(|days| days.contains(day));
    Some(if owner.weight == 0 || off(&owner.away) {
        Absence::Away
    } else if let Some(cap) = capped {
        Absence::CapReached(cap)
    } else if off(&pool.days_off) {
        Absence::DayOff
    } else {
        Absence::OutsideHours
    })
}

/// Gives a new deal to somebody of the pool. `Err` says that nobody is there to take it.
pub(super) fn give(situation: &Situation) -> Result<Given, Nobody> {
    let Some((pool, state)) = situation.pool else {
        let text = match &situation.lead.owners {
            None => "No owner pool is named: the CRM decides who is responsible.".to_owned(),
            Some(name) => {
                format!("The workspace has no owner pool {name}: the CRM decides who is responsible.")
            }
        };
        return Ok(Given {
            user: None,
            picked: None,
            turn: None,
            reason: Reason::new("no_owner_pool", text),
        });
    };
    let members = attendance(pool, state, situation.inactive, situation.now);
    if let Some(user) = kept(situation.sticky_owner, &members) {
        let text = format!(
            "{user} of pool {} was picked for this lead earlier and keeps it: no new turn.",
            pool.name
        );
        let reason = Reason::new("owner_kept", text);
        return Ok(Given { user: Some(user.clone()), picked: Some(user), turn: None, reason });
    }
    let today = pool.time_zone.to_datetime(situation.now).date();
    let next = |accept: fn(Option<Absence>) -> bool| {
        let owners: Vec<&PoolOwner> =
            members.iter().filter(|member| accept(member.absence)).map(|member| member.owner).collect();
        turns::next(&owners, state, today)
    };
    if let Some(turn) = next(|absence| absence.is_none()) {
        let text = format!("The owner is {}, whose turn it was in pool {}.", turn.user, pool.name);
        let skipped = skipped(&members);
        let text = if skipped.is_empty() { text } else { format!("{text} Skipped: {skipped}.") };
        return Ok(by_turn(turn, Reason::new("owner_picked", text)));
    }
    let clock = |absence: Option<Absence>| absence.is_some_and(Absence::is_by_the_clock);
    let closed = members.iter().any(|member| clock(member.absence));
    if closed
        && pool.outside_hours == OutsideHours::Anyone
        && let Some(turn) = next(clock)
    {
        let text = format!(
            "Nobody of pool {} works now, and its deals do not wait for that (outside_hours: anyone): the owner is {}, \
             whose turn it was.",
            pool.name, turn.user
        );
        return Ok(by_turn(turn, Reason::new("owner_outside_hours", text)));
    }
    let waits = closed && pool.outside_hours == OutsideHours::Wait;
    let fallback = pool.fallback.as_ref().filter(|user| !waits && !situation.inactive.has(user));
    if let Some(user) = fallback {
        let text = format!(
            "Nobody of pool {} is available ({}): the owner is {user}, the fallback of the pool.",
            pool.name,
            skipped(&members)
        );
        let reason = Reason::new("owner_fallback", text);
        return Ok(Given { user: Some(user.clone()), picked: None, turn: None, reason });
    }
    Err(nobody(situation, pool, &members))
}

fn by_turn(turn: Turn, reason: Reason) -> Given {
    let user = turn.user.clone();
    Given { user: Some(user.clone()), picked: Some(user), turn: Some(turn), reason }
}

/// The user whom an earlier plan of the same lead picked, while they could work on it: they keep it when their day is full
/// or over, because they were given it before that, and lose it when they left.
fn kept(sticky: Option<&str>, members: &[Attendance]) -> Option<String> {
    let member = members.iter().find(|member| Some(member.owner.user.as_str()) == sticky)?;
    match member.absence {
        Some(Absence::Inactive | Absence::Away) => None,
        None | Some(Absence::CapReached(_) | Absence::DayOff | Absence::OutsideHours) => {
            Some(member.owner.user.clone())
        }
    }
}

fn nobody(situation: &Situation, pool: &OwnerPool, members: &[Attendance]) -> Nobody {
    let back = members.iter().filter_map(|member| {
        let at = back_at(pool, member, situation.now)?;
        Some((at, member.owner.user.as_str()))
    });
    let missing = if members.is_empty() { "it has no members".to_owned() } else { skipped(members) };
    let lead = format!("Nobody of owner pool {} is available ({missing})", pool.name);
    let (until, text) = if let Some((at, user)) = back.min_by_key(|(at, _)| *at) {
        (at, format!("{lead}: the lead waits until {user} works, {}.", spell(&pool.time_zone, at)))
    } else {
        let again = situation.now.saturating_add(LOOK_AGAIN).unwrap_or(Timestamp::MAX);
        let text = format!(
            "{lead}, and nobody can tell when that changes: the lead waits until somebody is back, or until the pool gets a \
             `fallback` who is active."
        );
        (again, text)
    };
    Nobody { until, reason: Reason::new("nobody_available", text) }
}

/// A moment as the people of the pool read it.
pub fn spell(zone: &TimeZone, at: Timestamp) -> String {
    let wall = zone.to_datetime(at);
    format!("{} {}", wall.strftime("%a %Y-%m-%d %H:%M"), zone.iana_name().unwrap_or("UTC"))
}

fn skipped(members: &[Attendance]) -> String {
    let absent: Vec<String> = members
        .iter()
        .filter_map(|member| Some(format!("{} ({})", member.owner.user, member.absence?.text())))
        .collect();
    match absent.get(..MEMBERS_SHOWN) {
        Some(first) if absent.len() > MEMBERS_SHOWN => {
            format!("{} and {} more", first.join(", "), absent.len() - MEMBERS_SHOWN)
        }
        _ => absent.join(", "),
    }
}
