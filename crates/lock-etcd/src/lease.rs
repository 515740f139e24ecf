//! [`EtcdLock`].

use std::io;
use std::time::Duration;

use ferromq_env::{Entropy, SystemEntropy};
use ferromq_lock::{Acquired, Contention, Grant, LockError, LockProvider, Sighting, Timings};
use ferromq_model::{ClaimId, Epoch};
use tonic::Status;

use crate::Target;
use crate::keys::{Claim, Keys, Seen};
use crate::session::{Calls, Session};

/// Claims under a prefix of an etcd that all share.
pub struct EtcdLock {
    target: Target,
    /// The member that is asked next.
    next: usize,
    keys: Keys,
    place: String,
    node: String,
    owner: String,
    timings: Timings,
    entropy: Box<dyn Entropy>,
    session: Option<Session>,
    /// What the last look showed: a claim supersedes nobody else.
    seen: Option<Seen>,
    /// etcd's lease, which may serve several claims.
    lease: Option<i64>,
    held: Option<Held>,
    /// The last claim of ours, won or in doubt: a late renewal of it is no sign of a twin.
    tried: Option<Epoch>,
}

struct Held {
    epoch: Epoch,
    /// At which `claim` was written.
    revision: i64,
    beat: u64,
}

impl EtcdLock {
    /// A provider under `prefix`, for the node of that name, which no other may have. Nothing is connected yet.
    ///
    /// # Errors
    /// The prefix is empty or longer than 256 bytes, or the times contradict each other.
    pub fn new(target: Target, prefix: &str, node: &str, timings: Timings) -> Result<Self, LockError> {
        timings.check()?;
        let prefix = prefix.trim_end_matches('/');
        let place = format!("{}, prefix {prefix}", target.shown());
        if prefix.is_empty() || prefix.len() > 256 {
            let source = io::Error::new(io::ErrorKind::InvalidInput, "a prefix has 1 to 256 bytes");
            return Err(LockError::Io { action: "use", path: place, source });
        }
        Ok(Self {
            keys: Keys::under(prefix),
            target,
            next: 0,
            place,
            node: node.to_owned(),
            owner: node.to_owned(),
            timings,
            entropy: Box::new(SystemEntropy),
            session: None,
            seen: None,
            lease: None,
            held: None,
            tried: None,
        })
    }

    /// What others read about this node when it holds the lease; its name if nothing is said.
    #[must_use]
    pub fn signed(mut self, owner: String) -> Self {
        self.owner = owner;
        self
    }

    /// As long as a renewal may take: a holder has to have a try left before its lease ends.
    fn renewal_within(&self) -> Duration {
        self.timings.lease / 2
    }

    /// As long as anything else may take. Whoever looks judges by its own clock, so a slow answer is only late.
    fn within(&self) -> Duration {
        self.timings.lease.max(Duration::from_secs(2))
    }

    /// etcd's leases are of whole seconds. Not before a standby would claim over the silence, with all its caution about
    /// clocks, may `alive` be missing.
    fn seconds(&self) -> i64 {
        i64::try_from(self.timings.silence.as_millis().div_ceil(1_000)).unwrap_or(i64::MAX)
    }

    fn failed(&self, action: &'static str, reason: String) -> LockError {
        LockError::Io { action, path: self.place.clone(), source: io::Error::other(reason) }
    }

    /// Asks a member. One that failed is left for the next one.
    fn run<T>(
        &mut self,
        action: &'static str,
        within: Duration,
        ask: impl AsyncFnOnce(Calls) -> Result<T, Status>,
    ) -> Result<T, LockError> {
        let (session, within) = match self.session.take() {
            Some(session) => (session, within),
            None => {
                let members = &self.target.members;
                let member = members.get(self.next % members.len().max(1)).map_or("", String::as_str);
                // Half of the time; the question is to have the other half.
                match Session::open(&self.target, member, within / 2) {
                    Ok(session) => (session, within / 2),
                    Err(reason) => {
                        self.next = self.next.wrapping_add(1);
                        return Err(self.failed("connect to", reason));
                    }
                }
            }
        };
        match session.run(within, ask) {
            Ok(answer) => {
                self.session = Some(session);
                Ok(answer)
            }
            Err(reason) => {
                self.next = self.next.wrapping_add(1);
                Err(self.failed(action, reason))
            }
        }
    }

    fn read(&mut self) -> Result<Seen, LockError> {
        let look = self.keys.look();
        let answer = self.run("ask", self.within(), async |calls| calls.txn(look).await)?;
        self.keys.seen(&answer).map_err(|reason| self.failed("use", reason))
    }

    fn sighting(&self, claim: &Claim, beat: Option<u64>) -> Sighting {
        let ours = self.held.as_ref().is_some_and(|held| held.epoch == claim.epoch);
        Sighting {
            epoch: claim.epoch,
            owner: Some(claim.owner.clone()),
            beat: beat.unwrap_or(0),
            released: claim.released,
            died: beat.is_none() && !ours,
        }
    }

