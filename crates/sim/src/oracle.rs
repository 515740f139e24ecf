//! [`Oracle`]: knows of each message whether it was acknowledged, refused or is unknown, and judges every delivery.
//!
//! It sees only what clients see: what they sent, what was answered, what was delivered. So it can be wrong about
//! nothing that a user could be right about.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A message of the workload: who made it, and its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Parcel {
    /// The producer.
    pub producer: u32,
    /// Its count, from 1.
    pub number: u32,
}

impl fmt::Display for Parcel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.producer, self.number)
    }
}

impl Parcel {
    /// Reads what [`fmt::Display`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        let (producer, number) = text.split_once('-')?;
        Some(Self { producer: producer.parse().ok()?, number: number.parse().ok()? })
    }
}

/// Where copies of a message go, each judged for itself: a queue, or one durable subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Channel(pub u32);

/// A transaction of the workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Work(pub u32);

/// What is known of a send, an acknowledgement or a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Begun; whether it happens is still the client's to say.
    Open,
    /// Asked for, not answered: may have happened or not.
    Unknown,
    /// Answered: it happened.
    Done,
    /// Answered: it did not happen; or never asked for.
    Undone,
}

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The name of the invariant.
    pub invariant: &'static str,
    /// What was seen.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.text)
    }
}

#[derive(Debug)]
struct Sent {
    fate: Fate,
    work: Option<Work>,
    persistent: bool,
    copies: BTreeMap<Channel, Copy>,
}

/// One message on one channel.
#[derive(Debug, Default)]
struct Copy {
    deliveries: u32,
    /// The consumers that were handed it as new, and as a repetition.
    fresh: BTreeSet<u32>,
    repeated: BTreeSet<u32>,
    /// An acknowledgement, or a transaction with one, was answered as done.
    consumed: bool,
}

/// The account of one run.
#[derive(Debug, Default)]
pub struct Oracle {
    sent: BTreeMap<Parcel, Sent>,
    works: BTreeMap<Work, Fate>,
    /// The last parcel that came unflagged, by consumer, channel and producer.
    last_fresh: BTreeMap<(u32, Channel, u32), u32>,
    violations: Vec<Violation>,
    deliveries: u64,
}

impl Oracle {
    /// A client sends a message for these channels; within a transaction it may not be seen before the commit.
    pub fn sending(&mut self, parcel: Parcel, channels: &[Channel], persistent: bool, work: Option<Work>) {
        let fate = if work.is_some() { Fate::Open } else { Fate::Unknown };
        let copies = channels.iter().map(|channel| (*channel, Copy::default())).collect();
        self.sent.insert(parcel, Sent { fate, work, persistent, copies });
        if let Some(work) = work {
            self.works.entry(work).or_insert(Fate::Open);
        }
    }

    /// The broker answered a send outside a transaction.
    pub fn send_answered(&mut self, parcel: Parcel, accepted: bool) {
        if let Some(sent) = self.sent.get_mut(&parcel) {
            sent.fate = if accepted { Fate::Done } else { Fate::Undone };
        }
    }

    /// A client asks to commit.
    pub fn committing(&mut self, work: Work) {
        self.works.insert(work, Fate::Unknown);
    }

    /// The broker answered a commit; or a transaction was rolled back, or died with its connection before it was
    /// to be committed.
    pub fn work_ended(&mut self, work: Work, committed: bool, consumed: &[(Channel, Parcel)]) {
        self.works.insert(work, if committed { Fate::Done } else { Fate::Undone });
        if committed {
            for (channel, parcel) in consumed {
                self.consumed(*channel, *parcel);
            }
        }
    }

    /// The broker answered something that came after an acknowledgement on the same connection.
    pub fn consumed(&mut self, channel: Channel, parcel: Parcel) {
        if let Some(copy) = self.sent.get_mut(&parcel).and_then(|sent| sent.copies.get_mut(&channel)) {
            copy.consumed = true;
        }
    }

