//! The arithmetic of Winograd's minimal filtering for tiles of 6 × 6.
//!
//! A correlation of 6 numbers `d` with 3 numbers `g` has 4 results `y`. As polynomials they are determined by their
//! values at 6 points, and there the correlation is a product, `y = Aᵀ((G g) ⊙ (Bᵀ d))`: 6 multiplications rather than
//! 12, and in two dimensions 36 rather than 144. The points are 0, ±a, ±b and ∞, and with `N` = a²b², 2a²(a² − b²),
//! 2b²(b² − a²) and 1 for them:
//!
//! ```text
//!      a²b²   0    −(a²+b²)  0    1  0        1/N · (1,  0,   0)       1  1   1  1   1  0
//!      0    −ab²   −b²       a    1  0        1/N · (1,  a,  a²)       0  a  −a  b  −b  0
//! Bᵀ = 0     ab²   −b²      −a    1  0    G = 1/N · (1, −a,  a²)  Aᵀ = 0  a²  a² b²  b² 0
//!      0    −a²b   −a²       b    1  0        1/N · (1,  b,  b²)       0  a³ −a³ b³ −b³ 1
//!      0     a²b   −a²      −b    1  0        1/N · (1, −b,  b²)
//!      0    a²b²    0   −(a²+b²)  0  1              (0,  0,   1)
//! ```
//!
//! With 4 numbers `g` and 3 results the same points give the same Bᵀ, a G with a column more (their cubes) and an Aᵀ
//! with a row less: that is the gradient with respect to the weight.
//!
//! The usual ±1 and ±2 lose three bits. With a = 5/8 and b = 3/2, whose squares are exact and whose powers stay near 1,
//! sums over 64 channels of normal numbers have a root-mean-square error of 7.5e-7 of their standard deviation,
//! 4.8e-6 at most, where adding up the products one by one has 4.2e-7 and 3.3e-6; over 500 tiles of a weight
//! gradient 2.0e-6, where adding up has 1.7e-6.
//!
//! (Winograd, *Arithmetic Complexity of Computations*, 1980; Lavin and Gray, "Fast algorithms for convolutional neural
//! networks", CVPR 2016; on the points, Barabasz et al., "Error analysis and improving the accuracy of Winograd
//! convolution for deep neural networks", ACM TOMS 2020.)

use pulp::Simd;

/// The side of a tile of the input, and how many products a tile needs.
pub(super) const SIDE: usize = 6;
pub(super) const POINTS: usize = SIDE * SIDE;
/// The side of a tile of the output.
pub(super) const STEP: usize = 4;

const A: f32 = 0.625;
const B: f32 = 1.5;
const A2: f32 = A * A;
const B2: f32 = B * B;

/// A linear map of `N` numbers to `M`, each in the lanes of a vector.
pub(super) trait Transform<const N: usize, const M: usize> {
    fn apply<S: Simd>(simd: S, x: [S::f32s; N]) -> [S::f32s; M];
}

/// Bᵀ, for the input.
pub(super) struct Input;
/// G, for a weight (of 3), or for a tile of the output's gradient (of 4).
pub(super) struct Filter;
/// Aᵀ, for the output (of 4), or for the weight's gradient (of 3).
pub(super) struct Output;

impl Transform<6, 6> for Input {
    #[inline(always)]
    fn apply<S: Simd>(simd: S, x: [S::f32s; 6]) -> [S::f32s; 6] {
        let add = |k: f32, x, y| simd.mul_add_e_f32s(simd.splat_f32s(k), x, y);
        let (ea, oa) = (add(-B2, x[2], x[4]), add(-B2, x[1], x[3]));
        let (eb, ob) = (add(-A2, x[2], x[4]), add(-A2, x[1], x[3]));
        [
            add(A2 * B2, x[0], add(-(A2 + B2), x[2], x[4])),
            add(A, oa, ea),
            add(-A, oa, ea),
            add(B, ob, eb),
            add(-B, ob, eb),
            add(A2 * B2, x[1], add(-(A2 + B2), x[3], x[5])),
        ]
    }
}

const N0: f32 = 1.0 / (A2 * B2);
const NA: f32 = 1.0 / (2.0 * A2 * (A2 - B2));
const NB: f32 = 1.0 / (2.0 * B2 * (B2 - A2));

