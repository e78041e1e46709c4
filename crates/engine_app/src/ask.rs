//! Ad-hoc queries: what tools ask by names, answered in pages of values.
//!
//! A page ends at a number of rows or of bytes. Its cursor says which table and row come next; the world
//! goes on between pages, so pages of one query may be of different ticks.

use std::collections::BTreeMap;
use std::ops::Range;

use engine_component::schema::{Access, Field, FieldType, Schema, nearest};
use engine_component::{BLOCK_ROWS, ComponentId, StorageKind, Table, World};
use engine_net::messages::Problem;
use engine_net::messages::query::{
    Comparison, FieldFilter, MAX_ENTITIES, MAX_NAMES, QueryPage, QueryRequest, QueryRow,
};
use engine_net::messages::value::{Blob, Components, Value, version_of};

/// Rows of a page unless the request says otherwise, and at the most.
const PAGE_ROWS: u32 = 256;
const MAX_PAGE_ROWS: u32 = 4096;
/// Values of a page in bytes of their rows; MessagePack with names is a few times larger.
const PAGE_BYTES: usize = 64 << 10;
/// Rows that are looked at for one page, at the most: a filter that nothing matches must not stop the
/// world.
const MAX_LOOKED_AT: usize = 200_000;

/// The component of a name.
///
/// # Errors
/// When there is none; the error names the nearest one.
pub fn component(world: &World, name: &str) -> Result<ComponentId, Problem> {
    if let Some(info) = world.registry().iter().find(|info| info.schema.name == name) {
        return Ok(info.id);
    }
    let shown = world.registry().iter().map(|info| &info.schema).filter(|schema| schema.access != Access::Private);
    let known: Vec<&str> = shown.map(|schema| schema.name.as_str()).collect();
    let hint = nearest(name, known.iter().copied())
        .map_or_else(|| format!("there are: {}", known.join(", ")), |near| format!("did you mean `{near}`?"));
    Err(Problem::new("unknown_component", format_args!("there is no component `{name}`; {hint}")))
}

/// As [`component`], for who only looks.
///
/// # Errors
/// Also when the component is private.
pub fn seen(world: &World, name: &str) -> Result<ComponentId, Problem> {
    let id = component(world, name)?;
    match world.schema(id).map(|schema| schema.access) {
        Some(Access::Private) => Err(Problem::new("private", format_args!("`{name}` is private: only systems see it"))),
        _ => Ok(id),
    }
}

/// A component, and the way to a part of it, field by field.
type Place = (ComponentId, Vec<String>);

/// `physics.Velocity` is a whole component, `physics.Velocity.by.x` a part of one: the longest name that is a
/// component decides.
fn field(world: &World, name: &str) -> Result<Place, Problem> {
    match seen(world, name) {
        Err(problem) if problem.code == "unknown_component" => {}
        found => return found.map(|id| (id, Vec::new())),
    }
    for (dot, _) in name.rmatch_indices('.') {
        let (owner, path) = (&name[..dot], &name[dot + 1..]);
        let id = match seen(world, owner) {
            Err(problem) if problem.code == "unknown_component" => continue,
            found => found?,
        };
        let known = || world.schema(id).into_iter().flat_map(|schema| &schema.fields).map(|field| field.name.as_str());
        let path: Vec<String> = path.split('.').map(str::to_owned).collect();
        if known().any(|known| known == path[0]) {
            return Ok((id, path));
        }
        let hint = nearest(&path[0], known()).map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        return Err(Problem::new("unknown_field", format_args!("`{owner}` has no field `{}`{hint}", path[0])));
    }
    seen(world, name).map(|id| (id, Vec::new()))
}

/// The part of a value that a path leads to.
fn part<'v>(whole: &'v Value, path: &[String]) -> Option<&'v Value> {
    path.iter().try_fold(whole, |value, step| match value {
        Value::Array(values) => values.get(step.parse::<usize>().ok()?),
        value => value.get(step),
    })
}

