//! What a module may be made of: parameters, containers of modules, and configuration that holds
//! nothing.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use gradus_tensor::{DType, Device, Parameter, Shape, Tensor, Variable};

use super::{Layer, Mode, Module, Part, Visitor};

impl Module for Parameter {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        visitor.part(Part::Parameter(self));
    }
}

impl Module for Variable {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        visitor.part(Part::Buffer(self));
    }
}

impl Module for Mode {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        visitor.part(Part::Mode(self));
    }
}

/// A module or none; the option adds nothing to names.
impl<M: Module> Module for Option<M> {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        if let Some(module) = self {
            module.visit(visitor);
        }
    }
}

macro_rules! pointers {
    ($($pointer:ty),*) => {$(
        /// A module held by a pointer, which adds nothing to names. One that is shared shares its
        /// parameters.
        impl<M: Module + ?Sized> Module for $pointer {
            fn visit(&self, visitor: &mut Visitor<'_>) {
                (**self).visit(visitor);
            }
        }

        impl<M: Layer + ?Sized> Layer for $pointer {
            #[track_caller]
            fn forward(&self, input: &Tensor) -> Tensor {
                (**self).forward(input)
            }
            fn describe(&self) -> String {
                (**self).describe()
            }
        }
    )*};
}
pointers!(&M, Box<M>, Rc<M>, Arc<M>);

/// Modules under their positions: PyTorch's `ModuleList`.
impl<M: Module> Module for [M] {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        for (i, module) in self.iter().enumerate() {
            visitor.child(i, module);
        }
    }
}

/// Modules under their positions.
impl<M: Module> Module for Vec<M> {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        self.as_slice().visit(visitor);
    }
}

/// Modules under their positions.
impl<M: Module, const N: usize> Module for [M; N] {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        self.as_slice().visit(visitor);
    }
}

/// Modules under names of their own: PyTorch's `ModuleDict`.
impl<M: Module> Module for BTreeMap<String, M> {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        for (name, module) in self {
            visitor.child(name, module);
        }
    }
}

macro_rules! tuples {
    ($($($M:ident $i:tt),+;)*) => {$(
        /// Modules under their positions.
        impl<$($M: Module),+> Module for ($($M,)+) {
            fn visit(&self, visitor: &mut Visitor<'_>) {
                $(visitor.child($i, &self.$i);)+
            }
        }
    )*};
}
tuples! {
    A 0;
    A 0, B 1;
    A 0, B 1, C 2;
    A 0, B 1, C 2, D 3;
    A 0, B 1, C 2, D 3, E 4;
    A 0, B 1, C 2, D 3, E 4, F 5;
    A 0, B 1, C 2, D 3, E 4, F 5, G 6;
    A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7;
}

macro_rules! configuration {
    ($($t:ty),* $(,)?) => {$(
        /// Configuration, which holds no parameters.
        impl Module for $t {
            fn visit(&self, _: &mut Visitor<'_>) {}
        }
    )*};
}
configuration! {
    (), bool, char, str, String, PathBuf, Duration,
    u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize, f32, f64,
    DType, Device, Shape,
}

/// Nothing at all.
impl<T: ?Sized> Module for PhantomData<T> {
    fn visit(&self, _: &mut Visitor<'_>) {}
}
