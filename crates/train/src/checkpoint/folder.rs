//! The folder that holds a run's checkpoints, each a folder of its own.
//!
//! Saving: the files are written to a folder with a temporary name and synced, the manifest after
//! all others; the folder is renamed, and the renaming synced. Whatever operation fails, and
//! wherever the power goes, the checkpoints of before are as they were, and the new one is either
//! whole or none. Only once the new one is safe are older ones removed.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gradus_tensor::{Error, ErrorKind, Result};

use super::file_system::{Disk, FileSystem, NewFile};
use super::manifest::{Listed, MANIFEST, Manifest, sha256};

/// In front of the names of folders that are being written, or removed.
const UNFINISHED: &str = ".unfinished-";
const DISCARDED: &str = ".discarded-";
/// In front of the names of checkpoints.
const STEP: &str = "step-";

/// The files of a checkpoint by name.
pub type Files = Vec<(String, Vec<u8>)>;

/// A folder of checkpoints.
#[derive(Clone)]
pub struct CheckpointFolder {
    path: PathBuf,
    files: Arc<dyn FileSystem>,
}

impl CheckpointFolder {
    /// The checkpoints in a folder, which need not exist yet.
    pub fn new(path: impl Into<PathBuf>) -> CheckpointFolder {
        CheckpointFolder::with_file_system(path, Arc::new(Disk))
    }

