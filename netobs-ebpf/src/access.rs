//! One way to read kernel memory, whatever the verifier allows the program type.

use core::mem::MaybeUninit;
use core::ptr::read_volatile;

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use netobs_ebpf::{Bits, Layout, MISSING};

/// Filled by user space before the object is loaded, then frozen: to the verifier each field is a constant.
#[unsafe(no_mangle)]
pub static LAYOUT: Layout = Layout::NONE;

/// Reads a global that user space replaces before loading, so that the compiler cannot take the initial value for the
/// real one.
#[inline(always)]
pub fn constant<T: Copy>(global: &'static T) -> T {
    // SAFETY: a reference is valid to read.
    unsafe { read_volatile(global) }
}

/// The offset of a field, by its name in [`Layout`].
macro_rules! offset {
    ($field:ident) => {
        crate::access::constant(&crate::access::LAYOUT.$field)
    };
}
pub(crate) use offset;

/// Reads a field of a kernel object.
pub trait Access {
    /// The value at `base + offset`, or zero if the kernel has no such field or the memory cannot be read.
    ///
    /// # Safety
    /// `base` is a kernel pointer of the type that `offset` belongs to.
    unsafe fn read<T: Copy>(base: *const u8, offset: u32) -> T;

    /// The value of a bit field, or zero.
    ///
    /// # Safety
    /// As for [`Access::read`].
    #[inline(always)]
    unsafe fn read_bits(base: *const u8, bits: &'static Bits) -> u8 {
        // SAFETY: as the caller vouches.
        unsafe {
            let value: u8 = Self::read(base, constant(&bits.byte));
            (value >> (constant(&bits.shift) & 7)) & constant(&bits.mask)
        }
    }
}

/// For tp_btf: the verifier knows the pointer's type and lets the program load from it directly. A bad address reads
/// as zero.
pub struct Typed;

impl Access for Typed {
    #[inline(always)]
    unsafe fn read<T: Copy>(base: *const u8, offset: u32) -> T {
        if offset == MISSING {
            // SAFETY: only integers and raw pointers are read.
            return unsafe { MaybeUninit::zeroed().assume_init() };
        }
        // SAFETY: the verifier checks the load against the kernel's own BTF.
        unsafe { read_volatile(base.add(offset as usize).cast()) }
    }
}

/// For every other program type, and for memory the verifier has no type for.
pub struct Probed;

impl Access for Probed {
    #[inline(always)]
    unsafe fn read<T: Copy>(base: *const u8, offset: u32) -> T {
        let mut value = MaybeUninit::<T>::zeroed();
        if offset != MISSING {
            // SAFETY: the helper checks the source; on failure it leaves zeroes.
            unsafe {
                bpf_probe_read_kernel(
                    value.as_mut_ptr().cast(),
                    size_of::<T>() as u32,
                    base.add(offset as usize).cast(),
                );
            }
        }
        // SAFETY: only integers and raw pointers are read, and zero is a value of each.
        unsafe { value.assume_init() }
    }
}
