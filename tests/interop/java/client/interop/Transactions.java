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
import static interop.T.textOf;

import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import javax.jms.Connection;
import javax.jms.DeliveryMode;
import javax.jms.Message;
import javax.jms.MessageConsumer;
import javax.jms.MessageProducer;
import javax.jms.Session;

/** Local transactions: both sides, several destinations, all or nothing, and how many may be uncommitted. */
final class Transactions {
    static void describe(Suite s) {
        producing(s);
        consuming(s);
        both(s);
        many(s);
    }

    private static void producing(Suite s) {
        s.check("a send is not visible before commit", t -> {
            MessageConsumer consumer = t.consumer(t.queue());
            Session tx = t.tx();
            T.sendBy(tx, t.queue(), "a");
            none(consumer);
            tx.commit();
            exactly(consumer, "a");
        });
        s.check("rollback forgets the sends", t -> {
            Session tx = t.tx();
            T.sendBy(tx, t.queue(), "a", "b");
            tx.rollback();
            T.sendBy(tx, t.queue(), "c");
            tx.commit();
            exactly(t.consumer(t.queue()), "c");
        });
        s.check("commit of several queues at once", t -> {
            Session tx = t.tx();
            T.sendBy(tx, t.queue("1"), "a");
            T.sendBy(tx, t.queue("2"), "b");
            T.sendBy(tx, t.queue("3"), "c");
            none(t.consumer(t.queue("2")));
            tx.commit();
            exactly(autoOf(t.connect()).createConsumer(t.queue("1")), "a");
            exactly(autoOf(t.connect()).createConsumer(t.queue("3")), "c");
        });
        s.check("a queue and a topic in one transaction", t -> {
            MessageConsumer onTopic = t.consumer(t.topic());
            Session tx = t.tx();
            T.sendBy(tx, t.topic(), "t");
            T.sendBy(tx, t.queue(), "q");
            none(onTopic);
            tx.commit();
            exactly(onTopic, "t");
            exactly(t.consumer(t.queue()), "q");
        });
        s.check("rollback of a topic send", t -> {
            MessageConsumer onTopic = t.consumer(t.topic());
            Session tx = t.tx();
            T.sendBy(tx, t.topic(), "t");
            tx.rollback();
            none(onTopic);
        });
        s.check("order within a transaction", t -> {
            Session tx = t.tx();
            T.sendBy(tx, t.queue(), numbers(0, 100));
            tx.commit();
            exactly(t.consumer(t.queue()), numbers(0, 100));
        });
        s.check("order over transactions", t -> {
            Session tx = t.tx();
            for (int i = 0; i < 10; i++) {
                T.sendBy(tx, t.queue(), Integer.toString(2 * i), Integer.toString(2 * i + 1));
                tx.commit();
            }
            exactly(t.consumer(t.queue()), numbers(0, 20));
        });
        s.check("two open transactions do not see each other", t -> {
            Session one = t.tx();
            Session two = t.tx();
            T.sendBy(one, t.queue(), "one");
            T.sendBy(two, t.queue(), "two");
            one.rollback();
            two.commit();
            exactly(t.consumer(t.queue()), "two");
        });
        s.check("messages are placed when they are committed", t -> {
            Session one = t.tx();
            Session two = t.tx();
            T.sendBy(one, t.queue(), "sent first");
            T.sendBy(two, t.queue(), "sent second");
            two.commit();
            one.commit();
            exactly(t.consumer(t.queue()), "sent second", "sent first");
        });
        s.check("closing the session rolls back", t -> {
            Session tx = t.tx();
            T.sendBy(tx, t.queue(), "a");
            tx.close();
            none(t.consumer(t.queue()));
        });
        s.check("closing the connection rolls back", t -> {
            Connection connection = t.connect();
            T.sendBy(session(connection, Session.SESSION_TRANSACTED), t.queue(), "a");
            connection.close();
            none(t.consumer(t.queue()));
        });
        s.check("a cut connection rolls back", t -> {
            Connection connection = t.connect();
            T.sendBy(session(connection, Session.SESSION_TRANSACTED), t.queue(), "a");
            Thread.sleep(100);
            T.cut(connection);
            none(t.consumer(t.queue()));
        });
        s.check("an empty commit and an empty rollback", t -> {
            Session tx = t.tx();
            tx.commit();
            tx.rollback();
            tx.commit();
            T.sendBy(tx, t.queue(), "a");
            tx.commit();
            exactly(t.consumer(t.queue()), "a");
        });
        s.check("a producer closed before commit", t -> {
            Session tx = t.tx();
            MessageProducer producer = tx.createProducer(t.queue());
            producer.send(tx.createTextMessage("a"));
            producer.close();
            tx.commit();
            exactly(t.consumer(t.queue()), "a");
        });
        s.check("non-persistent sends are transacted too", t -> {
            Session tx = t.tx();
            MessageProducer producer = tx.createProducer(t.queue());
            producer.setDeliveryMode(DeliveryMode.NON_PERSISTENT);
            producer.send(tx.createTextMessage("a"));
            tx.rollback();
            producer.send(tx.createTextMessage("b"));
            none(t.consumer(t.queue()));
            tx.commit();
            exactly(autoOf(t.connect()).createConsumer(t.queue("")), new String[0]);
        });
        s.check("a send beside a transaction is not part of it", t -> {
            Session tx = t.tx();
            T.sendBy(tx, t.queue(), "in");
            t.send(t.queue(), "beside");
            tx.rollback();
            exactly(t.consumer(t.queue()), "beside");
        });
        s.check("commit in a session that is not transacted fails", t -> {
            fails(javax.jms.IllegalStateException.class, () -> t.auto().commit());
            fails(javax.jms.IllegalStateException.class, () -> t.auto().rollback());
        });
        s.check("recover in a transacted session fails", t ->
                fails(javax.jms.IllegalStateException.class, () -> t.tx().recover()));
        s.check("a transacted session says so", t -> {
            equal(true, t.tx().getTransacted());
            equal(Session.SESSION_TRANSACTED, t.tx().getAcknowledgeMode());
        });
        s.check("expiry counts from the send, not from the commit", t -> {
            Session tx = t.tx();
            MessageProducer producer = tx.createProducer(t.queue());
            producer.send(tx.createTextMessage("old"), DeliveryMode.PERSISTENT, 4, 100);
            producer.send(tx.createTextMessage("new"), DeliveryMode.PERSISTENT, 4, 0);
            Thread.sleep(300);
            tx.commit();
            exactly(t.consumer(t.queue()), "new");
        });
        s.check("1 MiB bodies in a transaction", t -> {
            String big = "x".repeat(1 << 20);
            Session tx = t.tx();
            MessageProducer producer = tx.createProducer(t.queue());
            for (int i = 0; i < 5; i++) {
                producer.send(tx.createTextMessage(i + big));
            }
            tx.commit();
            MessageConsumer consumer = t.consumer(t.queue());
            for (int i = 0; i < 5; i++) {
                equal(i + big, textOf(next(consumer)));
            }
        });
    }

