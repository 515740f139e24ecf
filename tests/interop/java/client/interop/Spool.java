package interop;

import static interop.T.autoOf;
import static interop.T.equal;
import static interop.T.exactly;
import static interop.T.next;
import static interop.T.none;
import static interop.T.session;
import static interop.T.textOf;
import static interop.T.that;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Enumeration;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import javax.jms.BytesMessage;
import javax.jms.Connection;
import javax.jms.DeliveryMode;
import javax.jms.JMSException;
import javax.jms.Message;
import javax.jms.MessageConsumer;
import javax.jms.MessageProducer;
import javax.jms.Queue;
import javax.jms.QueueBrowser;
import javax.jms.Session;

/** Messages that are not persistent, several times as many as the broker has memory for: it keeps them on its disk. */
final class Spool {
    private static final int BODY = 1024;
    /** 40 MiB; the broker has 8 MiB for messages. */
    private static final int MANY = 40_000;

    static void describe(Suite s) {
        s.slow("many times what fits into memory comes in order, none is lost", 90, t -> {
            long before = onDisk();
            fill(t, t.queue(), 0, MANY);
            long after = onDisk();
            that(after - before > 24 << 20, "the disk has it: " + before + " bytes before, " + after + " after");
            MessageConsumer consumer = t.consumer(t.queue());
            inOrder(consumer, 0, MANY);
            none(consumer);
        });
        s.slow("the producer is done long before a slow consumer, which gets all in order", 90, t -> {
            MessageConsumer consumer = autoOf(t.connect("jms.prefetchPolicy.all=10")).createConsumer(t.queue());
            CountDownLatch sent = new CountDownLatch(1);
            Thread producer = new Thread(() -> {
                try {
                    fill(t, t.queue(), 0, MANY);
                    sent.countDown();
                } catch (JMSException e) {
                    throw new IllegalStateException(e);
                }
            });
            producer.setDaemon(true);
            producer.start();
            int got = 0;
            while (!sent.await(5, TimeUnit.MILLISECONDS)) {
                equal(got, next(consumer).getIntProperty("n"));
                got++;
            }
            that(got < MANY / 4, "the producer did not wait for the consumer, which had " + got + " of " + MANY);
            inOrder(consumer, got, MANY);
            none(consumer);
        });
        s.slow("others send and receive while one queue fills the memory", 90, t -> {
            fill(t, t.queue("full"), 0, MANY);
            for (int mode : new int[] {DeliveryMode.PERSISTENT, DeliveryMode.NON_PERSISTENT}) {
                Session session = autoOf(t.connect());
                MessageProducer producer = session.createProducer(t.queue("other"));
                producer.setDeliveryMode(mode);
                MessageConsumer consumer = session.createConsumer(t.queue("other"));
                for (int i = 0; i < 100; i++) {
                    producer.send(session.createTextMessage("" + i));
                    equal("" + i, textOf(next(consumer)));
                }
                session.close();
            }
            inOrder(t.consumer(t.queue("full")), 0, MANY);
        });
        s.slow("what expires on the disk does not come", 90, t -> {
            MessageProducer producer = producer(t, t.queue());
            for (int i = 0; i < MANY; i++) {
                producer.send(message(t.auto(), i), DeliveryMode.NON_PERSISTENT, 4, i % 4 == 0 ? 0 : 5000);
            }
            settle(t.auto());
            Thread.sleep(5100);
            MessageConsumer consumer = t.consumer(t.queue());
            for (int i = 0; i < MANY; i += 4) {
                equal(i, next(consumer).getIntProperty("n"));
            }
            none(consumer);
        });
        s.slow("several consumers share it, each message once", 90, t -> {
            fill(t, t.queue(), 0, MANY);
            List<MessageConsumer> consumers = new ArrayList<>();
            for (int i = 0; i < 4; i++) {
                consumers.add(autoOf(t.connect("jms.prefetchPolicy.all=100")).createConsumer(t.queue()));
            }
            List<Integer> got = new ArrayList<>();
            while (got.size() < MANY) {
                int before = got.size();
                for (MessageConsumer consumer : consumers) {
                    for (Message m = consumer.receive(20); m != null; m = consumer.receiveNoWait()) {
                        got.add(m.getIntProperty("n"));
                    }
                }
                if (got.size() == before) {
                    Thread.sleep(100);
                }
            }
            for (MessageConsumer consumer : consumers) {
                none(consumer);
            }
            Collections.sort(got);
            for (int i = 0; i < MANY; i++) {
                equal(i, got.get(i));
            }
        });
        s.slow("a rollback brings the first back, flagged, before the rest", 90, t -> {
            fill(t, t.queue(), 0, MANY);
            Session tx = session(t.connect("jms.prefetchPolicy.all=100"), Session.SESSION_TRANSACTED);
            MessageConsumer consumer = tx.createConsumer(t.queue());
            inOrder(consumer, 0, 100);
            tx.rollback();
            for (int i = 0; i < 100; i++) {
                Message message = next(consumer);
                equal(i, message.getIntProperty("n"));
                equal(true, message.getJMSRedelivered());
            }
            tx.commit();
            // ActiveMQ stalls on much more than this in one transaction.
            for (int i = 100; i < MANY; i += 100) {
                inOrder(consumer, i, i + 100);
                tx.commit();
            }
            none(consumer);
        });
        s.slow("a large transaction is not seen before its commit, and comes whole", 90, t -> {
            Session tx = session(t.connect(), Session.SESSION_TRANSACTED);
            MessageProducer producer = tx.createProducer(t.queue());
            producer.setDeliveryMode(DeliveryMode.NON_PERSISTENT);
            // ActiveMQ keeps what is not committed in memory, so this fits.
            int few = 3000;
            fill(t, t.queue(), 0, MANY);
            for (int i = 0; i < few; i++) {
                producer.send(message(tx, MANY + i));
            }
            MessageConsumer consumer = t.consumer(t.queue());
            inOrder(consumer, 0, MANY);
            none(consumer);
            tx.commit();
            inOrder(consumer, MANY, MANY + few);
            none(consumer);
        });
        s.better("urgent messages overtake those on the disk", 90, t -> {
            Queue queue = t.queue("prioritized");
            fill(t, queue, 0, MANY);
            MessageProducer producer = producer(t, queue);
            for (int i = 0; i < 1000; i++) {
                producer.send(message(t.auto(), MANY + i), DeliveryMode.NON_PERSISTENT, 9, 0);
            }
            settle(t.auto());
            MessageConsumer consumer = t.consumer(queue);
            inOrder(consumer, MANY, MANY + 1000);
            inOrder(consumer, 0, MANY);
            none(consumer);
        });
        s.better("a browser sees all, and disturbs nobody", 90, t -> {
            fill(t, t.queue(), 0, MANY);
            QueueBrowser browser = t.auto().createBrowser(t.queue());
            int seen = 0;
            for (Enumeration<?> all = browser.getEnumeration(); all.hasMoreElements(); seen++) {
                equal(seen, ((Message) all.nextElement()).getIntProperty("n"));
            }
            browser.close();
            equal(MANY, seen);
            inOrder(t.consumer(t.queue()), 0, MANY);
        });
        s.better("a selector finds the last one behind all others", 90, t -> {
            fill(t, t.queue(), 0, MANY);
            MessageConsumer selects = t.auto().createConsumer(t.queue(), "n = " + (MANY - 1));
            equal(MANY - 1, next(selects).getIntProperty("n"));
            none(selects);
            selects.close();
            inOrder(t.consumer(t.queue()), 0, MANY - 1);
        });
    }

