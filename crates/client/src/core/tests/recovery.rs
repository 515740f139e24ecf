//! A broker is lost and another one takes its place: what it is told, and what the application notices.

use ferromq_openwire::{ConsumerInfo, ProducerInfo};

use super::*;

/// Names of commands, for the order in which they come.
fn names(commands: &[Command]) -> Vec<&'static str> {
    commands.iter().map(Command::type_name).collect()
}

fn consumer_infos(commands: &[Command]) -> Vec<&ConsumerInfo> {
    commands
        .iter()
        .filter_map(|c| if let Command::ConsumerInfo(info) = c { Some(info) } else { None })
        .collect()
}

fn producer_infos(commands: &[Command]) -> Vec<&ProducerInfo> {
    commands
        .iter()
        .filter_map(|c| if let Command::ProducerInfo(info) = c { Some(info) } else { None })
        .collect()
}

fn messages(commands: &[Command]) -> Vec<&ferromq_openwire::Message> {
    commands
        .iter()
        .filter_map(|c| if let Command::Message(message) = c { Some(&**message) } else { None })
        .collect()
}

/// The numbers of messages that the application was given, out of the events.
fn given(events: &[Event<u32>]) -> Vec<i64> {
    let one = |event: &Event<u32>| match event {
        Event::Delivered { delivery, .. } => delivery.message_id().map(|id| id.producer_sequence_id),
        _ => None,
    };
    events.iter().filter_map(one).collect()
}

/// Loses the transport, and takes the one event of it.
fn cut(broker: &mut Broker) {
    broker.core.lost("cable cut");
    let events = broker.events();
    assert!(
        matches!(&events[..], [Event::Suspended(error)] if error.to_string().contains("cable cut")),
        "{events:?}"
    );
    assert!(broker.core.is_away());
}

#[test]
fn everything_is_made_anew_under_its_old_name_and_consumers_wait_until_all_is_in_place() {
    // Given a temporary queue, a producer, a consumer, and a subscription
    let mut broker = Broker::failing_over("");
    let temporary = broker.core.add_temporary(false, Some(1));
    let heard = broker.heard();
    broker.answer_all(&heard);
    broker.events();
    let (session, consumer) = broker.consumer(AckMode::Client, 10);
    let producer = broker.producer(session, 0);
    let ids = (broker.core.consumers[&consumer.0].id.clone(), broker.core.producers[&producer.0].id.clone());
    cut(&mut broker);
    // When another broker takes over
    let told = broker.take_over("ActiveMQ");
    // Then it hears of all, the consumer without prefetch
    assert_eq!(names(&told), ["DestinationInfo", "SessionInfo", "ProducerInfo", "ConsumerInfo"]);
    assert!(matches!(&told[0], Command::DestinationInfo(info) if info.destination == Some(temporary)));
    assert_eq!(producer_infos(&told)[0].producer_id, Some(ids.1));
    let restored = consumer_infos(&told)[0];
    assert_eq!((restored.consumer_id.clone(), restored.prefetch_size), (Some(ids.0), 0));
    assert!(broker.events().is_empty() && broker.core.is_away());
    // And when it has answered, the consumer gets its prefetch back
    let then = broker.answer_all(&told);
    assert!(matches!(&then[..], [Command::ConsumerControl(control)] if control.prefetch == 10), "{then:?}");
    assert!(matches!(&broker.events()[..], [Event::Opened]));
    assert!(!broker.core.is_away());
    // And what is closed is not made anew another time.
    broker.core.close_consumer(consumer);
    broker.core.close_producer(producer);
    cut(&mut broker);
    assert_eq!(names(&broker.take_over("ActiveMQ")), ["DestinationInfo", "SessionInfo"]);
}

#[test]
fn a_send_whose_answer_was_lost_is_sent_again_under_its_old_id() {
    let mut broker = Broker::failing_over("");
    let session = broker.core.open_session(AckMode::Auto).unwrap();
    let producer = broker.producer(session, 0);
    for token in 0..3 {
        broker.core.send(producer, message("x"), Some(token));
    }
    let sent = broker.heard();
    broker.respond(number_of(&sent[0]));
    assert!(matches!(&broker.events()[..], [Event::Answered { token: 0, result: Ok(()) }]));
    cut(&mut broker);
    let told = broker.take_over("ActiveMQ");
    assert!(messages(&told).is_empty(), "nothing is sent before its producer is known");
    let again = broker.answer_all(&told);
    let id = |message: &&ferromq_openwire::Message| message.message_id.clone();
    assert_eq!(
        messages(&again).iter().map(id).collect::<Vec<_>>(),
        messages(&sent[1..]).iter().map(id).collect::<Vec<_>>()
    );
    broker.answer_all(&again);
    let events = broker.events();
    let [
        Event::Opened,
        Event::Answered { token: 1, result: Ok(()) },
        Event::Answered { token: 2, result: Ok(()) },
    ] = &events[..]
    else {
        panic!("{events:?}")
    };
    // The numbers go on where they were.
    broker.core.send(producer, message("x"), Some(9));
    assert_eq!(messages(&broker.heard())[0].message_id.as_ref().unwrap().producer_sequence_id, 4);
}

