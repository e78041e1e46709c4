//! Bundles: what an entity is spawned with, or gets inserted. A component, or a tuple of bundles.

use crate::ComponentId;
use crate::data::{Component, Storage};
use crate::error::WorldError;
use crate::registry::Registry;

/// Components that are given together.
///
/// ```
/// use engine_component::{Bundle, Component, World};
/// # #[derive(Component, Clone, Copy, PartialEq, Debug)]
/// # #[repr(C)]
/// # #[component(name = "doc.Position")]
/// # struct Position { x: f32 }
/// # #[derive(Component, Clone, Copy)]
/// # #[component(name = "doc.Frozen")]
/// # struct Frozen;
/// let mut world = World::default();
/// let nothing = world.spawn(());
/// let one = world.spawn(Position { x: 1.0 });
/// let both = world.spawn((Position { x: 2.0 }, (Frozen,)));
/// assert_eq!(<(Position, (Frozen,))>::COUNT, 2);
/// assert_eq!(world.len(), 3);
/// ```
pub trait Bundle: Sized + 'static {
    /// The number of components.
    const COUNT: usize;

    /// Appends the ids of the components, in the order of the bundle.
    fn ids(out: &mut Vec<ComponentId>);

    /// Makes the components known.
    ///
    /// # Errors
    /// As [`Registry::register`].
    fn register(registry: &mut Registry) -> Result<(), WorldError>;

    /// Hands out the bytes of each component, with its place in the bundle.
    fn write<P: FnMut(usize, &[u8])>(self, put: &mut P);
}

impl<T: Component> Bundle for T {
    const COUNT: usize = 1;

    fn ids(out: &mut Vec<ComponentId>) {
        out.push(T::ID);
    }

    fn register(registry: &mut Registry) -> Result<(), WorldError> {
        registry.register(T::schema()).map(drop)
    }

    #[inline]
    fn write<P: FnMut(usize, &[u8])>(self, put: &mut P) {
        T::Storage::with_bytes(&self, |bytes| put(0, bytes));
    }
}

macro_rules! bundle_of {
    ($($part:ident $index:tt),*) => {
        impl<$($part: Bundle),*> Bundle for ($($part,)*) {
            const COUNT: usize = 0 $(+ $part::COUNT)*;

            fn ids(_out: &mut Vec<ComponentId>) {
                $($part::ids(_out);)*
            }

            fn register(_registry: &mut Registry) -> Result<(), WorldError> {
                $($part::register(_registry)?;)*
                Ok(())
            }

            #[inline]
            fn write<P: FnMut(usize, &[u8])>(self, _put: &mut P) {
                let _base = 0;
                $(
                    self.$index.write(&mut |at, bytes| _put(_base + at, bytes));
                    let _base = _base + $part::COUNT;
                )*
            }
        }
    };
}

bundle_of!();
bundle_of!(A 0);
bundle_of!(A 0, B 1);
bundle_of!(A 0, B 1, C 2);
bundle_of!(A 0, B 1, C 2, D 3);
bundle_of!(A 0, B 1, C 2, D 3, E 4);
bundle_of!(A 0, B 1, C 2, D 3, E 4, F 5);
bundle_of!(A 0, B 1, C 2, D 3, E 4, F 5, G 6);
bundle_of!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);
bundle_of!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8);
bundle_of!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9);
bundle_of!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10);
bundle_of!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11);
