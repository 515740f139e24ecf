//! Logins by JAAS, as far as they are files: the domain of `login.config`, and the properties that it names.

use std::path::Path;

use super::{
    properties::{self, Properties},
    report::Verdict,
    translate::{Scope, Translation},
    tree::Element,
};
use crate::{
    document::{Node, Table, Value},
    load::Input,
};

const PLUGIN: &str = "jaasAuthenticationPlugin";
/// What ActiveMQ takes if nothing is written.
const DOMAIN: &str = "activemq-domain";
const MAX_USERS: usize = 10_000;

/// One login module of a domain.
#[derive(Debug, Default, PartialEq, Eq)]
struct Module {
    class: String,
    options: Vec<(String, String)>,
}

impl Module {
    fn option(&self, name: &str) -> Option<&str> {
        self.options.iter().find(|(option, _)| option == name).map(|(_, value)| value.as_str())
    }

    fn is(&self, class: &str) -> bool {
        self.class.rsplit('.').next() == Some(class)
    }
}

/// The files that the plug-ins of a configuration need: `login.config`, and once that is there, those that it names.
pub(super) fn files_of(root: &Element, properties: &Properties, input: &Input) -> Vec<String> {
    let mut files = Vec::new();
    root.visit(&mut |element| {
        if element.name != PLUGIN {
            return;
        }
        let login = properties.login_config();
        for module in
            related(input, &login).and_then(|text| domain(text, domain_of(element))).unwrap_or_default()
        {
            files.extend(file(&module, "user", &login));
            files.extend(file(&module, "group", &login));
        }
        files.push(login);
    });
    files
}

impl<'a> Translation<'a> {
    /// Users and groups of the domain. What is no file of properties is not looked up, and nobody is let in for it.
    pub(super) fn jaas(&mut self, plugin: &'a Element, scope: &mut Scope) {
        let verdict = match self.users_of(plugin, scope) {
            Ok(users) => Verdict::supported(format!("{users} users, `[[user]]`")),
            Err((reason, remedy)) => Verdict::rejected(reason, remedy),
        };
        self.report(&plugin.source, format!("<{PLUGIN}>"), verdict);
    }

    fn users_of(&mut self, plugin: &'a Element, scope: &mut Scope) -> Result<usize, (String, &'static str)> {
        const FILES: &str = "put login.config, users.properties and groups.properties beside the file, or write \
                             <simpleAuthenticationPlugin> with the users";
        let name = domain_of(plugin);
        let login = self.properties.login_config();
        let text = related(self.input, &login).ok_or_else(|| (format!("{login} can't be read"), FILES))?;
        let modules = domain(text, name).ok_or_else(|| (format!("{login} has no domain '{name}'"), FILES))?;
        let mut users = 0;
        for module in &modules {
            if module.is("PropertiesLoginModule") {
                users += self.users_of_files(plugin, module, &login).map_err(|reason| (reason, FILES))?;
            } else if module.is("GuestLoginModule") {
                self.guests(plugin, module, scope);
            } else {
                let reason = format!("{} is not built, and without it nobody is known", module.class);
                return Err((reason, "write <simpleAuthenticationPlugin> with the users"));
            }
        }
        match users {
            0 => Err((format!("nobody can log in by the domain '{name}' of {login}"), FILES)),
            users => Ok(users),
        }
    }

    fn users_of_files(&mut self, plugin: &'a Element, module: &Module, login: &str) -> Result<usize, String> {
        let read = |kind: &str| {
            let path =
                file(module, kind, login).ok_or_else(|| format!("{login} names no file of {kind}s"))?;
            let text = related(self.input, &path).ok_or_else(|| format!("{path} can't be read"))?;
            Ok::<_, String>((properties::parse(text), path))
        };
        let (users, path) = read("user")?;
        let (groups, _) = read("group")?;
        if users.len() > MAX_USERS {
            return Err(format!("{path} has more than {MAX_USERS} users"));
        }
        for (user, password) in &users {
            if password.starts_with("ENC(") {
                return Err(format!(
                    "the password of '{user}' in {path} is encrypted, and is not decrypted here"
                ));
            }
            let node = |value| Node { source: plugin.source.clone(), value };
            let mut table = Table::default();
            table.put("name", node(Value::Untyped(user.clone())));
            table.put("password", node(Value::Untyped(password.clone())));
            for (group, members) in &groups {
                if members.split(',').any(|member| member.trim() == user) {
                    table.push("groups", node(Value::Text(group.clone())));
                }
            }
            self.out.root.push("user", node(Value::Table(table)));
        }
        Ok(users.len())
    }

