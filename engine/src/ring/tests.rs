//! The ring against real sockets on loopback.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use adit_loadtest::peer::has_ipv6;

use super::buffers::{BUFFER_BYTES, OFFERED_COUNT_MIN};
use super::completion::{Errno, Received};
use super::*;

const SMALL: RingSize = RingSize { submissions: 4, completions: 8, buffers: 4 };
const LIMIT: Duration = Duration::from_secs(10);

fn ring(size: RingSize) -> Ring {
    Ring::new(size, Arc::new(EventFd::new().unwrap())).unwrap()
}

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (far, _) = listener.accept().unwrap();
    far.set_read_timeout(Some(LIMIT)).unwrap();
    (near, far)
}

fn token(index: u32) -> Token {
    Token { index, generation: 7, side: Side::Miner }
}

/// Enters until `done` was told what it waits for.
fn run(ring: &mut Ring, mut done: impl FnMut(&mut Ring, Completion) -> bool) {
    let start = Instant::now();
    while start.elapsed() < LIMIT {
        ring.enter(Some(Duration::from_millis(20))).unwrap();
        let mut finished = false;
        for completion in ring.take_completions(Vec::new()) {
            finished |= done(ring, completion);
        }
        if finished {
            return;
        }
    }
    panic!("did not happen within {LIMIT:?}");
}

/// Plans `bytes` toward the miner.
fn plan(ring: &mut Ring, socket: &TcpStream, bytes: &[u8], token: Token) {
    let arena = ring.arena().toward(Side::Miner);
    let start = arena.len();
    arena.extend_from_slice(bytes);
    let end = arena.len();
    ring.plan_send(socket.as_fd(), start..end, token);
}

/// Sends until `socket` takes not one more byte.
fn fill(ring: &mut Ring, socket: &TcpStream) {
    for bytes in [1 << 20, 1] {
        let mut refused = 0;
        // What is on its way to the peer makes room once more when it arrives.
        while refused < 3 {
            plan(ring, socket, &vec![b'x'; bytes], token(1));
            ring.enter(None).unwrap();
            let failed = ring.take_failed_sends();
            refused = if failed.first().is_some_and(|failed| failed.unsent.len() == bytes) {
                refused + 1
            } else {
                0
            };
        }
    }
}

#[test]
fn echoes_what_it_receives() {
    let mut ring = ring(RingSize::default());
    let (near, mut far) = pair();
    ring.receive(near.as_fd(), token(3));
    for text in ["one\n", "and another line\n"] {
        far.write_all(text.as_bytes()).unwrap();
        run(&mut ring, |ring, completion| {
            let Completion::Received { token: of, received: Received::Bytes(buffer), armed } = completion
            else {
                return false;
            };
            assert_eq!((of, armed, buffer.len()), (token(3), true, text.len()));
            let (bytes, arena) = ring.lend(&buffer);
            assert_eq!(bytes.len(), text.len() + adit_protocol::limits::LINE_PADDING);
            arena.to_miner.extend_from_slice(&bytes[..text.len()]);
            ring.give_back(buffer);
            ring.plan_send(near.as_fd(), 0..text.len(), token(3));
            true
        });
        ring.enter(None).unwrap();
        assert!(ring.take_failed_sends().is_empty());
        let mut answer = vec![0; text.len()];
        far.read_exact(&mut answer).unwrap();
        assert_eq!(answer, text.as_bytes());
    }
}

#[test]
fn what_a_full_socket_did_not_take_comes_back_and_arrives_later_in_order() {
    let mut ring = ring(RingSize::default());
    let (near, mut far) = pair();
    let bytes: Vec<u8> = (0..16u32 << 20).map(|n| (n / 7) as u8).collect();
    plan(&mut ring, &near, &bytes, token(9));
    ring.enter(None).unwrap();
    let mut failed = ring.take_failed_sends();
    let failed = failed.pop().expect("16 MiB do not fit into a socket");
    assert_eq!(failed.token, token(9));
    assert_eq!(failed.broken, None);
    assert!(!failed.unsent.is_empty() && failed.unsent.len() < bytes.len());
    assert!(bytes.ends_with(&failed.unsent));

    let waiting = failed.unsent.len();
    ring.send_owned(near.as_fd(), failed.unsent, token(9));
    let reader = std::thread::spawn(move || {
        let mut all = vec![0; 16 << 20];
        far.read_exact(&mut all).unwrap();
        all
    });
    run(&mut ring, |_, completion| match completion {
        Completion::Sent { token: of, bytes, result } => {
            assert_eq!((of, bytes.len(), result), (token(9), waiting, Ok(())));
            true
        }
        _ => false,
    });
    assert!(reader.join().unwrap() == bytes, "bytes arrived changed");
}

