//! What `engine top` knows at a moment, as plain data: the last status, what changed since the one before, who answers
//! as a service. `text.rs` and `view.rs` show it; nothing here needs a terminal or a connection.

mod text;
mod view;

use std::collections::BTreeMap;

use engine_net::messages::status::{InstanceStatus, Status, SystemStatus};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use serde_json::{Value, json};

pub use text::text;
pub use view::draw;

/// What is known.
#[derive(Clone, Debug, Default)]
pub struct Top {
    /// The world that is looked at.
    pub world: String,
    /// The last status, when there was one.
    pub status: Option<Status>,
    /// Why there is no newer one.
    pub trouble: Option<String>,
    /// Coordinators of the world, as services.
    pub coordinators: Vec<Process>,
    /// Counters that grew between the last two looks, and by how much.
    changed: BTreeMap<String, u64>,
    order: Order,
    is_frozen: bool,
}

/// A process, as it says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// Its id among services.
    pub id: String,
    /// The world.
    pub world: String,
    /// What all subjects of its world begin with.
    pub subjects: String,
}

/// By what systems and instances are sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Order {
    #[default]
    Name,
    /// The slowest first; of instances, the busiest.
    Time,
    /// Those that compute longest.
    Compute,
    /// Those that move most.
    Bytes,
    Jobs,
}

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// The end.
    Quit,
    /// Something was changed in what is shown.
    Redraw,
}

impl Order {
    fn next(self) -> Self {
        match self {
            Self::Name => Self::Time,
            Self::Time => Self::Compute,
            Self::Compute => Self::Bytes,
            Self::Bytes => Self::Jobs,
            Self::Jobs => Self::Name,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Time => "time",
            Self::Compute => "compute",
            Self::Bytes => "bytes",
            Self::Jobs => "jobs",
        }
    }
}

/// An instance, with all systems that it runs.
#[derive(Clone, Debug)]
struct Instance<'a> {
    last: &'a InstanceStatus,
    systems: Vec<&'a str>,
    jobs: u32,
}

impl Top {
    /// Of a world that nothing is known of yet.
    #[must_use]
    pub fn new(world: &str) -> Self {
        Self { world: world.to_owned(), ..Self::default() }
    }

    /// The coordinator answered. A view that stands still goes on showing what it showed.
    pub fn see(&mut self, status: Status) {
        if self.is_frozen {
            return;
        }
        let before = self.status.as_ref().filter(|before| before.epoch == status.epoch);
        if self.status.is_some() && before.is_none() {
            // Who led before is not who leads now; it is found when one looks again.
            self.coordinators.clear();
        }
        self.changed.clear();
        if let Some(before) = before {
            let grown = status.counters.iter().map(|(name, count)| {
                let known = before.counters.get(name).copied().unwrap_or(0);
                // A coordinator that was started anew counts from 0.
                (name.clone(), if *count >= known { count - known } else { *count })
            });
            self.changed.extend(grown.filter(|(_, by)| *by > 0));
        }
        self.status = Some(status);
        self.trouble = None;
    }

    /// It did not, for this reason.
    pub fn miss(&mut self, trouble: String) {
        if !self.is_frozen {
            self.trouble = Some(trouble);
        }
    }

    /// Does what a key asks for.
    pub fn key(&mut self, key: KeyEvent) -> Option<Wish> {
        if key.kind == KeyEventKind::Release {
            return None;
        }
        // In raw mode Ctrl-C is a key like any other.
        match (key.code, key.modifiers.contains(KeyModifiers::CONTROL)) {
            (KeyCode::Char('c'), true) | (KeyCode::Char('q') | KeyCode::Esc, false) => Some(Wish::Quit),
            (KeyCode::Char('p'), false) => {
                self.is_frozen = !self.is_frozen;
                Some(Wish::Redraw)
            }
            (KeyCode::Char('s'), false) => {
                self.order = self.order.next();
                Some(Wish::Redraw)
            }
            _ => None,
        }
    }

    /// One object: what is known, and nothing made up for what is not.
    #[must_use]
    pub fn json(&self) -> Value {
        let coordinators: Vec<&str> = self.coordinators.iter().map(|process| process.id.as_str()).collect();
        json!({
            "world": self.world, "status": self.status, "trouble": self.trouble, "changed": self.changed,
            "coordinators": coordinators,
        })
    }

