//! Commands: structural changes that a system, a hook or a tool records, to be applied in order later.
//!
//! The record is the same in memory, on the wire and in the log. All numbers are little endian:
//!
//! ```text
//! command  = spawn | despawn | insert | remove
//! spawn    = 1u8 entity:u64 values        entity is provisional; the n-th spawn has number n
//! despawn  = 2u8 entity:u64
//! insert   = 3u8 entity:u64 values
//! remove   = 4u8 entity:u64 count:u16 component:u64 …
//! values   = count:u16 (component:u64 length:u32 bytes) …
//! ```
//!
//! A provisional entity stands for one that the same record spawns; inside of a value, one that it does not
//! spawn becomes no entity at all. Entities inside of values are
//! replaced too: in Plain components where the schema says that one is, in documents by their
//! extension type.

use smallvec::SmallVec;

use crate::bundle::Bundle;
use crate::data::StorageKind;
use crate::error::WorldError;
use crate::registry::Registry;
use crate::structure::RawComponent;
use crate::world::World;
use crate::{ComponentId, Entity};

const SPAWN: u8 = 1;
const DESPAWN: u8 = 2;
const INSERT: u8 = 3;
const REMOVE: u8 = 4;

/// Components of one command, at the most.
pub const MAX_COMPONENTS: usize = 256;

/// Records commands.
///
/// ```
/// use engine_component::{Component, World, commands::CommandBuffer};
/// #[derive(Component, Clone, Copy)]
/// #[repr(C)]
/// #[component(name = "doc.Health")]
/// struct Health { points: u32 }
///
/// let mut world = World::default();
/// world.register::<Health>().unwrap();
/// let mut commands = CommandBuffer::default();
/// let entity = commands.spawn((Health { points: 100 },));
/// assert!(entity.is_provisional());
/// let applied = world.apply(commands.bytes()).unwrap();
/// assert_eq!(world.get::<Health>(applied.spawned[0]).unwrap().points, 100);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandBuffer {
    bytes: Vec<u8>,
    spawns: u32,
}

impl CommandBuffer {
    /// The record.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The record, taken out.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The number of entities that the record spawns.
    #[must_use]
    pub fn spawns(&self) -> u32 {
        self.spawns
    }

    /// Whether nothing was recorded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Spawns an entity. It is provisional, and may be used in further commands and values of the same
    /// record.
    pub fn spawn<B: Bundle>(&mut self, bundle: B) -> Entity {
        let entity = Entity::provisional(self.spawns);
        self.spawns += 1;
        self.put(SPAWN, entity);
        self.values(bundle);
        entity
    }

    /// Removes an entity.
    pub fn despawn(&mut self, entity: Entity) {
        self.put(DESPAWN, entity);
    }

    /// Gives an entity components.
    pub fn insert<B: Bundle>(&mut self, entity: Entity, bundle: B) {
        self.put(INSERT, entity);
        self.values(bundle);
    }

    /// Takes components from an entity.
    pub fn remove<B: Bundle>(&mut self, entity: Entity) {
        let mut ids = Vec::with_capacity(B::COUNT);
        B::ids(&mut ids);
        self.remove_raw(entity, &ids);
    }

