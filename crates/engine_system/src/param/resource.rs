//! Resources as parameters: what there is one of in a world. A resource is a component on an entity of
//! its own, so it is stored, hashed, logged and shown as everything else.

#![expect(unsafe_code, reason = "the one row of a resource is taken as the queries take theirs")]

use std::ops::{Deref, DerefMut};

use engine_component::Component;
use engine_component::query::{Part, QueryData};

use crate::declaration::{Declaration, short_name};
use crate::job_input::JobScope;
use crate::param::Param;
use crate::system::JobError;

/// A resource, to be read. A parameter of systems.
#[derive(Clone, Copy, Debug)]
pub struct Res<'w, R>(&'w R);

/// A resource, to be written. A parameter of systems that are not cut into shards: those without a query,
/// or that run `whole`.
#[derive(Debug)]
pub struct ResMut<'w, R>(&'w mut R);

impl<R> Deref for Res<'_, R> {
    type Target = R;

    fn deref(&self) -> &R {
        self.0
    }
}

impl<R> Deref for ResMut<'_, R> {
    type Target = R;

    fn deref(&self) -> &R {
        self.0
    }
}

impl<R> DerefMut for ResMut<'_, R> {
    fn deref_mut(&mut self) -> &mut R {
        self.0
    }
}

impl<R: Component> Param for Res<'_, R> {
    type Item<'w> = Res<'w, R>;

    fn declare(declaration: &mut Declaration) {
        declaration.resource(format!("Res<{}>", short_name::<R>()), R::schema(), false);
    }

    fn fetch<'w>(job: &mut JobScope<'w>) -> Result<Self::Item<'w>, JobError> {
        let part = job.resource::<R>()?;
        // SAFETY: the item only reads; the declaration has refused parameters that write the resource too.
        let row = unsafe { the_row::<&'static R>(part) };
        row.map(Res).ok_or_else(|| job.no_resource::<R>())
    }
}

impl<R: Component> Param for ResMut<'_, R> {
    type Item<'w> = ResMut<'w, R>;

    fn declare(declaration: &mut Declaration) {
        declaration.resource(format!("ResMut<{}>", short_name::<R>()), R::schema(), true);
    }

    fn fetch<'w>(job: &mut JobScope<'w>) -> Result<Self::Item<'w>, JobError> {
        let part = job.resource::<R>()?;
        // SAFETY: the declaration has refused other parameters that touch the resource, so this item is
        // the only one.
        let row = unsafe { the_row::<&'static mut R>(part) };
        row.map(ResMut).ok_or_else(|| job.no_resource::<R>())
    }
}

/// The first row of a part; none when it does not decode.
///
/// # Safety
/// The part has a row, and no item is alive that writes what this one touches, or touches what it writes.
unsafe fn the_row<'w, D: QueryData>(part: &'w Part<'w>) -> Option<D::Item<'w>> {
    debug_assert!(!part.entities.is_empty());
    let fetch = D::fetch(&part, &mut 0);
    // SAFETY: the caller's promise.
    D::matches(&fetch, 0).then(|| unsafe { D::item(&fetch, 0) })
}
