//! What an error means, and how SQLite finds rows: what is asked all the time, or under the eyes of somebody, must not walk
//! through the registry.

mod entries;

use jiff::Timestamp;
use sqlx::{Connection as _, SqliteConnection};
use uuid::Uuid;

pub(crate) use self::entries::in_hand;
use super::alerts::{HEARD, LATE};
use super::attention::{HELD, HELD_PLACES, NEWEST_WAITING, UNREADABLE, WAITING, WAITING_SOURCES, Where};
use super::backlog::open_syncs;
use super::chats_of::chats_of_people;
use super::claims::{claim, claimed_rows, claimed_steps};
use super::context;
use super::deliveries::{self, Kind};
use super::error::{Failure, failure};
use super::event_keys::taken_keys;
use super::facts::facts_of_a_person;
use super::links::LINKED_CHATS;
use super::listing::{BY_ID, Filter, Sought, Standing, Statements, Turn, statements};
use super::names::{SoughtName, behind, words_that_begin};
use super::pools::WAKE_WAITING;
use super::prepare::oldest_received;
use super::prepare_work::requeue;
use super::profile::NEWEST_PEOPLE;
use super::registry::{leads_of, newest_leads};
use super::rehearsal::stored;
use super::replay::Selection;
use super::retention::{OLDEST_UNPREPARED, What, old};
use super::selection;
use super::sql::{Arg, Connection, args};
use super::statistics;
use super::sync_work::DROP_LINK;
use super::syncs::next_due;
use crate::id::{DeliveryId, LeadId, PersonId, SyncId};

/// The query plan of a statement on an empty registry: nothing is counted there, so it is the same on a large one.
async fn plan(sql: &str, arguments: Vec<Arg>) -> Vec<String> {
    let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
    super::schema::migrator().run(&mut connection).await.unwrap();
    let mut connection = Connection::from(connection);
    statistics::tell(&mut connection).await.unwrap();
    let rows = connection.fetch(&format!("EXPLAIN QUERY PLAN {sql}"), arguments).await.unwrap();
    rows.iter().map(|row| row.text(3).unwrap()).collect()
}

fn states(words: &[&str]) -> Selection {
    Selection { states: words.iter().map(|word| (*word).to_owned()).collect(), ..Selection::default() }
}

/// Every line of the plan names an index, and these are among them.
async fn seeks(sql: &str, arguments: Vec<Arg>, indexes: &[&str]) {
    let plan = plan(sql, arguments).await;
    for index in indexes {
        assert!(plan.iter().any(|line| line.contains(index)), "no {index}: {plan:#?}");
    }
    let tables = ["deliveries", "event", "persons", "identifiers", "leads", "syncs", "steps", "links"];
    for line in &plan {
        let mut words = line.split(' ');
        let walks = words.next() == Some("SCAN") && words.next().is_some_and(|table| tables.contains(&table));
        assert!(!walks || line.contains("INDEX"), "walks through a table: {plan:#?}");
    }
}

/// There are as many chats as people: who walks along them does so for each lead that calls a bot.
#[tokio::test]
async fn the_chats_of_a_person_are_found_by_the_person() {
    for sql in facts_of_a_person() {
        seeks(&sql, args!["person"], &[]).await;
        assert!(!plan(&sql, args!["person"]).await.iter().any(|line| line.contains("(kind=?")), "{sql}");
    }
    for people in [1_usize, 30] {
        let ids = (0..people).map(|number| Arg::from(number.to_string()));
        let arguments = args!["chat", "telegram:1"].into_iter().chain(ids).collect();
        seeks(&chats_of_people(people), arguments, &["identifiers_person (person=?)"]).await;
    }
    let one = "(kind=? AND scope=? AND value=?)";
    let plan = plan(LINKED_CHATS, args!["site", "7"]).await;
    let ways = [one, "identifiers_person (person=?)"];
    let identifiers = plan.iter().filter(|line| line.contains("identifiers"));
    assert_eq!(
        identifiers.filter(|line| ways.iter().any(|way| line.contains(way))).count(),
        2,
        "one by its key, the other by its key or its person: {plan:#?}"
    );
}

