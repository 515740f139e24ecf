package interop;

import static interop.T.autoOf;
import static interop.T.equal;
import static interop.T.exactly;
import static interop.T.expect;
import static interop.T.fails;
import static interop.T.next;
import static interop.T.none;
import static interop.T.numbers;
import static interop.T.session;
import static interop.T.soon;
import static interop.T.take;
import static interop.T.that;

import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import javax.jms.Connection;
import javax.jms.Destination;
import javax.jms.InvalidDestinationException;
import javax.jms.JMSException;
import javax.jms.Message;
import javax.jms.MessageConsumer;
import javax.jms.MessageProducer;
import javax.jms.Session;
import javax.jms.TemporaryQueue;
import javax.jms.TemporaryTopic;
import org.apache.activemq.ActiveMQConnection;
import org.apache.activemq.command.ActiveMQDestination;
import org.apache.activemq.command.ActiveMQMessage;
import org.apache.activemq.command.ActiveMQQueue;
import org.apache.activemq.command.ActiveMQTopic;

/** Destinations: made on first use, wildcards, composites, temporary ones, virtual topics, options in the name. */
final class Destinations {
    static void describe(Suite s) {
        naming(s);
        wildcards(s);
        composites(s);
        temporary(s);
        virtual(s);
    }

    private static void naming(Suite s) {
        s.check("a queue is made by its first consumer", t -> {
            MessageConsumer consumer = t.consumer(t.queue());
            none(consumer);
            T.sendBy(autoOf(t.connect()), t.queue(), "a");
            exactly(consumer, "a");
        });
        s.check("by name through the session", t -> {
            T.sendBy(t.auto(), t.auto().createQueue(t.name("")), "a");
            exactly(t.consumer(t.queue()), "a");
        });
        s.check("a prefix in a name that the client did not parse is part of the name", t -> {
            t.send(t.auto().createQueue("queue://" + t.name("")), "a");
            none(t.consumer(t.queue()));
            exactly(t.consumer(t.auto().createQueue("queue://" + t.name(""))), "a");
        });
        s.check("prefixes parsed by the client", t -> {
            t.send(ActiveMQDestination.createDestination("queue://" + t.name(""), ActiveMQDestination.TOPIC_TYPE), "a");
            exactly(t.consumer(t.queue()), "a");
        });
        s.check("options are no part of the name", t -> {
            T.sendBy(t.auto(), t.auto().createQueue(t.name("") + "?consumer.prefetchSize=3"), "a");
            Message message = next(t.consumer(t.queue()));
            equal("queue://" + t.name(""), message.getJMSDestination().toString());
        });
        s.check("noLocal through options", t -> {
            MessageConsumer consumer =
                    t.consumer(t.auto().createTopic(t.name("") + "?consumer.noLocal=true"));
            t.send(t.topic(), "own");
            T.sendBy(autoOf(t.connect()), t.topic(), "foreign");
            exactly(consumer, "foreign");
        });
        s.check("a retroactive consumer without a recovery policy sees nothing old", t -> {
            t.send(t.topic(), "old");
            none(t.consumer(t.auto().createTopic(t.name("") + "?consumer.retroactive=true")));
        });
        s.check("sending to null fails", t -> {
            MessageProducer producer = t.auto().createProducer(null);
            fails(Exception.class, () -> producer.send(t.auto().createTextMessage("x")));
        });
        s.check("a producer with a destination sends nowhere else", t -> {
            MessageProducer producer = t.auto().createProducer(t.queue("a"));
            fails(UnsupportedOperationException.class,
                    () -> producer.send(t.queue("b"), t.auto().createTextMessage("x")));
        });
        s.check("a queue that is destroyed loses its messages", t -> {
            ActiveMQConnection connection = (ActiveMQConnection) t.connect();
            t.send(t.queue(), "a");
            connection.destroyDestination((ActiveMQDestination) t.queue());
            t.left(t.queue());
        });
        s.check("a queue with a consumer cannot be destroyed", t -> {
            ActiveMQConnection connection = (ActiveMQConnection) t.connect();
            MessageConsumer consumer = t.consumer(t.queue());
            fails(JMSException.class, () -> connection.destroyDestination((ActiveMQDestination) t.queue()));
            t.send(t.queue(), "a");
            exactly(consumer, "a");
        });
        s.check("a destroyed queue is made again", t -> {
            ActiveMQConnection connection = (ActiveMQConnection) t.connect();
            t.send(t.queue(), "a");
            connection.destroyDestination((ActiveMQDestination) t.queue());
            t.send(t.queue(), "b");
            exactly(t.consumer(t.queue()), "b");
        });
        s.check("a thousand queues", t -> {
            MessageProducer producer = t.auto().createProducer(null);
            producer.setDeliveryMode(javax.jms.DeliveryMode.NON_PERSISTENT);
            for (int i = 0; i < 300; i++) {
                producer.send(t.queue("n" + i), t.auto().createTextMessage("" + i));
            }
            for (int i = 0; i < 300; i += 50) {
                exactly(t.consumer(t.queue("n" + i)), "" + i);
            }
        });
    }

