package interop;

import static interop.T.autoOf;
import static interop.T.equal;
import static interop.T.exactly;
import static interop.T.expect;
import static interop.T.next;
import static interop.T.none;
import static interop.T.numbers;
import static interop.T.session;
import static interop.T.soon;
import static interop.T.take;
import static interop.T.textOf;
import static interop.T.that;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import javax.jms.Connection;
import javax.jms.DeliveryMode;
import javax.jms.JMSException;
import javax.jms.Message;
import javax.jms.MessageConsumer;
import javax.jms.Session;
import org.apache.activemq.ActiveMQConnection;
import org.apache.activemq.ActiveMQConnectionFactory;
import org.apache.activemq.RedeliveryPolicy;
import org.apache.activemq.command.ActiveMQMessage;
import org.apache.activemq.command.ActiveMQQueue;

/** Acknowledgement modes, redelivery with its counters and flags, and the dead-letter queue. */
final class Acks {
    private static final int INDIVIDUAL = 4;

    static void describe(Suite s) {
        auto(s);
        client(s);
        individual(s);
        dupsOk(s);
        counters(s);
        deadLetters(s);
    }

    private static void auto(Suite s) {
        s.check("auto acknowledges after receive", t -> {
            t.send(t.queue(), "a", "b");
            Connection connection = t.connect();
            expect(autoOf(connection).createConsumer(t.queue()), "a");
            connection.close();
            t.left(t.queue(), "b");
        });
        s.check("auto acknowledges after the listener", t -> {
            t.send(t.queue(), "a");
            Connection connection = t.connect();
            AtomicInteger count = new AtomicInteger();
            autoOf(connection).createConsumer(t.queue()).setMessageListener(message -> count.incrementAndGet());
            soon("the listener was called", () -> count.get() == 1);
            connection.close();
            t.left(t.queue());
        });
        s.check("a listener that throws gets the message again", t -> {
            t.send(t.queue(), "a");
            Connection connection = t.connect("jms.redeliveryPolicy.initialRedeliveryDelay=10&jms.redeliveryPolicy.redeliveryDelay=10");
            List<Boolean> flags = Collections.synchronizedList(new ArrayList<>());
            autoOf(connection).createConsumer(t.queue()).setMessageListener(message -> {
                try {
                    flags.add(message.getJMSRedelivered());
                } catch (JMSException e) {
                    throw new IllegalStateException(e);
                }
                if (flags.size() < 3) {
                    throw new IllegalStateException("not yet");
                }
            });
            soon("three deliveries", () -> flags.size() == 3);
            equal(List.of(false, true, true), flags);
            connection.close();
            t.left(t.queue());
        });
        s.check("recover in an auto session does no harm", t -> {
            t.send(t.queue(), "a", "b");
            MessageConsumer consumer = t.consumer(t.queue());
            expect(consumer, "a");
            t.auto().recover();
            exactly(consumer, "b");
        });
        s.check("optimized acknowledgements reach the broker", t -> {
            t.send(t.queue(), numbers(0, 50));
            Connection connection = t.connect("jms.optimizeAcknowledge=true");
            expect(autoOf(connection).createConsumer(t.queue()), numbers(0, 50));
            connection.close();
            t.left(t.queue());
        });
        s.check("acknowledgements sent synchronously", t -> {
            t.send(t.queue(), numbers(0, 10));
            Connection connection = t.connect("jms.sendAcksAsync=false");
            expect(autoOf(connection).createConsumer(t.queue()), numbers(0, 10));
            connection.close();
            t.left(t.queue());
        });
    }

