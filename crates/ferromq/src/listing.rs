//! Lists on standard output: for people some lines an entry, for scripts one JSON object a line.

use serde_json::Value;

use crate::exit::{self, Outcome};

/// How the entries of a list are told.
pub(crate) struct Listing<T> {
    pub(crate) line: fn(&T) -> String,
    pub(crate) object: fn(&T) -> Value,
    /// For people, if there is no entry.
    pub(crate) none: &'static str,
}

impl<T> Listing<T> {
    /// Prints a list; `rest` is said to people behind it.
    pub(crate) fn print(&self, entries: &[T], json: bool, rest: Option<String>) -> Outcome {
        exit::print(&self.text(entries, json, rest))
    }

    fn text(&self, entries: &[T], json: bool, rest: Option<String>) -> String {
        let told: Vec<String> = if json {
            entries.iter().map(|entry| (self.object)(entry).to_string()).collect()
        } else {
            let none = entries.is_empty().then(|| self.none.to_owned());
            entries.iter().map(self.line).chain(none).chain(rest).collect()
        };
        told.iter().flat_map(|told| [told.as_str(), "\n"]).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Listing;

    const NUMBERS: Listing<u32> = Listing {
        line: |number| format!("number {number}"),
        object: |number| json!({ "number": number }),
        none: "no number",
    };

    #[test]
    fn people_are_told_of_nothing_and_of_more_and_scripts_get_objects_alone() {
        let rest = || Some("and more".to_owned());
        assert_eq!(NUMBERS.text(&[1, 2], false, rest()), "number 1\nnumber 2\nand more\n");
        assert_eq!(NUMBERS.text(&[], false, None), "no number\n");
        assert_eq!(NUMBERS.text(&[1, 2], true, rest()), "{\"number\":1}\n{\"number\":2}\n");
        assert_eq!(NUMBERS.text(&[], true, None), "");
    }
}
