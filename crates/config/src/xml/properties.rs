//! Placeholders `${name}` and `${name:default}`, and where their values come from.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use super::tree::{Element, Space};
use crate::{
    diagnostic::{Diagnostic, Severity},
    load::Input,
    source::Source,
};

/// Placeholders within placeholders.
const MAX_DEPTH: usize = 8;
/// Placeholders in one value, with those in their values.
const MAX_STEPS: usize = 1_000;
/// The longest value with its placeholders filled in.
const MAX_VALUE_BYTES: usize = 64 * 1024;
/// The most files of properties.
const MAX_FILES: usize = 64;

const ENCRYPTED: &str = "this value is encrypted, and is not decrypted here";
const ENCRYPTED_REMEDY: &str = "decrypt it with `activemq decrypt`, and put it into a file that only the broker's user \
                                can read, or into the environment: ${BROKER_PASSWORD}";

/// Values by weight: files of properties, then `-D`, then the environment, then what ActiveMQ's scripts set.
#[derive(Default)]
pub(super) struct Properties {
    files: BTreeMap<String, String>,
    given: BTreeMap<String, String>,
    environment: BTreeMap<String, String>,
    defaults: BTreeMap<&'static str, String>,
    /// Files weigh least, as `PropertySourcesPlaceholderConfigurer` and `SYSTEM_PROPERTIES_MODE_OVERRIDE` have it.
    files_last: bool,
}

impl Properties {
    /// What is known before the file is read.
    pub(super) fn new(input: &Input, file: &str) -> Self {
        let environment: BTreeMap<String, String> = input.environment.iter().cloned().collect();
        let mut given = BTreeMap::new();
        // What a user of ActiveMQ has in the environment of its scripts.
        let options = environment.get("ACTIVEMQ_OPTS").map(String::as_str).unwrap_or_default();
        for option in options.split_whitespace().filter_map(|word| word.strip_prefix("-D")) {
            if let Some((name, value)) = option.split_once('=') {
                given.insert(name.to_owned(), value.trim_matches('"').to_owned());
            }
        }
        given.extend(input.properties.iter().cloned());
        let defaults = places(&environment, &given, file);
        Self { files: BTreeMap::new(), given, environment, defaults, files_last: false }
    }

    /// Where JAAS is configured.
    pub(super) fn login_config(&self) -> String {
        let named = self.value("java.security.auth.login.config").map(str::to_owned);
        let beside = || {
            Path::new(self.value("activemq.conf").unwrap_or_default())
                .join("login.config")
                .display()
                .to_string()
        };
        named.unwrap_or_else(beside)
    }

    /// The name of this machine, if whoever reads the file knows it.
    pub(super) fn host(&self) -> &str {
        self.given.get("host.name").map(String::as_str).unwrap_or_default()
    }

    fn value(&self, name: &str) -> Option<&str> {
        let outer = || self.given.get(name).or_else(|| self.environment.get(name));
        let found = if self.files_last {
            outer().or_else(|| self.files.get(name))
        } else {
            self.files.get(name).or_else(outer)
        };
        found.or_else(|| self.defaults.get(name)).map(String::as_str)
    }

    /// The files that the placeholder beans name, and where.
    pub(super) fn files_of(&self, root: &Element) -> Vec<(String, Source)> {
        let mut places = Vec::new();
        let referred = referred(root);
        root.visit(&mut |bean| {
            if is_short_form(bean) || is_values(bean, &referred) {
                let locations = bean.value("location").unwrap_or_default().split(',').map(str::trim);
                let named = locations.filter(|location| !location.is_empty());
                places.extend(named.map(|location| (location.to_owned(), bean.source.clone())));
            }
            let class = bean.value("class").unwrap_or_default();
            let read = class.contains("Placeholder") || is_values(bean, &referred);
            if bean.name != "bean" || !read {
                return;
            }
            for property in bean.children.iter().filter(|child| {
                child.name == "property" && matches!(child.value("name"), Some("location" | "locations"))
            }) {
                if let Some(value) = property.value("value") {
                    places.extend(
                        value.split(',').map(|value| (value.trim().to_owned(), property.source.clone())),
                    );
                }
                property.visit(&mut |inner| {
                    if inner.name == "value" && !inner.text.is_empty() {
                        places.push((inner.text.clone(), inner.source.clone()));
                    }
                });
            }
        });
        places.truncate(MAX_FILES);
        let folder = self.value("activemq.conf").unwrap_or_default().to_owned();
        let path = |(place, source): (String, Source)| {
            // Folders begin with a slash to ActiveMQ; here they may be relative.
            let mut place = match place.strip_prefix("file:") {
                Some(path) if path.trim_start_matches('/').starts_with("${") => {
                    path.trim_start_matches('/').to_owned()
                }
                _ => place,
            };
            self.fill(&mut place, &source, &mut Vec::new());
            let path = match place.split_once(':') {
                Some(("file", path)) => path.strip_prefix("//").unwrap_or(path).to_owned(),
                Some(("classpath" | "classpath*", path)) => {
                    Path::new(&folder).join(path.trim_start_matches('/')).display().to_string()
                }
                _ => place,
            };
            (path, source)
        };
        places.into_iter().map(path).collect()
    }

