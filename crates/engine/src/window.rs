//! [`Window`]: the part of a queue, or of one durable subscription's messages in one topic, that is in memory.
//!
//! A window keeps small references in order. What does not fit waits in the store and is paged in behind the
//! last place that was seen (`seen`). Bodies may be missing and are loaded before dispatch.
//!
//! Invariant: nothing beyond `seen` is dispatched while the store holds more behind it, so order survives paging.
//! Invariant: a stored message leaves only when it is durable and its exposure is durable.

use std::collections::VecDeque;
use std::sync::Arc;

use ferromq_model::{Message, Sequence, Ticket};
use ferromq_store::IndexEntry;
use rustc_hash::FxHashSet;

use crate::Policy;

/// Order within a window: the sequence, below the inverted priority if the window is prioritized.
pub(crate) type Place = u64;

const BAND_SHIFT: u32 = 60;
const SEQUENCE_MASK: u64 = (1 << BAND_SHIFT) - 1;

/// All places of the priority that a place has, with the highest sequence.
pub(crate) const LAST_IN_BAND: Place = SEQUENCE_MASK;

/// What a place says of the priority.
pub(crate) const fn band_of(place: Place) -> Place {
    place & !SEQUENCE_MASK
}

/// Where a message is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Waits for a consumer.
    Ready,
    /// A consumer, or a transaction, has it.
    InFlight,
    /// On its way to the dead letters; its body is being loaded.
    Dying,
    /// Gone; the slot is swept later.
    Removed,
}

/// A reference to one message.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) place: Place,
    /// It may not leave before this is durable.
    pub(crate) ticket: Ticket,
    pub(crate) body: Option<Arc<Message>>,
    pub(crate) expiration: i64,
    pub(crate) charge: u32,
    /// Redeliveries so far.
    pub(crate) counter: u32,
    pub(crate) state: State,
    /// It is in the store.
    pub(crate) stored: bool,
    /// Its exposure is durable when its ticket is.
    pub(crate) exposed: bool,
}

impl Entry {
    pub(crate) const fn sequence(&self) -> Sequence {
        Sequence(self.place & SEQUENCE_MASK)
    }
}

/// The sequence that a place stands for.
pub(crate) const fn sequence_of(place: Place) -> Sequence {
    Sequence(place & SEQUENCE_MASK)
}

#[derive(Debug)]
pub(crate) struct Window {
    entries: VecDeque<Entry>,
    prioritized: bool,
    limit: usize,
    /// Entries that are not [`State::Removed`].
    live: usize,
    ready: usize,
    /// Everything there is, in memory or only in the store.
    pub(crate) held: u64,
    /// No entry before this place is ready.
    first_ready: Place,
    /// The store's messages up to here have been seen (and are in memory, or gone, or were released).
    seen: Sequence,
    /// The last message that was stored, and the ticket that stored it.
    last_put: (Sequence, Ticket),
    /// Ready entries up to here were dropped from memory, since nobody present wants them.
    released: Sequence,
    /// A page was asked for; up to where it must have seen everything that was stored then.
    paging: Option<Sequence>,
    /// The last page brought nothing new: the next is asked for when more is durable.
    pub(crate) page_waits: bool,
    /// Removals that a page read earlier may not know.
    removing: VecDeque<(Ticket, Sequence)>,
    /// The highest place of a stored message that was ever in memory.
    highest_stored: Sequence,
    /// The highest place whose exposure was asked for.
    mark: Sequence,
    exposing: Option<(Ticket, Sequence)>,
    exposed: Sequence,
    /// Places up to here may have been delivered before this engine began.
    recovered_mark: Sequence,
    /// Whether those come flagged as redelivered.
    flags_recovered: bool,
    /// Messages that may be at the other end of a link since before this engine began.
    pinned: FxHashSet<Sequence>,
    /// Bodies are being loaded for dispatch.
    pub(crate) loading: bool,
    /// Entries with an expiration.
    pub(crate) expiring: usize,
}

