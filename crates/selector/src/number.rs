//! Values while a selector is evaluated, and Java's arithmetic and comparison on them.
//!
//! Types are promoted as ActiveMQ promotes them, gaps included: an `int` on the left is never equal to a `byte` or a
//! `short` on the right, and a `double` on the left of a `float` fails.

use std::{borrow::Cow, cmp::Ordering};

use crate::{ast::ArithmeticOp, eval::Fault, value::Value};

/// A value that is not NULL.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Datum<'a> {
    Bool(bool),
    Byte(i8),
    Short(i16),
    Int(i32),
    Long(i64),
    Float(f32),
    Double(f64),
    /// A literal beyond 64 bits: decimal digits without leading zeros.
    Big {
        negative: bool,
        digits: &'a str,
    },
    Text(Cow<'a, str>),
    Opaque,
}

impl<'a> From<Value<'a>> for Datum<'a> {
    fn from(value: Value<'a>) -> Self {
        match value {
            Value::Bool(value) => Datum::Bool(value),
            Value::Byte(value) => Datum::Byte(value),
            Value::Short(value) => Datum::Short(value),
            Value::Int(value) => Datum::Int(value),
            Value::Long(value) => Datum::Long(value),
            Value::Float(value) => Datum::Float(value),
            Value::Double(value) => Datum::Double(value),
            Value::String(value) => Datum::Text(Cow::Borrowed(value)),
            Value::Opaque => Datum::Opaque,
        }
    }
}

impl Datum<'_> {
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Datum::Bool(_) => "boolean",
            Datum::Byte(_) => "byte",
            Datum::Short(_) => "short",
            Datum::Int(_) => "int",
            Datum::Long(_) => "long",
            Datum::Float(_) => "float",
            Datum::Double(_) => "double",
            Datum::Big { .. } => "number beyond 64 bits",
            Datum::Text(_) => "string",
            Datum::Opaque => "map, list or bytes",
        }
    }

    fn is_number(&self) -> bool {
        !matches!(self, Datum::Bool(_) | Datum::Text(_) | Datum::Opaque)
    }

    /// The low 64 bits of a whole number.
    fn whole(&self) -> i64 {
        match self {
            Datum::Byte(value) => i64::from(*value),
            Datum::Short(value) => i64::from(*value),
            Datum::Int(value) => i64::from(*value),
            Datum::Long(value) => *value,
            Datum::Big { negative, digits } => {
                let low = low_bits(digits);
                if *negative { low.wrapping_neg() } else { low }
            }
            _ => 0,
        }
    }

    fn double(&self) -> f64 {
        match self {
            Datum::Float(value) => f64::from(*value),
            Datum::Double(value) => *value,
            Datum::Big { negative, digits } => {
                let size = digits.parse().unwrap_or(f64::INFINITY);
                if *negative { -size } else { size }
            }
            whole => whole.whole() as f64,
        }
    }
}

/// The low 64 bits of a number in decimal digits, as Java narrows a `BigDecimal`.
pub(crate) fn low_bits(digits: &str) -> i64 {
    digits
        .bytes()
        .fold(0_i64, |low, digit| low.wrapping_mul(10).wrapping_add(i64::from(digit.wrapping_sub(b'0'))))
}

/// How two values compare; `None` if ActiveMQ holds every comparison between their types for false.
pub(crate) fn compare(left: &Datum<'_>, right: &Datum<'_>, convert: bool) -> Result<Option<Ordering>, Fault> {
    use Datum::{Big, Bool, Byte, Double, Float, Int, Long, Opaque, Short, Text};
    Ok(match (left, right) {
        (Bool(left), Bool(right)) => Some(left.cmp(right)),
        (Text(left), Text(right)) => Some(left.encode_utf16().cmp(right.encode_utf16())),
        (Byte(_), Byte(_) | Short(_) | Int(_) | Long(_))
        | (Short(_), Short(_) | Int(_) | Long(_))
        | (Int(_) | Long(_), Int(_) | Long(_)) => Some(left.whole().cmp(&right.whole())),
        (Byte(_) | Short(_) | Int(_) | Long(_), Float(right)) => Some(floats(left.whole() as f32, *right)),
        (Float(left), Int(_) | Long(_)) => Some(floats(*left, right.whole() as f32)),
        (Float(left), Float(right)) => Some(floats(*left, *right)),
        (Byte(_) | Short(_) | Int(_) | Long(_) | Float(_) | Double(_), Double(_))
        | (Double(_), Int(_) | Long(_)) => Some(doubles(left.double(), right.double())),
        (Double(_), Float(_)) => return Err(Fault::operand("comparison with double", right)),
        (Big { .. }, Big { .. }) => Some(bigs(left, right)),
        (Opaque, Opaque) => None,
        (Bool(_), Text(_)) if convert => return Err(Fault::operand("comparison with boolean", right)),
        (_, Text(text)) if convert => parse_like(left, text).and_then(|right| same(left, &right)),
        (Text(text), _) if convert => parse_like(right, text).and_then(|left| same(&left, right)),
        _ => None,
    })
}