/// What is told once stays, and what somebody counted is not told over.
#[tokio::test]
async fn what_was_counted_is_believed() {
    let connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
    let mut connection = Connection::from(connection);
    super::schema::migrator().run(connection.sqlite().unwrap()).await.unwrap();
    statistics::tell(&mut connection).await.unwrap();
    let counted = "UPDATE sqlite_stat1 SET stat = '7 7' WHERE idx = 'identifiers_person'";
    assert_eq!(connection.execute(counted, args![]).await.unwrap(), 1);
    statistics::tell(&mut connection).await.unwrap();
    let sql = "SELECT idx, stat FROM sqlite_stat1 ORDER BY idx";
    let rows = connection.fetch(sql, args![]).await.unwrap();
    let rows: Vec<_> = rows.iter().map(|row| (row.text(0).unwrap(), row.text(1).unwrap())).collect();
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert_eq!(rows[0], ("identifiers_person".to_owned(), "7 7".to_owned()));
}

#[tokio::test]
async fn leads_that_wait_for_an_owner_are_woken_from_an_index_of_their_own() {
    seeks(WAKE_WAITING, args!["crm", 1], &["syncs_waiting (destination=? AND next_at>?)"]).await;
}

#[tokio::test]
async fn a_claim_passes_over_what_waits_for_somebody() {
    for live in [true, false] {
        let indexes = [
            "s USING INDEX syncs_due (destination=?)",
            "s USING INDEX syncs_waiting (destination=? AND next_at<?)",
            "e USING INDEX syncs_queue (person=? AND destination=?)",
        ];
        let (sql, arguments) = (claim(live, 2, ""), args!["crm", 1, 2, 3, "a", ""]);
        seeks(&sql, arguments.clone(), &indexes).await;
        // Both halves come in the order of their index and end where they are long enough; only what they gave is sorted.
        let plan = plan(&sql, arguments).await;
        let sorts = plan.iter().filter(|line| line.contains("TEMP B-TREE")).count();
        assert_eq!(sorts, 1, "{plan:#?}");
    }
}

#[tokio::test]
async fn what_was_claimed_is_read_by_its_ids() {
    let ids: Vec<Arg> = (0..32).map(|number| Arg::from(number.to_string())).collect();
    let indexes =
        ["s USING INDEX sqlite_autoindex_syncs_1 (id=?)", "l USING INDEX sqlite_autoindex_leads_1 (id=?)"];
    seeks(&claimed_rows(32), ids.clone(), &indexes).await;
    seeks(&claimed_steps(32), ids, &["steps_sync (sync=?)"]).await;
    let people = vec![(SyncId(Uuid::nil()), PersonId(Uuid::nil())); 32];
    let (sql, arguments) = context::statement(&people, "crm");
    let indexes = [
        "identifiers_person (person=?)",
        "links_person (person=? AND destination=?)",
        "syncs_person (person=? AND destination=?)",
        "leads_1 (id=?)",
        "carrier USING INDEX sqlite_autoindex_syncs_1 (id=?)",
    ];
    seeks(&sql, arguments, &indexes).await;
}

#[tokio::test]
async fn when_something_is_due_next_is_one_seek() {
    seeks(&next_due(), args!["crm", 1], &["COVERING INDEX syncs_next (destination=? AND next_at>?)"]).await;
}

#[tokio::test]
async fn what_waits_is_counted_in_its_index() {
    seeks(&open_syncs(), args![], &["COVERING INDEX syncs_next", "INDEX syncs_held"]).await;
}

#[tokio::test]
async fn what_is_late_is_looked_for_among_what_is_live() {
    seeks(LATE, args!["crm", 1], &["syncs_due (destination=? AND priority=?)"]).await;
    seeks(HEARD, args![DeliveryId(Uuid::nil())], &["deliveries_1 (id>?)"]).await;
}

#[tokio::test]
async fn what_needs_somebody_is_read_and_counted_in_indexes_of_its_own() {
    for (at, index) in [
        (Where::Source, "leads_causes (<expr>=? AND source=?)"),
        (Where::Destination, "syncs_causes (<expr>=? AND destination=?)"),
    ] {
        // One seek for each place and each word of it.
        let causes = plan(&at.causes(), args![]).await;
        let seeks_of = causes.iter().filter(|line| line.contains("_causes (")).count();
        assert!(seeks_of == 3 && causes.iter().any(|line| line.contains("(<expr>>?)")), "{causes:#?}");
        seeks(&at.count(), args!["crm", "crm_rejected", 1_001], &[index]).await;
        seeks(&at.newest(), args!["crm", "crm_rejected", 3], &[index]).await;
        let sorted = plan(&at.count(), args!["crm", "crm_rejected", 1_001]).await;
        assert!(sorted.iter().all(|line| !line.contains("TEMP B-TREE")), "{sorted:#?}");
    }
    seeks(UNREADABLE, args![1_001], &["deliveries_unreadable"]).await;
    seeks(WAITING_SOURCES, args![], &["deliveries_waiting (source>?)"]).await;
    seeks(WAITING, args!["shop", 1_001], &["deliveries_waiting (source=?)"]).await;
    seeks(NEWEST_WAITING, args!["shop"], &["deliveries_waiting (source=?)"]).await;
    seeks(HELD_PLACES, args![], &["syncs_held (destination>?)"]).await;
    seeks(HELD, args!["crm", 1_001], &["syncs_held (destination=?)"]).await;
}

