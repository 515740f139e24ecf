//! One connection: `select` what happened, then a synchronous turn of the session.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ferromq_engine::{ConnId, Input, Intent, Tag, TransactionVerb};
use ferromq_gateway::openwire::Command;
use ferromq_gateway::{ErrorKind, LoginQuestion, LoginRefused, Session, SessionSettings};
use ferromq_model::{DestinationKind, Instant, Message, Now, Text};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::Sleep;

use crate::farewell::Farewell;
use crate::owed::Owed;
use crate::reception::Shared;
use crate::wire::{Moved, Wire};
use crate::{Letter, MirrorCall, Outbox, Parcel, Switchboard};

/// Deliveries are encoded until so many bytes wait for the socket; the rest stays in shared messages.
const ENCODE_AHEAD_BYTES: usize = 256 * 1024;
/// Commands that wait for our half of a duplex bridge at most; it never lets so many wait.
const MIRROR_COMMANDS: usize = 65_536;
/// Room that a connection keeps when it has nothing to do.
const KEEP_BYTES: usize = 4 * 1024;
const KEEP_PARCELS: usize = 16;
/// How long a peer may take to read the last words.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// The same for a peer that is left although the time for that is over.
const LAST_WORD: Duration = Duration::from_millis(200);
/// How often a peer that is not read from is looked at, in case it has gone.
const PULSE: Duration = Duration::from_secs(1);
/// When nothing else is due.
const SOME_DAY: Duration = Duration::from_secs(3_600);

/// What happened.
enum Event {
    Moved(Moved),
    Mail,
    Room,
    Deadline,
    Drain,
    Login(Result<(), LoginRefused>),
    /// From our half of the peer's duplex bridge; nothing if that has ended.
    Mirror(Option<Box<Command>>),
}

/// Our half of a peer's duplex bridge.
struct Mirror {
    told: mpsc::Sender<Command>,
    says: mpsc::UnboundedReceiver<Command>,
    /// How much of that was taken.
    taken: watch::Sender<u64>,
}

/// A login that is being decided elsewhere.
type Deciding = Pin<Box<dyn Future<Output = Result<(), LoginRefused>> + Send>>;

/// A session with its two ways: to the engine and to the socket.
pub(crate) struct Connection {
    shared: Arc<Shared>,
    outbox: Arc<Outbox>,
    session: Session,
    conn: ConnId,
    /// From the engine, not encoded yet.
    parcels: VecDeque<Parcel>,
    /// Taken from the parcels and kept back while the last requests are heard; how many of them are answers.
    kept: VecDeque<Parcel>,
    kept_answers: usize,
    /// Weight of the parcels that are encoded and not written yet.
    encoded_bytes: usize,
    /// Encoded, written up to `written`.
    out: Vec<u8>,
    written: usize,
    /// For the engine, empty between turns.
    letters: Vec<Letter>,
    /// Read since letters were posted last.
    read_bytes: usize,
    /// Requests whose answers are still to come, and how many there may be.
    unanswered: usize,
    unanswered_limit: usize,
    /// Something was delivered.
    consumes: bool,
    /// What of that is still to be committed.
    owed: Owed,
    /// Begun by the peer and not ended yet, as far as it matters for a farewell.
    transactions: usize,
    /// The end of one that was asked for last, until it is answered.
    committing: Option<Tag>,
    /// Several of them were under way at once: several sessions commit.
    is_shared: bool,
    paused: bool,
    /// It was told to end.
    farewell: Option<Farewell>,
    /// The peer sends no more.
    ended: bool,
    /// The engine's mailbox was full when there was something to post.
    starved: bool,
    mirror: Option<Mirror>,
    /// Another broker is linked by it.
    is_peer: bool,
    /// Since when output waits for a peer that does not read, and how long it may.
    stuck_since: Option<Instant>,
    write_timeout: Duration,
}

