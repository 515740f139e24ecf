//! Tokens to a checked tree.
//!
//! The levels, loosest first: OR, AND, equality (`=`, `<>`, `IS`), order (`<`, `LIKE`, `BETWEEN`, `IN`, …), sum,
//! product, sign and NOT, primary. Parentheses and calls recurse, up to a limit; all else is bounded by the levels.

use crate::{
    ast::{Between, CompareOp, Expr, Number},
    error::SelectorError,
    infix::{Infix, Level, infix},
    like::Pattern,
    number::low_bits,
    token::{Kind, Lexer, Token},
    value::Header,
};

/// The longest selector, in bytes.
pub const MAX_SELECTOR_BYTES: usize = 128 * 1024;

/// The deepest nesting: of parentheses and calls in the text, and of operators in the tree.
pub const MAX_NESTING: usize = 128;

/// Enough of an operand in an error text to find it.
const EXCERPT_CHARS: usize = 60;

type Result<T> = std::result::Result<T, SelectorError>;

/// Parses the text behind its first `prefix` bytes into a condition. Columns count from the start of the text.
pub(crate) fn parse(text: &str, prefix: usize) -> Result<Expr> {
    if text.len() > MAX_SELECTOR_BYTES {
        return Err(SelectorError::TooLong { bytes: text.len(), limit: MAX_SELECTOR_BYTES });
    }
    let mut lexer = Lexer::starting_at(text, prefix);
    let token = lexer.next()?;
    if token.kind == Kind::End {
        return Err(SelectorError::Empty);
    }
    let mut parser = Parser { lexer, token, nesting: 0 };
    let root = parser.expression(Level::Or)?;
    let root = parser.condition(root)?;
    parser.expect(Kind::End, "AND, OR or the end of the selector")?;
    Ok(root.expr)
}

/// A part with the place where it begins and the depth of its tree.
struct Part {
    expr: Expr,
    at: usize,
    depth: usize,
}

#[derive(Clone, Copy)]
enum Join {
    And,
    Or,
}

impl Join {
    fn node(self, terms: Vec<Expr>) -> Expr {
        match self {
            Join::And => Expr::And(terms),
            Join::Or => Expr::Or(terms),
        }
    }
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    /// The token to be taken next.
    token: Token<'a>,
    nesting: usize,
}

impl<'a> Parser<'a> {
    /// An operand and the operators behind it that bind at least as tightly as `least`, by precedence climbing.
    fn expression(&mut self, least: Level) -> Result<Part> {
        let mut left = self.signed()?;
        // What has been read at one level can no longer be an operand of a tighter operator: `a LIKE 'b' + 1` is none.
        let mut tightest = Level::Product;
        while let Some(infix) =
            infix(self.token.kind).filter(|infix| (least..=tightest).contains(&infix.level()))
        {
            tightest = infix.level();
            if infix != Infix::Test {
                self.advance()?;
            }
            left = match (infix, tightest.next()) {
                (Infix::Is, _) => self.is_null(left)?,
                (Infix::Test, _) => self.test(left)?,
                (infix, Some(tighter)) => {
                    let right = self.expression(tighter)?;
                    self.combine(infix, left, right)?
                }
                (infix, None) => {
                    let right = self.signed()?;
                    self.combine(infix, left, right)?
                }
            };
        }
        Ok(left)
    }

    fn combine(&self, infix: Infix, left: Part, right: Part) -> Result<Part> {
        match infix {
            Infix::Or => self.join(left, right, Join::Or),
            Infix::And => self.join(left, right, Join::And),
            Infix::Equality(op) => self.equal(op, left, right),
            Infix::Order(op) => {
                self.check_ordered(&left, op.symbol())?;
                self.check_ordered(&right, op.symbol())?;
                self.pair(left, right, |left, right| Expr::Compare(op, left, right))
            }
            Infix::Sum(op) | Infix::Product(op) => {
                self.pair(left, right, |left, right| Expr::Arithmetic(op, left, right))
            }
            // These two have no right operand and do not come here.
            Infix::Is | Infix::Test => Ok(left),
        }
    }

    fn is_null(&mut self, operand: Part) -> Result<Part> {
        let negated = self.take(Kind::Not)?;
        self.expect(Kind::Null, if negated { "NULL" } else { "NULL or NOT NULL" })?;
        let test = self.node(operand, |operand| Expr::IsNull(Box::new(operand)))?;
        self.negated(test, negated)
    }

