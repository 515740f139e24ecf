package interop;

import static interop.T.equal;
import static interop.T.fails;
import static interop.T.next;
import static interop.T.that;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.TreeSet;
import javax.jms.BytesMessage;
import javax.jms.Connection;
import javax.jms.DeliveryMode;
import javax.jms.JMSException;
import javax.jms.MapMessage;
import javax.jms.Message;
import javax.jms.MessageConsumer;
import javax.jms.MessageEOFException;
import javax.jms.MessageNotWriteableException;
import javax.jms.MessageProducer;
import javax.jms.ObjectMessage;
import javax.jms.Session;
import javax.jms.StreamMessage;
import javax.jms.TextMessage;
import org.apache.activemq.ActiveMQSession;
import org.apache.activemq.BlobMessage;
import org.apache.activemq.command.ActiveMQMessage;

/** What a message carries: bodies of every kind and size, header fields, properties of every type. */
final class Messages {
    static void describe(Suite s) {
        bodies(s, "", "");
        bodies(s, "compressed ", "jms.useCompression=true");
        sizes(s);
        headers(s);
        properties(s);
        encodings(s);
    }

    /** Makes a message, sends it, and gives what arrived. */
    private static Message round(T t, String options, Fill fill) throws Exception {
        Connection connection = options.isEmpty() ? t.conn() : t.connect(options);
        Session session = T.autoOf(connection);
        Message message = fill.make(session);
        session.createProducer(t.queue()).send(message);
        MessageConsumer consumer = t.consumer(t.queue());
        Message got = next(consumer);
        consumer.close();
        return got;
    }

    private interface Fill {
        Message make(Session session) throws JMSException;
    }

    private static Message round(T t, Fill fill) throws Exception {
        return round(t, "", fill);
    }

