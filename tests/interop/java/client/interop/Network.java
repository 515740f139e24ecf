package interop;

import java.util.ArrayList;
import java.util.Collections;
import java.util.Enumeration;
import java.util.List;
import java.util.Map;
import javax.jms.Connection;
import javax.jms.DeliveryMode;
import javax.jms.Destination;
import javax.jms.JMSException;
import javax.jms.Message;
import javax.jms.MessageConsumer;
import javax.jms.MessageProducer;
import javax.jms.QueueBrowser;
import javax.jms.Session;
import javax.jms.TextMessage;
import org.apache.activemq.ActiveMQConnectionFactory;
import org.apache.activemq.advisory.AdvisorySupport;
import org.apache.activemq.command.ActiveMQMessage;
import org.apache.activemq.command.ActiveMQQueue;
import org.apache.activemq.command.ActiveMQTopic;
import org.apache.activemq.command.ConsumerInfo;

/**
 * What two linked brokers owe their clients: a message reaches the consumer at the other broker once, in order, and
 * as it was sent.
 *
 * Options: --from=URL --to=URL (messages flow that way) --duplex=true|false (and back over the same link)
 * --part=traffic|rules|durable|before|meanwhile|after|near|far (what is looked at; `before` and `after` a restart of the broker at
 * --from that has the durable subscriptions of the link, `near` and `far` a chain that is too long or not) --run=ID
 */
public final class Network {
    private static final long PATIENCE_MS = 30_000;
    private static final long QUIET_MS = 700;

    private final Connection here;
    private final Connection there;
    private final String run;
    private int passed;
    private int failed;

    private Network(String here, String there, String run) throws JMSException {
        this.here = connect(here);
        this.there = connect(there);
        this.run = run;
    }

    public static void main(String[] args) throws Exception {
        Map<String, String> options = Conformance.options(args);
        String any = Long.toString(System.nanoTime() & 0xffffff, 36);
        String to = options.get("to");
        if ("meanwhile".equals(options.get("part"))) {
            meanwhile(to, options.get("run"));
            System.out.println("0 passed, 0 failed, 0 skipped");
            System.out.flush();
            Runtime.getRuntime().halt(0);
        }
        Network network = new Network(options.get("from"), to, options.getOrDefault("run", any));
        switch (options.getOrDefault("part", "traffic")) {
            case "traffic":
                network.oneWay("out", network.here, network.there);
                if (Boolean.parseBoolean(options.getOrDefault("duplex", "false"))) {
                    network.oneWay("back", network.there, network.here);
                    network.check("requests find their replies over the link", network::request);
                }
                break;
            case "rules":
                network.check("what is included flows, and only that", network::included);
                network.check("what is excluded does not, though it is included", network::excluded);
                network.check("what is statically included flows although nobody wants it", network::always);
                break;
            case "durable":
                network.check("a durable subscriber over there misses nothing", () -> network.durable(to));
                break;
            case "before":
                network.check("durable subscribers over there are known here", () -> network.before(to));
                break;
            case "after":
                network.check("who subscribed while the link was down gets everything", () -> network.joined(to));
                network.check("who gave up while the link was down is forgotten", network::left);
                break;
            case "near":
                network.check("a message goes no further than its TTL", network::tooFar);
                break;
            case "far":
                network.check("a message goes as far as its TTL", network::farEnough);
                break;
            default:
                throw new IllegalArgumentException("no such part");
        }
        System.out.println(network.passed + " passed, " + network.failed + " failed, 0 skipped");
        System.out.flush();
        Runtime.getRuntime().halt(network.failed == 0 ? 0 : 1);
    }

    private static Connection connect(String url) throws JMSException {
        return connect(url, null);
    }

    private static Connection connect(String url, String clientId) throws JMSException {
        Connection connection = new ActiveMQConnectionFactory(url).createConnection();
        if (clientId != null) {
            connection.setClientID(clientId);
        }
        connection.start();
        return connection;
    }

    private interface Check {
        void run() throws Exception;
    }

    private void check(String name, Check check) {
        try {
            check.run();
            passed++;
            System.out.println("ok network." + name);
        } catch (Exception | AssertionError e) {
            failed++;
            System.out.println("FAIL network." + name + ": " + e);
        }
    }

    private void oneWay(String way, Connection from, Connection to) {
        check(way + ": a queue whose consumer is over there", () -> waiting(from, to));
        check(way + ": a backlog follows its consumer", () -> backlog(from, to));
        check(way + ": a subscriber over there hears everything once", () -> topic(from, to));
        check(way + ": what nobody over there wants stays", () -> unwanted(from, to));
        check(way + ": a message arrives as it was sent", () -> intact(from, to));
    }

    private Destination queue(String name) {
        return new ActiveMQQueue("NET." + run + "." + name + "." + passed + "." + failed);
    }

    private static Session session(Connection connection) throws JMSException {
        return connection.createSession(false, Session.AUTO_ACKNOWLEDGE);
    }

    private static void send(Connection from, Destination to, int first, int below) throws JMSException {
        Session session = session(from);
        MessageProducer producer = session.createProducer(to);
        for (int number = first; number < below; number++) {
            producer.send(session.createTextMessage("m" + number));
        }
        session.close();
    }

