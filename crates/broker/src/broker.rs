//! [`Broker`]: ports that stay open, and what is behind them by its role.

use std::sync::Arc;
use std::time::Duration;

use ferromq_admin::{Command, Door};
use ferromq_env::{Clock, SystemClock};
use ferromq_lock::Grant;
use ferromq_model::Instant;
use ferromq_net::{Census, Lanes, Listener, Plug, drain};
use ferromq_store::Follower;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

use crate::claiming::{Begun as Takeover, Claiming};
use crate::desk::Desk;
use crate::lease::{AtLeast, Keeper, LeaseView, News};
use crate::memory::DatabaseMemory;
use crate::operator::OperatorSide;
use crate::reign::{Reign, Throne};
use crate::role::{self, Role};
use crate::standby::{Following, Standby, is_hopeless};
use crate::witness::Witness;
use crate::{Broken, Settings, StartError, StoreChoice, storage};

mod orders;
mod start;

use start::{Begun, begin_aside, reserve};

/// After a reign that failed, others have the first try for so long; doubled while reigns fail at once.
const REST: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// A reign that lasted so long did not fail at once.
const LASTING: Duration = Duration::from_secs(60);
/// What was seen of a database is written down so often.
const REMEMBER_EVERY: Duration = Duration::from_millis(500);
/// What hangs in a storage is waited for no longer than this, or than a lease that is still held.
const HANGING: Duration = Duration::from_secs(5);
/// A thread that could not be had is asked for again after so long.
const BLIND: Duration = Duration::from_secs(1);
/// Threads of connections: they need little but a wake-up, and two keep two cores of a small machine busy beside the
/// engine's.
const LANES: usize = 2;
/// Connections are held no longer than this for a master that does not come.
const HOLD: Duration = Duration::from_secs(10);

/// A running broker, master or standby.
pub struct Broker {
    settings: Settings,
    clock: Arc<dyn Clock>,
    urls: Vec<String>,
    door: Plug,
    census: Arc<Census>,
    listeners: JoinSet<()>,
    desk: Arc<Desk>,
    lanes: Lanes,
    lease: LeaseView,
    at_least: AtLeast,
    role: Role,
    state: State,
    /// None for a store that nobody else can reach.
    ha: Option<Ha>,
    rest: Duration,
    began: Instant,
    operator: OperatorSide,
    /// None where nothing is remembered.
    witness: Option<Witness>,
    memory: Arc<DatabaseMemory>,
    /// The present writing of what is remembered, and when to look for more.
    saving: Option<JoinHandle<()>>,
    save_at: tokio::time::Instant,
}

struct Ha {
    keeper: Keeper,
    news: mpsc::Receiver<News>,
}

enum State {
    Standby(Standby),
    Claiming(Claiming),
    Active(Reign),
    /// There was no thread to follow with; it is tried again. Between two states as well.
    Blind,
}

/// What [`Broker::serve`] waits for.
enum Event {
    Stop(&'static str),
    News(News),
    Failed(crate::failure::Reported),
    /// The store is not what it was: neither to be followed nor to be taken over.
    Hopeless(String),
    /// What came of a takeover.
    Begun(Box<Takeover>),
    FollowAgain,
    HeldLongEnough,
    LeaseOver,
    Remember,
    Command(Command),
}

impl Broker {
    /// Starts everything: as the master if nobody holds the store, else as a standby. Clients of a master are served
    /// when it returns. To be called within a tokio runtime.
    ///
    /// # Errors
    /// A port, folder or store can't be had, or a broker of the same name holds the store; nothing was started then.
    pub fn start(settings: Settings) -> Result<Self, StartError> {
        let settings = settings.measured();
        let ports = reserve(&settings)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let began = clock.now().mono;
        let at_least = AtLeast::default();
        let memory = Arc::new(DatabaseMemory::of_this_machine());
        let desk = Arc::new(Desk::new());
        let census = Arc::new(Census::default());
        let listening: Vec<String> = ports.iter().map(|(_, port)| port.url()).collect();
        let operator = OperatorSide::new(&settings, &listening, &census);
        let lanes = Lanes::start(LANES).map_err(StartError::Thread)?;
        let standby = (&at_least, operator.outlook(), &memory);
        let begun = begin_aside(&settings, &clock, listening, &lanes.spread(), standby)?;
        let Begun { role, state, counter, lease, ha } = begun;
        match counter {
            Some(counter) => desk.serve(counter),
            None => desk.refuse(),
        }

        let (door, closing) = drain();
        let mut listeners = JoinSet::new();
        let mut urls = Vec::new();
        for (index, (_, port)) in ports.into_iter().enumerate() {
            let listener: Listener = port.open()?;
            urls.push(listener.url().to_owned());
            let desk = Arc::clone(&desk);
            listeners.spawn(listener.accept_until(
                closing.clone(),
                Arc::clone(&census),
                move |stream, peer, seat| desk.welcome(index, stream, peer, seat),
            ));
        }
        operator.tell_role(&role);
        let witness = Witness::of(&settings);
        if let Some(witness) = &witness {
            witness.note(role.epoch());
        }
        if let State::Active(reign) = &state {
            operator.measure(reign.metrics());
            operator.link(Some(reign.links_view()));
        }
        if let Some(id) = storage::id(&settings, &memory) {
            operator.tell(|view| view.store = format!("{}, id {id}", view.store));
        }
        Ok(Self {
            settings,
            clock,
            urls,
            door,
            census,
            listeners,
            desk,
            lanes,
            lease,
            at_least,
            role,
            state,
            ha,
            rest: REST.0,
            began,
            operator,
            witness,
            memory,
            saving: None,
            save_at: tokio::time::Instant::now(),
        })
    }