#[tokio::test]
async fn the_newest_people_are_not_looked_for_among_all() {
    seeks(NEWEST_PEOPLE, args!["z", 30], &["persons_1 (id<?)"]).await;
}

#[tokio::test]
async fn people_are_found_by_what_somebody_types() {
    let indexes = [
        "i USING COVERING INDEX sqlite_autoindex_identifiers_1 (kind=?)",
        "i USING COVERING INDEX sqlite_autoindex_identifiers_1 (kind=? AND scope>?)",
        "identifiers USING INDEX sqlite_autoindex_identifiers_1 (kind=? AND scope=? AND value=?)",
        "identifiers_shown (kind=? AND shown=?)",
        "leads_person",
    ];
    seeks(&leads_of(2), args!["a", "b", 5], &indexes).await;
}

#[tokio::test]
async fn a_link_that_is_gone_is_not_looked_for_among_all() {
    let [contact, deals] = DROP_LINK;
    seeks(contact, args!["crm", "c1"], &["(destination=? AND kind=? AND record=?)"]).await;
    seeks(deals, args!["crm", "c1"], &["links_contact (destination=? AND contact=?)"]).await;
}

#[tokio::test]
async fn what_is_old_is_found_from_the_oldest_on() {
    let id = DeliveryId(Uuid::nil());
    seeks(&old(What::Bodies), args![id, id, 64], &["deliveries_bodies (id>? AND id<?)", "leads_event"]).await;
    seeks(&old(What::Rows), args![id, id, 64], &["deliveries_1 (id>? AND id<?)", "syncs_lead"]).await;
    let indexes = ["deliveries_received", "deliveries_waiting", "postbacks_"];
    seeks(OLDEST_UNPREPARED, args![], &indexes).await;
    for what in [What::Bodies, What::Rows] {
        let plan = plan(&old(what), args![id, id, 64]).await;
        assert!(plan.iter().all(|line| !line.contains("TEMP B-TREE")), "{plan:#?}");
    }
}

#[tokio::test]
async fn what_is_to_be_prepared_is_measured_in_its_index() {
    let indexes =
        ["deliveries USING INDEX deliveries_received", "d USING INDEX sqlite_autoindex_deliveries_1 (id=?)"];
    seeks(&oldest_received(""), args![32, 4096], &indexes).await;
}

#[tokio::test]
async fn a_rehearsal_of_last_year_does_not_begin_today() {
    let id = DeliveryId(Uuid::nil());
    seeks(&stored(""), args![1, 2, 200, id, id], &["deliveries_1 (id>? AND id<?)"]).await;
    let of_one = stored(" AND id < $6 AND source = $7");
    let indexes = ["deliveries_source (source=? AND id>? AND id<?)"];
    seeks(&of_one, args![1, 2, 200, id, id, id, "a"], &indexes).await;
    let plan = plan(&of_one, args![1, 2, 200, id, id, id, "a"]).await;
    assert!(plan.iter().all(|line| !line.contains("TEMP B-TREE")), "nothing is sorted: {plan:#?}");
}

#[tokio::test]
async fn the_newest_leads_are_not_looked_for_among_all() {
    seeks(&newest_leads(), args![7, 50], &["leads_sequence (sequence<?)", "syncs_lead"]).await;
}

/// That every part of a page is walked along its index, and only what was found is sorted.
async fn pages(filter: Filter, sought: Option<Sought>, indexes: &[&str]) {
    let place = |filter: &Filter| if filter.is_by_receipt() { "7-7" } else { "7" }.parse().unwrap();
    for turn in [Turn::Newest, Turn::Before(place(&filter)), Turn::After(place(&filter))] {
        let Statements { found, how_far, arguments, .. } = statements(&filter, sought.as_ref(), turn, 51);
        seeks(&found, arguments.clone(), indexes).await;
        seeks(&how_far, arguments.clone(), &[]).await;
        let plan = plan(&found, arguments).await;
        // Whatever one part of several gives is put in order; a single one is in order as it is.
        let inside: Vec<&String> = plan.iter().take_while(|line| !line.contains("SCAN part")).collect();
        assert!(inside.iter().all(|line| !line.contains("TEMP B-TREE")), "{filter:?} {turn:?}: {plan:#?}");
    }
}

