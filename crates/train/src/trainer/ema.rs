//! An exponential moving average of the weights (Polyak and Juditsky, "Acceleration of stochastic
//! approximation by averaging", SIAM J. Control Optim. 1992; with a decay, as in Tarvainen and
//! Valpola, "Mean teachers are better role models", NeurIPS 2017).

use gradus_nn::StateDict;
use gradus_tensor::{Error, ErrorKind, Parameter, Result, Tensor, Variable, evaluate, no_grad};

/// Averages of parameters: after each step of the optimizer
///
/// ```text
/// dₜ = min(decay, (1 + t) / (10 + t))
/// e ← dₜ · e + (1 − dₜ) · w
/// ```
///
/// where `t` counts the updates before, so that the first weights, which mean nothing, are soon
/// forgotten. Buffers, such as the statistics of batch normalisation, are not averaged.
///
/// ```
/// use gradus_nn::{Linear, Module};
/// use gradus_train::trainer::Ema;
/// let model = Linear::new(2, 1);
/// let mut ema = Ema::new(model.parameters(), 0.999);
/// // … after each step of the optimizer:
/// ema.update()?;
/// // … to evaluate with the averages:
/// ema.swap()?;
/// // … and to go on training:
/// ema.swap()?;
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
pub struct Ema {
    decay: f64,
    averages: Vec<(Parameter, Variable)>,
    updates: u64,
}

impl Ema {
    /// Starts from the weights as they are. `decay`, 0–1, is how much of the average is kept.
    pub fn new(parameters: Vec<Parameter>, decay: f64) -> Ema {
        let average = |p: Parameter| {
            // A value of its own: that of the parameter is overwritten in place.
            let copy = no_grad(|| p.value().detach() * 1.0);
            let average = Variable::new(copy);
            (p, average)
        };
        Ema { decay, averages: parameters.into_iter().map(average).collect(), updates: 0 }
    }

    /// Takes in the weights after a step.
    ///
    /// # Errors
    /// If something that is pending cannot be evaluated.
    pub fn update(&mut self) -> Result<()> {
        let t = self.updates as f64;
        let decay = self.decay.min((1.0 + t) / (10.0 + t));
        no_grad(|| {
            for (parameter, average) in &self.averages {
                let weight = parameter.variable().get().detach();
                average.set(&(average.get() * decay + weight * (1.0 - decay)));
            }
        });
        evaluate()?;
        self.updates += 1;
        Ok(())
    }

    /// Exchanges weights and averages: once to evaluate, once more to go on.
    ///
    /// # Errors
    /// If something that is pending cannot be evaluated.
    pub fn swap(&self) -> Result<()> {
        evaluate()?;
        for (parameter, average) in &self.averages {
            let (weight, mean) = (parameter.variable().get().detach(), average.get());
            parameter.set(&mean);
            average.set(&weight);
        }
        Ok(())
    }

    /// The averages, in the order of the parameters: `0`, `1` …; and `updates`.
    pub fn state_dict(&self) -> StateDict {
        let mut state = StateDict::default();
        state.insert(UPDATES, Tensor::from_slice(&[self.updates as i64], []));
        for (i, (_, average)) in self.averages.iter().enumerate() {
            state.insert(i.to_string(), average.get());
        }
        state
    }

    /// Restores a state.
    ///
    /// # Errors
    /// If it is of other parameters. Then nothing changes.
    pub fn load_state_dict(&mut self, state: &StateDict) -> Result<()> {
        let misfit = |what: String| {
            let message = format!("the averages of the weights do not fit the model: {what}");
            Error::new(ErrorKind::Shape, message)
        };
        let find = |name: &str| state.get(name).ok_or_else(|| misfit(format!("no `{name}`")));
        let updates = find(UPDATES)?.item::<i64>()?;
        let mut loaded = Vec::with_capacity(self.averages.len());
        for (i, (parameter, average)) in self.averages.iter().enumerate() {
            let (saved, old) = (find(&i.to_string())?, average.get());
            if saved.shape() != old.shape() || saved.dtype() != old.dtype() {
                let (is, was) = (saved.shape(), old.shape());
                return Err(misfit(format!("{} is {was}, and {is} was saved", parameter.name())));
            }
            let value = no_grad(|| saved.to(old.device()));
            value.eval()?;
            loaded.push(value);
        }
        for ((_, average), value) in self.averages.iter().zip(loaded) {
            average.set(&value);
        }
        self.updates = updates.max(0) as u64;
        Ok(())
    }
}

const UPDATES: &str = "updates";
