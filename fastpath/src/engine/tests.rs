//! Over real sockets on loopback, with decisions that the datagrams ask for by name.

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use super::*;
use crate::calls::CallTable;
use crate::counters::INTERNAL;
use crate::handover::{News, Taken};
use crate::image::Fixed;
use crate::limits::{Limits, Policy};
use crate::outcome::{CallFact, CallStep, Decision, DropReason, Forward};
use crate::sent::SentBranches;
use crate::socket::recording_errors;
use crate::unanswered::Unanswered;

const NUMBER: u32 = 1000;
const TWIN: u32 = 1001;

/// Does what the first word says: pass a request on to the server, pass a reply on to the phone, or worse.
struct Obedient {
    server: SocketAddr,
    phone: SocketAddr,
}

impl Decide for Obedient {
    fn decide<'m>(
        &mut self,
        image: &Image,
        datagram: &'m [u8],
        _source: SocketAddr,
        _arrival: usize,
        _now: f64,
        out: &mut Vec<u8>,
    ) -> Decision<'m> {
        let status = match datagram {
            [b'R', ..] => 0,
            [b'4', ..] => 480,
            [b'5', ..] => 503,
            [b'D', ..] => return Decision::Drop(DropReason::Stun),
            [b'P', ..] => panic!("asked to"),
            _ => return Decision::HandOver(crate::decide::order(image, datagram)),
        };
        out.extend_from_slice(datagram);
        Decision::Forward(Forward {
            address: if status == 0 { self.server } else { self.phone },
            listener: 0,
            destination: Some(0),
            remember: (status == 0).then_some(77),
            status,
            method: b"INVITE",
            call: Some(CallFact {
                key: 5,
                step: if status == 0 {
                    CallStep::Begin
                } else {
                    CallStep::Failed
                },
            }),
            elapsed: None,
            retry_after: (status == 503).then_some(9),
            branch: 0xabc,
        })
    }
}

struct Scene {
    engine: Engine,
    proxy: SocketAddr,
    server: UdpSocket,
    phone: UdpSocket,
    _listener: UdpSocket,
}

fn udp() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback");
    socket
        .set_read_timeout(Some(Duration::from_secs(5)))
        .expect("a socket");
    let address = socket.local_addr().expect("bound");
    (socket, address)
}

fn image(proxy: SocketAddr, server: SocketAddr) -> Image {
    let mut fixed = Fixed::new(vec![[7; 16]]);
    fixed.add_listener(proxy, proxy.to_string().as_bytes(), false);
    fixed.add_pool(1, Vec::new());
    fixed.add_destination(server, NUMBER, None);
    fixed.add_destination(server, TWIN, None);
    Image {
        version: 1,
        fixed: Arc::new(fixed),
        liveness: [].into(),
        ramp: [].into(),
    }
}

fn scene(workers: usize) -> Scene {
    let ((listener, proxy), (server, server_at), (phone, _)) = (udp(), udp(), udp());
    listener.set_nonblocking(true).expect("a socket");
    recording_errors(listener.as_raw_fd()).expect("IP_RECVERR");
    let tables = Tables {
        calls: Arc::new(Mutex::new(CallTable::new(8))),
        sent: Arc::new(Mutex::new(SentBranches::new(8))),
        unanswered: Arc::new(Mutex::new(Unanswered::default())),
        limits: Arc::new(Limits::new(Policy::default(), [7; 16], 4)),
    };
    let recent = Arc::new(RecentChoices::new(8));
    let image = Arc::new(image(proxy, server_at));
    let engine =
        Engine::new(&[listener.as_raw_fd()], image, recent, tables, workers).expect("an engine");
    Scene {
        engine,
        proxy,
        server,
        phone,
        _listener: listener,
    }
}

impl Scene {
    fn start(&self, now: f64) {
        let (server, phone) = (self.server.local_addr(), self.phone.local_addr());
        let (server, phone) = (server.expect("bound"), phone.expect("bound"));
        self.engine
            .start(now, || Obedient { server, phone })
            .expect("started");
    }

    fn say(&self, text: &[u8]) {
        self.phone.send_to(text, self.proxy).expect("sent");
    }

