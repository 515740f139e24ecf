//! What was dropped and is not cleared away yet when the next node claims.

use ferromq_model::{
    ClaimId, Destination, DestinationId, Epoch, Message, MessageId, ProducerId, Sequence, SubscriptionId,
    SubscriptionName, Text, Ticket,
};
use ferromq_store::{Budget, Claimed, Follower, StoreOp, SubscriptionRecord, Sync, WriteBatch};
use ferromq_testkit::Postgres;

use super::schema;
use crate::{PostgresOptions, PostgresStore};

const PRICES: DestinationId = DestinationId(1);
const NEWS: DestinationId = DestinationId(2);
const ORDERS: DestinationId = DestinationId(3);
const LIVE: SubscriptionId = SubscriptionId(1);
const GONE: SubscriptionId = SubscriptionId(2);

fn epoch(number: u64) -> Epoch {
    Epoch { number, claim: ClaimId(number) }
}

fn claimed(server: &Postgres, options: &PostgresOptions, number: u64) -> Claimed {
    let store = Box::new(PostgresStore::new(&server.url(), options.clone()).unwrap());
    store.claim(epoch(number)).map_err(|(_, error)| error).unwrap()
}

fn subscribe(id: SubscriptionId, name: &str) -> StoreOp {
    StoreOp::PutSubscription(SubscriptionRecord {
        id,
        name: SubscriptionName { client: Text::from("client"), name: Text::from(name) },
        topic: Destination::topic(">"),
        selector: None,
        no_local: false,
    })
}

fn put(sequence: u64, destination: DestinationId, name: Destination, waiting: &[SubscriptionId]) -> StoreOp {
    let producer = ProducerId::new(Text::from("test"), 1, 1);
    let id = MessageId::new(producer, i64::try_from(sequence).unwrap());
    StoreOp::PutMessage {
        destination,
        sequence: Sequence(sequence),
        message: Message::new(id, name).into(),
        subscriptions: waiting.to_vec(),
        dedup: false,
        exposed: false,
    }
}

#[test]
fn what_was_dropped_is_counted_by_a_claim_and_cleared_away_by_maintenance() {
    let Some(server) = Postgres::shared_or_skip() else { return };
    let options = PostgresOptions { schema: schema(), alone: false, ..PostgresOptions::default() };
    let sql = |text: &str| server.sql(&text.replace("{s}", &options.schema));
    let [prices, news] = ["prices", "news"].map(Destination::topic);
    let orders = Destination::queue("orders");
    // Given messages for both, for one, and one that the first has taken while the other is gone
    let mut old = claimed(&server, &options, 1);
    let house = vec![
        StoreOp::PutDestination { id: PRICES, destination: prices.clone() },
        StoreOp::PutDestination { id: NEWS, destination: news.clone() },
        StoreOp::PutDestination { id: ORDERS, destination: orders.clone() },
        subscribe(LIVE, "live"),
        subscribe(GONE, "gone"),
        put(1, PRICES, prices.clone(), &[LIVE, GONE]),
        put(2, PRICES, prices.clone(), &[GONE]),
        put(3, PRICES, prices.clone(), &[LIVE]),
        put(4, PRICES, prices, &[LIVE, GONE]),
        put(5, NEWS, news, &[LIVE, GONE]),
        put(6, ORDERS, orders, &[]),
    ];
    let dropped = vec![
        StoreOp::DropSubscription { id: GONE },
        StoreOp::DropDestination { id: NEWS },
        StoreOp::DropDestination { id: ORDERS },
    ];
    let taken = vec![StoreOp::AckDurable { subscription: LIVE, destination: PRICES, sequence: Sequence(4) }];
    for (ticket, ops) in (1..).zip([house, dropped, taken]) {
        let batch = WriteBatch { epoch: epoch(1), ticket: Ticket(ticket), ops, sync: Sync::Required };
        old.backend.commit(&[batch], false).unwrap();
    }
    // When the next node claims, then nothing was cleared away for it, and what is left is counted.
    let mut new = claimed(&server, &options, 2);
    assert_eq!(sql("SELECT count(*) FROM {s}.orphans"), "3");
    assert_eq!(
        sql("SELECT string_agg(sequence::text, ',' ORDER BY sequence) FROM {s}.messages"),
        "1,2,3,4,5,6"
    );
    assert_eq!(sql("SELECT messages FROM {s}.subscriptions"), "3");
    let [topic] = new.recovered.destinations.as_slice() else { panic!("{:?}", new.recovered.destinations) };
    let [live] = new.recovered.subscriptions.as_slice() else { panic!("{:?}", new.recovered.subscriptions) };
    assert_eq!((topic.messages, live.messages), (2, 2));
    let counted = format!("{}|{}|{}", topic.messages, topic.bytes, live.messages);
    // And maintenance comes to the same.
    while new.backend.maintain(Budget { bytes: 1 << 20 }).unwrap().more {}
    assert_eq!(sql("SELECT count(*) FROM {s}.orphans"), "0");
    assert_eq!(sql("SELECT string_agg(sequence::text, ',' ORDER BY sequence) FROM {s}.messages"), "1,3");
    let sums = "SELECT d.messages, d.bytes, x.messages FROM {s}.destinations AS d, {s}.subscriptions AS x";
    assert_eq!(sql(sums), counted);
}

#[test]
fn what_waits_for_a_dropped_subscription_alone_is_in_no_sum_of_a_claim_whichever_way_it_is_found() {
    let Some(server) = Postgres::shared_or_skip() else { return };
    for many_wait_for_others in [false, true] {
        let options = PostgresOptions { schema: schema(), alone: false, ..PostgresOptions::default() };
        let sql = |text: &str| server.sql(&text.replace("{s}", &options.schema));
        let [prices, news] = ["prices", "news"].map(Destination::topic);
        let mut old = claimed(&server, &options, 1);
        let house = vec![
            StoreOp::PutDestination { id: PRICES, destination: prices.clone() },
            StoreOp::PutDestination { id: NEWS, destination: news.clone() },
            subscribe(LIVE, "live"),
            subscribe(GONE, "gone"),
            put(1, PRICES, prices.clone(), &[LIVE, GONE]),
            put(2, PRICES, prices, &[GONE]),
            put(3, NEWS, news.clone(), &[GONE]),
            put(4, NEWS, news, &[GONE]),
        ];
        for (ticket, ops) in (1..).zip([house, vec![StoreOp::DropSubscription { id: GONE }]]) {
            let batch = WriteBatch { epoch: epoch(1), ticket: Ticket(ticket), ops, sync: Sync::Required };
            old.backend.commit(&[batch], false).unwrap();
        }
        if many_wait_for_others {
            sql("UPDATE {s}.subscriptions SET messages = 1000000");
        }
        let new = claimed(&server, &options, 2);
        let left = if many_wait_for_others { "0" } else { "1" };
        assert_eq!(sql("SELECT count(*) FROM {s}.orphans"), left);
        let sums = new.recovered.destinations.iter().map(|topic| (topic.messages, topic.bytes > 0));
        assert_eq!(sums.collect::<Vec<_>>(), [(1, true), (0, false)]);
    }
}