    private static void wildcards(Suite s) {
        s.check("* is one element of a topic", t -> {
            MessageConsumer consumer = t.consumer(t.topic("*"));
            t.send(t.topic("a"), "a");
            t.send(t.topic("a.b"), "a.b");
            t.send(t.topic("c"), "c");
            exactly(consumer, "a", "c");
        });
        s.check("> is all further elements of a topic", t -> {
            MessageConsumer consumer = t.consumer(t.topic(">"));
            t.send(t.topic("a"), "a");
            t.send(t.topic("a.b"), "a.b");
            t.send(t.topic("a.b.c"), "a.b.c");
            exactly(consumer, "a", "a.b", "a.b.c");
        });
        s.check("> matches no further element as well", t -> {
            MessageConsumer consumer = t.consumer(t.topic("x.>"));
            t.send(t.topic("x"), "x");
            t.send(t.topic("x.y"), "x.y");
            exactly(consumer, "x", "x.y");
        });
        s.check("* in the middle", t -> {
            MessageConsumer consumer = t.consumer(t.topic("*.price"));
            t.send(t.topic("a.price"), "1");
            t.send(t.topic("a.b.price"), "2");
            t.send(t.topic("b.price"), "3");
            t.send(t.topic("b.volume"), "4");
            exactly(consumer, "1", "3");
        });
        s.check("* and > together", t -> {
            MessageConsumer consumer = t.consumer(t.topic("*.x.>"));
            t.send(t.topic("a.x.1"), "1");
            t.send(t.topic("b.x.1.2"), "2");
            t.send(t.topic("b.y.1"), "3");
            exactly(consumer, "1", "2");
        });
        s.check("a wildcard covers topics that come later", t -> {
            MessageConsumer consumer = t.consumer(t.topic("*"));
            for (int i = 0; i < 10; i++) {
                t.send(t.topic("later" + i), "" + i);
            }
            exactly(consumer, numbers(0, 10));
        });
        s.check("the message names the real topic", t -> {
            MessageConsumer consumer = t.consumer(t.topic("*"));
            t.send(t.topic("real"), "x");
            equal(t.topic("real"), next(consumer).getJMSDestination());
        });
        s.check("a wildcard over queues", t -> {
            t.send(t.queue("a"), "1");
            t.send(t.queue("b"), "2");
            t.send(t.queue("b.c"), "3");
            MessageConsumer consumer = t.consumer(t.queue("*"));
            equal(new TreeSet<>(List.of("1", "2")), new TreeSet<>(take(consumer, 2)));
            none(consumer);
            exactly(t.consumer(t.queue("b.c")), "3");
        });
        s.check("a wildcard over queues that come later", t -> {
            MessageConsumer consumer = t.consumer(t.queue(">"));
            t.send(t.queue("x"), "1");
            t.send(t.queue("y.z"), "2");
            exactly(consumer, "1", "2");
        });
        s.check("a wildcard consumer takes the messages of the queues away", t -> {
            t.send(t.queue("a"), "1");
            Connection connection = t.connect();
            expect(autoOf(connection).createConsumer(t.queue("*")), "1");
            connection.close();
            t.left(t.queue("a"));
        });
        s.check("wildcard and exact consumers share a queue", t -> {
            MessageConsumer wild = t.consumer(t.queue("*"));
            MessageConsumer exact = t.consumer(t.queue("a"));
            t.send(t.queue("a"), numbers(0, 10));
            List<String> one = T.drain(wild);
            List<String> two = T.drain(exact);
            equal(10, one.size() + two.size());
            that(!one.isEmpty() && !two.isEmpty(), "both got some");
        });
        s.check("a transacted wildcard consumer", t -> {
            t.send(t.queue("a"), "1");
            t.send(t.queue("b"), "2");
            Session tx = t.tx();
            MessageConsumer consumer = tx.createConsumer(t.queue("*"));
            take(consumer, 2);
            tx.rollback();
            take(consumer, 2);
            tx.commit();
            none(consumer);
        });
        s.check("a wildcard with a selector", t -> {
            MessageConsumer consumer = t.auto().createConsumer(t.topic("*"), "n = 2");
            MessageProducer producer = t.auto().createProducer(null);
            for (int n = 1; n <= 3; n++) {
                Message message = t.auto().createTextMessage("" + n);
                message.setIntProperty("n", n);
                producer.send(t.topic("a" + n), message);
            }
            exactly(consumer, "2");
        });
    }

