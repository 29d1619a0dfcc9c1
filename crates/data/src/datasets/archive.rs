//! Files of a dataset, in a folder or in the archive that they are published in.
//!
//! Archives are read, never unpacked: nothing is written, wherever the names inside them point.

use std::cell::Cell;
use std::fmt::Display;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Component, Path, PathBuf};

use flate2::bufread::GzDecoder;
use gradus_tensor::{Error, ErrorKind, Result};

/// Where files of a dataset are looked for.
pub(super) struct Source {
    /// What messages call the dataset.
    pub(super) name: &'static str,
    /// The folder that the archive unpacks to.
    pub(super) folder: &'static str,
    /// The archive, a `.tar.gz`.
    pub(super) archive: &'static str,
    /// Where it can be had.
    pub(super) url: &'static str,
}

impl Source {
    /// The content of `files`, with the names that messages call them by. No more than `limit` bytes
    /// of each are read.
    pub(super) fn read(
        &self,
        path: &Path,
        files: &[&str],
        limit: u64,
    ) -> Result<Vec<(String, Vec<u8>)>> {
        let folders = [path.to_owned(), path.join(self.folder)];
        if let Some(folder) = folders.iter().find(|folder| folder.join(files[0]).exists()) {
            let read = |file: &&str| {
                let path = folder.join(file);
                let name = path.display().to_string();
                let mut content = Vec::new();
                let outcome =
                    File::open(&path).and_then(|f| f.take(limit).read_to_end(&mut content));
                let failed = |e: io::Error| {
                    let message = format!("{name}: {e}; get it again from {}", self.url);
                    Error::new(ErrorKind::Io, message)
                };
                outcome.map_err(failed)?;
                Ok((name, content))
            };
            return files.iter().map(read).collect();
        }
        let archives = [path.to_owned(), path.join(self.archive)];
        match archives.iter().find(|archive| archive.is_file()) {
            Some(archive) => self.read_archive(archive, files, limit),
            None => {
                let message = format!(
                    "{}: found neither {} nor {} in {}; give the folder that holds them, or get \
                     them from {} (\"binary version\")",
                    self.name,
                    files.join(", "),
                    self.archive,
                    path.display(),
                    self.url
                );
                Err(Error::new(ErrorKind::Io, message))
            }
        }
    }

    fn read_archive(
        &self,
        path: &Path,
        files: &[&str],
        limit: u64,
    ) -> Result<Vec<(String, Vec<u8>)>> {
        let file = File::open(path).map_err(|e| {
            let message = format!("{}: {e}; get it again from {}", path.display(), self.url);
            Error::new(ErrorKind::Io, message)
        })?;
        self.extract(path, BufReader::with_capacity(1 << 16, file), files, limit)
    }

    /// The same of the bytes of an archive that messages call `path`.
    pub(super) fn extract(
        &self,
        path: &Path,
        archive: impl BufRead,
        files: &[&str],
        limit: u64,
    ) -> Result<Vec<(String, Vec<u8>)>> {
        let unpacked = Cell::new(0);
        let bad = |what: &dyn Display| {
            let message = format!("{}: {what}; get it again from {}", path.display(), self.url);
            Error::new(ErrorKind::Format, message)
        };
        let damaged = |e: io::Error| {
            let at = unpacked.get();
            bad(&format_args!("no .tar.gz archive, or damaged after {at} unpacked bytes ({e})"))
        };
        // What is skipped is decompressed too: a bomb must not take for ever.
        let bounded = GzDecoder::new(archive).take(LARGEST_ARCHIVE);
        let mut archive = tar::Archive::new(Counted { inner: bounded, count: &unpacked });
        let mut found: Vec<Option<(String, Vec<u8>)>> = files.iter().map(|_| None).collect();
        // Long names and other extensions are passed over unread, as no dataset's files need them:
        // a bomb could claim gigabytes for one.
        for entry in archive.entries().map_err(damaged)?.raw(true) {
            let mut entry = entry.map_err(damaged)?;
            let kind = entry.header().entry_type();
            if matches!(kind.as_byte(), b'x' | b'g' | b'L' | b'K') {
                continue;
            }
            let inside: PathBuf = entry.path().map_err(damaged)?.into_owned();
            let wanted = files.iter().position(|file| inside.file_name() == Some(file.as_ref()));
            let Some(at) = wanted else { continue };
            let plain =
                |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
            if !inside.components().all(plain) {
                let place = inside.display();
                return Err(bad(&format_args!(
                    "a file in it claims the place {place}, outside of the archive"
                )));
            }
            if !kind.is_file() {
                let place = inside.display();
                return Err(bad(&format_args!("{place} in it is no file, but a link or a folder")));
            }
            let mut content = Vec::new();
            entry.by_ref().take(limit).read_to_end(&mut content).map_err(damaged)?;
            // The archive may end within a file: the reader of tar is content with what there is.
            let size = entry.size().min(limit);
            if (content.len() as u64) < size {
                let (place, has, at) = (inside.display(), content.len(), unpacked.get());
                return Err(bad(&format_args!(
                    "truncated: it ends after {at} unpacked bytes, with {has} of the {size} bytes \
                     of {place}"
                )));
            }
            found[at] = Some((format!("{}, {}", path.display(), inside.display()), content));
            if found.iter().all(Option::is_some) {
                break;
            }
        }
        let missing = files.iter().zip(&found).find(|(_, content)| content.is_none());
        if let Some((file, _)) = missing {
            let message = format!(
                "{}: there is no {file} in it; get {} from {} (\"binary version\")",
                path.display(),
                self.archive,
                self.url
            );
            return Err(Error::new(ErrorKind::Data, message));
        }
        Ok(found.into_iter().flatten().collect())
    }
}

/// Counts what is read.
struct Counted<'a, R> {
    inner: R,
    count: &'a Cell<u64>,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count.set(self.count.get() + read as u64);
        Ok(read)
    }
}

/// No dataset's archive holds more.
const LARGEST_ARCHIVE: u64 = 16 << 30;

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    const SOURCE: Source =
        Source { name: "X", folder: "x", archive: "x.tar.gz", url: "https://x.org" };

    /// An archive with one file of five bytes under any name.
    fn archive(name: &str) -> Vec<u8> {
        let mut header = tar::Header::new_old();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(5);
        header.set_cksum();
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(header.as_bytes()).unwrap();
        gzip.write_all(b"hello").unwrap();
        gzip.write_all(&[0; 507 + 1024]).unwrap();
        gzip.finish().unwrap()
    }

    #[test]
    fn names_that_point_outside_are_refused() {
        let path = std::env::temp_dir().join(format!("gradus-archive-{}.gz", std::process::id()));
        let read = |name: &str, limit| {
            std::fs::write(&path, archive(name)).unwrap();
            SOURCE.read(&path, &["a.bin"], limit)
        };
        assert_eq!(read("x/a.bin", 9).unwrap()[0].1, b"hello");
        assert_eq!(read("./a.bin", 3).unwrap()[0].1, b"hel");
        for name in ["../a.bin", "x/../../a.bin", "/etc/a.bin"] {
            let error = read(name, 9).unwrap_err().to_string();
            assert!(error.contains("outside of the archive; get it again"), "{error}");
        }
        let error = read("x/b.bin", 9).unwrap_err().to_string();
        assert!(error.contains("there is no a.bin in it; get x.tar.gz"), "{error}");
        let _ = std::fs::remove_file(&path);
    }
}
