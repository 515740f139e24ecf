package interop;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.Collections;
import java.util.Enumeration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;
import javax.jms.BytesMessage;
import javax.jms.Connection;
import javax.jms.JMSException;
import javax.jms.Message;
import javax.jms.MessageConsumer;
import javax.jms.MessageProducer;
import javax.jms.Queue;
import javax.jms.QueueBrowser;
import javax.jms.Session;
import javax.jms.TextMessage;
import javax.jms.Topic;
import org.apache.activemq.ActiveMQConnectionFactory;
import org.apache.activemq.command.ActiveMQDestination;

/**
 * Clients at the brokers of a network, moved by orders on standard input, one a line with its words divided by tabs.
 * Each order is answered by one line: "= …" when it is done, "! …" when it could not be. Knows of each message whether
 * its send was answered, to whom it came, how often, and in which order.
 *
 * connect NAME URL, leave NAME: a connection. consume NAME CONNECTION DESTINATION SELECTOR SUBSCRIPTION, close NAME: a
 * consumer. sit NAME CONNECTION DESTINATION: one that takes nothing. crowd NAME CONNECTION PREFIX QUEUES: one for each of
 * so many queues, named NAME.0 and so on. unsubscribe CONNECTION SUBSCRIPTION: ends a durable subscription. burst NAME
 * CONNECTION DESTINATION COUNT: sends so many. produce NAME CONNECTION DESTINATION PER_SECOND, halt NAME: sends until it is
 * told to stop. scatter NAME CONNECTION PREFIX QUEUES PER_SECOND: the same to so many queues in turn. arrived PRODUCER
 * CONSUMER COUNT MILLIS: waits until so many different ones came ("*" for any consumer). quiet MILLIS: waits until nothing
 * has come for so long. account PRODUCER CONSUMER: the sums. held PRODUCER DESTINATION CONNECTION: how many of those that
 * have not come lie in a broker's queue. request ASKING SERVING DESTINATION COUNT: requests and their replies. churn
 * CONNECTION PREFIX QUEUES PER_SECOND MILLIS: consumers come and go.
 *
 * Prints "tick MS ANSWERED CAME" twenty times a second, and "event MS WHAT".
 */
public final class NetLoad {
    private static final int BODY = 1024;
    /** Of each consumer, so many messages that are out of order are told of one by one. */
    private static final int TOLD_OF_EACH = 3;
    private static final String[] COLOURS = {"red", "green", "blue"};

    private final Map<String, Connection> connections = new ConcurrentHashMap<>();
    private final Map<String, Consumer> consumers = new ConcurrentHashMap<>();
    private final Map<String, Stream> streams = Collections.synchronizedMap(new LinkedHashMap<>());
    private final AtomicLong answered = new AtomicLong();
    private final AtomicLong came = new AtomicLong();
    private volatile long heard = System.currentTimeMillis();

    private NetLoad() {
    }

    public static void main(String[] args) throws Exception {
        NetLoad load = new NetLoad();
        Thread clock = new Thread(load::tick, "clock");
        clock.setDaemon(true);
        clock.start();
        say("started");
        BufferedReader orders = new BufferedReader(new InputStreamReader(System.in));
        for (String order = orders.readLine(); order != null; order = orders.readLine()) {
            try {
                say("= " + load.obey(order.split("\t", -1)));
            } catch (Exception e) {
                say("! " + e.toString().replace('\n', ' '));
            }
        }
        Runtime.getRuntime().halt(0);
    }

    private static void say(String text) {
        synchronized (System.out) {
            System.out.println(text);
            System.out.flush();
        }
    }

    private static void event(String what) {
        say("event " + System.currentTimeMillis() + " " + what.replace('\n', ' '));
    }

    private void tick() {
        while (true) {
            say("tick " + System.currentTimeMillis() + " " + answered.get() + " " + came.get());
            pause(50);
        }
    }

    private static void pause(long millis) {
        LockSupport.parkNanos(millis * 1_000_000);
    }

