//! Types of fields, and their textual form: `f32`, `[u8; 16]`, `{x: f32, y: f32}`.
//!
//! In schemas types travel as text, so the parser reads what strangers write: nesting and lengths are
//! bounded while parsing, before anything is built of them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::Field;
use super::check::{MAX_DEPTH, MAX_FIELDS, MAX_SIZE};

/// The type of a field.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the scalars are what they are called")]
pub enum FieldType {
    U8,
    U16,
    U32,
    U64,
    I8,
    I16,
    I32,
    I64,
    F32,
    F64,
    /// An entity, 8 bytes.
    Entity,
    /// So many values of a type.
    Array(Box<FieldType>, u32),
    /// Fields back to back, in the order of their offsets.
    Struct(Vec<Field>),
    /// A field of a document: the type as it was declared, for people to read.
    Text(String),
}

const SCALARS: [(&str, FieldType); 11] = [
    ("u8", FieldType::U8),
    ("u16", FieldType::U16),
    ("u32", FieldType::U32),
    ("u64", FieldType::U64),
    ("i8", FieldType::I8),
    ("i16", FieldType::I16),
    ("i32", FieldType::I32),
    ("i64", FieldType::I64),
    ("f32", FieldType::F32),
    ("f64", FieldType::F64),
    ("Entity", FieldType::Entity),
];

impl FieldType {
    /// Bytes of a value; 0 for fields of documents. Saturates where a schema from outside claims nonsense.
    #[must_use]
    pub fn size(&self) -> u32 {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 | Self::Entity => 8,
            Self::Array(item, count) => item.size().saturating_mul(*count),
            Self::Struct(fields) => fields.iter().fold(0, |sum, field| field.ty.size().saturating_add(sum)),
            Self::Text(_) => 0,
        }
    }

    #[doc(hidden)]
    #[must_use]
    pub fn structure(fields: Vec<(&str, Self)>) -> Self {
        Self::of_fields(fields.into_iter().map(|(name, ty)| (name.to_owned(), ty)))
    }

    /// Visits each number and entity of a value with its offset.
    pub(crate) fn for_each_scalar(&self, offset: u32, visit: &mut impl FnMut(&Self, u32)) {
        match self {
            Self::Array(item, count) => {
                let size = item.size();
                (0..*count).for_each(|index| item.for_each_scalar(offset + index * size, visit));
            }
            Self::Struct(fields) => {
                fields.iter().for_each(|field| field.ty.for_each_scalar(offset + field.offset, visit));
            }
            scalar => visit(scalar, offset),
        }
    }

    /// A struct of fields back to back.
    pub(crate) fn of_fields(fields: impl IntoIterator<Item = (String, Self)>) -> Self {
        let mut offset = 0;
        let place = |(name, ty): (String, Self)| {
            let at = offset;
            offset += ty.size();
            Field { name, ty, offset: at, default: None, was: None }
        };
        Self::Struct(fields.into_iter().map(place).collect())
    }
}

impl fmt::Display for FieldType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Array(item, count) => write!(f, "[{item}; {count}]"),
            Self::Struct(fields) => {
                f.write_str("{")?;
                for (index, field) in fields.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(f, "{comma}{}: {}", field.name, field.ty)?;
                }
                f.write_str("}")
            }
            // Quotes tell `"u8"`, declared in a document, from `u8`, which has a size.
            Self::Text(text) => write!(f, "\"{text}\""),
            scalar => {
                let name = SCALARS.iter().find(|(_, ty)| ty == scalar).map_or("?", |(name, _)| name);
                f.write_str(name)
            }
        }
    }
}

/// A text that is no type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is no type: {reason} at byte {at}", text.chars().take(80).collect::<String>().escape_debug())]
pub struct TypeError {
    text: String,
    reason: &'static str,
    at: usize,
}

impl FromStr for FieldType {
    type Err = TypeError;

    fn from_str(text: &str) -> Result<Self, TypeError> {
        let mut parser = Parser { rest: text, fields: 0 };
        let parsed =
            parser.ty(0).and_then(|ty| if parser.rest.is_empty() { Ok(ty) } else { Err("nothing is expected") });
        parsed.map_err(|reason| TypeError { text: text.to_owned(), reason, at: text.len() - parser.rest.len() })
    }
}

struct Parser<'a> {
    rest: &'a str,
    fields: usize,
}

type Parsed<T> = Result<T, &'static str>;

