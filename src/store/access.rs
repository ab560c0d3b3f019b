//! Users, access tokens and sessions: who may use leadfold, and who has signed in.
//!
//! A session holds no role. What it may do is read from its user or token at each request, so that taking a role, changing a
//! password or removing a token counts at once, in every process.

use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::row::Row;
use super::sql::{Connection, args};
use super::statement::Statement;
use super::{Store, StoreError, Work};
use crate::access::Role;
use crate::token::{TokenHash, to_hex};

/// A session ends when nobody has used it for so long.
pub const IDLE: SignedDuration = SignedDuration::from_hours(12);
/// And at the latest after so long.
pub const LONGEST: SignedDuration = SignedDuration::from_hours(7 * 24);
/// How exactly the last use is written down: not at each request.
const SEEN_EVERY: SignedDuration = SignedDuration::from_mins(5);

/// Somebody who signs in with a password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// In lower case.
    pub name: String,
    /// What they may.
    pub role: Role,
    /// Since when.
    pub created_at: Timestamp,
}

/// Something that uses the API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessToken {
    /// What it is called.
    pub name: String,
    /// What it may.
    pub role: Role,
    /// Since when.
    pub created_at: Timestamp,
}

/// Whose a session is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A user's.
    User(String),
    /// Of whoever has this access token.
    Token(String),
    /// Of whoever has the token that leadfold was started with, whose hash this is.
    Start(TokenHash),
}

impl Holder {
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

    /// Adds a user. Returns whether the name was free.
    pub async fn add_user(&self, user: User, password: String) -> Result<bool, StoreError> {
        let User { name, role, created_at } = user;
        let added = self.write(Statement {
            sql: "INSERT INTO users (name, password, role, created_at) VALUES ($1, $2, $3, $4) \
                  ON CONFLICT (name) DO NOTHING",
            args: args![name, password, role.as_str(), created_at.as_millisecond()],
        });
        Ok(added.await? > 0)
    }

    /// Gives a user another role or password; another password ends their sessions. Returns whether there is such a user.
    pub async fn change_user(
        &self,
        name: &str,
        role: Option<Role>,
        password: Option<String>,
    ) -> Result<bool, StoreError> {
        let mut statements = Vec::new();
        if password.is_some() {
            let sql = "DELETE FROM sessions WHERE kind = 'user' AND name = $1";
            statements.push(Statement { sql, args: args![name] });
        }
        statements.push(Statement {
            sql: "UPDATE users SET role = COALESCE($2, role), password = COALESCE($3, password) WHERE name = $1",
            args: args![name, role.map(|role| role.as_str().to_owned()), password],
        });
        Ok(self.write(Together(statements)).await? > 0)
    }

    /// Removes a user and their sessions. Returns whether there was such a user.
    pub async fn remove_user(&self, name: &str) -> Result<bool, StoreError> {
        let sessions = "DELETE FROM sessions WHERE kind = 'user' AND name = $1";
        let statements =
            [sessions, "DELETE FROM users WHERE name = $1"].map(|sql| Statement { sql, args: args![name] });
        Ok(self.write(Together(statements.into())).await? > 0)
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
            sql: "INSERT INTO access_tokens (name, hash, role, created_at) VALUES ($1, $2, $3, $4) \
                  ON CONFLICT (name) DO NOTHING",
            args: args![name, to_hex(&hash), role.as_str(), created_at.as_millisecond()],
        });
        Ok(added.await? > 0)
    }

    /// Removes an access token and the sessions that began with it. Returns whether there was such a token.
    pub async fn remove_access_token(&self, name: &str) -> Result<bool, StoreError> {
        let sessions = "DELETE FROM sessions WHERE kind = 'token' AND name = $1";
        let statements = [sessions, "DELETE FROM access_tokens WHERE name = $1"]
            .map(|sql| Statement { sql, args: args![name] });
        Ok(self.write(Together(statements.into())).await? > 0)
    }

    /// Begins a session; those that have ended are forgotten on the way.
    pub async fn begin_session(
        &self,
        hash: &TokenHash,
        holder: &Holder,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let (kind, name) = holder.columns();
        let at = now.as_millisecond();
        let statements = vec![
            Statement {
                sql: "DELETE FROM sessions WHERE seen_at < $1 OR created_at < $2",
                args: args![at - millis(IDLE), at - millis(LONGEST)],
            },
            Statement {
                sql: "INSERT INTO sessions (hash, kind, name, created_at, seen_at) VALUES ($1, $2, $3, $4, $4)",
                args: args![to_hex(hash), kind, name, at],
            },
        ];
        self.write(Together(statements)).await?;
        Ok(())
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
             WHERE sessions.hash = $1 AND sessions.seen_at >= $2 AND sessions.created_at >= $3";
        let at = now.as_millisecond();
        let rows = self.read(sql, args![to_hex(hash), at - millis(IDLE), at - millis(LONGEST)]).await?;
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

/// Statements of one transaction; gives how many rows the last one changed.
struct Together(Vec<Statement>);

impl Work for Together {
    type Output = u64;

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<u64, StoreError>> {
        Box::pin(async move {
            let mut changed = 0;
            for statement in &self.0 {
                changed = statement.run(connection).await?;
            }
            Ok(changed)
        })
    }
}
