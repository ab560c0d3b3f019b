//! Users, access tokens and sessions: who may use leadfold, and who has signed in.
//!
//! A session holds no role. What it may do is read from its user or token at each request, so that taking a role, changing a
//! password or removing a token counts at once, in every process.

use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::row::Row;
use super::sql::{Connection, args};
use super::statement::Statement;
use super::{Store, StoreError, Work};
use crate::access::{AccessError, Role, START_TOKEN};
use crate::token::{TokenHash, to_hex};

/// A session ends when nobody has used it for so long.
pub const IDLE: SignedDuration = SignedDuration::from_hours(12);
/// And at the latest after so long.
pub const LONGEST: SignedDuration = SignedDuration::from_hours(7 * 24);
/// How exactly the last use is written down: not at each request.
const SEEN_EVERY: SignedDuration = SignedDuration::from_mins(5);
/// How far the clocks of two processes may differ. A session that began later than that from now began by a clock that was
/// wrong, and would outlive all others.
const AHEAD: SignedDuration = SignedDuration::from_hours(1);

/// Somebody who signs in with a password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct User {
    /// In lower case.
    pub name: String,
    /// What they may.
    pub role: Role,
    /// Since when.
    pub created_at: Timestamp,
}

/// Something that uses the API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AccessToken {
    /// What it is called.
    pub name: String,
    /// What it may.
    pub role: Role,
    /// Since when.
    pub created_at: Timestamp,
}

/// Whose a session is. Not printable: a weak start token can be guessed from its hash.
#[derive(Clone, PartialEq, Eq)]
pub enum Holder {
    /// A user's.
    User(String),
    /// Of whoever has this access token.
    Token(String),
    /// Of whoever has the token that leadfold was started with, whose hash this is.
    Start(TokenHash),
}

impl Holder {
    /// Who that is, for people.
    pub fn name(&self) -> &str {
        match self {
            Self::User(name) | Self::Token(name) => name,
            Self::Start(_) => START_TOKEN,
        }
    }

    fn columns(&self) -> (&'static str, String) {
        match self {
            Self::User(name) => ("user", name.clone()),
            Self::Token(name) => ("token", name.clone()),
            // Hashed again: whoever reads the table could try out weak tokens otherwise.
            Self::Start(hash) => ("start", to_hex(&crate::token::hash(hash))),
        }
    }
}

impl Store {
    /// All users by name.
    pub async fn users(&self) -> Result<Vec<User>, StoreError> {
        let rows = self.read("SELECT name, role, created_at FROM users ORDER BY name", args![]).await?;
        rows.iter()
            .map(|row| Ok(User { name: row.text(0)?, role: role(row, 1)?, created_at: row.timestamp(2)? }))
            .collect()
    }

    /// The password of a user, as a PHC string.
    pub async fn password(&self, name: &str) -> Result<Option<String>, StoreError> {
        let rows = self.read("SELECT password FROM users WHERE name = $1", args![name]).await?;
        rows.first().map(|row| row.text(0)).transpose()
    }

    /// Whether anybody can sign in with a password.
    pub async fn has_users(&self) -> Result<bool, StoreError> {
        Ok(!self.read("SELECT 1 FROM users LIMIT 1", args![]).await?.is_empty())
    }

    /// Adds a user. Returns whether the name was free.
    pub async fn add_user(&self, user: User, password: String) -> Result<bool, StoreError> {
        let User { name, role, created_at } = user;
        let added = self.write(Statement {
            sql: "INSERT INTO users (name, password, role, created_at) SELECT $1, $2, $3, $4 \
                  WHERE NOT EXISTS (SELECT 1 FROM access_tokens WHERE name = $1) ON CONFLICT (name) DO NOTHING",
            args: args![name, password, role.as_str(), created_at.as_millisecond()],
        });
        Ok(added.await? > 0)
    }

    /// Gives a user another role. `keep_an_admin`: not when nobody who may give access would be left.
    pub async fn change_role(
        &self,
        name: &str,
        role: Role,
        keep_an_admin: bool,
    ) -> Result<Result<(), AccessError>, StoreError> {
        let change = Change::Role(role);
        self.write(ChangeOne { kind: Kind::User, name: name.to_owned(), change, keep_an_admin }).await
    }

    /// Gives a user another password, and ends their sessions. `known`: only in place of this one. Returns whether there is
    /// such a user.
    pub async fn change_password(
        &self,
        name: &str,
        known: Option<String>,
        password: String,
    ) -> Result<bool, StoreError> {
        self.write(ChangePassword { name: name.to_owned(), known, password }).await
    }

    /// Removes a user and their sessions. `keep_an_admin` as for [roles](Self::change_role).
    pub async fn remove_user(
        &self,
        name: &str,
        keep_an_admin: bool,
    ) -> Result<Result<(), AccessError>, StoreError> {
        let change = Change::Removal;
        self.write(ChangeOne { kind: Kind::User, name: name.to_owned(), change, keep_an_admin }).await
    }