    /// Takes the files that the placeholder beans name.
    pub(super) fn read(&mut self, input: &Input, root: &Element, problems: &mut Vec<Diagnostic>) {
        let referred = referred(root);
        root.visit(&mut |element| {
            let short = is_short_form(element);
            if short || is_placeholders(element) {
                self.files_last |= weighs_least(element, short);
                self.files.extend(inline(element));
            } else if is_values(element, &referred) {
                self.files.extend(values_within(element));
            }
        });
        for (path, source) in self.files_of(root) {
            match input.related.iter().find(|(name, _)| *name == path) {
                Some((_, text)) => self.files.extend(parse(text)),
                None => problems.push(Diagnostic {
                    source,
                    severity: Severity::Warning,
                    problem: format!("{path} can't be read"),
                    remedy: "its properties have no values".to_owned(),
                }),
            }
        }
    }

    /// Fills in all placeholders of a text.
    pub(super) fn fill(&self, text: &mut String, source: &Source, problems: &mut Vec<Diagnostic>) {
        if text.contains("${") || text.contains("#{") {
            match self.filled(text, 0, &mut 0) {
                Ok(filled) => *text = filled,
                Err((problem, remedy)) => {
                    problems.push(Diagnostic {
                        source: source.clone(),
                        severity: Severity::Error,
                        problem,
                        remedy,
                    });
                    return;
                }
            }
        }
        if text.starts_with("ENC(") && text.ends_with(')') {
            problems.push(Diagnostic {
                source: source.clone(),
                severity: Severity::Error,
                problem: ENCRYPTED.to_owned(),
                remedy: ENCRYPTED_REMEDY.to_owned(),
            });
        }
    }

    fn filled(&self, text: &str, depth: usize, steps: &mut usize) -> Result<String, (String, String)> {
        if depth > MAX_DEPTH {
            let remedy = "does a property refer to itself?".to_owned();
            return Err((format!("placeholders are nested deeper than {MAX_DEPTH}"), remedy));
        }
        let mut result = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['$', '#']).filter(|_| rest.contains("${") || rest.contains("#{")) {
            let (before, tail) = rest.split_at_checked(at).unwrap_or((rest, ""));
            result.push_str(before);
            let Some(inner) = tail.strip_prefix("${").or_else(|| tail.strip_prefix("#{")) else {
                let mut chars = tail.chars();
                result.extend(chars.next());
                rest = chars.as_str();
                continue;
            };
            let end = closing(inner).ok_or_else(|| {
                let begin: String = tail.chars().take(40).collect();
                (format!("the placeholder '{begin}' is not closed"), "write ${name}".to_owned())
            })?;
            let (body, behind) = inner.split_at_checked(end).unwrap_or((inner, ""));
            let value = if tail.starts_with('#') {
                self.expression(body)?
            } else {
                self.placeholder(body, depth, steps)?
            };
            result.push_str(&value);
            rest = behind.strip_prefix('}').unwrap_or(behind);
            if result.len() > MAX_VALUE_BYTES {
                return Err((format!("this value is longer than {MAX_VALUE_BYTES} bytes"), String::new()));
            }
        }
        result.push_str(rest);
        Ok(result)
    }

    fn placeholder(&self, body: &str, depth: usize, steps: &mut usize) -> Result<String, (String, String)> {
        *steps += 1;
        if *steps > MAX_STEPS {
            return Err((format!("this value has more than {MAX_STEPS} placeholders"), String::new()));
        }
        let (name, default) = match body.split_once(':') {
            Some((name, default)) => (name, Some(default)),
            None => (body, None),
        };
        match (self.value(name.trim()).or_else(|| self.value(body.trim())), default) {
            (Some(value), _) => self.filled(value, depth + 1, steps),
            (None, Some(default)) => self.filled(default, depth + 1, steps),
            (None, None) => Err((
                format!("there is no value for ${{{name}}}"),
                format!(
                    "set it with -D {name}=…, in the environment, or in a file that a PropertyPlaceholderConfigurer names"
                ),
            )),
        }
    }

    /// The two expressions that stand for a placeholder.
    fn expression(&self, body: &str) -> Result<String, (String, String)> {
        let body = body.trim();
        let inner = |map: &str| {
            let rest = body.strip_prefix(map)?.trim_start();
            let quoted = rest.strip_prefix('[')?.strip_suffix(']')?.trim();
            Some(quoted.trim_matches(['\'', '"']).to_owned())
        };
        let name = inner("systemProperties").or_else(|| inner("systemEnvironment"));
        let remedy = || "write a placeholder: ${name}".to_owned();
        let name =
            name.ok_or_else(|| (format!("the expression #{{{body}}} is not computed here"), remedy()))?;
        self.value(&name)
            .map(str::to_owned)
            .ok_or_else(|| (format!("there is no value for #{{{body}}}"), remedy()))
    }
}

