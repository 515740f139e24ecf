//! A broker as a process: FerroMQ, or the real ActiveMQ.
//!
//! `FERROMQ_TEST_BROKER` says how to start one: a program and its arguments, one a line, with `{port}` and `{data}`
//! where those belong; it prints a line with `listening on` when it is ready. `cargo xtask client` sets it.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// How to start a broker.
#[derive(Clone)]
pub struct Recipe(Vec<String>);

impl Recipe {
    /// Nothing if nobody says how, and then that a test was skipped.
    pub fn of_environment() -> Option<Self> {
        let Ok(recipe) = std::env::var("FERROMQ_TEST_BROKER") else {
            eprintln!("skipped: set FERROMQ_TEST_BROKER to what starts a broker");
            return None;
        };
        Some(Self(recipe.lines().map(str::to_owned).collect()))
    }

    /// Starts one, and returns when it listens.
    pub fn start(&self, port: u16, data: &Path) -> Child {
        let data = data.join("store").display().to_string();
        let fill = |word: &String| word.replace("{port}", &port.to_string()).replace("{data}", &data);
        let words: Vec<String> = self.0.iter().map(fill).collect();
        let mut child = Command::new(&words[0])
            .args(&words[1..])
            // Its end would be the broker's end.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains("listening on")), "the broker did not start");
        // Whoever prints must find a reader.
        std::thread::spawn(move || lines.for_each(drop));
        child
    }
}

/// Two ports that nobody has.
pub fn free_ports() -> [u16; 2] {
    let sockets = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    sockets.map(|socket| socket.local_addr().unwrap().port())
}

/// `kill -9`.
pub fn kill(child: &mut Option<Child>) {
    if let Some(mut child) = child.take() {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
