//! Einstein summation.
//!
//! Operands are contracted from left to right, two at a time: axes that nobody needs any more are summed, axes that
//! both have and nobody needs afterwards become the inner axis of one batched matrix product.

use std::collections::BTreeMap;
use std::panic::Location;

use gradus_ir::Shape;

use crate::error::{Error, ErrorKind};
use crate::record::fail;
use crate::tensor::Tensor;

/// A label: a letter, or an axis of the ellipsis.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Label {
    /// Counted from the first axis of the longest ellipsis.
    Ellipsis(usize),
    Letter(char),
}

/// An operand, or an intermediate result, with a label for each axis.
#[derive(Clone)]
struct Labelled {
    tensor: Tensor,
    labels: Vec<Label>,
}

impl Tensor {
    /// The Einstein sum: `"ij,jk->ik"` is the matrix product. Labels are letters, one per axis of the operands between
    /// commas; labels absent after the arrow are summed; `...` stands for further axes, which broadcast; a label twice in
    /// one operand takes the diagonal. Without an arrow, the result has the ellipsis and then the labels that occur once,
    /// in alphabetical order.
    ///
    /// ```
    /// use gradus_tensor::{DType, Tensor};
    /// let a = Tensor::arange(6, DType::F32).reshape([2, 3]);
    /// let b = Tensor::arange(12, DType::F32).reshape([3, 4]);
    /// let product = Tensor::einsum("ij,jk->ik", &[&a, &b]);
    /// assert_eq!(product.to_vec::<f32>()?, a.matmul(&b).to_vec::<f32>()?);
    /// let trace = Tensor::einsum("ii->", &[&product.slice(1, ..2)]);
    /// assert_eq!(trace.item::<f32>()?, 20.0 + 68.0);
    /// # Ok::<(), gradus_tensor::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the equation does not fit the operands.
    #[track_caller]
    pub fn einsum(equation: &str, operands: &[&Tensor]) -> Tensor {
        let location = Location::caller();
        if let Some(failed) = operands.iter().find(|t| t.error().is_some()) {
            return (*failed).clone();
        }
        match parse(equation, operands) {
            Ok((terms, output)) => contract(terms, &output),
            Err(why) => {
                let shapes: Vec<String> = operands.iter().map(|t| t.shape().to_string()).collect();
                let message = format!("einsum \"{equation}\" of {}: {why}", shapes.join(", "));
                match operands.first() {
                    Some(_) => fail(ErrorKind::Shape, message, location),
                    None => Tensor::from_error(Error::located(ErrorKind::Shape, message, location)),
                }
            }
        }
    }
}

/// The labelled operands and the labels of the result.
fn parse(equation: &str, operands: &[&Tensor]) -> Result<(Vec<Labelled>, Vec<Label>), String> {
    let text: String = equation.chars().filter(|c| !c.is_whitespace()).collect();
    let (left, right) = match text.split_once("->") {
        Some((left, right)) => (left, Some(right)),
        None => (text.as_str(), None),
    };
    let terms: Vec<&str> = left.split(',').collect();
    if terms.len() != operands.len() || operands.is_empty() {
        return Err(format!("{} terms for {} operands", terms.len(), operands.len()));
    }
    let mut widths = Vec::new();
    for (term, operand) in terms.iter().zip(operands) {
        let (before, after) = letters(term)?;
        let named = before.len() + after.as_ref().map_or(0, Vec::len);
        let rank = operand.shape().rank();
        widths.push(match after {
            Some(_) if rank >= named => rank - named,
            None if rank == named => 0,
            _ => return Err(format!("\"{term}\" names {named} axes of a tensor of {rank}")),
        });
    }
    let widest = widths.iter().copied().max().unwrap_or(0);
    let mut sizes: BTreeMap<Label, usize> = BTreeMap::new();
    let mut labelled = Vec::new();
    for ((term, operand), &width) in terms.iter().zip(operands).zip(&widths) {
        let labels = expand(term, widest - width..widest)?;
        for (&label, &size) in labels.iter().zip(operand.shape().iter()) {
            let known = sizes.entry(label).or_insert(size);
            if *known != size && *known != 1 && size != 1 {
                return Err(format!("{} has sizes {known} and {size}", show(label)));
            }
            *known = if *known == 1 { size } else { *known };
        }
        labelled.push(distinct(Labelled { tensor: (*operand).clone(), labels })?);
    }
    let output = match right {
        Some(right) => expand(right, 0..widest)?,
        None => {
            let count =
                |l: &Label| terms.iter().map(|t| t.matches(show(*l).as_str()).count()).sum();
            sizes
                .keys()
                .copied()
                .filter(|l| matches!(l, Label::Ellipsis(_)) || 1_usize == count(l))
                .collect()
        }
    };
    for (i, label) in output.iter().enumerate() {
        if !sizes.contains_key(label) {
            return Err(format!("{} is in the result but in no operand", show(*label)));
        }
        if output[..i].contains(label) {
            return Err(format!("{} is in the result twice", show(*label)));
        }
    }
    // What broadcasts is expanded, so that sizes agree from here on.
    for term in &mut labelled {
        let full: Shape = term.labels.iter().map(|l| sizes[l]).collect();
        if *term.tensor.shape() != full {
            term.tensor = term.tensor.expand(full);
        }
    }
    Ok((labelled, output))
}

