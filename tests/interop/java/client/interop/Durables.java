package interop;

import static interop.T.autoOf;
import static interop.T.equal;
import static interop.T.exactly;
import static interop.T.expect;
import static interop.T.fails;
import static interop.T.next;
import static interop.T.none;
import static interop.T.numbers;
import static interop.T.session;
import static interop.T.take;
import static interop.T.that;

import java.util.Arrays;
import java.util.List;
import javax.jms.Connection;
import javax.jms.DeliveryMode;
import javax.jms.InvalidDestinationException;
import javax.jms.JMSException;
import javax.jms.Message;
import javax.jms.MessageConsumer;
import javax.jms.MessageProducer;
import javax.jms.Session;
import javax.jms.TopicSubscriber;

/** Durable subscriptions: the backlog of an absent subscriber, changes, unsubscribing. */
final class Durables {
    static void describe(Suite s) {
        backlog(s);
        identity(s);
        changes(s);
        acknowledging(s);
    }

    private static TopicSubscriber subscribe(T t, Connection connection, String name) throws JMSException {
        return autoOf(connection).createDurableSubscriber(t.topic(), name);
    }

    /** Makes a subscription and leaves it. */
    private static void leaveSubscription(T t, String client, String name) throws JMSException {
        Connection connection = t.connectAs(client);
        subscribe(t, connection, name);
        connection.close();
    }

    private static void backlog(Suite s) {
        s.check("an active durable subscriber gets messages", t -> {
            TopicSubscriber subscriber = subscribe(t, t.connectAs(t.clientId()), "s");
            t.send(t.topic(), "a", "b");
            exactly(subscriber, "a", "b");
        });
        s.check("messages wait for an absent subscriber", t -> {
            String client = t.clientId();
            leaveSubscription(t, client, "s");
            t.send(t.topic(), "a", "b", "c");
            exactly(subscribe(t, t.connectAs(client), "s"), "a", "b", "c");
        });
        s.check("nothing from before the subscription", t -> {
            t.send(t.topic(), "before");
            TopicSubscriber subscriber = subscribe(t, t.connectAs(t.clientId()), "s");
            t.send(t.topic(), "after");
            exactly(subscriber, "after");
        });
        s.check("backlog and new messages in order", t -> {
            String client = t.clientId();
            leaveSubscription(t, client, "s");
            t.send(t.topic(), "1", "2");
            TopicSubscriber subscriber = subscribe(t, t.connectAs(client), "s");
            t.send(t.topic(), "3", "4");
            exactly(subscriber, "1", "2", "3", "4");
        });
        s.check("acknowledged messages do not come again", t -> {
            String client = t.clientId();
            Connection connection = t.connectAs(client);
            TopicSubscriber subscriber = subscribe(t, connection, "s");
            t.send(t.topic(), "a", "b", "c");
            expect(subscriber, "a", "b");
            connection.close();
            exactly(subscribe(t, t.connectAs(client), "s"), "c");
        });
        s.check("closing only the subscriber keeps the subscription", t -> {
            Connection connection = t.connectAs(t.clientId());
            TopicSubscriber subscriber = subscribe(t, connection, "s");
            subscriber.close();
            t.send(t.topic(), "a");
            exactly(subscribe(t, connection, "s"), "a");
        });
        s.check("several leaves and returns", t -> {
            String client = t.clientId();
            leaveSubscription(t, client, "s");
            for (int round = 0; round < 5; round++) {
                t.send(t.topic(), "m" + round);
                Connection connection = t.connectAs(client);
                exactly(subscribe(t, connection, "s"), "m" + round);
                connection.close();
            }
        });
        s.check("a backlog larger than the prefetch", t -> {
            String client = t.clientId();
            leaveSubscription(t, client, "s");
            t.send(t.topic(), numbers(0, 250));
            TopicSubscriber subscriber = subscribe(t, t.connectAs(client), "s");
            equal(Arrays.asList(numbers(0, 250)), take(subscriber, 250));
            none(subscriber);
        });
        s.check("non-persistent messages wait for an absent subscriber too", t -> {
            String client = t.clientId();
            leaveSubscription(t, client, "s");
            t.sendNumbers(t.topic(), 0, 5);
            exactly(subscribe(t, t.connectAs(client), "s"), numbers(0, 5));
        });
        s.check("each of two subscriptions has its own backlog", t -> {
            String one = t.clientId();
            String two = t.clientId();
            leaveSubscription(t, one, "s");
            leaveSubscription(t, two, "s");
            t.send(t.topic(), "a", "b");
            exactly(subscribe(t, t.connectAs(one), "s"), "a", "b");
            t.send(t.topic(), "c");
            exactly(subscribe(t, t.connectAs(two), "s"), "a", "b", "c");
        });
        s.check("an expired message leaves the backlog", t -> {
            String client = t.clientId();
            leaveSubscription(t, client, "s");
            MessageProducer producer = t.auto().createProducer(t.topic());
            producer.send(t.auto().createTextMessage("old"), DeliveryMode.PERSISTENT, 4, 100);
            producer.send(t.auto().createTextMessage("new"), DeliveryMode.PERSISTENT, 4, 0);
            Thread.sleep(300);
            exactly(subscribe(t, t.connectAs(client), "s"), "new");
        });
        s.check("a cut connection keeps the subscription and its messages", t -> {
            String client = t.clientId();
            Connection connection = t.connectAs(client);
            TopicSubscriber subscriber = subscribe(t, connection, "s");
            t.send(t.topic(), "a", "b");
            expect(subscriber, "a");
            T.cut(connection);
            T.soon("the old connection is gone", () -> {
                try {
                    Connection again = t.connectAs(client);
                    List<String> got = T.drain(subscribe(t, again, "s"));
                    // Auto-acknowledge sends its ack at the latest when the next message is taken.
                    that(got.equals(List.of("b")) || got.equals(List.of("a", "b")), "the rest came: " + got);
                    return true;
                } catch (JMSException e) {
                    return false;
                }
            });
        });
        s.check("a non-durable and a durable subscriber side by side", t -> {
            TopicSubscriber durable = subscribe(t, t.connectAs(t.clientId()), "s");
            MessageConsumer plain = t.consumer(t.topic());
            t.send(t.topic(), "x");
            exactly(durable, "x");
            exactly(plain, "x");
        });
        s.check("a durable subscription with a wildcard", t -> {
            String client = t.clientId();
            Connection connection = t.connectAs(client);
            autoOf(connection).createDurableSubscriber(t.topic("*"), "s").close();
            t.send(t.topic("one"), "1");
            t.send(t.topic("two"), "2");
            t.send(t.topic("two.deep"), "no");
            exactly(autoOf(connection).createDurableSubscriber(t.topic("*"), "s"), "1", "2");
        });
    }

