//! A user brings an activemq.xml: what `check`, `config convert` and `run` make of it.

#![allow(clippy::panic, clippy::unwrap_used, reason = "what can not be set up ends the test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use ferromq_testkit::{Launch, Node, PATIENCE, Postgres, reserved_address};

const PROGRAM: &str = env!("CARGO_BIN_EXE_ferromq");

/// A pair on a shared folder, as the file of ActiveMQ says it.
const PAIR: &str = r##"<beans xmlns="http://www.springframework.org/schema/beans">
  <bean class="org.springframework.beans.factory.config.PropertyPlaceholderConfigurer"/>
  <broker xmlns="http://activemq.apache.org/schema/core" brokerName="pair" dataDirectory="${activemq.data}">
    <destinationPolicy><policyMap><policyEntries>
      <policyEntry queue="doomed.>"><deadLetterStrategy><individualDeadLetterStrategy queuePrefix="DLQ."/></deadLetterStrategy></policyEntry>
    </policyEntries></policyMap></destinationPolicy>
    <persistenceAdapter>
      <kahaDB directory="${activemq.data}/kahadb" lockKeepAlivePeriod="5000"><locker><shared-file-locker lockAcquireSleepInterval="2000"/></locker></kahaDB>
    </persistenceAdapter>
    <plugins><simpleAuthenticationPlugin anonymousAccessAllowed="${guests:false}"><users>
      <authenticationUser username="ann" password="${ann.password}" groups="users"/>
    </users></simpleAuthenticationPlugin></plugins>
    <transportConnectors><transportConnector name="openwire" uri="tcp://127.0.0.1:0?maximumConnections=1000"/></transportConnectors>
  </broker>
  <import resource="jetty.xml"/>
</beans>
"##;

fn written(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path
}

fn ferromq(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).env("ANN", "s3cret").output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_pair_on_a_shared_folder_is_master_and_standby() {
    let folder = tempfile::tempdir().unwrap();
    let file = written(folder.path(), "activemq.xml", PAIR);
    let data = folder.path().join("shared/kahadb");
    // The test kit names a folder and an address of its own; the rest is the file's.
    // Both have one name to their clients, as in ActiveMQ; port 0 is no difference here, so that they are told apart.
    let start = |node: &str| {
        Launch::new(PROGRAM)
            .data(&data)
            .arg("--config")
            .arg(format!("xbean:file:{}", file.display()))
            .arg("-Dann.password=s3cret")
            .arg("-D")
            .arg(format!("activemq.data={}", folder.path().join("shared").display()))
            .arg("--node")
            .arg(node)
            .start()
            .unwrap()
    };
    let master = start("a");
    let standby = start("b");
    assert!(standby.output().wait_for("role standby (master: a", PATIENCE).is_some());

    let send = |user: &[&str]| {
        let mut arguments = vec!["send", "--url", master.url()];
        arguments.extend(user);
        arguments.extend(["queue://q", "kept"]);
        ferromq(&arguments)
    };
    assert_ne!(send(&[]).status.code(), Some(0), "the file asks for a login");
    let sent = send(&["--user", "ann", "--password", "s3cret"]);
    assert_eq!(sent.status.code(), Some(0), "{}", String::from_utf8_lossy(&sent.stderr));

    master.kill();
    assert!(standby.output().wait_for("role active", PATIENCE).is_some());
    let got = ferromq(&[
        "receive",
        "--url",
        standby.url(),
        "--user",
        "ann",
        "--password",
        "s3cret",
        "queue://q",
        "--count",
        "1",
    ]);
    assert_eq!(out(&got), "kept\n", "{}", String::from_utf8_lossy(&got.stderr));
}

