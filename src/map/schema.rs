//! JSON Schemas (draft 2020-12) of `workspace.yaml` and of a source's file, for editors.
//!
//! Keys and words come from the tables that the loader reads by, so a schema refuses the same unknown keys; what is said
//! about each stands here. A schema knows less than `leadfold check`: it does not read placeholders, and it does not know
//! the names of other files. Where in doubt it lets a value pass. Only keywords that draft 7 has as well are used, because
//! that is what many editors understand.

mod alerts;
mod parts;
mod postbacks;
mod shared;

use serde_json::{Map, Value as Json, json};

use self::parts::{
    any_of, anything, boolean, count, duration, either, list, map, object, one_or_many, says, scalar, with,
    word, words,
};
use self::shared::{destination, identity, links, pool};
use super::workspace::DestinationKind;
use super::{branch, calls, evidence, example, rules, source, template, workspace};
use crate::event;
use crate::plan::StepKind;

/// The schema of `workspace.yaml`.
pub fn of_workspace(kinds: &[DestinationKind]) -> Json {
    let schema = object(workspace::KEYS, &[], &|key| match key {
        "destinations" => {
            map("Where leads go, by a name of your own; mappings name them in `to`.", destination(kinds))
        }
        "owner_pools" => map("The people who take turns with new deals, by a name of your own.", pool()),
        "identity" => says("What tells who is who.", identity()),
        "links" => says("Links from a bot to a web site, and their PINs.", links()),
        "retention" => says(
            "How long things are kept.",
            object(workspace::RETENTION_KEYS, &[], &|key| match key {
                "bodies" => duration(
                    "Body, query and headers of a request, such as 90d. Without them its leads cannot be mapped again.",
                ),
                "rows" => duration(
                    "Everything that followed from a request, such as 400d. People stay, and so does what somebody still has to see to.",
                ),
                _ => anything(),
            }),
        ),
        "alerts" => says("Telling a person of trouble.", alerts::alerts()),
        "vars" => variables(),
        _ => anything(),
    });
    document(
        "leadfold: workspace.yaml",
        "Destinations, owner pools and everything else that sources share.",
        schema,
    )
}

/// The schema of a source's file. `presets` are their names and what each is.
pub fn of_mapping(presets: &[(&str, &str)]) -> Json {
    let schema = object(source::KEYS, &["source", "leads"], &|key| match key {
        "source" => says(
            "Who sends, and how we know that it is them.",
            guarded(object(source::SOURCE_KEYS, &["preset"], &|key| match key {
                "preset" => preset(presets),
                "token" => scalar(
                    "The secret part of the address /in/<file name>/<token>: \"${MY_TOKEN}\". Only a trigger needs none.",
                ),
                "secret" => scalar(
                    "What requests have in a header besides, where the platform can send that: \"${MY_SECRET}\".",
                ),
                "paused" => boolean("Keep what arrives without making leads of it."),
                "dedupe_window" => {
                    duration("How long the same event, sent again without an id, is a redelivery: 10m.")
                }
                "app" => scalar("esputnik_tokens: the id of the application in POST /v1/apps/<app>/tokens."),
                "bot" => scalar(
                    "The bot whose chats the events speak of, where they do not say it, as people show shows it: \
                     telegram:shop.",
                ),
                "customers" => scalar(
                    "esputnik_tokens: the name of the system whose ids stand in externalCustomerId, as in \
                     identifiers.external_customer of other sources.",
                ),
                _ => anything(),
            })),
        ),
        "postback" => says("How postbacks are read, with `preset: postback`.", postbacks::section()),
        "vars" => variables(),
        "defaults" => says(
            "What every entry of `leads` has unless it says otherwise.",
            entry(&branch::default_keys(), &[]),
        ),
        "leads" => list("The first entry whose `when` holds takes the lead.", entry(branch::KEYS, &["name"])),
        "tests" => list("Run by `leadfold check`, `test` and `apply`.", test()),
        _ => anything(),
    });
    document("leadfold: mapping of one source", "What becomes of the events of one source.", schema)
}

/// A source with a token, which only triggers do without.
fn guarded(source: Json) -> Json {
    let is_trigger =
        json!({ "properties": { "preset": { "const": event::TRIGGER } }, "required": ["preset"] });
    with(with(source, "if", is_trigger), "else", json!({ "required": ["preset", "token"] }))
}

fn document(title: &str, about: &str, schema: Json) -> Json {
    let mut document = Map::new();
    document.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
    document.insert("title".to_owned(), json!(title));
    document.insert("description".to_owned(), json!(about));
    if let Json::Object(schema) = schema {
        document.extend(schema);
    }
    Json::Object(document)
}

fn preset(presets: &[(&str, &str)]) -> Json {
    let each: Vec<String> = presets.iter().map(|(name, summary)| format!("{name}: {summary}")).collect();
    let about = format!("The platform that sends. {}", each.join("; "));
    word(&about, presets.iter().map(|(name, _)| *name))
}

