//! Text for character language models.

use std::fmt;
use std::fs;
use std::path::Path;

use gradus_tensor::{Error, ErrorKind, Result};

use crate::{Array, Dataset, Split};

/// How a text becomes samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CharTextOptions {
    /// How many characters a sample has: 64 by default.
    pub block_size: usize,
    /// From one sample to the next, in characters: by default as many as a sample has, so that an epoch reads the
    /// text once. With fewer, blocks overlap, and a network sees the same words at many places.
    pub stride: Option<usize>,
    /// The share of the text, at its end, that is for testing: 0.1 by default.
    pub test_fraction: f64,
}

impl Default for CharTextOptions {
    fn default() -> CharTextOptions {
        CharTextOptions { block_size: 64, stride: None, test_fraction: 0.1 }
    }
}

/// A text file as samples of a character language model: blocks of `T` characters, and as targets
/// the same blocks one character further on.
///
/// The vocabulary is the text's characters in the order of Unicode; a token is a position in it.
/// Samples are `(Array<i64>, Array<i64>)`
/// of shape `[T]`, and batches two int64 tensors `[batch, T]`.
///
/// ```
/// use gradus_data::datasets::{CharText, CharTextOptions};
/// use gradus_data::{Dataset, Split};
///
/// let options = CharTextOptions { block_size: 3, stride: None, test_fraction: 0.5 };
/// let text = CharText::new("abcabcab", Split::Train, options)?;
/// assert_eq!(text.vocabulary(), ['a', 'b', 'c']);
/// let (input, target) = text.get(0)?;
/// assert_eq!((input.data(), target.data()), (&[0, 1, 2][..], &[1, 2, 0][..]));
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
#[derive(Clone)]
pub struct CharText {
    name: String,
    vocabulary: Vec<char>,
    tokens: Vec<i64>,
    block_size: usize,
    stride: usize,
}

/// A summary: `text (train): 11052 characters, 83 different, in blocks of 64`.
impl fmt::Debug for CharText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (characters, different) = (self.tokens.len(), self.vocabulary.len());
        let (name, block) = (&self.name, self.block_size);
        write!(f, "{name}: {characters} characters, {different} different, in blocks of {block}")
    }
}

impl CharText {
    /// One part of a text file in UTF-8.
    ///
    /// # Errors
    /// If it cannot be read, is not UTF-8, or is too short for one block.
    pub fn open(
        path: impl AsRef<Path>,
        split: Split,
        options: CharTextOptions,
    ) -> Result<CharText> {
        let path = path.as_ref();
        let bytes = fs::read(path).map_err(|e| {
            Error::new(ErrorKind::Io, format!("{}: {e}; give a text file", path.display()))
        })?;
        CharText::from_utf8(path, bytes, split, options)
    }

    /// One part of the content of a file that messages call `path`.
    pub(super) fn from_utf8(
        path: &Path,
        bytes: Vec<u8>,
        split: Split,
        options: CharTextOptions,
    ) -> Result<CharText> {
        let text = String::from_utf8(bytes).map_err(|e| {
            let message = format!(
                "{}: not UTF-8 at offset {}; convert it to UTF-8",
                path.display(),
                e.utf8_error().valid_up_to()
            );
            Error::new(ErrorKind::Format, message)
        })?;
        let text = CharText::new(&text, split, options);
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        text.map(|text| CharText { name: format!("{name} ({split})"), ..text })
            .map_err(|e| e.context(path.display()))
    }

    /// As [`from_bytes`](CharText::from_bytes), one part of a file of any kind.
    ///
    /// # Errors
    /// If it cannot be read or is too short for one block.
    pub fn open_bytes(
        path: impl AsRef<Path>,
        split: Split,
        options: CharTextOptions,
    ) -> Result<CharText> {
        let path = path.as_ref();
        let bytes = fs::read(path).map_err(|e| {
            Error::new(ErrorKind::Io, format!("{}: {e}; check the path", path.display()))
        })?;
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        CharText::from_bytes(&bytes, split, options)
            .map(|text| CharText { name: format!("{name} ({split})"), ..text })
            .map_err(|e| e.context(path.display()))
    }

    /// One part of a text.
    ///
    /// # Errors
    /// If it is too short for one block.
    pub fn new(text: &str, split: Split, options: CharTextOptions) -> Result<CharText> {
        let characters: Vec<char> = text.chars().collect();
        let mut vocabulary = characters.clone();
        vocabulary.sort_unstable();
        vocabulary.dedup();
        CharText::cut(characters, vocabulary, split, options)
    }

    /// One part of bytes of any kind: a token is a byte, and the vocabulary, all 256 of them, are
    /// written as the characters of their numbers.
    ///
    /// # Errors
    /// If there are too few for one block.
    pub fn from_bytes(bytes: &[u8], split: Split, options: CharTextOptions) -> Result<CharText> {
        let characters = bytes.iter().copied().map(char::from).collect();
        CharText::cut(characters, (0..=u8::MAX).map(char::from).collect(), split, options)
    }

