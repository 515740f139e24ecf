package interop;

import static interop.T.equal;
import static interop.T.exactly;
import static interop.T.expect;
import static interop.T.fails;
import static interop.T.none;
import static interop.T.numbers;
import static interop.T.take;

import java.util.List;
import javax.jms.DeliveryMode;
import javax.jms.InvalidSelectorException;
import javax.jms.Message;
import javax.jms.MessageConsumer;
import javax.jms.MessageProducer;
import javax.jms.Session;

/** Message selectors as a consumer sees them: the whole grammar, three-valued logic, header fields, mistakes. */
final class Selectors {
    static void describe(Suite s) {
        table(s);
        invalid(s);
        delivery(s);
    }

    /**
     * Each row is a selector and whether it matches the message of {@link #sample}. Rows that ActiveMQ decides in a
     * surprising way are marked as such.
     */
    private static final String[][] TABLE = {
        // comparisons
        {"i = 7", "yes"}, {"i <> 7", "no"}, {"i > 6", "yes"}, {"i >= 7", "yes"}, {"i < 7", "no"}, {"i <= 7", "yes"},
        {"i = 7.0", "yes"}, {"d = 2.5", "yes"}, {"d > 2", "yes"}, {"l = 5000000000", "yes"}, {"l > i", "yes"},
        {"f = 0.5", "yes"}, {"b = 1", "yes"}, {"sh = 300", "yes"}, {"-i = -7", "yes"}, {"i = -7", "no"},
        {"7 = i", "yes"}, {"i = +7", "yes"}, {"i = 0x7", "yes"}, {"i = 007", "yes"}, {"d = 25e-1", "yes"},
        {"d = 2.5E0", "yes"}, {"l = 5000000000L", "yes"},
        // text
        {"s = 'red'", "yes"}, {"s = 'Red'", "no"}, {"s <> 'blue'", "yes"}, {"q = 'it''s'", "yes"},
        {"e = ''", "yes"}, {"S = 'red'", "no"},
        // booleans
        {"t = TRUE", "yes"}, {"t = true", "yes"}, {"t <> FALSE", "yes"}, {"t", "yes"}, {"NOT t", "no"},
        {"n = FALSE", "yes"}, {"n", "no"}, {"TRUE", "yes"}, {"FALSE", "no"},
        // logic
        {"i = 7 AND s = 'red'", "yes"}, {"i = 7 AND s = 'blue'", "no"}, {"i = 8 OR s = 'red'", "yes"},
        {"i = 8 OR s = 'blue'", "no"}, {"NOT (i = 8)", "yes"},
        // NOT binds more tightly than a comparison
        {"NOT i = 8", "no"}, {"NOT t = FALSE", "yes"}, {"NOT (i = 7 AND s = 'red')", "no"},
        {"i = 8 OR i = 7 AND s = 'red'", "yes"}, {"(i = 7 OR i = 8) AND s = 'blue'", "no"},
        {"i = 7 and s = 'red'", "yes"}, {"i = 8 or s = 'red'", "yes"}, {"not (i = 8)", "yes"},
        // unknown
        {"absent = 1", "no"}, {"absent <> 1", "no"}, {"NOT (absent = 1)", "no"}, {"absent IS NULL", "yes"},
        {"absent IS NOT NULL", "no"}, {"i IS NULL", "no"}, {"i IS NOT NULL", "yes"},
        {"absent = 1 OR i = 7", "yes"}, {"absent = 1 AND i = 7", "no"}, {"NOT (absent = 1 AND i = 7)", "no"},
        {"NOT (absent = 1 AND i = 8)", "yes"}, {"absent IN ('a')", "no"}, {"absent NOT IN ('a')", "no"},
        {"absent LIKE '%'", "no"}, {"absent NOT LIKE 'x'", "no"}, {"absent BETWEEN 1 AND 2", "no"},
        {"absent", "no"}, {"NOT absent", "no"},
        // mixed types never match
        {"s = 7", "no"}, {"i = 'red'", "no"}, {"t = 1", "no"}, {"t = 'true'", "no"}, {"num = 12", "no"},
        // between
        {"i BETWEEN 5 AND 9", "yes"}, {"i BETWEEN 7 AND 7", "yes"}, {"i BETWEEN 8 AND 9", "no"},
        {"i NOT BETWEEN 8 AND 9", "yes"}, {"i NOT BETWEEN 5 AND 9", "no"}, {"d BETWEEN 2 AND 3", "yes"},
        {"i BETWEEN 9 AND 5", "no"}, {"i between 5 and 9", "yes"},
        // in
        {"s IN ('red', 'green')", "yes"}, {"s IN ('blue')", "no"}, {"s NOT IN ('blue')", "yes"},
        {"s NOT IN ('red', 'green')", "no"}, {"s in ('red')", "yes"},
        // like
        {"s LIKE 'red'", "yes"}, {"s LIKE 'r%'", "yes"}, {"s LIKE '%d'", "yes"}, {"s LIKE '%e%'", "yes"},
        {"s LIKE 'r_d'", "yes"}, {"s LIKE '_ed'", "yes"}, {"s LIKE 'r_'", "no"}, {"s LIKE 'R%'", "no"},
        {"s NOT LIKE 'b%'", "yes"}, {"s NOT LIKE 'r%'", "no"}, {"s LIKE '%'", "yes"}, {"e LIKE '%'", "yes"},
        {"pct LIKE '50!%' ESCAPE '!'", "yes"}, {"pct LIKE '5!%' ESCAPE '!'", "no"},
        {"us LIKE 'a\\_b' ESCAPE '\\'", "yes"}, {"us LIKE 'a\\_c' ESCAPE '\\'", "no"},
        {"dot LIKE 'a.b'", "yes"}, {"s LIKE 'r.d'", "no"}, {"par LIKE '(x)%'", "yes"}, {"s like 'r%'", "yes"},
        // arithmetic
        {"i + 1 = 8", "yes"}, {"i - 1 = 6", "yes"}, {"i * 2 = 14", "yes"}, {"i / 2 = 3", "no"}, {"i / 2 = 3.5", "yes"},
        {"i / 2.0 = 3.5", "yes"}, {"i + d = 9.5", "yes"}, {"2 + 3 * 4 = 14", "yes"}, {"(2 + 3) * 4 = 20", "yes"},
        {"10 - 4 - 3 = 3", "yes"}, {"i % 4 = 3", "yes"}, {"i * -1 = -7", "yes"}, {"absent + 1 = 2", "no"},
        {"i + 1 > 7 AND i - 1 < 7", "yes"}, {"-(i) = -7", "yes"},
        // header fields
        {"JMSPriority = 6", "yes"}, {"JMSPriority > 6", "no"}, {"JMSDeliveryMode = 'PERSISTENT'", "yes"},
        {"JMSDeliveryMode = 'NON_PERSISTENT'", "no"}, {"JMSCorrelationID = 'corr'", "yes"},
        {"JMSType = 'kind'", "yes"}, {"JMSType IN ('kind', 'other')", "yes"}, {"JMSMessageID LIKE 'ID:%'", "yes"},
        {"JMSTimestamp > 0", "yes"}, {"JMSMessageID IS NOT NULL", "yes"}, {"JMSReplyTo IS NULL", "yes"},
        {"JMSRedelivered = FALSE", "yes"}, {"JMSExpiration = 0", "yes"},
        {"JMSXGroupID = 'g'", "yes"}, {"JMSXGroupSeq = 3", "yes"}, {"JMSXDeliveryCount = 1", "yes"},
        // identifiers and spelling
        {"_under = 1", "yes"}, {"$dollar = 1", "yes"}, {"with_9digits = 1", "yes"},
        {"  i   =   7  ", "yes"}, {"i=7", "yes"}, {"i=7AND s='red'", "yes"},
        {"i = 7 /* a comment */", "yes"}, {"((((i = 7))))", "yes"},
    };

