//! [`Owed`]: what was delivered to consumers within transactions and is not acknowledged.

use ferromq_engine::{AckKind, Intent, LocalId};
use rustc_hash::FxHashMap;

/// Counts by consumer; it has no more entries than the peer has consumers.
#[derive(Debug, Default)]
pub(crate) struct Owed {
    consumers: FxHashMap<LocalId, Account>,
}

#[derive(Debug, Default)]
struct Account {
    messages: u32,
    /// It has acknowledged something within a transaction.
    transacts: bool,
}

impl Owed {
    /// A message goes to the peer. One that comes when its consumer has ended counts for nobody.
    pub(crate) fn delivered(&mut self, consumer: LocalId) {
        if let Some(account) = self.consumers.get_mut(&consumer) {
            account.messages = account.messages.saturating_add(1);
        }
    }

    fn began(&mut self, consumer: LocalId) {
        self.consumers.insert(consumer, Account::default());
    }

    /// The peer wants something, which may be an acknowledgement, or the beginning or end of a consumer.
    pub(crate) fn heard(&mut self, intent: &Intent) {
        match intent {
            Intent::AddConsumer(facts) => {
                self.began(LocalId { session: facts.id.session, value: facts.id.value });
            }
            Intent::Ack(ack) if !matches!(ack.kind, AckKind::Delivered | AckKind::Redelivered) => {
                if let Some(account) = self.consumers.get_mut(&ack.consumer) {
                    account.messages = account.messages.saturating_sub(ack.count.max(1));
                    account.transacts |= ack.transaction.is_some();
                }
            }
            Intent::RemoveConsumer { consumer, .. } => drop(self.consumers.remove(consumer)),
            Intent::RemoveSession { session, .. } => self.consumers.retain(|id, _| id.session != *session),
            _ => {}
        }
    }

    /// Whether a consumer has something left that it would commit.
    pub(crate) fn is_anything(&self) -> bool {
        self.consumers.values().any(|account| account.transacts && account.messages > 0)
    }
}

#[cfg(test)]
mod tests {
    use ferromq_engine::AckRequest;
    use ferromq_model::{LocalTransactionId, Text, TransactionId};

    use super::*;

    const ONE: LocalId = LocalId { session: 1, value: 1 };
    const OTHER: LocalId = LocalId { session: 2, value: 1 };

    fn ack(consumer: LocalId, kind: AckKind, count: u32) -> Intent {
        let transaction =
            Some(TransactionId::Local(LocalTransactionId { connection: Text::from("ID:a-1-1:1"), value: 1 }));
        Intent::Ack(Box::new(AckRequest {
            consumer,
            kind,
            first: None,
            last: None,
            count,
            transaction,
            cause: None,
        }))
    }

    #[test]
    fn what_is_consumed_is_owed_no_longer() {
        let mut owed = Owed::default();
        owed.began(ONE);
        for _ in 0..4 {
            owed.delivered(ONE);
        }
        owed.heard(&ack(ONE, AckKind::Delivered, 4));
        owed.heard(&ack(ONE, AckKind::Standard, 3));
        assert!(owed.is_anything(), "handed to the application is not consumed");
        owed.heard(&ack(OTHER, AckKind::Standard, 1));
        assert!(owed.is_anything(), "another consumer's");
        owed.heard(&ack(ONE, AckKind::Individual, 1));
        assert!(!owed.is_anything());
    }

    #[test]
    fn without_transactions_nothing_is_owed() {
        let mut owed = Owed::default();
        owed.began(ONE);
        owed.delivered(ONE);
        owed.delivered(ONE);
        let Intent::Ack(mut plain) = ack(ONE, AckKind::Standard, 1) else { panic!("an ack") };
        plain.transaction = None;
        owed.heard(&Intent::Ack(plain));
        assert!(!owed.is_anything());
    }

    #[test]
    fn a_consumer_that_has_ended_owes_nothing() {
        let two_of = |consumer| {
            let mut owed = Owed::default();
            owed.began(consumer);
            owed.delivered(consumer);
            owed.delivered(consumer);
            owed.heard(&ack(consumer, AckKind::Standard, 1));
            assert!(owed.is_anything());
            owed
        };
        let mut owed = two_of(ONE);
        owed.heard(&Intent::RemoveConsumer { consumer: ONE, last_delivered: -1 });
        assert!(!owed.is_anything());
        owed.delivered(ONE);
        assert!(owed.consumers.is_empty(), "what was on the way to it");
        let mut owed = two_of(OTHER);
        owed.heard(&Intent::RemoveSession { session: OTHER.session, last_delivered: -1 });
        assert!(!owed.is_anything());
    }
}
