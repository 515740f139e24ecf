//! The client against a running broker, FerroMQ or the real ActiveMQ, named by `FERROMQ_TEST_URL`, such as
//! `tcp://127.0.0.1:61616`. Without it every test here says that it was skipped.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are not under cfg(test)")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ferromq_client::{
    AckMode, ConnectOptions, Connection, Consumer, ConsumerSpec, Destination, Error, Outgoing, Value,
};

const SOON: Duration = Duration::from_secs(10);
const NOT_SOON: Duration = Duration::from_millis(400);

/// A connection, and a name that no earlier run has used.
async fn begin(test: &str, options: &str) -> Option<(Connection, String)> {
    let Ok(url) = std::env::var("FERROMQ_TEST_URL") else {
        eprintln!("skipped: set FERROMQ_TEST_URL to the address of a broker");
        return None;
    };
    let connection = Connection::connect(&format!("{url}?{options}")).await.unwrap();
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    Some((connection, format!("CLIENT.{test}.{millis}")))
}

async fn text(consumer: &mut Consumer) -> Option<String> {
    consumer.recv_timeout(SOON).await.unwrap().and_then(|delivery| delivery.text())
}

async fn silence(consumer: &mut Consumer) {
    assert!(consumer.recv_timeout(NOT_SOON).await.unwrap().is_none(), "a message that nobody expected");
}

#[tokio::test]
async fn messages_arrive_in_order_with_all_they_carry() {
    let Some((connection, name)) = begin("order", "").await else { return };
    let queue = Destination::queue(name.as_str());
    let mut consumer = connection.consumer(ConsumerSpec::new(queue.clone()), AckMode::Auto).await.unwrap();
    let producer = connection.producer(queue.clone()).await.unwrap();
    let sent = producer.send_all((0..2500).map(|n| Outgoing::text(format!("{n}")).property("n", n))).await;
    assert_eq!(sent.unwrap(), 2500);
    for n in 0..2500 {
        let delivery = consumer.recv_timeout(SOON).await.unwrap().unwrap();
        assert_eq!(delivery.text().unwrap(), n.to_string());
        assert_eq!(delivery.property("n").unwrap(), Some(Value::Int(n)));
        assert_eq!(delivery.destination(), Some(&queue));
        assert!(!delivery.is_redelivered());
    }
    silence(&mut consumer).await;
    connection.close().await.unwrap();
}

