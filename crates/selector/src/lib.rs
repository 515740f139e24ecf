//! JMS message selectors (JMS 1.1 §3.8.1) with the answers ActiveMQ Classic gives.
//!
//! A selector is a condition in a subset of SQL-92 over the headers and properties of a message. [`Selector::parse`]
//! turns its text into a checked tree once; [`Selector::matches`] asks that tree about one message after another.
//!
//! This crate is not a rule engine and knows no message: a message is whatever implements [`Facts`]. XPath and XQuery
//! conditions, which would look into bodies, and the functions built on Java regular expressions are refused by name.
//!
//! Main types: [`Selector`], [`Facts`], [`Value`], [`Header`], [`Truth`], [`SelectorError`], [`Fault`].
//!
//! Invariants:
//! * No text makes the parser panic, overflow the stack or allocate more than a small multiple of its length
//!   ([`MAX_SELECTOR_BYTES`], [`MAX_NESTING`]).
//! * Evaluation is pure and needs no allocation unless the selector concatenates strings.
//! * The printed form of a selector parses to the same tree.
//! * Where ActiveMQ and SQL-92 disagree, ActiveMQ wins: clients were tested against it. The differences are listed in
//!   [`mod@eval`].
//!
//! ```
//! use ferromq_selector::{Facts, Header, Selector, Truth, Value};
//!
//! struct Order { region: &'static str, amount: i32 }
//!
//! impl Facts for Order {
//!     fn header(&self, header: Header) -> Option<Value<'_>> {
//!         (header == Header::Priority).then_some(Value::Int(4))
//!     }
//!     fn property(&self, name: &str) -> Option<Value<'_>> {
//!         match name {
//!             "region" => Some(Value::String(self.region)),
//!             "amount" => Some(Value::Int(self.amount)),
//!             _ => None,
//!         }
//!     }
//! }
//!
//! let selector = Selector::parse("region LIKE 'eu-%' AND amount * 2 > 100 AND JMSPriority >= 4")?;
//! assert!(selector.matches(&Order { region: "eu-west", amount: 60 }));
//! assert!(!selector.matches(&Order { region: "us-east", amount: 60 }));
//! assert_eq!(Selector::parse("colour = 'red'")?.evaluate(&Order { region: "", amount: 0 }), Ok(Truth::Unknown));
//! # Ok::<(), ferromq_selector::SelectorError>(())
//! ```

mod ast;
mod error;
pub mod eval;
mod infix;
mod like;
mod number;
mod parse;
mod selector;
mod token;
mod value;

pub use error::{ErrorKind, SelectorError};
pub use eval::{Fault, Truth};
pub use parse::{MAX_NESTING, MAX_SELECTOR_BYTES};
pub use selector::Selector;
pub use value::{Facts, Header, Value};
