//! Plain rows: a list of copies and conversions that is worked through per row, starting from a row of
//! defaults.

use super::super::{FieldType, Schema, json};
use super::AdaptError;
use super::numbers::Number;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct PlainAdapter {
    /// A row of the stored schema's defaults.
    stored_blank: Vec<u8>,
    /// A row of the reader's defaults.
    blank: Vec<u8>,
    copies: Vec<Copy>,
    widened: Vec<Widen>,
    /// Stored fields that the reader does not know, without a default.
    lacks: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
struct Copy {
    from: usize,
    to: usize,
    length: usize,
}

#[derive(Clone, Debug, PartialEq)]
struct Widen {
    field: String,
    from: FieldType,
    at: usize,
    to: FieldType,
    out: usize,
}

impl PlainAdapter {
    pub(super) fn new(stored: &Schema, reader: &Schema) -> Self {
        Self {
            stored_blank: vec![0; stored.stride()],
            blank: vec![0; reader.stride()],
            copies: Vec::new(),
            widened: Vec::new(),
            lacks: Vec::new(),
        }
    }

    pub(super) fn blank(&self) -> Vec<u8> {
        self.blank.clone()
    }

    pub(super) fn lacks(&self) -> &[String] {
        &self.lacks
    }

    pub(super) fn read(&self, stored: &[u8], out: &mut [u8], rows: usize) {
        self.check(stored, out, rows);
        for (from, to) in stored.chunks_exact(self.stored_blank.len()).zip(out.chunks_exact_mut(self.blank.len())) {
            to.copy_from_slice(&self.blank);
            for copy in &self.copies {
                to[copy.to..copy.to + copy.length].copy_from_slice(&from[copy.from..copy.from + copy.length]);
            }
            for widen in &self.widened {
                widen.read(from, widen.place(to));
            }
        }
    }

    pub(super) fn write_back(&self, mine: &[u8], stored: &mut [u8], rows: usize) -> Result<(), AdaptError> {
        self.check(stored, mine, rows);
        for (to, from) in stored.chunks_exact_mut(self.stored_blank.len()).zip(mine.chunks_exact(self.blank.len())) {
            for copy in &self.copies {
                to[copy.from..copy.from + copy.length].copy_from_slice(&from[copy.to..copy.to + copy.length]);
            }
            self.widened.iter().try_for_each(|widen| widen.write_back(from, to))?;
        }
        Ok(())
    }

    pub(super) fn make(&self, mine: &[u8]) -> Result<Vec<u8>, AdaptError> {
        let mut made = self.stored_blank.clone();
        self.write_back(mine, &mut made, 1)?;
        Ok(made)
    }

    fn check(&self, stored: &[u8], mine: &[u8], rows: usize) {
        assert_eq!(stored.len(), rows * self.stored_blank.len(), "stored bytes are so many rows");
        assert_eq!(mine.len(), rows * self.blank.len(), "the reader's bytes are so many rows");
    }

    pub(super) fn default_at(&mut self, offset: usize, bytes: &[u8]) {
        self.blank[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    /// Copies of neighbours become one.
    pub(super) fn copy(&mut self, from: usize, to: usize, length: usize) {
        match self.copies.last_mut() {
            Some(last) if last.from + last.length == from && last.to + last.length == to => last.length += length,
            _ => self.copies.push(Copy { from, to, length }),
        }
    }

    pub(super) fn widen(&mut self, field: &str, from: (&FieldType, usize), to: (&FieldType, usize)) {
        let (from, at) = (from.0.clone(), from.1);
        self.widened.push(Widen { field: field.to_owned(), from, at, to: to.0.clone(), out: to.1 });
    }

    /// What the reader does not write has to come from the stored schema's defaults.
    pub(super) fn finish(mut self, stored: &Schema) -> Self {
        for field in &stored.fields {
            let range = field.offset as usize..(field.offset + field.ty.size()) as usize;
            match json::default_bytes(field) {
                Some(bytes) => self.stored_blank[range].copy_from_slice(&bytes),
                None if range.clone().all(|at| self.writes(at)) => {}
                None => self.lacks.push(field.name.clone()),
            }
        }
        self
    }

    fn writes(&self, at: usize) -> bool {
        self.copies.iter().any(|copy| (copy.from..copy.from + copy.length).contains(&at))
            || self.widened.iter().any(|widen| (widen.at..widen.at + widen.from.size() as usize).contains(&at))
    }
}

impl Widen {
    fn place<'o>(&self, row: &'o mut [u8]) -> &'o mut [u8] {
        &mut row[self.out..][..self.to.size() as usize]
    }

    fn read(&self, from: &[u8], out: &mut [u8]) {
        let number = Number::read(&self.from, &from[self.at..][..self.from.size() as usize]);
        number.write(&self.to, out).expect("every number of the stored type is one of the reader's");
    }

    fn write_back(&self, mine: &[u8], stored: &mut [u8]) -> Result<(), AdaptError> {
        let (mut before, size) = ([0; 8], self.to.size() as usize);
        self.read(stored, &mut before[..size]);
        let now = &mine[self.out..][..size];
        if before[..size] == *now {
            return Ok(());
        }
        let number = Number::read(&self.to, now);
        let place = &mut stored[self.at..][..self.from.size() as usize];
        number.write(&self.from, place).ok_or_else(|| AdaptError::Number {
            field: self.field.clone(),
            value: number.to_string(),
            stored: self.from.to_string(),
        })
    }
}
