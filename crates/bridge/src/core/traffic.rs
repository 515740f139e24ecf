//! Messages on their way over a bridge, and the answers to them.

use std::sync::Arc;
use std::time::Duration;

use ferromq_model::Instant;
use ferromq_openwire::{
    AckType, Command, ConsumerId, Destination, Message, MessageAck, MessageDispatch, MessageId, Throwable,
};

use super::copies::Turn;
use super::stream::is_about_stream;
use super::{Bridge, Order, Side, text_of};
use crate::forward::{compress, exceeds, hops, is_passing, outward, passed};

/// When a message that a broker had no room for is sent to it again.
const TRY_AGAIN: Duration = Duration::from_millis(500);

/// A message whose answer is awaited, or that is to be tried again.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) subscription: i64,
    pub(super) id: MessageId,
    pub(super) destination: Destination,
    pub(super) message: Arc<Message>,
    /// When it was handed to the bridge.
    pub(super) since: Instant,
}

impl Flight {
    pub(super) fn bytes(&self) -> usize {
        self.message.content.as_ref().map_or(0, |content| content.len())
    }
}

impl Bridge {
    /// The local broker has a message that is wanted over there.
    pub(super) fn forward(&mut self, dispatch: MessageDispatch) {
        let Some(flight) = self.flight(&dispatch) else { return };
        let number = flight.subscription;
        if self.demand.subscription(number).is_none() || self.closing.contains_key(&number) {
            // It stays with the local broker, which gets it back when the subscription ends.
            return;
        }
        let durable = self.demand.subscription(number).is_some_and(|found| found.durable.is_some());
        // A durable subscription has no filter of its own at the broker: what must not go is let go here.
        if durable && !self.may_go(&flight) {
            return self.acknowledge(&flight, AckType::Individual, None);
        }
        if !self.demand.shares(&flight.destination) {
            return self.launch(flight);
        }
        match self.copies.came(flight) {
            Turn::Goes(flight) => self.launch(flight),
            Turn::Waits => {}
            Turn::IsOver(flight) => self.acknowledge(&flight, AckType::Individual, None),
        }
    }

    /// A message went over, and with it all its copies.
    fn went(&mut self, flight: &Flight) {
        self.counts.forwarded += 1;
        self.ledger.forwarded(&flight.destination, self.now);
        self.acknowledge(flight, AckType::Individual, None);
        self.release_copies(flight);
    }

    fn release_copies(&mut self, flight: &Flight) {
        for other in self.copies.went(flight) {
            self.acknowledge(&other, AckType::Individual, None);
        }
    }

    fn flight(&self, dispatch: &MessageDispatch) -> Option<Flight> {
        let message = dispatch.message.clone()?;
        Some(Flight {
            subscription: dispatch.consumer_id.as_ref()?.value,
            id: message.message_id.clone()?,
            destination: dispatch.destination.clone().or_else(|| message.destination.clone())?,
            message,
            since: self.now,
        })
    }

    fn may_go(&self, flight: &Flight) -> bool {
        let path = flight.message.broker_path.as_deref();
        !exceeds(hops(&flight.message), self.settings.message_ttl)
            && self.settings.permits(&flight.destination)
            && self.remote.as_ref().is_none_or(|remote| !passed(path, &remote.id))
    }

    /// Sends a message, for the first time or again.
    pub(super) fn launch(&mut self, flight: Flight) {
        let Some(local) = self.local.as_ref().map(|broker| broker.id.clone()) else { return };
        let mut message = outward(&flight.message, &self.producer, &local);
        self.give_time(&mut message);
        if self.settings.compress {
            compress(&mut message);
        }
        message.command_id = self.command_id();
        message.response_required = message.persistent || self.settings.always_sync_send;
        if message.response_required {
            self.in_flight_bytes += flight.bytes();
            self.flights.insert(message.command_id, flight);
            return self.say(Side::Remote, message);
        }
        self.say(Side::Remote, message);
        self.went(&flight);
    }

    /// A message makes no frame that the remote broker would take: as if it had refused it.
    pub fn unsendable(&mut self, command: i32, reason: &str, now: Instant) {
        self.now = now;
        if !self.over {
            self.remote_answered(command, Some(&Throwable::new("javax.jms.JMSException", reason)));
        }
    }

