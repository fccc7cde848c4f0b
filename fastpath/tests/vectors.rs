//! Hashes, branches, tokens and recent choices are those of Python: `vectors.txt` is made by tests/dispatcher/vectors.py.

use std::net::SocketAddr;
use std::sync::Arc;

use _fastpath::branch::{Transaction, hex};
use _fastpath::image::{Fixed, Image};
use _fastpath::keyed::{Key, Use, digest};
use _fastpath::recent::RecentChoices;
use _fastpath::token::{Claims, Transport, tag_hash};
use _fastpath::value::Host;

const VECTORS: &str = include_str!("vectors.txt");
const LISTENERS: [&[u8]; 3] = [
    b"192.0.2.1:5060",
    b"[2001:db8::1]:5060",
    b"sip.example.com:5070",
];

/// The fields of every line that begins with this word.
fn each<const N: usize>(word: &str) -> impl Iterator<Item = [&'static str; N]> {
    let found: Vec<_> = VECTORS
        .lines()
        .filter_map(|line| line.strip_prefix(word)?.strip_prefix(' '))
        .map(|rest| rest.split(' ').collect::<Vec<_>>().try_into().unwrap())
        .collect();
    assert!(!found.is_empty(), "no vector begins with {word}");
    found.into_iter()
}

fn bytes(field: &str) -> Vec<u8> {
    let digits = field.strip_prefix('.').unwrap();
    (0..digits.len() / 2)
        .map(|place| u8::from_str_radix(&digits[2 * place..2 * place + 2], 16).unwrap())
        .collect()
}

fn key(field: &str) -> Key {
    bytes(field).try_into().unwrap()
}

fn purpose(field: &str) -> Use {
    match bytes(field)[..] {
        [b'b'] => Use::Branch,
        [b't'] => Use::ToTag,
        [b'r'] => Use::Token,
        [b'c'] => Use::Choice,
        _ => panic!("{field}"),
    }
}

fn number(field: &str) -> u64 {
    u64::from_str_radix(field, 16).unwrap()
}

fn host(field: &str) -> Host<'_> {
    field
        .parse()
        .map_or(Host::Name(field.as_bytes()), Host::Address)
}

fn address(host: &str, port: &str) -> SocketAddr {
    SocketAddr::new(host.parse().unwrap(), port.parse().unwrap())
}

#[test]
fn a_digest_is_that_of_the_text_however_it_is_parted() {
    for [own, using, text, expected] in each("digest") {
        let (own, using, text) = (key(own), purpose(using), bytes(text));
        let (front, back) = text.split_at(text.len() / 3);
        for parts in [&[&text[..]][..], &[front, back], &[front, b"", back]] {
            assert_eq!(
                digest(&own, using, parts),
                number(expected),
                "{} bytes",
                text.len()
            );
        }
    }
}

#[test]
fn a_transaction_has_the_hash_that_python_gives_it() {
    let other = [0x55; 16];
    for [
        own,
        using,
        sent_by,
        port,
        reply_host,
        reply_port,
        call_id,
        branch,
        tag,
        cseq,
        expected,
    ] in each("mac")
    {
        let (own, using) = (key(own), purpose(using));
        let (call_id, branch, tag) = (bytes(call_id), bytes(branch), bytes(tag));
        let transaction = Transaction {
            branch: &branch,
            host: host(sent_by),
            port: port.parse().unwrap(),
            reply_to: address(reply_host, reply_port),
            call_id: &call_id,
            from_tag: &tag,
            cseq: cseq.parse().unwrap(),
        };
        let hash = transaction.mac(&own, using);
        assert_eq!(hex(hash), expected.as_bytes());
        assert_eq!(
            transaction.verify(expected.as_bytes(), &[other, own], using),
            Some(hash)
        );
        assert_eq!(
            transaction.verify(expected.as_bytes(), &[other], using),
            None
        );
        assert_eq!(
            transaction
                .verify(expected.to_uppercase().as_bytes(), &[own], using)
                .is_some(),
            !expected.contains(|c: char| c.is_ascii_lowercase())
        );
        assert_eq!(
            transaction.verify(&expected.as_bytes()[1..], &[own], using),
            None
        );
        let later = Transaction {
            cseq: transaction.cseq ^ 1,
            ..transaction
        };
        assert_eq!(later.verify(expected.as_bytes(), &[own], using), None);
    }
}

