#[test]
fn show() {
    use crate::training::*;
    let p = step(64, &[784, 512, 512, 10], Optimizer::Sgd);
    println!("{}", gradus_ir::schedule::compile(&p.graph, &p.donations, |_, _| true));
    let p = step(64, &[784, 512, 512, 10], Optimizer::Adam);
    println!("{}", gradus_ir::schedule::compile(&p.graph, &p.donations, |_, _| true));
}
