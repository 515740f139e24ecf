//! Who are you: users, passwords and groups of a broker, checked when a client connects.
//!
//! This crate reads no file, rolls no dice and holds no password in clear text once it is built. It does not decide
//! yet who may use which destination; a [`Principal`] carries the groups by which that will be decided.
//!
//! Main types: [`Authenticator`], [`User`], [`Secret`], [`Principal`], [`Refusal`]; [`hash_password`].
//!
//! Invariants:
//! * An [`Authenticator`] with users refuses who is not one of them; only one that was built with
//!   [`Authenticator::open`] lets everybody in.
//! * Each user costs at most one argon2 verification with the right password: from then on a keyed tag of it decides,
//!   in constant time, so that thousands of reconnecting clients do not burn the processor. Wrong passwords cost one
//!   each until then, and none after it.
//! * No error and no debug text repeats a password.
//!
//! ```
//! use ferromq_auth::{Authenticator, Secret, User, hash_password};
//!
//! let hash = hash_password("s3cret", b"16 random bytes!")?;
//! let users = vec![User { name: "ann".into(), secret: Secret::Hash(hash), groups: vec!["ops".into()] }];
//! let authenticator = Authenticator::new(users, [7; 32])?;
//!
//! let ann = authenticator.authenticate(Some("ann"), Some("s3cret")).expect("the right password");
//! assert!(ann.is_in("ops"));
//!
//! let refusal = authenticator.authenticate(Some("ann"), Some("guess")).expect_err("a wrong one");
//! assert_eq!(refusal.to_string(), "User name [ann] or password is invalid.");
//! # Ok::<(), ferromq_auth::AuthError>(())
//! ```

mod authenticator;
mod error;
mod password;
mod principal;

pub use authenticator::{Authenticator, MAX_GROUPS, MAX_USERS, Secret, User};
pub use error::{AuthError, ErrorKind, Refusal};
pub use password::{MAX_PASSWORD_BYTES, hash_password};
pub use principal::{MAX_NAME_BYTES, Principal};
