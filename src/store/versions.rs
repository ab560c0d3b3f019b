//! Versions of the workspace: every text that was ever active, by hash, and which one is active now.

use std::collections::BTreeMap;

use futures_util::future::BoxFuture;
use jiff::Timestamp;

use super::sql::{Connection, args, json};
use super::{Store, StoreError, Work};
use crate::map::Files;

/// A source that was active at some time, whether or not the present workspace has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RememberedSource {
    /// Its name, the path segment behind `/in/`.
    pub name: String,
    /// Name of its preset.
    pub preset: String,
    /// SHA-256 (hex) of its path token.
    pub token_hash: String,
}

impl Store {
    /// The texts of the version that is active, with its hash.
    pub async fn active_version(&self) -> Result<Option<(String, Files)>, StoreError> {
        let rows = self
            .read(
                "SELECT versions.hash, versions.files FROM active_version \
                 JOIN versions ON versions.hash = active_version.hash WHERE active_version.id = 1",
                args![],
            )
            .await?;
        rows.first().map(|row| Ok((row.text(0)?, Files(row.json(1)?)))).transpose()
    }

    /// The texts of any version that was ever active.
    pub async fn version(&self, hash: &str) -> Result<Option<Files>, StoreError> {
        let rows = self.read("SELECT files FROM versions WHERE hash = $1", args![hash]).await?;
        rows.first().map(|row| Ok(Files(row.json(0)?))).transpose()
    }

    /// Makes a version the active one and remembers its sources.
    pub async fn activate(
        &self,
        hash: &str,
        files: &Files,
        sources: Vec<RememberedSource>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let activate =
            Activate { hash: hash.to_owned(), files: files.0.clone(), sources, now: now.as_millisecond() };
        self.write(activate).await
    }

    /// Every source that was ever active.
    pub async fn remembered_sources(&self) -> Result<Vec<RememberedSource>, StoreError> {
        let rows = self.read("SELECT name, preset, token_hash FROM sources ORDER BY name", args![]).await?;
        rows.iter()
            .map(|row| {
                Ok(RememberedSource { name: row.text(0)?, preset: row.text(1)?, token_hash: row.text(2)? })
            })
            .collect()
    }
}

struct Activate {
    hash: String,
    files: BTreeMap<String, String>,
    sources: Vec<RememberedSource>,
    now: i64,
}

impl Work for Activate {
    type Output = ();

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            connection
                .execute(
                    "INSERT INTO versions (hash, files, created_at) VALUES ($1, $2, $3) ON CONFLICT (hash) DO NOTHING",
                    args![self.hash.as_str(), json(&self.files)?, self.now],
                )
                .await?;
            connection
                .execute(
                    "INSERT INTO active_version (id, hash, since) VALUES (1, $1, $2) \
                     ON CONFLICT (id) DO UPDATE SET hash = excluded.hash, since = excluded.since",
                    args![self.hash.as_str(), self.now],
                )
                .await?;
            let sources = self
                .sources
                .iter()
                .map(|source| {
                    args![source.name.as_str(), source.preset.as_str(), source.token_hash.as_str(), self.now]
                })
                .collect();
            connection
                .insert_rows(
                    "sources (name, preset, token_hash, since)",
                    sources,
                    "ON CONFLICT (name) DO UPDATE SET preset = excluded.preset, token_hash = excluded.token_hash, \
                     since = excluded.since",
                )
                .await
        })
    }
}
