//! What graphs and plans look like to a reader.

use gradus_ir::graph::Graph;
use gradus_ir::schedule::compile;

use crate::plans::{backend, native};
use crate::training::{Optimizer, step};

#[test]
fn a_graph() {
    let program = step(2, &[3, 2], Optimizer::Sgd);
    let expected = "
%0 = input[0] : float32[2, 3]
%1 = input[1] : int64[2]
%2 = check[label below 2](%1) : int64[2]
%3 = input[2] : float32[2, 3]
%4 = input[3] : float32[2]
%5 = permute[[1, 0]](%3) : float32[3, 2]
%6 = matmul(%0, %5) : float32[2, 2]
%7 = add(%6, %4) : float32[2, 2]
%8 = cross_entropy(%7, %2) : float32[2]
%9 = reduce[sum axes=[0]](%8) : float32[]
%10 = const[0.5] : float32[]
%11 = mul(%9, %10) : float32[]
%12 = const[1.0] : float32[]
%13 = mul(%12, %10) : float32[]
%14 = reshape[[1]](%13) : float32[1]
%15 = expand[[2]](%14) : float32[2]
%16 = cross_entropy_grad(%7, %2, %15) : float32[2, 2]
%17 = reduce[sum axes=[0]](%16) : float32[2]
%18 = permute[[1, 0]](%16) : float32[2, 2]
%19 = matmul(%18, %0) : float32[2, 3]
%20 = permute[[1, 0]](%19) : float32[3, 2]
%21 = permute[[1, 0]](%20) : float32[2, 3]
%22 = slot[0] : float32[]
%23 = slot[1] : float32[]
%24 = slot[2] : float32[]
%25 = input[4] : float32[2, 3]
%26 = const[0.9] : float32[]
%27 = mul(%25, %26) : float32[2, 3]
%28 = add(%27, %21) : float32[2, 3]
%29 = mul(%28, %22) : float32[2, 3]
%30 = sub(%3, %29) : float32[2, 3]
%31 = input[5] : float32[2]
%32 = const[0.9] : float32[]
%33 = mul(%31, %32) : float32[2]
%34 = add(%33, %17) : float32[2]
%35 = mul(%34, %22) : float32[2]
%36 = sub(%4, %35) : float32[2]
return %11, %30, %28, %36, %34
";
    assert_eq!(format!("\n{}", program.graph), expected);
}

#[test]
fn a_plan() {
    let program = step(64, &[784, 512, 10], Optimizer::Adam);
    let plan = compile(&program.graph, &program.donations, &backend(native));
    let expected = "
wave  kernel                                                                           FLOP    memory
   0  matmul [64, 784]·[784, 512], add·relu                                          51.4 M   1.94 MB
   0  copy [64]                                                                          0      256 B
   0  check label below 10                                                               0      512 B
   1  matmul [64, 512]·[512, 10], add                                                 656 k    154 kB
   2  cross_entropy [64, 10] [64]                                                    2.56 k   3.33 kB
   2  cross_entropy_grad [64, 10] [64]                                               2.56 k   5.89 kB
   3  loop [64] sum over [0]                                                            64      260 B
   3  loop [64, 10] sum over [0]                                                       640    2.60 kB
   3  matmul [64, 10]·[10, 512], relu_grad                                            688 k    285 kB
   4  loop [] mul                                                                        1        8 B
   4  loop [64, 512] sum over [0]                                                    32.8 k    133 kB
   5  matmul [10, 64]·[64, 512], update in place: mul·mul·add·…·mul·sub (15 ops)      732 k    257 kB
   5  matmul [512, 64]·[64, 784], update in place: mul·mul·add·…·mul·sub (15 ops)    57.4 M   9.97 MB
   5  2 updates in place: mul·mul·add·…·mul·sub (15 ops)                             7.83 k   14.6 kB
15 kernels (7 loops) in 6 waves: 111 MFLOP, 12.8 MB read and written
arena 267 kB, new outputs 4 B, 12 inputs overwritten
";
    assert_eq!(format!("\n{plan}"), expected);
}

#[test]
fn an_empty_plan() {
    let expected = "
wave  kernel      FLOP    memory
0 kernels (0 loops) in 0 waves: 0 FLOP, 0 B read and written
arena 0 B, new outputs 0 B, 0 inputs overwritten
";
    assert_eq!(format!("\n{}", compile(&Graph::new(), &[], &backend(native))), expected);
}
