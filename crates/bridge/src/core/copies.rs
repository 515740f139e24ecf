//! [`Copies`]: of a message of a topic that matches several subscriptions of a bridge, `t.>` and `t.x`, one copy goes
//! over, for the remote broker gives it to all who want it there.

use std::collections::{BTreeMap, VecDeque};

use super::Flight;

/// Messages that are remembered after they went over. A copy that lags further behind goes over as well: rather twice
/// than never.
const MOST_KNOWN: usize = 16_384;

#[derive(Debug, Default)]
pub(super) struct Copies {
    known: BTreeMap<String, Copy>,
    /// Those that went over, the oldest first.
    over: VecDeque<String>,
}

/// What became of the first copy.
#[derive(Debug)]
enum Copy {
    /// It waits for its answer, and these wait with it.
    UnderWay(Vec<Flight>),
    Over,
}

/// What is to be done with a copy.
pub(super) enum Turn {
    /// It is the first one.
    Goes(Flight),
    /// The first one is under way, and this one waits for what becomes of it.
    Waits,
    /// The first one is over there.
    IsOver(Flight),
}

fn name(flight: &Flight) -> String {
    format!("{} {}", flight.destination, flight.id)
}

impl Copies {
    /// The local broker has handed out a copy.
    pub(super) fn came(&mut self, flight: Flight) -> Turn {
        let name = name(&flight);
        match self.known.get_mut(&name) {
            Some(Copy::UnderWay(others)) => {
                others.push(flight);
                Turn::Waits
            }
            Some(Copy::Over) => Turn::IsOver(flight),
            None => {
                self.known.insert(name, Copy::UnderWay(Vec::new()));
                Turn::Goes(flight)
            }
        }
    }

    /// The first copy was answered for; the answer is who waited for that.
    pub(super) fn went(&mut self, flight: &Flight) -> Vec<Flight> {
        if self.known.is_empty() {
            return Vec::new();
        }
        let name = name(flight);
        let Some(copy) = self.known.get_mut(&name) else { return Vec::new() };
        let Copy::UnderWay(others) = std::mem::replace(copy, Copy::Over) else { return Vec::new() };
        self.over.push_back(name);
        if self.over.len() > MOST_KNOWN
            && let Some(oldest) = self.over.pop_front()
        {
            self.known.remove(&oldest);
        }
        others
    }

    /// The first copy does not go over after all; another one takes its place, if there is one.
    pub(super) fn stayed(&mut self, flight: &Flight) -> Option<Flight> {
        if self.known.is_empty() {
            return None;
        }
        let name = name(flight);
        let Some(Copy::UnderWay(others)) = self.known.get_mut(&name) else { return None };
        if others.is_empty() {
            self.known.remove(&name);
            return None;
        }
        Some(others.remove(0))
    }
}