    private static void client(Suite s) {
        s.check("without acknowledge the message comes again", t -> {
            t.send(t.queue(), "a", "b");
            Connection connection = t.connect();
            expect(session(connection, Session.CLIENT_ACKNOWLEDGE).createConsumer(t.queue()), "a", "b");
            connection.close();
            t.left(t.queue(), "a", "b");
        });
        s.check("acknowledge covers all of the session so far", t -> {
            t.send(t.queue(), "a", "b", "c");
            Connection connection = t.connect();
            MessageConsumer consumer = session(connection, Session.CLIENT_ACKNOWLEDGE).createConsumer(t.queue());
            expect(consumer, "a");
            next(consumer).acknowledge();
            expect(consumer, "c");
            connection.close();
            t.left(t.queue(), "c");
        });
        s.check("acknowledge of an earlier message covers later ones too", t -> {
            t.send(t.queue(), "a", "b");
            Connection connection = t.connect();
            MessageConsumer consumer = session(connection, Session.CLIENT_ACKNOWLEDGE).createConsumer(t.queue());
            Message first = next(consumer);
            expect(consumer, "b");
            first.acknowledge();
            connection.close();
            t.left(t.queue());
        });
        s.check("acknowledge covers all consumers of the session", t -> {
            t.send(t.queue("1"), "a");
            t.send(t.queue("2"), "b");
            Connection connection = t.connect();
            Session client = session(connection, Session.CLIENT_ACKNOWLEDGE);
            expect(client.createConsumer(t.queue("1")), "a");
            next(client.createConsumer(t.queue("2"))).acknowledge();
            connection.close();
            t.left(t.queue("1"));
            t.left(t.queue("2"));
        });
        s.check("acknowledge does not cover another session", t -> {
            t.send(t.queue("1"), "a");
            t.send(t.queue("2"), "b");
            Connection connection = t.connect();
            expect(session(connection, Session.CLIENT_ACKNOWLEDGE).createConsumer(t.queue("1")), "a");
            next(session(connection, Session.CLIENT_ACKNOWLEDGE).createConsumer(t.queue("2"))).acknowledge();
            connection.close();
            t.left(t.queue("1"), "a");
            t.left(t.queue("2"));
        });
        s.check("acknowledging twice is harmless", t -> {
            t.send(t.queue(), "a", "b");
            MessageConsumer consumer = t.session(Session.CLIENT_ACKNOWLEDGE).createConsumer(t.queue());
            Message message = next(consumer);
            message.acknowledge();
            message.acknowledge();
            expect(consumer, "b");
        });
        s.check("recover gives the messages again in order", t -> {
            t.send(t.queue(), "a", "b", "c");
            Session client = t.session(Session.CLIENT_ACKNOWLEDGE);
            MessageConsumer consumer = client.createConsumer(t.queue());
            expect(consumer, "a", "b");
            client.recover();
            exactly(consumer, "a", "b", "c");
        });
        s.check("recover sets the flag and the count", t -> {
            t.send(t.queue(), "a", "b");
            Session client = t.session(Session.CLIENT_ACKNOWLEDGE);
            MessageConsumer consumer = client.createConsumer(t.queue());
            Message first = next(consumer);
            equal(false, first.getJMSRedelivered());
            equal(1, first.getIntProperty("JMSXDeliveryCount"));
            client.recover();
            Message again = next(consumer);
            equal(true, again.getJMSRedelivered());
            equal(2, again.getIntProperty("JMSXDeliveryCount"));
            Message other = next(consumer);
            equal("b", textOf(other));
            equal(false, other.getJMSRedelivered());
        });
        s.check("recover keeps what was acknowledged", t -> {
            t.send(t.queue(), "a", "b");
            Session client = t.session(Session.CLIENT_ACKNOWLEDGE);
            MessageConsumer consumer = client.createConsumer(t.queue());
            next(consumer).acknowledge();
            client.recover();
            exactly(consumer, "b");
        });
        s.check("a closed consumer gives back what was not acknowledged", t -> {
            t.send(t.queue(), "a", "b");
            Session client = t.session(Session.CLIENT_ACKNOWLEDGE);
            MessageConsumer consumer = client.createConsumer(t.queue());
            expect(consumer, "a", "b");
            client.close();
            exactly(t.consumer(t.queue()), "a", "b");
        });
        s.check("190 messages, one acknowledgement", t -> {
            t.sendNumbers(t.queue(), 0, 190);
            Connection connection = t.connect();
            MessageConsumer consumer = session(connection, Session.CLIENT_ACKNOWLEDGE).createConsumer(t.queue());
            take(consumer, 189);
            next(consumer).acknowledge();
            connection.close();
            t.left(t.queue());
        });
        s.better("many messages, one acknowledgement", 20, t -> {
            t.sendNumbers(t.queue(), 0, 1500);
            Connection connection = t.connect();
            MessageConsumer consumer = session(connection, Session.CLIENT_ACKNOWLEDGE).createConsumer(t.queue());
            take(consumer, 1499);
            next(consumer).acknowledge();
            connection.close();
            t.left(t.queue());
        });
        s.check("acknowledge every tenth", t -> {
            t.sendNumbers(t.queue(), 0, 95);
            Connection connection = t.connect();
            MessageConsumer consumer = session(connection, Session.CLIENT_ACKNOWLEDGE).createConsumer(t.queue());
            for (int i = 1; i <= 95; i++) {
                Message message = next(consumer);
                if (i % 10 == 0) {
                    message.acknowledge();
                }
            }
            connection.close();
            t.left(t.queue(), numbers(90, 95));
        });
    }

