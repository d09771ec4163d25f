// SPDX-License-Identifier: GPL-2.0-only

//! The compilers and linkers that kernels are built with.

use std::path::Path;
use std::process::Command;
use std::thread;

use anyhow::{Result, ensure};

use super::config;
use crate::command::command;
use crate::layout::Layout;
use crate::root::{Root, Rust};
use crate::setup;

/// Compilers and linkers, C's and Rust's.
#[derive(Clone, Copy, PartialEq)]
pub enum Toolchain {
    /// clang and lld 19 with the newest Rust, which this machine has.
    Machine,
    /// The tools of a Debian 13 root.
    Root {
        rust: Rust,
        /// clang and lld instead of GCC and GNU ld.
        llvm: bool,
    },
}

impl Toolchain {
    /// GCC and GNU ld with the oldest Rust and bindgen that the kernel supports.
    pub const GCC_OLDEST: Self = Self::Root {
        rust: Rust::Oldest,
        llvm: false,
    };

    /// GCC and GNU ld with the newest Rust.
    pub const GCC_NEWEST: Self = Self::Root {
        rust: Rust::Newest,
        llvm: false,
    };

    /// clang and lld with the oldest Rust and bindgen.
    pub const CLANG_OLDEST: Self = Self::Root {
        rust: Rust::Oldest,
        llvm: true,
    };

    /// make in a kernel tree, which builds in `output`, an absolute path, with as many jobs as
    /// there are processors.
    pub fn make(self, layout: &Layout, tree: &Path, output: &Path, arch: &str) -> Result<Command> {
        let mut make = match self {
            Self::Machine => command("make"),
            Self::Root { rust, .. } => {
                let shared = [&layout.overlay, &layout.cache, tree, output];
                Root::make(layout, rust)?.command(&shared, "make")?
            }
        };
        make.arg(format!("-j{}", thread::available_parallelism()?))
            .arg("-C")
            .arg(tree)
            .arg(format!("O={}", output.display()))
            .arg(format!("ARCH={arch}"))
            .args(["KBUILD_BUILD_USER=kexec", "KBUILD_BUILD_HOST=purgatory"]);
        match self {
            Self::Machine => {
                make.arg("LLVM=-19")
                    .args(["RUSTC=/usr/bin/rustc", "HOSTRUSTC=/usr/bin/rustc"])
                    .arg(format!("BINDGEN={}", setup::bindgen(layout)?.display()))
                    .env("LIBCLANG_PATH", setup::LIBCLANG);
            }
            Self::Root { llvm, .. } => {
                make.args(llvm.then_some("LLVM=1"));
            }
        }
        Ok(make)
    }

    /// Fails unless `config`, the text of a kernel's configuration, says that it was made for these
    /// tools.
    pub fn check(self, config: &str) -> Result<()> {
        let (rust, llvm) = match self {
            Self::Machine => (Rust::Newest, true),
            Self::Root { rust, llvm } => (rust, llvm),
        };
        let tools: &[&str] = match llvm {
            true => &["CONFIG_CC_IS_CLANG=y", "CONFIG_LD_IS_LLD=y"],
            false => &["CONFIG_CC_IS_GCC=y", "CONFIG_LD_IS_BFD=y"],
        };
        let missing = config::missing(&config::parse_all(tools)?, config);
        ensure!(missing.is_empty(), "not built with {}", missing.join(", "));
        let version = format!("CONFIG_RUSTC_VERSION={}", rust.version());
        ensure!(
            config.lines().any(|line| line.starts_with(&version)),
            "not built with rustc {}",
            rust.version()
        );
        Ok(())
    }
}
