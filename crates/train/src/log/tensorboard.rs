//! Event files as TensorBoard reads them: `tensorboard --logdir runs`.
//!
//! A file is a sequence of TFRecords: the length of the payload (u64), the masked CRC-32C of those
//! eight bytes, the payload, and its masked CRC-32C, all little-endian. A payload is an `Event` in
//! protocol-buffer encoding (`tensorflow/core/util/event.proto`), of which these fields are needed:
//!
//! | message | fields |
//! |---|---|
//! | `Event` | 1 `wall_time` (double), 2 `step` (int64), 3 `file_version` (string), 5 `summary`, 7 `session_log` |
//! | `SessionLog` | 1 `status`: 1 is a start |
//! | `Summary` | 1 `value`, repeated |
//! | `Summary.Value` | 1 `tag` (string), 2 `simple_value` (float) |
//!
//! A run that goes on from a checkpoint begins a file of its own with the start of a session: from its
//! step on, TensorBoard forgets what the files before it say.
//!
//! `tests/interop/tensorboard_events.py` reads such a file with TensorBoard itself.

use gradus_tensor::Result;

use super::environment::unix_seconds;
use super::json_lines::Lines;
use super::{EpochEnd, EvaluationEnd, Flow, Observer, RunEnd, RunStart, StepEnd, ValidationEnd};

/// Writes `events.out.tfevents.…` into the folder of the run.
#[derive(Debug, Default)]
pub struct TensorBoard {
    file: Option<Lines>,
}

impl TensorBoard {
    /// The file is made when the run starts.
    pub fn new() -> TensorBoard {
        TensorBoard::default()
    }

    fn scalars(&mut self, step: u64, scalars: &[(&str, f64)]) -> Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let mut summary = Vec::new();
        for (tag, value) in scalars {
            let mut entry = Vec::new();
            bytes_field(&mut entry, 1, tag.as_bytes());
            key(&mut entry, 2, 5);
            entry.extend((*value as f32).to_le_bytes());
            bytes_field(&mut summary, 1, &entry);
        }
        let mut event = event(unix_seconds());
        key(&mut event, 2, 0);
        varint(&mut event, step);
        bytes_field(&mut event, 5, &summary);
        file.bytes(&record(&event))
    }
}

impl Observer for TensorBoard {
    fn run_start(&mut self, run: &RunStart) -> Result<()> {
        let started = run.environment.started;
        // A run that goes on begins a file of its own.
        let process = std::process::id();
        let name = format!("events.out.tfevents.{}.{process}.gradus", started as u64);
        let mut file = Lines::create(&run.folder, &name)?;
        let mut first = event(started);
        bytes_field(&mut first, 3, b"brain.Event:2");
        file.bytes(&record(&first))?;
        if run.steps_done > 0 {
            let mut start = event(started);
            key(&mut start, 2, 0);
            varint(&mut start, run.steps_done + 1);
            bytes_field(&mut start, 7, &[1 << 3, 1]);
            file.bytes(&record(&start))?;
        }
        self.file = Some(file);
        Ok(())
    }

    fn step_end(&mut self, step: &StepEnd) -> Result<Flow> {
        let mut scalars = vec![("train/loss", step.loss), ("train/lr", step.lr)];
        scalars.extend(step.gradient_norm().map(|norm| ("train/gradient_norm", norm)));
        self.scalars(step.step, &scalars).map(|()| Flow::Continue)
    }

    fn epoch_end(&mut self, epoch: &EpochEnd) -> Result<()> {
        let (name, score) = epoch.metrics.score.named();
        let rate = ("epoch/samples_per_second", epoch.metrics.samples_per_second);
        let score = (&*format!("epoch/{name}"), score);
        self.scalars(epoch.step, &[("epoch/loss", epoch.metrics.loss), score, rate])
    }

    fn validation_end(&mut self, end: &ValidationEnd) -> Result<()> {
        let mut scalars = vec![("validation/loss".to_owned(), end.validation.loss)];
        let score = end.validation.score.map(|score| score.named());
        scalars.extend(score.map(|(name, score)| (format!("validation/{name}"), score)));
        let scalars: Vec<_> = scalars.iter().map(|(tag, value)| (tag.as_str(), *value)).collect();
        self.scalars(end.step, &scalars)
    }

    fn evaluation_end(&mut self, end: &EvaluationEnd) -> Result<()> {
        let mut scalars = vec![("test/loss".to_owned(), end.evaluation.average_loss())];
        scalars.extend(end.evaluation.accuracy().map(|share| ("test/accuracy".to_owned(), share)));
        for metric in &end.metrics {
            let tag = format!("test/{}", metric.name);
            if let Some(number) =
                metric.value.number().filter(|_| !scalars.iter().any(|s| s.0 == tag))
            {
                scalars.push((tag, number));
            }
        }
        let scalars: Vec<_> = scalars.iter().map(|(tag, value)| (tag.as_str(), *value)).collect();
        self.scalars(end.step, &scalars)
    }

    fn run_end(&mut self, _end: &RunEnd) -> Result<()> {
        self.file.as_mut().map_or(Ok(()), Lines::flush)
    }
}

/// An `Event` with nothing but its time.
fn event(wall_time: f64) -> Vec<u8> {
    let mut event = Vec::new();
    key(&mut event, 1, 1);
    event.extend(wall_time.to_le_bytes());
    event
}

/// A field's number and how it is encoded: 0 varint, 1 eight bytes, 2 with a length, 5 four bytes.
fn key(message: &mut Vec<u8>, field: u8, wire_type: u8) {
    message.push(field << 3 | wire_type);
}

fn bytes_field(message: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    key(message, field, 2);
    varint(message, bytes.len() as u64);
    message.extend(bytes);
}

fn varint(message: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        message.push(value as u8 | 0x80);
        value >>= 7;
    }
    message.push(value as u8);
}

fn record(payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u64).to_le_bytes();
    let mut record = length.to_vec();
    record.extend(masked_crc(&length).to_le_bytes());
    record.extend(payload);
    record.extend(masked_crc(payload).to_le_bytes());
    record
}

/// TFRecord's mask: rotated by 15 bits, plus a constant.
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli), a byte at a time.
fn crc32c(bytes: &[u8]) -> u32 {
    static TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut i = 0;
        while i < 256 {
            let mut value = i as u32;
            let mut bit = 0;
            while bit < 8 {
                value = if value & 1 == 1 { value >> 1 ^ 0x82f6_3b78 } else { value >> 1 };
                bit += 1;
            }
            table[i] = value;
            i += 1;
        }
        table
    };
    !bytes.iter().fold(!0, |crc, byte| TABLE[((crc ^ u32::from(*byte)) & 0xff) as usize] ^ crc >> 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_standard() {
        // RFC 3720, B.4.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn numbers_take_seven_bits_a_byte() {
        let mut bytes = Vec::new();
        varint(&mut bytes, 300);
        varint(&mut bytes, 127);
        assert_eq!(bytes, [0xac, 0x02, 0x7f]);
    }
}