    private static void identity(Suite s) {
        s.check("a durable subscription needs a client id", t -> {
            Session session = t.auto();
            fails(JMSException.class, () -> session.createDurableSubscriber(t.topic(), "s"));
        });
        s.check("only one active subscriber for a subscription", t -> {
            Connection connection = t.connectAs(t.clientId());
            subscribe(t, connection, "s");
            fails(JMSException.class, () -> subscribe(t, connection, "s"));
        });
        s.check("a refused second subscriber does not disturb the first", t -> {
            Connection connection = t.connectAs(t.clientId());
            TopicSubscriber first = subscribe(t, connection, "s");
            fails(JMSException.class, () -> subscribe(t, connection, "s"));
            t.send(t.topic(), "a");
            exactly(first, "a");
        });
        s.check("two names of one client are two subscriptions", t -> {
            Connection connection = t.connectAs(t.clientId());
            TopicSubscriber a = subscribe(t, connection, "a");
            TopicSubscriber b = subscribe(t, connection, "b");
            t.send(t.topic(), "x");
            exactly(a, "x");
            exactly(b, "x");
        });
        s.check("one name of two clients is two subscriptions", t -> {
            TopicSubscriber a = subscribe(t, t.connectAs(t.clientId()), "s");
            TopicSubscriber b = subscribe(t, t.connectAs(t.clientId()), "s");
            t.send(t.topic(), "x");
            exactly(a, "x");
            exactly(b, "x");
        });
        s.check("unsubscribe drops the backlog", t -> {
            String client = t.clientId();
            leaveSubscription(t, client, "s");
            t.send(t.topic(), "a");
            Connection connection = t.connectAs(client);
            autoOf(connection).unsubscribe("s");
            none(subscribe(t, connection, "s"));
        });
        s.check("after unsubscribe a new subscription starts empty", t -> {
            Connection connection = t.connectAs(t.clientId());
            Session session = autoOf(connection);
            session.createDurableSubscriber(t.topic(), "s").close();
            session.unsubscribe("s");
            t.send(t.topic(), "lost");
            TopicSubscriber subscriber = subscribe(t, connection, "s");
            t.send(t.topic(), "kept");
            exactly(subscriber, "kept");
        });
        s.check("unsubscribe of an unknown name fails", t -> {
            Session session = autoOf(t.connectAs(t.clientId()));
            fails(InvalidDestinationException.class, () -> session.unsubscribe("nobody"));
        });
        s.check("unsubscribe of an active subscription fails", t -> {
            Connection connection = t.connectAs(t.clientId());
            TopicSubscriber subscriber = subscribe(t, connection, "s");
            Session session = autoOf(connection);
            fails(JMSException.class, () -> session.unsubscribe("s"));
            t.send(t.topic(), "still here");
            exactly(subscriber, "still here");
        });
        s.check("unsubscribe twice fails the second time", t -> {
            Connection connection = t.connectAs(t.clientId());
            Session session = autoOf(connection);
            session.createDurableSubscriber(t.topic(), "s").close();
            session.unsubscribe("s");
            fails(InvalidDestinationException.class, () -> session.unsubscribe("s"));
        });
        s.check("a foreign client cannot unsubscribe", t -> {
            String client = t.clientId();
            leaveSubscription(t, client, "s");
            Session foreign = autoOf(t.connectAs(t.clientId()));
            fails(InvalidDestinationException.class, () -> foreign.unsubscribe("s"));
            t.send(t.topic(), "a");
            exactly(subscribe(t, t.connectAs(client), "s"), "a");
        });
    }

