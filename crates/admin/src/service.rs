//! `ferromq.admin.v1`: status, and the commands with their safeguards.

use std::hash::{BuildHasher, RandomState};
use std::pin::Pin;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ferromq_model::Epoch;
use ferromq_proto::admin::admin_server::Admin;
use ferromq_proto::admin::{
    self as proto, EndSubscriptionReply, EndSubscriptionRequest, ForceClaimReply, ForceClaimRequest,
    ForgetStreamReply, ForgetStreamRequest, GetStatusRequest, ListLinksRequest, ListStreamsReply,
    ListStreamsRequest, ListSubscriptionsReply, ListSubscriptionsRequest, SwitchoverReply, SwitchoverRequest,
    WatchStatusRequest,
};
use tokio::sync::oneshot;
use tokio_stream::wrappers::WatchStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status};

use crate::LinkView;
use crate::command::{Command, Refusal, StreamCount};
use crate::entrance::may_command;
use crate::meters::Meters;
use crate::server::Door;
use crate::view::{Role, RoleView, Takeover};

/// How long the operator may think about what a forced claim will do.
const CONFIRMATION: Duration = Duration::from_secs(60);

/// Durable subscriptions in one list; those that keep most come first.
const MOST_SUBSCRIPTIONS: usize = 10_000;

/// The longest drain that may be asked for.
const MAX_DRAIN: Duration = Duration::from_secs(3_600);

/// The admin service of a node.
pub(crate) struct AdminService {
    door: Door,
    /// The confirmation that was offered last; another offer ends it.
    offered: Mutex<Option<Offer>>,
}

struct Offer {
    token: String,
    seen: Epoch,
    until: Instant,
}

impl AdminService {
    pub(crate) fn new(door: Door) -> Self {
        Self { door, offered: Mutex::new(None) }
    }

    fn entitled<T>(&self, request: &Request<T>) -> Result<(), Status> {
        may_command(self.door.token.as_deref(), request.metadata(), request.extensions())
    }

    async fn ask<T>(
        &self,
        command: Command,
        answer: oneshot::Receiver<Result<T, Refusal>>,
    ) -> Result<T, Status> {
        let gone = || Status::unavailable("the node is ending, or does not take commands");
        self.door.commands.send(command).await.map_err(|_| gone())?;
        match answer.await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(Refusal::Role(why))) => Err(Status::failed_precondition(why)),
            Ok(Err(Refusal::Failed(why))) => Err(Status::aborted(why)),
            Err(_) => Err(gone()),
        }
    }

    fn only_master(&self, does: &str) -> Result<(), Status> {
        let view = self.door.views.borrow();
        if view.role == Role::Active {
            return Ok(());
        }
        let master = view.master.as_ref().map(|name| format!("; the master is {name}")).unwrap_or_default();
        Err(Status::failed_precondition(format!("only the master {does}{master}")))
    }

    fn offer(&self, seen: Epoch) -> String {
        // Not a secret: it only ties the second call to what the first one told.
        let token = format!("{:016x}", RandomState::new().hash_one(seen.number));
        let offer = Offer { token: token.clone(), seen, until: Instant::now() + CONFIRMATION };
        *self.offered.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(offer);
        token
    }

    /// A confirmation counts once.
    fn confirmed(&self, token: &str, now: Epoch) -> Result<Epoch, Status> {
        let mut offered = self.offered.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let again = |why: &str| Status::failed_precondition(format!("{why}; ask again without a token"));
        match offered.take_if(|offer| offer.token == token) {
            None => Err(again("this confirmation was not offered here, or another one since")),
            Some(offer) if offer.until < Instant::now() => Err(again("the confirmation is too old")),
            Some(offer) if offer.seen != now => Err(again("another epoch began meanwhile")),
            Some(offer) => Ok(offer.seen),
        }
    }
}

#[tonic::async_trait]
impl Admin for AdminService {
    async fn get_status(&self, _: Request<GetStatusRequest>) -> Result<Response<proto::Status>, Status> {
        Ok(Response::new(told(&self.door).await))
    }

    async fn list_links(
        &self,
        _: Request<ListLinksRequest>,
    ) -> Result<Response<proto::ListLinksReply>, Status> {
        let links = self.door.meters.gauges().map(|gauges| gauges.links()).unwrap_or_default();
        let links = links.iter().map(|link| proto::Link {
            destinations: link.destinations.iter().map(link_destination).collect(),
            ..self::link(link)
        });
        Ok(Response::new(proto::ListLinksReply { links: links.collect() }))
    }

