//! Writers that contend for one stream, under faults that a seed chooses: messages lost, late, doubled and overtaken,
//! writers killed, stopped, cut off, and rivals that begin at any time. After each step everything is checked that
//! must always hold.

use std::collections::BTreeMap;

use bytes::Bytes;
use engine_component::Entity;
use engine_system::{EntityRng, Rng};

use super::super::chain::{ChainError, Position, Verifier};
use super::super::virtual_stream::VirtualStream;
use super::super::writer::{Mistake, Output, Publish, Refusal, State, Token, Writer};
use super::{begin, limits};

const MS: u64 = 1_000_000;
/// Faults stop here.
const CALM_AT: u64 = 400 * MS;
/// Nobody appends any more.
const LAST_APPEND: u64 = 450 * MS;
/// By then all is quiet, or something is stuck.
const END: u64 = 5_000 * MS;

/// What is done wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Planted {
    /// By the server, as old ones did.
    NoGuard,
    /// By the writers.
    By(Mistake),
}

/// What a schedule found.
#[derive(Clone, Debug)]
#[expect(dead_code, reason = "shown when a schedule fails")]
pub(super) enum Finding {
    /// The stream isn't a log any more.
    Chain(ChainError),
    /// A writer says that a record is durable that isn't in the stream.
    NotThere { party: usize, says: Position, there: Option<Position> },
    /// A writer cried, and nothing was damaged.
    FalseAlarm(String),
    /// A writer whose reign is over did something.
    OutputAfterEnd(Output),
    /// Faults ended long ago, and somebody still waits.
    Stuck { party: usize, state: State, pending: usize },
    /// Nobody could write at the end.
    NoLeader,
}

/// How hostile it is.
struct Climate {
    drop: f32,
    double: f32,
    delay: f32,
    /// Something happens to a party, in each millisecond.
    party: f32,
}

struct Party {
    writer: Option<Writer>,
    /// Counts its writers: answers to an earlier one don't reach the next.
    life: u64,
    stopped_until: u64,
    cut_until: u64,
    tick: u64,
    /// When its clock is looked at next.
    clock_at: Option<u64>,
}

enum Event {
    Arrives(usize, u64, Publish),
    Asked(usize, u64, Token, Option<u64>),
    Answer(usize, u64, Answer),
    Clock(usize, u64, u64),
    Append(usize, u64),
    Heal(usize, u64),
    /// It has read the log up to here, and begins now.
    Begin(usize, Position, u64),
    Weather,
}

#[derive(Clone)]
enum Answer {
    Acked(Token, u64),
    Refused(Token, Refusal),
    Read(Token, Option<Bytes>),
}

/// What happened in a schedule: to see that it is worth something.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) records: u64,
    pub(super) reigns: u64,
    pub(super) deposed: u64,
    pub(super) killed: u64,
    pub(super) stopped: u64,
    pub(super) cut: u64,
    pub(super) full: u64,
    pub(super) purged: u64,
}

pub(super) struct Contenders {
    rng: EntityRng,
    climate: Climate,
    stream: VirtualStream,
    parties: Vec<Party>,
    events: BTreeMap<(u64, u64), Event>,
    count: u64,
    now: u64,
    nonces: u128,
    /// Reads along, and where each record ends.
    verifier: Verifier,
    positions: Vec<Position>,
    mistake: Option<Mistake>,
    pub(super) tally: Tally,
}