/// The ways to the numbers of a component that are a position: its first three number fields, or those of its
/// first field that has several. None when it has no numbers.
#[must_use]
pub fn coordinates(world: &World, component: ComponentId) -> Option<Vec<String>> {
    let fields = &world.schema(component)?.fields;
    let numbers = |fields: &[Field]| -> Vec<String> {
        fields.iter().filter(|field| is_number(&field.ty)).map(|field| field.name.clone()).take(3).collect()
    };
    let found = match fields.first()? {
        Field { name, ty: FieldType::Struct(inner), .. } => {
            numbers(inner).into_iter().map(|inner| format!("{name}.{inner}")).collect()
        }
        Field { name, ty: FieldType::Array(of, count), .. } if is_number(of) => {
            (0..(*count).min(3)).map(|index| format!("{name}.{index}")).collect()
        }
        _ => numbers(fields),
    };
    (!found.is_empty()).then_some(found)
}

fn is_number(ty: &FieldType) -> bool {
    !matches!(ty, FieldType::Entity | FieldType::Array(..) | FieldType::Struct(_) | FieldType::Text(_))
}

/// Puts a part where it is in the whole.
fn put_part(target: &mut Value, path: &[String], found: Value) {
    match path.split_first() {
        None => *target = found,
        Some((step, rest)) => {
            if !target.is_object() {
                *target = Value::Object(serde_json::Map::new());
            }
            put_part(&mut target[step.as_str()], rest, found);
        }
    }
}

/// A query with its names looked up.
#[derive(Debug)]
pub(crate) struct Plan {
    with: Vec<ComponentId>,
    without: Vec<ComponentId>,
    fields: Vec<Place>,
    filters: Vec<(Place, FieldFilter, Option<NumberField>)>,
    /// Whether versions are shown.
    versions: bool,
}

impl Plan {
    pub(crate) fn new(world: &World, request: &QueryRequest) -> Result<Self, Problem> {
        let lists = [request.with.len(), request.without.len(), request.fields.len(), request.filters.len()];
        if lists.iter().any(|count| *count > MAX_NAMES) || request.entities.len() > MAX_ENTITIES {
            return Err(Problem::new(
                "bad_request",
                format_args!("at most {MAX_NAMES} names and {MAX_ENTITIES} entities"),
            ));
        }
        let ids = |names: &[String]| names.iter().map(|name| seen(world, name)).collect::<Result<Vec<_>, _>>();
        let filters = request.filters.iter().map(|filter| {
            let (id, path) = field(world, &filter.field)?;
            let number = world.schema(id).and_then(|schema| NumberField::at(schema, &path));
            Ok(((id, path), filter.clone(), number))
        });
        Ok(Self {
            with: ids(&request.with)?,
            without: ids(&request.without)?,
            fields: request.fields.iter().map(|name| field(world, name)).collect::<Result<_, _>>()?,
            filters: filters.collect::<Result<_, Problem>>()?,
            versions: request.versions,
        })
    }

    /// The blocks of a table in which something that the query looks at, or who is there, changed since a
    /// version of the world; all when there is none.
    pub(crate) fn changed_blocks(&self, table: &Table, since: Option<u64>) -> impl Iterator<Item = Range<usize>> {
        let blocks = 0..table.len().div_ceil(BLOCK_ROWS);
        let changed = blocks.filter(move |block| self.is_changed(table, block * BLOCK_ROWS, since));
        changed
            .map(|block| block * BLOCK_ROWS..((block + 1) * BLOCK_ROWS).min(table.len()))
            .collect::<Vec<_>>()
            .into_iter()
    }

    /// Whether the block of a row changed since a version of the world.
    pub(crate) fn is_changed(&self, table: &Table, row: usize, since: Option<u64>) -> bool {
        let Some(since) = since else { return true };
        let block = row / BLOCK_ROWS;
        let is_shown = |id: &ComponentId| {
            self.fields.is_empty()
                || self.fields.iter().any(|(shown, _)| shown == id)
                || self.filters.iter().any(|((filtered, _), ..)| filtered == id)
        };
        let newer = |versions: &[u64]| versions.get(block).is_none_or(|version| *version > since);
        let columns = table.components().iter().zip(table.columns()).filter(|(id, _)| is_shown(id));
        newer(table.entity_block_versions()) || columns.into_iter().any(|(_, column)| newer(column.block_versions()))
    }

