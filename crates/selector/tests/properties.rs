//! What holds for every selector and every message.

mod common;

use common::Message;
use ferromq_selector::{ErrorKind, MAX_NESTING, MAX_SELECTOR_BYTES, Selector, Truth};
use proptest::prelude::*;

/// Values, as they are written.
fn operand() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        "[a-e]",
        "(x|y|JMSPriority|JMSType)",
        "[0-9]{1,3}",
        "0x[0-9a-f]{1,4}",
        "[0-9]{1,2}\\.[0-9]{0,2}(e[0-9])?",
        "[1-9][0-9]{18,24}",
        "'[a-c%_'']{0,4}'".prop_map(|text| quoted(&text)),
    ];
    leaf.prop_recursive(3, 12, 2, |inner| {
        prop_oneof![
            (inner.clone(), "[-+*/%]", inner.clone()).prop_map(|(l, op, r)| format!("({l} {op} {r})")),
            (inner.clone(), "[-+*/%]", inner.clone()).prop_map(|(l, op, r)| format!("{l} {op} {r}")),
            inner.prop_map(|operand| format!("- {operand}")),
        ]
    })
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.trim_matches('\'').replace('\'', "''"))
}

/// Conditions, most of them valid.
fn condition() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        "(a|b|c|TRUE|FALSE|NULL)",
        (operand(), "(=|<>|<|>|<=|>=)", operand()).prop_map(|(l, op, r)| format!("{l} {op} {r}")),
        (operand(), "(IS NULL|IS NOT NULL)").prop_map(|(operand, test)| format!("{operand} {test}")),
        ("[a-e]", "(NOT )?", operand(), operand())
            .prop_map(|(value, not, low, high)| format!("{value} {not}BETWEEN {low} AND {high}")),
        ("[a-e]", "(NOT )?", "[ab%_!]{0,5}")
            .prop_map(|(v, not, p)| format!("{v} {not}LIKE '{p}' ESCAPE '!'")),
        ("[a-e]", "(NOT )?", prop::collection::vec("'[a-c]{0,2}'", 1..4))
            .prop_map(|(value, not, list)| format!("{value} {not}IN ({})", list.join(", "))),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|condition| format!("NOT ({condition})")),
            (inner.clone(), "(AND|OR)", inner.clone()).prop_map(|(l, op, r)| format!("{l} {op} {r}")),
            (inner.clone(), "(AND|OR)", inner).prop_map(|(l, op, r)| format!("({l}) {op} ({r})")),
        ]
    })
}

