package interop;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.atomic.AtomicInteger;
import javax.jms.Connection;
import javax.jms.ConnectionFactory;
import javax.jms.DeliveryMode;
import javax.jms.Destination;
import javax.jms.JMSException;
import javax.jms.Message;
import javax.jms.MessageConsumer;
import javax.jms.MessageProducer;
import javax.jms.Queue;
import javax.jms.Session;
import javax.jms.TextMessage;
import javax.jms.Topic;
import org.apache.activemq.ActiveMQConnection;
import org.apache.activemq.ActiveMQConnectionFactory;
import org.apache.activemq.command.ActiveMQQueue;
import org.apache.activemq.command.ActiveMQTopic;

/** What a check works with: connections that are closed for it, names of its own, and statements with a time limit. */
final class T {
    /** How long something that must happen may take. */
    static final long LONG = 6000;
    /** How long to watch for something that must not happen. */
    static final long SHORT = 250;

    private static final AtomicInteger NEXT = new AtomicInteger();

    /** A statement about the broker that did not hold. */
    static final class Failed extends RuntimeException {
        private static final long serialVersionUID = 1L;

        Failed(String reason) {
            super(reason);
        }
    }

    /** Code that may throw anything. */
    interface Action {
        void run() throws Exception;
    }

    /** A question that is asked until it is answered with yes. */
    interface Question {
        boolean ask() throws Exception;
    }

    private final String url;
    private final String base;
    final int line;
    private final List<Connection> open = new ArrayList<>();
    private Connection first;
    private Session session;

    T(String url, int line, String area, String name, String run) {
        this.url = url;
        this.line = line;
        this.base = "IT." + run + "." + area + "." + name.replaceAll("[^A-Za-z0-9]", "_")
                + NEXT.incrementAndGet();
    }

    private T(T before) {
        this.url = before.url;
        this.line = before.line;
        this.base = before.base;
    }

    /** The same names with connections of its own: for what comes after the broker was restarted. */
    T again() {
        return new T(this);
    }

    // Connections and sessions

    /** A factory for this broker; the options are those of a client's URI, as "jms.prefetchPolicy.all=1". */
    ActiveMQConnectionFactory factory(String options) {
        return new ActiveMQConnectionFactory(options.isEmpty() ? url : url + "?" + options);
    }

    String url() {
        return url;
    }

    /** The check's first connection, started. */
    Connection conn() throws JMSException {
        if (first == null) {
            first = connect();
        }
        return first;
    }

    /** One more connection, started. */
    Connection connect() throws JMSException {
        return connect("");
    }

    Connection connect(String options) throws JMSException {
        Connection connection = keep(factory(options).createConnection());
        connection.start();
        return connection;
    }

    /** A started connection with a client id. */
    Connection connectAs(String clientId) throws JMSException {
        Connection connection = keep(factory("").createConnection());
        connection.setClientID(clientId);
        connection.start();
        return connection;
    }

    /** A connection that is not started yet. */
    Connection unstarted() throws JMSException {
        return keep(factory("").createConnection());
    }

    Connection keep(Connection connection) {
        synchronized (open) {
            open.add(connection);
        }
        return connection;
    }

    ConnectionFactory plainFactory() {
        return factory("");
    }

    /** The auto-acknowledge session of the first connection. */
    Session auto() throws JMSException {
        if (session == null) {
            session = session(Session.AUTO_ACKNOWLEDGE);
        }
        return session;
    }

    /** A new session on the first connection. */
    Session session(int mode) throws JMSException {
        return session(conn(), mode);
    }

    static Session session(Connection connection, int mode) throws JMSException {
        return connection.createSession(mode == Session.SESSION_TRANSACTED, mode);
    }

    static Session autoOf(Connection connection) throws JMSException {
        return session(connection, Session.AUTO_ACKNOWLEDGE);
    }

    Session tx() throws JMSException {
        return session(Session.SESSION_TRANSACTED);
    }

    /** Cuts the connection as a dying process would: nothing is said to the broker. */
    static void cut(Connection connection) throws Exception {
        ((ActiveMQConnection) connection).getTransport().stop();
    }

    // Names

    /** This check's own queue. */
    Queue queue() {
        return queue("");
    }

    Queue queue(String suffix) {
        return new ActiveMQQueue(name(suffix));
    }

    Topic topic() {
        return topic("");
    }

    Topic topic(String suffix) {
        return new ActiveMQTopic(name(suffix));
    }

    String name(String suffix) {
        return suffix.isEmpty() ? base : base + "." + suffix;
    }

    String clientId() {
        return "client-" + base + "-" + NEXT.incrementAndGet();
    }

    // Sending and receiving

    /** Sends persistent text messages through the first connection. */
    void send(Destination to, String... texts) throws JMSException {
        sendBy(auto(), to, texts);
    }

    static void sendBy(Session session, Destination to, String... texts) throws JMSException {
        MessageProducer producer = session.createProducer(to);
        for (String text : texts) {
            producer.send(session.createTextMessage(text));
        }
        producer.close();
    }

