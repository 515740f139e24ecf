package interop;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/**
 * Runs the checks against one broker and prints a line for each, then "N passed, M failed, K skipped".
 *
 * Options: --url=URL --line=5.16|5.19|6 --only=AREA or AREA.NAME --against=activemq|ferromq --parallel=N --list=true
 * --memory=BYTES (the broker has no more, and only what is about that is checked; -Dinterop.data is its folder)
 */
public final class Conformance {
    private enum Outcome { PASSED, FAILED, SKIPPED }

    private final String url;
    private final int line;
    private final boolean real;
    private final String run;
    private final ExecutorService watched = Executors.newCachedThreadPool(task -> {
        Thread thread = new Thread(task, "check");
        thread.setDaemon(true);
        return thread;
    });

    private Conformance(String url, int line, boolean real) {
        this.url = url;
        this.line = line;
        this.real = real;
        this.run = Long.toString(System.currentTimeMillis() % 100_000_000L, 36);
    }

    public static void main(String[] args) throws Exception {
        Map<String, String> options = options(args);
        List<Suite.Check> checks = Suite.all().checks;
        if (options.containsKey("memory")) {
            checks = Suite.ofLittleMemory().checks;
        } else if (options.containsKey("list")) {
            checks.addAll(Suite.ofLittleMemory().checks);
        }
        String only = options.getOrDefault("only", "");
        if (!only.isEmpty()) {
            List<String> wanted = List.of(only.split(","));
            checks.removeIf(check -> !wanted.contains(check.area()) && !wanted.contains(check.id()));
        }
        if (options.containsKey("list")) {
            checks.forEach(check -> System.out.println(check.id()));
            return;
        }
        int line = switch (options.getOrDefault("line", "5.19")) {
            case "5.16" -> 516;
            case "5.19" -> 519;
            default -> 600;
        };
        boolean real = options.getOrDefault("against", "ferromq").equals("activemq");
        Conformance conformance = new Conformance(options.get("url"), line, real);
        int failed = conformance.runAll(checks, Integer.parseInt(options.getOrDefault("parallel", "4")));
        // Clients of a broker that misbehaved may have left threads that are not daemons.
        System.out.flush();
        Runtime.getRuntime().halt(failed == 0 ? 0 : 1);
    }

    static Map<String, String> options(String[] args) {
        Map<String, String> options = new HashMap<>();
        for (String arg : args) {
            int equals = arg.indexOf('=');
            if (!arg.startsWith("--") || equals < 0) {
                throw new IllegalArgumentException("expected --name=value, got " + arg);
            }
            options.put(arg.substring(2, equals), arg.substring(equals + 1));
        }
        return options;
    }

    private int runAll(List<Suite.Check> checks, int parallel) throws Exception {
        ExecutorService lanes = Executors.newFixedThreadPool(parallel);
        List<Future<Outcome>> outcomes = new ArrayList<>();
        for (Suite.Check check : checks) {
            outcomes.add(lanes.submit(() -> runOne(check)));
        }
        int[] counts = new int[Outcome.values().length];
        for (Future<Outcome> outcome : outcomes) {
            counts[outcome.get().ordinal()]++;
        }
        lanes.shutdown();
        System.out.println(counts[0] + " passed, " + counts[1] + " failed, " + counts[2] + " skipped");
        return counts[1];
    }

    private Outcome runOne(Suite.Check check) {
        if (check.better() && real) {
            System.out.println("beyond " + check.id() + ": ActiveMQ cannot do this, FerroMQ must");
            return Outcome.SKIPPED;
        }
        if (check.since() > line) {
            System.out.println("beyond " + check.id() + ": not in this client line");
            return Outcome.SKIPPED;
        }
        T context = new T(url, line, check.area(), check.name(), run);
        String failure = null;
        Future<?> running = watched.submit(() -> {
            check.body().run(context);
            return null;
        });
        try {
            running.get(check.seconds(), TimeUnit.SECONDS);
        } catch (TimeoutException e) {
            failure = "not done within " + check.seconds() + " s";
        } catch (Exception e) {
            Throwable cause = e.getCause() == null ? e : e.getCause();
            failure = cause instanceof T.Failed ? cause.getMessage() + at(cause) : cause + at(cause);
        }
        // Closing is not part of the statement, but a close that hangs must not hold the lane.
        Future<?> closing = watched.submit(context::close);
        try {
            closing.get(5, TimeUnit.SECONDS);
        } catch (Exception e) {
            failure = failure == null ? "closing its connections took more than 5 s" : failure;
        }
        running.cancel(true);
        if (failure == null) {
            System.out.println("ok " + check.id());
            return Outcome.PASSED;
        }
        System.out.println("FAIL " + check.id() + ": " + failure.replace('\n', ' '));
        return Outcome.FAILED;
    }

    /** The line of the check at which it failed. */
    private static String at(Throwable thrown) {
        for (StackTraceElement element : thrown.getStackTrace()) {
            String file = String.valueOf(element.getFileName());
            if (element.getClassName().startsWith("interop.") && !file.equals("T.java")) {
                return " (" + file + ":" + element.getLineNumber() + ")";
            }
        }
        return "";
    }
}