    private static void bodies(Suite s, String prefix, String options) {
        s.check(prefix + "text", t -> {
            for (String text : new String[] {"", "plain", "ünïcödé ≤ 日本 \uD83D\uDE00", "nul\u0000inside", "a\nb\tc"}) {
                equal(text, T.textOf(round(t, options, session -> session.createTextMessage(text))));
            }
        });
        s.check(prefix + "text without a body", t -> {
            Message message = round(t, options, Session::createTextMessage);
            that(message instanceof TextMessage, "a text message");
            equal(null, ((TextMessage) message).getText());
        });
        s.check(prefix + "bytes", t -> {
            byte[] bytes = new byte[1000];
            new Random(1).nextBytes(bytes);
            BytesMessage message = (BytesMessage) round(t, options, session -> {
                BytesMessage out = session.createBytesMessage();
                out.writeBytes(bytes);
                return out;
            });
            equal(1000L, message.getBodyLength());
            byte[] got = new byte[1000];
            equal(1000, message.readBytes(got));
            that(Arrays.equals(bytes, got), "the same bytes");
            fails(MessageEOFException.class, message::readByte);
        });
        s.check(prefix + "bytes of every primitive", t -> {
            BytesMessage message = (BytesMessage) round(t, options, session -> {
                BytesMessage out = session.createBytesMessage();
                out.writeBoolean(true);
                out.writeByte((byte) -2);
                out.writeShort((short) -300);
                out.writeChar('ß');
                out.writeInt(Integer.MIN_VALUE);
                out.writeLong(Long.MAX_VALUE);
                out.writeFloat(1.5f);
                out.writeDouble(-2.25);
                out.writeUTF("text ü");
                return out;
            });
            equal(true, message.readBoolean());
            equal((byte) -2, message.readByte());
            equal((short) -300, message.readShort());
            equal('ß', message.readChar());
            equal(Integer.MIN_VALUE, message.readInt());
            equal(Long.MAX_VALUE, message.readLong());
            equal(1.5f, message.readFloat());
            equal(-2.25, message.readDouble());
            equal("text ü", message.readUTF());
        });
        s.check(prefix + "empty bytes", t -> {
            BytesMessage message = (BytesMessage) round(t, options, Session::createBytesMessage);
            equal(0L, message.getBodyLength());
        });
        s.check(prefix + "map", t -> {
            MapMessage message = (MapMessage) round(t, options, session -> {
                MapMessage out = session.createMapMessage();
                out.setBoolean("boolean", true);
                out.setByte("byte", (byte) 1);
                out.setShort("short", (short) 2);
                out.setChar("char", 'c');
                out.setInt("int", 3);
                out.setLong("long", 4L);
                out.setFloat("float", 5.5f);
                out.setDouble("double", 6.5);
                out.setString("string", "ünï");
                out.setBytes("bytes", new byte[] {1, 2, 3});
                out.setObject("object", 9);
                return out;
            });
            equal(true, message.getBoolean("boolean"));
            equal((byte) 1, message.getByte("byte"));
            equal((short) 2, message.getShort("short"));
            equal('c', message.getChar("char"));
            equal(3, message.getInt("int"));
            equal(4L, message.getLong("long"));
            equal(5.5f, message.getFloat("float"));
            equal(6.5, message.getDouble("double"));
            equal("ünï", message.getString("string"));
            that(Arrays.equals(new byte[] {1, 2, 3}, message.getBytes("bytes")), "the same bytes");
            equal(9, message.getObject("object"));
            equal(true, message.itemExists("int"));
            equal(false, message.itemExists("absent"));
        });
        s.check(prefix + "empty map", t -> {
            MapMessage message = (MapMessage) round(t, options, Session::createMapMessage);
            equal(false, message.getMapNames().hasMoreElements());
        });
        s.check(prefix + "stream", t -> {
            StreamMessage message = (StreamMessage) round(t, options, session -> {
                StreamMessage out = session.createStreamMessage();
                out.writeBoolean(false);
                out.writeByte((byte) 7);
                out.writeShort((short) 8);
                out.writeChar('x');
                out.writeInt(9);
                out.writeLong(10);
                out.writeFloat(11.5f);
                out.writeDouble(12.5);
                out.writeString("s");
                out.writeBytes(new byte[] {4, 5});
                out.writeObject("o");
                return out;
            });
            equal(false, message.readBoolean());
            equal((byte) 7, message.readByte());
            equal((short) 8, message.readShort());
            equal('x', message.readChar());
            equal(9, message.readInt());
            equal(10L, message.readLong());
            equal(11.5f, message.readFloat());
            equal(12.5, message.readDouble());
            equal("s", message.readString());
            byte[] bytes = new byte[2];
            equal(2, message.readBytes(bytes));
            equal(-1, message.readBytes(bytes));
            equal("o", message.readObject());
            fails(MessageEOFException.class, message::readInt);
        });
        s.check(prefix + "object", t -> {
            ArrayList<String> list = new ArrayList<>(List.of("a", "b"));
            ObjectMessage message = (ObjectMessage) round(t, options + (options.isEmpty() ? "" : "&")
                    + "jms.trustAllPackages=true", session -> session.createObjectMessage(list));
            // The receiving connection decides what it trusts; java.lang and java.util need asking for.
            ((org.apache.activemq.command.ActiveMQObjectMessage) message).setTrustAllPackages(true);
            equal(list, message.getObject());
        });
        s.check(prefix + "object without a body", t -> {
            ObjectMessage message = (ObjectMessage) round(t, options, Session::createObjectMessage);
            equal(null, message.getObject());
        });
        s.check(prefix + "message without a body", t -> {
            Message message = round(t, options, session -> {
                Message out = session.createMessage();
                out.setStringProperty("k", "v");
                return out;
            });
            equal("v", message.getStringProperty("k"));
            that(!(message instanceof TextMessage) && !(message instanceof BytesMessage), "a plain message");
        });
        s.check(prefix + "blob reference", t -> {
            BlobMessage message = (BlobMessage) round(t, options, session ->
                    ((ActiveMQSession) session).createBlobMessage(url("http://localhost/file"), true));
            equal("http://localhost/file", message.getURL().toString());
        });
        s.check(prefix + "nested maps and lists in a map", t -> {
            Map<String, Object> inner = new HashMap<>();
            inner.put("k", 1);
            inner.put("list", new ArrayList<>(List.of("x", 2L, true)));
            MapMessage message = (MapMessage) round(t, options, session -> {
                MapMessage out = session.createMapMessage();
                out.setObject("inner", inner);
                return out;
            });
            Map<?, ?> got = (Map<?, ?>) message.getObject("inner");
            equal(1, got.get("k"));
            // Newer clients read text inside collections as a type of their own.
            equal("[x, 2, true]", String.valueOf(got.get("list")));
        });
    }

