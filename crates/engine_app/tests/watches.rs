//! Live queries of a coordinator, without a server: a reader that applies frames holds what the world holds.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use bytes::Bytes;
use engine_app::coordinator::{Coordinator, Output};
use engine_app::{App, Settings, TimeMode, ask};
use engine_component::query::Query;
use engine_component::{Component, Entity};
use engine_math::Vec2;
use engine_net::messages::command::{Action, Command};
use engine_net::messages::query::QueryRequest;
use engine_net::messages::value::Components;
use engine_net::messages::watch::{FrameKind, Region, WatchAck, WatchFrame, WatchOpen, WatchReply, WatchRequest};
use engine_net::messages::{Message, Problem, Reply};
use engine_net::strict;

#[derive(Component, Clone, Copy)]
#[repr(C)]
#[component(name = "test.Place")]
struct Place {
    at: Vec2,
}

#[derive(Component, Clone, Copy)]
#[component(name = "test.Hidden")]
struct Hidden;

fn nothing(_: Query<(&Place, &Hidden)>) {}

const SECOND: u64 = 1_000_000_000;

struct World {
    coordinator: Coordinator,
    now: u64,
    commands: u64,
    frames: Vec<WatchFrame>,
    answers: Vec<Bytes>,
}

impl World {
    /// A paused world: every command is done at once.
    fn new(entities: u32) -> Self {
        let settings = Settings { paused: true, time: TimeMode::Fast, ..Settings::default() };
        let app = App::new("test").add_system("nothing", nothing).on_start(move |start| {
            for number in 0..entities {
                start.world.spawn((Place { at: Vec2::new(number as f32, 0.0) },));
            }
            Ok(())
        });
        let (coordinator, _) = app.into_coordinator(settings, &BTreeMap::new(), |_| true, 4).unwrap();
        Self { coordinator, now: SECOND, commands: 0, frames: Vec::new(), answers: Vec::new() }
    }

    fn collect(&mut self) {
        while let Some(output) = self.coordinator.next_output() {
            let Output::Send { subject, payload, .. } = output else { continue };
            if subject.contains(".watch.frame.") {
                self.frames.push(strict::decode(&payload, WatchFrame::LIMIT).unwrap());
            } else if subject == "_INBOX.w" {
                self.answers.push(payload);
            }
        }
    }

    fn wait(&mut self, nanoseconds: u64) {
        self.now += nanoseconds;
        self.coordinator.clock(self.now);
        self.collect();
    }

    fn send(&mut self, subject: &str, payload: Vec<u8>) {
        self.coordinator.message(self.now, subject, Some("_INBOX.w"), payload.into());
        self.collect();
    }

    fn act(&mut self, action: Action) {
        self.commands += 1;
        let (aggregate, name) = action.subject();
        let subject = self.coordinator.subjects().command("world", aggregate, name);
        let id = self.commands.to_string();
        self.send(&subject, strict::encode(&Command { id, action }));
        self.wait(SECOND / 10);
    }

    fn ask(&mut self, request: &WatchRequest) -> Result<String, Problem> {
        let subject = self.coordinator.subjects().watch();
        self.send(&subject, strict::encode(request));
        match strict::decode::<WatchReply>(&self.answers.pop().unwrap(), WatchReply::LIMIT).unwrap() {
            Reply::Ok(accepted) => Ok(accepted.id),
            Reply::Error(problem) => Err(problem),
        }
    }

    fn open(&mut self, query: QueryRequest, region: Option<Region>) -> Result<String, Problem> {
        self.ask(&WatchRequest::Open(Box::new(WatchOpen { query, region, max_hz: 60.0 })))
    }

    fn ack(&mut self, id: &str, sequence: u64, resync: bool) {
        let subject = self.coordinator.subjects().watch_ack(id);
        self.send(&subject, strict::encode(&WatchAck { id: id.into(), sequence, resync }));
        self.wait(SECOND / 10);
    }

    fn place(x: f64) -> Components {
        Components::from_iter([("test.Place".to_owned(), serde_json::json!({"at": {"x": x, "y": 0.0}}))])
    }

