//! Stand-ins for the capture back ends of a static libpcap.
//!
//! `pcap.o` holds the functions that open handles, and with them a table of everything that can capture: D-Bus,
//! Bluetooth, USB, RDMA, netfilter, the kernel's packet socket. The linker would draw in all of them together with the
//! shared libraries that they need, for functions that are never called here. With these definitions found first, it has
//! no reason to. Each answers "no devices" or "cannot be opened".

use std::ffi::{c_int, c_void};
use std::hint::black_box;
use std::ptr;

/// Makes the linker load this module before it looks for the same names in libpcap.
pub(super) fn keep() {
    black_box(pcap_create_interface as *const () as usize);
}

/// Back ends: `NAME_findalldevs(list, error)` and `NAME_create(device, error, is_ours)`.
macro_rules! back_ends {
    ($($create:ident $find:ident),* $(,)?) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $create(_device: *const c_void, _error: *mut c_void, is_ours: *mut c_int) -> *mut c_void {
            if !is_ours.is_null() {
                // SAFETY: libpcap passes the address of an int of its own.
                unsafe { *is_ours = 0 };
            }
            ptr::null_mut()
        }

        #[unsafe(no_mangle)]
        extern "C" fn $find(_list: *mut c_void, _error: *mut c_void) -> c_int {
            -1
        }
    )*};
}

back_ends!(
    bt_create bt_findalldevs,
    bt_monitor_create bt_monitor_findalldevs,
    dbus_create dbus_findalldevs,
    netfilter_create netfilter_findalldevs,
    rdmasniff_create rdmasniff_findalldevs,
    usb_create usb_findalldevs,
);

/// The packet socket's place in `pcap_create`.
#[unsafe(no_mangle)]
extern "C" fn pcap_create_interface(_device: *const c_void, _error: *mut c_void) -> *mut c_void {
    ptr::null_mut()
}

/// The packet socket's place in `pcap_findalldevs`.
#[unsafe(no_mangle)]
extern "C" fn pcap_platform_finddevs(_list: *mut c_void, _error: *mut c_void) -> c_int {
    -1
}