fn variables() -> Json {
    map(
        "Values with a name of your own, for {{ vars.name }}; they may use the event and each other.",
        scalar(""),
    )
}

/// An entry of `leads`, or `defaults`.
fn entry(keys: &[&str], required: &[&str]) -> Json {
    object(keys, required, &|key| match key {
        "name" => scalar("What people read in the registry."),
        "on" => one_or_many(
            "Events of postbacks: sale, or resale#2 for the second of a person, for which plain resale does not hold then.",
            scalar(""),
        ),
        "when" => {
            scalar("The condition, one placeholder: \"{{ city == 'Kyiv' and lead.phone.region == 'UA' }}\".")
        }
        "to" => one_or_many(
            "Names of the destinations. May be left out where an entry only remembers something (`person`).",
            scalar(""),
        ),
        "phone" => says(
            "How phones are read.",
            object(branch::PHONE_KEYS, &[], &|key| match key {
                "regions" => one_or_many(
                    "Where a number without a country code may be from, in order: [UA, PL].",
                    scalar(""),
                ),
                "if_invalid" => words("What becomes of a phone that is none.", branch::IF_INVALID),
                _ => anything(),
            }),
        ),
        "owners" => scalar("The owner pool that new deals are given out from."),
        "contact" => says(
            "What should stand on the contact.",
            object(branch::CONTACT_KEYS, &[], &|key| match key {
                "name" => one_or_many("The name; of several values the first that is there.", value(&[])),
                "phone" => one_or_many(
                    "Phones, as they were typed; { value: …, proven: … } where the platform vouches for one.",
                    value(evidence::CONTACT_VALUE_KEYS),
                ),
                "email" => one_or_many(
                    "Emails, as they were typed; { value: …, proven: … } where the platform vouches for one.",
                    value(evidence::CONTACT_VALUE_KEYS),
                ),
                "fields" => fields(),
                _ => anything(),
            }),
        ),
        "deal" => says(
            "What should stand on a new deal.",
            object(branch::DEAL_KEYS, &[], &|key| match key {
                "title" => scalar("The title."),
                "pipeline" => scalar("The pipeline, by its name in the CRM."),
                "stage" => scalar("The stage, by its name in the CRM."),
                "fields" => fields(),
                _ => anything(),
            }),
        ),
        "task" => says(
            "What is left for the owner when somebody with an open deal comes back.",
            object(branch::TASK_KEYS, &[], &|key| match key {
                "title" => scalar("One line."),
                "text" => scalar("The body; without it: source, bot, chat link, and what differs."),
                "type" => scalar("The CRM's type of task, such as call."),
                "due" => duration("When it is due, in the working hours of the owner pool: +2h."),
                _ => anything(),
            }),
        ),
        "note" => scalar("A note for the contact or deal."),
        "person" => says(
            "What is remembered here of the person, whatever goes to a CRM.",
            object(branch::PERSON_KEYS, &[], &|key| match key {
                "fields" => map(
                    "Fields with names of your own: the newest value counts, and one that is absent changes nothing.",
                    value(&[]),
                ),
                _ => anything(),
            }),
        ),
        "identifiers" => says("Further evidence of who it is.", identifiers()),
        "rules" => says("What is created and what is updated.", rules_of_branch()),
        "calls" => list("What bots do as soon as the lead is there.", call()),
        "after_done" => list("What bots do once the CRM has confirmed.", call()),
        "after_look_up" => list("What bots do once the CRM was asked, whatever came of it.", call()),
        _ => anything(),
    })
}

/// One call: the operations are those of the bot, which only the workspace knows.
fn call() -> Json {
    json!({
        "type": "object",
        "properties": {
            "to": scalar("Name of a destination that has `bot:`."),
            "when": scalar("The condition, one placeholder: \"{{ found.deal }}\"."),
            "chat": scalar("The chat id; without it the lead's own chat, or where the person was last."),
            "channel": scalar("The messenger: telegram."),
            "braces": word(
                "What its placeholders look like: double, {{ … }} (the default), or also single, {tracker.clickid}.",
                calls::BRACES.iter().map(|(name, _)| *name),
            ),
        },
        "required": ["to"],
        "minProperties": 2,
    })
}

const ACTIVE: &str =
    "true, or a condition: the person has done something there, so a chat that was blocked is open again.";

