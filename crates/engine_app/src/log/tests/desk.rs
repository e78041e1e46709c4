//! A writer on its stream, for tests that go step by step.

use bytes::Bytes;

use super::super::chain::{Position, Verifier};
use super::super::virtual_stream::VirtualStream;
use super::super::writer::{Begin, Limits, Output, Publish, Token, Writer};
use super::{begin, limits};

/// A writer, its stream, and what it has sent and nobody has answered.
pub(super) struct Desk {
    pub(super) stream: VirtualStream,
    pub(super) writer: Writer,
    pub(super) now: u64,
}

impl Desk {
    pub(super) fn new() -> Self {
        Self::with(VirtualStream::default(), begin(Position::GENESIS, 0, 1), limits())
    }

    pub(super) fn with(stream: VirtualStream, begin: Begin, limits: Limits) -> Self {
        Self { stream, writer: Writer::begin(begin, limits, 0).unwrap(), now: 0 }
    }

    /// A reign that has begun.
    pub(super) fn begun() -> Self {
        let mut desk = Self::new();
        desk.run();
        assert_eq!((desk.writer.durable(), desk.writer.began()), ((1, 0), true));
        desk
    }

    pub(super) fn outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.writer.output()).collect()
    }

    pub(super) fn publishes(&mut self) -> Vec<Publish> {
        let publish = |output| match output {
            Output::Publish(publish) => publish,
            other => panic!("{other:?}"),
        };
        self.outputs().into_iter().map(publish).collect()
    }

    pub(super) fn only_read(&mut self) -> (Token, u64) {
        let outputs = self.outputs();
        match outputs[..] {
            [Output::Read { token, seq }] => (token, seq),
            _ => panic!("{outputs:?}"),
        }
    }

    pub(super) fn append(&mut self, tick: u64) {
        self.writer.append(tick, Bytes::from(vec![tick as u8; 10]), self.now).unwrap();
    }

    pub(super) fn answer(&mut self, publish: &Publish) {
        match self.stream.publish(publish) {
            Ok(seq) => self.writer.acked(publish.token, seq, self.now),
            Err(refusal) => self.writer.refused(publish.token, refusal, self.now),
        }
    }

    pub(super) fn answer_read(&mut self, token: Token, seq: u64) {
        let found = self.stream.read(seq).map(|stored| stored.bytes.clone());
        self.writer.read(token, found.as_ref(), self.now);
    }

    /// Answers all outputs at once, until there are none.
    pub(super) fn run(&mut self) {
        while let Some(output) = self.writer.output() {
            match output {
                Output::Publish(publish) => self.answer(&publish),
                Output::Read { token, seq } => self.answer_read(token, seq),
                Output::ReadEpoch { token } => {
                    let found = self.stream.read_epoch().map(|stored| stored.bytes.clone());
                    self.writer.read(token, found.as_ref(), self.now);
                }
            }
        }
    }

    /// Waits as often as the writer wants to, and answers all.
    pub(super) fn settle(&mut self) {
        for _ in 0..100 {
            self.run();
            let Some(at) = self.writer.wakes_at() else { return };
            self.now = self.now.max(at);
            self.writer.clock(self.now);
        }
        panic!("still not quiet: {:?}", self.writer.state());
    }

    /// Another reign takes over.
    pub(super) fn rival(&mut self, nonce: u128) -> Writer {
        let mut verifier = Verifier::new();
        for (seq, stored) in self.stream.from(1) {
            verifier.feed(seq, &stored.bytes).unwrap();
        }
        let begin = begin(verifier.position(), verifier.last_seq(), nonce);
        let mut writer = Writer::begin(begin, limits(), 0).unwrap();
        let Some(Output::Publish(publish)) = writer.output() else { panic!("no epoch record") };
        let seq = self.stream.publish(&publish).unwrap();
        writer.acked(publish.token, seq, 0);
        writer
    }
}
