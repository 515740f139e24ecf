// The load of the benchmark through the stock ActiveMQ client: one workload for a fixed time, one JSON line out.
//
//   java -cp … interop.Load --url tcp://127.0.0.1:61616 --workload pq-16x16-1q --seconds 10 --warmup 3
//
// Names of workloads and fields of the answer are those of `ferromq bench`, so both clients can be compared.

package interop;

import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;
import javax.jms.BytesMessage;
import javax.jms.Connection;
import javax.jms.DeliveryMode;
import javax.jms.Destination;
import javax.jms.JMSException;
import javax.jms.Message;
import javax.jms.MessageConsumer;
import javax.jms.MessageProducer;
import javax.jms.Session;
import javax.jms.Topic;
import org.apache.activemq.ActiveMQConnectionFactory;

public final class Load {
    /** What distinguishes one workload from another. */
    private static final class Shape {
        int producers = 1;
        int consumers = 1;
        int destinations = 1;
        boolean topic;
        boolean durable;
        boolean persistent = true;
        int batch;
        int body = 1024;
        int rate;
        boolean selectors;

        /** Copies that the consumers together receive of each message. */
        int copies() {
            return topic ? consumers : 1;
        }
    }

    private static Shape shape(String name) {
        Shape s = new Shape();
        switch (name) {
            case "pq-1x1": break;
            case "pq-16x16-1q": s.producers = s.consumers = 16; break;
            case "pq-16x16-16q": s.producers = s.consumers = s.destinations = 16; break;
            case "ptx-100": s.batch = 100; break;
            case "npq-1x1": s.persistent = false; break;
            case "npq-8x8": s.persistent = false; s.producers = s.consumers = 8; break;
            case "topic-1x10": s.persistent = false; s.topic = true; s.consumers = 10; break;
            case "durable-1x4": s.topic = s.durable = true; s.consumers = 4; break;
            case "large-1m": s.body = 1 << 20; break;
            case "pq-rate200": s.rate = 200; break;
            case "npq-rate2000": s.persistent = false; s.rate = 2000; break;
            case "selectors-10": s.persistent = false; s.consumers = 10; s.selectors = true; break;
            default: throw new IllegalArgumentException("no workload " + name);
        }
        return s;
    }

    private final ActiveMQConnectionFactory factory;
    /** Where consumers are: at another broker if --consume says so. */
    private final ActiveMQConnectionFactory consuming;
    private final Map<String, String> args;
    private final String run = Long.toString(System.nanoTime(), 36);
    private final List<Connection> connections = new ArrayList<>();
    private final ConcurrentLinkedQueue<String> errors = new ConcurrentLinkedQueue<>();
    private volatile boolean stopping;
    private volatile boolean measuring;

    private Load(Map<String, String> args) {
        this.args = args;
        this.factory = new ActiveMQConnectionFactory(args.get("url"));
        this.consuming = new ActiveMQConnectionFactory(args.getOrDefault("consume", args.get("url")));
    }

    public static void main(String[] words) throws Exception {
        Map<String, String> args = new HashMap<>();
        for (int i = 0; i + 1 < words.length; i += 2) {
            args.put(words[i].replaceFirst("^--", ""), words[i + 1]);
        }
        Load load = new Load(args);
        String workload = args.get("workload");
        String answer;
        switch (workload) {
            case "reqrep-1": answer = load.requestReply(1); break;
            case "reqrep-8": answer = load.requestReply(8); break;
            case "backlog-fill": answer = load.fill(DeliveryMode.PERSISTENT); break;
            case "spool-fill": answer = load.fill(DeliveryMode.NON_PERSISTENT); break;
            case "backlog-drain": answer = load.drain(); break;
            case "conns": answer = load.idle(); break;
            case "send-1": answer = load.send(); break;
            default: answer = load.flow(shape(workload));
        }
        System.out.println(answer);
        for (String error : load.errors) {
            System.err.println(error);
        }
        System.exit(0);
    }

    private int number(String key, int otherwise) {
        return Integer.parseInt(args.getOrDefault(key, Integer.toString(otherwise)));
    }

    private Connection connect(String clientId) throws JMSException {
        return connect(factory, clientId);
    }

    private synchronized Connection connect(ActiveMQConnectionFactory factory, String clientId) throws JMSException {
        Connection connection = factory.createConnection();
        if (clientId != null) {
            connection.setClientID(clientId);
        }
        connections.add(connection);
        connection.start();
        return connection;
    }

