package interop;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicLong;
import javax.jms.Connection;
import javax.jms.JMSException;
import javax.jms.Message;
import javax.jms.MessageConsumer;
import javax.jms.MessageProducer;
import javax.jms.Queue;
import javax.jms.Session;
import javax.jms.TransactionRolledBackException;
import org.apache.activemq.ActiveMQConnectionFactory;
import org.apache.activemq.command.ActiveMQQueue;

/**
 * Applications behind one failover: URI that must not notice planned switchovers: senders, transactions one after
 * the other, transactions that are open over the switchover, and consumers of each kind.
 *
 * Prints "ready" whenever a switchover may begin and waits for a line on standard input: "switched" (verify, and get
 * ready again) or "stop" (drain, verify everything, print the sums).
 *
 * Options: --url=URL --limit=MILLISECONDS
 */
public final class Switchover {
    /** Senders pause when consumers are that far behind, as they are in a switchover: none commits at its end. */
    private static final long MOST_OPEN = 50;

    private final String url;
    private final long limit;
    private final String run = Long.toString(System.currentTimeMillis() % 100_000_000L, 36);
    private final List<String> exceptions = new CopyOnWriteArrayList<>();
    private final List<String> inDoubt = new CopyOnWriteArrayList<>();
    private final List<Worker> workers = new ArrayList<>();
    private final Map<String, List<String>> came = new ConcurrentHashMap<>();
    private volatile boolean sending = true;
    private volatile boolean receiving = true;
    private volatile int round;
    private int passed;
    private int failed;

    /** An application that does one thing after the other, and knows how long it had to wait for one at most. */
    private final class Worker extends Thread {
        private final T.Action pause;
        private final T.Action once;
        private final boolean sends;
        final AtomicLong done = new AtomicLong();
        private long longest;

        Worker(String name, boolean sends, T.Action pause, T.Action once) {
            super(name);
            this.pause = pause;
            this.sends = sends;
            this.once = once;
            setDaemon(true);
        }

        @Override
        public void run() {
            while (sends ? sending : receiving) {
                try {
                    pause.run();
                    long began = System.nanoTime();
                    once.run();
                    done.incrementAndGet();
                    note(System.nanoTime() - began);
                } catch (Exception e) {
                    exceptions.add("round " + round + ": " + getName() + ": " + e);
                    pause(50);
                }
            }
        }

        private synchronized void note(long took) {
            longest = Math.max(longest, took);
        }

        /** The longest wait since it was asked last, in milliseconds. */
        synchronized long longest() {
            long millis = longest / 1_000_000;
            longest = 0;
            return millis;
        }
    }

    private Switchover(String url, long limit) {
        this.url = url;
        this.limit = limit;
    }

    public static void main(String[] args) throws Exception {
        Map<String, String> options = Conformance.options(args);
        Switchover load = new Switchover(options.get("url"), Long.parseLong(options.getOrDefault("limit", "1000")));
        load.start();
        BufferedReader orders = new BufferedReader(new InputStreamReader(System.in));
        Session open = load.session(load.connect(), true);
        Session taking = load.session(load.connect(), true);
        for (int round = 1; ; round++) {
            load.round = round;
            // Two transactions that are open over the switchover: one that sends, one that takes.
            Queue sent = load.queue("open-" + round);
            Queue taken = load.queue("taken-" + round);
            MessageProducer producer = open.createProducer(sent);
            producer.send(open.createTextMessage("1"));
            Session before = load.session(load.connect(), false);
            T.sendBy(before, taken, "1", "2", "3");
            MessageConsumer consumer = taking.createConsumer(taken);
            T.expect(consumer, "1", "2");
            load.workers.forEach(Worker::longest);
            System.out.println("ready");
            System.out.flush();
            String order = orders.readLine();
            if (order == null || !order.equals("switched")) {
                break;
            }
            load.progress();
            long longest = load.workers.stream().filter(worker -> worker.sends).mapToLong(Worker::longest).max().orElse(0);
            String waited = "round " + round + ": the longest wait of a sender was " + longest + " ms";
            System.out.println(waited);
            load.state("switchover-" + round + ".time", longest <= load.limit ? null : waited);
            load.state("switchover-" + round + ".open", load.tried(() -> {
                producer.send(open.createTextMessage("2"));
                open.commit();
                T.exactly(before.createConsumer(sent), "1", "2");
            }));
            load.state("switchover-" + round + ".taken", load.tried(() -> {
                // The client itself rolls back what it had received and not committed, and it all comes again.
                T.fails(TransactionRolledBackException.class, taking::commit);
                T.expect(consumer, "1", "2", "3");
                taking.commit();
                consumer.close();
                T.none(before.createConsumer(taken));
            }));
            producer.close();
            ((Connection) load.connectionOf.remove(before)).close();
        }
        load.finish();
        System.out.println(load.passed + " passed, " + load.failed + " failed, 0 skipped");
        System.out.flush();
        Runtime.getRuntime().halt(load.failed == 0 ? 0 : 1);
    }

    private final Map<Session, Connection> connectionOf = new ConcurrentHashMap<>();

    private Connection connect() throws JMSException {
        return connect("");
    }

    private Connection connect(String options) throws JMSException {
        Connection connection = new ActiveMQConnectionFactory(url + "?" + options).createConnection();
        connection.setExceptionListener(e -> exceptions.add("exception listener: " + e));
        connection.start();
        return connection;
    }

    private Session session(Connection connection, boolean transacted) throws JMSException {
        Session session = connection.createSession(
                transacted, transacted ? Session.SESSION_TRANSACTED : Session.AUTO_ACKNOWLEDGE);
        connectionOf.put(session, connection);
        return session;
    }