    /// What a query shows now.
    fn truth(&self, query: &QueryRequest) -> BTreeMap<Entity, Components> {
        let request = QueryRequest { page_rows: 4096, ..query.clone() };
        let page = ask::page(self.coordinator.world(), 0, &request).unwrap();
        page.rows.into_iter().map(|row| (row.entity, row.components)).collect()
    }
}

/// What a reader holds.
#[derive(Default)]
struct Reader {
    rows: BTreeMap<Entity, Components>,
    sequence: u64,
}

impl Reader {
    fn read(&mut self, frames: impl IntoIterator<Item = WatchFrame>) {
        for frame in frames {
            assert!(frame.sequence == self.sequence || frame.sequence == self.sequence + 1, "a gap");
            if frame.kind == FrameKind::Keyframe && frame.sequence != self.sequence {
                self.rows.clear();
            }
            self.sequence = frame.sequence;
            for entity in frame.removed {
                assert!(self.rows.remove(&entity).is_some(), "removed, and never shown");
            }
            self.rows.extend(frame.rows.into_iter().map(|row| (row.entity, row.components)));
        }
    }
}

fn shown() -> QueryRequest {
    QueryRequest { with: vec!["test.Place".into()], without: vec!["test.Hidden".into()], ..QueryRequest::default() }
}

#[test]
fn a_reader_holds_what_the_world_holds() {
    let mut world = World::new(30);
    let id = world.open(shown(), None).unwrap();
    let mut reader = Reader::default();
    // A generator of its own: the same steps in each run.
    let mut state = 12_345_u64;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) % below
    };
    for step in 0..300 {
        let all: Vec<Entity> =
            world.coordinator.world().tables().iter().flat_map(|table| table.entities().to_vec()).collect();
        let some = all.get(random(all.len().max(1) as u64) as usize).copied().unwrap_or(Entity::NONE);
        let hidden = vec!["test.Hidden".to_owned()];
        let action = match random(6) {
            0 | 1 => Action::Spawn { entities: vec![World::place(step as f64); 1 + random(3) as usize] },
            2 => Action::Set { entity: some, components: World::place(random(5) as f64) },
            3 => Action::Insert {
                entity: some,
                components: Components::from_iter([("test.Hidden".to_owned(), serde_json::json!({}))]),
            },
            4 => Action::Remove { entity: some, components: hidden },
            _ => Action::Despawn { entities: vec![some] },
        };
        world.act(action);
        // At times it does not answer for a while: then it gets one frame to the newest state.
        reader.read(std::mem::take(&mut world.frames));
        if random(4) > 0 {
            world.ack(&id, reader.sequence, false);
            reader.read(std::mem::take(&mut world.frames));
            assert_eq!(reader.rows, world.truth(&shown()), "after step {step}");
        }
    }
    assert!(reader.sequence > 100, "{}", reader.sequence);
}

#[test]
fn no_more_than_two_frames_are_on_their_way() {
    let mut world = World::new(1);
    let id = world.open(shown(), None).unwrap();
    for number in 0..20 {
        world.act(Action::Spawn { entities: vec![World::place(f64::from(number))] });
    }
    let frames = std::mem::take(&mut world.frames);
    assert_eq!(frames.iter().map(|frame| frame.sequence).collect::<Vec<_>>(), [1, 2]);
    world.ack(&id, 2, false);
    let newest = std::mem::take(&mut world.frames);
    assert_eq!(newest.iter().map(|frame| (frame.sequence, frame.kind)).collect::<Vec<_>>(), [(3, FrameKind::Delta)]);
    let mut reader = Reader::default();
    reader.read(frames.into_iter().chain(newest));
    assert_eq!(reader.rows, world.truth(&shown()));
}

