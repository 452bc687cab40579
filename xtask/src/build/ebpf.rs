//! Compiling `netobs-ebpf` for BPF.

use anyhow::{Context, Result};

use super::Progress;
use crate::command::{CommandExt, clean_cargo};
use crate::project::Project;
use crate::setup::compiler::{Compiler, TARGET};
use crate::setup::linker::BpfLinker;

/// The crates that may use unstable features of a stable compiler. aya-ebpf uses one, and its macros expand to it.
const UNSTABLE_CRATES: &str = "aya_ebpf,aya_ebpf_bindings,aya_ebpf_cty,aya_log_ebpf,aya_log_common,netobs_ebpf";

/// The profile, written out so that no setting of the workspace's release profile for the host gets in.
const PROFILE: [(&str, &str); 8] = [
    ("OPT_LEVEL", "3"),
    // With less than full debug information the BTF has functions without types, which the kernel refuses
    // ("FUNC … Invalid type_id").
    ("DEBUG", "2"),
    ("STRIP", "none"),
    ("CODEGEN_UNITS", "1"),
    // bpf-linker does this itself.
    ("LTO", "off"),
    ("PANIC", "abort"),
    ("OVERFLOW_CHECKS", "false"),
    ("DEBUG_ASSERTIONS", "false"),
];

/// Builds the object at [`Project::ebpf_object`].
pub fn build(project: &Project, progress: Progress) -> Result<()> {
    let compiler = Compiler::find()?.context("no Rust compiler for BPF: run `cargo xtask setup`")?;
    let linker = BpfLinker::new(project).path(compiler.llvm());
    let flags = [
        format!("-Clinker={}", linker.display()),
        "-Clink-arg=--btf".to_owned(),
        // Without this every array that is zeroed becomes a call of a loop over its bytes, which is slow to run, and
        // slower still to verify: on 6.1 it made most of the work.
        "-Clink-arg=--disable-expand-memcpy-in-order".to_owned(),
        "-Ctarget-cpu=v3".to_owned(),
        "-Dwarnings".to_owned(),
    ];
    let mut cargo = clean_cargo();
    cargo
        .args(["build", "--package=netobs-ebpf", "--features=programs", "--bin=netobs-ebpf", "--release"])
        .args(["--target", TARGET, "--target-dir"])
        .arg(project.ebpf_target())
        .args(progress.argument())
        .env("RUSTC", compiler.rustc())
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        .envs(PROFILE.map(|(setting, value)| (format!("CARGO_PROFILE_RELEASE_{setting}"), value)))
        .current_dir(project.root());
    if compiler.builds_core() {
        cargo.arg("-Zbuild-std=core").env("RUSTC_BOOTSTRAP", "1");
    } else {
        cargo.env("RUSTC_BOOTSTRAP", UNSTABLE_CRATES);
    }
    cargo.run().with_context(|| format!("cannot compile the eBPF programs with {compiler}"))
}
