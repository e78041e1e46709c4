//! The virtual server: who gets a message, when, and whether at all.
//!
//! As over NATS, messages of one connection to one receiver keep their order, unless a fault delays one of them;
//! a message on a subject that nobody listens to, and that asks for an answer, comes back as "nobody there".

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use engine_net::envelope::Envelope;
use engine_system::EntityRng;

use crate::faults::{Climate, Fault, FaultCounts};
use crate::log::Jet;

/// A party's number; 0 is the server of the log.
pub(crate) type Party = usize;

const MS: u32 = 1_000_000;

/// A message on its way.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) from: Party,
    pub(crate) lane: usize,
    pub(crate) subject: String,
    pub(crate) reply: Option<String>,
    /// Comes back when nobody listens.
    pub(crate) token: Option<String>,
    pub(crate) payload: Bytes,
    /// Of a command that a system answers.
    pub(crate) envelope: Option<Envelope>,
    /// What is said to the log's server, or by it.
    pub(crate) jet: Option<Jet>,
}

/// What the network does with a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It goes to these parties.
    Goes(Vec<Route>),
    /// Its sender keeps it until then.
    Held(u64),
    /// Nobody listens.
    NobodyThere,
}

/// A way to one party.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) to: Party,
    /// When it arrives; never, when it is lost.
    pub(crate) at: Option<u64>,
    /// What went wrong with it.
    pub(crate) fault: Option<Fault>,
}

/// Some parties hear nothing of the others, or the others nothing of them.
#[derive(Clone, Debug)]
pub(crate) struct Partition {
    pub(crate) side: BTreeSet<Party>,
    /// What the side says is lost.
    pub(crate) out: bool,
    /// What the others say to it is lost.
    pub(crate) into: bool,
    pub(crate) until: u64,
}

impl Partition {
    fn is_between(&self, from: Party, to: Party) -> bool {
        match (self.side.contains(&from), self.side.contains(&to)) {
            (true, false) => self.out,
            (false, true) => self.into,
            _ => false,
        }
    }
}

/// See the module's text.
#[derive(Debug, Default)]
pub(crate) struct Network {
    /// What each party listens to: whole subjects, or all that begin so when they end with a dot.
    subscriptions: BTreeMap<Party, Vec<String>>,
    /// When the last message of a connection arrives at a party.
    last: BTreeMap<(Party, usize, Party), u64>,
    cut: BTreeSet<Party>,
    partitions: Vec<Partition>,
}

impl Network {
    pub(crate) fn subscribe(&mut self, party: Party, subject: String) {
        self.subscriptions.entry(party).or_default().push(subject);
    }

    /// The party's connection is gone, with its subscriptions.
    pub(crate) fn forget(&mut self, party: Party) {
        self.subscriptions.remove(&party);
    }

    pub(crate) fn cut(&mut self, party: Party) {
        self.cut.insert(party);
    }

    pub(crate) fn heal(&mut self, party: Party) {
        self.cut.remove(&party);
    }

    pub(crate) fn is_cut(&self, party: Party) -> bool {
        self.cut.contains(&party)
    }

    pub(crate) fn divide(&mut self, partition: Partition) {
        self.partitions.push(partition);
    }

    fn listeners(&self, subject: &str) -> impl Iterator<Item = Party> {
        let hears = move |pattern: &String| {
            let is_beginning = pattern.as_bytes().last() == Some(&b'.');
            if is_beginning { subject.starts_with(pattern.as_str()) } else { subject == pattern }
        };
        self.subscriptions
            .iter()
            .filter(|(party, _)| !self.is_cut(**party))
            .filter(move |(_, patterns)| patterns.iter().any(hears))
            .map(|(party, _)| *party)
    }

