//! Rows of a table that programs count in.

use aya::Pod;
use aya::maps::{MapData, MapError, PerCpuHashMap};

/// Takes out the rows of what is gone.
///
/// # Errors
/// The kernel does not let go of one.
pub(super) fn forget<K: Pod, V: Pod>(
    table: &mut PerCpuHashMap<MapData, K, V>,
    is_gone: impl Fn(&K) -> bool,
) -> Result<(), MapError> {
    let keys: Vec<K> = table.keys().collect::<Result<_, _>>()?;
    for key in keys.iter().filter(|key| is_gone(key)) {
        match table.remove(key) {
            Ok(()) | Err(MapError::KeyNotFound) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
