//! Recorded conversations of real clients with a real broker, played again: the client's frames go to this broker,
//! and its answers are compared with the recorded ones.
//!
//! Equivalent means: the same answer to each request, the same messages in the same order for each consumer, the
//! same grants, failures and orders to consumers. Ids of the broker, times and sequences of the store differ, and so
//! may the interleaving of answers and deliveries.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are not under cfg(test)")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use broker::Broker;
use ferromq_engine::{AbortSlow, Policies, Policy, Settings};
use ferromq_gateway::{Credentials, Login, LoginRefused, SessionSettings};
use ferromq_model::{Text, WallTime};
use ferromq_openwire::json::from_hex;
use ferromq_openwire::{
    Command, Framer, Limits, Message, Negotiated, ObjectId, Throwable, WireFormat, WireFormatInfo,
    WireFormatOptions, WireStr,
};
use serde_json::Value as Json;

mod broker;

/// Conversations with a play of their own below, or elsewhere.
const ELSEWHERE: &[&str] =
    // A bridge is no client; bridges have their own replay.
    &["network-bridge-", "failover-cluster", "slow-consumer-abort", "xa-transaction"];

#[derive(Debug)]
struct RecordedUser;

impl Login for RecordedUser {
    fn authenticate(&self, shown: Credentials<'_>) -> Result<(), LoginRefused> {
        match (shown.user, shown.password) {
            (None, _) | (Some("u"), Some("secret")) => Ok(()),
            (user, _) => Err(LoginRefused::wrong_credentials(user)),
        }
    }
}

/// One TCP connection, recorded and played.
struct Line {
    /// Reads the recorded frames of either side.
    recorded_client: WireFormat,
    recorded_broker: WireFormat,
    /// Writes to, and reads from, our broker.
    to_us: WireFormat,
    from_us: WireFormat,
    framer: Framer,
    /// The client has taken its leave: in which order its own consumers end, and so which of them learn of the
    /// others' end, is nobody's business.
    departed: bool,
    client_greeting: Option<WireFormatInfo>,
    broker_greeting: Option<WireFormatInfo>,
    expected: Summary,
    got: Summary,
}

/// What a client experienced.
#[derive(Debug, Default, PartialEq)]
struct Summary {
    /// By the command that asked.
    answers: BTreeMap<i32, String>,
    /// By consumer and priority, in order: whether one of a higher priority overtakes is a matter of microseconds.
    deliveries: BTreeMap<(String, i8), Vec<String>>,
    /// By consumer, sorted: advisories of different objects have no order among each other.
    advisories: BTreeMap<String, Vec<String>>,
    grants: Vec<(String, i32)>,
    failures: Vec<String>,
    /// Sorted: greetings, orders to consumers and the like.
    others: Vec<String>,
}

fn text(text: &Option<WireStr>) -> String {
    text.as_ref().map(|text| text.to_str().into_owned()).unwrap_or_default()
}

fn class(exception: &Option<Arc<Throwable>>) -> String {
    exception.as_ref().map(|exception| text(&exception.class)).unwrap_or_default()
}

fn message(message: &Message) -> String {
    let id = message.message_id.as_ref().unwrap();
    format!(
        "{} at {} from {:?} n{} p{} r{} x{} {:?} body {:?}",
        id,
        message.destination.as_ref().unwrap(),
        message.original_destination.as_ref().map(ToString::to_string),
        u8::from(message.persistent),
        message.priority,
        message.redelivery_counter,
        message.expiration,
        message.kind,
        message.content
    )
}

fn structure(command: &Command) -> String {
    match command {
        Command::DestinationInfo(info) => {
            format!("DestinationInfo {} {}", info.operation_type, info.destination.as_ref().unwrap())
        }
        Command::ConsumerInfo(info) => format!("ConsumerInfo {}", info.consumer_id.as_ref().unwrap()),
        Command::ProducerInfo(info) => format!("ProducerInfo {}", info.producer_id.as_ref().unwrap()),
        Command::RemoveInfo(info) => format!("RemoveInfo {:?}", info.object_id),
        other => other.type_name().to_owned(),
    }
}

