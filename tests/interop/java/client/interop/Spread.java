package interop;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;
import javax.jms.Connection;
import javax.jms.DeliveryMode;
import javax.jms.JMSException;
import javax.jms.Message;
import javax.jms.MessageListener;
import javax.jms.MessageProducer;
import javax.jms.Queue;
import javax.jms.Session;
import org.apache.activemq.ActiveMQConnection;
import org.apache.activemq.ActiveMQConnectionFactory;
import org.apache.activemq.command.ActiveMQQueue;

/**
 * Many clients that know one broker of a network that grows and shrinks: they learn of the others from their brokers, spread
 * over them, and go on when one of them is gone, be it the one that they know.
 *
 * Says "want NAME" for a broker to be started, "stop NAME" or "kill NAME" for one to end, and waits for a line on standard
 * input: the address of the broker, or "done". Says "account SUMS of WHAT" of each batch of messages.
 *
 * Options: --url=URL (of the first broker) --count=CLIENTS
 */
public final class Spread {
    private static final long PATIENCE_MS = 60_000;

    private final BufferedReader orders = new BufferedReader(new InputStreamReader(System.in));
    private final List<Connection> clients = new ArrayList<>();
    private final Map<String, String> brokers = new LinkedHashMap<>();
    private final List<String> exceptions = new CopyOnWriteArrayList<>();
    private final List<Batch> batches = new CopyOnWriteArrayList<>();
    private final Queue queue = new ActiveMQQueue("SPREAD." + Long.toString(System.nanoTime() & 0xffffff, 36));
    private final String url;
    private final int count;
    private int passed;
    private int failed;

    private Spread(String url, int count) {
        this.url = url;
        this.count = count;
        brokers.put("a", url);
    }

    public static void main(String[] args) throws Exception {
        Map<String, String> options = Conformance.options(args);
        Spread spread = new Spread(options.get("url"), Integer.parseInt(options.getOrDefault("count", "100")));
        spread.run();
        System.out.println(spread.passed + " passed, " + spread.failed + " failed, 0 skipped");
        System.out.flush();
        Runtime.getRuntime().halt(spread.failed == 0 ? 0 : 1);
    }

    private void run() throws Exception {
        check("clients of one broker", () -> {
            connect();
            await("a=" + count, () -> at("a") == count);
        });
        check("a second broker gets its part", () -> {
            want("b");
            await("about half of them each", () -> at("a") >= count / 3 && at("b") >= count / 3 && all());
            serve("with a second broker");
        });
        check("a third broker gets its part", () -> {
            want("c");
            await("about a third each",
                    () -> at("a") >= count / 6 && at("b") >= count / 6 && at("c") >= count / 6 && all());
            serve("with a third broker");
        });
        check("a broker that stops leaves its clients to the others", () -> {
            end("stop", "c");
            await("all at a and b", () -> at("a") + at("b") == count);
            serve("without the third");
        });
        check("the broker that they know dies, and they go on at one that they were told of", () -> {
            end("kill", "a");
            await("all at b", () -> at("b") == count);
            serve("without the first, too");
        });
        check("no application noticed", () -> T.equal(List.of(), exceptions));
    }

    private void check(String name, T.Action check) {
        try {
            check.run();
            passed++;
            System.out.println("ok spread." + name + " " + where());
        } catch (Exception | AssertionError e) {
            failed++;
            System.out.println("FAIL spread." + name + " " + where() + ": " + e);
        }
        System.out.flush();
    }

    private void connect() throws JMSException {
        for (int n = 0; n < count; n++) {
            ActiveMQConnectionFactory factory =
                    new ActiveMQConnectionFactory("failover:(" + url + ")?maxReconnectDelay=1000");
            factory.setWatchTopicAdvisories(false);
            Connection connection = factory.createConnection();
            connection.setExceptionListener(e -> exceptions.add(e.toString()));
            Session session = connection.createSession(false, Session.AUTO_ACKNOWLEDGE);
            session.createConsumer(queue).setMessageListener(new Taker());
            connection.start();
            clients.add(connection);
        }
    }

