//! What both sides see, and what is out of bounds.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use engine_component::{Component, Data, Entity, World};
use engine_net::shm::handover::{Handover, Offer, join};
use engine_net::shm::{Arena, ArenaView, Invitation, MOST_BYTES, Segment, ShmError};

use crate::child::{LONG, Other};

#[derive(Component, Clone, Copy, PartialEq, Debug)]
#[repr(C)]
#[component(name = "test.Place")]
pub(crate) struct Place {
    pub(crate) x: u64,
}

/// The bytes of a column as an instance sees them, summed up.
#[expect(unsafe_code, reason = "reads a column in place, as a system does")]
pub(crate) fn read(columns: &ArenaView, offset: u64, bytes: usize) -> String {
    match columns.column(offset, bytes) {
        Ok(start) => {
            // SAFETY: so many bytes can be read there, and the other side waits for the answer before it writes.
            let column = unsafe { std::slice::from_raw_parts(start.as_ptr(), bytes) };
            column.as_chunks::<8>().0.iter().map(|value| u64::from_le_bytes(*value)).sum::<u64>().to_string()
        }
        Err(error) => format!("no: {error}"),
    }
}

/// A coordinator's side with one offer.
pub(crate) struct Host {
    pub(crate) arena: Arc<Arena>,
    pub(crate) output: Arc<Segment>,
    pub(crate) handover: Handover,
    pub(crate) invitation: Invitation,
    joined: Receiver<u64>,
}

impl Host {
    pub(crate) fn start() -> Self {
        let (send, joined) = channel();
        let handover = Handover::start(move |number| {
            let _ = send.send(number);
        });
        let handover = handover.unwrap();
        let (arena, output) = (Arc::new(Arena::new(64 << 20).unwrap()), Arc::new(Segment::new(1 << 20).unwrap()));
        let invitation = handover.offer(7, Offer { arena: arena.clone(), output: output.clone() }).unwrap();
        Self { arena, output, handover, invitation, joined }
    }

    pub(crate) fn offer(&self) -> Offer {
        Offer { arena: self.arena.clone(), output: self.output.clone() }
    }

    /// Waits until somebody has joined: the number of the offer.
    pub(crate) fn joined(&self) -> u64 {
        self.joined.recv_timeout(LONG).unwrap()
    }

    /// Whether nobody has.
    pub(crate) fn is_alone(&self) -> bool {
        self.joined.try_recv().is_err()
    }

    /// An instance that has joined.
    pub(crate) fn instance(&self) -> Other {
        let mut instance = Other::start();
        let sizes = format!("{} {}", self.arena.bytes(), self.output.bytes());
        assert_eq!(instance.ask(&format!("join {}", self.invitation.text())), sizes);
        assert_eq!(self.joined(), 7);
        instance
    }

    /// A world of so many rows, whose columns are in the arena.
    pub(crate) fn world(&self, rows: u64) -> (World, Vec<Entity>) {
        let mut world = World::default();
        world.set_memory(Some(self.arena.clone()));
        let entities = world.spawn_batch((0..rows).map(|x| Place { x }));
        (world, entities)
    }
}

/// Where the column of places is, and its bytes.
pub(crate) fn place_of(world: &World) -> (u64, usize) {
    let table = &world.tables()[0];
    let column = table.column(table.column_index(Place::ID).unwrap());
    (column.shared_offset().unwrap(), column.bytes().len())
}

#[test]
fn columns_are_read_in_place_and_output_comes_back() {
    let host = Host::start();
    let (mut world, entities) = host.world(10_000);
    let mut instance = host.instance();
    let (offset, bytes) = place_of(&world);
    assert_eq!(bytes, 80_000);
    assert_eq!(instance.ask(&format!("column {offset} {bytes}")), (9_999 * 5_000).to_string());
    let numbers = world.tables()[0].entities_shared_offset().unwrap();
    assert_eq!(instance.ask(&format!("column {numbers} {bytes}")), (10_001 * 5_000).to_string());

    // It sees what changes, without being sent anything.
    world.get_mut::<Place>(entities[0]).unwrap().x = 1_000_000;
    assert_eq!(instance.ask(&format!("column {offset} {bytes}")), (1_000_000 + 9_999 * 5_000).to_string());

    assert_eq!(instance.ask("write 5000 9"), "written");
    let mut output = vec![1; 6000];
    host.output.read(0, &mut output).unwrap();
    assert!(output[..5000].iter().all(|byte| *byte == 9) && output[5000..].iter().all(|byte| *byte == 0));
    instance.end();
}

#[test]
fn what_is_out_of_bounds_is_refused_on_both_sides() {
    let host = Host::start();
    let mut instance = host.instance();
    let (arena, output) = (host.arena.bytes(), host.output.bytes());
    for (offset, bytes) in [(arena, 1), (arena - 7, 8), (u64::MAX, 8), (8, usize::MAX), (0, arena as usize + 1)] {
        let answer = instance.ask(&format!("column {offset} {bytes}"));
        assert!(answer.starts_with("no: ") && answer.contains(&arena.to_string()), "{answer}");
    }
    assert_eq!(instance.ask(&format!("column {arena} 0")), "0");
    for bytes in [output + 1, u64::MAX] {
        assert!(instance.ask(&format!("write {bytes} 1")).starts_with("no: "));
    }
    assert_eq!(instance.ask(&format!("write {output} 1")), "written");
    for (offset, bytes) in [(output, 1), (output - 7, 8), (u64::MAX, 8)] {
        let error = host.output.read(offset, &mut vec![0; bytes]).unwrap_err();
        assert!(matches!(error, ShmError::OutOfBounds { .. }), "{error}");
    }
    instance.end();
}

#[test]
fn sizes_have_bounds() {
    for bytes in [0, 1000, MOST_BYTES + (16 << 10), u64::MAX] {
        assert!(matches!(Arena::new(bytes), Err(ShmError::Size(_))), "{bytes}");
        assert!(matches!(Segment::new(bytes), Err(ShmError::Size(_))), "{bytes}");
    }
    assert_eq!(Arena::new(100_000).unwrap().bytes(), 98_304, "whole blocks");
}

#[test]
fn one_process_can_be_both_sides() {
    let host = Host::start();
    let (columns, mut output) = join(&host.invitation, LONG).unwrap();
    assert_eq!((columns.bytes(), host.joined()), (host.arena.bytes(), 7));
    output.first(10).unwrap().fill(3);
    output.first(20).unwrap()[19] = 4;
    let mut read = [0; 3];
    host.output.read(9, &mut read).unwrap();
    assert_eq!(read, [3, 0, 0], "what it has is kept, and the rest is zero");
    host.output.read(19, &mut read).unwrap();
    assert_eq!(read, [4, 0, 0]);
}