    fn test(&mut self, operand: Part) -> Result<Part> {
        let negated = self.take(Kind::Not)?;
        if self.take(Kind::Like)? {
            let test = self.like(operand)?;
            self.negated(test, negated)
        } else if self.take(Kind::In)? {
            let test = self.in_strings(operand)?;
            self.negated(test, negated)
        } else if self.take(Kind::Between)? {
            self.between(operand, negated)
        } else {
            Err(self.unexpected(
                "LIKE, IN or BETWEEN after NOT; NOT before a condition goes in front of it, as in NOT (a = b)",
            ))
        }
    }

    fn like(&mut self, operand: Part) -> Result<Part> {
        let pattern = self.string("a 'pattern' in quotes after LIKE")?;
        let mut escape = None;
        if self.take(Kind::Escape)? {
            let at = self.token.at;
            let text = self.string("one character in quotes after ESCAPE")?;
            let mut chars = text.chars();
            escape = match (chars.next(), chars.next()) {
                // ActiveMQ counts in UTF-16: a character beyond the basic plane is two.
                (Some(c), None) if c.len_utf16() == 1 => Some(c),
                _ => {
                    return Err(SelectorError::Escape {
                        column: self.lexer.column(at),
                        text: shortened(text),
                    });
                }
            };
        }
        self.node(operand, |operand| Expr::Like(Box::new(operand), Pattern::new(&pattern, escape)))
    }

    fn in_strings(&mut self, operand: Part) -> Result<Part> {
        if !operand.expr.is_property() {
            return Err(SelectorError::InNeedsProperty {
                column: self.column(&operand),
                text: excerpt(&operand),
            });
        }
        self.expect(Kind::Open, "( after IN")?;
        let mut list = Vec::new();
        loop {
            list.push(self.string("a 'string' in quotes; IN takes strings only")?.into_boxed_str());
            if !self.take(Kind::Comma)? {
                break;
            }
        }
        self.expect(Kind::Close, ", or ) in the list of IN")?;
        list.sort_unstable();
        list.dedup();
        self.node(operand, |operand| Expr::In(Box::new(operand), list))
    }

    fn between(&mut self, value: Part, negated: bool) -> Result<Part> {
        let low = self.expression(Level::Sum)?;
        self.expect(Kind::And, "AND between the two bounds of BETWEEN")?;
        let high = self.expression(Level::Sum)?;
        for operand in [&value, &low, &high] {
            self.check_ordered(operand, "BETWEEN")?;
        }
        let depth = value.depth.max(low.depth).max(high.depth);
        let (at, bounds) = (value.at, Between { value: value.expr, low: low.expr, high: high.expr, negated });
        self.node(Part { expr: Expr::Null, at, depth }, |_| Expr::Between(Box::new(bounds)))
    }

    /// Signs and NOT in front of a primary. They are gathered in a loop, so that a row of them takes no stack.
    fn signed(&mut self) -> Result<Part> {
        if !is_prefix(self.token.kind) {
            return self.primary();
        }
        let mut prefixes = Vec::new();
        while is_prefix(self.token.kind) {
            if self.token.kind != Kind::Plus {
                prefixes.push((self.token.kind, self.token.at));
            }
            self.advance()?;
        }
        let operand = self.primary()?;
        self.prefixed(operand, prefixes)
    }

    fn prefixed(&self, mut part: Part, prefixes: Vec<(Kind, usize)>) -> Result<Part> {
        for (kind, at) in prefixes.into_iter().rev() {
            part = if kind == Kind::Not {
                let operand = self.condition(part)?;
                self.negated(operand, true)?
            } else {
                self.node(part, |operand| Expr::Negate(Box::new(operand)))?
            };
            part.at = at;
        }
        Ok(part)
    }

    fn primary(&mut self) -> Result<Part> {
        match self.token.kind {
            Kind::Open => self.group(),
            Kind::Name => self.named(),
            _ => self.literal(),
        }
    }

    fn group(&mut self) -> Result<Part> {
        let at = self.token.at;
        self.descend()?;
        let inner = self.expression(Level::Or)?;
        self.ascend(") or an operator")?;
        Ok(Part { at, ..inner })
    }

    fn named(&mut self) -> Result<Part> {
        let name = self.token;
        self.advance()?;
        if self.token.kind == Kind::Open {
            return self.call(name);
        }
        let expr =
            Header::from_name(name.text).map_or_else(|| Expr::Property(name.text.into()), Expr::Header);
        Ok(Part { expr, at: name.at, depth: 0 })
    }

