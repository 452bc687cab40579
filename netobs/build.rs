//! Links the static libpcap.

fn main() {
    link_libpcap();
}

/// libpcap goes into the binary, so that the binary alone runs elsewhere. `LIBPCAP_LIBDIR` names the directory of a
/// `libpcap.a` that is not where the linker looks by itself.
fn link_libpcap() {
    println!("cargo::rerun-if-env-changed=LIBPCAP_LIBDIR");
    if let Ok(directory) = std::env::var("LIBPCAP_LIBDIR") {
        println!("cargo::rustc-link-search=native={directory}");
    }
    // Not bundled: as an archive of its own it comes after this package's objects, whose stand-ins for libpcap's
    // capture back ends (`filter/libpcap_stubs.rs`) the linker must have seen first.
    println!("cargo::rustc-link-lib=static:-bundle=pcap");
}
