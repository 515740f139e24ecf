//! The tree of a selector, and its printed form.
//!
//! The printed form puts each compound part in parentheses, so that it parses back to the same tree.

use std::fmt;

use crate::{like::Pattern, value::Header};

/// A part of a selector: a value or a condition.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expr {
    Null,
    Bool(bool),
    Number(Number),
    Text(Box<str>),
    Header(Header),
    Property(Box<str>),
    Negate(Box<Expr>),
    Arithmetic(ArithmeticOp, Box<Expr>, Box<Expr>),
    /// A header or property that stands where a condition must.
    Flag(Box<Expr>),
    Not(Box<Expr>),
    /// Flat, so that thousands of alternatives need no depth.
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Compare(CompareOp, Box<Expr>, Box<Expr>),
    IsNull(Box<Expr>),
    /// A node of its own instead of two comparisons: the value is held, and evaluated, once.
    Between(Box<Between>),
    Like(Box<Expr>, Pattern),
    /// The list is sorted and without repetitions.
    In(Box<Expr>, Vec<Box<str>>),
    InList(Box<Expr>, Box<Expr>),
    MakeList(Vec<Expr>),
}

/// The parts of `value [NOT] BETWEEN low AND high`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Between {
    pub(crate) value: Expr,
    pub(crate) low: Expr,
    pub(crate) high: Expr,
    pub(crate) negated: bool,
}

/// A number as written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Number {
    Int(i32),
    Long(i64),
    Double(f64),
    /// Decimal digits of a number that does not fit into a long. It takes part in arithmetic by its low bits.
    Big(Box<str>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ArithmeticOp {
    Plus,
    Minus,
    Times,
    Divide,
    Modulo,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CompareOp {
    Equal,
    NotEqual,
    Greater,
    GreaterEqual,
    Less,
    LessEqual,
}

impl Expr {
    /// Whether ActiveMQ's grammar takes the part for a condition. NULL is one: it is never true.
    pub(crate) fn is_condition(&self) -> bool {
        match self {
            Expr::Null | Expr::Bool(_) | Expr::Flag(_) | Expr::Not(_) | Expr::And(_) | Expr::Or(_) => true,
            Expr::Compare(..) | Expr::IsNull(_) | Expr::Between(_) | Expr::Like(..) => true,
            Expr::In(..) | Expr::InList(..) => true,
            Expr::Number(_) | Expr::Text(_) | Expr::Header(_) | Expr::Property(_) => false,
            Expr::Negate(_) | Expr::Arithmetic(..) | Expr::MakeList(_) => false,
        }
    }

    pub(crate) fn is_property(&self) -> bool {
        matches!(self, Expr::Header(_) | Expr::Property(_))
    }

    pub(crate) fn is_constant(&self) -> bool {
        matches!(self, Expr::Null | Expr::Bool(_) | Expr::Number(_) | Expr::Text(_))
    }
}

impl ArithmeticOp {
    pub(crate) fn symbol(self) -> &'static str {
        match self {
            ArithmeticOp::Plus => "+",
            ArithmeticOp::Minus => "-",
            ArithmeticOp::Times => "*",
            ArithmeticOp::Divide => "/",
            ArithmeticOp::Modulo => "%",
        }
    }
}

impl CompareOp {
    pub(crate) fn symbol(self) -> &'static str {
        match self {
            CompareOp::Equal => "=",
            CompareOp::NotEqual => "<>",
            CompareOp::Greater => ">",
            CompareOp::GreaterEqual => ">=",
            CompareOp::Less => "<",
            CompareOp::LessEqual => "<=",
        }
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expr::Null => f.write_str("NULL"),
            Expr::Bool(true) => f.write_str("TRUE"),
            Expr::Bool(false) => f.write_str("FALSE"),
            Expr::Number(number) => number.fmt(f),
            Expr::Text(text) => quote(f, text),
            Expr::Header(header) => f.write_str(header.name()),
            Expr::Property(name) => f.write_str(name),
            Expr::Negate(operand) => write!(f, "(- {operand})"),
            Expr::Arithmetic(op, left, right) => write!(f, "({left} {} {right})", op.symbol()),
            Expr::Flag(operand) => operand.fmt(f),
            // The forms with NOT inside keep their own look; both forms parse to the same tree.
            Expr::Not(operand) => match &**operand {
                Expr::IsNull(operand) => write!(f, "({operand} IS NOT NULL)"),
                Expr::Like(operand, pattern) => write!(f, "({operand} NOT LIKE {pattern})"),
                Expr::In(operand, list) => {
                    write!(f, "({operand} NOT IN (")?;
                    strings(f, list)?;
                    f.write_str("))")
                }
                operand => write!(f, "(NOT {operand})"),
            },
            Expr::And(terms) => joined(f, terms, " AND "),
            Expr::Or(terms) => joined(f, terms, " OR "),
            Expr::Compare(op, left, right) => write!(f, "({left} {} {right})", op.symbol()),
            Expr::IsNull(operand) => write!(f, "({operand} IS NULL)"),
            Expr::Between(between) => {
                let not = if between.negated { "NOT " } else { "" };
                write!(f, "({} {not}BETWEEN {} AND {})", between.value, between.low, between.high)
            }
            Expr::Like(operand, pattern) => write!(f, "({operand} LIKE {pattern})"),
            Expr::In(operand, list) => {
                write!(f, "({operand} IN (")?;
                strings(f, list)?;
                f.write_str("))")
            }
            Expr::InList(list, value) => write!(f, "INLIST({list}, {value})"),
            Expr::MakeList(values) => {
                f.write_str("MAKELIST")?;
                joined(f, values, ", ")
            }
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Number::Int(value) => value.fmt(f),
            Number::Long(value) => value.fmt(f),
            Number::Double(value) if value.is_infinite() => f.write_str("1e999"),
            Number::Double(value) => write!(f, "{value:?}"),
            Number::Big(digits) => f.write_str(digits),
        }
    }
}

/// Writes a string in single quotes, with those inside doubled.
pub(crate) fn quote(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    write!(f, "'{}'", text.replace('\'', "''"))
}

fn strings(f: &mut fmt::Formatter<'_>, list: &[Box<str>]) -> fmt::Result {
    for (index, text) in list.iter().enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        quote(f, text)?;
    }
    Ok(())
}

fn joined(f: &mut fmt::Formatter<'_>, terms: &[Expr], separator: &str) -> fmt::Result {
    f.write_str("(")?;
    for (index, term) in terms.iter().enumerate() {
        if index > 0 {
            f.write_str(separator)?;
        }
        write!(f, "{term}")?;
    }
    f.write_str(")")
}
