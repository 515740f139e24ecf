package interop;

import static interop.T.autoOf;
import static interop.T.equal;
import static interop.T.that;

import java.util.List;
import java.util.function.Predicate;
import javax.jms.Connection;
import javax.jms.DeliveryMode;
import javax.jms.Destination;
import javax.jms.JMSException;
import javax.jms.Message;
import javax.jms.MessageConsumer;
import javax.jms.MessageProducer;
import javax.jms.QueueBrowser;
import javax.jms.Session;
import javax.jms.TemporaryQueue;
import javax.jms.TemporaryTopic;
import org.apache.activemq.ActiveMQConnection;
import org.apache.activemq.advisory.AdvisorySupport;
import org.apache.activemq.advisory.ConsumerEventSource;
import org.apache.activemq.advisory.DestinationSource;
import org.apache.activemq.advisory.ProducerEventSource;
import org.apache.activemq.command.ActiveMQDestination;
import org.apache.activemq.command.ActiveMQMessage;
import org.apache.activemq.command.ActiveMQQueue;
import org.apache.activemq.command.ActiveMQTopic;
import org.apache.activemq.command.ConnectionInfo;
import org.apache.activemq.command.ConsumerId;
import org.apache.activemq.command.ConsumerInfo;
import org.apache.activemq.command.DataStructure;
import org.apache.activemq.command.DestinationInfo;
import org.apache.activemq.command.ProducerId;
import org.apache.activemq.command.ProducerInfo;
import org.apache.activemq.command.RemoveInfo;

/** Advisory topics: what a broker tells about consumers, producers, connections, destinations and lost messages. */
final class Advisories {
    /** The next advisory that is about this check; those of other checks are passed over. */
    private static ActiveMQMessage about(MessageConsumer consumer, Predicate<ActiveMQMessage> wanted)
            throws JMSException {
        long until = System.currentTimeMillis() + T.LONG;
        for (long left = T.LONG; left > 0; left = until - System.currentTimeMillis()) {
            ActiveMQMessage message = (ActiveMQMessage) consumer.receive(left);
            if (message != null && wanted.test(message)) {
                return message;
            }
        }
        throw new T.Failed("no such advisory within " + T.LONG + " ms");
    }

    private static ActiveMQMessage next(MessageConsumer consumer) throws JMSException {
        return about(consumer, message -> true);
    }

    private static boolean isInfo(ActiveMQMessage message, Destination destination, byte operation) {
        DataStructure data = message.getDataStructure();
        return data instanceof DestinationInfo && ((DestinationInfo) data).getDestination().equals(destination)
                && ((DestinationInfo) data).getOperationType() == operation;
    }

    private static ActiveMQDestination amq(Destination destination) {
        return (ActiveMQDestination) destination;
    }

    static void describe(Suite s) {
        consumers(s);
        producers(s);
        connections(s);
        destinations(s);
        messages(s);
    }

