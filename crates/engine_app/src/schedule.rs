//! The schedule: which system of a tick has to wait for which.
//!
//! Two systems conflict when they touch the same component of the same archetype and one of them writes,
//! or the same event type and one of them emits. Systems that conflict run in a fixed order: the one that
//! `after` and `before` ask for, else that of registration, else that of their names. All others run side
//! by side. The order is a pure function of the declarations and the archetypes of the world, so it is
//! the same in every topology.

use std::collections::{BTreeMap, BTreeSet};

use engine_component::ComponentId;
use engine_component::query::{ColumnAccess, Filter, QueryDescriptor};
use engine_net::descriptor::SystemDescriptor;

/// A system and where its place in the registration came from.
#[derive(Clone, Debug)]
pub struct Registered {
    /// What the system declares.
    pub descriptor: SystemDescriptor,
    /// The place in the registration of one program; none for a system that was built elsewhere.
    pub place: Option<u32>,
}

/// Why there is no schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// `after` and `before` go in a circle.
    #[error("systems wait for each other in a circle: {}; take one `after` or `before` out", .0.join(" → "))]
    Circle(Vec<String>),
}

/// Two systems that conflict, with only their names to order them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ambiguity {
    /// The system that runs first.
    pub first: String,
    /// The system that runs second.
    pub second: String,
    /// What both touch.
    pub over: Conflict,
}

/// What two systems conflict about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conflict {
    /// A component (or resource).
    Component(ComponentId),
    /// An event type.
    Event(ComponentId),
}

/// A system's place in the schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The index of the system in the list that the schedule was built from.
    pub system: usize,
    /// The nodes that have to be merged first, by their index in the schedule.
    pub waits_for: Vec<usize>,
}

/// The order of a tick.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schedule {
    /// The nodes, in an order in which they could run one after another.
    pub nodes: Vec<Node>,
    /// Conflicts that only names decide.
    pub ambiguities: Vec<Ambiguity>,
}

impl Schedule {
    /// The schedule of systems over a world with these archetypes (each sorted).
    ///
    /// O(s² · a) in systems and archetypes; built anew only when one of the two changes.
    ///
    /// # Errors
    /// When `after` and `before` go in a circle.
    pub fn build(systems: &[Registered], archetypes: &[&[ComponentId]]) -> Result<Self, ScheduleError> {
        let order = total_order(systems)?;
        let touched: Vec<Touched> = systems.iter().map(|system| Touched::of(&system.descriptor, archetypes)).collect();
        let explicit = explicit_edges(systems);
        let mut schedule = Self::default();
        for (index, &system) in order.iter().enumerate() {
            let mut waits_for = Vec::new();
            for (earlier, &other) in order[..index].iter().enumerate() {
                let conflict = touched[other].conflict(&touched[system]);
                if conflict.is_some() || explicit.contains(&(other, system)) {
                    waits_for.push(earlier);
                }
                if let Some(over) = conflict
                    && only_names_decide(&systems[other], &systems[system])
                    && !reaches(&explicit, other, system)
                {
                    schedule.ambiguities.push(Ambiguity {
                        first: systems[other].descriptor.name.clone(),
                        second: systems[system].descriptor.name.clone(),
                        over,
                    });
                }
            }
            schedule.nodes.push(Node { system, waits_for });
        }
        Ok(schedule)
    }
}

fn only_names_decide(a: &Registered, b: &Registered) -> bool {
    a.place.is_none() || b.place.is_none()
}

/// (first, second) for every `after` and `before` whose other side is registered.
fn explicit_edges(systems: &[Registered]) -> BTreeSet<(usize, usize)> {
    let by_name: BTreeMap<&str, usize> =
        systems.iter().enumerate().map(|(index, system)| (system.descriptor.name.as_str(), index)).collect();
    let mut edges = BTreeSet::new();
    for (index, system) in systems.iter().enumerate() {
        let options = &system.descriptor.options;
        edges.extend(options.after.iter().filter_map(|name| by_name.get(name.as_str())).map(|first| (*first, index)));
        edges
            .extend(options.before.iter().filter_map(|name| by_name.get(name.as_str())).map(|second| (index, *second)));
    }
    edges
}

