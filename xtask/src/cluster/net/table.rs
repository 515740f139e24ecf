//! What became of each flow, as a table that explains itself.

use std::fmt::Write as _;

use super::load::Account;

/// A flow, what became of it, and what had to.
pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) account: Account,
    /// Of the missing ones: found in a queue.
    pub(crate) stuck: u64,
    pub(crate) wanted: &'static str,
}

/// What the columns count.
const LEGEND: &str = "\
wanted: what had to come; where that is less than all, or none, the rest counts neither as lost nor as stuck.
sent: by the producer. received: different messages that came to the consumer.
lost: sent and answered, received by nobody, and in no queue. stuck: the same, but in a queue of one of the brokers.
duplicated: came again. reordered: came behind a later message of the same producer.
drain: from the last send to the last arrival; a consumer that was away in between is waited for in it.
";

/// The table.
pub(crate) fn text(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<62} {:<24} {:>7} {:>9} {:>6} {:>11} {:>10} {:>6} {:>9}\n",
        "flow", "wanted", "sent", "received", "lost", "duplicated", "reordered", "stuck", "drain"
    );
    for Row { what, account, stuck, wanted } in rows {
        // Writing into a string does not fail.
        let _ = writeln!(
            text,
            "{what:<62} {wanted:<24} {:>7} {:>9} {:>6} {:>11} {:>10} {stuck:>6} {:>6} ms",
            account.sent,
            account.received,
            account.missing.saturating_sub(*stuck),
            account.duplicated,
            account.reordered,
            account.drain_ms
        );
    }
    text.push_str(LEGEND);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_count_stands_below_its_word_and_each_word_is_explained() {
        let account = Account {
            sent: 900,
            answered: 890,
            received: 880,
            missing: 10,
            duplicated: 3,
            unflagged: 0,
            reordered: 2,
            invented: 0,
            drain_ms: 45,
        };
        let what = "from a to b".to_owned();
        let text = text(&[Row { what, account, stuck: 4, wanted: "all, repetitions flagged" }]);
        let lines: Vec<&str> = text.lines().collect();
        for (word, count) in [
            ("sent", "900"),
            ("received", "880"),
            ("lost", "6"),
            ("duplicated", "3"),
            ("reordered", "2"),
            ("stuck", "4"),
            ("drain", "45 ms"),
            ("wanted", "all, repetitions flagged"),
        ] {
            let at = lines[0].find(word).unwrap();
            let (from, to) = if word == "wanted" { (at, at + count.len()) } else { (0, at + word.len()) };
            assert!(lines[1][from..to].ends_with(count), "{word}:\n{text}");
            assert!(text.contains(&format!("{word}: ")), "{word} is not explained");
        }
    }
}
