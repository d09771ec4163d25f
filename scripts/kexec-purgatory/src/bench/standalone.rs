// SPDX-License-Identifier: GPL-2.0-only

//! The measurements as one static program that contains the purgatory and mainline's, for other
//! machines.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use object::Endianness;
use object::elf::PT_INTERP;
use object::read::elf::{ElfFile64, ProgramHeader};

use super::{load, segments};
use crate::command::{cargo, logged_step};
use crate::fetch;
use crate::files;
use crate::layout::Layout;

/// The target of the program, which also names cargo's output directory.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The environment variable with the directory of the objects when the program is compiled.
const VARIABLE: &str = "KEXEC_PURGATORY_OBJECTS";

/// The files in that directory. The last one has the size of the distribution's kernel and its
/// `init_size`, in bytes.
const PURGATORY: &str = "purgatory.bin";
const DIGESTS: &str = "purgatory_test.bin";
const MAINLINE: &str = "purgatory.ro";
const STREAMS: [&str; load::STREAMS.len()] = ["sha256-ni.o", "sha256-avx2.o"];
const KERNEL_SIZE: &str = "kernel-size";

/// Builds the program. Returns its path.
pub fn build(layout: &Layout) -> Result<PathBuf> {
    let folder = layout.build.join("bench-static");
    let objects = folder.join("objects");
    let programs = super::program_bytes(layout, &super::mainline(layout)?)?;
    let (kernel, init_size) = segments::kernel_size(&fetch::distribution_kernel(layout)?.image)?;
    let write = |name: &str, bytes: &[u8]| files::write(&objects.join(name), bytes);
    write(PURGATORY, &programs.purgatory)?;
    write(DIGESTS, &programs.digests)?;
    write(MAINLINE, &programs.mainline)?;
    for (name, bytes) in STREAMS.into_iter().zip(&programs.streams) {
        write(name, bytes)?;
    }
    write(KERNEL_SIZE, format!("{kernel} {init_size}").as_bytes())?;

    let log = layout.log("bench-static")?;
    logged_step(
        "build the static program",
        &log,
        cargo()
            .args(["build", "--release", "--locked", "--target", TARGET])
            .args(["--no-default-features", "--features", "standalone"])
            .arg("--manifest-path")
            .arg(layout.tool("Cargo.toml"))
            .env("CARGO_TARGET_DIR", &folder)
            .env("RUSTFLAGS", "-C target-feature=+crt-static")
            .env(VARIABLE, &objects),
    )?;
    let built = folder.join(TARGET).join("release/kexec-purgatory");
    let program = folder.join("kexec-purgatory-bench");
    fs::copy(&built, &program).with_context(|| format!("cannot copy {}", built.display()))?;
    let bytes = fs::read(&program)?;
    let elf = ElfFile64::<Endianness>::parse(&*bytes)?;
    let mut headers = elf.elf_program_headers().iter();
    ensure!(
        !headers.any(|header| header.p_type(elf.endian()) == PT_INTERP),
        "{} is not static",
        program.display()
    );
    Ok(program)
}

/// Runs the static program, with what was built into it.
#[cfg(feature = "standalone")]
pub fn run() -> Result<()> {
    use clap::Parser;

    use super::processor::{Caches, ProgramBytes};
    use super::segments::Image;
    use super::{Options, measure, write};

    /// Sizes of images, in MiB: the whole program should take a minute.
    const SIZES: &[usize] = &[16, 64];

    macro_rules! file {
        ($name:literal) => {
            include_bytes!(concat!(env!("KEXEC_PURGATORY_OBJECTS"), "/", $name))
        };
    }

    /// Measures how fast this machine's processor runs the Rust and the C kexec purgatory
    ///
    /// Takes a minute and half a GiB of memory, and needs no other file. The machine should be
    /// idle: other load slows the C purgatory down most. Prints tables, and writes bench.json and
    /// bench.svg.
    #[derive(Parser)]
    #[command(version)]
    struct Arguments {
        /// How often each piece of work is done
        #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u16).range(1..))]
        rounds: u16,
        /// What the processor's caches hold of the image before each run
        #[arg(long, value_enum, default_value_t = Caches::Warm)]
        caches: Caches,
        /// The directory for bench.json and bench.svg
        #[arg(long, default_value = ".")]
        output: PathBuf,
    }

    let arguments = Arguments::parse();
    let objects = ProgramBytes {
        purgatory: file!("purgatory.bin").to_vec(),
        digests: file!("purgatory_test.bin").to_vec(),
        mainline: file!("purgatory.ro").to_vec(),
        streams: [
            file!("sha256-ni.o").to_vec(),
            file!("sha256-avx2.o").to_vec(),
        ],
    };
    let sizes = str::from_utf8(file!("kernel-size"))?;
    let (kernel, init_size) = sizes.split_once(' ').context("no size of the kernel")?;
    let image = Image::of_kernel_size(kernel.parse()?, init_size.parse()?)?;
    let options = Options {
        rounds: arguments.rounds.into(),
        caches: arguments.caches,
        sizes: SIZES,
    };
    // Fails before anything is measured.
    fs::create_dir_all(&arguments.output)
        .and_then(|()| tempfile::tempfile_in(&arguments.output))
        .with_context(|| {
            format!(
                "cannot write to {}; name another directory with --output",
                arguments.output.display()
            )
        })?;
    write(
        &measure(&objects, &image, None, &options, None)?,
        &arguments.output,
    )
}