    /// All access tokens by name.
    pub async fn access_tokens(&self) -> Result<Vec<AccessToken>, StoreError> {
        let sql = "SELECT name, role, created_at FROM access_tokens ORDER BY name";
        self.read(sql, args![]).await?.iter().map(access_token).collect()
    }

    /// The access token with this hash.
    pub async fn access_token(&self, hash: &TokenHash) -> Result<Option<AccessToken>, StoreError> {
        let sql = "SELECT name, role, created_at FROM access_tokens WHERE hash = $1";
        self.read(sql, args![to_hex(hash)]).await?.first().map(access_token).transpose()
    }

    /// Adds an access token. Returns whether the name was free.
    pub async fn add_access_token(&self, token: AccessToken, hash: TokenHash) -> Result<bool, StoreError> {
        let AccessToken { name, role, created_at } = token;
        let added = self.write(Statement {
            sql: "INSERT INTO access_tokens (name, hash, role, created_at) SELECT $1, $2, $3, $4 \
                  WHERE NOT EXISTS (SELECT 1 FROM users WHERE name = $1) ON CONFLICT (name) DO NOTHING",
            args: args![name, to_hex(&hash), role.as_str(), created_at.as_millisecond()],
        });
        Ok(added.await? > 0)
    }

    /// Removes an access token and the sessions that began with it. `keep_an_admin` as for [roles](Self::change_role).
    pub async fn remove_access_token(
        &self,
        name: &str,
        keep_an_admin: bool,
    ) -> Result<Result<(), AccessError>, StoreError> {
        let change = Change::Removal;
        self.write(ChangeOne { kind: Kind::Token, name: name.to_owned(), change, keep_an_admin }).await
    }

    /// Begins a session. `proof` is what let its holder in, as the database has it: the PHC string of their password, or the
    /// hash of their token in hex digits; returns `false` when it is not theirs any more.
    pub async fn begin_session(
        &self,
        hash: &TokenHash,
        holder: &Holder,
        proof: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let (kind, name) = holder.columns();
        let proof = proof.to_owned();
        self.write(BeginSession { hash: to_hex(hash), kind, name, proof, at: now.as_millisecond() }).await
    }

    /// Who has this session and what they may, unless it has ended. `start` is the hash of the token that this process was
    /// started with. A session that is not `used` ends as if nobody had asked.
    pub async fn session(
        &self,
        hash: &TokenHash,
        start: Option<&TokenHash>,
        now: Timestamp,
        used: bool,
    ) -> Result<Option<(Holder, Role)>, StoreError> {
        let sql = "SELECT sessions.kind, sessions.name, COALESCE(users.role, access_tokens.role), sessions.seen_at \
             FROM sessions LEFT JOIN users ON sessions.kind = 'user' AND users.name = sessions.name \
             LEFT JOIN access_tokens ON sessions.kind = 'token' AND access_tokens.name = sessions.name \
             WHERE sessions.hash = $1 AND sessions.seen_at >= $2 AND sessions.created_at >= $3 \
             AND sessions.created_at <= $4";
        let at = now.as_millisecond();
        let limits = args![to_hex(hash), at - millis(IDLE), at - millis(LONGEST), at + millis(AHEAD)];
        let rows = self.read(sql, limits).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let name = row.text(1)?;
        let found = match row.text(0)?.as_str() {
            "user" => (Holder::User(name), row.optional_text(2)?),
            "token" => (Holder::Token(name), row.optional_text(2)?),
            _ => match start.map(|start| Holder::Start(*start)) {
                Some(holder) if holder.columns().1 == name => (holder, Some(Role::Admin.as_str().to_owned())),
                _ => return Ok(None),
            },
        };
        let (holder, Some(word)) = found else { return Ok(None) };
        let role = Role::parse(&word).ok_or_else(|| StoreError::damaged(format!("'{word}' is no role")))?;
        if used && row.int(3)? < at - millis(SEEN_EVERY) {
            let sql = "UPDATE sessions SET seen_at = $2 WHERE hash = $1 AND seen_at < $2";
            self.write(Statement { sql, args: args![to_hex(hash), at] }).await?;
        }
        Ok(Some((holder, role)))
    }

    /// Removes sessions that have ended; returns how many.
    pub async fn remove_sessions(&self, now: Timestamp) -> Result<u64, StoreError> {
        let at = now.as_millisecond();
        let sql = "DELETE FROM sessions WHERE seen_at < $1 OR created_at < $2";
        self.write(Statement { sql, args: args![at - millis(IDLE), at - millis(LONGEST)] }).await
    }

