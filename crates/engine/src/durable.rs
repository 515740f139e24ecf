//! [`Durable`]: a durable subscription (JMS 1.1 §6.11.1), with or without its consumer.

use ferromq_model::Text;
use ferromq_store::SubscriptionRecord;

use crate::arena::Key;
use crate::consumer::ConsumerKey;
use crate::filter::Filter;
use crate::place::PlaceKey;
use crate::window::Window;

pub(crate) type DurableKey = Key<Durable>;

/// What waits for a subscription in one topic.
#[derive(Debug)]
pub(crate) struct Share {
    pub(crate) place: PlaceKey,
    pub(crate) window: Window,
}

#[derive(Debug)]
pub(crate) struct Durable {
    pub(crate) record: SubscriptionRecord,
    pub(crate) filter: Option<Filter>,
    /// One for each topic; more than one for a pattern or a composite.
    pub(crate) shares: Vec<Share>,
    pub(crate) consumer: Option<ConsumerKey>,
    /// The connection whose messages it does not want (`noLocal`): the last that used it.
    pub(crate) connection: Option<Text>,
}

impl Durable {
    pub(crate) fn window(&self, place: PlaceKey) -> Option<&Window> {
        self.shares.iter().find(|share| share.place == place).map(|share| &share.window)
    }

    pub(crate) fn window_mut(&mut self, place: PlaceKey) -> Option<&mut Window> {
        self.shares.iter_mut().find(|share| share.place == place).map(|share| &mut share.window)
    }

    pub(crate) fn held(&self) -> u64 {
        self.shares.iter().map(|share| share.window.held).sum()
    }
}
