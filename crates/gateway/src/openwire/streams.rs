//! What brokers of this kind say to each other about the streams of links: control commands, which ActiveMQ ignores.
//!
//! A link asks `ferromq-link open`, with the stream's name in the next line, and is answered with a `DataResponse` whose
//! data is a control command with the report: the highest position, then for each that was taken, how far below that
//! it is and the hash of its message's id, all in hexadecimal. The last of them is told once more at the end whose message lay
//! in the sender's store, which an older version takes for the same again. The link says `ferromq-link begin`, the name and that report to
//! its own broker. A message's position stands in its `brokerSequenceId`, which each broker sets anew.
//!
//! A link that asks `ferromq-link open back` is refused a message for which there is no room within a moment, with a
//! `ResourceAllocationException`. To its own broker it says `ferromq-link back` then, with the consumer that the message was handed
//! to and its number as it travelled, and the message is in its place again. Before the first one that follows, the local broker
//! says `ferromq-link again` with the destination, and the link passes that on.

use std::collections::BTreeMap;
use std::fmt::Write;

use ferromq_engine::{Fault, FaultKind, Intent, LocalId, StreamReport};
use ferromq_model::{Destination, DestinationKind, StreamPosition, Text};
use ferromq_openwire as wire;

use super::inbound::fault;

const OPEN: &str = "ferromq-link open\n";
const OPEN_BACK: &str = "ferromq-link open back\n";
const BACK: &str = "ferromq-link back\n";
const AGAIN: &str = "ferromq-link again\n";
const BEGIN: &str = "ferromq-link begin\n";
/// What makes a position of a number that could be a place in another broker's order.
const MARK: i64 = 1 << 62;
/// More positions than any report has.
const MOST: usize = 4_096;

/// What a control command wants; `None` if it is about something else.
pub(super) fn intent(command: &str) -> Option<Result<Intent, Fault>> {
    if let Some(name) = command.strip_prefix(OPEN) {
        return Some(Ok(Intent::OpenStream { stream: Text::from(name), takes_back: false }));
    }
    if let Some(name) = command.strip_prefix(OPEN_BACK) {
        return Some(Ok(Intent::OpenStream { stream: Text::from(name), takes_back: true }));
    }
    if let Some(destination) = command.strip_prefix(AGAIN) {
        return Some(Ok(Intent::Resume(named(destination))));
    }
    if let Some(message) = command.strip_prefix(BACK) {
        return Some(
            take_back(message).ok_or_else(|| fault(FaultKind::Protocol, "this names no message of a link")),
        );
    }
    let (name, report) = command.strip_prefix(BEGIN)?.split_once('\n')?;
    let begin = |report| Intent::BeginLink { stream: Text::from(name), report };
    Some(read(report).map(begin).ok_or_else(|| fault(FaultKind::Protocol, "this is no report of a stream")))
}

/// The destination of that name, letter by letter.
fn named(text: &str) -> Destination {
    let kinds = [DestinationKind::Topic, DestinationKind::TempQueue, DestinationKind::TempTopic];
    let found =
        kinds.iter().find_map(|kind| Some(Destination::new(*kind, text.strip_prefix(kind.prefix())?)));
    found.unwrap_or_else(|| {
        Destination::queue(text.strip_prefix(DestinationKind::Queue.prefix()).unwrap_or(text))
    })
}

/// `session:consumer:number`
fn take_back(text: &str) -> Option<Intent> {
    let mut numbers = text.split(':').map(|number| number.parse::<i64>().ok());
    let consumer = LocalId { session: numbers.next()??, value: numbers.next()?? };
    let position = position_of(numbers.next()??)?;
    Some(Intent::TakeBack { consumer, position })
}

/// What is to be said to the other end before a new attempt.
pub(super) fn again(destination: &Destination) -> wire::Command {
    let text = format!("{AGAIN}{destination}");
    wire::ControlCommand { command: Some(wire::WireStr::from(text)), ..Default::default() }.into()
}

/// A report as the data of an answer.
pub(super) fn data(report: &StreamReport) -> wire::Command {
    let mut text = format!("{:x}", report.highest);
    for (position, message) in &report.taken {
        let _ = write!(text, ",{:x}:{message:x}", report.highest - position);
    }
    if let Some(message) = report.taken.get(&report.stored) {
        let _ = write!(text, ",{:x}:{message:x}", report.highest - report.stored);
    }
    wire::ControlCommand { command: Some(wire::WireStr::from(text)), ..Default::default() }.into()
}

