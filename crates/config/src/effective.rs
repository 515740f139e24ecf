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
    lines: Vec<Line>,
    sources: Vec<(String, Source)>,
}

#[derive(Clone)]
struct Line {
    text: String,
    /// The line with what is masked in `text`.
    secret: Option<String>,
    source: Source,
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Line").field(&self.text).field(&self.source).finish()
    }
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
            let text = format!("{key} = {value}");
            section.lines.push(Line { text, secret: None, source: source.clone() });
            section.sources.push((key.to_owned(), source));
        }
    }

    /// A value that is printed with a mask, but for a file that needs it.
    pub(crate) fn put_secret(&mut self, key: &str, masked: String, value: &str, source: Source) {
        self.put(key, masked, source);
        if let Some(line) = self.sections.last_mut().and_then(|section| section.lines.last_mut()) {
            line.secret = Some(format!("{key} = {value}"));
        }
    }

    /// Where a value comes from; the first one of a repeated section.
    pub(crate) fn source(&self, path: &str) -> Option<&Source> {
        let (section, key) = path.rsplit_once('.').unwrap_or(("", path));
        let found = self.sections.iter().filter(|recorded| recorded.name == section);
        found.flat_map(|recorded| &recorded.sources).find(|(name, _)| name == key).map(|(_, source)| source)
    }

    /// All values, masked.
    pub(crate) fn print(&self) -> String {
        self.text(|line| Some(&line.text))
    }

    /// What was set, as a file.
    pub(crate) fn file(&self) -> String {
        self.text(|line| (line.source != Source::Default).then(|| line.secret.as_ref().unwrap_or(&line.text)))
    }

    fn text(&self, shown: impl Fn(&Line) -> Option<&String>) -> String {
        let mut text = String::new();
        for section in &self.sections {
            let lines: Vec<_> =
                section.lines.iter().filter_map(|line| Some((shown(line)?, &line.source))).collect();
            if lines.is_empty() && !section.repeated {
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
            for (line, source) in lines {
                // Writing into a string does not fail.
                let _ = writeln!(text, "{line}  # {source}");
            }
        }
        text
    }
}