    async fn list_streams(
        &self,
        _: Request<ListStreamsRequest>,
    ) -> Result<Response<ListStreamsReply>, Status> {
        self.only_master("lists streams")?;
        let streams = self.door.all_streams().await;
        let streams = streams.ok_or_else(|| Status::unavailable("the engine does not say; ask again"))?;
        let streams = streams.into_iter().map(|stream| proto::StreamEntry {
            name: stream.name,
            incoming: stream.incoming,
            linked: stream.linked,
            positions: stream.positions,
            heard_ms: stream.heard.map(millis),
        });
        Ok(Response::new(ListStreamsReply { streams: streams.collect() }))
    }

    async fn forget_stream(
        &self,
        request: Request<ForgetStreamRequest>,
    ) -> Result<Response<ForgetStreamReply>, Status> {
        self.entitled(&request)?;
        self.only_master("forgets streams")?;
        let (reply, answer) = oneshot::channel();
        let name = request.into_inner().name;
        let freed = self.ask(Command::ForgetStream { name, reply }, answer).await?;
        Ok(Response::new(ForgetStreamReply { freed }))
    }

    async fn list_subscriptions(
        &self,
        _: Request<ListSubscriptionsRequest>,
    ) -> Result<Response<ListSubscriptionsReply>, Status> {
        self.only_master("lists durable subscriptions")?;
        let found = self.door.subscriptions().await;
        let mut found = found.ok_or_else(|| Status::unavailable("the engine does not say; ask again"))?;
        let total = found.len() as u64;
        found.sort_by_key(|entry| std::cmp::Reverse(entry.held));
        let subscriptions =
            found.into_iter().take(MOST_SUBSCRIPTIONS).map(|entry| proto::SubscriptionEntry {
                client: entry.client,
                name: entry.name,
                topic: entry.topic,
                selector: entry.selector,
                active: entry.active,
                held: entry.held,
            });
        Ok(Response::new(ListSubscriptionsReply { subscriptions: subscriptions.collect(), total }))
    }

    async fn end_subscription(
        &self,
        request: Request<EndSubscriptionRequest>,
    ) -> Result<Response<EndSubscriptionReply>, Status> {
        self.entitled(&request)?;
        self.only_master("ends durable subscriptions")?;
        let (reply, answer) = oneshot::channel();
        let EndSubscriptionRequest { client, name } = request.into_inner();
        let dropped = self.ask(Command::EndSubscription { client, name, reply }, answer).await?;
        Ok(Response::new(EndSubscriptionReply { dropped }))
    }

    type WatchStatusStream = Pin<Box<dyn Stream<Item = Result<proto::Status, Status>> + Send>>;

    async fn watch_status(
        &self,
        _: Request<WatchStatusRequest>,
    ) -> Result<Response<Self::WatchStatusStream>, Status> {
        let door = self.door.clone();
        let changes = WatchStream::new(self.door.views.clone());
        let changes = changes.then(move |_| {
            let door = door.clone();
            async move { Ok(told(&door).await) }
        });
        Ok(Response::new(Box::pin(changes)))
    }

    async fn switchover(
        &self,
        request: Request<SwitchoverRequest>,
    ) -> Result<Response<SwitchoverReply>, Status> {
        self.entitled(&request)?;
        let drain = Duration::from_millis(request.into_inner().drain_ms);
        if drain > MAX_DRAIN {
            return Err(Status::invalid_argument("drain_ms is above one hour"));
        }
        let view = self.door.views.borrow().clone();
        if view.role != Role::Active {
            let master = view.master.unwrap_or_else(|| "nobody".to_owned());
            return Err(Status::failed_precondition(format!(
                "{} is {}, the master is {master}: ask the master",
                view.node,
                view.role.name()
            )));
        }
        let begun = Instant::now();
        let (reply, answer) = oneshot::channel();
        let drain = (!drain.is_zero()).then_some(drain);
        tracing::info!(node = view.node, epoch = view.epoch.number, "an operator asks for a switchover");
        let done = self.ask(Command::Switchover { drain, reply }, answer).await?;
        Ok(Response::new(SwitchoverReply { epoch: done.epoch.number, took_ms: millis(begun.elapsed()) }))
    }

    async fn force_claim(
        &self,
        request: Request<ForceClaimRequest>,
    ) -> Result<Response<ForceClaimReply>, Status> {
        self.entitled(&request)?;
        let token = request.into_inner().token;
        let view = self.door.views.borrow().clone();
        if view.role != Role::Standby {
            return Err(Status::failed_precondition(format!(
                "{} is {}; only a standby can claim",
                view.node,
                view.role.name()
            )));
        }
        let steps = steps(&view);
        if token.is_empty() {
            return Ok(Response::new(ForceClaimReply { steps, token: self.offer(view.epoch), epoch: 0 }));
        }
        let seen = self.confirmed(&token, view.epoch)?;
        tracing::warn!(node = view.node, epoch = seen.number, "an operator forces a claim over this epoch");
        let (reply, answer) = oneshot::channel();
        let won = self.ask(Command::ForceClaim { seen, reply }, answer).await?;
        Ok(Response::new(ForceClaimReply { steps, token: String::new(), epoch: won.number }))
    }
}

