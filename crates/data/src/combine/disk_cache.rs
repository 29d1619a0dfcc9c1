//! Samples kept in a file, from run to run.
//!
//! The file is a header, which says whose samples it holds, and records, which are only ever appended:
//! `number u64, length u32, crc of both u32, crc of the content u32, content`. A record is appended under a
//! lock of the file, so that processes do not mix theirs. One that was cut short by a kill is found by the
//! next to append, and overwritten; content that has changed is found by its checksum when it is read,
//! and made again.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, RwLock};

use flate2::Crc;
use gradus_tensor::{Error, ErrorKind, Result};

use super::stored::Store;
use crate::Dataset;
use crate::identity::Identity;

const MAGIC: &[u8; 16] = b"gradus samples 1";
/// Magic, identity, number of samples, and the crc of all that.
const HEADER: u64 = 16 + 16 + 8 + 4;
const RECORD: u64 = 8 + 4 + 4 + 4;
/// Threads read at once if each has a file of its own.
const READERS: usize = 8;

/// A dataset that keeps the samples it has handed out in a file.
#[derive(Debug)]
pub struct DiskCached<D> {
    dataset: D,
    path: PathBuf,
    /// Where each sample is; shared by all threads.
    records: RwLock<Vec<Option<Place>>>,
    writer: Mutex<Writer>,
    readers: Vec<Mutex<File>>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    offset: u64,
    length: u32,
    crc: u32,
}

#[derive(Debug)]
struct Writer {
    file: File,
    /// Where the records end, as far as this process knows.
    end: u64,
    /// The disk is full, or broken: samples are no longer kept.
    given_up: bool,
}

