package interop;

import java.util.Arrays;
import java.util.Map;
import javax.jms.Connection;
import org.apache.activemq.ActiveMQConnectionFactory;

/**
 * How long a new client takes until it is connected and logged in, when the first of its URIs is that of a standby.
 *
 * Options: --url=failover:(STANDBY,MASTER)?randomize=false --times=N --limit=MILLISECONDS
 */
public final class WrongFirst {
    public static void main(String[] args) throws Exception {
        Map<String, String> options = Conformance.options(args);
        int times = Integer.parseInt(options.getOrDefault("times", "200"));
        long limit = Long.parseLong(options.getOrDefault("limit", "100"));
        // The first ones load classes and compile.
        for (int i = 0; i < 20; i++) {
            micros(options.get("url"));
        }
        long[] all = new long[times];
        for (int i = 0; i < times; i++) {
            all[i] = micros(options.get("url"));
        }
        Arrays.sort(all);
        long p99 = all[Math.min(times - 1, times * 99 / 100)];
        String found = "standby first: p50 " + all[times / 2] / 1000.0 + " ms, p99 " + p99 / 1000.0 + " ms, longest "
                + all[times - 1] / 1000.0 + " ms of " + times;
        System.out.println(found);
        boolean holds = p99 < limit * 1000;
        System.out.println((holds ? "ok " : "FAIL ") + "wrong-first.time" + (holds ? "" : ": " + found));
        System.out.println((holds ? "1 passed, 0" : "0 passed, 1") + " failed, 0 skipped");
        System.out.flush();
        Runtime.getRuntime().halt(holds ? 0 : 1);
    }

    private static long micros(String url) throws Exception {
        long began = System.nanoTime();
        Connection connection = new ActiveMQConnectionFactory(url).createConnection();
        connection.start();
        long took = System.nanoTime() - began;
        connection.close();
        return took / 1000;
    }

    private WrongFirst() { }
}