    pub(crate) fn matches(&self, table: &Table) -> bool {
        let has = |id: &ComponentId| table.components().contains(id);
        self.with.iter().all(has) && !self.without.iter().any(has) && self.filters.iter().all(|filter| has(&filter.0.0))
    }

    /// The values of a row, when it passes the filters; and its bytes in the columns.
    pub(crate) fn row(&self, world: &World, table: &Table, row: usize) -> Option<(QueryRow, usize)> {
        let value = |id: ComponentId| {
            let column = table.column(table.column_index(id)?);
            world.schema(id)?.row_to_value(column.row(row)).ok().map(|value| (value, column.row(row).len()))
        };
        for ((id, path), filter, number) in &self.filters {
            let bytes = || Some(table.column(table.column_index(*id)?).row(row));
            match number.as_ref().and_then(|number| number.passes(bytes()?, filter)) {
                Some(true) => continue,
                Some(false) => return None,
                None => {}
            }
            let (whole, _) = value(*id)?;
            if !passes(part(&whole, path)?, filter) {
                return None;
            }
        }
        let mut components = Components::new();
        let mut bytes = 64;
        if self.fields.is_empty() {
            let is_seen = |id: &&ComponentId| world.schema(**id).is_some_and(|schema| schema.access != Access::Private);
            for id in table.components().iter().filter(is_seen) {
                let (value, length) = value(*id)?;
                bytes += length * 2 + 64;
                components.insert(world.registry().name(*id), value);
            }
        }
        for (id, path) in self.fields.iter().filter(|(id, _)| table.components().contains(id)) {
            let (whole, length) = value(*id)?;
            bytes += length * 2 + 64;
            let entry =
                components.entry(world.registry().name(*id)).or_insert_with(|| Value::Object(serde_json::Map::new()));
            let found = part(&whole, path).cloned().unwrap_or(Value::Null);
            put_part(entry, path, found);
        }
        let mut versions = BTreeMap::new();
        for id in table.components().iter().filter(|_| self.versions) {
            let name = world.registry().name(*id);
            if let Some(column) = table.column_index(*id).filter(|_| components.contains_key(&name)) {
                bytes += name.len() + 24;
                versions.insert(name, version_of(table.column(column).row(row)));
            }
        }
        Some((QueryRow { entity: table.entities()[row], components, versions }, bytes))
    }
}

/// A number in a Plain component: most rows can be told apart without making values of them.
#[derive(Debug)]
struct NumberField {
    offset: usize,
    ty: FieldType,
}

impl NumberField {
    fn at(schema: &Schema, path: &[String]) -> Option<Self> {
        if schema.kind != StorageKind::Plain {
            return None;
        }
        let (first, rest) = path.split_first()?;
        let field = schema.field(first)?;
        let start = (field.offset as usize, &field.ty);
        let (offset, ty) = rest.iter().try_fold(start, |(offset, ty), step| match ty {
            FieldType::Struct(fields) => {
                let inner = fields.iter().find(|field| field.name == *step)?;
                Some((offset + inner.offset as usize, &inner.ty))
            }
            FieldType::Array(item, count) => {
                let index = step.parse::<u32>().ok().filter(|index| index < count)?;
                Some((offset + index as usize * item.size() as usize, &**item))
            }
            _ => None,
        })?;
        is_number(ty).then(|| Self { offset, ty: ty.clone() })
    }

    /// Whether a row passes a filter, where that is beyond doubt: values are rounded to what people read, so
    /// numbers that are close to one another are compared as values.
    fn passes(&self, row: &[u8], filter: &FieldFilter) -> Option<bool> {
        let bytes = row.get(self.offset..self.offset + self.ty.size() as usize)?;
        let mut eight = [0; 8];
        eight[..bytes.len()].copy_from_slice(bytes);
        let whole = u64::from_le_bytes(eight);
        let signed = |bits: u32| ((whole << (64 - bits)) as i64 >> (64 - bits)) as f64;
        let found = match self.ty {
            FieldType::F32 => f64::from(f32::from_bits(whole as u32)),
            FieldType::F64 => f64::from_bits(whole),
            FieldType::I8 => signed(8),
            FieldType::I16 => signed(16),
            FieldType::I32 => signed(32),
            FieldType::I64 => signed(64),
            _ => whole as f64,
        };
        let limit = filter.value.as_f64()?;
        let is_clear = (found - limit).abs() > (found.abs() + limit.abs()) * 1e-6;
        (found.is_finite() && is_clear).then(|| compare(found.partial_cmp(&limit), filter.op))
    }
}