    private static void composites(Suite s) {
        s.check("a send to two queues", t -> {
            t.send(new ActiveMQQueue(t.name("a") + "," + t.name("b")), "x");
            exactly(t.consumer(t.queue("a")), "x");
            exactly(t.consumer(t.queue("b")), "x");
        });
        s.check("a send to a queue and a topic", t -> {
            MessageConsumer onTopic = t.consumer(t.topic("b"));
            t.send(new ActiveMQQueue(t.name("a") + ",topic://" + t.name("b")), "x");
            exactly(t.consumer(t.queue("a")), "x");
            exactly(onTopic, "x");
        });
        s.check("a send to three queues keeps the order in each", t -> {
            t.send(new ActiveMQQueue(t.name("a") + "," + t.name("b") + "," + t.name("c")), numbers(0, 10));
            for (String suffix : List.of("a", "b", "c")) {
                exactly(t.consumer(t.queue(suffix)), numbers(0, 10));
            }
        });
        s.check("each copy is for its own queue", t -> {
            t.send(new ActiveMQQueue(t.name("a") + "," + t.name("b")), "x");
            ActiveMQMessage message = (ActiveMQMessage) next(t.consumer(t.queue("a")));
            equal(t.queue("a"), message.getJMSDestination());
            that(message.getOriginalDestination() != null, "the original destination is kept");
        });
        s.check("a composite send in a transaction", t -> {
            Session tx = t.tx();
            Destination both = new ActiveMQQueue(t.name("a") + "," + t.name("b"));
            T.sendBy(tx, both, "no");
            tx.rollback();
            T.sendBy(tx, both, "yes");
            tx.commit();
            exactly(t.consumer(t.queue("a")), "yes");
            exactly(t.consumer(t.queue("b")), "yes");
        });
        s.check("one consumer of two queues", t -> {
            MessageConsumer consumer = t.consumer(new ActiveMQQueue(t.name("a") + "," + t.name("b")));
            t.send(t.queue("a"), "1");
            t.send(t.queue("b"), "2");
            equal(new TreeSet<>(List.of("1", "2")), new TreeSet<>(take(consumer, 2)));
            none(consumer);
        });
        s.check("a client session acknowledges over a composite", t -> {
            t.send(t.queue("a"), "1");
            t.send(t.queue("b"), "2");
            Connection connection = t.connect();
            MessageConsumer consumer = session(connection, Session.CLIENT_ACKNOWLEDGE)
                    .createConsumer(new ActiveMQQueue(t.name("a") + "," + t.name("b")));
            next(consumer);
            next(consumer).acknowledge();
            connection.close();
            t.left(t.queue("a"));
            t.left(t.queue("b"));
        });
        s.check("a composite topic", t -> {
            MessageConsumer a = t.consumer(t.topic("a"));
            MessageConsumer b = t.consumer(t.topic("b"));
            t.send(new ActiveMQTopic(t.name("a") + "," + t.name("b")), "x");
            exactly(a, "x");
            exactly(b, "x");
        });
    }

    /** A client refuses temporary destinations until an advisory told it of them. */
    private static void sendWhenKnown(Session session, Destination to, String text) throws Exception {
        soon("the client knows " + to, () -> {
            try {
                T.sendBy(session, to, text);
                return true;
            } catch (InvalidDestinationException e) {
                return false;
            }
        });
    }

