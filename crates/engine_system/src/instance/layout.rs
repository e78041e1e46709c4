//! How this build's values lie, and how the world's do.
//!
//! Rows travel in the world's layout. Where a component was built otherwise here, and the two fit, values
//! are converted on the way in and on the way out; the coordinator never knows. Almost always they are the
//! same, and nothing is converted.

use std::collections::BTreeMap;

use engine_component::commands::{self, Command, Values};
use engine_component::schema::{Adapter, Fit, Schema, fit};
use engine_component::{ComponentId, StorageKind};
use engine_net::descriptor::SystemDescriptor;
use engine_net::messages::register::KnownComponent;

use super::InstanceError;
use crate::events::EventBatch;

/// A component as this build and the world know it.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    /// This build's schema.
    pub(super) mine: Schema,
    /// The world's schema.
    pub(super) world: Schema,
    /// Where they differ: from the world's values to ours.
    pub(super) adapter: Option<Adapter>,
    /// Where they differ: from our values to new ones of the world, if that is possible.
    back: Option<Adapter>,
}

/// All components that the systems of an instance touch.
#[derive(Clone, Debug, Default)]
pub(super) struct Layouts(BTreeMap<ComponentId, Layout>);

impl Layouts {
    /// Layouts of our schemas in a world that answered with its own.
    pub(super) fn new<'a>(mine: impl Iterator<Item = &'a Schema>, known: &[KnownComponent]) -> Result<Self, InstanceError> {
        let mut layouts = BTreeMap::new();
        for mine in mine {
            let known = known.iter().find(|known| known.id == mine.id());
            let world = known.map_or(mine, |known| &known.schema);
            layouts.insert(mine.id(), Layout::new(mine, world)?);
        }
        Ok(Self(layouts))
    }

    pub(super) fn get(&self, component: ComponentId) -> Option<&Layout> {
        self.0.get(&component)
    }

    /// Whether a system can work with the world's layouts: what it writes must find its way back.
    pub(super) fn check(&self, system: &SystemDescriptor) -> Result<(), InstanceError> {
        let refuse = |layout: &Layout, what: &str| {
            Err(InstanceError::Layout {
                system: system.name.clone(),
                component: layout.mine.name.clone(),
                message: format!("{what}; build the system with the world's version of the component"),
            })
        };
        let columns = system.queries.iter().flat_map(|query| &query.columns).filter(|column| column.write);
        let resources = system.resources.iter().filter(|resource| resource.write).map(|resource| resource.component);
        for layout in columns.map(|column| column.component).chain(resources).filter_map(|id| self.get(id)) {
            if layout.adapter.as_ref().is_some_and(|adapter| !adapter.writable()) {
                return refuse(layout, "it is written, and a field is wider here than in the world");
            }
        }
        for layout in system.writes_events.iter().filter_map(|id| self.get(*id)) {
            if layout.adapter.is_some() && layout.back.is_none() {
                return refuse(layout, "it is sent, and the world's version cannot be made of this build's");
            }
        }
        Ok(())
    }

    /// Commands with the values of the world. Without adapters: the same.
    pub(super) fn commands_out(&self, bytes: Vec<u8>) -> Result<Vec<u8>, String> {
        if self.0.values().all(|layout| layout.adapter.is_none()) {
            return Ok(bytes);
        }
        let mut out = Vec::with_capacity(bytes.len());
        for command in commands::decode(&bytes) {
            match command.map_err(|error| error.to_string())? {
                Command::Spawn(entity, values) => self.values_out(&mut out, 1, entity.to_bits(), &values)?,
                Command::Insert(entity, values) => self.values_out(&mut out, 3, entity.to_bits(), &values)?,
                Command::Despawn(entity) => head(&mut out, 2, entity.to_bits()),
                Command::Remove(entity, components) => {
                    head(&mut out, 4, entity.to_bits());
                    out.extend((components.len() as u16).to_le_bytes());
                    components.iter().for_each(|component| out.extend(component.to_bits().to_le_bytes()));
                }
            }
        }
        Ok(out)
    }

    fn values_out(&self, out: &mut Vec<u8>, code: u8, entity: u64, values: &Values<'_>) -> Result<(), String> {
        head(out, code, entity);
        out.extend((values.len() as u16).to_le_bytes());
        for (component, value) in values {
            let value = match self.get(*component) {
                Some(layout) => layout.row_out(value)?,
                None => value.to_vec(),
            };
            out.extend(component.to_bits().to_le_bytes());
            out.extend((value.len() as u32).to_le_bytes());
            out.extend(value);
        }
        Ok(())
    }
}

