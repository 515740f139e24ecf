//! How the program starts, refuses to start, and ends: exit codes and last words.

use ferromq_testkit::Launch;

const PROGRAM: &str = env!("CARGO_BIN_EXE_ferromq");

#[test]
fn a_broker_says_where_it_listens_and_ends_well() {
    let node = Launch::new(PROGRAM).start().unwrap();
    assert!(node.url().starts_with("tcp://127.0.0.1:") && !node.url().ends_with(":0"), "{}", node.url());
    assert!(node.data().join("journal").is_dir(), "the journal is the default");
    assert_eq!(node.stop().code(), Some(0));
}

#[test]
fn a_folder_belongs_to_one_broker() {
    for store in ["journal", "sqlite"] {
        let folder = tempfile::tempdir().unwrap();
        let launch = Launch::new(PROGRAM).data(folder.path().join("data")).arg("--store").arg(store);
        let first = launch.start().unwrap();

        let refused = launch.start().unwrap_err();
        assert_eq!(refused.code, Some(73), "{refused}");
        assert!(refused.said.contains("is in use by"), "{refused}");
        assert!(refused.said.contains(&format!("process {}", first.pid())), "{refused}");

        // As soon as the first is gone, whatever way, the folder is free.
        first.kill();
        assert_eq!(launch.start().unwrap().stop().code(), Some(0));
    }
}

#[test]
fn messages_of_another_kind_of_store_are_not_overlooked() {
    let folder = tempfile::tempdir().unwrap();
    let launch = Launch::new(PROGRAM).data(folder.path());
    launch.start().unwrap().stop();
    let refused = launch.clone().arg("--store").arg("sqlite").start().unwrap_err();
    assert_eq!(refused.code, Some(73), "{refused}");
    assert!(refused.said.contains("--store journal"), "{refused}");
}

#[test]
fn a_newer_format_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("format"), "ferromq-store 99\n").unwrap();
    let refused = Launch::new(PROGRAM).data(folder.path()).start().unwrap_err();
    assert_eq!(refused.code, Some(73), "{refused}");
    assert!(refused.said.contains("has format 99"), "{refused}");
    assert_eq!(std::fs::read_to_string(folder.path().join("format")).unwrap(), "ferromq-store 99\n");
}

#[test]
fn a_folder_that_can_not_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "in the way").unwrap();
    let refused = Launch::new(PROGRAM).data(file.join("data")).start().unwrap_err();
    assert_eq!(refused.code, Some(73), "{refused}");
    assert!(refused.said.contains("--data"), "{refused}");
}

#[test]
fn a_port_that_is_taken_is_named() {
    let first = Launch::new(PROGRAM).start().unwrap();
    let refused = Launch::new(PROGRAM).listen(first.url()).start().unwrap_err();
    assert_eq!(refused.code, Some(69), "{refused}");
    let port = first.address().port().to_string();
    assert!(refused.said.contains(&port), "{refused}");
}

#[test]
fn an_unknown_flag_is_wrong_usage() {
    let refused = Launch::new(PROGRAM).arg("--nmae").arg("x").start().unwrap_err();
    assert_eq!(refused.code, Some(64), "{refused}");
    assert!(refused.said.contains("--name"), "{refused}");
}

#[test]
fn a_store_that_can_not_be_read_and_an_output_that_can_not_be_written_end_with_74() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("format")).unwrap();
    let refused = Launch::new(PROGRAM).data(folder.path()).start().unwrap_err();
    assert_eq!(refused.code, Some(74), "{refused}");
    assert!(refused.said.contains("format"), "{refused}");
    assert!(!folder.path().join("journal").exists(), "nothing is written beside it");

    let node = Launch::new(PROGRAM).start().unwrap();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let verb = |arguments: &[&str]| {
        let mut command = std::process::Command::new(PROGRAM);
        command.args(arguments).args(["--url", node.url(), "queue://q"]);
        command
    };
    assert!(verb(&["send"]).arg("text").status().unwrap().success());
    let unwritable = verb(&["receive", "--count", "1"]).stdout(full).output().unwrap();
    assert_eq!(unwritable.status.code(), Some(74), "{}", String::from_utf8_lossy(&unwritable.stderr));
}
