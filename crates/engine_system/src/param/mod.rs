//! Parameters: what a system's function may ask for. Each knows two things: what it declares, and how it
//! is made for one job.
//!
//! A parameter type is written with elided lifetimes (`Query<&Position>`), and lives as long as the job.
//! [`Param::Item`] is the same type with the lifetime of one job.

mod command_handler;
mod commands;
mod events;
mod query;
mod resource;
mod schemas;
mod values;
mod view;

pub use command_handler::{CommandHandler, Given};
pub use commands::{Commands, EntityCommands};
pub use events::{EventReader, EventWriter};
pub use resource::{Res, ResMut};
pub use schemas::Named;
pub use view::View;

use crate::declaration::Declaration;
use crate::job_input::JobScope;
use crate::system::JobError;

/// A parameter of a system.
///
/// The function of a system may take [`Time`](crate::Time), [`Rng`](crate::Rng),
/// [`Query`](engine_component::query::Query), [`View`], [`Res`], [`ResMut`], [`Commands`],
/// [`EventReader`](crate::EventReader), [`EventWriter`](crate::EventWriter) and [`CommandHandler`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a parameter of a system",
    label = "not a parameter of a system",
    note = "parameters are `Query`, `View`, `Time`, `Rng`, `Commands`, `EventReader`, `EventWriter`, `CommandHandler`, `Res` and `ResMut`, taken by value",
    note = "the type in a `Query` or `View` derives `Component`, that of an event `Event`, that in a `CommandHandler` `Command`"
)]
pub trait Param {
    /// The parameter in one job.
    type Item<'w>;

    /// Adds to what the system declares.
    fn declare(declaration: &mut Declaration);

    /// Makes the parameter for one job. Parameters of one kind are made in the order of their declaration.
    ///
    /// # Errors
    /// When the job does not bring what was declared.
    fn fetch<'w>(job: &mut JobScope<'w>) -> Result<Self::Item<'w>, JobError>;
}

/// A parameter in one job.
pub type ParamItem<'w, P> = <P as Param>::Item<'w>;
