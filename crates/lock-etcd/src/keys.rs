//! The two keys, and what stands in them.

use ferromq_model::{ClaimId, Epoch};

use crate::proto::compare::{CompareResult, CompareTarget, TargetUnion};
use crate::proto::request_op::Request;
use crate::proto::response_op::Response;
use crate::proto::{
    Compare, DeleteRangeRequest, KeyValue, PutRequest, RangeRequest, RequestOp, TxnRequest, TxnResponse,
};

/// Where the keys are.
#[derive(Clone)]
pub(crate) struct Keys {
    claim: Vec<u8>,
    alive: Vec<u8>,
}

/// What `claim` says, and at which revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) epoch: Epoch,
    pub(crate) released: bool,
    pub(crate) node: String,
    pub(crate) owner: String,
    pub(crate) revision: i64,
}

/// Both keys at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// `None` if nobody ever claimed.
    pub(crate) claim: Option<Claim>,
    /// The heartbeat of that claim's holder; `None` if its lease has ended.
    pub(crate) beat: Option<u64>,
}

impl Seen {
    pub(crate) fn epoch(&self) -> Epoch {
        self.claim.as_ref().map_or(Epoch::default(), |claim| claim.epoch)
    }

    fn revision(&self) -> i64 {
        self.claim.as_ref().map_or(0, |claim| claim.revision)
    }
}

const VERSION: &str = "ferromq claim 1";

impl Claim {
    fn text(epoch: Epoch, released: bool, node: &str, owner: &str) -> Vec<u8> {
        let line = |text: &str| text.replace(['\n', '\r'], " ");
        let Epoch { number, claim: ClaimId(claim) } = epoch;
        format!(
            "{VERSION}\nepoch {number}\nclaim {claim:016x}\nreleased {released}\nnode {}\nowner {}\n",
            line(node),
            line(owner)
        )
        .into_bytes()
    }

    fn parse(pair: &KeyValue) -> Option<Self> {
        let text = str::from_utf8(&pair.value).ok()?;
        let mut lines = text.lines();
        if lines.next()? != VERSION {
            return None;
        }
        let mut line = |name: &str| lines.next()?.strip_prefix(name);
        let number = line("epoch ")?.parse().ok()?;
        let claim = ClaimId(u64::from_str_radix(line("claim ")?, 16).ok()?);
        let released = line("released ")?.parse().ok()?;
        let (node, owner) = (line("node ")?.to_owned(), line("owner ")?.to_owned());
        Some(Self { epoch: Epoch { number, claim }, released, node, owner, revision: pair.mod_revision })
    }
}

fn beat_text(epoch: Epoch, beat: u64) -> Vec<u8> {
    format!("{} {:016x} {beat}", epoch.number, epoch.claim.0).into_bytes()
}

/// `None` for the heartbeat of another claim.
fn beat_of(epoch: Epoch, value: &[u8]) -> Option<u64> {
    let mut words = str::from_utf8(value).ok()?.split(' ');
    let number: u64 = words.next()?.parse().ok()?;
    let claim = u64::from_str_radix(words.next()?, 16).ok()?;
    let beat = words.next()?.parse().ok()?;
    (number == epoch.number && claim == epoch.claim.0).then_some(beat)
}

fn op(request: Request) -> RequestOp {
    RequestOp { request: Some(request) }
}

impl Keys {
    pub(crate) fn under(prefix: &str) -> Self {
        let key = |name| format!("{prefix}/{name}").into_bytes();
        Self { claim: key("claim"), alive: key("alive") }
    }

    fn get(key: &[u8]) -> RequestOp {
        op(Request::RequestRange(RangeRequest { key: key.to_vec(), range_end: Vec::new() }))
    }

    fn put(key: &[u8], value: Vec<u8>, lease: i64) -> RequestOp {
        op(Request::RequestPut(PutRequest { key: key.to_vec(), value, lease }))
    }

    fn both(&self) -> Vec<RequestOp> {
        vec![Self::get(&self.claim), Self::get(&self.alive)]
    }

    fn unchanged_since(&self, revision: i64) -> Compare {
        Compare {
            result: CompareResult::Equal.into(),
            target: CompareTarget::Mod.into(),
            key: self.claim.clone(),
            target_union: Some(TargetUnion::ModRevision(revision)),
        }
    }

