//! The sink: an OpenWire peer that does nothing. It answers every request, hands each message to the consumers of its
//! destination, and keeps nothing: no order of acknowledgement, no transaction, no selector, no disk. What a client
//! reaches against it is what the client, the codec and the loopback can do; no broker can be faster.
//!
//! It honours prefetch windows, roughly, so that a client's memory stays bounded, and it repeats the last message of a
//! destination as often as messages came while nobody consumed: a backlog that is drained without having been kept.
//! It runs as a process of its own (`cargo xtask bench-sink`), as brokers do.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use ferromq_openwire::{
    Command, ConsumerId, ConsumerInfo, Destination, Framer, Limits, Message, MessageDispatch, ObjectId,
    Response, WireFormat, WireFormatOptions, WireStr,
};

/// Bytes read at once, and gathered before a write.
const CHUNK: usize = 64 << 10;
/// A consumer that has acknowledged nothing for so long is gone.
const PATIENCE: Duration = Duration::from_secs(20);
/// The name by which clients make sure that a topic is one of the broker's own reports.
const ADVISORY: &str = "ActiveMQ.Advisory.";

/// Serves until standard input ends.
pub fn run() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("listening on tcp://{}", listener.local_addr()?);
    std::thread::spawn(move || {
        let routes = Arc::new(Routes::default());
        for stream in listener.incoming().flatten() {
            let routes = Arc::clone(&routes);
            std::thread::spawn(move || {
                // A peer that leaves, or talks nonsense, ends its own thread only.
                let _ = Peer::serve(stream, &routes);
            });
        }
    });
    io::copy(&mut io::stdin(), &mut io::sink()).context("standard input")?;
    Ok(())
}

/// Who consumes from where.
#[derive(Default)]
struct Routes {
    by_destination: Mutex<HashMap<WireStr, Route>>,
}

#[derive(Default)]
struct Route {
    consumers: Vec<Arc<Consumer>>,
    next: usize,
    /// The last message that came while nobody consumed, and how many did.
    unheard: Option<(Arc<Message>, u64)>,
}

struct Consumer {
    id: ConsumerId,
    destination: Destination,
    /// Messages that may be under way to it.
    credit: Mutex<i64>,
    acknowledged: Condvar,
    output: Arc<Output>,
}

/// The way to one peer; threads of other peers write here as well.
struct Output {
    stream: TcpStream,
    state: Mutex<Encoder>,
}

struct Encoder {
    format: WireFormat,
    waiting: Vec<u8>,
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn broken(error: impl ToString) -> io::Error {
    io::Error::other(error.to_string())
}

impl Output {
    fn put(&self, command: &Command) -> io::Result<()> {
        let mut state = held(&self.state);
        let Encoder { format, waiting } = &mut *state;
        format.encode(command, waiting).map_err(broken)?;
        if waiting.len() >= CHUNK { Self::write(&self.stream, waiting) } else { Ok(()) }
    }

    fn flush(&self) -> io::Result<()> {
        Self::write(&self.stream, &mut held(&self.state).waiting)
    }

    fn write(mut stream: &TcpStream, waiting: &mut Vec<u8>) -> io::Result<()> {
        stream.write_all(waiting)?;
        waiting.clear();
        Ok(())
    }
}

impl Consumer {
    /// Hands one message over; false if there is no room for it now.
    fn offer(&self, message: &Arc<Message>) -> io::Result<bool> {
        {
            let mut credit = held(&self.credit);
            if *credit <= 0 {
                return Ok(false);
            }
            *credit -= 1;
        }
        self.output.put(&Command::from(MessageDispatch {
            consumer_id: Some(self.id.clone()),
            destination: Some(self.destination.clone()),
            message: Some(Arc::clone(message)),
            ..Default::default()
        }))?;
        Ok(true)
    }

    /// As [`Consumer::offer`], but waits for room.
    fn hand(&self, message: &Arc<Message>) -> io::Result<()> {
        while !self.offer(message)? {
            self.output.flush()?;
            let credit = held(&self.credit);
            let (credit, waited) = self
                .acknowledged
                .wait_timeout_while(credit, PATIENCE, |credit| *credit <= 0)
                .unwrap_or_else(PoisonError::into_inner);
            drop(credit);
            if waited.timed_out() {
                return Err(broken("a consumer takes nothing"));
            }
        }
        Ok(())
    }

    fn acknowledge(&self, count: i64) {
        *held(&self.credit) += count;
        self.acknowledged.notify_all();
    }
}

/// The number of a command that wants an answer.
fn asks(command: &Command) -> Option<i32> {
    macro_rules! of {
        ($($kind:ident)*) => {
            match command {
                $(Command::$kind(it) => it.response_required.then_some(it.command_id),)*
                _ => None,
            }
        };
    }
    of!(Message MessageAck ConnectionInfo SessionInfo ConsumerInfo ProducerInfo TransactionInfo DestinationInfo
        RemoveSubscriptionInfo RemoveInfo KeepAliveInfo ShutdownInfo FlushCommand)
}

/// One connection, on the thread that reads it.
struct Peer<'a> {
    routes: &'a Routes,
    output: Arc<Output>,
    consumers: HashMap<ConsumerId, Arc<Consumer>>,
    /// Whose output has something since the last flush.
    touched: Vec<Arc<Output>>,
}

