//! Enums: names to values and back.

use std::collections::HashMap;

use super::kind::Kind;
use super::types::Types;

/// The enumerators of one enum, in the order of its declaration.
#[derive(Clone, Debug, Default)]
pub struct EnumValues {
    entries: Vec<(String, i64)>,
    by_name: HashMap<String, usize>,
    by_value: HashMap<i64, usize>,
}

impl EnumValues {
    /// The value of an enumerator. Unsigned 64-bit values beyond `i64::MAX` come out negative, bit for bit.
    pub fn value(&self, name: &str) -> Option<i64> {
        self.entries.get(*self.by_name.get(name)?).map(|(_, value)| *value)
    }

    /// The enumerator of a value: the first one declared, where several share it.
    pub fn name(&self, value: i64) -> Option<&str> {
        self.entries.get(*self.by_value.get(&value)?).map(|(name, _)| name.as_str())
    }

    /// All names and values, in the order of the declaration.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, i64)> {
        self.entries.iter().map(|(name, value)| (name.as_str(), *value))
    }

    /// How many enumerators there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl<S: Into<String>> FromIterator<(S, i64)> for EnumValues {
    fn from_iter<I: IntoIterator<Item = (S, i64)>>(entries: I) -> Self {
        let mut values = Self::default();
        for (name, value) in entries {
            let (name, index) = (name.into(), values.entries.len());
            values.by_name.entry(name.clone()).or_insert(index);
            values.by_value.entry(value).or_insert(index);
            values.entries.push((name, value));
        }
        values
    }
}

impl Types<'_> {
    /// The value of an enumerator, if this is the record of an enum without a name, 32 bits wide, that has it.
    pub(super) fn enumerator(&self, id: u32, name: &str) -> Option<i64> {
        let record = self.record(id).filter(|record| record.name == 0 && record.kind() == Kind::Enum)?;
        let is_it = |[known, _]: &[u32; 2]| self.string(*known) == name;
        record.elements::<2>().find(is_it).and_then(|_| self.enum_values(id)?.value(name))
    }

    /// The enumerators of an enum's record.
    pub(super) fn enum_values(&self, id: u32) -> Option<EnumValues> {
        let record = self.record(id)?;
        let signed = record.flag();
        if record.kind() == Kind::Enum64 {
            let wide = |[name, low, high]: [u32; 3]| {
                (self.string(name), (u64::from(high) << 32 | u64::from(low)).cast_signed())
            };
            return Some(record.elements::<3>().map(wide).collect());
        }
        // The kind flag says "signed" since 6.0; before that every enumerator was taken for signed.
        let narrow = |[name, value]: [u32; 2]| {
            (self.string(name), if signed { i64::from(value.cast_signed()) } else { i64::from(value) })
        };
        (record.kind() == Kind::Enum).then(|| record.elements::<2>().map(narrow).collect())
    }
}