    /// As [`new`](CheckpointFolder::new), in another file system.
    pub fn with_file_system(
        path: impl Into<PathBuf>,
        files: Arc<dyn FileSystem>,
    ) -> CheckpointFolder {
        CheckpointFolder { path: path.into(), files }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name of the checkpoint after so many steps of the optimizer and, where gradients are
    /// being accumulated, so many batches since. Names sort by age.
    pub fn name(step: u64, batches: u64) -> String {
        match batches {
            0 => format!("{STEP}{step:010}"),
            n => format!("{STEP}{step:010}.{n:06}"),
        }
    }

    /// Writes a checkpoint.
    ///
    /// # Errors
    /// If it cannot be written. Those of before are as they were.
    pub fn save(&self, name: &str, files: &[(String, Vec<u8>)]) -> Result<()> {
        let unfinished = self.path.join(format!("{UNFINISHED}{name}"));
        let saved = self.write(name, &unfinished, files);
        saved.map_err(|error| {
            // It may not even be there; and what went wrong first is what to report.
            let _ = self.files.remove_folder(&unfinished);
            let message =
                format!("cannot save the checkpoint {}: {error}", self.path.join(name).display());
            Error::new(ErrorKind::Io, message)
        })
    }

    fn write(&self, name: &str, unfinished: &Path, files: &[(String, Vec<u8>)]) -> io::Result<()> {
        let disk = &*self.files;
        disk.make_folder(&self.path)?;
        let present = disk.list(&self.path)?;
        if let Some(parent) = self.path.parent().filter(|_| present.is_empty()) {
            // The folder may be new: its own name must last too.
            let here = Path::new(".");
            disk.sync_folder(if parent.as_os_str().is_empty() { here } else { parent })?;
        }
        if present.iter().any(|n| unfinished.ends_with(n)) {
            disk.remove_folder(unfinished)?;
        }
        disk.make_folder(unfinished)?;
        let manifest = Manifest::of(files.iter().map(|(n, content)| (n.as_str(), &content[..])));
        for (file, content) in files {
            self.write_file(&unfinished.join(file), content)?;
        }
        self.write_file(&unfinished.join(MANIFEST), manifest.render().as_bytes())?;
        disk.sync_folder(unfinished)?;
        let finished = self.path.join(name);
        if present.iter().any(|n| n == name) {
            // Of a future that was given up, or damaged: the run went on from another.
            self.discard(name)?;
        }
        disk.rename(unfinished, &finished)?;
        disk.sync_folder(&self.path)
    }

    fn write_file(&self, path: &Path, mut content: &[u8]) -> io::Result<()> {
        let mut file: Box<dyn NewFile> = self.files.create(path)?;
        while !content.is_empty() {
            match file.write(content) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => content = &content[written..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        file.sync()
    }

    /// The names of the checkpoints, the oldest first. Whether they are whole is not looked at.
    ///
    /// # Errors
    /// If there is a folder and it cannot be read.
    pub fn names(&self) -> Result<Vec<String>> {
        let mut names = match self.files.list(&self.path) {
            Ok(names) => names,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                let message =
                    format!("cannot read the checkpoints in {}: {error}", self.path.display());
                return Err(Error::new(ErrorKind::Io, message));
            }
        };
        names.retain(|name| name.starts_with(STEP));
        names.sort_unstable();
        Ok(names)
    }

    /// The files of a checkpoint, each compared with its SHA-256.
    ///
    /// # Errors
    /// If one cannot be read or is damaged.
    pub fn load(&self, name: &str) -> Result<Files> {
        let folder = self.path.join(name);
        let failed = |why: &dyn fmt::Display| {
            let message = format!("the checkpoint {} cannot be used: {why}", folder.display());
            Error::new(ErrorKind::Format, message)
        };
        let read = |file: &str| {
            let unread = |error| failed(&format_args!("{file} cannot be read: {error}"));
            self.files.read(&folder.join(file)).map_err(unread)
        };
        let manifest = Manifest::parse(&read(MANIFEST)?).map_err(|why| failed(&why))?;
        let verified = manifest.files.into_iter().map(|Listed { name, size, sha256: listed }| {
            let content = read(&name)?;
            if content.len() as u64 != size {
                let length = content.len();
                let why = format!("{name} has {length} bytes, and {MANIFEST} says {size}");
                return Err(failed(&why));
            }
            if sha256(&content) != listed {
                return Err(failed(&format_args!("{name} is not as {MANIFEST} says")));
            }
            Ok((name, content))
        });
        verified.collect()
    }

    /// The newest checkpoint that `read` accepts, and its name; none if there are no checkpoints.
    /// `warn` is told of each that had to be passed over.
    ///
    /// # Errors
    /// If there are checkpoints and none can be used.
    pub fn load_newest<T>(
        &self,
        mut read: impl FnMut(Files) -> Result<T>,
        mut warn: impl FnMut(&str),
    ) -> Result<Option<(String, T)>> {
        let names = self.names()?;
        let mut problems = Vec::new();
        for (i, name) in names.iter().enumerate().rev() {
            match self.load(name).and_then(&mut read) {
                Ok(loaded) => return Ok(Some((name.clone(), loaded))),
                Err(error) => {
                    if let Some(before) = i.checked_sub(1).map(|i| &names[i]) {
                        warn(&format!("{}; trying {before}, the one before", error.message()));
                    }
                    problems.push(error.message().to_owned());
                }
            }
        }
        if problems.is_empty() {
            return Ok(None);
        }
        let message = format!(
            "none of the checkpoints in {} can be used; remove them to begin anew:\n  {}",
            self.path.display(),
            problems.join("\n  ")
        );
        Err(Error::new(ErrorKind::Format, message))
    }

    /// Removes all checkpoints that `keep` does not want, and what unfinished saves have left.
    ///
    /// # Errors
    /// If something cannot be removed; what is kept is not touched.
    pub fn tidy(&self, keep: impl Fn(&str) -> bool) -> Result<()> {
        let failed = |error: io::Error| {
            let folder = self.path.display();
            let message = format!("cannot remove old checkpoints from {folder}: {error}");
            Error::new(ErrorKind::Io, message)
        };
        for name in self.files.list(&self.path).map_err(failed)? {
            if name.starts_with(UNFINISHED) || name.starts_with(DISCARDED) {
                self.files.remove_folder(&self.path.join(&name)).map_err(failed)?;
            } else if name.starts_with(STEP) && !keep(&name) {
                self.discard(&name).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Removes a checkpoint. It goes under another name first: half of one is never taken for one.
    fn discard(&self, name: &str) -> io::Result<()> {
        let discarded = self.path.join(format!("{DISCARDED}{name}"));
        if self.files.list(&self.path)?.iter().any(|n| discarded.ends_with(n)) {
            self.files.remove_folder(&discarded)?;
        }
        self.files.rename(&self.path.join(name), &discarded)?;
        self.files.remove_folder(&discarded)
    }
}

impl fmt::Debug for CheckpointFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CheckpointFolder({:?})", self.path)
    }
}
