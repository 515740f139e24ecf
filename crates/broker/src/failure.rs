//! [`Failure`]: how a thread says that the broker can't go on.

use tokio::sync::watch;

use crate::Broken;

/// What was reported first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reported {
    pub(crate) reason: String,
    /// The program is wrong: going on would be wrong as well.
    pub(crate) bug: bool,
}

impl From<Reported> for Broken {
    fn from(Reported { reason, bug }: Reported) -> Self {
        if bug { Self::Bug(reason) } else { Self::Storage(reason) }
    }
}

/// The saying side; clones speak to the same listener. The first word counts.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    first: watch::Sender<Option<Reported>>,
}

/// The listening side.
#[derive(Clone, Debug)]
pub(crate) struct FailureWatch {
    first: watch::Receiver<Option<Reported>>,
}

/// A channel on which nothing has failed yet.
pub(crate) fn failure() -> (Failure, FailureWatch) {
    let (first, watched) = watch::channel(None);
    (Failure { first }, FailureWatch { first: watched })
}

impl Failure {
    /// Something failed for good.
    pub(crate) fn report(&self, reason: String) {
        self.first_word(Reported { reason, bug: false });
    }

    fn first_word(&self, reported: Reported) {
        tracing::error!("{}", reported.reason);
        self.first.send_if_modified(|first| {
            let news = first.is_none();
            first.get_or_insert(reported);
            news
        });
    }

    /// A guard that reports a thread which panics while it holds it.
    pub(crate) fn guard(&self, thread: &'static str) -> PanicGuard {
        PanicGuard { failure: self.clone(), thread }
    }
}

/// Reports a panic of the thread that owns it.
#[derive(Debug)]
pub(crate) struct PanicGuard {
    failure: Failure,
    thread: &'static str,
}

impl Drop for PanicGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let reason = format!(
                "the thread {} ended by a bug; the broker stops, what was acknowledged is safe",
                self.thread
            );
            self.failure.first_word(Reported { reason, bug: true });
        }
    }
}

impl FailureWatch {
    /// Waits for the first failure; for ever if there is none.
    pub(crate) async fn failed(&mut self) -> Reported {
        match self.first.wait_for(Option::is_some).await.map(|first| first.clone()) {
            Ok(Some(reported)) => reported,
            _ => std::future::pending().await,
        }
    }

    /// The first failure so far.
    pub(crate) fn so_far(&self) -> Option<Reported> {
        self.first.borrow().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_failure_counts() {
        let (failure, mut watch) = failure();
        assert_eq!(watch.so_far(), None);
        failure.report("disk gone".into());
        failure.report("and then this".into());
        let reported = watch.failed().await;
        assert_eq!((reported.reason.as_str(), reported.bug), ("disk gone", false));
    }

    #[tokio::test]
    async fn a_panic_is_a_failure() {
        let (failure, mut watch) = failure();
        let guard = failure.guard("engine");
        let thread = std::thread::spawn(move || {
            let _guard = guard;
            panic!("planted");
        });
        assert!(thread.join().is_err());
        let reported = watch.failed().await;
        assert!(reported.bug && reported.reason.contains("the thread engine"));
    }
}