fn passes(found: &Value, filter: &FieldFilter) -> bool {
    use std::cmp::Ordering;
    let order = match (found.as_f64(), filter.value.as_f64()) {
        (Some(a), Some(b)) => a.partial_cmp(&b),
        _ => match (found.as_str(), filter.value.as_str()) {
            (Some(a), Some(b)) => Some(a.cmp(b)),
            _ => (found == &filter.value).then_some(Ordering::Equal),
        },
    };
    compare(order, filter.op)
}

fn compare(order: Option<std::cmp::Ordering>, op: Comparison) -> bool {
    use std::cmp::Ordering;
    match op {
        Comparison::Equal => order == Some(Ordering::Equal),
        Comparison::NotEqual => order != Some(Ordering::Equal),
        Comparison::Less => order == Some(Ordering::Less),
        Comparison::AtMost => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        Comparison::Greater => order == Some(Ordering::Greater),
        Comparison::AtLeast => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
    }
}

/// One page of a query's rows, without components that nobody outside sees.
///
/// # Errors
/// When a name is not known or private, or the cursor is not one.
pub fn page(world: &World, tick: u64, request: &QueryRequest) -> Result<QueryPage, Problem> {
    let plan = Plan::new(world, request)?;
    let limit = if request.page_rows == 0 { PAGE_ROWS } else { request.page_rows.min(MAX_PAGE_ROWS) } as usize;
    let start = request.cursor.as_ref().map_or(Ok((0, 0)), read_cursor)?;
    if request.entities.is_empty() {
        scan(world, tick, &plan, limit, start)
    } else {
        Ok(pick(world, tick, &plan, request, limit, start.1))
    }
}

fn scan(world: &World, tick: u64, plan: &Plan, limit: usize, start: (u64, u64)) -> Result<QueryPage, Problem> {
    let mut page = QueryPage { tick, ..QueryPage::default() };
    let (mut bytes, mut looked_at) = (0, 0);
    for id in world.sorted_tables() {
        let table = world.table(*id);
        let archetype = table.archetype().to_bits();
        if archetype < start.0 || !plan.matches(table) {
            continue;
        }
        let first = if archetype == start.0 { start.1 as usize } else { 0 };
        for row in first..table.len() {
            if page.rows.len() == limit || bytes > PAGE_BYTES || looked_at == MAX_LOOKED_AT {
                page.next = Some(cursor(archetype, row as u64));
                return Ok(page);
            }
            looked_at += 1;
            if let Some((found, length)) = plan.row(world, table, row) {
                bytes += length;
                page.rows.push(found);
            }
        }
    }
    Ok(page)
}

fn pick(world: &World, tick: u64, plan: &Plan, request: &QueryRequest, limit: usize, start: u64) -> QueryPage {
    let mut page = QueryPage { tick, ..QueryPage::default() };
    let mut bytes = 0;
    for (index, entity) in request.entities.iter().enumerate().skip(start as usize) {
        if page.rows.len() == limit || bytes > PAGE_BYTES {
            page.next = Some(cursor(0, index as u64));
            break;
        }
        let Some(location) = world.location(*entity) else { continue };
        let table = world.table(location.table);
        if plan.matches(table)
            && let Some((found, length)) = plan.row(world, table, location.row as usize)
        {
            bytes += length;
            page.rows.push(found);
        }
    }
    page
}

fn cursor(archetype: u64, row: u64) -> Blob {
    let mut bytes = archetype.to_le_bytes().to_vec();
    bytes.extend(row.to_le_bytes());
    Blob::from(bytes)
}

fn read_cursor(blob: &Blob) -> Result<(u64, u64), Problem> {
    match blob.as_ref().as_chunks::<8>() {
        ([archetype, row], []) => Ok((u64::from_le_bytes(*archetype), u64::from_le_bytes(*row))),
        _ => Err(Problem::new("stale_cursor", "the cursor is not one of this coordinator: start again without it")),
    }
}