    fn waits_for(&self, what: &str, mut is_so: impl FnMut(&Engine) -> bool) {
        let until = Instant::now() + Duration::from_secs(5);
        while !is_so(&self.engine) {
            assert!(Instant::now() < until, "{what} did not come about");
            std::thread::yield_now();
        }
    }
}

fn heard(socket: &UdpSocket) -> Vec<u8> {
    let mut room = [0; 100];
    let count = socket.recv(&mut room).expect("something");
    room[..count].to_vec()
}

#[test]
fn a_request_goes_on_and_a_reply_comes_back_and_both_are_noted() {
    let scene = scene(1);
    scene.start(100.0);
    scene.say(b"R 1");
    assert_eq!(heard(&scene.server), b"R 1");
    {
        let shared = &scene.engine.shared;
        assert_eq!(lock(&shared.tables.calls).active(NUMBER), 1);
        assert_eq!(shared.recent.lookup(77, 101.0), Some(NUMBER));
        assert_eq!(lock(&shared.tables.unanswered).overdue(1e9), [NUMBER]);
        lock(&shared.tables.unanswered).sent(TWIN, 1.0);
    }
    scene.server.send_to(b"503", scene.proxy).expect("sent");
    assert_eq!(heard(&scene.phone), b"503");
    let counted = scene.engine.counters();
    assert_eq!((counted.received, counted.received_bytes), (2, 6));
    scene.waits_for("the count", |engine| engine.counters().forwarded == 2);
    let traffic = &counted.destinations[&NUMBER];
    assert_eq!((traffic.requests, traffic.replies), (1, [0, 0, 0, 0, 1, 0]));
    assert!((100.0..110.0).contains(&traffic.last_seen));
    assert_eq!(lock(&scene.engine.shared.tables.calls).active(NUMBER), 0);
    assert!(
        lock(&scene.engine.shared.tables.unanswered)
            .overdue(1e9)
            .is_empty()
    );
    let Taken { messages, news, .. } = scene.engine.handover().take(9);
    assert!(messages.is_empty());
    assert!(
        matches!(news[..], [News::Busy(NUMBER, 9), News::Busy(TWIN, 9)]),
        "{news:?}"
    );
    scene.engine.forget(NUMBER);
    assert!(scene.engine.counters().destinations.is_empty());
}

#[test]
fn a_503_to_what_was_never_sent_is_not_believed() {
    let scene = scene(1);
    scene.start(0.0);
    scene.say(b"503");
    heard(&scene.phone);
    assert!(scene.engine.handover().take(9).news.is_empty());
}

#[test]
fn what_follows_a_message_that_waits_waits_too() {
    let scene = scene(1);
    for text in [
        &b"U\r\ni: 1\r\n"[..],
        b"R\r\nCall-ID: 1\r\n",
        b"R\r\ni:2\r\n",
    ] {
        scene.say(text);
    }
    scene.start(0.0);
    assert_eq!(heard(&scene.server), b"R\r\ni:2\r\n");
    // What goes on has left before Python is handed the others of the batch.
    scene.waits_for("both", |engine| engine.handover().waiting() == 2);
    let taken = scene.engine.handover().take(64);
    let texts: Vec<&[u8]> = taken.messages.iter().map(|each| &*each.payload).collect();
    assert_eq!(texts, [&b"U\r\ni: 1\r\n"[..], b"R\r\nCall-ID: 1\r\n"]);
    assert_eq!(
        taken.messages[0].source,
        scene.phone.local_addr().expect("bound")
    );
    scene.engine.handover().done();
    scene.say(b"R\r\nCall-ID: 1\r\n");
    assert_eq!(heard(&scene.server), b"R\r\nCall-ID: 1\r\n");
    assert_eq!(
        scene.engine.counters().received,
        2,
        "Python counts what it is handed"
    );
}