#[test]
fn a_send_that_was_given_up_is_not_sent_later() {
    let mut broker = Broker::failing_over("");
    let session = broker.core.open_session(AckMode::Auto).unwrap();
    let producer = broker.producer(session, 0);
    broker.core.send(producer, message("x"), Some(1));
    cut(&mut broker);
    broker.core.abandon_sends(&Error::Usage("too late"));
    assert!(matches!(&broker.events()[..], [Event::Answered { token: 1, result: Err(Error::Usage(_)) }]));
    let told = broker.take_over("ActiveMQ");
    assert!(messages(&broker.answer_all(&told)).is_empty());
}

#[test]
fn a_broker_that_is_lost_while_it_is_told_changes_nothing() {
    let mut broker = Broker::failing_over("");
    let (session, _) = broker.consumer(AckMode::Auto, 10);
    let producer = broker.core.open_producer(session, None, 0, Some(5));
    broker.core.send(producer, message("x"), Some(6));
    cut(&mut broker);
    // Given one that goes after the login, one that says that it does not serve, and one that stays silent
    broker.take_over("ActiveMQ");
    cut(&mut broker);
    broker.attach("ActiveMQ");
    broker.login();
    let exception = Some(Arc::new(Throwable::of(ExceptionClass::BrokerStopped, "standby")));
    broker.say(ConnectionError { exception, ..ConnectionError::default() });
    assert!(
        matches!(&broker.events()[..], [Event::Suspended(error)] if error.to_string().contains("standby"))
    );
    broker.attach("ActiveMQ");
    broker.wait(30_000);
    assert!(matches!(&broker.events()[..], [Event::Suspended(Error::Timeout { .. })]));
    // Then the next one is told everything, and each order is answered once
    let told = broker.take_over("ActiveMQ");
    assert_eq!((consumer_infos(&told).len(), producer_infos(&told).len()), (1, 1));
    let again = broker.answer_all(&told);
    broker.answer_all(&again);
    let events = broker.events();
    let [
        Event::Answered { token: 5, result: Ok(()) },
        Event::Opened,
        Event::Answered { token: 6, result: Ok(()) },
    ] = &events[..]
    else {
        panic!("{events:?}")
    };
}

#[test]
fn what_was_acknowledged_is_not_given_again_and_what_was_only_taken_is() {
    for (mode, again) in [(AckMode::Auto, vec![4, 5]), (AckMode::Client, vec![3, 4, 5])] {
        // Given five messages, of which three are taken and two acknowledged by hand, or all three by themselves
        let mut broker = Broker::failing_over("");
        let (_, consumer) = broker.consumer(mode, 10);
        broker.dispatch(consumer, 5, 0);
        let events = broker.events();
        assert_eq!(given(&events), [1, 2, 3, 4, 5]);
        let now = broker.now();
        broker.core.consumed(consumer, 3, now);
        if mode == AckMode::Client {
            broker.core.acknowledge(consumer, 2);
        }
        cut(&mut broker);
        let told = broker.take_over("ActiveMQ");
        broker.answer_all(&told);
        broker.events();
        // When all five come again, because the acknowledgements were lost
        broker.sequence = 0;
        broker.dispatch(consumer, 5, 0);
        // Then the application gets the others, and the broker is told again of those that it acknowledged
        assert_eq!(given(&broker.events()), again, "{mode:?}");
        let acks: Vec<Ack> = broker.heard().iter().map(ack).collect();
        let standard = |n: i64| (AckType::Standard as i8, 1, Some(n), Some(n), false);
        let expected: Vec<Ack> = (1..again[0]).map(standard).collect();
        assert_eq!(acks, expected, "{mode:?}");
        // A message with an old id that comes much later is another matter.
        broker.wait(61_000);
        broker.sequence = 0;
        broker.dispatch(consumer, 1, 0);
        assert_eq!(given(&broker.events()), [1]);
    }
}

