//! What a plan costs, and the table that `explain()` prints.

use std::fmt;

use super::{Kernel, Loop, Place, Plan, StepKind};

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

    fn kernel_flops(&self, kernel: &Kernel) -> usize {
        match kernel {
            Kernel::MatMul { size, .. } => 2 * size.batch * size.m * size.n * size.k,
            Kernel::Loop(l) => {
                let ops = l.steps.iter().filter(|s| matches!(s.kind, StepKind::Op(_))).count();
                (ops + l.reduces.len()) * l.shape.numel()
            }
            Kernel::CrossEntropy { logits, .. } | Kernel::CrossEntropyGrad { logits, .. } => {
                4 * logits.shape.numel()
            }
            Kernel::ScatterAdd { source, .. } => source.shape.numel(),
            _ => 0,
        }
    }

    fn kernel_bytes(&self, kernel: &Kernel) -> usize {
        let mut bytes: usize =
            kernel.writes().iter().map(|v| self.values[v.index()].ty.bytes()).sum();
        kernel.for_each_read(|view| {
            let value = &self.values[view.value.index()].ty;
            bytes += value.bytes().min(view.shape.numel() * value.dtype.size());
        });
        bytes
    }

    fn describe(&self, kernel: &Kernel) -> String {
        match kernel {
            Kernel::Loop(l) => describe_loop(l),
            Kernel::MatMul { size, .. } => {
                let batch =
                    if size.batch == 1 { String::new() } else { format!("{} × ", size.batch) };
                format!("matmul {batch}[{}, {}]·[{}, {}]", size.m, size.k, size.k, size.n)
            }
            Kernel::Gather { index, axis, .. } => format!("gather axis {axis} {}", index.shape),
            Kernel::ScatterAdd { source, axis, .. } => {
                format!("scatter_add axis {axis} {}", source.shape)
            }
            Kernel::ArgMax { x, axis, .. } => format!("argmax axis {axis} of {}", x.shape),
            Kernel::Concat { parts, axis, .. } => format!("cat {} parts axis {axis}", parts.len()),
            Kernel::Pad { x, .. } => format!("pad {}", x.shape),
            Kernel::CrossEntropy { logits, .. } => format!("cross_entropy {}", logits.shape),
            Kernel::CrossEntropyGrad { logits, .. } => {
                format!("cross_entropy_grad {}", logits.shape)
            }
            Kernel::Check { check, .. } => format!("check {} {}", check.what, check.kind),
        }
    }

    fn overwrites(&self, kernel: &Kernel) -> bool {
        let donated = |v: super::ValueId| matches!(self.values[v.index()].place, Place::Donated(_));
        kernel.writes().into_iter().any(donated)
    }
}

fn describe_loop(l: &Loop) -> String {
    let mut names: Vec<&str> = l
        .steps
        .iter()
        .filter_map(|s| match &s.kind {
            StepKind::Op(op) => Some(op.name()),
            StepKind::Cast => Some("cast"),
            StepKind::Random { .. } => Some("random"),
            _ => None,
        })
        .collect();
    names.extend(l.reduces.iter().map(|r| r.kind.name()));
    let ops = if names.is_empty() { "copy".to_owned() } else { names.join("·") };
    let over =
        if l.reduces.is_empty() { String::new() } else { format!(" over {:?}", l.axes.as_slice()) };
    format!("loop {} {ops}{over}", l.shape)
}

/// One line per kernel, by wave; then the totals.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:>4}  {:<60} {:>12} {:>12}", "wave", "kernel", "FLOPs", "bytes")?;
        for (w, wave) in self.waves.iter().enumerate() {
            for &k in wave {
                let kernel = &self.kernels[k];
                let mut what = self.describe(kernel);
                if self.overwrites(kernel) {
                    what.push_str(" (in place)");
                }
                if what.chars().count() > 60 {
                    what = what.chars().take(59).chain(['…']).collect();
                }
                let (flops, bytes) = (self.kernel_flops(kernel), self.kernel_bytes(kernel));
                writeln!(f, "{w:>4}  {what:<60} {flops:>12} {bytes:>12}")?;
            }
        }
        let loops = self.kernels.iter().filter(|k| matches!(k, Kernel::Loop(_))).count();
        writeln!(
            f,
            "{} kernels ({loops} fused loops) in {} waves, {} FLOPs, {} bytes moved, arena {} bytes, outputs {} bytes",
            self.kernels.len(),
            self.waves.len(),
            self.flops(),
            self.bytes(),
            self.arena,
            self.output_bytes()
        )
    }
}
