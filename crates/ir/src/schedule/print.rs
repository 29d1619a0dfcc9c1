//! What a plan costs, what its kernels are called, and the table that `explain()` prints.

use std::fmt;

use super::{Kernel, Loop, Place, Plan, StepKind, ValueId, View};
use crate::Shape;
use crate::ops::Op;

impl Plan {
    /// Floating-point operations of one run: two per multiply–add of a product, one per element and op of a
    /// loop.
    pub fn flops(&self) -> usize {
        self.kernels.iter().map(|k| self.kernel_flops(k)).sum()
    }

    /// Bytes read and written by one run's kernels.
    pub fn bytes(&self) -> usize {
        self.kernels.iter().map(|k| self.kernel_bytes(k)).sum()
    }

    /// The size of the buffers that hold outputs, in bytes.
    pub fn output_bytes(&self) -> usize {
        let own = self.values.iter().filter(|v| v.place == Place::Output);
        own.map(|v| v.ty.bytes()).sum()
    }

    /// Floating-point operations of one run of a kernel of this plan.
    pub fn kernel_flops(&self, kernel: &Kernel) -> usize {
        match kernel {
            Kernel::MatMul { size, tail, .. } => {
                2 * size.batch * size.m * size.n * size.k + tail.as_deref().map_or(0, loop_flops)
            }
            Kernel::Loop(l) => loop_flops(l),
            Kernel::Op { op, x, outs } => {
                let x: Vec<_> = x.iter().map(|view| &view.shape).collect();
                op.flops(&x, &self.values[outs[0].index()].ty.shape)
            }
            Kernel::Check { .. } => 0,
        }
    }

    /// Bytes that one run of a kernel of this plan reads and writes.
    pub fn kernel_bytes(&self, kernel: &Kernel) -> usize {
        let mut bytes: usize =
            kernel.writes().iter().map(|v| self.values[v.index()].ty.bytes()).sum();
        kernel.for_each_read(|view| {
            let value = &self.values[view.value.index()].ty;
            bytes += value.bytes().min(view.shape.numel() * value.dtype.size());
        });
        bytes
    }

    /// What a kernel of this plan computes, in a few words: `matmul [64, 784]·[784, 512]`.
    pub fn describe(&self, kernel: &Kernel) -> String {
        match kernel {
            Kernel::Loop(l) if self.overwrites(kernel) => {
                format!("update in place: {}", op_names(l))
            }
            Kernel::Loop(l) => describe_loop(l),
            Kernel::MatMul { size, tail, .. } => {
                let batch =
                    if size.batch == 1 { String::new() } else { format!("{} × ", size.batch) };
                let tail = match tail.as_deref() {
                    Some(l) if self.overwrites(kernel) => {
                        format!(", update in place: {}", op_names(l))
                    }
                    Some(l) => format!(", {}", op_names(l)),
                    None => String::new(),
                };
                format!("matmul {batch}[{}, {}]·[{}, {}]{tail}", size.m, size.k, size.k, size.n)
            }
            Kernel::Op { op, x, outs } => {
                let y = &self.values[outs[0].index()].ty.shape;
                if let Some(conv) = describe_conv(op, x, y) {
                    return conv;
                }
                let shapes = x.iter().take(2).map(|view| view.shape.to_string());
                format!("{op} {}", shapes.collect::<Vec<_>>().join(" "))
            }
            Kernel::Check { check, .. } => format!("check {} {}", check.what, check.kind),
        }
    }

    /// Whether a kernel of this plan overwrites a donated input: the update of a parameter, for one.
    pub fn overwrites(&self, kernel: &Kernel) -> bool {
        let donated = |v: ValueId| matches!(self.values[v.index()].place, Place::Donated(_));
        kernel.writes().into_iter().any(donated)
    }

    /// The lines of one wave. Updates that compute the same are one line.
    fn lines(&self, wave: &[usize]) -> Vec<Line> {
        let mut lines = Vec::new();
        let mut updates: Vec<(String, Vec<&Kernel>)> = Vec::new();
        for kernel in wave.iter().map(|&k| &self.kernels[k]) {
            match kernel {
                Kernel::Loop(l) if self.overwrites(kernel) => {
                    let ops = op_names(l);
                    match updates.iter_mut().find(|(same, _)| *same == ops) {
                        Some((_, kernels)) => kernels.push(kernel),
                        None => updates.push((ops, vec![kernel])),
                    }
                }
                _ => lines.push(self.line(self.describe(kernel), &[kernel])),
            }
        }
        lines.extend(updates.into_iter().map(|(ops, kernels)| {
            let what = match kernels.len() {
                1 => self.describe(kernels[0]),
                n => format!("{n} updates in place: {ops}"),
            };
            self.line(what, &kernels)
        }));
        lines
    }

