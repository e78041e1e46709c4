//! Numbers that one side holds wider than the other.

use super::super::FieldType;

/// A number of any type, without loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
}

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unsigned(number) => number.fmt(f),
            Self::Signed(number) => number.fmt(f),
            Self::Float(number) => number.fmt(f),
        }
    }
}

impl Number {
    /// The number in the little-endian bytes of a value; the type is one of numbers.
    pub(super) fn read(ty: &FieldType, bytes: &[u8]) -> Self {
        match ty {
            FieldType::F32 => Self::Float(f64::from(f32::from_le_bytes(cut(bytes)))),
            FieldType::F64 => Self::Float(f64::from_le_bytes(cut(bytes))),
            FieldType::I8 | FieldType::I16 | FieldType::I32 | FieldType::I64 => {
                let fill = if bytes.last().is_some_and(|byte| *byte >= 0x80) { 0xff } else { 0 };
                Self::Signed(i64::from_le_bytes(filled(bytes, fill)))
            }
            _ => Self::Unsigned(u64::from_le_bytes(filled(bytes, 0))),
        }
    }

    /// Puts the number into the bytes of a value; none when the type does not have it. Floats are rounded.
    pub(super) fn write(self, ty: &FieldType, out: &mut [u8]) -> Option<()> {
        match ty {
            FieldType::F32 => out.copy_from_slice(&self.float32()?.to_le_bytes()),
            FieldType::F64 => out.copy_from_slice(&self.float().to_le_bytes()),
            ty => {
                let number = self.whole().filter(|number| bounds(ty).is_some_and(|range| range.contains(number)))?;
                let bytes = number.to_le_bytes();
                out.copy_from_slice(&bytes[..out.len()]);
            }
        }
        Some(())
    }

    /// The number as MessagePack; none when the type does not have it. Floats are rounded.
    pub(super) fn pack(self, ty: &FieldType) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(9);
        let written = match ty {
            FieldType::F32 => rmp::encode::write_f32(&mut out, self.float32()?).is_ok(),
            FieldType::F64 => rmp::encode::write_f64(&mut out, self.float()).is_ok(),
            ty => {
                let number = self.whole().filter(|number| bounds(ty).is_some_and(|range| range.contains(number)))?;
                match u64::try_from(number) {
                    Ok(number) => rmp::encode::write_uint(&mut out, number).is_ok(),
                    Err(_) => rmp::encode::write_sint(&mut out, i64::try_from(number).ok()?).is_ok(),
                }
            }
        };
        written.then_some(out)
    }

    fn float(self) -> f64 {
        match self {
            Self::Unsigned(number) => number as f64,
            Self::Signed(number) => number as f64,
            Self::Float(number) => number,
        }
    }

    /// Rounded to the nearest; none when that would make an infinity of a number.
    fn float32(self) -> Option<f32> {
        let (wide, narrow) = (self.float(), self.float() as f32);
        (narrow.is_finite() || !wide.is_finite()).then_some(narrow)
    }

    /// The number, when it has no fraction.
    fn whole(self) -> Option<i128> {
        match self {
            Self::Unsigned(number) => Some(number.into()),
            Self::Signed(number) => Some(number.into()),
            // Beyond 2^100 no type has it, and below the conversion is exact.
            Self::Float(number) => (number.trunc() == number && number.abs() < 1e30).then_some(number as i128),
        }
    }
}

fn bounds(ty: &FieldType) -> Option<std::ops::RangeInclusive<i128>> {
    Some(match ty {
        FieldType::U8 => 0..=u8::MAX.into(),
        FieldType::U16 => 0..=u16::MAX.into(),
        FieldType::U32 => 0..=u32::MAX.into(),
        FieldType::U64 => 0..=u64::MAX.into(),
        FieldType::I8 => i8::MIN.into()..=i8::MAX.into(),
        FieldType::I16 => i16::MIN.into()..=i16::MAX.into(),
        FieldType::I32 => i32::MIN.into()..=i32::MAX.into(),
        FieldType::I64 => i64::MIN.into()..=i64::MAX.into(),
        _ => return None,
    })
}

fn cut<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("cut to the size of the type")
}

fn filled(bytes: &[u8], fill: u8) -> [u8; 8] {
    let mut wide = [fill; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    wide
}

#[cfg(test)]
mod tests {
    use super::*;

    fn narrowed(number: Number, ty: &FieldType) -> Option<Number> {
        let mut bytes = vec![0; ty.size() as usize];
        number.write(ty, &mut bytes)?;
        Some(Number::read(ty, &bytes))
    }

    #[test]
    fn numbers_go_back_as_long_as_the_type_has_them() {
        use Number::{Float, Signed, Unsigned};
        assert_eq!(narrowed(Unsigned(255), &FieldType::U8), Some(Unsigned(255)));
        assert_eq!(narrowed(Unsigned(256), &FieldType::U8), None);
        assert_eq!(narrowed(Signed(-1), &FieldType::U8), None);
        assert_eq!(narrowed(Signed(-128), &FieldType::I8), Some(Signed(-128)));
        assert_eq!(narrowed(Signed(-129), &FieldType::I8), None);
        assert_eq!(narrowed(Float(3.0), &FieldType::U16), Some(Unsigned(3)));
        assert_eq!(narrowed(Float(3.5), &FieldType::U16), None);
        assert_eq!(narrowed(Float(f64::NAN), &FieldType::U16), None);
        assert_eq!(narrowed(Float(0.1), &FieldType::F32), Some(Float(f64::from(0.1_f32))));
        assert_eq!(narrowed(Float(1e300), &FieldType::F32), None);
        assert_eq!(narrowed(Float(f64::INFINITY), &FieldType::F32), Some(Float(f64::INFINITY)));
    }

    #[test]
    fn packed_numbers_are_as_short_as_the_encoder_makes_them() {
        assert_eq!(Number::Float(3.0).pack(&FieldType::U8), Some(vec![3]));
        assert_eq!(Number::Signed(-1).pack(&FieldType::I16), Some(vec![0xff]));
        assert_eq!(Number::Float(0.5).pack(&FieldType::F32), rmp_serde::to_vec(&0.5_f32).ok());
        assert_eq!(Number::Unsigned(70_000).pack(&FieldType::U16), None);
    }
}