#[test]
fn check_tells_of_each_line_and_ends_with_the_code_that_fits() {
    let folder = tempfile::tempdir().unwrap();
    let file = written(folder.path(), "activemq.xml", PAIR);
    let path = file.to_str().unwrap();

    let right = ferromq(&["check", path, "-Dann.password=s3cret"]);
    let text = out(&right);
    assert_eq!(right.status.code(), Some(0), "{}", String::from_utf8_lossy(&right.stderr));
    assert!(text.contains("activemq.xml:8:15: supported: kahaDB directory: `broker.data_dir`"), "{text}");
    assert!(text.contains(": ignored: import of jetty.xml: there is no web console"), "{text}");
    assert!(text.contains(&format!("data_dir = \"{}/data/kahadb\"", folder.path().display())), "{text}");
    assert!(!text.contains("s3cret"), "no password is printed: {text}");

    let wrong =
        PAIR.replace("<plugins>", "<plugins><authorizationPlugin/>").replace("lockKeepAlive", "lockKepAlive");
    let file = written(folder.path(), "wrong.xml", &wrong);
    let refused = ferromq(&["check", file.to_str().unwrap(), "-Dann.password=ENC(x)", "--json"]);
    let text = out(&refused);
    assert_eq!(refused.status.code(), Some(64));
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let rejected = |subject: &str| {
        lines
            .iter()
            .any(|line| line["verdict"] == "rejected" && line["subject"].as_str().unwrap().contains(subject))
    };
    assert!(rejected("<authorizationPlugin>") && rejected("lockKepAlivePeriod"), "{text}");
    let encrypted = lines.iter().find(|line| line["subject"] == "authenticationUser password").unwrap();
    assert_eq!(encrypted["verdict"], "rejected", "{text}");
    assert!(encrypted["reason"].to_string().contains("this value is encrypted"), "{text}");
    assert_eq!(lines.last().unwrap()["result"], "refused");

    let started = ferromq(&["run", "--config", file.to_str().unwrap(), "-Dann.password=s3cret"]);
    assert_eq!(started.status.code(), Some(64), "what is refused by check is refused by run");
}

#[test]
fn what_is_converted_comes_to_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let file = written(folder.path(), "activemq.xml", &PAIR.replace("${ann.password}", "${ANN}"));
    let effective = |path: &Path| -> Vec<String> {
        let output = ferromq(&["check", path.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        let values = out(&output);
        let values =
            values.lines().filter(|line| !line.contains(": supported: ") && !line.contains(": ignored: "));
        let values = values.map(|line| line.split("  # ").next().unwrap_or_default().to_owned());
        values.filter(|line| !line.is_empty() && !line.contains(" supported, ")).collect()
    };
    let converted = ferromq(&["config", "convert", file.to_str().unwrap()]);
    assert_eq!(converted.status.code(), Some(0), "{}", String::from_utf8_lossy(&converted.stderr));
    let toml = written(folder.path(), "ferromq.toml", &out(&converted));
    assert_eq!(effective(&toml), effective(&file));
    assert!(out(&converted).contains("s3cret"), "the file can log users in");
}

#[test]
fn a_file_in_another_encoding_is_told_to_be_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("activemq.xml");
    let latin =
        [b"<?xml version='1.0' encoding='ISO-8859-1'?><!-- Stra", &[0xdf][..], b"e --><broker/>"].concat();
    fs::write(&path, latin).unwrap();
    let told = ferromq(&["check", path.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&told.stderr).into_owned();
    assert_eq!(told.status.code(), Some(64), "{said}");
    assert!(said.contains("save it in UTF-8") && !said.contains("--config"), "{said}");
}

/// A network connector that leads to `uri`, among what users of ActiveMQ have around it.
fn linked(folder: &Path, name: &str, uri: &str, attributes: &str) -> PathBuf {
    let text = format!(
        r##"<beans xmlns="http://www.springframework.org/schema/beans">
  <broker xmlns="http://activemq.apache.org/schema/core" brokerName="{name}" dataDirectory="${{activemq.data}}">
    <destinationPolicy><policyMap><policyEntries>
      <policyEntry queue="&gt;" enableAudit="false">
        <networkBridgeFilterFactory>
          <conditionalNetworkBridgeFilterFactory replayWhenNoConsumers="true" replayDelay="500"/>
        </networkBridgeFilterFactory>
      </policyEntry>
    </policyEntries></policyMap></destinationPolicy>
    <networkConnectors>
      <networkConnector name="from-{name}" uri="{uri}" {attributes} networkTTL="1" syncDurableSubs="true">
        <dynamicallyIncludedDestinations><queue physicalName="&gt;"/></dynamicallyIncludedDestinations>
        <excludedDestinations><queue physicalName="local.&gt;"/></excludedDestinations>
      </networkConnector>
    </networkConnectors>
    <persistenceAdapter><kahaDB directory="${{activemq.data}}/kahadb" lockKeepAlivePeriod="5000"/></persistenceAdapter>
    <transportConnectors>
      <transportConnector name="openwire" uri="tcp://127.0.0.1:0" auditNetworkProducers="true"/>
    </transportConnectors>
  </broker>
</beans>"##
    );
    written(folder, &format!("{name}.xml"), &text)
}

/// A node of the broker that a file describes.
fn node(file: &Path, name: &str, address: &str, data: &Path) -> Node {
    let launch = Launch::new(PROGRAM).arg("--config").arg(file).arg("--node").arg(name);
    let data_of_activemq = format!("activemq.data={}", data.display());
    launch.listen(address).data(data).arg("-D").arg(data_of_activemq).start().unwrap()
}

/// What comes from a queue of a broker, or of a pair; as much as was asked for.
fn received(url: &str, queue: &str, count: usize) -> Vec<String> {
    let count = count.to_string();
    let got = ferromq(&["receive", "--url", url, queue, "--count", &count, "--timeout", "30"]);
    out(&got).lines().map(str::to_owned).collect()
}

fn send_two(url: &str, queue: &str, names: [&str; 2]) {
    for name in names {
        let sent = ferromq(&["send", "--url", url, queue, name]);
        assert_eq!(sent.status.code(), Some(0), "{}", String::from_utf8_lossy(&sent.stderr));
    }
}

#[test]
fn files_of_two_pairs_link_them_and_a_master_that_dies_ends_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let addresses: Vec<String> = (0..4).map(|_| reserved_address()).collect();
    let [east_1, east_2, west_1, west_2] = addresses.as_slice() else { panic!("four addresses") };
    // One side as files are written now, the other as they were before `masterslave:`.
    let pair = |name: &str, uri: &str| linked(folder.path(), name, uri, "");
    let east = pair("east", &format!("masterslave:({west_1},{west_2})?maxReconnectDelay=5000"));
    let old = format!("static:(failover:({east_1},{east_2})?randomize=false&amp;maxReconnectAttempts=0)");
    let west = pair("west", &old);
    let (east_data, west_data) = (folder.path().join("east"), folder.path().join("west"));
    let _east = node(&east, "e1", east_1, &east_data);
    let _spare = node(&east, "e2", east_2, &east_data);
    let master = node(&west, "w1", west_1, &west_data);
    let standby = node(&west, "w2", west_2, &west_data);
    assert!(standby.output().wait_for("role standby (master: w1", PATIENCE).is_some());
    let (at_east, at_west) =
        (format!("failover:({east_1},{east_2})"), format!("failover:({west_1},{west_2})"));

    send_two(&at_east, "queue://westwards", ["one", "two"]);
    assert_eq!(received(&at_west, "queue://westwards", 2), ["one", "two"]);
    send_two(&at_west, "queue://eastwards", ["three", "four"]);
    assert_eq!(received(&at_east, "queue://eastwards", 2), ["three", "four"]);

    master.kill();
    assert!(standby.output().wait_for("role active", PATIENCE).is_some());
    send_two(&at_east, "queue://westwards", ["five", "six"]);
    assert_eq!(received(&at_west, "queue://westwards", 2), ["five", "six"]);
    send_two(&at_west, "queue://eastwards", ["seven", "eight"]);
    assert_eq!(received(&at_east, "queue://eastwards", 2), ["seven", "eight"]);
}