    /// Where it listens, one for each listener, with the ports that were picked.
    pub fn urls(&self) -> &[String] {
        &self.urls
    }

    /// The way in for operators: what this broker is, and what they may ask of it. Without a token.
    pub fn door(&self) -> Door {
        self.operator.door()
    }

    /// How far its links to other brokers are; none while it is not the master.
    pub fn links(&self) -> Vec<ferromq_bridge::LinkStatus> {
        match &self.state {
            State::Active(reign) => reign.links(),
            _ => Vec::new(),
        }
    }

    /// What it is now.
    pub const fn role(&self) -> &Role {
        &self.role
    }

    /// Serves, and follows, until somebody says stop (the reason is for the log), then ends in order: nothing new
    /// begins, what is in flight ends within its time, the store is synced and closed, the role is given up last. Who
    /// says stop again does not want to wait for connections. `announce` hears of each new role.
    ///
    /// # Errors
    /// The broker could not go on, or could not close its store; what was acknowledged is safe even so.
    pub async fn serve(
        mut self,
        mut stop: mpsc::Receiver<&'static str>,
        mut announce: impl FnMut(&Role),
    ) -> Result<(), Broken> {
        let mut held_since: Option<tokio::time::Instant> = None;
        let outcome = loop {
            match self.next(&mut stop, held_since).await {
                Event::Stop(reason) => {
                    tracing::info!(reason, connections = self.census.present(), "stopping");
                    break Ok(());
                }
                Event::HeldLongEnough => {
                    self.desk.refuse();
                    held_since = None;
                }
                Event::Failed(reported) if reported.bug || self.ha.is_none() => {
                    break Err(reported.into());
                }
                Event::Failed(reported) => {
                    tracing::error!(reason = reported.reason, "stepping down");
                    self.step_down(true, &mut announce);
                }
                Event::Hopeless(reason) => break Err(Broken::Storage(reason)),
                Event::LeaseOver => {
                    tracing::error!(
                        "the lease ran out while its renewal hangs in the storage; stepping down"
                    );
                    self.step_down(true, &mut announce);
                }
                Event::News(News::Lost(reason)) => {
                    tracing::error!(reason, "stepping down");
                    self.step_down(false, &mut announce);
                }
                Event::News(News::Master { epoch, owner }) => {
                    if !matches!(self.state, State::Active(_)) {
                        let master = owner.as_deref().map(|owner| role::name_of(owner).to_owned());
                        self.desk.refuse();
                        held_since = None;
                        self.become_role(Role::Standby { master, epoch }, &mut announce);
                    }
                }
                Event::News(News::Suspected) => {
                    self.desk.hold();
                    self.operator.tell(|view| view.suspects = true);
                    held_since = Some(tokio::time::Instant::now());
                    tracing::info!("the master is silent or gone");
                }
                Event::Remember => self.remember(),
                Event::Command(command) => self.obey(command, &mut announce).await,
                Event::News(News::Cleared) => {
                    self.operator.tell(|view| view.suspects = false);
                    self.desk.refuse();
                    held_since = None;
                }
                Event::News(News::Won { grant, since }) => {
                    held_since.get_or_insert_with(tokio::time::Instant::now);
                    self.desk.hold();
                    self.operator.tell(|view| view.enter(ferromq_admin::Role::Claiming));
                    self.take_over(grant, since);
                }
                Event::Begun(begun) => {
                    held_since = None;
                    match self.reign(*begun) {
                        Ok(Some(role)) => self.become_role(role, &mut announce),
                        Ok(None) => {}
                        Err(StartError::Store(error)) if is_hopeless(&error) => {
                            break Err(Broken::Storage(error.to_string()));
                        }
                        Err(error) => {
                            tracing::error!(%error, "the store could not be taken over");
                            self.operator.tell_role(&self.role);
                            self.desk.refuse();
                            self.give_up();
                        }
                    }
                }
                Event::FollowAgain => self.follow(),
            }
        };
        let patience = if outcome.is_ok() { self.settings.drain } else { Duration::ZERO };
        let closed = self.end(patience, stop).await;
        outcome.and(closed)
    }

