//! Who waits, who follows, and who is dropped when too much waits.

use super::*;

fn queue(messages: usize, bytes: usize) -> Handover {
    Handover::new(Bell::new().expect("a bell"), messages, bytes)
}

fn source() -> SocketAddr {
    "192.0.2.7:5060".parse().expect("an address")
}

fn texts(taken: &Taken) -> Vec<&[u8]> {
    taken
        .messages
        .iter()
        .map(|message| &*message.payload)
        .collect()
}

fn follows(queue: &Handover, order: u64) -> bool {
    let follows = queue.follows(order);
    if follows {
        queue.push_behind(order, b"common", source(), 0);
    }
    follows
}

#[test]
fn messages_of_a_call_follow_until_the_last_one_is_dealt_with() {
    let queue = queue(10, 1000);
    assert!(!queue.is_open() && !follows(&queue, 7));
    queue.push(7, b"one", source(), 1, false);
    assert!(queue.is_open() && follows(&queue, 7));
    assert!(!follows(&queue, 8) && !follows(&queue, 7 + ORDERS as u64));
    let taken = queue.take(1);
    assert_eq!(
        (texts(&taken), taken.messages[0].arrival),
        (vec![&b"one"[..]], 1)
    );
    queue.done();
    assert_eq!(texts(&queue.take(5)), [b"common"]);
    assert!(follows(&queue, 7), "it is being dealt with");
    assert_eq!(texts(&queue.take(5)), [b"common"]);
    queue.done();
    assert!(!follows(&queue, 7) && !queue.is_open());
}

#[test]
fn nothing_follows_what_has_no_call() {
    let queue = queue(10, 1000);
    queue.push(0, b"odd", source(), 0, false);
    assert!(queue.is_open() && !follows(&queue, 0));
    queue.take(1);
    queue.done();
    assert!(!queue.is_open());
}

#[test]
fn the_oldest_makes_room_and_is_counted() {
    let queue = queue(2, 10);
    for text in [b"a", b"b", b"c"] {
        queue.push(u64::from(text[0]), text, source(), 0, false);
    }
    queue.push(1, b"123456789", source(), 0, false);
    let lost = Lost {
        messages: 2,
        bytes: 2,
        ..Lost::default()
    };
    assert_eq!(queue.lost(), lost);
    assert_eq!(texts(&queue.take(9)), [&b"c"[..], b"123456789"]);
}

#[test]
fn a_flood_of_odd_messages_costs_no_common_one_its_way() {
    let queue = queue(8, 1000);
    queue.push(7, b"first", source(), 0, false);
    assert!(follows(&queue, 7));
    for order in 100..200 {
        queue.push(order, b"odd", source(), 0, false);
    }
    assert!(!follows(&queue, 199), "the queue is more than half full");
    let taken = queue.take(64);
    assert_eq!(texts(&taken)[0], b"common");
    assert_eq!((taken.messages.len(), queue.lost().messages), (8, 94));
    queue.done();
    assert!(!queue.is_open() && !follows(&queue, 7));
}

#[test]
fn who_floods_the_queue_floods_his_own_part() {
    let queue = queue(8, 1000);
    let other = "198.51.100.7:5060".parse().expect("an address");
    let server = "10.0.0.11:5060".parse().expect("an address");
    let flood = || (0..20).for_each(|_| queue.push(0, b"flood", source(), 0, false));
    flood();
    queue.push(0, b"other", other, 0, false);
    queue.push(0, b"server", server, 0, true);
    flood();
    let taken = queue.take(64);
    assert_eq!(texts(&taken)[..2], [&b"other"[..], b"server"]);
    queue.push(0, b"server", server, 0, true);
    for host in 0..20 {
        let forged = SocketAddr::from(([192, 0, 2, host], 9));
        queue.push(0, b"forged", forged, 0, false);
    }
    let taken = queue.take(64);
    assert_eq!(
        (texts(&taken)[0], taken.messages.len()),
        (&b"server"[..], 8)
    );
    assert!(queue.lock().sources.is_empty());
    assert_eq!(queue.lock().strange, 0);
}

#[test]
fn where_only_the_core_waits_its_oldest_makes_room_and_a_common_message_does_not() {
    let queue = queue(3, 1000);
    queue.push(7, b"first", source(), 0, true);
    assert!(follows(&queue, 7));
    for text in [b"a", b"b", b"c"] {
        queue.push(0, text, source(), 0, true);
    }
    assert_eq!(texts(&queue.take(9)), [&b"common"[..], b"b", b"c"]);
    assert_eq!(queue.lost().messages, 2);
}

#[test]
fn it_is_crowded_when_more_than_half_full() {
    let queue = queue(4, 1000);
    queue.push(0, b"one", source(), 0, false);
    queue.push(0, b"two", source(), 0, false);
    assert!(!queue.is_crowded());
    queue.push(0, b"three", source(), 0, false);
    assert!(queue.is_crowded());
}

#[test]
fn errors_are_taken_a_few_at_a_time_and_only_so_many_wait() {
    let queue = queue(10, 1000);
    let error = NetworkError {
        address: None,
        errno: 111,
        origin: 2,
        kind: 3,
        code: 3,
        info: 0,
        offender: None,
        quoted: Vec::new(),
    };
    queue.push_errors(&mut vec![error; MOST_ERRORS + 3]);
    assert_eq!(queue.lost().errors[&111], 3);
    assert_eq!(queue.take(64).errors.len(), 64);
    assert!(queue.bell().is_rung());
    assert_eq!(queue.take(MOST_ERRORS).errors.len(), MOST_ERRORS - 64);
    assert!(!queue.bell().is_rung());
}

#[test]
fn the_bell_rings_while_something_waits() {
    let queue = queue(10, 1000);
    assert!(!queue.bell().is_rung());
    queue.push(1, b"one", source(), 0, false);
    queue.push(1, b"two", source(), 0, false);
    assert!(queue.bell().is_rung());
    queue.take(1);
    assert!(queue.bell().is_rung());
    queue.take(1);
    assert!(!queue.bell().is_rung());
    queue.push_news(News::Busy(1, 5));
    assert!(queue.bell().is_rung());
    assert!(matches!(queue.take(1).news[..], [News::Busy(1, 5)]));
    assert!(!queue.bell().is_rung());
}
