//! A lock provider in etcd: an epoch won in one transaction, a lease that etcd grants and the holder's own clock gives up.
//!
//! Two keys stand under a prefix. `claim` says who claimed last and under which epoch; a transaction moves it on
//! from exactly the revision that the claimant saw. `alive` carries the heartbeat and ends with etcd's lease: a
//! standby takes over when it is gone, or when the heartbeat has stood still on the standby's own clock, whichever comes
//! first. The holder's turn ends on its own monotonic clock, counted from before it asked, always before either.
//!
//! It makes nothing safe by itself: what the leader writes must carry the epoch, and be refused once a higher one is there.
//! And a name can't be locked here without writing something; two nodes of one name are told apart when one of them holds
//! the claim and the other sees its heart beat.
//!
//! * [`EtcdLock`]: the provider; blocking, on a runtime of its own within the calling thread.
//! * [`Target`]: where etcd is, and who asks.
//!
//! Invariants:
//! * An epoch is won by one transaction, above everything that `claim` and the caller have seen.
//! * A claim over silence supersedes only the holder that the claimant saw last.
//! * A renewal ends within half a lease, and any other call within two seconds or a lease, whatever etcd or the network
//!   does; no password is in any text.
//! * To look changes no key.
//!
//! ```no_run
//! use ferromq_lock::{LockProvider, Timings};
//! use ferromq_lock_etcd::{EtcdLock, Target};
//!
//! let target = Target::parse("http://127.0.0.1:2379")?;
//! let mut lock = EtcdLock::new(target, "jobs/leader", "node-a", Timings::default())?;
//! match lock.look()? {
//!     Some(seen) => println!("epoch {} belongs to {:?}", seen.epoch.number, seen.owner),
//!     None => println!("nobody ever claimed it"),
//! }
//! # Ok::<(), ferromq_lock::LockError>(())
//! ```

mod keys;
mod lease;
mod session;
mod target;
#[cfg(test)]
mod tests;

pub use lease::EtcdLock;
pub use target::Target;

/// `etcdserverpb`, see `proto/etcd.proto`.
#[allow(missing_docs, reason = "generated; the documentation stands in the protobuf")]
#[allow(clippy::all, dead_code, reason = "generated")]
mod proto {
    tonic::include_proto!("etcdserverpb");
}

/// The example of the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
