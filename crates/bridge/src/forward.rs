//! What becomes of a message on its way over a bridge.

use std::sync::Arc;

use ferromq_openwire::{BrokerId, ExceptionClass, Limits, Message, ProducerId, Throwable};

/// Makes the message that goes to the remote broker: of the bridge's producer, with its id kept and the local broker
/// in its path.
pub(crate) fn outward(message: &Arc<Message>, producer: &ProducerId, local: &BrokerId) -> Message {
    let mut message = Message::clone(message);
    message.producer_id = Some(producer.clone());
    if let Some(transaction) = message.transaction_id.take() {
        message.original_transaction_id.get_or_insert(transaction);
    }
    message.broker_path = Some(grown(message.broker_path.as_deref(), local));
    message.target_consumer_id = None;
    message
}

/// Compresses the body, if there is one and it is not (`useCompression`). One that can't be read travels as it is.
pub(crate) fn compress(message: &mut Message) {
    if message.compressed || message.content.as_ref().is_none_or(|content| content.is_empty()) {
        return;
    }
    let mut smaller = message.clone();
    let done = message.body(&Limits::default()).and_then(|body| smaller.set_body(&body, true));
    let size = |message: &Message| message.content.as_ref().map_or(0, |content| content.len());
    if done.is_ok() && size(&smaller) < size(message) {
        *message = smaller;
    }
}

/// A path with one more broker.
pub(crate) fn grown(path: Option<&[BrokerId]>, broker: &BrokerId) -> Arc<[BrokerId]> {
    path.unwrap_or_default().iter().chain([broker]).cloned().collect()
}

/// Brokers that a message has passed.
pub(crate) fn hops(message: &Message) -> usize {
    message.broker_path.as_ref().map_or(0, |path| path.len())
}

/// Whether a path has this broker.
pub(crate) fn passed(path: Option<&[BrokerId]>, broker: &BrokerId) -> bool {
    path.is_some_and(|path| path.contains(broker))
}

/// Whether a number of brokers is too many.
pub(crate) fn exceeds(hops: usize, ttl: i32) -> bool {
    usize::try_from(ttl).is_ok_and(|most| hops >= most)
}

/// Whether a refusal is about the state of the broker and not about the message.
pub(crate) fn is_passing(reason: &Throwable) -> bool {
    matches!(
        reason.known_class(),
        Some(
            ExceptionClass::ResourceAllocation
                | ExceptionClass::BrokerStopped
                | ExceptionClass::Io
                | ExceptionClass::Interrupted
                | ExceptionClass::ConnectionFailed
        )
    )
}