    private String obey(String[] words) throws Exception {
        switch (words[0]) {
            case "connect":
                connections.put(words[1], connect(words[2]));
                return "";
            case "leave":
                connections.remove(words[1]).close();
                return "";
            case "consume":
                consumers.put(words[1], new Consumer(words[1], connection(words[2]), words[3], words[4], words[5]));
                return "";
            case "sit":
                consumers.put(words[1], new Consumer(connection(words[2]), words[3]));
                return "";
            case "crowd":
                crowd(words[1], connection(words[2]), words[3], Integer.parseInt(words[4]));
                return "";
            case "close":
                consumers.get(words[1]).close();
                return "";
            case "unsubscribe":
                unsubscribe(connection(words[1]), words[2]);
                return "";
            case "burst":
                return stream(words[1]).burst(connection(words[2]), words[3], Integer.parseInt(words[4]));
            case "produce":
                stream(words[1]).begin(connection(words[2]), List.of(destination(words[3])), Integer.parseInt(words[4]));
                return "";
            case "scatter":
                stream(words[1]).begin(connection(words[2]), queues(words[3], Integer.parseInt(words[4])),
                        Integer.parseInt(words[5]));
                return "";
            case "halt":
                return stream(words[1]).halt();
            case "arrived":
                return arrived(words[1], words[2], Integer.parseInt(words[3]), Long.parseLong(words[4]));
            case "quiet":
                return quiet(Long.parseLong(words[1]));
            case "account":
                return stream(words[1]).account(words[2]);
            case "held":
                return stream(words[1]).held(words[2], connection(words[3]));
            case "churn":
                return churn(connection(words[1]), queues(words[2], Integer.parseInt(words[3])),
                        Integer.parseInt(words[4]), Integer.parseInt(words[5]));
            case "request":
                return request(connection(words[1]), connection(words[2]), words[3], Integer.parseInt(words[4]));
            default:
                throw new IllegalArgumentException("no order " + words[0]);
        }
    }

    private static Connection connect(String url) throws JMSException {
        ActiveMQConnectionFactory factory = new ActiveMQConnectionFactory(url);
        factory.setSendAcksAsync(false);
        Connection connection = factory.createConnection();
        connection.start();
        return connection;
    }

    private Connection connection(String name) {
        Connection connection = connections.get(name);
        if (connection == null) {
            throw new IllegalArgumentException("no connection " + name);
        }
        return connection;
    }

    private Stream stream(String name) {
        return streams.computeIfAbsent(name, Stream::new);
    }

    private static ActiveMQDestination destination(String name) {
        return ActiveMQDestination.createDestination(name, ActiveMQDestination.QUEUE_TYPE);
    }

    private static List<ActiveMQDestination> queues(String prefix, int count) {
        List<ActiveMQDestination> all = new ArrayList<>();
        for (int number = 0; number < count; number++) {
            all.add(destination(prefix + number));
        }
        return all;
    }

    private static Session session(Connection connection, int mode) throws JMSException {
        return connection.createSession(false, mode);
    }

    private String arrived(String producer, String consumer, int count, long limit) {
        long began = System.currentTimeMillis();
        Stream stream = stream(producer);
        while (stream.at(consumer) < count) {
            if (System.currentTimeMillis() - began > limit) {
                throw new IllegalStateException(stream.at(consumer) + " of " + count + " came within " + limit + " ms");
            }
            pause(1);
        }
        return Long.toString(System.currentTimeMillis() - began);
    }

    private String quiet(long millis) {
        while (System.currentTimeMillis() - heard < millis) {
            pause(5);
        }
        return "";
    }

    /** So many consumers a second, each on the next of the queues, and each gone at once; how many there were. */
    private static String churn(Connection connection, List<ActiveMQDestination> queues, int rate, int millis)
            throws JMSException {
        Session session = session(connection, Session.AUTO_ACKNOWLEDGE);
        long began = System.nanoTime();
        int done = 0;
        while (System.nanoTime() - began < millis * 1_000_000L) {
            LockSupport.parkNanos(began + done * 1_000_000_000L / rate - System.nanoTime());
            session.createConsumer(queues.get(done % queues.size())).close();
            done++;
        }
        session.close();
        return Integer.toString(done);
    }

    /**
     * On a connection that is stopped meanwhile: a session that delivers belongs to the thread that does (JMS 1.1
     * §4.4.6), and one that gets further listeners all the same puts messages of the earlier ones out of order.
     */
    private void crowd(String name, Connection connection, String prefix, int count) throws JMSException {
        connection.stop();
        Session session = session(connection, Session.AUTO_ACKNOWLEDGE);
        int number = 0;
        for (ActiveMQDestination queue : queues(prefix, count)) {
            String consumer = name + "." + number++;
            session.createConsumer(queue).setMessageListener(message -> take(consumer, message));
        }
        connection.start();
    }

    private static void unsubscribe(Connection connection, String subscription) throws JMSException {
        Session session = session(connection, Session.AUTO_ACKNOWLEDGE);
        session.unsubscribe(subscription);
        session.close();
    }

    private void take(String consumer, Message message) {
        heard = System.currentTimeMillis();
        try {
            stream(message.getStringProperty("p"))
                    .take(consumer, message.getIntProperty("n"), message.getJMSRedelivered());
        } catch (JMSException e) {
            event("exception at " + consumer + ": " + e);
        }
    }