    private static java.net.URL url(String text) throws JMSException {
        try {
            return new java.net.URL(text);
        } catch (java.net.MalformedURLException e) {
            throw new JMSException(e.toString());
        }
    }

    private static void sizes(Suite s) {
        for (int size : new int[] {1, 1023, 65_535, 65_536, 1 << 20, 8 << 20}) {
            s.check("bytes of " + size, t -> {
                byte[] bytes = new byte[size];
                new Random(size).nextBytes(bytes);
                BytesMessage message = (BytesMessage) round(t, session -> {
                    BytesMessage out = session.createBytesMessage();
                    out.writeBytes(bytes);
                    return out;
                });
                byte[] got = new byte[size];
                message.readBytes(got);
                that(Arrays.equals(bytes, got), "the same bytes");
            });
        }
        s.check("text of 1 MiB", t -> {
            String text = "0123456789abcdeü".repeat(1 << 16);
            equal(text, T.textOf(round(t, session -> session.createTextMessage(text))));
        });
        s.check("compressed text of 1 MiB", t -> {
            String text = "0123456789abcdeü".repeat(1 << 16);
            equal(text, T.textOf(round(t, "jms.useCompression=true", session -> session.createTextMessage(text))));
        });
        s.check("a text property of 30,000 characters", t -> {
            String text = "x".repeat(30_000);
            Message message = round(t, session -> {
                Message out = session.createMessage();
                out.setStringProperty("long", text);
                return out;
            });
            equal(text, message.getStringProperty("long"));
        });
        s.check("a text property of 100,000 characters", t -> {
            String text = "y".repeat(100_000);
            Message message = round(t, session -> {
                Message out = session.createMessage();
                out.setStringProperty("long", text);
                return out;
            });
            equal(text, message.getStringProperty("long"));
        });
        s.check("500 properties", t -> {
            Message message = round(t, session -> {
                Message out = session.createMessage();
                for (int i = 0; i < 500; i++) {
                    out.setIntProperty("p" + i, i);
                }
                return out;
            });
            for (int i = 0; i < 500; i++) {
                equal(i, message.getIntProperty("p" + i));
            }
        });
        s.check("20 messages of 1 MiB in order", t -> {
            MessageProducer producer = t.auto().createProducer(t.queue());
            for (int i = 0; i < 20; i++) {
                BytesMessage out = t.auto().createBytesMessage();
                out.writeInt(i);
                out.writeBytes(new byte[1 << 20]);
                producer.send(out);
            }
            MessageConsumer consumer = t.consumer(t.queue());
            for (int i = 0; i < 20; i++) {
                BytesMessage message = (BytesMessage) next(consumer);
                equal(i, message.readInt());
                equal((1L << 20) + 4, message.getBodyLength());
            }
        });
    }

