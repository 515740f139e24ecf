//! Batches, tickets, epochs: what goes together, in which order, by whom.

use ferromq_model::{ClaimId, DestinationId, Epoch, Sequence, SubscriptionId, Ticket};

use super::run::{Run, claim};
use super::script::{ONE, QUEUE, STREAM, house, place, publish, put, put_in, record, remove};
use super::world::Worlds;
use crate::{Budget, ErrorKind, StoreError, StoreOp, Sync, WriteBatch};

fn refused(worlds: Worlds<'_>, what: &str, op: StoreOp) {
    let mut world = worlds();
    let mut run = Run::begin(&mut *world);
    run.commit(house());
    run.commit(vec![put(10, 5)]);
    let now = run.now();
    // The reference would refuse it as well, so the batch goes round it.
    let batch = WriteBatch {
        epoch: run.epoch,
        ticket: Ticket(3),
        ops: vec![put(11, 5), remove(10), op],
        sync: Sync::Required,
    };
    match run.backend.commit(&[batch], false) {
        Err(error) => assert_eq!(error.kind(), ErrorKind::Bug, "{what}: {error}"),
        Ok(durable) => panic!("{what} was accepted: {durable:?}"),
    }
    drop(run);
    // Nothing of the batch is there.
    let _ = Run::resume(&mut *world, &now);
}

/// What would store something under a wrong id is refused, and the batch it is in leaves nothing.
pub fn unknown_ids_are_refused(worlds: Worlds<'_>) {
    refused(worlds, "an unknown destination", put_in(DestinationId(9), "orders", 12, 1));
    refused(worlds, "a used place", put(10, 1));
    refused(worlds, "a place that falls within the batch", put(11, 1));
    refused(worlds, "an unknown subscription", publish(12, &[ONE, SubscriptionId(9)]));
    refused(worlds, "an unknown stream", place(STREAM, 1, 10));
    refused(
        worlds,
        "a used destination id",
        StoreOp::PutDestination { id: QUEUE, destination: ferromq_model::Destination::queue("other") },
    );
}

/// A transaction over several destinations is seen whole.
pub fn a_batch_is_all_or_nothing(worlds: Worlds<'_>) {
    let mut world = worlds();
    let mut run = Run::begin(&mut *world);
    run.commit(house());
    run.commit(vec![put(1, 10), put(2, 10)]);
    let group = [
        run.batch(vec![remove(1), put(3, 100), publish(4, &[ONE]), remove(3)], Sync::Lazy),
        run.batch(vec![], Sync::Lazy),
        run.batch((5..=3000).map(|n| put(n, 20)).collect(), Sync::Required),
        run.batch(vec![remove(2)], Sync::Lazy),
    ];
    run.hand_over(&group, false).unwrap();
    run.check_reader();
    run.hand_over(&[], false).unwrap();
    run.hand_over(&[], true).unwrap();
    let _ = run.reopen(&mut *world);
}

/// Tickets rise by one from one, and a batch of another epoch is refused.
pub fn tickets_and_epochs_are_checked(worlds: Worlds<'_>) {
    for (what, ticket, number, claim) in [
        ("a ticket that is skipped", 3, 1, None),
        ("a ticket twice", 1, 1, None),
        ("another epoch", 2, 2, None),
        ("another claim of the same number", 2, 1, Some(ClaimId(1))),
    ] {
        let mut world = worlds();
        let mut run = Run::begin(&mut *world);
        run.commit(house());
        let now = run.now();
        let epoch = Epoch { number, claim: claim.unwrap_or(run.epoch.claim) };
        let batch = WriteBatch { epoch, ticket: Ticket(ticket), ops: vec![put(1, 1)], sync: Sync::Required };
        let error = run.backend.commit(&[batch], false).err();
        let kind = error.as_ref().map(StoreError::kind);
        assert!(matches!(kind, Some(ErrorKind::Bug | ErrorKind::Storage)), "{what}: {error:?}");
        drop(run);
        let _ = Run::resume(&mut *world, &now);
    }
}

