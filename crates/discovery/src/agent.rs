//! [`Agent`]: who is there, and when to say that we are.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use ferromq_model::Instant;
use ferromq_uri::{ConnectUri, MulticastOptions, Options, Protocol, Uri};

use crate::{Datagram, State};

/// Brokers of one group that are remembered; others are passed over until one of these goes.
pub const MAX_BROKERS: usize = 256;

/// A broker that was silent for so many intervals is gone, as in ActiveMQ.
const MISSED: u32 = 10;

/// What an agent wants, or has found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output {
    /// To be sent to the group.
    Send(Vec<u8>),
    /// A broker is there: scheme, host and port.
    Found(Uri),
    /// It said that it ends, or nothing for too long.
    Gone(Uri),
    /// There are more than [`MAX_BROKERS`]; told once until one goes.
    Crowded,
}

/// Hears the datagrams of a group, and has those of its own services sent.
#[derive(Debug)]
pub struct Agent {
    group: String,
    interval: Duration,
    /// Where we listen, as others are told.
    services: Vec<String>,
    /// Never found.
    own: Vec<String>,
    known: BTreeMap<String, Sighting>,
    crowded: bool,
    next_beat: Option<Instant>,
    outputs: VecDeque<Output>,
}

#[derive(Debug)]
struct Sighting {
    uri: Uri,
    last: Instant,
}

impl Agent {
    /// An agent that tells of `services`, none for one that only listens. Its own services are never found.
    pub fn new(options: &MulticastOptions, services: Vec<String>) -> Self {
        let agent = Self {
            group: options.group.clone(),
            interval: Duration::from_millis(options.keep_alive_interval_ms.max(1)),
            next_beat: (!services.is_empty()).then_some(Instant(0)),
            own: Vec::new(),
            services,
            known: BTreeMap::new(),
            crowded: false,
            outputs: VecDeque::new(),
        };
        let own = agent.services.clone();
        agent.passing_over(own.iter().map(String::as_str))
    }

    /// Further addresses of our own, of which another agent tells, are not found either.
    #[must_use]
    pub fn passing_over<'a>(mut self, own: impl IntoIterator<Item = &'a str>) -> Self {
        self.own.extend(own.into_iter().filter_map(place).map(|uri| uri.to_string()));
        self
    }

    /// Who is there, in the order of their addresses.
    pub fn known(&self) -> impl Iterator<Item = &Uri> {
        self.known.values().map(|sighting| &sighting.uri)
    }

    /// The next thing to do; to be asked until there is none, after each call below.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// A datagram came.
    pub fn heard(&mut self, bytes: &[u8], now: Instant) {
        let Some(said) = Datagram::read(bytes, &self.group) else { return };
        let Some(uri) = place(said.service) else { return };
        let service = uri.to_string();
        match said.state {
            State::Dead => self.gone(&service),
            State::Alive if self.own.contains(&service) => {}
            State::Alive => self.lives(service, uri, now),
        }
    }

    fn lives(&mut self, service: String, uri: Uri, now: Instant) {
        if let Some(sighting) = self.known.get_mut(&service) {
            sighting.last = now;
        } else if self.known.len() < MAX_BROKERS {
            self.known.insert(service, Sighting { uri: uri.clone(), last: now });
            self.outputs.push_back(Output::Found(uri));
        } else if !std::mem::replace(&mut self.crowded, true) {
            self.outputs.push_back(Output::Crowded);
        }
    }

    /// When [`Agent::tick`] is due.
    pub fn next_deadline(&self) -> Option<Instant> {
        let silence = self.known.values().map(|sighting| sighting.last).min();
        let silence = silence.map(|last| last + self.patience());
        [silence, self.next_beat].into_iter().flatten().min()
    }

    /// Looks at the clock.
    pub fn tick(&mut self, now: Instant) {
        if self.next_beat.is_some_and(|at| now >= at) {
            self.say(State::Alive);
            self.next_beat = Some(now + self.interval);
        }
        let patience = self.patience();
        let silent = |sighting: &Sighting| now.since(sighting.last) >= patience;
        let gone: Vec<String> =
            self.known.iter().filter(|(_, seen)| silent(seen)).map(|(service, _)| service.clone()).collect();
        for service in gone {
            self.gone(&service);
        }
    }

    /// Tells everybody that our services end.
    pub fn leave(&mut self) {
        self.say(State::Dead);
        self.next_beat = None;
    }

    fn patience(&self) -> Duration {
        self.interval * MISSED
    }

    fn say(&mut self, state: State) {
        let said = self.services.iter().map(|service| Datagram::of(state, service).write(&self.group));
        self.outputs.extend(said.map(Output::Send));
    }

    fn gone(&mut self, service: &str) {
        if let Some(sighting) = self.known.remove(service) {
            self.crowded = false;
            self.outputs.push_back(Output::Gone(sighting.uri));
        }
    }
}