/// Runs the schedule of a seed.
pub(super) fn run(seed: u64, planted: Option<Planted>) -> Result<Tally, Box<Finding>> {
    let mut rng = Rng::new(seed, 0, "contenders").of(Entity::NONE);
    let mut rate = |most: f32| if rng.chance(0.3) { 0.0 } else { rng.f32() * most };
    let climate = Climate { drop: rate(0.15), double: rate(0.15), delay: rate(0.25), party: rate(0.25) };
    let mut stream = VirtualStream::default();
    stream.behaviour.ids_first = rng.chance(0.5);
    stream.behaviour.names_guard = rng.chance(0.3);
    stream.behaviour.id_window = rng.below(20) as usize;
    stream.behaviour.ignores_guard = planted == Some(Planted::NoGuard);
    let party = || Party { writer: None, life: 0, stopped_until: 0, cut_until: 0, tick: 0, clock_at: None };
    let mistake = match planted {
        Some(Planted::By(mistake)) => Some(mistake),
        _ => None,
    };
    let contenders = Contenders {
        rng,
        climate,
        stream,
        parties: std::iter::repeat_with(party).take(3).collect(),
        events: BTreeMap::new(),
        count: 0,
        now: 0,
        nonces: 0,
        verifier: Verifier::new(),
        positions: vec![Position::GENESIS],
        mistake,
        tally: Tally::default(),
    };
    contenders.run()
}

impl Contenders {
    fn run(mut self) -> Result<Tally, Box<Finding>> {
        self.begin_soon(0);
        self.at(MS, Event::Weather);
        while let Some(((at, _), event)) = self.events.pop_first() {
            if at > END {
                break;
            }
            self.now = at;
            self.step(event)?;
        }
        self.check_end()?;
        self.tally.records = self.verifier.position().index;
        Ok(self.tally)
    }

    fn at(&mut self, time: u64, event: Event) {
        self.count += 1;
        self.events.insert((time, self.count), event);
    }

    fn after(&mut self, micros: u32, event: Event) {
        let delay = u64::from(self.rng.below(micros.max(1))) * 1000;
        self.at(self.now + delay, event);
    }

    fn hostile(&mut self, chance: fn(&Climate) -> f32) -> bool {
        self.now < CALM_AT && self.rng.chance(chance(&self.climate))
    }

    /// What a stopped process gets, it gets later, in order.
    fn put_off(&mut self, party: usize, event: Event) -> Option<Event> {
        let until = self.parties[party].stopped_until;
        if self.now >= until {
            return Some(event);
        }
        self.at(until, event);
        None
    }

    fn step(&mut self, event: Event) -> Result<(), Box<Finding>> {
        match event {
            Event::Weather => self.weather(),
            Event::Arrives(party, life, publish) => return self.arrives(party, life, &publish),
            Event::Asked(party, life, token, seq) => {
                let found = match seq {
                    Some(seq) => self.stream.read(seq),
                    None => self.stream.read_epoch(),
                };
                let found = found.map(|stored| stored.bytes.clone());
                self.answer(party, life, &Answer::Read(token, found));
            }
            Event::Begin(party, position, last_seq) => self.begins(party, position, last_seq),
            Event::Answer(party, ..) | Event::Clock(party, ..) | Event::Append(party, _) | Event::Heal(party, _) => {
                if let Some(event) = self.put_off(party, event) {
                    self.deliver(party, event);
                    return self.check(party);
                }
                return Ok(());
            }
        }
        (0..self.parties.len()).try_for_each(|party| self.check(party))
    }

    fn arrives(&mut self, party: usize, life: u64, publish: &Publish) -> Result<(), Box<Finding>> {
        let before = self.stream.last_seq();
        let answer = match self.stream.publish(publish) {
            Ok(seq) => Answer::Acked(publish.token, seq),
            Err(refusal) => Answer::Refused(publish.token, refusal),
        };
        if self.stream.last_seq() > before {
            let seq = self.stream.last_seq();
            let stored = self.stream.read(seq).map(|stored| stored.bytes.clone()).unwrap_or_default();
            if self.verifier.feed(seq, &stored).map_err(|error| Box::new(Finding::Chain(error)))?.is_some() {
                self.positions.push(self.verifier.position());
            }
        }
        self.answer(party, life, &answer);
        Ok(())
    }

    fn answer(&mut self, party: usize, life: u64, answer: &Answer) {
        if self.parties[party].cut_until > self.now || self.hostile(|climate| climate.drop) {
            return;
        }
        let copies = 1 + u32::from(self.hostile(|climate| climate.double));
        for _ in 0..copies {
            let late = if self.hostile(|climate| climate.delay) { 40_000 } else { 200 };
            self.after(late, Event::Answer(party, life, answer.clone()));
        }
    }

