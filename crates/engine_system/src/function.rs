//! From a plain function to a system.
//!
//! A function with parameters of elided lifetimes is a function for every lifetime. The trick that makes
//! its parameter types known *and* callable for the lifetime of each job is two bounds at once: the
//! function takes the parameters as written, and as [`Param::Item`] for any lifetime.

use std::panic::{AssertUnwindSafe, catch_unwind};

use engine_component::Bundle;
use engine_component::schema::Schema;
use engine_net::descriptor::{DeadlinePolicy, SystemDescriptor, SystemOptions};

use crate::declaration::Declaration;
use crate::job_input::{JobInput, JobScope};
use crate::param::{Param, ParamItem};
use crate::system::{JobError, JobOutput, System, SystemError};

/// A function whose parameters are all [`Param`]s: up to twelve.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a system",
    label = "not a system",
    note = "a system is a function that returns nothing, with 0 to 12 parameters, each of them taken by value: `Query`, `View`, `Time`, `Rng`, `Commands`, `EventReader`, `EventWriter`, `CommandHandler`, `Res` or `ResMut`",
    note = "a closure may only capture what is `Send + Sync`, and must not change what it captures: shards of one system run in parallel"
)]
pub trait SystemFunction<M>: Send + Sync + 'static {
    /// What the parameters declare.
    fn declare(declaration: &mut Declaration);

    /// Calls the function for one job.
    ///
    /// # Errors
    /// When the job does not bring what was declared.
    fn call(&self, job: &mut JobScope<'_>) -> Result<(), JobError>;
}

macro_rules! system_function {
    ($($param:ident),*) => {
        impl<Function, $($param: Param + 'static),*> SystemFunction<fn($($param),*)> for Function
        where
            Function: Send + Sync + 'static,
            for<'f> &'f Function: Fn($($param),*) + Fn($(ParamItem<'_, $param>),*),
        {
            fn declare(_declaration: &mut Declaration) {
                $($param::declare(_declaration);)*
            }

            #[allow(non_snake_case, clippy::too_many_arguments, reason = "a parameter is named like its type; there are up to twelve")]
            fn call(&self, _job: &mut JobScope<'_>) -> Result<(), JobError> {
                // Without this step the compiler does not see which of the two bounds is meant.
                fn call_it<$($param),*>(function: impl Fn($($param),*), $($param: $param),*) {
                    function($($param),*);
                }
                $(let $param = $param::fetch(_job)?;)*
                call_it(self, $($param),*);
                Ok(())
            }
        }
    };
}

system_function!();
system_function!(A);
system_function!(A, B);
system_function!(A, B, C);
system_function!(A, B, C, D);
system_function!(A, B, C, D, E);
system_function!(A, B, C, D, E, F);
system_function!(A, B, C, D, E, F, G);
system_function!(A, B, C, D, E, F, G, H);
system_function!(A, B, C, D, E, F, G, H, I);
system_function!(A, B, C, D, E, F, G, H, I, J);
system_function!(A, B, C, D, E, F, G, H, I, J, K);
system_function!(A, B, C, D, E, F, G, H, I, J, K, L);

/// What can become a system: a function, or a function with options. `M` is found by the compiler.
///
/// ```
/// use engine_component::query::Query;
/// use engine_component::Component;
/// use engine_system::{IntoSystem, Time};
///
/// #[derive(Component, Clone, Copy)]
/// #[repr(C)]
/// #[component(name = "doc.Age")]
/// struct Age { seconds: f32 }
///
/// fn grow_old(time: Time, mut ages: Query<&mut Age>) {
///     for age in &mut ages {
///         age.seconds += time.dt;
///     }
/// }
///
/// let system = grow_old.every(10).after("birth").into_system("grow_old").unwrap();
/// assert_eq!(system.descriptor().options.every, 10);
/// assert_eq!(system.schemas()[0].name, "doc.Age");
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a system",
    label = "not a system",
    note = "a system is a function that returns nothing, with 0 to 12 parameters, each of them taken by value: `Query`, `View`, `Time`, `Rng`, `Commands`, `EventReader`, `EventWriter`, `CommandHandler`, `Res` or `ResMut`",
    note = "a closure may only capture what is `Send + Sync`, and must not change what it captures: shards of one system run in parallel"
)]
pub trait IntoSystem<M>: Sized {
    /// The function with the default options.
    fn configure(self) -> SystemConfig;

    /// The system under its name.
    ///
    /// # Errors
    /// When the name or the parameters cannot be; the error says what to do.
    fn into_system(self, name: &str) -> Result<Box<dyn System>, SystemError> {
        self.configure().build(name)
    }

    /// See [`SystemConfig::after`].
    fn after(self, system: &str) -> SystemConfig {
        self.configure().after(system)
    }

    /// See [`SystemConfig::before`].
    fn before(self, system: &str) -> SystemConfig {
        self.configure().before(system)
    }

    /// See [`SystemConfig::every`].
    fn every(self, ticks: u32) -> SystemConfig {
        self.configure().every(ticks)
    }

    /// See [`SystemConfig::whole`].
    fn whole(self) -> SystemConfig {
        self.configure().whole()
    }

    /// See [`SystemConfig::deadline`].
    fn deadline(self, policy: DeadlinePolicy) -> SystemConfig {
        self.configure().deadline(policy)
    }

    /// See [`SystemConfig::deadline_ms`].
    fn deadline_ms(self, milliseconds: u32) -> SystemConfig {
        self.configure().deadline_ms(milliseconds)
    }

    /// See [`SystemConfig::nondeterministic`].
    fn nondeterministic(self) -> SystemConfig {
        self.configure().nondeterministic()
    }

    /// See [`SystemConfig::spawns`].
    fn spawns<B: Bundle>(self) -> SystemConfig {
        self.configure().spawns::<B>()
    }
}

/// Tells plain functions from what is configured already.
#[derive(Debug)]
pub enum Configured {}

impl<M: 'static, F: SystemFunction<M>> IntoSystem<(M,)> for F {
    fn configure(self) -> SystemConfig {
        let mut declaration = Declaration::default();
        F::declare(&mut declaration);
        let body = Box::new(move |job: &mut JobScope<'_>| self.call(job));
        SystemConfig { declaration, options: SystemOptions::default(), body }
    }
}

impl IntoSystem<Configured> for SystemConfig {
    fn configure(self) -> SystemConfig {
        self
    }
}

type Body = Box<dyn Fn(&mut JobScope<'_>) -> Result<(), JobError> + Send + Sync>;

/// A function with the options of the system that it becomes.
#[must_use = "a configured function does nothing until it is added as a system"]
pub struct SystemConfig {
    declaration: Declaration,
    options: SystemOptions,
    body: Body,
}

impl std::fmt::Debug for SystemConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SystemConfig").field("options", &self.options).finish_non_exhaustive()
    }
}

