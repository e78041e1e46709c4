//! The world: tables of entities, the types that they are made of, and what changed in them.

use std::ops::Range;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::column::Column;
use crate::commands::CommandBuffer;
use crate::data::{Component, Plain, Ref, Storage};
use crate::edges::Edges;
use crate::entities::{Entities, Location, TableId};
use crate::error::WorldError;
use crate::hash::{WorldHash, hash_rows, hash_tables};
use crate::hooks::{Hook, Hooks, MAX_DEPTH, On};
use crate::memory::ColumnMemory;
use crate::registry::{ComponentInfo, Registry};
use crate::schema::Schema;
use crate::table::Table;
use crate::table_mut::TableMut;
use crate::{ArchetypeId, ComponentId, Entity};

/// What is fixed for the life of a world, because the world hash depends on it.
///
/// ```
/// use engine_component::{World, WorldSettings};
/// assert!(World::new(WorldSettings { rows_per_shard: 1024 }).is_ok());
/// assert!(World::new(WorldSettings { rows_per_shard: 1000 }).is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorldSettings {
    /// Rows of a shard: a multiple of 64.
    pub rows_per_shard: usize,
}

impl Default for WorldSettings {
    fn default() -> Self {
        Self { rows_per_shard: 4096 }
    }
}

impl WorldSettings {
    /// # Errors
    /// When `rows_per_shard` is not a multiple of 64 from 64 to 2^20.
    pub fn check(&self) -> Result<(), WorldError> {
        if self.rows_per_shard.is_multiple_of(64) && (64..=1 << 20).contains(&self.rows_per_shard) {
            return Ok(());
        }
        Err(WorldError::BadSetting(format!(
            "rows_per_shard is {}: it has to be a multiple of 64 from 64 to 1048576",
            self.rows_per_shard
        )))
    }
}

/// All entities and their components.
///
/// ```
/// use engine_component::{Component, World};
///
/// #[derive(Component, Clone, Copy, PartialEq, Debug)]
/// #[repr(C)]
/// #[component(name = "doc.Position")]
/// struct Position { x: f32, y: f32 }
///
/// let mut world = World::default();
/// let entity = world.spawn((Position { x: 1.0, y: 2.0 },));
/// world.get_mut::<Position>(entity).unwrap().x = 3.0;
/// assert_eq!(*world.get::<Position>(entity).unwrap(), Position { x: 3.0, y: 2.0 });
/// world.despawn(entity).unwrap();
/// assert!(!world.contains(entity));
/// ```
#[derive(Debug, Default)]
pub struct World {
    settings: WorldSettings,
    pub(crate) registry: Registry,
    pub(crate) tables: Vec<Table>,
    /// Table ids in the order of their archetypes' ids.
    sorted: Vec<TableId>,
    by_archetype: FxHashMap<ArchetypeId, TableId>,
    pub(crate) entities: Entities,
    pub(crate) edges: Edges,
    pub(crate) hooks: Hooks,
    pub(crate) version: u64,
    /// Whether the entities of tables have a journal.
    journaled: bool,
    memory: Option<Arc<dyn ColumnMemory>>,
}

impl World {
    /// An empty world.
    ///
    /// # Errors
    /// When a setting is out of its range.
    pub fn new(settings: WorldSettings) -> Result<Self, WorldError> {
        settings.check()?;
        Ok(Self { settings, ..Self::default() })
    }

    /// The settings that the world was made with.
    #[must_use]
    pub fn settings(&self) -> WorldSettings {
        self.settings
    }

    /// Makes a component type known. Spawning does it too.
    ///
    /// # Errors
    /// As [`Registry::register`].
    pub fn register<T: crate::data::Data>(&mut self) -> Result<ComponentId, WorldError> {
        self.registry.register(T::schema())
    }

    /// Makes a component type known by its schema alone.
    ///
    /// # Errors
    /// As [`Registry::register`].
    pub fn register_schema(&mut self, schema: Schema) -> Result<ComponentId, WorldError> {
        self.registry.register(schema)
    }