    fn guests(&mut self, plugin: &'a Element, module: &Module, scope: &mut Scope) {
        self.set("auth.allow_anonymous", "true", &plugin.source, scope);
        if let Some(user) = module.option("org.apache.activemq.jaas.guest.user") {
            self.set("auth.anonymous_user", user, &plugin.source, scope);
        }
        if let Some(group) = module.option("org.apache.activemq.jaas.guest.group") {
            let group = Node { source: plugin.source.clone(), value: Value::Text(group.to_owned()) };
            let groups = Node { source: plugin.source.clone(), value: Value::List(vec![group]) };
            self.put("auth.anonymous_groups", groups, scope);
        }
    }
}

fn domain_of(plugin: &Element) -> &str {
    plugin.value("configuration").unwrap_or(DOMAIN)
}

fn related<'i>(input: &'i Input, path: &str) -> Option<&'i str> {
    input.related.iter().find(|(name, _)| name == path).map(|(_, text)| text.as_str())
}

/// Where the users or groups of a module are; beside `login.config` unless it says otherwise.
fn file(module: &Module, kind: &str, login: &str) -> Option<String> {
    let name = module.option(&format!("org.apache.activemq.jaas.properties.{kind}"))?;
    let folder = match module.option("baseDir") {
        Some(folder) => Path::new(folder),
        None => Path::new(login).parent().unwrap_or(Path::new("")),
    };
    Some(folder.join(name).display().to_string())
}

/// The modules of one domain: `name { class flag option="value" …; … };`.
fn domain(text: &str, name: &str) -> Option<Vec<Module>> {
    let words = words(text);
    let start = words.windows(2).position(|pair| pair == [name, "{"])?;
    let mut modules = Vec::new();
    let mut module = Module::default();
    let mut rest = words.iter().skip(start + 2).map(String::as_str);
    while let Some(word) = rest.next() {
        match word {
            "}" => return Some(modules),
            ";" => modules.push(std::mem::take(&mut module)),
            class if module.class.is_empty() => {
                class.clone_into(&mut module.class);
                // Which modules must succeed is of no account where each user stands in one file.
                rest.next();
            }
            option => {
                if rest.next() == Some("=") {
                    module.options.push((option.to_owned(), rest.next().unwrap_or_default().to_owned()));
                }
            }
        }
    }
    None
}

/// Words, marks and quoted texts, without comments.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let comment = |end: &str| rest.split_once(end).map_or("", |(_, behind)| behind);
        if first.is_whitespace() {
            rest = rest.trim_start();
        } else if rest.starts_with("//") || first == '#' {
            rest = comment("\n");
        } else if rest.starts_with("/*") {
            rest = comment("*/");
        } else if let Some(inner) = rest.strip_prefix('"') {
            let (word, behind) = inner.split_once('"').unwrap_or((inner, ""));
            words.push(word.to_owned());
            rest = behind;
        } else {
            let mark = |c: char| matches!(c, '{' | '}' | ';' | '=' | '"') || c.is_whitespace();
            let end = if mark(first) { first.len_utf8() } else { rest.find(mark).unwrap_or(rest.len()) };
            let (word, behind) = rest.split_at_checked(end).unwrap_or((rest, ""));
            words.push(word.to_owned());
            rest = behind;
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::{Module, domain};

    #[test]
    fn a_domain_is_a_list_of_modules() {
        let text = "/* none */\nother { a.B required; };\nactivemq {\n // one\n  \
                    org.x.PropertiesLoginModule sufficient\n  debug=true reload=true\n  \
                    org.apache.activemq.jaas.properties.user=\"users.properties\";\n  c.D optional;\n};\n";
        let modules = domain(text, "activemq").expect("the domain");
        assert_eq!(modules.len(), 2);
        assert!(modules[0].is("PropertiesLoginModule"));
        assert_eq!(modules[0].option("org.apache.activemq.jaas.properties.user"), Some("users.properties"));
        assert_eq!(modules[0].option("debug"), Some("true"));
        assert_eq!(modules[1], Module { class: "c.D".to_owned(), options: Vec::new() });
        assert_eq!(domain(text, "none"), None);
        assert_eq!(domain("a { b", "a"), None);
        assert_eq!(domain("a {};", "a"), Some(Vec::new()));
    }
}
