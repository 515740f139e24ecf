package interop;

import static interop.T.autoOf;
import static interop.T.equal;
import static interop.T.exactly;
import static interop.T.expect;
import static interop.T.fails;
import static interop.T.next;
import static interop.T.none;
import static interop.T.numbers;
import static interop.T.soon;
import static interop.T.that;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import javax.jms.Connection;
import javax.jms.ConnectionMetaData;
import javax.jms.DeliveryMode;
import javax.jms.InvalidClientIDException;
import javax.jms.JMSException;
import javax.jms.Message;
import javax.jms.MessageConsumer;
import javax.jms.MessageProducer;
import javax.jms.Session;
import org.apache.activemq.ActiveMQConnection;
import org.apache.activemq.ActiveMQConnectionFactory;
import org.apache.activemq.ActiveMQMessageProducer;
import org.apache.activemq.AsyncCallback;
import org.apache.activemq.command.ActiveMQDestination;
import org.apache.activemq.command.ActiveMQTextMessage;
import org.apache.activemq.command.MessageId;
import org.apache.activemq.command.ProducerId;
import org.apache.activemq.command.SessionId;

/** Connections and sessions: client ids, closing in every order, failover, flow control towards producers. */
final class Connections {
    static void describe(Suite s) {
        clientIds(s);
        closing(s);
        sessions(s);
        failover(s);
        sending(s);
    }

    private static void clientIds(Suite s) {
        s.check("a client id in use is refused", t -> {
            String id = t.clientId();
            t.connectAs(id);
            fails(InvalidClientIDException.class, () -> t.connectAs(id));
        });
        s.check("the refused connection does not disturb the first", t -> {
            String id = t.clientId();
            Connection first = t.connectAs(id);
            fails(InvalidClientIDException.class, () -> t.connectAs(id));
            T.sendBy(autoOf(first), t.queue(), "a");
            exactly(autoOf(first).createConsumer(t.queue()), "a");
        });
        s.check("a client id is free again after close", t -> {
            String id = t.clientId();
            for (int i = 0; i < 5; i++) {
                t.connectAs(id).close();
            }
        });
        s.check("a client id is free again after the connection was cut", t -> {
            String id = t.clientId();
            T.cut(t.connectAs(id));
            soon("the client id is free", () -> {
                try {
                    t.connectAs(id).close();
                    return true;
                } catch (InvalidClientIDException e) {
                    return false;
                }
            });
        });
        s.check("connections without a client id get different ones", t -> {
            String one = t.connect().getClientID();
            String two = t.connect().getClientID();
            that(one != null && two != null && !one.equals(two), one + " and " + two);
        });
        s.check("a client id can be given in the URI", t -> {
            String id = t.clientId();
            equal(id, t.connect("jms.clientID=" + id).getClientID());
        });
        s.check("a client id cannot be set after use", t -> {
            Connection connection = t.connect();
            autoOf(connection);
            fails(javax.jms.IllegalStateException.class, () -> connection.setClientID("late"));
        });
        s.check("any user may connect to a broker without logins", t -> {
            Connection connection = t.keep(t.factory("").createConnection("somebody", "secret"));
            connection.start();
            T.sendBy(autoOf(connection), t.queue(), "a");
            exactly(autoOf(connection).createConsumer(t.queue()), "a");
        });
        s.check("the connection knows the broker", t -> {
            ActiveMQConnection connection = (ActiveMQConnection) t.conn();
            soon("the broker's name", () -> connection.getBrokerInfo() != null);
            that(!connection.getBrokerInfo().getBrokerName().isEmpty(), "the broker has a name");
            that(connection.getBrokerInfo().getBrokerId() != null, "the broker has an id");
        });
        s.check("metadata", t -> {
            ConnectionMetaData data = t.conn().getMetaData();
            equal("ActiveMQ", data.getJMSProviderName());
        });
    }

