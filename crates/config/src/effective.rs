//! The configuration as it counts, printed as TOML with the source of each value behind it.

use std::fmt::Write;

use crate::source::Source;

/// All values that were read, in the order of reading.
#[derive(Debug, Clone, Default)]
pub(crate) struct Record {
    sections: Vec<RecordedSection>,
}

#[derive(Debug, Clone, Default)]
struct RecordedSection {
    name: String,
    repeated: bool,
    lines: Vec<(String, Source)>,
    sources: Vec<(String, Source)>,
}

impl Record {
    pub(crate) fn begin(&mut self, name: &str, repeated: bool) {
        self.sections.push(RecordedSection { name: name.to_owned(), repeated, ..RecordedSection::default() });
    }

    pub(crate) fn put(&mut self, key: &str, value: String, source: Source) {
        if self.sections.is_empty() {
            self.begin("", false);
        }
        if let Some(section) = self.sections.last_mut() {
            section.lines.push((format!("{key} = {value}"), source.clone()));
            section.sources.push((key.to_owned(), source));
        }
    }

    /// Where a value comes from; the first one of a repeated section.
    pub(crate) fn source(&self, path: &str) -> Option<&Source> {
        let (section, key) = path.rsplit_once('.').unwrap_or(("", path));
        let found = self.sections.iter().filter(|recorded| recorded.name == section);
        found.flat_map(|recorded| &recorded.sources).find(|(name, _)| name == key).map(|(_, source)| source)
    }

    pub(crate) fn print(&self) -> String {
        let mut text = String::new();
        for section in &self.sections {
            if section.lines.is_empty() && !section.repeated {
                continue;
            }
            if !text.is_empty() {
                text.push('\n');
            }
            let header = match (section.name.as_str(), section.repeated) {
                ("", _) => String::new(),
                (name, true) => format!("[[{name}]]\n"),
                (name, false) => format!("[{name}]\n"),
            };
            text.push_str(&header);
            for (line, source) in &section.lines {
                // Writing into a string does not fail.
                let _ = writeln!(text, "{line}  # {source}");
            }
        }
        text
    }
}
