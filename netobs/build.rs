//! interim
fn main() {
    let p = std::env::var("NETOBS_EBPF_OBJECT").unwrap_or_else(|_| format!("{}/../target/ebpf/bpfel-unknown-none/release/netobs-ebpf", env!("CARGO_MANIFEST_DIR")));
    println!("cargo:rerun-if-changed={p}");
    println!("cargo:rerun-if-env-changed=NETOBS_EBPF_OBJECT");
    println!("cargo:rustc-env=NETOBS_EBPF_OBJECT={p}");
}