    private Queue queue(String name) {
        return new ActiveMQQueue("SWITCH." + run + "." + name);
    }

    private void start() throws JMSException {
        for (int i = 0; i < 2; i++) {
            String name = "plain-" + i;
            Session session = session(connect(), false);
            MessageProducer producer = session.createProducer(queue("plain"));
            AtomicLong next = new AtomicLong();
            work(name, true, () -> pause(1),
                    () -> producer.send(session.createTextMessage(name + " " + next.getAndIncrement())));
        }
        Session plain = session(connect(), false);
        MessageConsumer listening = plain.createConsumer(queue("plain"));
        work("listening", false, () -> { }, () -> take(listening.receive(100)));

        // Four sessions that commit all the time, on one connection.
        Connection shared = connect();
        for (int i = 0; i < 4; i++) {
            String name = "transacted-" + i;
            Session session = session(shared, true);
            MessageProducer producer = session.createProducer(queue(name));
            AtomicLong next = new AtomicLong();
            List<String> got = came.computeIfAbsent(name, key -> new ArrayList<>());
            work(name, true, () -> {
                while (next.get() - size(got) > MOST_OPEN && sending) {
                    pause(1);
                }
            }, () -> {
                long first = next.getAndAdd(3);
                for (long n = first; n < first + 3; n++) {
                    producer.send(session.createTextMessage(name + " " + n));
                }
                try {
                    session.commit();
                } catch (TransactionRolledBackException e) {
                    if (!e.getMessage().contains("in doubt")) {
                        throw e;
                    }
                    inDoubt.add(name + " " + first);
                }
            });
            Session takes = session(connect("jms.prefetchPolicy.queuePrefetch=5"), true);
            MessageConsumer consumer = takes.createConsumer(queue(name));
            work("taking-" + i, false, () -> { }, () -> {
                Message message = consumer.receive(100);
                takes.commit();
                take(message);
            });
        }
    }

    private void work(String name, boolean sends, T.Action pause, T.Action once) {
        Worker worker = new Worker(name, sends, pause, once);
        workers.add(worker);
        worker.start();
    }

    private void take(Message message) throws JMSException {
        if (message != null) {
            String[] words = T.textOf(message).split(" ");
            List<String> list = came.computeIfAbsent(words[0], name -> new ArrayList<>());
            synchronized (list) {
                list.add(words[1]);
            }
        }
    }

    /** Every application has gone on. */
    private void progress() throws Exception {
        Map<Worker, Long> before = new ConcurrentHashMap<>();
        workers.forEach(worker -> before.put(worker, worker.done.get()));
        T.soon("every application goes on",
                () -> workers.stream().allMatch(worker -> worker.done.get() > before.get(worker) + 3));
    }

    private void finish() throws Exception {
        sending = false;
        for (Worker worker : workers) {
            if (worker.sends) {
                worker.join(10_000);
            }
        }
        for (Worker worker : workers) {
            if (worker.sends) {
                long each = worker.getName().startsWith("transacted") ? 3 : 1;
                long sent = worker.done.get() * each;
                List<String> got = came.computeIfAbsent(worker.getName(), name -> new ArrayList<>());
                state("switchover." + worker.getName(), tried(() -> {
                    T.soon(sent + " came, now " + size(got), () -> size(got) >= sent - 3L * inDoubt.size());
                    pause(100);
                    List<String> expected = new ArrayList<>(List.of(T.numbers(0, (int) sent)));
                    for (String doubt : inDoubt) {
                        // Such a transaction took effect as a whole, or not at all.
                        String[] words = doubt.split(" ");
                        int first = Integer.parseInt(words[1]);
                        if (words[0].equals(worker.getName()) && !got.contains(words[1])) {
                            expected.removeAll(List.of(T.numbers(first, first + 3)));
                        }
                    }
                    String wrong = difference(expected, got);
                    T.that(wrong.isEmpty(), "everything came once and in order" + wrong);
                }));
                System.out.println(worker.getName() + ": " + sent + " sent and received");
            }
        }
        receiving = false;
        state("switchover.no commit in doubt", inDoubt.isEmpty() ? null : inDoubt.toString());
        System.out.println(inDoubt.size() + " commits in doubt");
        state("switchover.no exception", exceptions.isEmpty() ? null : exceptions.size() + ": " + exceptions);
        exceptions.forEach(text -> System.out.println("  " + text));
    }

    /** What is missing, repeated, or not in order. */
    private static String difference(List<String> sent, List<String> got) {
        synchronized (got) {
            if (sent.equals(got)) {
                return "";
            }
            List<String> missing = new ArrayList<>(sent);
            missing.removeAll(new java.util.HashSet<>(got));
            List<String> again = new ArrayList<>();
            java.util.Set<String> seen = new java.util.HashSet<>();
            got.forEach(text -> {
                if (!seen.add(text)) {
                    again.add(text);
                }
            });
            return "; missing " + missing + ", again " + again + ", " + got.size() + " of " + sent.size();
        }
    }

    private static int size(List<String> list) {
        synchronized (list) {
            return list.size();
        }
    }

    private String tried(T.Action action) {
        try {
            action.run();
            return null;
        } catch (Exception e) {
            return e.toString();
        }
    }

    private void state(String name, String failure) {
        System.out.println(failure == null ? "ok " + name : "FAIL " + name + ": " + T.shorten(failure).replace('\n', ' '));
        if (failure == null) {
            passed++;
        } else {
            failed++;
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
