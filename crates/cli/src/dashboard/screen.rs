//! The terminal while a dashboard has it, and giving it back whatever happens.

use std::io::{self, stdout};
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, Once, PoisonError, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};

/// Whether the terminal is the dashboard's.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Held by whoever draws, so that nothing is drawn after the terminal was given back.
static DRAWING: Mutex<()> = Mutex::new(());

/// Takes the terminal: another screen, and keys as they are pressed. A panic gives it back before
/// its message is printed.
pub fn enter() -> io::Result<()> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            leave();
            before(panic);
        }));
    });
    enable_raw_mode()?;
    TAKEN.store(true, Ordering::SeqCst);
    execute!(stdout(), EnterAlternateScreen, Hide)
}

/// Draws, unless the terminal was given back; whether it is still the dashboard's.
pub fn draw(draw: impl FnOnce() -> io::Result<()>) -> io::Result<bool> {
    let _drawing = DRAWING.lock().unwrap_or_else(PoisonError::into_inner);
    let taken = TAKEN.load(Ordering::SeqCst);
    if taken {
        draw()?;
    }
    Ok(taken)
}

/// Gives the terminal back, if it is taken.
pub fn leave() {
    let _drawing = wait();
    if TAKEN.swap(false, Ordering::SeqCst) {
        // There is nobody to tell if the terminal has gone.
        let _ = execute!(stdout(), LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
    }
}

/// Waits for a picture that is being drawn, but not for long: it may be drawing that has panicked,
/// on this very thread.
fn wait() -> Option<MutexGuard<'static, ()>> {
    let since = Instant::now();
    loop {
        match DRAWING.try_lock() {
            Ok(drawing) => return Some(drawing),
            Err(TryLockError::Poisoned(drawing)) => return Some(drawing.into_inner()),
            Err(TryLockError::WouldBlock) if since.elapsed() > Duration::from_millis(300) => {
                return None;
            }
            Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(5)),
        }
    }
}
