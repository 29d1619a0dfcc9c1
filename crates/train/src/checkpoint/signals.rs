//! Signals that ask a run to save its state.
//!
//! SIGINT (Ctrl-C) and SIGTERM: save and stop; a second one ends the process at once. SIGUSR1:
//! save and go on; where there is nothing to save any more, nothing.
//!
//! Who has something to put in order before the process ends, such as the terminal, [holds](Held) the
//! signals: those that would end it are then left to the holder.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

/// The flags that the handlers set. There is one set for the process, as there is one handler for
/// each signal.
struct Flags {
    interrupt: Arc<AtomicBool>,
    terminate: Arc<AtomicBool>,
    save: Arc<AtomicBool>,
    /// The last of SIGINT and SIGTERM since somebody listened, or 0.
    last: Arc<AtomicUsize>,
    /// Nobody listens, and nobody holds: signals do what they do by default.
    idle: Arc<AtomicBool>,
    /// Whether somebody listens, and how many hold.
    users: Mutex<(bool, usize)>,
}

impl Flags {
    fn get() -> io::Result<&'static Flags> {
        static FLAGS: OnceLock<Flags> = OnceLock::new();
        match FLAGS.get() {
            Some(flags) => Ok(flags),
            None => {
                let installed = install()?;
                Ok(FLAGS.get_or_init(|| installed))
            }
        }
    }

    fn change(&self, change: impl FnOnce(&mut (bool, usize))) {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut users);
        self.idle.store(*users == (false, 0), Ordering::SeqCst);
    }

    fn listen(&self, listens: bool) {
        self.last.store(0, Ordering::SeqCst);
        self.change(|users| users.0 = listens);
    }

    /// The signal that would have ended the process, if nobody held it.
    fn ends(&self) -> Option<i32> {
        let listens = self.users.lock().unwrap_or_else(PoisonError::into_inner).0;
        let last = self.last.load(Ordering::SeqCst);
        i32::try_from(last).ok().filter(|&signal| !listens && signal != 0)
    }
}

/// Listens to signals as long as it lives.
///
/// ```
/// use gradus_train::checkpoint::Signals;
/// let signals = Signals::listen()?;
/// assert_eq!((signals.stop(), signals.take_save()), (None, false));
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Signals {
    flags: &'static Flags,
}

impl Signals {
    /// Begins to listen.
    ///
    /// # Errors
    /// If the handlers cannot be installed.
    pub fn listen() -> io::Result<Signals> {
        let flags = Flags::get()?;
        // One that came a moment ago, and that is held, asks this run to stop.
        if flags.ends().is_none() {
            flags.interrupt.store(false, Ordering::SeqCst);
            flags.terminate.store(false, Ordering::SeqCst);
        }
        flags.save.store(false, Ordering::SeqCst);
        flags.listen(true);
        Ok(Signals { flags })
    }

    /// The name of the signal that asks to stop, if there was one. From then on another one ends
    /// the process at once.
    pub fn stop(&self) -> Option<&'static str> {
        let name = if self.flags.interrupt.load(Ordering::Relaxed) {
            "SIGINT"
        } else if self.flags.terminate.load(Ordering::Relaxed) {
            "SIGTERM"
        } else {
            return None;
        };
        // Once only: one that comes later is not to be forgotten.
        if self.flags.users.lock().unwrap_or_else(PoisonError::into_inner).0 {
            self.flags.listen(false);
        }
        Some(name)
    }

    /// Whether there was a signal that asks to save, since this was last asked.
    pub fn take_save(&self) -> bool {
        self.flags.save.load(Ordering::Relaxed) && self.flags.save.swap(false, Ordering::SeqCst)
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.flags.change(|users| users.0 = false);
    }
}

/// As long as it lives, SIGINT and SIGTERM do not end the process, also where nobody
/// [listens](Signals): the holder asks for them now and then, and ends it by dropping this.
///
/// ```
/// use gradus_train::checkpoint::Held;
/// let held = Held::new()?;
/// if held.ends() {
///     // … give back the terminal, and then:
///     drop(held);
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Held {
    flags: &'static Flags,
}

impl Held {
    /// Begins to hold.
    ///
    /// # Errors
    /// If the handlers cannot be installed.
    pub fn new() -> io::Result<Held> {
        let flags = Flags::get()?;
        flags.change(|users| users.1 += 1);
        Ok(Held { flags })
    }

    /// Whether the process would have ended by now. Training that has been asked to stop, by its
    /// first signal, has not.
    pub fn ends(&self) -> bool {
        self.flags.ends().is_some()
    }
}

/// Does what a signal would have done that came meanwhile.
impl Drop for Held {
    fn drop(&mut self) {
        let ends = self.flags.ends();
        self.flags.change(|users| users.1 -= 1);
        if let Some(signal) = ends {
            // It can only fail for signals that there are not.
            let _ = low_level::emulate_default_handler(signal);
        }
    }
}

fn install() -> io::Result<Flags> {
    let flag = || Arc::new(AtomicBool::new(false));
    let flags = Flags {
        interrupt: flag(),
        terminate: flag(),
        save: flag(),
        last: Arc::default(),
        idle: flag(),
        users: Mutex::default(),
    };
    for (signal, asked) in [(SIGINT, &flags.interrupt), (SIGTERM, &flags.terminate)] {
        flag::register_conditional_default(signal, Arc::clone(&flags.idle))?;
        flag::register(signal, Arc::clone(asked))?;
        flag::register_usize(signal, Arc::clone(&flags.last), signal as usize)?;
    }
    #[cfg(unix)]
    flag::register(signal_hook::consts::SIGUSR1, Arc::clone(&flags.save))?;
    Ok(flags)
}