    private static void consumers(Suite s) {
        for (boolean queue : new boolean[] {true, false}) {
            String kind = queue ? "queue" : "topic";
            s.check("a consumer of a " + kind + " comes and goes", t -> {
                Destination on = queue ? t.queue() : t.topic();
                MessageConsumer advisory = t.consumer(AdvisorySupport.getConsumerAdvisoryTopic(on));
                MessageConsumer consumer = t.consumer(on);
                ActiveMQMessage came = next(advisory);
                that(came.getDataStructure() instanceof ConsumerInfo, "a ConsumerInfo: " + came.getDataStructure());
                equal(on, ((ConsumerInfo) came.getDataStructure()).getDestination());
                equal(1, came.getIntProperty("consumerCount"));
                consumer.close();
                ActiveMQMessage went = next(advisory);
                that(went.getDataStructure() instanceof RemoveInfo, "a RemoveInfo: " + went.getDataStructure());
                that(((RemoveInfo) went.getDataStructure()).getObjectId() instanceof ConsumerId, "of a consumer");
                equal(0, went.getIntProperty("consumerCount"));
            });
        }
        s.check("the consumer count goes up and down", t -> {
            MessageConsumer advisory = t.consumer(AdvisorySupport.getConsumerAdvisoryTopic(t.queue()));
            MessageConsumer one = t.consumer(t.queue());
            equal(1, next(advisory).getIntProperty("consumerCount"));
            MessageConsumer two = t.consumer(t.queue());
            equal(2, next(advisory).getIntProperty("consumerCount"));
            one.close();
            equal(1, next(advisory).getIntProperty("consumerCount"));
            two.close();
            equal(0, next(advisory).getIntProperty("consumerCount"));
        });
        s.check("a late listener hears of the consumers that are there", t -> {
            t.consumer(t.queue());
            t.consumer(t.queue());
            MessageConsumer advisory = t.consumer(AdvisorySupport.getConsumerAdvisoryTopic(t.queue()));
            that(next(advisory).getDataStructure() instanceof ConsumerInfo, "the first");
            that(next(advisory).getDataStructure() instanceof ConsumerInfo, "the second");
            T.none(advisory);
        });
        s.check("an advisory for a late listener is only for it", t -> {
            t.consumer(t.queue());
            MessageConsumer early = t.consumer(AdvisorySupport.getConsumerAdvisoryTopic(t.queue()));
            next(early);
            MessageConsumer late = t.consumer(AdvisorySupport.getConsumerAdvisoryTopic(t.queue()));
            next(late);
            T.none(early);
        });
        s.check("the ConsumerInfo tells selector and prefetch", t -> {
            MessageConsumer advisory = t.consumer(AdvisorySupport.getConsumerAdvisoryTopic(t.queue()));
            t.auto().createConsumer(t.auto().createQueue(t.name("") + "?consumer.prefetchSize=7"), "n = 1");
            ConsumerInfo info = (ConsumerInfo) next(advisory).getDataStructure();
            equal("n = 1", info.getSelector());
            equal(7, info.getPrefetchSize());
        });
        s.check("a cut connection is reported by its consumers", t -> {
            MessageConsumer advisory = t.consumer(AdvisorySupport.getConsumerAdvisoryTopic(t.queue()));
            Connection cut = t.connect();
            autoOf(cut).createConsumer(t.queue());
            next(advisory);
            T.cut(cut);
            that(next(advisory).getDataStructure() instanceof RemoveInfo, "a RemoveInfo");
        });
        s.check("a durable subscriber comes and goes", t -> {
            MessageConsumer advisory = t.consumer(AdvisorySupport.getConsumerAdvisoryTopic(t.topic()));
            Connection connection = t.connectAs(t.clientId());
            MessageConsumer durable = autoOf(connection).createDurableSubscriber(t.topic(), "s");
            ConsumerInfo info = (ConsumerInfo) next(advisory).getDataStructure();
            equal("s", info.getSubscriptionName());
            durable.close();
            ActiveMQMessage left = next(advisory);
            that(left.getDataStructure() instanceof RemoveInfo, "a RemoveInfo");
            equal(1, left.getIntProperty("consumerCount"));
            autoOf(connection).unsubscribe("s");
            equal(0, next(advisory).getIntProperty("consumerCount"));
        });
        s.check("a browser comes, counts, and goes", t -> {
            t.send(t.queue(), "seen");
            MessageConsumer advisory = t.consumer(AdvisorySupport.getConsumerAdvisoryTopic(t.queue()));
            QueueBrowser browser = autoOf(t.connect()).createBrowser(t.queue());
            that(browser.getEnumeration().hasMoreElements(), "a message to look at");
            ActiveMQMessage came = next(advisory);
            that(((ConsumerInfo) came.getDataStructure()).isBrowser(), "a browser");
            equal(1, came.getIntProperty("consumerCount"));
            browser.close();
            equal(0, next(advisory).getIntProperty("consumerCount"));
        });
        s.check("consumers of all queues by a wildcard", t -> {
            MessageConsumer advisory = t.consumer(new ActiveMQTopic("ActiveMQ.Advisory.Consumer.Queue.>"));
            t.consumer(t.queue("x"));
            about(advisory, m -> m.getDataStructure() instanceof ConsumerInfo
                    && ((ConsumerInfo) m.getDataStructure()).getDestination().equals(t.queue("x")));
        });
        s.check("the client's event source for consumers", t -> {
            ConsumerEventSource source = new ConsumerEventSource(t.conn(), t.queue());
            java.util.List<String> events = java.util.Collections.synchronizedList(new java.util.ArrayList<>());
            source.setConsumerListener(event -> events.add(event.isStarted() + "/" + event.getConsumerCount()));
            source.start();
            MessageConsumer consumer = t.consumer(t.queue());
            T.soon("the start was heard", () -> events.size() == 1);
            consumer.close();
            T.soon("the stop was heard", () -> events.size() == 2);
            equal(List.of("true/1", "false/0"), events);
            source.stop();
        });
    }