    /// Reads both keys at once.
    pub(crate) fn look(&self) -> TxnRequest {
        TxnRequest { compare: Vec::new(), success: self.both(), failure: Vec::new() }
    }

    /// Moves the claim on from what was seen; over the living only if that is meant. What is there, else.
    pub(crate) fn claim(
        &self,
        over: &Seen,
        over_the_living: bool,
        epoch: Epoch,
        (node, owner): (&str, &str),
        lease: i64,
    ) -> TxnRequest {
        let mut compare = vec![self.unchanged_since(over.revision())];
        if !over_the_living {
            compare.push(Compare {
                result: CompareResult::Equal.into(),
                target: CompareTarget::Version.into(),
                key: self.alive.clone(),
                target_union: Some(TargetUnion::Version(0)),
            });
        }
        let success = vec![
            Self::put(&self.claim, Claim::text(epoch, false, node, owner), 0),
            Self::put(&self.alive, beat_text(epoch, 1), lease),
        ];
        TxnRequest { compare, success, failure: self.both() }
    }

    /// Shows a sign of life if the claim is still the one of `revision`. What is there, else.
    pub(crate) fn renew(&self, revision: i64, epoch: Epoch, beat: u64, lease: i64) -> TxnRequest {
        TxnRequest {
            compare: vec![self.unchanged_since(revision)],
            success: vec![Self::put(&self.alive, beat_text(epoch, beat), lease)],
            failure: self.both(),
        }
    }

    /// Lets go of the claim of `revision`.
    pub(crate) fn release(&self, revision: i64, epoch: Epoch, (node, owner): (&str, &str)) -> TxnRequest {
        let gone = DeleteRangeRequest { key: self.alive.clone() };
        TxnRequest {
            compare: vec![self.unchanged_since(revision)],
            success: vec![
                Self::put(&self.claim, Claim::text(epoch, true, node, owner), 0),
                op(Request::RequestDeleteRange(gone)),
            ],
            failure: Vec::new(),
        }
    }

    /// What the answer shows of the keys. An error if somebody else's things stand there.
    pub(crate) fn seen(&self, answer: &TxnResponse) -> Result<Seen, String> {
        let pairs = answer.responses.iter().filter_map(|response| match &response.response {
            Some(Response::ResponseRange(range)) => range.kvs.first(),
            _ => None,
        });
        let (mut claim, mut alive) = (None, None);
        for pair in pairs {
            if pair.key == self.claim {
                let parsed = Claim::parse(pair);
                let key = String::from_utf8_lossy(&self.claim).into_owned();
                claim = Some(parsed.ok_or(format!("{key} is no claim; choose another prefix"))?);
            } else if pair.key == self.alive {
                alive = Some(&pair.value);
            }
        }
        let epoch = claim.as_ref().map_or(Epoch::default(), |claim: &Claim| claim.epoch);
        Ok(Seen { claim, beat: alive.and_then(|value| beat_of(epoch, value)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EPOCH: Epoch = Epoch { number: 7, claim: ClaimId(0xabc) };

    #[test]
    fn a_claim_is_read_as_it_was_written_and_nothing_else_is() {
        let pair = |value: &[u8]| KeyValue { value: value.to_vec(), mod_revision: 5, ..KeyValue::default() };
        let text = Claim::text(EPOCH, true, "a", "broker a,\nprocess 1");
        let claim = Claim::parse(&pair(&text)).unwrap();
        assert_eq!((claim.epoch, claim.released, claim.node.as_str(), claim.revision), (EPOCH, true, "a", 5));
        assert_eq!(claim.owner, "broker a, process 1");
        for wrong in [&b""[..], b"\xff", b"ferromq claim 2\n", &text[..20]] {
            assert_eq!(Claim::parse(&pair(wrong)), None);
        }
    }

    #[test]
    fn the_heartbeat_of_another_claim_is_none() {
        let value = beat_text(EPOCH, 3);
        assert_eq!(beat_of(EPOCH, &value), Some(3));
        assert_eq!(beat_of(Epoch { claim: ClaimId(1), ..EPOCH }, &value), None);
        assert_eq!(beat_of(EPOCH, b"7 x 3"), None);
    }
}
