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
use engine_system::{Commands, Time};

#[derive(Component, Clone, Copy)]
#[repr(C)]
#[component(name = "test.Place")]
struct Place {
    at: Vec2,
}

#[derive(Component, Clone, Copy)]
#[component(name = "test.Hidden")]
struct Hidden;

/// Moves some, and has entities come, go and change tables.
fn stir(time: Time, mut commands: Commands, mut places: Query<(Entity, &mut Place)>) {
    for (entity, place) in &mut places {
        let number = entity.to_bits().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 7;
        match (number + time.tick * 31) % 997 {
            0..=9 => place.at.x += 1.0,
            10 => commands.despawn(entity),
            11 => drop(commands.spawn((Place { at: Vec2::new(time.tick as f32, 1.0) },))),
            12 => commands.insert(entity, (Hidden,)),
            13 => commands.remove::<(Hidden,)>(entity),
            _ => {}
        }
    }
}

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
        let app = App::new("test").add_system("stir", stir).on_start(move |start| {
            start.world.register::<Hidden>()?;
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
            let (subject, payload) = match output {
                Output::Send { subject, payload, .. } => (subject, payload),
                Output::Run(job) => {
                    let number = job.number();
                    self.coordinator.local_done(self.now, number, job.run());
                    continue;
                }
                Output::Record { .. } | Output::Keep(_) => continue,
            };
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
        self.send(&subject, strict::encode(&Command::new(id, action)));
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
        let (mut rows, mut request) = (BTreeMap::new(), query.clone());
        loop {
            let page = ask::page(self.coordinator.world(), 0, &request).unwrap();
            rows.extend(page.rows.into_iter().map(|row| (row.entity, row.components)));
            match page.next {
                Some(next) => request.cursor = Some(next),
                None => return rows,
            }
        }
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
            assert_eq!(frame.ended, None);
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
    assert_eq!(world.frames.len(), 4, "nobody renewed it");
    assert!(world.frames[3].ended.is_some() && world.frames[3].id == one);
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

/// More rows than a block has, in several tables, and systems that change a few of them in each tick.
#[test]
fn a_reader_holds_what_the_world_holds_after_each_tick() {
    let mut world = World::new(3500);
    let narrow = Region { component: "test.Place".into(), min: [100.0, -5.0, 0.0], max: [2500.0, 5.0, 0.0] };
    let some = QueryRequest { entities: (1..3000).step_by(7).map(Entity::from_bits).collect(), ..shown() };
    let all = [(shown(), None), (shown(), Some(narrow)), (some, None)];
    let ids: Vec<String> =
        all.iter().map(|(query, region)| world.open(query.clone(), region.clone()).unwrap()).collect();
    let mut readers: Vec<Reader> = ids.iter().map(|_| Reader::default()).collect();
    for tick in 1..=60 {
        world.act(Action::Step { ticks: 1 });
        world.wait(SECOND / 10);
        assert_eq!(world.coordinator.committed().0, tick);
        let frames = std::mem::take(&mut world.frames);
        for (number, (id, reader)) in ids.iter().zip(&mut readers).enumerate() {
            let mine: Vec<WatchFrame> = frames.iter().filter(|frame| frame.id == *id).cloned().collect();
            assert!(mine.iter().all(|frame| frame.kind == FrameKind::Keyframe || frame.rows.len() < 300), "{tick}");
            reader.read(mine);
            // The second one is slow: every frame it gets covers several ticks.
            if number != 1 || tick % 5 == 0 {
                world.ack(id, reader.sequence, false);
                reader.read(std::mem::take(&mut world.frames).into_iter().filter(|frame| frame.id == *id));
            }
        }
        for (number, ((query, region), reader)) in all.iter().zip(&readers).enumerate() {
            let mut truth = world.truth(query);
            if region.is_some() {
                if tick % 5 != 0 {
                    continue;
                }
                truth.retain(|_, components| {
                    let x = components["test.Place"]["at"]["x"].as_f64().unwrap();
                    (100.0..=2500.0).contains(&x)
                });
            }
            assert!(truth.len() > 300);
            assert_eq!(reader.rows, truth, "watch {number} after tick {tick}");
        }
    }
}

#[test]
fn a_watch_of_too_many_rows_ends_and_says_so() {
    let mut world = World::new(4097);
    world.open(shown(), None).unwrap();
    world.wait(SECOND);
    assert!(world.frames[0].ended.as_ref().unwrap().contains("4096"), "{:?}", world.frames);
    world.act(Action::Spawn { entities: vec![World::place(1.0)] });
    assert_eq!(world.frames.len(), 1);
}

#[test]
fn large_frames_come_in_parts_that_fit() {
    let mut world = World::new(4000);
    world.coordinator.set_payload_limit(64 << 10);
    let id = world.open(shown(), None).unwrap();
    world.wait(SECOND);
    let first = std::mem::take(&mut world.frames);
    assert!(first.len() > 3 && first.iter().all(|frame| strict::encode(frame).len() < 64 << 10), "{}", first.len());
    let mores: Vec<bool> = first.iter().map(|frame| frame.more).collect();
    assert!(mores.iter().rev().skip(1).all(|more| *more) && !mores[mores.len() - 1]);
    let mut reader = Reader::default();
    reader.read(first);
    assert_eq!(reader.rows, world.truth(&shown()));
    world.act(Action::Despawn { entities: reader.rows.keys().copied().collect() });
    world.ack(&id, 1, false);
    reader.read(std::mem::take(&mut world.frames));
    assert_eq!(reader.rows.len(), 0);
}

#[test]
fn who_acknowledges_what_is_over_is_told() {
    let mut world = World::new(1);
    world.ack("3-77", 5, false);
    assert_eq!(world.frames.len(), 1);
    assert!(world.frames[0].id == "3-77" && world.frames[0].ended.is_some());
}
