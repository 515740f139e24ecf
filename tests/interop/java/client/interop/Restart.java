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

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import javax.jms.Connection;
import javax.jms.DeliveryMode;
import javax.jms.JMSException;
import javax.jms.Message;
import javax.jms.MessageConsumer;
import javax.jms.MessageProducer;
import javax.jms.Session;
import org.apache.activemq.command.ActiveMQQueue;
import org.apache.activemq.command.ActiveMQTopic;

/**
 * What must be there after the broker was killed and started again on its data.
 *
 * Prepares every check, prints "prepared", waits for a line on standard input (the broker was restarted meanwhile),
 * then verifies every check and prints the same lines as {@link Conformance}.
 *
 * Options: --url=URL --line=5.16|5.19|6 --against=activemq|ferromq --how=kill|stop
 */
public final class Restart {
    private record Check(String name, boolean better, Suite.Body prepare, Suite.Body verify) { }

    private static final List<Check> CHECKS = new ArrayList<>();
    /** What a check remembers over the restart. */
    private static final Map<String, String> NOTES = new HashMap<>();

    private static void check(String name, Suite.Body prepare, Suite.Body verify) {
        CHECKS.add(new Check(name, false, prepare, verify));
    }

    private static void better(String name, Suite.Body prepare, Suite.Body verify) {
        CHECKS.add(new Check(name, true, prepare, verify));
    }

    public static void main(String[] args) throws Exception {
        Map<String, String> options = Conformance.options(args);
        int line = options.getOrDefault("line", "5.19").equals("5.16") ? 516 : 519;
        boolean real = options.getOrDefault("against", "ferromq").equals("activemq");
        String how = options.getOrDefault("how", "kill");
        String run = Long.toString(System.currentTimeMillis() % 100_000_000L, 36);
        describe();
        ExecutorService watched = Executors.newCachedThreadPool(task -> {
            Thread thread = new Thread(task, "check");
            thread.setDaemon(true);
            return thread;
        });
        Map<Check, T> contexts = new HashMap<>();
        Map<Check, String> failures = new HashMap<>();
        for (Check check : CHECKS) {
            T context = new T(options.get("url"), line, "restart", check.name, run);
            contexts.put(check, context);
            String failure = run(watched, check.prepare, context);
            if (failure != null) {
                failures.put(check, "while preparing: " + failure);
            }
        }
        System.out.println("prepared");
        System.out.flush();
        new BufferedReader(new InputStreamReader(System.in)).readLine();
        int[] counts = new int[3];
        for (Check check : CHECKS) {
            String id = "restart-" + how + "." + check.name;
            if (check.better && real) {
                System.out.println("beyond " + id + ": ActiveMQ cannot do this, FerroMQ must");
                counts[2]++;
                continue;
            }
            T context = contexts.get(check).again();
            String failure = failures.get(check);
            if (failure == null) {
                failure = run(watched, check.verify, context);
            }
            watched.submit(context::close).get(10, TimeUnit.SECONDS);
            System.out.println(failure == null ? "ok " + id : "FAIL " + id + ": " + failure.replace('\n', ' '));
            counts[failure == null ? 0 : 1]++;
        }
        System.out.println(counts[0] + " passed, " + counts[1] + " failed, " + counts[2] + " skipped");
        System.out.flush();
        Runtime.getRuntime().halt(counts[1] == 0 ? 0 : 1);
    }

    private static String run(ExecutorService watched, Suite.Body body, T context) {
        Future<?> running = watched.submit(() -> {
            body.run(context);
            return null;
        });
        try {
            running.get(20, TimeUnit.SECONDS);
            return null;
        } catch (TimeoutException e) {
            running.cancel(true);
            return "not done within 20 s";
        } catch (Exception e) {
            Throwable cause = e.getCause() == null ? e : e.getCause();
            return cause instanceof T.Failed ? cause.getMessage() : cause.toString();
        }
    }

    private static void leaveSubscription(T t, String client) throws JMSException {
        Connection connection = t.connectAs(client);
        autoOf(connection).createDurableSubscriber(t.topic(), "s");
        connection.close();
    }

    private static MessageConsumer durable(T t, String client) throws JMSException {
        return autoOf(t.connectAs(client)).createDurableSubscriber(t.topic(), "s");
    }

