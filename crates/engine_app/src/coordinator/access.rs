//! What programs outside of the world may see and change of it: what the world's schemas say, which is the strictest of what
//! the builds say that took part in it.
//!
//! It is looked at where something comes in or goes out, and never by what is computed: a command that was accepted is
//! applied again by a replay, whatever its components have become since.

use engine_component::ComponentId;
use engine_component::schema::{Access, Schema};
use engine_net::messages::Problem;
use engine_net::messages::command::Action;

use super::Coordinator;

impl Coordinator {
    /// Types that the world has and that are less open by this build's word. Only types count that its systems name: the
    /// right to run a system is not the right to hide what others show.
    pub(super) fn restricted_by(&self, schema: &Schema, is_named: bool) -> Option<Schema> {
        let known = self.world.schema(schema.id())?;
        (is_named && known.access < schema.access).then(|| known.clone().with_access(schema.access))
    }

    /// How many types nobody outside sees.
    pub(super) fn private_types(&self) -> usize {
        self.world.registry().iter().filter(|info| info.schema.access == Access::Private).count()
    }

    /// Whether somebody outside may do that.
    pub(super) fn check_access(&self, action: &Action) -> Result<(), Problem> {
        for name in action.components() {
            match self.world.schema(ComponentId::of_name(name)).map(|schema| schema.access) {
                None | Some(Access::Open) => {}
                Some(Access::ReadOnly) => {
                    return Err(Problem::new(
                        "read_only",
                        format_args!("`{name}` is read-only: only systems write it"),
                    ));
                }
                Some(Access::Private) => {
                    return Err(Problem::new("private", format_args!("`{name}` is private: only systems write it")));
                }
            }
        }
        Ok(())
    }
}
