//! What programs outside of the world may see and change of it: the strictest of what the builds say that are part of it.
//!
//! It is looked at where something comes in or goes out, and never by what is computed: a command that was accepted is
//! applied again by a replay, whatever its components have become since.

use std::collections::BTreeSet;

use engine_component::ComponentId;
use engine_component::schema::{Access, Schema};
use engine_net::messages::Problem;
use engine_net::messages::command::Action;

use super::Coordinator;

/// Components that are not open.
#[derive(Debug, Default)]
pub(super) struct Limits {
    /// Nobody outside writes these.
    unwritten: BTreeSet<ComponentId>,
    /// Nor sees these.
    unseen: BTreeSet<ComponentId>,
}

impl Coordinator {
    /// A build says of these what outside programs may do. Nothing becomes more open by it.
    pub(super) fn note_access<'s>(&mut self, schemas: impl IntoIterator<Item = &'s Schema>) {
        let before = self.limits.unseen.len();
        for schema in schemas {
            if schema.access >= Access::ReadOnly {
                self.limits.unwritten.insert(schema.id());
            }
            if schema.access == Access::Private {
                self.limits.unseen.insert(schema.id());
            }
        }
        if self.limits.unseen.len() > before {
            self.end_watches("what may be seen has changed: open it again");
        }
    }

    /// As [`Self::note_access`], of all types that the world has.
    pub(super) fn note_access_of_world(&mut self) {
        let schemas: Vec<Schema> = self.world.registry().iter().map(|info| info.schema.clone()).collect();
        self.note_access(&schemas);
    }

    /// Types whose values nobody outside sees.
    pub(super) fn unseen(&self) -> &BTreeSet<ComponentId> {
        &self.limits.unseen
    }

    /// Whether somebody outside may do that.
    pub(super) fn check_access(&self, action: &Action) -> Result<(), Problem> {
        if self.limits.unwritten.is_empty() {
            return Ok(());
        }
        for name in action.components() {
            let id = ComponentId::of_name(name);
            if self.limits.unseen.contains(&id) {
                return Err(Problem::new("private", format_args!("`{name}` is private: only systems write it")));
            }
            if self.limits.unwritten.contains(&id) {
                return Err(Problem::new("read_only", format_args!("`{name}` is read-only: only systems write it")));
            }
        }
        Ok(())
    }
}
