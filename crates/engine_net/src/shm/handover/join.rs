//! The instance's side: to come for what was offered, and to map it, in a bounded time.

use std::io::{IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketAddrUnix, SocketFlags, SocketType,
};

use super::connection::is_same_user;
use crate::shm::greeting::{Invitation, MAPPED, OFFER_BYTES, Offered, hello};
use crate::shm::memfd::{self, Others};
use crate::shm::{ArenaView, Output, ShmError, failed};

/// Gets what an invitation is for, within this time.
///
/// # Errors
/// When the coordinator is on another host, of another user, does not answer in time or not as it should, or the
/// memory can't be mapped. Then columns are sent.
pub fn join(invitation: &Invitation, patience: Duration) -> Result<(ArenaView, Output), ShmError> {
    let deadline = Instant::now() + patience;
    let mut stream = connect(invitation)?;
    let unavailable = |error| ShmError::Unavailable { what: "writing to the coordinator's socket", error };
    // So few bytes fit into a new socket; if they don't, that is an error as well.
    stream.write_all(&hello(&invitation.token)).map_err(unavailable)?;
    wait_for_input(&stream, deadline)?;
    let (offered, arena, output) = receive(&stream)?;
    let arena = ArenaView::new(&memfd::check(arena, offered.arena, Others::Read)?, offered.arena)?;
    let output = Output::new(memfd::check(output, offered.output, Others::Write)?, offered.output)?;
    stream.write_all(&[MAPPED]).map_err(unavailable)?;
    Ok((arena, output))
}

/// Connecting to an abstract socket is done at once or not at all: when too many wait there, it fails.
fn connect(invitation: &Invitation) -> Result<UnixStream, ShmError> {
    let what = "connecting to the coordinator's socket";
    let address = SocketAddrUnix::new_abstract_name(super::listener::socket_name(&invitation.name).as_bytes());
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket =
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).map_err(failed(what))?;
    rustix::net::connect(&socket, &address.map_err(failed(what))?).map_err(failed(what))?;
    if is_same_user(&socket) { Ok(socket.into()) } else { Err(ShmError::Refused("the coordinator is another user's")) }
}

fn wait_for_input(stream: &UnixStream, deadline: Instant) -> Result<(), ShmError> {
    loop {
        let wait = Timespec::try_from(deadline.saturating_duration_since(Instant::now())).unwrap_or_default();
        match rustix::event::poll(&mut [PollFd::new(stream, PollFlags::IN)], Some(&wait)) {
            Ok(0) => return Err(ShmError::Refused("the coordinator's socket does not answer")),
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(failed("waiting for the coordinator's socket")(error)),
        }
    }
}

/// An offer and its two descriptors, which came in one message. Others that came with it are closed.
fn receive(stream: &UnixStream) -> Result<(Offered, OwnedFd, OwnedFd), ShmError> {
    let mut frame = [0; OFFER_BYTES];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let received = rustix::net::recvmsg(stream, &mut [IoSliceMut::new(&mut frame)], &mut control, flags);
    let received = received.map_err(failed("reading what the coordinator offers"))?;
    let mut descriptors = control.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => descriptors.collect::<Vec<OwnedFd>>(),
        _ => Vec::new(),
    });
    let both = (descriptors.next(), descriptors.next());
    drop(descriptors);
    match (Offered::read(&frame[..received.bytes]), both) {
        (Some(offered), (Some(arena), Some(output))) => Ok((offered, arena, output)),
        _ => Err(ShmError::Refused("the coordinator's socket says something else than an offer")),
    }
}
