package interop;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicLong;
import javax.jms.Connection;
import javax.jms.Destination;
import javax.jms.JMSException;
import javax.jms.Message;
import javax.jms.MessageConsumer;
import javax.jms.MessageProducer;
import javax.jms.Session;
import org.apache.activemq.ActiveMQConnectionFactory;
import org.apache.activemq.command.ActiveMQQueue;
import org.apache.activemq.command.ActiveMQTopic;

/**
 * A load that goes on while the broker is killed and started again, and that knows of each message whether its send
 * was answered, how often it came, and whether its acknowledgement was answered.
 *
 * Understands "mark" (prints the counters) and "stop" (drains, verifies, prints the sums) on standard input.
 *
 * Options: --url=URL --against=activemq|ferromq
 */
public final class KillLoad {
    private static final int INDIVIDUAL = 4;
    /** Producers pause when consumers are that far behind. */
    private static final long MOST_OPEN = 2000;

    private final String url;
    private final boolean real;
    private final String run = Long.toString(System.currentTimeMillis() % 100_000_000L, 36);
    private volatile boolean sending = true;
    private volatile boolean receiving = true;
    private final List<Thread> producers = new ArrayList<>();
    private final List<Thread> consumers = new ArrayList<>();
    private final List<Lane> lanes = new ArrayList<>();

    private KillLoad(String url, boolean real) {
        this.url = url;
        this.real = real;
    }

