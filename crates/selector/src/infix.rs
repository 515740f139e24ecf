//! The operators that stand behind an operand, and how tightly they bind.

use crate::{
    ast::{ArithmeticOp, CompareOp},
    token::Kind,
};

/// How tightly operators bind, loosest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Or,
    And,
    Equality,
    Order,
    Sum,
    Product,
}

/// An operator behind an operand.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Infix {
    Or,
    And,
    Equality(CompareOp),
    Is,
    Order(CompareOp),
    /// `[NOT] LIKE`, `[NOT] IN` and `[NOT] BETWEEN`.
    Test,
    Sum(ArithmeticOp),
    Product(ArithmeticOp),
}

impl Level {
    pub(crate) fn next(self) -> Option<Level> {
        match self {
            Level::Or => Some(Level::And),
            Level::And => Some(Level::Equality),
            Level::Equality => Some(Level::Order),
            Level::Order => Some(Level::Sum),
            Level::Sum => Some(Level::Product),
            Level::Product => None,
        }
    }
}

impl Infix {
    pub(crate) fn level(self) -> Level {
        match self {
            Infix::Or => Level::Or,
            Infix::And => Level::And,
            Infix::Equality(_) | Infix::Is => Level::Equality,
            Infix::Order(_) | Infix::Test => Level::Order,
            Infix::Sum(_) => Level::Sum,
            Infix::Product(_) => Level::Product,
        }
    }
}

/// The operator that a token stands for behind an operand.
pub(crate) fn infix(kind: Kind) -> Option<Infix> {
    Some(match kind {
        Kind::Or => Infix::Or,
        Kind::And => Infix::And,
        Kind::Equal => Infix::Equality(CompareOp::Equal),
        Kind::NotEqual => Infix::Equality(CompareOp::NotEqual),
        Kind::Is => Infix::Is,
        Kind::Greater => Infix::Order(CompareOp::Greater),
        Kind::GreaterEqual => Infix::Order(CompareOp::GreaterEqual),
        Kind::Less => Infix::Order(CompareOp::Less),
        Kind::LessEqual => Infix::Order(CompareOp::LessEqual),
        Kind::Not | Kind::Like | Kind::In | Kind::Between => Infix::Test,
        Kind::Plus => Infix::Sum(ArithmeticOp::Plus),
        Kind::Minus => Infix::Sum(ArithmeticOp::Minus),
        Kind::Times => Infix::Product(ArithmeticOp::Times),
        Kind::Divide => Infix::Product(ArithmeticOp::Divide),
        Kind::Modulo => Infix::Product(ArithmeticOp::Modulo),
        _ => return None,
    })
}
