//! The members: instances that are registered, what they run, and how busy they are.
//!
//! A shard goes to the instance that rendezvous hashing gives it, as long as that one has not had its
//! share: so a shard stays where it was while instances come and go, and no instance gets much more than
//! its speed allows. Who computes what has no part in what comes out.

use std::collections::BTreeMap;

use engine_net::subject::Sender;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::phases::Phases;

/// By how much a member's share may be wrong before shards move for it: each that moves is sent whole.
const RATED_ALIKE: f64 = 0.15;

/// What identifies an instance: a name that it made up, unique among the living.
pub type InstanceName = String;

/// Where an instance is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MemberState {
    /// Registered; gets jobs.
    Ready,
    /// Said that it leaves: finishes its open jobs and gets no more.
    Draining,
}

/// A registered instance.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its name.
    pub name: InstanceName,
    /// Its number in this epoch, which stands in its chunks.
    pub slot: u32,
    /// Where it is in its life.
    pub state: MemberState,
    /// The systems that it runs, in order.
    pub systems: Vec<String>,
    /// The same, as they stand in its subjects.
    pub systems_token: String,
    /// The host that it runs on, as it says.
    pub host: String,
    /// Its process id, as it says.
    pub pid: u32,
    /// What it chose for this registration; a repeated request has the same.
    pub nonce: u64,
    /// The connection on which its jobs go out.
    pub lane: usize,
    /// Bytes that were sent and not answered.
    pub in_flight: u64,
    /// Jobs that were sent and not answered.
    pub open_jobs: u32,
    /// Rows of this tick, and the nanoseconds that they took.
    worked: (u64, u64),
    /// Rows per second, a running mean; 0 when not known.
    pub speed: f64,
    /// The speed by which it gets its share: that of some time ago, as long as it is nearly the same. Else shards would
    /// move in every tick, and what instances keep of them would be sent again.
    pub rated: f64,
    /// When it was last heard of, in nanoseconds of the driver's clock.
    pub last_heard: u64,
    /// When it last brought the result of a batch.
    pub last_done: u64,
    /// Whether it was heard of since it joined: what registers and is never seen again may not exist.
    pub seen: bool,
    /// Its last heartbeat's load, 0 to 1.
    pub load: f32,
    /// What it did since it joined.
    pub totals: InstanceTotals,
}

/// What an instance did since it joined.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct InstanceTotals {
    /// Batches whose results counted.
    pub batches: u64,
    /// Jobs of those.
    pub jobs: u64,
    /// Bytes to it.
    pub bytes_out: u64,
    /// Bytes of results from it.
    pub bytes_in: u64,
    /// Where the time of its batches went.
    pub phases: Phases,
}

/// Who was not heard of for so long, in nanoseconds, has missed three heartbeats: it gets no jobs while
/// there are others, and is given up.
pub const QUIET: u64 = 3_000_000_000;

impl Member {
    /// Something of it arrived.
    pub fn hear(&mut self, now: u64) {
        (self.last_heard, self.seen) = (now, true);
    }

    /// Whether it was not heard of for too long.
    #[must_use]
    pub fn is_quiet(&self, now: u64) -> bool {
        now.saturating_sub(self.last_heard) > QUIET
    }
}

/// All members, by name: the order in which everything visits them.
#[derive(Clone, Debug, Default)]
pub struct Members {
    members: BTreeMap<InstanceName, Member>,
    slots: u32,
}

impl Members {
    /// Adds a member, or replaces the one of the same name, under a new slot.
    pub fn join(&mut self, who: Sender<'_>, host: &str, pid: u32, lanes: usize, now: u64) -> &mut Member {
        let slot = self.slots;
        self.slots += 1;
        let member = Member {
            name: who.instance.to_owned(),
            slot,
            state: MemberState::Ready,
            systems: who.systems.split('+').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
            systems_token: who.systems.to_owned(),
            host: host.to_owned(),
            pid,
            nonce: 0,
            lane: slot as usize % lanes.max(1),
            in_flight: 0,
            open_jobs: 0,
            worked: (0, 0),
            speed: 0.0,
            rated: 0.0,
            last_heard: now,
            last_done: 0,
            seen: false,
            load: 0.0,
            totals: InstanceTotals::default(),
        };
        self.members.entry(who.instance.to_owned()).insert_entry(member).into_mut()
    }

    /// Takes a member out.
    pub fn leave(&mut self, name: &str) -> Option<Member> {
        self.members.remove(name)
    }

