//! `[[user]]`: who may log in.

use std::fmt;

use crate::{reader::Reader, source::Source};

/// Someone who may log in.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct User {
    /// `name`.
    pub name: String,
    /// `password` or `password_hash`.
    pub secret: UserSecret,
    /// `groups`.
    pub groups: Vec<String>,
    /// Where the user begins.
    pub source: Source,
}

/// What proves who someone is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum UserSecret {
    /// The password itself.
    Password(Secret),
    /// Its argon2 hash, as a PHC string.
    Hash(Secret),
}

/// A text that is not for anyone's eyes.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub(super) const fn new(text: String) -> Self {
        Self(text)
    }

    /// The text. Whoever takes it sees to it that nobody reads it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("********")
    }
}

pub(super) fn read(reader: &mut Reader<'_>) -> Vec<User> {
    let mut users: Vec<User> = Vec::new();
    for (index, table) in reader.repeated("user").iter().enumerate() {
        let mut section = reader.repetition("user", index);
        let name = section.text_or_none("name", None, "a name", |name| !name.is_empty() && name.len() <= 256);
        let name_given = section.place("name") != Source::Default;
        let password = section.secret("password");
        let hash = section.secret("password_hash");
        let (password_place, hash_place) = (section.place("password"), section.place("password_hash"));
        let groups = section.texts("groups", &[]).into_iter().map(|(group, _)| group).collect();
        section.finish();
        let secret = match (password, hash) {
            (Some(_), Some(_)) => {
                reader.error(&hash_place, "both password and password_hash are set", "keep password_hash");
                None
            }
            (Some(password), None) if password.is_empty() || password.len() > 1024 => {
                reader.error(
                    &password_place,
                    "'password' is empty or longer than 1024 bytes",
                    "set another one",
                );
                None
            }
            (Some(password), None) => Some(UserSecret::Password(Secret(password))),
            (None, Some(hash)) if !hash.starts_with("$argon2") => {
                let remedy = "write password for a plain one, or a hash such as $argon2id$v=19$…";
                reader.error(&hash_place, "'password_hash' is no argon2 hash", remedy);
                None
            }
            (None, Some(hash)) => Some(UserSecret::Hash(Secret(hash))),
            (None, None) => {
                if password_place == Source::Default && hash_place == Source::Default {
                    reader.error(table, "this user has no password", "add password_hash, or password");
                }
                None
            }
        };
        if name.is_none() && !name_given {
            reader.error(table, "this user has no name", "add name = \"…\"");
        }
        if let (Some(name), Some(secret)) = (name, secret) {
            if users.iter().any(|user| user.name == name) {
                reader.error(table, format!("user '{name}' is listed twice"), "keep one of them");
                continue;
            }
            users.push(User { name, secret, groups, source: table.clone() });
        }
    }
    users
}
