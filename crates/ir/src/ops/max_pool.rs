//! The greatest element of each window of a plane.

use smallvec::smallvec;

use super::{Grads, Primitive, Sample, SampleInput, Vjp, Window, one};
use crate::array::ravel;
use crate::graph::Expr;
use crate::{Array, DType, Shape, Type, Values};

/// How windows move over a plane. Each pair is (rows, columns).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PoolGeometry {
    /// The sizes of a window.
    pub size: [usize; 2],
    /// From one window to the next.
    pub stride: [usize; 2],
    /// Places before and after the plane that hold nothing. Every window must reach a place of the plane.
    pub padding: [[usize; 2]; 2],
    /// From one element of a window to the next.
    pub dilation: [usize; 2],
}

/// The greatest element of each window: `[n, c, h, w]` → `[n, c, oh, ow]`. NaN counts as the greatest; of equal
/// elements the first wins and takes the whole gradient.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MaxPool(pub PoolGeometry);

/// Where in its plane, counted row by row, the greatest element of each window lies: int64 `[n, c, oh, ow]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MaxPoolIndices(pub PoolGeometry);

/// The gradient of [`MaxPool`] with respect to its input: places as [`MaxPoolIndices`] gives them, gradient
/// `[n, c, oh, ow]` → `[n, c, h, w]`. Each element of the gradient is added at its place.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MaxPoolGrad {
    /// The plane `[h, w]`.
    pub input: [usize; 2],
}

impl PoolGeometry {
    /// The output plane, or why there is none.
    pub fn output(&self, input: [usize; 2]) -> Result<[usize; 2], String> {
        let mut output = [0; 2];
        for i in 0..2 {
            let (size, step, dilation) = (self.size[i], self.stride[i], self.dilation[i]);
            if size == 0 || step == 0 || dilation == 0 {
                return Err(format!(
                    "max_pool: window {:?}, stride {:?} and dilation {:?} must be at least 1",
                    self.size, self.stride, self.dilation
                ));
            }
            let window = Window { axis: i, size, step, dilation };
            let padded = input[i] + self.padding[i][0] + self.padding[i][1];
            output[i] = window.count(padded).ok_or_else(|| {
                format!(
                    "max_pool: a window of {:?} with dilation {:?} spans {} elements, but the plane {input:?} \
                     with padding has only {padded}",
                    self.size,
                    self.dilation,
                    window.span(),
                )
            })?;
            let last = output[i] - 1;
            // Between the first and the last only windows whose elements are so far apart that they step over the plane.
            let between = if dilation > input[i] { 1..last } else { 0..0 };
            let lonely = |window: usize| {
                (0..size).all(|k| {
                    let at = window * step + k * dilation;
                    at < self.padding[i][0] || at >= self.padding[i][0] + input[i]
                })
            };
            if lonely(0) || lonely(last) || between.into_iter().any(lonely) {
                return Err(format!(
                    "max_pool: padding {:?} is too large for a window of {:?}: some windows would lie wholly \
                     in the padding; pad at most half the window",
                    self.padding, self.size
                ));
            }
        }
        Ok(output)
    }

    fn infer(&self, name: &str, x: &[&Type], dtype: Option<DType>) -> Result<Type, String> {
        let x = one(name, x)?;
        if x.shape.rank() != 4 {
            return Err(format!(
                "{name}: expected [batch, channels, height, width], not {}",
                x.shape
            ));
        }
        let [oh, ow] = self.output([x.shape[2], x.shape[3]])?;
        Ok(Type { shape: [x.shape[0], x.shape[1], oh, ow].into(), dtype: dtype.unwrap_or(x.dtype) })
    }

    fn attributes(&self) -> String {
        let mut all = format!("size={:?} stride={:?}", self.size, self.stride);
        if self.padding != [[0; 2]; 2] {
            all += &format!(" padding={:?}", self.padding);
        }
        if self.dilation != [1; 2] {
            all += &format!(" dilation={:?}", self.dilation);
        }
        all
    }

    /// The places of the plane under one window along one axis.
    pub fn places(
        &self,
        axis: usize,
        at: usize,
        extent: usize,
    ) -> impl Iterator<Item = usize> + use<> {
        let (first, step) = (at * self.stride[axis], self.dilation[axis]);
        let before = self.padding[axis][0];
        (0..self.size[axis])
            .map(move |k| first + k * step)
            .filter(move |p| (before..before + extent).contains(p))
            .map(move |p| p - before)
    }
}

impl Primitive for MaxPool {
    const NAME: &'static str = "max_pool";
    const CONTIGUOUS: bool = true;

    fn infer(&self, x: &[&Type]) -> Result<Type, String> {
        self.0.infer(Self::NAME, x, None)
    }

    fn has_body(&self) -> bool {
        true
    }