/// The beginning of a command.
fn head(out: &mut Vec<u8>, code: u8, entity: u64) {
    out.push(code);
    out.extend(entity.to_le_bytes());
}

impl Layout {
    fn new(mine: &Schema, world: &Schema) -> Result<Self, InstanceError> {
        let adapter = match fit(world, mine) {
            Fit::Exact => None,
            Fit::Compatible(adapter) => Some(adapter),
            Fit::Incompatible(diff) => {
                let (code, name) = ("schema".to_owned(), &mine.name);
                let message = format!("`{name}` is another type in the world (-) than in this program (+):\n{diff}");
                return Err(InstanceError::Refused { code, message });
            }
        };
        let back = match fit(mine, world) {
            Fit::Compatible(back) if adapter.is_some() => Some(back),
            _ => None,
        };
        Ok(Self { mine: mine.clone(), world: world.clone(), adapter, back })
    }

    /// A new value of ours as one of the world.
    fn row_out(&self, value: &[u8]) -> Result<Vec<u8>, String> {
        match (&self.adapter, &self.back) {
            (None, _) => Ok(value.to_vec()),
            (Some(_), Some(back)) => convert(back, &self.mine, &self.world, value),
            (Some(_), None) => Err(format!("a new `{}` cannot be made for the world: its version needs more", self.mine.name)),
        }
    }

    /// A value of the world as one of ours.
    fn row_in(&self, value: &[u8]) -> Result<Vec<u8>, String> {
        match &self.adapter {
            None => Ok(value.to_vec()),
            Some(adapter) => convert(adapter, &self.world, &self.mine, value),
        }
    }

    /// The bytes of received events, in our layout.
    pub(super) fn events_in(&self, bytes: Vec<u8>) -> Result<Vec<u8>, String> {
        if self.adapter.is_none() {
            return Ok(bytes);
        }
        events(&self.world, &bytes, |row| self.row_in(row))
    }

    /// The bytes of sent events, in the world's layout.
    pub(super) fn events_out(&self, batch: &EventBatch) -> Result<Vec<u8>, String> {
        if self.adapter.is_none() {
            return Ok(batch.bytes().to_vec());
        }
        events(&self.mine, batch.bytes(), |row| self.row_out(row))
    }
}

fn convert(adapter: &Adapter, from: &Schema, to: &Schema, value: &[u8]) -> Result<Vec<u8>, String> {
    match from.kind {
        StorageKind::Tag => Ok(Vec::new()),
        StorageKind::Document => adapter.read_document(value).map_err(|error| format!("`{}`: {error}", from.name)),
        StorageKind::Plain if value.len() != from.stride() => Err(format!("`{}`: {} bytes", from.name, value.len())),
        StorageKind::Plain => {
            let mut out = vec![0; to.stride()];
            adapter.read(value, &mut out, 1);
            Ok(out)
        }
    }
}

/// Converts events one by one, as they lie in a batch.
fn events(schema: &Schema, mut bytes: &[u8], convert: impl Fn(&[u8]) -> Result<Vec<u8>, String>) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(bytes.len());
    let short = || format!("events of `{}` end in the middle", schema.name);
    while !bytes.is_empty() {
        let length = match schema.kind {
            StorageKind::Plain => schema.stride(),
            StorageKind::Tag => return Err(short()),
            StorageKind::Document => {
                let (length, rest) = bytes.split_first_chunk::<4>().ok_or_else(short)?;
                bytes = rest;
                u32::from_le_bytes(*length) as usize
            }
        };
        let (row, rest) = bytes.split_at_checked(length).ok_or_else(short)?;
        let row = convert(row)?;
        if schema.kind == StorageKind::Document {
            out.extend((row.len() as u32).to_le_bytes());
        }
        out.extend(row);
        bytes = rest;
    }
    Ok(out)
}
