//! The virtual server: who gets a message, when, and whether at all.
//!
//! As over NATS, messages of one connection to one receiver keep their order, unless a fault delays one of them;
//! a message on a subject that nobody listens to, and that asks for an answer, comes back as "nobody there".

use std::collections::BTreeMap;

use bytes::Bytes;
use engine_system::EntityRng;

use crate::faults::{Climate, Fault, FaultCounts};

/// A party's number; 0 is the coordinator.
pub(crate) type Party = usize;

/// A message on its way.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) from: Party,
    pub(crate) subject: String,
    pub(crate) reply: Option<String>,
    /// Comes back when nobody listens.
    pub(crate) token: Option<String>,
    pub(crate) payload: Bytes,
}

/// What the network does with a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It reaches parties at these times.
    Arrives(Vec<(u64, Party)>),
    /// Nobody listens.
    NobodyThere,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(crate) struct Network {
    /// What each party listens to: whole subjects, or all that begin so when they end with a dot.
    subscriptions: BTreeMap<Party, Vec<String>>,
    /// When the last message of a connection arrives at a party.
    last: BTreeMap<(Party, usize, Party), u64>,
    cut: std::collections::BTreeSet<Party>,
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

    fn listeners(&self, subject: &str) -> impl Iterator<Item = Party> {
        let hears = move |pattern: &String| {
            if pattern.ends_with('.') { subject.starts_with(pattern.as_str()) } else { subject == pattern }
        };
        self.subscriptions
            .iter()
            .filter(|(party, _)| !self.is_cut(**party))
            .filter(move |(_, patterns)| patterns.iter().any(hears))
            .map(|(party, _)| *party)
    }

    /// Decides over a message.
    pub(crate) fn send(
        &mut self,
        now: u64,
        lane: usize,
        message: &Message,
        climate: &Climate,
        rng: &mut EntityRng,
        counts: &mut FaultCounts,
    ) -> Fate {
        let listeners: Vec<Party> = self.listeners(&message.subject).collect();
        if listeners.is_empty() {
            return Fate::NobodyThere;
        }
        let hostile = now < climate.until;
        let mut arrives = Vec::with_capacity(listeners.len());
        for to in listeners {
            if hostile && rng.chance(climate.drop) {
                counts.count(Fault::Drop);
                continue;
            }
            let soon = now + 50_000 + u64::from(rng.below(150_000));
            let last = self.last.entry((message.from, lane, to)).or_default();
            if hostile && rng.chance(climate.delay) {
                counts.count(Fault::Delay);
                arrives.push((soon + u64::from(rng.below(60_000_000)), to));
            } else {
                *last = soon.max(*last + 1);
                arrives.push((*last, to));
            }
            if hostile && rng.chance(climate.double) {
                counts.count(Fault::Double);
                arrives.push((soon + u64::from(rng.below(20_000_000)), to));
            }
        }
        Fate::Arrives(arrives)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(subject: &str) -> Message {
        Message { from: 0, subject: subject.into(), reply: None, token: None, payload: Bytes::new() }
    }

    fn send(network: &mut Network, subject: &str) -> Fate {
        let mut rng = engine_system::Rng::new(1, 0, "network").of(engine_component::Entity::NONE);
        network.send(5, 0, &message(subject), &Climate::calm(), &mut rng, &mut FaultCounts::default())
    }

    #[test]
    fn messages_keep_their_order_in_calm_weather() {
        let mut network = Network::default();
        network.subscribe(1, "a.".into());
        let times: Vec<u64> = (0..50)
            .map(|_| match send(&mut network, "a.b") {
                Fate::Arrives(all) => all[0].0,
                Fate::NobodyThere => 0,
            })
            .collect();
        assert!(times.is_sorted_by(|a, b| a < b) && times[0] > 5, "{times:?}");
    }

    #[test]
    fn who_is_cut_or_gone_hears_nothing() {
        let mut network = Network::default();
        network.subscribe(1, "a.b".into());
        assert!(matches!(send(&mut network, "a.b"), Fate::Arrives(_)));
        assert_eq!(send(&mut network, "a.b.c"), Fate::NobodyThere);
        network.cut(1);
        assert_eq!(send(&mut network, "a.b"), Fate::NobodyThere);
        network.heal(1);
        network.forget(1);
        assert_eq!(send(&mut network, "a.b"), Fate::NobodyThere);
    }
}
