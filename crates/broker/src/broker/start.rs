//! What a [`super::Broker`] begins as: its ports, and the first look at who has the store.

use std::sync::Arc;
use std::time::Duration;

use ferromq_env::Clock;
use ferromq_model::{ClaimId, Epoch};
use ferromq_net::{ListenAddress, Reservation, Spread};
use ferromq_store::StoreError;

use super::{Ha, REST, State, opening};
use crate::firsts::Firsts;
use crate::lease::{AtLeast, First, LeaseView, Start};
use crate::memory::DatabaseMemory;
use crate::operator::Outlook;
use crate::reign::{Counter, Reign, Throne};
use crate::role::{self, Role};
use crate::standby::Following;
use crate::witness::Witness;
use crate::{Settings, StartError, StoreChoice, storage};

/// A start tries storage that is there and answers late again after so long, and goes on for so long.
const SLOW_START: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// What the first look came to.
pub(super) struct Begun {
    pub(super) role: Role,
    pub(super) state: State,
    pub(super) counter: Option<Counter>,
    pub(super) lease: LeaseView,
    pub(super) ha: Option<Ha>,
}

/// [`begin`] on a thread of its own: a database is waited for, and that is nothing for a thread of the runtime.
pub(super) fn begin_aside(
    settings: &Settings,
    clock: &Arc<dyn Clock>,
    urls: Vec<String>,
    lanes: &Spread,
    standby: (&AtLeast, Outlook, &Arc<DatabaseMemory>),
) -> Result<Begun, StartError> {
    let runtime = tokio::runtime::Handle::current();
    let begun = std::thread::scope(|scope| {
        let beginning = scope.spawn(|| {
            let _within = runtime.enter();
            let since = clock.now().mono;
            loop {
                match begin(settings, clock, urls.clone(), lanes, standby.clone()) {
                    Err(error)
                        if error.is_of_slow_storage() && clock.now().mono.since(since) < SLOW_START.1 =>
                    {
                        tracing::warn!(%error, "the storage answers late; it is tried again");
                        std::thread::sleep(SLOW_START.0);
                    }
                    begun => return begun,
                }
            }
        });
        beginning.join()
    });
    begun.unwrap_or_else(|_| Err(StartError::Store(StoreError::Bug("the start ended by a bug".to_owned()))))
}

fn begin(
    settings: &Settings,
    clock: &Arc<dyn Clock>,
    urls: Vec<String>,
    lanes: &Spread,
    (at_least, outlook, memory): (&AtLeast, Outlook, &Arc<DatabaseMemory>),
) -> Result<Begun, StartError> {
    let began = clock.now().mono;
    let follower = storage::follower(settings, memory)?;
    let throne = |lease: &LeaseView| Throne {
        settings,
        clock: Arc::clone(clock),
        urls,
        lease: lease.clone(),
        firsts: Firsts::of_nothing(),
        lanes: lanes.clone(),
    };
    if settings.store == StoreChoice::Memory {
        let lease = LeaseView::unlimited();
        let epoch = Epoch { number: 1, claim: ClaimId(1) };
        let (reign, counter) = Reign::begin(throne(&lease), follower, epoch)?;
        let role = Role::Active { epoch, takeover: clock.now().mono.since(began) };
        return Ok(Begun { role, state: State::Active(reign), counter: Some(counter), lease, ha: None });
    }
    let follower = storage::look(follower, settings)?;
    at_least.raise(follower.seen_epoch());
    let (mut provider, timings) = storage::lock(settings)?;
    if let Some(witness) = Witness::of(settings) {
        // Claims are ahead of what was written under them.
        let seen = provider.look().map_err(|error| storage::understood_claim(error, settings))?;
        let claimed = seen.map(|seen| seen.epoch).unwrap_or_default();
        if claimed.number < follower.seen_epoch().number {
            tracing::warn!(
                claimed = claimed.number,
                store = follower.seen_epoch().number,
                "claims are missing in {}; whoever claims goes on above the epoch of the store",
                settings.data.display()
            );
        }
        witness.check(claimed.max(follower.seen_epoch()))?;
    }
    let mut start = Start { provider, timings, clock: Arc::clone(clock), at_least: at_least.clone() };
    let first = start.first().map_err(|error| storage::understood_claim(error, settings))?;
    let won = match &first {
        First::Won { grant, asked } => Some((*grant, *asked)),
        First::Master { epoch, owner } => {
            let owner = owner.clone().unwrap_or_default();
            // In a database the name itself is locked, and in the folder behind a lock as well: whoever stands there
            // under ours was here before, and was killed.
            let named_alone = settings.store == StoreChoice::Postgres || settings.guard.is_some();
            if !named_alone && role::name_of(&owner) == settings.node_name() {
                return Err(StartError::SameName { path: settings.data.clone(), owner, epoch: epoch.number });
            }
            None
        }
    };
    let (keeper, lease, news) = start.run(won).map_err(StartError::Thread)?;
    let following = Following { open: opening(settings, memory), at_least: at_least.clone(), outlook };
    let ha = Ha { keeper, news };
    match first {
        First::Won { grant, .. } => match Reign::begin(throne(&lease), follower, grant.epoch) {
            Ok((reign, counter)) => {
                let role = Role::Active { epoch: grant.epoch, takeover: clock.now().mono.since(began) };
                Ok(Begun { role, state: State::Active(reign), counter: Some(counter), lease, ha: Some(ha) })
            }
            // Storage so slow that the claim is over, or may be: others have the first try, as after any reign that failed.
            Err(error) if error.is_passing() => {
                tracing::error!(%error, "the store could not be taken over");
                ha.keeper.release(REST.0);
                let standby = following.begin(None).map_err(StartError::Thread)?;
                let role = Role::Standby { master: None, epoch: grant.epoch };
                Ok(Begun { role, state: State::Standby(standby), counter: None, lease, ha: Some(ha) })
            }
            Err(error) => Err(error),
        },
        First::Master { epoch, owner } => {
            let standby = following.begin(Some(follower)).map_err(StartError::Thread)?;
            let master = owner.as_deref().map(|owner| role::name_of(owner).to_owned());
            let role = Role::Standby { master, epoch };
            Ok(Begun { role, state: State::Standby(standby), counter: None, lease, ha: Some(ha) })
        }
    }
}

pub(super) fn reserve(settings: &Settings) -> Result<Vec<(ListenAddress, Reservation)>, StartError> {
    let mut ports = Vec::new();
    for address in &settings.listen {
        let mut address = address.clone();
        address.maximum_connections = address.maximum_connections.min(settings.door.max_connections);
        let port = Reservation::new(address.clone())?;
        if !settings.open_to_network && !settings.asks_for_login() && !port.is_loopback() {
            return Err(StartError::OpenDoor { url: port.url() });
        }
        ports.push((address, port));
    }
    Ok(ports)
}
