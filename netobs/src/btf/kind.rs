//! The kinds of BTF records, and how many bytes follow each.

/// What a record describes: `BTF_KIND_*` of `include/uapi/linux/btf.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Int,
    Ptr,
    Array,
    Struct,
    Union,
    Enum,
    Fwd,
    Typedef,
    Volatile,
    Const,
    Restrict,
    Func,
    FuncProto,
    Var,
    Datasec,
    Float,
    DeclTag,
    TypeTag,
    Enum64,
    /// One that we do not know. Its length is only known where the blob says it (layout section, 7.1).
    Other(u8),
}

impl Kind {
    /// Bits 24 to 30 of a record's `info`. Up to 7.0 only five of them were in use and the rest was 0.
    pub(super) fn of(info: u32) -> Self {
        match (info >> 24) & 0x7f {
            1 => Self::Int,
            2 => Self::Ptr,
            3 => Self::Array,
            4 => Self::Struct,
            5 => Self::Union,
            6 => Self::Enum,
            7 => Self::Fwd,
            8 => Self::Typedef,
            9 => Self::Volatile,
            10 => Self::Const,
            11 => Self::Restrict,
            12 => Self::Func,
            13 => Self::FuncProto,
            14 => Self::Var,
            15 => Self::Datasec,
            16 => Self::Float,
            17 => Self::DeclTag,
            18 => Self::TypeTag,
            19 => Self::Enum64,
            other => Self::Other(u8::try_from(other).unwrap_or(u8::MAX)),
        }
    }

    /// Bytes after the record's head: once, and for each of its `vlen` elements. `None` for a kind we do not know.
    pub(super) fn layout(self) -> Option<(usize, usize)> {
        Some(match self {
            Self::Int | Self::Var | Self::DeclTag => (4, 0),
            Self::Array => (12, 0),
            Self::Struct | Self::Union | Self::Datasec | Self::Enum64 => (0, 12),
            Self::Enum | Self::FuncProto => (0, 8),
            // A function's vlen is its linkage and counts nothing.
            Self::Ptr
            | Self::Fwd
            | Self::Typedef
            | Self::Volatile
            | Self::Const
            | Self::Restrict
            | Self::Func
            | Self::Float
            | Self::TypeTag => (0, 0),
            Self::Other(_) => return None,
        })
    }

    /// Whether the record only stands for another type: typedefs, qualifiers, tags.
    pub(super) fn is_alias(self) -> bool {
        matches!(self, Self::Typedef | Self::Volatile | Self::Const | Self::Restrict | Self::TypeTag)
    }

    /// Whether the record has members.
    pub(super) fn is_composite(self) -> bool {
        matches!(self, Self::Struct | Self::Union)
    }

    /// Whether a value can have this type and the type have a name.
    pub(super) fn names_a_value(self) -> bool {
        matches!(self, Self::Int | Self::Struct | Self::Union | Self::Enum | Self::Typedef | Self::Float | Self::Enum64)
    }

    /// Whether anybody looks such a record up by its name.
    pub(super) fn is_looked_up(self) -> bool {
        self.names_a_value() || self == Self::Func
    }
}