    private static void consuming(Suite s) {
        s.check("commit consumes", t -> {
            t.send(t.queue(), "a", "b", "c");
            Connection connection = t.connect();
            Session tx = session(connection, Session.SESSION_TRANSACTED);
            expect(tx.createConsumer(t.queue()), "a", "b");
            tx.commit();
            connection.close();
            t.left(t.queue(), "c");
        });
        s.check("without commit all come again", t -> {
            t.send(t.queue(), "a", "b");
            Connection connection = t.connect();
            expect(session(connection, Session.SESSION_TRANSACTED).createConsumer(t.queue()), "a", "b");
            connection.close();
            t.left(t.queue(), "a", "b");
        });
        s.check("rollback gives all again in order", t -> {
            t.send(t.queue(), "a", "b", "c");
            Session tx = t.tx();
            MessageConsumer consumer = tx.createConsumer(t.queue());
            expect(consumer, "a", "b", "c");
            tx.rollback();
            exactly(consumer, "a", "b", "c");
            tx.commit();
        });
        s.check("rollback of some, the rest follows", t -> {
            t.send(t.queue(), "a", "b", "c");
            Session tx = t.tx();
            MessageConsumer consumer = tx.createConsumer(t.queue());
            expect(consumer, "a", "b");
            tx.rollback();
            exactly(consumer, "a", "b", "c");
        });
        s.check("commit, then rollback of the next", t -> {
            t.send(t.queue(), "a", "b");
            Session tx = t.tx();
            MessageConsumer consumer = tx.createConsumer(t.queue());
            expect(consumer, "a");
            tx.commit();
            expect(consumer, "b");
            tx.rollback();
            exactly(consumer, "b");
        });
        s.check("from several queues in one transaction", t -> {
            t.send(t.queue("1"), "a");
            t.send(t.queue("2"), "b");
            Connection connection = t.connect();
            Session tx = session(connection, Session.SESSION_TRANSACTED);
            MessageConsumer one = tx.createConsumer(t.queue("1"));
            MessageConsumer two = tx.createConsumer(t.queue("2"));
            expect(one, "a");
            expect(two, "b");
            tx.rollback();
            expect(one, "a");
            expect(two, "b");
            tx.commit();
            connection.close();
            t.left(t.queue("1"));
            t.left(t.queue("2"));
        });
        s.check("rolled back messages stay with their consumer", t -> {
            t.send(t.queue(), "a");
            Session tx = t.tx();
            MessageConsumer consumer = tx.createConsumer(t.queue());
            expect(consumer, "a");
            MessageConsumer other = t.consumer(t.queue());
            tx.rollback();
            none(other);
            expect(consumer, "a");
            tx.commit();
        });
        s.check("a rolled back and closed consumer leaves them to another", t -> {
            t.send(t.queue(), "a");
            Session tx = t.tx();
            MessageConsumer consumer = tx.createConsumer(t.queue());
            expect(consumer, "a");
            tx.rollback();
            tx.close();
            exactly(t.consumer(t.queue()), "a");
        });
        s.check("a consumer closed before commit, still consumed", t -> {
            t.send(t.queue(), "a", "b");
            Connection connection = t.connect();
            Session tx = session(connection, Session.SESSION_TRANSACTED);
            MessageConsumer consumer = tx.createConsumer(t.queue());
            expect(consumer, "a");
            consumer.close();
            tx.commit();
            connection.close();
            t.left(t.queue(), "b");
        });
        s.check("a consumer closed before rollback gives its message back", t -> {
            t.send(t.queue(), "a");
            Session tx = t.tx();
            MessageConsumer consumer = tx.createConsumer(t.queue());
            expect(consumer, "a");
            consumer.close();
            tx.rollback();
            exactly(tx.createConsumer(t.queue()), "a");
        });
        s.check("a transacted listener", t -> {
            t.send(t.queue(), numbers(0, 10));
            Connection connection = t.connect();
            Session tx = session(connection, Session.SESSION_TRANSACTED);
            java.util.concurrent.CountDownLatch done = new java.util.concurrent.CountDownLatch(10);
            tx.createConsumer(t.queue()).setMessageListener(message -> {
                try {
                    tx.commit();
                    done.countDown();
                } catch (javax.jms.JMSException e) {
                    throw new IllegalStateException(e);
                }
            });
            equal(true, done.await(T.LONG, java.util.concurrent.TimeUnit.MILLISECONDS));
            connection.close();
            t.left(t.queue());
        });
        s.check("prefetch 1 in a transaction", t -> {
            t.send(t.queue(), numbers(0, 20));
            Connection connection = t.connect("jms.prefetchPolicy.all=1");
            Session tx = session(connection, Session.SESSION_TRANSACTED);
            expect(tx.createConsumer(t.queue()), numbers(0, 20));
            tx.commit();
            connection.close();
            t.left(t.queue());
        });
    }

