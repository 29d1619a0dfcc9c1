//! Writing checkpoints while training goes on.

use std::thread::{self, JoinHandle};

use gradus_tensor::{Error, ErrorKind, Result};

use super::folder::{CheckpointFolder, Files};

/// Writes one checkpoint at a time on a thread of its own, and removes those that are no longer
/// wanted. Training waits only to copy its state, or where the one before is still being written.
pub struct CheckpointWriter {
    folder: CheckpointFolder,
    keep_last: usize,
    job: Option<JoinHandle<Written>>,
}

/// What has become of a checkpoint.
#[derive(Debug)]
pub struct Written {
    /// Its name.
    pub name: String,
    /// What went wrong. A checkpoint that was not written leaves those of before as they were.
    pub result: Result<()>,
}

impl CheckpointWriter {
    /// A writer that keeps the last so many checkpoints, at least one.
    pub fn new(folder: CheckpointFolder, keep_last: usize) -> CheckpointWriter {
        CheckpointWriter { folder, keep_last: keep_last.max(1), job: None }
    }

    /// The folder that it writes to.
    pub fn folder(&self) -> &CheckpointFolder {
        &self.folder
    }

    /// Starts to write a checkpoint; `best` is the name of one to keep whatever its age. Waits for
    /// the one before, and returns what has become of it.
    pub fn save(&mut self, name: String, files: Files, best: Option<String>) -> Option<Written> {
        let before = self.wait();
        let (folder, keep_last) = (self.folder.clone(), self.keep_last);
        let write = move || {
            let saved = folder.save(&name, &files);
            let result = saved.and_then(|()| tidy(&folder, &name, keep_last, best.as_deref()));
            Written { name, result }
        };
        let thread = thread::Builder::new().name("checkpoint".to_owned());
        match thread.spawn(write) {
            Ok(job) => self.job = Some(job),
            Err(error) => {
                let message = format!("cannot start a thread that writes checkpoints: {error}");
                let result = Err(Error::new(ErrorKind::Io, message));
                return Some(Written { name: String::new(), result });
            }
        }
        before
    }

    /// What has become of the last checkpoint, if that is known by now and has not been said.
    pub fn poll(&mut self) -> Option<Written> {
        if self.job.as_ref().is_some_and(JoinHandle::is_finished) { self.wait() } else { None }
    }

    /// Waits for the checkpoint that is being written, and returns what has become of it.
    pub fn wait(&mut self) -> Option<Written> {
        let written = self.job.take()?.join();
        Some(written.unwrap_or_else(|_| {
            let message = "the thread that writes checkpoints panicked".to_owned();
            Written { name: String::new(), result: Err(Error::new(ErrorKind::Io, message)) }
        }))
    }
}

/// A checkpoint that is being written is finished first.
impl Drop for CheckpointWriter {
    fn drop(&mut self) {
        let _ = self.wait();
    }
}

/// Keeps the last checkpoints up to the one just saved, and the best. Newer ones are of a future
/// that was given up: the run has gone on from one before them.
fn tidy(
    folder: &CheckpointFolder,
    saved: &str,
    keep_last: usize,
    best: Option<&str>,
) -> Result<()> {
    let names = folder.names()?;
    let past: Vec<&String> = names.iter().filter(|name| name.as_str() <= saved).collect();
    let kept = &past[past.len().saturating_sub(keep_last)..];
    folder.tidy(|name| kept.iter().any(|k| *k == name) || best == Some(name))
}