impl Summary {
    fn add(&mut self, command: &Command) {
        match command {
            Command::Response(r) => self.answer(r.correlation_id, "done".into()),
            Command::IntegerResponse(r) => self.answer(r.correlation_id, format!("number {}", r.result)),
            Command::DataArrayResponse(r) => {
                self.answer(
                    r.correlation_id,
                    format!("array {}", r.data.as_ref().map_or(0, |data| data.len())),
                );
            }
            Command::ExceptionResponse(r) => {
                self.answer(r.correlation_id, format!("failed with {}", class(&r.exception)));
            }
            Command::ConnectionError(error) => self.failures.push(class(&error.exception)),
            Command::ProducerAck(ack) => {
                self.grants.push((ack.producer_id.as_ref().unwrap().to_string(), ack.size));
            }
            Command::MessageDispatch(dispatch) => {
                let consumer = dispatch.consumer_id.as_ref().unwrap().to_string();
                let Some(sent) = &dispatch.message else {
                    return self.deliveries.entry((consumer, -1)).or_default().push("the end".into());
                };
                if text(&sent.jms_type) == "Advisory" {
                    let place = sent.destination.as_ref().unwrap();
                    let about = sent.data_structure.as_deref().map(structure).unwrap_or_default();
                    self.advisories.entry(consumer).or_default().push(format!("{place}: {about}"));
                } else {
                    let line = format!("{} again {}", message(sent), dispatch.redelivery_counter);
                    self.deliveries.entry((consumer, sent.priority)).or_default().push(line);
                }
            }
            Command::KeepAliveInfo(_) => {}
            Command::ConsumerControl(control) => self.others.push(format!(
                "ConsumerControl {} close {} prefetch {}",
                control.consumer_id.as_ref().unwrap(),
                control.close,
                control.prefetch
            )),
            other => self.others.push(other.type_name().to_owned()),
        }
    }

    fn answer(&mut self, correlation_id: i32, answer: String) {
        let before = self.answers.insert(correlation_id, answer);
        assert_eq!(before, None, "command {correlation_id} is answered once");
    }

    fn sort(&mut self) {
        self.others.sort();
        self.grants.sort();
        self.advisories.values_mut().for_each(|advisories| advisories.sort());
    }
}

impl Line {
    fn new() -> Self {
        let greeting = || WireFormat::new(Limits::default());
        Self {
            recorded_client: greeting(),
            recorded_broker: greeting(),
            to_us: greeting(),
            from_us: greeting(),
            framer: Framer::new(1 << 30),
            departed: false,
            client_greeting: None,
            broker_greeting: None,
            expected: Summary::default(),
            got: Summary::default(),
        }
    }

    /// Switches to what was agreed, as soon as both recorded greetings are known.
    fn agree(&mut self) {
        let (Some(client), Some(broker)) = (&self.client_greeting, &self.broker_greeting) else { return };
        let options = |info| WireFormatOptions::from_info(info, &Limits::default()).unwrap();
        let agreed = Negotiated::between(&options(client), &options(broker)).unwrap();
        self.recorded_client = WireFormat::with(agreed.clone(), Limits::default());
        self.recorded_broker = WireFormat::with(agreed.clone(), Limits::default());
        self.to_us = WireFormat::with(agreed, Limits::default());
    }
}

/// The store's place of each message, as it was recorded and as it is here.
#[derive(Default)]
struct Places {
    recorded: BTreeMap<i64, String>,
    ours: BTreeMap<String, i64>,
}

impl Places {
    fn ours(&self, recorded: i64) -> i64 {
        self.recorded.get(&recorded).and_then(|id| self.ours.get(id)).copied().unwrap_or(recorded)
    }
}

fn place(command: &Command) -> Option<(String, i64)> {
    let Command::MessageDispatch(dispatch) = command else { return None };
    let id = dispatch.message.as_ref()?.message_id.as_ref()?;
    Some((id.to_string(), id.broker_sequence_id))
}

/// Plays one file; what was different.
fn play(file: &str, recording: &str) -> Vec<String> {
    play_with(file, recording, Settings::default())
}

