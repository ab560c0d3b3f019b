//! The parts of `workspace.yaml` that sources share: destinations, owner pools, links, and what tells who is who.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json, json};

use super::parts::{
    any_of, anything, boolean, count, duration, either, list, object, says, scalar, word, words,
};
use crate::lead::IdentifierKind;
use crate::map::workspace::{self, DestinationKind};
use crate::map::{identity, links, pools};

pub(super) fn destination(kinds: &[DestinationKind]) -> Json {
    let names = |bot: bool| kinds.iter().filter(move |kind| kind.bot.is_some() == bot).map(|kind| kind.name);
    let shared = |key: &str| match key {
        "crm" => word("Which CRM it is; further keys are its own settings.", names(false)),
        "bot" => word("Which bot it is; further keys are its own settings.", names(true)),
        "chats" => list(
            "Scopes of the chats that the bot serves, where they are not the usual ones.",
            scalar("A scope of chats; * at the end stands for anything: sendpulse:*."),
        ),
        "mode" => words(
            "live writes; observe looks up, plans and explains; paused keeps the queue.",
            workspace::MODES,
        ),
        "share" => scalar("The part of the account's rate limit that is ours: 50% or 0.5."),
        "timeout" => duration("The longest that one call may take: 10s."),
        "settle" => duration(
            "How long after a call without answer the CRM is looked at: longest processing + search lag.",
        ),
        "audit" => duration(
            "How long after a write was sent again it is looked for once more, in case both arrived: 10m.",
        ),
        "blind" => words(
            "What becomes of a write without answer that cannot be looked up: a person decides, or it is sent again.",
            workspace::BLIND,
        ),
        _ => anything(),
    };
    let of_kind = |kind: &DestinationKind| {
        let settings = kind.settings.iter().map(|setting| {
            let of_setting = if kind.nested.is_some() {
                says(setting.summary, anything())
            } else {
                scalar(setting.summary)
            };
            (setting.name.to_owned(), of_setting)
        });
        let own = kind.settings.iter().map(|setting| setting.name);
        let (word, common) = match kind.bot {
            None => ("crm", workspace::DESTINATION_KEYS),
            Some(_) => ("bot", workspace::BOT_KEYS),
        };
        let names: Vec<&str> = common.iter().copied().chain(own).collect();
        let required: Vec<&str> =
            kind.settings.iter().filter(|setting| setting.required).map(|setting| setting.name).collect();
        json!({
            "if": { "properties": { word: { "const": kind.name } }, "required": [word] },
            "then": {
                "properties": settings.collect::<Map<_, _>>(),
                "required": required,
                "propertyNames": { "enum": names },
            },
        })
    };
    let keys = workspace::DESTINATION_KEYS.iter().chain(workspace::BOT_KEYS).collect::<BTreeSet<_>>();
    let properties = keys.into_iter().map(|key| ((*key).to_owned(), shared(key)));
    json!({
        "type": "object",
        "properties": properties.collect::<Map<_, _>>(),
        "oneOf": [{ "required": ["crm"] }, { "required": ["bot"] }],
        "allOf": kinds.iter().map(of_kind).collect::<Vec<_>>(),
    })
}

pub(super) fn pool() -> Json {
    let owner = object(pools::OWNER_KEYS, &["user"], &|key| match key {
        "user" => scalar("The user as the CRM knows them."),
        "weight" => count("How many deals they get where the others get one.", 1),
        "daily_cap" => count("The most deals they get on one day.", 1),
        "hours" => hours("When they work, where that differs from the pool."),
        "away" => {
            either("true for good, or the days: 2026-12-24..2027-01-08.", &["boolean", "string", "array"])
        }
        _ => anything(),
    });
    let owner = any_of(&[scalar("A user as the CRM knows them."), owner]);
    let owners = list("The people, in their order.", owner);
    let members = owners.clone();
    let whole = object(pools::KEYS, &[], &|key| match key {
        "time_zone" => scalar("The clock that hours and days go by: Europe/Kyiv."),
        "hours" => hours("When the pool works."),
        "days_off" => {
            either("Days on which nobody works: 2026-12-24, or 2026-12-24..2027-01-08.", &["string", "array"])
        }
        "owners" => members.clone(),
        "outside_hours" => words("What becomes of a lead while nobody works.", pools::OUTSIDE_HOURS),
        "fallback" => scalar("Who gets the deal when nobody of the pool can."),
        _ => anything(),
    });
    any_of(&[owners, whole])
}

fn hours(about: &str) -> Json {
    let write = "09:00-18:00, a list of such, or by day: { mon-fri: 09:00-18:00 }";
    either(&format!("{about} Write {write}."), &["string", "array", "object"])
}

pub(super) fn links() -> Json {
    object(links::KEYS, &[], &|key| match key {
        "url" => scalar("Where a link leads: https://shop.example.com/enter?buid={buid}."),
        "namespace" => {
            scalar("The system whose user ids are bound, as in `identifiers.external_customer`: web_user.")
        }
        "pin_digits" => count("Digits of a PIN: 6.", 4),
        "pin_life" => duration("How long a PIN can be entered: 10m."),
        "life" => duration("How long a link can be opened: 24h."),
        "send_pin" => scalar(
            "The trigger that sends a new PIN into the chat when a site asks for one (POST /api/links/pin): new-pin is the \
             file new-pin.yaml with `preset: trigger`, whose call says the PIN as {{ pin }}.",
        ),
        _ => anything(),
    })
}

pub(super) fn identity() -> Json {
    object(identity::KEYS, &[], &|key| match key {
        "order" => list(
            "Which identifier decides when two of them point at different people; the first is the strongest.",
            word("", IdentifierKind::JOINING.map(IdentifierKind::as_str)),
        ),
        "shared_from" => count(
            "From so many clearly different people on, a phone or an email only joins those whose names agree: 4.",
            identity::FEWEST_WHO_SHARE,
        ),
        "strict" => boolean("The same as shared_from: 2. Fewer wrong joins, more duplicates."),
        "forget_after" => duration(
            "After so long without a lead, a phone or an email that comes with another name is somebody else's: 548d.",
        ),
        "limits" => says(
            "How much one human may have. Beyond it a person takes in nobody and no further phone or email.",
            object(identity::LIMITS_KEYS, &[], &|key| match key {
                "phones" => count("Phones: 5.", 1),
                "emails" => count("Emails: 5.", 1),
                "chats" => count("Chats: 10. A chat itself is always taken.", 1),
                "merges" => count("People who turned out to be this one: 20.", 1),
                _ => anything(),
            }),
        ),
        _ => anything(),
    })
}
