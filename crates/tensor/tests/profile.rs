//! Profiles: their parts add up, kernels know their layers, and verdicts name a remedy.

use std::thread::sleep;
use std::time::Duration;

use gradus_tensor::{
    DType, Device, KernelProfile, Parameter, Phase, Profile, ProfileReport, Tensor, evaluate,
    no_grad, profile, waiting_for_data,
};

/// Two layers and their training step, by hand.
struct Net {
    parameters: [Parameter; 3],
    x: Tensor,
    labels: Tensor,
}

impl Net {
    /// Plans are shared by all threads of the process: a net of another width compiles its own.
    fn new(width: usize) -> Net {
        let named = |name: &str, shape: &[usize]| {
            let parameter = Parameter::new(Tensor::randn(shape, DType::F32) * 0.05);
            parameter.variable().set_name(name);
            parameter
        };
        let x = Tensor::randn([64, 256], DType::F32);
        x.eval().unwrap();
        Net {
            parameters: [
                named("fc1.weight", &[256, width]),
                named("fc1.bias", &[width]),
                named("fc2.weight", &[width, 10]),
            ],
            x,
            labels: Tensor::from_slice(&[3i64; 64], [64]),
        }
    }

    fn step(&self) {
        let [w1, b1, w2] = self.parameters.each_ref().map(Parameter::value);
        let hidden = (self.x.matmul(&w1) + &b1).relu();
        let loss = hidden.matmul(&w2).cross_entropy(&self.labels).mean();
        self.parameters.iter().for_each(Parameter::zero_grad);
        loss.backward();
        drop((w1, b1, w2));
        no_grad(|| {
            for parameter in &self.parameters {
                let gradient = parameter.grad().unwrap();
                parameter.set(&(parameter.variable().get() - gradient * 0.01));
            }
        });
        evaluate().unwrap();
    }
}

#[test]
fn the_parts_of_a_step_add_up() {
    let net = Net::new(288);
    let profile = profile();
    let wait = Duration::from_millis(3);
    for _ in 0..7 {
        waiting_for_data("numbers", 0, || sleep(wait));
        net.step();
    }
    let report = profile.finish();
    assert_eq!((report.steps, report.compiled), (6, 1));
    let parts = report.waiting + report.recording + report.computing;
    assert!(report.step.abs_diff(parts) < Duration::from_nanos(10), "{report:?}");
    assert!(report.waiting >= wait, "{report:?}");
    let kernels: Duration = report.kernels.iter().map(|k| k.time).sum();
    assert!(kernels <= report.computing, "{report:?}");
    assert!(kernels > report.computing / 2, "{report:?}");
    let phases: Duration = Phase::ALL.map(|phase| report.phase(phase)).iter().sum();
    assert_eq!(phases, kernels);
    for k in &report.kernels {
        // The clocks of the threads are read a little later than the wave's.
        assert!(k.threads() <= report.threads as f64 * 1.05, "{k:?}");
    }
    assert_eq!(report.data, Some(("numbers".to_owned(), 0)));
    assert!(report.flops() > 2.0 * (64 * 256 * 256 * 2) as f64, "{report:?}");
}

#[test]
fn kernels_know_their_layers() {
    let net = Net::new(256);
    let profile = profile();
    (0..3).for_each(|_| net.step());
    let report = profile.finish();
    let mut found: Vec<(Phase, &str, &str, f64)> = report
        .kernels
        .iter()
        .map(|k| (k.phase, k.layer.as_str(), k.kernel.as_str(), k.count))
        .collect();
    found.sort_by(|a, b| a.partial_cmp(b).unwrap());
    for expected in [
        (Phase::Forward, "fc1", "matmul [64, 256]·[256, 256], add·relu", 1.0),
        (Phase::Forward, "fc2", "matmul [64, 256]·[256, 10]", 1.0),
        (Phase::Backward, "fc2", "matmul [256, 64]·[64, 10]", 1.0),
        (Phase::Backward, "fc1", "matmul [256, 64]·[64, 256]", 1.0),
        (Phase::Update, "", "update in place: mul·sub", 3.0),
    ] {
        assert!(found.contains(&expected), "{expected:?} is not among {found:#?}");
    }
}

#[test]
fn what_is_not_measured_is_not_there() {
    let net = Net::new(32);
    net.step();
    let first = profile();
    net.step();
    let second = profile();
    net.step();
    assert_eq!(first.finish().steps, 0, "another profile has taken its place");
    assert_eq!(second.finish().steps, 1);
    drop(profile());
    net.step();
    assert_eq!(profile().finish().steps, 0);
    // On the reference device there are no kernels, but there is a time.
    let x = Tensor::from_slice(&[1.0f32; 4], [4]).to(Device::Reference);
    x.eval().unwrap();
    let on_reference = profile();
    for _ in 0..3 {
        (&x + &x).eval().unwrap();
    }
    let report = Profile::finish(on_reference);
    assert!(report.kernels.is_empty() && report.steps == 2, "{report:?}");
}

fn kernel(layer: &str, phase: Phase, kernel: &str, time: u64) -> KernelProfile {
    KernelProfile {
        layer: layer.to_owned(),
        phase,
        kernel: kernel.to_owned(),
        count: 1.0,
        time: Duration::from_micros(time),
        busy: Duration::from_micros(2 * time),
        flops: 1e4 * time as f64,
        bytes: 5e3 * time as f64,
    }
}

