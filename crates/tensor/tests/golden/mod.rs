//! What the tests of golden values share: reading numbers, and running every case before failing.

use gradus_tensor::{Tensor, bf16, f16};
use safetensors::{Dtype, SafeTensors};

/// Runs every case, of which there must be more than `least`, and fails with all that went wrong.
pub fn run_cases<C>(
    cases: &[C],
    least: usize,
    id: impl Fn(&C) -> &str,
    run: impl Fn(&C) -> Result<(), String>,
) {
    let n = cases.len();
    assert!(n > least, "{n} cases");
    let fails = |case: &C| run(case).err().map(|e| format!("{}: {e}", id(case)));
    let failures: Vec<String> = cases.iter().filter_map(fails).collect();
    assert!(failures.is_empty(), "{} of {n} failed:\n{}", failures.len(), failures.join("\n"));
}

/// A tensor of a golden file.
pub fn tensor(numbers: &SafeTensors<'_>, name: &str) -> Tensor {
    let view = numbers.tensor(name).unwrap_or_else(|e| panic!("{name}: {e}"));
    let (bytes, shape) = (view.data(), view.shape().to_vec());
    macro_rules! read {
        ($t:ty) => {{
            let items = bytes.chunks_exact(size_of::<$t>());
            let data: Vec<$t> = items.map(|b| <$t>::from_le_bytes(b.try_into().unwrap())).collect();
            Tensor::from_vec(data, shape)
        }};
    }
    match view.dtype() {
        Dtype::BOOL => {
            Tensor::from_vec(bytes.iter().map(|&b| b != 0).collect::<Vec<bool>>(), shape)
        }
        Dtype::U8 => Tensor::from_slice(bytes, shape),
        Dtype::I32 => read!(i32),
        Dtype::I64 => read!(i64),
        Dtype::F16 => read!(f16),
        Dtype::BF16 => read!(bf16),
        Dtype::F32 => read!(f32),
        Dtype::F64 => read!(f64),
        other => panic!("{name}: {other:?}"),
    }
}
