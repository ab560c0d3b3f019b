//! Our own one-time tokens in links into bots: kept by hash, redeemed once, by a lead or by somebody who asks.
//!
//! A lead redeems them in the transaction that stores it, before anybody asks whose it is; mapped again, it gets what it got.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::BoxFuture;
use jiff::Timestamp;

use super::sql::{Arg, Connection, ROWS_PER_STATEMENT, args, list};
use super::{Store, StoreError, Work};
use crate::id::LeadId;
use crate::lead::{Flaw, Identifier, IdentifierKind, Lead, Proof};
use crate::normalise;
use crate::token::{TokenHash, to_hex};

/// What a token stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meaning {
    /// Kind, scope and value of each identifier; phones in E.164, emails as they are sent to.
    pub identifiers: Vec<(IdentifierKind, String, String)>,
    /// Whatever else somebody wants to know again.
    pub data: Option<String>,
}

/// How a token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenState {
    /// Good, and this is what it stands for.
    Good(Meaning),
    /// Used already.
    Used,
    /// Too old.
    Expired,
    /// Not ours, or long gone.
    Unknown,
}

/// Who uses a token that no lead came with.
const BY_API: &str = "api";

impl Store {
    /// Keeps a token.
    pub async fn keep_token(
        &self,
        id: TokenHash,
        meaning: Meaning,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        self.write(KeepToken { id: to_hex(&id), meaning, now, until }).await
    }

    /// Forgets the tokens that stand for one of these phones and emails, whether or not anybody came with one.
    pub async fn forget_tokens_of(&self, values: Vec<String>) -> Result<(), StoreError> {
        self.write(ForgetContacts { values }).await
    }

    /// What a token stands for; with `use_up` it is used by that.
    pub async fn token(&self, id: TokenHash, use_up: bool, now: Timestamp) -> Result<TokenState, StoreError> {
        self.write(AskToken { id: to_hex(&id), use_up, now }).await
    }
}

struct KeepToken {
    id: String,
    meaning: Meaning,
    now: Timestamp,
    until: Timestamp,
}

impl Work for KeepToken {
    type Output = ();

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let (now, until) = (self.now.as_millisecond(), self.until.as_millisecond());
            let sql = "INSERT INTO start_tokens (id, data, created_at, until) VALUES ($1, $2, $3, $4)";
            connection.execute(sql, args![self.id.as_str(), self.meaning.data.clone(), now, until]).await?;
            let identifiers = self.meaning.identifiers.iter().map(|(kind, scope, value)| {
                args![self.id.as_str(), kind.as_str(), scope.as_str(), value.as_str()]
            });
            let into = "start_token_identifiers (token, kind, scope, value)";
            connection.insert_rows(into, identifiers.collect(), "ON CONFLICT DO NOTHING").await
        })
    }
}

struct AskToken {
    id: String,
    use_up: bool,
    now: Timestamp,
}

impl Work for AskToken {
    type Output = TokenState;

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<TokenState, StoreError>> {
        Box::pin(async move {
            let tokens = Tokens::lock(connection, BTreeSet::from([self.id.as_str()])).await?;
            let state = tokens.state(&self.id, BY_API, self.now);
            // Asked twice over the API it is used the second time: only a lead has a name by which to know it again.
            let used = tokens.0.get(&self.id).is_some_and(|token| token.used_by.is_some());
            if used && matches!(state, TokenState::Good(_)) {
                return Ok(TokenState::Used);
            }
            if self.use_up && matches!(state, TokenState::Good(_)) {
                use_up(connection, &self.id, BY_API).await?;
            }
            Ok(state)
        })
    }
}

struct Token {
    meaning: Meaning,
    until: Timestamp,
    used_by: Option<String>,
}

/// Tokens under their locks.
struct Tokens(BTreeMap<String, Token>);

impl Tokens {
    async fn lock(connection: &mut Connection, ids: BTreeSet<&str>) -> Result<Self, StoreError> {
        let mut tokens = BTreeMap::new();
        let ids: Vec<&str> = ids.into_iter().collect();
        for piece in ids.chunks(ROWS_PER_STATEMENT) {
            let arguments: Vec<Arg> = piece.iter().map(|id| Arg::from(*id)).collect();
            let of = list(1, piece.len());
            let locks = connection.row_locks("FOR UPDATE");
            let sql = format!(
                "SELECT id, data, until, used_by FROM start_tokens WHERE id IN ({of}) ORDER BY id {locks}"
            );
            for row in connection.fetch(&sql, arguments.clone()).await? {
                let meaning = Meaning { data: row.optional_text(1)?, ..Meaning::default() };
                let token = Token { meaning, until: row.timestamp(2)?, used_by: row.optional_text(3)? };
                tokens.insert(row.text(0)?, token);
            }
            let sql = format!(
                "SELECT token, kind, scope, value FROM start_token_identifiers WHERE token IN ({of}) \
                 ORDER BY token, kind, scope, value"
            );
            for row in connection.fetch(&sql, arguments).await? {
                let identifier = (row.parsed(1, IdentifierKind::parse)?, row.text(2)?, row.text(3)?);
                if let Some(token) = tokens.get_mut(&row.text(0)?) {
                    token.meaning.identifiers.push(identifier);
                }
            }
        }
        Ok(Self(tokens))
    }

