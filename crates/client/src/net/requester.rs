//! Request and reply (JMS 1.1 §2.4): a temporary queue for the replies, told apart by correlation id.

use std::sync::Arc;
use std::time::Duration;

use ferromq_openwire::Destination;
use tokio::time::Instant;

use super::connection::Connection;
use super::consumer::Consumer;
use super::producer::Producer;
use crate::core::{AckMode, ConsumerSpec};
use crate::error::{Error, Result};
use crate::message::{Delivery, Outgoing};

/// Sends requests and waits for their replies, one at a time.
#[derive(Debug)]
pub struct Requester {
    connection: Connection,
    destination: Destination,
    producer: Producer,
    /// Gone before the queue that it consumes from.
    replies: Option<Consumer>,
    reply_to: Destination,
    count: u64,
}

impl Requester {
    pub(super) async fn new(connection: &Connection, destination: Destination) -> Result<Self> {
        let reply_to = connection.temporary_queue().await?;
        let replies = connection.consumer(ConsumerSpec::new(reply_to.clone()), AckMode::Auto).await?;
        let producer = connection.producer(destination.clone()).await?;
        Ok(Self {
            connection: connection.clone(),
            destination,
            producer,
            replies: Some(replies),
            reply_to,
            count: 0,
        })
    }

    /// Sends a request and waits for its reply. Correlation id and reply address are set here; replies to earlier
    /// requests that came too late are dropped.
    ///
    /// # Errors
    /// No reply came in time, the broker refuses the request, or the connection is lost.
    pub async fn request(&mut self, message: Outgoing, timeout: Duration) -> Result<Delivery> {
        self.count += 1;
        let correlation = format!("{}:{}", self.reply_to.name, self.count);
        let request = message.correlation_id(correlation.as_str()).reply_to(self.reply_to.clone());
        let deadline = Instant::now() + timeout;
        let answer = async {
            self.producer.send(request).await?;
            let Some(replies) = &mut self.replies else {
                return Err(Error::Usage("the requester is closed"));
            };
            loop {
                match replies.recv().await? {
                    Some(reply) if reply.correlation_id().is_some_and(|id| id == correlation) => {
                        return Ok(reply);
                    }
                    Some(_) => {}
                    None => return Err(Error::Usage("the queue of the replies ended")),
                }
            }
        };
        tokio::time::timeout_at(deadline, answer).await.unwrap_or_else(|_| {
            Err(Error::Timeout {
                uri: Arc::from(self.connection.uri()),
                what: format!("reply to a request for {}", self.destination),
                after: timeout,
            })
        })
    }
}

impl Drop for Requester {
    fn drop(&mut self) {
        self.replies = None;
        self.connection.drop_temporary(self.reply_to.clone());
    }
}
