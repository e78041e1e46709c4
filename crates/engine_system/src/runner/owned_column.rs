//! A column of a part, in this build's layout; and as the world has it, where that is another one.

use std::ops::Range;
use std::sync::Arc;

use engine_component::schema::Schema;
use engine_component::{BitRows, Column, StorageKind};
use engine_net::parcel::{Body, CopyKey, Section};

use super::adapt::Adapted;
use super::compute::Failure;
use super::output::NewDocuments;

/// A column of a part.
pub(super) struct OwnedColumn {
    /// The values in this build's layout.
    pub(super) values: Column,
    /// Where the world's layout is another one: what came.
    pub(super) adapted: Option<StoredColumn>,
    /// The copy that it belongs to.
    key: Option<CopyKey>,
    /// Of a copy only what changed comes: so many rows behind its end did.
    change: Option<usize>,
}

/// Values in the world's layout, and the way from and to this build's.
pub(super) struct StoredColumn {
    adapted: Arc<Adapted>,
    /// What came; kept of columns that are written, and of copies.
    pub(super) values: Column,
    keep: bool,
}

impl OwnedColumn {
    pub(super) fn new(
        schema: &Schema,
        adapted: Option<&Arc<Adapted>>,
        rows: usize,
        written: bool,
        key: Option<CopyKey>,
        copy: Option<Column>,
    ) -> Self {
        let change = copy.as_ref().map(|_| 0);
        let (values, copy) = match (copy, adapted) {
            (Some(copy), None) => (copy, None),
            (copy, _) => (Column::new(schema), copy),
        };
        let stored = |adapted: &Arc<Adapted>| StoredColumn {
            adapted: adapted.clone(),
            values: copy.unwrap_or_else(|| Column::new(&adapted.world)),
            keep: written || key.is_some(),
        };
        let mut column = Self { values, adapted: adapted.map(stored), key, change };
        if change.is_none() {
            match schema.kind {
                StorageKind::Tag => column.values.extend(rows, &[], 0),
                StorageKind::Plain => column.values.reserve(rows),
                StorageKind::Document => {}
            }
        }
        column
    }

    /// The values in the world's layout; none where they were not kept.
    pub(super) fn world_values(&self) -> Option<&Column> {
        match &self.adapted {
            None => Some(&self.values),
            Some(stored) => stored.keep.then_some(&stored.values),
        }
    }

    fn world_values_mut(&mut self) -> &mut Column {
        match &mut self.adapted {
            None => &mut self.values,
            Some(stored) => &mut stored.values,
        }
    }

    pub(super) fn grows(&self, rows: usize) -> bool {
        self.change.is_some() && self.world_values().is_some_and(|values| values.len() < rows)
    }

    pub(super) fn came(&mut self, rows: Range<usize>) {
        let known = self.world_values().map_or(0, Column::len);
        if let Some(came) = &mut self.change {
            *came += rows.end.saturating_sub(rows.start.max(known));
        }
    }

    pub(super) fn resize(&mut self, rows: usize) -> Result<(), Failure> {
        let Some(came) = self.change else { return Ok(()) };
        let values = self.world_values_mut();
        let more = rows.saturating_sub(values.len());
        if more != came {
            return Err(Failure::stale());
        }
        while values.len() > rows {
            values.swap_remove(values.len() - 1, 0);
        }
        match values.kind() {
            StorageKind::Document => (0..more).for_each(|_| values.push(&[], 0)),
            _ => values.extend(more, &vec![0; more * values.stride()], 0),
        }
        Ok(())
    }

    /// Takes what a section has of it.
    pub(super) fn fill(&mut self, section: &Section<'_>) -> Result<(), Failure> {
        if self.change.is_some() {
            put(self.world_values_mut(), section);
            return Ok(());
        }
        match section.body {
            Body::Plain(bytes) => self.extend(section.rows as usize, bytes),
            Body::Documents(documents) => documents.iter().try_for_each(|document| self.push(document))?,
            _ => {}
        }
        Ok(())
    }

    /// Appends Plain rows that came.
    pub(super) fn extend(&mut self, rows: usize, bytes: &[u8]) {
        let Some(stored) = &mut self.adapted else { return self.values.extend(rows, bytes, 0) };
        let mut mine = vec![0; rows * self.values.stride()];
        stored.adapted.adapter.read(bytes, &mut mine, rows);
        self.values.extend(rows, &mine, 0);
        if stored.keep {
            stored.values.extend(rows, bytes, 0);
        }
    }

