//! Where random numbers come from.

/// Fills claim ids, salts and secrets.
pub trait Entropy: Send {
    /// The next 64 random bits.
    fn next_u64(&mut self) -> u64;
}

/// The operating system's generator.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()) {
            Ok(8) => u64::from_ne_bytes(bytes),
            _ => hasher_keys(),
        }
    }
}

/// For a kernel or a sandbox without `getrandom`: the standard library seeds each hasher's keys from whatever the
/// system has, and one empty hash is 64 bits of it.
fn hasher_keys() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_draws_differ() {
        let mut entropy = SystemEntropy;
        assert_ne!(entropy.next_u64(), entropy.next_u64());
        assert_ne!(hasher_keys(), hasher_keys());
    }
}
