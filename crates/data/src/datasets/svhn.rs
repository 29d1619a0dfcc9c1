//! SVHN, cropped digits, in MATLAB files.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use gradus_tensor::{Error, ErrorKind, Result};

use super::LabelledImages;
use crate::mat::{self, Matrix};
use crate::{Array, Split};

const URL: &str = "http://ufldl.stanford.edu/housenumbers/";
const SIDE: usize = 32;
/// The files have 66 to 183 MB; the extra part, 1.3 GB.
const LARGEST: u64 = 1 << 31;

/// SVHN (Y. Netzer et al., *Reading digits in natural images*, 2011): 73,257 digits of house numbers to
/// train on and 26,032 to test, images of shape `[3, 32, 32]` in 10 classes.
///
/// Reads `train_32x32.mat` and `test_32x32.mat` in `dir`. Their label 10 is the digit 0.
///
/// # Errors
/// If the file is missing, truncated or damaged; the message names it and what to do.
pub fn svhn(dir: impl AsRef<Path>, split: Split) -> Result<LabelledImages> {
    let path = dir.as_ref().join(format!("{split}_32x32.mat"));
    let mut bytes = Vec::new();
    File::open(&path)
        .and_then(|file| file.take(LARGEST).read_to_end(&mut bytes))
        .map_err(|e| named(&path, ErrorKind::Io, &e.to_string()))?;
    parse(&path, &bytes, split)
}

/// The content of a file that messages call `path`.
pub(super) fn parse(path: &Path, bytes: &[u8], split: Split) -> Result<LabelledImages> {
    let matrices = mat::read(bytes).map_err(|why| named(path, ErrorKind::Format, &why))?;
    labelled(matrices, split).map_err(|why| named(path, ErrorKind::Data, &why))
}

fn named(path: &Path, kind: ErrorKind, why: &str) -> Error {
    Error::new(kind, format!("{}: {why}; get it again from {URL}", path.display()))
}

fn labelled(mut matrices: Vec<Matrix>, split: Split) -> Result<LabelledImages, String> {
    let mut take = |name: &str| {
        let at = matrices.iter().position(|matrix| matrix.name == name);
        at.map(|at| matrices.swap_remove(at))
            .ok_or_else(|| format!("there is no matrix {name} in it"))
    };
    let (images, labels) = (take("X")?, take("y")?);
    let &[SIDE, SIDE, 3, count] = &images.shape[..] else {
        return Err(format!("X has the sizes {:?} instead of [32, 32, 3, n]", images.shape));
    };
    let pixels = images.bytes().ok_or("X holds no bytes")?;
    let labels = labels.numbers();
    if labels.len() != count {
        return Err(format!("there are {count} images in X, but {} labels in y", labels.len()));
    }
    let label = |(sample, &label): (usize, &f64)| match label {
        10.0 => Ok(0),
        1.0..=9.0 if label.fract() == 0.0 => Ok(label as i64),
        _ => Err(format!("the label of image {sample} is {label} instead of 1 to 10")),
    };
    let labels: Vec<i64> = labels.iter().enumerate().map(label).collect::<Result<_, String>>()?;
    // Column by column in the file.
    let mut upright = Vec::with_capacity(pixels.len());
    for plane in pixels.chunks_exact(SIDE * SIDE) {
        upright.extend((0..SIDE * SIDE).map(|at| plane[at % SIDE * SIDE + at / SIDE]));
    }
    let array = |e: Error| e.message().to_owned();
    Ok(LabelledImages::new(
        format!("SVHN ({split})"),
        Array::new([count, 3, SIDE, SIDE], upright).map_err(array)?,
        255,
        Array::new([count], labels).map_err(array)?,
        (0..10).map(|digit| digit.to_string()).collect(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dataset;

    /// scipy.io.savemat of two images that count their columns, with labels 10 and 7, compressed.
    const SMALL: &[u8] = include_bytes!("../../tests/golden/svhn_small.mat");

    #[test]
    fn digits_are_read_from_a_file_of_scipy() {
        let svhn = labelled(mat::read(SMALL).unwrap(), Split::Test).unwrap();
        assert_eq!((svhn.get(0).unwrap().1, svhn.get(1).unwrap().1), (0, 7));
        let (image, _) = svhn.get(1).unwrap();
        let expected = |at: usize| (100 * (at / 1024) + at % 32 + 1) as u8;
        assert_eq!(image.pixels().data(), (0..3 * 1024).map(expected).collect::<Vec<u8>>());
    }

    #[test]
    fn what_does_not_belong_together_is_said() {
        let all = || mat::read(SMALL).unwrap();
        let error = |change: &dyn Fn(&mut Vec<Matrix>)| {
            let mut matrices = all();
            change(&mut matrices);
            labelled(matrices, Split::Test).unwrap_err()
        };
        assert!(error(&|m| m.retain(|m| m.name == "X")).contains("no matrix y"));
        assert!(error(&|m| m.iter_mut().for_each(|m| m.shape = vec![2])).contains("sizes [2]"));
        let wrong = |m: &mut Vec<Matrix>| m.iter_mut().for_each(Matrix::zero_numbers);
        assert!(error(&wrong).contains("the label of image 0 is 0 instead of 1 to 10"));
    }
}
