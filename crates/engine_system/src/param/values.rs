//! Parameters that every job brings and that touch nothing of the world: time and random numbers.

use crate::declaration::Declaration;
use crate::job_input::JobScope;
use crate::param::Param;
use crate::system::JobError;
use crate::{Rng, Time};

impl Param for Time {
    type Item<'w> = Self;

    fn declare(declaration: &mut Declaration) {
        declaration.value("Time");
    }

    fn fetch<'w>(job: &mut JobScope<'w>) -> Result<Self, JobError> {
        Ok(job.time())
    }
}

impl Param for Rng {
    type Item<'w> = Self;

    fn declare(declaration: &mut Declaration) {
        declaration.value("Rng");
    }

    fn fetch<'w>(job: &mut JobScope<'w>) -> Result<Self, JobError> {
        Ok(job.rng())
    }
}