    /// As [`Self::spawn`], from bytes.
    pub fn spawn_raw(&mut self, components: &[RawComponent<'_>]) -> Entity {
        let entity = Entity::provisional(self.spawns);
        self.spawns += 1;
        self.put(SPAWN, entity);
        self.values_raw(components);
        entity
    }

    /// As [`Self::insert`], from bytes.
    pub fn insert_raw(&mut self, entity: Entity, components: &[RawComponent<'_>]) {
        self.put(INSERT, entity);
        self.values_raw(components);
    }

    /// As [`Self::remove`], by ids.
    pub fn remove_raw(&mut self, entity: Entity, components: &[ComponentId]) {
        self.put(REMOVE, entity);
        self.bytes.extend((components.len() as u16).to_le_bytes());
        for id in components {
            self.bytes.extend(id.to_bits().to_le_bytes());
        }
    }

    fn put(&mut self, code: u8, entity: Entity) {
        self.bytes.push(code);
        self.bytes.extend(entity.to_bits().to_le_bytes());
    }

    fn values<B: Bundle>(&mut self, bundle: B) {
        let mut ids = Vec::with_capacity(B::COUNT);
        B::ids(&mut ids);
        self.bytes.extend((ids.len() as u16).to_le_bytes());
        let out = &mut self.bytes;
        bundle.write(&mut |at, bytes| put_value(out, ids[at], bytes));
    }

    fn values_raw(&mut self, components: &[RawComponent<'_>]) {
        self.bytes.extend((components.len() as u16).to_le_bytes());
        for (id, bytes) in components {
            put_value(&mut self.bytes, *id, bytes);
        }
    }
}

fn put_value(out: &mut Vec<u8>, id: ComponentId, bytes: &[u8]) {
    out.extend(id.to_bits().to_le_bytes());
    out.extend((bytes.len() as u32).to_le_bytes());
    out.extend(bytes);
}

/// A command, read from a record.
#[derive(Clone, Debug, PartialEq)]
pub enum Command<'a> {
    /// A new entity.
    Spawn(Entity, Values<'a>),
    /// An entity goes.
    Despawn(Entity),
    /// Components for an entity.
    Insert(Entity, Values<'a>),
    /// Components taken from an entity.
    Remove(Entity, SmallVec<[ComponentId; 4]>),
}

/// The components of a command.
pub type Values<'a> = SmallVec<[RawComponent<'a>; 4]>;

/// Reads a record, command by command; ends after the first that does not decode.
///
/// ```
/// use engine_component::{Entity, commands::{Command, CommandBuffer, decode}};
/// let mut commands = CommandBuffer::default();
/// commands.despawn(Entity::from_bits(7));
/// let decoded: Result<Vec<_>, _> = decode(commands.bytes()).collect();
/// assert_eq!(decoded.unwrap(), [Command::Despawn(Entity::from_bits(7))]);
/// assert!(decode(&commands.bytes()[1..]).any(|command| command.is_err()));
/// ```
pub fn decode(bytes: &[u8]) -> impl Iterator<Item = Result<Command<'_>, WorldError>> {
    let mut reader = Reader { bytes, at: 0 };
    std::iter::from_fn(move || {
        if reader.at >= bytes.len() {
            return None;
        }
        let command = reader.command();
        if command.is_err() {
            reader.at = bytes.len();
        }
        Some(command)
    })
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn refuse<T>(&self, reason: impl Into<String>) -> Result<T, WorldError> {
        Err(WorldError::BadCommands { at: self.at, reason: reason.into() })
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], WorldError> {
        match self.bytes.get(self.at..).and_then(|rest| rest.get(..count)) {
            Some(taken) => {
                self.at += count;
                Ok(taken)
            }
            None => self.refuse(format!("{count} bytes are wanted where the record ends")),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WorldError> {
        let taken = self.take(N)?;
        Ok(taken.try_into().expect("just as many bytes were taken"))
    }

    fn entity(&mut self) -> Result<Entity, WorldError> {
        self.array().map(u64::from_le_bytes).map(Entity::from_bits)
    }

    fn component(&mut self) -> Result<ComponentId, WorldError> {
        self.array().map(u64::from_le_bytes).map(ComponentId::from_bits)
    }

    fn count(&mut self) -> Result<usize, WorldError> {
        let count = usize::from(u16::from_le_bytes(self.array()?));
        if count > MAX_COMPONENTS {
            return self.refuse(format!("{count} components where {MAX_COMPONENTS} are allowed"));
        }
        Ok(count)
    }

    fn values(&mut self) -> Result<Values<'a>, WorldError> {
        let count = self.count()?;
        let mut values = Values::new();
        for _ in 0..count {
            let component = self.component()?;
            let length = u32::from_le_bytes(self.array()?) as usize;
            values.push((component, self.take(length)?));
        }
        Ok(values)
    }

    fn command(&mut self) -> Result<Command<'a>, WorldError> {
        let [code] = self.array()?;
        let entity = self.entity()?;
        match code {
            SPAWN => Ok(Command::Spawn(entity, self.values()?)),
            DESPAWN => Ok(Command::Despawn(entity)),
            INSERT => Ok(Command::Insert(entity, self.values()?)),
            REMOVE => {
                let count = self.count()?;
                let mut components = SmallVec::new();
                for _ in 0..count {
                    components.push(self.component()?);
                }
                Ok(Command::Remove(entity, components))
            }
            other => self.refuse(format!("there is no command {other}")),
        }
    }
}

/// Checks a whole record from outside against the schemas, before any of it is applied. The number of
/// entities that it spawns.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn check(bytes: &[u8], registry: &Registry) -> Result<u32, WorldError> {
    let mut spawns = 0_u32;
    for command in decode(bytes) {
        match command? {
            Command::Spawn(entity, values) => {
                if entity.provisional_number() != Some(u64::from(spawns)) {
                    let reason = format!("{entity} is spawned where new#{spawns} is next");
                    return Err(WorldError::BadCommands { at: 0, reason });
                }
                spawns += 1;
                check_values(&values, registry)?;
            }
            Command::Insert(entity, values) => {
                check_entity(entity, spawns)?;
                check_values(&values, registry)?;
            }
            Command::Despawn(entity) => check_entity(entity, spawns)?,
            Command::Remove(entity, components) => {
                check_entity(entity, spawns)?;
                check_once(components.iter().copied(), registry)?;
            }
        }
    }
    Ok(spawns)
}

fn check_entity(entity: Entity, spawns: u32) -> Result<(), WorldError> {
    match entity.provisional_number() {
        Some(number) if number >= u64::from(spawns) => Err(WorldError::NoEntity(entity)),
        _ => Ok(()),
    }
}

fn check_values(values: &Values<'_>, registry: &Registry) -> Result<(), WorldError> {
    check_once(values.iter().map(|value| value.0), registry)?;
    for (component, bytes) in values {
        let info = registry.require(*component)?;
        info.schema.check_row(bytes).map_err(|reason| WorldError::BadValue {
            component: info.schema.name.clone(),
            reason: reason.to_string(),
        })?;
    }
    Ok(())
}

fn check_once(components: impl Iterator<Item = ComponentId>, registry: &Registry) -> Result<(), WorldError> {
    let mut seen: SmallVec<[ComponentId; 8]> = SmallVec::new();
    for component in components {
        registry.require(component)?;
        if seen.contains(&component) {
            return Err(WorldError::Twice(registry.name(component)));
        }
        seen.push(component);
    }
    Ok(())
}

/// What a record of commands did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// The entities in the order of their spawns: the n-th stands for the n-th provisional one.
    pub spawned: Vec<Entity>,
    /// The entities that went.
    pub despawned: Vec<Entity>,
    /// Commands on entities that did not exist any more; they did nothing.
    pub missed: u32,
}