#[tokio::test]
async fn a_page_of_leads_walks_along_an_index() {
    let filter = Filter::default;
    let source = || Some("shop".to_owned());
    let destination = || Some("crm".to_owned());
    let at = Some(Timestamp::UNIX_EPOCH);
    pages(filter(), None, &["leads_sequence"]).await;
    pages(Filter { source: source(), ..filter() }, None, &["leads_by_source (<expr>=?"]).await;
    pages(Filter { from: at, to: at, ..filter() }, None, &["leads_by_receipt (<expr>>?"]).await;
    pages(Filter { source: source(), to: at, ..filter() }, None, &["leads_by_source (<expr>=? AND"]).await;
    pages(Filter { destination: destination(), ..filter() }, None, &["syncs_by_destination (<expr>=?"]).await;
    pages(
        Filter { destination: destination(), source: source(), ..filter() },
        None,
        &["syncs_by_destination"],
    )
    .await;
    pages(Filter { destination: destination(), from: at, ..filter() }, None, &["leads_by_receipt"]).await;
    for (standing, indexes) in [
        (Standing::NeedsAttention, &["syncs_needs_attention", "leads_needs_attention"] as &[&str]),
        (Standing::Open, &["syncs_open"]),
        (Standing::Held, &["syncs_held_in_order"]),
        (Standing::Filtered, &["syncs_filtered", "leads_filtered"]),
        (Standing::Synced, &["leads_sequence", "syncs_lead"]),
    ] {
        let standing = Some(standing);
        pages(Filter { standing, ..filter() }, None, indexes).await;
        pages(Filter { standing, source: source(), from: at, ..filter() }, None, &[]).await;
        pages(Filter { standing, destination: destination(), ..filter() }, None, &["(lead=?)"]).await;
    }
    let text = || Filter { text: Some("somebody".to_owned()), ..filter() };
    let people = Sought { people: vec!["a".to_owned(), "b".to_owned()], ..Sought::default() };
    pages(text(), Some(people), &["leads_person (person=?"]).await;
    let name = |further: &[&str]| SoughtName {
        words: vec![b"olena".to_vec(), b"oleh".to_vec()],
        further: further.iter().map(|word| (*word).to_owned()).collect(),
        too_many: false,
    };
    let named = |further: &[&str]| Some(Sought { name: Some(name(further)), ..Sought::default() });
    pages(text(), named(&[]), &["sqlite_autoindex_lead_names_1 (word=?"]).await;
    pages(text(), named(&["koval"]), &["lead_names_1 (word=?", "lead_names_sequence (sequence=?)"]).await;
    pages(text(), Some(Sought::default()), &[]).await;
}

#[tokio::test]
async fn what_somebody_types_is_found_by_seeks() {
    seeks(&words_that_begin(), args![b"ol".to_vec(), behind(b"ol")], &["lead_names_1 (word>? AND word<?)"])
        .await;
    let indexes =
        ["leads_1 (id=?)", "leads_event (event=?)", "events_delivery (delivery=?)", "steps_1 (id=?)"];
    seeks(BY_ID, args!["x"], &indexes).await;
    let plan = plan(BY_ID, args!["x"]).await;
    assert!(plan.iter().any(|line| line.contains("event_keys_1 (source=? AND key=?)")), "{plan:#?}");
}

#[tokio::test]
async fn a_page_of_deliveries_walks_along_an_index() {
    let id = DeliveryId(Uuid::nil());
    for (kind, index) in [
        (None, "deliveries_1"),
        (Some(Kind::Received), "deliveries_received"),
        (Some(Kind::Unreadable), "deliveries_unreadable"),
        (Some(Kind::Waiting), "deliveries_waiting_in_order"),
        (Some(Kind::Refused), "deliveries_refused"),
        (Some(Kind::Redelivery), "events_repeats"),
    ] {
        for turn in [deliveries::Turn::Newest, deliveries::Turn::Before(id), deliveries::Turn::After(id)] {
            for source in [None, Some("shop")] {
                let (found, _, arguments) = deliveries::statements(kind, source, turn, 51);
                let plan = plan(&found, arguments).await;
                assert!(plan.iter().any(|line| line.contains(index)), "{kind:?}: {plan:#?}");
                assert!(plan.iter().all(|line| !line.contains("TEMP B-TREE")), "{kind:?}: {plan:#?}");
            }
        }
    }
}