    fn deliver(&mut self, party: usize, event: Event) {
        let now = self.now;
        let Party { writer: Some(writer), life, tick, cut_until, clock_at, .. } = &mut self.parties[party] else {
            return;
        };
        let (Event::Answer(_, of, _) | Event::Clock(_, of, _) | Event::Append(_, of) | Event::Heal(_, of)) = event
        else {
            return;
        };
        if of != *life {
            return;
        }
        if let Event::Clock(_, _, at) = event {
            clock_at.take_if(|next| *next == at);
        }
        match event {
            Event::Answer(_, _, Answer::Acked(token, seq)) => writer.acked(token, seq, now),
            Event::Answer(_, _, Answer::Refused(token, refusal)) => writer.refused(token, refusal, now),
            Event::Answer(_, _, Answer::Read(token, found)) => writer.read(token, found.as_ref(), now),
            Event::Clock(..) => writer.clock(now),
            Event::Heal(..) if *cut_until <= now => writer.reconnected(now),
            Event::Append(..) => {
                for _ in 0..self.rng.below(4) {
                    if writer.can_append() {
                        *tick += u64::from(self.rng.chance(0.8));
                        let length = if self.rng.chance(0.1) { self.rng.below(1500) } else { self.rng.below(50) };
                        writer.append(*tick, vec![*tick as u8; length as usize].into(), now).unwrap();
                    }
                }
                if now < LAST_APPEND {
                    self.after(6000, Event::Append(party, of));
                }
            }
            _ => {}
        }
    }

    /// Takes the outputs of a writer, and looks whether what it says is true.
    fn check(&mut self, party: usize) -> Result<(), Box<Finding>> {
        let Some(mut writer) = self.parties[party].writer.take() else { return Ok(()) };
        let life = self.parties[party].life;
        let over = matches!(writer.state(), State::Deposed { .. } | State::Damaged { .. });
        while let Some(output) = writer.output() {
            if over {
                return Err(Finding::OutputAfterEnd(output).into());
            }
            self.send(party, life, output);
        }
        let says = writer.position();
        let there = self.positions.get(says.index as usize).copied();
        if there != Some(says) {
            return Err(Finding::NotThere { party, says, there }.into());
        }
        match writer.state() {
            State::Damaged { what } => return Err(Finding::FalseAlarm(what).into()),
            State::Deposed { .. } => {
                self.tally.deposed += 1;
                // Some try again soon, more or less at once.
                if self.rng.chance(0.5) {
                    self.begin_soon(party);
                }
            }
            _ => {
                if let Some(at) = writer.wakes_at() {
                    // Clocks are looked at now and then, not in the nanosecond.
                    let at = at.max(self.now) + u64::from(self.rng.below(2000)) * 1000;
                    if self.parties[party].clock_at.is_none_or(|next| next > at) {
                        self.parties[party].clock_at = Some(at);
                        self.at(at, Event::Clock(party, life, at));
                    }
                }
                self.parties[party].writer = Some(writer);
            }
        }
        Ok(())
    }

    fn send(&mut self, party: usize, life: u64, output: Output) {
        let now = self.now;
        let mut soon = 200;
        let cut_until = self.parties[party].cut_until;
        if cut_until > now {
            // A client that is cut off keeps what it is given, or not.
            if self.rng.chance(0.5) {
                return;
            }
            soon += ((cut_until - now) / 1000) as u32;
        }
        if self.hostile(|climate| climate.drop) {
            return;
        }
        let copies = 1 + u32::from(self.hostile(|climate| climate.double));
        for _ in 0..copies {
            let late = if self.hostile(|climate| climate.delay) { 60_000 } else { soon };
            self.after(
                late,
                match &output {
                    Output::Publish(publish) => Event::Arrives(party, life, publish.clone()),
                    Output::Read { token, seq } => Event::Asked(party, life, *token, Some(*seq)),
                    Output::ReadEpoch { token } => Event::Asked(party, life, *token, None),
                },
            );
        }
    }

