package interop;

import java.io.File;
import java.util.Map;
import org.apache.activemq.store.PersistenceAdapter;
import org.apache.activemq.store.jdbc.JDBCPersistenceAdapter;
import org.apache.activemq.store.jdbc.LeaseDatabaseLocker;
import org.apache.commons.dbcp2.BasicDataSource;

/**
 * The real ActiveMQ on a database, with its lease as the lock: all that {@link BrokerMain} says, and
 * --jdbc=URL --user=NAME --lockPoll=MILLISECONDS --keepAlive=MILLISECONDS.
 */
public final class JdbcBrokerMain {
    private JdbcBrokerMain() {
    }

    public static void main(String[] args) throws Exception {
        BrokerMain.run(args, JdbcBrokerMain::database);
    }

    private static PersistenceAdapter database(File data, Map<String, String> options) throws Exception {
        BasicDataSource source = new BasicDataSource();
        source.setDriverClassName("org.postgresql.Driver");
        source.setUrl(options.get("jdbc"));
        source.setUsername(options.getOrDefault("user", "postgres"));
        // As in the shipped example of a pool.
        source.setMaxTotal(200);
        source.setPoolPreparedStatements(true);
        LeaseDatabaseLocker locker = new LeaseDatabaseLocker();
        locker.setLeaseHolderId(options.getOrDefault("name", "activemq"));
        locker.setLockAcquireSleepInterval(Long.parseLong(options.getOrDefault("lockPoll", "10000")));
        JDBCPersistenceAdapter store = new JDBCPersistenceAdapter();
        store.setDirectory(data);
        store.setDataSource(source);
        store.setLocker(locker);
        store.setLockKeepAlivePeriod(Long.parseLong(options.getOrDefault("keepAlive", "5000")));
        return store;
    }
}