/// Scheme, host and port of a broker that speaks OpenWire; its options are its own.
fn place(service: &str) -> Option<Uri> {
    let mut uri = Uri::parse(service).ok()?;
    uri.options = Options::default();
    uri.path = String::new();
    let place = ConnectUri::from_uri(&uri).ok()?;
    let speaks = matches!(place.scheme.protocol(), Some(Protocol::OpenWire | Protocol::Auto));
    (speaks && !place.scheme.is_websocket() && place.endpoint.port != Some(0)).then_some(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn agent(services: &[&str]) -> Agent {
        Agent::new(&MulticastOptions::default(), services.iter().map(|text| (*text).to_owned()).collect())
    }

    fn outputs(agent: &mut Agent) -> Vec<String> {
        let text = |output| match output {
            Output::Send(said) => String::from_utf8(said).unwrap(),
            Output::Found(uri) => format!("found {uri}"),
            Output::Gone(uri) => format!("gone {uri}"),
            Output::Crowded => "crowded".to_owned(),
        };
        std::iter::from_fn(|| agent.poll()).map(text).collect()
    }

    fn alive(service: &str) -> Vec<u8> {
        Datagram::of(State::Alive, service).write("default")
    }

    #[test]
    fn a_broker_says_that_it_lives_at_once_and_at_each_interval_and_in_the_end_that_it_ends() {
        let mut agent = agent(&["tcp://here:1"]);
        let beat = "default.ActiveMQ-4.alive.%localhost%tcp://here:1";
        agent.tick(Instant(0));
        assert_eq!(outputs(&mut agent), [beat]);
        assert_eq!(agent.next_deadline(), Some(Instant(0) + SECOND / 2));
        agent.tick(Instant(0) + SECOND / 4);
        assert!(outputs(&mut agent).is_empty());
        agent.tick(Instant(0) + SECOND / 2);
        assert_eq!(outputs(&mut agent), [beat]);
        agent.leave();
        assert_eq!(outputs(&mut agent), ["default.ActiveMQ-4.dead.%localhost%tcp://here:1"]);
        assert_eq!(agent.next_deadline(), None);
    }

    #[test]
    fn a_broker_is_found_once_and_gone_when_it_says_so_or_nothing_for_ten_intervals() {
        let mut agent = agent(&[]);
        agent.heard(&alive("tcp://a:1"), Instant(0));
        agent.heard(&alive("tcp://b:1"), Instant(0));
        agent.heard(&alive("tcp://a:1"), Instant(0) + 2 * SECOND);
        assert_eq!(outputs(&mut agent), ["found tcp://a:1", "found tcp://b:1"]);
        assert_eq!(agent.next_deadline(), Some(Instant(0) + 5 * SECOND));
        agent.tick(Instant(0) + 5 * SECOND);
        assert_eq!(outputs(&mut agent), ["gone tcp://b:1"]);
        let dead = Datagram::of(State::Dead, "tcp://a:1").write("default");
        agent.heard(&dead, Instant(0) + 6 * SECOND);
        agent.heard(&dead, Instant(0) + 6 * SECOND);
        assert_eq!(outputs(&mut agent), ["gone tcp://a:1"]);
        agent.heard(&alive("tcp://a:1"), Instant(0) + 7 * SECOND);
        assert_eq!(outputs(&mut agent), ["found tcp://a:1"]);
    }

    #[test]
    fn own_services_are_never_found() {
        let mut agent = agent(&["tcp://here:1"]).passing_over(["nio://here:2"]);
        agent.heard(&alive("tcp://here:1"), Instant(0));
        agent.heard(&alive("nio://here:2?trace=true"), Instant(0));
        assert!(outputs(&mut agent).is_empty());
    }

    #[test]
    fn options_and_other_protocols_from_the_network_are_left_out() {
        let mut agent = agent(&[]);
        agent.heard(&alive("tcp://a:1?maximumConnections=5000&jms.password=x"), Instant(0));
        for other in ["stomp://a:2", "vm://a", "failover:(tcp://a:3)", "tcp://a:0", "ws://a:4", "no uri"] {
            agent.heard(&alive(other), Instant(0));
        }
        assert_eq!(outputs(&mut agent), ["found tcp://a:1"]);
    }

    #[test]
    fn a_flood_of_brokers_is_bounded() {
        let mut agent = agent(&[]);
        for n in 0..2 * MAX_BROKERS {
            agent.heard(&alive(&format!("tcp://host-{n}:1")), Instant(0));
        }
        let all = outputs(&mut agent);
        assert_eq!(all.len(), MAX_BROKERS + 1);
        assert_eq!(all.last().map(String::as_str), Some("crowded"));
        // Who is gone makes room.
        agent.tick(Instant(0) + 5 * SECOND);
        assert_eq!(outputs(&mut agent).len(), MAX_BROKERS);
        agent.heard(&alive("tcp://late:1"), Instant(0) + 6 * SECOND);
        assert_eq!(outputs(&mut agent), ["found tcp://late:1"]);
    }

    proptest::proptest! {
        #[test]
        fn nothing_that_comes_over_the_network_makes_it_panic(bytes: Vec<u8>, text in ".{0,200}") {
            let mut agent = agent(&[]);
            agent.heard(&bytes, Instant(0));
            agent.heard(&alive(&text), Instant(0));
            let said = Datagram::of(State::Alive, &text).write("default");
            let read = Datagram::read(&said, "default").map(|said| said.service.to_owned());
            proptest::prop_assert_eq!(read, (!text.is_empty()).then_some(text));
        }
    }
}
