//! Jobs at instances: who gets which, sending within bounds, moving them when an instance dies.

use engine_net::parcel::Assembler;
use engine_net::parcel::WireTime;
use engine_net::{ChunkKind, ChunkPrefix};

use super::{Coordinator, Output};
use crate::members::shard_key;
use crate::ship::{Shipment, needs_shared};

/// A job that is assigned to an instance.
pub(super) struct OpenJob {
    /// The instance.
    pub(super) member: String,
    /// Its slot.
    pub(super) slot: u32,
    /// Which attempt; a job that moves gets the next one.
    pub(super) attempt: u16,
    /// Whether it was sent.
    pub(super) sent: bool,
    /// Bytes that were sent for it.
    pub(super) bytes: u64,
    /// When it was first sent, and when the instance was last heard of about it.
    pub(super) sent_at: u64,
    pub(super) heard_at: u64,
    /// How often it was asked about since it was heard of.
    pub(super) asked: u32,
    /// Instances that died with it.
    pub(super) deaths: u32,
    /// The result, as far as it came.
    pub(super) result: Option<Assembler>,
}

/// Why an instance is taken out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Gone {
    /// Nobody listens on its subject.
    NobodyListens,
    /// It did not answer for too long.
    Silent,
    /// Another process has its name now.
    Replaced,
    /// The same process registers once more.
    Anew,
    /// The connection of the coordinator was lost.
    Disconnected,
    /// It said so.
    Leaves,
}

impl Gone {
    /// Whether its jobs may have killed it. Who merely lost its connection computes them well the next time,
    /// however often that happens.
    fn is_death(self) -> bool {
        matches!(self, Self::NobodyListens | Self::Silent | Self::Replaced)
    }
}

/// Chunks of a shared input carry the node instead of a job.
pub(super) enum Piece {
    Job,
    Shared(u32),
}

impl Coordinator {
    fn wire_time(&self) -> WireTime {
        let time = self.time(self.running.as_ref().map_or(0, |running| running.tick));
        WireTime { tick: time.tick, dt: time.dt, elapsed: time.elapsed }
    }

    /// Chooses an instance for each job. Jobs for which there is none stay unassigned until one joins.
    pub(super) fn assign_jobs(&mut self, now: u64, jobs: Vec<u32>) {
        let Some(running) = &mut self.running else { return };
        let Some(first) = jobs.first() else { return };
        let node = running.run.plan().jobs[*first as usize].node;
        let name = self.systems[running.run.plan().nodes[node].system].name().to_owned();
        let shards: Vec<(u64, u64)> = jobs
            .iter()
            .map(|job| {
                let parts = &running.run.plan().jobs[*job as usize].parts;
                let key = parts.first().map_or(0, |part| {
                    shard_key(&name, self.world.table(part.table).archetype().to_bits(), part.first_row)
                });
                (key, parts.iter().map(|part| u64::from(part.rows)).sum())
            })
            .collect();
        let members = self.members.assign(now, &name, &shards);
        if members.is_empty() {
            for job in jobs {
                if let Some(open) = running.open.get_mut(&job) {
                    (open.sent, open.result) = (false, None);
                }
                running.queue.push_homeless(job);
            }
            return;
        }
        for (job, member) in jobs.into_iter().zip(members) {
            let Some(slot) = self.members.get(&member).map(|member| member.slot) else { continue };
            running.queue.push(&member, job);
            let before = running.open.remove(&job);
            let (attempt, deaths) = before.map_or((0, 0), |open| (open.attempt.wrapping_add(1), open.deaths));
            let open = OpenJob {
                member,
                slot,
                attempt,
                sent: false,
                bytes: 0,
                sent_at: now,
                heard_at: now,
                asked: 0,
                deaths,
                result: None,
            };
            running.open.insert(job, open);
        }
    }

    /// Looks for instances for the jobs that had none.
    pub(super) fn assign_homeless(&mut self, now: u64) {
        let Some(running) = &mut self.running else { return };
        let mut by_node = std::collections::BTreeMap::<usize, Vec<u32>>::new();
        for job in running.queue.take_homeless() {
            if running.run.is_open(job) {
                by_node.entry(running.run.plan().jobs[job as usize].node).or_default().push(job);
            }
        }
        for jobs in by_node.into_values() {
            self.assign_jobs(now, jobs);
        }
    }