    void sendNumbers(Destination to, int from, int below) throws JMSException {
        MessageProducer producer = auto().createProducer(to);
        producer.setDeliveryMode(DeliveryMode.NON_PERSISTENT);
        for (int i = from; i < below; i++) {
            producer.send(auto().createTextMessage(Integer.toString(i)));
        }
        producer.close();
    }

    MessageConsumer consumer(Destination from) throws JMSException {
        return auto().createConsumer(from);
    }

    /** The next message, which must come. */
    static Message next(MessageConsumer consumer) throws JMSException {
        Message message = consumer.receive(LONG);
        if (message == null) {
            throw new Failed("no message within " + LONG + " ms");
        }
        return message;
    }

    /** The text of the next message, which must come. */
    static String text(MessageConsumer consumer) throws JMSException {
        return textOf(next(consumer));
    }

    static String textOf(Message message) throws JMSException {
        if (message instanceof TextMessage) {
            return ((TextMessage) message).getText();
        }
        throw new Failed("expected a text message, got " + message.getClass().getSimpleName());
    }

    /** The next messages must be exactly these, in this order. */
    static void expect(MessageConsumer consumer, String... texts) throws JMSException {
        List<String> got = new ArrayList<>();
        for (int i = 0; i < texts.length; i++) {
            Message message = consumer.receive(LONG);
            if (message == null) {
                throw new Failed("expected " + Arrays.toString(texts) + ", got " + got + " and then nothing");
            }
            got.add(textOf(message));
        }
        equal(Arrays.asList(texts), got);
    }

    /** No further message may come. */
    static void none(MessageConsumer consumer) throws JMSException {
        Message message = consumer.receive(SHORT);
        if (message != null) {
            throw new Failed("expected no message, got " + describe(message));
        }
    }

    /** Exactly these messages and then none. */
    static void exactly(MessageConsumer consumer, String... texts) throws JMSException {
        expect(consumer, texts);
        none(consumer);
    }

    /** Receives n messages, as texts. */
    static List<String> take(MessageConsumer consumer, int n) throws JMSException {
        List<String> got = new ArrayList<>();
        for (int i = 0; i < n; i++) {
            Message message = consumer.receive(LONG);
            if (message == null) {
                throw new Failed("expected " + n + " messages, got " + i + ": " + shorten(got.toString()));
            }
            got.add(textOf(message));
        }
        return got;
    }

    /** What is there now, until nothing more comes. */
    static List<String> drain(MessageConsumer consumer) throws JMSException {
        List<String> got = new ArrayList<>();
        for (Message message = consumer.receive(1000); message != null; message = consumer.receive(SHORT)) {
            got.add(textOf(message));
        }
        return got;
    }

    /** A new connection finds exactly these messages on the destination, in this order. */
    void left(Destination from, String... texts) throws JMSException {
        Connection connection = connect();
        exactly(autoOf(connection).createConsumer(from), texts);
        connection.close();
    }

    static String[] numbers(int from, int below) {
        String[] texts = new String[below - from];
        for (int i = from; i < below; i++) {
            texts[i - from] = Integer.toString(i);
        }
        return texts;
    }

    /** Does something a little later, while the check is waiting. */
    static void later(Action action) {
        Thread thread = new Thread(() -> {
            try {
                Thread.sleep(200);
                action.run();
            } catch (Exception ignored) {
                // The check is about what it waits for, and may be over by now.
            }
        });
        thread.setDaemon(true);
        thread.start();
    }

    // Statements

    static void equal(Object expected, Object got) {
        if (!Objects.equals(expected, got)) {
            throw new Failed("expected " + shorten(String.valueOf(expected)) + ", got " + shorten(String.valueOf(got)));
        }
    }

    static void that(boolean holds, String statement) {
        if (!holds) {
            throw new Failed("not so: " + statement);
        }
    }

    /** The action must fail with this class of exception, or one derived from it. */
    static <E extends Exception> E fails(Class<E> with, Action action) {
        try {
            action.run();
        } catch (Exception thrown) {
            if (with.isInstance(thrown)) {
                return with.cast(thrown);
            }
            throw new Failed("expected " + with.getSimpleName() + ", got " + thrown);
        }
        throw new Failed("expected " + with.getSimpleName() + ", but it succeeded");
    }

    /** Must become true within the time that anything may take. */
    static void soon(String statement, Question question) throws Exception {
        long until = System.currentTimeMillis() + LONG;
        while (!question.ask()) {
            if (System.currentTimeMillis() > until) {
                throw new Failed("not within " + LONG + " ms: " + statement);
            }
            Thread.sleep(10);
        }
    }

    static String describe(Message message) throws JMSException {
        String what = message instanceof TextMessage ? ((TextMessage) message).getText() : message.toString();
        return shorten(String.valueOf(what));
    }

    static String shorten(String text) {
        return text.length() <= 300 ? text : text.substring(0, 300) + "… (" + text.length() + " characters)";
    }

    void close() {
        List<Connection> closing;
        synchronized (open) {
            closing = new ArrayList<>(open);
        }
        for (Connection connection : closing) {
            try {
                connection.close();
            } catch (JMSException | RuntimeException ignored) {
                // The check has said what it had to say; many close or cut their connections themselves.
            }
        }
    }
}