    private static void producers(Suite s) {
        for (boolean queue : new boolean[] {true, false}) {
            String kind = queue ? "queue" : "topic";
            s.check("a producer to a " + kind + " comes and goes", t -> {
                Destination on = queue ? t.queue() : t.topic();
                MessageConsumer advisory = t.consumer(AdvisorySupport.getProducerAdvisoryTopic(on));
                MessageProducer producer = t.auto().createProducer(on);
                ActiveMQMessage came = next(advisory);
                that(came.getDataStructure() instanceof ProducerInfo, "a ProducerInfo: " + came.getDataStructure());
                equal(on, ((ProducerInfo) came.getDataStructure()).getDestination());
                equal(1, came.getIntProperty("producerCount"));
                producer.close();
                ActiveMQMessage went = next(advisory);
                that(went.getDataStructure() instanceof RemoveInfo, "a RemoveInfo");
                that(((RemoveInfo) went.getDataStructure()).getObjectId() instanceof ProducerId, "of a producer");
                equal(0, went.getIntProperty("producerCount"));
            });
        }
        s.check("a late listener hears of the producers that are there", t -> {
            t.auto().createProducer(t.queue());
            MessageConsumer advisory = t.consumer(AdvisorySupport.getProducerAdvisoryTopic(t.queue()));
            that(next(advisory).getDataStructure() instanceof ProducerInfo, "a ProducerInfo");
        });
        s.check("the client's event source for producers", t -> {
            ProducerEventSource source = new ProducerEventSource(t.conn(), t.queue());
            java.util.List<String> events = java.util.Collections.synchronizedList(new java.util.ArrayList<>());
            source.setProducerListener(event -> events.add(event.isStarted() + "/" + event.getProducerCount()));
            source.start();
            MessageProducer producer = t.auto().createProducer(t.queue());
            T.soon("the start was heard", () -> events.size() == 1);
            producer.close();
            T.soon("the stop was heard", () -> events.size() == 2);
            equal(List.of("true/1", "false/0"), events);
            source.stop();
        });
    }

    private static void connections(Suite s) {
        s.check("a connection comes and goes", t -> {
            MessageConsumer advisory = t.consumer(AdvisorySupport.getConnectionAdvisoryTopic());
            String client = t.clientId();
            Connection connection = t.connectAs(client);
            ActiveMQMessage came = about(advisory, m -> m.getDataStructure() instanceof ConnectionInfo
                    && client.equals(((ConnectionInfo) m.getDataStructure()).getClientId()));
            Object id = ((ConnectionInfo) came.getDataStructure()).getConnectionId();
            connection.close();
            about(advisory, m -> m.getDataStructure() instanceof RemoveInfo
                    && ((RemoveInfo) m.getDataStructure()).getObjectId().equals(id));
        });
        s.check("a late listener hears of the connections that are there", t -> {
            String client = t.clientId();
            t.connectAs(client);
            MessageConsumer advisory = t.consumer(AdvisorySupport.getConnectionAdvisoryTopic());
            about(advisory, m -> m.getDataStructure() instanceof ConnectionInfo
                    && client.equals(((ConnectionInfo) m.getDataStructure()).getClientId()));
        });
        s.check("a cut connection is reported", t -> {
            MessageConsumer advisory = t.consumer(AdvisorySupport.getConnectionAdvisoryTopic());
            String client = t.clientId();
            Connection connection = t.connectAs(client);
            ActiveMQMessage came = about(advisory, m -> m.getDataStructure() instanceof ConnectionInfo
                    && client.equals(((ConnectionInfo) m.getDataStructure()).getClientId()));
            Object id = ((ConnectionInfo) came.getDataStructure()).getConnectionId();
            T.cut(connection);
            about(advisory, m -> m.getDataStructure() instanceof RemoveInfo
                    && ((RemoveInfo) m.getDataStructure()).getObjectId().equals(id));
        });
        s.check("an advisory tells no password", t -> {
            MessageConsumer advisory = t.consumer(AdvisorySupport.getConnectionAdvisoryTopic());
            Connection connection = t.keep(t.factory("").createConnection("user-" + t.name(""), "secret"));
            connection.start();
            ActiveMQMessage came = about(advisory, m -> m.getDataStructure() instanceof ConnectionInfo
                    && ("user-" + t.name("")).equals(((ConnectionInfo) m.getDataStructure()).getUserName()));
            String password = ((ConnectionInfo) came.getDataStructure()).getPassword();
            that(password == null || password.isEmpty(), "the password is left out");
        });
        s.check("an advisory names its broker", t -> {
            MessageConsumer advisory = t.consumer(AdvisorySupport.getConsumerAdvisoryTopic(t.queue()));
            t.consumer(t.queue());
            ActiveMQMessage message = next(advisory);
            equal("Advisory", message.getJMSType());
            that(message.getStringProperty("originBrokerId") != null, "originBrokerId");
            that(message.getStringProperty("originBrokerName") != null, "originBrokerName");
            that(message.getStringProperty("originBrokerURL") != null, "originBrokerURL");
            equal(DeliveryMode.NON_PERSISTENT, message.getJMSDeliveryMode());
            equal(0, message.getJMSPriority());
            equal(AdvisorySupport.getConsumerAdvisoryTopic(t.queue()), message.getJMSDestination());
        });
    }

