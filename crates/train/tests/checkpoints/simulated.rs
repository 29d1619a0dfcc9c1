//! A file system in memory that fails where it is told to, and forgets what was not synced.

use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path};
use std::sync::{Arc, Mutex, MutexGuard};

use gradus_train::checkpoint::{FileSystem, NewFile};

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The operation fails: no space left.
    NoSpace,
    /// From this operation on, whatever writes fails: the disk is full.
    Full,
    /// The operation fails: the device does not answer.
    Broken,
    /// A write takes only some of the bytes, which is allowed.
    Short,
    /// The power goes before the operation.
    PowerLoss,
}

/// What a disk holds after the power has gone: of what was not synced, anything may be there.
#[derive(Clone, Copy, Debug)]
pub enum Survives {
    /// Everything, as after `kill -9`.
    All,
    /// Only what was synced.
    Synced,
    /// Names, but not the content of files.
    Names,
    /// The content of files, but not names.
    Content,
    /// Names, and the first half of what was not synced in each file.
    Torn,
}

pub const SURVIVES: [Survives; 5] =
    [Survives::All, Survives::Synced, Survives::Names, Survives::Content, Survives::Torn];

#[derive(Clone)]
enum Node {
    File { bytes: Vec<u8>, synced: Vec<u8> },
    Folder { names: BTreeMap<String, usize>, synced: BTreeMap<String, usize> },
}

#[derive(Clone)]
struct State {
    nodes: Vec<Node>,
    operations: usize,
    fault: Option<(usize, Fault)>,
    off: bool,
}

/// Clones share the disk.
#[derive(Clone)]
pub struct Simulated(Arc<Mutex<State>>);

impl Simulated {
    /// An empty disk.
    pub fn new() -> Simulated {
        let root = Node::Folder { names: BTreeMap::new(), synced: BTreeMap::new() };
        let state = State { nodes: vec![root], operations: 0, fault: None, off: false };
        Simulated(Arc::new(Mutex::new(state)))
    }

    /// Another disk with the same content.
    pub fn copy(&self) -> Simulated {
        Simulated(Arc::new(Mutex::new(self.state().clone())))
    }

    /// Lets operation `at`, counted from now, go wrong.
    pub fn fail(&self, at: usize, fault: Fault) {
        let mut state = self.state();
        state.operations = 0;
        state.fault = Some((at, fault));
    }

    /// From now on nothing goes wrong. How many operations there have been.
    pub fn heal(&self) -> usize {
        let mut state = self.state();
        state.fault = None;
        state.operations
    }

    /// The power comes back.
    pub fn restart(&self, survives: Survives) {
        let mut state = self.state();
        (state.off, state.fault) = (false, None);
        for node in &mut state.nodes {
            match (node, survives) {
                (_, Survives::All)
                | (Node::File { .. }, Survives::Content)
                | (Node::Folder { .. }, Survives::Names | Survives::Torn) => {}
                (Node::File { bytes, synced }, Survives::Torn) => {
                    let half = synced.len() + (bytes.len() - synced.len()) / 2;
                    bytes.truncate(half);
                }
                (Node::File { bytes, synced }, _) => *bytes = synced.clone(),
                (Node::Folder { names, synced }, _) => *names = synced.clone(),
            }
        }
    }