    /// The component types that are known.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The schema of a component.
    #[must_use]
    pub fn schema(&self, component: ComponentId) -> Option<&Schema> {
        self.registry.get(component).map(|info| &info.schema)
    }

    /// From now on large Plain columns and the entities of large tables are in this memory, while it has room;
    /// on the heap for `None`. Those that there are move: pays for all their bytes, and for nothing when it is
    /// the memory already.
    pub fn set_memory(&mut self, memory: Option<Arc<dyn ColumnMemory>>) {
        self.tables.iter_mut().for_each(|table| table.set_memory(memory.as_ref()));
        self.memory = memory;
    }

    /// The number of living entities.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entities.len()
    }

    /// Whether no entity lives.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the entity lives.
    #[inline]
    #[must_use]
    pub fn contains(&self, entity: Entity) -> bool {
        self.entities.get(entity).is_some()
    }

    /// Where the entity is.
    #[inline]
    #[must_use]
    pub fn location(&self, entity: Entity) -> Option<Location> {
        self.entities.get(entity)
    }

    /// Whether the entity lives and has the component.
    #[must_use]
    pub fn has(&self, entity: Entity, component: ComponentId) -> bool {
        self.entities.get(entity).is_some_and(|location| self.table(location.table).column_index(component).is_some())
    }

    /// Entities that were despawned since the last call, in order. They are noted from the first call on, so
    /// whoever calls once goes on calling.
    ///
    /// ```
    /// # use engine_component::{Component, World};
    /// # #[derive(Component, Clone, Copy)]
    /// # #[component(name = "doc.Alive")]
    /// # struct Alive;
    /// let mut world = World::default();
    /// world.register::<Alive>()?;
    /// assert!(world.take_despawned().is_empty());
    /// let entity = world.spawn(Alive);
    /// world.despawn(entity)?;
    /// assert_eq!(world.take_despawned(), [entity]);
    /// assert!(world.take_despawned().is_empty());
    /// # Ok::<(), engine_component::WorldError>(())
    /// ```
    pub fn take_despawned(&mut self) -> Vec<Entity> {
        self.entities.take_removed()
    }

    /// The number that the next entity gets.
    #[must_use]
    pub fn next_entity(&self) -> u64 {
        self.entities.next()
    }

    /// All tables, in the order of their creation.
    #[must_use]
    pub fn tables(&self) -> &[Table] {
        &self.tables
    }

    /// All tables, to be written. The caller marks what it changed.
    pub fn tables_mut(&mut self) -> impl Iterator<Item = TableMut<'_>> {
        self.tables.iter_mut().map(TableMut::new)
    }

    pub(crate) fn all_tables_mut(&mut self) -> &mut [Table] {
        &mut self.tables
    }

    /// The table of exactly these components, sorted by id.
    pub(crate) fn table_with(&self, components: &[ComponentId]) -> Option<&Table> {
        let table = self.table(*self.by_archetype.get(&ArchetypeId::of(components))?);
        Some(table).filter(|table| table.components() == components)
    }

    /// One table.
    ///
    /// # Panics
    /// When it is of another world.
    #[must_use]
    pub fn table(&self, id: TableId) -> &Table {
        &self.tables[id.index()]
    }

    /// One table, to be written.
    ///
    /// # Panics
    /// When it is of another world.
    pub fn table_mut(&mut self, id: TableId) -> TableMut<'_> {
        TableMut::new(&mut self.tables[id.index()])
    }

    /// The ids of all tables in the order of their archetypes' ids: the order in which everything visits
    /// them, since it does not depend on how the world came about.
    #[must_use]
    pub fn sorted_tables(&self) -> &[TableId] {
        &self.sorted
    }

    /// The current version, with which changes are marked.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Begins a new version: whoever remembers the old one can tell what changes from now on.
    pub fn advance_version(&mut self) -> u64 {
        self.version += 1;
        self.version
    }

    /// The component of an entity; a document is decoded. `None` when there is no such entity, it has no
    /// such component, or the document is not of that type.
    #[inline]
    #[must_use]
    pub fn get<T: Component>(&self, entity: Entity) -> Option<Ref<'_, T>> {
        let location = self.entities.get(entity)?;
        let table = &self.tables[location.table.index()];
        let column = table.column(table.column_index(T::ID)?);
        T::Storage::view(column.row(location.row as usize)).ok()
    }

    /// The Plain component of an entity, to be written; it counts as changed. `None` when there is no such
    /// entity, it has no such component, or one of another size is registered under its name.
    #[inline]
    pub fn get_mut<T: Component + Plain>(&mut self, entity: Entity) -> Option<&mut T> {
        let location = self.entities.get(entity)?;
        let table = &mut self.tables[location.table.index()];
        let index = table.column_index(T::ID)?;
        let column = &mut table.columns[index];
        if column.stride() != size_of::<T>() {
            return None;
        }
        let row = location.row as usize;
        column.changes.touch(row, self.version);
        bytemuck::cast_slice_mut(column.bytes_mut()).get_mut(row)
    }

    /// Replaces a component that the entity has.
    ///
    /// # Errors
    /// When there is no such entity, or it has no such component.
    pub fn set<T: Component>(&mut self, entity: Entity, value: &T) -> Result<(), WorldError> {
        T::Storage::with_bytes(value, |bytes| self.set_raw(entity, T::ID, bytes))
    }

    /// As [`Self::set`], from bytes that the schema's check has accepted.
    ///
    /// # Errors
    /// When there is no such entity, it has no such component, or the bytes are of another length.
    pub fn set_raw(&mut self, entity: Entity, component: ComponentId, bytes: &[u8]) -> Result<(), WorldError> {
        let location = self.entities.get(entity).ok_or(WorldError::NoEntity(entity))?;
        self.registry.require(component)?.check_length(bytes)?;
        let table = &mut self.tables[location.table.index()];
        let Some(index) = table.column_index(component) else {
            return Err(WorldError::NoComponent { entity, component: self.registry.name(component) });
        };
        table.columns[index].set_row(location.row as usize, bytes, self.version);
        Ok(())
    }

    /// The bytes of a component of an entity.
    #[must_use]
    pub fn get_raw(&self, entity: Entity, component: ComponentId) -> Option<&[u8]> {
        let location = self.entities.get(entity)?;
        let table = &self.tables[location.table.index()];
        Some(table.column(table.column_index(component)?).row(location.row as usize))
    }

    /// The table of a set of components (sorted, without duplicates), made when there is none.
    pub(crate) fn table_of(&mut self, components: &[ComponentId]) -> Result<TableId, WorldError> {
        let archetype = ArchetypeId::of(components);
        if let Some(id) = self.by_archetype.get(&archetype) {
            if self.tables[id.index()].components() != components {
                return Err(WorldError::ArchetypeCollision);
            }
            return Ok(*id);
        }
        let id = self.add_table(archetype, components)?;
        let place = self.sorted.partition_point(|other| self.tables[other.index()].archetype() < archetype);
        self.sorted.insert(place, id);
        Ok(id)
    }

    /// The caller has looked whether there is one, and puts it in its place among the sorted ones.
    fn add_table(&mut self, archetype: ArchetypeId, components: &[ComponentId]) -> Result<TableId, WorldError> {
        let infos: Result<Vec<&ComponentInfo>, _> =
            components.iter().map(|component| self.registry.require(*component)).collect();
        let columns = infos?.into_iter().map(|info| {
            let mut column = Column::with_trackers(&info.schema, info.trackers);
            if info.journaled {
                column.changes.keep_journal(0, 0);
            }
            column
        });
        let columns = columns.collect();
        let id = TableId(u32::try_from(self.tables.len()).expect("fewer archetypes than 2^32"));
        let mut table = Table::new(Arc::from(components), columns);
        if self.journaled {
            table.entity_changes.keep_journal(0, 0);
        }
        table.set_memory(self.memory.as_ref());
        self.tables.push(table);
        self.by_archetype.insert(archetype, id);
        Ok(id)
    }

    /// Makes all tables of a world that has none, in this order; the place of one that would be there twice.
    pub(crate) fn restore_tables<'a>(
        &mut self,
        tables: impl Iterator<Item = &'a [ComponentId]>,
    ) -> Result<Option<usize>, WorldError> {
        for (place, components) in tables.enumerate() {
            let archetype = ArchetypeId::of(components);
            if self.by_archetype.contains_key(&archetype) {
                return Ok(Some(place));
            }
            let id = self.add_table(archetype, components)?;
            self.sorted.push(id);
        }
        self.sorted.sort_unstable_by_key(|id| self.tables[id.index()].archetype());
        Ok(None)
    }

    /// The number of trackers that a component has: those that [`Self::track`] gave have the numbers below it.
    #[must_use]
    pub fn trackers(&self, component: ComponentId) -> usize {
        self.registry.get(component).map_or(0, |info| info.trackers)
    }

    /// Begins to track the rows of a component that change; all rows that are there count as changed.
    /// The tracker's number among those of the component.
    ///
    /// ```
    /// use engine_component::{Component, Data, World};
    /// # #[derive(Component, Clone, Copy, PartialEq, Debug)]
    /// # #[repr(C)]
    /// # #[component(name = "doc.Position")]
    /// # struct Position { x: f32 }
    /// let mut world = World::default();
    /// let entities = world.spawn_batch((0..3_u8).map(|x| Position { x: x.into() }));
    /// let tracker = world.track(Position::ID).unwrap();
    /// world.clear_tracker(Position::ID, tracker);
    /// world.set(entities[1], &Position { x: 9.0 }).unwrap();
    /// let rows = world.tables()[0].column(0).tracked(tracker);
    /// assert_eq!(rows.iter_ones().collect::<Vec<_>>(), [1]);
    /// ```
    ///
    /// # Errors
    /// When no such component is registered.
    pub fn track(&mut self, component: ComponentId) -> Result<usize, WorldError> {
        self.registry.require(component)?;
        let info = self.registry.get_mut(component).ok_or(WorldError::UnknownComponent(component))?;
        let tracker = info.trackers;
        info.trackers += 1;
        for table in &mut self.tables {
            if let Some(index) = table.column_index(component) {
                let column = &mut table.columns[index];
                column.changes.add_tracker(column.len());
            }
        }
        Ok(tracker)
    }

    /// Begins to note which rows of a component change in which version, so that
    /// [`Column::changed_since`] is exact for whoever asks every few versions. The entities of tables are noted
    /// as well. Costs about 550 bytes per block of [`BLOCK_ROWS`](crate::BLOCK_ROWS) rows; asking again does
    /// nothing. It is no part of the world: neither of its hash nor of its image.
    ///
    /// ```
    /// use engine_component::{Component, Data, World};
    /// # #[derive(Component, Clone, Copy, PartialEq, Debug)]
    /// # #[repr(C)]
    /// # #[component(name = "doc.Position")]
    /// # struct Position { x: f32 }
    /// let mut world = World::default();
    /// let entities = world.spawn_batch((0..3_u8).map(|x| Position { x: x.into() }));
    /// world.keep_journal(Position::ID).unwrap();
    /// let copied = world.advance_version();
    /// world.advance_version();
    /// world.set(entities[1], &Position { x: 9.0 }).unwrap();
    /// let rows = world.tables()[0].column(0).changed_since(copied, 0..3);
    /// assert_eq!(rows.iter_ones().collect::<Vec<_>>(), [1]);
    /// ```
    ///
    /// # Errors
    /// When no such component is registered.
    pub fn keep_journal(&mut self, component: ComponentId) -> Result<(), WorldError> {
        self.registry.require(component)?;
        let info = self.registry.get_mut(component).ok_or(WorldError::UnknownComponent(component))?;
        info.journaled = true;
        self.journaled = true;
        for table in &mut self.tables {
            let rows = table.len();
            table.entity_changes.keep_journal(rows, self.version);
            if let Some(index) = table.column_index(component) {
                table.columns[index].changes.keep_journal(rows, self.version);
            }
        }
        Ok(())
    }

    /// Forgets what a tracker has seen, in all tables.
    pub fn clear_tracker(&mut self, component: ComponentId, tracker: usize) {
        for table in &mut self.tables {
            if let Some(index) = table.column_index(component) {
                table.columns[index].changes.clear_tracker(tracker);
            }
        }
    }

    /// Adds a hook.
    ///
    /// # Errors
    /// As [`Self::register`].
    pub fn observe<T: Component>(
        &mut self,
        on: On,
        hook: impl Fn(&World, Entity, &mut CommandBuffer) + Send + Sync + 'static,
    ) -> Result<(), WorldError> {
        let component = self.register::<T>()?;
        if on == On::Change && !self.hooks.changed.iter().any(|(known, _)| *known == component) {
            let tracker = self.track(component)?;
            self.hooks.changed.push((component, tracker));
        }
        self.hooks.add(component, on, Arc::new(hook) as Arc<Hook>);
        Ok(())
    }

    /// Runs the hooks of all rows that changed since the last call, in the order of table and row.
    pub fn run_change_hooks(&mut self) {
        for (component, tracker) in self.hooks.changed.clone() {
            let mut changed = Vec::new();
            for id in &self.sorted {
                let table = &self.tables[id.index()];
                if let Some(index) = table.column_index(component) {
                    changed.extend(table.column(index).tracked(tracker).iter_ones().map(|row| table.entities[row]));
                }
            }
            self.clear_tracker(component, tracker);
            for entity in changed {
                self.run_hooks(component, On::Change, entity);
            }
        }
    }

    /// Runs the hooks of a component of an entity, unless another hook took it away already.
    pub(crate) fn run_hooks(&mut self, component: ComponentId, on: On, entity: Entity) {
        let hooks = self.hooks.of(component, on);
        if hooks.is_empty() || self.hooks.depth == MAX_DEPTH || !self.has(entity, component) {
            return;
        }
        let mut commands = CommandBuffer::default();
        for hook in hooks {
            hook(self, entity, &mut commands);
        }
        self.hooks.depth += 1;
        // The buffer is our own, so it decodes; entities that are gone are skipped.
        let _ = self.apply(commands.bytes());
        self.hooks.depth -= 1;
    }

    /// The hash of all entities and components. Pays for the blocks that changed since the last call.
    pub fn hash(&mut self) -> WorldHash {
        let sorted = self.sorted.iter().map(|id| id.index());
        let hash = hash_tables(&self.registry, &mut self.tables, sorted, self.entities.next());
        self.version += 1;
        hash
    }

    /// Does a part of what [`Self::hash`] does, ahead of it: for rows of columns that won't change any more before that,
    /// as long as a core's cache has them. Whatever changes all the same is hashed again.
    ///
    /// # Panics
    /// When there is no such table.
    pub fn hash_ahead(&mut self, columns: impl Iterator<Item = (TableId, usize, Range<usize>)>) {
        for (table, column, rows) in columns {
            hash_rows(&self.registry, &mut self.tables[table.index()], column, &rows);
        }
        self.version += 1;
    }

    /// Bytes on the heap and in the memory for columns: columns, entities and the entity index.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.tables.iter().map(Table::heap_bytes).sum::<usize>() + self.entities.heap_bytes()
    }

    /// # Panics
    /// When the world contradicts itself.
    pub fn check_invariants(&self) {
        let mut rows = 0;
        for (index, table) in self.tables.iter().enumerate() {
            table.check_invariants();
            rows += table.len();
            for (row, entity) in table.entities().iter().enumerate() {
                let location = self.entities.get(*entity).expect("a row's entity is in the index");
                assert_eq!((location.table.index(), location.row as usize), (index, row));
            }
        }
        assert_eq!(rows, self.entities.len());
    }
}