/// The letters before the ellipsis and after it, if there is one.
fn letters(term: &str) -> Result<(Vec<char>, Option<Vec<char>>), String> {
    let list = |s: &str| -> Result<Vec<char>, String> {
        match s.chars().find(|c| !c.is_ascii_alphabetic()) {
            Some(c) => Err(format!("'{c}' in \"{term}\" is no label; labels are letters")),
            None => Ok(s.chars().collect()),
        }
    };
    match term.split_once("...") {
        Some((before, after)) => Ok((list(before)?, Some(list(after)?))),
        None => Ok((list(term)?, None)),
    }
}

/// The labels of a term whose ellipsis stands for these axes.
fn expand(term: &str, ellipsis: std::ops::Range<usize>) -> Result<Vec<Label>, String> {
    let (before, after) = letters(term)?;
    let mut labels: Vec<Label> = before.into_iter().map(Label::Letter).collect();
    if let Some(after) = after {
        labels.extend(ellipsis.map(Label::Ellipsis));
        labels.extend(after.into_iter().map(Label::Letter));
    }
    Ok(labels)
}

fn show(label: Label) -> String {
    match label {
        Label::Letter(c) => c.to_string(),
        Label::Ellipsis(_) => "...".to_owned(),
    }
}

/// With the diagonal taken wherever a label occurs twice.
fn distinct(mut term: Labelled) -> Result<Labelled, String> {
    let twice = |labels: &[Label]| {
        (0..labels.len())
            .find_map(|j| labels[..j].iter().position(|l| *l == labels[j]).map(|i| (i, j)))
    };
    while let Some((i, j)) = twice(&term.labels) {
        let shape = term.tensor.shape();
        if shape[i] != shape[j] {
            let label = show(term.labels[i]);
            return Err(format!("{label} is an axis of {} and one of {}", shape[i], shape[j]));
        }
        term.tensor = term.tensor.diagonal(0, i as isize, j as isize);
        let label = term.labels.remove(j);
        term.labels.remove(i);
        term.labels.push(label);
    }
    Ok(term)
}

#[track_caller]
fn contract(terms: Vec<Labelled>, output: &[Label]) -> Tensor {
    let mut left: Option<Labelled> = None;
    for i in 0..terms.len() {
        let later =
            |l: &Label| output.contains(l) || terms[i + 1..].iter().any(|t| t.labels.contains(l));
        let right = &terms[i];
        let joined = match &left {
            None => right.clone(),
            Some(left) => pair(left, right, &later),
        };
        left = Some(joined);
    }
    match left {
        Some(all) => {
            let all = all.summed(|l| output.contains(l));
            all.arranged(output)
        }
        None => unreachable!("parsing refuses no operands"),
    }
}

/// The product of two operands, summed over what is not needed later.
#[track_caller]
fn pair(a: &Labelled, b: &Labelled, later: &dyn Fn(&Label) -> bool) -> Labelled {
    let a = a.summed(|l| later(l) || b.labels.contains(l));
    let b = b.summed(|l| later(l) || a.labels.contains(l));
    let of = |list: &[Label], keep: &dyn Fn(&Label) -> bool| -> Vec<Label> {
        list.iter().copied().filter(keep).collect()
    };
    let batch = of(&a.labels, &|l| b.labels.contains(l) && later(l));
    let inner = of(&a.labels, &|l| b.labels.contains(l) && !later(l));
    let rows = of(&a.labels, &|l| !b.labels.contains(l));
    let columns = of(&b.labels, &|l| !a.labels.contains(l));
    let size =
        |t: &Labelled, list: &[Label]| -> Vec<usize> { list.iter().map(|l| t.size(l)).collect() };
    let (bs, is) = (size(&a, &batch), size(&a, &inner));
    let (rs, cs) = (size(&a, &rows), size(&b, &columns));
    let labels = [batch.clone(), rows.clone(), columns.clone()].concat();
    let result: Shape = [bs.clone(), rs.clone(), cs.clone()].concat().into();
    let product = |s: &[usize]| s.iter().product::<usize>() as isize;
    let (n, m, k, p) = (product(&bs), product(&rs), product(&is), product(&cs));
    let x = a.arranged(&[batch.clone(), rows, inner.clone()].concat());
    let y = b.arranged(&[batch, inner.clone(), columns].concat());
    let tensor = if inner.is_empty() {
        // Nothing is summed: a product of each with each.
        x.reshape([n, m, 1]) * y.reshape([n, 1, p])
    } else {
        x.reshape([n, m, k]).matmul(&y.reshape([n, k, p]))
    };
    Labelled { tensor: tensor.reshape(result), labels }
}

impl Labelled {
    fn size(&self, label: &Label) -> usize {
        let at = self.labels.iter().position(|l| l == label);
        at.map_or(1, |at| self.tensor.shape()[at])
    }

    /// Summed over the axes that are not kept.
    #[track_caller]
    fn summed(&self, keep: impl Fn(&Label) -> bool) -> Labelled {
        let gone: Vec<isize> = (0..self.labels.len())
            .filter(|&i| !keep(&self.labels[i]))
            .map(|i| i as isize)
            .collect();
        if gone.is_empty() {
            return self.clone();
        }
        let labels = self.labels.iter().copied().filter(keep).collect();
        Labelled { tensor: self.tensor.sum_axes(&gone, false), labels }
    }

    /// The tensor with its axes in this order.
    #[track_caller]
    fn arranged(&self, order: &[Label]) -> Tensor {
        let at = |l: &Label| self.labels.iter().position(|m| m == l).unwrap_or_default() as isize;
        let axes: Vec<isize> = order.iter().map(at).collect();
        self.tensor.permute(&axes)
    }
}