#[test]
fn an_open_transaction_is_sent_again_and_commits() {
    let mut broker = Broker::failing_over("");
    let session = broker.core.open_session(AckMode::Transacted).unwrap();
    let producer = broker.producer(session, 0);
    for _ in 0..3 {
        broker.core.send(producer, message("x"), None);
    }
    broker.heard();
    cut(&mut broker);
    let told = broker.take_over("ActiveMQ");
    assert_eq!(
        names(&told),
        [
            "SessionInfo",
            "ProducerInfo",
            "TransactionInfo",
            "ActiveMQTextMessage",
            "ActiveMQTextMessage",
            "ActiveMQTextMessage"
        ]
    );
    broker.answer_all(&told);
    broker.core.commit(session, Some(1), broker.now);
    let heard = broker.heard();
    assert!(
        matches!(&heard[..], [Command::TransactionInfo(info)] if info.kind == TransactionType::CommitOnePhase as i8)
    );
    broker.answer_all(&heard);
    assert!(matches!(&broker.events()[..], [Event::Opened, Event::Answered { token: 1, result: Ok(()) }]));
    // The next transaction begins empty.
    cut(&mut broker);
    assert_eq!(names(&broker.take_over("ActiveMQ")), ["SessionInfo", "ProducerInfo"]);
}

/// A commit in flight when its broker is lost; what the next one hears of it.
fn commit_in_flight(broker: &mut Broker, taken: bool, provider: &str) -> Vec<Command> {
    let (session, consumer) = broker.consumer(AckMode::Transacted, 10);
    let producer = broker.producer(session, 0);
    broker.core.send(producer, message("x"), None);
    if taken {
        broker.dispatch(consumer, 1, 0);
        let now = broker.now();
        broker.core.consumed(consumer, 1, now);
    }
    broker.core.commit(session, Some(1), broker.now);
    broker.heard();
    broker.events();
    cut(broker);
    let told = broker.take_over(provider);
    assert!(!names(&told).contains(&"TransactionInfo"), "{told:?}");
    broker.answer_all(&told)
}

#[test]
fn a_commit_in_flight_is_asked_for_again_and_the_answer_is_the_truth() {
    for (class, committed) in [(None, true), (Some(ExceptionClass::TransactionRolledBack), false)] {
        let mut broker = Broker::failing_over("");
        let heard = commit_in_flight(&mut broker, true, "FerroMQ");
        let [Command::TransactionInfo(again), Command::ConsumerControl(_)] = &heard[..] else {
            panic!("{heard:?}")
        };
        match class {
            None => broker.respond(again.command_id),
            Some(class) => broker.refuse(again.command_id, class, "it was rolled back"),
        }
        let events = broker.events();
        let [Event::Opened, Event::Answered { token: 1, result }] = &events[..] else { panic!("{events:?}") };
        assert_eq!(result.is_ok(), committed);
        assert!(committed || matches!(result, Err(Error::RolledBack { .. })));
    }
}

#[test]
fn a_commit_that_the_next_broker_never_heard_of_is_done_again_if_it_only_sent() {
    let mut broker = Broker::failing_over("");
    let heard = commit_in_flight(&mut broker, false, "FerroMQ");
    let Command::TransactionInfo(again) = &heard[0] else { panic!("{heard:?}") };
    broker.refuse(again.command_id, ExceptionClass::IllegalState, "it had not been started");
    let heard = broker.heard();
    assert_eq!(names(&heard), ["TransactionInfo", "ActiveMQTextMessage", "TransactionInfo"]);
    assert_eq!(messages(&heard)[0].message_id.as_ref().unwrap().producer_sequence_id, 1);
    broker.answer_all(&heard);
    assert!(matches!(&broker.events()[..], [Event::Opened, Event::Answered { token: 1, result: Ok(()) }]));
    // With messages that it took, nobody can tell.
    let mut broker = Broker::failing_over("");
    let heard = commit_in_flight(&mut broker, true, "FerroMQ");
    let Command::TransactionInfo(again) = &heard[0] else { panic!("{heard:?}") };
    broker.refuse(again.command_id, ExceptionClass::IllegalState, "it had not been started");
    let events = broker.events();
    assert!(matches!(
        &events[..],
        [Event::Opened, Event::Answered { result: Err(Error::InDoubt { .. }), .. }]
    ));
}

#[test]
fn activemq_is_not_asked_how_a_commit_ended() {
    let mut broker = Broker::failing_over("");
    let heard = commit_in_flight(&mut broker, false, "ActiveMQ");
    assert!(!names(&heard).contains(&"TransactionInfo"), "{heard:?}");
    let events = broker.events();
    let [Event::Answered { token: 1, result: Err(error) }, Event::Opened] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(error.class(), Some("javax.jms.TransactionRolledBackException"));
}

