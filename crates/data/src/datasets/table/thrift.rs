//! Thrift's compact protocol, in which Parquet files describe themselves:
//! <https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>.
//!
//! The library that reads the files trusts them here. It does not look at the types of the fields
//! that it knows, and passes over lists of booleans without reading a byte for each, so that a few
//! bytes keep it busy for hours. So what it is to read is [walked through](Compact::pass) first.

use std::io::{self, Read};

use Shape::{Binary, Bool, Byte, Double, I16, I32, I64, List, Struct};

/// What a value is.
pub(super) enum Shape {
    Bool,
    Byte,
    I16,
    I32,
    I64,
    Double,
    /// Bytes or a text.
    Binary,
    List(&'static Shape),
    Struct(Fields),
}

/// The fields of a struct that are known. In a file, any of them may be missing; there may be
/// others.
pub(super) type Fields = &'static [(i16, Shape)];

impl Shape {
    /// Whether it is written with this type.
    fn suits(&self, kind: u8) -> bool {
        match self {
            Bool => matches!(kind, 1 | 2),
            Byte => kind == 3,
            I16 => kind == 4,
            I32 => kind == 5,
            I64 => kind == 6,
            Double => kind == 7,
            Binary => kind == 8,
            List(_) => kind == 9,
            Struct(_) => kind == 12,
        }
    }
}

/// Nothing that Parquet writes is nested deeper.
const DEEPEST: usize = 16;

/// Bytes that are read as Thrift's.
pub(super) struct Compact<R> {
    bytes: R,
    read: u64,
    /// The fields that lead to where it is.
    path: Vec<i16>,
    depth: usize,
}

/// Told each whole number, with the fields that lead to it.
type Seen<'a> = &'a mut dyn FnMut(&[i16], i64);

impl<R: Read> Compact<R> {
    pub(super) fn new(bytes: R) -> Self {
        Self { bytes, read: 0, path: Vec::new(), depth: 0 }
    }

    /// How many bytes have been read.
    pub(super) fn read(&self) -> u64 {
        self.read
    }

    /// Reads to the end of a struct.
    ///
    /// # Errors
    /// If a field has another type than is known, a list takes no bytes or more than there are, or
    /// something is nested too deep.
    pub(super) fn pass(&mut self, fields: Fields, seen: Seen<'_>) -> io::Result<()> {
        let mut id = 0;
        while let Some(kind) = self.field(&mut id)? {
            let known = fields.iter().find(|(known, _)| *known == id).map(|(_, shape)| shape);
            if known.is_some_and(|shape| !shape.suits(kind)) {
                return Err(damaged("a field has another type than it has in Parquet"));
            }
            // A boolean is in the type itself.
            if !matches!(kind, 1 | 2) {
                self.path.push(id);
                self.value(kind, known, seen)?;
                self.path.pop();
            }
        }
        Ok(())
    }

    fn value(&mut self, kind: u8, known: Option<&Shape>, seen: Seen<'_>) -> io::Result<()> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(damaged("it is nested too deep"));
        }
        match kind {
            3 => self.byte().map(drop)?,
            4..=6 => {
                let number = self.signed()?;
                seen(&self.path, number);
            }
            7 => self.skip(8)?,
            8 => {
                let length = self.number()?;
                self.skip(length)?;
            }
            9 | 10 => {
                self.elements(if let Some(List(of)) = known { Some(*of) } else { None }, seen)?
            }
            12 => self.pass(if let Some(Struct(fields)) = known { fields } else { &[] }, seen)?,
            _ => return Err(damaged("a field has a type that Parquet does not use")),
        }
        self.depth -= 1;
        Ok(())
    }

    fn elements(&mut self, known: Option<&Shape>, seen: Seen<'_>) -> io::Result<()> {
        let head = self.byte()?;
        let length = if head >> 4 == 15 { self.number()? } else { (head >> 4).into() };
        let kind = head & 15;
        if length > 0 && known.is_some_and(|shape| !shape.suits(kind)) {
            return Err(damaged("a list has other elements than it has in Parquet"));
        }
        if length > 0 && matches!(kind, 1 | 2) {
            return Err(damaged("it holds a list of booleans, as nothing in Parquet does"));
        }
        (0..length).try_for_each(|_| self.value(kind, known, seen))
    }

    /// The type of the next field of a struct, whose number it makes `id`; none at the end.
    fn field(&mut self, id: &mut i16) -> io::Result<Option<u8>> {
        let head = self.byte()?;
        let number = match (head >> 4, head & 15) {
            (_, 0) => return Ok(None),
            (0, _) => i16::try_from(self.signed()?).ok(),
            (distance, _) => id.checked_add(distance.into()),
        };
        *id = number.ok_or_else(|| damaged("a field has too large a number"))?;
        Ok(Some(head & 15))
    }

    fn byte(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        self.bytes.read_exact(&mut byte).map_err(ended)?;
        self.read += 1;
        Ok(byte[0])
    }

    fn skip(&mut self, length: u64) -> io::Result<()> {
        let skipped = io::copy(&mut (&mut self.bytes).take(length), &mut io::sink())?;
        self.read += skipped;
        if skipped < length { Err(damaged(ENDED)) } else { Ok(()) }
    }

    /// Seven bits a byte, the lowest first.
    fn number(&mut self) -> io::Result<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 127) << shift;
            if byte < 128 {
                return Ok(number);
            }
        }
        Err(damaged("a number is too long"))
    }

    /// With the sign in the lowest bit.
    fn signed(&mut self) -> io::Result<i64> {
        self.number().map(|n| (n >> 1) as i64 ^ -((n & 1) as i64))
    }
}

const ENDED: &str = "it ends too early";

fn ended(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => damaged(ENDED),
        _ => error,
    }
}

fn damaged(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
