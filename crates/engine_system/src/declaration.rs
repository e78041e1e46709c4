//! What a system declares, collected from its parameters, and the checks that need no world.
//!
//! Nothing is declared twice by the user: the access sets of the graph, the columns of the jobs and the
//! schemas of the registration all follow from here.

use engine_component::query::{QueryDescriptor, QueryError};
use engine_component::schema::Schema;
use engine_component::{Bundle, ComponentId, Registry};
use engine_net::descriptor::{ResourceAccess, SystemDescriptor, SystemOptions};
use engine_net::handled;

use crate::system::{Parameter, SystemError};

/// What the parameters of a system touch.
#[derive(Clone, Debug, Default)]
pub struct Declaration {
    parameters: Vec<Declared>,
    schemas: Vec<Schema>,
}

#[derive(Clone, Debug)]
struct Declared {
    text: String,
    access: Access,
}

#[derive(Clone, Debug)]
enum Access {
    Nothing,
    Refused(QueryError),
    Query(QueryDescriptor),
    View(QueryDescriptor),
    Resource(ResourceAccess),
    Reads(ComponentId),
    Writes(ComponentId),
    /// A command of programs outside, its heads and its answers.
    Handles([ComponentId; 3]),
    Commands,
}

impl Declaration {
    /// A parameter that touches nothing of the world.
    pub fn value(&mut self, text: impl Into<String>) {
        self.add(text, Access::Nothing);
    }

    /// Rows of the shard.
    pub fn query(&mut self, text: impl Into<String>, rows: Result<QueryDescriptor, QueryError>, schemas: Vec<Schema>) {
        self.schemas.extend(schemas);
        self.add(text, rows.map_or_else(Access::Refused, Access::Query));
    }

    /// Rows outside of the shard, only to be read.
    pub fn view(&mut self, text: impl Into<String>, rows: Result<QueryDescriptor, QueryError>, schemas: Vec<Schema>) {
        self.schemas.extend(schemas);
        self.add(text, rows.map_or_else(Access::Refused, Access::View));
    }

    /// A resource.
    pub fn resource(&mut self, text: impl Into<String>, schema: Schema, write: bool) {
        let component = schema.id();
        self.schemas.push(schema);
        self.add(text, Access::Resource(ResourceAccess { component, write }));
    }

    /// An event type that is read.
    pub fn reads_event(&mut self, text: impl Into<String>, schema: Schema) {
        let event = schema.id();
        self.schemas.push(schema);
        self.add(text, Access::Reads(event));
    }

    /// An event type that is written.
    pub fn writes_event(&mut self, text: impl Into<String>, schema: Schema) {
        let event = schema.id();
        self.schemas.push(schema);
        self.add(text, Access::Writes(event));
    }

    /// A type of command that is answered.
    pub fn handles_command(&mut self, text: impl Into<String>, schema: Schema) {
        let all = [handled::head_schema(&schema.name), handled::answer_schema(&schema.name)];
        let ids = [schema.id(), all[0].id(), all[1].id()];
        self.schemas.push(schema);
        self.schemas.extend(all);
        self.add(text, Access::Handles(ids));
    }

    /// Structural changes.
    pub fn commands(&mut self) {
        self.add("Commands", Access::Commands);
    }

    /// Components that the system's commands bring into the world.
    pub fn spawns<B: Bundle>(&mut self) {
        let mut registry = Registry::default();
        // A bundle that contradicts itself is refused where it is used.
        if B::register(&mut registry).is_ok() {
            let mut ids = Vec::new();
            B::ids(&mut ids);
            self.schemas.extend(ids.into_iter().filter_map(|id| registry.get(id)).map(|info| info.schema.clone()));
        }
    }

    /// The schemas of all that is touched, each once, in the order of their names.
    ///
    /// # Errors
    /// When two types have one name, or two names one id.
    pub fn schemas(&self, system: &str) -> Result<Vec<Schema>, SystemError> {
        let mut schemas = self.schemas.clone();
        schemas.sort_by(|a, b| a.name.cmp(&b.name));
        schemas.dedup();
        for (index, schema) in schemas.iter().enumerate() {
            if let Some(other) = schemas[..index].iter().find(|other| other.id() == schema.id()) {
                return Err(SystemError::TwoTypes {
                    system: system.to_owned(),
                    first: other.name.clone(),
                    second: schema.name.clone(),
                });
            }
        }
        Ok(schemas)
    }

    /// The descriptor of a system with these parameters.
    ///
    /// # Errors
    /// The first mistake that is found; it names the parameters by position and type.
    pub fn descriptor(&self, name: &str, options: SystemOptions) -> Result<SystemDescriptor, SystemError> {
        let mut descriptor = SystemDescriptor::new(name);
        engine_net::name::token("system", name)?;
        descriptor.options = options;
        for (index, declared) in self.parameters.iter().enumerate() {
            self.check_alone(name, index)?;
            for earlier in 0..index {
                self.check_pair(name, earlier, index)?;
            }
            match &declared.access {
                Access::Nothing | Access::Refused(_) => {}
                Access::Query(rows) => descriptor.queries.push(rows.clone()),
                Access::View(rows) => descriptor.views.push(rows.clone()),
                Access::Resource(resource) => descriptor.resources.push(*resource),
                Access::Reads(event) => descriptor.reads_events.push(*event),
                Access::Writes(event) => descriptor.writes_events.push(*event),
                Access::Handles([command, head, answer]) => {
                    descriptor.handles.push(*command);
                    descriptor.reads_events.extend([*command, *head]);
                    descriptor.writes_events.push(*answer);
                }
                Access::Commands => descriptor.commands = true,
            }
        }
        self.check_shards(&descriptor)?;
        descriptor.check()?;
        Ok(descriptor)
    }