    /// A consumer was handed a message.
    pub fn delivered(&mut self, consumer: u32, channel: Channel, parcel: Parcel, redelivered: bool) {
        self.deliveries += 1;
        let Some(sent) = self.sent.get_mut(&parcel) else {
            return self.accuse("no-invention", format!("{parcel} was delivered and never sent"));
        };
        let fate = match sent.work {
            Some(work) => self.works.get(&work).copied().unwrap_or(Fate::Undone),
            None => sent.fate,
        };
        let Some(copy) = sent.copies.get_mut(&channel) else {
            return self.accuse(
                "no-invention",
                format!("{parcel} was delivered on {channel:?}, not one of its own"),
            );
        };
        copy.deliveries += 1;
        let (again, consumed) = (copy.deliveries > 1, copy.consumed);
        // What the broker sends to another consumer when a link breaks, flagged, may be there before what it had sent
        // down that link. But it calls a message new only once, and two deliveries to one consumer keep their order.
        let overtaken = copy.fresh.is_empty() && !copy.repeated.contains(&consumer);
        if redelivered {
            copy.repeated.insert(consumer)
        } else {
            copy.fresh.insert(consumer)
        };
        match fate {
            Fate::Open => {
                self.accuse(
                    "no-invention",
                    format!("{parcel} was delivered before its transaction was committed"),
                );
            }
            Fate::Undone => {
                self.accuse(
                    "no-invention",
                    format!("{parcel} was delivered although it was refused or rolled back"),
                );
            }
            Fate::Unknown | Fate::Done => {}
        }
        if again && consumed {
            self.accuse(
                "bounded-repetition",
                format!("{parcel} came again on {channel:?} after its consumption was answered"),
            );
        } else if again && !redelivered && !overtaken {
            self.accuse(
                "bounded-repetition",
                format!("{parcel} came again on {channel:?} without JMSRedelivered"),
            );
        }
        if !redelivered {
            let last = self.last_fresh.entry((consumer, channel, parcel.producer)).or_default();
            if *last >= parcel.number {
                let text = format!("{parcel} came on {channel:?} after number {last} of the same producer");
                self.accuse("order", text);
            } else {
                *last = parcel.number;
            }
        }
    }

    /// A broker restarted: what was not persistent may be gone, and what of it was not answered comes anew if it is sent again.
    pub fn lost_memory(&mut self) {
        for sent in self.sent.values_mut().filter(|sent| !sent.persistent) {
            if sent.fate == Fate::Unknown {
                sent.copies.values_mut().for_each(|copy| *copy = Copy::default());
            }
            if sent.fate == Fate::Done {
                sent.fate = Fate::Unknown;
            }
        }
    }

    /// Something broke that is not about one message.
    pub fn accuse(&mut self, invariant: &'static str, text: String) {
        self.violations.push(Violation { invariant, text });
    }

    /// Whether every message that must come has come on each of its channels. A transaction whose commit was not
    /// answered must come whole as soon as anything of it came.
    pub fn settled(&self) -> bool {
        let came = |sent: &Sent| sent.copies.values().any(|copy| copy.deliveries > 0);
        let begun: BTreeSet<Work> =
            self.sent.values().filter(|sent| came(sent)).filter_map(|sent| sent.work).collect();
        self.sent.values().all(|sent| {
            let must = match self.fate(sent) {
                Fate::Done => true,
                Fate::Unknown => sent.work.is_some_and(|work| begun.contains(&work)),
                Fate::Open | Fate::Undone => false,
            };
            !must || sent.copies.values().all(|copy| copy.deliveries > 0)
        })
    }

    fn fate(&self, sent: &Sent) -> Fate {
        match sent.work {
            Some(work) => self.works.get(&work).copied().unwrap_or(Fate::Undone),
            None => sent.fate,
        }
    }

    /// Judges the run after everything was drained.
    pub fn verdict(mut self) -> Vec<Violation> {
        let mut found = Vec::new();
        let mut seen_of: BTreeMap<Work, (u32, u32)> = BTreeMap::new();
        for (parcel, sent) in &self.sent {
            let fate = self.fate(sent);
            for (channel, copy) in &sent.copies {
                if fate == Fate::Done && copy.deliveries == 0 {
                    found.push(Violation {
                        invariant: "durable-before-reply",
                        text: format!("{parcel} was acknowledged and never came on {channel:?}"),
                    });
                }
                if let Some(work) = sent.work {
                    let (seen, all) = seen_of.entry(work).or_default();
                    *seen += u32::from(copy.deliveries > 0);
                    *all += 1;
                }
            }
        }
        for (work, (seen, all)) in seen_of {
            if seen != 0 && seen != all && self.works.get(&work) == Some(&Fate::Unknown) {
                found.push(Violation {
                    invariant: "no-invention",
                    text: format!("{seen} of {all} messages of {work:?} came: a transaction is half visible"),
                });
            }
        }
        self.violations.extend(found);
        self.violations
    }

