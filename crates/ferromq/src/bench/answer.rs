//! What a workload came to, as JSON for programs and as a table for people.

use std::fmt::Write;

use super::Window;

/// The answer: what every workload has, and further fields in order.
#[derive(Debug)]
pub(super) struct Answer {
    messages: u64,
    seconds: f64,
    client_cpu_us: f64,
    more: Vec<(&'static str, Number)>,
}

/// A number as it is written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Number {
    /// A time with three digits behind the point.
    Ms(f64),
    /// A count.
    Count(u64),
}

impl Answer {
    pub fn new(messages: u64, window: &Window) -> Self {
        Self {
            messages,
            seconds: window.seconds,
            client_cpu_us: window.cpu_us / messages.max(1) as f64,
            more: Vec::new(),
        }
    }

    pub fn ms(mut self, name: &'static str, ms: f64) -> Self {
        self.more.push((name, Number::Ms(ms)));
        self
    }

    pub fn count(mut self, name: &'static str, count: u64) -> Self {
        self.more.push((name, Number::Count(count)));
        self
    }

    fn per_second(&self) -> f64 {
        self.messages as f64 / self.seconds.max(1e-9)
    }

    pub fn json(&self, workload: &str) -> String {
        let mut out = format!(
            "{{\"workload\":\"{workload}\",\"messages\":{},\"seconds\":{:.3},\"per_second\":{:.1},\"client_cpu_us\":{:.2}",
            self.messages,
            self.seconds,
            self.per_second(),
            self.client_cpu_us
        );
        for (name, number) in &self.more {
            // Writing to a string does not fail.
            let _ = match number {
                Number::Ms(ms) => write!(out, ",\"{name}\":{ms:.3}"),
                Number::Count(count) => write!(out, ",\"{name}\":{count}"),
            };
        }
        out.push('}');
        out
    }

    pub fn table(&self, workload: &str) -> String {
        let mut out = format!(
            "{:16} {workload}\n{:16} {}\n{:16} {:.3}\n{:16} {:.1}\n{:16} {:.2}\n",
            "workload",
            "messages",
            self.messages,
            "seconds",
            self.seconds,
            "per second",
            self.per_second(),
            "client CPU µs",
            self.client_cpu_us
        );
        for (name, number) in &self.more {
            let name = name.replace("_ms", " ms").replace('_', " ");
            let _ = match number {
                Number::Ms(ms) => writeln!(out, "{name:16} {ms:.3}"),
                Number::Count(count) => writeln!(out, "{name:16} {count}"),
            };
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn the_answer_has_the_fields_that_drivers_read() {
        let window = Window { began: Instant::now(), seconds: 2.0, cpu_us: 500.0 };
        let answer = Answer::new(100, &window).ms("p50_ms", 0.25).count("lost", 0);
        assert_eq!(
            answer.json("pq-1x1"),
            "{\"workload\":\"pq-1x1\",\"messages\":100,\"seconds\":2.000,\"per_second\":50.0,\
             \"client_cpu_us\":5.00,\"p50_ms\":0.250,\"lost\":0}"
        );
        assert!(answer.table("pq-1x1").contains("p50 ms           0.250\n"));
    }
}