impl<D: Dataset> DiskCached<D>
where
    D::Item: Store,
{
    pub(super) fn new(dataset: D, folder: &Path) -> Result<DiskCached<D>> {
        let mut identity = Identity::default();
        identity.add(std::any::type_name::<D::Item>());
        identity.add((dataset.len() as u64).to_le_bytes());
        dataset.identify(&mut identity);
        let identity = identity.finish();
        fs::create_dir_all(folder).map_err(|e| of_file(folder, &e))?;
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        let name: String = dataset.name().chars().map(plain).take(40).collect();
        let digits: String = identity[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        let path = folder.join(format!("{name}-{digits}.samples"));
        let mut how = OpenOptions::new();
        how.read(true).write(true).create(true).truncate(false);
        let file = how.open(&path).map_err(|e| of_file(&path, &e))?;
        let readers = (0..READERS).map(|_| File::open(&path).map(Mutex::new));
        let readers = readers.collect::<io::Result<_>>().map_err(|e| of_file(&path, &e))?;
        let cached = DiskCached {
            records: RwLock::new(vec![None; dataset.len()]),
            writer: Mutex::new(Writer { file, end: HEADER, given_up: false }),
            readers,
            path,
            dataset,
        };
        cached.begin(&identity).map_err(|e| of_file(&cached.path, &e))?;
        Ok(cached)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Looks through what the file holds, or begins it anew.
    fn begin(&self, identity: &[u8; 16]) -> io::Result<()> {
        let mut header = Vec::with_capacity(HEADER as usize);
        header.extend(MAGIC);
        header.extend(identity);
        header.extend((self.dataset.len() as u64).to_le_bytes());
        header.extend(crc(&[&header]).to_le_bytes());
        let mut writer = lock(&self.writer);
        writer.file.lock()?;
        let outcome = (|| {
            let mut found = Vec::new();
            writer.file.seek(SeekFrom::Start(0))?;
            (&mut writer.file).take(HEADER).read_to_end(&mut found)?;
            if found != header {
                if !found.is_empty() {
                    self.warn("its header is damaged: it is begun anew");
                }
                writer.file.set_len(0)?;
                writer.file.seek(SeekFrom::Start(0))?;
                writer.file.write_all(&header)?;
            }
            self.catch_up(&mut writer)
        })();
        writer.file.unlock()?;
        outcome
    }

    /// Notes the records that others have appended, and cuts off one that is not whole. Under the
    /// file's lock.
    fn catch_up(&self, writer: &mut Writer) -> io::Result<()> {
        let length = writer.file.metadata()?.len();
        let mut records = self.records.write().unwrap_or_else(PoisonError::into_inner);
        if length < writer.end {
            // Somebody has cut it: nothing that was known is sure.
            records.fill(None);
            writer.end = HEADER.min(length);
        }
        while writer.end < length {
            let mut head = [0; RECORD as usize];
            let next = writer.end + RECORD;
            let record = (next <= length).then(|| {
                writer.file.seek(SeekFrom::Start(writer.end))?;
                writer.file.read_exact(&mut head)
            });
            let whole = match record.transpose()? {
                Some(()) => {
                    parse(&head).filter(|(_, place)| next + u64::from(place.length) <= length)
                }
                None => None,
            };
            let Some((number, place)) = whole else {
                self.warn(&format!(
                    "it is damaged or was not finished from offset {} on: what follows is made again",
                    writer.end
                ));
                return writer.file.set_len(writer.end);
            };
            if let Some(slot) = usize::try_from(number).ok().and_then(|n| records.get_mut(n)) {
                *slot = Some(Place { offset: next, ..place });
            }
            writer.end = next + u64::from(place.length);
        }
        Ok(())
    }

    /// A sample from the file.
    fn read(&self, index: usize, place: Place) -> Option<D::Item> {
        let mut content = vec![0; place.length as usize];
        {
            let mut file = lock(&self.readers[index % READERS]);
            file.seek(SeekFrom::Start(place.offset)).ok()?;
            file.read_exact(&mut content).ok()?;
        }
        if crc(&[&content]) != place.crc {
            return None;
        }
        let mut rest = &content[..];
        D::Item::take_from(&mut rest).filter(|_| rest.is_empty())
    }

    /// Appends a sample. That this fails is no reason to stop.
    fn keep(&self, index: usize, sample: &D::Item) {
        let mut content = Vec::new();
        sample.append_to(&mut content);
        let Ok(length) = u32::try_from(content.len()) else { return };
        let mut writer = lock(&self.writer);
        if writer.given_up {
            return;
        }
        let outcome = writer.file.lock().and_then(|()| {
            let appended = self.append(&mut writer, index, length, &content);
            writer.file.unlock().and(appended)
        });
        if let Err(e) = outcome {
            writer.given_up = true;
            self.warn(&format!("{e}: samples are no longer kept"));
        }
    }

    fn append(
        &self,
        writer: &mut Writer,
        index: usize,
        length: u32,
        content: &[u8],
    ) -> io::Result<()> {
        self.catch_up(writer)?;
        // Meanwhile another thread or process may have made it.
        if self.place(index).is_some() {
            return Ok(());
        }
        let crc_of_content = crc(&[content]);
        let mut record = Vec::with_capacity(RECORD as usize + content.len());
        record.extend((index as u64).to_le_bytes());
        record.extend(length.to_le_bytes());
        record.extend(crc(&[&record]).to_le_bytes());
        record.extend(crc_of_content.to_le_bytes());
        record.extend(content);
        writer.file.seek(SeekFrom::Start(writer.end))?;
        if let Err(e) = writer.file.write_all(&record) {
            // What has been written of it must not stand before the next one.
            let _ = writer.file.set_len(writer.end);
            return Err(e);
        }
        let place = Place { offset: writer.end + RECORD, length, crc: crc_of_content };
        writer.end = place.offset + u64::from(length);
        self.set(index, Some(place));
        Ok(())
    }

    fn place(&self, index: usize) -> Option<Place> {
        self.records.read().unwrap_or_else(PoisonError::into_inner)[index]
    }

    fn set(&self, index: usize, place: Option<Place>) {
        self.records.write().unwrap_or_else(PoisonError::into_inner)[index] = place;
    }

    /// A cache repairs itself; but disks that damage files should be known.
    fn warn(&self, what: &str) {
        eprintln!("gradus: {}: {what}", self.path.display());
    }
}

impl<D: Dataset> Dataset for DiskCached<D>
where
    D::Item: Store,
{
    type Item = D::Item;

    fn len(&self) -> usize {
        self.dataset.len()
    }

    fn get(&self, index: usize) -> Result<D::Item> {
        if let Some(place) = self.place(index) {
            if let Some(sample) = self.read(index, place) {
                return Ok(sample);
            }
            self.warn(&format!("{} is damaged: it is made again", self.describe(index)));
            self.set(index, None);
        }
        // Two threads may both make it; they make the same. An error is not kept.
        let sample = self.dataset.get(index)?;
        self.keep(index, &sample);
        Ok(sample)
    }

    fn describe(&self, index: usize) -> String {
        self.dataset.describe(index)
    }

    fn name(&self) -> String {
        self.dataset.name()
    }

    fn identify(&self, identity: &mut Identity) {
        self.dataset.identify(identity);
    }
}

/// A record's number and place, if its head is sound; the offset is the caller's business.
fn parse(head: &[u8; RECORD as usize]) -> Option<(u64, Place)> {
    let mut rest = &head[..];
    let (number, length) = (u64::take_from(&mut rest)?, u32::take_from(&mut rest)?);
    let (of_head, of_content) = (u32::take_from(&mut rest)?, u32::take_from(&mut rest)?);
    let sound = crc(&[&head[..12]]) == of_head;
    sound.then_some((number, Place { offset: 0, length, crc: of_content }))
}

fn crc(parts: &[&[u8]]) -> u32 {
    let mut crc = Crc::new();
    parts.iter().for_each(|part| crc.update(part));
    crc.sum()
}

/// What it guards is sound whatever happened to the thread that held it: a file is looked through
/// again, and a place is set in one step.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn of_file(path: &Path, error: &io::Error) -> Error {
    let message = format!("{}: {error}; choose another folder for the cache", path.display());
    Error::new(ErrorKind::Io, message)
}
