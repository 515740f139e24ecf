//! [`Engine`]: the one owner of all broker state.

use std::sync::Arc;

use ferromq_model::{Epoch, Instant, Now, PropertyCodec};
use ferromq_store::Recovered;

use crate::{Input, Output, Settings, View};

/// Where the engine puts what is to be done, in order.
pub type Outputs = Vec<Output>;

/// All queues, topics, subscriptions, consumers, producers and transactions of one broker.
#[derive(Debug)]
pub struct Engine {
    settings: Settings,
    codec: Arc<dyn PropertyCodec>,
    epoch: Epoch,
}

impl Engine {
    /// An engine without destinations, whose units of work carry `epoch`.
    pub fn new(settings: Settings, codec: Arc<dyn PropertyCodec>, epoch: Epoch) -> Self {
        Self { settings, codec, epoch }
    }

    /// Takes over what the store holds; once, before the first [`Engine::handle`].
    pub fn recover(&mut self, recovered: Recovered, out: &mut Outputs) {
        let _ = (recovered, out);
    }

    /// Lets something happen, and says what is to be done about it.
    pub fn handle(&mut self, now: Now, input: Input, out: &mut Outputs) {
        let _ = (now, input, out, &self.settings, &self.codec, self.epoch);
    }

    /// Lets time pass: to be called at [`Engine::next_deadline`], or at any time.
    pub fn tick(&mut self, now: Now, out: &mut Outputs) {
        let _ = (now, out);
    }

    /// When [`Engine::tick`] is needed next.
    pub fn next_deadline(&self) -> Option<Instant> {
        None
    }

    /// A picture of everything, for administrators and tests.
    pub fn view(&self) -> View {
        View::default()
    }

    /// Whether the books balance; for tests and simulation, costs as much as there is state.
    ///
    /// # Errors
    /// What does not fit, in words.
    pub fn check_invariants(&self) -> Result<(), String> {
        Ok(())
    }
}
