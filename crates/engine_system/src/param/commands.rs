//! Structural changes as a parameter: recorded by the job, applied when the tick commits, in the order of
//! (node, shard, sequence).

use engine_component::commands::CommandBuffer;
use engine_component::{Bundle, Entity};

use crate::declaration::Declaration;
use crate::job_input::JobScope;
use crate::param::Param;
use crate::system::JobError;

/// Records structural changes. A parameter of systems.
///
/// ```
/// use engine_component::{Component, commands::CommandBuffer};
/// use engine_system::Commands;
///
/// #[derive(Component, Clone, Copy)]
/// #[repr(C)]
/// #[component(name = "doc.Position")]
/// struct Position { x: f32 }
/// #[derive(Component, Clone, Copy, Default)]
/// #[component(name = "doc.Marked")]
/// struct Marked;
///
/// fn system(mut commands: Commands) {
///     let entity = commands.spawn((Position { x: 1.0 },));
///     commands.entity(entity).insert((Marked,)).remove::<(Position,)>();
/// }
/// # let mut buffer = CommandBuffer::default();
/// # system(Commands::new(&mut buffer));
/// # assert_eq!(engine_component::commands::decode(buffer.bytes()).count(), 3);
/// ```
#[derive(Debug)]
pub struct Commands<'w> {
    buffer: &'w mut CommandBuffer,
}

impl<'w> Commands<'w> {
    /// Commands into this buffer.
    #[must_use]
    pub fn new(buffer: &'w mut CommandBuffer) -> Self {
        Self { buffer }
    }

    /// Spawns an entity. It may be used at once: in further commands, in components and events of this
    /// job. Its final number replaces it when the job is merged, so others never read the provisional one.
    pub fn spawn<B: Bundle>(&mut self, bundle: B) -> Entity {
        self.buffer.spawn(bundle)
    }

    /// Removes an entity. One that is gone by then is passed over.
    pub fn despawn(&mut self, entity: Entity) {
        self.buffer.despawn(entity);
    }

    /// Gives an entity components; those that it has are replaced.
    pub fn insert<B: Bundle>(&mut self, entity: Entity, bundle: B) {
        self.buffer.insert(entity, bundle);
    }

    /// Takes components from an entity.
    pub fn remove<B: Bundle>(&mut self, entity: Entity) {
        self.buffer.remove::<B>(entity);
    }

    /// Commands about one entity, one after another.
    pub fn entity(&mut self, entity: Entity) -> EntityCommands<'_> {
        EntityCommands { buffer: self.buffer, entity }
    }
}

/// Records changes of one entity.
#[derive(Debug)]
pub struct EntityCommands<'c> {
    buffer: &'c mut CommandBuffer,
    entity: Entity,
}

impl EntityCommands<'_> {
    /// The entity.
    #[must_use]
    pub fn id(&self) -> Entity {
        self.entity
    }

    /// Gives it components; those that it has are replaced.
    pub fn insert<B: Bundle>(&mut self, bundle: B) -> &mut Self {
        self.buffer.insert(self.entity, bundle);
        self
    }

    /// Takes components from it.
    pub fn remove<B: Bundle>(&mut self) -> &mut Self {
        self.buffer.remove::<B>(self.entity);
        self
    }

    /// Removes it.
    pub fn despawn(&mut self) {
        self.buffer.despawn(self.entity);
    }
}

impl Param for Commands<'_> {
    type Item<'w> = Commands<'w>;

    fn declare(declaration: &mut Declaration) {
        declaration.commands();
    }

    fn fetch<'w>(job: &mut JobScope<'w>) -> Result<Self::Item<'w>, JobError> {
        job.take_commands().map(Commands::new)
    }
}
