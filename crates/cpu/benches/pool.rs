//! What a launch costs: `cargo bench -p gradus-cpu --bench pool`.

use std::time::Duration;

use divan::Bencher;
use gradus_cpu::pool::{self, Pool};

fn main() {
    println!("fork and join of {} threads: {:?}", pool::num_threads(), pool::fork_join_latency());
    divan::main();
}

/// Tasks that do nothing, one per thread, launch after launch: the workers spin.
#[divan::bench(args = [1, 2, 4])]
fn hot(bencher: Bencher, threads: usize) {
    let pool = Pool::new(threads);
    bencher.bench_local(|| pool.run(threads, &|task| _ = divan::black_box(task)));
}

/// Many small tasks in one launch: what claiming one costs.
#[divan::bench(args = [1, 2])]
fn claims_1000(bencher: Bencher, threads: usize) {
    let pool = Pool::new(threads);
    bencher.bench_local(|| pool.run(1000, &|task| _ = divan::black_box(task)));
}

/// The first launch after a pause: the workers have parked.
#[divan::bench(args = [2], sample_count = 50, sample_size = 1)]
fn cold(bencher: Bencher, threads: usize) {
    let pool = Pool::new(threads);
    bencher
        .with_inputs(|| std::thread::sleep(Duration::from_millis(2)))
        .bench_local_values(|()| pool.run(threads, &|task| _ = divan::black_box(task)));
}