    fn state(&self, id: &str, by: &str, now: Timestamp) -> TokenState {
        match self.0.get(id) {
            None => TokenState::Unknown,
            Some(Token { used_by: Some(user), .. }) if user != by => TokenState::Used,
            Some(token) if token.used_by.is_none() && now >= token.until => TokenState::Expired,
            Some(token) => TokenState::Good(token.meaning.clone()),
        }
    }
}

async fn use_up(connection: &mut Connection, id: &str, by: &str) -> Result<(), StoreError> {
    let sql = "UPDATE start_tokens SET used_by = $2 WHERE id = $1";
    connection.execute(sql, args![id, by]).await.map(drop)
}

/// Redeems the tokens that leads came with, in the order of the leads: each lead with what its tokens stand for.
pub(super) async fn redeem<'l>(
    connection: &mut Connection,
    leads: impl Iterator<Item = (LeadId, &'l Lead, Timestamp)>,
) -> Result<BTreeMap<LeadId, Cow<'l, Lead>>, StoreError> {
    let leads: Vec<_> = leads.collect();
    let ids: BTreeSet<&str> = leads.iter().flat_map(|(_, lead, _)| &lead.links).map(String::as_str).collect();
    if ids.is_empty() {
        // All but always.
        return Ok(leads.into_iter().map(|(id, lead, _)| (id, Cow::Borrowed(lead))).collect());
    }
    let mut tokens = Tokens::lock(connection, ids).await?;
    let mut redeemed = BTreeMap::new();
    for (id, lead, at) in leads {
        if lead.links.is_empty() {
            redeemed.insert(id, Cow::Borrowed(lead));
            continue;
        }
        let mut lead = lead.clone();
        for token in std::mem::take(&mut lead.links) {
            match tokens.state(&token, &id.to_string(), at) {
                TokenState::Good(meaning) => {
                    use_up(connection, &token, &id.to_string()).await?;
                    if let Some(token) = tokens.0.get_mut(&token) {
                        token.used_by = Some(id.to_string());
                    }
                    meaning.prove(&mut lead);
                }
                TokenState::Used => lead.flaws.push(flaw(
                    "used_link",
                    "Somebody came with this link before. It works once, so it joins nobody now: it may have been forwarded.",
                )),
                TokenState::Expired => lead.flaws.push(flaw(
                    "expired_link",
                    "The link was too old when somebody came with it, so it joins nobody. Make a new one with `leadfold link`.",
                )),
                TokenState::Unknown => lead.flaws.push(flaw(
                    "unknown_link",
                    "The link looks like one of ours, and we have none like it: it was erased, or nobody made it.",
                )),
            }
        }
        redeemed.insert(id, Cow::Owned(lead));
    }
    Ok(redeemed)
}

fn flaw(code: &str, text: &str) -> Flaw {
    Flaw { field: "link".to_owned(), raw: String::new(), code: code.to_owned(), text: text.to_owned() }
}

impl Meaning {
    /// Puts what the token stands for into the lead that came with it, as proven.
    fn prove(&self, lead: &mut Lead) {
        for (kind, scope, value) in &self.identifiers {
            let keys = match kind {
                IdentifierKind::Phone => {
                    let Ok(phone) = normalise::phone(value, &[]) else { continue };
                    let keys = phone.match_keys.clone();
                    if lead.contact.phones.iter().all(|known| known.e164 != phone.e164) {
                        lead.contact.phones.push(phone);
                    }
                    keys
                }
                IdentifierKind::Email => {
                    let Ok(email) = normalise::email(value) else { continue };
                    let key = email.match_key.clone();
                    if lead.contact.emails.iter().all(|known| known.address != email.address) {
                        lead.contact.emails.push(email);
                    }
                    // A role mailbox joins nobody, whoever has it.
                    let Some(key) = key else { continue };
                    vec![key]
                }
                IdentifierKind::CrmId
                | IdentifierKind::ExternalCustomer
                | IdentifierKind::Chat
                | IdentifierKind::Device
                | IdentifierKind::Click => vec![value.clone()],
            };
            let same =
                |known: &&mut Identifier| known.kind == *kind && known.scope == *scope && known.keys == keys;
            match lead.identifiers.iter_mut().find(same) {
                Some(known) => known.proof = Proof::Proven,
                None => lead.identifiers.push(Identifier {
                    kind: *kind,
                    scope: scope.clone(),
                    keys,
                    proof: Proof::Proven,
                }),
            }
        }
    }
}

