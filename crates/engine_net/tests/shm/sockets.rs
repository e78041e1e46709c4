//! What may come over a socket, on either side.

use std::io::{IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::time::Duration;

use engine_net::shm::greeting::{HELLO_BYTES, OFFER_BYTES, Offered};
use engine_net::shm::handover::{MOST_CONNECTIONS, MOST_OFFERS, join};
use engine_net::shm::{Invitation, ShmError};
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};

use crate::child::{LONG, Other};
use crate::columns::Host;

fn address(invitation: &Invitation) -> SocketAddr {
    SocketAddr::from_abstract_name(format!("engine-{}", &invitation.text()[..32])).unwrap()
}

fn connect(invitation: &Invitation) -> UnixStream {
    let stream = UnixStream::connect_addr(&address(invitation)).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream
}

/// Whether the other side closes it without a word.
fn is_closed(mut stream: UnixStream) -> bool {
    match stream.read(&mut [0; 64]) {
        Ok(read) => read == 0,
        // It was closed with something unread.
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

/// Says what an instance says, without looking whom it talks to.
pub(crate) fn knock(invitation: &Invitation) -> String {
    let mut stream = connect(invitation);
    // What it says may come after it was closed.
    let _ = stream.write_all(&hello_of(invitation));
    if is_closed(stream) { "closed".into() } else { "an answer".into() }
}

fn hello_of(invitation: &Invitation) -> Vec<u8> {
    let text = invitation.text();
    let token = (32..96).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap());
    b"EngShm1\n".iter().copied().chain(token).collect()
}

/// The same place with another token.
fn with_other_token(invitation: &Invitation) -> Invitation {
    let text = invitation.text();
    let other = if text.ends_with('0') { '1' } else { '0' };
    Invitation::parse(&format!("{}{other}", &text[..95])).unwrap()
}

#[test]
fn a_token_is_good_once() {
    let host = Host::start();
    join(&host.invitation, LONG).unwrap();
    assert!(matches!(join(&host.invitation, LONG), Err(ShmError::Refused(_) | ShmError::Unavailable { .. })));
    assert_eq!(host.joined(), 7);
    assert!(host.is_alone());
}

#[test]
fn wrong_and_withdrawn_tokens_get_nothing() {
    let host = Host::start();
    assert!(join(&with_other_token(&host.invitation), LONG).is_err());
    let withdrawn = host.handover.offer(8, host.offer()).unwrap();
    host.handover.withdraw(8);
    assert!(join(&withdrawn, LONG).is_err());
    join(&host.invitation, LONG).unwrap();
    assert_eq!(host.joined(), 7);
    assert!(host.is_alone());
}

#[test]
fn garbage_silence_and_crowds_keep_nobody_out_for_long() {
    let host = Host::start();
    let mut garbage = connect(&host.invitation);
    garbage.write_all(&[0xff; HELLO_BYTES]).unwrap();
    assert!(is_closed(garbage));
    // A hello that ends early.
    let mut half = connect(&host.invitation);
    half.write_all(b"EngShm1\n").unwrap();
    half.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(is_closed(half));
    // Those that say nothing take places; whoever is too many waits, or uses the wire.
    let silent: Vec<UnixStream> = (0..MOST_CONNECTIONS).map(|_| connect(&host.invitation)).collect();
    let waits = host.handover.offer(8, host.offer()).unwrap();
    assert!(join(&waits, Duration::ZERO).is_err());
    let waits = host.handover.offer(9, host.offer()).unwrap();
    let waits = std::thread::spawn(move || join(&waits, LONG).map(drop));
    drop(silent);
    waits.join().unwrap().unwrap();
    assert_eq!(host.joined(), 9);
    // A hello in pieces is one.
    let mut slow = connect(&host.invitation);
    for byte in hello_of(&host.invitation) {
        slow.write_all(&[byte]).unwrap();
    }
    let mut frame = [0; OFFER_BYTES];
    slow.read_exact(&mut frame).unwrap();
    let offered = Offered { arena: host.arena.bytes(), output: host.output.bytes() };
    assert_eq!(Offered::read(&frame), Some(offered));
    assert!(host.is_alone(), "it has not said that it could map");
    slow.write_all(&[0]).unwrap();
    assert!(is_closed(slow));
    assert!(host.is_alone());
}

#[test]
fn offers_that_nobody_takes_are_bounded() {
    let host = Host::start();
    for number in 1..MOST_OFFERS as u64 {
        host.handover.offer(100 + number, host.offer()).unwrap();
    }
    assert!(matches!(host.handover.offer(1, host.offer()), Err(ShmError::Refused(_))));
    host.handover.withdraw(101);
    join(&host.handover.offer(2, host.offer()).unwrap(), LONG).unwrap();
    assert_eq!(host.joined(), 2);
}

#[test]
fn another_user_gets_nothing() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("only root can start a process of another user: not tested");
        return;
    }
    let host = Host::start();
    let mut stranger = Other::start_as(|command| {
        command.uid(65_534).gid(65_534);
    });
    let answer = stranger.ask(&format!("join {}", host.invitation.text()));
    assert!(answer.contains("another user"), "{answer}");
    assert_eq!(stranger.ask(&format!("knock {}", host.invitation.text())), "closed");
    stranger.end();
    join(&host.invitation, LONG).unwrap();
    assert_eq!(host.joined(), 7);
}