    /// Takes all members out: a new epoch, or a connection that was lost.
    pub fn clear(&mut self) {
        self.members.clear();
    }

    /// A member by its name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Member> {
        self.members.get(name)
    }

    /// A member by its name.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Member> {
        self.members.get_mut(name)
    }

    /// The member that a message is of, by its subject and the slot that it names.
    pub fn of(&mut self, from: Sender<'_>, slot: u32) -> Option<&mut Member> {
        self.get_mut(from.instance).filter(|member| member.slot == slot && member.systems_token == from.systems)
    }

    /// All members, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// All members, in the order of their names.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Member> {
        self.members.values_mut()
    }

    /// The number of members.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there is no member.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Members that take jobs of a system.
    pub fn of_system<'a>(&'a self, system: &'a str) -> impl Iterator<Item = &'a Member> {
        self.iter().filter(move |member| {
            member.state == MemberState::Ready && member.systems.iter().any(|name| name == system)
        })
    }

    /// A member has worked at so many rows for so many nanoseconds. It counts at the end of the tick: what a batch
    /// takes by itself is much by chance.
    pub fn note_work(&mut self, name: &str, rows: u64, took: u64) {
        if let Some(member) = self.get_mut(name) {
            member.worked.0 += rows;
            member.worked.1 += took;
        }
    }

    /// A tick is over: what members have done in it tells their speed.
    pub fn note_speeds(&mut self) {
        for member in self.iter_mut() {
            let (rows, took) = std::mem::take(&mut member.worked);
            if rows == 0 {
                continue;
            }
            let speed = rows as f64 * 1e9 / took.max(1) as f64;
            member.speed = if member.speed > 0.0 { member.speed * 0.9 + speed * 0.1 } else { speed };
        }
        self.rate();
    }

    /// A member is slower than was known of it.
    pub fn slow_down(&mut self, name: &str) {
        if let Some(member) = self.get_mut(name) {
            member.speed *= 0.5;
        }
        self.rate();
    }

    /// Rates all members anew when one of them is another one's equal no more. O(members).
    fn rate(&mut self) {
        let fastest = |of: fn(&Member) -> f64| self.iter().map(of).fold(f64::MIN_POSITIVE, f64::max);
        let (speed, rated) = (fastest(|member| member.speed), fastest(|member| member.rated));
        let has_changed = |member: &Member| {
            let (now, before) = (member.speed / speed, member.rated / rated);
            (now - before).abs() > before * RATED_ALIKE
        };
        if self.iter().any(has_changed) {
            self.iter_mut().for_each(|member| member.rated = member.speed);
        }
    }

    /// Which member gets each of a node's shards: (rows of the shard, member's name). Empty when no member
    /// runs the system.
    ///
    /// O(shards · members). Members get shares by their speed, at most a shard more than that; who is quiet, or is
    /// behind with something else, gets none while there are others.
    #[must_use]
    pub fn assign(
        &self,
        now: u64,
        system: &str,
        shards: &[(u64, u64)],
        is_behind: impl Fn(&Member) -> bool,
    ) -> Vec<InstanceName> {
        let mut members: Vec<&Member> = self.of_system(system).collect();
        for is_left_out in [&|member: &Member| member.is_quiet(now), &is_behind as &dyn Fn(&Member) -> bool] {
            if members.iter().any(|member| !is_left_out(member)) {
                members.retain(|member| !is_left_out(member));
            }
        }
        if members.is_empty() {
            return Vec::new();
        }
        let known: f64 = members.iter().map(|member| member.rated).fold(0.0, f64::max);
        // An instance that was not measured yet is taken for the fastest, so that it gets measured.
        let candidates: Vec<Candidate> = members
            .iter()
            .map(|member| Candidate {
                name: xxh3_64(member.name.as_bytes()),
                weight: if member.rated > 0.0 { member.rated / known } else { 1.0 }.max(0.05),
            })
            .collect();
        let total_weight: f64 = candidates.iter().map(|candidate| candidate.weight).sum();
        let total_rows: u64 = shards.iter().map(|shard| shard.1.max(1)).sum();
        let share = |candidate: &Candidate| total_rows as f64 * candidate.weight / total_weight;
        let mut room: Vec<f64> = candidates.iter().map(share).collect();
        shards
            .iter()
            .map(|(key, rows)| {
                let rows = (*rows).max(1) as f64;
                let scores = candidates.iter().enumerate().map(|(index, candidate)| {
                    let fits = room[index] >= rows * 0.5;
                    (fits, candidate.score(*key), index)
                });
                let best = scores.max_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
                let (.., best) = best.expect("there is a member");
                room[best] -= rows;
                members[best].name.clone()
            })
            .collect()
    }
}

