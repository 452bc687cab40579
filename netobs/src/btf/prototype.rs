//! Prototypes of functions and tracepoints.

use std::fmt;

use super::kind::Kind;
use super::types::Types;

/// What a function takes and returns, types written as C writes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prototype {
    /// Its parameters, in order.
    pub params: Vec<Param>,
    /// Its return type.
    pub ret: String,
}

/// One parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Param {
    /// Its name; empty where the kernel does not tell.
    pub name: String,
    /// Its type: `struct sk_buff *`.
    pub ty: String,
}

impl Prototype {
    /// The index of the parameter with this name.
    pub fn named(&self, name: &str) -> Option<usize> {
        self.params.iter().position(|param| param.name == name)
    }

    /// The index of the first parameter of this type, written as C writes it.
    pub fn typed(&self, ty: &str) -> Option<usize> {
        self.params.iter().position(|param| param.ty == ty)
    }

    /// Fills the names in from another declaration of the same function, if it is the same: as many parameters.
    pub(super) fn take_names(&mut self, others: impl ExactSizeIterator<Item = Param>) {
        if others.len() == self.params.len() {
            for (mine, other) in self.params.iter_mut().zip(others) {
                if mine.name.is_empty() && mine.ty == other.ty {
                    mine.name = other.name;
                }
            }
        }
    }
}

impl fmt::Display for Prototype {
    /// As the table of kernel functions writes it: `(struct sk_buff *skb, int) -> int`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(")?;
        for (index, Param { name, ty }) in self.params.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            let space = if name.is_empty() || ty.ends_with('*') { "" } else { " " };
            write!(f, "{comma}{ty}{space}{name}")?;
        }
        write!(f, ") -> {}", self.ret)
    }
}

impl Types<'_> {
    /// The prototype of a function type's record.
    pub(super) fn prototype(&self, id: u32) -> Option<Prototype> {
        let record = self.record(id).filter(|record| record.kind() == Kind::FuncProto)?;
        let param = |[name, id]: [u32; 2]| {
            // The last parameter of a variadic function has neither name nor type.
            let ty = if name == 0 && id == 0 { "...".to_owned() } else { self.render(id) };
            Param { name: self.string(name).to_owned(), ty }
        };
        Some(Prototype { params: record.elements::<2>().map(param).collect(), ret: self.render(record.target()) })
    }
}