    fn literal(&mut self) -> Result<Part> {
        let token = self.token;
        let expr = match token.kind {
            Kind::True => Expr::Bool(true),
            Kind::False => Expr::Bool(false),
            Kind::Null => Expr::Null,
            Kind::String => Expr::Text(unquoted(token.text).into()),
            Kind::Decimal | Kind::Hex | Kind::Octal | Kind::Float => {
                Expr::Number(number(token).ok_or_else(|| SelectorError::Number {
                    column: self.lexer.column(token.at),
                    text: shortened(token.text.into()),
                })?)
            }
            Kind::XPath | Kind::XQuery => return Err(self.unsupported_query(token)),
            _ => {
                return Err(self.unexpected(
                    "a header or property name, a number, a 'string', TRUE, FALSE, NULL, NOT or (",
                ));
            }
        };
        self.advance()?;
        Ok(Part { expr, at: token.at, depth: 0 })
    }

    fn call(&mut self, name: Token<'a>) -> Result<Part> {
        self.descend()?;
        let mut arguments = Vec::new();
        let mut depth = 0;
        loop {
            let argument = self.signed()?;
            depth = depth.max(argument.depth);
            arguments.push(argument.expr);
            if !self.take(Kind::Comma)? {
                break;
            }
        }
        self.ascend(", or ) in the arguments of a function; put a longer argument in parentheses")?;
        let expr = self.function(name, arguments)?;
        self.node(Part { expr, at: name.at, depth }, |expr| expr)
    }

    fn function(&self, name: Token<'_>, mut arguments: Vec<Expr>) -> Result<Expr> {
        let unsupported = |feature, remedy| unsupported(self.lexer.column(name.at), feature, remedy);
        match (name.text, arguments.len()) {
            ("MAKELIST", _) => Ok(Expr::MakeList(arguments)),
            ("INLIST", 2) => {
                let value = arguments.pop().unwrap_or(Expr::Null);
                let list = arguments.pop().unwrap_or(Expr::Null);
                Ok(Expr::InList(Box::new(list), Box::new(value)))
            }
            ("REGEX", 2) => Err(unsupported("the function REGEX", "use LIKE")),
            ("REPLACE", 3) => Err(unsupported("the function REPLACE", "set a property to select on")),
            ("SPLIT", 2 | 3) => Err(unsupported("the function SPLIT", "set a property to select on")),
            (text, arguments) => Err(SelectorError::Function {
                column: self.lexer.column(name.at),
                name: shortened(text.into()),
                arguments,
            }),
        }
    }

    fn string(&mut self, expected: &'static str) -> Result<String> {
        let token = self.token;
        self.expect(Kind::String, expected)?;
        Ok(unquoted(token.text))
    }

    /// Turns a header or property into a condition, and refuses what is none.
    fn condition(&self, part: Part) -> Result<Part> {
        if part.expr.is_condition() {
            Ok(part)
        } else if part.expr.is_property() {
            self.node(part, |expr| Expr::Flag(Box::new(expr)))
        } else {
            Err(SelectorError::NotACondition { column: self.column(&part), text: excerpt(&part) })
        }
    }

    fn equal(&self, op: CompareOp, left: Part, right: Part) -> Result<Part> {
        if let Some(null) = [&left, &right].into_iter().find(|part| part.expr == Expr::Null) {
            return Err(self.not_comparable(null, op.symbol(), "use IS NULL or IS NOT NULL"));
        }
        let boolean = |part: &Part| matches!(part.expr, Expr::Bool(_));
        if boolean(&left) && right.expr.is_constant() && !boolean(&right) {
            return Err(self.not_comparable(&right, op.symbol(), "a boolean compares with TRUE and FALSE"));
        }
        self.pair(left, right, |left, right| Expr::Compare(op, left, right))
    }

    /// Only numbers, and what may turn out to be one, have an order.
    fn check_ordered(&self, part: &Part, operator: &'static str) -> Result<()> {
        let refused = part.expr.is_condition() || matches!(part.expr, Expr::Text(_));
        if refused {
            let remedy =
                "only numbers have an order; a condition on either side goes in front, as in NOT (a > 5)";
            return Err(self.not_comparable(part, operator, remedy));
        }
        Ok(())
    }

    fn not_comparable(&self, part: &Part, operator: &'static str, remedy: &'static str) -> SelectorError {
        SelectorError::NotComparable { column: self.column(part), text: excerpt(part), operator, remedy }
    }

    fn negated(&self, part: Part, negated: bool) -> Result<Part> {
        if negated { self.node(part, |operand| Expr::Not(Box::new(operand))) } else { Ok(part) }
    }