    private static void individual(Suite s) {
        s.check("only the acknowledged message goes", t -> {
            t.send(t.queue(), "a", "b", "c");
            Connection connection = t.connect();
            MessageConsumer consumer = session(connection, INDIVIDUAL).createConsumer(t.queue());
            expect(consumer, "a");
            next(consumer).acknowledge();
            expect(consumer, "c");
            connection.close();
            t.left(t.queue(), "a", "c");
        });
        s.check("individual acknowledgements in reverse", t -> {
            t.send(t.queue(), numbers(0, 10));
            Connection connection = t.connect();
            MessageConsumer consumer = session(connection, INDIVIDUAL).createConsumer(t.queue());
            List<Message> held = new ArrayList<>();
            for (int i = 0; i < 10; i++) {
                held.add(next(consumer));
            }
            for (int i = 9; i >= 5; i--) {
                held.get(i).acknowledge();
            }
            connection.close();
            t.left(t.queue(), numbers(0, 5));
        });
        s.check("an individual acknowledgement opens the window", t -> {
            t.send(t.queue(), numbers(0, 6));
            Connection connection = t.connect("jms.prefetchPolicy.queuePrefetch=2");
            MessageConsumer consumer = session(connection, INDIVIDUAL).createConsumer(t.queue());
            for (int i = 0; i < 6; i++) {
                Message message = next(consumer);
                equal(Integer.toString(i), textOf(message));
                message.acknowledge();
            }
            none(consumer);
        });
        s.check("recover in an individual session", t -> {
            t.send(t.queue(), "a", "b", "c");
            Session session = t.session(INDIVIDUAL);
            MessageConsumer consumer = session.createConsumer(t.queue());
            expect(consumer, "a");
            next(consumer).acknowledge();
            expect(consumer, "c");
            session.recover();
            exactly(consumer, "a", "c");
        });
    }

    private static void dupsOk(Suite s) {
        s.check("dups-ok on a queue", t -> {
            t.send(t.queue(), numbers(0, 40));
            Connection connection = t.connect();
            expect(session(connection, Session.DUPS_OK_ACKNOWLEDGE).createConsumer(t.queue()), numbers(0, 40));
            connection.close();
            t.left(t.queue());
        });
        s.check("dups-ok with a small window", t -> {
            t.send(t.queue(), numbers(0, 40));
            Connection connection = t.connect("jms.prefetchPolicy.all=4");
            expect(session(connection, Session.DUPS_OK_ACKNOWLEDGE).createConsumer(t.queue()), numbers(0, 40));
            connection.close();
            t.left(t.queue());
        });
    }

