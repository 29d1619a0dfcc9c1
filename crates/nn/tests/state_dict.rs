//! Saving and loading the state of modules.

use gradus_io::{load_safetensors, save_safetensors};
use gradus_nn::optim::{Adam, Optimizer, SGD};
use gradus_nn::{Layer, Linear, Module, Parameter, ReLU, Sequential, StateDict, Variable};
use gradus_tensor::{DType, Device, Tensor, manual_seed};

fn model() -> Sequential {
    Sequential::new().add(Linear::new(3, 4)).add(ReLU).add(Linear::new(4, 2))
}

fn values(state: &StateDict) -> Vec<(String, Vec<f32>)> {
    state.iter().map(|(name, t)| (name.clone(), t.to_vec().unwrap())).collect()
}

fn step(model: &Sequential, optimizer: &mut dyn Optimizer, seed: u64) {
    manual_seed(seed);
    let x = Tensor::randn([5, 3], DType::F32);
    optimizer.zero_grad();
    model.forward(&x).square().mean().backward();
    optimizer.step().unwrap();
}

#[test]
fn round_trip_through_a_file() {
    let (trained, fresh) = (model(), model());
    let state = trained.state_dict();
    assert_ne!(values(&state), values(&fresh.state_dict()));
    let path = std::env::temp_dir().join(format!("gradus-round-trip-{}", std::process::id()));
    save_safetensors(&path, &state, &[]).unwrap();
    let loaded: StateDict = load_safetensors(&path).unwrap().into();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(loaded.names(), ["0.weight", "0.bias", "2.weight", "2.bias"]);
    fresh.load_state_dict(&loaded).unwrap();
    assert_eq!(values(&fresh.state_dict()), values(&state));
}

#[test]
fn what_was_taken_or_given_does_not_change_with_training() {
    let model = model();
    let mut optimizer = SGD::new(model.parameters(), 0.1);
    let state = model.state_dict();
    let before = values(&state);
    assert!(state.iter().all(|(_, tensor)| !tensor.requires_grad()));
    model.load_state_dict(&state).unwrap();
    step(&model, &mut optimizer, 1);
    step(&model, &mut optimizer, 2);
    assert_eq!(values(&state), before);
    assert_ne!(values(&model.state_dict()), before);
    model.load_state_dict(&state).unwrap();
    assert_eq!(values(&model.state_dict()), before);
}

#[test]
fn an_error_lists_everything_and_changes_nothing() {
    let model = model();
    let before = values(&model.state_dict());
    let mut state: StateDict =
        model.state_dict().into_iter().filter(|(name, _)| name != "0.bias").collect();
    state.insert("2.weight", Tensor::zeros([3, 4], DType::F32));
    state.insert("2.bias", Tensor::zeros([2], DType::I64));
    state.insert("4.weight", Tensor::zeros([1], DType::F32));
    let error = model.load_state_dict(&state).unwrap_err();
    assert_eq!(
        error.to_string(),
        "load_state_dict: the state does not fit the module\n  \
         missing: 0.bias\n  \
         unexpected: 4.weight\n  \
         2.weight: [3, 4] float32 was saved, the module has [2, 4] float32\n  \
         2.bias: [2] int64 was saved, the module has [2] float32\n  \
         build it as it was when the state was saved, or rename or leave out entries"
    );
    assert_eq!(values(&model.state_dict()), before);
}

#[test]
fn floats_take_the_width_of_the_module() {
    let layer = Linear::new(2, 1);
    let wide: StateDict =
        layer.state_dict().into_iter().map(|(n, t)| (n, t.cast(DType::F64) + 1.0)).collect();
    layer.load_state_dict(&wide).unwrap();
    assert_eq!(layer.weight.dtype(), DType::F32);
    assert_eq!(
        layer.weight.value().to_vec::<f32>().unwrap(),
        wide["weight"].to_vec::<f32>().unwrap()
    );
}

#[test]
fn buffers_and_pending_writes_are_part_of_the_state() {
    let pair = (
        Parameter::new(Tensor::ones([2], DType::F32)),
        Variable::new(Tensor::zeros([2], DType::F32)),
    );
    pair.1.set(&(pair.1.get() + 5.0));
    let state = pair.state_dict();
    assert_eq!(values(&state)[1], ("1".to_owned(), vec![5.0, 5.0]));
    assert_eq!(pair.named_buffers().len(), 1);
}

#[test]
fn a_module_moves_with_its_gradients() {
    let model = model();
    model.forward(&Tensor::ones([1, 3], DType::F32)).sum().backward();
    model.to(Device::Reference).unwrap();
    let x = Tensor::ones([1, 3], DType::F32).to(Device::Reference);
    assert_eq!(model.forward(&x).device(), Device::Reference);
    let mut optimizer = SGD::new(model.parameters(), 0.1).momentum(0.9);
    optimizer.step().unwrap();
    let before = values(&model.state_dict());
    model.to(Device::Cpu).unwrap();
    assert_eq!(values(&model.state_dict()), before);
}

#[test]
fn an_optimizer_goes_on_where_it_was() {
    let fresh = |model: &Sequential| Adam::new(model.parameters(), 0.05).amsgrad(true);
    let whole = model();
    let start = whole.state_dict();
    let mut optimizer = fresh(&whole);
    assert!(optimizer.state_dict().is_empty());
    step(&whole, &mut optimizer, 1);
    step(&whole, &mut optimizer, 2);
    let (weights, state) = (whole.state_dict(), optimizer.state_dict());
    assert_eq!(
        state.names()[..5],
        ["0.step", "0.exp_avg", "0.exp_avg_sq", "0.max_exp_avg_sq", "1.step"]
    );
    assert_eq!(state["3.step"].item::<i64>().unwrap(), 2);
    step(&whole, &mut optimizer, 3);

    let resumed = model();
    resumed.load_state_dict(&start).unwrap();
    let mut optimizer = fresh(&resumed);
    resumed.load_state_dict(&weights).unwrap();
    optimizer.load_state_dict(&state).unwrap();
    step(&resumed, &mut optimizer, 3);
    assert_eq!(values(&resumed.state_dict()), values(&whole.state_dict()));

    let mut plain = Adam::new(resumed.parameters(), 0.05);
    let error = plain.load_state_dict(&state).unwrap_err();
    assert!(error.message().starts_with(
        "load_state_dict: the state does not fit the optimizer\n  unexpected: 0.max_exp_avg_sq, 1."
    ));
    // An empty state is that of an optimizer which has taken no step.
    optimizer.load_state_dict(&StateDict::default()).unwrap();
    assert!(optimizer.state_dict().is_empty());
}
