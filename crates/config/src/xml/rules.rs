//! The table of everything that ActiveMQ's XML knows, `schema.txt`, as rules.

use std::collections::BTreeMap;

/// The table as text; its head says what the lines mean.
pub(super) const TEXT: &str = include_str!("schema.txt");

/// What becomes of an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Directive {
    /// Its properties count.
    Plain,
    /// It begins a table of that list.
    Into(&'static str),
    /// It stands for a value of a key.
    Set(&'static str, &'static str),
    Ignore(&'static str),
    Reject(&'static str, &'static str),
}

/// What becomes of an attribute or property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    Key(&'static str),
    /// Code decides, by these words; the text says what it comes to.
    Handler(&'static str, &'static str),
    Always(&'static str),
    Same(&'static str, &'static str),
    Ignore(&'static str),
    Must(&'static str, &'static str, &'static str),
    /// It holds such elements.
    Holds(&'static str),
}

/// The rules of some elements.
#[derive(Debug, Clone)]
pub(crate) struct Section {
    /// The elements.
    pub(crate) names: Vec<&'static str>,
    pub(crate) directive: Directive,
    /// Names and what becomes of them, in the order of the table.
    pub(crate) rows: Vec<(&'static str, Rule)>,
}

/// All of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rules {
    pub(crate) sections: Vec<Section>,
    by_name: BTreeMap<&'static str, usize>,
    /// Lines that are none; a test sees to it that there is none.
    pub(crate) broken: Vec<&'static str>,
}

impl Rules {
    pub(crate) fn of_table() -> Self {
        let mut rules = Self::default();
        for line in TEXT.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let read = match line.strip_prefix('[') {
                Some(header) => rules.begin(header),
                None => rules.row(line),
            };
            if read.is_none() {
                rules.broken.push(line);
            }
        }
        rules
    }

    pub(crate) fn section(&self, element: &str) -> Option<&Section> {
        self.by_name.get(element).and_then(|index| self.sections.get(*index))
    }

    fn begin(&mut self, header: &'static str) -> Option<()> {
        let (names, directive) = header.split_once(']')?;
        let directive = directive.trim();
        let mut parts = directive.split(" : ");
        let mut words = parts.next()?.split_whitespace();
        let directive = match words.next() {
            None => Directive::Plain,
            Some("into") => Directive::Into(words.next()?),
            Some("set") => Directive::Set(words.next()?, words.next()?),
            Some("ignore") => Directive::Ignore(parts.next()?),
            Some("reject") => Directive::Reject(parts.next()?, directive.splitn(3, " : ").nth(2)?),
            Some(_) => return None,
        };
        let names: Vec<&str> = names.split_whitespace().collect();
        let index = self.sections.len();
        for name in &names {
            if self.by_name.insert(name, index).is_some() {
                return None;
            }
        }
        self.sections.push(Section { names, directive, rows: Vec::new() });
        Some(())
    }

    fn row(&mut self, line: &'static str) -> Option<()> {
        let operators = [" = ", " * ", " + ", " ~ ", " - ", " ! ", " > "];
        let at = operators.iter().filter_map(|operator| line.find(operator)).min()?;
        let (names, rest) = line.split_at_checked(at)?;
        let (operator, rest) = rest.split_at_checked(3)?;
        let text = rest.trim();
        let rule = match operator.trim() {
            "=" => Rule::Key(text),
            "*" => {
                let (words, means) = text.split_once(" : ")?;
                Rule::Handler(words, means)
            }
            "+" => Rule::Always(text),
            "~" => {
                let (value, consequence) = text.split_once(" : ")?;
                Rule::Same(value, consequence)
            }
            "-" => Rule::Ignore(text),
            "!" => {
                let (value, why) =
                    text.strip_prefix(": ").map_or_else(|| text.split_once(" : "), |why| Some(("", why)))?;
                let (reason, remedy) = why.split_once(" : ")?;
                Rule::Must(value, reason, remedy)
            }
            ">" => Rule::Holds(text),
            _ => return None,
        };
        let section = self.sections.last_mut()?;
        for name in names.split_whitespace() {
            if section.rows.iter().any(|(other, _)| *other == name) {
                return None;
            }
            section.rows.push((name, rule));
        }
        Some(())
    }
}

impl Section {
    pub(crate) fn rule(&self, name: &str) -> Option<Rule> {
        let exact = self.rows.iter().find(|(row, _)| *row == name);
        let ending = || {
            self.rows
                .iter()
                .find(|(row, _)| row.strip_prefix('*').is_some_and(|ending| name.ends_with(ending)))
        };
        exact.or_else(ending).map(|(_, rule)| *rule)
    }

    pub(crate) fn names_of_rows(&self) -> impl Iterator<Item = &'static str> {
        self.rows.iter().map(|(name, _)| *name).filter(|name| !name.starts_with('*'))
    }
}

#[cfg(test)]
mod tests {
    use super::{Directive, Rule, Rules};

    #[test]
    fn every_line_of_the_table_is_a_rule() {
        let rules = Rules::of_table();
        assert_eq!(rules.broken, Vec::<&str>::new());
        let rows: usize = rules.sections.iter().map(|section| section.rows.len()).sum();
        assert!(rows > 500, "only {rows} rows");
    }

    #[test]
    fn what_an_element_holds_is_in_the_table() {
        let rules = Rules::of_table();
        for section in &rules.sections {
            for (name, rule) in &section.rows {
                let Rule::Holds(elements) = rule else { continue };
                for element in elements.split_whitespace().filter(|element| *element != "bean") {
                    assert!(rules.section(element).is_some(), "{:?} {name} holds {element}", section.names);
                }
            }
        }
        assert!(matches!(rules.section("kahaDB").map(|section| section.directive), Some(Directive::Set(..))));
    }
}