#[test]
fn every_failed_send_is_told_when_both_queues_are_far_too_small() {
    let mut ring = ring(SMALL);
    let sockets: Vec<_> = (0..100).map(|_| pair()).collect();
    for (near, _) in &sockets {
        near.shutdown(std::net::Shutdown::Write).unwrap();
    }
    for (n, (near, _)) in sockets.iter().enumerate() {
        plan(&mut ring, near, format!("line {n}\n").as_bytes(), token(n as u32));
    }
    ring.enter(None).unwrap();
    let mut failed = ring.take_failed_sends();
    failed.sort_by_key(|failed| failed.token.index);
    assert_eq!(failed.len(), sockets.len());
    for (n, failed) in failed.iter().enumerate() {
        assert_eq!(failed.token, token(n as u32));
        assert_eq!(failed.unsent, format!("line {n}\n").as_bytes());
        assert_eq!(failed.broken, Some(Errno::BROKEN_PIPE));
    }
}

#[test]
fn a_reset_connection_is_told_from_a_full_one() {
    let mut ring = ring(SMALL);
    let (near, far) = pair();
    fill(&mut ring, &near);
    socket2::SockRef::from(&far).set_linger(Some(Duration::ZERO)).unwrap();
    drop(far);
    plan(&mut ring, &near, b"line\n", token(1));
    ring.enter(None).unwrap();
    let failed = ring.take_failed_sends();
    assert_eq!(failed.len(), 1);
    assert!(failed[0].broken.is_some(), "{failed:?}");
}

#[test]
fn a_range_outside_the_arena_is_a_failed_send_and_no_more() {
    let mut ring = ring(SMALL);
    let (near, _far) = pair();
    ring.arena().to_miner.extend_from_slice(b"abc");
    ring.plan_send(near.as_fd(), 2..10, token(1));
    ring.enter(None).unwrap();
    let failed = ring.take_failed_sends();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].broken, Some(Errno(libc::EINVAL)));
}

#[test]
fn without_a_free_buffer_a_receive_ends_and_loses_nothing() {
    let mut ring = ring(SMALL);
    let (near, mut far) = pair();
    let sent: Vec<u8> = (0..10 * BUFFER_BYTES as u32).map(|n| (n / 3) as u8).collect();
    far.write_all(&sent).unwrap();
    ring.receive(near.as_fd(), token(1));
    let mut held = Vec::new();
    run(&mut ring, |_, completion| match completion {
        Completion::Received { received: Received::Bytes(buffer), .. } => {
            held.push(buffer);
            false
        }
        Completion::Received { received: Received::Failed(Errno::NO_BUFFERS), armed, .. } => {
            assert!(!armed);
            true
        }
        _ => false,
    });
    assert_eq!(held.len(), 4);
    assert_eq!(ring.free_buffers(), 0);
    let mut got = Vec::new();
    for buffer in held {
        got.extend_from_slice(&ring.lend(&buffer).0[..buffer.len()]);
        ring.give_back(buffer);
    }
    assert_eq!(ring.free_buffers(), 4);
    ring.receive(near.as_fd(), token(1));
    run(&mut ring, |ring, completion| {
        if let Completion::Received { received: Received::Bytes(buffer), armed, .. } = completion {
            got.extend_from_slice(&ring.lend(&buffer).0[..buffer.len()]);
            ring.give_back(buffer);
            if !armed {
                ring.receive(near.as_fd(), token(1));
            }
        } else if let Completion::Received { armed: false, .. } = completion {
            ring.receive(near.as_fd(), token(1));
        }
        got.len() == sent.len()
    });
    assert!(got == sent, "bytes arrived changed");
}

