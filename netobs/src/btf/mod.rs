//! The running kernel's own description of its types: a small reader of BTF.
//!
//! Rust has no CO-RE relocation, so user space looks the few fields the programs need up here and hands them over as
//! offsets. Only what that takes is read: struct and union members, enums, functions and tracepoint prototypes. Every
//! caller asks its questions once and drops the [`Btf`], which frees all of it.
//!
//! `image` is one blob, `types` a base blob seen together with at most one module's, `member` the walk along a dotted
//! path, `render` types as C writes them, `modules` which modules' blobs are worth reading.
//!
//! Format: `Documentation/bpf/btf.rst` and `include/uapi/linux/btf.h`, read as of 7.1 (24-bit vlen, layout section).

mod enums;
mod image;
mod kind;
mod member;
mod modules;
mod prototype;
mod render;
#[cfg(test)]
mod running;
#[cfg(test)]
mod tests;
mod types;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

pub use enums::EnumValues;
pub use image::Malformed;
pub use member::{Bits, Field};
pub use prototype::{Param, Prototype};

use image::Image;
use kind::Kind;
use modules::Modules;
use types::Types;

/// Where the kernel shows its BTF, one file for the kernel proper (`vmlinux`) and one for each loaded module.
const SYSFS: &str = "/sys/kernel/btf";

/// Why the kernel's types cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BtfError {
    /// No such file: the kernel was built without `CONFIG_DEBUG_INFO_BTF`, or `/sys` is not mounted.
    #[error("{path}: not there (the kernel was built without CONFIG_DEBUG_INFO_BTF, or /sys is not mounted)")]
    Absent {
        /// The file looked for.
        path: PathBuf,
    },
    /// The file is there and cannot be read.
    #[error("{path}: {source}")]
    Unreadable {
        /// The file that was read.
        path: PathBuf,
        /// What reading it returned.
        source: std::io::Error,
    },
    /// The file was read and is not BTF as we know it.
    #[error("{name}: {source}")]
    Malformed {
        /// File or module.
        name: String,
        /// What is wrong with it.
        source: Malformed,
    },
}

/// The types of one kernel and its networking modules.
///
/// # Minimum kernel version
///
/// 5.4 for vmlinux, 5.11 for modules; both need `CONFIG_DEBUG_INFO_BTF`.
///
/// ```no_run
/// # fn main() -> Result<(), netobs::btf::BtfError> {
/// let btf = netobs::btf::Btf::from_kernel()?;
/// let dev = btf.field("sk_buff.dev").map_or(u32::MAX, |field| field.offset);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Btf {
    base: Image,
    /// Read when something is first looked for that vmlinux does not have.
    modules: OnceLock<Modules>,
    directory: Option<PathBuf>,
}

impl Btf {
    /// The running kernel's types, from `/sys/kernel/btf/vmlinux`. Modules' are read when first needed.
    ///
    /// # Errors
    /// No BTF, or BTF that cannot be read; one line that says which.
    pub fn from_kernel() -> Result<Self, BtfError> {
        Self::from_directory(Path::new(SYSFS))
    }