    private static void headers(Suite s) {
        s.check("message ids begin with ID: and differ", t -> {
            Set<String> ids = new TreeSet<>();
            t.send(t.queue(), "a", "b", "c");
            MessageConsumer consumer = t.consumer(t.queue());
            for (int i = 0; i < 3; i++) {
                String id = next(consumer).getJMSMessageID();
                that(id.startsWith("ID:"), "begins with ID:");
                ids.add(id);
            }
            equal(3, ids.size());
        });
        s.check("the receiver sees the sender's message id", t -> {
            Message sent = t.auto().createTextMessage("x");
            t.auto().createProducer(t.queue()).send(sent);
            equal(sent.getJMSMessageID(), next(t.consumer(t.queue())).getJMSMessageID());
        });
        s.check("the timestamp is the time of sending", t -> {
            long before = System.currentTimeMillis();
            t.send(t.queue(), "x");
            long after = System.currentTimeMillis();
            long stamp = next(t.consumer(t.queue())).getJMSTimestamp();
            that(stamp >= before && stamp <= after, "between " + before + " and " + after + ": " + stamp);
        });
        s.check("without timestamps", t -> {
            MessageProducer producer = t.auto().createProducer(t.queue());
            producer.setDisableMessageTimestamp(true);
            producer.send(t.auto().createTextMessage("x"));
            equal(0L, next(t.consumer(t.queue())).getJMSTimestamp());
        });
        s.check("correlation id", t -> {
            Message message = round(t, session -> {
                Message out = session.createMessage();
                out.setJMSCorrelationID("any text ü");
                return out;
            });
            equal("any text ü", message.getJMSCorrelationID());
        });
        s.check("correlation id as bytes", t -> {
            Message message = round(t, session -> {
                Message out = session.createMessage();
                out.setJMSCorrelationIDAsBytes("bytes".getBytes());
                return out;
            });
            equal("bytes", new String(message.getJMSCorrelationIDAsBytes()));
        });
        s.check("no correlation id", t -> equal(null, round(t, Session::createMessage).getJMSCorrelationID()));
        s.check("type", t -> {
            Message message = round(t, session -> {
                Message out = session.createMessage();
                out.setJMSType("kind");
                return out;
            });
            equal("kind", message.getJMSType());
        });
        s.check("no type", t -> equal(null, round(t, Session::createMessage).getJMSType()));
        s.check("reply to a queue", t -> {
            Message message = round(t, session -> {
                Message out = session.createMessage();
                out.setJMSReplyTo(t.queue("reply"));
                return out;
            });
            equal(t.queue("reply"), message.getJMSReplyTo());
        });
        s.check("reply to a topic", t -> {
            Message message = round(t, session -> {
                Message out = session.createMessage();
                out.setJMSReplyTo(t.topic("reply"));
                return out;
            });
            equal(t.topic("reply"), message.getJMSReplyTo());
        });
        s.check("no reply destination", t -> equal(null, round(t, Session::createMessage).getJMSReplyTo()));
        s.check("the destination", t -> equal(t.queue(), round(t, Session::createMessage).getJMSDestination()));
        s.check("delivery mode persistent is the default", t ->
                equal(DeliveryMode.PERSISTENT, round(t, Session::createMessage).getJMSDeliveryMode()));
        s.check("delivery mode non-persistent", t -> {
            t.sendNumbers(t.queue(), 0, 1);
            equal(DeliveryMode.NON_PERSISTENT, next(t.consumer(t.queue())).getJMSDeliveryMode());
        });
        s.check("the producer overrides header fields", t -> {
            Message message = round(t, session -> {
                Message out = session.createMessage();
                out.setJMSMessageID("ID:mine");
                out.setJMSPriority(9);
                out.setJMSExpiration(5);
                out.setJMSDestination(t.queue("elsewhere"));
                return out;
            });
            that(!message.getJMSMessageID().equals("ID:mine"), "a new id");
            equal(4, message.getJMSPriority());
            equal(0L, message.getJMSExpiration());
            equal(t.queue(), message.getJMSDestination());
        });
        s.check("times in the broker", t -> {
            t.send(t.queue(), "x");
            ActiveMQMessage message = (ActiveMQMessage) next(t.consumer(t.queue()));
            that(message.getBrokerInTime() > 0, "the time of arrival is set");
            that(message.getBrokerOutTime() >= message.getBrokerInTime(), "the time of dispatch is not earlier");
        });
        s.check("group header fields", t -> {
            Message message = round(t, session -> {
                Message out = session.createMessage();
                out.setStringProperty("JMSXGroupID", "g");
                out.setIntProperty("JMSXGroupSeq", 4);
                return out;
            });
            equal("g", message.getStringProperty("JMSXGroupID"));
            equal(4, message.getIntProperty("JMSXGroupSeq"));
        });
        s.check("without a user name there is no user id", t ->
                equal(null, round(t, Session::createMessage).getStringProperty("JMSXUserID")));
    }

