package interop;

import static interop.T.autoOf;
import static interop.T.equal;
import static interop.T.exactly;
import static interop.T.expect;
import static interop.T.next;
import static interop.T.none;
import static interop.T.numbers;
import static interop.T.session;
import static interop.T.take;
import static interop.T.textOf;
import static interop.T.that;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import javax.jms.Connection;
import javax.jms.DeliveryMode;
import javax.jms.Message;
import javax.jms.MessageConsumer;
import javax.jms.MessageProducer;
import javax.jms.Session;
import javax.jms.TopicSubscriber;

/** Topics without durable subscriptions: fan-out, what an absent subscriber misses, noLocal, expiry. */
final class Topics {
    static void describe(Suite s) {
        s.check("one subscriber", t -> {
            MessageConsumer consumer = t.consumer(t.topic());
            t.send(t.topic(), "a", "b");
            exactly(consumer, "a", "b");
        });
        s.check("each subscriber gets each message", t -> {
            List<MessageConsumer> consumers = new ArrayList<>();
            for (int i = 0; i < 5; i++) {
                consumers.add(autoOf(t.connect()).createConsumer(t.topic()));
            }
            t.send(t.topic(), numbers(0, 20));
            for (MessageConsumer consumer : consumers) {
                exactly(consumer, numbers(0, 20));
            }
        });
        s.check("two subscribers in one session", t -> {
            MessageConsumer a = t.consumer(t.topic());
            MessageConsumer b = t.consumer(t.topic());
            t.send(t.topic(), "x");
            exactly(a, "x");
            exactly(b, "x");
        });
        s.check("without a subscriber a message is gone", t -> {
            t.send(t.topic(), "lost");
            none(t.consumer(t.topic()));
        });
        s.check("a subscriber sees only what is sent after it", t -> {
            MessageConsumer early = t.consumer(t.topic());
            t.send(t.topic(), "1");
            MessageConsumer late = t.consumer(t.topic());
            t.send(t.topic(), "2");
            exactly(early, "1", "2");
            exactly(late, "2");
        });
        s.check("a closed subscriber misses what is sent meanwhile", t -> {
            MessageConsumer consumer = t.consumer(t.topic());
            consumer.close();
            t.send(t.topic(), "lost");
            none(t.consumer(t.topic()));
        });
        s.check("messages to a subscriber that is not started are kept for it", t -> {
            Connection connection = t.unstarted();
            MessageConsumer consumer = autoOf(connection).createConsumer(t.topic());
            t.send(t.topic(), "a");
            none(consumer);
            connection.start();
            exactly(consumer, "a");
        });
        s.check("order with many messages", t -> {
            MessageConsumer consumer = t.consumer(t.topic());
            t.sendNumbers(t.topic(), 0, 2000);
            equal(Arrays.asList(numbers(0, 2000)), take(consumer, 2000));
        });
        s.check("order of several publishers, each by itself", t -> {
            MessageConsumer consumer = t.consumer(t.topic());
            for (int p = 0; p < 3; p++) {
                Session session = autoOf(t.connect());
                MessageProducer producer = session.createProducer(t.topic());
                for (int i = 0; i < 20; i++) {
                    producer.send(session.createTextMessage(p + ":" + i));
                }
            }
            int[] last = {-1, -1, -1};
            for (String text : take(consumer, 60)) {
                int producer = text.charAt(0) - '0';
                int number = Integer.parseInt(text.substring(2));
                equal(last[producer] + 1, number);
                last[producer] = number;
            }
        });
        s.check("a slow subscriber holds nobody up", t -> {
            MessageConsumer slow = autoOf(t.connect()).createConsumer(t.topic());
            MessageConsumer fast = autoOf(t.connect()).createConsumer(t.topic());
            t.sendNumbers(t.topic(), 0, 500);
            exactly(fast, numbers(0, 500));
            exactly(slow, numbers(0, 500));
        });
        s.check("prefetch 1 on a topic", t -> {
            MessageConsumer one = t.consumer(t.auto().createTopic(t.name("") + "?consumer.prefetchSize=1"));
            t.send(t.topic(), numbers(0, 30));
            exactly(one, numbers(0, 30));
        });
        s.check("a client session acknowledges a topic", t -> {
            Session client = t.session(Session.CLIENT_ACKNOWLEDGE);
            MessageConsumer consumer = client.createConsumer(t.topic());
            t.send(t.topic(), "a", "b");
            expect(consumer, "a");
            next(consumer).acknowledge();
            none(consumer);
        });
        s.check("recover redelivers on a topic", t -> {
            Session client = t.session(Session.CLIENT_ACKNOWLEDGE);
            MessageConsumer consumer = client.createConsumer(t.topic());
            t.send(t.topic(), "a", "b");
            expect(consumer, "a", "b");
            client.recover();
            Message again = next(consumer);
            equal("a", textOf(again));
            equal(true, again.getJMSRedelivered());
            expect(consumer, "b");
        });
        s.check("dups-ok on a topic", t -> {
            MessageConsumer consumer = t.session(Session.DUPS_OK_ACKNOWLEDGE).createConsumer(t.topic());
            t.send(t.topic(), numbers(0, 100));
            exactly(consumer, numbers(0, 100));
        });
        s.check("noLocal leaves out the own messages", t -> {
            MessageConsumer consumer = t.auto().createConsumer(t.topic(), null, true);
            t.send(t.topic(), "own");
            T.sendBy(autoOf(t.connect()), t.topic(), "foreign");
            exactly(consumer, "foreign");
        });
        s.check("noLocal is about the connection, not the session", t -> {
            MessageConsumer consumer = t.auto().createConsumer(t.topic(), null, true);
            T.sendBy(t.session(Session.AUTO_ACKNOWLEDGE), t.topic(), "other session");
            none(consumer);
        });
        s.check("noLocal false delivers the own messages", t -> {
            MessageConsumer consumer = t.auto().createConsumer(t.topic(), null, false);
            t.send(t.topic(), "own");
            exactly(consumer, "own");
        });
        s.check("noLocal with a selector", t -> {
            MessageConsumer consumer = t.auto().createConsumer(t.topic(), "n = 1", true);
            Session other = autoOf(t.connect());
            for (Session session : List.of(t.auto(), other)) {
                MessageProducer producer = session.createProducer(t.topic());
                for (int n = 1; n <= 2; n++) {
                    Message message = session.createTextMessage((session == other ? "foreign" : "own") + n);
                    message.setIntProperty("n", n);
                    producer.send(message);
                }
            }
            exactly(consumer, "foreign1");
        });
        s.check("a selector on a topic", t -> {
            MessageConsumer odd = t.auto().createConsumer(t.topic(), "odd = TRUE");
            MessageConsumer all = t.consumer(t.topic());
            MessageProducer producer = t.auto().createProducer(t.topic());
            for (int i = 0; i < 6; i++) {
                Message message = t.auto().createTextMessage(Integer.toString(i));
                message.setBooleanProperty("odd", i % 2 == 1);
                producer.send(message);
            }
            exactly(odd, "1", "3", "5");
            exactly(all, numbers(0, 6));
        });
        s.check("an expired message is not delivered by a topic", t -> {
            Connection connection = t.unstarted();
            MessageConsumer consumer = autoOf(connection).createConsumer(t.topic());
            MessageProducer producer = t.auto().createProducer(t.topic());
            producer.send(t.auto().createTextMessage("old"), DeliveryMode.NON_PERSISTENT, 4, 100);
            producer.send(t.auto().createTextMessage("new"), DeliveryMode.NON_PERSISTENT, 4, 0);
            Thread.sleep(300);
            connection.start();
            exactly(consumer, "new");
        });
        s.check("the delivery mode is carried by a topic", t -> {
            MessageConsumer consumer = t.consumer(t.topic());
            MessageProducer producer = t.auto().createProducer(t.topic());
            producer.send(t.auto().createTextMessage("a"), DeliveryMode.PERSISTENT, 4, 0);
            producer.send(t.auto().createTextMessage("b"), DeliveryMode.NON_PERSISTENT, 4, 0);
            equal(DeliveryMode.PERSISTENT, next(consumer).getJMSDeliveryMode());
            equal(DeliveryMode.NON_PERSISTENT, next(consumer).getJMSDeliveryMode());
        });
        s.check("subscribers of one connection that leave and come", t -> {
            for (int i = 0; i < 20; i++) {
                MessageConsumer consumer = t.consumer(t.topic());
                t.send(t.topic(), "m" + i);
                exactlyOne(consumer, "m" + i);
                consumer.close();
            }
        });
        s.check("a cut subscriber does not hold up the others", t -> {
            Connection cut = t.connect();
            autoOf(cut).createConsumer(t.topic());
            MessageConsumer stays = t.consumer(t.topic());
            T.cut(cut);
            t.send(t.topic(), "a", "b");
            exactly(stays, "a", "b");
        });
        s.check("a transacted subscriber rolls back and sees it again", t -> {
            Session tx = t.tx();
            MessageConsumer consumer = tx.createConsumer(t.topic());
            t.send(t.topic(), "a");
            expect(consumer, "a");
            tx.rollback();
            Message again = next(consumer);
            equal("a", textOf(again));
            equal(true, again.getJMSRedelivered());
            tx.commit();
            none(consumer);
        });
        s.check("messages of an unstarted subscription beyond its prefetch", t -> {
            Connection connection = t.keep(t.factory("jms.prefetchPolicy.topicPrefetch=10").createConnection());
            MessageConsumer consumer = autoOf(connection).createConsumer(t.topic());
            t.sendNumbers(t.topic(), 0, 300);
            connection.start();
            equal(Arrays.asList(numbers(0, 300)), take(consumer, 300));
        });
        s.check("a temporary subscriber with the topic API", t -> {
            javax.jms.TopicConnection connection = t.factory("").createTopicConnection();
            t.keep(connection);
            connection.start();
            javax.jms.TopicSession session = connection.createTopicSession(false, Session.AUTO_ACKNOWLEDGE);
            TopicSubscriber subscriber = session.createSubscriber(t.topic());
            session.createPublisher(t.topic()).publish(session.createTextMessage("x"));
            equal("x", textOf(next(subscriber)));
            equal(false, subscriber.getNoLocal());
        });
    }

    private static void exactlyOne(MessageConsumer consumer, String text) throws Exception {
        expect(consumer, text);
        that(consumer.receiveNoWait() == null, "nothing else came");
    }

    private Topics() { }
}
