//! Jobs that wait to be sent: a line for each instance, served in turns, so that all of them get their first
//! job soon; and those that no instance takes yet.

use std::collections::{BTreeMap, VecDeque};

/// See the module's text. An entry may be outdated, when its job has moved in the meantime: whoever takes it
/// checks.
#[derive(Debug, Default)]
pub(super) struct SendQueue {
    lines: BTreeMap<String, VecDeque<u32>>,
    /// Whose line was served last.
    last: String,
    homeless: Vec<u32>,
}

impl SendQueue {
    /// All entries, the outdated ones too.
    pub(super) fn len(&self) -> usize {
        self.lines.values().map(VecDeque::len).sum::<usize>() + self.homeless.len()
    }

    /// At the end of an instance's line.
    pub(super) fn push(&mut self, member: &str, job: u32) {
        match self.lines.get_mut(member) {
            Some(line) => line.push_back(job),
            None => drop(self.lines.insert(member.to_owned(), VecDeque::from([job]))),
        }
    }

    /// Among those that no instance takes.
    pub(super) fn push_homeless(&mut self, job: u32) {
        self.homeless.push(job);
    }

    /// Those that no instance takes.
    pub(super) fn homeless(&self) -> &[u32] {
        &self.homeless
    }

    /// All that no instance took.
    pub(super) fn take_homeless(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.homeless)
    }

    /// The instance is gone.
    pub(super) fn drop_line(&mut self, member: &str) {
        self.lines.remove(member);
    }

    /// The next job, and whose it is: of the first instance with room, after the one that was served last.
    pub(super) fn next(&mut self, mut has_room: impl FnMut(&str) -> bool) -> Option<(String, u32)> {
        let name = {
            let waits = |(_, line): &(&String, &VecDeque<u32>)| !line.is_empty();
            let all = || self.lines.iter().filter(waits).map(|(name, _)| name);
            let after = all().filter(|name| **name > self.last);
            let before = all().filter(|name| **name <= self.last);
            after.chain(before).find(|name| has_room(name))?.clone()
        };
        let job = self.lines.get_mut(&name)?.pop_front()?;
        self.last.clone_from(&name);
        Some((name, job))
    }

    /// All entries of an instance's line.
    pub(super) fn line(&self, member: &str) -> impl Iterator<Item = u32> {
        self.lines.get(member).into_iter().flatten().copied()
    }

    /// The next entry of an instance's line.
    pub(super) fn peek(&self, member: &str) -> Option<u32> {
        self.lines.get(member)?.front().copied()
    }

    /// Takes the next entry out of an instance's line.
    pub(super) fn pop(&mut self, member: &str) -> Option<u32> {
        self.lines.get_mut(member)?.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> SendQueue {
        let mut queue = SendQueue::default();
        for job in 0..3 {
            queue.push("a", job);
            queue.push("b", 10 + job);
        }
        queue
    }

    fn all(queue: &mut SendQueue, has_room: impl Fn(&str) -> bool) -> Vec<u32> {
        std::iter::from_fn(|| queue.next(&has_room)).map(|(_, job)| job).collect()
    }

    #[test]
    fn instances_take_turns() {
        assert_eq!(all(&mut queue(), |_| true), [0, 10, 1, 11, 2, 12]);
    }

    #[test]
    fn who_has_no_room_holds_nobody_back() {
        let mut queue = queue();
        assert_eq!(all(&mut queue, |name| name == "b"), [10, 11, 12]);
        assert_eq!(all(&mut queue, |_| true), [0, 1, 2]);
    }

    #[test]
    fn the_line_of_who_is_gone_is_gone() {
        let mut queue = queue();
        queue.drop_line("a");
        assert_eq!(all(&mut queue, |_| true), [10, 11, 12]);
    }

    #[test]
    fn the_homeless_are_taken_once() {
        let mut queue = SendQueue::default();
        queue.push_homeless(7);
        assert_eq!((queue.take_homeless(), queue.take_homeless()), (vec![7], vec![]));
        assert_eq!(queue.next(|_| true), None);
    }
}
