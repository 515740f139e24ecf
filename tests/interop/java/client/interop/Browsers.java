package interop;

import static interop.T.equal;
import static interop.T.exactly;
import static interop.T.expect;
import static interop.T.numbers;
import static interop.T.that;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Enumeration;
import java.util.List;
import javax.jms.Connection;
import javax.jms.JMSException;
import javax.jms.Message;
import javax.jms.MessageConsumer;
import javax.jms.QueueBrowser;
import javax.jms.Session;

/** Queue browsers: a look that disturbs nobody. */
final class Browsers {
    private static List<String> look(QueueBrowser browser) throws JMSException {
        List<String> seen = new ArrayList<>();
        Enumeration<?> messages = browser.getEnumeration();
        while (messages.hasMoreElements()) {
            Message message = (Message) messages.nextElement();
            if (message != null) {
                seen.add(T.textOf(message));
            }
        }
        browser.close();
        return seen;
    }

    private static List<String> look(T t) throws JMSException {
        return look(t.auto().createBrowser(t.queue()));
    }

    static void describe(Suite s) {
        s.check("sees all in order", t -> {
            t.send(t.queue(), numbers(0, 20));
            equal(Arrays.asList(numbers(0, 20)), look(t));
        });
        s.check("an empty queue", t -> equal(List.of(), look(t)));
        s.check("takes nothing away", t -> {
            t.send(t.queue(), "a", "b");
            equal(List.of("a", "b"), look(t));
            equal(List.of("a", "b"), look(t));
            exactly(t.consumer(t.queue()), "a", "b");
        });
        s.check("does not flag what it saw", t -> {
            t.send(t.queue(), "a");
            look(t);
            Message message = T.next(t.consumer(t.queue()));
            equal(false, message.getJMSRedelivered());
            equal(1, message.getIntProperty("JMSXDeliveryCount"));
        });
        s.check("does not see what was consumed", t -> {
            t.send(t.queue(), "a", "b", "c");
            MessageConsumer consumer = t.consumer(t.queue());
            expect(consumer, "a");
            consumer.close();
            equal(List.of("b", "c"), look(t));
        });
        s.check("sees what a consumer has prefetched", t -> {
            t.send(t.queue(), "a", "b");
            MessageConsumer idle = t.consumer(t.queue());
            Thread.sleep(T.SHORT);
            equal(List.of("a", "b"), look(t));
            exactly(idle, "a", "b");
        });
        s.check("while a consumer is at work each message is consumed once", t -> {
            t.send(t.queue(), numbers(0, 50));
            MessageConsumer consumer = t.consumer(t.queue());
            for (int i = 0; i < 50; i++) {
                expect(consumer, Integer.toString(i));
                if (i % 10 == 0) {
                    look(t);
                }
            }
            T.none(consumer);
        });
        s.check("uncommitted sends are not seen", t -> {
            Session tx = t.tx();
            T.sendBy(tx, t.queue(), "hidden");
            t.send(t.queue(), "shown");
            equal(List.of("shown"), look(t));
            tx.commit();
            equal(List.of("shown", "hidden"), look(t));
        });
        s.check("messages of an open consuming transaction are still seen", t -> {
            t.send(t.queue(), "a", "b");
            Session tx = t.tx();
            expect(tx.createConsumer(t.queue()), "a");
            equal(List.of("a", "b"), look(t));
        });
        s.check("two browsers at once", t -> {
            t.send(t.queue(), numbers(0, 10));
            Enumeration<?> one = t.auto().createBrowser(t.queue()).getEnumeration();
            Enumeration<?> two = t.auto().createBrowser(t.queue()).getEnumeration();
            for (int i = 0; i < 10; i++) {
                equal(Integer.toString(i), T.textOf((Message) one.nextElement()));
                equal(Integer.toString(i), T.textOf((Message) two.nextElement()));
            }
        });
        s.check("given up half way", t -> {
            t.send(t.queue(), numbers(0, 10));
            QueueBrowser browser = t.auto().createBrowser(t.queue());
            Enumeration<?> seen = browser.getEnumeration();
            equal("0", T.textOf((Message) seen.nextElement()));
            browser.close();
            exactly(t.consumer(t.queue()), numbers(0, 10));
        });
        s.check("through another connection", t -> {
            t.send(t.queue(), "a");
            Connection connection = t.connect();
            equal(List.of("a"), look(T.autoOf(connection).createBrowser(t.queue())));
        });
        s.check("more than the prefetch of a browser", t -> {
            t.sendNumbers(t.queue(), 0, 300);
            Connection connection = t.connect("jms.prefetchPolicy.queueBrowserPrefetch=50");
            equal(Arrays.asList(numbers(0, 300)), look(T.autoOf(connection).createBrowser(t.queue())));
        });
        s.better("a queue of 3,000 is seen whole", 20, t -> {
            t.sendNumbers(t.queue(), 0, 3000);
            equal(Arrays.asList(numbers(0, 3000)), look(t));
        });
        s.check("the body and the properties are seen", t -> {
            Message out = t.auto().createTextMessage("x");
            out.setIntProperty("n", 3);
            t.auto().createProducer(t.queue()).send(out);
            Enumeration<?> seen = t.auto().createBrowser(t.queue()).getEnumeration();
            Message message = (Message) seen.nextElement();
            equal(3, message.getIntProperty("n"));
            equal(out.getJMSMessageID(), message.getJMSMessageID());
        });
        s.check("the end comes although messages keep coming", t -> {
            t.send(t.queue(), numbers(0, 5));
            Enumeration<?> seen = t.auto().createBrowser(t.queue()).getEnumeration();
            int count = 0;
            while (seen.hasMoreElements() && count < 1000) {
                seen.nextElement();
                count++;
            }
            that(count >= 5 && count < 1000, "ended after " + count);
        });
        s.check("a browser tells its queue and selector", t -> {
            QueueBrowser browser = t.auto().createBrowser(t.queue(), "n = 1");
            equal(t.queue(), browser.getQueue());
            equal("n = 1", browser.getMessageSelector());
        });
        s.check("a dead-letter queue can be browsed", t -> {
            look(t.auto().createBrowser(t.auto().createQueue("ActiveMQ.DLQ"), "mark = 'nobody'"));
        });
    }

    private Browsers() { }
}