    /** Each reply goes to a temporary queue of the broker that was asked at. RIGHT DUPLICATED MS */
    private static String request(Connection asking, Connection serving, String name, int count) throws JMSException {
        Session server = session(serving, Session.AUTO_ACKNOWLEDGE);
        Session client = session(asking, Session.AUTO_ACKNOWLEDGE);
        long began = System.currentTimeMillis();
        int answered = 0;
        int again = 0;
        try {
            MessageProducer replies = server.createProducer(null);
            server.createConsumer(destination(name)).setMessageListener(request -> {
                try {
                    TextMessage reply = server.createTextMessage("re: " + ((TextMessage) request).getText());
                    reply.setJMSCorrelationID(request.getJMSMessageID());
                    replies.send(request.getJMSReplyTo(), reply);
                } catch (JMSException e) {
                    event("exception at the server: " + e);
                }
            });
            Queue answers = client.createTemporaryQueue();
            MessageConsumer replied = client.createConsumer(answers);
            MessageProducer producer = client.createProducer(destination(name));
            for (int number = 0; number < count; number++) {
                TextMessage request = client.createTextMessage("q" + number);
                request.setJMSReplyTo(answers);
                producer.send(request);
                TextMessage reply = (TextMessage) replied.receive(15_000);
                if (reply == null) {
                    event("request " + number + " got no reply within 15 s");
                    break;
                }
                if (reply.getText().equals("re: q" + number)
                        && request.getJMSMessageID().equals(reply.getJMSCorrelationID())) {
                    answered++;
                }
            }
            while (replied.receive(300) != null) {
                again++;
            }
        } finally {
            server.close();
            client.close();
        }
        return answered + " " + again + " " + (System.currentTimeMillis() - began);
    }

    /** All messages of a producer. */
    private final class Stream {
        private final String name;
        private final BitSet sent = new BitSet();
        private final BitSet confirmed = new BitSet();
        private final Map<String, Arrivals> arrivals = new LinkedHashMap<>();
        private final BitSet anywhere = new BitSet();
        private int next;
        private long begun;
        private long finished;
        private volatile long lastArrival;
        private volatile boolean going;
        private Thread thread;

        Stream(String name) {
            this.name = name;
        }

        String burst(Connection connection, String destination, int count) throws JMSException {
            Session session = session(connection, Session.AUTO_ACKNOWLEDGE);
            ActiveMQDestination to = destination(destination);
            MessageProducer producer = session.createProducer(to);
            begun = System.currentTimeMillis();
            for (int i = 0; i < count; i++) {
                send(session, producer, to);
            }
            finished = System.currentTimeMillis();
            session.close();
            return Long.toString(finished - begun);
        }

        /** To each of the destinations in turn. */
        void begin(Connection connection, List<ActiveMQDestination> destinations, int rate) {
            going = true;
            begun = System.currentTimeMillis();
            thread = new Thread(() -> {
                long due = System.nanoTime();
                while (going) {
                    try {
                        Session session = session(connection, Session.AUTO_ACKNOWLEDGE);
                        MessageProducer producer =
                                session.createProducer(destinations.size() == 1 ? destinations.get(0) : null);
                        while (going) {
                            due = Math.max(due + 1_000_000_000L / rate, System.nanoTime() - 1_000_000_000L);
                            LockSupport.parkNanos(due - System.nanoTime());
                            send(session, producer, destinations.get(next % destinations.size()));
                        }
                        session.close();
                    } catch (JMSException e) {
                        event("exception at " + name + ": " + e);
                        pause(20);
                    }
                }
            }, name);
            thread.setDaemon(true);
            thread.start();
        }

        String halt() throws InterruptedException {
            going = false;
            thread.join(60_000);
            finished = System.currentTimeMillis();
            if (thread.isAlive()) {
                throw new IllegalStateException("a send takes longer than a minute");
            }
            return Long.toString(finished - begun);
        }

        private void send(Session session, MessageProducer producer, ActiveMQDestination to) throws JMSException {
            int number = next++;
            byte[] body = new byte[BODY];
            Arrays.fill(body, (byte) 'x');
            BytesMessage message = session.createBytesMessage();
            message.writeBytes(body);
            message.setStringProperty("p", name);
            message.setIntProperty("n", number);
            message.setStringProperty("colour", COLOURS[number % COLOURS.length]);
            synchronized (this) {
                sent.set(number);
            }
            producer.send(to, message);
            synchronized (this) {
                confirmed.set(number);
            }
            answered.incrementAndGet();
        }

        synchronized int at(String consumer) {
            if (consumer.equals("*")) {
                return anywhere.cardinality();
            }
            Arrivals arrived = arrivals.get(consumer);
            return arrived == null ? 0 : arrived.numbers.cardinality();
        }