    /// The remote broker has answered.
    pub(super) fn remote_answered(&mut self, request: i32, refusal: Option<&Throwable>) {
        if self.stream_answered(Side::Remote, request, refusal) {
            return;
        }
        let Some(flight) = self.flights.remove(&request) else {
            return self.login_answered(refusal);
        };
        self.in_flight_bytes = self.in_flight_bytes.saturating_sub(flight.bytes());
        let number = flight.subscription;
        match refusal {
            None => self.went(&flight),
            Some(reason) if self.goes_back(&flight, reason) => {
                self.give_back(&flight);
                if let Some(other) = self.copies.stayed(&flight) {
                    self.launch(other);
                }
            }
            Some(reason) if is_passing(reason) && self.closing.contains_key(&number) => {
                if let Some(other) = self.copies.stayed(&flight) {
                    self.launch(other);
                }
            }
            Some(reason) if is_passing(reason) => {
                self.in_flight_bytes += flight.bytes();
                self.waiting.push_back((self.now + TRY_AGAIN, flight));
            }
            Some(reason) => {
                self.counts.refused += 1;
                let cause = text_of(Some(reason));
                let text = format!(
                    "the remote broker refused message {} of {}, which is a dead letter now: {cause}",
                    flight.id, flight.destination
                );
                self.orders.push_back(Order::Warn(text));
                self.tell_failed(&flight, &cause);
                self.acknowledge(&flight, AckType::Poison, Some(reason.clone()));
                self.release_copies(&flight);
            }
        }
        self.close_if_done(number);
    }

    /// Tells the local broker what became of a message.
    pub(super) fn acknowledge(&mut self, flight: &Flight, kind: AckType, cause: Option<Throwable>) {
        let number = flight.subscription;
        if self.demand.subscription(number).is_none() && !self.closing.contains_key(&number) {
            // The subscription has ended, and the broker with it: nothing of it can be answered for.
            return;
        }
        let ack = MessageAck {
            consumer_id: Some(ConsumerId::new(&self.local_session, number)),
            destination: Some(flight.destination.clone()),
            first_message_id: Some(flight.id.clone()),
            last_message_id: Some(flight.id.clone()),
            message_count: 1,
            ack_type: kind as i8,
            poison_cause: cause.map(Arc::new),
            ..Default::default()
        };
        self.say(Side::Local, ack);
    }

    /// What the remote broker says besides answers. Over a duplex bridge it is a client here as well.
    pub(super) fn take_remote(&mut self, command: Command) {
        if let Command::Message(message) = &command {
            self.note_clock(Side::Remote, message);
        }
        match command {
            Command::Message(message) if is_advisory(&message) => self.told(&message),
            command if self.asks_for_duplex() && is_about_stream(&command) => {
                self.say(Side::Inbound, command);
            }
            Command::WireFormatInfo(_)
            | Command::KeepAliveInfo(_)
            | Command::ConnectionControl(_)
            | Command::ConsumerControl(_)
            | Command::ProducerAck(_)
            | Command::ControlCommand(_) => {}
            command if self.asks_for_duplex() => {
                if let Command::Message(message) = &command {
                    self.counts.received += 1;
                    if let Some(destination) = &message.destination {
                        self.ledger.received(destination, self.now);
                    }
                }
                self.say(Side::Inbound, command);
            }
            // From a peer that does more than it was asked for.
            _ => {}
        }
    }

    /// What the local broker says to the remote one as its client.
    pub(super) fn answer_remote(&mut self, command: Command) {
        match command {
            Command::Response(_)
            | Command::ExceptionResponse(_)
            | Command::DataResponse(_)
            | Command::DataArrayResponse(_)
            | Command::IntegerResponse(_)
            | Command::MessageDispatch(_) => self.say(Side::Remote, command),
            _ => {}
        }
    }
}

fn is_advisory(message: &Message) -> bool {
    message.data_structure.is_some()
        && message.destination.as_ref().is_some_and(|to| to.name.to_str().starts_with("ActiveMQ.Advisory."))
}