    fn become_role(&mut self, role: Role, announce: &mut impl FnMut(&Role)) {
        if role != self.role {
            tracing::info!("role {role}");
            // Whoever hears of it may ask at once.
            self.operator.tell_role(&role);
            announce(&role);
            if let Some(witness) = self.witness.clone() {
                // The folder may be one that answers late.
                let epoch = role.epoch();
                tokio::task::spawn_blocking(move || witness.note(epoch));
            }
            self.role = role;
        }
    }

    async fn next(
        &mut self,
        stop: &mut mpsc::Receiver<&'static str>,
        held_since: Option<tokio::time::Instant>,
    ) -> Event {
        let mortal = self.ha.is_some() && matches!(self.state, State::Active(_));
        let came_to = async {
            match &mut self.state {
                State::Active(reign) => Event::Failed(reign.failed().await),
                State::Claiming(claiming) => Event::Begun(Box::new(claiming.begun().await)),
                State::Standby(standby) => Event::Hopeless(standby.hopeless().await),
                State::Blind => {
                    tokio::time::sleep(BLIND).await;
                    Event::FollowAgain
                }
            }
        };
        let news = async {
            match &mut self.ha {
                Some(ha) => match ha.news.recv().await {
                    Some(news) => news,
                    None => std::future::pending().await,
                },
                None => std::future::pending().await,
            }
        };
        let held = async {
            match held_since {
                Some(since) => tokio::time::sleep_until(since + HOLD).await,
                None => std::future::pending().await,
            }
        };
        // The lease's own thread may hang in the storage, and could not tell.
        let lease_over = async {
            if !mortal {
                return std::future::pending().await;
            }
            self.lease.over(&*self.clock).await;
        };
        let (save_at, remembers) = (self.save_at, self.settings.store == StoreChoice::Postgres);
        tokio::select! {
            reason = stop.recv() => Event::Stop(reason.unwrap_or("nobody can stop it any longer")),
            event = came_to => event,
            news = news => Event::News(news),
            () = held => Event::HeldLongEnough,
            () = lease_over => Event::LeaseOver,
            command = self.operator.command() => Event::Command(command),
            () = tokio::time::sleep_until(save_at), if remembers => Event::Remember,
        }
    }

    /// Writes down what was seen of a database, on a thread that may wait for its disk; one at a time.
    fn remember(&mut self) {
        self.save_at = tokio::time::Instant::now() + REMEMBER_EVERY;
        if self.saving.as_ref().is_none_or(JoinHandle::is_finished) && self.memory.is_behind() {
            let memory = Arc::clone(&self.memory);
            self.saving = Some(tokio::task::spawn_blocking(move || memory.save()));
        }
    }

    /// From standby to master, on a thread: disks are waited for where waiting is no harm.
    fn take_over(&mut self, grant: Grant, since: Instant) {
        let claimed = self.clock.now().mono.since(since);
        let standby = match std::mem::replace(&mut self.state, State::Blind) {
            State::Standby(standby) => Some(standby),
            State::Claiming(claiming) => {
                claiming.forsake();
                None
            }
            _ => None,
        };
        let (settings, clock, lease) = (self.settings.clone(), Arc::clone(&self.clock), self.lease.clone());
        let memory = Arc::clone(&self.memory);
        let urls = self.urls.clone();
        let firsts = self.operator.firsts(grant.epoch, since);
        let lanes = self.lanes.spread();
        self.state = State::Claiming(Claiming::begin(grant, since, claimed, move || {
            let follower = standby.and_then(Standby::stop);
            let follower = follower.map_or_else(|| storage::follower(&settings, &memory), Ok)?;
            let throne = Throne { settings: &settings, clock, urls, lease, firsts, lanes };
            Reign::begin(throne, follower, grant.epoch)
        }));
    }

    /// Serves, if a takeover came to that.
    fn reign(&mut self, begun: Takeover) -> Result<Option<Role>, StartError> {
        let State::Claiming(claiming) = std::mem::replace(&mut self.state, State::Blind) else {
            return Ok(None);
        };
        let (reign, counter) = begun?;
        let epoch = claiming.grant.epoch;
        self.operator.measure(reign.metrics());
        self.operator.link(Some(reign.links_view()));
        self.state = State::Active(reign);
        self.began = self.clock.now().mono;
        let takeover = self.began.since(claiming.since);
        self.operator.took_over(epoch, claiming.claimed, takeover);
        self.desk.serve(counter);
        Ok(Some(Role::Active { epoch, takeover }))
    }

