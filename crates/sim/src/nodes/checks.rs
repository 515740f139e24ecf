//! What must hold among the nodes, whatever happens to them: one master at a time, and one soon whenever there can be one.

use std::time::Duration;

use ferromq_model::Epoch;

use super::member::Process;
use super::world::World;

/// Without a master, though somebody could be it, no longer than this: a silence on a slow clock, a rest, and the work
/// of a takeover.
const GAP: Duration = Duration::from_millis(500 * 115 / 100 + 1_000 + 300);

impl World {
    /// One master, under the highest epoch, and its books balance.
    pub(super) fn check_end(&mut self) {
        let mut masters = Vec::new();
        for member in &self.members {
            if let Some(reign) = member.process.as_ref().and_then(Process::active) {
                masters.push((member.name.clone(), reign.epoch.number));
                if let Err(text) = reign.front.check() {
                    self.oracle.accuse("conservation", text);
                }
            }
        }
        let highest = self.grants.last_key_value().map(|(number, _)| *number);
        if masters.len() != 1 || masters.first().map(|(_, number)| *number) != highest {
            let text =
                format!("in the end the masters are {masters:?}, and epoch {highest:?} is the highest");
            self.oracle.accuse("single-writer", text);
        }
    }

    /// No batch completes whose look for a higher claim came after one had been made.
    pub(super) fn check_fence(&mut self, number: usize, epoch: Epoch, ops_before: u64, looked: u64) {
        let last = ops_before.max(looked);
        let higher = self.grants.range(epoch.number + 1..).find(|(_, (_, at))| *at < last);
        if let Some((theirs, _)) = higher {
            let name = &self.members[number].name;
            let text = format!(
                "{name} completed a commit of epoch {} after epoch {theirs} was claimed",
                epoch.number
            );
            self.oracle.accuse("single-writer", text);
        }
    }

    /// While locks tell the truth, nobody hands out anything once another serves.
    pub(super) fn check_alone(&mut self, number: usize, epoch: Epoch) {
        let other = self.members.iter().find_map(|member| {
            let reign = member.process.as_ref()?.active()?;
            (reign.epoch > epoch).then(|| (member.name.clone(), reign.epoch.number))
        });
        if let Some((other, higher)) = other
            && !self.locks_lied
        {
            let name = &self.members[number].name;
            let text =
                format!("{name} serves under epoch {} while {other} does under {higher}", epoch.number);
            self.oracle.accuse("single-writer", text);
        }
    }

    /// *progress*: somebody serves soon whenever somebody can.
    pub(super) fn watch_gap(&mut self) {
        let now = self.now;
        let mut served = false;
        for member in &mut self.members {
            let able = member.is_able(now);
            member.able_since = able.then(|| member.able_since.unwrap_or(now));
            served |= able && member.process.as_ref().is_some_and(|process| process.active().is_some());
        }
        if served {
            self.unserved_since = None;
            return;
        }
        let unserved = *self.unserved_since.get_or_insert(now);
        let Some(able) = self.members.iter().filter_map(|member| member.able_since).min() else { return };
        let gap = now.since(unserved.max(able));
        self.report.longest_gap = self.report.longest_gap.max(gap);
        if gap > GAP {
            let text = format!("nobody became the master within {GAP:?} although somebody could have");
            self.oracle.accuse("progress", text);
            self.unserved_since = Some(now);
        }
    }
}
