package interop;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.time.Instant;
import java.util.Arrays;
import java.util.BitSet;
import java.util.LinkedHashMap;
import java.util.Map;
import javax.jms.BytesMessage;
import javax.jms.Connection;
import javax.jms.JMSException;
import javax.jms.Message;
import javax.jms.MessageConsumer;
import javax.jms.MessageProducer;
import javax.jms.Queue;
import javax.jms.Session;
import org.apache.activemq.ActiveMQConnection;
import org.apache.activemq.ActiveMQConnectionFactory;
import org.apache.activemq.command.ActiveMQQueue;
import org.apache.activemq.transport.TransportListener;

/**
 * Clients that send persistent messages of 1 KiB one after the other through `failover:`, and tell how a takeover
 * looks to them. Each has a queue of its own, with a consumer behind it on another connection, so that the store
 * does not grow.
 *
 * Prints "broke NAME US" and "back NAME US" when the sending connection was lost and had again, "gap NAME LAST_US
 * FIRST_US" for a pause of more than 5 ms between two answers, and "exception NAME …". Understands "stop" on standard
 * input: it drains, and prints "sums NAME ANSWERED CAME LOST REPEATED UNFLAGGED" for each and "done".
 *
 * Options: --NAME=URL for each client
 */
public final class Takeover {
    private static final long GAP_US = 5_000;
    private static final int BODY = 1024;
    /** A sender waits when its consumer is that far behind. */
    private static final long MOST_OPEN = 500;
    private static final long QUIET_MS = 10_000;

    private static volatile boolean sending = true;
    private static volatile boolean receiving = true;

    private Takeover() {
    }

    public static void main(String[] args) throws Exception {
        Map<String, Client> clients = new LinkedHashMap<>();
        String run = Long.toString(System.currentTimeMillis() % 100_000_000L, 36);
        for (String arg : args) {
            int equals = arg.indexOf('=');
            String name = arg.substring(2, equals);
            clients.put(name, new Client(name, arg.substring(equals + 1), new ActiveMQQueue("TAKEOVER." + run + "." + name)));
        }
        for (Client client : clients.values()) {
            client.start();
        }
        say("started");
        BufferedReader orders = new BufferedReader(new InputStreamReader(System.in));
        String order = orders.readLine();
        if ("stop".equals(order)) {
            sending = false;
            for (Client client : clients.values()) {
                client.finish();
            }
            say("done");
        }
        Runtime.getRuntime().halt(0);
    }

    private static void say(String text) {
        synchronized (System.out) {
            System.out.println(text);
            System.out.flush();
        }
    }

    private static long micros() {
        Instant now = Instant.now();
        return now.getEpochSecond() * 1_000_000 + now.getNano() / 1000;
    }

    private static void pause(long millis) {
        try {
            Thread.sleep(millis);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private static final class Client {
        private final String name;
        private final String url;
        private final Queue queue;
        private final BitSet answered = new BitSet();
        private final BitSet came = new BitSet();
        private Thread producer;
        private volatile long count;
        private volatile long received;
        private volatile long heard = System.currentTimeMillis();
        private long repeated;
        private long unflagged;

        Client(String name, String url, Queue queue) {
            this.name = name;
            this.url = url;
            this.queue = queue;
        }

        void start() throws JMSException {
            Connection consuming = new ActiveMQConnectionFactory(url).createConnection();
            consuming.start();
            MessageConsumer consumer = consuming.createSession(false, Session.AUTO_ACKNOWLEDGE).createConsumer(queue);
            spawn("consumer", () -> {
                while (receiving) {
                    Message message = consumer.receive(200);
                    if (message != null) {
                        took(message);
                    }
                }
            });
            Connection connection = new ActiveMQConnectionFactory(url).createConnection();
            ((ActiveMQConnection) connection).addTransportListener(new Watch());
            connection.start();
            Session session = connection.createSession(false, Session.AUTO_ACKNOWLEDGE);
            MessageProducer sender = session.createProducer(queue);
            byte[] body = new byte[BODY];
            Arrays.fill(body, (byte) 'x');
            producer = spawn("producer", () -> {
                long last = micros();
                while (sending) {
                    if (count - received > MOST_OPEN) {
                        pause(1);
                        last = micros();
                        continue;
                    }
                    BytesMessage message = session.createBytesMessage();
                    message.writeBytes(body);
                    message.setIntProperty("n", (int) count);
                    sender.send(message);
                    long now = micros();
                    synchronized (answered) {
                        answered.set((int) count);
                    }
                    count++;
                    if (now - last > GAP_US) {
                        say("gap " + name + " " + last + " " + now);
                    }
                    last = now;
                    pause(1);
                }
            });
        }

        private interface Work {
            void run() throws JMSException;
        }

        private Thread spawn(String role, Work work) {
            Thread thread = new Thread(() -> {
                try {
                    work.run();
                } catch (JMSException e) {
                    say("exception " + name + " " + role + ": " + e);
                }
            }, name + "-" + role);
            thread.setDaemon(true);
            thread.start();
            return thread;
        }

        private void took(Message message) throws JMSException {
            int number = message.getIntProperty("n");
            if (came.get(number)) {
                repeated++;
                if (!message.getJMSRedelivered()) {
                    unflagged++;
                }
            } else {
                synchronized (came) {
                    came.set(number);
                }
                received++;
            }
            heard = System.currentTimeMillis();
        }

        /** What was answered and has not come. */
        private BitSet missing() {
            BitSet missing;
            synchronized (answered) {
                missing = (BitSet) answered.clone();
            }
            synchronized (came) {
                missing.andNot(came);
            }
            return missing;
        }

        void finish() throws InterruptedException {
            producer.join(30_000);
            heard = System.currentTimeMillis();
            while (!missing().isEmpty() && System.currentTimeMillis() - heard < QUIET_MS) {
                pause(20);
            }
            say("sums " + name + " " + count + " " + received + " " + missing().cardinality() + " " + repeated + " " + unflagged);
        }

        private final class Watch implements TransportListener {
            @Override
            public void onCommand(Object command) {
                // Only the connection itself is watched.
            }

            @Override
            public void onException(IOException error) {
                say("exception " + name + " " + error);
            }

            @Override
            public void transportInterupted() {
                say("broke " + name + " " + micros());
            }

            @Override
            public void transportResumed() {
                say("back " + name + " " + micros());
            }
        }
    }
}
