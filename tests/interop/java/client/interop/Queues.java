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
import static interop.T.soon;
import static interop.T.take;
import static interop.T.text;
import static interop.T.textOf;
import static interop.T.that;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.atomic.AtomicInteger;
import javax.jms.Connection;
import javax.jms.DeliveryMode;
import javax.jms.JMSException;
import javax.jms.Message;
import javax.jms.MessageConsumer;
import javax.jms.MessageProducer;
import javax.jms.Queue;
import javax.jms.Session;

/** Queues: order, sharing among consumers, prefetch windows, priorities, expiry, receive with and without waiting. */
final class Queues {
    static void describe(Suite s) {
        order(s);
        sharing(s);
        prefetch(s);
        receiving(s);
        priorities(s);
        expiry(s);
    }

    private static void order(Suite s) {
        s.check("one message arrives", t -> {
            t.send(t.queue(), "hello");
            exactly(t.consumer(t.queue()), "hello");
        });
        s.check("consumer first, then message", t -> {
            MessageConsumer consumer = t.consumer(t.queue());
            t.send(t.queue(), "hello");
            exactly(consumer, "hello");
        });
        s.check("order of one producer", t -> {
            t.sendNumbers(t.queue(), 0, 500);
            exactly(t.consumer(t.queue()), numbers(0, 500));
        });
        s.check("order of persistent messages", t -> {
            t.send(t.queue(), numbers(0, 50));
            exactly(t.consumer(t.queue()), numbers(0, 50));
        });
        s.better("order of persistent and non-persistent mixed", 10, t -> {
            MessageConsumer consumer = t.consumer(t.queue());
            MessageProducer producer = t.auto().createProducer(t.queue());
            for (int i = 0; i < 40; i++) {
                int mode = i % 2 == 0 ? DeliveryMode.PERSISTENT : DeliveryMode.NON_PERSISTENT;
                producer.send(t.auto().createTextMessage(Integer.toString(i)), mode, 4, 0);
            }
            exactly(consumer, numbers(0, 40));
        });
        s.check("order over several sessions of one connection", t -> {
            for (int i = 0; i < 10; i++) {
                Session session = t.session(Session.AUTO_ACKNOWLEDGE);
                T.sendBy(session, t.queue(), Integer.toString(i));
                session.close();
            }
            exactly(t.consumer(t.queue()), numbers(0, 10));
        });
        s.check("consumed messages do not come back", t -> {
            t.send(t.queue(), "a", "b", "c");
            exactly(t.consumer(t.queue()), "a", "b", "c");
            t.left(t.queue());
        });
        s.check("messages wait for a consumer of a later connection", t -> {
            Connection producer = t.connect();
            T.sendBy(autoOf(producer), t.queue(), "a", "b");
            producer.close();
            t.left(t.queue(), "a", "b");
        });
        s.check("non-persistent messages outlive their producer", t -> {
            Connection connection = t.connect();
            MessageProducer producer = autoOf(connection).createProducer(t.queue());
            producer.setDeliveryMode(DeliveryMode.NON_PERSISTENT);
            producer.send(t.auto().createTextMessage("a"));
            connection.close();
            t.left(t.queue(), "a");
        });
        s.check("two queues are apart", t -> {
            t.send(t.queue("a"), "a");
            t.send(t.queue("b"), "b");
            exactly(t.consumer(t.queue("b")), "b");
            exactly(t.consumer(t.queue("a")), "a");
        });
        s.check("names are case sensitive", t -> {
            t.send(t.queue("Q"), "upper");
            t.send(t.queue("q"), "lower");
            exactly(t.consumer(t.queue("q")), "lower");
            exactly(t.consumer(t.queue("Q")), "upper");
        });
        s.check("names with unusual characters", t -> {
            for (String suffix : new String[] {"with space", "ünï-cödé", "a/b\\c", "x:y;z", "quote'\"", "日本"}) {
                t.send(t.queue(suffix), suffix);
                exactly(t.consumer(t.queue(suffix)), suffix);
            }
        });
        s.check("a queue and a topic of one name are apart", t -> {
            MessageConsumer onTopic = t.consumer(t.topic());
            t.send(t.queue(), "for the queue");
            none(onTopic);
            t.send(t.topic(), "for the topic");
            exactly(onTopic, "for the topic");
            exactly(t.consumer(t.queue()), "for the queue");
        });
        s.check("unread messages of a closed consumer keep their order", t -> {
            t.sendNumbers(t.queue(), 0, 100);
            MessageConsumer consumer = t.consumer(t.queue());
            expect(consumer, numbers(0, 10));
            consumer.close();
            exactly(t.consumer(t.queue()), numbers(10, 100));
        });
        s.check("unread messages of a closed connection keep their order", t -> {
            t.sendNumbers(t.queue(), 0, 100);
            Connection connection = t.connect();
            expect(autoOf(connection).createConsumer(t.queue()), numbers(0, 10));
            connection.close();
            exactly(t.consumer(t.queue()), numbers(10, 100));
        });
        s.check("unread messages of a cut connection keep their order", t -> {
            t.sendNumbers(t.queue(), 0, 100);
            Connection connection = t.connect();
            MessageConsumer consumer = autoOf(connection).createConsumer(t.queue());
            expect(consumer, numbers(0, 10));
            T.cut(connection);
            List<String> got = take(t.consumer(t.queue()), 90);
            equal(Arrays.asList(numbers(10, 100)), got);
        });
        s.check("several producers, each in order", t -> {
            int producers = 4;
            for (int p = 0; p < producers; p++) {
                Session session = autoOf(t.connect());
                MessageProducer producer = session.createProducer(t.queue());
                producer.setDeliveryMode(DeliveryMode.NON_PERSISTENT);
                for (int i = 0; i < 50; i++) {
                    producer.send(session.createTextMessage(p + ":" + i));
                }
            }
            int[] last = {-1, -1, -1, -1};
            for (String text : take(t.consumer(t.queue()), producers * 50)) {
                int producer = Integer.parseInt(text.substring(0, 1));
                int number = Integer.parseInt(text.substring(2));
                equal(last[producer] + 1, number);
                last[producer] = number;
            }
        });
        s.check("an anonymous producer sends to several queues", t -> {
            MessageProducer producer = t.auto().createProducer(null);
            producer.send(t.queue("a"), t.auto().createTextMessage("1"));
            producer.send(t.queue("b"), t.auto().createTextMessage("2"));
            exactly(t.consumer(t.queue("a")), "1");
            exactly(t.consumer(t.queue("b")), "2");
        });
        s.check("a message that was received can be sent on", t -> {
            t.send(t.queue("a"), "x");
            Message message = next(t.consumer(t.queue("a")));
            MessageProducer producer = t.auto().createProducer(t.queue("b"));
            producer.send(message);
            producer.send(message);
            exactly(t.consumer(t.queue("b")), "x", "x");
        });
        s.check("one message object can be sent many times", t -> {
            MessageProducer producer = t.auto().createProducer(t.queue());
            Message message = t.auto().createTextMessage("x");
            Set<String> ids = new TreeSet<>();
            for (int i = 0; i < 5; i++) {
                producer.send(message);
                ids.add(message.getJMSMessageID());
            }
            equal(5, ids.size());
            exactly(t.consumer(t.queue()), "x", "x", "x", "x", "x");
        });
        s.slow("10,000 messages", 30, t -> {
            t.sendNumbers(t.queue(), 0, 10_000);
            MessageConsumer consumer = t.consumer(t.queue());
            equal(Arrays.asList(numbers(0, 10_000)), take(consumer, 10_000));
            none(consumer);
        });
    }