        synchronized void take(String consumer, int number, boolean flagged) {
            Arrivals arrived = arrivals.computeIfAbsent(consumer, name -> new Arrivals());
            boolean again = consumer.startsWith("sub") ? arrived.numbers.get(number) : anywhere.get(number);
            if (again) {
                arrived.duplicated++;
                if (!flagged) {
                    arrived.unflagged++;
                }
            } else {
                if (number < arrived.last && !flagged) {
                    if (arrived.reordered++ < TOLD_OF_EACH) {
                        event("out of order at " + consumer + ": " + name + " " + number + " after " + arrived.last
                                + (arrived.lastFlagged ? ", which was flagged" : ""));
                    }
                }
                if (number > arrived.last) {
                    arrived.last = number;
                    arrived.lastFlagged = flagged;
                }
                came.incrementAndGet();
            }
            arrived.numbers.set(number);
            anywhere.set(number);
            lastArrival = System.currentTimeMillis();
        }

        /** SENT ANSWERED RECEIVED MISSING DUPLICATED UNFLAGGED REORDERED INVENTED DRAIN_MS */
        synchronized String account(String consumer) {
            BitSet got = consumer.equals("*") ? anywhere : new BitSet();
            int duplicated = 0;
            int unflagged = 0;
            int reordered = 0;
            for (Map.Entry<String, Arrivals> entry : arrivals.entrySet()) {
                if (consumer.equals("*") || consumer.equals(entry.getKey())) {
                    duplicated += entry.getValue().duplicated;
                    unflagged += entry.getValue().unflagged;
                    reordered += entry.getValue().reordered;
                    got.or(entry.getValue().numbers);
                }
            }
            BitSet missing = (BitSet) confirmed.clone();
            missing.andNot(got);
            BitSet invented = (BitSet) got.clone();
            invented.andNot(sent);
            long drain = lastArrival == 0 ? 0 : Math.max(0, lastArrival - finished);
            return sent.cardinality() + " " + confirmed.cardinality() + " " + got.cardinality() + " "
                    + missing.cardinality() + " " + duplicated + " " + unflagged + " " + reordered + " "
                    + invented.cardinality() + " " + drain;
        }

        String held(String queue, Connection connection) throws JMSException {
            Session session = session(connection, Session.AUTO_ACKNOWLEDGE);
            QueueBrowser browser = session.createBrowser((Queue) destination(queue));
            BitSet found = new BitSet();
            for (Enumeration<?> all = browser.getEnumeration(); all.hasMoreElements();) {
                Message message = (Message) all.nextElement();
                if (name.equals(message.getStringProperty("p"))) {
                    found.set(message.getIntProperty("n"));
                }
            }
            session.close();
            synchronized (this) {
                found.andNot(anywhere);
            }
            return Integer.toString(found.cardinality());
        }
    }

    /** What came to one consumer. */
    private static final class Arrivals {
        private final BitSet numbers = new BitSet();
        private int last = -1;
        private boolean lastFlagged;
        private int duplicated;
        private int unflagged;
        private int reordered;
    }

    /** Acknowledges each message by itself. One whose name begins with "sub" gets copies of its own. */
    private final class Consumer {
        private final Session session;
        private final MessageConsumer consumer;
        private final Thread thread;
        private volatile boolean going = true;

        Consumer(String name, Connection connection, String destination, String selector, String subscription)
                throws JMSException {
            session = session(connection, Session.CLIENT_ACKNOWLEDGE);
            String wanted = selector.isEmpty() ? null : selector;
            consumer = subscription.isEmpty()
                    ? session.createConsumer(destination(destination), wanted)
                    : session.createDurableSubscriber((Topic) destination(destination), subscription, wanted, false);
            thread = new Thread(() -> {
                while (going) {
                    try {
                        Message message = consumer.receive(50);
                        if (message != null) {
                            take(name, message);
                            message.acknowledge();
                        }
                    } catch (JMSException e) {
                        if (going) {
                            event("exception at " + name + ": " + e);
                            pause(20);
                        }
                    }
                }
            }, name);
            thread.setDaemon(true);
            thread.start();
        }

        /** One that takes nothing of what its prefetch holds. */
        Consumer(Connection connection, String destination) throws JMSException {
            session = session(connection, Session.CLIENT_ACKNOWLEDGE);
            consumer = session.createConsumer(destination(destination));
            thread = new Thread(() -> { }, "sits");
            thread.start();
        }

        void close() throws JMSException, InterruptedException {
            going = false;
            thread.join(10_000);
            consumer.close();
            session.close();
        }
    }
}