    fn systems<'a>(&self, status: &'a Status) -> Vec<&'a SystemStatus> {
        let mut systems: Vec<&SystemStatus> = status.systems.iter().collect();
        let bytes = |system: &SystemStatus| system.bytes_out.saturating_add(system.bytes_in);
        match self.order {
            Order::Name => systems.sort_by(|a, b| a.name.cmp(&b.name)),
            Order::Time => systems.sort_by(|a, b| b.ms.total_cmp(&a.ms)),
            Order::Compute => systems.sort_by(|a, b| b.compute_ms.total_cmp(&a.compute_ms)),
            Order::Bytes => systems.sort_by_key(|system| std::cmp::Reverse(bytes(system))),
            Order::Jobs => systems.sort_by_key(|system| std::cmp::Reverse(system.jobs)),
        }
        systems
    }

    fn instances<'a>(&self, status: &'a Status) -> Vec<Instance<'a>> {
        let mut instances: BTreeMap<&str, Instance<'a>> = BTreeMap::new();
        for system in &status.systems {
            for last in &system.instances {
                let instance = instances.entry(&last.instance);
                let instance = instance.or_insert_with(|| Instance { last, systems: Vec::new(), jobs: 0 });
                instance.systems.push(&system.name);
                instance.jobs = instance.jobs.saturating_add(last.jobs);
            }
        }
        let mut instances: Vec<Instance<'a>> = instances.into_values().collect();
        match self.order {
            Order::Time | Order::Compute => instances.sort_by(|a, b| b.last.load.total_cmp(&a.last.load)),
            Order::Jobs => instances.sort_by_key(|instance| std::cmp::Reverse(instance.jobs)),
            // They stand in the order of their names.
            Order::Name | Order::Bytes => {}
        }
        instances
    }

    /// `commands +3 (120)`, for each counter that grew.
    fn changes<'a>(&'a self, status: &'a Status) -> impl Iterator<Item = String> + 'a {
        self.changed.iter().map(|(name, by)| {
            format!("{} +{by} ({})", plain(name), status.counters.get(name).copied().unwrap_or_default())
        })
    }

    /// What somebody should look at.
    fn warnings(&self, status: &Status) -> Vec<String> {
        let refused = status.refused_settings.iter();
        let refused = refused.map(|set| format!("setting {} is refused: {}", plain(&set.key), plain(&set.reason)));
        let more = self.coordinators.len() > 1;
        let more = more.then(|| format!("{} coordinators answer for this world", self.coordinators.len()));
        refused.chain(more).collect()
    }
}

/// What comes from a world must not steer a terminal.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two systems, one instance that runs both.
    pub(super) fn status() -> Status {
        let mut status = crate::dev::made_up_status();
        let shared = InstanceStatus { instance: "both-1".into(), load: 0.9, columns: "shared".into(), ..any(&status) };
        status.systems[0].instances.push(shared.clone());
        status.systems[1].instances.push(InstanceStatus { jobs: 50, ..shared });
        status.systems[1].ms = 9.0;
        status
    }

    fn any(status: &Status) -> InstanceStatus {
        status.systems[0].instances[0].clone()
    }

    pub(super) fn top() -> Top {
        let mut top = Top::new("arena");
        top.see(status());
        let mut later = status();
        later.counters.insert("reassigned".into(), 9);
        later.counters.insert("fused".into(), 2);
        top.see(later);
        top
    }

    fn press(top: &mut Top, key: char) -> Option<Wish> {
        top.key(KeyEvent::new(KeyCode::Char(key), KeyModifiers::NONE))
    }

    #[test]
    fn counters_that_grew_since_the_last_look_are_told_and_no_others() {
        let mut top = top();
        let told: Vec<String> = top.changes(top.status.as_ref().unwrap()).collect();
        assert_eq!(told, ["fused +2 (2)", "reassigned +5 (9)"]);
        // Another one leads: its counters are its own.
        top.coordinators = vec![Process::default()];
        top.see(Status { epoch: 2, ..status() });
        assert!(top.changed.is_empty() && top.coordinators.is_empty());
    }

    #[test]
    fn an_instance_of_two_systems_is_one() {
        let (top, status) = (top(), status());
        let both = top.instances(&status).into_iter().find(|one| one.last.instance == "both-1").unwrap();
        assert_eq!((both.systems, both.jobs), (vec!["steer", "strike"], 53));
    }

    #[test]
    fn keys_sort_freeze_and_end() {
        let mut top = top();
        let first = |top: &Top| top.systems(&status())[0].name.clone();
        assert_eq!(first(&top), "steer");
        assert_eq!(press(&mut top, 's'), Some(Wish::Redraw));
        assert_eq!(
            (first(&top), top.instances(&status())[0].last.instance.clone()),
            ("strike".into(), "both-1".into())
        );
        for _ in 0..4 {
            press(&mut top, 's');
        }
        assert_eq!(first(&top), "steer", "round and round");
        press(&mut top, 'p');
        top.see(Status { tick: 9999, ..status() });
        top.miss("gone".into());
        assert_eq!((top.status.as_ref().unwrap().tick, &top.trouble), (1234, &None));
        press(&mut top, 'p');
        top.see(Status { tick: 9999, ..status() });
        assert_eq!(top.status.as_ref().unwrap().tick, 9999);
        assert_eq!(press(&mut top, 'q'), Some(Wish::Quit));
        assert_eq!(press(&mut top, 'x'), None);
    }
}