    /// Reads the log, and begins a reign somewhat later.
    fn begin_soon(&mut self, party: usize) {
        let (position, last_seq) = (self.verifier.position(), self.verifier.last_seq());
        self.after(8000, Event::Begin(party, position, last_seq));
    }

    fn begins(&mut self, party: usize, position: Position, last_seq: u64) {
        if self.parties[party].writer.is_some() || self.now < self.parties[party].stopped_until {
            return;
        }
        self.nonces += 1;
        let mut begin = begin(position, last_seq, self.nonces);
        begin.epoch = position.epoch + u64::from(self.rng.below(3));
        let mut writer = Writer::begin(begin, limits(), self.now).unwrap();
        writer.mistake = self.mistake;
        self.tally.reigns += 1;
        let Party { writer: slot, life, tick, clock_at, .. } = &mut self.parties[party];
        *clock_at = None;
        (*slot, *life, *tick) = (Some(writer), *life + 1, position.tick);
        let life = *life;
        self.after(3000, Event::Append(party, life));
    }

    fn weather(&mut self) {
        if self.now >= CALM_AT {
            self.stream.behaviour.most = usize::MAX;
            // Somebody must reign in the end: an idle one begins, or one that was deposed and has not noticed.
            let end = self.verifier.position();
            let busy = |writer: &Writer| writer.pending() > 0 || writer.position() == end;
            let idle = self.parties.iter().position(|party| party.writer.is_none());
            let idle = idle.or_else(|| self.parties.iter().position(|party| !party.writer.as_ref().is_some_and(busy)));
            let none_is = !self.parties.iter().any(|party| party.writer.as_ref().is_some_and(busy));
            if let Some(party) = idle.filter(|_| none_is) {
                self.parties[party].writer = None;
                self.begin_soon(party);
            }
            if self.now < END / 2 {
                self.at(self.now + 50 * MS, Event::Weather);
            }
            return;
        }
        self.at(self.now + MS, Event::Weather);
        if !self.rng.chance(self.climate.party) {
            return;
        }
        let party = self.rng.below(self.parties.len() as u32) as usize;
        let long = u64::from(1 + self.rng.below(80)) * MS;
        match self.rng.below(6) {
            0 if self.parties[party].writer.take().is_some() => {
                self.tally.killed += 1;
                self.begin_soon(party);
            }
            1 => {
                self.tally.stopped += 1;
                self.parties[party].stopped_until = self.now + long;
            }
            2 => {
                self.tally.cut += 1;
                self.parties[party].cut_until = self.now + long;
                let life = self.parties[party].life;
                if self.rng.chance(0.8) {
                    self.at(self.now + long, Event::Heal(party, life));
                }
            }
            3 => {
                self.tally.full += 1;
                let room = self.rng.below(4) as usize;
                self.stream.behaviour.most = self.stream.len() + room;
            }
            4 => {
                self.tally.purged += 1;
                self.stream.behaviour.most = usize::MAX;
                // Only what lies before a keyframe, so before a record that a living writer knows to be durable.
                let durable = self.parties.iter().filter_map(|party| party.writer.as_ref().filter(|w| w.began()));
                let before = durable.map(|writer| writer.position().seq).max().unwrap_or(0);
                self.stream.purge_before(before.saturating_sub(u64::from(self.rng.below(10))));
            }
            _ => {
                self.stream.behaviour.most = usize::MAX;
                self.begin_soon(party);
            }
        }
    }

    fn check_end(&self) -> Result<(), Box<Finding>> {
        for (party, Party { writer, .. }) in self.parties.iter().enumerate() {
            if let Some(writer) = writer.as_ref().filter(|writer| writer.pending() > 0) {
                return Err(Finding::Stuck { party, state: writer.state(), pending: writer.pending() }.into());
            }
        }
        let reigns = |party: &Party| {
            let position = party.writer.as_ref().map(Writer::position);
            position == Some(self.verifier.position())
        };
        if self.parties.iter().any(reigns) { Ok(()) } else { Err(Finding::NoLeader.into()) }
    }
}