/// Where the brace that was opened before is closed.
fn closing(text: &str) -> Option<usize> {
    let mut open = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' => open += 1,
            '}' if open == 0 => return Some(at),
            '}' => open -= 1,
            _ => {}
        }
    }
    None
}

/// The folders that ActiveMQ's scripts would name.
fn places(
    environment: &BTreeMap<String, String>,
    given: &BTreeMap<String, String>,
    file: &str,
) -> BTreeMap<&'static str, String> {
    let known =
        |property: &str, variable: &str| given.get(property).or_else(|| environment.get(variable)).cloned();
    let folder = Path::new(file).parent().map(|folder| folder.display().to_string()).unwrap_or_default();
    let folder = if folder.is_empty() { ".".to_owned() } else { folder };
    let conf = known("activemq.conf", "ACTIVEMQ_CONF").unwrap_or_else(|| folder.clone());
    let named_conf = Path::new(&folder).file_name().is_some_and(|name| name == "conf");
    let beside = match Path::new(&folder).parent() {
        Some(parent) if named_conf && parent.as_os_str().is_empty() => ".".to_owned(),
        Some(parent) if named_conf => parent.display().to_string(),
        _ => folder,
    };
    let home = known("activemq.home", "ACTIVEMQ_HOME");
    let base = known("activemq.base", "ACTIVEMQ_BASE").or_else(|| home.clone()).unwrap_or(beside);
    let data = known("activemq.data", "ACTIVEMQ_DATA").unwrap_or_else(|| format!("{base}/data"));
    BTreeMap::from([
        ("activemq.conf", conf),
        ("activemq.home", home.unwrap_or_else(|| base.clone())),
        ("activemq.base", base),
        ("activemq.data", data),
    ])
}

/// A file of properties, as Java reads it.
pub(super) fn parse(text: &str) -> BTreeMap<String, String> {
    let mut properties = BTreeMap::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let mut line = line.trim_start().to_owned();
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        while line.ends_with('\\') && !line.ends_with("\\\\") && line.len() < MAX_VALUE_BYTES {
            line.pop();
            let Some(next) = lines.next() else { break };
            line.push_str(next.trim_start());
        }
        let end = line.find(['=', ':', ' ', '\t']).unwrap_or(line.len());
        let (name, value) = line.split_at_checked(end).unwrap_or((&line, ""));
        let value = value.trim_start();
        let value = value.strip_prefix(['=', ':']).unwrap_or(value).trim();
        properties.insert(name.to_owned(), unescaped(value));
    }
    properties
}

fn unescaped(value: &str) -> String {
    let mut result = String::new();
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            result.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => result.push('\n'),
            Some('t') => result.push('\t'),
            Some('r') => result.push('\r'),
            Some('u') => {
                let code: String = chars.by_ref().take(4).collect();
                result.extend(u32::from_str_radix(&code, 16).ok().and_then(char::from_u32));
            }
            other => result.extend(other),
        }
    }
    result
}

/// A property of a bean, by its value or the text within.
fn property<'e>(bean: &'e Element, name: &str) -> Option<&'e str> {
    let property =
        bean.children.iter().find(|child| child.name == "property" && child.value("name") == Some(name))?;
    property.value("value").or_else(|| Some(&property.children.first()?.text))
}

/// Whether what is in files gives way to `-D` and the environment.
fn weighs_least(element: &Element, short: bool) -> bool {
    if short {
        let overrides = element.value("local-override") == Some("true");
        return !overrides && !matches!(element.value("system-properties-mode"), Some("FALLBACK" | "NEVER"));
    }
    let sources = element.value("class").is_some_and(|class| class.contains("PropertySources"));
    let mode = property(element, "systemPropertiesModeName").or(property(element, "systemPropertiesMode"));
    let asked = mode.is_some_and(|mode| mode.ends_with("OVERRIDE") || mode == "2");
    asked || (sources && property(element, "localOverride") != Some("true"))
}

/// The values that stand in a placeholder bean itself, as `<props>` or as lines.
fn inline(bean: &Element) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let holders = bean.children.iter().filter(|child| {
        child.name == "property" && matches!(child.value("name"), Some("properties" | "propertiesArray"))
    });
    for holder in holders {
        found.extend(values_within(holder));
    }
    found
}

