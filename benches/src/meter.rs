//! Reads what processes and server have taken so far. The difference of two readings is what happened between.

use std::cell::RefCell;
use std::rc::Rc;

use anyhow::Result;

use crate::allocator::Allocations;
use crate::dist::broker::Broker;
use crate::figures::{Cpu, Traffic};
use crate::process::cpu_seconds;

/// For whoever ticks through a broker; or alone in this process.
#[derive(Clone, Default)]
pub(crate) struct Meter(Option<Rc<RefCell<Broker>>>);

/// Sums since the start of each process; what the system does not tell is none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Reading {
    /// Seconds of cores.
    pub(crate) coordinator: Option<f64>,
    pub(crate) instances: Option<f64>,
    pub(crate) server: Option<f64>,
    /// What was published.
    pub(crate) messages: Option<f64>,
    pub(crate) payload: Option<f64>,
    /// Bytes that the server read.
    pub(crate) sockets: Option<f64>,
}

impl Meter {
    /// Keeps the broker alive.
    pub(crate) fn of(broker: Rc<RefCell<Broker>>) -> Self {
        Self(Some(broker))
    }

    pub(crate) fn read(&self) -> Result<Reading> {
        let coordinator = cpu_seconds(std::process::id());
        let others = self.0.as_ref().map(|broker| broker.borrow().read()).transpose()?;
        Ok(Reading { coordinator, ..others.unwrap_or_default() })
    }

    /// The other processes count from now on.
    pub(crate) fn count_allocations(&self) -> Result<()> {
        self.0.as_ref().map_or(Ok(()), |broker| broker.borrow_mut().count_allocations())
    }

    /// What the other processes counted.
    pub(crate) fn allocations(&self) -> Result<Allocations> {
        self.0.as_ref().map_or(Ok(Allocations::default()), |broker| broker.borrow_mut().allocations())
    }
}

impl Reading {
    /// What was taken between an earlier reading and this one.
    pub(crate) fn since(self, earlier: Self) -> Self {
        self.with(earlier, |now, then| Some(now? - then?))
    }

    /// Both together.
    pub(crate) fn plus(self, other: Self) -> Self {
        self.with(other, |one, other| match (one, other) {
            (Some(one), Some(other)) => Some(one + other),
            (one, other) => one.or(other),
        })
    }

    fn with(self, other: Self, join: impl Fn(Option<f64>, Option<f64>) -> Option<f64>) -> Self {
        Self {
            coordinator: join(self.coordinator, other.coordinator),
            instances: join(self.instances, other.instances),
            server: join(self.server, other.server),
            messages: join(self.messages, other.messages),
            payload: join(self.payload, other.payload),
            sockets: join(self.sockets, other.sockets),
        }
    }

    pub(crate) fn per_tick(self, ticks: f64) -> (Cpu, Option<Traffic>) {
        let each = |sum: Option<f64>| sum.map(|sum| sum / ticks);
        let (coordinator, instances, server) = (each(self.coordinator), each(self.instances), each(self.server));
        let traffic = |messages, payload| Traffic { messages, payload, sockets: each(self.sockets) };
        let traffic = each(self.messages).zip(each(self.payload)).map(|(messages, payload)| traffic(messages, payload));
        (Cpu { coordinator, instances, server }, traffic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_are_differences_that_add_up() {
        let at = |coordinator| Reading { coordinator: Some(coordinator), ..Reading::default() };
        let taken = Reading::default().plus(at(3.0).since(at(1.0))).plus(at(9.0).since(at(8.0)));
        assert_eq!(taken, at(3.0));
        let (cpu, traffic) = taken.per_tick(2.0);
        assert!(cpu.coordinator == Some(1.5) && cpu.server.is_none() && traffic.is_none());
    }
}