    /** Messages find the consumers wherever they are. */
    private void serve(String what) throws Exception {
        await("nobody moves any longer", () -> {
            Map<String, Integer> before = where();
            Thread.sleep(1000);
            return all() && where().equals(before);
        });
        Batch batch = new Batch();
        batches.add(batch);
        int number = batches.size() - 1;
        Session session = clients.get(0).createSession(false, Session.AUTO_ACKNOWLEDGE);
        MessageProducer producer = session.createProducer(queue);
        producer.setDeliveryMode(DeliveryMode.PERSISTENT);
        for (int n = 0; n < count; n++) {
            Message message = session.createTextMessage("m" + n);
            message.setIntProperty("batch", number);
            message.setIntProperty("n", n);
            producer.send(message);
        }
        session.close();
        batch.finished = System.currentTimeMillis();
        try {
            await("each message", () -> batch.received() == count);
            // A client that is moved between a message and its acknowledgement tells the next broker, which never had the
            // message; the one before sends it to somebody else, and says that it may have been seen.
            T.equal(0, batch.unflagged());
        } finally {
            System.out.println("account " + batch.sums(count) + " of " + what);
        }
    }

    /** At one of the clients. */
    private final class Taker implements MessageListener {
        private int batch;
        private int last = -1;

        @Override
        public void onMessage(Message message) {
            try {
                int of = message.getIntProperty("batch");
                int number = message.getIntProperty("n");
                boolean flagged = message.getJMSRedelivered();
                last = of == batch ? last : -1;
                batch = of;
                batches.get(of).take(number, flagged, number < last);
                last = Math.max(last, number);
            } catch (JMSException e) {
                exceptions.add(e.toString());
            }
        }
    }

    /** What became of the messages that were sent together. */
    private static final class Batch {
        private final BitSet numbers = new BitSet();
        private int duplicated;
        private int unflagged;
        private int reordered;
        private long lastArrival;
        private volatile long finished;

        synchronized void take(int number, boolean flagged, boolean late) {
            if (numbers.get(number)) {
                duplicated++;
                unflagged += flagged ? 0 : 1;
            } else if (late && !flagged) {
                reordered++;
            }
            numbers.set(number);
            lastArrival = System.currentTimeMillis();
        }

        synchronized int received() {
            return numbers.cardinality();
        }

        synchronized int unflagged() {
            return unflagged;
        }

        /** SENT ANSWERED RECEIVED MISSING DUPLICATED UNFLAGGED REORDERED INVENTED DRAIN_MS */
        synchronized String sums(int sent) {
            int received = numbers.cardinality();
            int invented = received - numbers.get(0, sent).cardinality();
            return sent + " " + sent + " " + received + " " + (sent - received + invented) + " " + duplicated + " "
                    + unflagged + " " + reordered + " " + invented + " " + Math.max(0, lastArrival - finished);
        }
    }

    private void want(String name) throws Exception {
        System.out.println("want " + name);
        System.out.flush();
        brokers.put(name, orders.readLine());
    }

    private void end(String how, String name) throws Exception {
        System.out.println(how + " " + name);
        System.out.flush();
        orders.readLine();
        brokers.remove(name);
    }

    /** How many clients are at a broker. */
    private int at(String name) {
        String address = brokers.get(name);
        String port = address.substring(address.lastIndexOf(':'));
        int there = 0;
        for (Connection client : clients) {
            String remote = ((ActiveMQConnection) client).getTransport().getRemoteAddress();
            if (remote != null && (remote.endsWith(port) || remote.contains(port + "@"))) {
                there++;
            }
        }
        return there;
    }

    private boolean all() {
        int there = 0;
        for (String name : brokers.keySet()) {
            there += at(name);
        }
        return there == count;
    }

    private Map<String, Integer> where() {
        Map<String, Integer> where = new LinkedHashMap<>();
        for (String name : brokers.keySet()) {
            where.put(name, at(name));
        }
        return where;
    }

    private void await(String what, T.Question question) throws Exception {
        long until = System.nanoTime() + PATIENCE_MS * 1_000_000;
        while (!question.ask()) {
            if (System.nanoTime() > until) {
                throw new AssertionError(what + " not within " + PATIENCE_MS + " ms, exceptions " + exceptions);
            }
            Thread.sleep(50);
        }
    }
}
