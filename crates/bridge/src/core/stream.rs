//! The stream of a link between brokers of this kind, by which each message goes over exactly once.
//!
//! Both brokers tell in their `BrokerInfo` that they keep streams. Then the bridge asks the remote one for what it has
//! of this link's stream and tells that to the local one, before anything is subscribed to; from then on the local
//! broker gives each message a position, and the bridge passes it on as it is. What was under way when a link was
//! lost is decided between the brokers that way, and never here.

use ferromq_openwire::{
    Command, ConsumerId, ControlCommand, DataResponse, ExceptionClass, Throwable, WireStr,
};

use super::traffic::Flight;
use super::{Bridge, Broker, Ending, Side, text_of};

/// The line in a `BrokerInfo`'s properties by which a broker tells that it keeps streams.
pub(crate) const KEEPS_STREAMS: &str = "ferromqLinks=1";

/// The line by which a broker tells that it turns back what finds no room, and takes back what was turned back.
pub(crate) const TURNS_BACK: &str = "ferromqTurnsBack=1";
/// With this the local broker begins anew with a destination.
const AGAIN: &str = "ferromq-link again\n";
/// What marks the number of a message as its position in a stream.
const POSITION: i64 = 1 << 62;

/// How far the stream is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Stream {
    /// A broker keeps none, or none is wanted.
    #[default]
    None,
    /// The remote broker has been asked by this request.
    Asked(String, i32),
    /// The local broker has been told by this request.
    Told(i32),
    /// Messages have positions.
    On,
}

impl Bridge {
    /// Whether messages have positions, or will have.
    pub(super) fn has_stream(&self) -> bool {
        self.stream != Stream::None
    }

    /// Whether it may be subscribed and sent.
    pub(super) fn stream_settled(&self) -> bool {
        matches!(self.stream, Stream::None | Stream::On)
    }

    /// Whether the link will have a stream, once both brokers are known.
    pub(super) fn wants_stream(&self, local: &Broker, remote: &Broker) -> bool {
        self.settings.exactly_once && local.keeps_streams && remote.keeps_streams
    }

    /// Whether messages for which the remote broker has no room go back to where they lay.
    fn takes_back(&self) -> bool {
        let turns = |broker: &Option<Broker>| broker.as_ref().is_some_and(|broker| broker.turns_back);
        turns(&self.local) && turns(&self.remote)
    }

    /// Whether a message that was refused for want of room is to lie where it lay, so that it holds up no other.
    pub(super) fn goes_back(&self, flight: &Flight, reason: &Throwable) -> bool {
        self.stream == Stream::On
            && self.takes_back()
            && reason.known_class() == Some(ExceptionClass::ResourceAllocation)
            && flight.id.broker_sequence_id & POSITION != 0
    }

    /// The local broker has a message again that the remote one did not take.
    pub(super) fn give_back(&mut self, flight: &Flight) {
        let ConsumerId { session_id, value, .. } = ConsumerId::new(&self.local_session, flight.subscription);
        let text = format!("ferromq-link back\n{session_id}:{value}:{}", flight.id.broker_sequence_id);
        let command_id = self.command_id();
        self.say(Side::Local, control(command_id, text));
    }

    /// The local broker tries again what was given back to it, and the remote one is told.
    pub(super) fn tried_again(&mut self, command: ControlCommand) {
        if command.command.as_ref().is_some_and(|text| text.to_str().starts_with(AGAIN)) {
            self.say(Side::Remote, command);
        }
    }

    /// Asks the remote broker for what it has; it lets go of the connection before.
    pub(super) fn open_stream(&mut self, local: &Broker, remote: &Broker) {
        let back = if self.mirror { "~" } else { "" };
        let text =
            |id: &ferromq_openwire::BrokerId| id.value.as_ref().map(ToString::to_string).unwrap_or_default();
        let name = format!("{}>{}/{}{back}", text(&local.id), text(&remote.id), self.settings.name);
        let name = name.replace('\n', " ");
        let command_id = self.command_id();
        let open = if self.takes_back() { "open back" } else { "open" };
        self.say(Side::Remote, control(command_id, format!("ferromq-link {open}\n{name}")));
        self.stream = Stream::Asked(name, command_id);
    }

    /// The remote broker's answer, if it is one about the stream.
    pub(super) fn stream_reported(&mut self, response: &DataResponse) -> bool {
        let Stream::Asked(name, asked) = &self.stream else { return false };
        if *asked != response.correlation_id {
            return false;
        }
        let Some(Command::ControlCommand(report)) = response.data.as_deref() else {
            self.end(Ending::Refused(
                "the remote broker does not say what it has of the link's stream".to_owned(),
            ));
            return true;
        };
        let report = report.command.as_ref().map(ToString::to_string).unwrap_or_default();
        let text = format!("ferromq-link begin\n{name}\n{report}");
        let command_id = self.command_id();
        self.say(Side::Local, control(command_id, text));
        self.stream = Stream::Told(command_id);
        true
    }

    /// A broker's answer to a command; says whether that was about the stream.
    pub(super) fn stream_answered(&mut self, side: Side, request: i32, refusal: Option<&Throwable>) -> bool {
        let ours = match &self.stream {
            Stream::Asked(_, asked) => side == Side::Remote && *asked == request,
            Stream::Told(told) => side == Side::Local && *told == request,
            _ => false,
        };
        match refusal {
            _ if !ours => return false,
            Some(reason) => {
                let text = format!(
                    "{} does not take up the link's stream: {}",
                    side.broker(),
                    text_of(Some(reason))
                );
                self.end(Ending::Refused(text));
            }
            None if side == Side::Local => {
                self.stream = Stream::On;
                self.subscribe_statically();
                self.listen_remotely();
                self.came_up();
            }
            None => self.end(Ending::Refused(
                "the remote broker does not say what it has of the link's stream".to_owned(),
            )),
        }
        true
    }
}

/// Whether a command is about the stream of a duplex bridge's other half.
pub(super) fn is_about_stream(command: &Command) -> bool {
    match command {
        Command::ControlCommand(info) => {
            info.command.as_ref().is_some_and(|text| text.to_str().starts_with("ferromq-link "))
        }
        _ => false,
    }
}

fn control(command_id: i32, text: String) -> ControlCommand {
    ControlCommand { command_id, response_required: true, command: Some(WireStr::from(text)) }
}
