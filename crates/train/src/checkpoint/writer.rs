//! Writing checkpoints while training goes on.

use std::thread::{self, JoinHandle};

use gradus_tensor::{Error, ErrorKind, Result};

use super::folder::{CheckpointFolder, Files};

/// Writes one checkpoint at a time on a thread of its own, and removes those that are no longer
/// wanted. Training waits only to copy its state, and need not have more than one copy: while the
/// writer [is busy](CheckpointWriter::is_busy), it can put off the next. A checkpoint that is made
/// nevertheless waits for its turn.
pub struct CheckpointWriter {
    folder: CheckpointFolder,
    keep_last: usize,
    job: Option<JoinHandle<(Written, Option<String>)>>,
    next: Option<Job>,
    /// The best that is on the disk, as far as is known.
    best: Option<String>,
}

/// A checkpoint to write.
struct Job {
    name: String,
    files: Files,
    best: Option<String>,
}

impl Job {
    fn is_best(&self) -> bool {
        self.best.as_ref() == Some(&self.name)
    }
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
        CheckpointWriter { folder, keep_last: keep_last.max(1), job: None, next: None, best: None }
    }

    /// The folder that it writes to.
    pub fn folder(&self) -> &CheckpointFolder {
        &self.folder
    }

    /// Whether a checkpoint is being written: another would have to wait.
    pub fn is_busy(&self) -> bool {
        self.job.as_ref().is_some_and(|job| !job.is_finished())
    }

    /// Makes room for a checkpoint, before its state is copied: the one that waits is forgotten if it
    /// is not the best, or if the new one is (`is_best`); otherwise it has its turn first. Returns what
    /// has become of one before, if that is known by now.
    pub fn make_room(&mut self, is_best: bool) -> Option<Written> {
        let before = self.poll();
        match &self.next {
            Some(next) if next.is_best() && !is_best => self.wait(),
            _ => {
                self.next = None;
                before
            }
        }
    }

    /// Starts to write a checkpoint, or lets it wait for its turn once there is
    /// [room](CheckpointWriter::make_room); `best` is the name of one to keep whatever its age. Returns
    /// what has become of one before, if that is known by now.
    pub fn save(&mut self, name: String, files: Files, best: Option<String>) -> Option<Written> {
        let job = Job { name, files, best };
        let before = self.make_room(job.is_best());
        match self.job {
            Some(_) => {
                self.next = Some(job);
                before
            }
            None => self.start(job).or(before),
        }
    }

    /// Starts to write; otherwise says why not.
    fn start(&mut self, Job { name, files, best }: Job) -> Option<Written> {
        let (folder, keep_last) = (self.folder.clone(), self.keep_last);
        let before = self.best.clone();
        let write = move || {
            let saved = folder.save(&name, &files);
            let tidied =
                saved.and_then(|()| tidy(&folder, &name, keep_last, [best, before.clone()]));
            let (best, result) = match tidied {
                Ok(best) => (best, Ok(())),
                Err(error) => (before, Err(error)),
            };
            (Written { name, result }, best)
        };
        let thread = thread::Builder::new().name("checkpoint".to_owned());
        match thread.spawn(write) {
            Ok(job) => {
                self.job = Some(job);
                None
            }
            Err(error) => {
                let message = format!("cannot start a thread that writes checkpoints: {error}");
                let result = Err(Error::new(ErrorKind::Io, message));
                Some(Written { name: String::new(), result })
            }
        }
    }

    /// What has become of a checkpoint, if that is known by now and has not been said. The next one
    /// has its turn then.
    pub fn poll(&mut self) -> Option<Written> {
        if self.job.as_ref().is_some_and(JoinHandle::is_finished) { self.wait() } else { None }
    }

    /// Waits for the checkpoint that is being written, and returns what has become of it. The next one
    /// has its turn then: nothing is left to write when there is nothing to return.
    pub fn wait(&mut self) -> Option<Written> {
        let written = match self.job.take()?.join() {
            Ok((written, best)) => {
                self.best = best;
                written
            }
            Err(_) => {
                let message = "the thread that writes checkpoints panicked".to_owned();
                Written { name: String::new(), result: Err(Error::new(ErrorKind::Io, message)) }
            }
        };
        let failed = self.next.take().and_then(|next| self.start(next));
        // What has failed first is said.
        Some(failed.filter(|_| written.result.is_ok()).unwrap_or(written))
    }
}

/// What is to be written is written first.
impl Drop for CheckpointWriter {
    fn drop(&mut self) {
        while self.wait().is_some() {}
    }
}

/// Keeps the last checkpoints up to the one just saved, and the best, which it returns: that which is
/// called so, or, as long as that could not be written, the one before. Newer ones are of a future
/// that was given up: the run has gone on from one before them.
fn tidy(
    folder: &CheckpointFolder,
    saved: &str,
    keep_last: usize,
    best: [Option<String>; 2],
) -> Result<Option<String>> {
    let names = folder.names()?;
    let best = best.into_iter().flatten().find(|best| names.contains(best));
    let past: Vec<&String> = names.iter().filter(|name| name.as_str() <= saved).collect();
    let kept = &past[past.len().saturating_sub(keep_last)..];
    folder.tidy(|name| kept.iter().any(|k| *k == name) || best.as_deref() == Some(name))?;
    Ok(best)
}
