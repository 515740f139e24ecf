//! Streams of links: positions come with their messages, survive everything, and go when they are settled.

use ferromq_model::{StreamId, StreamPosition};

use super::run::Run;
use super::script::{STREAM, drop_stream, house, place, put, remove, settle, stream};
use super::world::Worlds;
use crate::{Budget, Sync};

const OTHER: StreamId = StreamId(2);

/// Positions of several streams are kept apart, are replaced and dropped one by one or as a range, over reopenings
/// and maintenance; a stream that is dropped takes its own along.
pub fn positions_of_streams_survive(worlds: Worlds<'_>) {
    let mut world = worlds();
    let mut run = Run::begin(&mut *world);
    assert_eq!(run.recovered.streams, Some(Vec::new()), "a new store has streams, and none yet");
    run.commit(house());
    run.commit(vec![stream(STREAM, 100), stream(OTHER, 0), put(1, 10), place(STREAM, 1, 1)]);
    run.commit((2..=50).flat_map(|n| [put(n, 10), place(STREAM, n, n), place(OTHER, n * 1000, n)]).collect());
    // Settled with the message that left, as a range, and what is not there.
    run.commit(vec![remove(1), settle(STREAM, 1, 1), settle(STREAM, 10, 20), settle(OTHER, 1, 999)]);
    run.commit(vec![settle(StreamId(9), 1, 9), place(STREAM, 9, 40), stream(STREAM, 50), stream(OTHER, 7)]);
    run.commit(vec![put(51, 10), place(STREAM, 51, 51), settle(STREAM, 51, 51), place(STREAM, 52, 51)]);
    for _ in 0..2 {
        run.maintain();
        run = run.reopen(&mut *world);
        let streams = run.recovered.streams.clone().unwrap();
        let [one, other] = streams.as_slice() else { panic!("two streams, and not {streams:?}") };
        assert_eq!(one.record.reserved, StreamPosition(100), "what was reserved stays so");
        assert_eq!(other.record.reserved, StreamPosition(7));
        let held: Vec<u64> = one.positions.keys().map(|position| position.0).collect();
        let expected: Vec<u64> = (2..=9).chain(21..=50).chain([52]).collect();
        assert_eq!(held, expected);
        assert_eq!(one.positions[&StreamPosition(9)].sequence.0, 40, "the later one counts");
        assert_eq!(other.positions.len(), 49);
    }
    run.commit(vec![drop_stream(STREAM), drop_stream(StreamId(9))]);
    run = run.reopen(&mut *world);
    let left: Vec<StreamId> = run.recovered.streams.iter().flatten().map(|s| s.record.id).collect();
    assert_eq!(left, [OTHER]);
    run.commit(vec![settle(OTHER, 0, u64::MAX)]);
    let run = run.reopen(&mut *world);
    assert!(run.recovered.streams.iter().flatten().all(|stream| stream.positions.is_empty()));
}

/// As many positions as a link ever has under way, settled as fast as they come: neither the store nor what a claim
/// finds grows.
pub fn settled_positions_take_no_room(worlds: Worlds<'_>) {
    let mut world = worlds();
    let mut run = Run::begin(&mut *world);
    run.commit(house());
    run.commit(vec![stream(STREAM, 1 << 20)]);
    for chunk in 0..40u64 {
        let ops = (0..500).flat_map(|n| {
            let at = chunk * 500 + n + 1;
            [place(STREAM, at, at), settle(STREAM, at.saturating_sub(100), at.saturating_sub(100))]
        });
        let batch = run.batch(ops.collect(), Sync::Lazy);
        run.hand_over(&[batch], chunk % 8 == 7).unwrap();
        run.backend.maintain(Budget { bytes: 1 << 20 }).unwrap();
    }
    let run = run.reopen(&mut *world);
    let streams = run.recovered.streams.clone().unwrap();
    let held: Vec<usize> = streams.iter().map(|stream| stream.positions.len()).collect();
    assert_eq!(held, [100]);
}