fn identifiers() -> Json {
    object(evidence::IDENTIFIERS_KEYS, &[], &|key| match key {
        "external_customer" => map(
            "Your own customer ids, by the name of the system that gives them; { value: …, hint: true } for one that came \
             in a link, such as ?start=17.",
            one_or_many("", value(evidence::IDENTIFIER_VALUE_KEYS)),
        ),
        "telegram_user" => one_or_many(
            "The writer's id in Telegram itself, the same in all bots: \"{{ message.from.id }}\".",
            value(evidence::IDENTIFIER_VALUE_KEYS),
        ),
        "chat" => says(
            "The chat, where the preset does not find it.",
            object(evidence::CHAT_KEYS, &[], &|key| match key {
                "bot" => {
                    scalar("The bot, in which alone the id counts: its id, or a word of your own for it.")
                }
                "active" => either(ACTIVE, &["boolean", "string"]),
                "id" => scalar("The id of the chat within the bot."),
                "channel" => scalar("The messenger: telegram, viber …"),
                "link" => scalar("A page where a person can open the chat."),
                "hint" => boolean("The id came in a link that anybody may have made up: it joins nobody."),
                _ => anything(),
            }),
        ),
        "link" => one_or_many(
            "The start parameter of the bot: a one-time token of `leadfold link` in it proves who somebody is; anything else \
             is left alone.",
            scalar(""),
        ),
        "device" => one_or_many("Device or cookie ids; they link and never join people.", scalar("")),
        "click" => {
            one_or_many("Click ids of advertisements; they attribute and never join people.", scalar(""))
        }
        _ => anything(),
    })
}

fn rules_of_branch() -> Json {
    object(rules::KEYS, &[], &|key| match key {
        "preset" => words("The rules to begin with.", rules::PRESETS),
        "create_deal" => {
            words("When a deal may be created; never only updates what exists.", rules::CREATE_DEAL)
        }
        "task_on_repeat" => {
            let about =
                "Whether somebody who comes back leaves a task; { collapse: 15m } makes one of several.";
            let collapse = object(rules::TASK_ON_REPEAT_KEYS, &[], &|key| match key {
                "collapse" => duration("All repeats within this time leave one task."),
                _ => anything(),
            });
            says(about, any_of(&[boolean(""), collapse]))
        }
        "update" => {
            words("What happens to fields of records that exist; an empty value never erases.", rules::UPDATE)
        }
        "update_fields" => {
            map("Exceptions to `update`, by field of the CRM.", words("", rules::FIELD_POLICY))
        }
        "needs" => one_or_many(
            "A contact is only created for somebody who has one of these.",
            words("", rules::NEEDS),
        ),
        "open_deal" => says(
            "Which deals count as open, beyond what the CRM calls open.",
            object(rules::OPEN_DEAL_KEYS, &[], &|key| match key {
                "pipelines" => one_or_many("Only deals in these pipelines.", scalar("")),
                "stages" => one_or_many("Only deals in these stages.", scalar("")),
                "max_age" => duration("Only younger deals: 180d."),
                _ => anything(),
            }),
        ),
        "conflict" => {
            words("When identifiers disagree: the strongest decides, or a person looks.", rules::CONFLICT)
        }
        _ => anything(),
    })
}

fn test() -> Json {
    object(example::KEYS, &["given", "expect"], &|key| match key {
        "name" => scalar("What it shows."),
        "given" => scalar(
            "The file with the request's body (its query where the platform calls by GET), relative to this folder.",
        ),
        "event" => count("Which event of the request, from 0.", 0),
        "ordinal" => count("Which of the person's postbacks of this event it is, from 1: 2 for resale#2.", 1),
        "crm" => words("What the CRM holds of this person.", example::CRM),
        "expect" => says(
            "What should come of it; what is not named is not looked at.",
            object(example::EXPECT_KEYS, &[], &|key| match key {
                "branch" => scalar("The entry of `leads`."),
                "phone" => scalar("The first phone, as +380…; null expects none."),
                "email" => scalar("The first email; null expects none."),
                "name" => scalar("The name; null expects none."),
                "fields" => {
                    map("Fields of the contact or the deal; null expects that there is none.", scalar(""))
                }
                "person" => {
                    map("What is remembered of the person; null expects that nothing is.", scalar(""))
                }
                "title" => scalar("The deal's title; null expects none."),
                "filtered" => scalar("Whether it is filtered, or the word of the rule: no_branch."),
                "plan" => list("The steps, in order.", word("", example::STEPS.map(StepKind::as_str))),
                "calls" => list("The calls of bots, as bot: operation.", anything()),
                _ => anything(),
            }),
        ),
        _ => anything(),
    })
}

fn fields() -> Json {
    map(
        "Further fields, by their name in the CRM. A value that is absent in the event is not written.",
        value(&[]),
    )
}

/// A value of the mapping: with placeholders, or as a mapping with these keys beside its own.
fn value(further: &[&str]) -> Json {
    let keys = [template::VALUE_KEYS, further].concat();
    let long = object(&keys, &["value"], &|key| match key {
        "value" => either("What is read of the event.", &["string", "number", "boolean", "array"]),
        "required" => boolean("Without it the lead needs attention."),
        "proven" => either(
            "When the platform vouches that it is the writer's own: true, or a condition. What the condition reads has to be \
             there: \"{{ message.contact.user_id == message.from.id }}\".",
            &["boolean", "string"],
        ),
        "hint" => boolean("It came in a link that anybody may have made up: it joins nobody."),
        _ => anything(),
    });
    any_of(&[scalar(""), long])
}