/// Serves a connection until it ends.
pub(crate) async fn drive(mut connection: Connection, mut wire: Wire) {
    let mut drain = connection.shared.drain.clone();
    let mut alarm = Alarm::new();
    connection.open();
    let shared = Arc::clone(&connection.shared);
    let outbox = Arc::clone(&connection.outbox);
    let mut deciding: Option<Deciding> = None;
    while connection.turn(&mut wire, &mut alarm) {
        if let Some(question) = connection.session.login_question() {
            deciding = Some(Box::pin(decide(Arc::clone(&shared.logins), question)));
        }
        let (reads, writes, starved) = (connection.may_read(), connection.must_write(), connection.starved);
        let (draining, ahead) = (connection.farewell.is_some(), connection.unsent_bytes());
        let Connection { session, out, written, mirror, .. } = &mut connection;
        let out = if writes { out.get(*written..).unwrap_or_default() } else { &[] };
        let event = tokio::select! {
            biased;
            moved = wire.transfer(reads.then_some(session), out), if reads || writes => Event::Moved(moved),
            () = outbox.arrival() => Event::Mail,
            () = shared.engine.room(), if starved => Event::Room,
            () = &mut alarm.sleep => Event::Deadline,
            () = drain.begun(), if !draining => Event::Drain,
            decision = answer(&mut deciding) => Event::Login(decision),
            command = of_mirror(mirror), if ahead < ENCODE_AHEAD_BYTES => Event::Mirror(command.map(Box::new)),
        };
        connection.note(event, &mut alarm);
    }
    connection.close();
    let Connection { out, written, .. } = &connection;
    let words = out.get(*written..).unwrap_or_default();
    let leaving = connection.farewell.is_some() && !connection.ended;
    if leaving {
        // The last answers and the end of the connection arrive in one packet: a peer that had the answers alone would
        // write requests, for as long as it does not know, that nobody reads. Without it that is likelier, no more.
        wire.hold_back();
    }
    wire.say_last(words, connection.time_to_talk()).await;
    if leaving {
        wire.discard_unheard();
    }
}

/// Asks on a thread where it may take its time, not on one that serves connections.
async fn decide(turns: Arc<Semaphore>, question: LoginQuestion) -> Result<(), LoginRefused> {
    let undecided = || LoginRefused { text: "The login could not be checked.".to_owned() };
    let Ok(turn) = turns.acquire_owned().await else { return Err(undecided()) };
    let decided = tokio::task::spawn_blocking(move || {
        let decision = question.decide();
        drop(turn);
        decision
    });
    decided.await.unwrap_or_else(|_| Err(undecided()))
}

async fn of_mirror(mirror: &mut Option<Mirror>) -> Option<Command> {
    match mirror {
        Some(mirror) => mirror.says.recv().await,
        None => std::future::pending().await,
    }
}

async fn answer(deciding: &mut Option<Deciding>) -> Result<(), LoginRefused> {
    match deciding {
        Some(decision) => {
            let decision = decision.await;
            *deciding = None;
            decision
        }
        None => std::future::pending().await,
    }
}

impl Connection {
    pub(crate) fn new(
        shared: Arc<Shared>,
        settings: Arc<SessionSettings>,
        conn: ConnId,
        remote: Text,
    ) -> Self {
        let unanswered_limit = settings.limits.requests_in_flight;
        let write_timeout = settings.write_timeout;
        let session = Session::new(settings, conn, remote, shared.clock.now());
        Self {
            shared,
            outbox: Arc::default(),
            session,
            conn,
            parcels: VecDeque::new(),
            kept: VecDeque::new(),
            kept_answers: 0,
            encoded_bytes: 0,
            out: Vec::new(),
            written: 0,
            letters: Vec::new(),
            read_bytes: 0,
            unanswered: 0,
            unanswered_limit,
            consumes: false,
            owed: Owed::default(),
            transactions: 0,
            committing: None,
            is_shared: false,
            paused: false,
            farewell: None,
            ended: false,
            starved: false,
            mirror: None,
            is_peer: false,
            stuck_since: None,
            write_timeout,
        }
    }