#[test]
fn the_buffers_that_were_used_last_are_used_again() {
    let mut ring = ring(RingSize::default());
    let (near, mut far) = pair();
    ring.receive(near.as_fd(), token(1));
    let mut places = std::collections::HashSet::new();
    for _ in 0..1_000 {
        far.write_all(b"line\n").unwrap();
        run(&mut ring, |ring, completion| {
            let Completion::Received { received: Received::Bytes(buffer), .. } = completion else {
                return false;
            };
            places.insert(ring.lend(&buffer).0.as_ptr() as usize);
            ring.give_back(buffer);
            true
        });
    }
    assert!(places.len() <= usize::from(OFFERED_COUNT_MIN), "{} of 1,024 buffers", places.len());
}

#[test]
fn all_buffers_are_offered_once_they_ran_out() {
    let mut ring = ring(RingSize { buffers: 256, ..RingSize::default() });
    let mut pairs: Vec<_> = (0..4).map(|_| pair()).collect();
    let per_pair = OFFERED_COUNT_MIN / 2 + 1;
    for (_, far) in &mut pairs {
        far.write_all(&vec![b'x'; usize::from(per_pair) * BUFFER_BYTES]).unwrap();
    }
    (0..).zip(&pairs).for_each(|(n, (near, _))| ring.receive(near.as_fd(), token(n)));
    let (mut held, mut bytes, mut ran_out) = (Vec::new(), 0, 0);
    let wanted = pairs.len() * usize::from(per_pair) * BUFFER_BYTES;
    run(&mut ring, |ring, completion| {
        let Completion::Received { token: of, received, armed } = completion else { return false };
        match received {
            Received::Bytes(buffer) => {
                bytes += buffer.len();
                held.push(buffer);
            }
            Received::Failed(Errno::NO_BUFFERS) => ran_out += 1,
            other => panic!("{other:?}"),
        }
        if !armed && let Some((near, _)) = pairs.get(of.index as usize) {
            ring.receive(near.as_fd(), of);
        }
        bytes == wanted
    });
    assert!(ran_out > 0, "or nothing is shown");
    assert_eq!(ring.take_shortages(), 0, "there were others, not offered yet");
    assert!(held.len() > usize::from(OFFERED_COUNT_MIN));
    assert_eq!(ring.free_buffers(), 256 - held.len());
}

#[test]
fn buffers_that_come_back_are_offered_however_full_the_queue_gets() {
    const PAIRS: u32 = 64;
    let mut ring = ring(RingSize { submissions: 8, completions: 512, buffers: 64 });
    let mut pairs: Vec<_> = (0..PAIRS).map(|_| pair()).collect();
    (0..).zip(&pairs).for_each(|(n, (near, _))| ring.receive(near.as_fd(), token(n)));
    let mut held = Vec::new();
    for (_, far) in &mut pairs {
        far.write_all(b"line\n").unwrap();
    }
    run(&mut ring, |_, completion| {
        if let Completion::Received { received: Received::Bytes(buffer), .. } = completion {
            held.push(buffer);
        }
        held.len() == PAIRS as usize
    });
    assert_eq!(ring.free_buffers(), 0);
    held.drain(..).for_each(|buffer| ring.give_back(buffer));
    // More entries than the queue has room for: the kernel is called in between, and has buffers for what it finds then.
    let (near, mut far) = pair();
    far.write_all(b"late\n").unwrap();
    ring.receive(near.as_fd(), token(500));
    (0..20).for_each(|n| ring.cancel_receive(token(1_000 + n)));
    let mut heard = None;
    run(&mut ring, |_, completion| {
        if let Completion::Received { token: of, received, .. } = completion
            && of == token(500)
        {
            heard = Some(received);
        }
        heard.is_some()
    });
    assert!(matches!(heard, Some(Received::Bytes(_))), "{heard:?}");
}