    private static void sharing(Suite s) {
        s.check("two consumers share, each message once", t -> {
            MessageConsumer a = autoOf(t.connect()).createConsumer(t.queue());
            MessageConsumer b = autoOf(t.connect()).createConsumer(t.queue());
            t.sendNumbers(t.queue(), 0, 100);
            List<String> gotA = T.drain(a);
            List<String> gotB = T.drain(b);
            that(!gotA.isEmpty() && !gotB.isEmpty(), "both got some");
            Set<Integer> all = new TreeSet<>();
            gotA.forEach(text -> all.add(Integer.parseInt(text)));
            gotB.forEach(text -> all.add(Integer.parseInt(text)));
            equal(100, gotA.size() + gotB.size());
            equal(100, all.size());
        });
        s.check("round robin over two consumers", t -> {
            MessageConsumer a = autoOf(t.connect()).createConsumer(t.queue());
            MessageConsumer b = autoOf(t.connect()).createConsumer(t.queue());
            t.send(t.queue(), numbers(0, 20));
            equal(10, T.drain(a).size());
            equal(10, T.drain(b).size());
        });
        s.check("round robin over four consumers of one session", t -> {
            List<MessageConsumer> consumers = new ArrayList<>();
            for (int i = 0; i < 4; i++) {
                consumers.add(t.consumer(t.queue()));
            }
            t.send(t.queue(), numbers(0, 40));
            for (MessageConsumer consumer : consumers) {
                equal(10, take(consumer, 10).size());
                none(consumer);
            }
        });
        s.check("each of several consumers sees its share in order", t -> {
            MessageConsumer a = autoOf(t.connect()).createConsumer(t.queue());
            MessageConsumer b = autoOf(t.connect()).createConsumer(t.queue());
            t.sendNumbers(t.queue(), 0, 100);
            for (MessageConsumer consumer : List.of(a, b)) {
                List<Integer> got = new ArrayList<>();
                T.drain(consumer).forEach(text -> got.add(Integer.parseInt(text)));
                List<Integer> sorted = new ArrayList<>(got);
                Collections.sort(sorted);
                equal(sorted, got);
            }
        });
        s.check("the messages of a leaving consumer go to the other one", t -> {
            Connection leaving = t.connect();
            MessageConsumer a = autoOf(leaving).createConsumer(t.queue());
            MessageConsumer b = autoOf(t.connect()).createConsumer(t.queue());
            t.send(t.queue(), numbers(0, 20));
            expect(a, "0");
            leaving.close();
            Set<Integer> all = new TreeSet<>();
            take(b, 19).forEach(text -> all.add(Integer.parseInt(text)));
            equal(19, all.size());
            that(!all.contains(0), "the acknowledged one did not come again");
            none(b);
        });
        s.check("the higher consumer priority is served first", t -> {
            MessageConsumer low = t.consumer(t.auto().createQueue(t.name("") + "?consumer.priority=1"));
            MessageConsumer high = t.consumer(t.auto().createQueue(t.name("") + "?consumer.priority=10"));
            t.send(t.queue(), numbers(0, 10));
            expect(high, numbers(0, 10));
            none(low);
        });
        s.check("a full high priority consumer leaves the rest to a lower one", t -> {
            MessageConsumer low = t.consumer(t.auto().createQueue(t.name("") + "?consumer.priority=1"));
            MessageConsumer high = t.consumer(
                    t.auto().createQueue(t.name("") + "?consumer.priority=10&consumer.prefetchSize=2"));
            t.send(t.queue(), numbers(0, 10));
            equal(8, take(low, 8).size());
            none(low);
            expect(high, "0", "1");
        });
        s.check("a listener and its exceptions do not stop the queue", t -> {
            AtomicInteger count = new AtomicInteger();
            MessageConsumer consumer = t.consumer(t.queue());
            consumer.setMessageListener(message -> count.incrementAndGet());
            t.sendNumbers(t.queue(), 0, 100);
            soon("100 messages at the listener", () -> count.get() == 100);
        });
        s.check("a listener sets in after messages were queued", t -> {
            t.sendNumbers(t.queue(), 0, 10);
            List<String> got = Collections.synchronizedList(new ArrayList<>());
            MessageConsumer consumer = t.consumer(t.queue());
            consumer.setMessageListener(message -> {
                try {
                    got.add(textOf(message));
                } catch (JMSException e) {
                    got.add(e.toString());
                }
            });
            soon("10 messages at the listener", () -> got.size() == 10);
            equal(Arrays.asList(numbers(0, 10)), got);
        });
        s.check("a producer and a consumer in one session", t -> {
            MessageConsumer consumer = t.consumer(t.queue());
            for (int i = 0; i < 20; i++) {
                t.send(t.queue(), "m" + i);
                expect(consumer, "m" + i);
            }
        });
        s.check("consumers come and go under load", t -> {
            t.sendNumbers(t.queue(), 0, 300);
            Set<Integer> all = new TreeSet<>();
            for (int round = 0; round < 30; round++) {
                MessageConsumer consumer = t.consumer(t.queue());
                take(consumer, 10).forEach(text -> all.add(Integer.parseInt(text)));
                consumer.close();
            }
            equal(300, all.size());
            none(t.consumer(t.queue()));
        });
    }

