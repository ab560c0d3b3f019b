//! Rows of the registry: who, from where, where to, how it stands, why.

use maud::{Markup, html};
use serde_json::Value;

use crate::console::guard::Reader;
use crate::console::reasons::{badge, few_words, marked, sentence};
use crate::store::listing::{Listed, ListedSync};
use crate::store::syncs::SyncState;

/// The leads of a page.
pub(super) fn table(reader: &Reader, leads: &[Listed]) -> Markup {
    let columns = [
        reader.say("When", "Коли"),
        reader.say("Who", "Хто"),
        reader.say("Source", "Джерело"),
        reader.say("Where it stands", "Де зараз"),
        reader.say("Why", "Чому"),
    ];
    let [when, who, source, stands, why] = columns;
    html! {
        div.scroll {
            table.cards #leads {
                thead { tr { @for column in columns { th scope="col" { (column) } } } }
                tbody {
                    @for Listed { lead, syncs } in leads {
                        tr data-id=(lead.id) data-open[is_open(syncs)] {
                            td data-name=(when) { time datetime=(lead.received_at) { (reader.moment(lead.received_at)) } }
                            td data-name=(who) { (contact(reader, lead.contact.as_ref(), &format!("/leads/{}", lead.id))) }
                            td data-name=(source) { (lead.source) }
                            td data-name=(stands) { (standing(reader, &lead.state, syncs)) }
                            td.why data-name=(why) { (reason(reader, lead.why.as_ref(), syncs)) }
                        }
                    }
                }
            }
        }
    }
}

/// Whether somebody looks at it again by itself, so that it may stand elsewhere in a moment.
fn is_open(syncs: &[ListedSync]) -> bool {
    syncs.iter().any(|sync| SyncState::parse(&sync.state).is_some_and(SyncState::is_open))
}

/// Whoever it is from, as far as the lead says.
fn contact(reader: &Reader, contact: Option<&Value>, address: &str) -> Markup {
    let of = |name: &str| contact.and_then(|contact| contact.get(name)).and_then(Value::as_str);
    let (name, phone, email) = (of("name"), of("phone"), of("email"));
    let shown = name.or(phone).or(email);
    html! {
        a href=(address) { (shown.unwrap_or(reader.say("no name", "без імені"))) }
        @if shown.is_some() {
            @for further in [phone, email].into_iter().flatten().filter(|further| Some(*further) != shown) {
                br; span.faint { (further) }
            }
        }
    }
}

fn standing(reader: &Reader, state: &str, syncs: &[ListedSync]) -> Markup {
    html! {
        @if syncs.is_empty() { (badge(reader, state)) }
        @for sync in syncs { span.stands { (badge(reader, &sync.state)) " " span.faint { "→ " (sync.destination) } } }
    }
}

/// Of the sync that most needs somebody to look, as the store tells it; what is done needs no words.
fn reason(reader: &Reader, why: Option<&Value>, syncs: &[ListedSync]) -> Markup {
    let all_done = !syncs.is_empty() && syncs.iter().all(|sync| sync.state == "synced");
    html! {
        @if let Some(why) = why.filter(|_| !all_done) { (marked(reader, &few_words(&sentence(reader, why)))) }
    }
}
