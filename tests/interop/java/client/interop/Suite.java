package interop;

import java.util.ArrayList;
import java.util.List;

/** The checks, collected area by area. */
final class Suite {
    /** What one check does with its context; returning normally is success. */
    interface Body {
        void run(T t) throws Exception;
    }

    /**
     * One small statement about a broker.
     *
     * @param better FerroMQ must do this and ActiveMQ does not; such a check is skipped on ActiveMQ
     * @param since the first client line it applies to, as 516, 519 or 600
     */
    record Check(String area, String name, boolean better, int since, int seconds, Body body) {
        String id() {
            return area + "." + name;
        }
    }

    final List<Check> checks = new ArrayList<>();
    private String area;

    void area(String name) {
        area = name;
    }

    void check(String name, Body body) {
        add(name, false, 516, 10, body);
    }

    void slow(String name, int seconds, Body body) {
        add(name, false, 516, seconds, body);
    }

    void better(String name, int seconds, Body body) {
        add(name, true, 516, seconds, body);
    }

    void since(int line, String name, Body body) {
        add(name, false, line, 10, body);
    }

    private void add(String name, boolean better, int since, int seconds, Body body) {
        Check check = new Check(area, name, better, since, seconds, body);
        if (checks.stream().anyMatch(other -> other.id().equals(check.id()))) {
            throw new IllegalStateException("two checks are named " + check.id());
        }
        checks.add(check);
    }

    /** What is checked of any broker, in the order in which it is run. */
    static Suite all() {
        Suite suite = new Suite();
        suite.area("queue");
        Queues.describe(suite);
        suite.area("topic");
        Topics.describe(suite);
        suite.area("durable");
        Durables.describe(suite);
        suite.area("ack");
        Acks.describe(suite);
        suite.area("transaction");
        Transactions.describe(suite);
        suite.area("selector");
        Selectors.describe(suite);
        suite.area("browser");
        Browsers.describe(suite);
        suite.area("message");
        Messages.describe(suite);
        suite.area("destination");
        Destinations.describe(suite);
        suite.area("request");
        Requests.describe(suite);
        suite.area("connection");
        Connections.describe(suite);
        suite.area("group");
        Groups.describe(suite);
        suite.area("advisory");
        Advisories.describe(suite);
        return suite;
    }

    /** What is checked of a broker with little memory. */
    static Suite ofLittleMemory() {
        Suite suite = new Suite();
        suite.area("spool");
        Spool.describe(suite);
        return suite;
    }
}
