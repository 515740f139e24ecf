//! What `docs/CONFIGURATION.md` says about keys and defaults, against the reader.

use std::{collections::BTreeMap, fs, path::Path};

use ferromq_config::{Input, compatibility_tables, load};

fn document() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/CONFIGURATION.md");
    fs::read_to_string(path).expect("docs/CONFIGURATION.md")
}

/// Keys with their documented defaults, by section; `None` where nothing is the default.
fn tables(text: &str) -> BTreeMap<String, Vec<(String, Option<String>)>> {
    let mut sections: BTreeMap<String, Vec<(String, Option<String>)>> = BTreeMap::new();
    let mut section = String::new();
    let mut of_keys = false;
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            section = heading.trim_matches(['`', '[', ']']).to_owned();
        }
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        match cells.as_slice() {
            ["", "key", "type", "default", "meaning", ""] => of_keys = true,
            ["", key, _, default, _, ""] if of_keys && key.starts_with('`') => {
                let default = default.strip_prefix('`').and_then(|rest| rest.strip_suffix('`'));
                let row = (key.trim_matches('`').to_owned(), default.map(str::to_owned));
                sections.entry(section.clone()).or_default().push(row);
            }
            [""] | [] => of_keys = false,
            _ => {}
        }
    }
    sections
}

/// The effective configuration without the sources of its values.
fn values(toml: &str) -> Vec<String> {
    let loaded = load(&Input::default().file("documented", toml)).expect("documented defaults are right");
    loaded.effective().lines().map(|line| line.split("  # ").next().unwrap_or_default().to_owned()).collect()
}

fn assignments(rows: &[(String, Option<String>)]) -> String {
    let known =
        rows.iter().filter_map(|(key, default)| default.as_ref().map(|value| format!("{key} = {value}\n")));
    known.collect()
}

#[test]
fn documented_defaults_are_the_defaults() {
    let tables = tables(&document());
    let section = |name: &str| tables.get(name).map(|rows| assignments(rows)).expect(name);
    let written: String = ["broker", "auth", "admin", "store", "lock", "limits", "log"]
        .iter()
        .map(|name| format!("[{name}]\n{}", section(name)))
        .collect();
    assert_eq!(values(&format!("{}{written}", section("Listeners"))), values(""));

    let policy = "[[policy]]\ndestination = \"a.>\"\n";
    assert_eq!(values(&format!("{policy}{}", section("policy"))), values(policy));

    let connector = "[[network_connector]]\nuri = \"static:(tcp://b:61616)\"\n";
    assert_eq!(values(&format!("{connector}{}", section("network_connector"))), values(connector));
}

#[test]
fn every_key_is_documented() {
    let tables = tables(&document());
    let documented = |section: &str, key: &str| {
        tables.get(section).is_some_and(|rows| rows.iter().any(|(name, _)| name == key))
    };
    let mut section = "Listeners".to_owned();
    let mut inner = String::new();
    let mut keys = 0;
    let repeated =
        "[[policy]]\ndestination = \"a.>\"\n[[network_connector]]\nuri = \"static:(tcp://b:61616)\"\n";
    for line in values(repeated) {
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']).to_owned();
            inner = String::new();
            if let Some((outer, name)) = section.clone().split_once('.') {
                (section, inner) = (outer.to_owned(), format!("{name}."));
            }
        } else if let Some((key, _)) = line.split_once(" = ") {
            keys += 1;
            let needed = key == "destination" || key == "uri";
            assert!(
                needed || documented(&section, &format!("{inner}{key}")),
                "{section}: {key} is not documented"
            );
        }
    }
    assert!(keys > 80, "only {keys} keys");
}

#[test]
fn the_example_is_right() {
    let text = document();
    let example =
        text.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    let loaded = load(&Input::default().file("example.toml", example)).expect("a right file");
    assert_eq!(loaded.warnings.to_string(), "");
    assert_eq!(
        (loaded.config.listeners.len(), loaded.config.policies.len(), loaded.config.users.len()),
        (2, 2, 1)
    );
}

