//! Samples as bytes, for caches on disk.

use std::sync::Arc;

use gradus_tensor::Element;

use crate::{Array, Image, Normalization, Part};

/// A sample that can be kept in a file. Implement it for samples of your own, by means of those that
/// it is made of.
///
/// ```
/// use gradus_data::Store;
///
/// let mut bytes = Vec::new();
/// (3i64, 0.5f32).append_to(&mut bytes);
/// assert_eq!(<(i64, f32)>::take_from(&mut &bytes[..]), Some((3, 0.5)));
/// assert_eq!(<(i64, f32)>::take_from(&mut &bytes[..5]), None);
/// ```
pub trait Store: Sized {
    /// Appends the sample.
    fn append_to(&self, bytes: &mut Vec<u8>);

    /// Takes a sample from the beginning; none if there is none.
    fn take_from(bytes: &mut &[u8]) -> Option<Self>;
}

/// The first bytes, which are taken away.
fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (first, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(first)
}

macro_rules! numbers {
    ($($T:ty),*) => {$(
        impl Store for $T {
            fn append_to(&self, bytes: &mut Vec<u8>) {
                bytes.extend(self.to_le_bytes());
            }
            fn take_from(bytes: &mut &[u8]) -> Option<$T> {
                let number = take(bytes, size_of::<$T>())?;
                Some(<$T>::from_le_bytes(number.try_into().ok()?))
            }
        }
    )*};
}
numbers!(u8, i32, u32, i64, u64, f32, f64);

