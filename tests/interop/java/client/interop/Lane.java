package interop;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;
import javax.jms.Destination;
import org.apache.activemq.command.ActiveMQTopic;

/** One destination with everything that was sent to it, and what is known of each message. */
final class Lane {
    /** A copy that left the broker longer before is none that a client still had: a calendar has jumped. */
    private static final long MOST_IN_CLIENT_MS = 60_000;

    /** What is known of one message. */
    private static final class Fate {
        final String batch;
        final long begun = System.nanoTime();
        volatile boolean answered;
        volatile boolean acknowledged;
        volatile long acknowledgedMs;
        volatile int deliveries;
        /** Consumers that had it as new, and as a repetition. */
        final Set<String> fresh = new HashSet<>();
        final Set<String> again = new HashSet<>();

        Fate(String batch) {
            this.batch = batch;
        }
    }

    final String name;
    final Destination destination;
    final AtomicLong answered = new AtomicLong();
    final AtomicLong came = new AtomicLong();
    final AtomicLong repeated = new AtomicLong();
    private final boolean real;
    private final Map<String, Fate> fates = new ConcurrentHashMap<>();
    private final Map<String, Long> newest = new ConcurrentHashMap<>();
    private final List<String> faults = new ArrayList<>();
    private final List<String> disorder = new ArrayList<>();
    private final AtomicLong handedOn = new AtomicLong();
    private final AtomicLong copies = new AtomicLong();
    /** When a consumer last began to close, or null. */
    private volatile Long left;

    /** @param real whether the broker is ActiveMQ itself, which promises less */
    Lane(String name, Destination destination, boolean real) {
        this.name = name;
        this.destination = destination;
        this.real = real;
    }

    private void fault(String text) {
        synchronized (faults) {
            faults.add(text);
        }
    }

    /** A message is about to be sent; those of one batch must all come or none. */
    void sending(String id, String batch) {
        fates.put(id, new Fate(batch));
    }

    /** The send, or the commit of the batch, was answered. */
    void answer(String id) {
        fates.get(id).answered = true;
        answered.incrementAndGet();
    }

    /** The acknowledgement was answered, on the connection by which the message came. */
    void acknowledged(String id) {
        Fate fate = fates.get(id);
        if (fate != null) {
            fate.acknowledgedMs = System.currentTimeMillis();
            fate.acknowledged = true;
        }
    }

    /** How many were answered and did not come yet. */
    long open() {
        return answered.get() - came.get();
    }

    /** A message came; what was acknowledged for certain must not, and what came before must say so. */
    void deliver(String consumer, String id, boolean flagged) {
        deliver(consumer, id, flagged, Long.MAX_VALUE);
    }

    /**
     * The same of a copy of which it is known when it left the broker, in milliseconds of the broker's calendar.
     *
     * A client that rolls back when its connection breaks keeps what it had, and gives it to the application once more;
     * beside that it has the copy that the next broker sends. If the first of the two is committed, the other is still to
     * come, though the broker sent nothing after its answer.
     */
    void deliver(String consumer, String id, boolean flagged, long leftMs) {
        Fate fate = fates.get(id);
        if (fate == null) {
            fault("never sent: " + id);
            return;
        }
        synchronized (fate) {
            fate.deliveries++;
            // What is sent to another consumer when a connection breaks, flagged, may be there before what was sent by
            // that connection. But a message is new only once, and deliveries to one consumer keep their order.
            boolean overtaken = fate.fresh.isEmpty() && !fate.again.contains(consumer);
            (flagged ? fate.again : fate.fresh).add(consumer);
            if (fate.deliveries == 1) {
                came.incrementAndGet();
            } else {
                repeated.incrementAndGet();
                // ActiveMQ answers the acknowledgement of a durable subscriber before it is on the disk, and
                // forgets over a kill what it had dispatched.
                long before = fate.acknowledgedMs - leftMs;
                if (fate.acknowledged && flagged && 0 < before && before < MOST_IN_CLIENT_MS) {
                    copies.incrementAndGet();
                } else if (fate.acknowledged && !(real && destination instanceof ActiveMQTopic)) {
                    fault("came again although its acknowledgement was answered: " + id);
                } else if (!real && !flagged && !overtaken) {
                    fault("came again without JMSRedelivered: " + id);
                }
            }
        }
    }

    /** A consumer is about to close: what it had and did not see goes to those that stay. */
    void leave() {
        left = System.nanoTime();
    }

    /**
     * Messages of one producer come to one consumer in the order in which they were sent, unless they are flagged, or
     * were with a consumer that closed after they had been sent.
     */
    void inOrder(String consumer, String producer, String id, long number, boolean flagged) {
        Long before = newest.merge(consumer + "<" + producer, number, Math::max);
        if (number >= before || flagged) {
            return;
        }
        Long closed = left;
        Fate fate = fates.get(id);
        if (closed != null && fate != null && fate.begun - closed < 0) {
            handedOn.incrementAndGet();
            return;
        }
        synchronized (disorder) {
            disorder.add(producer + "-" + number + " after " + before + " at " + consumer);
        }
    }

    /** What was answered and never came. */
    List<String> lost() {
        List<String> lost = new ArrayList<>();
        fates.forEach((id, fate) -> {
            if (fate.answered && fate.deliveries == 0) {
                lost.add(id);
            }
        });
        return lost;
    }

    /** Batches of which some messages came and others did not. */
    private List<String> torn() {
        Map<String, int[]> counts = new ConcurrentHashMap<>();
        fates.forEach((id, fate) -> {
            int[] count = counts.computeIfAbsent(fate.batch, key -> new int[2]);
            count[fate.deliveries > 0 ? 1 : 0]++;
        });
        List<String> torn = new ArrayList<>();
        counts.forEach((batch, count) -> {
            if (count[0] > 0 && count[1] > 0) {
                torn.add(batch + " (" + count[1] + " of " + (count[0] + count[1]) + " came)");
            }
        });
        return torn;
    }

    /** Prints the counts and a line for each statement; how many hold, and how many do not. */
    int[] verdict(String suite) {
        List<String> lost = lost();
        System.out.println("lane " + name + ": " + fates.size() + " sent, " + answered + " answered, " + came
                + " came, " + repeated + " came again, " + lost.size() + " lost, " + disorder.size() + " out of order, "
                + handedOn + " handed on by a consumer that closed, " + copies + " twice by a client that had both copies");
        Map<String, List<String>> statements = new TreeMap<>(Map.of(
                "nothing lost whose send was answered", lost,
                "nothing twice, nothing unflagged, nothing invented", faults,
                "in order, unless flagged", disorder,
                "transactions whole or not at all", torn()));
        int[] sums = new int[2];
        statements.forEach((statement, found) -> {
            if (found.isEmpty()) {
                sums[0]++;
                System.out.println("ok " + suite + "." + name + ": " + statement);
            } else {
                sums[1]++;
                System.out.println("FAIL " + suite + "." + name + ": not so: " + statement + ": " + found.size()
                        + " faults, the first: "
                        + T.shorten(found.subList(0, Math.min(5, found.size())).toString()));
            }
        });
        return sums;
    }
}