    fn cut(
        characters: Vec<char>,
        vocabulary: Vec<char>,
        split: Split,
        options: CharTextOptions,
    ) -> Result<CharText> {
        let CharTextOptions { block_size, stride, test_fraction } = options;
        let stride = stride.unwrap_or(block_size);
        if block_size == 0 || stride == 0 || !(test_fraction > 0.0 && test_fraction < 1.0) {
            let message = format!(
                "block_size is {block_size}, stride {stride} and test_fraction {test_fraction}; \
                 give 1 or more characters, and a number between 0 and 1"
            );
            return Err(Error::new(ErrorKind::Usage, message));
        }
        let test = (characters.len() as f64 * test_fraction).round() as usize;
        let range = match split {
            Split::Train => 0..characters.len() - test,
            Split::Test => characters.len() - test..characters.len(),
        };
        let part = &characters[range];
        if part.len() <= block_size {
            let message = format!(
                "the part to {split} has {} characters, and a block of {block_size} needs one \
                 more than that; give a longer text or a smaller block_size",
                part.len()
            );
            return Err(Error::new(ErrorKind::Data, message));
        }
        let token = |c: &char| vocabulary.binary_search(c).map_or(0, |at| at as i64);
        let tokens = part.iter().map(token).collect();
        Ok(CharText { name: format!("text ({split})"), vocabulary, tokens, block_size, stride })
    }

    /// The characters; a token is a position in this list.
    pub fn vocabulary(&self) -> &[char] {
        &self.vocabulary
    }

    /// How many characters a sample has.
    pub fn block_size(&self) -> usize {
        self.block_size
    }
}

impl Dataset for CharText {
    type Item = (Array<i64>, Array<i64>);

    fn len(&self) -> usize {
        (self.tokens.len() - 1 - self.block_size) / self.stride + 1
    }

    fn get(&self, index: usize) -> Result<Self::Item> {
        let start = index * self.stride;
        let block = |start| {
            Array::new([self.block_size], self.tokens[start..start + self.block_size].to_vec())
        };
        Ok((block(start)?, block(start + 1)?))
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_any_kind_are_tokens() {
        let options = CharTextOptions { block_size: 2, stride: None, test_fraction: 0.4 };
        let bytes = CharText::from_bytes(&[0, 255, 7, 128, 3], Split::Train, options).unwrap();
        assert_eq!((bytes.len(), bytes.vocabulary().len()), (1, 256));
        let (input, target) = bytes.get(0).unwrap();
        assert_eq!((input.data(), target.data()), (&[0, 255][..], &[255, 7][..]));
    }

    #[test]
    fn blocks_cover_the_text_once() {
        let options = CharTextOptions { block_size: 4, stride: None, test_fraction: 0.25 };
        let text = "Grüße, Welt: öäü";
        let train = CharText::new(text, Split::Train, options).unwrap();
        let test = CharText::new(text, Split::Test, options);
        assert!(test.unwrap_err().message().contains("the part to test has 4 characters"));
        let spelt = |tokens: &Array<i64>| -> String {
            tokens.data().iter().map(|&t| train.vocabulary()[t as usize]).collect()
        };
        let blocks: Vec<_> = (0..train.len()).map(|i| train.get(i).unwrap()).collect();
        let inputs: Vec<String> = blocks.iter().map(|(input, _)| spelt(input)).collect();
        let targets: Vec<String> = blocks.iter().map(|(_, target)| spelt(target)).collect();
        assert_eq!(inputs, ["Grüß", "e, W"]);
        assert_eq!(targets, ["rüße", ", We"]);
    }

    #[test]
    fn both_parts_have_one_vocabulary() {
        let options = CharTextOptions { block_size: 2, stride: None, test_fraction: 0.5 };
        let part = |split| CharText::new("aaaaaazzzzzz", split, options).unwrap();
        assert_eq!(part(Split::Train).vocabulary(), part(Split::Test).vocabulary());
        assert_eq!(part(Split::Test).get(0).unwrap().0.data(), [1, 1]);
    }

    #[test]
    fn blocks_overlap_if_asked_to() {
        let options = CharTextOptions { block_size: 4, stride: Some(1), test_fraction: 0.25 };
        let text = CharText::new("abcdefghijkl", Split::Train, options).unwrap();
        // Nine characters to train on: blocks of five, with the target, start at five of them.
        assert_eq!(text.len(), 5);
        assert_eq!(text.get(4).unwrap().1.data(), [5, 6, 7, 8]);
        let none = CharTextOptions { stride: Some(0), ..options };
        assert!(CharText::new("abcdefghijkl", Split::Train, none).is_err());
    }
}