impl World {
    /// Applies a record of commands in its order. Commands on entities that are gone are counted and
    /// passed over: they were there when the record was written.
    ///
    /// # Errors
    /// When the record does not pass [`check`]; then nothing of it is applied.
    pub fn apply(&mut self, bytes: &[u8]) -> Result<Applied, WorldError> {
        // All numbers are given first: a value may name an entity that is spawned after it, and what hooks
        // spawn comes after all of them.
        let spawns = check(bytes, self.registry())?;
        let first = self.reserve_entities(u64::from(spawns));
        self.apply_checked(bytes, first, spawns)
    }

    /// The next `count` entities, not spawned yet: for records whose entities are named before they are
    /// applied. The first one; the others follow it.
    pub fn reserve_entities(&mut self, count: u64) -> Entity {
        Entity::from_bits(self.entities.allocate_many(count))
    }

    /// As [`Self::apply`], with entities that were reserved: the n-th spawn of the record is the n-th one
    /// from `first` on.
    ///
    /// # Errors
    /// As [`Self::apply`], and when the entities are not reserved, or one of them lives.
    pub fn apply_reserved(&mut self, bytes: &[u8], first: Entity) -> Result<Applied, WorldError> {
        let spawns = check(bytes, self.registry())?;
        let numbers = first.to_bits()..first.to_bits().saturating_add(u64::from(spawns));
        if first.is_none() || numbers.end > self.next_entity() {
            return Err(WorldError::NoEntity(first));
        }
        match numbers.map(Entity::from_bits).find(|entity| self.contains(*entity)) {
            Some(taken) => Err(WorldError::Taken(taken)),
            None => self.apply_checked(bytes, first, spawns),
        }
    }

