//! Wrong selectors and the text that a client's developer reads. A row reads `selector | error`.

use ferromq_selector::Selector;

#[test]
fn errors_name_the_column_and_the_remedy() {
    for (index, line) in include_str!("errors.txt").lines().enumerate() {
        let (selector, expected) = line.split_once(" | ").expect("two columns");
        let found = Selector::parse(selector)
            .map_or_else(|error| error.to_string(), |parsed| format!("parsed as {parsed}"));
        assert_eq!(found, expected, "line {}: {selector}", index + 1);
    }
}
