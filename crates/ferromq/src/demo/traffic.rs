//! The producer and the consumer of the play, and the account of what they did.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ferromq_client::{
    AckMode, Connection, Consumer, ConsumerSpec, Delivery, Destination, Outgoing, Producer,
};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::exit::{Exit, Failure};
use crate::link::failed;

const QUEUE: &str = "demo";

/// What was sent and received.
#[derive(Clone, Debug, Default)]
pub(super) struct Account {
    /// Messages that the broker acknowledged.
    sent: u64,
    received: BTreeSet<u64>,
    /// Came again, and said so (JMSRedelivered).
    repeated: u64,
    /// Came again as if for the first time.
    duplicated: u64,
}

impl Account {
    fn lost(&self) -> usize {
        (0..self.sent).filter(|number| !self.received.contains(number)).count()
    }

    pub(super) fn is_whole(&self) -> bool {
        self.lost() == 0 && self.duplicated == 0
    }

    fn take(&mut self, delivery: &Delivery) {
        let Some(number) = delivery.text().and_then(|text| text.parse().ok()) else { return };
        if !self.received.insert(number) {
            let count = if delivery.is_redelivered() { &mut self.repeated } else { &mut self.duplicated };
            *count += 1;
        }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sent, received) = (self.sent, self.received.len());
        write!(f, "sent {sent}, received {received}, lost {}, duplicated {}", self.lost(), self.duplicated)?;
        if self.repeated > 0 {
            write!(f, " ({} came again, marked as redelivered)", self.repeated)?;
        }
        Ok(())
    }
}

#[derive(Debug, Default)]
struct State {
    account: Account,
    marked: Option<Instant>,
    /// From the mark to the first acknowledgement of a message that was sent after it.
    first: Option<Duration>,
    broken: Option<String>,
}

/// A producer and a consumer, each with a connection of its own.
pub(super) struct Traffic {
    state: Arc<Mutex<State>>,
    enough: watch::Sender<bool>,
    producer: JoinHandle<()>,
    consumer: JoinHandle<Consumer>,
    connections: [Connection; 2],
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Traffic {
    pub(super) async fn start(uri: &str, rate: u32) -> Result<Self, Failure> {
        let sending = Connection::connect(uri).await.map_err(failed)?;
        let receiving = Connection::connect(uri).await.map_err(failed)?;
        let producer = sending.producer(Destination::queue(QUEUE)).await.map_err(failed)?;
        let spec = ConsumerSpec::new(Destination::queue(QUEUE));
        let consumer = receiving.consumer(spec, AckMode::Auto).await.map_err(failed)?;
        let state = Arc::new(Mutex::new(State::default()));
        let (enough, stop) = watch::channel(false);
        let producer = tokio::spawn(produce(producer, rate, state.clone(), stop.clone()));
        let consumer = tokio::spawn(consume(consumer, state.clone(), stop));
        Ok(Self { state, enough, producer, consumer, connections: [sending, receiving] })
    }

    /// Sent and received so far.
    pub(super) fn counts(&self) -> (u64, usize) {
        let state = lock(&self.state);
        (state.account.sent, state.account.received.len())
    }

    /// From now on the first acknowledgement counts.
    pub(super) fn mark(&self) {
        let mut state = lock(&self.state);
        state.marked = Some(Instant::now());
        state.first = None;
    }

    /// How long after the mark the first message was acknowledged whose answer was outstanding then.
    pub(super) async fn first_since_mark(&self, patience: Duration) -> Option<Duration> {
        let until = Instant::now() + patience;
        while Instant::now() < until {
            if let Some(first) = lock(&self.state).first {
                return Some(first);
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        None
    }

    /// Whether both are still at work.
    pub(super) fn check(&self) -> Result<(), Failure> {
        match &lock(&self.state).broken {
            None => Ok(()),
            Some(reason) => Err(Failure::new(Exit::Unavailable, reason)),
        }
    }

    /// Sends no more, takes what is left, and gives the account.
    pub(super) async fn finish(self, patience: Duration) -> Result<Account, Failure> {
        // Nobody listens any longer if both are broken; the account tells.
        let _ = self.enough.send(true);
        let ended = |_| Failure::new(Exit::Software, "the demo itself broke");
        tokio::time::timeout(patience, self.producer)
            .await
            .map_err(|_| Failure::new(Exit::Unavailable, "the last message was not acknowledged"))?
            .map_err(ended)?;
        let mut consumer = self.consumer.await.map_err(ended)?;
        let until = Instant::now() + patience;
        while lock(&self.state).account.lost() > 0 && Instant::now() < until {
            if let Some(delivery) = consumer.recv_timeout(Duration::from_millis(200)).await.map_err(failed)? {
                lock(&self.state).account.take(&delivery);
            }
        }
        // Whatever comes beyond that came twice.
        while let Some(delivery) = consumer.recv_timeout(Duration::from_millis(300)).await.map_err(failed)? {
            lock(&self.state).account.take(&delivery);
        }
        for connection in &self.connections {
            connection.close().await.map_err(failed)?;
        }
        let account = lock(&self.state).account.clone();
        Ok(account)
    }
}

async fn produce(producer: Producer, rate: u32, state: Arc<Mutex<State>>, mut stop: watch::Receiver<bool>) {
    let mut pace = tokio::time::interval(Duration::from_secs(1) / rate);
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    for number in 0_u64.. {
        tokio::select! {
            _ = stop.changed() => return,
            _ = pace.tick() => {}
        }
        // A send that waits for the other broker just takes longer.
        if let Err(error) = producer.send(Outgoing::text(number.to_string())).await {
            lock(&state).broken = Some(format!("the producer could not go on: {error}"));
            return;
        }
        let mut state = lock(&state);
        state.account.sent = number + 1;
        if state.first.is_none() {
            state.first = state.marked.map(|marked| marked.elapsed());
        }
    }
}

async fn consume(
    mut consumer: Consumer,
    state: Arc<Mutex<State>>,
    mut stop: watch::Receiver<bool>,
) -> Consumer {
    loop {
        let received = tokio::select! {
            _ = stop.changed() => return consumer,
            received = consumer.recv() => received,
        };
        match received {
            Ok(Some(delivery)) => lock(&state).account.take(&delivery),
            Ok(None) => return consumer,
            Err(error) => {
                lock(&state).broken = Some(format!("the consumer could not go on: {error}"));
                return consumer;
            }
        }
    }
}
