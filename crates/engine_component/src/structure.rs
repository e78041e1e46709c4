//! Structural changes: spawn, despawn, insert, remove.
//!
//! Each moves whole rows between tables: appended at the target's end, swap-removed from the source. A
//! refused change leaves the world as it was.

use std::any::TypeId;

use smallvec::SmallVec;

use crate::bundle::Bundle;
use crate::edges::{Edge, EdgeKey, Given, Step};
use crate::entities::{Location, TableId};
use crate::error::WorldError;
use crate::hooks::On;
use crate::registry::ComponentInfo;
use crate::table::Table;
use crate::world::World;
use crate::{ComponentId, Entity};

impl ComponentInfo {
    /// Plain values have exactly the bytes of their schema, tags none.
    pub(crate) fn check_length(&self, bytes: &[u8]) -> Result<(), WorldError> {
        use crate::data::StorageKind;
        if self.schema.kind == StorageKind::Document || bytes.len() == self.schema.stride() {
            return Ok(());
        }
        Err(WorldError::BadValue {
            component: self.schema.name.clone(),
            reason: format!("{} bytes instead of {}", bytes.len(), self.schema.stride()),
        })
    }
}

/// A component by its id, and its bytes.
pub type RawComponent<'a> = (ComponentId, &'a [u8]);

impl World {
    /// Spawns an entity.
    ///
    /// # Panics
    /// When a component type disagrees with one that is registered under its name, or is given twice: both
    /// are mistakes of the program.
    pub fn spawn<B: Bundle>(&mut self, bundle: B) -> Entity {
        let edge = self.bundle_edge::<B>(None, Step::Insert).unwrap_or_else(|error| panic!("spawn: {error}"));
        let entity = self.entities.allocate();
        self.append_bundle(entity, edge, bundle);
        self.run_add_hooks(edge, entity);
        entity
    }

    /// Sets a resource: a component on an entity of its own, of which a world has one.
    ///
    /// ```
    /// use engine_component::{Component, World};
    /// # #[derive(Component, Clone, Copy)]
    /// # #[repr(C)]
    /// # #[component(name = "doc.Wind")]
    /// # struct Wind { x: f32 }
    /// let mut world = World::default();
    /// world.insert_resource(Wind { x: 1.0 });
    /// world.insert_resource(Wind { x: 2.0 });
    /// assert_eq!(world.resource::<Wind>().unwrap().x, 2.0);
    /// assert_eq!(world.len(), 1);
    /// ```
    ///
    /// # Panics
    /// When the type disagrees with one that is registered under its name.
    pub fn insert_resource<R: crate::data::Component>(&mut self, resource: R) -> Entity {
        let holder = self.resource_entity(R::ID);
        match holder {
            Some(entity) => {
                let set = self.set(entity, &resource);
                debug_assert!(set.is_ok(), "the entity was just found");
                entity
            }
            None => self.spawn((resource,)),
        }
    }