#[test]
fn nodes_on_different_databases_are_refused_by_the_doctor() {
    let folder = tempfile::tempdir().unwrap();
    let node = |name: &str, database: &str| {
        let text = format!(
            r##"<beans xmlns="http://www.springframework.org/schema/beans">
              <broker xmlns="http://activemq.apache.org/schema/core" brokerName="{name}">
                <persistenceAdapter><jdbcPersistenceAdapter dataSource="#pg"/></persistenceAdapter>
                <transportConnectors><transportConnector uri="tcp://127.0.0.1:0"/></transportConnectors>
              </broker>
              <bean id="pg" class="org.apache.commons.dbcp2.BasicDataSource"><property name="url" value="jdbc:postgresql://{database}"/></bean>
            </beans>"##
        );
        written(folder.path(), &format!("{name}.xml"), &text)
    };
    let (a, b) = (node("a", "db/activemq"), node("b", "db/activemq_test"));
    let found = ferromq(&["check", a.to_str().unwrap(), "--peers", b.to_str().unwrap()]);
    assert_eq!(found.status.code(), Some(64));
    assert!(out(&found).contains("use different databases"), "{}", out(&found));
}

#[test]
fn a_pair_on_one_database_is_master_and_standby_in_the_schema_of_its_prefix() {
    let Some(server) = Postgres::start_or_skip() else { return };
    let folder = tempfile::tempdir().unwrap();
    let text = r##"<beans xmlns="http://www.springframework.org/schema/beans">
      <broker xmlns="http://activemq.apache.org/schema/core" brokerName="shareddb">
        <persistenceAdapter>
          <jdbcPersistenceAdapter dataSource="#pg" lockKeepAlivePeriod="10000" lockDataSource="#pg">
            <locker><database-locker lockAcquireSleepInterval="5000"/></locker>
            <statements><statements tablePrefix="PRE_"/></statements>
          </jdbcPersistenceAdapter>
        </persistenceAdapter>
        <transportConnectors><transportConnector uri="tcp://127.0.0.1:0"/></transportConnectors>
      </broker>
      <bean id="pg" class="org.apache.commons.dbcp2.BasicDataSource" destroy-method="close">
        <property name="url" value="${database}"/>
      </bean>
    </beans>"##;
    let file = written(folder.path(), "activemq.xml", text);
    // The driver of Java writes the login behind the question mark.
    let url = server.url();
    let rest = url.strip_prefix("postgres://").unwrap();
    let database = match rest.split_once('@') {
        Some((user, address)) => format!("jdbc:postgresql://{address}?user={user}"),
        None => format!("jdbc:postgresql://{rest}"),
    };
    let start = |node: &str| {
        let launch =
            Launch::new(PROGRAM).arg("--config").arg(&file).arg("-D").arg(format!("database={database}"));
        launch.arg("--node").arg(node).start().unwrap()
    };
    let (master, standby) = (start("a"), start("b"));
    assert!(standby.output().wait_for("role standby (master: a", PATIENCE).is_some());
    let sent = ferromq(&["send", "--url", master.url(), "queue://q", "kept"]);
    assert_eq!(sent.status.code(), Some(0), "{}", String::from_utf8_lossy(&sent.stderr));
    master.kill();
    assert!(standby.output().wait_for("role active", PATIENCE).is_some());
    let got = ferromq(&["receive", "--url", standby.url(), "queue://q", "--count", "1"]);
    assert_eq!(out(&got), "kept\n", "{}", String::from_utf8_lossy(&got.stderr));
    let schemas = server.sql("SELECT nspname FROM pg_namespace");
    assert!(schemas.contains("ferromq_pre"), "{schemas}");
}

