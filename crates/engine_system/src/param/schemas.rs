//! The schemas of everything that a query names. Coordinator and tools know components by schemas alone,
//! so a system brings those of its items and of its filters.

use engine_component::query::{Changed, Or, With, Without};
use engine_component::schema::Schema;
use engine_component::{Component, Entity};

/// Types of a query's items and filters, with the schemas of the components in them.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be asked for in a `Query` or `View`",
    label = "no item and no filter of a query",
    note = "items are `Entity`, `&T`, `&mut T`, `Option<&T>`, `Option<&mut T>` and tuples of up to 12 of them, where `T` derives `Component`",
    note = "filters are `With<T>`, `Without<T>`, `Changed<T>`, `Or<(…)>` and tuples of them"
)]
pub trait Named {
    /// Appends the schemas.
    fn schemas(out: &mut Vec<Schema>);
}

impl Named for Entity {
    fn schemas(_out: &mut Vec<Schema>) {}
}

macro_rules! named_by {
    ($($type:ty),*) => {
        $(impl<T: Component> Named for $type {
            fn schemas(out: &mut Vec<Schema>) {
                out.push(T::schema());
            }
        })*
    };
}

named_by!(&T, &mut T, Option<&T>, Option<&mut T>, With<T>, Without<T>, Changed<T>);

impl<T: Named> Named for Or<T> {
    fn schemas(out: &mut Vec<Schema>) {
        T::schemas(out);
    }
}

macro_rules! named_tuple {
    ($($name:ident),*) => {
        impl<$($name: Named),*> Named for ($($name,)*) {
            fn schemas(_out: &mut Vec<Schema>) {
                $($name::schemas(_out);)*
            }
        }
    };
}

named_tuple!();
named_tuple!(A);
named_tuple!(A, B);
named_tuple!(A, B, C);
named_tuple!(A, B, C, D);
named_tuple!(A, B, C, D, E);
named_tuple!(A, B, C, D, E, F);
named_tuple!(A, B, C, D, E, F, G);
named_tuple!(A, B, C, D, E, F, G, H);
named_tuple!(A, B, C, D, E, F, G, H, I);
named_tuple!(A, B, C, D, E, F, G, H, I, J);
named_tuple!(A, B, C, D, E, F, G, H, I, J, K);
named_tuple!(A, B, C, D, E, F, G, H, I, J, K, L);

/// The schemas of a query's items and filters.
pub(super) fn schemas_of<D: Named, F: Named>() -> Vec<Schema> {
    let mut schemas = Vec::new();
    D::schemas(&mut schemas);
    F::schemas(&mut schemas);
    schemas
}
