//! One who has connected: what it said so far, and when it is too late for the rest.

use std::io::{ErrorKind, IoSlice, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};

use super::Offer;
use super::PATIENCE;
use crate::shm::greeting::{HELLO_BYTES, MAPPED, Offered, Token, read_hello};

/// A connection in its course: see the module's picture.
pub(super) struct Connection {
    stream: UnixStream,
    step: Step,
    pub(super) deadline: Instant,
}

enum Step {
    /// So many bytes of the hello are there.
    Hello([u8; HELLO_BYTES], usize),
    /// It was given what is offered under this number.
    Answer(u64),
}

/// What became of a connection.
pub(super) enum Turn {
    /// It has more to say.
    Waits,
    /// It has mapped what was offered under this number.
    Joined(u64),
    /// It is not worth keeping.
    Over,
}

impl Connection {
    /// Takes one in that is of this process's user.
    pub(super) fn accept(socket: OwnedFd, now: Instant) -> Option<Self> {
        if !is_same_user(&socket) {
            return None;
        }
        Some(Self { stream: socket.into(), step: Step::Hello([0; HELLO_BYTES], 0), deadline: now + PATIENCE })
    }

    pub(super) fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// Reads what is there. `take` takes what was offered for a token.
    pub(super) fn turn(&mut self, take: impl FnOnce(&Token) -> Option<(u64, Offer)>) -> Turn {
        let mut answer = [0];
        let buffer = match &mut self.step {
            Step::Hello(frame, read) => &mut frame[*read..],
            Step::Answer(_) => &mut answer[..],
        };
        let bytes = match self.stream.read(buffer) {
            Ok(0) => return Turn::Over,
            Ok(bytes) => bytes,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return Turn::Waits,
            Err(_) => return Turn::Over,
        };
        match &mut self.step {
            Step::Hello(frame, read) => {
                *read += bytes;
                if *read < HELLO_BYTES {
                    return Turn::Waits;
                }
                let Some((number, offer)) = read_hello(frame).and_then(|token| take(&token)) else { return Turn::Over };
                if self.send(&offer).is_err() {
                    return Turn::Over;
                }
                self.step = Step::Answer(number);
                Turn::Waits
            }
            Step::Answer(number) if answer == [MAPPED] => Turn::Joined(*number),
            Step::Answer(_) => Turn::Over,
        }
    }

    /// A new socket has room for so few bytes; if not, it is over.
    fn send(&self, offer: &Offer) -> rustix::io::Result<()> {
        let frame = Offered { arena: offer.arena.bytes(), output: offer.output.bytes() }.frame();
        let descriptors = [offer.arena.descriptor().as_fd(), offer.output.descriptor().as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let pushed = control.push(SendAncillaryMessage::ScmRights(&descriptors));
        debug_assert!(pushed, "there is room for two");
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        let sent = rustix::net::sendmsg(&self.stream, &[IoSlice::new(&frame)], &mut control, flags)?;
        if sent == frame.len() { Ok(()) } else { Err(rustix::io::Errno::MSGSIZE) }
    }
}

/// Whether whoever made this connection is of the user that this process runs as.
pub(super) fn is_same_user(socket: impl AsFd) -> bool {
    rustix::net::sockopt::socket_peercred(socket).is_ok_and(|peer| peer.uid == rustix::process::geteuid())
}
