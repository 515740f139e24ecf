//! Passwords: argon2 hashes as they stand in configurations, and keyed tags as they stand in memory.

use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use blake2::{
    Blake2sMac256,
    digest::{KeyInit, Mac},
};

use crate::error::AuthError;

/// The longest password, in bytes.
pub const MAX_PASSWORD_BYTES: usize = 1024;

/// The most that a hash may ask for; a login must not take gigabytes or minutes.
const MAX_MEMORY_KIB: u32 = 256 * 1024;
const MAX_PASSES: u32 = 32;
const MAX_LANES: u32 = 16;

/// Hashes a password for a configuration: argon2id with the parameters that OWASP recommends, as a PHC string.
///
/// The salt must be random and new for each password.
///
/// # Errors
/// [`AuthError::Hashing`] if the password is empty or longer than [`MAX_PASSWORD_BYTES`].
pub fn hash_password(password: &str, salt: &[u8; 16]) -> Result<String, AuthError> {
    let failed = |reason: &str| AuthError::Hashing { reason: reason.to_owned() };
    if password.is_empty() {
        return Err(failed("it is empty"));
    }
    if password.len() > MAX_PASSWORD_BYTES {
        return Err(failed("it is longer than 1024 bytes"));
    }
    let hash: PasswordHash = Argon2::default()
        .hash_password_with_salt(password.as_bytes(), salt)
        .map_err(|error| failed(&error.to_string()))?;
    Ok(hash.to_string())
}

/// A hash that was checked to be one, within bounds.
pub(crate) struct Hashed(PasswordHash);

impl Hashed {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let hash = PasswordHash::new(text).map_err(|error| error.to_string())?;
        if !matches!(hash.algorithm.as_str(), "argon2id" | "argon2i" | "argon2d") {
            return Err(format!("the algorithm is {}, not argon2", hash.algorithm));
        }
        if hash.salt.is_none() || hash.hash.is_none() {
            return Err("the salt or the hash is missing".into());
        }
        for (name, limit) in [("m", MAX_MEMORY_KIB), ("t", MAX_PASSES), ("p", MAX_LANES)] {
            if hash.params.get_decimal(name).is_some_and(|value| value > limit) {
                return Err(format!("parameter {name} is above {limit}"));
            }
        }
        argon2::Params::try_from(&hash).map_err(|error| error.to_string())?;
        Ok(Self(hash))
    }

    pub(crate) fn fits(&self, password: &str) -> bool {
        Argon2::default().verify_password(password.as_bytes(), &self.0).is_ok()
    }
}

/// A secret of the process under which passwords are tagged.
pub(crate) struct TagKey([u8; 32]);

/// What remains of a password: nobody without the key can check a guess against it.
pub(crate) struct Tag([u8; 32]);

impl TagKey {
    pub(crate) fn new(secret: [u8; 32]) -> Self {
        Self(secret)
    }

    pub(crate) fn tag(&self, user: &str, password: &str) -> Tag {
        Tag(self.mac(user, password).finalize().into_bytes().into())
    }

    /// Compares in constant time.
    pub(crate) fn fits(&self, tag: &Tag, user: &str, password: &str) -> bool {
        self.mac(user, password).verify((&tag.0).into()).is_ok()
    }

    /// The length of the name is part of what is tagged, so that no name and password run into one another.
    fn mac(&self, user: &str, password: &str) -> Blake2sMac256 {
        <Blake2sMac256 as KeyInit>::new(&self.0.into())
            .chain_update((user.len() as u64).to_le_bytes())
            .chain_update(user)
            .chain_update(password)
    }
}