    private static void closing(Suite s) {
        s.check("closing twice", t -> {
            Connection connection = t.connect();
            connection.close();
            connection.close();
        });
        s.check("a closed connection makes no session", t -> {
            Connection connection = t.connect();
            connection.close();
            fails(JMSException.class, () -> autoOf(connection));
        });
        s.check("a closed session makes no producer", t -> {
            Session session = t.session(Session.AUTO_ACKNOWLEDGE);
            session.close();
            fails(javax.jms.IllegalStateException.class, () -> session.createProducer(t.queue()));
            fails(javax.jms.IllegalStateException.class, () -> session.createConsumer(t.queue()));
        });
        s.check("a closed producer sends nothing", t -> {
            MessageProducer producer = t.auto().createProducer(t.queue());
            producer.close();
            fails(javax.jms.IllegalStateException.class, () -> producer.send(t.auto().createMessage()));
        });
        s.check("a connection that was never started closes", t -> {
            Connection connection = t.unstarted();
            autoOf(connection).createConsumer(t.queue());
            connection.close();
        });
        s.check("a connection that was never used closes", t -> t.unstarted().close());
        s.check("closing the session leaves the connection", t -> {
            Session session = t.session(Session.AUTO_ACKNOWLEDGE);
            session.createConsumer(t.queue());
            session.close();
            t.send(t.queue(), "a");
            exactly(t.consumer(t.queue()), "a");
        });
        s.check("closing in the order producer, consumer, session, connection", t -> {
            Connection connection = t.connect();
            Session session = autoOf(connection);
            MessageProducer producer = session.createProducer(t.queue());
            MessageConsumer consumer = session.createConsumer(t.queue());
            producer.send(session.createTextMessage("a"));
            expect(consumer, "a");
            producer.close();
            consumer.close();
            session.close();
            connection.close();
            t.left(t.queue());
        });
        s.check("close from another thread while a listener is at work", t -> {
            Connection connection = t.connect();
            AtomicInteger count = new AtomicInteger();
            autoOf(connection).createConsumer(t.queue()).setMessageListener(message -> {
                count.incrementAndGet();
                try {
                    Thread.sleep(50);
                } catch (InterruptedException e) {
                    Thread.currentThread().interrupt();
                }
            });
            t.send(t.queue(), numbers(0, 5));
            soon("the listener works", () -> count.get() > 0);
            connection.close();
            int done = count.get();
            t.left(t.queue(), numbers(done, 5));
        });
        s.check("an orderly close calls no exception listener", t -> {
            AtomicReference<JMSException> heard = new AtomicReference<>();
            Connection connection = t.connect();
            connection.setExceptionListener(heard::set);
            connection.close();
            Thread.sleep(T.SHORT);
            equal(null, heard.get());
        });
        s.check("fifty connections come and go", t -> {
            for (int i = 0; i < 50; i++) {
                Connection connection = t.connect();
                if (i % 10 == 0) {
                    T.sendBy(autoOf(connection), t.queue(), "" + i);
                }
                connection.close();
            }
            t.left(t.queue(), "0", "10", "20", "30", "40");
        });
        s.check("thirty connections at once", t -> {
            List<MessageConsumer> consumers = new ArrayList<>();
            for (int i = 0; i < 30; i++) {
                consumers.add(autoOf(t.connect()).createConsumer(t.topic()));
            }
            t.send(t.topic(), "x");
            for (MessageConsumer consumer : consumers) {
                expect(consumer, "x");
            }
        });
        s.check("a connection that sends garbage is closed and the others go on", t -> {
            java.net.URI uri = new java.net.URI(t.url());
            try (java.net.Socket socket = new java.net.Socket(uri.getHost(), uri.getPort())) {
                socket.setSoTimeout((int) T.LONG);
                socket.getOutputStream().write("GET / HTTP/1.1\r\nHost: x\r\n\r\n".getBytes());
                socket.getOutputStream().flush();
                byte[] buffer = new byte[4096];
                while (socket.getInputStream().read(buffer) >= 0) {
                    // What it says before it hangs up is up to the broker.
                }
            } catch (java.net.SocketException reset) {
                // A reset is a way to hang up.
            }
            t.send(t.queue(), "a");
            exactly(t.consumer(t.queue()), "a");
        });
    }

    private static void sessions(Suite s) {
        s.check("many sessions of one connection", t -> {
            List<MessageConsumer> consumers = new ArrayList<>();
            for (int i = 0; i < 20; i++) {
                consumers.add(t.session(Session.AUTO_ACKNOWLEDGE).createConsumer(t.queue("" + i)));
            }
            for (int i = 0; i < 20; i++) {
                t.send(t.queue("" + i), "m" + i);
            }
            for (int i = 0; i < 20; i++) {
                expect(consumers.get(i), "m" + i);
            }
        });
        s.check("acknowledge modes are told", t -> {
            for (int mode : new int[] {1, 2, 3, 4}) {
                equal(mode, t.session(mode).getAcknowledgeMode());
            }
        });
        s.check("a session with a listener refuses receive", t -> {
            Session session = t.session(Session.AUTO_ACKNOWLEDGE);
            MessageConsumer consumer = session.createConsumer(t.queue());
            consumer.setMessageListener(message -> { });
            fails(JMSException.class, () -> consumer.receive(10));
        });
        s.check("listeners of one session are called one at a time", t -> {
            Session session = t.session(Session.AUTO_ACKNOWLEDGE);
            AtomicInteger inside = new AtomicInteger();
            AtomicInteger most = new AtomicInteger();
            AtomicInteger count = new AtomicInteger();
            for (String suffix : List.of("1", "2", "3")) {
                session.createConsumer(t.queue(suffix)).setMessageListener(message -> {
                    most.accumulateAndGet(inside.incrementAndGet(), Math::max);
                    Thread.yield();
                    inside.decrementAndGet();
                    count.incrementAndGet();
                });
            }
            for (String suffix : List.of("1", "2", "3")) {
                t.sendNumbers(t.queue(suffix), 0, 20);
            }
            soon("60 messages", () -> count.get() == 60);
            equal(1, most.get());
        });
    }

