//! Dead letters: messages that were given up or have expired, kept where somebody may look at them.

use std::collections::VecDeque;
use std::sync::Arc;

use ferromq_model::{Destination, Message, MessageId, Text, Value};
use ferromq_store::MessageRef;
use rustc_hash::FxHashSet;

use crate::ack::Outcome;
use crate::consumer::Origin;
use crate::engine::Engine;
use crate::load::Purpose;
use crate::place::PlaceKey;
use crate::window::{Place, State, sequence_of};
use crate::{ConnId, DeadLetterTarget, Effect, LoadRequest, Tag};

/// As many as ActiveMQ's audit of dead letters knows of one producer.
const BURIALS_KNOWN: usize = 2_048;

/// Why a message is dead.
#[derive(Clone, Debug)]
pub(crate) enum Cause {
    /// A consumer gave it up.
    Poison(Option<Text>),
    /// It was too old.
    Expired(i64),
}

impl Cause {
    /// The text of `dlqDeliveryFailureCause`, as ActiveMQ writes it.
    fn text(&self) -> Option<Text> {
        match self {
            Self::Poison(cause) => cause.clone(),
            Self::Expired(at) => {
                Some(Text::from(format!("java.lang.Throwable: Message Expired. Expiration:{at}")))
            }
        }
    }
}

/// Messages of topics that became dead letters lately.
#[derive(Debug, Default)]
pub(crate) struct Burials {
    known: FxHashSet<MessageId>,
    order: VecDeque<MessageId>,
}

impl Burials {
    /// Notes a message; says whether it is new.
    fn insert(&mut self, id: &MessageId) -> bool {
        if !self.known.insert(id.clone()) {
            return false;
        }
        self.order.push_back(id.clone());
        if self.order.len() > BURIALS_KNOWN
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

impl Engine {
    /// Moves a message to the dead letters, or drops it, as the policy says; its body may have to be loaded first.
    pub(crate) fn condemn(&mut self, origin: Origin, place: Place, cause: Cause) {
        if let Some(message) = self.body(origin, place) {
            return self.bury(origin, place, &message, cause);
        }
        let Some(destination) = self.places.get(origin.place).and_then(|site| site.id) else { return };
        let Some(window) = self.window_mut(origin) else { return };
        let index = window.index_from(place);
        if window.get(place).is_none() {
            return;
        }
        window.set_state(index, State::Dying);
        let request = LoadRequest::Bodies(vec![MessageRef { destination, sequence: sequence_of(place) }]);
        let answer = self.answering;
        if let Some(answer) = answer {
            *self.burying.entry(answer).or_default() += 1;
        }
        self.load(Purpose::DeadLetter { origin, place, cause, answer }, request);
    }

    /// A message that had to be loaded is where it belongs; with the last of them its acknowledgement is answered.
    pub(crate) fn buried(&mut self, answer: Option<(ConnId, Tag)>) {
        let Some(answer) = answer else { return };
        let Some(left) = self.burying.get_mut(&answer) else { return };
        *left -= 1;
        if *left == 0 {
            self.burying.remove(&answer);
            self.outbox.reply_last(answer.0, Some(answer.1), Effect::Done);
        }
    }

    /// Moves a message whose body is at hand.
    pub(crate) fn bury(&mut self, origin: Origin, place: Place, message: &Arc<Message>, cause: Cause) {
        let expired = matches!(cause, Cause::Expired(_));
        let moved = self.dead_letter(origin.place, message, &cause);
        let outcome = match (moved, expired) {
            (true, _) => Outcome::DeadLettered,
            (false, true) => Outcome::Expired,
            (false, false) => Outcome::Discarded,
        };
        self.retire(origin, place, outcome);
        if expired {
            self.tell_about_message("Expired", origin.place, message);
        }
        if self.outbox.has_ops() {
            self.outbox.require();
        }
    }

    /// Puts a dead letter where the policy of its destination says; whether it was kept.
    pub(crate) fn dead_letter(&mut self, from: PlaceKey, message: &Arc<Message>, cause: &Cause) -> bool {
        let Some(policy) = self.policy(from) else { return false };
        let rules = &policy.dead_letter;
        let unwanted = !message.persistent && !rules.process_non_persistent
            || matches!(cause, Cause::Expired(_)) && !rules.process_expired;
        if unwanted || message.destination.is_advisory() {
            return false;
        }
        let Some(to) = target(&rules.target, &message.destination) else { return false };
        if to == message.destination {
            return false;
        }
        // Several subscribers may give up the same message of a topic; one letter tells enough.
        if !message.destination.kind.is_queue() && !self.burials.insert(&message.id) {
            return false;
        }
        let place = match self.places.find(&to) {
            Some(place) => place,
            None => self.make_place(&to, None),
        };
        let letter = Arc::new(self.letter(message, &to, cause, rules.expiration_ms));
        self.publish(place, &letter, &letter.id.producer, false);
        self.tell_about_message("MessageDLQd", from, message);
        true
    }

    /// The message as it lies among the dead: its id is kept, its past stands in properties.
    fn letter(&self, message: &Message, to: &Destination, cause: &Cause, expiration_ms: i64) -> Message {
        let mut letter = message.clone();
        let mut entries: Vec<(&str, Value)> = vec![("originalExpiration", Value::Long(message.expiration))];
        if !message.persistent {
            entries.push(("originalDeliveryMode", Value::String(Text::from_static("NON_PERSISTENT"))));
        }
        if let Some(cause) = cause.text() {
            entries.push(("dlqDeliveryFailureCause", Value::String(cause)));
        }
        letter.properties =
            Some(self.codec.with_properties(message.encoding, message.properties.as_ref(), &entries));
        letter.persistent = true;
        letter.expiration = if expiration_ms > 0 { self.now.wall.0 + expiration_ms } else { 0 };
        letter.redelivery_counter = 0;
        let sent_to = std::mem::replace(&mut letter.destination, to.clone());
        let extra = letter.extra_mut();
        extra.original_destination = Some(sent_to);
        extra.original_transaction = extra.transaction.take();
        letter
    }
}

fn target(rule: &DeadLetterTarget, from: &Destination) -> Option<Destination> {
    match rule {
        DeadLetterTarget::Shared(name) => Some(Destination::queue(name)),
        DeadLetterTarget::Discard => None,
        DeadLetterTarget::Individual {
            queue_prefix,
            topic_prefix,
            queue_suffix,
            topic_suffix,
            queue_for_queues,
            queue_for_topics,
        } => {
            let (prefix, suffix, queue) = if from.kind.is_queue() {
                (queue_prefix, queue_suffix, *queue_for_queues)
            } else {
                (topic_prefix, topic_suffix, *queue_for_topics)
            };
            if from.kind.is_queue() && from.name.starts_with(prefix.as_str()) && !prefix.is_empty() {
                return Some(from.clone());
            }
            let name = format!("{prefix}{}{suffix}", from.name);
            Some(if queue { Destination::queue(&name) } else { Destination::topic(&name) })
        }
    }
}