    private static Message with(T t, String text, String property, int value) throws JMSException {
        Message message = t.auto().createTextMessage(text);
        message.setIntProperty(property, value);
        return message;
    }

    private static void changes(Suite s) {
        s.check("a durable subscription with a selector", t -> {
            String client = t.clientId();
            Connection connection = t.connectAs(client);
            autoOf(connection).createDurableSubscriber(t.topic(), "s", "n > 1", false);
            connection.close();
            MessageProducer producer = t.auto().createProducer(t.topic());
            for (int n = 0; n < 4; n++) {
                producer.send(with(t, "m" + n, "n", n));
            }
            Session session = autoOf(t.connectAs(client));
            exactly(session.createDurableSubscriber(t.topic(), "s", "n > 1", false), "m2", "m3");
        });
        s.check("a changed selector starts anew", t -> {
            String client = t.clientId();
            Connection connection = t.connectAs(client);
            autoOf(connection).createDurableSubscriber(t.topic(), "s", "n = 1", false);
            connection.close();
            MessageProducer producer = t.auto().createProducer(t.topic());
            producer.send(with(t, "old1", "n", 1));
            producer.send(with(t, "old2", "n", 2));
            Session session = autoOf(t.connectAs(client));
            TopicSubscriber subscriber = session.createDurableSubscriber(t.topic(), "s", "n = 2", false);
            producer.send(with(t, "new1", "n", 1));
            producer.send(with(t, "new2", "n", 2));
            exactly(subscriber, "new2");
        });
        s.check("a selector that is dropped starts anew", t -> {
            String client = t.clientId();
            Connection connection = t.connectAs(client);
            autoOf(connection).createDurableSubscriber(t.topic(), "s", "n = 1", false);
            connection.close();
            MessageProducer producer = t.auto().createProducer(t.topic());
            producer.send(with(t, "old1", "n", 1));
            TopicSubscriber subscriber = subscribe(t, t.connectAs(client), "s");
            producer.send(with(t, "new3", "n", 3));
            exactly(subscriber, "new3");
        });
        s.check("a changed topic moves the subscription", t -> {
            String client = t.clientId();
            leaveSubscription(t, client, "s");
            t.send(t.topic(), "old topic, lost");
            Connection connection = t.connectAs(client);
            TopicSubscriber moved = autoOf(connection).createDurableSubscriber(t.topic("other"), "s");
            t.send(t.topic("other"), "new topic");
            t.send(t.topic(), "old topic again");
            exactly(moved, "new topic");
        });
        s.check("noLocal on a durable subscription", t -> {
            Connection connection = t.connectAs(t.clientId());
            Session session = autoOf(connection);
            TopicSubscriber subscriber = session.createDurableSubscriber(t.topic(), "s", null, true);
            T.sendBy(session, t.topic(), "own");
            t.send(t.topic(), "foreign");
            exactly(subscriber, "foreign");
        });
        s.check("an invalid selector makes no subscription", t -> {
            Connection connection = t.connectAs(t.clientId());
            Session session = autoOf(connection);
            fails(javax.jms.InvalidSelectorException.class,
                    () -> session.createDurableSubscriber(t.topic(), "s", "n ==== 1", false));
            fails(InvalidDestinationException.class, () -> session.unsubscribe("s"));
        });
    }

