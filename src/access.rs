//! Who asks for something, how they came, and what they may.

pub mod password;

use std::fmt;

use serde::{Deserialize, Serialize};

/// What somebody may do. A later one may do everything that an earlier one may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A web site: asks about its links, and sees nothing else.
    Site,
    /// Sees everything but secrets, and changes nothing.
    Viewer,
    /// Works with leads and people: replays, answers, corrects.
    Operator,
    /// Also changes the workspace, erases, and says who may what.
    Admin,
}

impl Role {
    /// Those that a person or a token can be given.
    pub const GIVEN: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Site => "site",
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// The role of this word, of those that can be given.
    pub fn parse(word: &str) -> Option<Self> {
        Self::GIVEN.into_iter().find(|role| role.as_str() == word)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How somebody came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Through {
    /// With a browser.
    Console,
    /// With a token, over `/api`.
    Api,
    /// With a command, at the machine of the database.
    Command,
}

impl Through {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Console => "console",
            Self::Api => "api",
            Self::Command => "command",
        }
    }
}

/// Whoever asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// A user's name, or what their token is called.
    pub name: String,
    /// What they may.
    pub role: Role,
    /// How they came.
    pub through: Through,
}

/// The name of whoever has the token that leadfold was started with.
pub const START_TOKEN: &str = "start token";

impl Caller {
    /// Whoever types a command at the machine of the database: may everything, since the file is theirs.
    pub fn command(name: Option<String>) -> Self {
        Self {
            name: name.unwrap_or_else(|| "somebody".to_owned()),
            role: Role::Admin,
            through: Through::Command,
        }
    }

    /// Whether a web site asks.
    pub fn is_site(&self) -> bool {
        self.role == Role::Site
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_more_may_what_others_may() {
        assert!(Role::Site < Role::Viewer && Role::Viewer < Role::Operator && Role::Operator < Role::Admin);
    }

    #[test]
    fn only_what_can_be_given_is_read() {
        for role in Role::GIVEN {
            assert_eq!(Role::parse(role.as_str()), Some(role));
        }
        for word in ["site", "Admin", "", "root"] {
            assert_eq!(Role::parse(word), None, "{word}");
        }
    }
}
