package interop;

import java.io.File;
import java.net.URI;
import java.util.HashMap;
import java.util.Map;
import org.apache.activemq.broker.BrokerService;
import org.apache.activemq.broker.TransportConnector;
import org.apache.activemq.network.NetworkConnector;
import org.apache.activemq.store.kahadb.KahaDBPersistenceAdapter;
import org.apache.activemq.store.kahadb.disk.journal.Journal;

/**
 * The real ActiveMQ in a process of its own, with the settings that FerroMQ is compared with: KahaDB that syncs each
 * write, system limits as in the shipped configuration, no scheduler; JMX as there if asked for with --jmx=true.
 *
 * Prints "listening on tcp://127.0.0.1:PORT" when ready, and ends when its standard input does.
 */
public final class BrokerMain {
    public static void main(String[] args) throws Exception {
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
            KahaDBPersistenceAdapter store = new KahaDBPersistenceAdapter();
            store.setDirectory(new File(data, "kahadb"));
            store.setJournalDiskSyncStrategy(Journal.JournalDiskSyncStrategy.ALWAYS.name());
            boolean concurrent = Boolean.parseBoolean(options.getOrDefault("concurrent", "true"));
            store.setConcurrentStoreAndDispatchQueues(concurrent);
            broker.setPersistenceAdapter(store);
        }
        broker.getSystemUsage().getMemoryUsage().setPercentOfJvmHeap(70);
        broker.getSystemUsage().getStoreUsage().setLimit(gib(options.getOrDefault("storeGib", "100")));
        broker.getSystemUsage().getTempUsage().setLimit(gib(options.getOrDefault("tempGib", "50")));
        String port = options.getOrDefault("port", "0");
        TransportConnector connector = broker.addConnector(new URI("tcp://127.0.0.1:" + port
                + "?maximumConnections=5000&wireFormat.maxFrameSize=104857600"));
        String discovery = options.get("discovery");
        if (discovery != null) {
            connector.setDiscoveryUri(new URI(discovery));
        }
        String network = options.get("network");
        if (network != null) {
            NetworkConnector link = broker.addNetworkConnector(network);
            link.setName("nc");
            link.setDuplex(Boolean.parseBoolean(options.getOrDefault("duplex", "false")));
        }
        broker.start();
        broker.waitUntilStarted();
        System.out.println("listening on tcp://127.0.0.1:" + connector.getConnectUri().getPort());
        System.out.flush();
        while (System.in.read() >= 0) {
            // Nothing is said on standard input; only its end matters.
        }
        broker.stop();
        broker.waitUntilStopped();
    }

    private static long gib(String number) {
        return Long.parseLong(number) << 30;
    }
}