/// A lazy batch is seen at once and is durable with the next sync, whoever asks for it.
pub fn lazy_batches_are_covered_by_the_next_sync(worlds: Worlds<'_>) {
    let mut world = worlds();
    let mut run = Run::begin(&mut *world);
    run.commit(house());
    run.commit_lazily(vec![put(1, 10)]);
    run.check_reader();
    run.commit_lazily(vec![put(2, 10), remove(1)]);
    run.hand_over(&[], true).unwrap();
    run.commit_lazily(vec![put(3, 10)]);
    run.commit(vec![put(4, 10)]);
    run.commit_lazily(vec![put(5, 10)]);
    run.check_reader();
    let mut run = run.reopen(&mut *world);
    run.commit(vec![StoreOp::PutSubscription(record(ONE, "changed")), put(6, 10)]);
    assert!(run.recovered.next_sequence >= Sequence(6));
    let _ = run.reopen(&mut *world);
}

/// A claim must be above every epoch that the store has seen; after a refusal the follower goes on.
pub fn a_lower_epoch_cannot_claim(worlds: Worlds<'_>) {
    let mut world = worlds();
    let mut run = Run::begin(&mut *world);
    run.commit(house());
    let run = run.reopen(&mut *world);
    let now = run.close();
    let mut follower = world.open().unwrap();
    follower.follow(super::run::EVERYTHING).unwrap();
    let seen = follower.seen_epoch();
    assert_eq!(seen.number, 2);
    for epoch in [seen, Epoch { number: 1, claim: ClaimId(9) }, Epoch { number: 2, claim: ClaimId(u64::MAX) }]
    {
        let Err((same, error)) = follower.claim(epoch) else { panic!("{epoch} claimed over {seen}") };
        assert!(matches!(error, StoreError::Fenced { .. }), "{error}");
        follower = same;
    }
    drop(follower);
    let _ = Run::resume(&mut *world, &now);
}

/// While somebody has the store nobody else gets it; when he lets go, the next one does.
pub fn two_cannot_have_one_store(worlds: Worlds<'_>) {
    let mut world = worlds();
    let mut run = Run::begin(&mut *world);
    run.commit(house());
    let refusal = claim(&mut *world).err().expect("a second claim while the first is alive");
    assert!(matches!(refusal, StoreError::InUse { .. }), "{refusal}");
    assert_eq!(refusal.kind(), ErrorKind::Refused);
    run.commit(vec![put(1, 10)]);
    let _ = run.reopen(&mut *world);
}

/// A writer over whose head another has claimed completes nothing more, harms nothing, and loses nothing that it was
/// told to be durable.
pub fn a_superseded_writer_completes_nothing(worlds: Worlds<'_>) {
    for maintained in [false, true] {
        let mut world = worlds();
        let mut first = Run::begin(&mut *world);
        if !world.seize() {
            return;
        }
        first.commit(house());
        for n in 1..=20 {
            first.commit(vec![put(n, 2000)]);
        }
        first.commit((1..=10).map(remove).collect());
        first.commit_lazily(vec![put(21, 100)]);
        let mut second = Run::resume(&mut *world, &first.legal());
        assert!(second.epoch > first.epoch);
        second.commit(vec![put(30, 3000)]);
        if maintained {
            // Upkeep may find nothing to do, and must do nothing that shows.
            let _ = first.backend.maintain(Budget { bytes: 1 << 20 });
        }
        let error = first.try_commit(vec![put(22, 100)]).expect_err("another is the master");
        assert_eq!(error.kind(), ErrorKind::Storage, "{error}");
        assert!(first.try_commit(vec![put(23, 100)]).is_err(), "and stays it");
        assert!(first.backend.maintain(Budget { bytes: 1 << 20 }).is_err());
        assert!(first.backend.close().is_err(), "it does not close what it does not have");
        second.commit(vec![put(31, 10), remove(11)]);
        second.maintain();
        second.check_reader();
        let _ = second.reopen(&mut *world);
    }
}