fn message() -> impl Strategy<Value = Message> {
    let value = prop_oneof![
        any::<bool>().prop_map(|value| format!("bool:{value}")),
        any::<i8>().prop_map(|value| format!("byte:{value}")),
        any::<i16>().prop_map(|value| format!("short:{value}")),
        (-100..100).prop_map(|value| format!("int:{value}")),
        any::<i64>().prop_map(|value| format!("long:{value}")),
        any::<f32>().prop_map(|value| format!("float:{value}")),
        any::<f64>().prop_map(|value| format!("double:{value}")),
        "[abc]{0,3}".prop_map(|value| format!("str:{value}")),
        Just("opaque:".to_owned()),
    ];
    prop::collection::vec(("[a-e]", value), 0..5).prop_map(|facts| {
        let facts = facts.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>();
        Message::parse(&facts.join("; "))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,60}") {
        let _ = Selector::parse(&text).map(|selector| selector.to_string());
    }

    #[test]
    fn no_row_of_tokens_makes_the_parser_panic(
        tokens in prop::collection::vec("(a|'|''|\\(|\\)|,|NOT|IS|NULL|IN|LIKE|ESCAPE|BETWEEN|AND|OR|--|/\\*|\\*/|=|<>|<|\\.|5|0x|1e|-|\\+|%|TRUE|'x'|é|😀|\n|INLIST\\(|XPATH)", 0..24),
        blank in "( |)",
    ) {
        if let Err(error) = Selector::parse(&tokens.join(&blank)) {
            prop_assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn the_printed_form_is_the_same_selector(text in condition(), message in message()) {
        if let Ok(selector) = Selector::parse(&text) {
            let printed = selector.to_string();
            let again = Selector::parse(&printed);
            prop_assert_eq!(again.as_ref(), Ok(&selector), "printed as {}", printed);
            prop_assert_eq!(again.map(|again| again.evaluate(&message)), Ok(selector.evaluate(&message)));
        }
    }

    #[test]
    fn de_morgan_holds_in_three_valued_logic(left in condition(), right in condition(), message in message()) {
        let truth = |text: String| Selector::parse(&text).map(|selector| selector.evaluate(&message));
        if Selector::parse(&left).is_ok() && Selector::parse(&right).is_ok() {
            prop_assert_eq!(
                truth(format!("NOT (({left}) AND ({right}))")),
                truth(format!("(NOT ({left})) OR (NOT ({right}))"))
            );
            prop_assert_eq!(
                truth(format!("NOT (({left}) OR ({right}))")),
                truth(format!("(NOT ({left})) AND (NOT ({right}))"))
            );
            prop_assert_eq!(truth(format!("NOT (NOT ({left}))")), truth(left));
        }
    }

    #[test]
    fn matching_is_being_true(text in condition(), message in message()) {
        if let Ok(selector) = Selector::parse(&text) {
            prop_assert_eq!(selector.matches(&message), selector.evaluate(&message) == Ok(Truth::True));
        }
    }
}

#[test]
fn nesting_ends_at_its_limit_on_a_small_stack() {
    let work = || {
        let message = Message::parse("a=int:1; t=bool:true");
        let nested = |depth: usize| format!("{}t{}", "(".repeat(depth), ")".repeat(depth));
        assert!(Selector::parse(&nested(MAX_NESTING)).expect("at the limit").matches(&message));
        let chained = |length: usize| format!("a{} = {}", " + 1".repeat(length), length + 1);
        let deep = Selector::parse(&chained(MAX_NESTING - 1)).expect("at the limit");
        assert!(deep.matches(&message));
        assert_eq!(Selector::parse(&deep.to_string()), Ok(deep));
        for beyond in [
            nested(MAX_NESTING + 1),
            "(".repeat(MAX_SELECTOR_BYTES),
            chained(MAX_NESTING),
            chained(10_000),
            "NOT ".repeat(10_000) + "t",
            "- ".repeat(10_000) + "a = 1",
            "t = ".repeat(10_000) + "t",
            "INLIST(".repeat(10_000),
        ] {
            assert_eq!(Selector::parse(&beyond).expect_err("too deep").kind(), ErrorKind::Limit);
        }
        assert!(
            Selector::parse(&("+ ".repeat(10_000) + "a = 1"))
                .expect("signs without effect")
                .matches(&message)
        );
    };
    std::thread::Builder::new().stack_size(1 << 20).spawn(work).expect("thread").join().expect("no overflow");
}

#[test]
fn a_long_row_of_alternatives_is_no_nesting() {
    let alternatives = (0..5000).map(|n| format!("a = {n}")).collect::<Vec<_>>().join(" OR ");
    let selector = Selector::parse(&alternatives).expect("flat");
    assert!(selector.matches(&Message::parse("a=int:4999")));
    assert_eq!(Selector::parse(&selector.to_string()), Ok(selector));
    let list = (0..5000).map(|n| format!("'{n}'")).collect::<Vec<_>>().join(",");
    assert!(Selector::parse(&format!("a IN ({list})")).expect("flat").matches(&Message::parse("a=str:4999")));
}

#[test]
fn a_selector_has_a_greatest_length() {
    let text = |length: usize| format!("a = '{}'", "x".repeat(length - 6));
    assert!(Selector::parse(&text(MAX_SELECTOR_BYTES)).is_ok());
    let error = Selector::parse(&text(MAX_SELECTOR_BYTES + 1)).expect_err("too long");
    assert_eq!(error.kind(), ErrorKind::Limit);
}

#[test]
fn none_and_blank_select_everything() {
    assert_eq!(Selector::parse_optional(None), Ok(None));
    assert_eq!(Selector::parse_optional(Some(" \n")), Ok(None));
    assert_eq!(Selector::parse_optional(Some("a = 1")), Selector::parse("a = 1").map(Some));
    assert!(Selector::parse_optional(Some("a =")).is_err());
}
