// SPDX-License-Identifier: GPL-2.0-only

//! The contents of a guest's initramfs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

use super::{Second, archive};
use crate::command::{cargo, command, output};
use crate::fetch;
use crate::initramfs::Initramfs;
use crate::layout::Layout;
use crate::root::Root;

const BUSYBOX: &str = "/bin/busybox";

/// Writes a dump.
const MAKEDUMPFILE: &str = "/usr/bin/makedumpfile";

/// Reads extended attributes.
const GETFATTR: &str = "/usr/bin/getfattr";

/// Checks a kernel's signature, with the NSS library and what that loads at run time.
const PESIGN: &str = "/usr/bin/pesign";
const NSS: &str = "libnss3.so";
const NSS_MODULES: &[&str] = &["libsoftokn3.so", "libfreeblpriv3.so"];

/// The project's own loader.
pub const DEBUG_LOADER: &str = "kexec-file-load";

/// The program that prints the time stamp counter.
pub const TIME_STAMP: &str = "time-stamp";

/// The program that adds a key that only the kernel can read.
pub const LOGON_KEY: &str = "logon-key";

/// The program that reads the decisions in sysfs on all processors until it crashes the machine.
pub const READ_DECISIONS: &str = "read-decisions";

/// Size of the file in the second kernel's initramfs: 32 MiB.
pub const PAYLOAD: u64 = 32 << 20;

/// An initramfs with a shell and `/init`.
pub struct Content {
    path: PathBuf,
    /// For files that only one guest has.
    pub archive: Initramfs,
    /// The libraries that were added.
    libraries: BTreeSet<PathBuf>,
}

impl Content {
    /// Begins an initramfs. `name` names its file; see [`archive`].
    pub fn new(layout: &Layout, name: &str) -> Result<Self> {
        let path = archive(layout, name)?;
        let mut initramfs = Initramfs::create(&path)?;
        initramfs.program("bin/busybox", Path::new(BUSYBOX))?;
        initramfs.link("bin/sh", "busybox")?;
        initramfs.program("init", &layout.tool("guest/init"))?;
        Ok(Self {
            path,
            archive: initramfs,
            libraries: BTreeSet::new(),
        })
    }

    /// Completes the initramfs, and returns its path.
    pub fn finish(self) -> Result<PathBuf> {
        self.archive.finish()?;
        Ok(self.path)
    }

    /// Adds the file that must arrive intact.
    pub fn add_payload(&mut self, payload: &[u8]) -> Result<()> {
        self.archive.file("payload", payload)
    }

    /// Adds the image that is loaded in the guest.
    pub fn add_boot(&mut self, kernel: &Path, second: &Second) -> Result<()> {
        self.archive.program("boot/vmlinuz", kernel)?;
        self.archive.program("boot/initrd", &second.initramfs)?;
        self.archive.file("boot/cmdline", second.cmdline.as_bytes())
    }

    /// Adds the distribution's kexec, with the libraries that it is linked to.
    pub fn add_kexec(&mut self, layout: &Layout) -> Result<()> {
        let program = fetch::kexec(layout)?;
        self.archive.program("bin/kexec", &program)?;
        self.add_libraries(&program).map(drop)
    }

    /// Adds the programs that the kernel's own tests call, with the libraries that they are linked
    /// to.
    pub fn add_test_tools(&mut self) -> Result<()> {
        self.archive.program("bin/getfattr", Path::new(GETFATTR))?;
        self.add_libraries(Path::new(GETFATTR))?;
        self.archive.program("bin/pesign", Path::new(PESIGN))?;
        let linked = self.add_libraries(Path::new(PESIGN))?;
        let nss = linked
            .iter()
            .find(|path| path.ends_with(NSS))
            .with_context(|| format!("{PESIGN} is not linked to {NSS}"))?;
        for module in NSS_MODULES {
            let module = nss.with_file_name(module);
            self.add_library(&module)?;
            self.add_libraries(&module)?;
        }
        Ok(())
    }