    public static void main(String[] args) throws Exception {
        Map<String, String> options = Conformance.options(args);
        boolean real = options.getOrDefault("against", "ferromq").equals("activemq");
        KillLoad load = new KillLoad(options.get("url"), real);
        load.start();
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

    private void start() throws JMSException {
        Lane plain = lane("plain", new ActiveMQQueue("KILL." + run + ".plain"));
        produce("p1", plain, this::sendPlain);
        produce("p2", plain, this::sendPlain);
        consume(plain, (lane, connection) -> receiveSingly(lane, connection, Session.CLIENT_ACKNOWLEDGE, false));
        consume(plain, (lane, connection) -> receiveSingly(lane, connection, INDIVIDUAL, false));

        Lane failover = lane("failover", new ActiveMQQueue("KILL." + run + ".failover"));
        produce("f1", failover, this::sendFailover);
        consume(failover, (lane, connection) -> receiveSingly(lane, connection, Session.CLIENT_ACKNOWLEDGE, false));

        Lane batched = lane("transacted", new ActiveMQQueue("KILL." + run + ".transacted"));
        produce("t1", batched, this::sendBatches);
        consume(batched, this::receiveTransacted);

        Lane durable = lane("durable", new ActiveMQTopic("KILL." + run + ".durable"));
        subscribe(durable);
        produce("d1", durable, this::sendPlain);
        consume(durable, (lane, connection) -> receiveSingly(lane, connection, Session.CLIENT_ACKNOWLEDGE, true));
        System.out.println("started");
        System.out.flush();
    }

    private Lane lane(String name, Destination destination) {
        Lane lane = new Lane(name, destination, real);
        lanes.add(lane);
        return lane;
    }

    private interface Producing {
        void run(String name, Lane lane, AtomicLong next) throws JMSException;
    }

    private interface Consuming {
        void run(Lane lane, Connection connection) throws JMSException;
    }

    private void produce(String name, Lane lane, Producing body) {
        AtomicLong next = new AtomicLong();
        Thread thread = new Thread(() -> {
            while (sending) {
                try {
                    body.run(name, lane, next);
                } catch (JMSException e) {
                    pause(20);
                }
            }
        }, "producer-" + name);
        thread.setDaemon(true);
        producers.add(thread);
        thread.start();
    }

    private void consume(Lane lane, Consuming body) {
        boolean named = lane.destination instanceof ActiveMQTopic;
        Thread thread = new Thread(() -> {
            while (receiving) {
                Connection connection = null;
                try {
                    connection = new ActiveMQConnectionFactory(url + "?jms.sendAcksAsync=false").createConnection();
                    if (named) {
                        connection.setClientID("kill-" + run);
                    }
                    connection.start();
                    body.run(lane, connection);
                } catch (JMSException e) {
                    pause(20);
                } finally {
                    close(connection);
                }
            }
        }, "consumer-" + lane.name);
        thread.setDaemon(true);
        consumers.add(thread);
        thread.start();
    }

    private void subscribe(Lane lane) throws JMSException {
        Connection connection = new ActiveMQConnectionFactory(url).createConnection();
        connection.setClientID("kill-" + run);
        Session session = connection.createSession(false, Session.AUTO_ACKNOWLEDGE);
        session.createDurableSubscriber((ActiveMQTopic) lane.destination, "s").close();
        connection.close();
    }

    private static Message message(Session session, String id) throws JMSException {
        Message message = session.createTextMessage("x".repeat(200 + id.hashCode() % 100));
        message.setStringProperty("id", id);
        return message;
    }

    private void holdBack(Lane lane) {
        while (sending && lane.open() > MOST_OPEN) {
            pause(5);
        }
    }

    /** Each send is tried once: an exception leaves its fate open. */
    private void sendPlain(String name, Lane lane, AtomicLong next) throws JMSException {
        Connection connection = new ActiveMQConnectionFactory(url).createConnection();
        try {
            send(name, lane, next, connection);
        } finally {
            close(connection);
        }
    }

    /** The client itself sends again after the restart, with the same message id. */
    private void sendFailover(String name, Lane lane, AtomicLong next) throws JMSException {
        Connection connection = new ActiveMQConnectionFactory(
                "failover:(" + url + ")?initialReconnectDelay=20&useExponentialBackOff=false&timeout=30000")
                .createConnection();
        try {
            connection.start();
            send(name, lane, next, connection);
        } finally {
            close(connection);
        }
    }

    private void send(String name, Lane lane, AtomicLong next, Connection connection) throws JMSException {
        Session session = connection.createSession(false, Session.AUTO_ACKNOWLEDGE);
        MessageProducer producer = session.createProducer(lane.destination);
        while (sending) {
            holdBack(lane);
            String id = name + "-" + next.getAndIncrement();
            lane.sending(id, id);
            producer.send(message(session, id));
            lane.answer(id);
        }
    }

    private void sendBatches(String name, Lane lane, AtomicLong next) throws JMSException {
        Connection connection = new ActiveMQConnectionFactory(url).createConnection();
        try {
            Session session = connection.createSession(true, Session.SESSION_TRANSACTED);
            MessageProducer producer = session.createProducer(lane.destination);
            while (sending) {
                holdBack(lane);
                String batch = name + "-" + next.getAndIncrement();
                List<String> ids = new ArrayList<>();
                for (int i = 0; i < 7; i++) {
                    String id = batch + "." + i;
                    lane.sending(id, batch);
                    producer.send(message(session, id));
                    ids.add(id);
                }
                session.commit();
                ids.forEach(lane::answer);
            }
        } finally {
            close(connection);
        }
    }

    private void receiveSingly(Lane lane, Connection connection, int mode, boolean durable) throws JMSException {
        Session session = connection.createSession(false, mode);
        MessageConsumer consumer = durable
                ? session.createDurableSubscriber((ActiveMQTopic) lane.destination, "s")
                : session.createConsumer(lane.destination);
        String place = lane.name + "@" + System.identityHashCode(consumer);
        while (receiving) {
            Message message = consumer.receive(200);
            if (message != null) {
                String id = message.getStringProperty("id");
                lane.deliver(place, id, message.getJMSRedelivered());
                message.acknowledge();
                lane.acknowledged(id);
            }
        }
    }

    private void receiveTransacted(Lane lane, Connection connection) throws JMSException {
        Session session = connection.createSession(true, Session.SESSION_TRANSACTED);
        MessageConsumer consumer = session.createConsumer(lane.destination);
        String place = lane.name + "@" + System.identityHashCode(consumer);
        List<String> ids = new ArrayList<>();
        while (receiving) {
            Message message = consumer.receive(200);
            if (message != null) {
                String id = message.getStringProperty("id");
                lane.deliver(place, id, message.getJMSRedelivered());
                ids.add(id);
            }
            if (ids.size() >= 5 || message == null && !ids.isEmpty()) {
                session.commit();
                ids.forEach(lane::acknowledged);
                ids.clear();
            }
        }
    }

    private void mark() {
        StringBuilder line = new StringBuilder("mark");
        for (Lane lane : lanes) {
            line.append(' ').append(lane.name).append('=').append(lane.answered.get())
                    .append('/').append(lane.came.get()).append('/').append(lane.repeated.get());
        }
        System.out.println(line);
        System.out.flush();
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
                    && System.currentTimeMillis() - quiet > 2000) {
                break;
            }
            pause(50);
        }
        receiving = false;
        for (Thread thread : consumers) {
            thread.join(5000);
        }
        int passed = 0;
        int failed = 0;
        for (Lane lane : lanes) {
            int[] sums = lane.verdict("kill");
            passed += sums[0];
            failed += sums[1];
        }
        System.out.println(passed + " passed, " + failed + " failed, 0 skipped");
        return failed;
    }

    private static void close(Connection connection) {
        if (connection == null) {
            return;
        }
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