    private static long cpuNanos() {
        return ((com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean()).getProcessCpuTime();
    }

    /** Latencies in nanoseconds, one recorder a thread. */
    private static final class Recorder {
        private long[] values = new long[1 << 14];
        private int used;

        void add(long nanos) {
            if (used == values.length) {
                if (used >= 1 << 22) {
                    return;
                }
                values = Arrays.copyOf(values, used * 2);
            }
            values[used++] = nanos;
        }

        static long[] sorted(List<Recorder> all) {
            long[] joined = new long[all.stream().mapToInt(r -> r.used).sum()];
            int at = 0;
            for (Recorder r : all) {
                System.arraycopy(r.values, 0, joined, at, r.used);
                at += r.used;
            }
            Arrays.sort(joined);
            return joined;
        }
    }

    private static double quantile(long[] sorted, double q) {
        return sorted.length == 0 ? 0 : sorted[(int) Math.min(sorted.length - 1, (long) (sorted.length * q))] / 1e6;
    }

    private Destination destination(Session session, Shape s, int i) throws JMSException {
        String name = "BENCH." + run + "." + i % s.destinations;
        return s.topic ? session.createTopic(name) : session.createQueue(name);
    }

    private String flow(Shape s) throws Exception {
        AtomicLong received = new AtomicLong();
        AtomicLong receivedMeasured = new AtomicLong();
        AtomicLong sent = new AtomicLong();
        List<Recorder> endToEnd = new ArrayList<>();
        for (int i = 0; i < s.consumers; i++) {
            Recorder latencies = new Recorder();
            endToEnd.add(latencies);
            consumer(s, i, message -> {
                received.incrementAndGet();
                if (measuring) {
                    receivedMeasured.incrementAndGet();
                    latencies.add(System.nanoTime() - ((BytesMessage) message).readLong());
                }
            });
        }
        List<Recorder> sends = new ArrayList<>();
        List<Thread> producers = new ArrayList<>();
        for (int i = 0; i < s.producers; i++) {
            Recorder latencies = new Recorder();
            sends.add(latencies);
            int index = i;
            Thread thread = new Thread(() -> produce(s, index, latencies, sent));
            producers.add(thread);
            thread.start();
        }
        Thread.sleep(number("warmup", 3) * 1000L);
        long cpu = cpuNanos();
        long began = System.nanoTime();
        signal("measuring");
        measuring = true;
        Thread.sleep(number("seconds", 10) * 1000L);
        measuring = false;
        signal("measured");
        double seconds = (System.nanoTime() - began) / 1e9;
        cpu = cpuNanos() - cpu;
        stopping = true;
        for (Thread thread : producers) {
            thread.join(30_000);
        }
        long wanted = sent.get() * s.copies();
        long patience = System.nanoTime() + TimeUnit.SECONDS.toNanos(60);
        while (received.get() < wanted && System.nanoTime() < patience) {
            Thread.sleep(10);
        }
        closeAll();
        long counted = receivedMeasured.get();
        long[] latency = Recorder.sorted(endToEnd);
        long[] sendLatency = Recorder.sorted(sends);
        return json(counted, seconds, cpu)
            + String.format(Locale.ROOT, ",\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"send_p50_ms\":%.3f,\"send_p99_ms\":%.3f,\"lost\":%d,\"duplicated\":%d,\"errors\":%d}",
                quantile(latency, 0.5), quantile(latency, 0.99), quantile(sendLatency, 0.5), quantile(sendLatency, 0.99),
                Math.max(0, wanted - received.get()), Math.max(0, received.get() - wanted), errors.size());
    }

    private interface Handler {
        void take(Message message) throws JMSException;
    }

    private void consumer(Shape s, int i, Handler handler) throws JMSException {
        Connection connection = connect(consuming, s.durable ? "bench-" + run + "-" + i : null);
        boolean transacted = s.batch > 0;
        Session session = connection.createSession(transacted, transacted ? Session.SESSION_TRANSACTED : Session.AUTO_ACKNOWLEDGE);
        Destination destination = destination(session, s, i);
        MessageConsumer consumer;
        if (s.durable) {
            consumer = session.createDurableSubscriber((Topic) destination, "d" + i);
        } else if (s.selectors) {
            consumer = session.createConsumer(destination, "bucket = " + i);
        } else {
            consumer = session.createConsumer(destination);
        }
        AtomicLong uncommitted = new AtomicLong();
        consumer.setMessageListener(message -> {
            try {
                handler.take(message);
                if (transacted && uncommitted.incrementAndGet() % s.batch == 0) {
                    session.commit();
                }
            } catch (JMSException e) {
                errors.add("consumer: " + e);
            }
        });
    }

    private void produce(Shape s, int i, Recorder latencies, AtomicLong sent) {
        try {
            Connection connection = connect(null);
            boolean transacted = s.batch > 0;
            Session session = connection.createSession(transacted, transacted ? Session.SESSION_TRANSACTED : Session.AUTO_ACKNOWLEDGE);
            MessageProducer producer = session.createProducer(destination(session, s, i));
            producer.setDeliveryMode(s.persistent ? DeliveryMode.PERSISTENT : DeliveryMode.NON_PERSISTENT);
            byte[] body = new byte[s.body - 8];
            Arrays.fill(body, (byte) 'x');
            long due = System.nanoTime();
            for (long n = 0; !stopping || (transacted && n % s.batch != 0); n++) {
                if (s.rate > 0) {
                    due += 1_000_000_000L / s.rate;
                    long wait;
                    while ((wait = due - System.nanoTime()) > 0) {
                        LockSupport.parkNanos(wait);
                    }
                }
                BytesMessage message = session.createBytesMessage();
                long before = System.nanoTime();
                message.writeLong(before);
                message.writeBytes(body);
                if (s.selectors) {
                    message.setIntProperty("bucket", (int) (n % 10));
                }
                producer.send(message);
                if (transacted && (n + 1) % s.batch == 0) {
                    before = System.nanoTime();
                    session.commit();
                    sent.addAndGet(s.batch);
                } else if (!transacted) {
                    sent.incrementAndGet();
                }
                if (measuring && (!transacted || (n + 1) % s.batch == 0)) {
                    latencies.add(System.nanoTime() - before);
                }
            }
        } catch (JMSException e) {
            errors.add("producer: " + e);
        }
    }

    private String requestReply(int clients) throws Exception {
        Connection serving = connect(null);
        Session server = serving.createSession(false, Session.AUTO_ACKNOWLEDGE);
        String name = "BENCH." + run + ".requests";
        MessageProducer replies = server.createProducer(null);
        replies.setDeliveryMode(DeliveryMode.NON_PERSISTENT);
        server.createConsumer(server.createQueue(name)).setMessageListener(request -> {
            try {
                BytesMessage reply = server.createBytesMessage();
                reply.setJMSCorrelationID(request.getJMSCorrelationID());
                replies.send(request.getJMSReplyTo(), reply);
            } catch (JMSException e) {
                errors.add("server: " + e);
            }
        });
        AtomicLong done = new AtomicLong();
        List<Recorder> recorders = new ArrayList<>();
        List<Thread> threads = new ArrayList<>();
        for (int i = 0; i < clients; i++) {
            Recorder recorder = new Recorder();
            recorders.add(recorder);
            Thread thread = new Thread(() -> {
                try {
                    Session session = connect(null).createSession(false, Session.AUTO_ACKNOWLEDGE);
                    MessageProducer producer = session.createProducer(session.createQueue(name));
                    producer.setDeliveryMode(DeliveryMode.NON_PERSISTENT);
                    Destination replyTo = session.createTemporaryQueue();
                    MessageConsumer consumer = session.createConsumer(replyTo);
                    byte[] body = new byte[1024];
                    while (!stopping) {
                        BytesMessage request = session.createBytesMessage();
                        request.writeBytes(body);
                        request.setJMSReplyTo(replyTo);
                        long before = System.nanoTime();
                        producer.send(request);
                        if (consumer.receive(10_000) == null) {
                            errors.add("no reply within 10 s");
                            return;
                        }
                        if (measuring) {
                            recorder.add(System.nanoTime() - before);
                            done.incrementAndGet();
                        }
                    }
                } catch (JMSException e) {
                    errors.add("client: " + e);
                }
            });
            threads.add(thread);
            thread.start();
        }
        Thread.sleep(number("warmup", 3) * 1000L);
        long cpu = cpuNanos();
        long began = System.nanoTime();
        signal("measuring");
        measuring = true;
        Thread.sleep(number("seconds", 10) * 1000L);
        measuring = false;
        signal("measured");
        double seconds = (System.nanoTime() - began) / 1e9;
        cpu = cpuNanos() - cpu;
        stopping = true;
        for (Thread thread : threads) {
            thread.join(15_000);
        }
        closeAll();
        long[] latency = Recorder.sorted(recorders);
        return json(done.get(), seconds, cpu)
            + String.format(Locale.ROOT, ",\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"errors\":%d}", quantile(latency, 0.5), quantile(latency, 0.99), errors.size());
    }

    /** Sends `--messages` messages in transactions of 1,000. */
    private String fill(int mode) throws Exception {
        int messages = number("messages", 200_000);
        Session session = connect(null).createSession(true, Session.SESSION_TRANSACTED);
        MessageProducer producer = session.createProducer(session.createQueue("BENCH.BACKLOG"));
        producer.setDeliveryMode(mode);
        byte[] body = new byte[1024];
        long cpu = cpuNanos();
        long began = System.nanoTime();
        signal("measuring");
        for (int n = 1; n <= messages; n++) {
            BytesMessage message = session.createBytesMessage();
            message.writeBytes(body);
            producer.send(message);
            if (n % 1000 == 0 || n == messages) {
                session.commit();
            }
        }
        signal("measured");
        double seconds = (System.nanoTime() - began) / 1e9;
        cpu = cpuNanos() - cpu;
        closeAll();
        return json(messages, seconds, cpu) + ",\"errors\":" + errors.size() + "}";
    }

    /** One producer that waits for each of its persistent messages to be answered, and nobody who consumes. */
    private String send() throws Exception {
        Session session = connect(null).createSession(false, Session.AUTO_ACKNOWLEDGE);
        MessageProducer producer = session.createProducer(session.createQueue("BENCH.SEND"));
        byte[] body = new byte[1024];
        long[] ends = {number("warmup", 3) * 1_000_000_000L, number("seconds", 6) * 1_000_000_000L};
        long cpu = 0;
        long sent = 0;
        double seconds = 0;
        for (long length : ends) {
            signal("measuring");
            cpu = cpuNanos();
            long began = System.nanoTime();
            for (sent = 0; System.nanoTime() - began < length; sent++) {
                BytesMessage message = session.createBytesMessage();
                message.writeBytes(body);
                producer.send(message);
            }
            seconds = (System.nanoTime() - began) / 1e9;
        }
        signal("measured");
        cpu = cpuNanos() - cpu;
        closeAll();
        return json(sent, seconds, cpu) + ",\"errors\":" + errors.size() + "}";
    }

    /** Receives `--messages` messages with one listener. */
    private String drain() throws Exception {
        int messages = number("messages", 200_000);
        Session session = connect(null).createSession(false, Session.AUTO_ACKNOWLEDGE);
        CountDownLatch left = new CountDownLatch(messages);
        long cpu = cpuNanos();
        long began = System.nanoTime();
        signal("measuring");
        AtomicLong first = new AtomicLong();
        session.createConsumer(session.createQueue("BENCH.BACKLOG")).setMessageListener(message -> {
            first.compareAndSet(0, System.nanoTime());
            left.countDown();
        });
        boolean all = left.await(300, TimeUnit.SECONDS);
        signal("measured");
        double seconds = (System.nanoTime() - began) / 1e9;
        cpu = cpuNanos() - cpu;
        closeAll();
        return json(messages - left.getCount(), seconds, cpu)
            + String.format(Locale.ROOT, ",\"first_ms\":%.1f,\"lost\":%d,\"errors\":%d}", (first.get() - began) / 1e6, left.getCount(), all ? 0 : 1);
    }

    /** Opens `--connections` connections, says so, and closes them after a line on standard input. */
    private String idle() throws Exception {
        int wanted = number("connections", 2000);
        long cpu = cpuNanos();
        long began = System.nanoTime();
        for (int i = 0; i < wanted; i++) {
            connect(null);
        }
        double seconds = (System.nanoTime() - began) / 1e9;
        cpu = cpuNanos() - cpu;
        signal("measured");
        System.in.read();
        closeAll();
        return json(wanted, seconds, cpu) + ",\"errors\":" + errors.size() + "}";
    }

    /** Tells the driver that a phase begins, so that it reads the broker's counters at the same moment. */
    private static void signal(String phase) {
        System.out.println(phase);
        System.out.flush();
    }

    private String json(long messages, double seconds, long cpuNanos) {
        return String.format(Locale.ROOT, "{\"workload\":\"%s\",\"messages\":%d,\"seconds\":%.3f,\"per_second\":%.1f,\"client_cpu_us\":%.2f",
            args.get("workload"), messages, seconds, messages / seconds, cpuNanos / 1e3 / Math.max(1, messages));
    }

    private synchronized void closeAll() {
        for (Connection connection : connections) {
            try {
                connection.close();
            } catch (JMSException e) {
                errors.add("close: " + e);
            }
        }
    }
}
