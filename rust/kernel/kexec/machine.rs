// SPDX-License-Identifier: GPL-2.0-only

//! The parts of the machine that code between two kernels can use.

use crate::{
    bindings,
    str::{
        CStr,
        CStrExt, //
    }, //
};

/// Address spaces of `include/acpi/actypes.h`. `bindgen` does not see them there, due to casts.
#[cfg(CONFIG_ACPI)]
const ADR_SPACE_SYSTEM_IO: u8 = 1;
#[cfg(CONFIG_ACPI)]
const ADR_SPACE_PCI_CONFIG: u8 = 2;

/// The register that resets the machine, according to ACPI.
#[derive(Clone, Copy, Debug)]
pub enum ResetRegister {
    /// An I/O port.
    Io {
        /// The port.
        port: u16,
        /// Value to write to it.
        value: u8,
    },
    /// A PCI configuration register on bus 0.
    Pci {
        /// Device, function and register, as in `struct acpi_generic_address`.
        address: u64,
        /// Value to write to it.
        value: u8,
    },
}

/// The parts of the machine that can be used when this kernel is gone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Machine {
    /// I/O port of the 8250 that `earlyprintk` set up, or 0.
    pub console_port: u16,
    /// Physical address of the registers of the 8250 that `earlyprintk` set up, or 0. The registers
    /// are 32 bits apart.
    pub console_mmio32: u64,
    /// The reset register, if there is one that can be written without a mapping.
    pub reset: Option<ResetRegister>,
    /// Whether I/O raises exceptions, as in a guest whose register state is encrypted.
    pub no_io: bool,
    /// Frequency of the time stamp counter in kHz, or 0.
    pub tsc_khz: u32,
}

impl Machine {
    /// Describes this machine.
    ///
    /// In a guest whose register state is encrypted, there is no console and no reset register: I/O
    /// raises `#VC` or `#VE` there, and nothing handles these between two kernels.
    pub fn current() -> Machine {
        // SAFETY: The variable is aligned and always valid for reads. The kernel may refine it
        // after boot by a write of the whole word, so that this reads the old or the new value.
        // Both are precise enough for the time in the record.
        let tsc_khz = unsafe { (&raw const bindings::tsc_khz).read_volatile() };

        if no_io() {
            return Machine {
                no_io: true,
                tsc_khz,
                ..Default::default()
            };
        }

        Machine {
            // SAFETY: The variable is written once, during early boot.
            console_port: unsafe { bindings::kexec_debug_8250_port },
            // SAFETY: As above.
            console_mmio32: unsafe { bindings::kexec_debug_8250_mmio32 } as u64,
            reset: reset_register(),
            no_io: false,
            tsc_khz,
        }
    }
}

/// An extension of the instruction set, or a kind of core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CpuFeature {
    /// Supplemental SSE3.
    Ssse3,
    /// SSE4.1.
    Sse41,
    /// SHA-NI.
    Sha,
    /// AVX.
    Avx,
    /// AVX2.
    Avx2,
    /// AVX-512 Foundation.
    Avx512F,
    /// AVX-512 Byte and Word.
    Avx512Bw,
    /// Cores of AMD's Zen 4.
    Zen4,
}

impl CpuFeature {
    /// Whether the boot CPU has the feature, and neither `clearcpuid=` nor a quirk disabled it.
    pub fn is_present(self) -> bool {
        // SAFETY: The numbers are those of features.
        unsafe {
            bindings::boot_cpu_has(match self {
                CpuFeature::Ssse3 => bindings::X86_FEATURE_SSSE3,
                CpuFeature::Sse41 => bindings::X86_FEATURE_XMM4_1,
                CpuFeature::Sha => bindings::X86_FEATURE_SHA_NI,
                CpuFeature::Avx => bindings::X86_FEATURE_AVX,
                CpuFeature::Avx2 => bindings::X86_FEATURE_AVX2,
                CpuFeature::Avx512F => bindings::X86_FEATURE_AVX512F,
                CpuFeature::Avx512Bw => bindings::X86_FEATURE_AVX512BW,
                CpuFeature::Zen4 => bindings::X86_FEATURE_ZEN4,
            })
        }
    }
}

/// The release of this kernel, as `uname -r` prints it.
pub fn release() -> &'static str {
    // SAFETY: The function has no preconditions. The release ends with a NUL, and does not change.
    let release = unsafe { CStr::from_char_ptr(bindings::kexec_purgatory_release()) };

    release.to_str().unwrap_or_default()
}

/// Whether this kernel uses all states in `xcr0`, which are bits of `XCR0`. The CPU then allows all
/// of them to be enabled.
pub fn has_xfeatures(xcr0: u64) -> bool {
    // SAFETY: The null pointer asks for no name of a missing state.
    unsafe { bindings::cpu_has_xfeatures(xcr0, core::ptr::null_mut()) != 0 }
}

/// Whether I/O raises exceptions. `CC_ATTR_GUEST_STATE_ENCRYPT` covers AMD's guests only, see
/// `arch/x86/coco/core.c`.
fn no_io() -> bool {
    const ATTRIBUTE: bindings::cc_attr = bindings::cc_attr_CC_ATTR_GUEST_STATE_ENCRYPT;

    // SAFETY: `cc_platform_has` has no preconditions.
    let amd = unsafe { bindings::cc_platform_has(ATTRIBUTE) };
    // SAFETY: The number is that of a feature.
    let tdx = unsafe { bindings::boot_cpu_has(bindings::X86_FEATURE_TDX_GUEST) };

    amd || tdx
}

/// The reset register that `acpi_reset()` of `drivers/acpi/acpica/hwxface.c` would use, unless it
/// is in memory.
#[cfg(CONFIG_ACPI)]
fn reset_register() -> Option<ResetRegister> {
    // SAFETY: The table is a copy that is written once, during early boot.
    let (flags, register, value) = unsafe {
        let fadt = &raw const bindings::acpi_gbl_FADT;

        (
            (&raw const (*fadt).flags).read_unaligned(),
            (&raw const (*fadt).reset_register).read_unaligned(),
            (*fadt).reset_value,
        )
    };
    let address = register.address;

    if flags & bindings::ACPI_FADT_RESET_REGISTER == 0 || address == 0 {
        return None;
    }
    match register.space_id {
        ADR_SPACE_SYSTEM_IO => Some(ResetRegister::Io {
            port: u16::try_from(address).ok()?,
            value,
        }),
        ADR_SPACE_PCI_CONFIG => Some(ResetRegister::Pci { address, value }),
        _ => None,
    }
}

#[cfg(not(CONFIG_ACPI))]
fn reset_register() -> Option<ResetRegister> {
    None
}