/// A step of two milliseconds with nothing in its way.
fn report() -> ProfileReport {
    let us = Duration::from_micros;
    ProfileReport {
        steps: 20,
        step: us(2000),
        waiting: us(100),
        computing: us(1800),
        recording: us(100),
        compiled: 1,
        warm_up: us(9000),
        kernels: vec![
            kernel("fc1", Phase::Backward, "matmul [784, 64]·[64, 512]", 900),
            kernel("fc1", Phase::Forward, "matmul [64, 784]·[784, 512]", 600),
            kernel("", Phase::Update, "update in place: mul·sub", 200),
        ],
        threads: 2,
        processors: 2,
        peak_flops: 40e9,
        fork_join: Duration::from_nanos(700),
        data: Some(("ImageFolder photos".to_owned(), 0)),
    }
}

#[test]
fn a_report_is_a_table_and_a_verdict() {
    let expected = "
20 steps of 2.00 ms with 2 of 2 threads: 5% waiting for data, 5% recording, 90% computing
8.50 GFLOP/s, 21% of the peak of 40; 30% forward, 45% backward, 10% update

     time  share  layer  phase     kernel                       GFLOP/s  peak    GB/s  threads
   900 µs    45%  fc1    backward  matmul [784, 64]·[64, 512]      10.0   25%     5.0      2.0
   600 µs    30%  fc1    forward   matmul [64, 784]·[784, 512]     10.0   25%     5.0      2.0
   200 µs    10%         update    update in place: mul·sub        10.0   25%     5.0      2.0
   100 µs     5%  between the kernels

45% in layer fc1, backward, matmul [784, 64]·[64, 512]: it runs at 25% of the peak; only a smaller \
layer or more processors help";
    assert_eq!(format!("\n{}", report()), expected);
}

#[test]
fn every_verdict_names_its_remedy() {
    let us = Duration::from_micros;
    let verdict = |change: fn(&mut ProfileReport)| {
        let mut report = report();
        change(&mut report);
        report.verdict().to_string()
    };
    type Change = fn(&mut ProfileReport);
    let cases: [(Change, &str); 12] = [
        (
            |r| (r.waiting, r.step) = (Duration::from_micros(3100), Duration::from_micros(5000)),
            "62% waiting for data, ImageFolder photos: use 2 workers",
        ),
        (
            |r| {
                (r.waiting, r.step) = (Duration::from_micros(3100), Duration::from_micros(5000));
                r.processors = 8;
                r.threads = 8;
                r.kernels.iter_mut().for_each(|k| k.busy = 8 * k.time);
                r.data = Some(("ImageFolder photos".to_owned(), 2));
            },
            "62% waiting for data, ImageFolder photos: use 6 workers",
        ),
        (
            |r| {
                (r.waiting, r.step) = (Duration::from_micros(38_000), Duration::from_micros(40_000))
            },
            "95% waiting for data, ImageFolder photos: use 2 workers, one for each processor, and keep \
             in memory what they decode",
        ),
        (
            |r| {
                (r.waiting, r.step) = (Duration::from_micros(1000), Duration::from_micros(3000));
                r.data = Some(("photos".to_owned(), 2));
            },
            "33% waiting for data, photos: keep decoded samples in memory, or prepare smaller ones \
             beforehand",
        ),
        (
            |r| (r.compiled, r.warm_up) = (30, Duration::from_millis(300)),
            "88% compiling 30 plans: shapes change from step to step; pad to a few fixed ones",
        ),
        (
            |r| (r.recording, r.step) = (Duration::from_micros(2000), Duration::from_micros(4000)),
            "50% recording the steps, and in the loop's own code: a larger batch takes no longer to \
             record",
        ),
        (
            |r| {
                r.threads = 1;
                r.kernels.iter_mut().for_each(|k| k.busy = k.time);
            },
            "90% computing on 1 of 2 processors: use 2 threads",
        ),
        (
            |r| r.kernels[0].count = 600.0,
            "45% in 600 kernels of 1.50 µs each, mostly their launch: use a larger batch",
        ),
        (
            |r| r.kernels[0].busy = r.kernels[0].time,
            "45% in layer fc1, backward, matmul [784, 64]·[64, 512], which keeps 1.0 of 2 threads busy: \
             a larger batch divides better",
        ),
        (
            |r| r.kernels.swap(0, 2),
            "10% in update, update in place: mul·sub: an update takes as long for any batch; use a \
             larger one",
        ),
        (
            |r| r.kernels[0].flops = 0.0,
            "45% in layer fc1, backward, matmul [784, 64]·[64, 512]: it moves 5.0 GB/s and computes \
             little; fewer or smaller activations help",
        ),
        (
            |r| (r.steps, r.compiled, r.kernels, r.step) = (0, 0, Vec::new(), Duration::ZERO),
            "nothing was measured: no plan has run on this thread; put the profile around whole steps",
        ),
    ];
    for (change, expected) in cases {
        assert_eq!(verdict(change), expected);
    }
    assert_eq!(report().step, us(2000));
}