    private static void failover(Suite s) {
        s.check("a failover client works", t -> {
            Connection connection = t.keep(
                    new ActiveMQConnectionFactory("failover:(" + t.url() + ")").createConnection());
            connection.start();
            Session session = autoOf(connection);
            T.sendBy(session, t.queue(), "a");
            exactly(session.createConsumer(t.queue()), "a");
        });
        s.check("a failover client tries the next broker", t -> {
            Connection connection = t.keep(new ActiveMQConnectionFactory(
                    "failover:(tcp://127.0.0.1:1," + t.url() + ")?randomize=false").createConnection());
            connection.start();
            T.sendBy(autoOf(connection), t.queue(), "a");
            exactly(t.consumer(t.queue()), "a");
        });
        s.check("a failover client takes everything up again", t -> {
            Connection connection = t.keep(new ActiveMQConnectionFactory(
                    "failover:(" + t.url() + ")?initialReconnectDelay=10").createConnection());
            connection.start();
            Session session = autoOf(connection);
            MessageConsumer consumer = session.createConsumer(t.queue());
            MessageProducer producer = session.createProducer(t.queue());
            producer.send(session.createTextMessage("before"));
            expect(consumer, "before");
            org.apache.activemq.transport.failover.FailoverTransport transport =
                    ((ActiveMQConnection) connection).getTransport()
                            .narrow(org.apache.activemq.transport.failover.FailoverTransport.class);
            transport.handleTransportFailure(new java.io.IOException("cut for the check"));
            producer.send(session.createTextMessage("after"));
            exactly(consumer, "after");
        });
        s.check("a failover transaction is replayed", t -> {
            Connection connection = t.keep(new ActiveMQConnectionFactory(
                    "failover:(" + t.url() + ")?initialReconnectDelay=10").createConnection());
            connection.start();
            Session tx = T.session(connection, Session.SESSION_TRANSACTED);
            MessageProducer producer = tx.createProducer(t.queue());
            producer.send(tx.createTextMessage("1"));
            ((ActiveMQConnection) connection).getTransport()
                    .narrow(org.apache.activemq.transport.failover.FailoverTransport.class)
                    .handleTransportFailure(new java.io.IOException("cut for the check"));
            producer.send(tx.createTextMessage("2"));
            tx.commit();
            exactly(t.consumer(t.queue()), "1", "2");
        });
        s.check("a failover durable subscriber takes up again", t -> {
            Connection connection = t.keep(new ActiveMQConnectionFactory(
                    "failover:(" + t.url() + ")?initialReconnectDelay=10").createConnection());
            connection.setClientID(t.clientId());
            connection.start();
            MessageConsumer consumer = autoOf(connection).createDurableSubscriber(t.topic(), "s");
            ((ActiveMQConnection) connection).getTransport()
                    .narrow(org.apache.activemq.transport.failover.FailoverTransport.class)
                    .handleTransportFailure(new java.io.IOException("cut for the check"));
            t.send(t.topic(), "a");
            exactly(consumer, "a");
        });
        s.check("a plain client reports a broker that hangs up", t -> {
            AtomicReference<JMSException> heard = new AtomicReference<>();
            Connection connection = t.connect();
            connection.setExceptionListener(heard::set);
            autoOf(connection);
            ((ActiveMQConnection) connection).getTransport().narrow(java.net.Socket.class).close();
            soon("the exception listener is called", () -> heard.get() != null);
        });
    }

