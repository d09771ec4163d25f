// SPDX-License-Identifier: GPL-2.0-only

//! The machines of guests.

/// The hardware of a guest's machine.
#[derive(Clone, Copy)]
pub struct Hardware {
    /// In MiB.
    pub memory: u64,
    pub processors: u32,
    /// Features that its processor lacks, of those that QEMU can provide here, as in `-cpu
    /// max,-la57`.
    pub without: &'static str,
    /// Whether the processor is QEMU's own, even where this machine's could be used.
    pub emulated: bool,
    /// UEFI instead of SeaBIOS.
    pub uefi: bool,
    /// An emulated TPM 2.0.
    pub tpm: bool,
    /// A device tree with nothing but the model [`MODEL`](crate::device_tree::MODEL).
    pub device_tree: bool,
}

impl Hardware {
    /// What most guests have.
    pub const USUAL: Self = Self {
        memory: 1536,
        processors: 2,
        without: "",
        emulated: false,
        uefi: false,
        tpm: false,
        device_tree: false,
    };
}