    fn apply_checked(&mut self, bytes: &[u8], first: Entity, spawns: u32) -> Result<Applied, WorldError> {
        let mut applied = Applied::default();
        applied.spawned.reserve(spawns as usize);
        let real = |entity: Entity| entity.resolved(first, spawns);
        for command in decode(bytes) {
            match command? {
                Command::Spawn(entity, values) => {
                    let values = self.resolve(values, &real);
                    self.spawn_allocated(real(entity), &values.as_raw())?;
                    applied.spawned.push(real(entity));
                }
                Command::Despawn(entity) => match self.despawn(real(entity)) {
                    Ok(()) => applied.despawned.push(real(entity)),
                    Err(_) => applied.missed += 1,
                },
                Command::Insert(entity, values) => {
                    let values = self.resolve(values, &real);
                    applied.missed += u32::from(self.insert_raw(real(entity), &values.as_raw()).is_err());
                }
                Command::Remove(entity, components) => {
                    applied.missed += u32::from(self.remove_raw(real(entity), &components).is_err());
                }
            }
        }
        Ok(applied)
    }

    /// Replaces provisional entities inside of values.
    fn resolve<'a>(&self, values: Values<'a>, real: &impl Fn(Entity) -> Entity) -> Resolved<'a> {
        let mut resolved = Resolved::default();
        for (component, bytes) in values {
            resolved.push(component, self.resolve_value(component, bytes, real), bytes);
        }
        resolved
    }

    fn resolve_value(&self, component: ComponentId, bytes: &[u8], real: &impl Fn(Entity) -> Entity) -> Option<Vec<u8>> {
        let info = self.registry().get(component)?;
        let mut copy = None;
        resolve_entities(info.schema.kind, &info.entity_offsets, bytes, real, &mut copy);
        copy
    }
}

/// Replaces the provisional entities of one value; makes a copy only when there is one.
pub(crate) fn resolve_entities(
    kind: StorageKind,
    offsets: &[u32],
    bytes: &[u8],
    real: &impl Fn(Entity) -> Entity,
    copy: &mut Option<Vec<u8>>,
) {
    match kind {
        StorageKind::Plain => {
            for offset in offsets {
                let at = *offset as usize;
                let field: [u8; 8] = bytes[at..at + 8].try_into().expect("an entity has eight bytes");
                let entity = Entity::from_bits(u64::from_le_bytes(field));
                if entity.is_provisional() {
                    let copy = copy.get_or_insert_with(|| bytes.to_vec());
                    copy[at..at + 8].copy_from_slice(&real(entity).to_bits().to_le_bytes());
                }
            }
        }
        StorageKind::Document => {
            let mut changed = bytes.to_vec();
            crate::msgpack::for_each_entity(&mut changed, real);
            if changed != bytes {
                *copy = Some(changed);
            }
        }
        StorageKind::Tag => {}
    }
}

/// A value, and its replacement when an entity inside of it was replaced.
type ResolvedValue<'a> = (ComponentId, Option<Vec<u8>>, &'a [u8]);

/// Values of a command with their entities replaced: borrowed where nothing was.
#[derive(Default)]
struct Resolved<'a> {
    values: SmallVec<[ResolvedValue<'a>; 4]>,
}

impl<'a> Resolved<'a> {
    fn push(&mut self, component: ComponentId, replaced: Option<Vec<u8>>, bytes: &'a [u8]) {
        self.values.push((component, replaced, bytes));
    }

    fn as_raw(&self) -> SmallVec<[RawComponent<'_>; 4]> {
        self.values
            .iter()
            .map(|(component, replaced, bytes)| (*component, replaced.as_deref().unwrap_or(bytes)))
            .collect()
    }
}
