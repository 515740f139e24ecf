//! What a person sees: the story line by line, and below it, on a terminal, how it stands.

use std::cell::{Cell, RefCell};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The story, and the line that moves.
pub(super) struct Screen {
    began: Instant,
    /// Hidden unless standard output is a terminal.
    live: ProgressBar,
    plain: bool,
    roles: RefCell<[&'static str; 2]>,
    before: Cell<(u64, Instant)>,
}

impl Screen {
    pub(super) fn new(plain: bool) -> Self {
        let plain = plain || !std::io::stdout().is_terminal();
        let live = if plain {
            ProgressBar::hidden()
        } else {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stdout());
            bar.set_style(
                ProgressStyle::with_template("\n {spinner:.cyan} {msg}")
                    .unwrap_or_else(|_| ProgressStyle::default_spinner()),
            );
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        };
        let now = Instant::now();
        Self { began: now, live, plain, roles: RefCell::new(["starting", ""]), before: Cell::new((0, now)) }
    }

    /// The headline.
    pub(super) fn title(&self, text: &str) {
        self.line(&format!("{text}\n"));
    }

    /// A sentence of the story, with its time.
    pub(super) fn say(&self, text: &str) {
        self.line(&format!("{:5.1} s  {text}", self.began.elapsed().as_secs_f64()));
    }

    /// What a and b are now.
    pub(super) fn roles(&self, a: &'static str, b: &'static str) {
        *self.roles.borrow_mut() = [a, b];
    }

    /// How far producer and consumer are; without a terminal once a second.
    pub(super) fn counts(&self, (sent, received): (u64, usize), second_is_over: bool) {
        if self.plain {
            if second_is_over {
                self.say(&format!("sent {sent}, received {received}"));
            }
            return;
        }
        let [a, b] = *self.roles.borrow();
        let (before, at) = self.before.get();
        let elapsed = at.elapsed().as_secs_f64();
        if elapsed >= 1.0 {
            self.before.set((sent, Instant::now()));
        }
        let mark = |role| if role == "master" { "●" } else { "○" };
        let rate = if elapsed > 0.05 { (sent - before) as f64 / elapsed } else { 0.0 };
        self.live.set_message(format!(
            "a {} {a:<8}  b {} {b:<8}  sent {sent:<6} received {received:<6} {rate:>5.0}/s",
            mark(a),
            mark(b)
        ));
    }

    /// Takes the moving line away.
    pub(super) fn end(&self) {
        self.live.finish_and_clear();
    }

    fn line(&self, text: &str) {
        if self.plain {
            println!("{text}");
        } else {
            self.live.println(text);
        }
    }
}
