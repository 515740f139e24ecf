//! What a mailbox and its turns must do.

use std::sync::atomic::AtomicBool;
use std::thread::{self, ThreadId};

use super::*;

#[test]
fn everything_that_waits_comes_at_once_and_in_order() {
    let (mailbox, inbox) = mailbox(1_000);
    mailbox.post(1);
    mailbox.post_all(&mut vec![2, 3], 10);
    let mut taken = Vec::new();
    inbox.take(&mut taken, None);
    assert_eq!(taken, [1, 2, 3]);
}

#[test]
fn a_sleeping_receiver_is_woken_by_a_letter() {
    let (mailbox, inbox) = mailbox(1_000);
    let receiver = std::thread::spawn(move || {
        let mut taken = Vec::new();
        inbox.take(&mut taken, None);
        taken
    });
    mailbox.post("hello");
    assert_eq!(receiver.join().unwrap(), ["hello"]);
}

#[test]
fn patience_ends() {
    let (_mailbox, inbox) = mailbox::<()>(1_000);
    let mut taken = Vec::new();
    inbox.take(&mut taken, Some(Duration::from_millis(1)));
    assert!(taken.is_empty());
}

#[tokio::test]
async fn a_full_box_holds_readers_until_it_is_emptied() {
    let (mailbox, inbox) = mailbox(100);
    mailbox.post_all(&mut vec![1], 100);
    assert!(!mailbox.has_room());
    let waiting = tokio::spawn({
        let mailbox = mailbox.clone();
        async move { mailbox.room().await }
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished(), "there is no room yet");
    let mut taken = Vec::new();
    inbox.take(&mut taken, None);
    waiting.await.unwrap();
}

#[tokio::test]
async fn letters_to_a_receiver_that_is_gone_vanish_and_hold_nobody() {
    let (mailbox, inbox) = mailbox(100);
    mailbox.post_all(&mut vec![1], 100);
    drop(inbox);
    mailbox.post_all(&mut vec![2], 100);
    mailbox.room().await;
}

/// Keeps what it saw, and on which thread; nothing above ten is for it.
struct Notes {
    seen: Mutex<Vec<(u32, ThreadId)>>,
    answer: Seen,
}

impl Notes {
    fn lent(mailbox: &Mailbox<u32>, answer: Seen) -> Arc<Self> {
        let notes = Arc::new(Self { seen: Mutex::default(), answer });
        mailbox.lend(Arc::<Self>::clone(&notes));
        notes
    }

    fn seen(&self) -> Vec<(u32, ThreadId)> {
        self.seen.lock().unwrap().clone()
    }
}

impl Hand<u32> for Notes {
    fn takes(&self, letter: &u32) -> bool {
        *letter <= 10
    }

    fn see_to(&self, letters: &mut Vec<u32>) -> Seen {
        assert!(!letters.contains(&0), "a hand that unwinds");
        let here = thread::current().id();
        self.seen.lock().unwrap().extend(letters.drain(..).map(|letter| (letter, here)));
        self.answer
    }
}

/// What the receiver gets, on a thread of its own, once it sleeps.
fn asleep(
    mailbox: &Mailbox<u32>,
    inbox: Inbox<u32>,
    patience: Option<Duration>,
) -> thread::JoinHandle<(Vec<u32>, Inbox<u32>)> {
    let receiver = thread::spawn(move || {
        let mut taken = Vec::new();
        inbox.take(&mut taken, patience);
        (taken, inbox)
    });
    while !matches!(mailbox.shared.lock().turn, Turn::Nobody { .. }) {
        thread::yield_now();
    }
    receiver
}

#[test]
fn who_brings_a_letter_sees_to_it_while_the_receiver_sleeps_on() {
    let (mailbox, inbox) = mailbox(1_000);
    let notes = Notes::lent(&mailbox, Seen::Done(None));
    let receiver = asleep(&mailbox, inbox, None);
    mailbox.bring(1);
    mailbox.bring_all(&mut vec![2, 3], 10);
    let here = thread::current().id();
    assert_eq!(notes.seen(), [(1, here), (2, here), (3, here)]);
    assert_eq!(mailbox.shared.weight_bytes.load(Ordering::Relaxed), 0);
    // What is posted is the receiver's.
    mailbox.post(4);
    assert_eq!(receiver.join().unwrap().0, [4]);
}

#[test]
fn many_letters_and_those_that_are_not_for_a_hand_wake_the_receiver() {
    let (mailbox, inbox) = mailbox(1_000);
    let notes = Notes::lent(&mailbox, Seen::Done(None));
    let receiver = asleep(&mailbox, inbox, None);
    let many: Vec<u32> = (1..=9).collect();
    mailbox.bring_all(&mut many.clone(), 0);
    let (taken, inbox) = receiver.join().unwrap();
    assert_eq!(taken, many);
    let receiver = asleep(&mailbox, inbox, None);
    mailbox.bring_all(&mut vec![1, 11], 0);
    assert_eq!(receiver.join().unwrap().0, [1, 11]);
    assert!(notes.seen().is_empty());
}

#[test]
fn a_receiver_that_works_is_left_its_letters() {
    let (mailbox, inbox) = mailbox(1_000);
    let notes = Notes::lent(&mailbox, Seen::Done(None));
    mailbox.bring(1);
    let mut taken = Vec::new();
    inbox.take(&mut taken, None);
    assert!(taken == [1] && notes.seen().is_empty());
}

#[test]
fn a_hand_that_leaves_something_or_has_something_due_wakes_the_receiver() {
    for answer in [Seen::Rest, Seen::Done(Some(Duration::from_secs(1)))] {
        let (mailbox, inbox) = mailbox(1_000);
        let _notes = Notes::lent(&mailbox, answer);
        let receiver = asleep(&mailbox, inbox, Some(Duration::from_secs(3_600)));
        mailbox.bring(1);
        assert!(receiver.join().unwrap().0.is_empty());
    }
}

#[test]
fn what_is_due_later_than_the_receiver_wakes_lets_it_sleep() {
    let (mailbox, inbox) = mailbox(1_000);
    let _notes = Notes::lent(&mailbox, Seen::Done(Some(Duration::from_secs(3_600))));
    let receiver = asleep(&mailbox, inbox, Some(Duration::from_secs(60)));
    mailbox.bring(1);
    assert!(matches!(mailbox.shared.lock().turn, Turn::Nobody { .. }));
    mailbox.post(2);
    assert_eq!(receiver.join().unwrap().0, [2]);
}

#[test]
fn a_hand_that_unwinds_leaves_the_turn_to_the_receiver() {
    let (mailbox, inbox) = mailbox(1_000);
    let _notes = Notes::lent(&mailbox, Seen::Done(None));
    let receiver = asleep(&mailbox, inbox, None);
    let bringer = thread::spawn({
        let mailbox = mailbox.clone();
        move || mailbox.bring(0)
    });
    assert!(bringer.join().is_err());
    assert!(receiver.join().unwrap().0.is_empty());
}

/// Sees to letters one turn at a time, and says that something is due at once, now and then.
#[derive(Default)]
struct Strict {
    busy: AtomicBool,
    turns: AtomicUsize,
    seen: Mutex<Vec<u32>>,
}

impl Strict {
    fn turn(&self, letters: &mut Vec<u32>) -> Seen {
        assert!(!self.busy.swap(true, Ordering::SeqCst), "two at a time");
        self.seen.lock().unwrap().append(letters);
        self.busy.store(false, Ordering::SeqCst);
        match self.turns.fetch_add(1, Ordering::Relaxed) % 7 {
            0 => Seen::Rest,
            1 => Seen::Done(Some(Duration::from_micros(50))),
            _ => Seen::Done(None),
        }
    }
}

impl Hand<u32> for Strict {
    fn takes(&self, letter: &u32) -> bool {
        !letter.is_multiple_of(5)
    }

    fn see_to(&self, letters: &mut Vec<u32>) -> Seen {
        self.turn(letters)
    }
}

#[test]
fn each_letter_is_seen_to_once_in_order_and_by_one_at_a_time() {
    const SENDERS: u32 = 4;
    const LETTERS: u32 = 20_000;
    let (mailbox, inbox) = mailbox(1 << 20);
    let strict = Arc::new(Strict::default());
    mailbox.lend(Arc::<Strict>::clone(&strict));
    let receiver = thread::spawn({
        let strict = Arc::clone(&strict);
        move || {
            let mut letters = Vec::new();
            loop {
                let end = letters.contains(&u32::MAX);
                let patience = match strict.turn(&mut letters) {
                    Seen::Done(patience) => patience,
                    Seen::Rest => Some(Duration::ZERO),
                };
                if end {
                    return;
                }
                inbox.take(&mut letters, patience);
            }
        }
    });
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| {
            let mailbox = mailbox.clone();
            thread::spawn(move || {
                for number in 0..LETTERS {
                    let letter = sender * LETTERS + number;
                    match number % 11 {
                        0 => mailbox.post(letter),
                        1..=5 => mailbox.bring(letter),
                        _ => mailbox.bring_all(&mut vec![letter], 100),
                    }
                }
            })
        })
        .collect();
    for sender in senders {
        sender.join().unwrap();
    }
    mailbox.post(u32::MAX);
    receiver.join().unwrap();
    let seen = strict.seen.lock().unwrap();
    for sender in 0..SENDERS {
        let of_one: Vec<u32> = seen.iter().copied().filter(|letter| letter / LETTERS == sender).collect();
        assert_eq!(of_one, (sender * LETTERS..(sender + 1) * LETTERS).collect::<Vec<u32>>());
    }
    assert!(mailbox.has_room());
}