    private static String noted(T t) {
        return NOTES.get(t.name(""));
    }

    private static String note(T t, String text) {
        NOTES.put(t.name(""), text);
        return text;
    }

    private static void describe() {
        check("persistent messages are there in order",
                t -> t.send(t.queue(), numbers(0, 100)),
                t -> exactly(t.consumer(t.queue()), numbers(0, 100)));
        check("a message keeps its id, headers and properties",
                t -> {
                    Message message = t.auto().createTextMessage("body ü");
                    message.setIntProperty("n", 5);
                    message.setStringProperty("s", "ünï");
                    message.setJMSCorrelationID("corr");
                    message.setJMSType("kind");
                    message.setJMSReplyTo(t.queue("reply"));
                    t.auto().createProducer(t.queue()).send(message, DeliveryMode.PERSISTENT, 7, 600_000);
                    note(t, message.getJMSMessageID() + " " + message.getJMSTimestamp());
                },
                t -> {
                    Message message = next(t.consumer(t.queue()));
                    equal("body ü", textOf(message));
                    equal(5, message.getIntProperty("n"));
                    equal("ünï", message.getStringProperty("s"));
                    equal("corr", message.getJMSCorrelationID());
                    equal("kind", message.getJMSType());
                    equal(t.queue("reply"), message.getJMSReplyTo());
                    equal(7, message.getJMSPriority());
                    equal(noted(t), message.getJMSMessageID() + " " + message.getJMSTimestamp());
                    equal(600_000L, message.getJMSExpiration() - message.getJMSTimestamp());
                });
        check("1 MiB bodies are there",
                t -> t.send(t.queue(), "a".repeat(1 << 20), "b".repeat(1 << 20)),
                t -> {
                    MessageConsumer consumer = t.consumer(t.queue());
                    equal("a".repeat(1 << 20), textOf(next(consumer)));
                    equal("b".repeat(1 << 20), textOf(next(consumer)));
                });
        check("non-persistent messages are gone",
                t -> t.sendNumbers(t.queue(), 0, 10),
                t -> none(t.consumer(t.queue())));
        check("persistent ones among non-persistent ones are there",
                t -> {
                    t.sendNumbers(t.queue(), 0, 5);
                    t.send(t.queue(), "a", "b");
                },
                t -> exactly(t.consumer(t.queue()), "a", "b"));
        check("acknowledged messages are gone",
                t -> {
                    t.send(t.queue(), numbers(0, 10));
                    Connection connection = t.connect("jms.sendAcksAsync=false");
                    expect(autoOf(connection).createConsumer(t.queue()), numbers(0, 4));
                    // The close comes after the acknowledgements on the same wire.
                    connection.close();
                },
                t -> exactly(t.consumer(t.queue()), numbers(4, 10)));
        check("acknowledged ones in the middle are gone",
                t -> {
                    t.send(t.queue(), "a", "b", "c");
                    Connection connection = t.connect("jms.sendAcksAsync=false");
                    MessageConsumer consumer = session(connection, 4).createConsumer(t.queue());
                    expect(consumer, "a");
                    next(consumer).acknowledge();
                    connection.close();
                },
                t -> exactly(t.consumer(t.queue()), "a", "c"));
        check("unacknowledged messages of an open consumer are there",
                t -> {
                    t.send(t.queue(), "a", "b");
                    expect(t.session(Session.CLIENT_ACKNOWLEDGE).createConsumer(t.queue()), "a", "b");
                },
                t -> exactly(t.consumer(t.queue()), "a", "b"));
        better("messages that were delivered before are flagged",
                t -> {
                    t.send(t.queue(), "a");
                    expect(t.session(Session.CLIENT_ACKNOWLEDGE).createConsumer(t.queue()), "a");
                },
                t -> equal(true, next(t.consumer(t.queue())).getJMSRedelivered()));
        check("messages that nobody was given are not flagged",
                t -> t.send(t.queue(), "a"),
                t -> {
                    Message message = next(t.consumer(t.queue()));
                    equal(false, message.getJMSRedelivered());
                    equal(1, message.getIntProperty("JMSXDeliveryCount"));
                });
        check("a committed transaction is there whole",
                t -> {
                    Session tx = t.tx();
                    T.sendBy(tx, t.queue("1"), numbers(0, 20));
                    T.sendBy(tx, t.queue("2"), numbers(0, 20));
                    tx.commit();
                },
                t -> {
                    exactly(t.consumer(t.queue("1")), numbers(0, 20));
                    exactly(t.consumer(t.queue("2")), numbers(0, 20));
                });
        check("an open transaction is gone",
                t -> T.sendBy(t.tx(), t.queue(), numbers(0, 20)),
                t -> none(t.consumer(t.queue())));
        check("a rolled back transaction is gone",
                t -> {
                    Session tx = t.tx();
                    T.sendBy(tx, t.queue(), "a");
                    tx.rollback();
                },
                t -> none(t.consumer(t.queue())));
        check("what a committed transaction consumed is gone",
                t -> {
                    t.send(t.queue("in"), "a", "b", "c");
                    Session tx = t.tx();
                    MessageConsumer in = tx.createConsumer(t.queue("in"));
                    MessageProducer out = tx.createProducer(t.queue("out"));
                    out.send(next(in));
                    out.send(next(in));
                    tx.commit();
                },
                t -> {
                    exactly(t.consumer(t.queue("in")), "c");
                    exactly(t.consumer(t.queue("out")), "a", "b");
                });
        check("what an open transaction consumed is there",
                t -> {
                    t.send(t.queue("in"), "a", "b");
                    Session tx = t.tx();
                    MessageConsumer in = tx.createConsumer(t.queue("in"));
                    tx.createProducer(t.queue("out")).send(next(in));
                },
                t -> {
                    exactly(t.consumer(t.queue("in")), "a", "b");
                    none(t.consumer(t.queue("out")));
                });
        check("a durable subscription and its backlog are there",
                t -> {
                    leaveSubscription(t, note(t, t.clientId()));
                    t.send(t.topic(), "a", "b", "c");
                },
                t -> {
                    MessageConsumer consumer = durable(t, noted(t));
                    expect(consumer, "a", "b", "c");
                    t.send(t.topic(), "d");
                    exactly(consumer, "d");
                });
        check("a durable subscription without a backlog is there",
                t -> leaveSubscription(t, note(t, t.clientId())),
                t -> {
                    t.send(t.topic(), "sent before the subscriber is back");
                    exactly(durable(t, noted(t)), "sent before the subscriber is back");
                });
        check("a durable subscriber that was active when it happened",
                t -> {
                    MessageConsumer consumer = durable(t, note(t, t.clientId()));
                    t.send(t.topic(), "a");
                    expect(consumer, "a");
                    // One more round trip behind the acknowledgement.
                    t.auto().createTemporaryQueue();
                    ((org.apache.activemq.ActiveMQConnection) t.conn()).getClientID();
                },
                t -> {
                    t.send(t.topic(), "b");
                    List<String> got = T.drain(durable(t, noted(t)));
                    // The acknowledgement of "a" may have been on its way.
                    T.that(got.equals(List.of("b")) || got.equals(List.of("a", "b")), "got " + got);
                });
        check("acknowledged messages of a durable subscription are gone",
                t -> {
                    String client = note(t, t.clientId());
                    Connection connection = t.connectAs(client);
                    MessageConsumer consumer = autoOf(connection).createDurableSubscriber(t.topic(), "s");
                    t.send(t.topic(), "a", "b", "c");
                    expect(consumer, "a", "b");
                    connection.close();
                },
                t -> exactly(durable(t, noted(t)), "c"));
        check("an unsubscribed subscription is gone",
                t -> {
                    String client = note(t, t.clientId());
                    leaveSubscription(t, client);
                    t.send(t.topic(), "a");
                    Connection connection = t.connectAs(client);
                    autoOf(connection).unsubscribe("s");
                    connection.close();
                },
                t -> none(durable(t, noted(t))));
        check("the selector of a durable subscription is there",
                t -> {
                    String client = note(t, t.clientId());
                    Connection connection = t.connectAs(client);
                    autoOf(connection).createDurableSubscriber(t.topic(), "s", "n = 1", false);
                    connection.close();
                },
                t -> {
                    MessageProducer producer = t.auto().createProducer(t.topic());
                    for (int n = 0; n < 3; n++) {
                        Message message = t.auto().createTextMessage("m" + n);
                        message.setIntProperty("n", n);
                        producer.send(message);
                    }
                    Session session = autoOf(t.connectAs(noted(t)));
                    exactly(session.createDurableSubscriber(t.topic(), "s", "n = 1", false), "m1");
                });
        check("a dead letter is there",
                t -> {
                    Message message = t.auto().createTextMessage("dead");
                    message.setStringProperty("mark", t.name(""));
                    t.auto().createProducer(t.queue()).send(message);
                    Connection connection = t.connect("jms.redeliveryPolicy.maximumRedeliveries=0");
                    Session tx = session(connection, Session.SESSION_TRANSACTED);
                    MessageConsumer consumer = tx.createConsumer(t.queue());
                    next(consumer);
                    tx.rollback();
                    none(consumer);
                    connection.close();
                },
                t -> {
                    exactly(t.auto().createConsumer(
                            new ActiveMQQueue("ActiveMQ.DLQ"), "mark = '" + t.name("") + "'"), "dead");
                    none(t.consumer(t.queue()));
                });
        check("a message that expired meanwhile is gone",
                t -> {
                    MessageProducer producer = t.auto().createProducer(t.queue());
                    producer.send(t.auto().createTextMessage("old"), DeliveryMode.PERSISTENT, 4, 200);
                    producer.send(t.auto().createTextMessage("new"), DeliveryMode.PERSISTENT, 4, 0);
                },
                t -> exactly(t.consumer(t.queue()), "new"));
        check("a composite send is there on every queue",
                t -> t.send(new ActiveMQQueue(t.name("a") + "," + t.name("b")), "x"),
                t -> {
                    exactly(t.consumer(t.queue("a")), "x");
                    exactly(t.consumer(t.queue("b")), "x");
                });
        check("the queue of a virtual topic is there",
                t -> {
                    Connection connection = t.connect();
                    autoOf(connection).createConsumer(new ActiveMQQueue("Consumer.A.VirtualTopic." + t.name("")));
                    connection.close();
                    t.send(new ActiveMQTopic("VirtualTopic." + t.name("")), "a");
                },
                t -> {
                    t.send(new ActiveMQTopic("VirtualTopic." + t.name("")), "b");
                    exactly(t.consumer(new ActiveMQQueue("Consumer.A.VirtualTopic." + t.name(""))), "a", "b");
                });
        check("a destroyed queue stays away",
                t -> {
                    t.send(t.queue(), "a");
                    ((org.apache.activemq.ActiveMQConnection) t.connect()).destroyDestination(
                            (org.apache.activemq.command.ActiveMQDestination) t.queue());
                },
                t -> none(t.consumer(t.queue())));
        check("compressed messages are there",
                t -> T.sendBy(autoOf(t.connect("jms.useCompression=true")), t.queue(), "z".repeat(5000)),
                t -> equal("z".repeat(5000), textOf(next(t.consumer(t.queue())))));
        check("a browser sees what is there",
                t -> t.send(t.queue(), "a", "b"),
                t -> {
                    var seen = t.auto().createBrowser(t.queue()).getEnumeration();
                    equal("a", textOf((Message) seen.nextElement()));
                    equal("b", textOf((Message) seen.nextElement()));
                });
        check("new messages come after the old ones",
                t -> t.send(t.queue(), "a", "b"),
                t -> {
                    t.send(t.queue(), "c", "d");
                    exactly(t.consumer(t.queue()), "a", "b", "c", "d");
                });
        check("a backlog of 3,000 is there in order",
                t -> {
                    Session tx = t.tx();
                    T.sendBy(tx, t.queue(), numbers(0, 3000));
                    tx.commit();
                },
                t -> equal(Arrays.asList(numbers(0, 3000)), take(t.consumer(t.queue()), 3000)));
        better("asynchronous persistent sends are there after a close",
                t -> {
                    Connection connection = t.connect("jms.useAsyncSend=true");
                    T.sendBy(autoOf(connection), t.queue(), numbers(0, 100));
                    connection.close();
                },
                t -> exactly(t.consumer(t.queue()), numbers(0, 100)));
    }

    private Restart() { }
}
