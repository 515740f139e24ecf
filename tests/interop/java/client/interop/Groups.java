package interop;

import static interop.T.autoOf;
import static interop.T.equal;
import static interop.T.exactly;
import static interop.T.expect;
import static interop.T.next;
import static interop.T.none;
import static interop.T.numbers;
import static interop.T.that;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import javax.jms.Connection;
import javax.jms.JMSException;
import javax.jms.Message;
import javax.jms.MessageConsumer;
import javax.jms.MessageProducer;
import javax.jms.Session;
import org.apache.activemq.command.ActiveMQQueue;

/** Message groups and exclusive consumers. */
final class Groups {
    private static Message grouped(T t, String text, String group) throws JMSException {
        Message message = t.auto().createTextMessage(text);
        message.setStringProperty("JMSXGroupID", group);
        return message;
    }

    private static List<Message> drainMessages(MessageConsumer consumer) throws JMSException {
        List<Message> got = new ArrayList<>();
        for (Message m = consumer.receive(1000); m != null; m = consumer.receive(T.SHORT)) {
            got.add(m);
        }
        return got;
    }

    static void describe(Suite s) {
        s.check("a group goes to one consumer", t -> {
            MessageConsumer a = autoOf(t.connect()).createConsumer(t.queue());
            MessageConsumer b = autoOf(t.connect()).createConsumer(t.queue());
            MessageProducer producer = t.auto().createProducer(t.queue());
            for (int i = 0; i < 20; i++) {
                producer.send(grouped(t, "" + i, "g"));
            }
            List<String> one = T.drain(a);
            List<String> two = T.drain(b);
            equal(20, one.size() + two.size());
            that(one.isEmpty() || two.isEmpty(), "one of them got all");
            equal(java.util.Arrays.asList(numbers(0, 20)), one.isEmpty() ? two : one);
        });
        s.check("several groups are spread", t -> {
            MessageConsumer a = autoOf(t.connect()).createConsumer(t.queue());
            MessageConsumer b = autoOf(t.connect()).createConsumer(t.queue());
            MessageProducer producer = t.auto().createProducer(t.queue());
            for (int i = 0; i < 40; i++) {
                producer.send(grouped(t, "" + i, "g" + i % 4));
            }
            Map<String, String> owner = new HashMap<>();
            int[] counts = new int[2];
            for (int c = 0; c < 2; c++) {
                for (Message message : drainMessages(c == 0 ? a : b)) {
                    String group = message.getStringProperty("JMSXGroupID");
                    String before = owner.put(group, "" + c);
                    that(before == null || before.equals("" + c), "group " + group + " has one owner");
                    counts[c]++;
                }
            }
            equal(40, counts[0] + counts[1]);
            that(counts[0] > 0 && counts[1] > 0, "both consumers have groups");
        });
        s.check("the owner closes, another takes the group over", t -> {
            Connection leaving = t.connect();
            MessageConsumer a = autoOf(leaving).createConsumer(t.queue());
            MessageProducer producer = t.auto().createProducer(t.queue());
            producer.send(grouped(t, "1", "g"));
            expect(a, "1");
            MessageConsumer b = autoOf(t.connect()).createConsumer(t.queue());
            producer.send(grouped(t, "2", "g"));
            none(b);
            leaving.close();
            expect(b, "2");
            producer.send(grouped(t, "3", "g"));
            expect(b, "3");
        });
        s.check("the first message of a group for a consumer says so", t -> {
            MessageConsumer consumer = t.consumer(t.queue());
            MessageProducer producer = t.auto().createProducer(t.queue());
            producer.send(grouped(t, "1", "g"));
            producer.send(grouped(t, "2", "g"));
            equal(true, next(consumer).getBooleanProperty("JMSXGroupFirstForConsumer"));
            equal(false, next(consumer).getBooleanProperty("JMSXGroupFirstForConsumer"));
        });
        s.check("a negative sequence closes a group", t -> {
            MessageConsumer a = autoOf(t.connect()).createConsumer(t.queue());
            MessageProducer producer = t.auto().createProducer(t.queue());
            producer.send(grouped(t, "1", "g"));
            Message last = grouped(t, "2", "g");
            last.setIntProperty("JMSXGroupSeq", -1);
            producer.send(last);
            expect(a, "1", "2");
            producer.send(grouped(t, "3", "g"));
            equal(true, next(a).getBooleanProperty("JMSXGroupFirstForConsumer"));
        });
        s.check("messages without a group are shared as ever", t -> {
            MessageConsumer a = autoOf(t.connect()).createConsumer(t.queue());
            MessageConsumer b = autoOf(t.connect()).createConsumer(t.queue());
            t.send(t.queue(), numbers(0, 10));
            equal(5, T.drain(a).size());
            equal(5, T.drain(b).size());
        });
        s.check("order within a group", t -> {
            MessageProducer producer = t.auto().createProducer(t.queue());
            for (int i = 0; i < 30; i++) {
                producer.send(grouped(t, "" + i, i % 2 == 0 ? "even" : "odd"));
            }
            exactly(t.consumer(t.queue()), numbers(0, 30));
        });
        s.check("an exclusive consumer gets all", t -> {
            MessageConsumer exclusive =
                    t.consumer(new ActiveMQQueue(t.name("") + "?consumer.exclusive=true"));
            MessageConsumer plain = autoOf(t.connect()).createConsumer(t.queue());
            t.send(t.queue(), numbers(0, 10));
            expect(exclusive, numbers(0, 10));
            none(plain);
        });
        s.check("of two exclusive consumers the first gets all", t -> {
            MessageConsumer first = t.consumer(new ActiveMQQueue(t.name("") + "?consumer.exclusive=true"));
            MessageConsumer second =
                    autoOf(t.connect()).createConsumer(new ActiveMQQueue(t.name("") + "?consumer.exclusive=true"));
            t.send(t.queue(), numbers(0, 10));
            expect(first, numbers(0, 10));
            none(second);
        });
        s.check("the second exclusive consumer takes over", t -> {
            Connection leaving = t.connect();
            MessageConsumer first =
                    autoOf(leaving).createConsumer(new ActiveMQQueue(t.name("") + "?consumer.exclusive=true"));
            MessageConsumer second = t.consumer(new ActiveMQQueue(t.name("") + "?consumer.exclusive=true"));
            t.send(t.queue(), numbers(0, 6));
            expect(first, "0", "1");
            leaving.close();
            exactly(second, "2", "3", "4", "5");
        });
        s.check("the exclusive consumer of the higher priority gets all", t -> {
            MessageConsumer low = autoOf(t.connect())
                    .createConsumer(new ActiveMQQueue(t.name("") + "?consumer.exclusive=true&consumer.priority=1"));
            MessageConsumer high = autoOf(t.connect())
                    .createConsumer(new ActiveMQQueue(t.name("") + "?consumer.exclusive=true&consumer.priority=9"));
            t.send(t.queue(), numbers(0, 6));
            expect(high, numbers(0, 6));
            none(low);
        });
        s.check("groups and a transaction", t -> {
            MessageProducer producer = t.auto().createProducer(t.queue());
            for (int i = 0; i < 6; i++) {
                producer.send(grouped(t, "" + i, "g"));
            }
            Session tx = t.tx();
            MessageConsumer consumer = tx.createConsumer(t.queue());
            expect(consumer, numbers(0, 6));
            tx.rollback();
            expect(consumer, numbers(0, 6));
            tx.commit();
            none(consumer);
        });
    }

    private Groups() { }
}
