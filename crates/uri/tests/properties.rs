//! What holds for every text and every URI.

use ferromq_uri::{ErrorKind, ListenerUri, MAX_COMPONENTS, MAX_NESTING, MAX_URI_BYTES, Uri};
use proptest::prelude::*;

fn simple() -> impl Strategy<Value = String> {
    let options =
        prop::collection::vec(("[a-zA-Z.]{1,6}", "[a-z0-9%:/+ é=]{0,6}"), 0..4).prop_map(|options| {
            let mut seen = std::collections::BTreeSet::new();
            let unique = options.into_iter().filter(|(name, _)| seen.insert(name.clone()));
            let options = unique
                .map(|(name, value)| format!("{name}={}", value.replace('%', "%25")))
                .collect::<Vec<_>>();
            if options.is_empty() { String::new() } else { format!("?{}", options.join("&")) }
        });
    (
        "(tcp|nio|SSL|multicast|ws)",
        "([a-z]{1,8}|127\\.0\\.0\\.1|\\[::1\\])",
        "(|:0|:61616)",
        "(|/|/a b)",
        options,
    )
        .prop_map(|(scheme, host, port, path, options)| format!("{scheme}://{host}{port}{path}{options}"))
}

fn uri() -> impl Strategy<Value = String> {
    simple().prop_recursive(3, 12, 3, |inner| {
        (
            "(failover|static|masterslave|discovery|fanout|vm)",
            "(|//)",
            prop::collection::vec(inner, 1..4),
            "(|\\?a=b)",
        )
            .prop_map(|(scheme, slashes, inner, options)| {
                format!("{scheme}:{slashes}({}){options}", inner.join(", "))
            })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,40}") {
        if let Err(error) = Uri::parse(&text) {
            prop_assert!(error.column() <= text.chars().count() + 1);
        }
    }

    #[test]
    fn no_row_of_parts_makes_the_parser_panic(parts in prop::collection::vec(
        "(tcp|failover|vm|:|//|\\(|\\)|,|\\?|=|&|%|%4|%41|%ff|a|é|@|#|\\[|\\]|::1|0| )", 0..20)) {
        if let Ok(uri) = Uri::parse(&parts.concat()) {
            prop_assert_eq!(Uri::parse(&uri.to_string()), Ok(uri));
        }
    }

    #[test]
    fn the_printed_form_is_the_same_uri(text in uri()) {
        let uri = Uri::parse(&text).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(Uri::parse(&uri.to_string()), Ok(uri.clone()));
        let _ = ListenerUri::from_uri(&uri);
    }
}

#[test]
fn length_nesting_and_components_end_at_their_limits() {
    let nested =
        |levels: usize| format!("{}tcp://a:1{}", "failover:(".repeat(levels - 1), ")".repeat(levels - 1));
    assert!(Uri::parse(&nested(MAX_NESTING)).is_ok());
    let many = |count: usize| format!("failover:({})", vec!["tcp://a:1"; count - 1].join(","));
    assert!(Uri::parse(&many(MAX_COMPONENTS)).is_ok());
    for beyond in [
        nested(MAX_NESTING + 1),
        "failover:".repeat(1000),
        many(MAX_COMPONENTS + 1),
        format!("tcp://a:1?x={}", "y".repeat(MAX_URI_BYTES)),
    ] {
        assert_eq!(Uri::parse(&beyond).expect_err("beyond").kind(), ErrorKind::Limit);
    }
}