#[test]
fn nothing_is_sent_when_nothing_changes() {
    let mut world = World::new(5);
    let id = world.open(shown(), None).unwrap();
    world.wait(SECOND);
    assert_eq!(world.frames.len(), 1);
    for _ in 0..5 {
        world.ack(&id, 1, false);
        world.wait(SECOND);
    }
    assert_eq!(world.frames.len(), 1);
    // A reader that lost track asks for everything.
    world.ack(&id, 1, true);
    assert_eq!((world.frames.len(), world.frames[1].kind, world.frames[1].rows.len()), (2, FrameKind::Keyframe, 5));
}

#[test]
fn frames_come_no_faster_than_asked() {
    let mut world = World::new(1);
    let open = WatchOpen { query: shown(), region: None, max_hz: 1.0 };
    let id = world.ask(&WatchRequest::Open(Box::new(open))).unwrap();
    world.wait(0);
    for number in 0..10 {
        world.act(Action::Spawn { entities: vec![World::place(f64::from(number))] });
        world.ack(&id, world.frames.last().unwrap().sequence, false);
    }
    // Two seconds: the first frame, and one for each.
    assert_eq!(world.frames.len(), 3);
}

#[test]
fn a_watch_ends_with_its_lease_or_when_it_is_closed() {
    let mut world = World::new(1);
    let [one, two] = [(), ()].map(|()| world.open(shown(), None).unwrap());
    world.wait(SECOND);
    assert_eq!(world.frames.len(), 2);
    world.ask(&WatchRequest::Close { id: two }).unwrap();
    world.act(Action::Spawn { entities: vec![World::place(1.0)] });
    assert_eq!(world.frames.len(), 3, "only the first is left");
    world.ack(&one, 2, false);
    world.wait(11 * SECOND);
    world.act(Action::Spawn { entities: vec![World::place(2.0)] });
    assert_eq!(world.frames.len(), 3, "nobody renewed it");
}

#[test]
fn a_region_is_a_box() {
    let mut world = World::new(10);
    let region = Region { component: "test.Place".into(), min: [2.0, -1.0, 0.0], max: [4.0, 1.0, 0.0] };
    let id = world.open(shown(), Some(region)).unwrap();
    world.wait(0);
    let mut reader = Reader::default();
    reader.read(std::mem::take(&mut world.frames));
    assert_eq!(reader.rows.len(), 3);
    let inside = *reader.rows.keys().next().unwrap();
    world.act(Action::Set { entity: inside, components: World::place(50.0) });
    world.ack(&id, 1, false);
    reader.read(std::mem::take(&mut world.frames));
    assert!(reader.rows.len() == 2 && !reader.rows.contains_key(&inside), "it left the box");
}

#[test]
fn what_can_not_be_watched_is_refused() {
    let mut world = World::new(1);
    let code = |result: Result<String, Problem>| result.unwrap_err().code.to_string();
    let unknown = QueryRequest { with: vec!["test.Plaec".into()], ..QueryRequest::default() };
    assert_eq!(code(world.open(unknown, None)), "unknown_component");
    for max_hz in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        let open = WatchOpen { query: shown(), region: None, max_hz };
        assert_eq!(code(world.ask(&WatchRequest::Open(Box::new(open)))), "bad_value", "{max_hz}");
    }
    let nowhere = Region { component: "test.Hidden".into(), min: [0.0; 3], max: [1.0; 3] };
    assert_eq!(code(world.open(shown(), Some(nowhere))), "bad_value");
    let endless = Region { component: "test.Place".into(), min: [f64::NEG_INFINITY; 3], max: [1.0; 3] };
    assert_eq!(code(world.open(shown(), Some(endless))), "bad_value");
    let ids: Vec<String> = (0..256).map(|_| world.open(shown(), None).unwrap()).collect();
    assert_eq!(code(world.open(shown(), None)), "too_many");
    world.ask(&WatchRequest::Close { id: ids[0].clone() }).unwrap();
    world.open(shown(), None).unwrap();
}

#[test]
fn a_watch_of_too_many_rows_ends() {
    let mut world = World::new(4097);
    world.open(shown(), None).unwrap();
    world.wait(SECOND);
    assert_eq!(world.frames.len(), 0);
}
