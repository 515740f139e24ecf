//! [`Guarded`]: a place of claims with another lock before it, which decides who may try.

use crate::{Acquired, Contention, Grant, LockError, LockProvider, Sighting};
use ferromq_model::Epoch;

/// Claims of a store, made only by whoever holds another lock, the guard.
///
/// The store's claims decide alone who may write: a grant carries their epoch, and nothing that is written carries another
/// one. The guard decides who may claim, and when: a node wins the guard first and then claims, and gives the guard back if
/// that fails. It is the master only as long as both are renewed.
///
/// A silent holder stops renewing both, so both silences are waited for at the same time, and the store's holder is
/// superseded as soon as the guard's is. That the old holder is only paused harms nothing: the store's epoch fences it. A
/// holder of the store that renews is never superseded by who merely holds the guard: it has another guard, or none, and
/// [`LockProvider::oddity`] says so.
pub struct Guarded {
    guard: Box<dyn LockProvider>,
    claims: Box<dyn LockProvider>,
    /// What the guard granted, and the epoch that was won with it.
    held: Option<(Grant, Epoch)>,
    odd: Option<String>,
}

impl Guarded {
    /// `claims`, made by whoever holds `guard`. Both have the times of the same [`crate::Timings`].
    pub fn new(guard: Box<dyn LockProvider>, claims: Box<dyn LockProvider>) -> Self {
        Self { guard, claims, held: None, odd: None }
    }

    /// Somebody else was faster, or lives: who.
    fn held_by_another(&mut self) -> Result<Acquired, LockError> {
        match self.look()? {
            Some(seen) => Ok(Acquired::Held(seen)),
            None => Err(LockError::Bug("a guard that refuses is held by nobody".to_owned())),
        }
    }
}

/// What went wrong with the guard; who is told of it has the store's place in mind.
fn of_guard(error: LockError) -> LockError {
    match error {
        LockError::Io { .. } => LockError::Guard(Box::new(error)),
        other => other,
    }
}

fn is_free(seen: Option<&Sighting>) -> bool {
    seen.is_none_or(|seen| seen.released || seen.died)
}

/// Both at one moment, as the one that a watch judges: it is silent if both are, and free if both are.
fn both(guard: Option<Sighting>, claims: Option<Sighting>) -> Option<Sighting> {
    let free = is_free(guard.as_ref()) && is_free(claims.as_ref());
    let let_go = |seen: Option<&Sighting>| seen.is_none_or(|seen| seen.released);
    let released = free && let_go(guard.as_ref()) && let_go(claims.as_ref());
    // Another holder of the guard is another number, whatever it counts.
    let beat = |seen: Option<&Sighting>| seen.map_or(0, |seen| seen.beat);
    let term = guard.as_ref().map_or(0, |guard| guard.epoch.number) << 32;
    let beat = term.wrapping_add(beat(guard.as_ref())).wrapping_add(beat(claims.as_ref()));
    let epoch = claims.as_ref().map_or(Epoch::default(), |claims| claims.epoch);
    let holder = if is_free(guard.as_ref()) { claims.or(guard)? } else { guard? };
    Some(Sighting { epoch, owner: holder.owner, beat, released, died: free && !released })
}

/// Why the holder of the one is not that of the other.
fn odd(guard: Option<&Sighting>, claims: Option<&Sighting>) -> Option<String> {
    let name = |seen: Option<&Sighting>| seen.and_then(|seen| seen.owner.clone()).unwrap_or_default();
    let (guarded, claimed) = (name(guard), name(claims));
    if is_free(guard) && is_free(claims) || guarded == claimed && !is_free(guard) {
        return None;
    }
    Some(if is_free(guard) {
        format!(
            "the store is held by {claimed}, and the lock before it by nobody: does that node use the same lock?"
        )
    } else if is_free(claims) {
        format!(
            "the lock before the store is held by {guarded}, and the store by nobody: is that a node of the same store?"
        )
    } else {
        format!(
            "the lock before the store is held by {guarded}, and the store by {claimed}: give all nodes of a store the \
             same lock, and each store a lock of its own"
        )
    })
}

impl LockProvider for Guarded {
    fn look(&mut self) -> Result<Option<Sighting>, LockError> {
        let guard = self.guard.look().map_err(of_guard)?;
        let claims = self.claims.look()?;
        self.odd = odd(guard.as_ref(), claims.as_ref());
        Ok(both(guard, claims))
    }

    fn try_acquire(&mut self, at_least: Epoch, why: Contention) -> Result<Acquired, LockError> {
        self.held = None;
        let Acquired::Granted(guard) = self.guard.try_acquire(at_least, why).map_err(of_guard)? else {
            return self.held_by_another();
        };
        let claimed = self.claims.try_acquire(at_least, why);
        if let Ok(Acquired::Granted(grant)) = claimed {
            self.held = Some((guard, grant.epoch));
            return Ok(Acquired::Granted(Grant { lasts: grant.lasts.min(guard.lasts), ..grant }));
        }
        // Others may try. That it could not be given back is the lesser of two errors, and ends with the lease.
        let returned = self.guard.release(guard).map_err(of_guard);
        let held = claimed?;
        returned.map(|()| held)
    }

    fn renew(&mut self, grant: &Grant) -> Result<Grant, LockError> {
        let Some((guard, _)) = self.held.filter(|(_, epoch)| *epoch == grant.epoch) else {
            return Err(LockError::Bug(format!("epoch {} is not held here", grant.epoch)));
        };
        // The guard first: whoever can't renew it shows no sign of life in the store either.
        let guard = match self.guard.renew(&guard) {
            Ok(guard) => guard,
            Err(LockError::Superseded { place, theirs, .. }) => {
                // Told in epochs of the store, if the new holder has one already, and the store can be read: the loss is
                // certain even if it can't.
                let claimed = self.claims.look().ok().flatten().map(|seen| seen.epoch);
                let theirs = claimed.filter(|epoch| *epoch > grant.epoch).unwrap_or(theirs);
                return Err(LockError::Superseded { place, ours: grant.epoch, theirs });
            }
            Err(error) => return Err(of_guard(error)),
        };
        self.held = Some((guard, grant.epoch));
        let renewed = self.claims.renew(grant)?;
        Ok(Grant { lasts: renewed.lasts.min(guard.lasts), ..renewed })
    }

    fn release(&mut self, grant: Grant) -> Result<(), LockError> {
        let Some((guard, _)) = self.held.take_if(|(_, epoch)| *epoch == grant.epoch) else {
            return Ok(());
        };
        // Whoever wins the guard finds the store free.
        let released = self.claims.release(grant);
        self.guard.release(guard).map_err(of_guard)?;
        released
    }

    fn oddity(&self) -> Option<&str> {
        self.odd.as_deref()
    }
}

#[cfg(test)]
mod tests;