    /// Sends the next job to an instance that has room. One at a time, when the driver asks for more to do:
    /// so bytes are on their way while the next job is made.
    pub(super) fn send_next_job(&mut self) {
        while let Some(running) = &mut self.running {
            let (members, most) = (&self.members, self.settings.in_flight_bytes);
            let has_room =
                |name: &str| members.get(name).is_some_and(|member| member.open_jobs == 0 || member.in_flight < most);
            let Some((member, job)) = running.queue.next(has_room) else { return };
            let waits = running.open.get(&job).is_some_and(|open| open.member == member && !open.sent);
            if waits && running.run.is_open(job) {
                return self.send_job(self.now, job);
            }
        }
    }

    /// Makes the chunks of a job or of a shared input, for the instance that the job is assigned to.
    pub(super) fn chunks(&self, job: u32, piece: &Piece) -> Option<Vec<bytes::Bytes>> {
        let running = self.running.as_ref()?;
        let open = running.open.get(&job)?;
        let plan = &running.run.plan().jobs[job as usize];
        let node = &running.run.plan().nodes[plan.node];
        let shipment = Shipment {
            world: &self.world,
            entry: &self.systems[node.system],
            time: self.wire_time(),
            seed: self.settings.seed,
            sizes: self.sizes,
        };
        let prefix = ChunkPrefix {
            kind: ChunkKind::Job,
            attempt: open.attempt,
            job,
            epoch: self.epoch,
            tick: running.tick,
            chunk: 0,
            chunks: 1,
            instance: open.slot,
        };
        let nothing = Vec::new();
        let chunks = match piece {
            Piece::Job => shipment.job(prefix, node, plan),
            Piece::Shared(number) => {
                let events = running.events.get(&plan.node).unwrap_or(&nothing);
                shipment.shared(ChunkPrefix { attempt: 0, ..prefix }, *number, node, events)
            }
        };
        match chunks {
            Ok(chunks) => Some(chunks),
            Err(error) => {
                tracing::error!(system = self.systems[node.system].name(), %error, "a job can't be sent");
                None
            }
        }
    }

    fn send_job(&mut self, now: u64, job: u32) {
        let Some(running) = &self.running else { return };
        let Some(open) = running.open.get(&job) else { return };
        let node = running.run.plan().jobs[job as usize].node;
        let system = running.run.plan().nodes[node].system;
        let member = open.member.clone();
        let shared = needs_shared(self.systems[system].descriptor(), &running.run.plan().nodes[node])
            && !running.shared_sent.contains(&(node, member.clone()));
        let mut sent = 0;
        if shared {
            let Some(chunks) = self.chunks(job, &Piece::Shared(node as u32)) else { return self.give_up(job) };
            sent += self.send_chunks(job, chunks, None);
            if let Some(running) = &mut self.running {
                running.shared_sent.insert((node, member.clone()));
            }
        }
        let Some(chunks) = self.chunks(job, &Piece::Job) else { return self.give_up(job) };
        sent += self.send_chunks(job, chunks, Some(job));
        let Some(running) = &mut self.running else { return };
        running.bytes += sent;
        self.systems[system].run.bytes_out += sent;
        if let Some(open) = running.open.get_mut(&job) {
            (open.sent, open.bytes, open.sent_at, open.heard_at) = (true, sent, now, now);
        }
        if let Some(member) = self.members.get_mut(&member) {
            member.in_flight += sent;
            member.open_jobs += 1;
        }
    }

    /// A job that can't be put into messages: its shard keeps its values, in this tick and in the next.
    fn give_up(&mut self, job: u32) {
        self.figures.count("unsendable");
        self.stage_held(job);
        self.advance(self.now);
    }

