//! [`Peer`]: the connection of a duplex bridge's other half, which belongs to somebody else, who passes on what is for the
//! bridge.

use std::collections::VecDeque;

use ferromq_openwire::Command;

use super::mirror::Ends;
use super::port::{BEHIND_BYTES, bytes};

pub(super) struct Peer {
    ends: Ends,
    first: Option<Box<Command>>,
    /// What the commands weigh that the connection has not taken yet, and how many it had taken when that was looked at.
    waiting: VecDeque<usize>,
    waiting_bytes: usize,
    taken: u64,
}

impl Peer {
    pub fn new(ends: Ends) -> Self {
        Self { ends, first: None, waiting: VecDeque::new(), waiting_bytes: 0, taken: 0 }
    }

    /// Waits until something came, or the connection has taken some of what waits if that is much. Nothing is lost if it is
    /// dropped while it waits.
    pub async fn ready(&mut self) -> Result<(), String> {
        if self.first.is_some() {
            return Ok(());
        }
        tokio::select! {
            first = self.ends.heard.recv() => {
                self.first = first.map(Box::new);
                self.first.is_some().then_some(()).ok_or_else(|| "it closed the connection".to_owned())
            }
            Ok(()) = self.ends.taken.changed(), if self.waiting_bytes >= BEHIND_BYTES => Ok(()),
        }
    }

    pub fn heard(&mut self) -> Option<Command> {
        self.first.take().map(|first| *first).or_else(|| self.ends.heard.try_recv().ok())
    }

    pub fn say(&mut self, command: Command) {
        let weight = bytes(&command);
        self.waiting.push_back(weight);
        self.waiting_bytes += weight;
        // One that is gone is noticed by what is heard.
        drop(self.ends.said.send(command));
    }

    /// Whether there is much to be said already that the connection has not taken.
    pub fn is_behind(&mut self) -> bool {
        if self.waiting_bytes >= BEHIND_BYTES {
            let taken = *self.ends.taken.borrow_and_update();
            while self.taken < taken
                && let Some(weight) = self.waiting.pop_front()
            {
                self.taken += 1;
                self.waiting_bytes = self.waiting_bytes.saturating_sub(weight);
            }
        }
        self.waiting_bytes >= BEHIND_BYTES
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ferromq_openwire::{Message, MessageKind};
    use tokio::sync::{mpsc, watch};
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn what_the_connection_has_not_taken_is_bounded() {
        let (told, heard) = mpsc::channel(1);
        let (said, says) = mpsc::unbounded_channel();
        let (counts, taken) = watch::channel(0);
        let mut peer = Peer::new(Ends { heard, said, taken });
        // Given as much as may wait
        let mut message = Message::new(MessageKind::Bytes);
        message.content = Some(vec![0; 1 << 20].into());
        while !peer.is_behind() {
            peer.say(message.clone().into());
        }
        assert_eq!(says.len(), BEHIND_BYTES >> 20);
        assert!(timeout(Duration::ZERO, peer.ready()).await.is_err());
        // When the connection takes something, then the bridge is told, and goes on.
        counts.send_modify(|taken| *taken += 1);
        assert_eq!(peer.ready().await, Ok(()));
        assert!(!peer.is_behind());
        // And however much waits, the end of the connection is noticed.
        peer.say(message.into());
        assert!(peer.is_behind());
        drop((told, counts));
        assert!(peer.ready().await.is_err());
    }
}