    /// From master to standby: connections are closed, nothing more is delivered or written.
    fn step_down(&mut self, release: bool, announce: &mut impl FnMut(&Role)) {
        self.desk.refuse();
        self.operator.link(None);
        match std::mem::replace(&mut self.state, State::Blind) {
            State::Active(reign) => {
                reign.abandon();
                self.operator.stepped_down();
            }
            State::Claiming(claiming) => {
                claiming.forsake();
                self.operator.tell_role(&self.role);
            }
            State::Standby(_) | State::Blind => {}
        }
        if let Role::Active { epoch, .. } = self.role {
            // Who is the master now is told as soon as it is known.
            self.become_role(Role::Standby { master: None, epoch }, announce);
        }
        if release {
            self.give_up();
        } else {
            self.follow();
        }
    }

    /// Waits until the lease is over, and what hangs in the storage has had some time after that.
    fn hangs(&self) -> impl Future<Output = ()> + use<> {
        let (lease, clock) = (self.lease.clone(), Arc::clone(&self.clock));
        async move {
            lease.over(&*clock).await;
            tokio::time::sleep(HANGING).await;
        }
    }

    /// Lets others have the first try, and follows.
    fn give_up(&mut self) {
        let lasted = self.clock.now().mono.since(self.began);
        self.rest = if lasted > LASTING { REST.0 } else { (self.rest * 2).min(REST.1) };
        if let Some(ha) = &self.ha {
            ha.keeper.release(self.rest);
        }
        self.follow();
    }

    /// On a thread that opens the store as well, as soon as it can be read.
    fn follow(&mut self) {
        let (at_least, outlook) = (self.at_least.clone(), self.operator.outlook());
        let open = opening(&self.settings, &self.memory);
        self.state = match (Following { open, at_least, outlook }).begin(None) {
            Ok(standby) => State::Standby(standby),
            Err(error) => {
                tracing::warn!(%error, "no thread for following the store");
                State::Blind
            }
        };
    }

    async fn end(mut self, patience: Duration, mut stop: mpsc::Receiver<&'static str>) -> Result<(), Broken> {
        self.door.pull(patience);
        while self.listeners.join_next().await.is_some() {}
        let over = self.hangs();
        let hurry = async {
            if stop.recv().await.is_none() {
                std::future::pending::<()>().await;
            }
        };
        let (closed, spool) = match std::mem::replace(&mut self.state, State::Blind) {
            State::Active(reign) => reign.end(patience, &self.census, hurry, over).await,
            State::Claiming(mut claiming) => {
                self.desk.refuse();
                match tokio::time::timeout(patience.max(HANGING), claiming.begun()).await {
                    Ok(Ok((reign, _))) => reign.end(Duration::ZERO, &self.census, hurry, over).await,
                    Ok(Err(_)) => (Ok(()), None),
                    Err(_) => (Err(self.hanging("the takeover")), None),
                }
            }
            State::Standby(standby) => {
                self.desk.refuse();
                let stopped = tokio::task::spawn_blocking(move || drop(standby.stop()));
                let stopped = tokio::time::timeout(HANGING, stopped).await;
                (stopped.map(drop).map_err(|_| self.hanging("a read of the standby")), None)
            }
            State::Blind => (Ok(()), None),
        };
        let mut released = Ok(());
        if let Some(Ha { keeper, news }) = self.ha.take() {
            // The thread must not wait for somebody who does not listen any longer.
            drop(news);
            let ended = tokio::task::spawn_blocking(move || keeper.end());
            let patience = HANGING.max(self.settings.takeover_after);
            let ended = tokio::time::timeout(patience, ended).await;
            released = ended.map(drop).map_err(|_| self.hanging("the thread of the lease"));
        }
        // Others may have the store by now, however long this machine's own disk takes.
        let memory = Arc::clone(&self.memory);
        let saved = tokio::task::spawn_blocking(move || memory.save());
        if tokio::time::timeout(HANGING, saved).await.is_err() {
            tracing::warn!("the folder for what this machine remembers does not answer; not waiting for it");
        }
        if let Some(spool) = spool {
            let _ = tokio::task::spawn_blocking(move || spool.wait()).await;
        }
        closed.and(released)
    }

    /// What is not waited for any longer. A thread that the storage holds up ends with the process.
    fn hanging(&self, what: &str) -> Broken {
        let store = self.settings.store_shown();
        Broken::Storage(format!(
            "{what} hangs: the storage does not answer ({store}); ended without waiting for it. What was acknowledged is safe"
        ))
    }
}

/// How the chosen store is opened.
fn opening(
    settings: &Settings,
    memory: &Arc<DatabaseMemory>,
) -> impl FnMut() -> Result<Box<dyn Follower>, StartError> + Send + use<> {
    let (settings, memory) = (settings.clone(), Arc::clone(memory));
    move || storage::follower(&settings, &memory)
}