    private static void acknowledging(Suite s) {
        s.check("unacknowledged messages of a client session come again", t -> {
            String client = t.clientId();
            Connection connection = t.connectAs(client);
            MessageConsumer consumer =
                    session(connection, Session.CLIENT_ACKNOWLEDGE).createDurableSubscriber(t.topic(), "s");
            t.send(t.topic(), "a", "b");
            expect(consumer, "a", "b");
            connection.close();
            exactly(subscribe(t, t.connectAs(client), "s"), "a", "b");
        });
        s.check("messages taken by a closed connection are flagged", t -> {
            String client = t.clientId();
            Connection connection = t.connectAs(client);
            MessageConsumer consumer =
                    session(connection, Session.CLIENT_ACKNOWLEDGE).createDurableSubscriber(t.topic(), "s");
            t.send(t.topic(), "a");
            expect(consumer, "a");
            connection.close();
            Message again = next(subscribe(t, t.connectAs(client), "s"));
            equal(true, again.getJMSRedelivered());
            equal(2, again.getIntProperty("JMSXDeliveryCount"));
        });
        s.check("one acknowledgement in the middle covers all before it", t -> {
            String client = t.clientId();
            Connection connection = t.connectAs(client);
            MessageConsumer consumer =
                    session(connection, Session.CLIENT_ACKNOWLEDGE).createDurableSubscriber(t.topic(), "s");
            t.send(t.topic(), "a", "b", "c");
            expect(consumer, "a");
            next(consumer).acknowledge();
            connection.close();
            exactly(subscribe(t, t.connectAs(client), "s"), "c");
        });
        s.check("a rolled back transaction keeps the messages", t -> {
            String client = t.clientId();
            Connection connection = t.connectAs(client);
            Session tx = session(connection, Session.SESSION_TRANSACTED);
            MessageConsumer consumer = tx.createDurableSubscriber(t.topic(), "s");
            t.send(t.topic(), "a", "b");
            expect(consumer, "a", "b");
            tx.rollback();
            connection.close();
            exactly(subscribe(t, t.connectAs(client), "s"), "a", "b");
        });
        s.check("a committed transaction consumes them", t -> {
            String client = t.clientId();
            Connection connection = t.connectAs(client);
            Session tx = session(connection, Session.SESSION_TRANSACTED);
            MessageConsumer consumer = tx.createDurableSubscriber(t.topic(), "s");
            t.send(t.topic(), "a", "b", "c");
            expect(consumer, "a", "b");
            tx.commit();
            connection.close();
            exactly(subscribe(t, t.connectAs(client), "s"), "c");
        });
        s.check("individual acknowledgement on a durable subscription", t -> {
            String client = t.clientId();
            Connection connection = t.connectAs(client);
            MessageConsumer consumer = session(connection, 4).createDurableSubscriber(t.topic(), "s");
            t.send(t.topic(), "a", "b", "c");
            expect(consumer, "a");
            next(consumer).acknowledge();
            expect(consumer, "c");
            connection.close();
            exactly(subscribe(t, t.connectAs(client), "s"), "a", "c");
        });
        s.check("a message sent in a transaction reaches an absent subscriber after commit", t -> {
            String client = t.clientId();
            leaveSubscription(t, client, "s");
            Session tx = t.tx();
            T.sendBy(tx, t.topic(), "a");
            tx.rollback();
            T.sendBy(tx, t.topic(), "b");
            tx.commit();
            exactly(subscribe(t, t.connectAs(client), "s"), "b");
        });
    }

    private Durables() { }
}
