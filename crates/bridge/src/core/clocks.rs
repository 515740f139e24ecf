//! [`Clocks`]: how far the clocks of both brokers differ, by the times that they write into what they hand out.
//!
//! A message's expiration is a time of day, and a broker whose clock is ahead by more than the message may still live takes
//! it for expired when it comes.

use std::time::Duration;

use ferromq_model::Instant;
use ferromq_openwire::Message;

use super::{Bridge, Order, Side};

/// Less is the way, or a busy broker.
const TOLERANCE_MS: i64 = 2_000;

/// A clock may be set; what was read before is forgotten after so long.
const MEMORY: Duration = Duration::from_secs(60);

/// A broker's clock.
#[derive(Clone, Copy, Debug)]
struct Reading {
    /// Its time of day less the time of the bridge, in milliseconds. What is on its way for a while makes it smaller, so the
    /// greatest of several is the best.
    offset_ms: i64,
    since: Instant,
}

#[derive(Debug, Default)]
pub(super) struct Clocks {
    local: Option<Reading>,
    remote: Option<Reading>,
    told: bool,
}

impl Clocks {
    fn note(&mut self, side: Side, wall_ms: i64, now: Instant) {
        let reading = if side == Side::Remote { &mut self.remote } else { &mut self.local };
        let offset_ms = wall_ms.saturating_sub(i64::try_from(now.0 / 1_000_000).unwrap_or(i64::MAX));
        match reading {
            Some(known) if now.since(known.since) < MEMORY => {
                known.offset_ms = known.offset_ms.max(offset_ms)
            }
            _ => *reading = Some(Reading { offset_ms, since: now }),
        }
    }

    /// By how many milliseconds the remote broker's clock is ahead of the local one's, or behind; 0 if it is not known, or
    /// too little to matter.
    fn ahead_ms(&self) -> i64 {
        let (Some(local), Some(remote)) = (self.local, self.remote) else { return 0 };
        let ahead = remote.offset_ms.saturating_sub(local.offset_ms);
        if ahead.saturating_abs() < TOLERANCE_MS { 0 } else { ahead }
    }
}

impl Bridge {
    /// A broker has handed something out.
    pub(super) fn note_clock(&mut self, side: Side, message: &Message) {
        if message.broker_out_time <= 0 {
            return;
        }
        self.clocks.note(side, message.broker_out_time, self.now);
        let ahead = self.clocks.ahead_ms();
        if ahead != 0 && !std::mem::replace(&mut self.clocks.told, true) {
            self.tell_clocks(ahead);
        }
    }

    fn tell_clocks(&mut self, ahead_ms: i64) {
        let seconds = ahead_ms.unsigned_abs() / 1_000;
        let (way, consequence) = match ahead_ms {
            ..0 => ("behind", "messages that expire live so much longer there"),
            _ if self.gives_time() => {
                ("ahead of", "messages that expire are given so much more time on their way")
            }
            _ => (
                "ahead of",
                "messages that expire do so that much earlier there, and those with less time at once; a \
                 <timeStampingBrokerPlugin processNetworkMessages=\"true\"/> there counts anew",
            ),
        };
        let text = format!(
            "the clock of the remote broker is {seconds} s {way} the local one's: {consequence}; set the clocks of both"
        );
        self.orders.push_back(Order::Warn(text));
    }

    /// Whether messages that expire get what the remote broker's clock is ahead. ActiveMQ's bridges change no message.
    fn gives_time(&self) -> bool {
        self.settings.exactly_once && self.remote.as_ref().is_some_and(|remote| remote.keeps_streams)
    }

    /// Lets a message live over there for as long as it would here. It is never given less: clients over there may have
    /// clocks that are right.
    pub(super) fn give_time(&self, message: &mut Message) {
        if message.expiration > 0 && self.gives_time() {
            message.expiration = message.expiration.saturating_add(self.clocks.ahead_ms().max(0));
        }
    }
}
