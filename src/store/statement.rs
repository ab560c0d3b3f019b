//! One statement as a unit of writing.

use futures_util::future::BoxFuture;

use super::sql::{Arg, Connection};
use super::{StoreError, Work};

/// A statement and what stands in its places; gives how many rows it changed.
pub(super) struct Statement {
    pub(super) sql: &'static str,
    pub(super) args: Vec<Arg>,
}

impl Work for Statement {
    type Output = u64;

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<u64, StoreError>> {
        Box::pin(async move { connection.execute(self.sql, self.args.clone()).await })
    }
}
