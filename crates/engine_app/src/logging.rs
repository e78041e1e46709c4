//! What a process says of itself while it runs: lines of text, or of JSON, to standard error.
//!
//! Fields have the same names everywhere: `world`, `epoch`, `tick`, `system`, `instance`, `job`, `command` (the id of a
//! command). World and epoch, or world and instance, stand on every line of the threads that run ticks and jobs; the others
//! where they are known.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::OnceLock;

use clap::{Args, ValueEnum};
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Scope};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};

use crate::run_time::read_filter;

/// What is said when nothing else is asked for.
const DEFAULT: &str = "warn";

/// What is logged, and how.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Logging")]
pub struct LoggingArgs {
    /// What is logged: error, warn, info, debug, or such as `info,engine_app=debug`; that of RUST_LOG, or warn, when not given
    #[arg(long, value_name = "FILTER", value_parser = checked)]
    pub log: Option<String>,
    /// How: lines of text, or of JSON
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

/// How events are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For programs: an object a line.
    Json,
}

impl LoggingArgs {
    /// Of a program without flags for it: those of `ENGINE_LOG` and `ENGINE_LOG_FORMAT`.
    #[must_use]
    pub fn of_environment() -> Self {
        let of = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
        let log_format = of("ENGINE_LOG_FORMAT").and_then(|format| LogFormat::from_str(&format, true).ok());
        Self { log: of("ENGINE_LOG"), log_format: log_format.unwrap_or_default() }
    }

    fn filter(&self) -> EnvFilter {
        let given = self.log.as_deref().and_then(|text| EnvFilter::try_new(text).ok());
        given.or_else(|| EnvFilter::try_from_default_env().ok()).unwrap_or_else(|| DEFAULT.into())
    }
}

fn checked(text: &str) -> Result<String, String> {
    EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

/// Changes what is logged; there is one subscriber in a process.
type Level = reload::Handle<EnvFilter, Registry>;

static LEVEL: OnceLock<Level> = OnceLock::new();

/// From now on this is logged: the run-time setting `log_level`. A program with a subscriber of its own is left alone.
pub(crate) fn change(filter: &str) {
    let Some(level) = LEVEL.get() else {
        return tracing::warn!(filter, "this program logs in its own way: the setting `log_level` changes nothing");
    };
    if let Err(error) = set(level, filter) {
        tracing::warn!(filter, error, "the process goes on logging as before");
    }
}

fn set(level: &Level, filter: &str) -> Result<(), String> {
    let filter = read_filter(filter).map_err(|wrong| wrong.to_string())?;
    level.reload(filter).map_err(|error| error.to_string())
}

/// Begins to log to standard error. A program that has a subscriber already keeps it.
pub fn start(args: &LoggingArgs) {
    let (filter, handle) = reload::Layer::new(args.filter());
    let registry = tracing_subscriber::registry().with(filter);
    let begun = match args.log_format {
        // Files and pipes get no colours.
        LogFormat::Text => {
            let text = tracing_subscriber::fmt::layer().with_writer(io::stderr);
            registry.with(text.with_ansi(io::stderr().is_terminal())).try_init()
        }
        LogFormat::Json => registry.with(JsonLines { out: io::stderr }).try_init(),
    };
    if begun.is_ok() {
        let _ = LEVEL.set(handle);
    }
}

/// Writes an object a line: the fields of an event, and of the spans that it is in.
struct JsonLines<W> {
    out: W,
}

/// Fields by their names.
#[derive(Default)]
struct Fields(BTreeMap<&'static str, Value>);

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.insert(field.name(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name(), value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}").into());
    }
}

impl<S, W> Layer<S> for JsonLines<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut all = Fields::default();
        for span in context.event_scope(event).into_iter().flat_map(Scope::from_root) {
            if let Some(fields) = span.extensions().get::<Fields>() {
                all.0.extend(fields.0.iter().map(|(name, value)| (*name, value.clone())));
            }
        }
        event.record(&mut all);
        let mut time = String::new();
        let _ = SystemTime.format_time(&mut Writer::new(&mut time));
        // Whatever an event calls its fields: these are what they are.
        all.0.insert("timestamp", time.into());
        all.0.insert("level", event.metadata().level().as_str().into());
        all.0.insert("target", event.metadata().target().into());
        let Ok(mut line) = serde_json::to_vec(&all.0) else { return };
        line.push(b'\n');
        // Nobody can be told that standard error is gone.
        let _ = self.out.make_writer().write_all(&line);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(filter: &str, log: impl FnOnce(&Level)) -> Vec<Value> {
        let lines = Lines::default();
        let out = lines.clone();
        let (filter, handle) = reload::Layer::new(EnvFilter::new(filter));
        let subscriber = tracing_subscriber::registry().with(filter).with(JsonLines { out: move || out.clone() });
        tracing::subscriber::with_default(subscriber, || log(&handle));
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_line_has_the_fields_of_the_event_and_of_its_spans() {
        let lines = logged("warn", |_| {
            let span = tracing::error_span!("coordinator", world = "main", epoch = 7_u64, tick = tracing::field::Empty);
            let _inside = span.enter();
            span.record("tick", 3_u64);
            let error = io::Error::other("a \"quoted\"\nreason");
            tracing::warn!(instance = "steer-1", tick = 9_u64, load = 0.5, is_late = true, %error, "an instance is gone");
            tracing::info!("not this");
        });
        let [line] = &lines[..] else { panic!("{lines:?}") };
        assert_eq!((&line["world"], &line["epoch"], &line["instance"]), (&"main".into(), &7.into(), &"steer-1".into()));
        assert_eq!((&line["tick"], &line["load"], &line["is_late"]), (&9.into(), &0.5.into(), &true.into()));
        assert_eq!((&line["message"], &line["level"]), (&"an instance is gone".into(), &"WARN".into()));
        assert_eq!(line["error"], "a \"quoted\"\nreason");
        assert!(
            line["timestamp"].as_str().unwrap().ends_with('Z') && line["target"].as_str().unwrap().contains("logging")
        );
    }

    #[test]
    fn what_is_logged_may_change() {
        let lines = logged("error", |level| {
            tracing::info!("before");
            set(level, "info").unwrap();
            tracing::info!("after");
            assert!(set(level, "info,=what=").is_err());
            tracing::info!("still");
        });
        assert_eq!(lines.iter().map(|line| line["message"].as_str().unwrap()).collect::<Vec<_>>(), ["after", "still"]);
    }
}
