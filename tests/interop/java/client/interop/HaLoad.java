package interop;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.Enumeration;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import javax.jms.Connection;
import javax.jms.Destination;
import javax.jms.JMSException;
import javax.jms.Message;
import javax.jms.MessageConsumer;
import javax.jms.MessageProducer;
import javax.jms.Session;
import javax.jms.TransactionRolledBackException;
import org.apache.activemq.ActiveMQConnection;
import org.apache.activemq.ActiveMQConnectionFactory;
import org.apache.activemq.command.ActiveMQMessage;
import org.apache.activemq.command.ActiveMQQueue;
import org.apache.activemq.command.ActiveMQTopic;
import org.apache.activemq.transport.Transport;
import org.apache.activemq.transport.failover.FailoverTransport;

/**
 * A load through `failover:` that goes on while masters come and go, and that knows of each message whether its send
 * was answered, how often it came, in which order, and whether its acknowledgement was answered.
 *
 * Prints "tick MS ANSWERED CAME" twenty times a second, "gap LAST_US FIRST_US" whenever the answers to a producer
 * that sends all the time paused for more than 25 ms, and "event MS WHAT". Understands "mark" and "stop" on standard
 * input.
 *
 * Options: --url=URL --against=activemq|ferromq --bystanders=N (further connections with a consumer each)
 */
public final class HaLoad {
    /** Producers pause when consumers are that far behind. */
    private static final long MOST_OPEN = 2000;
    private static final long GAP_US = 25_000;
    /** Messages of a producer's transaction. */
    private static final int BATCH = 7;

    private final String url;
    private final boolean real;
    private final String run = Long.toString(System.currentTimeMillis() % 100_000_000L, 36);
    private final List<Lane> lanes = new ArrayList<>();
    private final List<Thread> producers = new ArrayList<>();
    private final List<Thread> consumers = new ArrayList<>();
    private final List<Connection> bystanders = new ArrayList<>();
    private final AtomicInteger exceptions = new AtomicInteger();
    private final AtomicInteger inDoubt = new AtomicInteger();
    private volatile boolean sending = true;
    private volatile boolean receiving = true;

    private HaLoad(String url, boolean real) {
        this.url = url;
        this.real = real;
    }

    public static void main(String[] args) throws Exception {
        Map<String, String> options = Conformance.options(args);
        HaLoad load = new HaLoad(options.get("url"), options.getOrDefault("against", "ferromq").equals("activemq"));
        load.start(Integer.parseInt(options.getOrDefault("bystanders", "0")));
        BufferedReader orders = new BufferedReader(new InputStreamReader(System.in));
        for (String order = orders.readLine(); order != null; order = orders.readLine()) {
            if (order.equals("mark")) {
                load.mark();
            } else if (order.equals("stop")) {
                int failed = load.finish();
                System.out.flush();
                Runtime.getRuntime().halt(failed == 0 ? 0 : 1);
            }
        }
        Runtime.getRuntime().halt(2);
    }