    private static void both(Suite s) {
        s.check("receive and forward in one transaction", t -> {
            t.send(t.queue("in"), "a", "b");
            Session tx = t.tx();
            MessageConsumer in = tx.createConsumer(t.queue("in"));
            MessageProducer out = tx.createProducer(t.queue("out"));
            out.send(next(in));
            tx.rollback();
            none(t.consumer(t.queue("out")));
            out.send(next(in));
            out.send(next(in));
            tx.commit();
            t.left(t.queue("in"));
        });
        s.check("a chain over three queues", t -> {
            t.send(t.queue("0"), numbers(0, 20));
            Session tx = t.tx();
            for (int hop = 0; hop < 3; hop++) {
                MessageConsumer in = tx.createConsumer(t.queue(Integer.toString(hop)));
                MessageProducer out = tx.createProducer(t.queue(Integer.toString(hop + 1)));
                for (int i = 0; i < 20; i++) {
                    out.send(next(in));
                    if (i % 5 == 4) {
                        tx.commit();
                    }
                }
                in.close();
            }
            exactly(t.consumer(t.queue("3")), numbers(0, 20));
        });
        s.check("a message cannot be received in the transaction that sent it", t -> {
            Session tx = t.tx();
            T.sendBy(tx, t.queue(), "a");
            none(tx.createConsumer(t.queue()));
        });
        s.check("transactions of four threads", t -> {
            Thread[] threads = new Thread[4];
            for (int p = 0; p < 4; p++) {
                int number = p;
                Session tx = session(t.connect(), Session.SESSION_TRANSACTED);
                threads[p] = new Thread(() -> {
                    try {
                        for (int i = 0; i < 20; i++) {
                            T.sendBy(tx, t.queue(), number + ":" + i);
                            if (i % 2 == 0) {
                                tx.commit();
                            } else {
                                tx.rollback();
                            }
                        }
                    } catch (javax.jms.JMSException e) {
                        throw new IllegalStateException(e);
                    }
                });
                threads[p].start();
            }
            for (Thread thread : threads) {
                thread.join();
            }
            MessageConsumer consumer = t.consumer(t.queue());
            Set<String> got = new HashSet<>(take(consumer, 40));
            equal(40, got.size());
            none(consumer);
        });
    }