    private static Message sample(Session session, String text) throws Exception {
        Message m = session.createTextMessage(text);
        m.setIntProperty("i", 7);
        m.setLongProperty("l", 5_000_000_000L);
        m.setDoubleProperty("d", 2.5);
        m.setFloatProperty("f", 0.5f);
        m.setByteProperty("b", (byte) 1);
        m.setShortProperty("sh", (short) 300);
        m.setStringProperty("s", "red");
        m.setStringProperty("q", "it's");
        m.setStringProperty("e", "");
        m.setStringProperty("num", "12");
        m.setStringProperty("pct", "50%");
        m.setStringProperty("us", "a_b");
        m.setStringProperty("dot", "a.b");
        m.setStringProperty("par", "(x)y");
        m.setBooleanProperty("t", true);
        m.setBooleanProperty("n", false);
        m.setIntProperty("_under", 1);
        m.setIntProperty("$dollar", 1);
        m.setIntProperty("with_9digits", 1);
        m.setStringProperty("JMSXGroupID", "g");
        m.setIntProperty("JMSXGroupSeq", 3);
        m.setJMSCorrelationID("corr");
        m.setJMSType("kind");
        return m;
    }

    private static void table(Suite s) {
        for (String[] row : TABLE) {
            boolean matches = row[1].equals("yes");
            s.check("[" + row[0] + "]", t -> {
                // On a topic a message that does not match is gone, and an end mark shows when to stop looking.
                MessageConsumer consumer =
                        t.auto().createConsumer(t.topic(), "(" + row[0] + ") OR mark = TRUE");
                MessageProducer producer = t.auto().createProducer(t.topic());
                producer.send(sample(t.auto(), "sample"), DeliveryMode.PERSISTENT, 6, 0);
                Message mark = t.auto().createTextMessage("mark");
                mark.setBooleanProperty("mark", true);
                producer.send(mark);
                if (matches) {
                    expect(consumer, "sample", "mark");
                } else {
                    expect(consumer, "mark");
                }
            });
        }
    }

