//! The suite of all providers on a real server, and what is etcd's own.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ferromq_env::Clock;
use ferromq_lock::conformance::{Names, World};
use ferromq_lock::{Acquired, Contention, Grant, LockError, LockProvider, Timings};
use ferromq_model::Epoch;
use ferromq_testkit::Etcd;
use tonic::Status;

use crate::proto::kv_client::KvClient;
use crate::proto::{PutRequest, RangeRequest, RequestOp, TxnRequest, request_op::Request};
use crate::session::{Calls, Session};
use crate::{EtcdLock, Target};

const PREFIX: &str = "jobs/leader";

struct Service(Mutex<Etcd>);

impl Service {
    fn start_or_skip() -> Option<Self> {
        Etcd::start_or_skip().map(|server| Self(Mutex::new(server)))
    }

    fn server(&self) -> MutexGuard<'_, Etcd> {
        self.0.lock().unwrap()
    }

    fn ask<T>(&self, ask: impl AsyncFnOnce(Calls) -> Result<T, Status>) -> T {
        let within = Duration::from_secs(10);
        let url = self.server().url();
        let session = Session::open(&Target::parse(&url).unwrap(), &url, within).unwrap();
        session.run(within, ask).unwrap()
    }

    fn node(&self, name: &str) -> EtcdLock {
        EtcdLock::new(Target::parse(&self.server().url()).unwrap(), PREFIX, name, Timings::default()).unwrap()
    }
}

impl World for Service {
    fn node(
        &self,
        name: &str,
        timings: Timings,
        _clock: Arc<dyn Clock>,
    ) -> Result<Box<dyn LockProvider>, LockError> {
        Ok(Box::new(EtcdLock::new(Target::parse(&self.server().url())?, PREFIX, name, timings)?))
    }

    /// Every key there is, with the revision that wrote it.
    fn contents(&self) -> Vec<(String, Vec<u8>)> {
        let all = RangeRequest { key: vec![0], range_end: vec![0] };
        let found = self.ask(async |calls| KvClient::new(calls.channel()).range(all).await);
        let shown = |revision: i64, value: &[u8]| [&revision.to_le_bytes()[..], value].concat();
        let pairs = found.into_inner().kvs.into_iter();
        pairs
            .map(|pair| (String::from_utf8(pair.key).unwrap(), shown(pair.mod_revision, &pair.value)))
            .collect()
    }

    fn names(&self) -> Names {
        Names::AtTheClaim
    }

    fn notices_death(&self) -> bool {
        false
    }

    fn restart(&self) -> bool {
        self.server().restart();
        true
    }

    fn cut_off(&self, cut: bool) -> bool {
        if cut {
            self.server().pause()
        } else {
            self.server().resume()
        }
        true
    }
}

ferromq_lock::conformance_tests!(Service::start_or_skip);

fn granted(lock: &mut EtcdLock, why: Contention) -> Grant {
    lock.look().unwrap();
    match lock.try_acquire(Epoch::default(), why).unwrap() {
        Acquired::Granted(grant) => grant,
        Acquired::Held(sighting) => panic!("held: {sighting:?}"),
    }
}

#[test]
fn the_end_of_etcds_lease_is_seen_as_the_end_of_its_holder() {
    let Some(service) = Service::start_or_skip() else { return };
    let (mut a, mut b) = (service.node("a"), service.node("b"));
    granted(&mut a, Contention::Vacant);
    assert!(!b.look().unwrap().unwrap().died);
    // Two seconds, and what etcd takes to look through its leases.
    let until = std::time::Instant::now() + ferromq_testkit::PATIENCE;
    while !b.look().unwrap().unwrap().died {
        assert!(std::time::Instant::now() < until, "the lease does not end");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(granted(&mut b, Contention::Vacant).epoch.number, 2);
}

#[test]
fn a_holder_whose_lease_ended_unclaimed_goes_on_under_its_epoch() {
    let Some(service) = Service::start_or_skip() else { return };
    let (mut a, mut b) = (service.node("a"), service.node("b"));
    let grant = granted(&mut a, Contention::Vacant);
    let until = std::time::Instant::now() + ferromq_testkit::PATIENCE;
    while !b.look().unwrap().unwrap().died {
        assert!(std::time::Instant::now() < until, "the lease does not end");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(a.renew(&grant).unwrap().epoch, grant.epoch);
    assert!(!b.look().unwrap().unwrap().died);
}

#[test]
fn another_member_is_asked_when_one_does_not_answer() {
    let Some(service) = Service::start_or_skip() else { return };
    let members = format!("http://127.0.0.1:1,{}", service.server().url());
    let target = Target::parse(&members).unwrap();
    let mut a = EtcdLock::new(target, PREFIX, "a", Timings::default()).unwrap();
    let error = a.look().unwrap_err();
    assert!(error.to_string().contains("127.0.0.1:1"), "{error}");
    assert_eq!(a.look().unwrap(), None);
}

#[test]
fn a_prefix_where_something_else_stands_is_left_alone() {
    let Some(service) = Service::start_or_skip() else { return };
    let put = PutRequest { key: format!("{PREFIX}/claim").into(), value: b"mine".to_vec(), lease: 0 };
    let success = vec![RequestOp { request: Some(Request::RequestPut(put)) }];
    service.ask(async |calls| calls.txn(TxnRequest { success, ..TxnRequest::default() }).await);
    let before = service.contents();
    let mut a = service.node("a");
    let error = a.look().unwrap_err();
    assert!(error.to_string().contains("choose another prefix"), "{error}");
    a.try_acquire(Epoch::default(), Contention::OverSilence).unwrap_err();
    assert_eq!(service.contents(), before);
}