impl<'a> Parser<'a> {
    fn ty(&mut self, depth: usize) -> Parsed<FieldType> {
        if depth > MAX_DEPTH {
            return Err("nested too deep");
        }
        match self.rest.as_bytes().first() {
            Some(b'[') => self.array(depth),
            Some(b'{') => self.structure(depth),
            Some(b'"') => self.text(),
            _ => self.scalar(),
        }
    }

    fn expect(&mut self, token: &'static str, reason: &'static str) -> Parsed<()> {
        self.rest = self.rest.strip_prefix(token).ok_or(reason)?;
        Ok(())
    }

    fn word(&mut self) -> &'a str {
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    fn scalar(&mut self) -> Parsed<FieldType> {
        let before = self.rest;
        let word = self.word();
        let found = SCALARS.iter().find(|(name, _)| *name == word).map(|(_, ty)| ty.clone());
        found.ok_or_else(|| {
            self.rest = before;
            "u8 to u64, i8 to i64, f32, f64, Entity, an array or a struct is expected"
        })
    }

    fn array(&mut self, depth: usize) -> Parsed<FieldType> {
        self.expect("[", "`[` is expected")?;
        let item = self.ty(depth + 1)?;
        self.expect("; ", "`; ` is expected")?;
        let count: u32 = self.word().parse().map_err(|_| "a length is expected")?;
        self.expect("]", "`]` is expected")?;
        if count == 0 || item.size() == 0 || u64::from(item.size()) * u64::from(count) > u64::from(MAX_SIZE) {
            return Err("an array of that length is too large, or empty,");
        }
        Ok(FieldType::Array(Box::new(item), count))
    }

    fn structure(&mut self, depth: usize) -> Parsed<FieldType> {
        self.expect("{", "`{` is expected")?;
        let mut fields = Vec::new();
        loop {
            self.fields += 1;
            if self.fields > MAX_FIELDS {
                return Err("there are too many fields");
            }
            let name = self.word();
            if name.is_empty() {
                return Err("the name of a field is expected");
            }
            self.expect(": ", "`: ` is expected")?;
            fields.push((name.to_owned(), self.ty(depth + 1)?));
            if self.rest.starts_with('}') {
                break;
            }
            self.expect(", ", "`, ` or `}` is expected")?;
        }
        self.expect("}", "`}` is expected")?;
        if fields.iter().fold(0_u32, |sum, (_, ty)| sum.saturating_add(ty.size())) > MAX_SIZE {
            return Err("the struct is too large");
        }
        Ok(FieldType::of_fields(fields))
    }

    fn text(&mut self) -> Parsed<FieldType> {
        self.expect("\"", "`\"` is expected")?;
        let (text, rest) = self.rest.split_once('"').ok_or("a closing `\"` is expected")?;
        self.rest = rest;
        Ok(FieldType::Text(text.to_owned()))
    }
}

impl Serialize for FieldType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FieldType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_type_say_the_same() {
        for text in [
            "u8",
            "f64",
            "Entity",
            "[f32; 3]",
            "[[i16; 2]; 4]",
            "{x: f32, y: [u8; 4], z: {a: Entity}}",
            "\"Vec<(u32, String)>\"",
        ] {
            let ty: FieldType = text.parse().unwrap();
            assert_eq!(ty.to_string(), text);
        }
        let ty: FieldType = "{x: u8, y: {a: u8, b: u16}}".parse().unwrap();
        let FieldType::Struct(fields) = &ty else { panic!("{ty:?}") };
        assert_eq!((fields[1].offset, ty.size()), (1, 4));
    }

    #[test]
    fn what_is_no_type_is_refused() {
        let deep = "[".repeat(100_000);
        let fields = format!("{{{}}}", vec!["a: u8"; 300].join(", "));
        for text in [
            "",
            "u7",
            "bool",
            "[u8]",
            "[u8; 0]",
            "[u8; 4294967295]",
            "[[u8; 65536]; 65536]",
            "{}",
            "{x: u8,}",
            "{: u8}",
            "u8 ",
            "\"x",
            &deep,
            &fields,
        ] {
            assert!(text.parse::<FieldType>().is_err(), "{}", &text[..text.len().min(60)]);
        }
        let error = "[u8; 2".parse::<FieldType>().unwrap_err().to_string();
        assert_eq!(error, "`[u8; 2` is no type: `]` is expected at byte 6");
    }
}