/// A member in weighted rendezvous hashing: the one with the highest score has the shard.
struct Candidate {
    /// The hash of its name.
    name: u64,
    weight: f64,
}

impl Candidate {
    fn score(&self, key: u64) -> f64 {
        let unit = (xxh3_64_with_seed(&key.to_le_bytes(), self.name) >> 11) as f64 / (1_u64 << 53) as f64;
        -self.weight / unit.max(f64::MIN_POSITIVE).ln()
    }
}

/// The key by which a shard is kept on its instance: what it is, not when, nor which system works on it. So what one
/// system has made of its rows is where the next one needs them.
#[must_use]
pub fn shard_key(archetype: u64, first_row: u32) -> u64 {
    let mut bytes = [0; 12];
    bytes[..8].copy_from_slice(&archetype.to_le_bytes());
    bytes[8..].copy_from_slice(&first_row.to_le_bytes());
    xxh3_64(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(count: usize) -> Members {
        let mut members = Members::default();
        for number in 0..count {
            members.join(Sender { systems: "s", instance: &format!("i{number}") }, "host", 1, 1, 0);
        }
        members
    }

    fn shards(count: u32) -> Vec<(u64, u64)> {
        (0..count).map(|index| (shard_key(7, index * 64), 64)).collect()
    }

    #[test]
    fn shares_are_even() {
        for count in 1..6 {
            let assigned = members(count).assign(0, "s", &shards(30), |_| false);
            for number in 0..count {
                let name = format!("i{number}");
                let share = assigned.iter().filter(|member| **member == name).count();
                assert!(share.abs_diff(30 / count) <= 1, "{share} of 30 for one of {count}");
            }
        }
    }

    #[test]
    fn most_shards_stay_when_a_member_joins() {
        let before = members(3).assign(0, "s", &shards(60), |_| false);
        let after = members(4).assign(0, "s", &shards(60), |_| false);
        let stayed = before.iter().zip(&after).filter(|(a, b)| a == b).count();
        assert!(stayed >= 36, "{stayed} of 60 stayed");
    }

    #[test]
    fn the_quiet_get_nothing_while_there_are_others() {
        let mut members = members(3);
        members.get_mut("i1").unwrap().hear(2 * QUIET);
        let assigned = members.assign(2 * QUIET, "s", &shards(10), |_| false);
        assert!(assigned.iter().all(|name| name == "i1"), "{assigned:?}");
        let assigned = members.assign(4 * QUIET, "s", &shards(10), |_| false);
        assert!(assigned.iter().any(|name| name != "i1"), "{assigned:?}");
    }

    #[test]
    fn who_is_behind_gets_nothing_while_there_are_others() {
        let assigned = members(3).assign(0, "s", &shards(10), |member| member.name != "i2");
        assert!(assigned.iter().all(|name| name == "i2"), "{assigned:?}");
        let assigned = members(3).assign(0, "s", &shards(10), |_| true);
        assert!(assigned.iter().any(|name| name != "i2"), "{assigned:?}");
    }

    #[test]
    fn shards_stay_while_speeds_are_nearly_the_same() {
        let mut members = members(2);
        let tick = |members: &mut Members, took: [u64; 2]| {
            members.note_work("i0", 1000, took[0]);
            members.note_work("i1", 1000, took[1]);
            members.note_speeds();
        };
        tick(&mut members, [1000, 1000]);
        let before = members.assign(0, "s", &shards(60), |_| false);
        for took in [[500, 1000], [1000, 600], [2000, 1000], [1000, 1000]] {
            tick(&mut members, took);
            assert_eq!(members.assign(0, "s", &shards(60), |_| false), before);
        }
        (0..30).for_each(|_| tick(&mut members, [2000, 1000]));
        let slow = members.assign(0, "s", &shards(60), |_| false).iter().filter(|name| *name == "i0").count();
        assert!((15..26).contains(&slow), "{slow} of 60 for who has half the speed");
    }

    #[test]
    fn nobody_runs_it() {
        assert!(members(2).assign(0, "other", &shards(3), |_| false).is_empty());
    }
}