    private static void temporary(Suite s) {
        s.check("a temporary queue", t -> {
            TemporaryQueue queue = t.auto().createTemporaryQueue();
            MessageConsumer consumer = t.consumer(queue);
            t.send(queue, "a", "b");
            exactly(consumer, "a", "b");
        });
        s.check("a temporary topic", t -> {
            TemporaryTopic topic = t.auto().createTemporaryTopic();
            MessageConsumer consumer = t.consumer(topic);
            t.send(topic, "a");
            exactly(consumer, "a");
        });
        s.check("another connection sends to a temporary queue", t -> {
            TemporaryQueue queue = t.auto().createTemporaryQueue();
            Session other = autoOf(t.connect());
            sendWhenKnown(other, queue, "a");
            exactly(t.consumer(queue), "a");
        });
        s.check("only the creator consumes from a temporary queue", t -> {
            TemporaryQueue queue = t.auto().createTemporaryQueue();
            Session other = autoOf(t.connect());
            fails(InvalidDestinationException.class, () -> other.createConsumer(queue));
        });
        s.check("all sessions of the creator consume", t -> {
            TemporaryQueue queue = t.auto().createTemporaryQueue();
            MessageConsumer consumer = t.session(Session.AUTO_ACKNOWLEDGE).createConsumer(queue);
            t.send(queue, "a");
            exactly(consumer, "a");
        });
        s.check("two temporary queues have different names", t -> {
            Set<String> names = new HashSet<>();
            for (int i = 0; i < 10; i++) {
                names.add(t.auto().createTemporaryQueue().getQueueName());
            }
            equal(10, names.size());
        });
        s.check("a temporary queue outlives the session that made it", t -> {
            Session session = t.session(Session.AUTO_ACKNOWLEDGE);
            TemporaryQueue queue = session.createTemporaryQueue();
            session.close();
            t.send(queue, "a");
            exactly(t.consumer(queue), "a");
        });
        s.check("a deleted temporary queue is gone", t -> {
            TemporaryQueue queue = t.auto().createTemporaryQueue();
            queue.delete();
            fails(JMSException.class, () -> t.send(queue, "x"));
        });
        s.check("a temporary queue in use is not deleted", t -> {
            TemporaryQueue queue = t.auto().createTemporaryQueue();
            t.consumer(queue);
            fails(JMSException.class, queue::delete);
        });
        s.check("a temporary queue is gone with its connection", t -> {
            Connection owner = t.connect();
            TemporaryQueue queue = autoOf(owner).createTemporaryQueue();
            Session other = autoOf(t.connect());
            sendWhenKnown(other, queue, "while it is there");
            owner.close();
            soon("sending is refused", () -> {
                try {
                    T.sendBy(other, queue, "x");
                    return false;
                } catch (JMSException e) {
                    return true;
                }
            });
        });
        s.check("a temporary queue is gone with a cut connection", t -> {
            Connection owner = t.connect();
            TemporaryQueue queue = autoOf(owner).createTemporaryQueue();
            Session other = autoOf(t.connect());
            sendWhenKnown(other, queue, "while it is there");
            T.cut(owner);
            soon("sending is refused", () -> {
                try {
                    T.sendBy(other, queue, "x");
                    return false;
                } catch (JMSException e) {
                    return true;
                }
            });
        });
        s.check("a temporary topic is gone with its connection", t -> {
            Connection owner = t.connect();
            TemporaryTopic topic = autoOf(owner).createTemporaryTopic();
            Session other = autoOf(t.connect());
            sendWhenKnown(other, topic, "while it is there");
            owner.close();
            soon("sending is refused", () -> {
                try {
                    T.sendBy(other, topic, "x");
                    return false;
                } catch (JMSException e) {
                    return true;
                }
            });
        });
        s.check("unread messages of a temporary queue wait for a consumer", t -> {
            TemporaryQueue queue = t.auto().createTemporaryQueue();
            t.send(queue, numbers(0, 10));
            exactly(t.consumer(queue), numbers(0, 10));
        });
        s.check("a transaction over a temporary queue", t -> {
            Session tx = t.tx();
            TemporaryQueue queue = tx.createTemporaryQueue();
            MessageConsumer consumer = tx.createConsumer(queue);
            T.sendBy(tx, queue, "a");
            none(consumer);
            tx.commit();
            expect(consumer, "a");
            tx.rollback();
            expect(consumer, "a");
            tx.commit();
        });
        s.check("the name of a temporary queue begins with ID:", t ->
                that(t.auto().createTemporaryQueue().getQueueName().startsWith("ID:"), "begins with ID:"));
    }

