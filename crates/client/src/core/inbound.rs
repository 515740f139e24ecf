//! What the broker sends.

use std::sync::Arc;

use ferromq_model::Now;
use ferromq_openwire::{
    AckType, Command, ConsumerControl, KeepAliveInfo, MessageAck, MessageDispatch, ProducerAck, Throwable,
};

use super::consumer::Entry;
use super::pending::What;
use super::{AckMode, ConsumerKey, Core, Event, Phase, ProducerKey};
use crate::error::{Error, words};

impl<T> Core<T> {
    pub(super) fn handle(&mut self, command: Command, now: Now) {
        match command {
            Command::MessageDispatch(dispatch) => self.dispatched(dispatch, now),
            Command::Response(response) => self.answered(response.correlation_id, None, now),
            Command::ExceptionResponse(response) => {
                let exception = response.exception.unwrap_or_default();
                self.answered(response.correlation_id, Some(exception), now);
            }
            Command::IntegerResponse(response) => self.answered(response.correlation_id, None, now),
            Command::DataResponse(response) => self.answered(response.correlation_id, None, now),
            Command::DataArrayResponse(response) => self.answered(response.correlation_id, None, now),
            Command::ProducerAck(ack) => self.room(ack),
            // A second greeting changes nothing: no peer sends one.
            Command::WireFormatInfo(_) if self.phase == Phase::Greeting && self.link.is_greeted() => {
                self.greeted();
            }
            Command::KeepAliveInfo(info) if info.response_required => {
                let answer = KeepAliveInfo { command_id: info.command_id, response_required: false };
                // It has no text that could be too long.
                let _ = self.link.push(&answer.into());
            }
            Command::ConnectionError(error) => {
                let (class, message) = words(error.exception.as_deref());
                if self.is_away() {
                    // A broker that does not serve says so before it closes.
                    return self.lost(&format!("{message} ({class})"));
                }
                let uri = Arc::clone(&self.name);
                self.events.push_back(Event::Failed(Error::Asynchronous { uri, class, message }));
            }
            Command::ConsumerControl(control) => self.controlled(control),
            Command::ConnectionControl(control) => self.events.push_back(Event::Advised(Box::new(control))),
            Command::ShutdownInfo(_) => self.lost("the broker is stopping"),
            // The rest is for brokers.
            _ => {}
        }
    }

    fn answered(&mut self, correlation: i32, exception: Option<Arc<Throwable>>, now: Now) {
        // Answers to what nobody remembers are old news.
        let Some((what, token)) = self.pending.take(correlation) else { return };
        let result = match exception {
            None => Ok(()),
            Some(exception) => {
                let (class, message) = words(Some(&exception));
                Err(Error::Refused { uri: Arc::clone(&self.name), what: what.to_string(), class, message })
            }
        };
        match &what {
            What::Login => match result {
                Ok(()) => self.logged_in(),
                Err(error) => self.end(error),
            },
            What::Consumer { key, .. } => {
                if let Err(error) = &result {
                    self.consumers.remove(key);
                    if token.is_none() {
                        let (consumer, error) = (ConsumerKey(*key), error.clone());
                        self.events.push_back(Event::ConsumerClosed { consumer, error });
                    }
                }
                self.answer(token, result);
            }
            What::Producer { key, .. } => {
                if result.is_err() {
                    self.producers.remove(key);
                }
                self.answer(token, result);
            }
            What::Commit { session, redo: Some(redo) } if redo.repeated => {
                self.answered_again(*session, redo, token, result);
            }
            What::Commit { session, .. } => {
                self.committed(*session, &result, now);
                self.answer(token, result);
            }
            What::Close => {
                self.answer(token, result);
                self.tell(ferromq_openwire::ShutdownInfo::default());
                self.end(self.closed("the application closed it"));
            }
            _ => match (token, result) {
                (token @ Some(_), result) => self.answer(token, result),
                (None, Err(error)) => self.events.push_back(Event::Failed(error)),
                (None, Ok(())) => {}
            },
        }
        self.restored_if_all_is_answered();
    }

    fn dispatched(&mut self, dispatch: MessageDispatch, now: Now) {
        let key = dispatch.consumer_id.as_ref().map_or(0, |id| id.value);
        // What was on its way to a consumer that is closed stays with the broker.
        let Some(consumer) = self.consumers.get_mut(&key) else { return };
        consumer.pulling = None;
        let Some(message) = dispatch.message else {
            self.events.push_back(Event::Drained { consumer: ConsumerKey(key) });
            return;
        };
        if consumer.entries.len() - consumer.handed >= consumer.most_waiting() {
            let window = consumer.window;
            let destination = consumer.destination.clone();
            return self.fail_protocol(format!(
                "it sent far more messages of {destination} than the {window} that were asked for"
            ));
        }
        consumer.last_sequence += 1;
        // Java counts the redeliveries in the dispatch, and says the same in the message.
        let counter = dispatch.redelivery_counter.max(message.redelivery_counter);
        let expired = message.expiration > 0 && message.expiration < now.wall.0 && !consumer.browser;
        let maximum = self.options.redelivery.maximum;
        let hopeless = consumer.mode == AckMode::Transacted && maximum >= 0 && counter > maximum;
        let entry =
            Entry { message, destination: dispatch.destination, counter, sequence: consumer.last_sequence };
        if expired || hopeless {
            let kind = if expired { AckType::Expired } else { AckType::Poison };
            let ack = MessageAck {
                destination: entry.destination.clone(),
                consumer_id: Some(consumer.id.clone()),
                ack_type: kind as i8,
                first_message_id: entry.id(),
                last_message_id: entry.id(),
                message_count: 1,
                ..MessageAck::default()
            };
            return self.tell(ack);
        }
        let Some(entry) = self.screen(key, entry, now) else { return };
        let Some(consumer) = self.consumers.get_mut(&key) else { return };
        let delivery = entry.delivery();
        consumer.entries.push_back(entry);
        self.events.push_back(Event::Delivered { consumer: ConsumerKey(key), delivery });
    }

    fn room(&mut self, ack: ProducerAck) {
        let Some(key) = ack.producer_id.map(|id| id.value) else { return };
        // Each one-way message is acknowledged once, in order: what it was charged comes back, whatever the broker
        // thinks of its size.
        let charged = self.producers.get_mut(&key).and_then(|producer| producer.charged.pop_front());
        if let Some(bytes) = charged {
            self.events.push_back(Event::Room { producer: ProducerKey(key), bytes });
        }
    }

    fn controlled(&mut self, control: ConsumerControl) {
        let Some(key) = control.consumer_id.map(|id| id.value) else { return };
        if control.close {
            if let Some(consumer) = self.consumers.get(&key) {
                let reason = format!("the broker closed the consumer of {}", consumer.destination);
                let error = self.closed(&reason);
                self.remove_consumer(key);
                self.events.push_back(Event::ConsumerClosed { consumer: ConsumerKey(key), error });
            }
        } else if let Some(consumer) = self.consumers.get_mut(&key) {
            consumer.window = u32::try_from(control.prefetch).unwrap_or(consumer.window);
        }
    }
}
