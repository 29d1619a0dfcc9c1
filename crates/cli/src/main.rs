//! The `gradus` command: trains networks, evaluates and applies them.
//!
//! Exit codes: 0 if all went well, 1 if a run failed, 2 if what was asked for makes no sense.
#![forbid(unsafe_code)]

mod bench;
mod check;
mod compare;
mod dashboard;
mod data;
mod eval;
mod manual;
mod options;
mod predict;
mod replay;
mod summary;
mod train;
mod verify;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use gradus::{ErrorKind, Result};

/// Trains neural networks, evaluates and applies them.
#[derive(Parser)]
#[command(name = "gradus", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Train(train::Train),
    Eval(eval::Eval),
    Predict(predict::Predict),
    Compare(compare::Compare),
    Summary(summary::Summary),
    Check(check::Check),
    Bench(bench::Bench),
    Data(data::Data),
    Verify(verify::Verify),
    Replay(replay::Replay),
    Completions(manual::Completions),
    Man(manual::Manual),
}

fn main() -> ExitCode {
    gradus::give_back_freed(gradus::train::check::GIVEN_BACK);
    let result = match Cli::parse().command {
        Command::Train(train) => train.run(),
        Command::Eval(eval) => eval.run(),
        Command::Predict(predict) => predict.run(),
        Command::Compare(compare) => compare.run(),
        Command::Summary(summary) => summary.run(),
        Command::Check(check) => check.run(),
        Command::Bench(bench) => bench.run(),
        Command::Data(data) => data.run(),
        Command::Verify(verify) => verify.run(),
        Command::Replay(replay) => replay.run(),
        Command::Completions(completions) => completions.run(Cli::command()),
        Command::Man(manual) => manual.run(Cli::command()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {}", error.message());
            ExitCode::from(if error.kind() == ErrorKind::Usage { 2 } else { 1 })
        }
    }
}

/// Prints to the standard output. A reader who has seen enough and went away is no error.
fn print(text: impl std::fmt::Display) -> Result<()> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let message = format!("cannot write to the standard output: {error}");
            Err(gradus::Error::new(ErrorKind::Io, message))
        }
        _ => Ok(()),
    }
}