    /// As [`Self::from_kernel`], from a copy of a kernel's `/sys/kernel/btf`.
    ///
    /// # Errors
    /// As [`Self::from_kernel`].
    pub fn from_directory(directory: &Path) -> Result<Self, BtfError> {
        let path = directory.join("vmlinux");
        let bytes = std::fs::read(&path).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => BtfError::Absent { path: path.clone() },
            _ => BtfError::Unreadable { path: path.clone(), source },
        })?;
        let base = Image::parse(bytes, None)
            .map_err(|source| BtfError::Malformed { name: path.display().to_string(), source })?;
        Ok(Self { base, modules: OnceLock::new(), directory: Some(directory.to_owned()) })
    }

    /// The types in `bytes` alone, without modules.
    ///
    /// # Errors
    /// `bytes` is not BTF of this machine's byte order.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, BtfError> {
        let base =
            Image::parse(bytes, None).map_err(|source| BtfError::Malformed { name: "BTF".to_owned(), source })?;
        Ok(Self { base, modules: OnceLock::new(), directory: None })
    }

    /// Modules that are loaded but whose BTF could not be used, with the reason. Empty while nothing has been looked
    /// for outside vmlinux.
    pub fn unusable_modules(&self) -> &[(String, BtfError)] {
        self.modules.get().map_or(&[], |modules| &modules.unusable)
    }

    /// Where a field lies, by dotted path from a struct, union or typedef: `sk_buff.network_header`,
    /// `sock.__sk_common.skc_family`. Anonymous structs and unions on the way are looked through; pointers are not
    /// followed. `None`: this kernel has no such type or field.
    pub fn field(&self, path: &str) -> Option<Field> {
        let (head, rest) = path.split_once('.')?;
        let (types, id) = self.value_type(head)?;
        types.field(id, rest)
    }

    /// The first of `paths` that this kernel has, for fields that were moved or renamed.
    pub fn field_any(&self, paths: &[&str]) -> Option<Field> {
        paths.iter().find_map(|path| self.field(path))
    }

    /// Size in bytes of a struct, union, enum, integer or typedef.
    pub fn size_of(&self, name: &str) -> Option<u32> {
        let (types, id) = self.value_type(name)?;
        types.size(id)
    }

    /// Names and values of an enum, 32 or 64 bits wide, in the order of its declaration.
    pub fn enum_values(&self, name: &str) -> Option<EnumValues> {
        let (types, id) = self.find(name, |kind| matches!(kind, Kind::Enum | Kind::Enum64))?;
        types.enum_values(id)
    }

    /// The value of an enumerator of one of the kernel's enums that have no name. Modules' are not looked through.
    pub fn enumerator(&self, name: &str) -> Option<i64> {
        let types = Types::of(&self.base);
        self.base.ids().find_map(|id| types.enumerator(id, name))
    }

    /// Whether the kernel or a networking module has a function of this name in its BTF. A function that was inlined
    /// everywhere is absent; one that is present may still refuse to be attached to.
    pub fn has_function(&self, name: &str) -> bool {
        self.find(name, |kind| kind == Kind::Func).is_some()
    }

    /// A function's prototype.
    pub fn function(&self, name: &str) -> Option<Prototype> {
        let (types, id) = self.find(name, |kind| kind == Kind::Func)?;
        types.prototype(types.record(id)?.target())
    }

    /// What a `tp_btf` program on this tracepoint gets, from the typedef `btf_trace_<name>` (`__DEFINE_TRACE_PROTO`,
    /// 5.5), without the `void *__data` that never reaches the program. The argument names come from
    /// `__traceiter_<name>` (5.10), since a function type has none; where that is missing they are empty.
    pub fn tracepoint(&self, name: &str) -> Option<Prototype> {
        let (types, id) = self.find(&format!("btf_trace_{name}"), |kind| kind == Kind::Typedef)?;
        let pointer = types.record(types.strip(id)?)?;
        let mut prototype = (pointer.kind() == Kind::Ptr).then(|| types.prototype(pointer.target()))??;
        if prototype.params.is_empty() {
            return None;
        }
        prototype.params.remove(0);
        if let Some(iterator) = self.function(&format!("__traceiter_{name}")) {
            prototype.take_names(iterator.params.into_iter().skip(1));
        }
        Some(prototype)
    }

    /// A type by name. In C a struct and a typedef may share one, and in two source files a struct and an enum
    /// (`format_state`, 6.18): the struct is meant.
    fn value_type(&self, name: &str) -> Option<(Types<'_>, u32)> {
        self.search(|types| types.find(name, Kind::is_composite).or_else(|| types.find(name, Kind::names_a_value)))
    }

    fn find(&self, name: &str, wanted: impl Fn(Kind) -> bool + Copy) -> Option<(Types<'_>, u32)> {
        self.search(|types| types.find(name, wanted))
    }

    /// What `look` finds in vmlinux, else in the first of the networking modules that has it.
    fn search(&self, look: impl Fn(&Types<'_>) -> Option<u32>) -> Option<(Types<'_>, u32)> {
        let base = Types::of(&self.base);
        if let Some(id) = look(&base) {
            return Some((base, id));
        }
        self.modules().images.iter().find_map(|image| {
            let types = Types::split(&self.base, image);
            look(&types).map(|id| (types, id))
        })
    }

    fn modules(&self) -> &Modules {
        self.modules.get_or_init(|| match &self.directory {
            Some(directory) => Modules::read(directory, &self.base),
            None => Modules::default(),
        })
    }
}
