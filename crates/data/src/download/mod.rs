//! The official files of known datasets, fetched once and checked.
//!
//! A file is written under its name and `.part`, which a later attempt continues, and gets its name
//! when its checksum is right: what has its name is whole, whenever the program or the machine was
//! stopped.

mod catalog;
mod curl;

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use gradus_tensor::{Error, ErrorKind};
use md5::{Digest, Md5};

pub use self::catalog::{DOWNLOADS, Download, RemoteFile};
use self::curl::{Failure, Transfer};

type Result<T, E = Error> = std::result::Result<T, E>;

/// How far a download has come.
#[derive(Clone, Copy, Debug)]
pub struct DownloadProgress<'a> {
    /// The file.
    pub file: &'a str,
    /// How many bytes of it are here.
    pub done: u64,
    /// How many it has, if the server says so.
    pub total: Option<u64>,
}

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// It was here already, and is right.
    Present,
    /// It was fetched.
    New,
}

/// No file of the datasets is larger.
const LARGEST: u64 = 8 << 30;
/// So often in a row a mirror may send nothing.
const ATTEMPTS: u32 = 3;
/// Before the second attempt; four times as long before the third.
const PATIENCE: Duration = Duration::from_millis(500);

/// Fetches what is missing of a dataset into a folder, which is made if there is none. `report` is
/// called as data arrive.
///
/// A broken connection is taken up again where it broke, by this call or a later one; where a mirror
/// fails, the next one goes on. Two calls at once do not disturb each other: the second is an error.
///
/// # Errors
/// If no mirror has a file with the right checksum, or it cannot be written; the message says what
/// each mirror answered.
///
/// ```no_run
/// use gradus_data::{DOWNLOADS, download};
///
/// let mnist = DOWNLOADS.iter().find(|download| download.name == "mnist").unwrap();
/// download(mnist, "data/mnist", |progress| println!("{progress:?}"))?;
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
pub fn download(
    dataset: &Download<'_>,
    folder: impl AsRef<Path>,
    mut report: impl FnMut(DownloadProgress<'_>),
) -> Result<Vec<Fetched>> {
    let folder = folder.as_ref();
    fs::create_dir_all(folder).map_err(|e| of_file(folder, &e, "choose another folder"))?;
    let fetch = |file| Fetch { dataset, file, folder, report: &mut report }.run();
    dataset.files.iter().map(fetch).collect()
}

/// One file on its way.
struct Fetch<'a> {
    dataset: &'a Download<'a>,
    file: &'a RemoteFile<'a>,
    folder: &'a Path,
    report: &'a mut dyn FnMut(DownloadProgress<'_>),
}

/// Why a mirror did not do.
enum Obstacle {
    /// The next one may.
    Mirror(String),
    /// None will.
    Here(Error),
}