    private static void many(Suite s) {
        s.check("1,000 uncommitted sends", t -> {
            Session tx = t.tx();
            T.sendBy(tx, t.queue(), numbers(0, 1000));
            tx.commit();
            equal(Arrays.asList(numbers(0, 1000)), take(t.consumer(t.queue()), 1000));
        });
        s.check("190 uncommitted receives", t -> {
            t.sendNumbers(t.queue(), 0, 190);
            Connection connection = t.connect();
            Session tx = session(connection, Session.SESSION_TRANSACTED);
            take(tx.createConsumer(t.queue()), 190);
            tx.commit();
            connection.close();
            t.left(t.queue());
        });
        s.better("5,000 uncommitted receives, committed", 30, t -> {
            t.sendNumbers(t.queue(), 0, 5000);
            Connection connection = t.connect();
            Session tx = session(connection, Session.SESSION_TRANSACTED);
            equal(Arrays.asList(numbers(0, 5000)), take(tx.createConsumer(t.queue()), 5000));
            tx.commit();
            connection.close();
            t.left(t.queue());
        });
        s.better("3,000 uncommitted receives, rolled back", 30, t -> {
            t.sendNumbers(t.queue(), 0, 3000);
            Connection connection = t.connect();
            Session tx = session(connection, Session.SESSION_TRANSACTED);
            take(tx.createConsumer(t.queue()), 3000);
            tx.rollback();
            connection.close();
            List<String> got = take(t.consumer(t.queue()), 3000);
            equal(Arrays.asList(numbers(0, 3000)), got);
        });
        s.better("20,000 uncommitted receives", 60, t -> {
            t.sendNumbers(t.queue(), 0, 20_000);
            Connection connection = t.connect();
            Session tx = session(connection, Session.SESSION_TRANSACTED);
            take(tx.createConsumer(t.queue()), 20_000);
            tx.commit();
            connection.close();
            t.left(t.queue());
        });
        s.better("uncommitted messages do not starve another consumer", 20, t -> {
            // A prefetch of 300, widened by what was handed over, holds 600 of them at most.
            t.sendNumbers(t.queue(), 0, 1200);
            Session tx = t.tx();
            take(tx.createConsumer(tx.createQueue(t.name("") + "?consumer.prefetchSize=300")), 300);
            MessageConsumer other = autoOf(t.connect()).createConsumer(t.queue());
            Message message = next(other);
            equal(false, message.getJMSRedelivered());
        });
    }

    private Transactions() { }
}
