//! `gradus train --tui`: a run on the whole terminal, with its curves.
//!
//! The dashboard is one more observer of the run. What it is told becomes [`State`]; a thread of its
//! own draws it (`view`) four times a second at most and listens to the keys; a slow terminal does not
//! make training wait. The terminal is given back whatever happens (`screen`): at the end, by
//! an error, a panic or a signal.

mod charts;
mod curve;
mod screen;
mod state;
#[cfg(test)]
mod tests;
mod view;

use std::io::{self, IsTerminal, stdout};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use gradus::train::checkpoint::Held;
use gradus::train::log::{EpochEnd, EvaluationEnd, Flow, Observer, RunStart, StepEnd};
use gradus::train::{Backlog, Config};
use gradus::{Error, ErrorKind, Result};
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::{Frame, Terminal};
use signal_hook::consts::SIGINT;
use signal_hook::low_level::raise;

use self::state::{Phase, State};

/// The time between two pictures.
const EVERY: Duration = Duration::from_millis(250);

/// Shows a run on the whole terminal, from its start to its end.
pub struct Dashboard {
    config: Config,
    backlog: Backlog,
    shown: Option<Shown>,
}

/// A dashboard that is on the terminal.
struct Shown {
    state: Arc<Mutex<State>>,
    since: Instant,
    over: Arc<AtomicBool>,
    drawing: Option<JoinHandle<io::Result<()>>>,
}

impl Dashboard {
    /// Of a run with this configuration. Lines that go through the backlog wait until the terminal
    /// is given back.
    ///
    /// # Errors
    /// If the standard output is no terminal.
    pub fn new(config: &Config, backlog: &Backlog) -> Result<Dashboard> {
        if !stdout().is_terminal() {
            let message = "--tui draws on the terminal, and the standard output is none; leave out \
                           --tui, or do not redirect the output";
            return Err(Error::new(ErrorKind::Usage, message));
        }
        Ok(Dashboard { config: config.clone(), backlog: backlog.clone(), shown: None })
    }

    /// Changes what is shown.
    fn update(&self, change: impl FnOnce(&mut State)) {
        if let Some(shown) = &self.shown {
            let mut state = lock(&shown.state);
            state.now = shown.since.elapsed().as_secs_f64();
            change(&mut state);
        }
    }
}

impl Observer for Dashboard {
    fn run_start(&mut self, run: &RunStart) -> Result<()> {
        let state = Arc::new(Mutex::new(State::new(&self.config, run)));
        let (since, over) = (Instant::now(), Arc::new(AtomicBool::new(false)));
        self.backlog.hold();
        let cannot = |error: io::Error| {
            let message = format!("cannot draw on the terminal: {error}; leave out --tui");
            Error::new(ErrorKind::Io, message)
        };
        let drawing = {
            let (state, over, backlog) = (state.clone(), over.clone(), self.backlog.clone());
            // A signal that ends the process waits until the terminal was given back.
            Held::new().and_then(|held| {
                let draw = move || {
                    let drawn = drawing(&state, since, &over, &held);
                    screen::leave();
                    if held.ends() {
                        backlog.release();
                    }
                    drawn
                };
                screen::enter()?;
                thread::Builder::new().name("dashboard".to_owned()).spawn(draw)
            })
        };
        self.shown = Some(Shown { state, since, over, drawing: None });
        if let Some(shown) = &mut self.shown {
            shown.drawing = Some(drawing.map_err(cannot)?);
        }
        Ok(())
    }

    fn step_end(&mut self, step: &StepEnd) -> Result<Flow> {
        self.update(|state| state.step_end(step));
        Ok(Flow::Continue)
    }

    fn epoch_end(&mut self, epoch: &EpochEnd) -> Result<()> {
        self.update(|state| state.epoch_end(epoch));
        Ok(())
    }

    fn evaluation_end(&mut self, end: &EvaluationEnd) -> Result<()> {
        self.update(|state| state.evaluation_end(end));
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        self.update(State::checkpoint_begins);
        Ok(())
    }

    fn checkpoint(&mut self, name: &str) -> Result<()> {
        self.update(|state| state.checkpoint(name));
        Ok(())
    }

    fn warning(&mut self, warning: &str) -> Result<()> {
        self.update(|state| state.warning(warning));
        Ok(())
    }
}

/// The terminal is given back, and what has waited is printed.
impl Drop for Dashboard {
    fn drop(&mut self) {
        let Some(shown) = self.shown.take() else { return };
        shown.over.store(true, Ordering::Relaxed);
        let drawn = shown.drawing.map_or(Ok(Ok(())), JoinHandle::join);
        screen::leave();
        self.backlog.release();
        if let Ok(Err(error)) = drawn {
            eprintln!("warning: the dashboard has stopped: {error}; the run has not");
        }
    }
}

/// Draws and listens to keys until the run is over, a signal ends it, or the terminal was given back.
fn drawing(state: &Mutex<State>, since: Instant, over: &AtomicBool, held: &Held) -> io::Result<()> {
    let mut terminal = Terminal::new(CrosstermBackend::new(stdout()))?;
    while !over.load(Ordering::Relaxed) && !held.ends() {
        let drawn = screen::draw(|| {
            let picture = |frame: &mut Frame<'_>| {
                let mut state = lock(state);
                state.now = since.elapsed().as_secs_f64();
                view::draw(frame, &state);
            };
            terminal.draw(picture).map(|_| ())
        })?;
        if !drawn {
            break;
        }
        let next = Instant::now() + EVERY;
        while event::poll(next.saturating_duration_since(Instant::now()))? {
            if let Event::Key(key) = event::read()? {
                press(key, state)?;
            }
        }
    }
    Ok(())
}

/// Keys do what signals do: the run knows nothing of a dashboard.
fn press(key: KeyEvent, state: &Mutex<State>) -> io::Result<()> {
    if key.kind != KeyEventKind::Press {
        return Ok(());
    }
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    match key.code {
        KeyCode::Char('c') if control => {
            // The second one ends the process at once, and so does any when nothing is trained.
            lock(state).phase = Phase::Stopping;
            raise(SIGINT)
        }
        KeyCode::Char('q') if lock(state).phase == Phase::Training => {
            lock(state).phase = Phase::Stopping;
            raise(SIGINT)
        }
        #[cfg(unix)]
        KeyCode::Char('s') if lock(state).phase == Phase::Training => {
            raise(signal_hook::consts::SIGUSR1)
        }
        _ => Ok(()),
    }
}

/// What was shown before a panic is as good as any.
fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
