//! The statements that walk along the list of leads.

use super::super::names::behind;
use super::super::sql::Arg;
use super::{Filter, LOOKED_AT, Place, Sought, Standing, Turn};

/// Words of a name up to which as many leads are looked at as otherwise: each word is walked along by itself.
const FEW_WORDS: usize = 5;

/// A statement that is being put together.
#[derive(Default)]
struct Text {
    arguments: Vec<Arg>,
}

impl Text {
    fn place(&mut self, value: impl Into<Arg>) -> String {
        self.arguments.push(value.into());
        format!("${}", self.arguments.len())
    }

    fn places<A: Into<Arg>>(&mut self, values: impl IntoIterator<Item = A>) -> String {
        values.into_iter().map(|value| self.place(value)).collect::<Vec<_>>().join(",")
    }
}

/// The statements of a page.
pub(in crate::store) struct Statements {
    /// Finds its places, nearest first.
    pub(in crate::store) found: String,
    /// Says how far it looked: the farthest place, and how many there were.
    pub(in crate::store) how_far: String,
    /// Of both.
    pub(in crate::store) arguments: Vec<Arg>,
    /// Leads that are looked at.
    pub(in crate::store) at_most: usize,
}

/// The statements that find so many places of a list.
pub(in crate::store) fn statements(
    filter: &Filter,
    sought: Option<&Sought>,
    turn: Turn,
    limit: usize,
) -> Statements {
    let mut text = Text::default();
    let (beyond, order, opposite, from) = match turn {
        Turn::Newest => ("<", "DESC", "ASC", None),
        Turn::Before(place) => ("<", "DESC", "ASC", Some(place)),
        Turn::After(place) => (">", "ASC", "DESC", Some(place)),
    };
    let rest = rest(filter, sought, &mut text);
    let words = sought.and_then(|sought| sought.name.as_ref()).map_or(0, |name| name.words.len());
    let at_most = match (rest.is_empty(), words > FEW_WORDS) {
        (true, _) => limit,
        (false, false) => LOOKED_AT,
        (false, true) => LOOKED_AT / FEW_WORDS,
    };
    let by_receipt = filter.is_by_receipt();
    let walk = if by_receipt {
        let mut conditions = dates(filter, RECEIVED, &mut text);
        if let Some(Place { received_at: Some(at), sequence }) = from {
            let (at, sequence) = (text.place(at), text.place(sequence));
            conditions.push(format!(
                "{RECEIVED} {beyond}= {at} AND ({RECEIVED} {beyond} {at} OR leads.sequence {beyond} {sequence})"
            ));
        }
        if let Some(source) = &filter.source {
            conditions.push(format!("leads.source || '' = {}", text.place(source.as_str())));
        }
        let all = if conditions.is_empty() { "1 = 1".to_owned() } else { conditions.join(" AND ") };
        format!(
            "SELECT leads.sequence, {RECEIVED} AS received_at FROM leads WHERE {all} \
             ORDER BY {RECEIVED} {order}, leads.sequence {order} LIMIT {at_most}"
        )
    } else {
        let from = from.map(|place| text.place(place.sequence));
        let mut parts = Vec::new();
        for (number, (table, condition)) in parts_of(filter, sought, &mut text).into_iter().enumerate() {
            let from = from
                .as_ref()
                .map_or_else(String::new, |from| format!(" AND {table}.sequence {beyond} {from}"));
            // Several syncs of a lead are one lead.
            parts.push(format!(
                "SELECT * FROM (SELECT DISTINCT {table}.sequence FROM {table} WHERE {condition}{from} \
                 ORDER BY {table}.sequence {order} LIMIT {at_most}) AS part{number}"
            ));
        }
        format!(
            "SELECT DISTINCT sequence, CAST(NULL AS BIGINT) AS received_at FROM ({}) AS parts \
             ORDER BY sequence {order} LIMIT {at_most}",
            parts.join(" UNION ALL ")
        )
    };
    let conditions = if rest.is_empty() { String::new() } else { format!(" WHERE {}", rest.join(" AND ")) };
    let columns: &[&str] = if by_receipt { &["received_at", "sequence"] } else { &["sequence"] };
    let ordered = |way: &str| {
        columns.iter().map(|column| format!("walked.{column} {way}")).collect::<Vec<_>>().join(", ")
    };
    Statements {
        found: format!(
            "WITH walked AS ({walk}) SELECT leads.sequence, walked.received_at FROM walked \
             JOIN leads ON leads.sequence = walked.sequence{conditions} ORDER BY {} LIMIT {limit}",
            ordered(order)
        ),
        how_far: format!(
            "WITH walked AS ({walk}) SELECT walked.sequence, walked.received_at, (SELECT COUNT(*) FROM walked) \
             FROM walked ORDER BY {} LIMIT 1",
            ordered(opposite)
        ),
        arguments: text.arguments,
        at_most,
    }
}

