//! The state of a module: names and tensors, in order; and how it comes back into one.

use std::collections::HashMap;
use std::fmt::Write;
use std::ops::{Deref, Index};

use gradus_tensor::{Error, ErrorKind, Result, Tensor, Variable, evaluate, no_grad};

use super::{Module, Part, each};

/// The tensors of a module by name, in the module's order. What files hold.
///
/// It is a slice of pairs with a look-up by name:
///
/// ```
/// use gradus_nn::{Linear, StateDict, Module};
/// let state: StateDict =
///     Linear::new(3, 2).state_dict().into_iter().filter(|(name, _)| name != "bias").collect();
/// assert_eq!(state.len(), 1);
/// assert!(state.get("bias").is_none());
/// assert_eq!(state["weight"].shape().dims(), [2, 3]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct StateDict(Vec<(String, Tensor)>);

impl StateDict {
    /// The tensor of a name.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, tensor)| tensor)
    }

    /// The names, in order.
    pub fn names(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// Sets the tensor of a name, which goes to the end if it is new.
    pub fn insert(&mut self, name: impl Into<String>, tensor: Tensor) {
        let name = name.into();
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, slot)) => *slot = tensor,
            None => self.0.push((name, tensor)),
        }
    }
}

impl Deref for StateDict {
    type Target = [(String, Tensor)];
    fn deref(&self) -> &[(String, Tensor)] {
        &self.0
    }
}

/// The tensor of a name.
///
/// # Panics
/// If there is none; [`get`](StateDict::get) does not.
impl Index<&str> for StateDict {
    type Output = Tensor;
    fn index(&self, name: &str) -> &Tensor {
        self.get(name).unwrap_or_else(|| {
            panic!(
                "there is no `{name}` among the names of this state: {}",
                self.names().join(", ")
            )
        })
    }
}

impl From<Vec<(String, Tensor)>> for StateDict {
    fn from(entries: Vec<(String, Tensor)>) -> StateDict {
        StateDict(entries)
    }
}

impl FromIterator<(String, Tensor)> for StateDict {
    fn from_iter<I: IntoIterator<Item = (String, Tensor)>>(entries: I) -> StateDict {
        StateDict(entries.into_iter().collect())
    }
}

impl IntoIterator for StateDict {
    type Item = (String, Tensor);
    type IntoIter = std::vec::IntoIter<(String, Tensor)>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a StateDict {
    type Item = &'a (String, Tensor);
    type IntoIter = std::slice::Iter<'a, (String, Tensor)>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

pub(super) fn of(module: &(impl Module + ?Sized)) -> StateDict {
    variables(module).into_iter().map(|(name, v)| (name, v.get().detach())).collect()
}

pub(super) fn load(module: &(impl Module + ?Sized), state: &StateDict) -> Result<()> {
    let saved: HashMap<&str, &Tensor> = state.iter().map(|(n, t)| (n.as_str(), t)).collect();
    let known = variables(module);
    assign("the module", &known, &saved)
}

/// Replaces the values of `known` variables by the saved ones of the same names: all of them, or
/// none.
pub(crate) fn assign(
    owner: &str,
    known: &[(String, Variable)],
    saved: &HashMap<&str, &Tensor>,
) -> Result<()> {
    let mut missing = Vec::new();
    let mut misfits = Vec::new();
    let mut fits = Vec::new();
    for (name, variable) in known {
        let Some(&new) = saved.get(name.as_str()) else {
            missing.push(name.as_str());
            continue;
        };
        let old = variable.get();
        let (old_shape, new_shape) = (old.try_shape()?, new.try_shape()?);
        let (was, is) = (old.dtype(), new.dtype());
        if old_shape != new_shape || (was != is && !(was.is_float() && is.is_float())) {
            misfits
                .push(format!("{name}: {new_shape} {is} was saved, {owner} has {old_shape} {was}"));
        } else {
            fits.push((variable, no_grad(|| new.cast(was).to(old.device()))));
        }
    }
    let mut unexpected: Vec<&str> =
        saved.keys().filter(|name| !known.iter().any(|(k, _)| k == *name)).copied().collect();
    unexpected.sort_unstable();
    if !(missing.is_empty() && unexpected.is_empty() && misfits.is_empty()) {
        return Err(misfit(owner, &missing, &unexpected, &misfits));
    }
    // Computed before anything is written: if this fails, nothing has changed.
    evaluate()?;
    if let Some(error) = fits.iter().find_map(|(_, value)| value.error()) {
        return Err(error);
    }
    for (variable, value) in fits {
        variable.set(&value);
    }
    Ok(())
}

fn misfit(owner: &str, missing: &[&str], unexpected: &[&str], misfits: &[String]) -> Error {
    let mut message = format!("load_state_dict: the state does not fit {owner}");
    for (what, names) in [("missing", missing), ("unexpected", unexpected)] {
        if !names.is_empty() {
            // Writing to a string does not fail.
            let _ = write!(message, "\n  {what}: {}", names.join(", "));
        }
    }
    for line in misfits {
        let _ = write!(message, "\n  {line}");
    }
    message.push_str(
        "\n  build it as it was when the state was saved, or rename or leave out entries",
    );
    Error::new(ErrorKind::Shape, message)
}

/// Every variable of a module under each of its names.
fn variables(module: &(impl Module + ?Sized)) -> Vec<(String, Variable)> {
    let mut found = Vec::new();
    each(module, &mut |name, part| match part {
        Part::Parameter(parameter) => found.push((name.to_owned(), parameter.variable().clone())),
        Part::Buffer(buffer) => found.push((name.to_owned(), buffer.clone())),
        Part::Mode(_) => {}
    });
    found
}