    private static void sending(Suite s) {
        s.check("asynchronous sends arrive", t -> {
            Session session = autoOf(t.connect("jms.useAsyncSend=true"));
            T.sendBy(session, t.queue(), numbers(0, 200));
            exactly(t.consumer(t.queue()), numbers(0, 200));
        });
        s.check("a send with a callback", t -> {
            List<String> done = Collections.synchronizedList(new ArrayList<>());
            ActiveMQMessageProducer producer = (ActiveMQMessageProducer) t.auto().createProducer(t.queue());
            for (int i = 0; i < 20; i++) {
                producer.send(t.auto().createTextMessage("" + i), new AsyncCallback() {
                    @Override
                    public void onSuccess() {
                        done.add("ok");
                    }

                    @Override
                    public void onException(JMSException exception) {
                        done.add(exception.toString());
                    }
                });
            }
            soon("20 answers", () -> done.size() == 20);
            equal(Collections.nCopies(20, "ok"), done);
            exactly(t.consumer(t.queue()), numbers(0, 20));
        });
        s.check("a message of a producer that was not opened is refused, and the connection goes on", t -> {
            ActiveMQConnection connection = (ActiveMQConnection) t.conn();
            ActiveMQTextMessage message = new ActiveMQTextMessage();
            ProducerId nobody = new ProducerId(new SessionId(connection.getConnectionInfo().getConnectionId(), 1), 77);
            message.setProducerId(nobody);
            message.setMessageId(new MessageId(nobody, 1));
            message.setDestination((ActiveMQDestination) t.queue());
            message.setText("of nobody");
            message.onSend();
            JMSException refusal = fails(JMSException.class, () -> connection.syncSendPacket(message));
            that(refusal.getMessage().contains("invalid (null) producer state"), refusal.getMessage());
            t.send(t.queue(), "of somebody");
            exactly(t.consumer(t.queue()), "of somebody");
        });
        s.check("a producer window smaller than a message", t -> {
            Session session = autoOf(t.connect("jms.producerWindowSize=512"));
            MessageProducer producer = session.createProducer(t.queue());
            producer.setDeliveryMode(DeliveryMode.NON_PERSISTENT);
            for (int i = 0; i < 50; i++) {
                producer.send(session.createTextMessage("" + i));
            }
            exactly(t.consumer(t.queue()), numbers(0, 50));
        });
        s.check("a producer window is refilled", t -> {
            Session session = autoOf(t.connect("jms.producerWindowSize=10000&jms.useAsyncSend=true"));
            MessageProducer producer = session.createProducer(t.queue());
            String body = "x".repeat(3000);
            for (int i = 0; i < 100; i++) {
                producer.send(session.createTextMessage(body));
            }
            equal(100, T.take(t.consumer(t.queue()), 100).size());
        });
        s.check("a producer window on a topic without subscribers", t -> {
            Session session = autoOf(t.connect("jms.producerWindowSize=2000"));
            MessageProducer producer = session.createProducer(t.topic());
            producer.setDeliveryMode(DeliveryMode.NON_PERSISTENT);
            for (int i = 0; i < 50; i++) {
                producer.send(session.createTextMessage("x".repeat(500)));
            }
        });
        s.check("a producer window with expired messages", t -> {
            Session session = autoOf(t.connect("jms.producerWindowSize=2000"));
            MessageProducer producer = session.createProducer(t.queue());
            producer.setDeliveryMode(DeliveryMode.NON_PERSISTENT);
            producer.setTimeToLive(1);
            for (int i = 0; i < 50; i++) {
                producer.send(session.createTextMessage("x".repeat(500)));
            }
        });
        s.check("a producer window through destination options", t -> {
            MessageProducer producer =
                    t.auto().createProducer(t.auto().createQueue(t.name("") + "?producer.windowSize=2048"));
            producer.setDeliveryMode(DeliveryMode.NON_PERSISTENT);
            for (int i = 0; i < 30; i++) {
                producer.send(t.auto().createTextMessage("" + i));
            }
            exactly(t.consumer(t.queue()), numbers(0, 30));
        });
        s.check("several threads, each with a session, on one connection", t -> {
            Thread[] threads = new Thread[4];
            for (int i = 0; i < 4; i++) {
                Session session = t.session(Session.AUTO_ACKNOWLEDGE);
                threads[i] = new Thread(() -> {
                    try {
                        T.sendBy(session, t.queue(), numbers(0, 50));
                    } catch (JMSException e) {
                        throw new IllegalStateException(e);
                    }
                });
                threads[i].start();
            }
            for (Thread thread : threads) {
                thread.join();
            }
            MessageConsumer consumer = t.consumer(t.queue());
            equal(200, T.take(consumer, 200).size());
            none(consumer);
        });
        s.check("a slow consumer of one queue does not hold up another queue", t -> {
            MessageConsumer slow = t.consumer(t.queue("slow"));
            t.sendNumbers(t.queue("slow"), 0, 2000);
            t.send(t.queue("other"), "a");
            expect(autoOf(t.connect()).createConsumer(t.queue("other")), "a");
            expect(slow, "0");
        });
        s.check("a message with scheduling properties on a broker without a scheduler comes at once", t -> {
            Message message = t.auto().createTextMessage("x");
            message.setLongProperty("AMQ_SCHEDULED_DELAY", 60_000);
            t.auto().createProducer(t.queue()).send(message);
            equal("x", T.textOf(next(t.consumer(t.queue()))));
        });
    }

    private Connections() { }
}