    private static void prefetch(Suite s) {
        s.check("prefetch 1 leaves the others to the second consumer", t -> {
            Session client = t.session(Session.CLIENT_ACKNOWLEDGE);
            MessageConsumer one = client.createConsumer(t.auto().createQueue(t.name("") + "?consumer.prefetchSize=1"));
            t.send(t.queue(), numbers(0, 10));
            Thread.sleep(T.SHORT);
            MessageConsumer other = t.consumer(t.queue());
            equal(Arrays.asList(numbers(1, 10)), take(other, 9));
            none(other);
            expect(one, "0");
        });
        s.check("a message taken but not acknowledged opens a window of one for one more", t -> {
            Session client = t.session(Session.CLIENT_ACKNOWLEDGE);
            MessageConsumer one = client.createConsumer(t.auto().createQueue(t.name("") + "?consumer.prefetchSize=1"));
            t.send(t.queue(), numbers(0, 10));
            expect(one, "0");
            Thread.sleep(T.SHORT);
            MessageConsumer other = t.consumer(t.queue());
            equal(Arrays.asList(numbers(2, 10)), take(other, 8));
            none(other);
            expect(one, "1");
        });
        s.check("prefetch 1 fetches one at a time", t -> {
            t.send(t.queue(), numbers(0, 10));
            MessageConsumer one = t.consumer(t.auto().createQueue(t.name("") + "?consumer.prefetchSize=1"));
            exactly(one, numbers(0, 10));
        });
        s.check("prefetch n is the window of unacknowledged messages", t -> {
            Connection connection = t.connect("jms.prefetchPolicy.queuePrefetch=5");
            MessageConsumer five = session(connection, Session.CLIENT_ACKNOWLEDGE).createConsumer(t.queue());
            t.send(t.queue(), numbers(0, 12));
            Thread.sleep(T.SHORT);
            MessageConsumer other = t.consumer(t.queue());
            equal(7, take(other, 7).size());
            none(other);
            equal(Arrays.asList(numbers(0, 5)), take(five, 5));
        });
        s.check("an acknowledgement opens the window again", t -> {
            Connection connection = t.connect("jms.prefetchPolicy.queuePrefetch=2");
            Session client = session(connection, Session.CLIENT_ACKNOWLEDGE);
            MessageConsumer two = client.createConsumer(t.queue());
            t.send(t.queue(), numbers(0, 6));
            for (int i = 0; i < 6; i += 2) {
                expect(two, Integer.toString(i));
                Message second = next(two);
                equal(Integer.toString(i + 1), textOf(second));
                second.acknowledge();
            }
            none(two);
        });
        s.check("a client session can take more than its prefetch before it acknowledges", t -> {
            Connection connection = t.connect("jms.prefetchPolicy.queuePrefetch=10");
            Session client = session(connection, Session.CLIENT_ACKNOWLEDGE);
            MessageConsumer consumer = client.createConsumer(t.queue());
            t.sendNumbers(t.queue(), 0, 100);
            expect(consumer, numbers(0, 99));
            Message last = next(consumer);
            last.acknowledge();
            none(consumer);
            connection.close();
            t.left(t.queue());
        });
        s.check("prefetch 0 pulls one message per receive", t -> {
            t.send(t.queue(), numbers(0, 5));
            MessageConsumer pulling = t.consumer(t.auto().createQueue(t.name("") + "?consumer.prefetchSize=0"));
            expect(pulling, "0");
            MessageConsumer other = t.consumer(t.queue());
            equal(Arrays.asList(numbers(1, 5)), take(other, 4));
        });
        s.check("prefetch 0 receive waits for a message", t -> {
            MessageConsumer pulling = t.consumer(t.auto().createQueue(t.name("") + "?consumer.prefetchSize=0"));
            Session other = autoOf(t.connect());
            T.later(() -> T.sendBy(other, t.queue(), "late"));
            expect(pulling, "late");
        });
        s.check("prefetch 0 receive without a limit waits for a message", t -> {
            MessageConsumer pulling = t.consumer(t.auto().createQueue(t.name("") + "?consumer.prefetchSize=0"));
            Session other = autoOf(t.connect());
            T.later(() -> T.sendBy(other, t.queue(), "late"));
            equal("late", textOf(pulling.receive()));
        });
        s.check("prefetch 0 receive times out", t -> {
            MessageConsumer pulling = t.consumer(t.auto().createQueue(t.name("") + "?consumer.prefetchSize=0"));
            long began = System.nanoTime();
            equal(null, pulling.receive(300));
            long took = (System.nanoTime() - began) / 1_000_000;
            that(took >= 250 && took < 5000, "took about 300 ms, was " + took);
        });
        s.check("prefetch 0 receiveNoWait on an empty queue", t -> {
            MessageConsumer pulling = t.consumer(t.auto().createQueue(t.name("") + "?consumer.prefetchSize=0"));
            equal(null, pulling.receiveNoWait());
        });
        s.check("prefetch 0 receiveNoWait finds a waiting message", t -> {
            t.send(t.queue(), "a", "b");
            MessageConsumer pulling = t.consumer(t.auto().createQueue(t.name("") + "?consumer.prefetchSize=0"));
            equal("a", textOf(pulling.receiveNoWait()));
            equal("b", textOf(pulling.receiveNoWait()));
            equal(null, pulling.receiveNoWait());
        });
        s.check("prefetch 0 after a time-out still receives", t -> {
            MessageConsumer pulling = t.consumer(t.auto().createQueue(t.name("") + "?consumer.prefetchSize=0"));
            equal(null, pulling.receive(100));
            t.send(t.queue(), "a");
            expect(pulling, "a");
            none(pulling);
        });
        s.check("a timed-out pull takes no message away", t -> {
            MessageConsumer pulling = t.consumer(t.auto().createQueue(t.name("") + "?consumer.prefetchSize=0"));
            equal(null, pulling.receive(100));
            t.send(t.queue(), "a");
            exactly(autoOf(t.connect()).createConsumer(t.queue()), "a");
        });
        s.check("two pulling consumers take turns", t -> {
            Queue pulled = t.auto().createQueue(t.name("") + "?consumer.prefetchSize=0");
            MessageConsumer a = t.consumer(pulled);
            MessageConsumer b = t.consumer(pulled);
            t.send(t.queue(), "0", "1", "2", "3");
            expect(a, "0");
            expect(b, "1");
            expect(a, "2");
            expect(b, "3");
        });
        s.check("prefetch 0 in a transaction", t -> {
            t.send(t.queue(), "0", "1");
            Session tx = t.tx();
            MessageConsumer pulling = tx.createConsumer(tx.createQueue(t.name("") + "?consumer.prefetchSize=0"));
            expect(pulling, "0", "1");
            tx.rollback();
            expect(pulling, "0", "1");
            tx.commit();
            none(pulling);
        });
        s.check("prefetch 0 does not take a listener", t -> {
            MessageConsumer pulling = t.consumer(t.auto().createQueue(t.name("") + "?consumer.prefetchSize=0"));
            fails(JMSException.class, () -> pulling.setMessageListener(message -> { }));
        });
        s.check("prefetch of the connection policy", t -> {
            Connection connection = t.connect("jms.prefetchPolicy.all=1");
            MessageConsumer one = session(connection, Session.CLIENT_ACKNOWLEDGE).createConsumer(t.queue());
            t.send(t.queue(), "0", "1", "2");
            Thread.sleep(T.SHORT);
            exactly(t.consumer(t.queue()), "1", "2");
            expect(one, "0");
        });
        s.check("a backlog larger than the prefetch is read in order", t -> {
            t.sendNumbers(t.queue(), 0, 2500);
            MessageConsumer consumer = t.consumer(t.queue());
            equal(Arrays.asList(numbers(0, 2500)), take(consumer, 2500));
        });
    }