    /// Sends chunks on the job's subject; the first one of a job asks for an answer when nobody is there.
    pub(super) fn send_chunks(&mut self, job: u32, chunks: Vec<bytes::Bytes>, token: Option<u32>) -> u64 {
        let Some(running) = &self.running else { return 0 };
        let Some(open) = running.open.get(&job) else { return 0 };
        let node = &running.run.plan().nodes[running.run.plan().jobs[job as usize].node];
        let subject = self.subjects.schedule(self.systems[node.system].name(), &open.member);
        let lane = self.members.get(&open.member).map_or(1, |member| member.lane + 1);
        let token = token.map(|job| format!("{}.{job}.{}", running.tick, open.attempt));
        let mut bytes = 0;
        for (index, payload) in chunks.into_iter().enumerate() {
            bytes += payload.len() as u64;
            let token = token.clone().filter(|_| index == 0);
            self.out.push_back(Output::Send { lane, subject: subject.clone(), token, headers: None, payload });
        }
        bytes
    }

    /// Nobody listens where a job was sent: the instance is gone, and its jobs go elsewhere at once.
    pub fn nobody_there(&mut self, now: u64, token: &str) {
        let numbers: Vec<u64> = token.split('.').filter_map(|number| number.parse().ok()).collect();
        let [tick, job, attempt] = numbers[..] else { return };
        let Some(running) = self.running.as_ref().filter(|running| running.tick == tick) else { return };
        let open = u32::try_from(job).ok().and_then(|job| running.open.get(&job));
        if let Some(open) = open.filter(|open| u64::from(open.attempt) == attempt) {
            let member = open.member.clone();
            self.lose_member(now, &member, Gone::NobodyListens);
            self.advance(now);
        }
    }

    /// An instance is gone: its open jobs go elsewhere.
    pub(super) fn lose_member(&mut self, now: u64, name: &str, why: Gone) {
        let Some(member) = self.members.leave(name) else { return };
        tracing::warn!(instance = name, ?why, "an instance is gone");
        self.figures.count("lost_instances");
        let Some(running) = &mut self.running else { return };
        running.shared_sent.retain(|(_, member)| member != name);
        running.queue.drop_line(name);
        let mut moved = std::collections::BTreeMap::<usize, Vec<u32>>::new();
        let mut held = Vec::new();
        // Who was gone before it can have seen the job did not die of it: when a whole host dies, a job may
        // meet many that are gone already. Nor did who was never there.
        let may_be_death = why.is_death() && (why != Gone::Silent || member.seen);
        let long_enough = self.settings.ask_after_ms * 1_000_000;
        for (job, open) in &mut running.open {
            if open.member != name || !running.run.is_open(*job) {
                continue;
            }
            if open.sent {
                let had_it = now.saturating_sub(open.sent_at) >= long_enough;
                open.deaths += u32::from(may_be_death && had_it);
                *self.figures.counters.entry("reassigned".into()).or_default() += 1;
            }
            // In a tick that is repeated its record decides.
            if open.deaths >= self.settings.max_deaths && self.replayed.is_none() {
                held.push(*job);
            } else {
                moved.entry(running.run.plan().jobs[*job as usize].node).or_default().push(*job);
            }
        }
        for job in held {
            tracing::error!(job, "a job lost too many instances: its shard keeps its values in this tick");
            self.figures.count("quarantined");
            self.stage_held(job);
        }
        for jobs in moved.into_values() {
            self.assign_jobs(now, jobs);
        }
    }

    pub(super) fn lose_all_members(&mut self, now: u64) {
        let names: Vec<String> = self.members.iter().map(|member| member.name.clone()).collect();
        for name in names {
            self.lose_member(now, &name, Gone::Disconnected);
        }
    }

    /// A job is off its instance's hands: there is room for others. The bytes that were sent for it.
    pub(super) fn free_room(&mut self, job: u32) -> u64 {
        let Some(open) = self.running.as_mut().and_then(|running| running.open.get_mut(&job)) else { return 0 };
        let bytes = std::mem::take(&mut open.bytes);
        let member = self.members.get_mut(&open.member).filter(|member| bytes > 0 && member.slot == open.slot);
        if let Some(member) = member {
            member.in_flight = member.in_flight.saturating_sub(bytes);
            member.open_jobs = member.open_jobs.saturating_sub(1);
        }
        bytes
    }
}