    fn add(&mut self, text: impl Into<String>, access: Access) {
        self.parameters.push(Declared { text: text.into(), access });
    }

    fn parameter(&self, index: usize) -> Parameter {
        Parameter { position: index + 1, text: self.parameters[index].text.clone() }
    }

    fn find(&self, wanted: impl Fn(&Access) -> bool, skip: usize) -> Option<Parameter> {
        let found = self.parameters.iter().enumerate().filter(|(_, declared)| wanted(&declared.access)).nth(skip);
        found.map(|(index, _)| self.parameter(index))
    }

    fn check_alone(&self, system: &str, index: usize) -> Result<(), SystemError> {
        let reason = match &self.parameters[index].access {
            Access::Refused(error) => error.clone(),
            Access::Query(rows) | Access::View(rows) => match rows.check() {
                Ok(()) => return Ok(()),
                Err(error) => error,
            },
            _ => return Ok(()),
        };
        Err(SystemError::Query { system: system.to_owned(), parameter: self.parameter(index), reason })
    }

    fn check_pair(&self, system: &str, first: usize, second: usize) -> Result<(), SystemError> {
        let pair = || (system.to_owned(), self.parameter(first), self.parameter(second));
        let (a, b) = (&self.parameters[first].access, &self.parameters[second].access);
        match (a, b) {
            (Access::Commands, Access::Commands) => {}
            (Access::Writes(a), Access::Writes(b)) if a == b => {}
            (Access::Handles(a), Access::Handles(b)) if a == b => {}
            _ => {
                let Some(component) = a.rows().zip(b.rows()).and_then(|(a, b)| a.conflict(&b)) else { return Ok(()) };
                let (system, first, second) = pair();
                return Err(SystemError::Alias { system, first, second, component: self.name_of(component) });
            }
        }
        let (system, first, second) = pair();
        Err(SystemError::Twice { system, first, second })
    }

    fn check_shards(&self, descriptor: &SystemDescriptor) -> Result<(), SystemError> {
        if descriptor.options.whole {
            return Ok(());
        }
        let is_query = |access: &Access| matches!(access, Access::Query(_));
        let is_written = |access: &Access| matches!(access, Access::Resource(ResourceAccess { write: true, .. }));
        let Some(first) = self.find(is_query, 0) else { return Ok(()) };
        if let Some(second) = self.find(is_query, 1) {
            return Err(SystemError::SecondQuery { system: descriptor.name.clone(), first, second });
        }
        if let Some(resource) = self.find(is_written, 0) {
            return Err(SystemError::SharedWrite { system: descriptor.name.clone(), query: first, resource });
        }
        Ok(())
    }

    fn name_of(&self, component: ComponentId) -> String {
        let known = self.schemas.iter().find(|schema| schema.id() == component);
        known.map_or_else(|| component.to_string(), |schema| schema.name.clone())
    }
}

impl Access {
    /// The rows that are touched; a resource is a row of its own table.
    fn rows(&self) -> Option<QueryDescriptor> {
        match self {
            Self::Query(rows) | Self::View(rows) => Some(rows.clone()),
            Self::Resource(resource) => Some(resource_rows(*resource)),
            _ => None,
        }
    }
}

/// A resource as a query: the one row of its component.
#[must_use]
pub fn resource_rows(resource: ResourceAccess) -> QueryDescriptor {
    use engine_component::query::{ColumnAccess, Filter};
    QueryDescriptor {
        columns: vec![ColumnAccess { component: resource.component, write: resource.write, optional: false }],
        filter: Filter::All(Vec::new()),
        entity: false,
    }
}

/// The name of a type as it stands in the source, without the paths. Only for people: nothing is
/// identified by it.
pub(crate) fn short_name<T: ?Sized>() -> String {
    let mut short = String::new();
    let mut word = String::new();
    for part in std::any::type_name::<T>().split_inclusive(|c: char| !c.is_alphanumeric() && c != '_') {
        if part.ends_with(':') {
            word.clear();
        } else {
            word.push_str(part);
            short.push_str(&word);
            word.clear();
        }
    }
    short
}

/// How a query or a view is written in the source.
pub(crate) fn rows_name<D: ?Sized, F: ?Sized>(kind: &str) -> String {
    match short_name::<F>().as_str() {
        "()" => format!("{kind}<{}>", short_name::<D>()),
        filter => format!("{kind}<{}, {filter}>", short_name::<D>()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shown_without_paths() {
        assert_eq!(short_name::<(&mut Declaration, Option<&Vec<u8>>)>(), "(&mut Declaration, Option<&Vec<u8>>)");
        assert_eq!(short_name::<u8>(), "u8");
    }
}