    /// Adds makedumpfile of a Debian 13 root, with the libraries that it is linked to. Only for an
    /// initramfs without other linked programs, whose libraries these would replace.
    pub fn add_makedumpfile(&mut self, root: &Root) -> Result<()> {
        let program = root.outside(Path::new(MAKEDUMPFILE))?;
        self.archive.program("bin/makedumpfile", &program)?;
        for library in linked(root.command(&[], "ldd")?.arg(MAKEDUMPFILE))? {
            let path = library.to_string_lossy();
            self.archive
                .program(path.trim_start_matches('/'), &root.outside(&library)?)?;
        }
        Ok(())
    }

    /// Adds the libraries that a program is linked to, and returns them.
    fn add_libraries(&mut self, program: &Path) -> Result<Vec<PathBuf>> {
        let libraries = linked(command("ldd").arg(program))?;
        for library in &libraries {
            self.add_library(library)?;
        }
        Ok(libraries)
    }

    fn add_library(&mut self, library: &Path) -> Result<()> {
        if !self.libraries.insert(library.to_owned()) {
            return Ok(());
        }
        let path = library.to_string_lossy();
        self.archive.program(path.trim_start_matches('/'), library)
    }

    /// Adds one of the programs in `guest/programs`, linked statically.
    pub fn add_own(&mut self, layout: &Layout, name: &str) -> Result<()> {
        let target = layout.build.join("guest-programs");
        output(
            cargo()
                .args(["rustc", "--quiet", "--release", "--locked"])
                .arg("--manifest-path")
                .arg(layout.tool("guest/programs/Cargo.toml"))
                .args(["--bin", name])
                .args(["--", "-C", "target-feature=+crt-static"])
                .env("CARGO_TARGET_DIR", &target),
        )?;
        self.archive
            .program(&format!("bin/{name}"), &target.join("release").join(name))
    }

    /// Adds modules, and returns their names in the form that `/init` takes.
    pub fn add_modules(&mut self, modules: &[PathBuf]) -> Result<String> {
        let mut names = Vec::new();
        for module in modules {
            let name = module.file_stem().context("a module without a name")?;
            let name = name.to_string_lossy();
            self.archive
                .program(&format!("modules/{name}.ko"), module)?;
            names.push(name);
        }
        Ok(names.join(","))
    }

    /// Adds the kselftests that the guest runs.
    pub fn add_selftests(&mut self, programs: &[PathBuf]) -> Result<()> {
        for program in programs {
            let name = program.file_name().context("a test without a name")?;
            self.archive
                .program(&format!("selftests/{}", name.to_string_lossy()), program)?;
        }
        Ok(())
    }
}

/// The libraries that a program is linked to, as `ldd` names them. Fails if one is missing.
fn linked(ldd: &mut Command) -> Result<Vec<PathBuf>> {
    let text = output(ldd)?;
    let missing = text.lines().find(|line| line.ends_with("not found"));
    ensure!(
        missing.is_none(),
        "{ldd:?}: {}",
        missing.unwrap_or_default().trim()
    );
    Ok(text
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
        .map(PathBuf::from)
        .collect())
}

/// `size` bytes that look random and are the same each time, rounded down to whole digests.
pub fn bytes(size: u64) -> Vec<u8> {
    let block = Sha256::output_size() as u64;
    (0..size / block)
        .flat_map(|counter| Sha256::digest(counter.to_le_bytes()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::linked;
    use crate::command::command;

    #[test]
    fn a_missing_library_is_an_error() {
        let lines = "\tlinux-vdso.so.1 (0x1)\n\tlibz.so.1 => /lib/libz.so.1 (0x2)\n";
        let libraries = linked(command("printf").arg(lines)).unwrap();
        assert_eq!(libraries, ["/lib/libz.so.1".as_ref() as &std::path::Path]);
        let missing = format!("{lines}\tlibxenctrl.so.4.17 => not found\n");
        let error = linked(command("printf").arg(missing)).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("libxenctrl.so.4.17 => not found")
        );
    }
}
