//! What brokers of this kind say to each other about the streams of links: control commands, which ActiveMQ ignores.
//!
//! A link asks `ferromq-link open`, with the stream's name in the next line, and is answered with a `DataResponse` whose
//! data is a control command with the report: the highest position, then for each that was taken, how far below that
//! it is and the hash of its message's id, all in hexadecimal. The last of them is told once more at the end whose message lay
//! in the sender's store, which an older version takes for the same again. The link says `ferromq-link begin`, the name and that report to
//! its own broker. A message's position stands in its `brokerSequenceId`, which each broker sets anew.

use std::collections::BTreeMap;
use std::fmt::Write;

use ferromq_engine::{Fault, FaultKind, Intent, StreamReport};
use ferromq_model::{StreamPosition, Text};
use ferromq_openwire as wire;

use super::inbound::fault;

const OPEN: &str = "ferromq-link open\n";
const BEGIN: &str = "ferromq-link begin\n";
/// What makes a position of a number that could be a place in another broker's order.
const MARK: i64 = 1 << 62;
/// More positions than any report has.
const MOST: usize = 4_096;

/// What a control command wants; `None` if it is about something else.
pub(super) fn intent(command: &str) -> Option<Result<Intent, Fault>> {
    if let Some(name) = command.strip_prefix(OPEN) {
        return Some(Ok(Intent::OpenStream(Text::from(name))));
    }
    let (name, report) = command.strip_prefix(BEGIN)?.split_once('\n')?;
    let begin = |report| Intent::BeginLink { stream: Text::from(name), report };
    Some(read(report).map(begin).ok_or_else(|| fault(FaultKind::Protocol, "this is no report of a stream")))
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
    let number = id?.broker_sequence_id;
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