impl Window {
    pub(crate) fn new(prioritized: bool, limit: usize) -> Self {
        Self {
            entries: VecDeque::new(),
            prioritized,
            limit: limit.max(16),
            live: 0,
            ready: 0,
            held: 0,
            first_ready: 0,
            seen: Sequence(0),
            last_put: (Sequence(0), Ticket(0)),
            released: Sequence(0),
            paging: None,
            page_waits: false,
            removing: VecDeque::new(),
            highest_stored: Sequence(0),
            mark: Sequence(0),
            exposing: None,
            exposed: Sequence(0),
            recovered_mark: Sequence(0),
            flags_recovered: true,
            pinned: FxHashSet::default(),
            loading: false,
            expiring: 0,
        }
    }

    /// A window over `held` messages in the store, all below `next`.
    pub(crate) fn recovered(policy: &Policy, held: u64, exposed: Sequence, next: Sequence) -> Self {
        let mut window = Self::new(policy.prioritized_messages, policy.window);
        window.flags_recovered = policy.persist_redelivered;
        if held > 0 {
            window.last_put = (Sequence(next.0.saturating_sub(1)), Ticket(0));
        }
        window.held = held;
        window.mark = exposed;
        window.exposed = exposed;
        window.recovered_mark = exposed;
        window
    }

    pub(crate) fn place_of(&self, sequence: Sequence, priority: u8) -> Place {
        if self.prioritized {
            u64::from(9 - priority.min(9)) << BAND_SHIFT | sequence.0 & SEQUENCE_MASK
        } else {
            sequence.0 & SEQUENCE_MASK
        }
    }

    pub(crate) const fn ready(&self) -> usize {
        self.ready
    }

    /// Whether all that the store holds behind the window has been seen.
    pub(crate) const fn at_end(&self) -> bool {
        self.seen.0 >= self.last_put.0.0
    }

    /// Whether a new stored message gets a reference now; otherwise it is paged in later.
    pub(crate) fn admits(&self, priority: u8) -> bool {
        if self.at_end() {
            return self.ready < self.limit;
        }
        // An urgent message must not wait behind a page; the page skips it then.
        self.prioritized && priority > 4 && self.ready < self.limit * 16
    }

    /// Notes a stored message; with an entry if [`Window::admits`] said so.
    pub(crate) fn put(&mut self, sequence: Sequence, ticket: Ticket, entry: Option<Entry>) {
        self.held += 1;
        let was_at_end = self.at_end();
        self.last_put = (sequence, ticket);
        if let Some(entry) = entry {
            if was_at_end {
                self.seen = sequence;
            }
            if entry.exposed {
                self.mark = self.mark.max(sequence);
            }
            self.insert(entry);
        }
    }

    /// Adds a message that is in memory alone.
    pub(crate) fn put_volatile(&mut self, entry: Entry) {
        self.held += 1;
        self.insert(entry);
    }

    fn insert(&mut self, entry: Entry) {
        let place = entry.place;
        if entry.stored {
            self.highest_stored = self.highest_stored.max(entry.sequence());
        }
        self.live += 1;
        self.expiring += usize::from(entry.expiration > 0);
        if entry.state == State::Ready {
            self.ready += 1;
            self.first_ready = self.first_ready.min(place);
        }
        let at = self.index_from(place);
        match self.entries.get_mut(at) {
            // It was here before, and was in the spool meanwhile.
            Some(slot) if slot.place == place => *slot = entry,
            Some(_) => self.entries.insert(at, entry),
            None => self.entries.push_back(entry),
        }
    }

    /// The index of the first entry at or behind a place.
    pub(crate) fn index_from(&self, place: Place) -> usize {
        match (self.entries.front(), self.entries.back()) {
            (Some(first), _) if first.place >= place => 0,
            (_, Some(last)) if last.place < place => self.entries.len(),
            (_, Some(last)) if last.place == place => self.entries.len() - 1,
            _ => self.entries.partition_point(|entry| entry.place < place),
        }
    }

    pub(crate) fn get(&self, place: Place) -> Option<&Entry> {
        let entry = self.entries.get(self.index_from(place))?;
        (entry.place == place && entry.state != State::Removed).then_some(entry)
    }

    pub(crate) fn get_mut(&mut self, place: Place) -> Option<&mut Entry> {
        let at = self.index_from(place);
        let entry = self.entries.get_mut(at)?;
        (entry.place == place && entry.state != State::Removed).then_some(entry)
    }

