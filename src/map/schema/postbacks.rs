//! The schema of `postback:`.

use serde_json::Value as Json;

use super::parts::{any_of, anything, duration, object, one_or_many, says, scalar, word};
use crate::map::postback;

pub(super) fn section() -> Json {
    object(postback::KEYS, &[], &|key| match key {
        "network" => {
            word("Whose names the parameters have.", postback::NETWORKS.iter().map(|network| network.name))
        }
        "campaign" => {
            let of_value = object(postback::CAMPAIGN_KEYS, &["only"], &|key| match key {
                "only" => one_or_many("Names or ids of campaigns.", scalar("")),
                "value" => scalar("Where the campaign stands: \"{{ sub3 }}\"."),
                _ => anything(),
            });
            let names = one_or_many("", scalar(""));
            says("Only postbacks of these campaigns count.", any_of(&[names, of_value]))
        }
        "click" => scalar("Where the click id stands, if not where the network has it: \"{{ sub2 }}\"."),
        "event" => scalar("Where the name of the event stands: \"{{ goal }}\"."),
        "id" => scalar("Where the sender's own id of the event stands: \"{{ order }}\"."),
        "repeats" => duration("How long after a postback without an id the same again is a repeat: 60s."),
        "waits" => duration("How long a postback waits for somebody with its click id: 7d."),
        _ => anything(),
    })
}
