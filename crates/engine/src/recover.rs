//! Recovery: what the store holds becomes the engine's state; messages are paged in when somebody wants them.

use ferromq_store::Recovered;
use rustc_hash::FxHashMap;

use crate::Severity;
use crate::durable::Share;
use crate::engine::{Engine, Outputs};
use crate::place::{Body, Site, Topic};
use crate::queue::Queue;
use crate::window::Window;

impl Engine {
    /// Takes over what the store holds; once, before the first [`Engine::handle`].
    pub fn recover(&mut self, recovered: Recovered, out: &mut Outputs) {
        self.outbox.swap(out);
        self.next_sequence = recovered.next_sequence.0.max(1);
        self.recovered_next = self.next_sequence;
        self.next_destination = recovered.next_destination.0.max(1);
        self.next_subscription = recovered.next_subscription.0.max(1);
        self.dedup.recover(recovered.producers);
        let mut keys = FxHashMap::default();
        for state in recovered.destinations {
            let policy = self.settings.policies.of(&state.destination);
            let is_queue = state.destination.kind.is_queue();
            let body = if is_queue {
                let window =
                    Window::recovered(&policy, state.messages, state.exposed, recovered.next_sequence);
                Body::Queue(Box::new(Queue::new(window, policy.message_groups)))
            } else {
                Body::Topic(Topic::default())
            };
            let mut site = Site::new(state.destination.clone(), policy, body);
            site.id = Some(state.id);
            if is_queue {
                site.counters.recovered = state.messages;
            }
            site.store_bytes = state.bytes;
            self.flow.found(state.bytes);
            let key = self.places.insert(site);
            keys.insert(state.destination.clone(), key);
            self.wire_virtual_topic(key, &state.destination);
        }
        for state in recovered.subscriptions {
            let name = state.record.name.clone();
            let durable = match self.insert_durable(state.record) {
                Ok(durable) => durable,
                Err(fault) => {
                    self.outbox.log(Severity::Error, format!("durable subscription {name}: {}", fault.text));
                    continue;
                }
            };
            let Some(found) = self.durables.get_mut(durable) else { continue };
            let mut rest = state.messages;
            for Share { place, window } in &mut found.shares {
                let Some(site) = self.places.arena.get_mut(*place) else { continue };
                if site.id.is_none() {
                    continue;
                }
                // A subscription by pattern knows the sum only: pages tell what lies in which topic.
                let held = std::mem::take(&mut rest);
                *window = Window::recovered(&site.policy, held, state.exposed, recovered.next_sequence);
                if held == 0 && state.messages > 0 {
                    window.look_into_store(recovered.next_sequence);
                }
                site.counters.recovered += held;
            }
        }
        self.recover_links(recovered.streams);
        for destination in std::mem::take(&mut self.settings.destinations) {
            if self.places.find(&destination).is_none() {
                self.make_place(&destination, None);
            }
        }
        for lost in recovered.quarantined {
            let name =
                lost.destination.map_or_else(|| "an unknown destination".to_owned(), |name| name.to_string());
            let id = lost.message_id.unwrap_or_else(|| "of unknown id".to_owned());
            self.outbox.log(
                Severity::Error,
                format!("message {id} of {name} is damaged and not served: {}", lost.reason),
            );
        }
        self.outbox.seal();
        self.outbox.swap(out);
    }
}