#[test]
fn end_of_stream_and_cancelling_end_a_receive() {
    let mut ring = ring(SMALL);
    let (near, far) = pair();
    ring.receive(near.as_fd(), token(1));
    ring.cancel_receive(token(1));
    run(&mut ring, |_, completion| {
        matches!(
            completion,
            Completion::Received { received: Received::Failed(Errno::CANCELLED), armed: false, .. }
        )
    });
    ring.receive(near.as_fd(), token(2));
    drop(far);
    run(
        &mut ring,
        |_, completion| matches!(completion, Completion::Received { received: Received::EndOfStream, armed: false, token: of } if of == token(2)),
    );
}

#[test]
fn connects_and_accepts() {
    let mut ring = ring(SMALL);
    let listener = TcpListener::bind(if has_ipv6() { "[::1]:0" } else { "127.0.0.1:0" }).unwrap();
    ring.accept(listener.as_fd(), token(1));
    let domain = socket2::Domain::for_address(listener.local_addr().unwrap());
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None).unwrap();
    ring.connect(socket.as_fd(), listener.local_addr().unwrap(), token(2));
    let (mut connected, mut accepted) = (false, None);
    run(&mut ring, |_, completion| {
        match completion {
            Completion::Connected { token: of, result } => {
                assert_eq!((of, result), (token(2), Ok(())));
                connected = true;
            }
            Completion::Accepted { token: of, socket, armed } => {
                assert_eq!((of, armed), (token(1), true));
                accepted = Some(socket.unwrap());
            }
            _ => {}
        }
        connected && accepted.is_some()
    });
    let refused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    ring.connect(socket.as_fd(), refused, token(3));
    run(&mut ring, |_, completion| {
        matches!(completion, Completion::Connected { result: Err(Errno(libc::ECONNREFUSED)), .. })
    });
}

#[test]
fn a_signal_wakes_a_waiting_ring_each_time() {
    let wake = Arc::new(EventFd::new().unwrap());
    let mut ring = Ring::new(SMALL, wake.clone()).unwrap();
    for _ in 0..3 {
        let wake = wake.clone();
        let signaller = std::thread::spawn(move || wake.signal());
        let start = Instant::now();
        let mut woken = false;
        while !woken && start.elapsed() < LIMIT {
            ring.enter(Some(LIMIT)).unwrap();
            woken = ring.take_completions(Vec::new()).iter().any(|c| matches!(c, Completion::Woken));
        }
        assert!(woken && start.elapsed() < LIMIT / 2);
        signaller.join().unwrap();
    }
}

#[test]
fn the_timer_rings_once_and_can_be_moved() {
    let mut ring = ring(SMALL);
    let start = Instant::now();
    ring.ring_after(Duration::from_secs(60));
    ring.ring_after(Duration::from_millis(20));
    run(&mut ring, |_, completion| matches!(completion, Completion::TimerRang));
    assert!(start.elapsed() >= Duration::from_millis(20));
    ring.enter(Some(Duration::from_millis(30))).unwrap();
    assert!(ring.take_completions(Vec::new()).is_empty());
    ring.ring_after(Duration::from_millis(1));
    run(&mut ring, |_, completion| matches!(completion, Completion::TimerRang));
}

#[test]
fn dropping_a_ring_ends_what_is_in_flight_and_closes_what_was_accepted() {
    let (near, mut far) = pair();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = {
        let mut ring = ring(SMALL);
        fill(&mut ring, &near);
        ring.send_owned(near.as_fd(), vec![b'y'; 1 << 20], token(1));
        ring.receive(near.as_fd(), token(1));
        ring.accept(listener.as_fd(), token(2));
        ring.enter(None).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        ring.enter(Some(LIMIT)).unwrap();
        client
    };
    client.set_read_timeout(Some(LIMIT)).unwrap();
    assert_eq!(client.read(&mut [0; 1]).unwrap(), 0, "the accepted connection was not closed");
    // The peer sees what was sent before, then the end; nothing of the cancelled rest after it.
    drop(near);
    let mut received = Vec::new();
    far.read_to_end(&mut received).unwrap();
    let rest = received.iter().skip_while(|&&byte| byte == b'x').count();
    assert!(received[received.len() - rest..].iter().all(|&byte| byte == b'y'));
}