    /// Decides over a message. One that was held is not held again.
    pub(crate) fn send(
        &mut self,
        now: u64,
        message: &Message,
        was_held: bool,
        (climate, rng, counts): (&Climate, &mut EntityRng, &mut FaultCounts),
    ) -> Fate {
        let is_hostile = now < climate.until;
        if is_hostile && !was_held && rng.chance(climate.hold) {
            counts.count(Fault::Hold);
            return Fate::Held(now + u64::from(rng.below(50 * MS)));
        }
        let listeners: Vec<Party> = self.listeners(&message.subject).collect();
        if listeners.is_empty() {
            return Fate::NobodyThere;
        }
        self.partitions.retain(|partition| partition.until > now);
        let mut routes = Vec::with_capacity(listeners.len());
        for to in listeners {
            if self.partitions.iter().any(|partition| partition.is_between(message.from, to)) {
                routes.push(Route { to, at: None, fault: Some(Fault::Partition) });
                continue;
            }
            let soon = now + 50_000 + u64::from(rng.below(150_000));
            let mut happens = |rate: f32| is_hostile && rng.chance(rate);
            let fault = if happens(climate.drop) {
                Some(Fault::Drop)
            } else if happens(climate.delay) {
                Some(Fault::Delay)
            } else if happens(climate.reorder) {
                Some(Fault::Reorder)
            } else {
                None
            };
            let doubled = fault != Some(Fault::Drop) && happens(climate.double);
            let at = match fault {
                Some(Fault::Drop) => None,
                Some(Fault::Delay) => Some(soon + u64::from(rng.below(60 * MS))),
                Some(_) => Some(soon + u64::from(rng.below(MS))),
                None => {
                    let last = self.last.entry((message.from, message.lane, to)).or_default();
                    *last = soon.max(*last + 1);
                    Some(*last)
                }
            };
            fault.into_iter().for_each(|fault| counts.count(fault));
            routes.push(Route { to, at, fault });
            if doubled {
                counts.count(Fault::Double);
                let at = Some(soon + u64::from(rng.below(20 * MS)));
                routes.push(Route { to, at, fault: Some(Fault::Double) });
            }
        }
        Fate::Goes(routes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn send(network: &mut Network, subject: &str) -> Fate {
        let message = Message {
            from: 0,
            lane: 0,
            subject: subject.into(),
            reply: None,
            token: None,
            payload: Bytes::new(),
            envelope: None,
            jet: None,
        };
        let mut rng = engine_system::Rng::new(1, 0, "network").of(engine_component::Entity::NONE);
        network.send(5, &message, false, (&Climate::default(), &mut rng, &mut FaultCounts::default()))
    }

    fn arrives(fate: &Fate) -> Option<u64> {
        if let Fate::Goes(routes) = fate { routes[0].at } else { None }
    }

    #[test]
    fn messages_keep_their_order_in_calm_weather() {
        let mut network = Network::default();
        network.subscribe(1, "a.".into());
        let times: Vec<u64> = (0..50).filter_map(|_| arrives(&send(&mut network, "a.b"))).collect();
        assert!(times.len() == 50 && times.is_sorted_by(|a, b| a < b) && times[0] > 5, "{times:?}");
    }

    #[test]
    fn who_is_cut_or_gone_hears_nothing() {
        let mut network = Network::default();
        network.subscribe(1, "a.b".into());
        assert!(arrives(&send(&mut network, "a.b")).is_some());
        assert_eq!(send(&mut network, "a.b.c"), Fate::NobodyThere);
        network.cut(1);
        assert_eq!(send(&mut network, "a.b"), Fate::NobodyThere);
        network.heal(1);
        network.forget(1);
        assert_eq!(send(&mut network, "a.b"), Fate::NobodyThere);
    }

    #[test]
    fn a_partition_is_silent_and_ends() {
        for (out, into, hears) in [(true, false, true), (false, true, false), (true, true, false)] {
            let mut network = Network::default();
            network.subscribe(1, "a".into());
            network.divide(Partition { side: [1].into(), out, into, until: 6 });
            assert_eq!(arrives(&send(&mut network, "a")).is_some(), hears);
            network.partitions[0].until = 5;
            assert!(arrives(&send(&mut network, "a")).is_some());
        }
    }
}
