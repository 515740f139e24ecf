//! Configuration files with what `ferromq check` says about them.
//!
//! Each `wrong/NAME.toml` has its diagnostics in `wrong/NAME.txt`; each `right/NAME.toml` has its warnings and its
//! effective configuration in `right/NAME.txt`. Comments `# env NAME=VALUE` and `# flag --NAME PATH VALUE` add the other
//! layers. With `FERROMQ_BLESS=1` in the environment the expectations are written instead of compared; read the
//! difference before you commit it.

use std::{fs, path::Path};

use ferromq_config::{Input, examine, load};

fn input(name: &str, text: &str) -> Input {
    let mut input = Input::default().file(name, text);
    for line in text.lines() {
        if let Some(variable) = line.strip_prefix("# env ") {
            let (name, value) = variable.split_once('=').expect("NAME=VALUE");
            input = input.variable(name, value);
        }
        if let Some(flag) = line.strip_prefix("# flag ") {
            let mut parts = flag.splitn(3, ' ');
            let mut part = || parts.next().expect("flag path value");
            input = input.flag(part(), part(), part());
        }
    }
    input
}

fn check(folder: &str, answer: impl Fn(&Input) -> String) {
    check_files(folder, "toml", |name, text| answer(&input(name, text)));
}

fn check_files(folder: &str, kind: &str, answer: impl Fn(&str, &str) -> String) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let mut files = 0;
    let mut wrong = Vec::new();
    for entry in fs::read_dir(&folder).expect("the folder of the table") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != kind) {
            continue;
        }
        files += 1;
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
        let found = answer(&name, &fs::read_to_string(&path).expect("the file"));
        let expectation = path.with_extension("txt");
        if std::env::var_os("FERROMQ_BLESS").is_some() {
            fs::write(&expectation, &found).expect("a writable folder");
        }
        let expected = fs::read_to_string(&expectation).unwrap_or_default();
        if found != expected {
            wrong.push(format!("--- {name}: expected\n{expected}--- found\n{found}"));
        }
    }
    assert!(files > 0, "no files in {}", folder.display());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn wrong_files_get_all_their_mistakes_named() {
    check("wrong", |input| match load(input) {
        Ok(loaded) => format!("loaded with {:?}\n", loaded.config),
        Err(diagnostics) => format!("{diagnostics}\n"),
    });
}

#[test]
fn right_files_print_as_they_count() {
    check("right", |input| match load(input) {
        Ok(loaded) if loaded.warnings.iter().count() == 0 => loaded.effective(),
        Ok(loaded) => {
            format!("# {}\n\n{}", loaded.warnings.to_string().replace('\n', "\n# "), loaded.effective())
        }
        Err(diagnostics) => format!("{diagnostics}\n"),
    });
}

#[test]
fn the_effective_configuration_is_the_configuration() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/right");
    for entry in fs::read_dir(folder).expect("the folder of the table") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let text = fs::read_to_string(&path).expect("the file");
        let first = load(&input("first", &text)).expect("a right file").effective();
        // A mask is no password hash.
        let printed = first.replace("password_hash = \"********\"", "password_hash = \"$argon2id$********\"");
        let again = load(&Input::default().file("again", printed)).expect("the printed form is a right file");
        let values = |text: &str| {
            let values = text.lines().map(|line| line.split("  # ").next().unwrap_or_default().to_owned());
            values.collect::<Vec<_>>()
        };
        assert_eq!(values(&again.effective()), values(&first), "{}", path.display());
    }
}

/// Each `xml/NAME.xml` has in `xml/NAME.txt` what becomes of everything in it, and then the TOML that it comes to, or
/// why it is refused. Comments `<!-- env NAME=VALUE -->`, `<!-- -D NAME=VALUE -->` and `<!-- file PATH TEXT -->` (`; ` for
/// the end of a line, `@` for a semicolon) add to it.
#[test]
fn files_of_activemq_are_told_about_line_by_line() {
    check_files("xml", "xml", |name, text| {
        let (report, outcome) = examine(&xml_input(name, text));
        let report = report.expect("an XML file has a report");
        let lines: String = report.iter().map(|entry| format!("{entry}\n")).collect();
        match outcome {
            Ok(loaded) => format!("{lines}\n{}", loaded.to_toml()),
            Err(mistakes) => {
                let more = mistakes.iter().filter(|mistake| !report.tells(mistake));
                format!("{lines}\n{}", more.map(|mistake| format!("{mistake}\n")).collect::<String>())
            }
        }
    });
}

#[test]
fn what_a_file_of_activemq_is_converted_to_comes_to_the_same() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/xml");
    let mut converted = 0;
    for entry in fs::read_dir(folder).expect("the folder of the table") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "xml") {
            continue;
        }
        let text = fs::read_to_string(&path).expect("the file");
        let Ok(loaded) = load(&xml_input("first.xml", &text)) else { continue };
        converted += 1;
        let again = load(&Input::default().file("again.toml", loaded.to_toml()))
            .unwrap_or_else(|mistakes| panic!("{}: {mistakes}\n{}", path.display(), loaded.to_toml()));
        let values = |text: &str| {
            let values = text.lines().map(|line| line.split("  # ").next().unwrap_or_default().to_owned());
            values.collect::<Vec<_>>()
        };
        assert_eq!(values(&again.effective()), values(&loaded.effective()), "{}", path.display());
        assert_eq!(again.config.store, loaded.config.store, "masked values survive as well");
        assert_eq!(again.config.lock, loaded.config.lock, "{}", path.display());
    }
    assert!(converted > 5, "only {converted} files were converted");
}

fn xml_input(name: &str, text: &str) -> Input {
    let mut input = Input::default().file(format!("conf/{name}"), text).property("host.name", "machine-1");
    for line in text.lines().filter_map(|line| line.trim().strip_prefix("<!-- ")?.strip_suffix(" -->")) {
        if let Some((name, value)) = line.strip_prefix("env ").and_then(|pair| pair.split_once('=')) {
            input = input.variable(name, value);
        } else if let Some((name, value)) = line.strip_prefix("-D ").and_then(|pair| pair.split_once('=')) {
            input = input.property(name, value);
        } else if let Some((path, text)) = line.strip_prefix("file ").and_then(|rest| rest.split_once(' ')) {
            input = input.related(path, text.replace("; ", "\n").replace('@', ";"));
        }
    }
    input
}