    private static void properties(Suite s) {
        s.check("properties of every type", t -> {
            Message message = round(t, session -> {
                Message out = session.createTextMessage("x");
                out.setBooleanProperty("boolean", true);
                out.setByteProperty("byte", Byte.MIN_VALUE);
                out.setShortProperty("short", Short.MAX_VALUE);
                out.setIntProperty("int", Integer.MAX_VALUE);
                out.setLongProperty("long", Long.MIN_VALUE);
                out.setFloatProperty("float", Float.MIN_VALUE);
                out.setDoubleProperty("double", Double.MAX_VALUE);
                out.setStringProperty("string", "ünï");
                return out;
            });
            equal(true, message.getBooleanProperty("boolean"));
            equal(Byte.MIN_VALUE, message.getByteProperty("byte"));
            equal(Short.MAX_VALUE, message.getShortProperty("short"));
            equal(Integer.MAX_VALUE, message.getIntProperty("int"));
            equal(Long.MIN_VALUE, message.getLongProperty("long"));
            equal(Float.MIN_VALUE, message.getFloatProperty("float"));
            equal(Double.MAX_VALUE, message.getDoubleProperty("double"));
            equal("ünï", message.getStringProperty("string"));
        });
        s.check("properties keep their type", t -> {
            Message message = round(t, session -> {
                Message out = session.createTextMessage("x");
                out.setObjectProperty("int", 1);
                out.setObjectProperty("long", 2L);
                out.setObjectProperty("boolean", false);
                out.setObjectProperty("string", "s");
                return out;
            });
            equal(Integer.class, message.getObjectProperty("int").getClass());
            equal(Long.class, message.getObjectProperty("long").getClass());
            equal(Boolean.class, message.getObjectProperty("boolean").getClass());
            equal(String.class, message.getObjectProperty("string").getClass());
        });
        s.check("extreme doubles", t -> {
            Message message = round(t, session -> {
                Message out = session.createTextMessage("x");
                out.setDoubleProperty("nan", Double.NaN);
                out.setDoubleProperty("inf", Double.NEGATIVE_INFINITY);
                out.setDoubleProperty("zero", -0.0);
                return out;
            });
            equal(Double.NaN, message.getDoubleProperty("nan"));
            equal(Double.NEGATIVE_INFINITY, message.getDoubleProperty("inf"));
            equal(-0.0, message.getDoubleProperty("zero"));
        });
        s.check("empty and null text properties", t -> {
            Message message = round(t, session -> {
                Message out = session.createTextMessage("x");
                out.setStringProperty("empty", "");
                out.setStringProperty("null", null);
                return out;
            });
            equal("", message.getStringProperty("empty"));
            equal(null, message.getStringProperty("null"));
            equal(true, message.propertyExists("empty"));
        });
        s.check("property names are enumerated", t -> {
            Message message = round(t, session -> {
                Message out = session.createTextMessage("x");
                out.setIntProperty("one", 1);
                out.setIntProperty("two", 2);
                return out;
            });
            Set<String> names = new TreeSet<>();
            for (Object name : Collections.list(message.getPropertyNames())) {
                if (!name.toString().startsWith("JMS")) {
                    names.add(name.toString());
                }
            }
            equal(Set.of("one", "two"), names);
        });
        s.check("an absent property is null", t -> {
            Message message = round(t, Session::createMessage);
            equal(null, message.getStringProperty("absent"));
            equal(null, message.getObjectProperty("absent"));
            equal(false, message.propertyExists("absent"));
        });
        s.check("a received message is read-only", t -> {
            Message message = round(t, session -> session.createTextMessage("x"));
            fails(MessageNotWriteableException.class, () -> message.setIntProperty("a", 1));
            fails(MessageNotWriteableException.class, () -> ((TextMessage) message).setText("y"));
        });
        s.check("a cleared message can be written and sent on", t -> {
            Message message = round(t, session -> {
                Message out = session.createTextMessage("x");
                out.setIntProperty("a", 1);
                return out;
            });
            message.clearProperties();
            message.clearBody();
            ((TextMessage) message).setText("y");
            message.setIntProperty("b", 2);
            t.auto().createProducer(t.queue("2")).send(message);
            Message got = next(t.consumer(t.queue("2")));
            equal("y", T.textOf(got));
            equal(2, got.getIntProperty("b"));
            equal(false, got.propertyExists("a"));
        });
        s.check("properties with unusual names", t -> {
            Message message = round(t, session -> {
                Message out = session.createTextMessage("x");
                out.setIntProperty("with-dash", 1);
                out.setIntProperty("with.dot", 2);
                out.setIntProperty("ünï", 3);
                return out;
            });
            equal(1, message.getIntProperty("with-dash"));
            equal(2, message.getIntProperty("with.dot"));
            equal(3, message.getIntProperty("ünï"));
        });
        s.check("properties survive a rollback", t -> {
            Message out = t.auto().createTextMessage("x");
            out.setIntProperty("n", 5);
            t.auto().createProducer(t.queue()).send(out);
            Session tx = t.tx();
            MessageConsumer consumer = tx.createConsumer(t.queue());
            next(consumer);
            tx.rollback();
            equal(5, next(consumer).getIntProperty("n"));
            tx.commit();
        });
        s.check("a map as a property", t -> {
            Map<String, Object> map = new HashMap<>();
            map.put("k", "v");
            Message message = round(t, session -> {
                Message out = session.createTextMessage("x");
                out.setObjectProperty("map", map);
                return out;
            });
            equal("{k=v}", String.valueOf(message.getObjectProperty("map")));
        });
    }

