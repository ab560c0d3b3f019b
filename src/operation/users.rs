//! Who signs in with a password: [listing](LookAtUsers) them, [adding](AddUser), [giving another role](ChangeRole) or
//! [password](SetPassword), [removing](RemoveUser), and [changing one's own password](ChangeOwnPassword).
//!
//! Passwords come as they were typed, and are hashed here: so all of them are as long as they must be, and hashed alike.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Means, Operation, OperationError};
use crate::access::password::{self, Password};
use crate::access::{AccessError, Name, Role, Through};
use crate::store::access::User;

/// Asks who signs in with a password. Changes nothing.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LookAtUsers {}

/// Who signs in with a password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Users {
    /// By name.
    pub users: Vec<User>,
}

/// Adds a user.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AddUser {
    /// What they sign in as.
    pub name: Name,
    /// What they may.
    pub role: Role,
    /// What they sign in with.
    pub password: Password,
}

/// Gives a user another role, from their next click on.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeRole {
    /// Who.
    pub name: Name,
    /// What they may now.
    pub role: Role,
}

/// Gives a user another password, and signs them out.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetPassword {
    /// Who.
    pub name: Name,
    /// What they sign in with now.
    pub password: Password,
}

/// Removes a user, and signs them out.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveUser {
    /// Who.
    pub name: Name,
}

/// Changes the password of whoever asks, and signs them out everywhere.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeOwnPassword {
    /// What they sign in with.
    pub old: Password,
    /// What they sign in with from now on.
    pub new: Password,
}

/// Of whom something was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Changed {
    /// Their name.
    pub name: String,
}

impl Operation for LookAtUsers {
    const PATH: &'static str = "/api/users";
    const ROLE: Role = Role::Admin;
    type Answer = Users;

    fn record(&self) -> Option<Value> {
        None
    }

    async fn run(self, means: &Means) -> Result<Users, OperationError> {
        Ok(Users { users: means.store.users().await? })
    }
}

impl Operation for AddUser {
    const PATH: &'static str = "/api/users/add";
    const ROLE: Role = Role::Admin;
    type Answer = User;

    fn record(&self) -> Option<Value> {
        Some(json!({ "name": self.name, "role": self.role }))
    }

    async fn run(self, means: &Means) -> Result<User, OperationError> {
        let Self { name, role, password } = self;
        let kept = kept(means, password).await?;
        let user = User { name: given(role, name)?, role, created_at: means.clock.now() };
        let added = means.store.add_user(user.clone(), kept).await?;
        if added { Ok(user) } else { Err(AccessError::Taken.into()) }
    }
}

impl Operation for ChangeRole {
    const PATH: &'static str = "/api/users/role";
    const ROLE: Role = Role::Admin;
    type Answer = Changed;

    fn record(&self) -> Option<Value> {
        Some(json!({ "name": self.name, "role": self.role }))
    }

    async fn run(self, means: &Means) -> Result<Changed, OperationError> {
        let name = given(self.role, self.name)?;
        means.store.change_role(&name, self.role, means.entrance.needs_admin()).await??;
        Ok(Changed { name })
    }
}

impl Operation for SetPassword {
    const PATH: &'static str = "/api/users/password";
    const ROLE: Role = Role::Admin;
    type Answer = Changed;

    fn record(&self) -> Option<Value> {
        Some(json!({ "name": self.name }))
    }

    async fn run(self, means: &Means) -> Result<Changed, OperationError> {
        let Self { name, password } = self;
        let name = String::from(name);
        // Somebody else may sit at a browser that was left open.
        if means.caller.through == Through::Console && means.caller.name == name {
            return Err(AccessError::OwnPassword.into());
        }
        let kept = kept(means, password).await?;
        let changed = means.store.change_password(&name, None, kept).await?;
        if changed { Ok(Changed { name }) } else { Err(AccessError::Unknown.into()) }
    }
}

impl Operation for RemoveUser {
    const PATH: &'static str = "/api/users/remove";
    const ROLE: Role = Role::Admin;
    type Answer = Changed;

    fn record(&self) -> Option<Value> {
        Some(json!({ "name": self.name }))
    }

    async fn run(self, means: &Means) -> Result<Changed, OperationError> {
        let name = String::from(self.name);
        means.store.remove_user(&name, means.entrance.needs_admin()).await??;
        Ok(Changed { name })
    }
}

impl Operation for ChangeOwnPassword {
    const PATH: &'static str = "/api/account/password";
    const ROLE: Role = Role::Viewer;
    type Answer = Changed;

    fn record(&self) -> Option<Value> {
        Some(json!({}))
    }

    async fn run(self, means: &Means) -> Result<Changed, OperationError> {
        let Self { old, new } = self;
        let name = means.caller.name.clone();
        let Some(before) = means.store.password(&name).await? else {
            return Err(AccessError::NoPassword.into());
        };
        password::check(&new)?;
        // Not counted with those who have only the name.
        if !means.entrance.allows_known(&format!("signed in as {name}")) {
            return Err(AccessError::TooOften.into());
        }
        let is = old.0.len() <= password::LONGEST && means.entrance.is(old, Some(before.clone())).await;
        if !is {
            return Err(AccessError::WrongPassword.into());
        }
        let kept = kept(means, new).await?;
        // It may have been set anew since it was read.
        let changed = means.store.change_password(&name, Some(before), kept).await?;
        if changed { Ok(Changed { name }) } else { Err(AccessError::WrongPassword.into()) }
    }
}

/// What is kept of a password that may be one.
async fn kept(means: &Means, password: Password) -> Result<String, OperationError> {
    password::check(&password)?;
    means.entrance.hash(password, means.clock.secret()).await
}

/// The name, where the role is one that people and tokens are given.
pub(super) fn given(role: Role, name: Name) -> Result<String, OperationError> {
    if Role::GIVEN.contains(&role) {
        return Ok(name.into());
    }
    let roles = Role::GIVEN.map(Role::as_str).join(", ");
    Err(OperationError::Refused(format!("nobody is given the role {role}; take one of {roles}")))
}
