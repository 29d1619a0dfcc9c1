//! `#[derive(Module)]` on every shape of type.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::rc::Rc;

use gradus_nn::{Dropout, Layer, Linear, Mode, Module, Parameter, Part, Variable, Visitor};
use gradus_tensor::{DType, Tensor};

fn names(module: &impl Module) -> Vec<String> {
    module.state_dict().into_iter().map(|(name, _)| name).collect()
}

fn modes(module: &impl Module) -> Vec<bool> {
    let mut found = Vec::new();
    module.visit(&mut Visitor::new(&mut |_, part| {
        if let Part::Mode(mode) = part {
            found.push(mode.is_training());
        }
    }));
    found
}

fn linear() -> Linear {
    Linear::new(2, 2)
}

#[derive(Module)]
#[module(crate = gradus_nn)]
struct Block {
    first: Linear,
    second: Option<Linear>,
    dropout: Dropout,
}

impl Block {
    fn new(second: bool) -> Block {
        Block { first: linear(), second: second.then(linear), dropout: Dropout::new(0.5) }
    }
}

#[test]
fn nested_lists_and_options() {
    #[derive(Module)]
    #[module(crate = gradus_nn)]
    struct Net {
        blocks: Vec<Block>,
        scale: Parameter,
        mean: Variable,
        depth: usize,
        name: String,
        #[module(skip)]
        calls: Cell<usize>,
    }
    let net = Net {
        blocks: vec![Block::new(true), Block::new(false)],
        scale: Parameter::new(Tensor::ones([1], DType::F32)),
        mean: Variable::new(Tensor::zeros([1], DType::F32)),
        depth: 2,
        name: "net".to_owned(),
        calls: Cell::new(0),
    };
    net.calls.set(net.depth + net.name.len());
    assert_eq!(
        names(&net),
        [
            "blocks.0.first.weight",
            "blocks.0.first.bias",
            "blocks.0.second.weight",
            "blocks.0.second.bias",
            "blocks.1.first.weight",
            "blocks.1.first.bias",
            "scale",
            "mean",
        ]
    );
    assert_eq!(net.parameters().len(), 7);
    assert_eq!(net.buffers().len(), 1);
    assert_eq!(net.num_parameters(), 3 * (4 + 2) + 1);
    assert_eq!(modes(&net), [true, true]);
    net.eval();
    assert_eq!(modes(&net), [false, false]);
    net.blocks[1].train(true);
    assert_eq!(modes(&net), [false, true]);
}

#[test]
fn tuple_structs_and_containers() {
    #[derive(Module)]
    #[module(crate = gradus_nn)]
    struct Pair(Linear, #[module(skip)] Cell<u8>, Box<Linear>);
    let pair = Pair(linear().bias(false), Cell::new(1), Box::new(linear().bias(false)));
    assert_eq!(
        (names(&pair), pair.1.get()),
        (vec!["0.weight".to_owned(), "2.weight".to_owned()], 1)
    );

    #[derive(Module)]
    #[module(crate = gradus_nn)]
    struct Containers {
        array: [Linear; 2],
        tuple: (Linear, f64, Linear),
        by_name: BTreeMap<String, Linear>,
        dynamic: Vec<Box<dyn Layer>>,
    }
    let bare = || linear().bias(false);
    let containers = Containers {
        array: [bare(), bare()],
        tuple: (bare(), 1.0, bare()),
        by_name: [("b", bare()), ("a", bare())].map(|(k, v)| (k.to_owned(), v)).into(),
        dynamic: vec![Box::new(bare())],
    };
    assert_eq!(
        names(&containers),
        [
            "array.0.weight",
            "array.1.weight",
            "tuple.0.weight",
            "tuple.2.weight",
            "by_name.a.weight",
            "by_name.b.weight",
            "dynamic.0.weight",
        ]
    );
}

#[test]
fn generics() {
    struct NoModule;

    #[derive(Module)]
    #[module(crate = gradus_nn)]
    struct Wrap<'a, L: Layer, T, F: Fn() -> usize, const N: usize>
    where
        T: Send,
    {
        layers: [L; N],
        borrowed: &'a Linear,
        marker: PhantomData<T>,
        #[module(skip)]
        size: F,
    }
    let borrowed = linear();
    let wrap = Wrap {
        layers: [linear()],
        borrowed: &borrowed,
        marker: PhantomData::<NoModule>,
        size: || 3,
    };
    assert_eq!(names(&wrap)[2], "borrowed.weight");
    assert_eq!((wrap.size)(), 3);

    #[derive(Module)]
    #[module(crate = gradus_nn)]
    struct Tree<L> {
        node: L,
        children: Vec<Tree<L>>,
    }
    let leaf = Tree { node: linear(), children: Vec::new() };
    let tree = Tree { node: linear(), children: vec![leaf] };
    assert_eq!(names(&tree)[2], "children.0.node.weight");
}

#[test]
fn enums() {
    #[derive(Module)]
    #[module(crate = gradus_nn)]
    enum Head {
        None,
        One(Linear),
        Two(Linear, #[module(skip)] Cell<u8>, Linear),
        Named { r#type: Linear, rate: f64 },
        Skipped(#[module(skip)] Cell<u8>),
    }
    #[derive(Module)]
    #[module(crate = gradus_nn)]
    enum Never {}

    let bare = || linear().bias(false);
    let heads = [
        Head::None,
        Head::One(bare()),
        Head::Two(bare(), Cell::new(0), bare()),
        Head::Named { r#type: bare(), rate: 0.5 },
        Head::Skipped(Cell::new(0)),
    ];
    assert_eq!(names(&heads), ["1.weight", "2.0.weight", "2.2.weight", "3.type.weight"]);
    assert!(names(&None::<Never>).is_empty());
    // The fields that the derive skips or ignores are used here.
    for head in &heads {
        match head {
            Head::Two(_, cell, _) | Head::Skipped(cell) => assert_eq!(cell.get(), 0),
            Head::Named { rate, .. } => assert_eq!(*rate, 0.5),
            Head::None | Head::One(_) => {}
        }
    }
}

#[test]
fn a_shared_module_is_one_set_of_parameters_under_two_names() {
    #[derive(Module)]
    #[module(crate = gradus_nn)]
    struct Tied {
        encoder: Rc<Linear>,
        decoder: Rc<Linear>,
        mode: Mode,
    }
    let layer = Rc::new(linear());
    let tied = Tied { encoder: layer.clone(), decoder: layer, mode: Mode::default() };
    assert_eq!(tied.parameters().len(), 2);
    assert_eq!(names(&tied), ["encoder.weight", "encoder.bias", "decoder.weight", "decoder.bias"]);
    assert_eq!(tied.parameters()[0].name(), "encoder.weight");
    assert!(tied.mode.is_training());
}

#[test]
fn parameters_keep_their_longest_name() {
    let block = Block::new(false);
    assert_eq!(block.first.weight.name(), "");
    block.first.parameters();
    assert_eq!(block.first.weight.name(), "weight");
    block.parameters();
    assert_eq!(block.first.weight.name(), "first.weight");
    block.first.parameters();
    assert_eq!(block.first.weight.name(), "first.weight");
}
