//! The users of a broker, and the check of one login.

use std::{collections::BTreeMap, fmt, sync::OnceLock};

use crate::{
    error::{AuthError, Refusal},
    password::{Hashed, MAX_PASSWORD_BYTES, Tag, TagKey},
    principal::{MAX_NAME_BYTES, Principal},
};

/// The most users.
pub const MAX_USERS: usize = 100_000;
/// The most groups of one user.
pub const MAX_GROUPS: usize = 256;

/// Enough of an unknown name to find its owner in a log.
const EXCERPT_CHARS: usize = 64;

/// A user as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The name to log in with.
    pub name: String,
    /// What proves it.
    pub secret: Secret,
    /// The groups that the user is in.
    pub groups: Vec<String>,
}

/// What proves that a user is who they say.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Secret {
    /// The password itself. It is forgotten as soon as the [`Authenticator`] is built.
    Password(String),
    /// An argon2 hash of the password, as a PHC string; see [`crate::hash_password`].
    Hash(String),
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Secret::Password(_) => "Password(…)",
            Secret::Hash(_) => "Hash(…)",
        })
    }
}

/// Decides who may log in.
///
/// Checking takes `&self`, and may be done from several threads at once. With a hash it takes tens of milliseconds and
/// megabytes the first time for each user: do it outside of the thread that owns the engine.
pub struct Authenticator {
    /// `None` for an open broker.
    users: Option<BTreeMap<String, Known>>,
    /// Who those are that give no name; `None` if they are refused.
    anonymous: Option<Principal>,
    key: TagKey,
}

struct Known {
    groups: Vec<String>,
    hashed: Option<Hashed>,
    /// The tag of the right password, once it was seen.
    tag: OnceLock<Tag>,
}

impl Authenticator {
    /// Lets everybody in, under whatever name they give: a broker without users.
    #[must_use]
    pub fn open() -> Self {
        Self { users: None, anonymous: None, key: TagKey::new([0; 32]) }
    }

    /// Lets in those users only. `secret` keys the tags of their passwords in memory; it should be random and new for
    /// each process.
    ///
    /// # Errors
    /// [`AuthError`] for the first user that cannot be used.
    pub fn new(users: impl IntoIterator<Item = User>, secret: [u8; 32]) -> Result<Self, AuthError> {
        let key = TagKey::new(secret);
        let mut known = BTreeMap::new();
        for user in users {
            check(&user)?;
            let (hashed, tag) = match &user.secret {
                Secret::Password(password) => (None, OnceLock::from(key.tag(&user.name, password))),
                Secret::Hash(hash) => {
                    let hashed = Hashed::parse(hash)
                        .map_err(|reason| AuthError::Hash { name: user.name.clone(), reason })?;
                    (Some(hashed), OnceLock::new())
                }
            };
            if known.len() >= MAX_USERS {
                return Err(AuthError::Limit {
                    name: user.name,
                    what: "the number of users",
                    limit: MAX_USERS,
                });
            }
            let name = user.name.clone();
            if known.insert(user.name, Known { groups: user.groups, hashed, tag }).is_some() {
                return Err(AuthError::Repeated { name });
            }
        }
        if known.is_empty() {
            return Err(AuthError::NoUsers);
        }
        Ok(Self { users: Some(known), anonymous: None, key })
    }

    /// Lets clients in that give neither name nor password, too, under this name and with these groups.
    #[must_use]
    pub fn with_anonymous(mut self, name: String, groups: Vec<String>) -> Self {
        self.anonymous = Some(Principal::new(Some(name), groups));
        self
    }

    /// Whether everybody is let in.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.users.is_none()
    }

    /// Whether [`Authenticator::authenticate`] would take tens of milliseconds and megabytes: the user has a hash, and
    /// the right password was not seen yet.
    #[must_use]
    pub fn takes_long(&self, user: Option<&str>, password: Option<&str>) -> bool {
        let (Some(users), Some(name), Some(_)) = (&self.users, user, password) else { return false };
        users.get(name).is_some_and(|known| known.hashed.is_some() && known.tag.get().is_none())
    }

    /// Checks one login.
    ///
    /// A name that is unknown is refused faster than a known one whose password was never given rightly so far: names
    /// are no secret here.
    ///
    /// # Errors
    /// [`Refusal`] if nobody of that name and password is known.
    pub fn authenticate(&self, user: Option<&str>, password: Option<&str>) -> Result<Principal, Refusal> {
        let Some(users) = &self.users else {
            let named = user.filter(|name| !name.is_empty() && name.len() <= MAX_NAME_BYTES);
            return Ok(Principal::new(named.map(Into::into), Vec::new()));
        };
        let nothing = |text: Option<&str>| text.is_none_or(str::is_empty);
        if let Some(anonymous) = self.anonymous.as_ref().filter(|_| nothing(user) && nothing(password)) {
            return Ok(anonymous.clone());
        }
        let refusal =
            || Refusal::Credentials { user: user.map(|name| name.chars().take(EXCERPT_CHARS).collect()) };
        let (Some(name), Some(password)) = (user, password) else {
            return Err(refusal());
        };
        if name.len() > MAX_NAME_BYTES || password.len() > MAX_PASSWORD_BYTES {
            return Err(refusal());
        }
        let known = users.get(name).filter(|known| self.fits(known, name, password)).ok_or_else(refusal)?;
        Ok(Principal::new(Some(name.to_owned()), known.groups.clone()))
    }

    /// A tag decides for good: it was made of the one password that fits the hash.
    fn fits(&self, known: &Known, name: &str, password: &str) -> bool {
        if let Some(tag) = known.tag.get() {
            return self.key.fits(tag, name, password);
        }
        let fits = known.hashed.as_ref().is_some_and(|hashed| hashed.fits(password));
        if fits {
            known.tag.get_or_init(|| self.key.tag(name, password));
        }
        fits
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.users.as_ref().map(|users| users.keys().collect::<Vec<_>>());
        f.debug_struct("Authenticator").field("users", &names).finish_non_exhaustive()
    }
}

fn check(user: &User) -> Result<(), AuthError> {
    let name = || user.name.chars().take(EXCERPT_CHARS).collect::<String>();
    let beyond = |what, limit| Err(AuthError::Limit { name: name(), what, limit });
    if user.name.is_empty() {
        return Err(AuthError::NoName);
    }
    if user.name.len() > MAX_NAME_BYTES {
        return beyond("the length of the name", MAX_NAME_BYTES);
    }
    if user.groups.len() > MAX_GROUPS {
        return beyond("the number of groups", MAX_GROUPS);
    }
    if user.groups.iter().any(|group| group.len() > MAX_NAME_BYTES) {
        return beyond("the length of a group's name", MAX_NAME_BYTES);
    }
    match &user.secret {
        Secret::Password(password) if password.is_empty() => Err(AuthError::EmptyPassword { name: name() }),
        Secret::Password(password) if password.len() > MAX_PASSWORD_BYTES => {
            beyond("the length of the password", MAX_PASSWORD_BYTES)
        }
        _ => Ok(()),
    }
}