impl SystemConfig {
    /// Runs after another system of the same tick.
    pub fn after(mut self, system: &str) -> Self {
        self.options.after.push(system.to_owned());
        self
    }

    /// Runs before another system of the same tick.
    pub fn before(mut self, system: &str) -> Self {
        self.options.before.push(system.to_owned());
        self
    }

    /// Runs in every n-th tick only.
    pub fn every(mut self, ticks: u32) -> Self {
        self.options.every = ticks;
        self
    }

    /// One job sees all rows: for what cannot be cut into shards. Allows several queries.
    pub fn whole(mut self) -> Self {
        self.options.whole = true;
        self
    }

    /// What happens when a result does not come in time.
    pub fn deadline(mut self, policy: DeadlinePolicy) -> Self {
        self.options.deadline = policy;
        self
    }

    /// What "in time" is; without it, the coordinator's setting.
    pub fn deadline_ms(mut self, milliseconds: u32) -> Self {
        self.options.deadline_ms = Some(milliseconds);
        self
    }

    /// What the function does depends on more than its parameters: on a sensor, a clock, a library that uses
    /// threads, the machine's floating point unit. A world that keeps a log records what such a system did in
    /// every tick, rows that it changed, commands and events, and takes that when the tick is computed again.
    /// All other systems are run again then, and have to come to the same.
    ///
    /// ```
    /// use engine_component::{Component, query::Query};
    /// use engine_system::IntoSystem;
    ///
    /// #[derive(Component, Clone, Copy)]
    /// #[repr(C)]
    /// #[component(name = "game.Load")]
    /// struct Load {
    ///     of_host: f32,
    /// }
    ///
    /// fn measure(mut loads: Query<&mut Load>) {
    ///     let cores = std::thread::available_parallelism().map_or(1, usize::from);
    ///     loads.iter_mut().for_each(|load| load.of_host = 1.0 / cores as f32);
    /// }
    ///
    /// let system = measure.nondeterministic().into_system("measure")?;
    /// assert!(system.descriptor().options.nondeterministic);
    /// # Ok::<(), engine_system::SystemError>(())
    /// ```
    pub fn nondeterministic(mut self) -> Self {
        self.options.nondeterministic = true;
        self
    }

    /// Declares components that only the system's commands bring into the world. The coordinator of a
    /// system that was built elsewhere learns of them by this; in one program it knows them anyway.
    pub fn spawns<B: Bundle>(mut self) -> Self {
        self.declaration.spawns::<B>();
        self
    }

    fn build(self, name: &str) -> Result<Box<dyn System>, SystemError> {
        let descriptor = self.declaration.descriptor(name, self.options)?;
        let schemas = self.declaration.schemas(name)?;
        Ok(Box::new(FunctionSystem { descriptor, schemas, body: self.body }))
    }
}

/// A function, ready to run jobs.
struct FunctionSystem {
    descriptor: SystemDescriptor,
    schemas: Vec<Schema>,
    body: Body,
}

impl System for FunctionSystem {
    fn descriptor(&self) -> &SystemDescriptor {
        &self.descriptor
    }

    fn schemas(&self) -> &[Schema] {
        &self.schemas
    }

    fn run(&self, job: &JobInput<'_>) -> Result<JobOutput, JobError> {
        // Unwind safe: after a panic the rows and the output are thrown away.
        let run = AssertUnwindSafe(|| job.give(&self.descriptor, |scope| (self.body)(scope)));
        catch_unwind(run).unwrap_or_else(|panic| {
            let message = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let message = message.or_else(|| panic.downcast_ref::<String>().cloned());
            Err(JobError::Panicked {
                system: self.descriptor.name.clone(),
                message: message.unwrap_or_else(|| "(no message)".to_owned()),
            })
        })
    }
}