#[tokio::test]
async fn a_page_of_a_replay_ends_where_it_ends() {
    let lead = Some(LeadId(Uuid::nil()));
    let at = Some(Timestamp::UNIX_EPOCH);
    let needs_attention = states(&["needs-attention"]);
    let check = async |selection: Selection, after, up_to, indexes: &[&str]| {
        let (sql, arguments) = selection::items(&selection, after, up_to, 200).unwrap();
        let plan = plan(&sql, arguments).await;
        for index in indexes {
            assert!(plan.iter().any(|line| line.contains(index)), "no {index}: {plan:#?}");
        }
        // Only the two pages themselves are sorted, once they are there.
        let sorted = plan.iter().skip_while(|line| !line.contains("SCAN part0")).count();
        let before: Vec<&String> = plan.iter().take(plan.len() - sorted).collect();
        assert!(before.iter().all(|line| !line.contains("TEMP B-TREE")), "{selection:?}: {plan:#?}");
    };
    let partial = ["syncs_needs_attention_lead", "leads_needs_attention_id"];
    check(needs_attention.clone(), None, None, &partial).await;
    check(needs_attention.clone(), lead, lead, &partial).await;
    let narrowed = Selection {
        cause: Some("crm_rejected".to_owned()),
        source: Some("shop".to_owned()),
        from: at,
        to: at,
        ..needs_attention
    };
    let at_source = ["syncs_needs_attention_lead", "leads_causes_by_id (<expr>=? AND source=?"];
    check(narrowed.clone(), None, lead, &at_source).await;
    // A page of those that never got to a destination does not look at those that did.
    let nowhere = Selection { without_destination: true, ..narrowed.clone() };
    let (sql, _) = selection::items(&nowhere, None, None, 200).unwrap();
    assert!(!sql.contains("FROM syncs JOIN"), "{sql}");
    check(nowhere, lead, lead, &["leads_causes_by_id (<expr>=? AND source=? AND id>? AND id<?)"]).await;
    let there = Selection { destination: Some("crm".to_owned()), ..narrowed };
    check(there, lead, lead, &["syncs_causes_by_lead (<expr>=? AND destination=? AND lead>? AND lead<?)"])
        .await;
    check(states(&["synced"]), None, lead, &["syncs_lead"]).await;
    check(states(&["filtered", "needs-attention"]), lead, lead, &["syncs_lead"]).await;
}

#[tokio::test]
async fn deliveries_that_could_not_be_read_have_an_index() {
    let after = Some(DeliveryId(Uuid::nil()));
    let narrowed = Selection { source: Some("shop".to_owned()), ..Selection::default() };
    for (selection, after) in [(Selection::default(), None), (Selection::default(), after), (narrowed, after)]
    {
        let (sql, arguments) = selection::unreadable(&selection, after, 200);
        let plan = plan(&sql, arguments).await;
        assert!(plan[0].contains("deliveries_unreadable") && plan.len() == 1, "{plan:?}");
    }
}

#[test]
fn an_error_says_whether_it_is_the_rows() {
    let check = |code: &str, expect: Failure| assert_eq!(failure(code), expect, "{code}");
    // PostgreSQL: serialisation failure, deadlock; bad bytes, a constraint, too many columns, a trigger's exception; no
    // space, shut down, a connection that ended, read-only, a broken disk; a statement that took too long, an idle
    // transaction that was ended, a table that is not there, an unknown end.
    for code in ["40001", "40P01"] {
        check(code, Failure::RunAgain);
    }
    for code in ["22021", "23505", "54011", "P0001"] {
        check(code, Failure::Refused);
    }
    for code in ["53100", "57P01", "08006", "25006", "58030"] {
        check(code, Failure::Away { known: false });
    }
    for code in ["57014", "25P03", "42P01", "40003"] {
        check(code, Failure::MayPass);
    }
    // SQLite: too big, a constraint, a trigger's, a mismatch; busy, disk full, read-only, input and output; an error in the statement, not a code.
    for code in ["18", "19", "1811", "20"] {
        check(code, Failure::Refused);
    }
    for code in ["5", "13", "8", "1032", "266"] {
        check(code, Failure::Away { known: false });
    }
    for code in ["1", "", "words"] {
        check(code, Failure::MayPass);
    }
}
#[tokio::test]
async fn what_waits_for_its_mapping_is_let_go_on_from_its_index() {
    seeks(&requeue(2), args!["shop", "chat"], &["deliveries_waiting (source=?)"]).await;
}

#[tokio::test]
async fn keys_that_are_taken_are_read_by_key() {
    let rows: Vec<Vec<Arg>> = (0..32).map(|number| args!["shop", number.to_string()]).collect();
    let arguments = rows.iter().flatten().cloned().collect();
    seeks(&taken_keys(&rows), arguments, &["event_keys_1 (source=? AND key=?)"]).await;
}
