//! What a registration brings into the world: checked as a whole, then added as a whole.

use std::collections::{HashMap, HashSet};

use engine_component::ComponentId;
use engine_component::query::QueryDescriptor;
use engine_component::schema::{Fit, Schema, fit};
use engine_net::descriptor::SystemDescriptor;
use engine_net::messages::Problem;
use engine_net::messages::register::Register;

use super::{Coordinator, handled};
use crate::record::Input;
use crate::schedule::{Registered, Schedule};
use crate::system_entry::SystemEntry;

/// Systems, at the most.
pub(super) const MAX_SYSTEMS: usize = 1024;
/// Types of components, events and resources of a world, at the most.
const MAX_TYPES: usize = 16 * 1024;

/// What a registration would add to the world.
#[derive(Default)]
pub(super) struct News {
    pub(super) schemas: Vec<Schema>,
    pub(super) systems: Vec<SystemDescriptor>,
}

impl Coordinator {
    /// What is new in a registration, checked; the world is not touched.
    pub(super) fn news_of(&self, register: &Register) -> Result<News, Problem> {
        let mut news = News::default();
        let mut own = HashMap::new();
        for schema in &register.schemas {
            schema.check().map_err(|error| {
                Problem::new("bad_schema", format_args!("`{}` is no component: {error}", schema.name))
            })?;
            if let Some(before) = own.insert(schema.id(), schema) {
                check_name(before, schema)?;
                return Err(Problem::new("bad_schema", format_args!("`{}` is given twice", schema.name)));
            }
            match self.world.schema(schema.id()) {
                Some(known) => {
                    check_fit(known, schema, register)?;
                    news.schemas.extend(self.restricted_by(schema, register.names(schema.id())));
                }
                None => news.schemas.push(schema.clone()),
            }
        }
        if !news.schemas.is_empty() && self.world.registry().iter().count() + news.schemas.len() > MAX_TYPES {
            return Err(Problem::new("too_many", format_args!("a world has {MAX_TYPES} types at the most")));
        }
        let mut names = HashSet::new();
        for system in &register.systems {
            if !names.insert(&system.name) {
                return Err(Problem::new("bad_system", format_args!("system `{}` is given twice", system.name)));
            }
            match self.systems.iter().find(|entry| entry.name() == system.name) {
                Some(known) => check_same(known.descriptor(), system, &register.instance)?,
                None => {
                    self.check_tracked(system, &own)?;
                    news.systems.push(system.clone());
                }
            }
        }
        if !news.systems.is_empty() {
            self.check_order(&news.systems)?;
        }
        if !(news.systems.is_empty() && news.schemas.is_empty()) {
            self.check_handlers(&news.systems, &own)?;
        }
        Ok(news)
    }

    /// Whose changes a system asks for has to be known: they are noted from now on.
    fn check_tracked(&self, system: &SystemDescriptor, own: &HashMap<ComponentId, &Schema>) -> Result<(), Problem> {
        let is_known = |id: &ComponentId| self.world.schema(*id).is_some() || own.contains_key(id);
        let mut tracked = system.queries.iter().chain(&system.views).flat_map(QueryDescriptor::changed);
        match tracked.find(|id| !is_known(id)) {
            None => Ok(()),
            Some(id) => {
                let text = format!("system `{}` asks for changes of {id}, without its schema", system.name);
                Err(Problem::new("bad_system", text))
            }
        }
    }

    /// Whoever answers a command is the only one, and brings the types that belong to it.
    fn check_handlers(&self, new: &[SystemDescriptor], own: &HashMap<ComponentId, &Schema>) -> Result<(), Problem> {
        let all = self.systems.iter().map(SystemEntry::descriptor).chain(new);
        let known = handled::find(all, |id| self.world.schema(id).or_else(|| own.get(&id).copied()));
        known.map(drop).map_err(|error| Problem::new("bad_system", error))
    }

    fn check_order(&self, new: &[SystemDescriptor]) -> Result<(), Problem> {
        if self.systems.len() + new.len() > MAX_SYSTEMS {
            return Err(Problem::new("too_many", format_args!("a world has {MAX_SYSTEMS} systems at the most")));
        }
        let known = self.systems.iter().map(|entry| entry.registered.clone());
        let new = new.iter().map(|descriptor| Registered { descriptor: descriptor.clone(), place: None });
        // Archetypes have no part in whether there is a circle.
        let all: Vec<Registered> = known.chain(new).collect();
        Schedule::build(&all, &[]).map_err(|error| Problem::new("bad_system", error)).map(drop)
    }

    pub(super) fn add(&mut self, news: News) -> Result<(), Problem> {
        if news.schemas.is_empty() && news.systems.is_empty() {
            return Ok(());
        }
        let arrived = Input::Arrived { schemas: news.schemas.clone(), systems: news.systems.clone() };
        self.inputs.push(arrived);
        let private = self.private_types();
        for schema in news.schemas {
            self.world.register_schema(schema).map_err(|error| Problem::new("bad_schema", error))?;
        }
        if self.private_types() > private {
            self.end_watches("what may be seen has changed: open it again");
        }
        for descriptor in news.systems {
            let local = self.functions.iter().find(|system| system.descriptor().name == descriptor.name).cloned();
            if let Some(system) = &local {
                check_same(&descriptor, system.descriptor(), "of this program")?;
            }
            let registered = Registered { descriptor, place: None };
            let entry = SystemEntry::new(registered, local, &mut self.world)
                .map_err(|error| Problem::new("bad_system", error))?;
            for event in &entry.descriptor().reads_events {
                self.events.add_reader(*event, entry.name());
            }
            // The position must not depend on who came first.
            let place =
                self.systems.partition_point(|other| other.registered.place.is_some() || other.name() < entry.name());
            self.systems.insert(place, entry);
        }
        self.find_handled().map_err(|error| Problem::new("bad_system", error))
    }
}

fn check_name(known: &Schema, offered: &Schema) -> Result<(), Problem> {
    if known.name == offered.name {
        return Ok(());
    }
    let text = format!("`{}` has the id of `{}`: rename one of them", offered.name, known.name);
    Err(Problem::new("collision", text))
}

/// A component that is laid out otherwise than in the world is the instance's to adapt, when it can be.
fn check_fit(known: &Schema, offered: &Schema, register: &Register) -> Result<(), Problem> {
    check_name(known, offered)?;
    let (name, instance) = (&offered.name, &register.instance);
    let refused = |why: &dyn std::fmt::Display| {
        let text = format!("`{name}` is another type in this world than instance `{instance}` offers:\n{why}");
        Problem::new("schema", text)
    };
    match fit(known, offered) {
        Fit::Exact => Ok(()),
        Fit::Incompatible(diff) => Err(refused(&diff)),
        Fit::Compatible(adapter) => {
            // Its events are always new values: there is nothing in the world to fill them up from.
            if register.systems.iter().any(|system| system.writes_events.contains(&offered.id())) {
                adapter.check_make().map_err(|error| refused(&error))?;
            }
            tracing::info!(instance, component = name, "an instance adapts");
            Ok(())
        }
    }
}

fn check_same(known: &SystemDescriptor, offered: &SystemDescriptor, instance: &str) -> Result<(), Problem> {
    if known == offered {
        return Ok(());
    }
    let name = &known.name;
    let text = format!(
        "system `{name}` is declared otherwise by instance `{instance}` than by the one before it: start all of them from the same build\n- {known:?}\n+ {offered:?}"
    );
    Err(Problem::new("system", text))
}
