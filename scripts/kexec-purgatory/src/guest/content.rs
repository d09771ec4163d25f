// SPDX-License-Identifier: GPL-2.0-only

//! What is put into the initramfs of a guest.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::Second;
use crate::command::{cargo, command, output};
use crate::initramfs::Initramfs;
use crate::layout::Layout;

const BUSYBOX: &str = "/bin/busybox";

/// Our own loader.
pub const DEBUG_LOADER: &str = "kexec-file-load";

/// What tells the time that the next kernel takes.
pub const TIME_STAMP: &str = "time-stamp";

/// 32 MiB: what the second kernel finds in its initramfs.
const PAYLOAD: u64 = 32 << 20;

/// An initramfs with a shell and `/init`.
pub struct Content(Initramfs);

impl Content {
    pub fn new(layout: &Layout, path: &Path) -> Result<Self> {
        let mut initramfs = Initramfs::create(path)?;
        initramfs.program("bin/busybox", Path::new(BUSYBOX))?;
        initramfs.link("bin/sh", "busybox")?;
        initramfs.program("init", &layout.tool("guest/init"))?;
        Ok(Self(initramfs))
    }

    pub fn finish(self) -> Result<()> {
        self.0.finish()
    }

    /// Adds the file that must arrive whole.
    pub fn add_payload(&mut self, payload: &[u8]) -> Result<()> {
        self.0.file("payload", payload)
    }

    /// Adds the image that is loaded in the guest.
    pub fn add_boot(&mut self, kernel: &Path, second: &Second) -> Result<()> {
        self.0.program("boot/vmlinuz", kernel)?;
        self.0.program("boot/initrd", &second.initramfs)?;
        self.0.file("boot/cmdline", second.cmdline.as_bytes())
    }

    /// Adds the distribution's kexec, with the libraries that it is linked to.
    pub fn add_kexec(&mut self) -> Result<()> {
        let program = ["/usr/sbin/kexec", "/sbin/kexec"]
            .map(Path::new)
            .into_iter()
            .find(|path| path.is_file())
            .context("kexec is not installed")?;
        self.0.program("bin/kexec", program)?;
        let libraries = output(command("ldd").arg(program))?;
        for library in libraries
            .split_whitespace()
            .filter(|word| word.starts_with('/'))
        {
            self.0
                .program(library.trim_start_matches('/'), Path::new(library))?;
        }
        Ok(())
    }

    /// Adds a program of ours, linked statically; its crate lies in a folder of that name.
    pub fn add_own(&mut self, layout: &Layout, name: &str) -> Result<()> {
        let target = layout.build.join("guest-programs");
        output(
            cargo()
                .args(["rustc", "--quiet", "--release", "--locked"])
                .arg("--manifest-path")
                .arg(layout.tool("guest").join(name).join("Cargo.toml"))
                .args(["--", "-C", "target-feature=+crt-static"])
                .env("CARGO_TARGET_DIR", &target),
        )?;
        self.0
            .program(&format!("bin/{name}"), &target.join("release").join(name))
    }

    /// Adds modules, and returns their names in the form that `/init` takes.
    pub fn add_modules(&mut self, modules: &[PathBuf]) -> Result<String> {
        let mut names = Vec::new();
        for module in modules {
            let name = module.file_stem().context("a module without a name")?;
            let name = name.to_string_lossy();
            self.0.program(&format!("modules/{name}.ko"), module)?;
            names.push(name);
        }
        Ok(names.join(","))
    }

    /// Adds the kselftests that the guest runs.
    pub fn add_selftests(&mut self, programs: &[PathBuf]) -> Result<()> {
        for program in programs {
            let name = program.file_name().context("a test without a name")?;
            self.0
                .program(&format!("selftests/{}", name.to_string_lossy()), program)?;
        }
        Ok(())
    }
}

/// [`PAYLOAD`] bytes that look random and are the same each time.
pub fn payload() -> Vec<u8> {
    bytes(PAYLOAD)
}

/// So many bytes that look random and are the same each time, rounded down to whole digests.
pub fn bytes(size: u64) -> Vec<u8> {
    let block = Sha256::output_size() as u64;
    (0..size / block)
        .flat_map(|counter| Sha256::digest(counter.to_le_bytes()))
        .collect()
}