#[test]
fn a_transaction_that_took_messages_commits_only_if_they_come_again() {
    for (come_again, commits) in [(5, true), (4, false)] {
        let mut broker = Broker::failing_over("");
        let (session, consumer) = broker.consumer(AckMode::Transacted, 10);
        broker.dispatch(consumer, 5, 0);
        let now = broker.now();
        broker.core.consumed(consumer, 5, now);
        broker.events();
        cut(&mut broker);
        let told = broker.take_over("ActiveMQ");
        broker.answer_all(&told);
        broker.events();
        broker.sequence = 0;
        broker.dispatch(consumer, come_again, 0);
        assert_eq!(given(&broker.events()), [0; 0], "the application has them already");
        broker.heard();
        broker.core.commit(session, Some(1), broker.now);
        let heard = broker.heard();
        if commits {
            let acks: Vec<Ack> = heard.iter().take(5).map(ack).collect();
            let one = |n: i64| (AckType::Individual as i8, 1, Some(n), Some(n), true);
            assert_eq!(acks, (1..=5).map(one).collect::<Vec<_>>());
            broker.answer_all(&heard);
            assert!(matches!(&broker.events()[..], [Event::Answered { token: 1, result: Ok(()) }]));
        } else {
            let rollback = heard
                .iter()
                .find_map(|c| if let Command::TransactionInfo(info) = c { Some(info.kind) } else { None });
            assert_eq!(rollback, Some(TransactionType::Rollback as i8));
            let events = broker.events();
            let refused = events
                .iter()
                .any(|e| matches!(e, Event::Answered { token: 1, result: Err(Error::RolledBack { .. }) }));
            assert!(refused, "{events:?}");
        }
    }
}

#[test]
fn one_way_messages_are_sent_again_only_if_they_are_tracked() {
    for (options, expected) in [("", 0), ("trackMessages=true", 3), ("trackMessages=true&maxCacheSize=11", 2)]
    {
        let mut broker = Broker::failing_over(options);
        let session = broker.core.open_session(AckMode::Auto).unwrap();
        let producer = broker.producer(session, 10_000);
        for _ in 0..3 {
            broker.core.send(producer, message("x"), None);
        }
        cut(&mut broker);
        let told = broker.take_over("ActiveMQ");
        assert_eq!(messages(&broker.answer_all(&told)).len(), expected, "{options}");
        // And the window of the producer is whole again.
        let room = broker.events().iter().filter(|event| matches!(event, Event::Room { .. })).count();
        assert_eq!(room, 3);
    }
}

#[test]
fn a_consumer_that_waits_for_one_message_asks_again() {
    let mut broker = Broker::failing_over("");
    let (_, consumer) = broker.consumer(AckMode::Auto, 0);
    broker.core.pull(consumer, 5000);
    cut(&mut broker);
    let told = broker.take_over("ActiveMQ");
    let then = broker.answer_all(&told);
    assert!(matches!(&then[..], [Command::MessagePull(pull)] if pull.timeout == 5000), "{then:?}");
}

#[test]
fn a_consumer_that_the_next_broker_refuses_hears_why_and_the_others_live() {
    let mut broker = Broker::failing_over("");
    let (_, refused) = broker.consumer(AckMode::Auto, 10);
    broker.consumer(AckMode::Auto, 10);
    cut(&mut broker);
    let told = broker.take_over("ActiveMQ");
    let infos: Vec<i32> = consumer_infos(&told).iter().map(|info| info.command_id).collect();
    broker.refuse(infos[0], ExceptionClass::Security, "not any more");
    broker.respond(infos[1]);
    let events = broker.events();
    let [Event::ConsumerClosed { consumer, error }, Event::Opened] = &events[..] else {
        panic!("{events:?}")
    };
    assert!(*consumer == refused && error.to_string().contains("not any more"));
}

#[test]
fn a_browse_ends_with_its_broker() {
    let mut broker = Broker::failing_over("");
    let session = broker.core.open_session(AckMode::Auto).unwrap();
    let spec = ConsumerSpec::new(Destination::queue("q")).browser();
    let browser = broker.core.open_consumer(session, &spec, None);
    cut(&mut broker);
    assert!(consumer_infos(&broker.take_over("ActiveMQ")).is_empty());
    let events = broker.events();
    assert!(
        matches!(&events[..], [Event::ConsumerClosed { consumer, .. }, Event::Opened] if *consumer == browser)
    );
}