    /** The same message in every way a client can be told to speak. */
    private static void encodings(Suite s) {
        List<String> ways = new ArrayList<>(List.of(
                "wireFormat.tightEncodingEnabled=false", "wireFormat.cacheEnabled=false",
                "wireFormat.tightEncodingEnabled=false&wireFormat.cacheEnabled=false",
                "wireFormat.sizePrefixDisabled=true",
                "wireFormat.stackTraceEnabled=false", "wireFormat.tcpNoDelayEnabled=false",
                "wireFormat.maxInactivityDuration=0", "jms.watchTopicAdvisories=false",
                "jms.dispatchAsync=false", "jms.alwaysSyncSend=true", "jms.useAsyncSend=true",
                "jms.alwaysSessionAsync=false", "jms.copyMessageOnSend=false", "jms.sendTimeout=5000",
                "jms.optimizedMessageDispatch=false", "jms.producerWindowSize=4096",
                "jms.nonBlockingRedelivery=true", "jms.transactedIndividualAck=true",
                "socket.tcpNoDelay=true", "soWriteTimeout=5000", "jms.closeTimeout=1000"));
        for (int version = 1; version <= 12; version++) {
            // The jars of the clients have marshallers for these versions only.
            if (version == 1 || version >= 9) {
                ways.add("wireFormat.version=" + version);
            }
        }
        for (String way : ways) {
            s.check("spoken with " + way, t -> {
                Connection connection = t.connect(way);
                Session session = T.autoOf(connection);
                MessageConsumer consumer = session.createConsumer(t.queue());
                MessageProducer producer = session.createProducer(t.queue());
                for (int i = 0; i < 100; i++) {
                    Message message = session.createTextMessage("text " + i);
                    message.setIntProperty("i", i);
                    message.setJMSReplyTo(t.queue("reply"));
                    producer.send(message);
                }
                for (int i = 0; i < 100; i++) {
                    Message message = next(consumer);
                    equal("text " + i, T.textOf(message));
                    equal(i, message.getIntProperty("i"));
                    equal(t.queue("reply"), message.getJMSReplyTo());
                }
                T.none(consumer);
            });
        }
        s.check("two ways of speaking meet", t -> {
            Session tight = T.autoOf(t.connect("wireFormat.tightEncodingEnabled=true"));
            Session loose = T.autoOf(t.connect("wireFormat.tightEncodingEnabled=false&wireFormat.cacheEnabled=false"));
            T.sendBy(tight, t.queue("1"), "from tight");
            T.sendBy(loose, t.queue("2"), "from loose");
            T.exactly(loose.createConsumer(t.queue("1")), "from tight");
            T.exactly(tight.createConsumer(t.queue("2")), "from loose");
        });
    }

    private Messages() { }
}