    private static void receiving(Suite s) {
        s.check("receive with a limit on an empty queue", t -> {
            long began = System.nanoTime();
            equal(null, t.consumer(t.queue()).receive(300));
            long took = (System.nanoTime() - began) / 1_000_000;
            that(took >= 250 && took < 5000, "took about 300 ms, was " + took);
        });
        s.check("receiveNoWait on an empty queue", t -> equal(null, t.consumer(t.queue()).receiveNoWait()));
        s.check("receiveNoWait finds a prefetched message", t -> {
            t.send(t.queue(), "a");
            MessageConsumer consumer = t.consumer(t.queue());
            soon("a message", () -> {
                Message message = consumer.receiveNoWait();
                return message != null && textOf(message).equals("a");
            });
        });
        s.check("nothing is delivered before start", t -> {
            t.send(t.queue(), "a");
            Connection connection = t.unstarted();
            MessageConsumer consumer = autoOf(connection).createConsumer(t.queue());
            none(consumer);
            connection.start();
            expect(consumer, "a");
        });
        s.check("stop holds delivery and start resumes it", t -> {
            Connection connection = t.connect();
            MessageConsumer consumer = autoOf(connection).createConsumer(t.queue());
            connection.stop();
            t.send(t.queue(), "a");
            none(consumer);
            connection.start();
            expect(consumer, "a");
        });
        s.check("a producer works on a connection that is not started", t -> {
            Connection connection = t.unstarted();
            T.sendBy(autoOf(connection), t.queue(), "a");
            exactly(t.consumer(t.queue()), "a");
        });
        s.check("close ends a waiting receive", t -> {
            MessageConsumer consumer = autoOf(t.connect()).createConsumer(t.queue());
            T.later(consumer::close);
            equal(null, consumer.receive());
        });
        s.check("receive of a closed consumer fails", t -> {
            MessageConsumer consumer = t.consumer(t.queue());
            consumer.close();
            fails(javax.jms.IllegalStateException.class, () -> consumer.receive(10));
        });
        s.check("messages sent while the only consumer is away are kept", t -> {
            MessageConsumer consumer = t.consumer(t.queue());
            t.send(t.queue(), "a");
            expect(consumer, "a");
            consumer.close();
            t.send(t.queue(), "b");
            exactly(t.consumer(t.queue()), "b");
        });
    }