/// The same with a broker of these settings.
fn play_with(file: &str, recording: &str, settings: Settings) -> Vec<String> {
    let engine = Settings { broker_name: Text::from("alpha"), ..settings };
    let mut sessions = SessionSettings::default();
    sessions.login = Arc::new(RecordedUser);
    let mut broker = Broker::new(engine, sessions, WallTime(recorded_start(recording)));
    let mut lines: BTreeMap<u64, Line> = BTreeMap::new();
    let mut places = Places::default();
    let mut clock_ms = 0;
    for entry in recording.lines() {
        let entry: Json = serde_json::from_str(entry).unwrap();
        let (conn, at_ms) = (entry["conn"].as_u64().unwrap(), entry["t_ms"].as_u64().unwrap());
        broker.pass(Duration::from_millis(at_ms.saturating_sub(clock_ms)));
        clock_ms = clock_ms.max(at_ms);
        listen(&mut broker, &mut lines, &mut places);
        if entry["event"] == "closed" {
            broker.lose(conn);
        }
        let Some(frame) = entry["hex"].as_str().and_then(from_hex) else { continue };
        let line = lines.entry(conn).or_insert_with(|| {
            broker.accept(conn);
            Line::new()
        });
        if entry["dir"] == "c>s" {
            say(&mut broker, conn, line, &frame, &places);
        } else {
            let command = line.recorded_broker.decode(frame[4..].to_vec().into()).unwrap();
            match &command {
                Command::WireFormatInfo(info) => {
                    line.broker_greeting = Some(info.clone());
                    line.agree();
                }
                command if line.departed && tells_of_an_end(command) => {}
                command if is_left_over(command, recording) => {}
                command => line.expected.add(command),
            }
            if let Some((id, sequence)) = place(&command) {
                places.recorded.insert(sequence, id);
            }
        }
        listen(&mut broker, &mut lines, &mut places);
    }
    let mut differences = Vec::new();
    for (conn, line) in &mut lines {
        assert_eq!(
            line.from_us.negotiated(),
            line.recorded_broker.negotiated(),
            "{file}: we agree on what the real broker agreed on"
        );
        line.expected.sort();
        line.got.sort();
        differences.extend(compare(file, *conn, &line.expected, &line.got));
    }
    differences
}

/// Whether this is an advisory about a consumer that ended.
fn tells_of_an_end(command: &Command) -> bool {
    let Command::MessageDispatch(dispatch) = command else { return false };
    let about = dispatch.message.as_ref().and_then(|message| message.data_structure.as_deref());
    matches!(about, Some(Command::RemoveInfo(info)) if matches!(info.object_id, Some(ObjectId::Consumer(_))))
}

/// Whether a delivery is of a message that an earlier conversation left in the recorded broker.
fn is_left_over(command: &Command, recording: &str) -> bool {
    let Command::MessageDispatch(dispatch) = command else { return false };
    let Some(message) = &dispatch.message else { return false };
    let producer = message.message_id.as_ref().and_then(|id| id.producer_id.as_ref());
    let Some(producer) = producer.filter(|_| text(&message.jms_type) != "Advisory") else { return false };
    !recording.contains(&format!("\"$type\":\"ConnectionId\",\"value\":\"{}\"", producer.connection()))
}

/// When the recorded broker received the first message, so that expiration times make sense.
fn recorded_start(recording: &str) -> i64 {
    for entry in recording.lines() {
        let entry: Json = serde_json::from_str(entry).unwrap();
        if let Some(timestamp) = entry["decoded"]["timestamp"].as_i64().filter(|_| entry["dir"] == "c>s") {
            return timestamp - entry["t_ms"].as_i64().unwrap();
        }
    }
    1_700_000_000_000
}

/// The recorded client's next frame, with the store's sequences put into ours.
fn say(broker: &mut Broker, conn: u64, line: &mut Line, frame: &[u8], places: &Places) {
    let mut command = line.recorded_client.decode(frame[4..].to_vec().into()).unwrap();
    if let Command::RemoveInfo(info) = &mut command {
        info.last_delivered_sequence_id = places.ours(info.last_delivered_sequence_id);
        line.departed |= matches!(info.object_id, Some(ObjectId::Connection(_)));
    }
    let mut bytes = Vec::new();
    line.to_us.encode(&command, &mut bytes).unwrap();
    broker.feed(conn, &bytes);
    if let Command::WireFormatInfo(info) = command {
        line.client_greeting = Some(info);
        line.agree();
    }
}

/// Takes what our broker says to everybody.
fn listen(broker: &mut Broker, lines: &mut BTreeMap<u64, Line>, places: &mut Places) {
    for (conn, line) in lines {
        let Some(client) = &line.client_greeting else { continue };
        let mut bytes = Vec::new();
        broker.sessions.get_mut(conn).unwrap().transmit(&mut bytes);
        line.framer.feed(&bytes);
        while let Some(frame) = line.framer.next_frame().unwrap() {
            let command = line.from_us.decode(frame).unwrap();
            match &command {
                Command::WireFormatInfo(info) => {
                    let options = WireFormatOptions::from_info(client, &Limits::default()).unwrap();
                    line.from_us.renegotiate(&options, info).unwrap();
                }
                command if line.departed && tells_of_an_end(command) => {}
                command => line.got.add(command),
            }
            places.ours.extend(place(&command));
        }
    }
}