    /// Messages that were sent, and deliveries that were made.
    pub fn counts(&self) -> (u64, u64) {
        (self.sent.len() as u64, self.deliveries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: Parcel = Parcel { producer: 1, number: 1 };
    const C: Channel = Channel(0);

    fn names(oracle: Oracle) -> Vec<&'static str> {
        oracle.verdict().into_iter().map(|v| v.invariant).collect()
    }

    #[test]
    fn an_acknowledged_message_must_come() {
        let mut oracle = Oracle::default();
        oracle.sending(P, &[C], true, None);
        oracle.send_answered(P, true);
        assert!(!oracle.settled());
        assert_eq!(names(oracle), ["durable-before-reply"]);
    }

    #[test]
    fn an_unknown_message_may_come_or_not() {
        let mut oracle = Oracle::default();
        oracle.sending(P, &[C], true, None);
        assert!(oracle.settled());
        oracle.delivered(0, C, P, false);
        assert_eq!(names(oracle), [""; 0]);
    }

    #[test]
    fn a_repetition_must_be_flagged_and_must_not_follow_an_answered_consumption() {
        let mut oracle = Oracle::default();
        oracle.sending(P, &[C], true, None);
        oracle.delivered(0, C, P, false);
        oracle.delivered(1, C, P, true);
        oracle.delivered(2, C, P, false);
        oracle.consumed(C, P);
        oracle.delivered(3, C, P, true);
        assert_eq!(names(oracle), ["bounded-repetition", "bounded-repetition"]);
    }

    #[test]
    fn a_flagged_repetition_may_overtake_the_first_delivery_on_another_link_once() {
        let mut oracle = Oracle::default();
        oracle.sending(P, &[C], true, None);
        oracle.delivered(1, C, P, true);
        oracle.delivered(0, C, P, false);
        assert_eq!(names(oracle), [""; 0]);

        let mut oracle = Oracle::default();
        oracle.sending(P, &[C], true, None);
        oracle.delivered(1, C, P, true);
        oracle.delivered(1, C, P, false);
        assert_eq!(names(oracle), ["bounded-repetition"], "to one consumer they keep their order");

        let mut oracle = Oracle::default();
        oracle.sending(P, &[C], true, None);
        oracle.delivered(1, C, P, true);
        oracle.delivered(0, C, P, false);
        oracle.delivered(2, C, P, false);
        assert_eq!(names(oracle), ["bounded-repetition"], "new twice");
    }

    #[test]
    fn a_run_is_not_settled_while_a_transaction_is_half_there() {
        let mut oracle = Oracle::default();
        for number in 1..=2 {
            oracle.sending(Parcel { producer: 1, number }, &[C], true, Some(Work(7)));
        }
        oracle.committing(Work(7));
        assert!(oracle.settled(), "it may never come");
        oracle.delivered(0, C, P, false);
        assert!(!oracle.settled());
        oracle.delivered(0, C, Parcel { producer: 1, number: 2 }, false);
        assert!(oracle.settled());
    }

    #[test]
    fn a_transaction_is_whole_or_nothing() {
        let mut oracle = Oracle::default();
        for number in 1..=2 {
            oracle.sending(Parcel { producer: 1, number }, &[C], true, Some(Work(7)));
        }
        oracle.committing(Work(7));
        oracle.delivered(0, C, P, false);
        assert_eq!(names(oracle), ["no-invention"]);
    }

    #[test]
    fn nothing_of_an_open_or_rolled_back_transaction_may_be_seen() {
        let mut oracle = Oracle::default();
        oracle.sending(P, &[C], true, Some(Work(7)));
        oracle.delivered(0, C, P, false);
        oracle.work_ended(Work(7), false, &[]);
        oracle.delivered(0, C, P, true);
        assert_eq!(names(oracle), ["no-invention", "no-invention"]);
    }
}
