//! Finds the eBPF object that the binary embeds, and links libpcap.

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Names the object to embed instead of the one `cargo xtask build` makes.
const VARIABLE: &str = "NETOBS_EBPF_OBJECT";
const DEFAULT: &str = "../target/ebpf/bpfel-unknown-none/release/netobs-ebpf";

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed=build.rs");
    link_libpcap();
    match embed_ebpf_object() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("cargo::error={error}");
            ExitCode::FAILURE
        }
    }
}

/// Tells the compiler the object's path, for `include_bytes!`.
fn embed_ebpf_object() -> Result<(), String> {
    println!("cargo::rerun-if-env-changed={VARIABLE}");
    let object = match env::var_os(VARIABLE) {
        Some(path) => PathBuf::from(path),
        None => Path::new(&env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join(DEFAULT),
    };
    println!("cargo::rerun-if-changed={}", object.display());
    let found =
        object.canonicalize().map_err(|_| "the eBPF object is not built: run `cargo xtask build`".to_owned())?;
    println!("cargo::rustc-env={VARIABLE}={}", found.display());
    Ok(())
}

/// libpcap goes into the binary, so that the binary alone runs elsewhere. `LIBPCAP_LIBDIR` names the directory of a
/// `libpcap.a` that is not where the linker looks by itself.
fn link_libpcap() {
    println!("cargo::rerun-if-env-changed=LIBPCAP_LIBDIR");
    if let Ok(directory) = env::var("LIBPCAP_LIBDIR") {
        println!("cargo::rustc-link-search=native={directory}");
    }
    // Not bundled: as an archive of its own it comes after this package's objects, whose stand-ins for libpcap's
    // capture back ends (`filter/libpcap_stubs.rs`) the linker must have seen first.
    println!("cargo::rustc-link-lib=static:-bundle=pcap");
}