fn compare(file: &str, conn: u64, expected: &Summary, got: &Summary) -> Vec<String> {
    let mut differences = Vec::new();
    macro_rules! part {
        ($($field:ident),*) => {$({
            let part = |summary: &Summary| format!("{:#?}", summary.$field);
            let (expected, got) = (part(expected), part(got));
            if expected != got {
                let only = |one: &str, other: &str| -> String {
                    one.lines().filter(|line| !other.contains(line)).map(|line| format!("\n    {line}")).collect()
                };
                differences.push(format!(
                    "{file} connection {conn} {}:\n  only the real broker:{}\n  only this broker:{}",
                    stringify!($field),
                    only(&expected, &got),
                    only(&got, &expected),
                ));
            }
        })*};
    }
    part!(answers, deliveries, advisories, grants, failures, others);
    differences
}

#[test]
fn conversations_of_real_clients_go_the_same_way() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/openwire/captures");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let (mut played, mut differences) = (0, Vec::new());
    for path in paths {
        let file = path.file_stem().unwrap().to_str().unwrap();
        if ELSEWHERE.iter().any(|prefix| file.starts_with(prefix)) {
            continue;
        }
        differences.extend(play(file, &std::fs::read_to_string(&path).unwrap()));
        played += 1;
    }
    assert!(played >= 18, "{played} conversations were found");
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

fn recording(file: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/openwire/captures");
    std::fs::read_to_string(format!("{folder}/{file}.jsonl")).unwrap()
}

#[test]
fn a_slow_consumer_is_told_to_go_as_the_real_broker_tells_it() {
    let file = "slow-consumer-abort.v12-tight-cache";
    // The recorded broker aborts who has not acknowledged for half a second, and looks every 300 ms.
    let slow = AbortSlow {
        by_acknowledgement: true,
        most: Duration::from_millis(500),
        period: Duration::from_millis(300),
        ..AbortSlow::default()
    };
    let policies = Policies::new(Policy { slow_consumers: Some(slow), ..Policy::default() });
    let differences = play_with(file, &recording(file), Settings { policies, ..Settings::default() });
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    let without = play(file, &recording(file));
    assert!(without.iter().any(|difference| difference.contains("close true")), "the policy makes it so");
}

#[test]
fn clients_that_move_to_another_broker_of_a_cluster_go_on_there() {
    let file = "failover-cluster.v12-tight-cache";
    for link in ["client-alpha", "client-beta"] {
        // How the cluster changes is told by brokers that are linked; here each client hears of it once.
        let mut told = BTreeMap::<u64, usize>::new();
        let here: Vec<String> = recording(file)
            .lines()
            .filter(|line| {
                let entry: Json = serde_json::from_str(line).unwrap();
                if entry["decoded"]["$type"] == "ConnectionControl" && entry["dir"] == "s>c" {
                    let told = told.entry(entry["conn"].as_u64().unwrap()).or_default();
                    *told += 1;
                    return entry["link"] == link && *told == 1;
                }
                entry["link"] == link
            })
            .map(str::to_owned)
            .collect();
        let differences = play(link, &here.join("\n"));
        assert!(differences.is_empty(), "{}", differences.join("\n"));
    }
}

#[test]
fn a_client_of_distributed_transactions_is_refused_those_and_nothing_else() {
    let file = "xa-transaction.v12-tight-cache";
    let differences = play(file, &recording(file));
    let [answers, failures] = differences.as_slice() else { panic!("{}", differences.join("\n")) };
    let ours = |difference: &str| difference.split_once("only this broker:").unwrap().1.to_owned();
    // Prepare, commit and rollback; to list what is prepared is no failure: there is nothing.
    let answers = ours(answers);
    for request in [7, 8, 10, 13, 14, 17, 18, 19] {
        assert!(
            answers.contains(&format!(" {request}: \"failed with javax.jms.JMSException\"")),
            "{answers}"
        );
    }
    assert!(answers.contains(" 9: \"array 0\""), "{answers}");
    assert_eq!(answers.lines().filter(|line| line.contains(':')).count(), 9, "{answers}");
    // Three times begin and send, which nobody waits for.
    assert_eq!(ours(failures).matches("javax.jms.JMSException").count(), 6, "{failures}");
}