/// `<prop key="…">`, or lines, wherever they stand in an element.
fn values_within(holder: &Element) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    holder.visit(&mut |element| match (element.name.as_str(), element.value("key")) {
        ("prop", Some(key)) => drop(found.insert(key.to_owned(), element.text.clone())),
        ("value", _) => found.extend(parse(&element.text)),
        _ => {}
    });
    found
}

/// The ids of what the placeholder beans take their values from.
pub(super) fn referred(root: &Element) -> BTreeSet<&str> {
    let mut ids = BTreeSet::new();
    root.visit(&mut |bean| {
        if !is_short_form(bean) && !is_placeholders(bean) {
            return;
        }
        ids.extend(bean.value("properties-ref"));
        for property in bean.children.iter().filter(|child| {
            child.name == "property" && matches!(child.value("name"), Some("properties" | "propertiesArray"))
        }) {
            property.visit(&mut |inner| {
                ids.extend(inner.value("ref"));
                ids.extend(inner.value("bean").or(inner.value("local")).filter(|_| inner.name == "ref"));
            });
        }
    });
    ids
}

/// `<util:properties id="…" location="…">`, or the bean that it is short for, if a placeholder bean refers to it.
pub(super) fn is_values(element: &Element, referred: &BTreeSet<&str>) -> bool {
    let class = element.value("class").unwrap_or_default();
    let kind = element.space == Space::Foreign && element.name == "properties"
        || element.name == "bean" && class.ends_with(".PropertiesFactoryBean");
    kind && element.value("id").is_some_and(|id| referred.contains(id))
}

/// Properties of a placeholder bean that would change what a placeholder is.
pub(super) fn unread(bean: &Element) -> Vec<(&str, &Source)> {
    const SHAPES: [(&str, &str); 4] = [
        ("placeholderPrefix", "${"),
        ("placeholderSuffix", "}"),
        ("valueSeparator", ":"),
        ("escapeCharacter", "\\"),
    ];
    let changed = |child: &Element| {
        let name = child.value("name").unwrap_or_default();
        SHAPES.iter().any(|(shape, usual)| *shape == name && property(bean, name) != Some(usual))
    };
    let properties = bean.children.iter().filter(|child| child.name == "property" && changed(child));
    properties.map(|child| (child.value("name").unwrap_or_default(), &child.source)).collect()
}

/// `<context:property-placeholder location="…"/>`.
pub(super) fn is_short_form(element: &Element) -> bool {
    element.space == Space::Foreign && element.name == "property-placeholder"
}

/// The space of an element decides nothing here; a file whose placeholder bean is misspelt gets none of its values.
pub(super) fn is_placeholders(element: &Element) -> bool {
    element.space == Space::Spring
        && element.value("class").is_some_and(|class| class.contains("Placeholder"))
}

#[cfg(test)]
mod tests {
    use super::{Properties, parse};
    use crate::load::Input;

    #[test]
    fn properties_are_read_as_java_reads_them() {
        let read = parse("# no\n! no\na=1\n b : two words \nc 3\nd=x\\\n   y\ne=\\u00e4\\\\\n\nf\n");
        let pairs: Vec<(&str, &str)> =
            read.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(pairs, [("a", "1"), ("b", "two words"), ("c", "3"), ("d", "xy"), ("e", "ä\\"), ("f", "")]);
    }

    #[test]
    fn placeholders_have_defaults_and_bounds() {
        let input = Input::default()
            .variable("HOST", "b1")
            .variable("ACTIVEMQ_OPTS", "-Xmx1g -Dport=61617 -Dloop=${loop}")
            .property("port", "61618");
        let properties = Properties::new(&input, "/opt/amq/conf/activemq.xml");
        let filled = |text: &str| properties.filled(text, 0, &mut 0).map_err(|(problem, _)| problem);
        assert_eq!(filled("tcp://${HOST}:${port}"), Ok("tcp://b1:61618".to_owned()));
        assert_eq!(filled("${none:${HOST:x}}-$5-#"), Ok("b1-$5-#".to_owned()));
        assert_eq!(filled("#{systemEnvironment['HOST']}"), Ok("b1".to_owned()));
        assert_eq!(filled("${activemq.data}"), Ok("/opt/amq/data".to_owned()));
        assert_eq!(filled("${none}"), Err("there is no value for ${none}".to_owned()));
        assert_eq!(filled("${loop}"), Err("placeholders are nested deeper than 8".to_owned()));
        assert_eq!(filled("${HOST"), Err("the placeholder '${HOST' is not closed".to_owned()));
        assert_eq!(filled("#{1 + 1}"), Err("the expression #{1 + 1} is not computed here".to_owned()));
    }
}
