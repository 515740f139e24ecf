//! Message groups (JMSXGroupID, JMSXGroupSeq).

use ferromq_engine::*;

use crate::bench::*;

fn grouped(b: &mut Bench, c: &Client, group: &str, sequence: i32) {
    b.send_as(c, "A", &format!("{group}{sequence}"), |m| {
        m.group_id = Some(group.into());
        m.group_sequence = sequence;
    });
}

#[test]
fn a_group_stays_with_its_first_consumer_which_is_told_so() {
    let mut b = Bench::new();
    let c = b.connect("c");
    let (first, second) = (b.consume(&c, "A"), b.consume(&c, "A"));
    for sequence in 1..=3 {
        grouped(&mut b, &c, "g", sequence);
        grouped(&mut b, &c, "h", sequence);
    }
    let flags: Vec<bool> = b.got.iter().map(|got| got.delivery.first_of_group).collect();
    assert_eq!(flags, [true, true, false, false, false, false]);
    assert_eq!(b.texts_of(&c, first), ["g1", "g2", "g3"]);
    assert_eq!(b.texts_of(&c, second), ["h1", "h2", "h3"]);
}

#[test]
fn new_groups_go_to_the_consumer_with_the_fewest() {
    let mut b = Bench::new();
    let c = b.connect("c");
    let first = b.consume(&c, "A");
    for group in ["a", "b", "c"] {
        grouped(&mut b, &c, group, 0);
    }
    let second = b.consume(&c, "A");
    for group in ["d", "e", "f"] {
        grouped(&mut b, &c, group, 0);
    }
    assert_eq!(b.texts_of(&c, first), ["a0", "b0", "c0"]);
    assert_eq!(b.texts_of(&c, second), ["d0", "e0", "f0"]);
}

#[test]
fn a_group_finds_a_new_owner_when_the_old_one_goes() {
    let mut b = Bench::new();
    let c = b.connect("c");
    let first = b.consume(&c, "A");
    let second = b.consume(&c, "A");
    grouped(&mut b, &c, "g", 1);
    let got = b.take();
    assert_eq!(got[0].consumer, first);
    b.close(&c, first, -1);
    grouped(&mut b, &c, "g", 2);
    let flags: Vec<bool> = b.got.iter().map(|got| got.delivery.first_of_group).collect();
    assert_eq!(flags, [true, false]);
    assert_eq!(b.texts_of(&c, second), ["g1", "g2"]);
}

#[test]
fn a_negative_sequence_closes_the_group() {
    let mut b = Bench::new();
    let c = b.connect("c");
    let first = b.consume(&c, "A");
    let second = b.consume(&c, "A");
    grouped(&mut b, &c, "g", 1);
    grouped(&mut b, &c, "h", 1);
    grouped(&mut b, &c, "h", 2);
    grouped(&mut b, &c, "g", -1);
    assert_eq!(b.texts_of(&c, first), ["g1", "g-1"]);
    b.texts_of(&c, second);
    grouped(&mut b, &c, "g", 5);
    assert_eq!(b.texts_of(&c, first), ["g5"], "it has the fewest groups now, and gets it anew");
}

#[test]
fn an_owner_without_room_does_not_hold_up_other_groups() {
    let mut b = Bench::new();
    let c = b.connect("c");
    let first = b.consume_as(&c, "A", |f| f.prefetch = 1);
    grouped(&mut b, &c, "g", 1);
    let second = b.consume(&c, "A");
    grouped(&mut b, &c, "g", 2);
    grouped(&mut b, &c, "h", 1);
    let held = b.take();
    assert_eq!(
        held.iter().map(|got| (got.consumer, got.text())).collect::<Vec<_>>(),
        [(first, "g1".to_owned()), (second, "h1".to_owned())]
    );
    b.ack(&c, &held[0]);
    assert_eq!(b.texts_of(&c, first), ["g2"]);
}

#[test]
fn groups_are_bounded() {
    let mut b = Bench::policy(Policy { message_groups: 2, ..Policy::default() });
    let c = b.connect("c");
    b.consume(&c, "A");
    for group in ["a", "b", "c", "a"] {
        grouped(&mut b, &c, group, 0);
    }
    let flags: Vec<bool> = b.got.iter().map(|got| got.delivery.first_of_group).collect();
    assert_eq!(flags, [true, true, true, true], "the least recently used group was forgotten");
}
