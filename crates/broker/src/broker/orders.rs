//! What operators ask of a [`Broker`], and what it does for them.

use std::time::Duration;

use ferromq_admin::{Command, Refusal, Switched};
use ferromq_engine::Engine;
use ferromq_model::{Epoch, SubscriptionName};

use super::{Broker, State};
use crate::operator;
use crate::role::Role;

/// How long connections may drain at a switchover, unless the operator gives them longer: clients with a failover: URI
/// wait meanwhile.
const SWITCHOVER_DRAIN: Duration = Duration::from_millis(600);
/// After a switchover others have the first try for so long at least.
const SWITCHOVER_REST: Duration = Duration::from_secs(3);
/// An operator waits no longer than this for the thread of the lease; the program that asks waits a bit longer.
const FORCE_PATIENCE: Duration = Duration::from_secs(4);

fn not_master() -> Refusal {
    Refusal::Role("this node is not the master".to_owned())
}

impl Broker {
    pub(super) async fn obey(&mut self, command: Command, announce: &mut impl FnMut(&Role)) {
        // Who asked and does not wait for the answer any longer needs none.
        match command {
            Command::Destinations { reply } => {
                self.look(|engine| drop(reply.send(operator::counts(engine.view()))));
            }
            Command::Streams { reply } => {
                self.look(|engine| drop(reply.send(operator::streams(engine.streams()))));
            }
            Command::AllStreams { reply } => {
                self.look(|engine| drop(reply.send(operator::all_streams(engine.all_streams()))));
            }
            Command::Subscriptions { reply } => {
                self.look(|engine| drop(reply.send(operator::subscriptions(engine.all_subscriptions()))));
            }
            Command::ForgetStream { name, reply } => match &self.state {
                State::Active(reign) => drop(tokio::spawn(operator::forget(reign.reception(), name, reply))),
                _ => drop(reply.send(Err(not_master()))),
            },
            Command::EndSubscription { client, name, reply } => match &self.state {
                State::Active(reign) => {
                    let name = SubscriptionName { client: client.into(), name: name.into() };
                    drop(tokio::spawn(operator::end_subscription(reign.reception(), name, reply)));
                }
                _ => drop(reply.send(Err(not_master()))),
            },
            Command::Switchover { drain, reply } => drop(reply.send(self.switch_over(drain, announce).await)),
            Command::ForceClaim { seen, reply } => {
                let forced = self.force(seen);
                tokio::spawn(async move { drop(reply.send(forced.await)) });
            }
            _ => {}
        }
    }

    /// Lets the engine of a master be looked at. Of any other node nothing is seen: the reply is dropped.
    fn look(&self, look: impl FnOnce(&Engine) + Send + 'static) {
        if let State::Active(reign) = &self.state {
            reign.look(look);
        }
    }

    /// Ends the reign in order and leaves others the first try; nobody who waits is told of success before the role was
    /// released.
    async fn switch_over(
        &mut self,
        drain: Option<Duration>,
        announce: &mut impl FnMut(&Role),
    ) -> Result<Switched, Refusal> {
        let (Role::Active { epoch, .. }, Some(_)) = (self.role.clone(), &self.ha) else {
            return Err(Refusal::Role(
                "this node is not the master of a store that others could take over".to_owned(),
            ));
        };
        let State::Active(reign) = std::mem::replace(&mut self.state, State::Blind) else {
            return Err(Refusal::Role("this node is just changing its role".to_owned()));
        };
        self.operator.tell(|view| view.enter(ferromq_admin::Role::Stopping));
        self.desk.refuse();
        let patience = drain.unwrap_or(SWITCHOVER_DRAIN.min(self.settings.drain));
        let over = self.hangs();
        let (ended, _) = reign.end(patience, &self.census, std::future::pending(), over).await;
        self.operator.link(None);
        let rest = SWITCHOVER_REST.max(self.settings.takeover_after);
        // From the lease's end on there is nothing left to release.
        let over = self.hangs();
        let released = match &self.ha {
            Some(ha) => tokio::select! {
                biased;
                released = ha.keeper.release_and_tell(rest) => released.is_ok(),
                () = over => false,
            },
            None => false,
        };
        self.become_role(Role::Standby { master: None, epoch }, announce);
        self.follow();
        match ended {
            Ok(()) if released => Ok(Switched { epoch }),
            Ok(()) => Err(Refusal::Failed(
                "the lease could not be released: its thread hangs in the storage or is gone; a standby waits for the \
                 lease's end"
                    .to_owned(),
            )),
            Err(why) => Err(Refusal::Failed(format!("the store could not be closed in order: {why}"))),
        }
    }

    /// What is won comes as news, and the takeover goes its usual way from there. Whoever waits for the answer does not
    /// wait for ever, and nobody else waits for it.
    fn force(&self, seen: Epoch) -> impl Future<Output = Result<Epoch, Refusal>> + use<> {
        let told = match &self.ha {
            Some(ha) if !matches!(self.state, State::Active(_)) => Some(ha.keeper.force(seen)),
            _ => None,
        };
        async move {
            let Some(told) = told else {
                return Err(Refusal::Role("only a standby can claim".to_owned()));
            };
            match tokio::time::timeout(FORCE_PATIENCE, told).await {
                Ok(Ok(won)) => won.map_err(Refusal::Failed),
                Ok(Err(_)) => Err(Refusal::Failed("the thread of the lease is gone".to_owned())),
                Err(_) => Err(Refusal::Failed(format!(
                    "the thread of the lease hangs: the place of the claims has not answered for {} s. A claim that it had \
                     not begun is not made any more; ask for the status before you try again",
                    FORCE_PATIENCE.as_secs()
                ))),
            }
        }
    }
}