fn reaches(edges: &BTreeSet<(usize, usize)>, from: usize, to: usize) -> bool {
    let mut seen = BTreeSet::from([from]);
    let mut open = vec![from];
    while let Some(at) = open.pop() {
        for (_, next) in edges.range((at, 0)..(at + 1, 0)) {
            if *next == to {
                return true;
            }
            if seen.insert(*next) {
                open.push(*next);
            }
        }
    }
    false
}

/// All systems in one order: explicit edges first; among those that are free, registration, then name.
fn total_order(systems: &[Registered]) -> Result<Vec<usize>, ScheduleError> {
    let edges = explicit_edges(systems);
    let rank = |index: usize| {
        let system = &systems[index];
        (system.place.unwrap_or(u32::MAX), system.descriptor.name.as_str(), index)
    };
    let mut waiting: BTreeMap<usize, BTreeSet<usize>> =
        (0..systems.len()).map(|index| (index, BTreeSet::new())).collect();
    for (first, second) in &edges {
        if let Some(before) = waiting.get_mut(second) {
            before.insert(*first);
        }
    }
    let mut order = Vec::with_capacity(systems.len());
    while !waiting.is_empty() {
        let free = waiting
            .iter()
            .filter(|(_, before)| before.is_empty())
            .map(|(index, _)| *index)
            .min_by_key(|index| rank(*index));
        let Some(next) = free else {
            return Err(ScheduleError::Circle(circle(systems, &waiting)));
        };
        waiting.remove(&next);
        for before in waiting.values_mut() {
            before.remove(&next);
        }
        order.push(next);
    }
    Ok(order)
}

/// Names one circle among systems that all wait for another one.
fn circle(systems: &[Registered], waiting: &BTreeMap<usize, BTreeSet<usize>>) -> Vec<String> {
    let mut path = Vec::new();
    let mut at = *waiting.keys().next().expect("somebody waits");
    while !path.contains(&at) {
        path.push(at);
        at = *waiting[&at].iter().next().expect("everybody waits for somebody");
    }
    let start = path.iter().position(|index| *index == at).unwrap_or(0);
    let mut names: Vec<String> =
        path[start..].iter().rev().map(|index| systems[*index].descriptor.name.clone()).collect();
    names.extend(names.first().cloned());
    names
}

/// What a system touches: (archetype, component) pairs, and event types; the flag says that it writes.
struct Touched {
    columns: BTreeMap<(usize, ComponentId), bool>,
    events: BTreeMap<ComponentId, bool>,
}

impl Touched {
    fn of(descriptor: &SystemDescriptor, archetypes: &[&[ComponentId]]) -> Self {
        let resources: Vec<QueryDescriptor> =
            descriptor.resources.iter().map(|resource| resource_query(resource.component, resource.write)).collect();
        let mut columns = BTreeMap::new();
        for query in descriptor.queries.iter().chain(&descriptor.views).chain(&resources) {
            for (index, archetype) in archetypes.iter().enumerate() {
                if query.matches(archetype) {
                    touch_columns(&mut columns, index, archetype, query);
                }
            }
        }
        let mut events = BTreeMap::new();
        for event in &descriptor.reads_events {
            events.entry(*event).or_insert(false);
        }
        for event in &descriptor.writes_events {
            events.insert(*event, true);
        }
        Self { columns, events }
    }

    fn conflict(&self, other: &Self) -> Option<Conflict> {
        let column = self.columns.iter().find_map(|(key, write)| {
            let theirs = other.columns.get(key)?;
            (*write || *theirs).then_some(Conflict::Component(key.1))
        });
        column.or_else(|| {
            self.events.iter().find_map(|(event, write)| {
                let theirs = other.events.get(event)?;
                (*write || *theirs).then_some(Conflict::Event(*event))
            })
        })
    }
}