    pub(crate) fn at(&self, index: usize) -> Option<&Entry> {
        self.entries.get(index)
    }

    pub(crate) fn at_mut(&mut self, index: usize) -> Option<&mut Entry> {
        self.entries.get_mut(index)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.state != State::Removed)
    }

    /// What is there at and behind a place.
    pub(crate) fn iter_from(&self, from: Place) -> impl Iterator<Item = &Entry> {
        self.entries.range(self.index_from(from)..).filter(|entry| entry.state != State::Removed)
    }

    /// Keeps a message that is in the store alone from being handed out.
    pub(crate) fn pin(&mut self, sequence: Sequence) {
        self.pinned.insert(sequence);
    }

    /// Lets go of a message that was kept back.
    pub(crate) fn unpin(&mut self, sequence: Sequence) {
        self.pinned.remove(&sequence);
    }

    /// Whether a message is kept back.
    pub(crate) fn is_pinned(&self, sequence: Sequence) -> bool {
        self.pinned.contains(&sequence)
    }

    /// The place of a message in memory.
    pub(crate) fn find(&self, sequence: Sequence) -> Option<Place> {
        if !self.prioritized {
            return self.get(sequence.0 & SEQUENCE_MASK).map(|entry| entry.place);
        }
        self.iter().find(|entry| entry.sequence() == sequence).map(|entry| entry.place)
    }

    /// A message that is in the store alone is gone; says whether it was counted here. What it was charged is not
    /// known.
    pub(crate) fn strike(&mut self, sequence: Sequence, ticket: Ticket) -> bool {
        let counted = !self.at_end() && sequence > self.seen;
        if counted {
            self.held = self.held.saturating_sub(1);
        }
        self.removing.push_back((ticket, sequence));
        counted
    }

    /// Where to begin looking for a ready entry, at or behind `from`.
    pub(crate) fn start(&self, from: Place) -> usize {
        self.index_from(from.max(self.first_ready))
    }

    /// The first place that is ready.
    pub(crate) fn first_ready(&self) -> Option<Place> {
        let rest = self.entries.range(self.start(0)..);
        rest.into_iter().find(|entry| entry.state == State::Ready).map(|entry| entry.place)
    }

    /// Takes what is ready and in memory alone out, from one place to another, both included.
    pub(crate) fn extract_volatile(
        &mut self,
        first: Place,
        last: Place,
        wanted: impl Fn(Place) -> bool,
    ) -> Vec<Entry> {
        let begin = self.start(first);
        let places: Vec<Place> = self
            .entries
            .range(begin..)
            .take_while(|entry| entry.place <= last)
            .filter(|entry| entry.state == State::Ready && !entry.stored && wanted(entry.place))
            .map(|entry| entry.place)
            .collect();
        places.into_iter().filter_map(|place| self.remove(place, Ticket(0), Ticket(0))).collect()
    }

    /// The place behind everything that is in memory and may be dispatched.
    pub(crate) fn end(&self) -> Place {
        self.entries.back().map_or(0, |last| last.place + 1)
    }

    /// Changes the state of a live entry, keeping count.
    pub(crate) fn set_state(&mut self, index: usize, state: State) {
        let Some(entry) = self.entries.get_mut(index) else { return };
        let (was, place) = (entry.state, entry.place);
        entry.state = state;
        match (was == State::Ready, state == State::Ready) {
            (true, false) => {
                self.ready -= 1;
                if place == self.first_ready || self.ready == 0 {
                    self.first_ready = place + 1;
                }
            }
            (false, true) => {
                self.ready += 1;
                self.first_ready = self.first_ready.min(place);
            }
            _ => {}
        }
    }

    /// Takes an entry out; `ticket` is the unit of work that removes it from the store.
    pub(crate) fn remove(&mut self, place: Place, ticket: Ticket, durable: Ticket) -> Option<Entry> {
        let at = self.index_from(place);
        let entry = self.entries.get(at)?;
        if entry.place != place || entry.state == State::Removed {
            return None;
        }
        if entry.stored {
            if self.paging.is_none() {
                while self.removing.front().is_some_and(|(ticket, _)| *ticket <= durable) {
                    self.removing.pop_front();
                }
            }
            self.removing.push_back((ticket, sequence_of(place)));
        }
        self.take(at)
    }

    fn take(&mut self, at: usize) -> Option<Entry> {
        self.set_state(at, State::Removed);
        let slot = self.entries.get_mut(at)?;
        let tombstone = Entry { body: None, ..*slot };
        let entry = std::mem::replace(slot, tombstone);
        self.live -= 1;
        self.held = self.held.saturating_sub(1);
        self.expiring -= usize::from(entry.expiration > 0);
        while self.entries.front().is_some_and(|entry| entry.state == State::Removed) {
            self.entries.pop_front();
        }
        if self.entries.len() > 2 * self.live + 64 {
            self.entries.retain(|entry| entry.state != State::Removed);
        }
        Some(entry)
    }

    /// Whether a ready entry may be handed out.
    pub(crate) fn may_leave(&self, entry: &Entry, durable: Ticket) -> bool {
        entry.ticket <= durable
            && (!entry.stored || entry.exposed || entry.sequence() <= self.exposed)
            && !self.is_beyond_seen(entry.place)
    }

    /// Whether messages that are only in the store come before this place.
    pub(crate) fn is_beyond_seen(&self, place: Place) -> bool {
        !self.at_end() && !self.prioritized && sequence_of(place) > self.seen
    }

    /// Up to where messages must be exposed before dispatch goes on, if anywhere.
    pub(crate) fn unexposed(&mut self, durable: Ticket) -> Option<Sequence> {
        if let Some((ticket, upto)) = self.exposing
            && ticket <= durable
        {
            self.exposed = self.exposed.max(upto);
            self.exposing = None;
        }
        (self.highest_stored > self.mark).then_some(self.highest_stored)
    }

    /// Notes that exposure up to a place was asked for under `ticket`.
    pub(crate) fn expose(&mut self, upto: Sequence, ticket: Ticket) {
        self.mark = upto;
        self.exposing = Some((ticket, upto));
    }

    /// Which page is needed now: behind which place, and how many.
    pub(crate) fn wants_page(&mut self, hungry: bool, durable: Ticket) -> Option<(Sequence, usize)> {
        if self.at_end() || self.paging.is_some() || self.page_waits {
            return None;
        }
        let few = self.ready <= self.limit / 2;
        if !few && !hungry {
            return None;
        }
        self.paging = Some(if durable >= self.last_put.1 { self.last_put.0 } else { Sequence(0) });
        Some((self.seen, self.limit / 2))
    }

    /// Takes a page in; `asked` is how many were asked for.
    pub(crate) fn page(&mut self, asked: usize, page: &[IndexEntry]) {
        let Some(visible) = self.paging.take() else { return };
        let ticket = self.exposing.map_or(self.last_put.1, |(ticket, _)| ticket.max(self.last_put.1));
        let gone: FxHashSet<Sequence> = self.removing.iter().map(|(_, sequence)| *sequence).collect();
        let before = self.seen;
        for found in page {
            if found.sequence <= before {
                continue;
            }
            self.seen = self.seen.max(found.sequence);
            let place = self.place_of(found.sequence, found.priority);
            let known = self.entries.get(self.index_from(place)).is_some_and(|entry| entry.place == place);
            if known || gone.contains(&found.sequence) {
                continue;
            }
            self.insert(Entry {
                place,
                // The reader also sees what is not synced yet.
                ticket,
                body: None,
                expiration: found.expiration,
                charge: found.charge,
                counter: u32::from(self.flags_recovered && found.sequence <= self.recovered_mark),
                state: if self.pinned.contains(&found.sequence) { State::InFlight } else { State::Ready },
                stored: true,
                exposed: found.sequence <= self.mark,
            });
        }
        self.held = self.held.max(self.live as u64);
        if page.len() < asked {
            self.seen = self.seen.max(visible);
            if self.at_end() && self.released == Sequence(0) {
                self.held = self.live as u64;
            }
            self.page_waits = visible == Sequence(0) && !self.at_end();
        }
    }

    /// Drops ready references that everybody present has passed over, to make room for looking further; the answer
    /// is what their bodies were charged.
    pub(crate) fn release(&mut self) -> u64 {
        if self.prioritized || self.ready < self.limit * 16 {
            return 0;
        }
        let mut to_drop = self.limit * 8;
        let (mut released, mut live, mut expiring, mut bytes) = (self.released, 0, 0, 0);
        self.entries.retain(|entry| {
            if to_drop == 0 || entry.state != State::Ready || !entry.stored {
                return true;
            }
            to_drop -= 1;
            released = released.max(entry.sequence());
            live += 1;
            expiring += usize::from(entry.expiration > 0);
            bytes += if entry.body.is_some() { u64::from(entry.charge) } else { 0 };
            false
        });
        self.released = released;
        self.live -= live;
        self.ready -= live;
        self.expiring -= expiring;
        bytes
    }

    /// Looks at released messages again, for somebody who has not seen those behind `from`.
    pub(crate) fn rewind(&mut self, from: Place) -> bool {
        let from = sequence_of(from);
        if self.released == Sequence(0) || from > self.released || self.paging.is_some() {
            return false;
        }
        let (mut live, mut expiring) = (0, 0);
        self.entries.retain(|entry| {
            let drop = entry.state == State::Ready && entry.stored && entry.body.is_none();
            live += usize::from(drop);
            expiring += usize::from(drop && entry.expiration > 0);
            !drop
        });
        self.live -= live;
        self.ready -= live;
        self.expiring -= expiring;
        self.seen = Sequence(from.0.saturating_sub(1));
        // What lies behind is paged in again, so only what lies before is still let go.
        self.released = self.seen;
        self.page_waits = false;
        self.first_ready = 0;
        true
    }

    /// Places up to here may have been delivered before this engine began.
    pub(crate) const fn recovered_mark(&self) -> Sequence {
        self.recovered_mark
    }

    /// Whether everything that the store holds up to a place has been seen.
    pub(crate) const fn is_complete_to(&self, mark: Sequence) -> bool {
        self.at_end() || self.seen.0 >= mark.0
    }

    /// Whether references were dropped from memory.
    pub(crate) const fn has_released(&self) -> bool {
        self.released.0 > 0
    }

    pub(crate) const fn is_paging(&self) -> bool {
        self.paging.is_some()
    }

    /// Whether a message that is not ready now may become so without anybody's doing.
    pub(crate) fn is_busy(&self) -> bool {
        self.loading || self.paging.is_some() || self.page_waits || !self.at_end()
    }

    /// Whether an exposure is on its way to the disk.
    pub(crate) const fn exposing(&self) -> bool {
        self.exposing.is_some()
    }

    /// The place behind which the store holds more than is in memory, if it does.
    pub(crate) fn behind(&self) -> Option<Sequence> {
        (!self.at_end()).then_some(self.seen)
    }

    /// The store may hold messages below `next` that are not counted here yet.
    pub(crate) fn look_into_store(&mut self, next: Sequence) {
        self.last_put = (Sequence(next.0.saturating_sub(1)), Ticket(0));
    }

    /// Books that don't balance.
    pub(crate) fn check(&self) -> Result<(), String> {
        let live = self.iter().count();
        let ready = self.iter().filter(|entry| entry.state == State::Ready).count();
        if (live, ready) != (self.live, self.ready) {
            return Err(format!("{live} live and {ready} ready, counted {} and {}", self.live, self.ready));
        }
        if let Some(entry) = self.iter().find(|entry| entry.state == State::Ready)
            && entry.place < self.first_ready
        {
            return Err(format!("ready at {} before {}", entry.place, self.first_ready));
        }
        if self.held < live as u64 {
            return Err(format!("{live} in memory of {} held", self.held));
        }
        if self.at_end() && self.released == Sequence(0) && self.held != live as u64 {
            return Err(format!("{} held, all seen, {live} in memory", self.held));
        }
        if !self.entries.iter().zip(self.entries.iter().skip(1)).all(|(a, b)| a.place < b.place) {
            return Err("entries out of order".into());
        }
        Ok(())
    }
}