/// What a file of `crates/config/tests/xml` says in its comments: properties, variables, and files beside it.
fn beside(text: &str, folder: &Path) -> (Vec<String>, Vec<(String, String)>) {
    let (mut properties, mut variables) = (Vec::new(), Vec::new());
    for line in text.lines().filter_map(|line| line.trim().strip_prefix("<!-- ")?.strip_suffix(" -->")) {
        if let Some((name, value)) = line.strip_prefix("env ").and_then(|pair| pair.split_once('=')) {
            variables.push((name.to_owned(), value.to_owned()));
        } else if let Some(property) = line.strip_prefix("-D ") {
            properties.push(format!("-D{property}"));
        } else if let Some((path, text)) = line.strip_prefix("file ").and_then(|rest| rest.split_once(' ')) {
            let path = folder.join(path.trim_start_matches('/'));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text.replace("; ", "\n").replace('@', ";")).unwrap();
        }
    }
    (properties, variables)
}

#[test]
fn every_file_is_served_or_refused_as_it_is_checked() {
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/tests/xml");
    let (mut served, mut refused) = (0, 0);
    for entry in fs::read_dir(files).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "xml") {
            continue;
        }
        let name = path.file_name().unwrap().to_str().unwrap();
        let world = tempfile::tempdir().unwrap();
        let folder = world.path();
        // Nothing is written but in a folder of the test.
        let text = fs::read_to_string(&path).unwrap();
        let text = text.replace("=\"/", &format!("=\"{}/", folder.display()));
        let (properties, variables) = beside(&text, folder);
        fs::create_dir_all(folder.join("conf")).unwrap();
        let file = format!("conf/{name}");
        written(folder, &file, &text);

        let mut check = Command::new(PROGRAM);
        check.args(["check", &file]).args(&properties).envs(variables.iter().cloned()).current_dir(folder);
        let checked = check.output().unwrap();
        let told = out(&checked);
        if told.contains("= \"postgres") {
            // What is on a server of its own is run by other tests.
            continue;
        }
        let launch = Launch::new(PROGRAM).inside(folder).arg("--config").arg(&file);
        let launch = properties.iter().fold(launch, |launch, property| launch.arg(property));
        let launch = variables.iter().fold(launch, |launch, (name, value)| launch.env(name, value));
        if checked.status.code() == Some(0) {
            let node = launch.start().unwrap_or_else(|refused| panic!("{name}: {refused}"));
            assert_eq!(node.stop().code(), Some(0), "{name}");
            served += 1;
        } else {
            let told = launch.as_configured(1).start().expect_err(name);
            assert_eq!((checked.status.code(), told.code), (Some(64), Some(64)), "{name}: {told}");
            refused += 1;
        }
    }
    assert!(served > 20 && refused > 20, "{served} were served, {refused} refused");
}
