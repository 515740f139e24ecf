//! [`Agenda`]: virtual time and what is going to happen, and [`Course`]: whether a run gets on.

use std::collections::BTreeMap;
use std::time::Duration;

use ferromq_env::simulated::SeededEntropy;
use ferromq_model::{Instant, Now, WallTime};

/// The calendar at the beginning, milliseconds since 1970.
const WALL_ORIGIN_MS: i64 = 1_704_067_200_000;

/// After the last fault, everything has to be delivered within this time.
const PROGRESS_WITHIN: Duration = Duration::from_secs(10);

/// How long a settled run goes on, so that what should not come has time to come.
const LINGER: Duration = Duration::from_millis(500);

/// What is going to happen, in the order of time, and of being planned.
pub(crate) struct Agenda<E> {
    now: Instant,
    planned: u64,
    events: BTreeMap<(Instant, u64), E>,
}

impl<E> Agenda<E> {
    pub(crate) const fn new() -> Self {
        Self { now: Instant(1_000_000_000), planned: 0, events: BTreeMap::new() }
    }

    /// The next event; it is now.
    pub(crate) fn next(&mut self) -> Option<E> {
        let ((at, _), event) = self.events.pop_first()?;
        self.now = at;
        Some(event)
    }

    pub(crate) const fn instant(&self) -> Instant {
        self.now
    }

    pub(crate) fn now(&self) -> Now {
        let ms = i64::try_from(self.now.0 / 1_000_000).unwrap_or(i64::MAX);
        Now { mono: self.now, wall: WallTime(WALL_ORIGIN_MS.saturating_add(ms)) }
    }

    pub(crate) fn after(&mut self, delay: Duration, event: E) {
        self.at(self.now + delay, event);
    }

    /// What should have happened happens at once.
    pub(crate) fn at(&mut self, at: Instant, event: E) {
        self.planned += 1;
        self.events.insert((at.max(self.now), self.planned), event);
    }
}

/// A moment within a span, from its beginning.
pub(crate) fn within(span: Duration, dice: &mut SeededEntropy) -> Duration {
    Duration::from_micros(dice.below(u64::try_from(span.as_micros()).unwrap_or(u64::MAX).max(1)))
}

/// How far a run is.
pub(crate) enum Verdict {
    GoesOn,
    /// Everything was sent and came, and nothing more came for a while.
    Drained,
    /// A violation of *progress*, in words.
    Stuck(String),
}

/// Runs until everything is sent and drained; what does not come to an end is a violation of *progress*.
pub(crate) struct Course {
    most_steps: u64,
    steps: u64,
    end_of_faults: Instant,
    all_sent: Option<Instant>,
}

impl Course {
    /// A run whose last fault is planned for then; after so many steps it goes in circles.
    pub(crate) const fn new(end_of_faults: Instant, most_steps: u64) -> Self {
        Self { most_steps, steps: 0, end_of_faults, all_sent: None }
    }

    /// Whether no further fault is planned.
    pub(crate) fn is_past_faults(&self, now: Instant) -> bool {
        now >= self.end_of_faults
    }

    /// After a step: whether all brokers work and all is sent, and whether all of that has come.
    pub(crate) fn judge(&mut self, now: Instant, sent: bool, settled: bool) -> Verdict {
        self.steps += 1;
        if sent {
            if settled && self.all_sent.is_some_and(|at| now >= at + LINGER) {
                return Verdict::Drained;
            }
            let since = *self.all_sent.get_or_insert(now);
            if now >= since + PROGRESS_WITHIN {
                return Verdict::Stuck(format!("not drained {PROGRESS_WITHIN:?} after the last send"));
            }
        } else if now >= self.end_of_faults + PROGRESS_WITHIN + PROGRESS_WITHIN {
            return Verdict::Stuck("a producer is still not done 20 s after the last fault".to_owned());
        }
        if self.steps > self.most_steps {
            return Verdict::Stuck(format!("no end after {} steps", self.most_steps));
        }
        Verdict::GoesOn
    }
}