    private static void virtual(Suite s) {
        s.check("a virtual topic fills the queue of a consumer", t -> {
            String topic = "VirtualTopic." + t.name("");
            MessageConsumer consumer = t.consumer(new ActiveMQQueue("Consumer.A." + topic));
            t.send(new ActiveMQTopic(topic), "a", "b");
            exactly(consumer, "a", "b");
        });
        s.check("each named consumer of a virtual topic has a queue of its own", t -> {
            String topic = "VirtualTopic." + t.name("");
            MessageConsumer a = t.consumer(new ActiveMQQueue("Consumer.A." + topic));
            MessageConsumer b = t.consumer(new ActiveMQQueue("Consumer.B." + topic));
            t.send(new ActiveMQTopic(topic), "x");
            exactly(a, "x");
            exactly(b, "x");
        });
        s.check("consumers of one name share", t -> {
            String topic = "VirtualTopic." + t.name("");
            MessageConsumer one = t.consumer(new ActiveMQQueue("Consumer.A." + topic));
            MessageConsumer two = t.consumer(new ActiveMQQueue("Consumer.A." + topic));
            t.send(new ActiveMQTopic(topic), numbers(0, 10));
            equal(10, T.drain(one).size() + T.drain(two).size());
        });
        s.check("the queue of a virtual topic fills while its consumer is away", t -> {
            String topic = "VirtualTopic." + t.name("");
            ActiveMQQueue queue = new ActiveMQQueue("Consumer.A." + topic);
            Connection connection = t.connect();
            autoOf(connection).createConsumer(queue);
            connection.close();
            t.send(new ActiveMQTopic(topic), "a", "b");
            exactly(t.consumer(queue), "a", "b");
        });
        s.check("a virtual topic has plain subscribers too", t -> {
            String topic = "VirtualTopic." + t.name("");
            MessageConsumer plain = t.consumer(new ActiveMQTopic(topic));
            MessageConsumer queue = t.consumer(new ActiveMQQueue("Consumer.A." + topic));
            t.send(new ActiveMQTopic(topic), "x");
            exactly(plain, "x");
            exactly(queue, "x");
        });
        s.check("without a queue a virtual topic is a topic", t -> {
            String topic = "VirtualTopic." + t.name("");
            t.send(new ActiveMQTopic(topic), "lost");
            none(t.consumer(new ActiveMQQueue("Consumer.A." + topic)));
        });
        s.check("a virtual topic with several elements", t -> {
            String topic = "VirtualTopic." + t.name("a.b.c");
            MessageConsumer consumer = t.consumer(new ActiveMQQueue("Consumer.A." + topic));
            t.send(new ActiveMQTopic(topic), "x");
            exactly(consumer, "x");
        });
        s.check("a virtual topic in a transaction", t -> {
            String topic = "VirtualTopic." + t.name("");
            MessageConsumer consumer = t.consumer(new ActiveMQQueue("Consumer.A." + topic));
            Session tx = t.tx();
            T.sendBy(tx, new ActiveMQTopic(topic), "no");
            tx.rollback();
            T.sendBy(tx, new ActiveMQTopic(topic), "yes");
            none(consumer);
            tx.commit();
            exactly(consumer, "yes");
        });
        s.check("a message of a virtual topic tells both names", t -> {
            String topic = "VirtualTopic." + t.name("");
            MessageConsumer consumer = t.consumer(new ActiveMQQueue("Consumer.A." + topic));
            t.send(new ActiveMQTopic(topic), "x");
            ActiveMQMessage message = (ActiveMQMessage) next(consumer);
            equal("queue://Consumer.A." + topic, message.getJMSDestination().toString());
            equal("topic://" + topic, String.valueOf(message.getOriginalDestination()));
        });
        s.check("a virtual topic consumer by wildcard", t -> {
            String base = "VirtualTopic." + t.name("");
            MessageConsumer consumer = t.consumer(new ActiveMQQueue("Consumer.A." + base + ".>"));
            t.send(new ActiveMQTopic(base + ".x"), "1");
            exactly(consumer, "1");
        });
    }

    private Destinations() { }
}