    private static final String[] INVALID = {
        "i =", "= 7", "i == 7", "i = 7 AND", "AND i = 7", "(i = 7", "i = 7)", "i LIKE 7", "s LIKE", "s LIKE r%",
        "i BETWEEN 1", "i BETWEEN 1 AND", "s IN ()", "s IN 'red'", "s IN ('red'", "i IS", "i IS 7", "NOT", "i 7",
        "s = 'red", "i = 7 i = 8", "i >< 7", "i = @", "s > 'blue'", "t > FALSE", "7", "'text'", "i + 1",
        "s LIKE 'a' ESCAPE 'xx'",
    };

    private static void invalid(Suite s) {
        for (String selector : INVALID) {
            s.check("invalid [" + selector + "]", t ->
                    fails(InvalidSelectorException.class, () -> t.auto().createConsumer(t.queue(), selector)));
        }
        s.check("after an invalid selector the session goes on", t -> {
            fails(InvalidSelectorException.class, () -> t.auto().createConsumer(t.queue(), "i ="));
            t.send(t.queue(), "a");
            exactly(t.consumer(t.queue()), "a");
        });
        s.check("an invalid selector of a browser", t -> fails(InvalidSelectorException.class, () ->
                t.auto().createBrowser(t.queue(), "i =").getEnumeration().hasMoreElements()));
    }

    private static void sendNumbered(T t, int from, int below) throws Exception {
        MessageProducer producer = t.auto().createProducer(t.queue());
        producer.setDeliveryMode(DeliveryMode.NON_PERSISTENT);
        for (int i = from; i < below; i++) {
            Message message = t.auto().createTextMessage(Integer.toString(i));
            message.setIntProperty("n", i);
            message.setIntProperty("mod", i % 3);
            producer.send(message);
        }
    }

