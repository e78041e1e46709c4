//! What there is where no such memory is: the same names, of which nothing can be made.
//!
//! So whoever uses it needs no conditions: an [`Arena::new`] that fails is what a switched-off setting is. Built on
//! Linux for tests only, so that it goes on building.

#![cfg_attr(target_os = "linux", expect(dead_code, unreachable_pub, reason = "only built to see that it builds"))]
#![expect(unsafe_code, reason = "the trait is unsafe, and there is nothing to be unsafe with")]

use std::convert::Infallible;
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

use engine_component::ColumnMemory;
use engine_component::memory::Block;

use super::{Invitation, ShmError};

const ABSENT: ShmError = ShmError::Refused("this system has none that Engine knows how to use");

/// The memory that a world's large columns are in. There is none here.
#[derive(Debug)]
pub struct Arena(Infallible);

impl Arena {
    /// # Errors
    /// Always.
    pub fn new(_bytes: u64) -> Result<Self, ShmError> {
        Err(ABSENT)
    }

    /// Its size.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        match self.0 {}
    }

    /// The bytes of the blocks that columns are in.
    #[must_use]
    pub fn used(&self) -> u64 {
        match self.0 {}
    }
}

// SAFETY: there is none.
unsafe impl ColumnMemory for Arena {
    fn allocate(&self, _bytes: usize) -> Option<Block> {
        match self.0 {}
    }

    unsafe fn free(&self, _block: Block) {
        match self.0 {}
    }
}

/// An output, as the coordinator sees it. There is none here.
#[derive(Debug)]
pub struct Segment(Infallible);

impl Segment {
    /// # Errors
    /// Always.
    pub fn new(_bytes: u64) -> Result<Self, ShmError> {
        Err(ABSENT)
    }

    /// Its size.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        match self.0 {}
    }

    /// Whether it is read through a map.
    #[must_use]
    pub fn is_mapped(&self) -> bool {
        match self.0 {}
    }

    /// # Errors
    /// Never: there is none.
    pub fn read(&self, _offset: u64, _into: &mut [u8]) -> Result<(), ShmError> {
        match self.0 {}
    }
}

/// An output, as the instance sees it. There is none here.
#[derive(Debug)]
pub struct Output(Infallible);

impl Output {
    /// Its size.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        match self.0 {}
    }

    /// # Errors
    /// Never: there is none.
    pub fn first(&mut self, _bytes: usize) -> Result<&mut [u8], ShmError> {
        match self.0 {}
    }

    /// # Errors
    /// Never: there is none.
    pub fn place(&self, _offset: u64, _bytes: usize) -> Result<NonNull<u8>, ShmError> {
        match self.0 {}
    }
}

/// A coordinator's arena, mapped by an instance. There is none here.
#[derive(Debug)]
pub struct ArenaView(Infallible);

impl ArenaView {
    /// Its size.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        match self.0 {}
    }

    /// # Errors
    /// Never: there is none.
    pub fn column(&self, _offset: u64, _bytes: usize) -> Result<NonNull<u8>, ShmError> {
        match self.0 {}
    }
}

/// How an instance gets the memory that it may map: it doesn't, here.
pub mod handover {
    use super::{ABSENT, Arc, Arena, ArenaView, Duration, Infallible, Invitation, Output, Segment, ShmError};

    /// What an instance may map.
    #[derive(Clone, Debug)]
    pub struct Offer {
        /// The columns, to be read.
        pub arena: Arc<Arena>,
        /// Where it computes into.
        pub output: Arc<Segment>,
    }

    /// Hands memory over to instances that were invited. There is none here.
    #[derive(Debug)]
    pub struct Handover(Infallible);

    impl Handover {
        /// # Errors
        /// Always.
        pub fn start(_joined: impl FnMut(u64) + Send + 'static) -> Result<Self, ShmError> {
            Err(ABSENT)
        }

        /// # Errors
        /// Never: there is none.
        pub fn offer(&self, _number: u64, _offer: Offer) -> Result<Invitation, ShmError> {
            match self.0 {}
        }

        /// Takes an offer back.
        pub fn withdraw(&self, _number: u64) {
            match self.0 {}
        }
    }

    /// # Errors
    /// Always.
    pub fn join(_invitation: &Invitation, _patience: Duration) -> Result<(ArenaView, Output), ShmError> {
        Err(ABSENT)
    }
}