impl Fetch<'_> {
    fn run(mut self) -> Result<Fetched> {
        let path = self.folder.join(self.file.name);
        if path.is_file() && md5_of(&path)? == self.file.md5 {
            return Ok(Fetched::Present);
        }
        let part_path = self.folder.join(format!("{}.part", self.file.name));
        let mut part = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&part_path)
            .map_err(|e| of_file(&part_path, &e, "choose another folder"))?;
        part.try_lock().map_err(|_| {
            let why = "another process is fetching this file; wait for it";
            Error::new(ErrorKind::Io, format!("{}: {why}", part_path.display()))
        })?;
        let mut answers = Vec::new();
        for mirror in self.dataset.mirrors {
            let url = format!("{mirror}{}", self.file.name);
            match self.complete(&url, &mut part, &part_path) {
                Ok(()) => {
                    let failed = |e| of_file(&path, &e, "check the disk");
                    fs::rename(&part_path, &path).map_err(failed)?;
                    sync_folder(self.folder);
                    return Ok(Fetched::New);
                }
                Err(Obstacle::Mirror(why)) => answers.push(format!("{url}: {why}")),
                Err(Obstacle::Here(error)) => return Err(error),
            }
        }
        let other = if path.is_file() { " (what is there has another MD5)" } else { "" };
        let message = format!(
            "{}: could not be fetched{other}; {}; try again later (what has come is kept), or put the file \
             there from elsewhere (its MD5 is {})",
            path.display(),
            answers.join("; "),
            self.file.md5
        );
        Err(Error::new(ErrorKind::Io, message))
    }

    /// Completes the part from one place, and checks it.
    fn complete(&mut self, url: &str, part: &mut File, path: &Path) -> Result<(), Obstacle> {
        let here = |e: std::io::Error| Obstacle::Here(of_file(path, &e, "check the disk"));
        let mirror = |why: String| Err(Obstacle::Mirror(why));
        // In a row without data, and from the beginning.
        let (mut idle, mut restarts) = (0, 0);
        let mut resumed = part.metadata().map_err(here)?.len() > 0;
        loop {
            let from = part.seek(SeekFrom::End(0)).map_err(here)?;
            // A part may have been complete when the program was stopped.
            let outcome = match from > 0 && self.is_right(path)? {
                true => Ok(()),
                false => self.transfer(url, part, from),
            };
            match outcome {
                Ok(()) => {
                    part.sync_all().map_err(here)?;
                    if self.is_right(path)? {
                        return Ok(());
                    }
                    part.set_len(0).map_err(here)?;
                    // What was here before may have been of another file.
                    if !resumed || restarts == ATTEMPTS {
                        return mirror(
                            "what it sends has another MD5: another file, or damaged".into(),
                        );
                    }
                    restarts += 1;
                    resumed = false;
                }
                Err(Failure::NoRange) => {
                    if from == 0 || restarts == ATTEMPTS {
                        return mirror("it breaks off, and sends no parts".to_owned());
                    }
                    part.set_len(0).map_err(here)?;
                    restarts += 1;
                    resumed = false;
                }
                Err(Failure::Interrupted(why)) => {
                    let reached = part.metadata().map_err(here)?.len();
                    resumed = true;
                    idle = if reached > from { 0 } else { idle + 1 };
                    if idle == ATTEMPTS {
                        return mirror(why);
                    }
                    thread::sleep(PATIENCE * idle * idle);
                }
                Err(Failure::Refused(why)) => return mirror(why),
                Err(Failure::Disk(e)) => return Err(here(e)),
                Err(Failure::NoCurl(why)) => {
                    let message = format!(
                        "curl: {why}; downloads use this program of the system: install it, or put \
                         {} into {} yourself, from {url}",
                        self.file.name,
                        self.folder.display()
                    );
                    return Err(Obstacle::Here(Error::new(ErrorKind::Io, message)));
                }
            }
        }
    }

    fn is_right(&self, path: &Path) -> Result<bool, Obstacle> {
        md5_of(path).map(|md5| md5 == self.file.md5).map_err(Obstacle::Here)
    }

    /// Appends what a server sends.
    fn transfer(&mut self, url: &str, part: &mut File, from: u64) -> Result<(), Failure> {
        let mut transfer = Transfer::start(url, from)?;
        let (mut done, total) = (from, transfer.total);
        let mut buffer = vec![0; 1 << 16];
        loop {
            let read = transfer.read(&mut buffer);
            let count = read.map_err(|e| Failure::Interrupted(e.to_string()))?;
            if count == 0 {
                return transfer.end();
            }
            part.write_all(&buffer[..count]).map_err(Failure::Disk)?;
            done += count as u64;
            if done > LARGEST {
                return Err(Failure::Refused(format!("it sends more than {LARGEST} bytes")));
            }
            (self.report)(DownloadProgress { file: self.file.name, done, total });
        }
    }
}

/// In hexadecimal digits.
fn md5_of(path: &Path) -> Result<String> {
    let failed = |e| of_file(path, &e, "check the disk");
    let mut file = File::open(path).map_err(failed)?;
    let mut hash = Md5::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer).map_err(failed)? {
            0 => return Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            count => hash.update(&buffer[..count]),
        }
    }
}

/// Makes a new name last. Not every system can; then the name lasts a little later.
fn sync_folder(folder: &Path) {
    let _ = File::open(PathBuf::from(folder)).and_then(|folder| folder.sync_all());
}

fn of_file(path: &Path, error: &std::io::Error, remedy: &str) -> Error {
    Error::new(ErrorKind::Io, format!("{}: {error}; {remedy}", path.display()))
}