impl Transform<3, 6> for Filter {
    #[inline(always)]
    fn apply<S: Simd>(simd: S, x: [S::f32s; 3]) -> [S::f32s; 6] {
        let add = |k: f32, x, y| simd.mul_add_e_f32s(simd.splat_f32s(k), x, y);
        let times = |k: f32, x| simd.mul_f32s(simd.splat_f32s(k), x);
        let ea = add(A2 * NA, x[2], times(NA, x[0]));
        let eb = add(B2 * NB, x[2], times(NB, x[0]));
        [
            times(N0, x[0]),
            add(A * NA, x[1], ea),
            add(-A * NA, x[1], ea),
            add(B * NB, x[1], eb),
            add(-B * NB, x[1], eb),
            x[2],
        ]
    }
}

impl Transform<4, 6> for Filter {
    #[inline(always)]
    fn apply<S: Simd>(simd: S, x: [S::f32s; 4]) -> [S::f32s; 6] {
        let add = |k: f32, x, y| simd.mul_add_e_f32s(simd.splat_f32s(k), x, y);
        let times = |k: f32, x| simd.mul_f32s(simd.splat_f32s(k), x);
        let ea = add(A2 * NA, x[2], times(NA, x[0]));
        let eb = add(B2 * NB, x[2], times(NB, x[0]));
        let oa = add(A2, x[3], x[1]);
        let ob = add(B2, x[3], x[1]);
        [
            times(N0, x[0]),
            add(A * NA, oa, ea),
            add(-A * NA, oa, ea),
            add(B * NB, ob, eb),
            add(-B * NB, ob, eb),
            x[3],
        ]
    }
}

impl Transform<6, 4> for Output {
    #[inline(always)]
    fn apply<S: Simd>(simd: S, x: [S::f32s; 6]) -> [S::f32s; 4] {
        let add = |k: f32, x, y| simd.mul_add_e_f32s(simd.splat_f32s(k), x, y);
        let times = |k: f32, x| simd.mul_f32s(simd.splat_f32s(k), x);
        let (sa, da) = (simd.add_f32s(x[1], x[2]), simd.sub_f32s(x[1], x[2]));
        let (sb, db) = (simd.add_f32s(x[3], x[4]), simd.sub_f32s(x[3], x[4]));
        [
            simd.add_f32s(simd.add_f32s(x[0], sa), sb),
            add(A, da, times(B, db)),
            add(A2, sa, times(B2, sb)),
            add(A * A2, da, add(B * B2, db, x[5])),
        ]
    }
}

impl Transform<6, 3> for Output {
    #[inline(always)]
    fn apply<S: Simd>(simd: S, x: [S::f32s; 6]) -> [S::f32s; 3] {
        let add = |k: f32, x, y| simd.mul_add_e_f32s(simd.splat_f32s(k), x, y);
        let times = |k: f32, x| simd.mul_f32s(simd.splat_f32s(k), x);
        let (sa, da) = (simd.add_f32s(x[1], x[2]), simd.sub_f32s(x[1], x[2]));
        let (sb, db) = (simd.add_f32s(x[3], x[4]), simd.sub_f32s(x[3], x[4]));
        [
            simd.add_f32s(simd.add_f32s(x[0], sa), sb),
            add(A, da, times(B, db)),
            add(A2, sa, add(B2, sb, x[5])),
        ]
    }
}

/// Applies a transform to the columns, then to the rows. `load(i, j)` gives the element of row `i` and column `j`;
/// `store(i, j, y)` takes one of the result.
#[inline(always)]
#[allow(clippy::needless_range_loop)]
pub(super) fn both<S: Simd, T: Transform<N, M>, const N: usize, const M: usize>(
    simd: S,
    load: impl Fn(usize, usize) -> S::f32s,
    store: impl Fn(usize, usize, S::f32s),
) {
    let zero = simd.splat_f32s(0.0);
    let mut half = [[zero; N]; M];
    for j in 0..N {
        let mut column = [zero; N];
        for i in 0..N {
            column[i] = load(i, j);
        }
        let column = T::apply(simd, column);
        for i in 0..M {
            half[i][j] = column[i];
        }
    }
    for i in 0..M {
        let row = T::apply(simd, half[i]);
        for j in 0..M {
            store(i, j, row[j]);
        }
    }
}