#[tokio::test]
async fn what_is_not_acknowledged_comes_again() {
    for mode in [AckMode::Client, AckMode::Individual] {
        let Some((connection, name)) = begin("unacked", "jms.prefetchPolicy.all=4").await else { return };
        let queue = Destination::queue(format!("{name}.{mode:?}"));
        let producer = connection.producer(queue.clone()).await.unwrap();
        producer.send_all((0..20).map(|n| Outgoing::text(n.to_string()))).await.unwrap();
        // Given a consumer that takes more than its window, and acknowledges the sixth
        let mut consumer = connection.consumer(ConsumerSpec::new(queue.clone()), mode).await.unwrap();
        let mut deliveries = Vec::new();
        for _ in 0..10 {
            deliveries.push(consumer.recv_timeout(SOON).await.unwrap().unwrap());
        }
        consumer.ack(&deliveries[5]).await.unwrap();
        drop(consumer);
        // When another one comes, then it gets what was not acknowledged, in order, and flagged
        let mut consumer = connection.consumer(ConsumerSpec::new(queue), AckMode::Auto).await.unwrap();
        let expected: Vec<usize> = match mode {
            AckMode::Client => (6..20).collect(),
            _ => (0..20).filter(|n| *n != 5).collect(),
        };
        for n in expected {
            let delivery = consumer.recv_timeout(SOON).await.unwrap().unwrap();
            assert_eq!((delivery.text().unwrap(), delivery.is_redelivered()), (n.to_string(), n < 10));
        }
        silence(&mut consumer).await;
        connection.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_session_recovers_in_place() {
    let Some((connection, name)) = begin("recover", "jms.redeliveryPolicy.initialRedeliveryDelay=50").await
    else {
        return;
    };
    let queue = Destination::queue(name.as_str());
    let producer = connection.producer(queue.clone()).await.unwrap();
    producer.send_all(["a", "b", "c"].map(Outgoing::text)).await.unwrap();
    let mut consumer = connection.consumer(ConsumerSpec::new(queue), AckMode::Client).await.unwrap();
    for _ in 0..2 {
        consumer.recv_timeout(SOON).await.unwrap().unwrap();
    }
    consumer.recover().await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..3 {
        let delivery = consumer.recv_timeout(SOON).await.unwrap().unwrap();
        seen.push((delivery.text().unwrap(), delivery.redelivery_counter()));
        consumer.ack(&delivery).await.unwrap();
    }
    assert_eq!(seen, [("a".into(), 1), ("b".into(), 1), ("c".into(), 0)]);
    connection.close().await.unwrap();
}

#[tokio::test]
async fn transactions_are_all_or_nothing() {
    let options = "jms.prefetchPolicy.all=10&jms.redeliveryPolicy.initialRedeliveryDelay=50";
    let Some((connection, name)) = begin("transaction", options).await else { return };
    let (from, to) = (Destination::queue(format!("{name}.in")), Destination::queue(format!("{name}.out")));
    let producer = connection.producer(from.clone()).await.unwrap();
    producer.send_all((0..50).map(|n| Outgoing::text(n.to_string()))).await.unwrap();
    let mut watcher = connection.consumer(ConsumerSpec::new(to.clone()), AckMode::Auto).await.unwrap();
    // Given a session that has moved all messages, far more than its window
    let session = connection.transacted().await.unwrap();
    let mut consumer = session.consumer(ConsumerSpec::new(from.clone())).await.unwrap();
    let producer = session.producer(to).await.unwrap();
    for round in 0..2 {
        for n in 0..50 {
            let delivery = consumer.recv_timeout(SOON).await.unwrap().unwrap();
            assert_eq!((delivery.text().unwrap(), delivery.redelivery_counter()), (n.to_string(), round));
            producer.send(Outgoing::text(n.to_string())).await.unwrap();
        }
        silence(&mut watcher).await;
        // When it rolls back, then everything comes again; when it commits, then it is done
        if round == 0 {
            session.rollback().await.unwrap();
        } else {
            session.commit().await.unwrap();
        }
    }
    for n in 0..50 {
        assert_eq!(text(&mut watcher).await, Some(n.to_string()));
    }
    silence(&mut watcher).await;
    silence(&mut consumer).await;
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_hopeless_message_goes_to_the_dead_letters() {
    let options = "jms.redeliveryPolicy.initialRedeliveryDelay=0&jms.redeliveryPolicy.maximumRedeliveries=2";
    let Some((connection, name)) = begin("poison", options).await else { return };
    let queue = Destination::queue(name.as_str());
    let dead = ConsumerSpec::new(Destination::queue("ActiveMQ.DLQ")).selector(format!("origin = '{name}'"));
    let mut dead = connection.consumer(dead, AckMode::Auto).await.unwrap();
    let producer = connection.producer(queue.clone()).await.unwrap();
    producer.send(Outgoing::text("x").property("origin", name.as_str())).await.unwrap();
    let session = connection.transacted().await.unwrap();
    let mut consumer = session.consumer(ConsumerSpec::new(queue)).await.unwrap();
    for round in 0..3 {
        let delivery = consumer.recv_timeout(SOON).await.unwrap().unwrap();
        assert_eq!(delivery.redelivery_counter(), round);
        session.rollback().await.unwrap();
    }
    assert_eq!(text(&mut dead).await, Some("x".into()));
    silence(&mut consumer).await;
    connection.close().await.unwrap();
}

#[tokio::test]
async fn browsers_look_and_leave() {
    let Some((connection, name)) = begin("browse", "jms.prefetchPolicy.queueBrowserPrefetch=50").await else {
        return;
    };
    let queue = Destination::queue(name.as_str());
    let producer = connection.producer(queue.clone()).await.unwrap();
    producer.send_all((0..300).map(|n| Outgoing::text(n.to_string()).property("n", n))).await.unwrap();
    for (selector, from) in [(None, 0), (Some("n >= 290"), 290), (None, 0)] {
        let mut browser = connection.browse(queue.clone(), selector).await.unwrap();
        for n in from..300 {
            assert_eq!(browser.recv().await.unwrap().unwrap().text().unwrap(), n.to_string());
        }
        assert!(browser.recv().await.unwrap().is_none());
    }
    connection.close().await.unwrap();
}

#[tokio::test]
async fn without_a_window_each_message_is_asked_for() {
    let Some((connection, name)) = begin("pull", "jms.prefetchPolicy.all=0").await else { return };
    let queue = Destination::queue(name.as_str());
    let mut consumer = connection.consumer(ConsumerSpec::new(queue.clone()), AckMode::Auto).await.unwrap();
    silence(&mut consumer).await;
    let producer = connection.producer(queue.clone()).await.unwrap();
    producer.send_all(["a", "b", "c"].map(Outgoing::text)).await.unwrap();
    assert_eq!(text(&mut consumer).await, Some("a".into()));
    // What nobody asked for stays with the broker, for others.
    let spec = ConsumerSpec::new(queue).prefetch(10);
    let mut other = connection.consumer(spec, AckMode::Auto).await.unwrap();
    assert_eq!(text(&mut other).await, Some("b".into()));
    assert_eq!(text(&mut other).await, Some("c".into()));
    silence(&mut consumer).await;
    connection.close().await.unwrap();
}

#[tokio::test]
async fn requests_get_their_replies() {
    let Some((connection, name)) = begin("request", "").await else { return };
    let queue = Destination::queue(name.as_str());
    let mut server = connection.consumer(ConsumerSpec::new(queue.clone()), AckMode::Auto).await.unwrap();
    let answers = connection.anonymous_producer().await.unwrap();
    let serving = tokio::spawn(async move {
        for _ in 0..20 {
            let request = server.recv().await.unwrap().unwrap();
            let reply = Outgoing::text(format!("re: {}", request.text().unwrap()))
                .persistent(false)
                .correlation_id(request.message().correlation_id.clone().unwrap());
            answers.send_to(request.reply_to().unwrap(), reply).await.unwrap();
        }
    });
    let mut requester = connection.requester(queue).await.unwrap();
    for n in 0..20 {
        let reply = requester.request(Outgoing::text(n.to_string()), SOON).await.unwrap();
        assert_eq!(reply.text().unwrap(), format!("re: {n}"));
    }
    serving.await.unwrap();
    let late = requester.request(Outgoing::text("nobody listens"), NOT_SOON).await.unwrap_err();
    assert!(matches!(late, Error::Timeout { .. }), "{late}");
    drop(requester);
    connection.close().await.unwrap();
}

#[tokio::test]
async fn durable_subscriptions_wait_for_their_owner() {
    let Some((first, name)) = begin("durable", "").await else { return };
    first.close().await.unwrap();
    let url = std::env::var("FERROMQ_TEST_URL").unwrap();
    let options = || ConnectOptions::parse(&url).unwrap().client_id(name.as_str());
    let topic = Destination::topic(name.as_str());
    let spec = || ConsumerSpec::new(topic.clone()).subscription("s1");
    // Given a subscription whose owner is away
    let connection = Connection::connect_with(options()).await.unwrap();
    drop(connection.consumer(spec(), AckMode::Auto).await.unwrap());
    let twin = Connection::connect_with(options()).await.unwrap_err();
    assert!(twin.to_string().contains("InvalidClientID"), "{twin}");
    let producer = connection.producer(topic.clone()).await.unwrap();
    producer.send_all((0..200).map(|n| Outgoing::text(n.to_string()))).await.unwrap();
    connection.close().await.unwrap();
    // When it comes back, then everything is there
    let connection = Connection::connect_with(options()).await.unwrap();
    let mut consumer = connection.consumer(spec(), AckMode::DupsOk).await.unwrap();
    for n in 0..200 {
        assert_eq!(text(&mut consumer).await, Some(n.to_string()));
    }
    let active = connection.unsubscribe("s1").await.unwrap_err();
    assert!(active.class().is_some() && active.to_string().contains("s1"), "{active}");
    drop(consumer);
    connection.unsubscribe("s1").await.unwrap();
    assert!(connection.unsubscribe("s1").await.is_err());
    connection.close().await.unwrap();
}

#[tokio::test]
async fn topics_reach_everybody_and_windows_hold_producers() {
    let Some((connection, name)) = begin("topic", "jms.producerWindowSize=20000").await else { return };
    let topic = Destination::topic(name.as_str());
    let mut consumers = Vec::new();
    for _ in 0..3 {
        let spec = ConsumerSpec::new(topic.clone());
        consumers.push(connection.consumer(spec, AckMode::Auto).await.unwrap());
    }
    let producer = connection.producer(topic).await.unwrap();
    for n in 0..500 {
        producer.send(Outgoing::text(n.to_string()).persistent(false)).await.unwrap();
    }
    for consumer in &mut consumers {
        for n in 0..500 {
            assert_eq!(text(consumer).await, Some(n.to_string()));
        }
    }
    connection.close().await.unwrap();
}

#[tokio::test]
async fn mistakes_are_named() {
    let Some((connection, name)) = begin("mistakes", "").await else { return };
    let queue = Destination::queue(name.as_str());
    let spec = ConsumerSpec::new(queue.clone()).selector("a = = b");
    let error = connection.consumer(spec, AckMode::Auto).await.unwrap_err();
    assert!(error.to_string().contains(&name) && error.to_string().contains("InvalidSelector"), "{error}");
    // The connection lives on.
    let producer = connection.producer(queue.clone()).await.unwrap();
    producer.send(Outgoing::text("x")).await.unwrap();
    connection.close().await.unwrap();
    let error = producer.send(Outgoing::text("y")).await.unwrap_err();
    assert!(matches!(error, Error::Closed { .. }), "{error}");
    let error = Connection::connect("tcp://127.0.0.1:1?connectionTimeout=2000").await.unwrap_err();
    assert!(error.to_string().contains("tcp://127.0.0.1:1"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_tasks_share_a_connection() {
    let Some((connection, name)) = begin("many", "").await else { return };
    let queue = Destination::queue(name.as_str());
    let total = Arc::new(AtomicUsize::new(0));
    let mut consumers = Vec::new();
    for _ in 0..4 {
        let spec = ConsumerSpec::new(queue.clone()).prefetch(20);
        let mut consumer = connection.consumer(spec, AckMode::Auto).await.unwrap();
        let total = Arc::clone(&total);
        consumers.push(tokio::spawn(async move {
            let patience = Instant::now() + 3 * SOON;
            // Brokers take acknowledgements after the sends that stand before them on the connection.
            while total.load(Ordering::SeqCst) < 4000 && Instant::now() < patience {
                if consumer.recv_timeout(NOT_SOON).await.unwrap().is_some() {
                    total.fetch_add(1, Ordering::SeqCst);
                }
            }
        }));
    }
    for _ in 0..4 {
        let producer = connection.producer(queue.clone()).await.unwrap();
        tokio::spawn(async move {
            producer.send_all((0..1000).map(|n| Outgoing::text(n.to_string()))).await.unwrap()
        });
    }
    for consumer in consumers {
        consumer.await.unwrap();
    }
    assert_eq!(total.load(Ordering::SeqCst), 4000);
    connection.close().await.unwrap();
}