    private static void priorities(Suite s) {
        s.check("priority is carried", t -> {
            MessageProducer producer = t.auto().createProducer(t.queue());
            MessageConsumer consumer = t.consumer(t.queue());
            for (int priority = 0; priority <= 9; priority++) {
                producer.setPriority(priority);
                producer.send(t.auto().createTextMessage("p" + priority));
                Message message = next(consumer);
                equal(priority, message.getJMSPriority());
            }
        });
        s.check("the default priority is 4", t -> {
            t.send(t.queue(), "x");
            equal(4, next(t.consumer(t.queue())).getJMSPriority());
        });
        s.check("the client can deliver its prefetched messages by priority", t -> {
            Connection connection = t.keep(t.factory("jms.messagePrioritySupported=true").createConnection());
            Session session = autoOf(connection);
            MessageConsumer consumer = session.createConsumer(t.queue());
            MessageProducer producer = t.auto().createProducer(t.queue());
            for (int priority : new int[] {1, 9, 4, 0, 7}) {
                producer.send(t.auto().createTextMessage("p" + priority), DeliveryMode.PERSISTENT, priority, 0);
            }
            connection.start();
            Thread.sleep(T.SHORT);
            exactly(consumer, "p9", "p7", "p4", "p1", "p0");
        });
        s.check("the broker keeps the order of sending whatever the priority", t -> {
            MessageProducer producer = t.auto().createProducer(t.queue());
            for (int priority : new int[] {1, 9, 4, 0, 7}) {
                producer.send(t.auto().createTextMessage("p" + priority), DeliveryMode.PERSISTENT, priority, 0);
            }
            exactly(t.consumer(t.queue()), "p1", "p9", "p4", "p0", "p7");
        });
        s.check("a window of one gets messages in the order of sending", t -> {
            MessageProducer producer = t.auto().createProducer(t.queue());
            for (int priority : new int[] {1, 9, 4}) {
                producer.send(t.auto().createTextMessage("p" + priority), DeliveryMode.PERSISTENT, priority, 0);
            }
            exactly(t.consumer(t.auto().createQueue(t.name("") + "?consumer.prefetchSize=1")), "p1", "p9", "p4");
        });
        s.check("an illegal priority is refused by the producer", t -> {
            MessageProducer producer = t.auto().createProducer(t.queue());
            fails(JMSException.class, () -> producer.setPriority(10));
            fails(JMSException.class, () -> producer.setPriority(-1));
        });
        s.check("one priority keeps the order", t -> {
            MessageProducer producer = t.auto().createProducer(t.queue());
            producer.setPriority(7);
            for (String text : numbers(0, 30)) {
                producer.send(t.auto().createTextMessage(text));
            }
            exactly(t.consumer(t.queue()), numbers(0, 30));
        });
    }

