//! Versions of the workspace: every text that was ever active, by hash, and which one is active now.

use std::collections::BTreeMap;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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

/// A version in the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VersionRow {
    /// SHA-256 (hex) over its texts.
    pub hash: String,
    /// When it became active for the first time.
    pub first_active: Timestamp,
    /// Since when it is the active one; `None` when it is not.
    pub active_since: Option<Timestamp>,
    /// How many of the newest leads it made, among as many as were counted.
    pub leads: i64,
    /// When the delivery of one of those came that came last.
    pub last_lead: Option<Timestamp>,
}

/// Leads that a branch took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The source.
    pub source: String,
    /// Hash of the version that made them.
    pub version: String,
    /// Place of the branch in that version's mapping, from 0.
    pub branch: usize,
    /// How many.
    pub leads: i64,
}

/// Leads that are counted by version, the newest: a list of versions must not read the whole registry.
pub const COUNTED_LEADS: i64 = 100_000;

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

    /// The hash of the version that is active: all processes look at it every second.
    pub async fn active_hash(&self) -> Result<Option<String>, StoreError> {
        let rows = self.read("SELECT hash FROM active_version WHERE id = 1", args![]).await?;
        rows.first().map(|row| row.text(0)).transpose()
    }

    /// The texts of any version that was ever active.
    pub async fn version(&self, hash: &str) -> Result<Option<Files>, StoreError> {
        let rows = self.read("SELECT files FROM versions WHERE hash = $1", args![hash]).await?;
        rows.first().map(|row| Ok(Files(row.json(0)?))).transpose()
    }

    /// Makes a version the active one, whatever was before.
    pub async fn activate(&self, hash: &str, files: &Files, now: Timestamp) -> Result<(), StoreError> {
        self.write(Activate::new(hash, files, Place::Whatever, now)).await.map(drop)
    }

    /// Makes a version the active one in place of the one that the caller knows of (`None`: there is none yet). `false`:
    /// somebody else was faster, and nothing is changed.
    pub async fn activate_instead_of(
        &self,
        known: Option<&str>,
        hash: &str,
        files: &Files,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let place = known.map_or(Place::Empty, |known| Place::Of(known.to_owned()));
        self.write(Activate::new(hash, files, place, now)).await
    }

    /// Remembers sources for the day on which the workspace no longer has them.
    pub async fn remember_sources(
        &self,
        sources: Vec<RememberedSource>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.write(RememberSources { sources, now: now.as_millisecond() }).await
    }

    /// Every version that was ever active, the newest first, with its leads among so many of the newest.
    pub async fn versions(&self, counted: i64) -> Result<Vec<VersionRow>, StoreError> {
        let sql = "SELECT versions.hash, versions.created_at, active_version.since, COALESCE(made.leads, 0), made.last \
             FROM versions LEFT JOIN active_version ON active_version.hash = versions.hash \
             LEFT JOIN (SELECT version, COUNT(*) AS leads, MAX(received_at) AS last \
               FROM (SELECT version, received_at FROM leads ORDER BY sequence DESC LIMIT $1) AS newest \
               GROUP BY version) AS made ON made.version = versions.hash \
             ORDER BY versions.created_at DESC, versions.hash";
        let rows = self.read(sql, args![counted]).await?;
        rows.iter()
            .map(|row| {
                Ok(VersionRow {
                    hash: row.text(0)?,
                    first_active: row.timestamp(1)?,
                    active_since: row.optional_timestamp(2)?,
                    leads: row.int(3)?,
                    last_lead: row.optional_timestamp(4)?,
                })
            })
            .collect()
    }

    /// How many of the newest leads each branch of each version took.
    pub async fn branches(&self, newest: i64) -> Result<Vec<Taken>, StoreError> {
        let sql = "SELECT source, version, branch, COUNT(*) FROM \
             (SELECT source, version, branch FROM leads ORDER BY sequence DESC LIMIT $1) AS newest \
             WHERE branch IS NOT NULL GROUP BY source, version, branch ORDER BY source, version, branch";
        let rows = self.read(sql, args![newest]).await?;
        rows.iter()
            .map(|row| {
                let branch = usize::try_from(row.int(2)?).unwrap_or(usize::MAX);
                Ok(Taken { source: row.text(0)?, version: row.text(1)?, branch, leads: row.int(3)? })
            })
            .collect()
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
    place: Place,
    now: i64,
}

/// Which active version may be replaced.
enum Place {
    Whatever,
    Empty,
    Of(String),
}

impl Activate {
    fn new(hash: &str, files: &Files, place: Place, now: Timestamp) -> Self {
        Self { hash: hash.to_owned(), files: files.0.clone(), place, now: now.as_millisecond() }
    }
}

impl Work for Activate {
    type Output = bool;

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(async move {
            // Whatever lead is pinned to the version until now was mapped by now, which is how retention knows.
            connection
                .execute(
                    "UPDATE versions SET used_at = $1 WHERE hash IN (SELECT hash FROM active_version)",
                    args![self.now],
                )
                .await?;
            let insert = "INSERT INTO active_version (id, hash, since) VALUES (1, $1, $2) ON CONFLICT (id)";
            let mut arguments = args![self.hash.as_str(), self.now];
            let sql = match &self.place {
                Place::Empty => format!("{insert} DO NOTHING"),
                Place::Whatever => {
                    format!("{insert} DO UPDATE SET hash = excluded.hash, since = excluded.since")
                }
                Place::Of(known) => {
                    arguments.push(known.as_str().into());
                    "UPDATE active_version SET hash = $1, since = $2 WHERE id = 1 AND hash = $3".to_owned()
                }
            };
            if connection.execute(&sql, arguments).await? == 0 {
                return Ok(false);
            }
            connection
                .execute(
                    "INSERT INTO versions (hash, files, created_at, used_at) VALUES ($1, $2, $3, $3) \
                     ON CONFLICT (hash) DO UPDATE SET used_at = excluded.used_at",
                    args![self.hash.as_str(), json(&self.files)?, self.now],
                )
                .await?;
            Ok(true)
        })
    }
}

struct RememberSources {
    sources: Vec<RememberedSource>,
    now: i64,
}

impl Work for RememberSources {
    type Output = ();

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
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