struct ForgetContacts {
    values: Vec<String>,
}

impl Work for ForgetContacts {
    type Output = ();

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            connection.overwrite_what_goes().await?;
            for kind in [IdentifierKind::Phone, IdentifierKind::Email] {
                let key = |value: &String| (kind.as_str().to_owned(), String::new(), value.clone(), None);
                let keys: Vec<_> = self.values.iter().map(key).collect();
                forget_links(connection, &keys).await?;
            }
            Ok(())
        })
    }
}

/// Forgets every link, user and token of these identifiers, of which each is kind, scope, key and how it is shown.
pub(super) async fn forget_links(
    connection: &mut Connection,
    keys: &[(String, String, String, Option<String>)],
) -> Result<(), StoreError> {
    for (kind, scope, value, shown) in keys {
        match kind.as_str() {
            "chat" => {
                for table in ["links_issued", "web_users"] {
                    let sql = format!("DELETE FROM {table} WHERE chat_scope = $1 AND chat = $2");
                    connection.execute(&sql, args![scope.as_str(), value.as_str()]).await?;
                }
            }
            "external_customer" => {
                let sql = "DELETE FROM web_users WHERE namespace = $1 AND user_id = $2";
                connection.execute(sql, args![scope.as_str(), value.as_str()]).await?;
                let sql =
                    "UPDATE links_issued SET wanted_user = NULL WHERE namespace = $1 AND wanted_user = $2";
                connection.execute(sql, args![scope.as_str(), value.as_str()]).await?;
            }
            _ => {}
        }
        let shown = shown.as_deref().unwrap_or(value);
        let sql =
            "SELECT token FROM start_token_identifiers WHERE kind = $1 AND scope = $2 AND value IN ($3, $4)";
        let rows = connection.fetch(sql, args![kind.as_str(), scope.as_str(), value.as_str(), shown]).await?;
        let tokens = rows.iter().map(|row| row.text(0)).collect::<Result<BTreeSet<String>, _>>()?;
        forget_tokens(connection, tokens).await?;
    }
    Ok(())
}

async fn forget_tokens(connection: &mut Connection, tokens: BTreeSet<String>) -> Result<(), StoreError> {
    let tokens: Vec<String> = tokens.into_iter().collect();
    for piece in tokens.chunks(ROWS_PER_STATEMENT) {
        let arguments: Vec<Arg> = piece.iter().map(|token| Arg::from(token.as_str())).collect();
        let of = list(1, piece.len());
        let sql = format!("DELETE FROM start_tokens WHERE id IN ({of})");
        connection.execute(&sql, arguments.clone()).await?;
        let sql = format!("DELETE FROM start_token_identifiers WHERE token IN ({of})");
        connection.execute(&sql, arguments).await?;
    }
    Ok(())
}

/// Removes what was over before these moments, a few rows at a time; how many went.
pub(super) struct RemoveLinks {
    /// Links and tokens that ended before this.
    pub(super) ended: Timestamp,
    /// Failures that began before this.
    pub(super) failed: Timestamp,
}

/// Rows of each table that one transaction removes.
const TOGETHER: usize = 128;

impl Work for RemoveLinks {
    type Output = u64;

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<u64, StoreError>> {
        Box::pin(async move {
            let (ended, failed) = (self.ended.as_millisecond(), self.failed.as_millisecond());
            let sql = format!("SELECT id FROM start_tokens WHERE until < $1 ORDER BY id LIMIT {TOGETHER}");
            let rows = connection.fetch(&sql, args![ended]).await?;
            let tokens = rows.iter().map(|row| row.text(0)).collect::<Result<BTreeSet<String>, _>>()?;
            let mut removed = u64::try_from(tokens.len()).unwrap_or(u64::MAX);
            forget_tokens(connection, tokens).await?;
            for (table, key, time, before) in
                [("links_issued", "id", "until", ended), ("link_failures", "caller", "since", failed)]
            {
                let sql = format!(
                    "DELETE FROM {table} WHERE {time} < $1 AND {key} IN (SELECT {key} FROM {table} \
                     WHERE {time} < $1 ORDER BY {key} LIMIT {TOGETHER})"
                );
                removed += connection.execute(&sql, args![before]).await?;
            }
            Ok(removed)
        })
    }
}

impl Store {
    /// Removes links and tokens that ended before a moment, and failures that began before another, as many as one
    /// transaction takes; 0 when none is left.
    pub async fn remove_links(&self, ended: Timestamp, failed: Timestamp) -> Result<u64, StoreError> {
        self.write(RemoveLinks { ended, failed }).await
    }
}
