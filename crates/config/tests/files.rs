//! Configuration files with what `ferromq check` says about them.
//!
//! Each `wrong/NAME.toml` has its diagnostics in `wrong/NAME.txt`; each `right/NAME.toml` has its warnings and its
//! effective configuration in `right/NAME.txt`. Comments `# env NAME=VALUE` and `# flag --NAME PATH VALUE` add the other
//! layers. With `FERROMQ_BLESS=1` in the environment the expectations are written instead of compared; read the
//! difference before you commit it.

use std::{fs, path::Path};

use ferromq_config::{Input, load};

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
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let mut files = 0;
    let mut wrong = Vec::new();
    for entry in fs::read_dir(&folder).expect("the folder of the table") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        files += 1;
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
        let found = answer(&input(&name, &fs::read_to_string(&path).expect("the file")));
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