/// What a forced claim does, in words.
fn steps(view: &RoleView) -> Vec<String> {
    let master = view.master.as_deref().unwrap_or("nobody that answers");
    let next = view.epoch.number.saturating_add(1);
    let state = if view.suspects { "looks dead or stalled" } else { "looks alive" };
    vec![
        format!("the present epoch is {} of {master}, which {state}", view.epoch.number),
        format!("{} claims epoch {next} in {}, whoever holds the present one", view.node, view.store),
        format!(
            "from then on nothing that {master} writes counts: its batches fail at the fence, unanswered"
        ),
        "what it has answered is read to its end and sealed; nothing that was acknowledged is given up"
            .to_owned(),
        format!("{} serves clients; {master} becomes a standby when it looks again", view.node),
    ]
}

/// What a node is and does at the moment.
async fn told(door: &Door) -> proto::Status {
    let streams =
        door.streams().await.map(|streams| proto::Streams { streams: streams.iter().map(stream).collect() });
    let view = door.views.borrow().clone();
    proto::Status { streams, ..status(&view, &door.meters) }
}

fn stream(stream: &StreamCount) -> proto::Stream {
    proto::Stream {
        name: stream.name.clone(),
        linked: stream.linked,
        under_way: stream.under_way,
        held: stream.held(),
        without_room: stream.without_room.clone(),
    }
}

/// A view in the words of the wire.
fn status(view: &RoleView, meters: &Meters) -> proto::Status {
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let role = match view.role {
        Role::Standby => proto::Role::Standby,
        Role::Claiming => proto::Role::Claiming,
        Role::Active => proto::Role::Active,
        Role::Stopping => proto::Role::Stopping,
    };
    proto::Status {
        node: view.node.clone(),
        role: role.into(),
        master: view.master.clone(),
        epoch: view.epoch.number,
        claim: format!("{:016x}", view.epoch.claim.0),
        suspects: view.suspects,
        lag_bytes: view.lag_bytes(),
        expected_takeover_ms: view.expected_takeover.map(millis),
        last_takeover: view.last_takeover.as_ref().map(takeover),
        listeners: view.listeners.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        takeovers: count(&meters.takeovers),
        step_downs: count(&meters.step_downs),
        fence_failures: meters.gauges().map_or(0, |gauges| gauges.fence_failures()),
        connections: meters.gauges().map_or(0, |gauges| gauges.connections()),
        in_role_ms: millis(view.since.elapsed()),
        store: view.store.clone(),
        lock: view.lock.clone(),
        wall_ms: wall_ms(),
        links: meters.gauges().map(|gauges| gauges.links().iter().map(link).collect()).unwrap_or_default(),
        streams: None,
    }
}

/// A link without its destinations.
fn link(link: &LinkView) -> proto::Link {
    proto::Link {
        connector: link.connector.clone(),
        remote: link.remote.clone(),
        remote_broker: link.remote_broker.clone(),
        mirror: link.mirror,
        state: link.state.clone(),
        up: link.up,
        reason: link.reason.clone(),
        in_state_ms: millis(link.in_state),
        ends_in_ms: link.ends_in.map(millis),
        failures: link.failures,
        forwarded: link.forwarded,
        refused: link.refused,
        received: link.received,
        in_flight: link.in_flight,
        longest_wait_ms: millis(link.longest_wait),
        forward_rate: link.forward_rate,
        receive_rate: link.receive_rate,
        consumers: link.consumers,
        subscriptions: link.subscriptions,
        suppressed: link.suppressed,
        destinations: Vec::new(),
    }
}

fn link_destination((name, forwarded, received): &(String, u64, u64)) -> proto::LinkDestination {
    proto::LinkDestination { name: name.clone(), forwarded: *forwarded, received: *received }
}

fn takeover(takeover: &Takeover) -> proto::Takeover {
    proto::Takeover {
        epoch: takeover.epoch,
        claimed_ms: takeover.claimed.map(millis),
        recovered_ms: takeover.recovered.map(millis),
        listening_ms: takeover.listening.map(millis),
        first_connection_ms: takeover.first_connection.map(millis),
        first_reply_ms: takeover.first_reply.map(millis),
    }
}

/// For whoever compares clocks; nothing here goes by it.
fn wall_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