/// A coordinator that sends this to whoever comes.
fn answer_with(frame: Vec<u8>, descriptors: Vec<OwnedFd>) -> Invitation {
    let mut name = [0_u8; 16];
    rustix::rand::getrandom(&mut name, rustix::rand::GetRandomFlags::empty()).unwrap();
    let name: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
    let invitation = Invitation::parse(&format!("{name}{}", "00".repeat(32))).unwrap();
    let listener = UnixListener::bind_addr(&address(&invitation)).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0; HELLO_BYTES]).unwrap();
        let borrowed: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !borrowed.is_empty() {
            assert!(control.push(SendAncillaryMessage::ScmRights(&borrowed)));
        }
        rustix::net::sendmsg(&stream, &[IoSlice::new(&frame)], &mut control, SendFlags::NOSIGNAL).unwrap();
        // Until the other side closes.
        let _ = stream.read(&mut [0]);
    });
    invitation
}

fn memory(bytes: u64, seals: SealFlags) -> OwnedFd {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let memory = rustix::fs::memfd_create("test", flags).unwrap();
    rustix::fs::ftruncate(&memory, bytes).unwrap();
    rustix::fs::fcntl_add_seals(&memory, seals).unwrap();
    memory
}

#[test]
fn an_instance_takes_only_what_cannot_be_cut_off() {
    const BYTES: u64 = 1 << 20;
    let fixed = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    let columns = fixed | SealFlags::FUTURE_WRITE;
    let frame = Offered { arena: BYTES, output: BYTES }.frame().to_vec();
    let good = || vec![memory(BYTES, columns), memory(BYTES, fixed)];
    join(&answer_with(frame.clone(), good()), LONG).unwrap();

    let file = || OwnedFd::from(tempfile::tempfile().unwrap());
    let huge = Offered { arena: u64::MAX, output: BYTES }.frame().to_vec();
    let none = Offered { arena: 0, output: BYTES }.frame().to_vec();
    let bad = [
        ("nothing", frame.clone(), vec![]),
        ("one", frame.clone(), vec![memory(BYTES, columns)]),
        ("files", frame.clone(), vec![file(), file()]),
        ("can be written", frame.clone(), vec![memory(BYTES, fixed), memory(BYTES, fixed)]),
        ("can be cut off", frame.clone(), vec![memory(BYTES, columns), memory(BYTES, SealFlags::GROW)]),
        ("smaller than said", frame.clone(), vec![memory(BYTES / 2, columns), memory(BYTES, fixed)]),
        ("a size that is none", huge, good()),
        ("no size", none, vec![memory(0, columns), memory(BYTES, fixed)]),
        ("garbage", vec![0xff; OFFER_BYTES], good()),
        ("too short", frame[..OFFER_BYTES - 1].to_vec(), good()),
    ];
    for (what, frame, descriptors) in bad {
        assert!(join(&answer_with(frame, descriptors), LONG).is_err(), "{what}");
    }
    // More than it asked for is closed again.
    let many = answer_with(frame, good().into_iter().chain([file(), file(), file()]).collect());
    let mut instance = Other::start();
    let before = descriptors_of(&instance);
    instance.ask(&format!("join {}", many.text()));
    // The output's, at the most: a view keeps none.
    assert!(descriptors_of(&instance) <= before + 1);
    instance.end();
}

fn descriptors_of(other: &Other) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", other.process.id())).unwrap().count()
}

#[test]
fn a_coordinator_that_is_silent_or_gone_is_not_waited_for() {
    let invitation = Invitation::parse(&"5e".repeat(48)).unwrap();
    assert!(join(&invitation, LONG).is_err(), "nobody listens");
    let _silent = UnixListener::bind_addr(&address(&invitation)).unwrap();
    let error = join(&invitation, Duration::from_millis(10)).unwrap_err();
    assert!(error.to_string().contains("does not answer"), "{error}");
}
