//! Life-cycle hooks: user code that runs where structure changes are applied.
//!
//! A hook sees the world and records what it wants changed; that is applied when the operation that
//! called it is done. Hooks run in the order in which they were added, for an entity that has the component
//! at that moment: what another hook took away is passed over.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::commands::CommandBuffer;
use crate::error::WorldError;
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

impl World {
    /// Takes over the hooks of a world that was set up in the same way: for one that was restored from an
    /// image, which holds no code.
    ///
    /// What `On::Change` hooks have not yet seen is kept where this world has their tracker: trackers are
    /// numbered in the order in which they were asked for, and hooks come before systems.
    ///
    /// ```
    /// use engine_component::{Component, Data, On, World};
    /// # #[derive(Component, Clone, Copy)]
    /// # #[component(name = "doc.Frozen")]
    /// # struct Frozen;
    /// # #[derive(Component, Clone, Copy)]
    /// # #[component(name = "doc.Seen")]
    /// # struct Seen;
    /// let mut set_up = World::default();
    /// set_up.register::<Seen>().unwrap();
    /// set_up.observe::<Frozen>(On::Add, |_, entity, commands| commands.insert(entity, Seen)).unwrap();
    ///
    /// let mut restored = World::default(); // from an image
    /// restored.register::<Seen>().unwrap();
    /// restored.take_hooks(&mut set_up).unwrap();
    /// let entity = restored.spawn(Frozen);
    /// assert!(restored.has(entity, Seen::ID));
    /// ```
    ///
    /// # Errors
    /// When a component with `On::Change` hooks disagrees with the one that is registered under its name.
    pub fn take_hooks(&mut self, from: &mut Self) -> Result<(), WorldError> {
        for (component, _) in &from.hooks.changed {
            self.registry.register(from.registry.require(*component)?.schema.clone())?;
        }
        let mut hooks = std::mem::take(&mut from.hooks);
        for (component, tracker) in &mut hooks.changed {
            if self.registry.require(*component)?.trackers <= *tracker {
                *tracker = self.track(*component)?;
            }
        }
        self.hooks = hooks;
        Ok(())
    }
}

impl std::fmt::Debug for Hooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hooks({})", self.hooks.len())
    }
}
