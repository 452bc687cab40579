//! Types as C writes them.

use std::fmt::Write as _;

use super::image::Record;
use super::kind::Kind;
use super::types::{DEPTH, Types, array};

/// Where rendering gives up: no declaration of the kernel's comes near, and a circle of function types must end.
const LONGEST: usize = 1024;

impl Types<'_> {
    /// A type's name in C, without a declarator: `struct sk_buff *`, `const char *`, `int (*)(struct net *)`.
    pub(super) fn render(&self, id: u32) -> String {
        let mut out = String::new();
        self.write(id, DEPTH, &mut out);
        out
    }

    fn write(&self, id: u32, depth: u32, out: &mut String) {
        if id == 0 {
            out.push_str("void");
            return;
        }
        let (Some(record), Some(depth)) = (self.record(id), depth.checked_sub(1).filter(|_| out.len() < LONGEST))
        else {
            out.push('?');
            return;
        };
        match record.kind() {
            Kind::Int | Kind::Float | Kind::Typedef => out.push_str(self.string(record.name)),
            Kind::Struct => self.write_tagged("struct", &record, out),
            Kind::Union => self.write_tagged("union", &record, out),
            Kind::Enum | Kind::Enum64 => self.write_tagged("enum", &record, out),
            Kind::Fwd => self.write_tagged(if record.flag() { "union" } else { "struct" }, &record, out),
            Kind::Ptr => self.write_pointer(record.target(), depth, out),
            Kind::Const => self.write_qualified("const", record.target(), depth, out),
            Kind::Volatile => self.write_qualified("volatile", record.target(), depth, out),
            Kind::Restrict => self.write_qualified("restrict", record.target(), depth, out),
            // `__user`, `__rcu` and the like: no part of the type.
            Kind::TypeTag | Kind::DeclTag => self.write(record.target(), depth, out),
            Kind::Array => match array(&record) {
                Some((element, length)) => {
                    self.write(element, depth, out);
                    let _ = write!(out, "[{length}]");
                }
                None => out.push('?'),
            },
            Kind::FuncProto => self.write_function("", &record, depth, out),
            Kind::Func | Kind::Var | Kind::Datasec | Kind::Other(_) => out.push('?'),
        }
    }

    fn write_tagged(&self, keyword: &str, record: &Record<'_>, out: &mut String) {
        let name = self.string(record.name);
        let _ = write!(out, "{keyword} {}", if name.is_empty() { "{...}" } else { name });
    }

    fn write_pointer(&self, target: u32, depth: u32, out: &mut String) {
        if let Some(function) = self.record(target).filter(|record| record.kind() == Kind::FuncProto) {
            self.write_function("(*)", &function, depth, out);
            return;
        }
        self.write(target, depth, out);
        out.push_str(if out.ends_with('*') { "*" } else { " *" });
    }

    /// A qualifier stands before a plain type and after a pointer.
    fn write_qualified(&self, qualifier: &str, target: u32, depth: u32, out: &mut String) {
        if self.record(target).is_some_and(|record| record.kind() == Kind::Ptr) {
            self.write(target, depth, out);
            let _ = write!(out, " {qualifier}");
        } else {
            let _ = write!(out, "{qualifier} ");
            self.write(target, depth, out);
        }
    }

    fn write_function(&self, name: &str, record: &Record<'_>, depth: u32, out: &mut String) {
        self.write(record.target(), depth, out);
        let _ = write!(out, " {name}(");
        for (index, [_, id]) in record.elements::<2>().enumerate() {
            if out.len() >= LONGEST {
                break;
            }
            out.push_str(if index == 0 { "" } else { ", " });
            self.write(id, depth, out);
        }
        out.push(')');
    }
}