    fn line(&self, what: String, kernels: &[&Kernel]) -> Line {
        let flops = kernels.iter().map(|k| self.kernel_flops(k)).sum();
        let bytes = kernels.iter().map(|k| self.kernel_bytes(k)).sum();
        Line { what, flops, bytes }
    }
}

/// A line of the table.
struct Line {
    what: String,
    flops: usize,
    bytes: usize,
}

fn loop_flops(l: &Loop) -> usize {
    let ops = l.steps.iter().filter(|s| matches!(s.kind, StepKind::Op(_))).count();
    (ops + l.reduces.len()) * l.shape.numel()
}

fn describe_loop(l: &Loop) -> String {
    match op_names(l) {
        ops if ops.is_empty() => format!("copy {}", l.shape),
        ops if l.reduces.is_empty() => format!("loop {} {ops}", l.shape),
        ops => format!("loop {} {ops} over {:?}", l.shape, l.axes.as_slice()),
    }
}

/// `conv 3→6 5×5 [64, 3, 32, 32]`: channels, kernel, and the images that it moves over.
fn describe_conv(op: &Op, x: &[View], y: &Shape) -> Option<String> {
    let (images, weight) = match op {
        Op::Conv(_) | Op::ConvBias(_) => (&x[0].shape, &x[1].shape),
        Op::ConvInputGrad(_) => (y, &x[1].shape),
        Op::ConvInputGradPooled(_) => (y, &x[2].shape),
        Op::ConvWeightGrad(_) | Op::ConvWeightGradPooled(_) => (&x[0].shape, y),
        _ => return None,
    };
    let name = match op {
        Op::ConvBias(c) if c.relu => "conv_bias·relu",
        op => op.name(),
    };
    Some(format!("{name} {}→{} {}×{} {images}", images[1], weight[0], weight[2], weight[3]))
}

/// What a loop computes, in order; of a long list the beginning and the end.
fn op_names(l: &Loop) -> String {
    let steps = l.steps.iter().filter_map(|s| match &s.kind {
        StepKind::Op(op) => Some(op.name()),
        StepKind::Cast => Some("cast"),
        StepKind::Random { .. } => Some("random"),
        _ => None,
    });
    let names: Vec<&str> = steps.chain(l.reduces.iter().map(|r| r.kind.name())).collect();
    match names[..] {
        [a, b, c, _, _, .., y, z] => format!("{a}·{b}·{c}·…·{y}·{z} ({} ops)", names.len()),
        _ => names.join("·"),
    }
}

/// A count to three places, with a decimal prefix: 51.4 M.
fn short(count: usize) -> String {
    let (mut x, mut prefixes) = (count as f64, ["k", "M", "G", "T", "P", "E"].into_iter());
    let mut prefix = "";
    while x >= 999.5 {
        x /= 1000.0;
        prefix = prefixes.next().unwrap_or("");
    }
    match x {
        _ if prefix.is_empty() => format!("{count} "),
        ..9.995 => format!("{x:.2} {prefix}"),
        ..99.95 => format!("{x:.1} {prefix}"),
        _ => format!("{x:.0} {prefix}"),
    }
}

/// One line per kernel, by wave; then the totals.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waves: Vec<Vec<Line>> = self.waves.iter().map(|wave| self.lines(wave)).collect();
        let widths = waves.iter().flatten().map(|line| line.what.chars().count());
        let width = widths.max().unwrap_or(0).max("kernel".len());
        writeln!(f, "wave  {:<width$}  {:>8}  {:>8}", "kernel", "FLOP", "memory")?;
        for (w, lines) in waves.iter().enumerate() {
            for Line { what, flops, bytes } in lines {
                let (flops, bytes) = (short(*flops), short(*bytes) + "B");
                writeln!(f, "{w:>4}  {what:<width$}  {flops:>8}  {bytes:>8}")?;
            }
        }
        let loops = self.kernels.iter().filter(|k| matches!(k, Kernel::Loop(_))).count();
        let overwritten =
            self.values.iter().filter(|v| matches!(v.place, Place::Donated(_))).count();
        writeln!(
            f,
            "{} kernels ({loops} loops) in {} waves: {}FLOP, {}B read and written",
            self.kernels.len(),
            self.waves.len(),
            short(self.flops()),
            short(self.bytes()),
        )?;
        writeln!(
            f,
            "arena {}B, new outputs {}B, {overwritten} input{} overwritten",
            short(self.arena),
            short(self.output_bytes()),
            if overwritten == 1 { "" } else { "s" },
        )
    }
}
