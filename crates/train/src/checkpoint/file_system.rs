//! What checkpoints ask of a file system. Tests put one in its place that fails.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// The operations of which a checkpoint is made. [`Disk`] is the real one.
///
/// Each method is one operation that can fail, so that a simulated file system can fail any single
/// one of a save.
pub trait FileSystem: Send + Sync {
    /// Makes a folder, with those above it.
    ///
    /// # Errors
    /// Those of the operating system; so it is for all methods.
    fn make_folder(&self, path: &Path) -> io::Result<()>;

    /// Makes a new file to write to. It is an error if it exists.
    ///
    /// # Errors
    /// If it cannot be made.
    fn create(&self, path: &Path) -> io::Result<Box<dyn NewFile>>;

    /// Makes names in a folder last through a loss of power.
    ///
    /// # Errors
    /// If that is not known to have happened.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;

    /// Gives a folder another name, which must be free.
    ///
    /// # Errors
    /// If it cannot be renamed.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a folder and what is in it.
    ///
    /// # Errors
    /// If some of it cannot be removed.
    fn remove_folder(&self, path: &Path) -> io::Result<()>;

    /// The names in a folder, in any order.
    ///
    /// # Errors
    /// If the folder cannot be read.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;

    /// The content of a file.
    ///
    /// # Errors
    /// If it cannot be read.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
}

/// A file that is being written.
pub trait NewFile: Send {
    /// Appends some of the bytes, and says how many.
    ///
    /// # Errors
    /// If none can be written.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Makes what was written last through a loss of power.
    ///
    /// # Errors
    /// If that is not known to have happened.
    fn sync(&mut self) -> io::Result<()>;
}

/// The file system of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl FileSystem for Disk {
    fn make_folder(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn NewFile>> {
        Ok(Box::new(File::create_new(path)?))
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        // Elsewhere folders cannot be opened, and renaming lasts without it.
        if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        fs::read_dir(path)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }
}

impl NewFile for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Write::write(self, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}