    private void start(int others) throws JMSException {
        Lane pulse = lane("pulse", new ActiveMQQueue("HA." + run + ".pulse"));
        produce("p1", pulse, this::sendSingly);
        consume("c1", pulse, this::receiveSingly);

        Lane shared = lane("shared", new ActiveMQQueue("HA." + run + ".shared"));
        produce("s1", shared, this::sendSingly);
        produce("s2", shared, this::sendSingly);
        consume("c1", shared, this::listen);
        consume("c2", shared, this::receiveSingly);

        Lane batched = lane("transacted", new ActiveMQQueue("HA." + run + ".transacted"));
        produce("t1", batched, this::sendBatches);
        consume("c1", batched, this::receiveTransacted);

        Lane durable = lane("durable", new ActiveMQTopic("HA." + run + ".durable"));
        Connection first = connect("ha-" + run);
        first.createSession(false, Session.AUTO_ACKNOWLEDGE)
                .createDurableSubscriber((ActiveMQTopic) durable.destination, "s").close();
        first.close();
        produce("d1", durable, this::sendSingly);
        consume("c1", durable, this::receiveSingly);

        for (int i = 0; i < others; i++) {
            Connection connection = connect(null);
            connection.createSession(false, Session.AUTO_ACKNOWLEDGE)
                    .createConsumer(new ActiveMQQueue("HA." + run + ".bystander." + i));
            bystanders.add(connection);
        }
        Thread clock = new Thread(this::tick, "clock");
        clock.setDaemon(true);
        clock.start();
        say("started");
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

    private Lane lane(String name, Destination destination) {
        Lane lane = new Lane(name, destination, real);
        lanes.add(lane);
        return lane;
    }

    /**
     * Says whether one connection to one broker has carried something from beginning to end.
     *
     * When a transport breaks, the client first forgets which connection it had, then forgets what it had delivered
     * (an acknowledgement of that sends nothing and returns), partly in a thread of its own, and tells its listeners
     * last. So the connection itself is compared, and it counts only when it is older than that thread needs.
     */
    private static final class Wire {
        private static final long SETTLED_NS = 1_000_000_000;

        private final FailoverTransport failover;
        private Transport seen;
        private long since;

        Wire(Connection connection) {
            failover = ((ActiveMQConnection) connection).getTransport().narrow(FailoverTransport.class);
        }

        /** The connection, or null while there is none that has settled. */
        Transport settled() {
            Transport now = failover.getConnectedTransport();
            if (now != seen) {
                seen = now;
                since = System.nanoTime();
            }
            return System.nanoTime() - since >= SETTLED_NS ? now : null;
        }

        /** Whether the connection of `settled` is still the one. */
        boolean held(Transport before) {
            return before != null && failover.getConnectedTransport() == before;
        }
    }

    private Connection connect(String clientId) throws JMSException {
        ActiveMQConnectionFactory factory = new ActiveMQConnectionFactory(url);
        factory.setSendAcksAsync(false);
        Connection connection = factory.createConnection();
        if (clientId != null) {
            connection.setClientID(clientId);
        }
        connection.start();
        return connection;
    }

    private interface Producing {
        void run(String name, Lane lane, AtomicLong next, Connection connection) throws JMSException;
    }

    private interface Consuming {
        void run(String name, Lane lane, Connection connection) throws JMSException;
    }

    private void produce(String name, Lane lane, Producing body) {
        AtomicLong next = new AtomicLong();
        producers.add(spawn("producer-" + name, () -> sending, () -> {
            Connection connection = connect(null);
            try {
                body.run(name, lane, next, connection);
            } finally {
                close(connection);
            }
        }));
    }

    private void consume(String name, Lane lane, Consuming body) {
        boolean durable = lane.destination instanceof ActiveMQTopic;
        consumers.add(spawn("consumer-" + lane.name + "-" + name, () -> receiving, () -> {
            Connection connection = connect(durable ? "ha-" + run : null);
            try {
                body.run(name, lane, connection);
            } finally {
                lane.leave();
                close(connection);
            }
        }));
    }

    private interface Flag {
        boolean isUp();
    }

    private interface Work {
        void run() throws JMSException;
    }

    /** An exception that reaches the application is counted, and the work begins anew on a new connection. */
    private Thread spawn(String name, Flag going, Work work) {
        Thread thread = new Thread(() -> {
            while (going.isUp()) {
                try {
                    work.run();
                } catch (JMSException e) {
                    exceptions.incrementAndGet();
                    event("exception at " + name + ": " + e);
                    pause(20);
                }
            }
        }, name);
        thread.setDaemon(true);
        thread.start();
        return thread;
    }

    private void holdBack(Lane lane) {
        while (sending && lane.open() > MOST_OPEN) {
            pause(2);
        }
    }

    private static Message message(Session session, String producer, long number, String id) throws JMSException {
        Message message = session.createTextMessage("x".repeat(1000));
        message.setStringProperty("id", id);
        message.setStringProperty("producer", producer);
        message.setLongProperty("number", number);
        return message;
    }

    private static long micros() {
        java.time.Instant now = java.time.Instant.now();
        return now.getEpochSecond() * 1_000_000 + now.getNano() / 1000;
    }

    private void sendSingly(String name, Lane lane, AtomicLong next, Connection connection) throws JMSException {
        Session session = connection.createSession(false, Session.AUTO_ACKNOWLEDGE);
        MessageProducer producer = session.createProducer(lane.destination);
        boolean pulse = lane.name.equals("pulse");
        long last = micros();
        while (sending) {
            long held = lane.open();
            holdBack(lane);
            if (held > MOST_OPEN) {
                last = micros();
            }
            long number = next.getAndIncrement();
            String id = name + "-" + number;
            lane.sending(id, id);
            producer.send(message(session, name, number, id));
            lane.answer(id);
            if (pulse) {
                long now = micros();
                if (now - last > GAP_US) {
                    say("gap " + last + " " + now);
                }
                last = now;
            } else {
                pause(1);
            }
        }
    }

    private void sendBatches(String name, Lane lane, AtomicLong next, Connection connection) throws JMSException {
        Session session = connection.createSession(true, Session.SESSION_TRANSACTED);
        MessageProducer producer = session.createProducer(lane.destination);
        while (sending) {
            holdBack(lane);
            long transaction = next.getAndIncrement();
            String batch = name + "-" + transaction;
            List<String> ids = new ArrayList<>();
            for (int i = 0; i < BATCH; i++) {
                String id = batch + "." + i;
                lane.sending(id, batch);
                producer.send(message(session, name, transaction * BATCH + i, id));
                ids.add(id);
            }
            if (committed(session)) {
                ids.forEach(lane::answer);
            }
        }
    }

    /** A commit that was in flight when the master died is in doubt: its transaction is whole, or not there at all. */
    private boolean committed(Session session) throws JMSException {
        try {
            session.commit();
            return true;
        } catch (TransactionRolledBackException e) {
            inDoubt.incrementAndGet();
            event("in doubt: " + e.getMessage());
            return false;
        }
    }

    /** Acknowledges each message by itself. */
    private void receiveSingly(String name, Lane lane, Connection connection) throws JMSException {
        Wire wire = new Wire(connection);
        Session session = connection.createSession(false, Session.CLIENT_ACKNOWLEDGE);
        MessageConsumer consumer = lane.destination instanceof ActiveMQTopic
                ? session.createDurableSubscriber((ActiveMQTopic) lane.destination, "s")
                : session.createConsumer(lane.destination);
        String place = name + "@" + System.identityHashCode(consumer);
        while (receiving) {
            Transport before = wire.settled();
            Message message = consumer.receive(200);
            if (message != null) {
                String id = took(place, lane, message);
                message.acknowledge();
                if (wire.held(before)) {
                    lane.acknowledged(id);
                }
            }
        }
    }

    /**
     * Lets the session acknowledge. Only a listener sees a message before its session does so: `receive` acknowledges
     * first, and when that throws, the message is consumed and nobody has it.
     */
    private void listen(String name, Lane lane, Connection connection) throws JMSException {
        BlockingQueue<Throwable> failures = new LinkedBlockingQueue<>();
        ((ActiveMQConnection) connection).setClientInternalExceptionListener(failures::add);
        Session session = connection.createSession(false, Session.AUTO_ACKNOWLEDGE);
        MessageConsumer consumer = session.createConsumer(lane.destination);
        String place = name + "@" + System.identityHashCode(consumer);
        consumer.setMessageListener(message -> {
            try {
                took(place, lane, message);
            } catch (JMSException e) {
                failures.add(e);
            }
        });
        while (receiving) {
            Throwable failure = poll(failures);
            if (failure != null) {
                throw failure instanceof JMSException ? (JMSException) failure : new JMSException(failure.toString());
            }
        }
    }

    private static Throwable poll(BlockingQueue<Throwable> failures) {
        try {
            return failures.poll(50, TimeUnit.MILLISECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return e;
        }
    }

    /**
     * Commits five at a time. A commit says something of its messages only on the connection by which they came: after
     * a break the client has forgotten them, has nothing to acknowledge, and commits that without complaint.
     */
    private void receiveTransacted(String name, Lane lane, Connection connection) throws JMSException {
        Wire wire = new Wire(connection);
        Session session = connection.createSession(true, Session.SESSION_TRANSACTED);
        MessageConsumer consumer = session.createConsumer(lane.destination);
        String place = name + "@" + System.identityHashCode(consumer);
        List<String> ids = new ArrayList<>();
        Transport before = wire.settled();
        while (receiving) {
            if (ids.isEmpty()) {
                before = wire.settled();
            }
            Message message = consumer.receive(200);
            if (message != null) {
                ids.add(took(place, lane, message));
            }
            if (ids.size() >= 5 || message == null && !ids.isEmpty()) {
                if (committed(session) && wire.held(before)) {
                    ids.forEach(lane::acknowledged);
                }
                ids.clear();
            }
        }
    }

    private String took(String place, Lane lane, Message message) throws JMSException {
        String id = message.getStringProperty("id");
        boolean flagged = message.getJMSRedelivered();
        lane.deliver(place, id, flagged, ((ActiveMQMessage) message).getBrokerOutTime());
        lane.inOrder(place, message.getStringProperty("producer"), id, message.getLongProperty("number"), flagged);
        return id;
    }

    private void tick() {
        while (true) {
            long answered = lanes.stream().mapToLong(lane -> lane.answered.get()).sum();
            long came = lanes.stream().mapToLong(lane -> lane.came.get()).sum();
            say("tick " + System.currentTimeMillis() + " " + answered + " " + came);
            pause(50);
        }
    }

    private void mark() {
        StringBuilder line = new StringBuilder("mark");
        for (Lane lane : lanes) {
            line.append(' ').append(lane.name).append('=').append(lane.answered.get())
                    .append('/').append(lane.came.get()).append('/').append(lane.repeated.get());
        }
        say(line.toString());
    }

    private int finish() throws InterruptedException {
        sending = false;
        for (Thread thread : producers) {
            thread.join(40_000);
        }
        // Until everything that was answered came, or nothing has come for a long time.
        long before = -1;
        long quiet = System.currentTimeMillis();
        while (System.currentTimeMillis() - quiet < 10_000) {
            long sum = lanes.stream().mapToLong(lane -> lane.came.get() + lane.repeated.get()).sum();
            if (sum != before) {
                before = sum;
                quiet = System.currentTimeMillis();
            } else if (lanes.stream().allMatch(lane -> lane.lost().isEmpty())
                    && System.currentTimeMillis() - quiet > 1500) {
                break;
            }
            pause(50);
        }
        lanes.forEach(this::seek);
        receiving = false;
        for (Thread thread : consumers) {
            thread.join(5000);
        }
        int passed = 0;
        int failed = 0;
        for (Lane lane : lanes) {
            int[] sums = lane.verdict("ha");
            passed += sums[0];
            failed += sums[1];
        }
        say("exceptions " + exceptions.get() + ", in doubt " + inDoubt.get());
        say(passed + " passed, " + failed + " failed, 0 skipped");
        return failed;
    }

    /** Says where the messages of a lane that never came are, as far as a browser sees them. */
    private void seek(Lane lane) {
        Set<String> lost = new HashSet<>(lane.lost());
        if (lost.isEmpty()) {
            return;
        }
        try {
            Connection connection = connect(null);
            try {
                Session session = connection.createSession(false, Session.AUTO_ACKNOWLEDGE);
                for (String name : List.of("ActiveMQ.DLQ", "HA." + run + "." + lane.name)) {
                    Enumeration<?> all = session.createBrowser(new ActiveMQQueue(name)).getEnumeration();
                    while (all.hasMoreElements()) {
                        Message message = (Message) all.nextElement();
                        String id = message.getStringProperty("id");
                        if (lost.remove(id)) {
                            event("lost by " + lane.name + ": " + id + " (" + message.getJMSMessageID() + ") is in " + name
                                    + ": " + message.getStringProperty("dlqDeliveryFailureCause"));
                        }
                    }
                }
            } finally {
                close(connection);
            }
        } catch (JMSException e) {
            event("nobody knows where the lost messages are: " + e);
        }
        if (!lost.isEmpty()) {
            event("lost by " + lane.name + ", in no queue that can be browsed: " + lost);
        }
    }

    private static void close(Connection connection) {
        try {
            connection.close();
        } catch (JMSException e) {
            // It is gone already, which is what was wanted.
        }
    }

    private static void pause(long millis) {
        try {
            Thread.sleep(millis);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
