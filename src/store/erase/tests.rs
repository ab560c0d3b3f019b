//! The table of columns against the schema.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::clock::{Clock as _, SystemClock};
use crate::store::Store;

#[tokio::test]
async fn every_column_that_can_hold_text_is_in_the_table() {
    let folder = std::env::temp_dir().join(format!("leadfold-test-{}", SystemClock.new_id()));
    let url = format!("sqlite://{}", folder.join("leadfold.db").display());
    let store = Store::open(&url, Arc::new(SystemClock)).await.unwrap();
    let sql = "SELECT tables.name || '.' || columns.name FROM sqlite_schema AS tables \
         JOIN pragma_table_info(tables.name) AS columns WHERE tables.type = 'table' \
           AND tables.name NOT LIKE 'sqlite!_%' ESCAPE '!' AND tables.name <> '_sqlx_migrations' \
           AND columns.type <> 'BIGINT'";
    let rows = store.read(sql, Vec::new()).await.unwrap();
    let columns: BTreeSet<String> = rows.iter().map(|row| row.text(0).unwrap()).collect();
    store.close().await;
    std::fs::remove_dir_all(&folder).unwrap();
    let table = include_str!("../erase.rs").lines().filter_map(|line| line.strip_prefix("//! | `"));
    let first_cells = table.filter_map(|row| row.split(" | ").next());
    let named: Vec<&str> =
        first_cells.flat_map(|cell| cell.split(['`', ','])).filter(|name| name.contains('.')).collect();
    let known: BTreeSet<String> = named.iter().map(ToString::to_string).collect();
    assert_eq!(named.len(), known.len(), "a column stands in the table twice");
    let missing: Vec<&String> = columns.difference(&known).collect();
    assert!(missing.is_empty(), "say in the table of erase.rs what becomes of {missing:?}, and see to it");
    let gone: Vec<&String> = known.difference(&columns).collect();
    assert!(gone.is_empty(), "the table of erase.rs names columns that there are not: {gone:?}");
}
