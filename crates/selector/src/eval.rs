//! Evaluation in three-valued logic (JMS 1.1 §3.8.1.2), with the answers of ActiveMQ Classic.
//!
//! Where ActiveMQ differs from the letter of SQL-92, this module follows it:
//!
//! * `NOT` binds tighter than a comparison: `NOT a = 5` is `(NOT a) = 5`.
//! * `=` with NULL on both sides is true; with NULL on the right only it is false, on the left only unknown. So
//!   `5 <> a` is true and `a <> 5` is unknown for a message without `a`.
//! * Values of types that do not compare are unequal, not unknown: `name = 5` is false and `name <> 5` true for a
//!   string; under `convert_string_expressions:` the string is read as a number first.
//! * A whole number is promoted to the wider type on the other side, but a `byte` or `short` only from the left.
//! * `/` and `%` always give a double; division by zero gives infinity or NaN. Whole numbers wrap around.
//! * `+` with a string on its left concatenates.
//! * `IN` on a value that is no string is unknown, `LIKE` is false, and a property that is no boolean is false where a
//!   condition stands.
//! * What makes ActiveMQ throw (arithmetic on a boolean, the negation of a `byte`) is a [`Fault`], and the message is
//!   not selected. Unlike there, other messages are not held up by it.

use thiserror::Error;

use crate::{
    ast::{Between, CompareOp, Expr, Number},
    number::{Datum, arithmetic, compare, negate},
    value::Facts,
};

/// A truth value of three-valued logic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Truth {
    /// The message is selected.
    True,
    /// The message is not selected.
    False,
    /// Something that is NULL decides; the message is not selected.
    Unknown,
}

impl std::ops::Not for Truth {
    type Output = Truth;

    fn not(self) -> Truth {
        match self {
            Truth::True => Truth::False,
            Truth::False => Truth::True,
            Truth::Unknown => Truth::Unknown,
        }
    }
}

impl From<bool> for Truth {
    fn from(value: bool) -> Truth {
        if value { Truth::True } else { Truth::False }
    }
}

/// Why a selector could not be evaluated for one message.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Fault {
    /// An operator met a value of a type that it does not take.
    #[error(
        "{operator} does not take a value of type {found}; test the type with IS NULL, or let producers set one type"
    )]
    Operand {
        /// The operator.
        operator: &'static str,
        /// The Java type of the value.
        found: &'static str,
    },
    /// INLIST was given something other than a list of values that are not NULL.
    #[error("INLIST takes a list without NULL as its first argument")]
    List,
}

impl Fault {
    pub(crate) fn operand(operator: &'static str, found: &Datum<'_>) -> Self {
        Fault::Operand { operator, found: found.type_name() }
    }
}

/// One evaluation: a message, and whether strings are converted for comparisons.
pub(crate) struct Evaluation<'a, F: ?Sized> {
    pub(crate) facts: &'a F,
    pub(crate) convert: bool,
}

impl<'a, F: Facts + ?Sized> Evaluation<'a, F> {
    /// The truth of a condition.
    pub(crate) fn truth(&self, expr: &'a Expr) -> Result<Truth, Fault> {
        match expr {
            Expr::Not(operand) => Ok(!self.truth(operand)?),
            Expr::And(terms) => self.every(terms, Truth::False),
            Expr::Or(terms) => self.every(terms, Truth::True),
            Expr::Compare(CompareOp::Equal, left, right) => self.equal(left, right),
            Expr::Compare(CompareOp::NotEqual, left, right) => Ok(!self.equal(left, right)?),
            Expr::Compare(op, left, right) => self.ordered(*op, &self.value(left)?, right),
            Expr::IsNull(operand) => Ok(self.value(operand)?.is_none().into()),
            Expr::Between(between) => self.between(between),
            Expr::Like(operand, pattern) => Ok(match self.value(operand)? {
                None => Truth::Unknown,
                Some(Datum::Text(text)) => pattern.matches(&text).into(),
                Some(_) => Truth::False,
            }),
            Expr::In(operand, list) => Ok(match self.value(operand)? {
                Some(Datum::Text(text)) => {
                    list.binary_search_by(|entry| (**entry).cmp(&*text)).is_ok().into()
                }
                _ => Truth::Unknown,
            }),
            Expr::InList(list, value) => self.in_list(list, value),
            Expr::Flag(operand) => Ok(truth_of(self.value(operand)?)),
            other => Ok(truth_of(self.value(other)?)),
        }
    }