    private static void counters(Suite s) {
        s.check("a first delivery is not flagged", t -> {
            t.send(t.queue(), "a");
            Message message = next(t.consumer(t.queue()));
            equal(false, message.getJMSRedelivered());
            equal(1, message.getIntProperty("JMSXDeliveryCount"));
        });
        s.check("taken by a closed connection: flagged and counted", t -> {
            t.send(t.queue(), "a");
            for (int count = 1; count <= 4; count++) {
                Connection connection = t.connect();
                Message message = next(session(connection, Session.CLIENT_ACKNOWLEDGE).createConsumer(t.queue()));
                equal(count, message.getIntProperty("JMSXDeliveryCount"));
                equal(count > 1, message.getJMSRedelivered());
                connection.close();
            }
        });
        s.check("taken by a closed session: flagged", t -> {
            t.send(t.queue(), "a");
            Session client = t.session(Session.CLIENT_ACKNOWLEDGE);
            expect(client.createConsumer(t.queue()), "a");
            client.close();
            equal(true, next(t.consumer(t.queue())).getJMSRedelivered());
        });
        s.check("only prefetched by a closed consumer: not flagged", t -> {
            t.send(t.queue(), "a", "b");
            MessageConsumer consumer = t.consumer(t.queue());
            expect(consumer, "a");
            consumer.close();
            Message message = next(t.consumer(t.queue()));
            equal("b", textOf(message));
            equal(false, message.getJMSRedelivered());
        });
        s.check("never taken by a connection that took later ones of another queue: not flagged", t -> {
            Connection connection = t.connect();
            t.send(t.queue("idle"), "a");
            autoOf(connection).createConsumer(t.queue("idle"));
            t.send(t.queue("busy"), "b");
            expect(autoOf(connection).createConsumer(t.queue("busy")), "b");
            connection.close();
            Message message = next(t.consumer(t.queue("idle")));
            equal(false, message.getJMSRedelivered());
            equal(1, message.getIntProperty("JMSXDeliveryCount"));
        });
        s.check("never taken by a closed connection: not flagged", t -> {
            t.send(t.queue(), "a");
            Connection connection = t.connect();
            autoOf(connection).createConsumer(t.queue());
            Thread.sleep(T.SHORT);
            connection.close();
            Message message = next(t.consumer(t.queue()));
            equal(false, message.getJMSRedelivered());
        });
        s.check("dispatched to a cut connection: flagged", t -> {
            t.send(t.queue(), "a");
            Connection connection = t.connect();
            MessageConsumer consumer = session(connection, Session.CLIENT_ACKNOWLEDGE).createConsumer(t.queue());
            expect(consumer, "a");
            T.cut(connection);
            Message message = next(t.consumer(t.queue()));
            equal("a", textOf(message));
            equal(true, message.getJMSRedelivered());
        });
        s.check("of several only the taken ones are flagged", t -> {
            t.send(t.queue(), "a", "b", "c", "d");
            Connection connection = t.connect();
            expect(session(connection, Session.CLIENT_ACKNOWLEDGE).createConsumer(t.queue()), "a", "b");
            connection.close();
            MessageConsumer consumer = t.consumer(t.queue());
            for (String text : List.of("a", "b", "c", "d")) {
                Message message = next(consumer);
                equal(text, textOf(message));
                equal(text.compareTo("c") < 0, message.getJMSRedelivered());
            }
        });
        s.check("rollback flags and counts", t -> {
            t.send(t.queue(), "a");
            Session tx = t.tx();
            MessageConsumer consumer = tx.createConsumer(t.queue());
            for (int count = 1; count <= 2; count++) {
                Message message = next(consumer);
                equal(count, message.getIntProperty("JMSXDeliveryCount"));
                equal(count > 1, message.getJMSRedelivered());
                tx.rollback();
            }
        });
        s.check("the counter of rollbacks goes on after a close", t -> {
            t.send(t.queue(), "a");
            Connection connection = t.connect();
            Session tx = session(connection, Session.SESSION_TRANSACTED);
            MessageConsumer consumer = tx.createConsumer(t.queue());
            next(consumer);
            tx.rollback();
            next(consumer);
            connection.close();
            Message message = next(t.consumer(t.queue()));
            equal(true, message.getJMSRedelivered());
            that(message.getIntProperty("JMSXDeliveryCount") >= 2, "counted on");
        });
        s.check("redelivery delay of the policy", t -> {
            t.send(t.queue(), "a");
            Connection connection = t.connect("jms.redeliveryPolicy.initialRedeliveryDelay=600");
            Session tx = session(connection, Session.SESSION_TRANSACTED);
            MessageConsumer consumer = tx.createConsumer(t.queue());
            next(consumer);
            tx.rollback();
            long began = System.nanoTime();
            next(consumer);
            long took = (System.nanoTime() - began) / 1_000_000;
            that(took >= 400, "came after about 600 ms, not " + took);
        });
    }

    private static Connection impatient(T t, int redeliveries) throws JMSException {
        return t.connect("jms.redeliveryPolicy.initialRedeliveryDelay=0&jms.redeliveryPolicy.redeliveryDelay=0"
                + "&jms.redeliveryPolicy.maximumRedeliveries=" + redeliveries);
    }

    /** Sends one message with a property by which it can be picked from the shared dead-letter queue. */
    private static void sendMarked(T t, int mode, long ttl) throws JMSException {
        Message message = t.auto().createTextMessage("dead");
        message.setStringProperty("mark", t.name(""));
        t.auto().createProducer(t.queue()).send(message, mode, 4, ttl);
    }

