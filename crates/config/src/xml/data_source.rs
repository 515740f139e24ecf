//! A data source of Java to the URL of a PostgreSQL database.

use super::{
    property::{Given, properties_of, simple_class, text_of},
    report::Verdict,
    translate::{Scope, Translation},
    tree::Element,
};
use crate::source::Source;

/// Databases that are not spoken here, by what a URL or class of theirs holds.
const OTHERS: [(&str, &str); 9] = [
    ("derby", "Derby"),
    ("embeddeddatasource", "Derby"),
    ("mysql", "MySQL"),
    ("mariadb", "MariaDB"),
    ("oracle", "Oracle"),
    ("sqlserver", "SQL Server"),
    ("jtds", "SQL Server"),
    ("db2", "DB2"),
    ("hsql", "HSQLDB"),
];

/// What a pool may hand to the driver, unseen by the broker.
const HANDED_ON: [&str; 2] = ["connectionProperties", "dataSourceProperties"];

const REMEDY: &str = "use PostgreSQL (jdbc:postgresql://host/database), or <kahaDB directory=\"…\"/> on a folder that the \
                      brokers share";

/// Where the database is, as far as it is known.
#[derive(Default)]
struct Database {
    url: Option<String>,
    host: Option<String>,
    port: Option<String>,
    name: Option<String>,
    user: Option<String>,
    password: Option<String>,
    /// What properties say that a url may say as well.
    options: Vec<(String, String)>,
}

/// What a database is for: the key that it sets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Store,
    Lock,
}

impl Purpose {
    const fn key(self) -> &'static str {
        match self {
            Self::Store => "store.url",
            Self::Lock => "lock.uri",
        }
    }
}

/// Why a database can't be had: it is of another kind, or can't be found.
pub(super) struct Mismatch(pub(super) String);

impl<'a> Translation<'a> {
    /// `dataSource="#id"`, or a bean within.
    pub(super) fn data_source(
        &mut self,
        given: Given<'a>,
        source: &'a Source,
        scope: &mut Scope,
    ) -> Option<Verdict> {
        match self.database_url(given, source, Purpose::Store)? {
            Ok((url, source, shown)) => {
                self.set("store.url", &url, &source, scope);
                Some(Verdict::supported(format!("`store.url`, {shown}")))
            }
            Err(Mismatch(reason)) => Some(Verdict::rejected(reason, REMEDY)),
        }
    }

    /// Without one ActiveMQ would bring a database of its own.
    pub(super) fn has_data_source(&mut self, store: &Element) {
        let given = properties_of(store).iter().any(|property| matches!(property.name, "dataSource" | "ds"));
        if !given {
            let verdict = Verdict::rejected(
                "ActiveMQ would embed Derby, which is not supported as a store",
                "add dataSource=\"#…\" with PostgreSQL, or write <kahaDB directory=\"…\"/>",
            );
            self.report(&store.source, "jdbcPersistenceAdapter without dataSource".to_owned(), verdict);
        }
    }

    /// The URL of a database, where it stands, and how it is shown; `None` if what is wrong was told already.
    pub(super) fn database_url(
        &mut self,
        given: Given<'a>,
        source: &'a Source,
        purpose: Purpose,
    ) -> Option<Result<(String, Source, String), Mismatch>> {
        let bean = match given {
            Given::Text(text) => self.bean_of(text.trim_start_matches('#'), source)?,
            Given::Reference(id) => self.bean_of(id, source)?,
            Given::Element(element) => match element.children.as_slice() {
                [bean] if bean.name == "bean" => bean,
                [reference] if reference.name == "ref" => {
                    self.bean_of(reference.value("bean").unwrap_or_default(), source)?
                }
                _ => {
                    let problem = "this should be one data source";
                    self.error(source, problem, "write dataSource=\"#id\" and a <bean id=\"id\">");
                    return None;
                }
            },
        };
        let where_to = properties_of(bean)
            .iter()
            .filter(|property| is_url(property.name))
            .filter_map(|property| text_of(property.given))
            .fold(simple_class(bean).to_owned(), |all, url| format!("{all} {url}"))
            .to_ascii_lowercase();
        let other = OTHERS.iter().find(|(mark, _)| where_to.contains(mark)).map(|(_, other)| *other);
        // What a lock does without is not looked at any further.
        let used = purpose == Purpose::Store || other.is_none();
        let database = self.database(bean, used.then(|| purpose.key()));
        if let Some(other) = other {
            let what = if purpose == Purpose::Store { "a store" } else { "a lock" };
            return Some(Err(Mismatch(format!("{other} is not supported as {what}"))));
        }
        let url = self.url(&database, &bean.source);
        Some(url.map(|url| (url.clone(), bean.source.clone(), shown(&url))).map_err(Mismatch))
    }