#[test]
fn closing_and_giving_up_need_no_broker() {
    for give_up in [false, true] {
        let mut broker = Broker::failing_over("");
        let session = broker.core.open_session(AckMode::Auto).unwrap();
        let producer = broker.producer(session, 0);
        broker.core.send(producer, message("x"), Some(1));
        cut(&mut broker);
        match give_up {
            true => broker.core.give_up(Error::Usage("enough")),
            false => broker.core.close(Some(2)),
        }
        assert!(broker.core.is_closed());
        let lost = broker
            .events()
            .iter()
            .filter(|e| matches!(e, Event::Answered { token: 1, result: Err(_) }))
            .count();
        assert_eq!(lost, 1);
    }
}

#[test]
fn a_broker_that_is_lost_while_it_is_asked_to_close_has_closed() {
    for (mut broker, fails_over) in [(Broker::failing_over(""), true), (Broker::open(""), false)] {
        let session = broker.core.open_session(AckMode::Auto).unwrap();
        let producer = broker.producer(session, 0);
        broker.core.send(producer, message("q"), Some(7));
        broker.core.close(Some(8));
        broker.events();
        broker.core.lost("cable cut");
        let events = broker.events();
        let answer = |wanted: u32| {
            events.iter().find_map(|event| match event {
                Event::Answered { token, result } if *token == wanted => Some(result.is_ok()),
                _ => None,
            })
        };
        assert_eq!((answer(7), answer(8)), (Some(false), Some(fails_over)), "{events:?}");
    }
}

#[test]
fn news_of_other_brokers_are_passed_on() {
    let mut broker = Broker::failing_over("");
    broker.say(ConnectionControl { reconnect_to: Some("tcp://c:3".into()), ..ConnectionControl::default() });
    assert!(
        matches!(&broker.events()[..], [Event::Advised(control)] if control.reconnect_to == Some("tcp://c:3".into()))
    );
}

#[test]
fn a_commit_waits_for_messages_to_come_again_as_long_as_it_may() {
    for (come_again, commits) in [(1, true), (0, false)] {
        // Given a transaction of two messages, of which one has come again
        let mut broker = Broker::failing_over("jms.consumerFailoverRedeliveryWaitPeriod=500");
        let (session, consumer) = broker.consumer(AckMode::Transacted, 10);
        broker.dispatch(consumer, 2, 0);
        let now = broker.now();
        broker.core.consumed(consumer, 2, now);
        broker.events();
        cut(&mut broker);
        let told = broker.take_over("ActiveMQ");
        broker.answer_all(&told);
        broker.events();
        broker.sequence = 0;
        broker.dispatch(consumer, 1, 0);
        broker.heard();
        // When it is committed, then nothing is decided yet
        broker.core.commit(session, Some(1), broker.now);
        broker.wait(499);
        assert_eq!(names(&broker.heard()), [""; 0]);
        assert!(broker.events().is_empty());
        // When the other comes, or not
        broker.dispatch(consumer, come_again, 0);
        broker.wait(1);
        let heard = broker.heard();
        let ends =
            heard.iter().find_map(|c| if let Command::TransactionInfo(i) = c { Some(i.kind) } else { None });
        let expected = if commits { TransactionType::CommitOnePhase } else { TransactionType::Rollback };
        assert_eq!(ends, Some(expected as i8));
        broker.answer_all(&heard);
        let events = broker.events();
        let answer = events.iter().find_map(|e| match e {
            Event::Answered { token: 1, result } => Some(result.is_ok()),
            _ => None,
        });
        assert_eq!(answer, Some(commits), "{events:?}");
    }
}

#[test]
fn a_producer_that_was_closed_in_an_open_transaction_is_made_again_for_it() {
    for (options, kept) in [("", true), ("trackTransactionProducers=false", false)] {
        let mut broker = Broker::failing_over(options);
        let session = broker.core.open_session(AckMode::Transacted).unwrap();
        let producer = broker.producer(session, 0);
        broker.core.send(producer, message("x"), None);
        broker.core.close_producer(producer);
        broker.heard();
        cut(&mut broker);
        let told = broker.take_over("ActiveMQ");
        let expected: &[&str] = match kept {
            true => &["SessionInfo", "ProducerInfo", "TransactionInfo", "ActiveMQTextMessage", "RemoveInfo"],
            false => &["SessionInfo", "TransactionInfo", "ActiveMQTextMessage"],
        };
        assert_eq!(names(&told), expected);
        broker.answer_all(&told);
        broker.core.commit(session, Some(1), broker.now);
        let heard = broker.heard();
        broker.answer_all(&heard);
        broker.events();
        cut(&mut broker);
        assert_eq!(names(&broker.take_over("ActiveMQ")), ["SessionInfo"]);
    }
}