impl Store for bool {
    fn append_to(&self, bytes: &mut Vec<u8>) {
        bytes.push((*self).into());
    }
    fn take_from(bytes: &mut &[u8]) -> Option<bool> {
        match u8::take_from(bytes)? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

impl<T: Store> Store for Vec<T> {
    fn append_to(&self, bytes: &mut Vec<u8>) {
        store_all(self, bytes);
    }
    fn take_from(bytes: &mut &[u8]) -> Option<Vec<T>> {
        let count = u64::take_from(bytes)?;
        // Of a damaged count, no more is believed than there are bytes for.
        let room = usize::try_from(count).ok()?.min(bytes.len());
        let mut elements = Vec::with_capacity(room);
        for _ in 0..count {
            elements.push(T::take_from(bytes)?);
        }
        Some(elements)
    }
}

fn store_all<T: Store>(elements: &[T], bytes: &mut Vec<u8>) {
    (elements.len() as u64).append_to(bytes);
    elements.iter().for_each(|element| element.append_to(bytes));
}

impl Store for String {
    fn append_to(&self, bytes: &mut Vec<u8>) {
        (self.len() as u64).append_to(bytes);
        bytes.extend(self.as_bytes());
    }
    fn take_from(bytes: &mut &[u8]) -> Option<String> {
        let count = usize::try_from(u64::take_from(bytes)?).ok()?;
        String::from_utf8(take(bytes, count)?.to_vec()).ok()
    }
}

impl<T: Store> Store for Option<T> {
    fn append_to(&self, bytes: &mut Vec<u8>) {
        self.is_some().append_to(bytes);
        if let Some(content) = self {
            content.append_to(bytes);
        }
    }
    fn take_from(bytes: &mut &[u8]) -> Option<Option<T>> {
        Some(if bool::take_from(bytes)? { Some(T::take_from(bytes)?) } else { None })
    }
}

macro_rules! tuples {
    ($(($($T:ident $at:tt),+))*) => {$(
        impl<$($T: Store),+> Store for ($($T,)+) {
            fn append_to(&self, bytes: &mut Vec<u8>) {
                $(self.$at.append_to(bytes);)+
            }
            fn take_from(bytes: &mut &[u8]) -> Option<Self> {
                Some(($($T::take_from(bytes)?,)+))
            }
        }
    )*};
}
tuples!((A 0, B 1)(A 0, B 1, C 2)(A 0, B 1, C 2, D 3));

impl<T: Element + Store> Store for Array<T> {
    fn append_to(&self, bytes: &mut Vec<u8>) {
        let sizes: Vec<u64> = self.shape().iter().map(|&size| size as u64).collect();
        sizes.append_to(bytes);
        store_all(self.data(), bytes);
    }
    fn take_from(bytes: &mut &[u8]) -> Option<Array<T>> {
        let sizes = Vec::<u64>::take_from(bytes)?;
        let sizes = sizes.into_iter().map(|size| usize::try_from(size).ok());
        let sizes: Vec<usize> = sizes.collect::<Option<_>>()?;
        Array::new(sizes, Vec::<T>::take_from(bytes)?).ok()
    }
}

impl Store for Image {
    fn append_to(&self, bytes: &mut Vec<u8>) {
        self.pixels().append_to(bytes);
        self.full_scale().append_to(bytes);
        self.normalization().map(|n| (n.mean().to_vec(), n.std().to_vec())).append_to(bytes);
    }
    fn take_from(bytes: &mut &[u8]) -> Option<Image> {
        let image = Image::new(Array::take_from(bytes)?).with_full_scale(u8::take_from(bytes)?);
        let normalization = match Option::<(Vec<f32>, Vec<f32>)>::take_from(bytes)? {
            Some((mean, std)) => Some(Arc::new(Normalization::new(&mean, &std).ok()?)),
            None => None,
        };
        Some(image.with_normalization(normalization))
    }
}

impl Store for Part {
    fn append_to(&self, bytes: &mut Vec<u8>) {
        match self {
            Part::Image(image) => {
                bytes.push(0);
                image.append_to(bytes);
            }
            Part::Floats(numbers) => {
                bytes.push(1);
                numbers.append_to(bytes);
            }
            Part::Tokens(tokens) => {
                bytes.push(2);
                tokens.append_to(bytes);
            }
            Part::Label(label) => {
                bytes.push(3);
                label.append_to(bytes);
            }
        }
    }
    fn take_from(bytes: &mut &[u8]) -> Option<Part> {
        Some(match u8::take_from(bytes)? {
            0 => Part::Image(Image::take_from(bytes)?),
            1 => Part::Floats(Array::take_from(bytes)?),
            2 => Part::Tokens(Array::take_from(bytes)?),
            3 => Part::Label(i64::take_from(bytes)?),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_come_back_as_they_were() {
        let pixels = Array::new([1, 2, 3], (0..12).collect::<Vec<u8>>()[..6].to_vec()).unwrap();
        let normalization = Normalization::new(&[0.5], &[0.25]).unwrap();
        let image = Image::new(pixels).with_full_scale(16);
        let image = image.with_normalization(Some(Arc::new(normalization)));
        let rows = Array::new([2, 2], vec![1.0f32, f32::NAN, -0.0, 4.0]).unwrap();
        let parts = (Part::Image(image), vec![Part::Floats(rows.row(1)), Part::Label(-7)]);
        let sample = (parts, Some("Grüße".to_owned()), true);
        let mut bytes = Vec::new();
        sample.append_to(&mut bytes);
        type Sample = ((Part, Vec<Part>), Option<String>, bool);
        let mut rest = &bytes[..];
        let ((image, parts), text, flag) = Sample::take_from(&mut rest).unwrap();
        assert!(rest.is_empty() && flag && text.as_deref() == Some("Grüße"));
        let Part::Image(image) = image else { panic!("{image:?}") };
        assert_eq!((image.full_scale(), image.pixels().data()), (16, &[0, 1, 2, 3, 4, 5][..]));
        assert_eq!(image.normalization().unwrap().std(), [0.25]);
        let Part::Floats(row) = &parts[0] else { panic!("{parts:?}") };
        assert_eq!(
            row.data().iter().map(|x| x.to_bits()).collect::<Vec<_>>(),
            [1 << 31, 0x4080_0000]
        );
        // However it is cut, nothing comes back and nothing is asked for that is not there.
        assert!((0..bytes.len()).all(|end| Sample::take_from(&mut &bytes[..end]).is_none()));
        let huge = u64::MAX.to_le_bytes();
        assert!(Vec::<u8>::take_from(&mut &huge[..]).is_none());
        assert!(String::take_from(&mut &huge[..]).is_none());
    }
}