/// With `FERROMQ_BLESS=1` in the environment the document is written instead of compared.
#[test]
fn the_tables_of_activemqs_xml_are_those_that_are_obeyed() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/COMPATIBILITY.md");
    let text = fs::read_to_string(&path).expect("docs/COMPATIBILITY.md");
    let begin = "<!-- begin: made of crates/config/src/xml/schema.txt -->\n";
    let (before, rest) = text.split_once(begin).expect("where the tables begin");
    let (_, behind) = rest.split_once("<!-- end -->").expect("where they end");
    let right = format!("{before}{begin}\n{}\n<!-- end -->{behind}", compatibility_tables(shown_by()));
    if std::env::var_os("FERROMQ_BLESS").is_some() {
        fs::write(&path, &right).expect("a writable folder");
    } else {
        assert!(text == right, "the tables are not those of schema.txt; run this test with FERROMQ_BLESS=1");
    }
}

#[test]
fn every_attribute_of_a_network_connector_has_a_row_among_the_networks() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/COMPATIBILITY.md");
    let text = fs::read_to_string(&path).expect("docs/COMPATIBILITY.md");
    let (_, networks) = text.split_once("## Networks of brokers").expect("the section");
    let (networks, rest) = networks.split_once("\n## ").expect("its end");
    let (_, table) = rest.split_once("`<networkConnector>`, each a").expect("the attributes");
    let table = table.split("\n\n`<").next().unwrap_or_default();
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `")?.split_once(" | "));
    let names = rows.flat_map(|(names, _)| names.trim_end_matches('`').split("`, `"));
    let (known, missing): (Vec<&str>, Vec<&str>) =
        names.partition(|name| networks.contains(&format!("`{name}`")));
    assert!(known.len() > 40 && missing.is_empty(), "{} have rows, {missing:?} have none", known.len());
}

/// The file of expectations in which an attribute of an element occurs, or that of a file in which the element holds it.
fn shown_by() -> impl Fn(&str, &str) -> Option<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/xml");
    let mut files: Vec<(String, String, String)> = fs::read_dir(folder)
        .expect("the folder of the table")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .map(|path| {
            let name = path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
            let expected = fs::read_to_string(&path).expect("the file");
            (name, expected, fs::read_to_string(path.with_extension("xml")).expect("what is read"))
        })
        .collect();
    files.sort();
    move |owner, name| {
        let [attribute, holder, class] =
            [format!(": {owner} {name}: "), format!(" in {owner} {name}: "), format!(": bean {name}: ")];
        let within = format!(": {name}");
        let told = |text: &str| {
            text.lines().any(|line| {
                line.contains(&attribute)
                    || line.contains(&holder)
                    || (owner == "spring" && line.contains(&class))
                    || (owner == "beans" && (line.contains(&within) || line.contains(&format!("<{name}"))))
            })
        };
        let found = files
            .iter()
            .find(|(_, expected, _)| told(expected))
            .or_else(|| files.iter().find(|(_, _, read)| holds(read, owner, name)));
        found.map(|(name, ..)| format!("crates/config/tests/xml/{name}"))
    }
}

/// Whether an element of a file has another directly or further inside of it.
fn holds(xml: &str, owner: &str, name: &str) -> bool {
    let begins = |text: &str, element: &str| {
        text.match_indices(&format!("<{element}"))
            .map(|(at, found)| at + found.len())
            .find(|end| text[*end..].starts_with(|next: char| next.is_whitespace() || next == '>'))
    };
    let mut rest = xml;
    while let Some(begin) = begins(rest, owner) {
        let inside = &rest[begin..];
        let end = inside.find(&format!("</{owner}>")).unwrap_or(0);
        if begins(&inside[..end], name).is_some() {
            return true;
        }
        rest = inside;
    }
    false
}