    private static void destinations(Suite s) {
        s.check("a new queue is reported", t -> {
            MessageConsumer advisory = t.consumer(AdvisorySupport.QUEUE_ADVISORY_TOPIC);
            t.send(t.queue(), "x");
            about(advisory, m -> isInfo(m, t.queue(), DestinationInfo.ADD_OPERATION_TYPE));
        });
        s.check("a new topic is reported", t -> {
            MessageConsumer advisory = t.consumer(AdvisorySupport.TOPIC_ADVISORY_TOPIC);
            t.consumer(t.topic());
            about(advisory, m -> isInfo(m, t.topic(), DestinationInfo.ADD_OPERATION_TYPE));
        });
        s.check("a destroyed queue is reported", t -> {
            MessageConsumer advisory = t.consumer(AdvisorySupport.QUEUE_ADVISORY_TOPIC);
            t.send(t.queue(), "x");
            about(advisory, m -> isInfo(m, t.queue(), DestinationInfo.ADD_OPERATION_TYPE));
            ((ActiveMQConnection) t.connect()).destroyDestination(amq(t.queue()));
            about(advisory, m -> isInfo(m, t.queue(), DestinationInfo.REMOVE_OPERATION_TYPE));
        });
        s.check("a late listener hears of the queues that are there", t -> {
            t.send(t.queue(), "x");
            MessageConsumer advisory = t.consumer(AdvisorySupport.QUEUE_ADVISORY_TOPIC);
            about(advisory, m -> isInfo(m, t.queue(), DestinationInfo.ADD_OPERATION_TYPE));
        });
        s.check("a temporary queue comes and goes", t -> {
            MessageConsumer advisory = t.consumer(AdvisorySupport.TEMP_QUEUE_ADVISORY_TOPIC);
            TemporaryQueue queue = t.auto().createTemporaryQueue();
            about(advisory, m -> isInfo(m, queue, DestinationInfo.ADD_OPERATION_TYPE));
            queue.delete();
            about(advisory, m -> isInfo(m, queue, DestinationInfo.REMOVE_OPERATION_TYPE));
        });
        s.check("a temporary topic comes and goes", t -> {
            MessageConsumer advisory = t.consumer(AdvisorySupport.TEMP_TOPIC_ADVISORY_TOPIC);
            TemporaryTopic topic = t.auto().createTemporaryTopic();
            about(advisory, m -> isInfo(m, topic, DestinationInfo.ADD_OPERATION_TYPE));
            topic.delete();
            about(advisory, m -> isInfo(m, topic, DestinationInfo.REMOVE_OPERATION_TYPE));
        });
        s.check("the temporary queues of a closed connection are reported", t -> {
            MessageConsumer advisory = t.consumer(AdvisorySupport.TEMP_QUEUE_ADVISORY_TOPIC);
            Connection owner = t.connect();
            TemporaryQueue queue = autoOf(owner).createTemporaryQueue();
            about(advisory, m -> isInfo(m, queue, DestinationInfo.ADD_OPERATION_TYPE));
            owner.close();
            about(advisory, m -> isInfo(m, queue, DestinationInfo.REMOVE_OPERATION_TYPE));
        });
        s.check("one listener for temporary queues and topics", t -> {
            MessageConsumer advisory = t.consumer(AdvisorySupport.TEMP_DESTINATION_COMPOSITE_ADVISORY_TOPIC);
            TemporaryQueue queue = t.auto().createTemporaryQueue();
            TemporaryTopic topic = t.auto().createTemporaryTopic();
            about(advisory, m -> isInfo(m, queue, DestinationInfo.ADD_OPERATION_TYPE));
            about(advisory, m -> isInfo(m, topic, DestinationInfo.ADD_OPERATION_TYPE));
        });
        s.check("the client's destination source", t -> {
            t.send(t.queue(), "x");
            DestinationSource source = ((ActiveMQConnection) t.conn()).getDestinationSource();
            T.soon("the queue is listed", () -> source.getQueues().contains((ActiveMQQueue) t.queue()));
            t.consumer(t.topic());
            T.soon("the topic is listed", () -> source.getTopics().contains((ActiveMQTopic) t.topic()));
        });
    }