    /// A node of our name that is not us, and whose heart beats: an earlier run of ours would be silent.
    fn refuse_twin(&self, now: &Seen) -> Result<(), LockError> {
        let (Some(before), Some(claim)) = (&self.seen, &now.claim) else { return Ok(()) };
        let ours = self.tried == Some(claim.epoch);
        let beats = before.epoch() == claim.epoch && before.beat < now.beat;
        if claim.node == self.node && !ours && beats {
            return Err(LockError::NameTaken { place: self.place.clone(), name: self.node.clone() });
        }
        Ok(())
    }

    fn lasts(&self, seconds: i64) -> Duration {
        self.timings.lease.min(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
    }
}

/// A lease that has its full time from now on: the one of before, or a new one.
async fn lease(calls: &Calls, kept: Option<i64>, seconds: i64) -> Result<(i64, i64), Status> {
    if let Some(lease) = kept {
        let left = calls.keep_alive(lease).await?;
        if left > 0 {
            return Ok((lease, left));
        }
    }
    calls.grant(seconds).await
}

impl LockProvider for EtcdLock {
    fn look(&mut self) -> Result<Option<Sighting>, LockError> {
        let now = self.read()?;
        let sighting = now.claim.as_ref().map(|claim| self.sighting(claim, now.beat));
        let refused = self.refuse_twin(&now);
        // One late beat of a run of ours that was killed is one refusal.
        self.seen = Some(now);
        refused.map(|()| sighting)
    }

    fn try_acquire(&mut self, at_least: Epoch, why: Contention) -> Result<Acquired, LockError> {
        self.held = None;
        let current = self.read()?;
        self.refuse_twin(&current)?;
        if let Some(claim) = &current.claim {
            let sighting = self.sighting(claim, current.beat);
            // The silence was that of the holder that was looked at. Of another one nothing is known.
            let same = self.seen.as_ref().is_none_or(|seen| seen.epoch() == claim.epoch);
            let silent = why == Contention::OverSilence && same;
            if !sighting.released && !sighting.died && !silent {
                return Ok(Acquired::Held(sighting));
            }
        }
        let (kept, seconds) = (self.lease, self.seconds());
        let (lease, seconds) =
            self.run("ask for a lease of", self.within(), async |calls| lease(&calls, kept, seconds).await)?;
        self.lease = Some(lease);
        let number = at_least.number.max(current.epoch().number).saturating_add(1);
        let epoch = Epoch { number, claim: ClaimId(self.entropy.next_u64()) };
        self.tried = Some(epoch);
        let over_the_living = why == Contention::OverSilence;
        let claim = self.keys.claim(&current, over_the_living, epoch, (&self.node, &self.owner), lease);
        let answer = self.run("claim the lease of", self.within(), async |calls| calls.txn(claim).await)?;
        if answer.succeeded {
            let revision = answer.header.map_or(0, |header| header.revision);
            self.held = Some(Held { epoch, revision, beat: 1 });
            return Ok(Acquired::Granted(Grant { epoch, lasts: self.lasts(seconds) }));
        }
        match self.look()? {
            Some(sighting) => Ok(Acquired::Held(sighting)),
            None => Err(LockError::Bug("the claim vanished".to_owned())),
        }
    }

    fn renew(&mut self, grant: &Grant) -> Result<Grant, LockError> {
        let (kept, seconds) = (self.lease, self.seconds());
        let Some(held) = self.held.as_mut().filter(|held| held.epoch == grant.epoch) else {
            return Err(LockError::Bug(format!("epoch {} is not held here", grant.epoch)));
        };
        held.beat += 1;
        let (keys, revision, beat) = (self.keys.clone(), held.revision, held.beat);
        let (lease, seconds, answer) =
            self.run("renew the lease of", self.renewal_within(), async |calls| {
                let (lease, seconds) = lease(&calls, kept, seconds).await?;
                let answer = calls.txn(keys.renew(revision, grant.epoch, beat, lease)).await?;
                Ok((lease, seconds, answer))
            })?;
        self.lease = Some(lease);
        if answer.succeeded {
            return Ok(Grant { epoch: grant.epoch, lasts: self.lasts(seconds) });
        }
        let theirs = self.keys.seen(&answer).map_err(|reason| self.failed("use", reason))?.epoch();
        Err(LockError::Superseded { place: self.place.clone(), ours: grant.epoch, theirs })
    }

    fn release(&mut self, grant: Grant) -> Result<(), LockError> {
        let Some(held) = self.held.take_if(|held| held.epoch == grant.epoch) else { return Ok(()) };
        let release = self.keys.release(held.revision, held.epoch, (&self.node, &self.owner));
        self.run("release the lease of", self.within(), async |calls| calls.txn(release).await).map(drop)
    }
}