/// What is looked at lead by lead, beside the condition that leads.
fn rest(filter: &Filter, sought: Option<&Sought>, text: &mut Text) -> Vec<String> {
    let mut rest = Vec::new();
    if !filter.is_by_receipt() {
        rest.extend(
            filter.source.as_ref().map(|source| format!("leads.source = {}", text.place(source.as_str()))),
        );
        rest.extend(dates(filter, "leads.received_at", text));
    }
    let state_leads = filter.leading_state().is_some();
    let destination_leads =
        !filter.is_by_receipt() && !state_leads && filter.text.is_none() && filter.destination.is_some();
    let standing = filter.standing.filter(|_| !(state_leads && filter.destination.is_none()));
    let destination = filter.destination.as_deref().filter(|_| !destination_leads || standing.is_some());
    if standing.is_some() || destination.is_some() {
        rest.push(goes_to(standing, destination, text));
    }
    // Of whoever was found otherwise, nothing is asked by name.
    if let Some(Sought { leads, people, name: Some(name) }) = sought
        && leads.is_empty()
        && people.is_empty()
    {
        rest.extend(name.further.iter().map(|word| has_word(word, text)));
    }
    rest
}

/// When a lead was received, as the indexes of the list have it.
const RECEIVED: &str = "leads.received_at + 0";

/// What a filter says of the time of receipt, which stands in this column.
fn dates(filter: &Filter, column: &str, text: &mut Text) -> Vec<String> {
    let mut conditions = Vec::new();
    if let Some(from) = filter.from {
        conditions.push(format!("{column} >= {}", text.place(from.as_millisecond())));
    }
    if let Some(to) = filter.to {
        conditions.push(format!("{column} < {}", text.place(to.as_millisecond())));
    }
    conditions
}

/// The tables whose order leads, each with its condition.
fn parts_of(filter: &Filter, sought: Option<&Sought>, text: &mut Text) -> Vec<(&'static str, String)> {
    let mut parts = Vec::new();
    if let Some(sought) = sought {
        if !sought.leads.is_empty() {
            let leads = text.places(sought.leads.iter().copied());
            parts.push(("leads", format!("leads.sequence IN ({leads})")));
        }
        for person in &sought.people {
            parts.push(("leads", format!("leads.person = {}", text.place(person.as_str()))));
        }
        for word in sought.name.iter().flat_map(|name| &name.words) {
            parts.push(("lead_names", format!("lead_names.word = {}", text.place(word.clone()))));
        }
    } else if let Some(standing) = filter.leading_state() {
        parts.push(("syncs", format!("syncs.{}", standing.of_syncs())));
        if let Some(condition) = standing.of_leads().filter(|_| filter.destination.is_none()) {
            parts.push(("leads", format!("leads.{condition}")));
        }
    } else if let Some(destination) = &filter.destination {
        parts.push(("syncs", format!("syncs.destination || '' = {}", text.place(destination.as_str()))));
    } else {
        parts.push(("leads", "1 = 1".to_owned()));
    }
    if parts.is_empty() {
        parts.push(("leads", "1 = 0".to_owned()));
    }
    parts
}