    private static void expiry(Suite s) {
        s.check("an expired message is not delivered", t -> {
            MessageProducer producer = t.auto().createProducer(t.queue());
            producer.setTimeToLive(100);
            producer.send(t.auto().createTextMessage("old"));
            Thread.sleep(300);
            none(t.consumer(t.queue()));
        });
        s.check("a message that has not expired is delivered", t -> {
            MessageProducer producer = t.auto().createProducer(t.queue());
            producer.setTimeToLive(60_000);
            producer.send(t.auto().createTextMessage("fresh"));
            Message message = next(t.consumer(t.queue()));
            equal("fresh", textOf(message));
            long left = message.getJMSExpiration() - System.currentTimeMillis();
            that(left > 40_000 && left <= 60_000, "expires in about a minute, not " + left);
            equal(60_000L, message.getJMSExpiration() - message.getJMSTimestamp());
        });
        s.check("without a time to live the expiration is 0", t -> {
            t.send(t.queue(), "x");
            equal(0L, next(t.consumer(t.queue())).getJMSExpiration());
        });
        s.check("an expired message between others is left out", t -> {
            MessageProducer producer = t.auto().createProducer(t.queue());
            producer.send(t.auto().createTextMessage("a"));
            producer.send(t.auto().createTextMessage("old"), DeliveryMode.PERSISTENT, 4, 100);
            producer.send(t.auto().createTextMessage("b"));
            Thread.sleep(300);
            exactly(t.consumer(t.queue()), "a", "b");
        });
        s.check("a prefetched message that expires in the client is not delivered", t -> {
            MessageConsumer consumer = t.consumer(t.queue());
            MessageProducer producer = t.auto().createProducer(t.queue());
            producer.send(t.auto().createTextMessage("old"), DeliveryMode.PERSISTENT, 4, 150);
            producer.send(t.auto().createTextMessage("b"));
            Thread.sleep(400);
            exactly(consumer, "b");
        });
        s.check("a message that expired in the client does not come back", t -> {
            Connection connection = t.connect();
            MessageConsumer consumer = autoOf(connection).createConsumer(t.queue());
            t.auto().createProducer(t.queue()).send(t.auto().createTextMessage("old"), DeliveryMode.PERSISTENT, 4, 150);
            Thread.sleep(400);
            none(consumer);
            connection.close();
            t.left(t.queue());
        });
        s.check("expired non-persistent messages are not delivered", t -> {
            MessageProducer producer = t.auto().createProducer(t.queue());
            producer.send(t.auto().createTextMessage("old"), DeliveryMode.NON_PERSISTENT, 4, 100);
            Thread.sleep(300);
            none(t.consumer(t.queue()));
        });
        s.check("an expired message is not pulled", t -> {
            MessageProducer producer = t.auto().createProducer(t.queue());
            producer.send(t.auto().createTextMessage("old"), DeliveryMode.PERSISTENT, 4, 100);
            producer.send(t.auto().createTextMessage("b"));
            Thread.sleep(300);
            exactly(t.consumer(t.auto().createQueue(t.name("") + "?consumer.prefetchSize=0")), "b");
        });
        s.check("an expired message is not browsed", t -> {
            MessageProducer producer = t.auto().createProducer(t.queue());
            producer.send(t.auto().createTextMessage("old"), DeliveryMode.PERSISTENT, 4, 100);
            producer.send(t.auto().createTextMessage("b"));
            Thread.sleep(300);
            var seen = t.auto().createBrowser(t.queue()).getEnumeration();
            that(seen.hasMoreElements(), "one message is seen");
            equal("b", textOf((Message) seen.nextElement()));
            equal(false, seen.hasMoreElements());
        });
    }
}
