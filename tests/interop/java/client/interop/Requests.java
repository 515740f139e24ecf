package interop;

import static interop.T.autoOf;
import static interop.T.equal;
import static interop.T.next;
import static interop.T.textOf;

import java.util.UUID;
import javax.jms.Connection;
import javax.jms.Destination;
import javax.jms.JMSException;
import javax.jms.Message;
import javax.jms.MessageConsumer;
import javax.jms.MessageProducer;
import javax.jms.QueueConnection;
import javax.jms.QueueRequestor;
import javax.jms.QueueSession;
import javax.jms.Session;
import javax.jms.TemporaryQueue;
import javax.jms.TopicConnection;
import javax.jms.TopicRequestor;
import javax.jms.TopicSession;

/** Request and reply in the ways that people do it. */
final class Requests {
    /** Answers each request with its text in upper case, to its reply destination. */
    private static void serve(T t, Destination from) throws JMSException {
        Session session = autoOf(t.connect());
        MessageProducer producer = session.createProducer(null);
        session.createConsumer(from).setMessageListener(request -> {
            try {
                Message reply = session.createTextMessage(textOf(request).toUpperCase());
                String id = request.getJMSCorrelationID();
                reply.setJMSCorrelationID(id == null ? request.getJMSMessageID() : id);
                producer.send(request.getJMSReplyTo(), reply);
            } catch (JMSException e) {
                throw new IllegalStateException(e);
            }
        });
    }

    static void describe(Suite s) {
        s.check("through a temporary queue", t -> {
            serve(t, t.queue());
            TemporaryQueue replies = t.auto().createTemporaryQueue();
            MessageConsumer consumer = t.consumer(replies);
            Message request = t.auto().createTextMessage("hello");
            request.setJMSReplyTo(replies);
            t.auto().createProducer(t.queue()).send(request);
            Message reply = next(consumer);
            equal("HELLO", textOf(reply));
            equal(request.getJMSMessageID(), reply.getJMSCorrelationID());
        });
        s.check("through a temporary topic", t -> {
            serve(t, t.queue());
            Destination replies = t.auto().createTemporaryTopic();
            MessageConsumer consumer = t.consumer(replies);
            Message request = t.auto().createTextMessage("hello");
            request.setJMSReplyTo(replies);
            t.auto().createProducer(t.queue()).send(request);
            equal("HELLO", textOf(next(consumer)));
        });
        s.check("a hundred requests over one temporary queue", t -> {
            serve(t, t.queue());
            TemporaryQueue replies = t.auto().createTemporaryQueue();
            MessageConsumer consumer = t.consumer(replies);
            MessageProducer producer = t.auto().createProducer(t.queue());
            for (int i = 0; i < 100; i++) {
                Message request = t.auto().createTextMessage("r" + i);
                request.setJMSReplyTo(replies);
                producer.send(request);
                equal("R" + i, textOf(next(consumer)));
            }
        });
        s.check("a temporary queue for each request", t -> {
            serve(t, t.queue());
            MessageProducer producer = t.auto().createProducer(t.queue());
            for (int i = 0; i < 20; i++) {
                TemporaryQueue replies = t.auto().createTemporaryQueue();
                MessageConsumer consumer = t.consumer(replies);
                Message request = t.auto().createTextMessage("r" + i);
                request.setJMSReplyTo(replies);
                producer.send(request);
                equal("R" + i, textOf(next(consumer)));
                consumer.close();
                replies.delete();
            }
        });
        s.check("a fixed reply queue with a selector on the correlation id", t -> {
            serve(t, t.queue());
            MessageProducer producer = t.auto().createProducer(t.queue());
            for (int i = 0; i < 10; i++) {
                String id = UUID.randomUUID().toString();
                Message request = t.auto().createTextMessage("r" + i);
                request.setJMSReplyTo(t.queue("replies"));
                request.setJMSCorrelationID(id);
                producer.send(request);
                MessageConsumer consumer =
                        t.auto().createConsumer(t.queue("replies"), "JMSCorrelationID = '" + id + "'");
                equal("R" + i, textOf(next(consumer)));
                consumer.close();
            }
        });
        s.check("QueueRequestor", t -> {
            serve(t, t.queue());
            QueueConnection connection = t.factory("").createQueueConnection();
            t.keep(connection);
            connection.start();
            QueueSession session = connection.createQueueSession(false, Session.AUTO_ACKNOWLEDGE);
            QueueRequestor requestor = new QueueRequestor(session, t.queue());
            equal("ONE", textOf(requestor.request(session.createTextMessage("one"))));
            equal("TWO", textOf(requestor.request(session.createTextMessage("two"))));
            requestor.close();
        });
        s.check("TopicRequestor", t -> {
            serve(t, t.topic());
            TopicConnection connection = t.factory("").createTopicConnection();
            t.keep(connection);
            connection.start();
            TopicSession session = connection.createTopicSession(false, Session.AUTO_ACKNOWLEDGE);
            TopicRequestor requestor = new TopicRequestor(session, t.topic());
            equal("ONE", textOf(requestor.request(session.createTextMessage("one"))));
            requestor.close();
        });
        s.check("several requesters at once", t -> {
            serve(t, t.queue());
            serve(t, t.queue());
            Connection[] connections = {t.connect(), t.connect(), t.connect()};
            MessageConsumer[] consumers = new MessageConsumer[3];
            for (int c = 0; c < 3; c++) {
                Session session = autoOf(connections[c]);
                TemporaryQueue replies = session.createTemporaryQueue();
                consumers[c] = session.createConsumer(replies);
                MessageProducer producer = session.createProducer(t.queue());
                for (int i = 0; i < 10; i++) {
                    Message request = session.createTextMessage("c" + c + "r" + i);
                    request.setJMSReplyTo(replies);
                    producer.send(request);
                }
            }
            for (int c = 0; c < 3; c++) {
                for (int i = 0; i < 10; i++) {
                    String text = T.text(consumers[c]);
                    T.that(text.startsWith("C" + c), "the reply of requester " + c + ": " + text);
                }
            }
        });
        s.check("a reply to a requester that is gone does not hurt the replier", t -> {
            Session replier = autoOf(t.connect());
            MessageConsumer requests = replier.createConsumer(t.queue());
            Connection gone = t.connect();
            Session session = autoOf(gone);
            Message request = session.createTextMessage("x");
            request.setJMSReplyTo(session.createTemporaryQueue());
            session.createProducer(t.queue()).send(request);
            Message received = next(requests);
            gone.close();
            Thread.sleep(T.SHORT);
            T.fails(JMSException.class, () -> T.sendBy(replier, received.getJMSReplyTo(), "late"));
            t.send(t.queue(), "next");
            T.expect(requests, "next");
        });
    }

    private Requests() { }
}
