// SPDX-License-Identifier: GPL-2.0-only

//! The next kernel's decompression of itself, by the kernel's own code, linked into this process.

use std::mem;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use memmap2::MmapMut;

use super::present_memory::Memory;
use super::program::Program;
use crate::bzimage::BzImage;
use crate::command::{command, output};
use crate::files;
use crate::layout::Layout;

/// The source, in the tool's directory, and its function.
const SOURCE: &str = "decompress.c";
const SYMBOL: &str = "decompress";

/// The flags of `arch/x86/boot/compressed/Makefile`, without warnings.
const FLAGS: &[&str] = &[
    "-m64",
    "-O2",
    "-std=gnu11",
    "-fms-extensions",
    "-fno-strict-aliasing",
    "-fPIE",
    "-fno-jump-tables",
    "-mno-mmx",
    "-mno-sse",
    "-ffreestanding",
    "-fshort-wchar",
    "-fno-stack-protector",
    "-fno-asynchronous-unwind-tables",
    "-nostdinc",
    "-w",
    "-D__KERNEL__",
    "-D__DISABLE_EXPORTS",
    "-DDISABLE_BRANCH_PROFILING",
    "-DKBUILD_MODFILE=\"\"",
    "-DKBUILD_MODNAME=\"\"",
];

/// Directories with headers, and headers that come first, in the kernel tree and in the build
/// directory.
const INCLUDES: &[&str] = &[
    "arch/x86/include",
    "arch/x86/include/generated",
    "include",
    "arch/x86/include/uapi",
    "arch/x86/include/generated/uapi",
    "include/uapi",
    "include/generated/uapi",
];
const HEADERS: &[&str] = &[
    "include/linux/compiler-version.h",
    "include/linux/kconfig.h",
    "include/linux/compiler_types.h",
    "include/linux/hidden.h",
];

/// The directory of the decompressor's own headers, and the file with its `memcpy()`.
const BOOT: &str = "arch/x86/boot/compressed";
const STRING: &str = "string.c";

/// The first bytes of zstd data (RFC 8878, section 3.1.1).
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// The first bytes of a decompressed kernel.
const ELF: &[u8] = b"\x7fELF";

/// The function of [`SOURCE`].
type Decompress =
    unsafe extern "C" fn(*const u8, libc::c_long, *mut u8, libc::c_long) -> libc::c_int;

/// The decompressor as an object, and a compressed kernel.
pub struct Compressed {
    object: Vec<u8>,
    payload: Vec<u8>,
    /// Size of the decompressed kernel, in bytes.
    size: usize,
}

impl Compressed {
    /// Compiles the decompressor of `tree`, which was configured in `build`, and reads a bzImage.
    /// None if the bzImage is not compressed with zstd.
    pub fn build(
        layout: &Layout,
        tree: &Path,
        build: &Path,
        bzimage: &Path,
    ) -> Result<Option<Self>> {
        let file = files::read(bzimage)?;
        let payload = BzImage::parse(&file).and_then(|image| image.payload());
        let payload = payload.with_context(|| bzimage.display().to_string())?;
        // The kernel's build appends the decompressed size to the compressed data.
        let Some((payload, size)) = payload.split_last_chunk() else {
            return Ok(None);
        };
        if !payload.starts_with(&ZSTD) {
            return Ok(None);
        }
        let sources = [
            (SOURCE, layout.tool(SOURCE)),
            (STRING, tree.join(BOOT).join(STRING)),
        ];
        let mut objects = Vec::new();
        for (name, source) in sources {
            let object = build.join(name).with_extension("bench.o");
            let mut clang = command("clang-19");
            clang.args(FLAGS).arg("-I").arg(tree.join(BOOT));
            for folder in INCLUDES {
                clang.arg("-I").arg(tree.join(folder));
                clang.arg("-I").arg(build.join(folder));
            }
            for header in HEADERS {
                clang.arg("-include").arg(tree.join(header));
            }
            output(clang.arg("-c").arg(&source).arg("-o").arg(&object))?;
            objects.push(object);
        }
        let linked = build.join("decompress.o");
        output(
            command("ld.lld-19")
                .arg("-r")
                .args(&objects)
                .arg("-o")
                .arg(&linked),
        )?;
        Ok(Some(Self {
            object: files::read(&linked)?,
            payload: payload.to_vec(),
            size: usize::try_from(u32::from_le_bytes(*size))?,
        }))
    }
}

/// The linked decompressor.
///
/// # Invariants
///
/// `decompress` is the function of that type in `_code`, whose memory nobody else uses. It takes
/// `payload` and as many bytes of `room` as it is given.
pub struct Decompressor<'a> {
    decompress: Decompress,
    payload: &'a [u8],
    room: Memory,
    _code: MmapMut,
}

impl<'a> Decompressor<'a> {
    /// Links the decompressor, and fails unless it decompresses the kernel.
    pub fn link(compressed: &'a Compressed) -> Result<Self> {
        let program = Program::link(&compressed.object).context("cannot link the decompressor")?;
        let symbol = program.symbol(SYMBOL)?;
        let code = program.memory;
        // Its heap and its variables are beside its code.
        // SAFETY: The range is that of a mapping of this process, whose bytes are no Rust objects.
        let failed = unsafe {
            let all = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
            libc::mprotect(code.as_ptr().cast_mut().cast(), code.len(), all)
        };
        ensure!(
            failed == 0,
            "cannot execute the decompressor: {}",
            std::io::Error::last_os_error()
        );
        // SAFETY: This is the function's type in C, and it stays mapped for as long as `code` is.
        let decompress =
            unsafe { mem::transmute::<*const u8, Decompress>(code[symbol.start..].as_ptr()) };
        // INVARIANT: As above. The room has the size that the kernel states.
        let this = Self {
            decompress,
            payload: &compressed.payload,
            room: Memory::new(compressed.size)?,
            _code: code,
        };
        ensure!(
            this.run() == 0 && this.room.starts_with(ELF),
            "the kernel cannot be decompressed"
        );
        Ok(this)
    }

    /// Bytes of the decompressed kernel.
    pub fn size(&self) -> usize {
        self.room.len()
    }

    /// The compressed kernel.
    pub fn payload(&self) -> &[u8] {
        self.payload
    }

    /// Decompresses the kernel. Returns 0, or a negative number if it is damaged.
    pub fn run(&self) -> i32 {
        let bytes = |bytes: usize| bytes as libc::c_long;
        // SAFETY: By the type invariants. Nobody borrows the room, which the function writes to.
        unsafe {
            (self.decompress)(
                self.payload.as_ptr(),
                bytes(self.payload.len()),
                self.room.as_raw(),
                bytes(self.room.len()),
            )
        }
    }
}
