//! The manifest of a checkpoint: which files there are, and their SHA-256.
//!
//! ```text
//! gradus checkpoint 1
//! <sha256>  <size>  model.safetensors
//! <sha256>  <size>  state.json
//! <sha256 of the lines above>
//! ```
//!
//! It is written last: a checkpoint without a whole manifest is none. There is one way to write
//! the same content, and a manifest that is written in another is damaged: so every bit of it
//! counts.

use std::fmt::Write;

use sha2::{Digest, Sha256};

/// The file's name.
pub(super) const MANIFEST: &str = "MANIFEST";
/// The version that is written. [`Manifest::parse`] reads every one there has been.
const VERSION: u32 = 1;

/// One file of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub name: String,
    pub size: u64,
    pub sha256: String,
}

/// The files of a checkpoint, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Manifest {
    pub files: Vec<Listed>,
}

impl Manifest {
    /// The manifest of files with their content.
    pub(super) fn of<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Manifest {
        let listed = |(name, content): (&str, &[u8])| Listed {
            name: name.to_owned(),
            size: content.len() as u64,
            sha256: sha256(content),
        };
        Manifest { files: files.into_iter().map(listed).collect() }
    }

    /// The content of the file.
    pub(super) fn render(&self) -> String {
        let mut text = format!("gradus checkpoint {VERSION}\n");
        for Listed { name, size, sha256 } in &self.files {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{sha256}  {size}  {name}");
        }
        let own = sha256(text.as_bytes());
        let _ = writeln!(text, "{own}");
        text
    }

    /// Reads the content of the file; otherwise says what is wrong with it.
    pub(super) fn parse(bytes: &[u8]) -> Result<Manifest, String> {
        let damaged = || format!("{MANIFEST} is damaged");
        let text = std::str::from_utf8(bytes).map_err(|_| damaged())?;
        let (first, rest) = text.split_once('\n').ok_or_else(damaged)?;
        let version = first.strip_prefix("gradus checkpoint ").ok_or_else(damaged)?;
        match version.parse() {
            Ok(1) => {}
            // Only where nothing else is wrong is it a newer one rather than a damaged one.
            Ok(newer) if newer > VERSION && closes(text) => {
                return Err(format!(
                    "it has version {newer} of the format, and this gradus reads versions up to \
                     {VERSION}: use a newer gradus"
                ));
            }
            _ => return Err(damaged()),
        }
        let mut files = Vec::new();
        for line in rest.lines() {
            let mut fields = line.splitn(3, "  ");
            let (Some(sha256), Some(size), Some(name)) =
                (fields.next(), fields.next(), fields.next())
            else {
                break;
            };
            let size = size.parse().map_err(|_| damaged())?;
            if name.contains(['/', '\\']) {
                return Err(damaged());
            }
            files.push(Listed { name: name.to_owned(), size, sha256: sha256.to_owned() });
        }
        let manifest = Manifest { files };
        // Compared as a whole: the hash at the end, cases of letters, zeros in front, line ends.
        if manifest.render() != text { Err(damaged()) } else { Ok(manifest) }
    }
}

/// Whether the last line is the hash of those before.
fn closes(text: &str) -> bool {
    let Some((above, last)) = text.strip_suffix('\n').and_then(|t| t.rsplit_once('\n')) else {
        return false;
    };
    sha256(format!("{above}\n").as_bytes()) == last
}

/// A SHA-256 in hexadecimal digits.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

/// Bytes as hexadecimal digits.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_read_as_written_and_not_otherwise() {
        let manifest = Manifest::of([("a", &b"abc"[..]), ("b c", b"")]);
        assert!(
            manifest.files[0].sha256.starts_with("ba7816bf8f01cfea414140de5dae2223b00361a3"),
            "the SHA-256 of abc, from FIPS 180-2"
        );
        let text = manifest.render();
        assert_eq!(Manifest::parse(text.as_bytes()).unwrap(), manifest);
        for at in 0..text.len() {
            for bit in 0..8 {
                let mut bytes = text.clone().into_bytes();
                bytes[at] ^= 1 << bit;
                assert!(Manifest::parse(&bytes).is_err(), "bit {bit} of byte {at}");
            }
            assert!(Manifest::parse(&text.as_bytes()[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_newer_version_is_not_called_damaged() {
        let above = "gradus checkpoint 7\nsomething else\n";
        let text = format!("{above}{}\n", sha256(above.as_bytes()));
        let message = Manifest::parse(text.as_bytes()).unwrap_err();
        assert!(message.contains("version 7") && message.contains("newer gradus"), "{message}");
    }
}