    /// Ends a session.
    pub async fn end_session(&self, hash: &TokenHash) -> Result<(), StoreError> {
        self.write(Statement { sql: "DELETE FROM sessions WHERE hash = $1", args: args![to_hex(hash)] })
            .await?;
        Ok(())
    }
}

fn millis(span: SignedDuration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

fn role(row: &Row, column: usize) -> Result<Role, StoreError> {
    let word = row.text(column)?;
    Role::parse(&word).ok_or_else(|| StoreError::damaged(format!("'{word}' is no role")))
}

fn access_token(row: &Row) -> Result<AccessToken, StoreError> {
    Ok(AccessToken { name: row.text(0)?, role: role(row, 1)?, created_at: row.timestamp(2)? })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    User,
    Token,
}

impl Kind {
    const ALL: [Self; 2] = [Self::User, Self::Token];

    fn table(self) -> &'static str {
        match self {
            Self::User => "users",
            Self::Token => "access_tokens",
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Token => "token",
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Role(Role),
    Removal,
}

/// Changes what one user or token may, unless nobody who may give access would be left.
struct ChangeOne {
    kind: Kind,
    name: String,
    change: Change,
    keep_an_admin: bool,
}

impl Work for ChangeOne {
    type Output = Result<(), AccessError>;

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<Self::Output, StoreError>> {
        Box::pin(async move {
            let takes = self.change != Change::Role(Role::Admin);
            if takes && self.keep_an_admin && self.is_last_admin(connection).await? {
                return Ok(Err(AccessError::LastAdmin));
            }
            let table = self.kind.table();
            let changed = match self.change {
                Change::Role(role) => {
                    let sql = format!("UPDATE {table} SET role = $2 WHERE name = $1");
                    connection.execute(&sql, args![self.name.as_str(), role.as_str()]).await?
                }
                Change::Removal => {
                    let sql = format!("DELETE FROM {table} WHERE name = $1");
                    let removed = connection.execute(&sql, args![self.name.as_str()]).await?;
                    end_sessions(connection, self.kind, &self.name).await?;
                    removed
                }
            };
            Ok(if changed > 0 { Ok(()) } else { Err(AccessError::Unknown) })
        })
    }
}

impl ChangeOne {
    /// Locks all admins, so that two of them cannot remove each other at once.
    async fn is_last_admin(&self, connection: &mut Connection) -> Result<bool, StoreError> {
        let (locks, mut is_admin, mut others) = (connection.row_locks("FOR UPDATE"), false, false);
        for kind in Kind::ALL {
            let table = kind.table();
            let sql = format!("SELECT name FROM {table} WHERE role = 'admin' ORDER BY name {locks}");
            for row in connection.fetch(&sql, args![]).await? {
                if kind == self.kind && row.text(0)? == self.name {
                    is_admin = true;
                } else {
                    others = true;
                }
            }
        }
        Ok(is_admin && !others)
    }
}

struct ChangePassword {
    name: String,
    known: Option<String>,
    password: String,
}

impl Work for ChangePassword {
    type Output = bool;

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(async move {
            let sql = "UPDATE users SET password = $2 WHERE name = $1 AND ($3 IS NULL OR password = $3)";
            let arguments = args![self.name.as_str(), self.password.as_str(), self.known.clone()];
            let changed = connection.execute(sql, arguments).await? > 0;
            if changed {
                // After the row is ours: a session that began with the old password is there by now, or will not begin.
                end_sessions(connection, Kind::User, &self.name).await?;
            }
            Ok(changed)
        })
    }
}

struct BeginSession {
    hash: String,
    kind: &'static str,
    name: String,
    proof: String,
    at: i64,
}

impl Work for BeginSession {
    type Output = bool;

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(async move {
            // Looked up again and locked: it may have been taken away since somebody proved to be its holder.
            let locks = connection.row_locks("FOR SHARE");
            let proven = match self.kind {
                "user" => format!("SELECT 1 FROM users WHERE name = $1 AND password = $2 {locks}"),
                "token" => format!("SELECT 1 FROM access_tokens WHERE name = $1 AND hash = $2 {locks}"),
                _ => String::new(),
            };
            if !proven.is_empty() {
                let rows = connection.fetch(&proven, args![self.name.as_str(), self.proof.as_str()]).await?;
                if rows.is_empty() {
                    return Ok(false);
                }
            }
            let sql =
                "INSERT INTO sessions (hash, kind, name, created_at, seen_at) VALUES ($1, $2, $3, $4, $4)";
            let arguments = args![self.hash.as_str(), self.kind, self.name.as_str(), self.at];
            connection.execute(sql, arguments).await?;
            Ok(true)
        })
    }
}

async fn end_sessions(connection: &mut Connection, kind: Kind, name: &str) -> Result<(), StoreError> {
    connection
        .execute("DELETE FROM sessions WHERE kind = $1 AND name = $2", args![kind.word(), name])
        .await?;
    Ok(())
}
