//! A run watched live in a terminal: `gradus train --tui`.
//!
//! The dashboard is an [`Observer`] that draws from the training thread, ten times a second at most
//! and only between steps, so that watching changes no bit and costs little. It takes the terminal
//! when the run starts and gives it back when it is dropped, also in a panic.
//!
//! `q` closes it and the run goes on; `s` or Ctrl-C end training after the step at hand, and the
//! model is saved and evaluated as always.

mod curve;
mod view;

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use gradus_tensor::{Error, ErrorKind, Result};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use self::view::State;
use crate::log::{EpochEnd, EvaluationEnd, Flow, Observer, RunStart, StepEnd};

/// The time between two drawings.
const EVERY: Duration = Duration::from_millis(100);

/// Draws the run in the terminal of the standard output.
#[derive(Default)]
pub struct Dashboard {
    terminal: Option<DefaultTerminal>,
    state: Option<State>,
    drawn: Option<Instant>,
}

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Close,
    Stop,
}

impl Dashboard {
    /// A dashboard that takes the terminal when the run starts.
    ///
    /// # Errors
    /// If the standard output is no terminal.
    pub fn new() -> Result<Dashboard> {
        if io::stdout().is_terminal() && io::stdin().is_terminal() {
            return Ok(Dashboard::default());
        }
        let message = "the dashboard needs a terminal, and this is none; leave out --tui";
        Err(Error::new(ErrorKind::Usage, message))
    }

    /// Draws, if it is time, and does what keys ask for.
    fn refresh(&mut self, now: bool) -> Flow {
        let due = self.drawn.is_none_or(|drawn| drawn.elapsed() >= EVERY);
        if !due && !now {
            return Flow::Continue;
        }
        self.drawn = Some(Instant::now());
        let (Some(terminal), Some(state)) = (&mut self.terminal, &self.state) else {
            return Flow::Continue;
        };
        // A terminal that has gone away ends the dashboard, not the run.
        let wish = match terminal.draw(|frame| state.draw(frame)).and_then(|_| pressed()) {
            Ok(wish) => wish,
            Err(_) => Some(Wish::Close),
        };
        if wish.is_some() {
            self.close();
        }
        if wish == Some(Wish::Stop) { Flow::Stop } else { Flow::Continue }
    }

    fn close(&mut self) {
        if self.terminal.take().is_some() {
            ratatui::restore();
        }
    }
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        self.close();
    }
}

impl Observer for Dashboard {
    fn run_start(&mut self, run: &RunStart) -> Result<()> {
        self.state = Some(State::new(run));
        self.terminal = Some(ratatui::try_init().map_err(|error| {
            let message = format!("cannot draw in this terminal: {error}; leave out --tui");
            Error::new(ErrorKind::Io, message)
        })?);
        self.refresh(true);
        Ok(())
    }

    fn step_end(&mut self, step: &StepEnd) -> Result<Flow> {
        if let Some(state) = &mut self.state {
            state.step(step);
        }
        Ok(self.refresh(false))
    }

    fn epoch_end(&mut self, epoch: &EpochEnd) -> Result<()> {
        if let Some(state) = &mut self.state {
            state.epoch(epoch);
        }
        // There is no step to stop after: the wish is heard at the next one.
        self.refresh(false);
        Ok(())
    }

    fn evaluation_end(&mut self, evaluation: &EvaluationEnd) -> Result<()> {
        if let Some(state) = &mut self.state {
            state.evaluation(evaluation);
        }
        self.refresh(true);
        Ok(())
    }
}

/// What the keys pressed since the last look ask for.
fn pressed() -> io::Result<Option<Wish>> {
    let mut wish = None;
    while event::poll(Duration::ZERO)? {
        if let Event::Key(key) = event::read()? {
            wish = wish.or(meaning(key));
        }
    }
    Ok(wish)
}

fn meaning(key: KeyEvent) -> Option<Wish> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    match key.code {
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Some(Wish::Stop),
        KeyCode::Char('s') => Some(Wish::Stop),
        KeyCode::Char('q') | KeyCode::Esc => Some(Wish::Close),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_understood() {
        let key = |code, modifiers| meaning(KeyEvent::new(code, modifiers));
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Wish::Stop));
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::NONE), None);
        assert_eq!(key(KeyCode::Char('s'), KeyModifiers::NONE), Some(Wish::Stop));
        assert_eq!(key(KeyCode::Char('q'), KeyModifiers::NONE), Some(Wish::Close));
    }
}