    fn open(&self) {
        self.shared.engine.post(Letter::Plug(self.conn, Arc::clone(&self.outbox)));
    }

    fn may_read(&self) -> bool {
        !self.paused
            && self.farewell.is_none_or(|farewell| farewell.is_hearing())
            && !self.ended
            && !self.starved
            && self.unanswered < self.unanswered_limit
            && self.outbox.queued_bytes() <= Switchboard::HIGH_BYTES
    }

    fn must_write(&self) -> bool {
        self.written < self.out.len()
    }

    /// Takes in what happened.
    fn note(&mut self, event: Event, alarm: &mut Alarm) {
        match event {
            Event::Moved(Moved::Read(Ok(0))) => self.ended = true,
            Event::Moved(Moved::Read(Ok(bytes))) => {
                self.read_bytes += bytes;
                let now = self.shared.clock.now();
                self.session.received(now);
                if let Some(farewell) = &mut self.farewell {
                    farewell.heard(now.mono);
                }
            }
            Event::Moved(Moved::Read(Err(error))) => {
                tracing::debug!(peer = %self.session.describe(), %error, "reading failed");
                self.ended = true;
            }
            Event::Moved(Moved::Written(Ok(bytes))) => self.has_written(bytes),
            Event::Room => self.starved = false,
            Event::Deadline => alarm.rang(),
            Event::Mirror(command) => self.speak_for_mirror(command.map(|command| *command)),
            Event::Login(decision) => self.session.login_decided(self.shared.clock.now(), decision),
            // One that can't be written to says so again in the next turn.
            Event::Moved(Moved::Written(Err(_))) | Event::Mail | Event::Drain => {}
        }
    }

    /// Everything that can be done without waiting. Returns whether the connection goes on.
    fn turn(&mut self, wire: &mut Wire, alarm: &mut Alarm) -> bool {
        let now = self.shared.clock.now();
        // Looked at in every turn: on a busy connection there is always something else that happened first.
        if self.farewell.is_none() && self.shared.drain.deadline().is_some() {
            let finish = self.consumes || self.is_shared;
            self.farewell = Some(Farewell::begin(now.mono, self.time_left(), finish));
        }
        self.encode(now);
        self.forward(now);
        self.listen(now);
        if self.session.next_deadline().is_some_and(|deadline| deadline <= now.mono) {
            self.session.tick(now);
            self.forward(now);
        }
        if self.farewell.is_some_and(|farewell| !farewell.is_hearing()) && self.is_quiet() {
            // What is left to say is said together with the end.
            self.session.shutdown(now);
            return false;
        }
        if let Err(error) = self.write(now, wire) {
            tracing::debug!(peer = %self.session.describe(), %error, "writing failed");
            return false;
        }
        if self.session.is_finished() || self.has_ended(now, wire) {
            return false;
        }
        let pulse = self.paused.then(|| now.mono + PULSE);
        let stuck = self.write_deadline();
        if stuck.is_some_and(|deadline| deadline <= now.mono) {
            tracing::warn!(
                peer = %self.session.describe(), within_ms = self.write_timeout.as_millis(),
                "connection closed: the peer does not read (soWriteTimeout)"
            );
            return false;
        }
        let hearing = self.farewell.and_then(|farewell| farewell.next_deadline(now.mono));
        let deadlines = [self.session.next_deadline(), pulse, hearing, self.drain_deadline(now), stuck];
        alarm.set(now, deadlines.into_iter().flatten().min());
        true
    }

