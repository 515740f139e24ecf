//! [`Role`]: what a broker is at the moment.

use std::fmt;
use std::time::Duration;

use ferromq_model::Epoch;

/// What a broker is at the moment; as text, what the program prints after `role `.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Role {
    /// Follows a master, and serves nobody.
    Standby {
        /// Who is master, as far as it is known.
        master: Option<String>,
        /// The master's epoch.
        epoch: Epoch,
    },
    /// Serves.
    Active {
        /// What everything that it writes carries.
        epoch: Epoch,
        /// From the moment at which the master before was first missed, or from the start, to being ready to serve.
        takeover: Duration,
    },
}

impl Role {
    /// Of the present reign, as far as it is known.
    pub(crate) const fn epoch(&self) -> Epoch {
        match self {
            Self::Standby { epoch, .. } | Self::Active { epoch, .. } => *epoch,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Standby { master, epoch } => {
                let master = master.as_deref().unwrap_or("unknown");
                write!(f, "standby (master: {master}, epoch {})", epoch.number)
            }
            Self::Active { epoch, takeover } => {
                write!(f, "active (epoch {}, takeover {} ms)", epoch.number, takeover.as_millis())
            }
        }
    }
}

/// How a broker signs its claims.
pub(crate) fn owner(name: &str) -> String {
    format!("broker {name}, process {}", std::process::id())
}

/// The name in a signature.
pub(crate) fn name_of(owner: &str) -> &str {
    let named = owner.strip_prefix("broker ").unwrap_or(owner);
    named.rsplit_once(", process ").map_or(named, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use ferromq_model::ClaimId;

    use super::*;

    #[test]
    fn a_role_reads_as_a_line() {
        let epoch = Epoch { number: 8, claim: ClaimId(1) };
        let takeover = Duration::from_millis(143);
        assert_eq!(Role::Active { epoch, takeover }.to_string(), "active (epoch 8, takeover 143 ms)");
        let standby = Role::Standby { master: Some("a".to_owned()), epoch };
        assert_eq!(standby.to_string(), "standby (master: a, epoch 8)");
    }

    #[test]
    fn a_signature_names_its_broker() {
        assert_eq!(name_of(&owner("node-1")), "node-1");
        assert_eq!(name_of("somebody"), "somebody");
    }
}
