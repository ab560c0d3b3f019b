//! What an error means, and how SQLite finds rows: what is asked all the time, or under the eyes of somebody, must not walk
//! through the registry.

use jiff::Timestamp;
use sqlx::{Connection as _, SqliteConnection};
use uuid::Uuid;

use super::Failure;
use super::pools::wake_waiting;
use super::registry::newest_leads;
use super::replay::Selection;
use super::selection;
use super::sql::{Arg, Connection, args};
use crate::id::{DeliveryId, LeadId};

/// The query plan of a statement on an empty registry: no statistics, so it is the same on a large one.
async fn plan(sql: &str, arguments: Vec<Arg>) -> Vec<String> {
    let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
    super::migrator().run(&mut connection).await.unwrap();
    let mut connection = Connection::from(connection);
    let rows = connection.fetch(&format!("EXPLAIN QUERY PLAN {sql}"), arguments).await.unwrap();
    rows.iter().map(|row| row.text(3).unwrap()).collect()
}

fn states(words: &[&str]) -> Selection {
    Selection { states: words.iter().map(|word| (*word).to_owned()).collect(), ..Selection::default() }
}

#[tokio::test]
async fn leads_that_wait_for_an_owner_are_woken_from_the_index_of_the_queue() {
    let plan = plan(&wake_waiting(), args!["crm", 1]).await;
    assert!(plan[0].contains("USING INDEX syncs_due"), "{plan:?}");
}

#[tokio::test]
async fn the_newest_leads_are_not_looked_for_among_all() {
    let plan = plan(&newest_leads(), args![7, 50]).await;
    assert!(plan[0].contains("USING INDEX leads_sequence"), "{plan:?}");
    assert!(plan.iter().all(|line| !line.contains("SCAN leads")), "{plan:?}");
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
    check(narrowed.clone(), None, lead, &partial).await;
    check(Selection { destination: Some("crm".to_owned()), ..narrowed }, lead, lead, &partial[..1]).await;
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
    let check = |code: &str, expect: Failure| assert_eq!(super::failure(code), expect, "{code}");
    // PostgreSQL: serialisation failure, deadlock; bad bytes, a constraint, too many columns, a trigger's exception; no
    // space, shut down, a connection that ended, an idle transaction that was ended, a table that is not there.
    for code in ["40001", "40P01"] {
        check(code, Failure::RunAgain);
    }
    for code in ["22021", "23505", "54011", "P0001"] {
        check(code, Failure::Refused);
    }
    for code in ["53100", "57P01", "08006", "25P03", "42P01", "40003"] {
        check(code, Failure::MayPass);
    }
    // SQLite: too big, a constraint, a trigger's, a mismatch; busy, disk full, read-only, input and output, not a code.
    for code in ["18", "19", "1811", "20"] {
        check(code, Failure::Refused);
    }
    for code in ["5", "13", "8", "1032", "266", "", "words"] {
        check(code, Failure::MayPass);
    }
}