#[test]
fn a_token_is_written_and_read_as_python_does() {
    for [
        own,
        listener,
        edge_host,
        edge_port,
        core_host,
        core_port,
        flags,
        transport,
        tag,
        expected,
    ] in each("token")
    {
        let own = key(own);
        let claims = Claims {
            edge: address(edge_host, edge_port),
            core: address(core_host, core_port),
            behind_nat: flags.contains('n'),
            creator_is_core: flags.contains('c'),
            creator_tag: tag.parse().unwrap(),
            is_path: flags.contains('p'),
            transport: match transport {
                "udp" => Transport::Udp,
                "tcp" => Transport::Tcp,
                "tls" => Transport::Tls,
                "ws" => Transport::Ws,
                "wss" => Transport::Wss,
                _ => panic!("{transport}"),
            },
        };
        assert_eq!(
            claims.write(&own, listener.as_bytes()).as_bytes(),
            expected.as_bytes()
        );
        let place = LISTENERS
            .iter()
            .position(|each| *each == listener.as_bytes());
        let read =
            |text: &str, keys: &[Key]| Claims::read(text.as_bytes(), keys, LISTENERS.into_iter());
        assert_eq!(
            read(expected, &[[0; 16], own]),
            place.map(|place| (claims, place))
        );
        assert_eq!(read(expected, &[[0; 16]]), None);
        assert_eq!(
            Claims::read(
                expected.as_bytes(),
                &[own],
                [&b"elsewhere:5060"[..]].into_iter()
            ),
            None
        );
        // Python reads both alphabets of RFC 4648.
        let other_alphabet = expected.replace('-', "+").replace('_', "/");
        assert_eq!(
            read(&other_alphabet, &[own]),
            place.map(|place| (claims, place))
        );
    }
}

#[test]
fn no_byte_of_a_token_can_be_changed() {
    for [own, listener, .., token] in each::<10>("token").take(3) {
        let own = key(own);
        for place in 0..token.len() {
            for byte in [b'A', b'_', b'9', b'=', b' ', 0, 0xFF] {
                let mut text = token.as_bytes().to_vec();
                if text[place] == byte {
                    continue;
                }
                text[place] = byte;
                assert_eq!(
                    Claims::read(&text, &[own], [listener.as_bytes()].into_iter()),
                    None
                );
            }
        }
        for length in 0..token.len() {
            let text = &token.as_bytes()[..length];
            assert_eq!(
                Claims::read(text, &[own], [listener.as_bytes()].into_iter()),
                None
            );
        }
    }
}

#[test]
fn a_tag_has_the_hash_that_python_gives_it() {
    for [tag, expected] in each("tag") {
        assert_eq!(tag_hash(&bytes(tag)).to_string(), expected);
    }
}

#[test]
fn a_host_has_the_hash_that_python_gives_it_known_or_not() {
    for [own, name, port, expected] in each("whom") {
        let port = port.parse().unwrap();
        let mut known = Fixed::new(vec![key(own)]);
        known.add_own(&name.to_lowercase(), port, 0);
        for fixed in [Fixed::new(vec![key(own)]), known] {
            let image = Image {
                version: 1,
                fixed: Arc::new(fixed),
                liveness: [].into(),
                ramp: [].into(),
            };
            assert_eq!(image.whom(host(name), port), number(expected));
        }
    }
}

#[test]
fn choices_are_remembered_and_forgotten_as_python_does() {
    let choices = RecentChoices::new(8);
    let mut lookups = 0;
    for line in VECTORS.lines() {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["remember", key, destination, now] => {
                choices.remember(
                    number(key),
                    destination.parse().unwrap(),
                    now.parse().unwrap(),
                );
            }
            ["lookup", key, now, expected] => {
                let found = choices.lookup(number(key), now.parse().unwrap());
                assert_eq!(found.unwrap_or(0).to_string(), expected, "{line}");
                lookups += 1;
            }
            ["words", ref expected @ ..] => {
                let words: Vec<u64> = expected.iter().map(|word| number(word)).collect();
                assert!(choices.words().eq(words));
            }
            _ => {}
        }
    }
    assert!(lookups > 100);
}