    private static Message next(MessageConsumer consumer) throws JMSException {
        Message message = consumer.receive(PATIENCE_MS);
        if (message == null) {
            throw new AssertionError("nothing came in " + PATIENCE_MS + " ms");
        }
        return message;
    }

    /** Exactly these, in order, and nothing after them. */
    private static void expect(MessageConsumer consumer, int below) throws JMSException {
        List<String> wanted = new ArrayList<>();
        List<String> got = new ArrayList<>();
        for (int number = 0; number < below; number++) {
            wanted.add("m" + number);
            got.add(((TextMessage) next(consumer)).getText());
        }
        T.equal(wanted, got);
        T.that(consumer.receive(QUIET_MS) == null, "nothing comes twice");
    }

    private void waiting(Connection from, Connection to) throws JMSException {
        Destination queue = queue("waiting");
        MessageConsumer consumer = session(to).createConsumer(queue);
        send(from, queue, 0, 200);
        expect(consumer, 200);
        consumer.close();
    }

    private void backlog(Connection from, Connection to) throws JMSException {
        Destination queue = queue("backlog");
        send(from, queue, 0, 200);
        MessageConsumer consumer = session(to).createConsumer(queue);
        expect(consumer, 200);
        consumer.close();
    }

    private void topic(Connection from, Connection to) throws JMSException {
        Destination topic = new ActiveMQTopic("NET." + run + ".news." + passed + "." + failed);
        MessageConsumer consumer = session(to).createConsumer(topic);
        Session session = session(from);
        MessageProducer producer = session.createProducer(topic);
        // A topic keeps nothing for those who come later: until the link knows of the subscriber, it hears nothing.
        long until = System.currentTimeMillis() + PATIENCE_MS;
        Message heard = null;
        while (heard == null && System.currentTimeMillis() < until) {
            producer.send(session.createTextMessage("probe"));
            heard = consumer.receive(100);
        }
        T.that(heard != null, "the subscriber is known over here");
        while (consumer.receive(QUIET_MS) != null) {
            // Further probes.
        }
        send(from, topic, 0, 200);
        expect(consumer, 200);
        consumer.close();
        session.close();
    }

    private void unwanted(Connection from, Connection to) throws JMSException {
        Destination queue = queue("unwanted");
        MessageConsumer other = session(to).createConsumer(queue("other"));
        send(from, queue, 0, 20);
        T.that(other.receive(QUIET_MS) == null, "nothing is carried to where nobody asked for it");
        MessageConsumer local = session(from).createConsumer(queue);
        expect(local, 20);
        local.close();
        other.close();
    }

    private void intact(Connection from, Connection to) throws JMSException {
        Destination queue = queue("intact");
        MessageConsumer consumer = session(to).createConsumer(queue);
        Session session = session(from);
        MessageProducer producer = session.createProducer(queue);
        TextMessage sent = session.createTextMessage("text äöü €");
        sent.setJMSCorrelationID("correlation");
        sent.setJMSType("type");
        sent.setStringProperty("colour", "red");
        sent.setLongProperty("size", 1L << 40);
        producer.send(sent, DeliveryMode.PERSISTENT, 7, 0);
        TextMessage got = (TextMessage) next(consumer);
        T.equal(sent.getText(), got.getText());
        T.equal(sent.getJMSMessageID(), got.getJMSMessageID());
        T.equal(sent.getJMSTimestamp(), got.getJMSTimestamp());
        T.equal("correlation", got.getJMSCorrelationID());
        T.equal("type", got.getJMSType());
        T.equal("red", got.getStringProperty("colour"));
        T.equal(1L << 40, got.getLongProperty("size"));
        T.equal(7, got.getJMSPriority());
        T.equal(DeliveryMode.PERSISTENT, got.getJMSDeliveryMode());
        T.equal(queue, got.getJMSDestination());
        consumer.close();
        session.close();
    }

    private void included() throws JMSException {
        MessageConsumer included = session(there).createConsumer(new ActiveMQQueue("NET.IN." + run));
        MessageConsumer other = session(there).createConsumer(new ActiveMQQueue("OTHER." + run));
        send(here, new ActiveMQQueue("OTHER." + run), 0, 20);
        send(here, new ActiveMQQueue("NET.IN." + run), 0, 20);
        expect(included, 20);
        T.that(other.receive(QUIET_MS) == null, "what is not included stays");
        included.close();
        other.close();
    }

    private void excluded() throws JMSException {
        MessageConsumer excluded = session(there).createConsumer(new ActiveMQQueue("NET.SECRET." + run));
        send(here, new ActiveMQQueue("NET.SECRET." + run), 0, 20);
        T.that(excluded.receive(QUIET_MS) == null, "what is excluded stays");
        excluded.close();
        MessageConsumer local = session(here).createConsumer(new ActiveMQQueue("NET.SECRET." + run));
        expect(local, 20);
        local.close();
    }

