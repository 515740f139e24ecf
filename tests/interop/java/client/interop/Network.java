package interop;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import javax.jms.Connection;
import javax.jms.DeliveryMode;
import javax.jms.Destination;
import javax.jms.JMSException;
import javax.jms.Message;
import javax.jms.MessageConsumer;
import javax.jms.MessageProducer;
import javax.jms.Session;
import javax.jms.TextMessage;
import org.apache.activemq.ActiveMQConnectionFactory;
import org.apache.activemq.command.ActiveMQQueue;
import org.apache.activemq.command.ActiveMQTopic;

/**
 * What two linked brokers owe their clients: a message reaches the consumer at the other broker once, in order, and
 * as it was sent.
 *
 * Options: --from=URL --to=URL (messages flow that way) --duplex=true|false (and back over the same link)
 */
public final class Network {
    private static final long PATIENCE_MS = 30_000;
    private static final long QUIET_MS = 700;

    private final Connection here;
    private final Connection there;
    private final String run = Long.toString(System.nanoTime() & 0xffffff, 36);
    private int passed;
    private int failed;

    private Network(String here, String there) throws JMSException {
        this.here = connect(here);
        this.there = connect(there);
    }

    public static void main(String[] args) throws Exception {
        Map<String, String> options = Conformance.options(args);
        Network network = new Network(options.get("from"), options.get("to"));
        network.oneWay("out", network.here, network.there);
        if (Boolean.parseBoolean(options.getOrDefault("duplex", "false"))) {
            network.oneWay("back", network.there, network.here);
            network.check("requests find their replies over the link", network::request);
        }
        System.out.println(network.passed + " passed, " + network.failed + " failed, 0 skipped");
        System.out.flush();
        Runtime.getRuntime().halt(network.failed == 0 ? 0 : 1);
    }

    private static Connection connect(String url) throws JMSException {
        Connection connection = new ActiveMQConnectionFactory(url).createConnection();
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
