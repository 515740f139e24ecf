//! Local transactions: begun late, told in the right order, and undone here as well as there.

use super::*;

const STANDARD: i8 = AckType::Standard as i8;
const DELIVERED: i8 = AckType::Delivered as i8;
const POISON: i8 = AckType::Poison as i8;
const REDELIVERED: i8 = AckType::Redelivered as i8;

/// A word for each command: `begin`, `commit`, `message`, `ack 2 x5`, with a `+` if it is part of a transaction.
fn words(commands: &[Command]) -> Vec<String> {
    commands
        .iter()
        .map(|command| match command {
            Command::TransactionInfo(info) => match TransactionType::from_wire(info.kind) {
                Some(TransactionType::Begin) => "begin".into(),
                Some(TransactionType::CommitOnePhase) => "commit".into(),
                Some(TransactionType::Rollback) => "rollback".into(),
                other => panic!("{other:?}"),
            },
            Command::Message(message) => {
                let inside = if message.transaction_id.is_some() { "+" } else { "" };
                format!("message{inside}{}", if message.response_required { "?" } else { "" })
            }
            Command::MessageAck(MessageAck { ack_type, message_count, transaction_id, .. }) => {
                format!("ack{} {ack_type} x{message_count}", if transaction_id.is_some() { "+" } else { "" })
            }
            Command::RemoveInfo(_) => "remove".into(),
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn a_transaction_begins_with_its_first_message() {
    let mut broker = Broker::open("");
    let (session, consumer) = broker.consumer(AckMode::Transacted, 4);
    let producer = broker.producer(session, 0);
    let now = broker.now();
    // An empty transaction is committed without a word.
    broker.core.commit(session, Some(1), now);
    assert!(matches!(&broker.events()[..], [Event::Answered { token: 1, result: Ok(()) }]));
    assert_eq!(broker.heard(), [] as [Command; 0]);

    broker.dispatch(consumer, 4, 0);
    broker.events();
    broker.core.consumed(consumer, 3, now);
    broker.core.send(producer, message("x"), None);
    assert_eq!(words(&broker.heard()), ["begin", &format!("ack+ {DELIVERED} x3"), "message+"]);
    broker.core.commit(session, Some(2), now);
    let heard = broker.heard();
    assert_eq!(words(&heard), [&format!("ack+ {STANDARD} x3"), "commit"]);
    assert!(broker.events().is_empty());
    broker.respond(number_of(&heard[1]));
    assert!(matches!(&broker.events()[..], [Event::Answered { token: 2, result: Ok(()) }]));
    // The next one begins anew, with what was not taken before.
    broker.core.consumed(consumer, 1, now);
    broker.core.commit(session, None, now);
    assert_eq!(words(&broker.heard()), ["begin", &format!("ack+ {STANDARD} x1"), "commit"]);
}

#[test]
fn what_is_rolled_back_comes_again_until_it_is_hopeless() {
    let options = "jms.redeliveryPolicy.initialRedeliveryDelay=0&jms.redeliveryPolicy.maximumRedeliveries=2";
    let mut broker = Broker::open(options);
    let (session, consumer) = broker.consumer(AckMode::Transacted, 10);
    broker.dispatch(consumer, 2, 0);
    broker.events();
    let now = broker.now();
    let standard = format!("ack+ {STANDARD} x2");
    for round in 1..=2 {
        broker.core.consumed(consumer, 2, now);
        broker.core.rollback(session, None, now);
        let events = broker.events();
        let [Event::Returned { deliveries, .. }, Event::Resumed { .. }] = &events[..] else {
            panic!("{events:?}")
        };
        assert!(deliveries.iter().all(|delivery| delivery.redelivery_counter() == round));
        let redelivered = format!("ack {REDELIVERED} x2");
        let told = match round {
            1 => vec!["begin", &standard, "rollback"],
            _ => vec!["begin", &standard, "rollback", &redelivered],
        };
        assert_eq!(words(&broker.heard()), told);
    }
    broker.core.consumed(consumer, 2, now);
    broker.core.rollback(session, None, now);
    let poison = format!("ack {POISON} x1");
    assert_eq!(words(&broker.heard()), ["begin", &standard, "rollback", &poison, &poison]);
    assert!(broker.events().is_empty());
}

#[test]
fn a_refused_commit_gives_the_messages_back() {
    let mut broker = Broker::open("jms.redeliveryPolicy.initialRedeliveryDelay=0");
    let (session, consumer) = broker.consumer(AckMode::Transacted, 10);
    broker.dispatch(consumer, 2, 0);
    broker.events();
    let now = broker.now();
    broker.core.consumed(consumer, 2, now);
    broker.core.commit(session, Some(1), now);
    let commit = broker.heard().last().map(number_of).unwrap();
    broker.refuse(commit, ExceptionClass::TransactionRolledBack, "rolled back");
    let events = broker.events();
    let [
        Event::Returned { deliveries, .. },
        Event::Resumed { .. },
        Event::Answered { token: 1, result: Err(_) },
    ] = &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!(deliveries.len(), 2);
}

#[test]
fn a_message_that_cannot_be_sent_undoes_its_transaction() {
    let mut broker = Broker::open("wireFormat.maxFrameSize=2000");
    let session = broker.core.open_session(AckMode::Transacted).unwrap();
    let producer = broker.producer(session, 0);
    let now = broker.now();
    broker.core.send(producer, message("small"), None);
    broker.core.send(producer, message(&"large".repeat(1000)), None);
    assert!(matches!(&broker.events()[..], [Event::Failed(Error::Encode { .. })]));
    broker.core.commit(session, Some(1), now);
    assert_eq!(words(&broker.heard()), ["begin", "message+", "rollback"]);
    assert!(matches!(
        &broker.events()[..],
        [Event::Answered { token: 1, result: Err(Error::Encode { .. }) }]
    ));
    // And then it is as good as new.
    broker.core.send(producer, message("small"), None);
    broker.core.commit(session, Some(2), now);
    assert_eq!(words(&broker.heard()), ["begin", "message+", "commit"]);
}

#[test]
fn a_consumer_that_is_closed_within_a_transaction_leaves_with_it() {
    let mut broker = Broker::open("");
    let (session, consumer) = broker.consumer(AckMode::Transacted, 10);
    broker.dispatch(consumer, 2, 0);
    let now = broker.now();
    broker.core.consumed(consumer, 1, now);
    broker.core.close_consumer(consumer);
    assert_eq!(words(&broker.heard()), ["begin"]);
    broker.core.commit(session, None, now);
    assert_eq!(words(&broker.heard()), [&format!("ack+ {STANDARD} x1"), "commit", "remove"]);
}

#[test]
fn sends_outside_of_transactions_are_answered_if_somebody_waits() {
    let mut broker = Broker::open("");
    let session = broker.core.open_session(AckMode::Auto).unwrap();
    let producer = broker.producer(session, 0);
    broker.core.send(producer, message("x"), Some(1));
    broker.core.send(producer, message("x"), None);
    assert_eq!(words(&broker.heard()), ["message?", "message"]);
}