    /** Whoever only looks makes no demand. */
    private void always() throws JMSException {
        ActiveMQQueue queue = new ActiveMQQueue("NET.ALWAYS");
        send(here, queue, 0, 20);
        Session session = session(there);
        long until = System.currentTimeMillis() + PATIENCE_MS;
        int seen = 0;
        while (seen < 20 && System.currentTimeMillis() < until) {
            QueueBrowser browser = session.createBrowser(queue);
            seen = Collections.list((Enumeration<?>) browser.getEnumeration()).size();
            browser.close();
        }
        T.equal(20, seen);
        MessageConsumer consumer = session.createConsumer(queue);
        expect(consumer, 20);
        session.close();
    }

    private ActiveMQTopic topic(String name) {
        return new ActiveMQTopic("NET." + run + "." + name);
    }

    /** Whether a durable subscription of the link is active at the broker here: its advisory is repeated to newcomers. */
    private boolean isLinked(ActiveMQTopic topic) throws JMSException {
        Session session = session(here);
        ActiveMQTopic advisories = AdvisorySupport.getConsumerAdvisoryTopic(topic);
        MessageConsumer consumer = session.createConsumer(advisories);
        boolean linked = false;
        for (Message message = consumer.receive(QUIET_MS); message != null; message = consumer.receive(QUIET_MS)) {
            Object about = ((ActiveMQMessage) message).getDataStructure();
            if (about instanceof ConsumerInfo && ((ConsumerInfo) about).getSubscriptionName() != null) {
                linked |= ((ConsumerInfo) about).getSubscriptionName().startsWith("NC-DS");
            }
        }
        session.close();
        return linked;
    }

    private void awaitLinked(ActiveMQTopic topic, boolean wanted) throws JMSException {
        long until = System.currentTimeMillis() + PATIENCE_MS;
        while (isLinked(topic) != wanted) {
            String what = wanted ? "no durable subscription of the link" : "the durable subscription stays";
            T.that(System.currentTimeMillis() < until, what);
        }
    }

    private void durable(String to) throws JMSException {
        ActiveMQTopic topic = topic("durable");
        Connection ann = connect(to, "ann-" + run);
        session(ann).createDurableSubscriber(topic, "s").close();
        ann.close();
        awaitLinked(topic, true);
        send(here, topic, 0, 50);
        ann = connect(to, "ann-" + run);
        Session session = session(ann);
        MessageConsumer consumer = session.createDurableSubscriber(topic, "s");
        expect(consumer, 50);
        consumer.close();
        session.unsubscribe("s");
        ann.close();
        awaitLinked(topic, false);
    }

    private void before(String to) throws JMSException {
        Connection bob = connect(to, "bob-" + run);
        session(bob).createDurableSubscriber(topic("left"), "s").close();
        bob.close();
        awaitLinked(topic("left"), true);
    }

    /** The one that came subscribed, and the one that went unsubscribed, while the broker here was down. */
    static void meanwhile(String to, String run) throws JMSException {
        Connection ann = connect(to, "ann-" + run);
        session(ann).createDurableSubscriber(new ActiveMQTopic("NET." + run + ".joined"), "s").close();
        ann.close();
        Connection bob = connect(to, "bob-" + run);
        session(bob).unsubscribe("s");
        bob.close();
    }

    private void joined(String to) throws JMSException {
        ActiveMQTopic topic = topic("joined");
        awaitLinked(topic, true);
        send(here, topic, 0, 50);
        Connection ann = connect(to, "ann-" + run);
        MessageConsumer consumer = session(ann).createDurableSubscriber(topic, "s");
        expect(consumer, 50);
        ann.close();
    }

    private void left() throws JMSException {
        awaitLinked(topic("left"), false);
    }

    private void tooFar() throws JMSException {
        Destination queue = queue("near");
        MessageConsumer consumer = session(there).createConsumer(queue);
        send(here, queue, 0, 20);
        T.that(consumer.receive(3 * QUIET_MS) == null, "two links are one too many");
        consumer.close();
    }

    private void farEnough() throws JMSException {
        Destination queue = queue("far");
        MessageConsumer consumer = session(there).createConsumer(queue);
        send(here, queue, 0, 20);
        expect(consumer, 20);
        consumer.close();
    }

    /** The reply goes to a temporary queue of the other broker. */
    private void request() throws JMSException {
        Destination queue = queue("requests");
        Session serving = session(there);
        MessageConsumer requests = serving.createConsumer(queue);
        MessageProducer replies = serving.createProducer(null);
        Session asking = session(here);
        Destination answers = asking.createTemporaryQueue();
        MessageConsumer replied = asking.createConsumer(answers);
        MessageProducer producer = asking.createProducer(queue);
        for (int number = 0; number < 20; number++) {
            TextMessage request = asking.createTextMessage("q" + number);
            request.setJMSReplyTo(answers);
            producer.send(request);
            TextMessage asked = (TextMessage) next(requests);
            replies.send(asked.getJMSReplyTo(), serving.createTextMessage("re: " + asked.getText()));
            T.equal("re: q" + number, ((TextMessage) next(replied)).getText());
        }
        serving.close();
        asking.close();
    }
}
