package interop;

import java.io.File;
import java.net.URI;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.activemq.broker.BrokerService;
import org.apache.activemq.broker.TransportConnector;
import org.apache.activemq.broker.region.policy.PolicyEntry;
import org.apache.activemq.broker.region.policy.PolicyMap;
import org.apache.activemq.command.ActiveMQDestination;
import org.apache.activemq.network.NetworkConnector;
import org.apache.activemq.store.PersistenceAdapter;
import org.apache.activemq.store.kahadb.KahaDBPersistenceAdapter;
import org.apache.activemq.store.kahadb.disk.journal.Journal;
import org.apache.activemq.util.IntrospectionSupport;

/**
 * The real ActiveMQ in a process of its own, with the settings that FerroMQ is compared with: KahaDB that syncs each
 * write, system limits as in the shipped configuration, no scheduler; JMX as there if asked for with --jmx=true.
 *
 * Prints "serving alone on tcp://127.0.0.1:PORT" and "listening on tcp://127.0.0.1:PORT" when ready, which it is only
 * once it has the lock of its store, and ends when its standard input does.
 *
 * Options: --port --name --data --persistent --concurrent --lockPoll=MILLISECONDS (between two looks at a lock that
 * somebody else has; not said, ActiveMQ's own) --memoryMib (not said, 70 % of the heap) --storeGib --tempGib --jmx
 * --discovery=URI --prioritized=NAME (queues whose messages are sorted by priority, with wildcards)
 * --network.NAME=URI|ATTRIBUTE=VALUE;… (a network connector; excludedDestinations, dynamicallyIncludedDestinations and
 * staticallyIncludedDestinations are lists with commas)
 */
public final class BrokerMain {
    private BrokerMain() {
    }

    /** Where a broker keeps its messages. */
    interface Store {
        PersistenceAdapter open(File data, Map<String, String> options) throws Exception;
    }

    public static void main(String[] args) throws Exception {
        run(args, BrokerMain::kahaDb);
    }

    static void run(String[] args, Store stores) throws Exception {
        Map<String, String> options = new HashMap<>();
        for (String arg : args) {
            int equals = arg.indexOf('=');
            if (!arg.startsWith("--") || equals < 0) {
                throw new IllegalArgumentException("expected --name=value, got " + arg);
            }
            options.put(arg.substring(2, equals), arg.substring(equals + 1));
        }
        File data = new File(options.getOrDefault("data", "activemq-data"));
        boolean persistent = Boolean.parseBoolean(options.getOrDefault("persistent", "true"));

        BrokerService broker = new BrokerService();
        broker.setBrokerName(options.getOrDefault("name", "activemq"));
        broker.setDataDirectoryFile(data);
        broker.setUseJmx(Boolean.parseBoolean(options.getOrDefault("jmx", "false")));
        broker.getManagementContext().setCreateConnector(false);
        broker.setUseShutdownHook(true);
        broker.setSchedulerSupport(false);
        broker.setPersistent(persistent);
        if (persistent) {
            broker.setPersistenceAdapter(stores.open(data, options));
        }
        String memory = options.get("memoryMib");
        if (memory == null) {
            broker.getSystemUsage().getMemoryUsage().setPercentOfJvmHeap(70);
        } else {
            broker.getSystemUsage().getMemoryUsage().setLimit(Long.parseLong(memory) << 20);
        }
        broker.getSystemUsage().getStoreUsage().setLimit(gib(options.getOrDefault("storeGib", "100")));
        broker.getSystemUsage().getTempUsage().setLimit(gib(options.getOrDefault("tempGib", "50")));
        String prioritized = options.get("prioritized");
        if (prioritized != null) {
            PolicyEntry entry = new PolicyEntry();
            entry.setQueue(prioritized);
            entry.setPrioritizedMessages(true);
            PolicyMap policies = new PolicyMap();
            policies.setPolicyEntries(List.of(entry));
            broker.setDestinationPolicy(policies);
        }
        // Bound when the broker starts to serve, as one from a configuration file is, and not before.
        TransportConnector connector = new TransportConnector();
        connector.setName("openwire");
        connector.setUri(new URI("tcp://127.0.0.1:" + options.getOrDefault("port", "0")
                + "?maximumConnections=5000&wireFormat.maxFrameSize=104857600"));
        String discovery = options.get("discovery");
        if (discovery != null) {
            connector.setDiscoveryUri(new URI(discovery));
        }
        broker.addConnector(connector);
        for (Map.Entry<String, String> option : options.entrySet()) {
            if (option.getKey().startsWith("network.")) {
                link(broker, option.getKey().substring("network.".length()), option.getValue());
            }
        }
        broker.start();
        broker.waitUntilStarted();
        String at = "tcp://127.0.0.1:" + broker.getTransportConnectors().get(0).getConnectUri().getPort();
        System.out.println("serving alone on " + at);
        System.out.println("listening on " + at);
        System.out.flush();
        while (System.in.read() >= 0) {
            // Nothing is said on standard input; only its end matters.
        }
        broker.stop();
        broker.waitUntilStopped();
    }

    private static PersistenceAdapter kahaDb(File data, Map<String, String> options) throws Exception {
        KahaDBPersistenceAdapter store = new KahaDBPersistenceAdapter();
        store.setDirectory(new File(data, "kahadb"));
        store.setJournalDiskSyncStrategy(Journal.JournalDiskSyncStrategy.ALWAYS.name());
        boolean concurrent = Boolean.parseBoolean(options.getOrDefault("concurrent", "true"));
        store.setConcurrentStoreAndDispatchQueues(concurrent);
        String poll = options.get("lockPoll");
        if (poll != null) {
            store.getLocker().setLockAcquireSleepInterval(Long.parseLong(poll));
        }
        return store;
    }

    private static void link(BrokerService broker, String name, String text) throws Exception {
        String[] parts = text.split("\\|", 2);
        NetworkConnector link = broker.addNetworkConnector(parts[0]);
        link.setName(name);
        for (String attribute : parts.length < 2 ? new String[0] : parts[1].split(";")) {
            String key = attribute.substring(0, attribute.indexOf('='));
            String value = attribute.substring(attribute.indexOf('=') + 1);
            switch (key) {
                case "excludedDestinations": link.setExcludedDestinations(destinations(value)); break;
                case "dynamicallyIncludedDestinations": link.setDynamicallyIncludedDestinations(destinations(value)); break;
                case "staticallyIncludedDestinations": link.setStaticallyIncludedDestinations(destinations(value)); break;
                default:
                    if (!IntrospectionSupport.setProperty(link, key, value)) {
                        throw new IllegalArgumentException("a network connector has no attribute " + key);
                    }
            }
        }
    }

    private static List<ActiveMQDestination> destinations(String names) {
        List<ActiveMQDestination> all = new ArrayList<>();
        for (String name : names.split(",")) {
            all.add(ActiveMQDestination.createDestination(name, ActiveMQDestination.QUEUE_TYPE));
        }
        return all;
    }

    private static long gib(String number) {
        return Long.parseLong(number) << 30;
    }
}