impl Peer<'_> {
    fn serve(mut stream: TcpStream, routes: &Routes) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let options = WireFormatOptions { max_inactivity_ms: 0, ..WireFormatOptions::default() };
        let mut format = WireFormat::new(Limits::default());
        let output = Arc::new(Output {
            stream: stream.try_clone()?,
            state: Mutex::new(Encoder { format: format.clone(), waiting: Vec::new() }),
        });
        output.put(&options.to_info().map_err(broken)?.into())?;
        output.flush()?;
        let mut peer = Peer { routes, output, consumers: HashMap::new(), touched: Vec::new() };
        let mut framer = Framer::new(u64::MAX);
        let mut chunk = vec![0; CHUNK];
        let outcome = loop {
            let read = match stream.read(&mut chunk) {
                Ok(0) => break Ok(()),
                Ok(read) => read,
                Err(error) => break Err(error),
            };
            framer.feed(chunk.get(..read).unwrap_or_default());
            while let Some(frame) = framer.next_frame().map_err(broken)? {
                match format.decode(frame).map_err(broken)? {
                    Command::WireFormatInfo(info) => {
                        format.renegotiate(&options, &info).map_err(broken)?;
                        held(&peer.output.state).format.renegotiate(&options, &info).map_err(broken)?;
                    }
                    command => peer.take(command)?,
                }
            }
            for output in peer.touched.drain(..) {
                // The other end of a consumer that left is none of this peer's business.
                let _ = output.flush();
            }
            peer.output.flush()?;
        };
        peer.leave();
        outcome
    }

    fn take(&mut self, command: Command) -> io::Result<()> {
        let answer = asks(&command);
        match command {
            Command::Message(message) => self.route(&message)?,
            Command::MessageAck(ack) => {
                let consumer = ack.consumer_id.as_ref().and_then(|id| self.consumers.get(id));
                if let Some(consumer) = consumer {
                    consumer.acknowledge(i64::from(ack.message_count.max(1)));
                }
            }
            Command::ConsumerInfo(info) => {
                // The consumer exists for the client before the first message of a backlog comes.
                self.answer(answer)?;
                self.output.flush()?;
                return self.consume(&info);
            }
            Command::RemoveInfo(info) => {
                if let Some(ObjectId::Consumer(id)) = &info.object_id
                    && let Some(gone) = self.consumers.remove(id)
                {
                    self.routes.forget(&gone);
                }
            }
            _ => {}
        }
        self.answer(answer)
    }

    fn answer(&self, to: Option<i32>) -> io::Result<()> {
        let Some(correlation_id) = to else { return Ok(()) };
        self.output.put(&Command::from(Response { correlation_id, ..Default::default() }))
    }

    fn route(&mut self, message: &Arc<Message>) -> io::Result<()> {
        let Some(destination) = &message.destination else { return Ok(()) };
        for consumer in self.routes.takers(destination, message) {
            if !self.touched.iter().any(|known| Arc::ptr_eq(known, &consumer.output)) {
                self.touched.push(Arc::clone(&consumer.output));
            }
            if !consumer.offer(message)? {
                // What others wait for must not wait with us.
                for output in self.touched.drain(..) {
                    let _ = output.flush();
                }
                self.output.flush()?;
                consumer.hand(message)?;
                self.touched.push(Arc::clone(&consumer.output));
            }
        }
        Ok(())
    }

    fn consume(&mut self, info: &ConsumerInfo) -> io::Result<()> {
        let (Some(id), Some(destination)) = (&info.consumer_id, &info.destination) else { return Ok(()) };
        if destination.name.to_str().starts_with(ADVISORY) {
            return Ok(());
        }
        let consumer = Arc::new(Consumer {
            id: id.clone(),
            destination: destination.clone(),
            credit: Mutex::new(i64::from(info.prefetch_size.max(1))),
            acknowledged: Condvar::new(),
            output: Arc::clone(&self.output),
        });
        self.consumers.insert(id.clone(), Arc::clone(&consumer));
        if let Some((message, count)) = self.routes.join(&consumer) {
            std::thread::spawn(move || -> io::Result<()> {
                for _ in 0..count {
                    consumer.hand(&message)?;
                }
                consumer.output.flush()
            });
        }
        Ok(())
    }

    fn leave(&mut self) {
        for (_, gone) in self.consumers.drain() {
            self.routes.forget(&gone);
        }
    }
}

impl Routes {
    /// All consumers of a topic, the next one of a queue.
    fn takers(&self, destination: &Destination, message: &Arc<Message>) -> Vec<Arc<Consumer>> {
        let mut routes = held(&self.by_destination);
        let route = match routes.get_mut(&destination.name) {
            Some(route) => route,
            None => routes.entry(destination.name.clone()).or_default(),
        };
        if route.consumers.is_empty() {
            let count = route.unheard.as_ref().map_or(0, |(_, count)| *count);
            route.unheard = Some((Arc::clone(message), count + 1));
        } else if !destination.is_queue() {
            return route.consumers.clone();
        } else {
            route.next = (route.next + 1) % route.consumers.len();
        }
        route.consumers.get(route.next).cloned().into_iter().collect()
    }

    /// Adds a consumer; what nobody heard is his.
    fn join(&self, consumer: &Arc<Consumer>) -> Option<(Arc<Message>, u64)> {
        let mut routes = held(&self.by_destination);
        let route = routes.entry(consumer.destination.name.clone()).or_default();
        route.consumers.push(Arc::clone(consumer));
        route.unheard.take()
    }

    fn forget(&self, gone: &Arc<Consumer>) {
        let mut routes = held(&self.by_destination);
        if let Some(route) = routes.get_mut(&gone.destination.name) {
            route.consumers.retain(|known| !Arc::ptr_eq(known, gone));
            route.next = 0;
        }
    }
}
