//! The distribution's packages that are installed, as one table per need.

use anyhow::Result;

use super::{Requirement, apt};
use crate::command::which;

/// Packages that are installed together because the same commands need them.
pub struct Packages {
    purpose: &'static str,
    packages: &'static [Package],
}

/// A package, and how to see that the machine has what it brings.
struct Package {
    name: &'static str,
    /// A program that makes the package unnecessary wherever it comes from; libraries have none.
    program: Option<&'static str>,
}

const fn program(name: &'static str, program: &'static str) -> Package {
    Package { name, program: Some(program) }
}

const fn library(name: &'static str) -> Package {
    Package { name, program: None }
}

/// What compiling takes besides the BPF compiler and linker.
pub const BUILD: Packages = Packages {
    purpose: "to build",
    packages: &[
        program("gcc", "cc"),
        library("libc6-dev"),
        // Its libpcap.a is linked into netobs, which compiles filters with it.
        library("libpcap-dev"),
    ],
};

/// What the lab, the demo and the integration tests run beside netobs.
pub const LAB: Packages = Packages {
    purpose: "for the lab and the tests",
    packages: &[
        program("iproute2", "ip"),
        program("nftables", "nft"),
        program("iptables", "iptables"),
        program("conntrack", "conntrack"),
        program("iputils-ping", "ping"),
        program("iperf3", "iperf3"),
        program("tcpdump", "tcpdump"),
        program("bpftool", "bpftool"),
        program("procps", "sysctl"),
        program("util-linux", "unshare"),
    ],
};

/// A real container engine, and what its containers run. The tests start the engine in namespaces of its own.
pub const TESTS: Packages = Packages {
    purpose: "for the tests with a container engine",
    packages: &[program("docker.io", "dockerd"), program("busybox-static", "busybox")],
};

/// What images for the emulated machines are made of and with.
pub const MACHINES: Packages = Packages {
    purpose: "for the emulated machines",
    packages: &[
        program("busybox-static", "busybox"),
        program("kmod", "depmod"),
        program("xz-utils", "xz"),
        program("zstd", "zstd"),
        // For `strip`: test executables carry more debug information than an emulated machine has memory for.
        program("binutils", "strip"),
    ],
};

impl Packages {
    fn names(&self) -> Result<Vec<&'static str>> {
        let lacking = self.packages.iter().filter(|package| package.program.is_none_or(|name| which(name).is_none()));
        apt::not_installed(lacking.map(|package| package.name))
    }
}

impl Requirement for Packages {
    fn missing(&self) -> Result<Option<String>> {
        let names = self.names()?;
        Ok((!names.is_empty()).then(|| format!("packages {}: {}", self.purpose, names.join(" "))))
    }

    fn install(&self) -> Result<()> {
        apt::install(&self.names()?)
    }
}
