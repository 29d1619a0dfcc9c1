//! Signals that ask a run to save its state.
//!
//! SIGINT (Ctrl-C) and SIGTERM: save and stop; a second one ends the process at once. SIGUSR1:
//! save and go on.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// The flags that the handlers set. There is one set for the process, as there is one handler for
/// each signal.
struct Flags {
    interrupt: Arc<AtomicBool>,
    terminate: Arc<AtomicBool>,
    save: Arc<AtomicBool>,
    /// Nobody listens: signals do what they do by default.
    idle: Arc<AtomicBool>,
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
        static FLAGS: OnceLock<Flags> = OnceLock::new();
        let flags = match FLAGS.get() {
            Some(flags) => flags,
            None => {
                let installed = install()?;
                FLAGS.get_or_init(|| installed)
            }
        };
        for flag in [&flags.interrupt, &flags.terminate, &flags.save, &flags.idle] {
            flag.store(false, Ordering::SeqCst);
        }
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
        self.flags.idle.store(true, Ordering::SeqCst);
        Some(name)
    }

    /// Whether there was a signal that asks to save, since this was last asked.
    pub fn take_save(&self) -> bool {
        self.flags.save.load(Ordering::Relaxed) && self.flags.save.swap(false, Ordering::SeqCst)
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.flags.idle.store(true, Ordering::SeqCst);
    }
}

fn install() -> io::Result<Flags> {
    let flag = || Arc::new(AtomicBool::new(false));
    let flags = Flags { interrupt: flag(), terminate: flag(), save: flag(), idle: flag() };
    for (signal, asked) in [(SIGINT, &flags.interrupt), (SIGTERM, &flags.terminate)] {
        flag::register_conditional_default(signal, Arc::clone(&flags.idle))?;
        flag::register(signal, Arc::clone(asked))?;
    }
    #[cfg(unix)]
    {
        use signal_hook::consts::SIGUSR1;
        flag::register_conditional_default(SIGUSR1, Arc::clone(&flags.idle))?;
        flag::register(SIGUSR1, Arc::clone(&flags.save))?;
    }
    Ok(flags)
}