    fn body<'g>(&self, x: &[Expr<'g>]) -> Option<Expr<'g>> {
        let index = x[0].apply(MaxPoolIndices(self.0.clone()), &[]);
        let flat = |shape: &Shape| Shape::from([shape[0], shape[1], shape[2] * shape[3]]);
        let planes = x[0].reshape(flat(&x[0].shape()));
        Some(planes.gather(2, index.reshape(flat(&index.shape()))).reshape(index.shape()))
    }

    fn vjp<'g>(&self, v: &Vjp<'_, 'g>) -> Option<Grads<'g>> {
        let (x, shape) = (v.x[0], v.x[0].shape());
        let places = x.apply(MaxPoolIndices(self.0.clone()), &[]);
        let grad = MaxPoolGrad { input: [shape[2], shape[3]] };
        Some(smallvec![Some(places.apply(grad, &[v.dy]))])
    }

    fn attributes(&self) -> String {
        self.0.attributes()
    }

    fn samples() -> Vec<Sample> {
        cases().map(|(g, x)| Sample::unary(MaxPool(g), x)).collect()
    }
}

impl Primitive for MaxPoolIndices {
    const NAME: &'static str = "max_pool_indices";
    const CONTIGUOUS: bool = true;

    fn infer(&self, x: &[&Type]) -> Result<Type, String> {
        self.0.infer(Self::NAME, x, Some(DType::I64))
    }

    fn reference(&self, x: &[&Array], ty: &Type) -> Result<Array, super::CheckFailure> {
        let shape = x[0].shape();
        let (h, w) = (shape[2], shape[3]);
        let leads = |i: usize, j: usize| match x[0].values() {
            Values::Float(v) => v[i] > v[j] || (v[i].is_nan() && !v[j].is_nan()),
            Values::Int(v) => v[i] > v[j],
        };
        let mut y = Vec::with_capacity(ty.shape.numel());
        crate::array::for_each_index(&ty.shape, |at| {
            let plane = ravel(shape, &[at[0], at[1], 0, 0]);
            let mut best = None;
            for i in self.0.places(0, at[2], h) {
                for j in self.0.places(1, at[3], w) {
                    let place = i * w + j;
                    if best.is_none_or(|best| leads(plane + place, plane + best)) {
                        best = Some(place);
                    }
                }
            }
            y.push(best.unwrap_or(0) as i64);
        });
        Ok(Array::int(ty.clone(), y))
    }

    fn attributes(&self) -> String {
        self.0.attributes()
    }

    fn samples() -> Vec<Sample> {
        cases().map(|(g, x)| Sample::unary(MaxPoolIndices(g), x)).collect()
    }
}

impl Primitive for MaxPoolGrad {
    const NAME: &'static str = "max_pool_grad";
    const CONTIGUOUS: bool = true;

    fn infer(&self, x: &[&Type]) -> Result<Type, String> {
        let [places, dy] = x else {
            return Err(format!("max_pool_grad takes places and a gradient, not {}", x.len()));
        };
        if places.dtype != DType::I64 || places.shape != dy.shape || dy.shape.rank() != 4 {
            return Err(format!("max_pool_grad: places {places} and gradient {dy} do not fit"));
        }
        let [h, w] = self.input;
        Ok(Type { shape: [dy.shape[0], dy.shape[1], h, w].into(), dtype: dy.dtype })
    }

    fn has_body(&self) -> bool {
        true
    }

    fn body<'g>(&self, x: &[Expr<'g>]) -> Option<Expr<'g>> {
        let (places, dy, [h, w]) = (x[0], x[1], self.input);
        let shape = dy.shape();
        let flat = Shape::from([shape[0], shape[1], shape[2] * shape[3]]);
        let zeros = dy.constant(0.0).expand([shape[0], shape[1], h * w].into());
        let sum = zeros.scatter_add(2, places.reshape(flat.clone()), dy.reshape(flat));
        Some(sum.reshape([shape[0], shape[1], h, w].into()))
    }

    fn attributes(&self) -> String {
        format!("input={:?}", self.input)
    }

    fn flops(&self, x: &[&Shape], _: &Shape) -> usize {
        x[1].numel()
    }

    fn samples() -> Vec<Sample> {
        let of = |input: [usize; 2], shape| {
            let places = SampleInput::index::<4>(shape, input[0] * input[1]);
            Sample::new(MaxPoolGrad { input }, vec![places, SampleInput::float(shape)])
        };
        vec![of([5, 7], [2, 3, 2, 3]), of([2, 2], [1, 1, 4, 4]), of([3, 3], [0, 2, 1, 1])]
    }
}

fn cases() -> impl Iterator<Item = (PoolGeometry, [usize; 4])> {
    let of = |size, stride, padding, dilation| PoolGeometry { size, stride, padding, dilation };
    [
        (of([2, 2], [2, 2], [[0; 2]; 2], [1, 1]), [2, 3, 6, 8]),
        (of([3, 2], [1, 2], [[1, 1], [0, 1]], [1, 1]), [1, 2, 5, 7]),
        (of([2, 2], [2, 2], [[0; 2]; 2], [2, 1]), [2, 1, 7, 5]),
        (of([1, 3], [1, 2], [[0; 2], [1, 1]], [1, 1]), [1, 1, 1, 40]),
        (of([2, 2], [2, 2], [[0; 2]; 2], [1, 1]), [0, 1, 4, 4]),
        (of([1, 1], [1, 1], [[0; 2]; 2], [1, 1]), [1, 1, 1, 1]),
    ]
    .into_iter()
}
