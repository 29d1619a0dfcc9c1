//! How fast a run goes, and how long it will take.

use std::collections::VecDeque;

/// Seconds over which the speed is measured: long enough to be steady, short enough to be now.
const WINDOW: f64 = 3.0;

/// Marks in the window; more would say no more.
const MARKS: f64 = 30.0;

/// The speed of a run, from what is done at which time. Times are in seconds from any moment on.
///
/// ```
/// let mut pace = gradus_train::Pace::new(0.0, 0);
/// pace.mark(1.0, 20, 640);
/// pace.mark(2.0, 40, 640);
/// assert_eq!(pace.samples_per_second(), Some(640.0));
/// assert_eq!(pace.left(2.0, 100), Some(3.0));
/// ```
#[derive(Clone, Debug)]
pub struct Pace {
    /// Where the run began or went on: its time, and what was done by then.
    start: (f64, u64),
    done: u64,
    samples: u64,
    /// Of the last seconds: the time, and the samples seen by then.
    recent: VecDeque<(f64, u64)>,
}

impl Pace {
    /// A run that begins now, with so much of it done already.
    pub fn new(now: f64, done: u64) -> Pace {
        Pace { start: (now, done), done, samples: 0, recent: VecDeque::from([(now, 0)]) }
    }

    /// So much is done by now, in steps or batches, with so many samples since the last mark.
    pub fn mark(&mut self, now: f64, done: u64, samples: u64) {
        self.done = done;
        self.samples += samples;
        let mark = (now, self.samples);
        match self.recent.len() {
            // The newest mark moves until the next one is due.
            n if n > 1 && now - self.recent[n - 2].0 < WINDOW / MARKS => self.recent[n - 1] = mark,
            _ => self.recent.push_back(mark),
        }
        while self.recent.len() > 2 && self.recent[1].0 <= now - WINDOW {
            self.recent.pop_front();
        }
    }

    /// Samples a second, over the last seconds; none before there is a mark.
    pub fn samples_per_second(&self) -> Option<f64> {
        let ((from, before), (to, after)) = (self.recent.front()?, self.recent.back()?);
        (to > from).then(|| (after - before) as f64 / (to - from))
    }

    /// Seconds until so much is done: all that the run has taken so far, validation and checkpoints
    /// included, says how long the rest will take. None before anything is done.
    pub fn left(&self, now: f64, all: u64) -> Option<f64> {
        let (start, before) = self.start;
        let done = self.done.checked_sub(before).filter(|done| *done > 0)?;
        Some((now - start) / done as f64 * all.saturating_sub(self.done) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_speed_is_that_of_the_last_seconds() {
        let mut pace = Pace::new(0.0, 0);
        assert_eq!((pace.samples_per_second(), pace.left(1.0, 10)), (None, None));
        // A slow start, then 100 times as fast.
        pace.mark(10.0, 1, 10);
        for step in 2..=1000 {
            pace.mark(10.0 + 0.01 * (step - 1) as f64, step, 10);
        }
        let speed = pace.samples_per_second().unwrap();
        assert!((speed - 1000.0).abs() < 1.0, "{speed}");
        assert!(pace.recent.len() <= MARKS as usize + 4, "{}", pace.recent.len());
    }

    #[test]
    fn what_was_done_before_says_nothing_about_the_rest() {
        let mut pace = Pace::new(5.0, 900);
        pace.mark(15.0, 950, 1);
        assert_eq!(pace.left(15.0, 1000), Some(10.0));
        assert_eq!(pace.left(15.0, 900), Some(0.0));
    }
}