fn same(left: &Datum<'_>, right: &Datum<'_>) -> Option<Ordering> {
    compare(left, right, false).ok().flatten()
}

fn floats(left: f32, right: f32) -> Ordering {
    doubles(f64::from(left), f64::from(right))
}

/// Java's `Double.compareTo`: -0.0 is below 0.0, and NaN equals itself and is above all else.
fn doubles(left: f64, right: f64) -> Ordering {
    let canonical = |value: f64| if value.is_nan() { f64::NAN } else { value };
    canonical(left).total_cmp(&canonical(right))
}

fn bigs(left: &Datum<'_>, right: &Datum<'_>) -> Ordering {
    match (left, right) {
        (Datum::Big { negative, digits: left }, Datum::Big { negative: other, digits: right }) => {
            let size = left.len().cmp(&right.len()).then_with(|| left.cmp(right));
            match (negative, other) {
                (false, false) => size,
                (true, true) => size.reverse(),
                (true, false) => Ordering::Less,
                (false, true) => Ordering::Greater,
            }
        }
        _ => Ordering::Equal,
    }
}

/// Reads a text as the type that `like` has, as Java's `valueOf` does.
fn parse_like(like: &Datum<'_>, text: &str) -> Option<Datum<'static>> {
    match like {
        Datum::Bool(_) => Some(Datum::Bool(text.eq_ignore_ascii_case("true"))),
        Datum::Byte(_) => text.parse().ok().map(Datum::Byte),
        Datum::Short(_) => text.parse().ok().map(Datum::Short),
        Datum::Int(_) => text.parse().ok().map(Datum::Int),
        Datum::Long(_) => text.parse().ok().map(Datum::Long),
        Datum::Float(_) => floating(text)?.parse().ok().map(Datum::Float),
        Datum::Double(_) => floating(text)?.parse().ok().map(Datum::Double),
        Datum::Big { .. } | Datum::Text(_) | Datum::Opaque => None,
    }
}

/// The part of a floating point number that Rust reads as Java does: blanks around it and a type suffix are cut off.
fn floating(text: &str) -> Option<&str> {
    let text = text.trim_matches(|c: char| c <= ' ');
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, "NaN" | "Infinity") {
        return Some(text);
    }
    let number = text.strip_suffix(['f', 'F', 'd', 'D']).unwrap_or(text);
    // Rust takes other spellings of NaN and infinity as well; Java takes none of them.
    number.ends_with(|c: char| c.is_ascii_digit() || c == '.').then_some(number)
}

/// `left op right`.
pub(crate) fn arithmetic<'a>(
    op: ArithmeticOp,
    left: Datum<'a>,
    right: Datum<'a>,
) -> Result<Datum<'a>, Fault> {
    if let (ArithmeticOp::Plus, Datum::Text(left)) = (op, &left) {
        let right = text(&right).ok_or_else(|| Fault::operand("+", &right))?;
        return Ok(Datum::Text(Cow::Owned(format!("{left}{right}"))));
    }
    if let Some(culprit) = [&left, &right].into_iter().find(|operand| !operand.is_number()) {
        return Err(Fault::operand(op.symbol(), culprit));
    }
    let wide = |datum: &Datum<'_>| matches!(datum, Datum::Float(_) | Datum::Double(_));
    let long = |datum: &Datum<'_>| matches!(datum, Datum::Long(_));
    let whole: fn(i64, i64) -> i64 = match op {
        ArithmeticOp::Plus => i64::wrapping_add,
        ArithmeticOp::Minus => i64::wrapping_sub,
        ArithmeticOp::Times => i64::wrapping_mul,
        // Division always leaves the whole numbers, and never fails: 1 / 0 is infinite.
        ArithmeticOp::Divide => return Ok(Datum::Double(left.double() / right.double())),
        ArithmeticOp::Modulo => return Ok(Datum::Double(left.double() % right.double())),
    };
    if wide(&left) || wide(&right) {
        let (left, right) = (left.double(), right.double());
        return Ok(Datum::Double(match op {
            ArithmeticOp::Plus => left + right,
            ArithmeticOp::Minus => left - right,
            _ => left * right,
        }));
    }
    let result = whole(left.whole(), right.whole());
    // The low 32 bits of a sum or product depend on the low 32 bits of the operands only.
    Ok(if long(&left) || long(&right) { Datum::Long(result) } else { Datum::Int(result as i32) })
}

