//! What the engine costs for each message on its whole path: send, persist, deliver, acknowledge.
//!
//! `cargo run --release -p ferromq-engine --example speed`

use std::sync::Arc;
use std::time::Instant as Clock;

use bytes::Bytes;
use ferromq_engine::*;
use ferromq_model::*;

#[derive(Debug)]
struct NoProperties;

impl PropertyCodec for NoProperties {
    fn property(&self, _: Encoding, _: &Bytes, _: &str) -> Option<Value> {
        None
    }

    fn with_properties(&self, _: Encoding, raw: Option<&Bytes>, _: &[(&str, Value)]) -> Bytes {
        raw.cloned().unwrap_or_default()
    }
}

struct World {
    engine: Engine,
    out: Outputs,
    delivered: Vec<(ConnId, LocalId, MessageId)>,
    ticket: Ticket,
    outputs: u64,
}

impl World {
    fn say(&mut self, input: Input) {
        let now = Now { mono: Instant(1), wall: WallTime(1) };
        self.engine.handle(now, input, &mut self.out);
        for output in self.out.drain(..) {
            self.outputs += 1;
            match output {
                Output::Deliver { conn, consumer, delivery } => {
                    if let Some(message) = delivery.message {
                        self.delivered.push((conn, consumer, message.id.clone()));
                    }
                }
                Output::Persist(batch) => self.ticket = batch.ticket,
                _ => {}
            }
        }
    }

    fn intend(&mut self, conn: u64, intent: Intent) {
        self.say(Input::Intent { conn: ConnId(conn), tag: Some(Tag(1)), intent });
    }
}

fn run(name: &str, persistent: bool, destination: &Destination, consumers: u64, batch: i64) {
    let mut world = World {
        engine: Engine::new(Settings::default(), Arc::new(NoProperties), Epoch::default()),
        out: Vec::new(),
        delivered: Vec::new(),
        ticket: Ticket(0),
        outputs: 0,
    };
    for conn in 0..=consumers {
        let id = Text::from(format!("ID:client-{conn}"));
        world.say(Input::Attach { conn: ConnId(conn) });
        let facts =
            ConnectionFacts { connection: id.clone(), client_id: id.clone(), ..ConnectionFacts::default() };
        world.intend(conn, Intent::Connect(Arc::new(facts)));
        world.intend(conn, Intent::AddSession { session: 1 });
        if conn > 0 {
            world.intend(conn, Intent::AddConsumer(consumer(&id, destination)));
        }
    }
    let producer = ProducerId::new(Text::from_static("ID:client-0"), 1, 1);
    let body = Bytes::from(vec![7; 1024]);
    let rounds = 400_000 / batch;
    let mut sequence = 0;
    let begin = Clock::now();
    for _ in 0..rounds {
        for _ in 0..batch {
            sequence += 1;
            let mut message = Message::new(MessageId::new(producer.clone(), sequence), destination.clone());
            message.persistent = persistent;
            message.body = Some(body.clone());
            let message = Arc::new(message);
            world.intend(
                0,
                Intent::Send(SendRequest {
                    producer: producer.clone(),
                    message,
                    transaction: None,
                    window_bytes: 0,
                    position: None,
                }),
            );
        }
        if persistent {
            let upto = world.ticket;
            world.say(Input::Persisted { upto });
        }
        for (conn, consumer, id) in std::mem::take(&mut world.delivered) {
            let ack = AckRequest {
                consumer,
                kind: AckKind::Standard,
                first: Some(id.clone()),
                last: Some(id),
                count: 1,
                transaction: None,
                cause: None,
            };
            world.say(Input::Intent { conn, tag: None, intent: Intent::Ack(Box::new(ack)) });
        }
    }
    let each = begin.elapsed().as_nanos() as f64 / (rounds * batch) as f64;
    println!("{name:40} {each:7.0} ns for each message, {} outputs", world.outputs);
}

fn consumer(connection: &Text, destination: &Destination) -> Arc<ConsumerFacts> {
    Arc::new(ConsumerFacts {
        id: ConsumerId { connection: connection.clone(), session: 1, value: 1 },
        destination: destination.clone(),
        prefetch: 1000,
        selector: None,
        subscription: None,
        client_id: None,
        no_local: false,
        exclusive: false,
        retroactive: false,
        browser: false,
        priority: 0,
        maximum_pending: 0,
        dispatch_async: true,
        optimized_acknowledge: false,
        no_range_acks: false,
        network: false,
        broker_path: Vec::new(),
        network_path: Vec::new(),
        network_filter: None,
    })
}

fn main() {
    let (queue, topic) = (Destination::queue("speed"), Destination::topic("speed"));
    run("queue, non-persistent, 1 consumer", false, &queue, 1, 1);
    run("queue, non-persistent, 16 consumers", false, &queue, 16, 100);
    run("queue, non-persistent, 1000 consumers", false, &queue, 1000, 100);
    run("queue, persistent, 1 consumer, synced", true, &queue, 1, 1);
    run("queue, persistent, 1 consumer, by 100", true, &queue, 1, 100);
    run("queue, persistent, 16 consumers, by 100", true, &queue, 16, 100);
    run("topic, non-persistent, 1 to 10", false, &topic, 10, 10);
}