    private static MessageConsumer deadOf(T t) throws JMSException {
        return t.auto().createConsumer(new ActiveMQQueue("ActiveMQ.DLQ"), "mark = '" + t.name("") + "'");
    }

    /** Takes and rolls back until the client gives the message up. */
    private static void poison(T t, int redeliveries) throws JMSException {
        Connection connection = impatient(t, redeliveries);
        Session tx = session(connection, Session.SESSION_TRANSACTED);
        MessageConsumer consumer = tx.createConsumer(t.queue());
        for (int i = 0; i <= redeliveries; i++) {
            next(consumer);
            tx.rollback();
        }
        none(consumer);
        connection.close();
    }

    private static void deadLetters(Suite s) {
        s.check("after the last redelivery a message is in the dead-letter queue", t -> {
            sendMarked(t, DeliveryMode.PERSISTENT, 0);
            poison(t, 2);
            exactly(deadOf(t), "dead");
            t.left(t.queue());
        });
        s.check("no redelivery at all", t -> {
            sendMarked(t, DeliveryMode.PERSISTENT, 0);
            poison(t, 0);
            exactly(deadOf(t), "dead");
        });
        s.check("the default limit is six redeliveries", t -> {
            sendMarked(t, DeliveryMode.PERSISTENT, 0);
            Connection connection = t.connect("jms.redeliveryPolicy.initialRedeliveryDelay=0&jms.redeliveryPolicy.redeliveryDelay=0");
            Session tx = session(connection, Session.SESSION_TRANSACTED);
            MessageConsumer consumer = tx.createConsumer(t.queue());
            for (int i = 0; i < 7; i++) {
                next(consumer);
                tx.rollback();
            }
            none(consumer);
            exactly(deadOf(t), "dead");
        });
        s.check("redelivery without limit", t -> {
            sendMarked(t, DeliveryMode.PERSISTENT, 0);
            Connection connection = impatient(t, RedeliveryPolicy.NO_MAXIMUM_REDELIVERIES);
            Session tx = session(connection, Session.SESSION_TRANSACTED);
            MessageConsumer consumer = tx.createConsumer(t.queue());
            for (int i = 0; i < 20; i++) {
                next(consumer);
                tx.rollback();
            }
            next(consumer);
            tx.commit();
            t.left(t.queue());
        });
        s.check("a dead letter keeps body, properties and id", t -> {
            Message sent = t.auto().createTextMessage("dead");
            sent.setStringProperty("mark", t.name(""));
            sent.setIntProperty("n", 7);
            sent.setJMSCorrelationID("c");
            t.auto().createProducer(t.queue()).send(sent);
            poison(t, 1);
            Message dead = next(deadOf(t));
            equal("dead", textOf(dead));
            equal(7, dead.getIntProperty("n"));
            equal("c", dead.getJMSCorrelationID());
            equal(sent.getJMSMessageID(), dead.getJMSMessageID());
        });
        s.check("a dead letter names its cause", t -> {
            sendMarked(t, DeliveryMode.PERSISTENT, 0);
            poison(t, 1);
            String cause = next(deadOf(t)).getStringProperty("dlqDeliveryFailureCause");
            that(cause != null && cause.contains("redelivery"), "the cause speaks of redelivery: " + cause);
        });
        s.check("a dead letter knows where it came from", t -> {
            sendMarked(t, DeliveryMode.PERSISTENT, 0);
            poison(t, 1);
            ActiveMQMessage dead = (ActiveMQMessage) next(deadOf(t));
            equal("queue://ActiveMQ.DLQ", dead.getJMSDestination().toString());
            equal("queue://" + t.name(""), String.valueOf(dead.getOriginalDestination()));
        });
        s.check("a dead letter is persistent", t -> {
            sendMarked(t, DeliveryMode.PERSISTENT, 0);
            poison(t, 1);
            equal(DeliveryMode.PERSISTENT, next(deadOf(t)).getJMSDeliveryMode());
        });
        s.check("a poisoned non-persistent message is not kept", t -> {
            sendMarked(t, DeliveryMode.NON_PERSISTENT, 0);
            poison(t, 1);
            none(deadOf(t));
            t.left(t.queue());
        });
        s.check("the others go on after a dead letter", t -> {
            sendMarked(t, DeliveryMode.PERSISTENT, 0);
            t.send(t.queue(), "next");
            Connection connection = impatient(t, 1);
            Session tx = session(connection, Session.SESSION_TRANSACTED);
            MessageConsumer consumer = tx.createConsumer(t.queue());
            for (int i = 0; i < 2; i++) {
                expect(consumer, "dead");
                tx.rollback();
            }
            expect(consumer, "next");
            tx.commit();
            exactly(deadOf(t), "dead");
        });
        s.check("a listener that always throws ends in the dead-letter queue", t -> {
            sendMarked(t, DeliveryMode.PERSISTENT, 0);
            Connection connection = impatient(t, 2);
            AtomicInteger count = new AtomicInteger();
            autoOf(connection).createConsumer(t.queue()).setMessageListener(message -> {
                count.incrementAndGet();
                throw new IllegalStateException("always");
            });
            expect(deadOf(t), "dead");
            equal(3, count.get());
        });
        s.check("recover up to the limit ends in the dead-letter queue", t -> {
            sendMarked(t, DeliveryMode.PERSISTENT, 0);
            Connection connection = impatient(t, 1);
            Session client = session(connection, Session.CLIENT_ACKNOWLEDGE);
            MessageConsumer consumer = client.createConsumer(t.queue());
            next(consumer);
            client.recover();
            next(consumer);
            client.recover();
            none(consumer);
            exactly(deadOf(t), "dead");
        });
        s.check("an expired persistent message goes to the dead-letter queue", t -> {
            sendMarked(t, DeliveryMode.PERSISTENT, 100);
            Thread.sleep(300);
            none(t.consumer(t.queue()));
            Message dead = next(deadOf(t));
            equal("dead", textOf(dead));
            equal(0L, dead.getJMSExpiration());
        });
        s.check("an expired dead letter names expiry and its old time", t -> {
            sendMarked(t, DeliveryMode.PERSISTENT, 100);
            Thread.sleep(300);
            none(t.consumer(t.queue()));
            Message dead = next(deadOf(t));
            that(dead.getLongProperty("originalExpiration") > 0, "the old expiration is kept");
        });
        s.check("an expired non-persistent message is just gone", t -> {
            sendMarked(t, DeliveryMode.NON_PERSISTENT, 100);
            Thread.sleep(300);
            none(t.consumer(t.queue()));
            none(deadOf(t));
        });
        s.check("expired in the client's buffer goes to the dead-letter queue", t -> {
            MessageConsumer consumer = t.consumer(t.queue());
            sendMarked(t, DeliveryMode.PERSISTENT, 150);
            Thread.sleep(400);
            none(consumer);
            exactly(deadOf(t), "dead");
        });
        s.check("dead letters of a durable subscription", t -> {
            Connection connection = t.keep(factoryImpatient(t).createConnection());
            connection.setClientID(t.clientId());
            connection.start();
            Session tx = session(connection, Session.SESSION_TRANSACTED);
            MessageConsumer consumer = tx.createDurableSubscriber(t.topic(), "s");
            Message message = t.auto().createTextMessage("dead");
            message.setStringProperty("mark", t.name(""));
            t.auto().createProducer(t.topic()).send(message);
            for (int i = 0; i < 2; i++) {
                next(consumer);
                tx.rollback();
            }
            none(consumer);
            exactly(deadOf(t), "dead");
        });
        s.check("a policy of one destination", t -> {
            sendMarked(t, DeliveryMode.PERSISTENT, 0);
            ActiveMQConnection connection = (ActiveMQConnection) t.connect();
            RedeliveryPolicy policy = new RedeliveryPolicy();
            policy.setMaximumRedeliveries(0);
            policy.setInitialRedeliveryDelay(0);
            connection.getRedeliveryPolicyMap().put(new ActiveMQQueue(t.name("")), policy);
            Session tx = session(connection, Session.SESSION_TRANSACTED);
            MessageConsumer consumer = tx.createConsumer(t.queue());
            next(consumer);
            tx.rollback();
            none(consumer);
            exactly(deadOf(t), "dead");
        });
    }

    private static ActiveMQConnectionFactory factoryImpatient(T t) {
        return t.factory("jms.redeliveryPolicy.initialRedeliveryDelay=0&jms.redeliveryPolicy.redeliveryDelay=0"
                + "&jms.redeliveryPolicy.maximumRedeliveries=1");
    }

    private Acks() { }
}
