//! Life-cycle hooks: user code that runs where structure changes are applied.
//!
//! A hook sees the world and records what it wants changed; that is applied when the operation that
//! called it is done. Hooks run in the order in which they were added, for an entity that has the component
//! at that moment: what another hook took away is passed over.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::commands::CommandBuffer;
use crate::world::World;
use crate::{ComponentId, Entity};

/// When a hook runs.
///
/// ```
/// use engine_component::{Component, Data, On, World};
/// # #[derive(Component, Clone, Copy, PartialEq, Debug)]
/// # #[repr(C)]
/// # #[component(name = "doc.Position")]
/// # struct Position { x: f32 }
/// # #[derive(Component, Clone, Copy)]
/// # #[component(name = "doc.Frozen")]
/// # struct Frozen;
/// let mut world = World::default();
/// world.register::<Frozen>().unwrap();
/// world.observe::<Position>(On::Add, |_, entity, commands| commands.insert(entity, Frozen)).unwrap();
/// let entity = world.spawn(Position { x: 1.0 });
/// assert!(world.has(entity, Frozen::ID));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum On {
    /// After an entity got the component. Overwriting one that is there is a change, not an addition.
    Add,
    /// After the rows of a tick are merged, for each row of the component that was added or changed since
    /// the last time.
    Change,
    /// Before an entity loses the component, by removal or because it is despawned.
    Remove,
}

/// A hook: sees the world, and records what is to change.
pub type Hook = dyn Fn(&World, Entity, &mut CommandBuffer) + Send + Sync;

/// How deep hooks may set off hooks. Deeper ones do not run.
pub(crate) const MAX_DEPTH: u32 = 16;

#[derive(Clone, Default)]
pub(crate) struct Hooks {
    hooks: FxHashMap<(ComponentId, On), Vec<Arc<Hook>>>,
    /// Components with `On::Change` hooks and the tracker of each, in order of registration.
    pub(crate) changed: Vec<(ComponentId, usize)>,
    pub(crate) depth: u32,
}

impl Hooks {
    pub(crate) fn add(&mut self, component: ComponentId, on: On, hook: Arc<Hook>) {
        self.hooks.entry((component, on)).or_default().push(hook);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.hooks.is_empty()
    }

    pub(crate) fn of(&self, component: ComponentId, on: On) -> Vec<Arc<Hook>> {
        self.hooks.get(&(component, on)).cloned().unwrap_or_default()
    }
}

impl std::fmt::Debug for Hooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hooks({})", self.hooks.len())
    }
}
