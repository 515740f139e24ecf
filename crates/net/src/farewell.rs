//! [`Farewell`]: how a connection ends in order without tearing a request out of its peer's hands.
//!
//! Nothing more is delivered, while the peer is still heard and answered: a consumer works off what it has, and falls
//! silent. A peer that goes on all the same is heard without being answered: whoever waits for an answer asks nothing
//! new. When all that it had on the way has arrived, everything is said at once and the connection ends with the same
//! write. A client that commits one transaction after the other is then not cut while one of them is on its way, where
//! it could not know what became of it.
//!
//! A peer with several sessions that commit is answered for a while as well. Several answers in the last packet are taken
//! in one by one, each wakes a thread of the client, and the first that goes on may find the end and close the
//! connection before its client has taken in the others. Who falls silent by itself has none outstanding.

use std::time::Duration;

use ferromq_model::Instant;

/// A peer that said nothing for so long, and was told nothing, has nothing on the way; a round trip within a data centre,
/// many times over.
const SILENCE: Duration = Duration::from_millis(25);
/// So long at most a peer is answered: a consumer works off what was delivered to it.
const WORKING_OFF: Duration = Duration::from_millis(600);
/// A peer that never stops, or does not end its transaction, is heard no longer than this.
const PATIENCE: Duration = Duration::from_secs(1);

/// The end of a connection, once it was told to end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Farewell {
    /// When it spoke last, or was given a reason to.
    stirred: Instant,
    answering_until: Instant,
    until: Instant,
    hearing: bool,
    answering: bool,
}

impl Farewell {
    /// Begins; everything has to be over in `left`. A peer that has something to `finish` is answered for a while.
    pub(crate) fn begin(now: Instant, left: Duration, finish: bool) -> Self {
        let working_off = if finish { WORKING_OFF.min(left / 2) } else { Duration::ZERO };
        Self {
            stirred: now,
            answering_until: now + working_off,
            until: now + PATIENCE.min(left / 2 + left / 8),
            hearing: !left.is_zero(),
            answering: !working_off.is_zero(),
        }
    }

    /// The peer said something.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.stirred = now;
    }

    /// The peer is told what it has waited for: it is silent only if it says nothing to that.
    pub(crate) fn answered(&mut self, now: Instant) {
        self.stirred = now;
    }

    /// Decides what becomes of the peer now; `settled`: everything that it asked so far is answered, and it is not in
    /// the middle of a transaction.
    pub(crate) fn listen(&mut self, now: Instant, settled: bool) {
        let silent = settled && now >= self.stirred + SILENCE;
        self.hearing &= !silent && now < self.until;
        self.answering &= self.hearing && now < self.answering_until;
    }

    /// Whether the peer is still heard.
    pub(crate) fn is_hearing(self) -> bool {
        self.hearing
    }

    /// Whether it is answered meanwhile.
    pub(crate) fn is_answering(self) -> bool {
        self.answering
    }

    /// When to [`Farewell::listen`] again at the latest, unless something happens before.
    pub(crate) fn next_deadline(self, now: Instant) -> Option<Instant> {
        let next = if self.answering { self.answering_until } else { self.until };
        let silent = self.stirred + SILENCE;
        self.hearing.then(|| if silent > now { next.min(silent) } else { next })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(millis: u64) -> Instant {
        Instant(0) + Duration::from_millis(millis)
    }

    #[test]
    fn a_silent_peer_that_is_settled_is_left_soon() {
        for consumes in [true, false] {
            let mut farewell = Farewell::begin(at(0), SECOND, consumes);
            farewell.listen(at(24), true);
            assert!(farewell.is_hearing());
            farewell.heard(at(24));
            farewell.listen(at(48), true);
            assert!(farewell.is_hearing(), "what came last is a reason to wait for more");
            farewell.listen(at(49), true);
            assert!(!farewell.is_hearing() && !farewell.is_answering());
            assert_eq!(farewell.next_deadline(at(49)), None);
        }
    }

    #[test]
    fn what_is_not_settled_is_waited_for_and_a_peer_that_never_stops_is_not() {
        let mut farewell = Farewell::begin(at(0), SECOND, false);
        farewell.listen(at(624), false);
        assert!(farewell.is_hearing());
        assert_eq!(farewell.next_deadline(at(24)), Some(at(25)));
        assert_eq!(
            farewell.next_deadline(at(25)),
            Some(at(625)),
            "silence alone is no reason to look all the time"
        );
        farewell.heard(at(624));
        assert_eq!(farewell.next_deadline(at(624)), Some(at(625)));
        farewell.listen(at(625), true);
        assert!(!farewell.is_hearing());
    }

    #[test]
    fn who_consumes_is_answered_first_and_then_only_heard() {
        let mut farewell = Farewell::begin(at(0), SECOND, true);
        farewell.heard(at(497));
        farewell.listen(at(499), true);
        assert!(farewell.is_answering());
        assert_eq!(farewell.next_deadline(at(499)), Some(at(500)));
        farewell.listen(at(501), true);
        assert!(farewell.is_hearing() && !farewell.is_answering());
    }

    #[test]
    fn an_answer_that_comes_late_leaves_time_to_go_on() {
        let mut farewell = Farewell::begin(at(0), SECOND, true);
        farewell.listen(at(200), false);
        farewell.answered(at(200));
        farewell.listen(at(200), true);
        assert!(farewell.is_answering(), "the peer could not say anything to it yet");
        farewell.listen(at(225), true);
        assert!(!farewell.is_hearing());
    }

    #[test]
    fn who_has_no_time_hears_nobody() {
        assert!(!Farewell::begin(at(0), Duration::ZERO, true).is_hearing());
    }
}