    fn bean_of(&mut self, id: &str, source: &Source) -> Option<&'a Element> {
        let found = self.beans.get(id).copied();
        match found {
            Some(_) => {
                self.used.insert(id.to_owned());
            }
            None => {
                let remedy = format!(
                    "add <bean id=\"{id}\" class=\"org.apache.commons.dbcp2.BasicDataSource\"> with its url"
                );
                self.error(source, format!("there is no bean '{id}'"), remedy);
            }
        }
        found
    }

    /// As far as it is known; what it has is used as `key`, or not at all.
    fn database(&mut self, bean: &'a Element, key: Option<&str>) -> Database {
        let class = match simple_class(bean) {
            "" => "bean",
            class => class,
        };
        let mut database = Database::default();
        for property in properties_of(bean) {
            if self.inherits(bean, &property) {
                continue;
            }
            let value = text_of(property.given).map(str::to_owned);
            let place = match property.name {
                name if is_url(name) => &mut database.url,
                "serverName" | "serverNames" => &mut database.host,
                "portNumber" | "portNumbers" => &mut database.port,
                "databaseName" => &mut database.name,
                "username" | "user" => &mut database.user,
                "password" => &mut database.password,
                // Spring's other id.
                "name" if bean.value("name").is_some() => continue,
                "driverClassName" | "driverClass" => {
                    let means = "the broker speaks to the database by itself";
                    let subject = format!("{class} {}", property.name);
                    self.report(property.source, subject, Verdict::supported(means));
                    continue;
                }
                name if name.to_ascii_lowercase().starts_with("ssl") => {
                    let (name, value) = (name.to_ascii_lowercase(), value.clone().unwrap_or_default());
                    let told = !matches!(name.as_str(), "ssl" | "sslmode" | "sslrootcert");
                    database.options.push((name, value));
                    if told {
                        continue;
                    }
                    &mut None
                }
                name => {
                    let verdict = if HANDED_ON.contains(&name) && asks_for_tls(property.given) {
                        Verdict::rejected(
                            "TLS of the database is asked for in its url, and without it the connection would be open",
                            "write jdbc:postgresql://host/database?sslmode=verify-full&sslrootcert=FILE",
                        )
                    } else {
                        Verdict::ignored("there are a few connections, and no pool")
                    };
                    self.report(property.source, format!("{class} {name}"), verdict);
                    continue;
                }
            };
            *place = value;
            let verdict = match key {
                Some(key) => Verdict::supported(format!("`{key}`")),
                None => Verdict::ignored("this database is not used"),
            };
            self.report(property.source, format!("{class} {}", property.name), verdict);
        }
        database
    }

    fn url(&mut self, database: &Database, source: &Source) -> Result<String, String> {
        let (address, query) = match &database.url {
            Some(url) => {
                let url = url.strip_prefix("jdbc:").unwrap_or(url);
                let rest = url.strip_prefix("postgresql:").or_else(|| url.strip_prefix("postgres:"));
                let rest = rest.ok_or("its url does not begin with jdbc:postgresql:")?;
                let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
                // `jdbc:postgresql:name` is a database of this machine.
                let address = match address.strip_prefix("//") {
                    Some(address) => address.to_owned(),
                    None => format!("localhost/{}", address.trim_start_matches('/')),
                };
                (address, query)
            }
            None => {
                let host = database.host.as_deref().ok_or("it names no url and no serverName")?;
                let port = database.port.as_deref().filter(|port| *port != "0");
                // The driver of Java takes 0 for the usual port.
                let port = port.map(|port| format!(":{port}")).unwrap_or_default();
                (format!("{host}{port}/{}", database.name.as_deref().unwrap_or("postgres")), "")
            }
        };
        let (mut user, mut password) = (database.user.clone(), database.password.clone());
        let (mut options, mut mode, mut checked) = (Vec::new(), None, false);
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let properties = database.options.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in pairs.chain(properties) {
            match name {
                "user" => user = user.or(Some(decoded(value))),
                "password" => password = password.or(Some(decoded(value))),
                "sslmode" => mode = Some(value),
                "sslrootcert" => options.push(format!("{name}={value}")),
                "ssl" => checked |= value != "false",
                "sslcert" | "sslkey" | "sslpassword" => {
                    let verdict = Verdict::rejected(
                        "certificates of clients are not shown to a database",
                        "let the broker log in by a password, and remove it",
                    );
                    self.report(source, format!("option {name} of the database"), verdict);
                }
                name if name.starts_with("ssl") => {
                    let consequence = "the server's certificate is looked at as sslmode says";
                    let subject = format!("option {name} of the database");
                    self.report(source, subject, Verdict::ignored(consequence));
                }
                "targetServerType" if matches!(value, "primary" | "master") => {
                    options.push("target_session_attrs=read-write".to_owned());
                }
                "connectTimeout" => options.push(format!("connect_timeout={value}")),
                "currentSchema" => {
                    let consequence = "`store.schema` says where the store is in the database";
                    let subject = format!("option {name} of the database's url");
                    self.report(source, subject, Verdict::ignored(consequence));
                }
                name => {
                    let consequence = "connections, statements and times are the broker's own";
                    let subject = format!("option {name} of the database's url");
                    self.report(source, subject, Verdict::ignored(consequence));
                }
            }
        }
        // The driver of Java checks the server's name if nothing else is said.
        if let Some(mode) = mode.or(checked.then_some("verify-full")) {
            options.insert(0, format!("sslmode={mode}"));
        }
        if address.contains('@') || address.split('/').next().unwrap_or_default().is_empty() {
            return Err("its url names no host".to_owned());
        }
        let login = match (&user, &password) {
            (Some(user), Some(password)) => format!("{}:{}@", encoded(user), encoded(password)),
            (Some(user), None) => format!("{}@", encoded(user)),
            _ => String::new(),
        };
        let question = if options.is_empty() { "" } else { "?" };
        Ok(format!("postgres://{login}{address}{question}{}", options.join("&")))
    }
}