    /// As long as this lives, every operation waits.
    pub fn hold(&self) -> impl Sized + '_ {
        self.state()
    }

    /// Changes the content of a file behind everybody's back.
    pub fn damage(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.state();
        let id = state.find(path).unwrap();
        match &mut state.nodes[id] {
            Node::File { bytes, .. } => change(bytes),
            Node::Folder { .. } => panic!("{} is a folder", path.display()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl State {
    /// Counts an operation; whether it goes wrong.
    fn operation(&mut self, writes: bool) -> io::Result<Option<Fault>> {
        let number = self.operations;
        self.operations += 1;
        if self.off {
            return Err(io::Error::other("the power is off"));
        }
        match self.fault {
            Some((at, Fault::Full)) if number >= at && writes => {
                Err(io::ErrorKind::StorageFull.into())
            }
            Some((at, fault)) if at == number => match fault {
                Fault::NoSpace => Err(io::ErrorKind::StorageFull.into()),
                Fault::Broken => Err(io::Error::from_raw_os_error(5)),
                Fault::Short => Ok(Some(Fault::Short)),
                Fault::Full => Ok(None),
                Fault::PowerLoss => {
                    self.off = true;
                    Err(io::Error::other("the power has gone"))
                }
            },
            _ => Ok(None),
        }
    }

    fn find(&self, path: &Path) -> io::Result<usize> {
        let mut at = 0;
        for part in path.components() {
            let Component::Normal(name) = part else { continue };
            let names = self.names(at)?;
            at = *names.get(name.to_str().unwrap()).ok_or(io::ErrorKind::NotFound)?;
        }
        Ok(at)
    }

    fn names(&self, id: usize) -> io::Result<&BTreeMap<String, usize>> {
        match &self.nodes[id] {
            Node::Folder { names, .. } => Ok(names),
            Node::File { .. } => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    fn parent(&mut self, path: &Path) -> io::Result<(&mut BTreeMap<String, usize>, String)> {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let id = self.find(path.parent().unwrap())?;
        match &mut self.nodes[id] {
            Node::Folder { names, .. } => Ok((names, name)),
            Node::File { .. } => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    fn add(&mut self, path: &Path, node: Node) -> io::Result<usize> {
        let id = self.nodes.len();
        let (names, name) = self.parent(path)?;
        if names.contains_key(&name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        names.insert(name, id);
        self.nodes.push(node);
        Ok(id)
    }
}

impl FileSystem for Simulated {
    fn make_folder(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.operation(true)?;
        let mut above = Vec::from_iter(path.ancestors());
        above.reverse();
        for folder in above.into_iter().filter(|p| p.file_name().is_some()) {
            if state.find(folder).is_err() {
                let empty = Node::Folder { names: BTreeMap::new(), synced: BTreeMap::new() };
                state.add(folder, empty)?;
            }
        }
        Ok(())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn NewFile>> {
        let mut state = self.state();
        state.operation(true)?;
        let id = state.add(path, Node::File { bytes: Vec::new(), synced: Vec::new() })?;
        Ok(Box::new(Writing { disk: self.clone(), id }))
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.operation(true)?;
        let id = state.find(path)?;
        match &mut state.nodes[id] {
            Node::Folder { names, synced } => *synced = names.clone(),
            Node::File { .. } => return Err(io::ErrorKind::NotADirectory.into()),
        }
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.operation(true)?;
        let id = state.find(from)?;
        let (names, name) = state.parent(to)?;
        if names.contains_key(&name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        names.insert(name, id);
        let (names, name) = state.parent(from)?;
        names.remove(&name);
        Ok(())
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.operation(false)?;
        state.find(path)?;
        let (names, name) = state.parent(path)?;
        names.remove(&name);
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut state = self.state();
        state.operation(false)?;
        let id = state.find(path)?;
        Ok(state.names(id)?.keys().cloned().collect())
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut state = self.state();
        state.operation(false)?;
        let id = state.find(path)?;
        match &state.nodes[id] {
            Node::File { bytes, .. } => Ok(bytes.clone()),
            Node::Folder { .. } => Err(io::ErrorKind::IsADirectory.into()),
        }
    }
}

struct Writing {
    disk: Simulated,
    id: usize,
}

impl NewFile for Writing {
    fn write(&mut self, content: &[u8]) -> io::Result<usize> {
        let mut state = self.disk.state();
        let length = match state.operation(true)? {
            Some(Fault::Short) => content.len().div_ceil(3),
            _ => content.len(),
        };
        match &mut state.nodes[self.id] {
            Node::File { bytes, .. } => bytes.extend_from_slice(&content[..length]),
            Node::Folder { .. } => unreachable!("a file"),
        }
        Ok(length)
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.disk.state();
        state.operation(true)?;
        match &mut state.nodes[self.id] {
            Node::File { bytes, synced } => *synced = bytes.clone(),
            Node::Folder { .. } => unreachable!("a file"),
        }
        Ok(())
    }
}
