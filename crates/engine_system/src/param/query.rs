//! The rows of the shard as a parameter.

#![expect(unsafe_code, reason = "a query is unsafe to make, since it writes through shared parts")]

use engine_component::query::{Query, QueryData, QueryFilter, describe};

use crate::declaration::{Declaration, rows_name};
use crate::job_input::JobScope;
use crate::param::Param;
use crate::param::schemas::{Named, schemas_of};
use crate::system::JobError;

impl<D, F> Param for Query<'_, D, F>
where
    D: QueryData + Named + 'static,
    F: QueryFilter + Named + 'static,
{
    type Item<'w> = Query<'w, D, F>;

    fn declare(declaration: &mut Declaration) {
        declaration.query(rows_name::<D, F>("Query"), describe::<D, F>(), schemas_of::<D, F>());
    }

    fn fetch<'w>(job: &mut JobScope<'w>) -> Result<Self::Item<'w>, JobError> {
        let parts = job.next_query()?;
        // SAFETY: each list of parts is taken by one query of one call; the declaration has refused
        // parameters that touch the same component of the same rows, one of them writing.
        Ok(unsafe { Query::new(parts) })
    }
}
