//! Files that want to take memory, time or the stack, most of them ActiveMQ's: each ends with its mistakes named.

use ferromq_config::{Input, MAX_FILE_BYTES, examine, load};

fn mistakes(text: &str) -> Vec<String> {
    let outcome = load(&Input::default().file("activemq.xml", text));
    outcome.expect_err("a wrong file").iter().map(ToString::to_string).collect()
}

fn broker(inside: &str) -> String {
    let listens =
        "<transportConnectors><transportConnector uri=\"tcp://127.0.0.1:61616\"/></transportConnectors>";
    format!("<broker xmlns=\"http://activemq.apache.org/schema/core\">{inside}{listens}</broker>")
}

#[test]
fn elements_within_one_another_are_bounded() {
    for depth in [100, 100_000] {
        let text = format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
        let told = mistakes(&text);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].contains("more than 64 elements within one another")
                || told[0].contains("more than 100000")
        );
    }
}

#[test]
fn elements_and_bytes_are_bounded() {
    let many = broker(&"<b/>".repeat(150_000));
    assert!(mistakes(&many)[0].contains("there are more than 100000 elements and texts"));
    let long = format!("<broker>{}</broker>", " ".repeat(MAX_FILE_BYTES));
    assert!(mistakes(&long)[0].contains("more than the limit of"));
}

#[test]
fn attributes_and_namespaces_are_bounded() {
    let attributes: String = (0..80_000).map(|number| format!(" a{number}='1'")).collect();
    let told = mistakes(&format!("<broker{attributes}/>"));
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("1:1: error: this element has more than 256 attributes"), "{told:?}");
    let spaces: String = (0..30_000).map(|number| format!(" xmlns:a{number}='u{number}'")).collect();
    let many = format!("<broker{spaces}>{}</broker>", "<a/>".repeat(30_000));
    assert!(mistakes(&many)[0].contains("more than 1000 declarations of namespaces"));
    let few: String = (0..200).map(|number| format!("<b{number} xmlns='u'>'</b{number}>")).collect();
    assert!(!mistakes(&broker(&few))[0].contains("more than"), "a quote in a text is none");
}

#[test]
fn a_placeholder_that_is_not_closed_is_shown_by_its_beginning() {
    let text =
        broker("").replace("<broker ", &format!("<broker brokerName=\"s3cret{}\" ", "${".repeat(10_000)));
    let told = mistakes(&text);
    assert!(told[0].len() < 200 && !told[0].contains("s3cret"), "{told:?}");
}

#[test]
fn entities_are_not_expanded() {
    let text = "<!DOCTYPE a [<!ENTITY b \"bbbb\"><!ENTITY c \"&b;&b;&b;&b;\"><!ENTITY d SYSTEM \"file:///etc/passwd\">]>\
                <broker brokerName=\"&c;&d;\"/>";
    assert!(mistakes(text)[0].contains("a DTD is not read"));
}

#[test]
fn placeholders_that_grow_or_turn_in_circles_end() {
    let input = Input::default()
        .property("a", "${b}${b}")
        .property("b", "${a}${a}")
        .property("c", "c".repeat(60_000))
        .file(
            "activemq.xml",
            broker("").replace("<broker ", "<broker brokerName=\"${a}\" dataDirectory=\"${c}${c}\" "),
        );
    let told = load(&input).expect_err("a wrong file").to_string();
    assert!(told.contains("placeholders are nested deeper than"), "{told}");
    assert!(told.contains("this value is longer than"), "{told}");
}

#[test]
fn placeholders_that_multiply_end() {
    let mut input = Input::default().property("p9", "");
    for level in 0..9 {
        input = input.property(format!("p{level}"), format!("${{p{}}}", level + 1).repeat(1_000));
    }
    let text = broker("").replace("<broker ", "<broker brokerName=\"${p4}\" ");
    let told = load(&input.file("activemq.xml", text)).expect_err("a wrong file").to_string();
    assert!(told.contains("more than 1000 placeholders"), "{told}");
}

