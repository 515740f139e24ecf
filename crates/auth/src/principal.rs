//! A client that was let in.

/// The longest name of a user or group, in bytes.
pub const MAX_NAME_BYTES: usize = 256;

/// Who a client is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Principal {
    user: Option<String>,
    groups: Vec<String>,
}

impl Principal {
    pub(crate) fn new(user: Option<String>, groups: Vec<String>) -> Self {
        Self { user, groups }
    }

    /// The name with which the client logged in; `None` for one that gave none to an open broker.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The groups of the user, in the order of the configuration.
    #[must_use]
    pub fn groups(&self) -> &[String] {
        &self.groups
    }

    /// Whether the user is in a group.
    #[must_use]
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|own| own == group)
    }
}