    /// Appends a document that came.
    fn push(&mut self, document: &[u8]) -> Result<(), Failure> {
        let Some(stored) = &mut self.adapted else {
            self.values.push(document, 0);
            return Ok(());
        };
        let mine = stored.adapted.adapter.read_document(document).map_err(|error| stored.adapted.failure(error))?;
        self.values.push(&mine, 0);
        if stored.keep {
            stored.values.push(document, 0);
        }
        Ok(())
    }

    /// All values are there: those of a copy in another layout are converted now.
    pub(super) fn finish(&mut self) -> Result<(), Failure> {
        let (Some(stored), Some(_)) = (&self.adapted, self.change) else { return Ok(()) };
        let rows = stored.values.len();
        match stored.values.kind() {
            StorageKind::Plain => {
                let mut mine = vec![0; rows * self.values.stride()];
                stored.adapted.adapter.read(stored.values.bytes(), &mut mine, rows);
                self.values.extend(rows, &mine, 0);
            }
            StorageKind::Document => {
                for row in 0..rows {
                    let mine = stored.adapted.adapter.read_document(stored.values.row(row));
                    self.values.push(&mine.map_err(|error| stored.adapted.failure(error))?, 0);
                }
            }
            StorageKind::Tag => {}
        }
        Ok(())
    }

    /// Takes over what the job made of it, in the world's layout.
    pub(super) fn absorb_plain(&mut self, bytes: &[u8]) {
        if let (Some(stored), Some(_)) = (&mut self.adapted, self.key) {
            stored.values.bytes_mut().copy_from_slice(bytes);
        }
    }

    /// As [`Self::absorb_plain`].
    pub(super) fn absorb_documents(&mut self, rows: &NewDocuments) {
        if self.key.is_some() {
            let values = self.world_values_mut();
            rows.iter().for_each(|(row, bytes)| values.set_row(*row, bytes, 0));
        }
    }

    /// What is kept of it, and as what.
    pub(super) fn into_copy(self) -> Option<(CopyKey, Column)> {
        Some((self.key?, self.adapted.map_or(self.values, |stored| stored.values)))
    }
}

/// Puts rows that changed into a copy that has all of them.
fn put(values: &mut Column, section: &Section<'_>) {
    let (first, stride) = (section.first_row as usize, values.stride());
    match section.body {
        Body::Plain(bytes) => values.bytes_mut()[first * stride..][..bytes.len()].copy_from_slice(bytes),
        Body::PackedPlain(bits, bytes) => {
            let all = &mut values.bytes_mut()[first * stride..];
            for (row, value) in bits.ones().zip(bytes.chunks_exact(stride)) {
                all[row * stride..][..stride].copy_from_slice(value);
            }
        }
        Body::Documents(documents) => {
            documents.iter().enumerate().for_each(|(row, document)| values.set_row(first + row, document, 0));
        }
        Body::PackedDocuments(bits, documents) => {
            bits.ones().zip(documents.iter()).for_each(|(row, document)| values.set_row(first + row, document, 0));
        }
        Body::Entities(_) | Body::Changed(_) | Body::Stream(_) => {}
    }
}

impl StoredColumn {
    /// The rows in the world's layout with what was written put in, and which of them differ from what came.
    pub(super) fn plain_back(&self, mine: &Column) -> Result<(Vec<u8>, BitRows), Failure> {
        let mut now = self.values.bytes().to_vec();
        let back = self.adapted.adapter.write_back(mine.bytes(), &mut now, mine.len());
        back.map_err(|error| self.adapted.failure(error))?;
        let dirty = BitRows::differing(self.values.bytes(), &now, self.values.stride());
        Ok((now, dirty))
    }

    /// Documents that were written in the world's layout; those that are as they came are left out.
    pub(super) fn documents_back(&self, written: NewDocuments) -> Result<NewDocuments, Failure> {
        let mut back = Vec::with_capacity(written.len());
        for (row, mine) in written {
            let before = self.values.row(row);
            let now = self.adapted.adapter.write_document(&mine, before);
            let now = now.map_err(|error| self.adapted.failure(error))?;
            if now != before {
                back.push((row, now));
            }
        }
        Ok(back)
    }
}