    private static void delivery(Suite s) {
        s.check("a selector on a queue leaves the others", t -> {
            sendNumbered(t, 0, 9);
            exactly(t.auto().createConsumer(t.queue(), "mod = 1"), "1", "4", "7");
            t.left(t.queue(), "0", "2", "3", "5", "6", "8");
        });
        s.check("an empty selector takes all", t -> {
            sendNumbered(t, 0, 3);
            exactly(t.auto().createConsumer(t.queue(), ""), numbers(0, 3));
        });
        s.check("a blank selector takes all", t -> {
            sendNumbered(t, 0, 3);
            exactly(t.auto().createConsumer(t.queue(), "  "), numbers(0, 3));
        });
        s.check("consumers with different selectors share a queue", t -> {
            MessageConsumer zero = t.auto().createConsumer(t.queue(), "mod = 0");
            MessageConsumer one = t.auto().createConsumer(t.queue(), "mod = 1");
            MessageConsumer rest = t.auto().createConsumer(t.queue(), "mod NOT IN ('0') AND mod <> 1 OR mod = 2");
            sendNumbered(t, 0, 9);
            exactly(zero, "0", "3", "6");
            exactly(one, "1", "4", "7");
            exactly(rest, "2", "5", "8");
        });
        s.check("order with a selector", t -> {
            sendNumbered(t, 0, 90);
            List<String> got = take(t.auto().createConsumer(t.queue(), "mod = 0"), 30);
            for (int i = 0; i < 30; i++) {
                equal(Integer.toString(3 * i), got.get(i));
            }
        });
        s.check("a message that matches comes through a few that do not", t -> {
            MessageConsumer consumer = t.auto().createConsumer(t.queue(), "n = 99");
            sendNumbered(t, 0, 100);
            exactly(consumer, "99");
        });
        s.better("a message that matches comes through many that do not", 20, t -> {
            sendNumbered(t, 0, 3000);
            exactly(t.auto().createConsumer(t.queue(), "n = 2999"), "2999");
        });
        s.better("waiting behind many that do not match", 20, t -> {
            MessageConsumer consumer = t.auto().createConsumer(t.queue(), "n = 2999");
            sendNumbered(t, 0, 3000);
            exactly(consumer, "2999");
        });
        s.check("a selector through destination options", t -> {
            sendNumbered(t, 0, 6);
            exactly(t.consumer(t.auto().createQueue(t.name("") + "?consumer.selector=n%3D4")), "4");
        });
        s.check("a selector with prefetch 0", t -> {
            sendNumbered(t, 0, 6);
            MessageConsumer consumer =
                    t.auto().createConsumer(t.auto().createQueue(t.name("") + "?consumer.prefetchSize=0"), "n = 4");
            exactly(consumer, "4");
        });
        s.check("the consumer tells its selector", t ->
                equal("n = 1", t.auto().createConsumer(t.queue(), "n = 1").getMessageSelector()));
        s.check("a selector in a browser", t -> {
            sendNumbered(t, 0, 6);
            var seen = t.auto().createBrowser(t.queue(), "n > 3").getEnumeration();
            equal("4", T.textOf((Message) seen.nextElement()));
            equal("5", T.textOf((Message) seen.nextElement()));
            equal(false, seen.hasMoreElements());
        });
        s.check("rolled back messages match again", t -> {
            sendNumbered(t, 0, 3);
            Session tx = t.tx();
            MessageConsumer consumer = tx.createConsumer(t.queue(), "n = 1");
            expect(consumer, "1");
            tx.rollback();
            expect(consumer, "1");
            tx.commit();
            none(consumer);
        });
        s.check("a selector on another kind of message", t -> {
            MessageConsumer consumer = t.auto().createConsumer(t.queue(), "k = 'v'");
            javax.jms.BytesMessage bytes = t.auto().createBytesMessage();
            bytes.setStringProperty("k", "v");
            bytes.writeInt(5);
            t.auto().createProducer(t.queue()).send(bytes);
            equal(5, ((javax.jms.BytesMessage) T.next(consumer)).readInt());
        });
        s.check("convert_string_expressions compares numbers in text", t -> {
            MessageConsumer consumer =
                    t.auto().createConsumer(t.queue(), "convert_string_expressions:num = 12");
            t.auto().createProducer(t.queue()).send(sample(t.auto(), "x"));
            exactly(consumer, "x");
        });
    }

    private Selectors() { }
}