/// Whether a text, or what is within an element, speaks of TLS.
fn asks_for_tls(given: Given<'_>) -> bool {
    let speaks = |text: &str| text.to_ascii_lowercase().contains("ssl");
    match given {
        Given::Text(text) | Given::Reference(text) => speaks(text),
        Given::Element(element) => {
            let mut found = false;
            element.visit(&mut |inner| {
                let values = inner.attributes.iter().map(|attribute| attribute.value.as_str());
                found |= speaks(&inner.text) || values.into_iter().any(speaks);
            });
            found
        }
    }
}

fn is_url(property: &str) -> bool {
    matches!(property, "url" | "jdbcUrl" | "URL" | "jdbcURL")
}

/// Without the login.
fn shown(url: &str) -> String {
    let rest = url.strip_prefix("postgres://").unwrap_or(url);
    format!("postgres://{}", rest.rsplit_once('@').map_or(rest, |(_, address)| address))
}

fn encoded(text: &str) -> String {
    let mut result = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            result.push(char::from(byte));
        } else {
            result.push_str(&format!("%{byte:02X}"));
        }
    }
    result
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let code = (*first == b'%').then(|| tail.get(..2)).flatten();
        let code = code.and_then(|code| u8::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok());
        match code {
            Some(byte) => {
                bytes.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