#[test]
fn a_mistake_costs_one_datagram_and_is_told() {
    let scene = scene(1);
    for text in [b"P 1", b"R 2", b"D 3"] {
        scene.say(text);
    }
    scene.start(0.0);
    assert_eq!(heard(&scene.server), b"R 2");
    scene.waits_for("the count", |engine| engine.counters().received == 3);
    let counted = scene.engine.counters();
    assert_eq!((counted.dropped[INTERNAL], counted.dropped["stun"]), (1, 1));
    let news = scene.engine.handover().take(9).news;
    assert!(
        matches!(&news[..], [News::Mistake(source, text)]
            if *source == scene.phone.local_addr().expect("bound") && text.contains("asked to") && text.contains("tests.rs")),
        "{news:?}"
    );
}

#[test]
fn stop_deals_with_what_the_kernel_holds() {
    let scene = scene(2);
    for number in 0..150 {
        scene.say(format!("D {number}").as_bytes());
    }
    scene.start(0.0);
    scene.engine.stop(false);
    assert_eq!(scene.engine.counters().received, 150);
    scene.engine.stop(false);
}

#[test]
fn stop_at_once_leaves_the_rest() {
    let scene = scene(1);
    scene.engine.shared.ending.ring();
    scene.say(b"D");
    scene.engine.shared.at_once.store(true, Ordering::Relaxed);
    scene.start(0.0);
    scene.engine.stop(true);
    assert!(scene.engine.counters().received <= 1);
    assert!(
        scene
            .engine
            .start(0.0, || Obedient {
                server: scene.proxy,
                phone: scene.proxy
            })
            .is_ok(),
        "nothing starts"
    );
    assert!(lock(&scene.engine.threads).is_empty());
}

#[test]
fn errors_of_the_network_are_handed_over() {
    let scene = scene(1);
    let gone = {
        let (_socket, gone) = udp();
        gone
    };
    scene
        .engine
        .start(0.0, || Obedient {
            server: gone,
            phone: gone,
        })
        .expect("started");
    for number in 0..20 {
        scene.say(format!("R {number}").as_bytes());
    }
    let mut errors = Vec::new();
    scene.waits_for("an error", |engine| {
        errors.extend(engine.handover().take(1).errors);
        !errors.is_empty() && engine.counters().forwarded == 20
    });
    assert_eq!((errors[0].address, errors[0].errno), (Some(gone), 111));
    assert!(errors[0].quoted.starts_with(b"R "));
    assert!(scene.engine.counters().unsent.is_empty());
}

#[test]
fn several_threads_share_one_socket_and_lose_nothing() {
    let scene = scene(4);
    scene.start(0.0);
    for number in 1..=2000 {
        scene.say(format!("D {number}").as_bytes());
        if number % 100 == 0 {
            scene.waits_for("the count", |engine| engine.counters().received == number); // the receive buffer is small
        }
    }
}

#[test]
fn a_swap_of_the_same_list_keeps_what_is_derived_from_it() {
    let scene = scene(1);
    let before = scene.engine.shared.known.load_full();
    scene.engine.swap(Arc::new(Image {
        version: 2,
        ..(*before.image).clone()
    }));
    let behind = scene.engine.shared.known.load_full();
    assert_eq!(behind.image.version, 2);
    assert!(Arc::ptr_eq(&before.image.fixed, &behind.image.fixed));
}

#[test]
fn several_threads_keep_the_order_while_little_comes() {
    let scene = scene(4);
    scene.start(0.0);
    for round in 0..50 {
        let texts: Vec<String> = (0..10)
            .map(|number| format!("R {round} {number}"))
            .collect();
        for text in &texts {
            scene.say(text.as_bytes());
        }
        for text in &texts {
            assert_eq!(heard(&scene.server), text.as_bytes());
        }
    }
}

#[test]
fn in_a_crowd_a_common_message_does_not_even_follow_the_odd_one_of_its_own_batch() {
    let scene = scene(1);
    let handover = scene.engine.handover();
    for _ in 0..=MOST_MESSAGES / 2 {
        handover.push(0, b"odd", scene.proxy, 0, false);
    }
    scene.say(b"odd\r\nCall-ID: one\r\n\r\n");
    scene.say(b"R\r\nCall-ID: one\r\n\r\n");
    scene.start(0.0);
    let mut room = [0; 99];
    let length = scene.server.recv(&mut room).expect("passed on");
    assert_eq!(&room[..length], b"R\r\nCall-ID: one\r\n\r\n");
}