fn read(text: &str) -> Option<StreamReport> {
    let mut parts = text.split(',');
    let number = |text: &str| u64::from_str_radix(text, 16).ok();
    let highest = number(parts.next()?)?;
    let (mut taken, mut stored) = (BTreeMap::new(), 0);
    for part in parts {
        let (below, message) = part.split_once(':')?;
        let position = highest.checked_sub(number(below)?)?;
        if taken.insert(position, number(message)?).is_some() {
            stored = position;
        }
        if taken.len() > MOST {
            return None;
        }
    }
    Some(StreamReport { highest, stored, taken })
}

/// The position that a message came with.
pub(super) fn position(id: Option<&wire::MessageId>) -> Option<StreamPosition> {
    position_of(id?.broker_sequence_id)
}

fn position_of(number: i64) -> Option<StreamPosition> {
    (number & MARK != 0).then(|| StreamPosition((number & !MARK).unsigned_abs()))
}

/// A position as it travels.
pub(super) fn on_the_wire(position: StreamPosition) -> i64 {
    i64::try_from(position.0).unwrap_or(0) | MARK
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_comes_back_as_it_was_told() {
        let taken = (5_000..6_024_u64).map(|n| (n, n.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
        let whole = StreamReport { highest: 6_023, stored: 6_000, taken };
        for report in [StreamReport::default(), StreamReport { stored: 0, ..whole.clone() }, whole] {
            let wire::Command::ControlCommand(said) = data(&report) else { panic!("a control command") };
            let text = said.command.unwrap().to_string();
            assert!(text.len() < 32_000, "{} bytes must fit into one string of the wire", text.len());
            let Some(Ok(Intent::BeginLink { stream, report: told })) = intent(&format!("{BEGIN}a>b\n{text}"))
            else {
                panic!("a link that begins");
            };
            assert_eq!((stream, told), (Text::from("a>b"), report));
        }
    }

    #[test]
    fn what_was_turned_back_is_named_as_it_travelled() {
        let text = format!("{BACK}3:-7:{}", on_the_wire(StreamPosition(12)));
        let Some(Ok(Intent::TakeBack { consumer, position })) = intent(&text) else { panic!("{text}") };
        assert_eq!((consumer, position), (LocalId { session: 3, value: -7 }, StreamPosition(12)));
        for text in ["", "1", "1:2", "1:2:x", "1:2:12", "x:2:12", "1:99999999999999999999:4"] {
            assert!(matches!(intent(&format!("{BACK}{text}")), Some(Err(_))), "{text:?}");
        }
    }

    #[test]
    fn a_new_attempt_names_its_destination_letter_by_letter() {
        for name in
            ["queue://a.b", "topic:// spaces at both ends ", "temp-queue://ID:x:1", "queue://topic://x"]
        {
            let destination = named(name);
            assert_eq!(destination.to_string(), name);
            let wire::Command::ControlCommand(said) = again(&destination) else {
                panic!("a control command")
            };
            let heard = intent(&said.command.unwrap().to_string());
            assert!(matches!(heard, Some(Ok(Intent::Resume(told))) if told == destination), "{name}");
        }
        assert_eq!(named("plain"), Destination::queue("plain"));
    }

    #[test]
    fn nonsense_is_refused_and_other_commands_are_not_for_here() {
        for text in ["", "x", "5,6:1", "5,1", "5,1:", "5,1:g"] {
            assert!(matches!(intent(&format!("{BEGIN}a\n{text}")), Some(Err(_))), "{text:?}");
        }
        assert!(intent("shutdown").is_none() && intent(BEGIN).is_none());
    }

    #[test]
    fn a_place_in_a_brokers_order_is_no_position() {
        let id = |broker_sequence_id| wire::MessageId { broker_sequence_id, ..Default::default() };
        assert_eq!(position(Some(&id(12))), None);
        assert_eq!(position(Some(&id(on_the_wire(StreamPosition(12))))), Some(StreamPosition(12)));
    }
}