fn touch_columns(
    columns: &mut BTreeMap<(usize, ComponentId), bool>,
    archetype: usize,
    components: &[ComponentId],
    query: &QueryDescriptor,
) {
    for column in query.columns.iter().filter(|column| components.contains(&column.component)) {
        *columns.entry((archetype, column.component)).or_insert(false) |= column.write;
    }
    // Looking for changes is reading: a writer must not run beside it.
    for component in query.changed() {
        columns.entry((archetype, component)).or_insert(false);
    }
}

/// A resource is a component on an entity of its own.
#[must_use]
pub fn resource_query(component: ComponentId, write: bool) -> QueryDescriptor {
    QueryDescriptor {
        columns: vec![ColumnAccess { component, write, optional: false }],
        filter: Filter::All(Vec::new()),
        entity: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine_net::descriptor::SystemOptions;

    const A: ComponentId = ComponentId::of_name("a");
    const B: ComponentId = ComponentId::of_name("b");

    fn system(name: &str, place: Option<u32>, columns: &[(ComponentId, bool)]) -> Registered {
        let columns = columns
            .iter()
            .map(|(component, write)| ColumnAccess { component: *component, write: *write, optional: false })
            .collect();
        let query = QueryDescriptor { columns, filter: Filter::All(Vec::new()), entity: false };
        Registered { descriptor: SystemDescriptor { queries: vec![query], ..SystemDescriptor::new(name) }, place }
    }

    fn names(systems: &[Registered], schedule: &Schedule) -> Vec<String> {
        schedule.nodes.iter().map(|node| systems[node.system].descriptor.name.clone()).collect()
    }

    #[test]
    fn readers_run_side_by_side_and_wait_for_the_writer() {
        let systems = [
            system("write", Some(0), &[(A, true)]),
            system("one", Some(1), &[(A, false)]),
            system("two", Some(2), &[(A, false)]),
        ];
        let schedule = Schedule::build(&systems, &[&[A]]).unwrap();
        assert_eq!(schedule.nodes[1].waits_for, [0]);
        assert_eq!(schedule.nodes[2].waits_for, [0]);
    }

    #[test]
    fn disjoint_archetypes_do_not_conflict() {
        let mut only_b = system("b", Some(1), &[(A, true)]);
        only_b.descriptor.queries[0].filter = Filter::With(B);
        let mut without_b = system("a", Some(0), &[(A, true)]);
        without_b.descriptor.queries[0].filter = Filter::Without(B);
        let mut both = [A, B];
        both.sort_unstable();
        let schedule = Schedule::build(&[without_b, only_b], &[&[A], &both]).unwrap();
        assert!(schedule.nodes.iter().all(|node| node.waits_for.is_empty()));
    }

    #[test]
    fn explicit_order_beats_registration() {
        let mut first = system("first", Some(0), &[(A, true)]);
        first.descriptor.options = SystemOptions { after: vec!["second".into()], ..SystemOptions::default() };
        let systems = [first, system("second", Some(1), &[(A, true)])];
        let schedule = Schedule::build(&systems, &[&[A]]).unwrap();
        assert_eq!(names(&systems, &schedule), ["second", "first"]);
        assert!(schedule.ambiguities.is_empty());
    }

    #[test]
    fn names_decide_between_strangers_and_it_is_reported() {
        let systems = [system("zebra", None, &[(A, true)]), system("ape", None, &[(A, false)])];
        let schedule = Schedule::build(&systems, &[&[A]]).unwrap();
        assert_eq!(names(&systems, &schedule), ["ape", "zebra"]);
        assert_eq!(schedule.ambiguities[0].first, "ape");
    }

    #[test]
    fn a_circle_is_named() {
        let mut one = system("one", Some(0), &[]);
        one.descriptor.options.after = vec!["two".into()];
        let mut two = system("two", Some(1), &[]);
        two.descriptor.options.after = vec!["one".into()];
        let error = Schedule::build(&[one, two], &[]).unwrap_err().to_string();
        assert!(error.contains("one") && error.contains("two"), "{error}");
    }
}