    /// Joins two conditions; a left one that is itself such a join takes the right one in.
    fn join(&self, left: Part, right: Part, join: Join) -> Result<Part> {
        let (left, right) = (self.condition(left)?, self.condition(right)?);
        let (at, depth) = (left.at, left.depth.max(right.depth + 1));
        let mut terms = match (join, left.expr) {
            (Join::And, Expr::And(terms)) | (Join::Or, Expr::Or(terms)) => terms,
            (_, expr) => {
                return self.pair(Part { expr, ..left }, right, |left, right| join.node(vec![*left, *right]));
            }
        };
        if depth > MAX_NESTING {
            return Err(SelectorError::TooDeep { column: self.column(&right), limit: MAX_NESTING });
        }
        terms.push(right.expr);
        Ok(Part { expr: join.node(terms), at, depth })
    }

    fn pair(
        &self,
        left: Part,
        right: Part,
        build: impl FnOnce(Box<Expr>, Box<Expr>) -> Expr,
    ) -> Result<Part> {
        let depth = left.depth.max(right.depth);
        self.node(Part { depth, ..left }, |left| build(Box::new(left), Box::new(right.expr)))
    }

    /// Builds a node one level above a part.
    fn node(&self, part: Part, build: impl FnOnce(Expr) -> Expr) -> Result<Part> {
        if part.depth >= MAX_NESTING {
            return Err(SelectorError::TooDeep { column: self.column(&part), limit: MAX_NESTING });
        }
        Ok(Part { expr: build(part.expr), at: part.at, depth: part.depth + 1 })
    }

    fn descend(&mut self) -> Result<()> {
        self.nesting += 1;
        if self.nesting > MAX_NESTING {
            return Err(SelectorError::TooDeep {
                column: self.lexer.column(self.token.at),
                limit: MAX_NESTING,
            });
        }
        self.expect(Kind::Open, "(")
    }

    fn ascend(&mut self, expected: &'static str) -> Result<()> {
        self.nesting -= 1;
        self.expect(Kind::Close, expected)
    }

    fn advance(&mut self) -> Result<()> {
        self.token = self.lexer.next()?;
        Ok(())
    }

    fn take(&mut self, kind: Kind) -> Result<bool> {
        let found = self.token.kind == kind;
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    fn expect(&mut self, kind: Kind, expected: &'static str) -> Result<()> {
        if self.token.kind != kind {
            return Err(self.unexpected(expected));
        }
        self.advance()
    }

    fn unexpected(&self, expected: &'static str) -> SelectorError {
        let found = match self.token.kind {
            Kind::End => "the end of the selector".to_owned(),
            _ => shortened(self.token.text.to_owned()),
        };
        SelectorError::Token { column: self.lexer.column(self.token.at), found, expected }
    }

    fn unsupported_query(&self, token: Token<'_>) -> SelectorError {
        let feature = if token.kind == Kind::XPath { "XPATH" } else { "XQUERY" };
        unsupported(
            self.lexer.column(token.at),
            feature,
            "set a property to select on instead of looking into the body",
        )
    }

    fn column(&self, part: &Part) -> usize {
        self.lexer.column(part.at)
    }
}

fn unsupported(column: usize, feature: &'static str, remedy: &'static str) -> SelectorError {
    SelectorError::Unsupported { column, feature, remedy }
}

fn is_prefix(kind: Kind) -> bool {
    matches!(kind, Kind::Plus | Kind::Minus | Kind::Not)
}

fn unquoted(text: &str) -> String {
    let inner = text.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')).unwrap_or_default();
    inner.replace("''", "'")
}

fn number(token: Token<'_>) -> Option<Number> {
    let whole = |value: i64| i32::try_from(value).map_or(Number::Long(value), Number::Int);
    match token.kind {
        Kind::Hex => i64::from_str_radix(token.text.get(2..)?, 16).ok().map(whole),
        Kind::Octal => i64::from_str_radix(token.text, 8).ok().map(whole),
        Kind::Float => token.text.parse().ok().map(Number::Double),
        _ => {
            let digits = token.text.trim_end_matches(['l', 'L']);
            match digits.parse() {
                Ok(value) => Some(whole(value)),
                // ActiveMQ narrows a number that is too big if its low bits happen to make an int.
                Err(_) => match whole(low_bits(digits)) {
                    Number::Int(low) => Some(Number::Int(low)),
                    _ => Some(Number::Big(digits.into())),
                },
            }
        }
    }
}

fn excerpt(part: &Part) -> String {
    shortened(part.expr.to_string())
}

fn shortened(text: String) -> String {
    match text.char_indices().nth(EXCERPT_CHARS) {
        Some((end, _)) => text.get(..end).unwrap_or_default().to_owned() + "…",
        None => text,
    }
}
