//! [`Firsts`]: when the first client after a takeover came, and when one had its first answer.

use ferromq_admin::{RoleView, Takeover};
use ferromq_engine::{ConnId, Effect, Intent, Tag, TransactionVerb};
use ferromq_model::Instant;
use tokio::sync::watch;

/// Watches what goes in and out of an engine until both are known, and tells operators.
#[derive(Debug)]
pub(crate) struct Firsts {
    epoch: u64,
    /// The moment at which the master before was first missed.
    since: Instant,
    /// None if there is nothing to tell, or no more.
    publish: Option<watch::Sender<RoleView>>,
    connected: bool,
    /// The request whose answer is waited for.
    asked: Option<(ConnId, Tag)>,
}

impl Firsts {
    /// Of the takeover of this epoch.
    pub(crate) const fn new(epoch: u64, since: Instant, publish: watch::Sender<RoleView>) -> Self {
        Self { epoch, since, publish: Some(publish), connected: false, asked: None }
    }

    /// Of a start that took over from nobody.
    pub(crate) const fn of_nothing() -> Self {
        Self { epoch: 0, since: Instant(0), publish: None, connected: true, asked: None }
    }

    /// A client wants something.
    pub(crate) fn heard(&mut self, now: Instant, conn: ConnId, tag: Option<Tag>, intent: &Intent) {
        if self.publish.is_none() {
            return;
        }
        match intent {
            Intent::Connect(facts) if !self.connected && !facts.network => {
                self.connected = true;
                let at = now.since(self.since);
                self.tell(|takeover| takeover.first_connection = Some(at));
            }
            Intent::Send(_)
            | Intent::Transaction {
                verb: TransactionVerb::CommitOnePhase | TransactionVerb::CommitTwoPhase,
                ..
            } => self.asked = self.asked.or(tag.map(|tag| (conn, tag))),
            _ => {}
        }
    }

    /// A client was answered.
    pub(crate) fn answered(&mut self, now: Instant, conn: ConnId, tag: Tag, effect: &Effect) {
        if self.asked != Some((conn, tag)) {
            return;
        }
        self.asked = None;
        if matches!(effect, Effect::Done) {
            let at = now.since(self.since);
            self.tell(|takeover| takeover.first_reply = Some(at));
            self.publish = None;
        }
    }

    /// A client is gone, and waits for nothing any longer.
    pub(crate) fn gone(&mut self, conn: ConnId) {
        self.asked.take_if(|(asked, _)| *asked == conn);
    }

    fn tell(&self, change: impl FnOnce(&mut Takeover)) {
        let Some(publish) = &self.publish else { return };
        publish.send_if_modified(|view| {
            let takeover = view.last_takeover.as_mut().filter(|takeover| takeover.epoch == self.epoch);
            takeover.map(change).is_some()
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use ferromq_engine::{Fault, FaultKind};
    use ferromq_model::ConnectionFacts;

    use super::*;

    const fn at(millis: u64) -> Instant {
        Instant(millis * 1_000_000)
    }

    #[test]
    fn the_first_client_and_the_first_answer_that_succeeded_are_told_once() {
        let mut view = RoleView::new("a");
        view.last_takeover = Some(Takeover { epoch: 8, ..Takeover::default() });
        let (publish, views) = watch::channel(view);
        let mut firsts = Firsts::new(8, at(1_000), publish);
        let connect = Intent::Connect(Arc::new(ConnectionFacts::default()));
        let commit = Intent::Transaction { id: None, verb: TransactionVerb::CommitOnePhase };
        let (a, b) = (ConnId(1), ConnId(2));

        firsts.heard(at(1_100), a, Some(Tag(1)), &connect);
        firsts.heard(at(1_110), b, Some(Tag(1)), &connect);
        firsts.answered(at(1_120), a, Tag(1), &Effect::Done);
        // The first asks and goes, the second fails, and then one succeeds.
        firsts.heard(at(1_130), a, Some(Tag(2)), &commit);
        firsts.gone(a);
        firsts.heard(at(1_140), b, Some(Tag(2)), &commit);
        let fault = Fault { kind: FaultKind::General, text: String::new() };
        firsts.answered(at(1_150), b, Tag(2), &Effect::Failed(fault));
        firsts.heard(at(1_160), b, Some(Tag(3)), &commit);
        firsts.answered(at(1_170), b, Tag(3), &Effect::Done);
        firsts.heard(at(1_180), b, Some(Tag(4)), &commit);
        firsts.answered(at(1_190), b, Tag(4), &Effect::Done);

        let told = views.borrow().last_takeover.unwrap();
        assert_eq!(told.first_connection, Some(Duration::from_millis(100)));
        assert_eq!(told.first_reply, Some(Duration::from_millis(170)));
    }
}