    /// From the engine towards the socket.
    fn encode(&mut self, now: Now) {
        if self.outbox.queued_bytes() > self.encoded_bytes {
            self.outbox.take(&mut self.parcels);
        }
        while self.unsent_bytes() < ENCODE_AHEAD_BYTES {
            let Some(parcel) = self.parcels.pop_front() else { break };
            if self.keeps_back(&parcel) {
                self.kept_answers += usize::from(matches!(parcel, Parcel::Reply(..)));
                self.kept.push_back(parcel);
                continue;
            }
            self.encoded_bytes += parcel.weight_bytes();
            match parcel {
                Parcel::Deliver(consumer, delivery) => {
                    self.consumes = true;
                    if delivery.message.is_some() {
                        self.owed.delivered(consumer);
                    }
                    self.session.deliver(now, consumer, &delivery);
                }
                Parcel::Reply(tag, effect) => {
                    self.unanswered = self.unanswered.saturating_sub(1);
                    self.committing.take_if(|committing| *committing == tag);
                    self.session.reply(now, tag, effect);
                    if let Some(farewell) = &mut self.farewell {
                        farewell.answered(now.mono);
                    }
                }
                Parcel::Notify(notice) => self.session.notify(now, notice),
                Parcel::Brokers(place) => self.session.brokers_changed(now, place),
                Parcel::Pause => {
                    self.paused = true;
                    self.session.pause(now);
                }
                Parcel::Resume => {
                    self.paused = false;
                    self.session.resume(now);
                }
                Parcel::Close(reason) => self.session.close(now, &reason),
            }
        }
        if self.parcels.is_empty() && self.parcels.capacity() > KEEP_PARCELS {
            self.parcels = VecDeque::new();
        }
    }

    fn unsent_bytes(&self) -> usize {
        self.out.len() - self.written + self.session.pending_bytes()
    }

    /// From the peer to the engine, as far as the engine has room.
    fn forward(&mut self, now: Now) {
        if self.paused || self.outbox.queued_bytes() > Switchboard::HIGH_BYTES {
            return;
        }
        if !self.shared.engine.has_room() {
            self.starved = true;
            return;
        }
        self.collect(now);
        self.shared.engine.bring_all(&mut self.letters, std::mem::take(&mut self.read_bytes));
    }

    fn collect(&mut self, now: Now) {
        while let Some(input) = self.session.poll_input(now) {
            if let Input::Intent { tag, intent, .. } = &input {
                self.unanswered += usize::from(tag.is_some());
                self.count_transactions(*tag, intent);
                self.owed.heard(intent);
            }
            self.letters.push(Letter::Input(input));
        }
        self.look_aside();
    }

    /// What a login has set free for our half of a duplex bridge need not wait for the peer's next word.
    fn look_aside(&mut self) {
        if let Some(broker) = self.session.poll_peer()
            && let Some(host) = &self.shared.peers
        {
            self.is_peer = true;
            host(self.conn, Some(broker));
        }
        while let Some(command) = self.session.poll_aside() {
            self.tell_mirror(command);
        }
    }

    /// Passes on what is for our half of a duplex bridge; the first such command calls it into being.
    fn tell_mirror(&mut self, command: Command) {
        if let Some(mirror) = &self.mirror {
            if mirror.told.try_send(command).is_err() {
                self.session.end_aside();
            }
            return;
        }
        let (Command::BrokerInfo(asked), Some(host)) = (command, &self.shared.mirrors) else { return };
        let (told, heard) = mpsc::channel(MIRROR_COMMANDS);
        let (said, says) = mpsc::unbounded_channel();
        let (counts, taken) = watch::channel(0);
        self.mirror = Some(Mirror { told, says, taken: counts });
        host(MirrorCall { asked, remote: self.session.remote().clone(), heard, said, taken });
    }

    /// What our half of a duplex bridge says, as long as the socket is not far behind.
    fn speak_for_mirror(&mut self, first: Option<Command>) {
        if first.is_none() {
            return self.session.end_aside();
        }
        let (mut next, mut said) = (first, 0);
        while let Some(command) = next {
            self.session.say_aside(&command);
            said += 1;
            let room = self.unsent_bytes() < ENCODE_AHEAD_BYTES;
            next = self.mirror.as_mut().filter(|_| room).and_then(|mirror| mirror.says.try_recv().ok());
        }
        if let Some(mirror) = &self.mirror {
            mirror.taken.send_modify(|taken| *taken += said);
        }
    }

