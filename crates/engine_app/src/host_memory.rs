//! The memory that instances on this host map, as the operating system gives it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, unbounded};
use engine_component::memory::ColumnMemory;
use engine_net::shm::handover::{Handover, Offer};
use engine_net::shm::{Arena, Segment, ShmError};

use crate::coordinator::HostMemory;
use crate::staged::OutputMemory;

/// Instances that have or are offered a memory, at the most: each is a descriptor of this process.
const MOST: usize = 256;
/// Who has not come for an offer for so long is on another host.
const PATIENCE: Duration = Duration::from_secs(10);

/// The columns' memory, and what was offered to whom.
struct SharedMemory {
    arena: Arc<Arena>,
    handover: Handover,
    offers: BTreeMap<u32, Offered>,
}

struct Offered {
    output: Arc<Segment>,
    /// What it was told; none when it has come.
    invitation: Option<String>,
    since: Instant,
}

/// A memory for so many bytes of columns, and of each instance as many; and the slots of those that have mapped it.
///
/// # Errors
/// When the system has no such memory, or it is switched off.
pub(crate) fn start(bytes: u64) -> Result<(Box<dyn HostMemory>, Receiver<u32>), ShmError> {
    if bytes == 0 {
        return Err(ShmError::Refused("it is switched off"));
    }
    let arena = Arc::new(Arena::new(bytes)?);
    let (tell, joined) = unbounded();
    let handover = Handover::start(move |number| {
        // Nobody listens when the coordinator ends.
        let _ = u32::try_from(number).map(|slot| tell.send(slot));
    })?;
    Ok((Box::new(SharedMemory { arena, handover, offers: BTreeMap::new() }), joined))
}

impl SharedMemory {
    /// Takes back what nobody came for.
    fn tidy(&mut self) {
        let Self { offers, handover, .. } = self;
        offers.retain(|slot, offered| {
            let waits = offered.invitation.is_none() || offered.since.elapsed() < PATIENCE;
            if !waits {
                handover.withdraw(u64::from(*slot));
            }
            waits
        });
    }

    fn offer(&self, slot: u32) -> Result<Offered, ShmError> {
        let output = Arc::new(Segment::new(self.arena.bytes())?);
        let offer = Offer { arena: self.arena.clone(), output: output.clone() };
        let invitation = self.handover.offer(u64::from(slot), offer)?;
        Ok(Offered { output, invitation: Some(invitation.text()), since: Instant::now() })
    }
}

impl HostMemory for SharedMemory {
    fn columns(&self) -> Arc<dyn ColumnMemory> {
        self.arena.clone()
    }

    fn invite(&mut self, slot: u32) -> Option<String> {
        self.tidy();
        if let Some(offered) = self.offers.get(&slot) {
            return offered.invitation.clone();
        }
        if self.offers.len() >= MOST {
            return None;
        }
        match self.offer(slot) {
            Ok(offered) => self.offers.entry(slot).or_insert(offered).invitation.clone(),
            Err(error) => {
                tracing::warn!(%error, "an instance is not offered memory");
                None
            }
        }
    }

    fn has_joined(&mut self, slot: u32) -> bool {
        let offered = self.offers.get_mut(&slot);
        offered.map(|offered| offered.invitation = None).is_some()
    }

    fn withdraw(&mut self, slot: u32) {
        if self.offers.remove(&slot).is_some() {
            self.handover.withdraw(u64::from(slot));
        }
    }

    fn output(&self, slot: u32) -> Option<Arc<dyn OutputMemory>> {
        let offered = self.offers.get(&slot)?;
        Some(Arc::new(SlotOutput(offered.output.clone())))
    }
}

/// Where one instance writes.
#[derive(Debug)]
struct SlotOutput(Arc<Segment>);

impl OutputMemory for SlotOutput {
    fn bytes(&self) -> u64 {
        self.0.bytes()
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> bool {
        self.0.read(offset, into).is_ok()
    }

    fn is_sure(&self) -> bool {
        self.0.is_mapped()
    }
}
