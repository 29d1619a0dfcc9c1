//! A computation and what it is run on.

use gradus_ir::graph::Graph;
use gradus_ir::schedule::Donation;
use gradus_ir::{Array, Scalar};

pub struct Program {
    pub graph: Graph,
    pub inputs: Vec<Array>,
    pub slots: Vec<Scalar>,
    /// Inputs that may be overwritten, as an optimizer step asks for it.
    pub donations: Vec<Donation>,
}
