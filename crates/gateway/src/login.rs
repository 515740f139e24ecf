//! Who may come in: [`Login`] decides, at once or, if that takes long, as a [`LoginQuestion`] on another thread.

use std::fmt;
use std::sync::Arc;

/// What a peer shows at the door.
#[derive(Clone, Copy)]
pub struct Credentials<'a> {
    /// The user name, if one was given.
    pub user: Option<&'a str>,
    /// The password, if one was given.
    pub password: Option<&'a str>,
    /// Where the peer comes from.
    pub remote: &'a str,
}

impl fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("user", &self.user)
            .field("remote", &self.remote)
            .finish_non_exhaustive()
    }
}

/// A login that failed; the peer learns no more than this text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginRefused {
    /// In words, for the peer.
    pub text: String,
}

impl LoginRefused {
    /// The words ActiveMQ has for a wrong name or password.
    pub fn wrong_credentials(user: Option<&str>) -> Self {
        Self { text: format!("User name [{}] or password is invalid.", user.unwrap_or("null")) }
    }
}

/// Decides who may come in.
pub trait Login: fmt::Debug + Send + Sync {
    /// Lets the peer in or not if that is soon decided; `None` if it takes long and is to be asked outside of the
    /// threads that serve connections ([`LoginQuestion`]).
    fn quick(&self, credentials: Credentials<'_>) -> Option<Result<(), LoginRefused>> {
        Some(self.authenticate(credentials))
    }

    /// Lets the peer in or not.
    ///
    /// # Errors
    /// [`LoginRefused`] with the text for the peer.
    fn authenticate(&self, credentials: Credentials<'_>) -> Result<(), LoginRefused>;
}

impl Login for ferromq_auth::Authenticator {
    fn quick(&self, credentials: Credentials<'_>) -> Option<Result<(), LoginRefused>> {
        let long = self.takes_long(credentials.user, credentials.password);
        (!long).then(|| Login::authenticate(self, credentials))
    }

    fn authenticate(&self, credentials: Credentials<'_>) -> Result<(), LoginRefused> {
        match Self::authenticate(self, credentials.user, credentials.password) {
            Ok(_) => Ok(()),
            Err(refusal) => Err(LoginRefused { text: refusal.to_string() }),
        }
    }
}

/// Lets everybody in: a broker without logins.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenDoor;

impl Login for OpenDoor {
    fn authenticate(&self, _: Credentials<'_>) -> Result<(), LoginRefused> {
        Ok(())
    }
}

/// A login that takes long to decide: argon2 costs tens of milliseconds and megabytes by design.
pub struct LoginQuestion {
    login: Arc<dyn Login>,
    user: Option<String>,
    password: Option<String>,
    remote: String,
}

impl LoginQuestion {
    /// Remembers who is asked what.
    pub(crate) fn new(login: Arc<dyn Login>, credentials: Credentials<'_>) -> Self {
        Self {
            login,
            user: credentials.user.map(str::to_owned),
            password: credentials.password.map(str::to_owned),
            remote: credentials.remote.to_owned(),
        }
    }

    /// Decides, and blocks meanwhile; the answer is for [`crate::Session::login_decided`].
    ///
    /// # Errors
    /// [`LoginRefused`] with the text for the peer.
    pub fn decide(&self) -> Result<(), LoginRefused> {
        self.login.authenticate(Credentials {
            user: self.user.as_deref(),
            password: self.password.as_deref(),
            remote: &self.remote,
        })
    }
}

impl fmt::Debug for LoginQuestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginQuestion").field("user", &self.user).finish_non_exhaustive()
    }
}
