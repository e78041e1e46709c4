//! The coordinator's side: a socket, a thread, and what is offered to whom.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::SocketFlags;
use rustix::rand::GetRandomFlags;

use super::connection::{Connection, Turn};
use super::{MOST_CONNECTIONS, MOST_OFFERS, Offer};
use crate::shm::greeting::{Invitation, Token, hex};
use crate::shm::{ShmError, failed};

/// Hands memory over to instances that were invited.
pub struct Handover {
    name: [u8; 16],
    offers: Arc<Mutex<Offers>>,
    /// When it is closed, the thread ends.
    alive: UnixStream,
    thread: Option<JoinHandle<()>>,
}

/// What was offered and not yet taken.
#[derive(Default)]
struct Offers {
    open: Vec<(Token, u64, Offer)>,
}

impl Handover {
    /// Begins to listen. `joined` is called in the thread that does so, with the number of an offer that was taken
    /// and mapped: it should not take long.
    ///
    /// # Errors
    /// When the system has no such sockets.
    pub fn start(joined: impl FnMut(u64) + Send + 'static) -> Result<Self, ShmError> {
        let name = random::<16>()?;
        let what = "listening on a socket";
        let unavailable = |error| ShmError::Unavailable { what, error };
        let address = SocketAddr::from_abstract_name(socket_name(&name)).map_err(unavailable)?;
        let listener = UnixListener::bind_addr(&address).map_err(unavailable)?;
        listener.set_nonblocking(true).map_err(unavailable)?;
        let (alive, end) = UnixStream::pair().map_err(unavailable)?;
        let offers = Arc::new(Mutex::new(Offers::default()));
        let mut waiting =
            Waiting { listener, end, offers: Arc::clone(&offers), connections: Vec::new(), deaf: None, joined };
        let thread = std::thread::Builder::new().name("handover".into());
        let thread = thread.spawn(move || waiting.run()).map_err(unavailable)?;
        Ok(Self { name, offers, alive, thread: Some(thread) })
    }

    /// Offers memory to one instance, under a number that was not used before: what it has to be told.
    ///
    /// # Errors
    /// When too many offers wait, or there is no randomness to be had.
    pub fn offer(&self, number: u64, offer: Offer) -> Result<Invitation, ShmError> {
        let token = Token(random()?);
        let mut offers = lock(&self.offers);
        if offers.open.len() >= MOST_OFFERS {
            return Err(ShmError::Refused("too many instances were invited and did not come"));
        }
        offers.open.push((token, number, offer));
        Ok(Invitation { name: self.name, token })
    }

    /// Takes an offer back, because its instance is gone or has waited long enough. One that is being taken just now
    /// may be said to be joined all the same.
    pub fn withdraw(&self, number: u64) {
        lock(&self.offers).open.retain(|(_, open, _)| *open != number);
    }
}

impl Drop for Handover {
    fn drop(&mut self) {
        let _ = self.alive.shutdown(std::net::Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            // A panic in `joined` has been reported by the thread.
            let _ = thread.join();
        }
    }
}

/// The socket of a name. Abstract: no file, gone with its process.
pub(super) fn socket_name(name: &[u8; 16]) -> String {
    format!("engine-{}", hex(name))
}

fn random<const N: usize>() -> Result<[u8; N], ShmError> {
    let mut bytes = [0; N];
    let got =
        rustix::rand::getrandom(&mut bytes, GetRandomFlags::empty()).map_err(failed("asking for a random name"))?;
    // So few bytes come whole.
    if got == N { Ok(bytes) } else { Err(ShmError::Refused("no randomness for a name")) }
}

fn lock(offers: &Mutex<Offers>) -> MutexGuard<'_, Offers> {
    offers.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the thread has.
struct Waiting<J> {
    listener: UnixListener,
    end: UnixStream,
    offers: Arc<Mutex<Offers>>,
    connections: Vec<Connection>,
    /// Until when nobody is taken in, because the system can't.
    deaf: Option<Instant>,
    joined: J,
}

/// How long the system is given when it has no more descriptors for this process.
const REST: Duration = Duration::from_millis(100);

impl<J: FnMut(u64)> Waiting<J> {
    fn run(&mut self) {
        while let Ok(ready) = self.wait() {
            if ready.end {
                return;
            }
            self.turn(&ready.connections);
            if ready.listener {
                self.accept();
            }
        }
    }

    /// Waits until somebody has something to say, or is too late.
    fn wait(&mut self) -> rustix::io::Result<Ready> {
        let now = Instant::now();
        self.deaf = self.deaf.filter(|until| now < *until);
        let hears = if self.deaf.is_some() || self.is_full() { PollFlags::empty() } else { PollFlags::IN };
        let mut sockets = vec![PollFd::new(&self.end, PollFlags::IN), PollFd::new(&self.listener, hears)];
        sockets.extend(self.connections.iter().map(|open| PollFd::new(open.stream(), PollFlags::IN)));
        let first = self.connections.iter().map(|connection| connection.deadline).chain(self.deaf).min();
        let wait = first.map(|first| first.saturating_duration_since(now));
        let wait = wait.and_then(|wait| Timespec::try_from(wait).ok());
        match rustix::event::poll(&mut sockets, wait.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
        let mut ready = sockets.iter().map(|socket| !socket.revents().is_empty());
        let (end, listener) = (ready.next() == Some(true), ready.next() == Some(true));
        Ok(Ready { end, listener, connections: ready.collect() })
    }

    /// Gives each connection its turn that has something to say, and closes those that are over.
    fn turn(&mut self, ready: &[bool]) {
        let now = Instant::now();
        let Self { offers, joined, .. } = self;
        let mut place = 0;
        self.connections.retain_mut(|connection| {
            let is_ready = ready.get(place) == Some(&true);
            place += 1;
            if !is_ready {
                return now < connection.deadline;
            }
            match connection.turn(|token| take(offers, token)) {
                Turn::Waits => now < connection.deadline,
                Turn::Over => false,
                Turn::Joined(number) => {
                    joined(number);
                    false
                }
            }
        });
    }

    /// No more are taken in; whoever comes waits until one is over, as long as it likes.
    fn is_full(&self) -> bool {
        self.connections.len() >= MOST_CONNECTIONS
    }

    /// Takes in whoever waits. Another user's are closed at once.
    fn accept(&mut self) {
        for _ in 0..MOST_CONNECTIONS {
            if self.is_full() {
                return;
            }
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            match rustix::net::accept_with(&self.listener, flags) {
                Ok(socket) => self.connections.extend(Connection::accept(socket, Instant::now())),
                Err(Errno::CONNABORTED | Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => {
                    self.deaf = Some(Instant::now() + REST);
                    return;
                }
            }
        }
    }
}

/// Who has something to say.
struct Ready {
    end: bool,
    listener: bool,
    connections: Vec<bool>,
}

/// Takes what was offered for a token. All are looked at, so that how long that takes says nothing.
fn take(offers: &Mutex<Offers>, token: &Token) -> Option<(u64, Offer)> {
    let mut offers = lock(offers);
    let mut places = offers.open.iter().enumerate().filter(|(_, open)| open.0.is(token)).map(|(place, _)| place);
    let place = places.by_ref().last()?;
    let (_, number, offer) = offers.open.remove(place);
    Some((number, offer))
}