    private static MessageProducer producer(T t, Queue queue) throws JMSException {
        MessageProducer producer = t.auto().createProducer(queue);
        producer.setDeliveryMode(DeliveryMode.NON_PERSISTENT);
        return producer;
    }

    private static Message message(Session session, int number) throws JMSException {
        BytesMessage message = session.createBytesMessage();
        message.setIntProperty("n", number);
        message.writeBytes(new byte[BODY]);
        return message;
    }

    /** Sends numbered messages, through a connection of its own, and returns when the broker has taken all. */
    private static void fill(T t, Queue queue, int from, int below) throws JMSException {
        Connection connection = t.connect();
        Session session = autoOf(connection);
        MessageProducer producer = session.createProducer(queue);
        producer.setDeliveryMode(DeliveryMode.NON_PERSISTENT);
        for (int i = from; i < below; i++) {
            producer.send(message(session, i));
        }
        settle(session);
        connection.close();
    }

    private static void inOrder(MessageConsumer consumer, int from, int below) throws JMSException {
        for (int i = from; i < below; i++) {
            equal(i, next(consumer).getIntProperty("n"));
        }
    }

    /** Returns when the broker has done all that this session sent before. */
    private static void settle(Session session) throws JMSException {
        session.createTemporaryQueue().delete();
    }

    /** How large the files of the broker are. */
    private static long onDisk() throws IOException {
        try (Stream<Path> all = Files.walk(Path.of(System.getProperty("interop.data")))) {
            return all.mapToLong(path -> path.toFile().isFile() ? path.toFile().length() : 0).sum();
        }
    }

    private Spool() { }
}