/// `-value`; NULL for what is no number.
pub(crate) fn negate(value: Datum<'_>) -> Result<Option<Datum<'_>>, Fault> {
    Ok(Some(match value {
        Datum::Int(value) => Datum::Int(value.wrapping_neg()),
        Datum::Long(value) => Datum::Long(value.wrapping_neg()),
        Datum::Float(value) => Datum::Float(-value),
        Datum::Double(value) => Datum::Double(-value),
        // The smallest long can be written only as the negation of a number that is no long.
        Datum::Big { negative: false, digits: "9223372036854775808" } => Datum::Long(i64::MIN),
        Datum::Big { negative, digits } => Datum::Big { negative: !negative, digits },
        Datum::Byte(_) | Datum::Short(_) => return Err(Fault::operand("-", &value)),
        Datum::Bool(_) | Datum::Text(_) | Datum::Opaque => return Ok(None),
    }))
}

/// The value as Java appends it to a string.
fn text<'a>(value: &'a Datum<'_>) -> Option<Cow<'a, str>> {
    Some(match value {
        Datum::Text(value) => Cow::Borrowed(value.as_ref()),
        Datum::Bool(value) => value.to_string().into(),
        Datum::Float(value) => java_float(f64::from(*value), format!("{value:e}")).into(),
        Datum::Double(value) => java_float(*value, format!("{value:e}")).into(),
        Datum::Big { negative: true, digits } => format!("-{digits}").into(),
        Datum::Big { negative: false, digits } => Cow::Borrowed(*digits),
        Datum::Opaque => return None,
        whole => whole.whole().to_string().into(),
    })
}

/// Java's `Double.toString` from the shortest digits in scientific notation.
fn java_float(value: f64, scientific: String) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value < 0.0 { "-Infinity".into() } else { "Infinity".into() };
    }
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    if value == 0.0 || (1e-3..1e7).contains(&value.abs()) {
        let exponent: i32 = exponent.parse().unwrap_or(0);
        return plain(mantissa, exponent);
    }
    let dot = if mantissa.contains('.') { "" } else { ".0" };
    format!("{mantissa}{dot}E{exponent}")
}

fn plain(mantissa: &str, exponent: i32) -> String {
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let digits: String = mantissa.chars().filter(|c| *c != '.').collect();
    let whole = usize::try_from(exponent + 1).unwrap_or(0);
    let leading = usize::try_from(-exponent - 1).unwrap_or(0);
    let digits = "0".repeat(leading) + &digits;
    let (before, after) = digits.split_at(whole.min(digits.len()));
    let padding = "0".repeat(whole.saturating_sub(digits.len()));
    let before = if before.is_empty() { "0" } else { before };
    let after = if after.is_empty() { "0" } else { after };
    format!("{sign}{before}{padding}.{after}")
}

#[cfg(test)]
mod tests {
    use super::{Datum, text};

    #[test]
    fn numbers_print_as_java_prints_them() {
        for (value, expected) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (-12.5, "-12.5"),
            (100.0, "100.0"),
            (0.001, "0.001"),
            (0.000_99, "9.9E-4"),
            (9_999_999.0, "9999999.0"),
            (1e7, "1.0E7"),
            (1.25e100, "1.25E100"),
            (f64::INFINITY, "Infinity"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(text(&Datum::Double(value)).as_deref(), Some(expected));
        }
    }
}