    /// A resource's value.
    #[must_use]
    pub fn resource<R: crate::data::Component>(&self) -> Option<crate::data::Ref<'_, R>> {
        self.get(self.resource_entity(R::ID)?)
    }

    /// The entity that holds a resource: the first one with nothing but that component.
    fn resource_entity(&self, resource: ComponentId) -> Option<Entity> {
        let table = self.tables.iter().find(|table| table.components() == [resource])?;
        table.entities.first().copied()
    }

    /// Spawns an entity for each bundle; looks the table up once. The entities follow one another.
    ///
    /// # Panics
    /// As [`Self::spawn`].
    pub fn spawn_batch<B: Bundle>(&mut self, bundles: impl IntoIterator<Item = B>) -> Vec<Entity> {
        let edge = self.bundle_edge::<B>(None, Step::Insert).unwrap_or_else(|error| panic!("spawn_batch: {error}"));
        let first = self.entities.next();
        {
            let mut batch = Batch::begin(self, edge);
            let bundles = bundles.into_iter();
            batch.table().reserve(bundles.size_hint().0);
            bundles.for_each(|bundle| batch.push(bundle));
        }
        let spawned: Vec<Entity> = (first..self.entities.next()).map(Entity::from_bits).collect();
        if !self.hooks.is_empty() {
            for entity in &spawned {
                self.run_add_hooks(edge, *entity);
            }
        }
        spawned
    }

    /// Spawns `rows` entities from whole columns of Plain components and tags: the fastest way in. The
    /// entities follow one another; the first is returned.
    ///
    /// ```
    /// use engine_component::{Component, Data, World};
    /// # #[derive(Component, Clone, Copy, PartialEq, Debug)]
    /// # #[repr(C)]
    /// # #[component(name = "doc.Position")]
    /// # struct Position { x: f32 }
    /// let mut world = World::default();
    /// world.register::<Position>().unwrap();
    /// let places: Vec<u8> = (0..1000_u16).flat_map(|x| f32::from(x).to_le_bytes()).collect();
    /// world.spawn_columns(1000, &[(Position::ID, &places)]).unwrap();
    /// assert_eq!(world.len(), 1000);
    /// ```
    ///
    /// # Errors
    /// When a component is not known, is a document, is given twice, or its bytes are not `rows` values.
    pub fn spawn_columns(&mut self, rows: usize, columns: &[RawComponent<'_>]) -> Result<Entity, WorldError> {
        for (component, bytes) in columns {
            let info = self.registry.require(*component)?;
            let fits =
                bytes.len() == rows * info.schema.stride() && info.schema.kind != crate::data::StorageKind::Document;
            if !fits {
                return Err(WorldError::BadValue {
                    component: info.schema.name.clone(),
                    reason: format!("{} bytes for {rows} rows of {}", bytes.len(), info.schema.stride()),
                });
            }
        }
        let edge = self.raw_edge(None, Step::Insert, columns.iter().map(|column| column.0))?;
        let Edge { target, given, .. } = self.edges.get(edge).clone();
        let table = &mut self.tables[target.index()];
        table.append_entities(rows, target, &mut self.entities, self.version);
        for (place, (_, bytes)) in given.iter().zip(columns) {
            table.columns[usize::from(*place)].extend(rows, bytes, self.version);
        }
        let first = Entity::from_bits(self.entities.next() - rows as u64);
        if !self.hooks.is_empty() {
            for number in 0..rows as u64 {
                self.run_add_hooks(edge, Entity::from_bits(first.to_bits() + number));
            }
        }
        Ok(first)
    }

    /// Spawns an entity from bytes that the schemas' checks have accepted.
    ///
    /// # Errors
    /// When a component is not known, is given twice, or its bytes are of another length.
    pub fn spawn_raw(&mut self, components: &[RawComponent<'_>]) -> Result<Entity, WorldError> {
        self.check_raw(components)?;
        let edge = self.raw_edge(None, Step::Insert, components.iter().map(|component| component.0))?;
        let entity = self.entities.allocate();
        self.append_raw(entity, edge, components);
        self.run_add_hooks(edge, entity);
        Ok(entity)
    }

    /// As [`Self::spawn_raw`], for an entity that has its number already.
    pub(crate) fn spawn_allocated(
        &mut self,
        entity: Entity,
        components: &[RawComponent<'_>],
    ) -> Result<(), WorldError> {
        self.check_raw(components)?;
        let edge = self.raw_edge(None, Step::Insert, components.iter().map(|component| component.0))?;
        self.append_raw(entity, edge, components);
        self.run_add_hooks(edge, entity);
        Ok(())
    }

    /// Removes an entity.
    ///
    /// # Errors
    /// When there is no such entity.
    pub fn despawn(&mut self, entity: Entity) -> Result<(), WorldError> {
        if !self.contains(entity) {
            return Err(WorldError::NoEntity(entity));
        }
        if !self.hooks.is_empty() {
            self.run_despawn_hooks(entity);
        }
        // A hook may have moved it, or despawned it itself.
        let Some(location) = self.entities.get(entity) else { return Ok(()) };
        let moved = self.tables[location.table.index()].swap_remove(location.row as usize, self.version);
        self.entities.remove(entity);
        if let Some(moved) = moved {
            self.entities.set(moved, location);
        }
        Ok(())
    }

    /// Gives an entity components; those that it has are replaced.
    ///
    /// ```
    /// use engine_component::{Component, Data, World};
    /// # #[derive(Component, Clone, Copy, PartialEq, Debug)]
    /// # #[repr(C)]
    /// # #[component(name = "doc.Position")]
    /// # struct Position { x: f32 }
    /// # #[derive(Component, Clone, Copy)]
    /// # #[component(name = "doc.Frozen")]
    /// # struct Frozen;
    /// let mut world = World::default();
    /// let entity = world.spawn(Position { x: 1.0 });
    /// world.insert(entity, (Position { x: 2.0 }, Frozen)).unwrap();
    /// assert_eq!(world.get::<Position>(entity).unwrap().x, 2.0);
    /// world.remove::<Frozen>(entity).unwrap();
    /// assert!(!world.has(entity, Frozen::ID));
    /// ```
    ///
    /// # Errors
    /// When there is no such entity, or a component type disagrees with a registered one.
    pub fn insert<B: Bundle>(&mut self, entity: Entity, bundle: B) -> Result<(), WorldError> {
        let Some(location) = self.entities.get(entity) else { return Err(WorldError::NoEntity(entity)) };
        let edge = self.bundle_edge::<B>(Some(location.table), Step::Insert)?;
        let way = self.edges.get(edge);
        let (target, given) = (way.target, &way.given[..]);
        let (row, version) = (location.row as usize, self.version);
        if target == location.table {
            let table = &mut self.tables[target.index()];
            bundle.write(&mut |at, bytes| table.columns[usize::from(given[at])].set_row(row, bytes, version));
            return Ok(());
        }
        let [source, table] = pair(&mut self.tables, location.table, target);
        // Before the row leaves its table: whoever makes bytes of a document may panic.
        bundle.write(&mut |at, bytes| table.columns[usize::from(given[at])].push(bytes, version));
        let displaced = source.move_row(row, table, way, version);
        self.moved(entity, location, displaced, target);
        self.run_add_hooks(edge, entity);
        Ok(())
    }

    /// As [`Self::insert`], from bytes that the schemas' checks have accepted.
    ///
    /// # Errors
    /// When there is no such entity, a component is not known, is given twice, or its bytes are of another
    /// length.
    pub fn insert_raw(&mut self, entity: Entity, components: &[RawComponent<'_>]) -> Result<(), WorldError> {
        let Some(location) = self.entities.get(entity) else { return Err(WorldError::NoEntity(entity)) };
        self.check_raw(components)?;
        let edge = self.raw_edge(Some(location.table), Step::Insert, components.iter().map(|component| component.0))?;
        let way = self.edges.get(edge);
        let (target, given) = (way.target, &way.given[..]);
        let (row, version) = (location.row as usize, self.version);
        if target == location.table {
            let table = &mut self.tables[target.index()];
            for (place, (_, bytes)) in given.iter().zip(components) {
                table.columns[usize::from(*place)].set_row(row, bytes, version);
            }
            return Ok(());
        }
        let [source, table] = pair(&mut self.tables, location.table, target);
        for (place, (_, bytes)) in given.iter().zip(components) {
            table.columns[usize::from(*place)].push(bytes, version);
        }
        let displaced = source.move_row(row, table, way, version);
        self.moved(entity, location, displaced, target);
        self.run_add_hooks(edge, entity);
        Ok(())
    }

    /// Takes components from an entity; those that it does not have are passed over.
    ///
    /// # Errors
    /// When there is no such entity.
    pub fn remove<B: Bundle>(&mut self, entity: Entity) -> Result<(), WorldError> {
        let Some(location) = self.entities.get(entity) else { return Err(WorldError::NoEntity(entity)) };
        let edge = self.bundle_edge::<B>(Some(location.table), Step::Remove)?;
        self.remove_along(entity, location, edge)
    }

    /// As [`Self::remove`], by ids.
    ///
    /// # Errors
    /// When there is no such entity, or a component is not known.
    pub fn remove_raw(&mut self, entity: Entity, components: &[ComponentId]) -> Result<(), WorldError> {
        let Some(location) = self.entities.get(entity) else { return Err(WorldError::NoEntity(entity)) };
        let edge = self.raw_edge(Some(location.table), Step::Remove, components.iter().copied())?;
        self.remove_along(entity, location, edge)
    }

    #[inline]
    fn remove_along(&mut self, entity: Entity, location: Location, edge: usize) -> Result<(), WorldError> {
        if self.edges.get(edge).target == location.table {
            return Ok(());
        }
        if self.hooks.is_empty() {
            self.move_along(entity, location, edge);
            return Ok(());
        }
        self.remove_with_hooks(entity, edge)
    }

    fn remove_with_hooks(&mut self, entity: Entity, edge: usize) -> Result<(), WorldError> {
        let lost = self.edges.get(edge).changed.clone();
        for component in &lost {
            self.run_hooks(*component, On::Remove, entity);
        }
        // Hooks may have moved its row, changed what else it has, or despawned it.
        let Some(location) = self.entities.get(entity) else { return Ok(()) };
        let edge = self.raw_edge(Some(location.table), Step::Remove, lost.into_iter())?;
        if self.edges.get(edge).target != location.table {
            self.move_along(entity, location, edge);
        }
        Ok(())
    }

    /// Moves an entity along an edge on which nothing is given to it.
    #[inline]
    fn move_along(&mut self, entity: Entity, location: Location, edge: usize) {
        let way = self.edges.get(edge);
        let target = way.target;
        let [source, table] = pair(&mut self.tables, location.table, target);
        let displaced = source.move_row(location.row as usize, table, way, self.version);
        self.moved(entity, location, displaced, target);
    }

    /// Runs the hooks of everything that a despawned entity loses, in the order of its components, each once;
    /// what hooks give it meanwhile is lost too.
    fn run_despawn_hooks(&mut self, entity: Entity) {
        let mut told: smallvec::SmallVec<[ComponentId; 8]> = smallvec::SmallVec::new();
        while let Some(location) = self.entities.get(entity) {
            let held = self.table(location.table).components();
            let Some(component) = held.iter().copied().find(|component| !told.contains(component)) else { return };
            told.push(component);
            self.run_hooks(component, On::Remove, entity);
        }
    }

    /// The target's columns have their row, those of the source another one: completes the move of the entity.
    #[inline]
    fn moved(&mut self, entity: Entity, from: Location, displaced: Option<Entity>, target: TableId) {
        if let Some(displaced) = displaced {
            self.entities.relocate(displaced, from);
        }
        let row = self.push_entity(entity, target);
        self.entities.relocate(entity, Location { table: target, row });
    }

    /// A new entity, whose values are there.
    #[inline]
    fn placed(&mut self, entity: Entity, target: TableId) {
        let row = self.push_entity(entity, target);
        self.entities.set(entity, Location { table: target, row });
    }

    /// The row of the entity, at the table's end.
    #[inline]
    fn push_entity(&mut self, entity: Entity, target: TableId) -> u32 {
        let table = &mut self.tables[target.index()];
        let row = u32::try_from(table.entities.len()).expect("fewer rows than 2^32");
        table.push_entity(entity, self.version);
        row
    }

    #[inline]
    fn append_bundle<B: Bundle>(&mut self, entity: Entity, edge: usize, bundle: B) {
        let Edge { target, given, .. } = self.edges.get(edge);
        let (target, version) = (*target, self.version);
        let table = &mut self.tables[target.index()];
        bundle.write(&mut |at, bytes| table.columns[usize::from(given[at])].push(bytes, version));
        self.placed(entity, target);
    }

    fn append_raw(&mut self, entity: Entity, edge: usize, components: &[RawComponent<'_>]) {
        let Edge { target, given, .. } = self.edges.get(edge);
        let (target, version) = (*target, self.version);
        let table = &mut self.tables[target.index()];
        for (place, (_, bytes)) in given.iter().zip(components) {
            table.columns[usize::from(*place)].push(bytes, version);
        }
        self.placed(entity, target);
    }

    #[inline]
    fn run_add_hooks(&mut self, edge: usize, entity: Entity) {
        if !self.hooks.is_empty() {
            self.run_some_add_hooks(edge, entity);
        }
    }

    fn run_some_add_hooks(&mut self, edge: usize, entity: Entity) {
        for component in self.edges.get(edge).changed.clone() {
            self.run_hooks(component, On::Add, entity);
        }
    }

    fn check_raw(&self, components: &[RawComponent<'_>]) -> Result<(), WorldError> {
        for (component, bytes) in components {
            self.registry.require(*component)?.check_length(bytes)?;
        }
        Ok(())
    }

    #[inline]
    pub(crate) fn bundle_edge<B: Bundle>(&mut self, from: Option<TableId>, step: Step) -> Result<usize, WorldError> {
        let key = (from, step, TypeId::of::<B>());
        match self.edges.last(key) {
            Some(edge) => Ok(edge),
            None => self.another_bundle_edge::<B>(from, step),
        }
    }

    #[inline(never)]
    fn another_bundle_edge<B: Bundle>(&mut self, from: Option<TableId>, step: Step) -> Result<usize, WorldError> {
        if let Some(edge) = self.edges.find_type((from, step, TypeId::of::<B>())) {
            return Ok(edge);
        }
        let key = (from, step, Given::Type(TypeId::of::<B>()));
        B::register(&mut self.registry)?;
        let mut ids = Vec::with_capacity(B::COUNT);
        B::ids(&mut ids);
        self.make_edge(key, &ids)
    }

    fn raw_edge(
        &mut self,
        from: Option<TableId>,
        step: Step,
        ids: impl Iterator<Item = ComponentId>,
    ) -> Result<usize, WorldError> {
        let ids: SmallVec<[ComponentId; 4]> = ids.collect();
        let key = (from, step, Given::Ids(ids.clone()));
        if let Some(edge) = self.edges.find(&key) {
            return Ok(edge);
        }
        self.make_edge(key, &ids)
    }

    #[cold]
    fn make_edge(&mut self, key: EdgeKey, given: &[ComponentId]) -> Result<usize, WorldError> {
        for (at, component) in given.iter().enumerate() {
            self.registry.require(*component)?;
            if given[..at].contains(component) {
                return Err(WorldError::Twice(self.registry.name(*component)));
            }
        }
        let (from, step, _) = key;
        let held = from.map(|id| self.table(id).components().to_vec()).unwrap_or_default();
        let mut components: Vec<ComponentId> = match step {
            Step::Insert => held.iter().chain(given).copied().collect(),
            Step::Remove => held.iter().filter(|component| !given.contains(component)).copied().collect(),
        };
        components.sort_unstable();
        components.dedup();
        let target = self.table_of(&components)?;
        let edge = Edge::between(from.map(|id| self.table(id)), (target, self.table(target)), step, given);
        Ok(self.edges.add(key, edge))
    }
}

/// Rows that are being appended to a table: values one after another, all that belongs to whole rows at the
/// end, also when a bundle panics.
struct Batch<'a> {
    world: &'a mut World,
    target: TableId,
    /// Where the components of a bundle go.
    given: SmallVec<[u16; 8]>,
    rows: usize,
}

impl<'a> Batch<'a> {
    fn begin(world: &'a mut World, edge: usize) -> Self {
        let Edge { target, given, .. } = world.edges.get(edge);
        let (target, given) = (*target, given.as_slice().into());
        Self { world, target, given, rows: 0 }
    }

    fn table(&mut self) -> &mut Table {
        &mut self.world.tables[self.target.index()]
    }

    #[inline]
    fn push<B: Bundle>(&mut self, bundle: B) {
        let columns = &mut self.world.tables[self.target.index()].columns[..];
        bundle.write(&mut |at, bytes| columns[usize::from(self.given[at])].append(bytes));
        self.rows += 1;
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        let (rows, target, version) = (self.rows, self.target, self.world.version);
        let World { tables, entities, .. } = &mut *self.world;
        let table = &mut tables[target.index()];
        table.columns.iter_mut().for_each(|column| column.appended(rows, version));
        table.append_entities(rows, target, entities, version);
    }
}

#[inline]
pub(crate) fn pair(tables: &mut [Table], a: TableId, b: TableId) -> [&mut Table; 2] {
    tables.get_disjoint_mut([a.index(), b.index()]).expect("two tables of this world, and not the same")
}