    fn count_transactions(&mut self, tag: Option<Tag>, intent: &Intent) {
        let Intent::Transaction { verb, .. } = intent else { return };
        match verb {
            TransactionVerb::Begin => {
                self.transactions += 1;
                // Whoever waits for its own commit begins nothing.
                self.is_shared |= self.transactions > 1 || self.committing.is_some();
            }
            TransactionVerb::CommitOnePhase | TransactionVerb::Rollback | TransactionVerb::Prepare => {
                self.transactions = self.transactions.saturating_sub(1);
                self.committing = tag.or(self.committing);
            }
            _ => {}
        }
    }

    /// One write of everything that is encoded, and more only if the socket takes it all.
    fn write(&mut self, now: Now, wire: &mut Wire) -> io::Result<()> {
        self.look_aside();
        loop {
            if !self.must_write() {
                self.out.clear();
                self.written = 0;
                if self.out.capacity() > KEEP_BYTES {
                    self.out = Vec::new();
                }
                if !self.session.transmit(&mut self.out) {
                    self.settle();
                    return Ok(());
                }
            }
            match wire.try_write(self.out.get(self.written..).unwrap_or_default()) {
                Ok(bytes) => self.has_written(bytes),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.stuck_since.get_or_insert(now.mono);
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
            if !self.must_write() {
                self.settle();
                self.encode(now);
            }
        }
    }

    const fn has_written(&mut self, bytes: usize) {
        self.written += bytes;
        self.stuck_since = None;
    }

    /// Everything that was encoded is written: the engine may deliver again.
    fn settle(&mut self) {
        let settled = std::mem::take(&mut self.encoded_bytes);
        if settled > 0 {
            let left = self.outbox.settle(settled);
            if left <= Switchboard::LOW_BYTES && left + settled > Switchboard::LOW_BYTES {
                self.shared.engine.post(Letter::Relieved(self.conn));
            }
        }
    }

    /// Whether the peer is gone, and all that it said has been heard.
    fn has_ended(&self, now: Now, wire: &mut Wire) -> bool {
        let unheard = (self.starved && !self.paused) || self.session.awaits_login();
        (self.ended && !unheard)
            || (self.paused && wire.peer_has_closed())
            || self.drain_deadline(now).is_some_and(|deadline| deadline <= now.mono)
    }

    /// Whether this has to wait until the last requests were heard: a delivery, because it is a reason to acknowledge it,
    /// and in the end an answer, because it is one to ask anew.
    fn keeps_back(&self, parcel: &Parcel) -> bool {
        self.farewell.is_some_and(|farewell| match parcel {
            Parcel::Deliver(..) => farewell.is_hearing(),
            Parcel::Reply(..) => farewell.is_hearing() && !farewell.is_answering(),
            _ => false,
        })
    }

    /// Decides whether the peer, which is about to be left, is heard any longer; if not, everything is said.
    fn listen(&mut self, now: Now) {
        let Some(mut farewell) = self.farewell else { return };
        // A client rolls back what it had taken when it loses us: as long as it may commit that, it is not lost.
        let works = farewell.is_answering() && self.owed.is_anything();
        let settled = self.is_answered() && self.transactions == 0 && !works;
        // Who is not read from can't be heard.
        farewell.listen(now.mono, settled || self.paused);
        self.farewell = Some(farewell);
        if !farewell.is_hearing() && !self.kept.is_empty() {
            self.kept.append(&mut self.parcels);
            // Whoever gets its answer goes on at once, and should find the connection at its end.
            let answers = |parcel: &Parcel| matches!(parcel, Parcel::Reply(..));
            let (answers, others): (VecDeque<_>, VecDeque<_>) = self.kept.drain(..).partition(answers);
            self.parcels = others;
            // Our successor delivers these, and none of them is half received when the peer loses us.
            self.parcels.retain(|parcel| {
                self.encoded_bytes += if outlives_us(parcel) { parcel.weight_bytes() } else { 0 };
                !outlives_us(parcel)
            });
            self.parcels.extend(answers);
            self.kept_answers = 0;
            self.encode(now);
        }
    }

    fn is_answered(&self) -> bool {
        self.unanswered <= self.kept_answers && !self.starved
    }

    /// Whether nothing is in flight: each request is answered, and everything for the peer is encoded. A producer that
    /// has to wait for room is not in flight; it will find its message unanswered and send it to our successor.
    fn is_quiet(&self) -> bool {
        let encoded = self.parcels.is_empty() && self.outbox.queued_bytes() <= self.encoded_bytes;
        self.paused || (self.is_answered() && encoded)
    }

    /// What the drain leaves.
    fn time_left(&self) -> Duration {
        let now = tokio::time::Instant::now();
        self.shared
            .drain
            .deadline()
            .map_or(Duration::ZERO, |deadline| deadline.saturating_duration_since(now))
    }

    fn time_to_talk(&self) -> Duration {
        if self.farewell.is_some() { self.time_left().clamp(LAST_WORD, LAST_WORDS) } else { LAST_WORDS }
    }

    /// Until when the peer has to read something, if something waits and it has to.
    fn write_deadline(&self) -> Option<Instant> {
        let since = self.stuck_since.filter(|_| !self.write_timeout.is_zero())?;
        Some(since + self.write_timeout)
    }

    fn drain_deadline(&self, now: Now) -> Option<Instant> {
        self.farewell.map(|_| now.mono + self.time_left())
    }

    /// Tells the engine, and the log if it was nobody's wish.
    fn close(&mut self) {
        let now = self.shared.clock.now();
        if !self.session.is_finished() {
            self.session.lost();
        }
        match self.session.failure() {
            Some(failure) if failure.kind() == ErrorKind::Bug => {
                tracing::error!(peer = %self.session.describe(), %failure, "connection closed");
            }
            Some(failure) => match self.shared.grumbles.one_more(now.mono) {
                Some(0) => tracing::warn!(peer = %self.session.describe(), %failure, "connection closed"),
                Some(left_out) => {
                    let peer = self.session.describe();
                    tracing::warn!(%peer, %failure, left_out, "connection closed; others before it are left out");
                }
                None => tracing::debug!(peer = %self.session.describe(), %failure, "connection closed"),
            },
            None => tracing::debug!(peer = %self.session.describe(), "connection ended"),
        }
        self.collect(now);
        if std::mem::take(&mut self.is_peer)
            && let Some(host) = &self.shared.peers
        {
            host(self.conn, None);
        }
        self.letters.push(Letter::Unplug(self.conn));
        self.shared.engine.post_all(&mut self.letters, 0);
        if self.must_write() {
            let mut rest = Vec::new();
            if self.session.transmit(&mut rest) {
                self.out.append(&mut rest);
            }
        } else {
            self.out.clear();
            self.written = 0;
            self.session.transmit(&mut self.out);
        }
    }
}

/// Whether it is the delivery of a message that our successor will find in the store.
fn outlives_us(parcel: &Parcel) -> bool {
    let Parcel::Deliver(_, delivery) = parcel else { return false };
    let kept = |message: &Message| message.persistent && message.destination.kind == DestinationKind::Queue;
    delivery.message.as_deref().is_some_and(kept)
}

/// A timer that is only touched when it has to ring earlier than it is set to; it may ring too early.
struct Alarm {
    sleep: Pin<Box<Sleep>>,
    set_to: Option<Instant>,
}

impl Alarm {
    fn new() -> Self {
        Self { sleep: Box::pin(tokio::time::sleep(SOME_DAY)), set_to: None }
    }

    /// It has to be set anew.
    fn rang(&mut self) {
        self.set_to = None;
    }

    fn set(&mut self, now: Now, deadline: Option<Instant>) {
        let wanted = deadline.unwrap_or(now.mono + SOME_DAY);
        if self.set_to.is_none_or(|set_to| wanted < set_to) {
            self.sleep.as_mut().reset(tokio::time::Instant::now() + (wanted - now.mono));
            self.set_to = Some(wanted);
        }
    }
}