/// That a lead goes to a destination, or anywhere, and stands there.
fn goes_to(standing: Option<Standing>, destination: Option<&str>, text: &mut Text) -> String {
    let mut conditions = vec!["s.lead = leads.id".to_owned()];
    if let Some(destination) = destination {
        // Not the column itself: SQLite would go through all syncs of the destination for each lead.
        conditions.push(format!("COALESCE(s.destination, '') = {}", text.place(destination)));
    }
    conditions.extend(standing.map(|standing| format!("s.{}", standing.of_syncs())));
    let exists = format!("EXISTS (SELECT 1 FROM syncs s WHERE {})", conditions.join(" AND "));
    match standing.and_then(Standing::of_leads).filter(|_| destination.is_none()) {
        Some(own) => format!("(leads.{own} OR {exists})"),
        None => exists,
    }
}

fn has_word(word: &str, text: &mut Text) -> String {
    let (from, to) = (text.place(word.as_bytes().to_vec()), text.place(behind(word.as_bytes())));
    format!(
        "EXISTS (SELECT 1 FROM lead_names n WHERE n.sequence = leads.sequence AND n.word >= {from} AND n.word < {to})"
    )
}

/// The statement that finds the places of leads by any id of ours that has something to do with them, or by a platform's.
pub(in crate::store) const BY_ID: &str = "\
    SELECT sequence FROM leads WHERE id = $1 UNION SELECT sequence FROM leads WHERE event = $1 \
    UNION SELECT leads.sequence FROM events JOIN leads ON leads.event = events.id WHERE events.delivery = $1 \
    UNION SELECT leads.sequence FROM events JOIN leads ON leads.event = events.redelivery_of \
      WHERE events.delivery = $1 OR events.id = $1 \
    UNION SELECT leads.sequence FROM syncs JOIN leads ON leads.id = syncs.lead WHERE syncs.id = $1 \
    UNION SELECT leads.sequence FROM steps JOIN syncs ON syncs.id = steps.sync JOIN leads ON leads.id = syncs.lead \
      WHERE steps.id = $1 \
    UNION SELECT leads.sequence FROM sources CROSS JOIN event_keys CROSS JOIN leads WHERE event_keys.source = sources.name \
      AND event_keys.key IN ($1, 'update:' || $1) AND leads.event = event_keys.event";

#[cfg(test)]
mod tests {
    use super::super::super::names::SoughtName;
    use super::*;

    #[test]
    fn what_was_looked_at_is_bounded_whatever_is_asked() {
        let source = Filter { source: Some("shop".to_owned()), ..Filter::default() };
        let rare = Filter { destination: Some("crm".to_owned()), ..source.clone() };
        assert_eq!(statements(&source, None, Turn::Newest, 51).at_most, 51);
        assert_eq!(statements(&rare, None, Turn::Newest, 51).at_most, LOOKED_AT);
        let words = |count: u8, further: &[&str]| Sought {
            name: Some(SoughtName {
                words: (0..count).map(|word| vec![b'a' + word]).collect(),
                further: further.iter().map(|word| (*word).to_owned()).collect(),
                too_many: false,
            }),
            ..Sought::default()
        };
        let text = Filter { text: Some("a".to_owned()), ..Filter::default() };
        assert_eq!(statements(&text, Some(&words(20, &[])), Turn::Newest, 51).at_most, 51);
        assert_eq!(statements(&text, Some(&words(2, &["b"])), Turn::Newest, 51).at_most, LOOKED_AT);
        assert_eq!(
            statements(&text, Some(&words(20, &["b"])), Turn::Newest, 51).at_most,
            LOOKED_AT / FEW_WORDS
        );
    }
}
