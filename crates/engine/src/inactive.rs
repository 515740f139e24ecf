//! Destinations that nobody uses are removed, if their policy says so (`gcInactiveDestinations`).

use crate::engine::{Engine, Timer};
use crate::place::{Body, PlaceKey, Site};

impl Engine {
    /// Begins to look, once.
    pub(crate) fn arm_inactive(&mut self) {
        let period = self.settings.gc_period;
        if !self.inactive_armed && !period.is_zero() {
            self.inactive_armed = true;
            self.timers.insert((self.now.mono + period, Timer::Inactive));
        }
    }

    /// Removes what was unused for long enough, and notes what is unused from now on.
    pub(crate) fn look_for_inactive(&mut self) {
        let now = self.now.mono;
        let mut gone: Vec<PlaceKey> = Vec::new();
        let keys = self.places.arena.keys();
        for key in keys {
            let Some(site) = self.places.get(key) else { continue };
            let Some(timeout) = site.policy.inactive_timeout else { continue };
            let unused = self.is_unused(key, site).then_some(site.sent);
            let since = match (site.unused, unused) {
                (Some((since, sent)), Some(now_sent)) if sent == now_sent => Some((since, sent)),
                (_, unused) => unused.map(|sent| (now, sent)),
            };
            if since.is_some_and(|(since, _)| now.since(since) >= timeout) {
                gone.push(key);
            }
            if let Some(site) = self.places.get_mut(key) {
                site.unused = since;
            }
        }
        for key in gone {
            if let Some(site) = self.places.get(key) {
                let text = format!(
                    "{} was inactive for longer than its policy allows, and is removed",
                    site.destination
                );
                self.outbox.log(crate::Severity::Info, text);
            }
            self.drop_place(key);
        }
        self.inactive_armed = false;
        self.arm_inactive();
    }

    fn is_unused(&self, key: PlaceKey, site: &Site) -> bool {
        let nobody = match &site.body {
            Body::Queue(queue) => queue.attached.is_empty() && queue.browsers.is_empty(),
            Body::Topic(topic) => topic.consumers.is_empty() && topic.durables.is_empty(),
        };
        nobody
            && site.producers == 0
            && site.parked.is_empty()
            && site.topic_pending == 0
            && !site.destination.kind.is_temporary()
            && !site.destination.is_advisory()
            && self.held(key, site) == 0
    }
}