#[test]
fn beans_that_refer_to_one_another_end() {
    let text = "<beans xmlns=\"http://www.springframework.org/schema/beans\">\
                <broker xmlns=\"http://activemq.apache.org/schema/core\"><plugins><ref bean=\"a\"/></plugins></broker>\
                <bean id=\"a\" class=\"x.A\"><property name=\"b\" ref=\"#b\"/></bean>\
                <ref id=\"b\" bean=\"a\"/></beans>";
    assert!(!mistakes(text).is_empty());
}

#[test]
fn lists_that_name_one_another_twice_end() {
    let lists: String = (0..60)
        .map(|n| format!("<list id='l{n}'><ref bean='l{0}'/><ref bean='l{0}'/></list>", n + 1))
        .collect();
    let text = format!(
        "<beans xmlns=\"http://www.springframework.org/schema/beans\">{}{lists}</beans>",
        broker("<plugins><ref bean=\"l0\"/></plugins>")
    );
    let told = mistakes(&text);
    assert!(told.iter().any(|told| told.contains("without an end")) && told.len() < 20_000, "{}", told.len());
}

/// Each file of the table with pieces gone, doubled or put elsewhere.
#[test]
fn what_is_left_of_any_file_is_read_or_refused() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/xml");
    let mut seed = 7_u64;
    let mut below = |most: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).expect("31 bits") % most.max(1)
    };
    let mut read = [0_usize; 2];
    for entry in std::fs::read_dir(folder).expect("the folder of the table") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "xml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("the file");
        let pieces: Vec<&str> = text.split_inclusive(['>', '"', ' ']).collect();
        for _ in 0..30 {
            let mut pieces = pieces.clone();
            for _ in 0..=below(3) {
                let (from, to) = (below(pieces.len()), below(pieces.len()));
                let piece = pieces[from];
                match below(3) {
                    0 => drop(pieces.remove(from)),
                    1 => pieces.insert(to, piece),
                    _ => pieces.swap(from, to),
                }
            }
            let outcome = load(&Input::default().file("activemq.xml", pieces.concat()));
            read[usize::from(outcome.is_ok())] += 1;
        }
    }
    assert!(read.iter().all(|count| *count > 50), "{read:?} were refused and read");
}

#[test]
fn thousands_of_unknown_names_are_all_told() {
    let (report, outcome) =
        examine(&Input::default().file("activemq.xml", broker(&"<uzeJmx/>".repeat(20_000))));
    assert!(outcome.is_err());
    let rejected =
        report.expect("a report").iter().filter(|entry| entry.verdict.word() == "rejected").count();
    assert_eq!(rejected, 20_000);
}

#[test]
fn a_line_of_toml_that_is_a_whole_file_takes_no_longer_than_its_length() {
    // Each of the numbers has a place, and to count the letters before each would take as long as their square.
    let numbers = "1,".repeat(200_000);
    let text = format!("listen = ['é{}', {numbers}]\n", "é".repeat(3_000));
    let began = std::time::Instant::now();
    let told = load(&Input::default().file("f.toml", text)).expect_err("numbers are no addresses");
    assert!(
        told.iter().any(|told| told.to_string().starts_with("f.toml:1:6017: error: this is a whole number"))
    );
    assert!(began.elapsed() < std::time::Duration::from_secs(30), "{:?}", began.elapsed());
}

#[test]
fn a_file_of_nothing_but_mistakes_is_told_about_in_a_moment() {
    let text = broker(&"<foo/>".repeat(20_000));
    let begin = std::time::Instant::now();
    let (report, outcome) = examine(&Input::default().file("activemq.xml", text));
    let report = report.expect("an XML file has a report");
    let mistakes = outcome.expect_err("a wrong file");
    assert_eq!(mistakes.iter().filter(|mistake| !report.tells(mistake)).count(), 0);
    assert!(begin.elapsed().as_secs() < 20, "{:?}", begin.elapsed());
}
