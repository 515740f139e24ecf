//! A link between two brokers, and a takeover of the one that sends.
//!
//! The receiver keeps the highest number that it took from the link, beside the message, and takes nothing at or below it.
//! So what number a message has must not change with the master: it is durable before it is sent.

use stateright::{Model, Property};

use super::{holds, is_violated};

/// Messages that wait for the link.
const MESSAGES: [u8; 2] = [1, 2];

/// The model.
#[derive(Clone, Debug)]
pub struct Link {
    masters: usize,
    /// The mutation: a number is sent before it is durable.
    sends_early: bool,
}

/// What a master knows: which message has which number, beginning with 1.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Master {
    numbers: Vec<u8>,
    /// So many of them it has made durable, or found so.
    durable: usize,
    acknowledged: u8,
}

/// The store of the sender, its masters, the receiver, and what is on its way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    durable: Vec<u8>,
    removed: Vec<u8>,
    /// The last one may write, whichever still run.
    masters: Vec<Master>,
    on_the_way: Vec<(u8, u8)>,
    taken: Vec<u8>,
    highest: u8,
}

/// A step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Number {
        master: usize,
        message: u8,
    },
    MakeDurable(usize),
    Send {
        master: usize,
        number: u8,
    },
    Receive(u8, u8),
    /// The receiver says up to which number it has everything; the sender removes that.
    Acknowledged(usize),
    TakeOver,
}

impl Link {
    fn next(&self, state: &mut State, step: Step) -> Option<()> {
        match step {
            Step::Number { master, message } => state.masters[master].numbers.push(message),
            // Whoever was superseded makes nothing durable any more.
            Step::MakeDurable(master) => {
                state.durable.clone_from(&state.masters[master].numbers);
                state.masters[master].durable = state.durable.len();
            }
            Step::Send { master, number } => {
                let message = *state.masters[master].numbers.get(usize::from(number) - 1)?;
                state.on_the_way.push((number, message));
                state.on_the_way.sort_unstable();
                state.on_the_way.dedup();
            }
            Step::Receive(number, message) => {
                state.on_the_way.retain(|sent| *sent != (number, message));
                if number == state.highest + 1 {
                    state.taken.push(message);
                    state.highest = number;
                }
            }
            Step::Acknowledged(master) => {
                let known = &mut state.masters[master];
                let upto = state.highest.min(u8::try_from(known.numbers.len()).ok()?);
                known.acknowledged = upto;
                state.removed = known.numbers[..usize::from(upto)].to_vec();
            }
            Step::TakeOver => {
                let acknowledged = u8::try_from(state.removed.len()).ok()?;
                let numbers = state.durable.clone();
                state.masters.push(Master { durable: numbers.len(), numbers, acknowledged });
            }
        }
        Some(())
    }
}

impl Model for Link {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            durable: Vec::new(),
            removed: Vec::new(),
            masters: vec![Master::default()],
            on_the_way: Vec::new(),
            taken: Vec::new(),
            highest: 0,
        }]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        let last = state.masters.len() - 1;
        for (master, it) in state.masters.iter().enumerate() {
            let new = MESSAGES.into_iter().filter(|message| !it.numbers.contains(message));
            steps.extend(new.map(|message| Step::Number { master, message }));
            let sure = if self.sends_early { it.numbers.len() } else { it.durable };
            let numbers = it.acknowledged + 1..=u8::try_from(sure).unwrap();
            steps.extend(numbers.map(|number| Step::Send { master, number }));
            if master == last {
                steps.push(Step::MakeDurable(master));
                if state.highest > it.acknowledged {
                    steps.push(Step::Acknowledged(master));
                }
            }
        }
        steps.extend(state.on_the_way.iter().map(|(number, message)| Step::Receive(*number, *message)));
        if state.masters.len() < self.masters {
            steps.push(Step::TakeOver);
        }
    }

    fn next_state(&self, state: &State, step: Step) -> Option<State> {
        let mut next = state.clone();
        self.next(&mut next, step)?;
        (next != *state).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("nothing is lost", |_, state: &State| {
                state.removed.iter().all(|message| state.taken.contains(message))
            }),
            Property::always("nothing comes twice", |_, state: &State| {
                state.taken.iter().enumerate().all(|(at, message)| !state.taken[..at].contains(message))
            }),
            Property::sometimes("all is through after two takeovers", |model: &Self, state: &State| {
                state.masters.len() == model.masters && state.removed.len() == MESSAGES.len()
            }),
        ]
    }
}

#[test]
fn a_link_loses_and_repeats_nothing_over_takeovers() {
    holds("link", Link { masters: 3, sends_early: false });
}

#[test]
fn a_link_sequence_that_is_sent_before_it_is_durable_loses_a_message() {
    is_violated("link sequence sent early", Link { masters: 2, sends_early: true }, "nothing is lost");
    is_violated("link sequence sent early", Link { masters: 2, sends_early: true }, "nothing comes twice");
}
