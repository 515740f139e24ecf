//! [`Link`]: a bridge from one broker to another, with the two connections of one of its lives.

use ferromq_bridge::{Bridge, Order, Settings, Side};
use ferromq_model::Instant;
use ferromq_openwire::{Command, ControlCommand, ExceptionResponse, Response, Throwable};

use super::LinkBug;

/// A link that is wanted, up or not.
pub(crate) struct Link {
    pub(crate) from: usize,
    pub(crate) to: usize,
    settings: Settings,
    bug: Option<LinkBug>,
    life: u64,
    pub(crate) bridge: Option<Bridge>,
    /// The connections to the local and to the remote broker.
    pub(crate) local: u64,
    pub(crate) remote: u64,
}

impl Link {
    pub(crate) fn new(from: usize, to: usize, bug: Option<LinkBug>) -> Self {
        let mut settings = Settings::default();
        settings.name = format!("n{from}{to}");
        settings.exactly_once = bug != Some(LinkBug::NoStreams);
        Self { from, to, settings, bug, life: 0, bridge: None, local: 0, remote: 0 }
    }

    /// Another life, over these connections.
    pub(crate) fn begin(&mut self, local: u64, remote: u64) {
        self.life += 1;
        let seed = format!("{}-{}-{}", self.from, self.to, self.life);
        self.bridge = Some(Bridge::new(self.settings.clone(), &seed));
        (self.local, self.remote) = (local, remote);
    }

    pub(crate) fn side_of(&self, conn: u64) -> Side {
        if conn == self.local { Side::Local } else { Side::Remote }
    }

    /// A broker says something; what the bridge has to say in turn.
    pub(crate) fn handle(&mut self, side: Side, command: Command, now: Instant) -> Vec<Order> {
        if matches!(command, Command::WireFormatInfo(_) | Command::KeepAliveInfo(_)) {
            return Vec::new();
        }
        let Some(bridge) = &mut self.bridge else { return Vec::new() };
        bridge.handle(side, command, now);
        self.orders(now)
    }

    pub(crate) fn tick(&mut self, now: Instant) -> Vec<Order> {
        let Some(bridge) = &mut self.bridge else { return Vec::new() };
        bridge.tick(now);
        self.orders(now)
    }

    fn orders(&mut self, now: Instant) -> Vec<Order> {
        let Some(bridge) = &mut self.bridge else { return Vec::new() };
        let mut orders = Vec::new();
        while let Some(order) = bridge.poll() {
            let order = spoiled(order, self.bug);
            if let Order::Say(Side::Remote, Command::Message(message)) = &order
                && let Some(answer) = self.bug.and_then(|bug| invented(bug, message.command_id))
            {
                bridge.handle(Side::Remote, answer, now);
            }
            orders.push(order);
        }
        orders
    }
}

/// What the other broker has not said.
fn invented(bug: LinkBug, correlation_id: i32) -> Option<Command> {
    match bug {
        LinkBug::AcknowledgeTooEarly => Some(Response { correlation_id, ..Default::default() }.into()),
        LinkBug::TakeBackTooEarly => {
            let full = Throwable::new("javax.jms.ResourceAllocationException", "no room");
            let exception = Some(std::sync::Arc::new(full));
            Some(ExceptionResponse { correlation_id, exception, ..Default::default() }.into())
        }
        _ => None,
    }
}

fn spoiled(order: Order, bug: Option<LinkBug>) -> Order {
    match order {
        Order::Say(Side::Local, Command::ControlCommand(said)) if bug == Some(LinkBug::IgnoreReport) => {
            let text = said.command.as_ref().map(ToString::to_string).unwrap_or_default();
            let cut = text.split(',').next().unwrap_or_default().to_owned();
            Order::Say(Side::Local, ControlCommand { command: Some(cut.into()), ..said }.into())
        }
        other => other,
    }
}
