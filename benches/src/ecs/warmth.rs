//! Whether what a case works on was used just before, or long ago.
//!
//! A world that is ticked again and again finds in the caches what fits into them; one that shares its machine,
//! or is woken once a second, does not.

use std::cell::RefCell;
use std::hint::black_box;
use std::rc::Rc;
use std::time::Instant;

use crate::case::Contender;
use crate::measure::repeated;

/// What the caches hold when the work begins.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Warmth {
    /// What the last time left there.
    Warm,
    /// Something else.
    Cold,
}

/// Larger than the caches of a core. What a machine shares among all its cores may be larger still.
const SOMETHING_ELSE: usize = 64 << 20;

const LINE: usize = 64;

impl Warmth {
    /// A contender that does its work again and again on the same state; `operations` at a time.
    pub(crate) fn contender(self, name: &'static str, operations: usize, work: impl FnMut() + 'static) -> Contender {
        match self {
            Self::Warm => repeated(name, operations, work),
            Self::Cold => cold(name, operations, work),
        }
    }
}

thread_local! {
    static ELSE: Rc<RefCell<Vec<u8>>> = Rc::new(RefCell::new(vec![0; SOMETHING_ELSE]));
}

fn cold(name: &'static str, operations: usize, mut work: impl FnMut() + 'static) -> Contender {
    let other = ELSE.with(Rc::clone);
    let sample = move |times: u32| {
        let mut total = 0.0;
        for _ in 0..times {
            other.borrow_mut().iter_mut().step_by(LINE).for_each(|byte| *byte = byte.wrapping_add(1));
            black_box(&other);
            let start = Instant::now();
            work();
            total += start.elapsed().as_secs_f64();
        }
        Ok(total / f64::from(times) / operations as f64)
    };
    Contender { name, sample: Box::new(sample) }
}