    /// The value of a part; `None` for NULL. A condition is a boolean, or NULL if it is unknown.
    fn value(&self, expr: &'a Expr) -> Result<Option<Datum<'a>>, Fault> {
        Ok(match expr {
            Expr::Null => None,
            Expr::Bool(value) => Some(Datum::Bool(*value)),
            Expr::Number(Number::Int(value)) => Some(Datum::Int(*value)),
            Expr::Number(Number::Long(value)) => Some(Datum::Long(*value)),
            Expr::Number(Number::Double(value)) => Some(Datum::Double(*value)),
            Expr::Number(Number::Big(digits)) => Some(Datum::Big { negative: false, digits }),
            Expr::Text(text) => Some(Datum::Text((&**text).into())),
            Expr::Header(header) => self.facts.header(*header).map(Datum::from),
            Expr::Property(name) => self.facts.property(name).map(Datum::from),
            Expr::Negate(operand) => match self.value(operand)? {
                Some(value) => negate(value)?,
                None => None,
            },
            Expr::Arithmetic(op, left, right) => match self.value(left)? {
                None => None,
                Some(left) => match self.value(right)? {
                    None => None,
                    Some(right) => Some(arithmetic(*op, left, right)?),
                },
            },
            Expr::MakeList(values) => {
                for value in values {
                    self.value(value)?;
                }
                Some(Datum::Opaque)
            }
            condition => match self.truth(condition)? {
                Truth::True => Some(Datum::Bool(true)),
                Truth::False => Some(Datum::Bool(false)),
                Truth::Unknown => None,
            },
        })
    }

    /// AND and OR are one: the deciding value ends the evaluation, else unknown wins over the other one.
    fn every(&self, terms: &'a [Expr], decides: Truth) -> Result<Truth, Fault> {
        let mut result = !decides;
        for term in terms {
            match self.truth(term)? {
                truth if truth == decides => return Ok(decides),
                Truth::Unknown => result = Truth::Unknown,
                _ => {}
            }
        }
        Ok(result)
    }

    fn equal(&self, left: &'a Expr, right: &'a Expr) -> Result<Truth, Fault> {
        Ok(match (self.value(left)?, self.value(right)?) {
            (None, None) => Truth::True,
            (None, Some(_)) => Truth::Unknown,
            (Some(_), None) => Truth::False,
            (Some(left), Some(right)) => {
                compare(&left, &right, self.convert)?.is_some_and(|order| order.is_eq()).into()
            }
        })
    }

    fn ordered(&self, op: CompareOp, left: &Option<Datum<'a>>, right: &'a Expr) -> Result<Truth, Fault> {
        let Some(left) = left else {
            return Ok(Truth::Unknown);
        };
        if *left == Datum::Opaque {
            return Err(Fault::operand(op.symbol(), left));
        }
        let Some(right) = self.value(right)? else {
            return Ok(Truth::Unknown);
        };
        if right == Datum::Opaque {
            return Err(Fault::operand(op.symbol(), &right));
        }
        let Some(order) = compare(left, &right, self.convert)? else {
            return Ok(Truth::False);
        };
        Ok(match op {
            CompareOp::Equal => order.is_eq(),
            CompareOp::NotEqual => order.is_ne(),
            CompareOp::Greater => order.is_gt(),
            CompareOp::GreaterEqual => order.is_ge(),
            CompareOp::Less => order.is_lt(),
            CompareOp::LessEqual => order.is_le(),
        }
        .into())
    }

    /// BETWEEN is two comparisons under AND, NOT BETWEEN their opposites under OR. These differ from the negation of
    /// BETWEEN where the types do not compare: both are false.
    fn between(&self, between: &'a Between) -> Result<Truth, Fault> {
        let (low, high, decides) = if between.negated {
            (CompareOp::Less, CompareOp::Greater, Truth::True)
        } else {
            (CompareOp::GreaterEqual, CompareOp::LessEqual, Truth::False)
        };
        let value = self.value(&between.value)?;
        let low = self.ordered(low, &value, &between.low)?;
        if low == decides {
            return Ok(decides);
        }
        let high = self.ordered(high, &value, &between.high)?;
        Ok(if low == Truth::Unknown && high != decides { Truth::Unknown } else { high })
    }

    /// Equality in a list is Java's `equals`: an int is never in a list of longs.
    fn in_list(&self, list: &'a Expr, value: &'a Expr) -> Result<Truth, Fault> {
        let Expr::MakeList(entries) = list else {
            self.value(list)?;
            return Err(Fault::List);
        };
        let entries = entries.iter().map(|entry| self.value(entry)).collect::<Result<Vec<_>, _>>()?;
        let value = self.value(value)?;
        for entry in entries {
            let entry = entry.ok_or(Fault::List)?;
            if let Some(value) = &value {
                let one_type = std::mem::discriminant(&entry) == std::mem::discriminant(value);
                if one_type && compare(&entry, value, false)?.is_some_and(|order| order.is_eq()) {
                    return Ok(Truth::True);
                }
            }
        }
        Ok(Truth::False)
    }
}

fn truth_of(value: Option<Datum<'_>>) -> Truth {
    match value {
        None => Truth::Unknown,
        Some(value) => (value == Datum::Bool(true)).into(),
    }
}