    private static void messages(Suite s) {
        s.check("an expired message of a queue is reported", t -> {
            MessageConsumer advisory = t.consumer(AdvisorySupport.getExpiredMessageTopic(amq(t.queue())));
            MessageProducer producer = t.auto().createProducer(t.queue());
            Message message = t.auto().createTextMessage("old");
            producer.send(message, DeliveryMode.PERSISTENT, 4, 100);
            Thread.sleep(300);
            T.none(t.consumer(t.queue()));
            ActiveMQMessage told = next(advisory);
            equal(message.getJMSMessageID(), told.getStringProperty("orignalMessageId"));
        });
        s.check("a dead letter is reported", t -> {
            MessageConsumer advisory = t.consumer(AdvisorySupport.getMessageDLQdAdvisoryTopic(amq(t.queue())));
            Connection connection = t.connect("jms.redeliveryPolicy.maximumRedeliveries=0");
            t.send(t.queue(), "dead");
            Session tx = T.session(connection, Session.SESSION_TRANSACTED);
            MessageConsumer consumer = tx.createConsumer(t.queue());
            T.next(consumer);
            tx.rollback();
            T.none(consumer);
            ActiveMQMessage told = next(advisory);
            that(told.getDataStructure() instanceof ActiveMQMessage, "the message is its data structure");
            ActiveMQMessage dead = (ActiveMQMessage) told.getDataStructure();
            equal(t.queue(), dead.getJMSDestination());
            that(dead.getContent() == null, "the body is left out");
        });
        s.check("a message without a consumer is not reported by default", t -> {
            MessageConsumer advisory = t.consumer(AdvisorySupport.getNoTopicConsumersAdvisoryTopic(amq(t.topic())));
            t.send(t.topic(), "x");
            T.none(advisory);
        });
        s.check("consumption is not reported by default", t -> {
            MessageConsumer consumed = t.consumer(AdvisorySupport.getMessageConsumedAdvisoryTopic(amq(t.queue())));
            MessageConsumer delivered = t.consumer(AdvisorySupport.getMessageDeliveredAdvisoryTopic(amq(t.queue())));
            t.send(t.queue(), "x");
            T.exactly(t.consumer(t.queue()), "x");
            T.none(consumed);
            T.none(delivered);
        });
        s.check("advisories make no advisories", t -> {
            MessageConsumer about =
                    t.consumer(new ActiveMQTopic("ActiveMQ.Advisory.Consumer.Topic.ActiveMQ.Advisory.Queue"));
            t.consumer(AdvisorySupport.QUEUE_ADVISORY_TOPIC);
            T.none(about);
        });
    }

    private Advisories() { }
}
