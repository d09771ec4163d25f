// SPDX-License-Identifier: GPL-2.0-only

//! The processors that engines are tested on: those that QEMU emulates, and this machine's own.
//! Engines that QEMU cannot emulate run in Bochs.

use raw_cpuid::CpuId;

use crate::engines::{Core, EngineKind, Feature, Processor};

/// The processor with everything that QEMU's emulator can emulate, for `-cpu`.
pub const MAX: &str = "max";

/// A feature's name in the manuals, and QEMU's name for it; None if its emulator lacks it.
fn names(feature: Feature) -> (&'static str, Option<&'static str>) {
    match feature {
        Feature::Ssse3 => ("SSSE3", Some("ssse3")),
        Feature::Sse41 => ("SSE4.1", Some("sse4.1")),
        Feature::Sha => ("SHA-NI", Some("sha-ni")),
        Feature::Avx => ("AVX", Some("avx")),
        Feature::Avx2 => ("AVX2", Some("avx2")),
        Feature::Avx512F => ("AVX512F", None),
        Feature::Avx512Bw => ("AVX512BW", None),
    }
}

/// The manuals' name for a feature.
pub fn name(feature: Feature) -> &'static str {
    names(feature).0
}

/// QEMU's name for a feature; None if its emulator lacks it.
fn qemu_name(feature: Feature) -> Option<&'static str> {
    names(feature).1
}

/// Whether QEMU's emulator can run an engine.
pub fn in_qemu(engine: EngineKind) -> bool {
    engine.needs().iter().all(|&f| qemu_name(f).is_some())
}

/// The engines that QEMU's emulator can run, the fastest one first.
pub fn qemu_engines() -> impl Iterator<Item = EngineKind> {
    EngineKind::ALL.iter().copied().filter(|&e| in_qemu(e))
}

/// The engines that the loader picks on some processor of QEMU's, the fastest one first.
pub fn picked_in_qemu() -> impl Iterator<Item = EngineKind> {
    qemu_engines().filter(|&engine| that_picks(engine).is_some())
}

/// A processor for `-cpu` on which the loader picks `engine`: it has everything except what the
/// faster engines need. None if QEMU has no such processor, or if a faster engine runs wherever
/// this one does.
pub fn that_picks(engine: EngineKind) -> Option<String> {
    let faster = || qemu_engines().take_while(|&e| e != engine);
    let needs_no_more =
        |other: EngineKind| other.needs().iter().all(|f| engine.needs().contains(f));
    match faster().any(needs_no_more) {
        true => None,
        false => without(engine, faster()),
    }
}

/// A processor for `-cpu` that runs `engine`, and no other engine that needs more. None if QEMU has
/// no such processor.
pub fn that_runs_only(engine: EngineKind) -> Option<String> {
    without(engine, qemu_engines().filter(|&e| e != engine))
}

/// A processor that runs `engine` and, for each of `others`, lacks something that it needs.
fn without(engine: EngineKind, others: impl Iterator<Item = EngineKind>) -> Option<String> {
    let mut processor = MAX.to_owned();
    for other in others {
        // The last feature is the one that the engine is named for. Without AVX itself, the kernel
        // would set XCR0 differently.
        let mut needs = other.needs().iter().rev();
        if let Some(&lacking) = needs.find(|feature| !engine.needs().contains(feature)) {
            processor += &format!(",-{}", qemu_name(lacking)?);
        }
    }
    in_qemu(engine).then_some(processor)
}

/// This machine's processor, with what the running system has enabled.
pub struct ThisMachine;

impl Processor for ThisMachine {
    fn has(&self, feature: Feature) -> bool {
        match feature {
            Feature::Ssse3 => is_x86_feature_detected!("ssse3"),
            Feature::Sse41 => is_x86_feature_detected!("sse4.1"),
            Feature::Sha => is_x86_feature_detected!("sha"),
            Feature::Avx => is_x86_feature_detected!("avx"),
            Feature::Avx2 => is_x86_feature_detected!("avx2"),
            Feature::Avx512F => is_x86_feature_detected!("avx512f"),
            Feature::Avx512Bw => is_x86_feature_detected!("avx512bw"),
        }
    }

    fn is(&self, core: Core) -> bool {
        let cpuid = CpuId::new();
        let is_amd = cpuid
            .get_vendor_info()
            .is_some_and(|vendor| vendor.as_str() == "AuthenticAMD");
        let number = cpuid
            .get_feature_info()
            .map(|info| (info.family_id(), info.model_id()));
        match core {
            // As in init_amd(), arch/x86/kernel/cpu/amd.c.
            Core::Zen4 => is_amd && matches!(number, Some((0x19, 0x10..=0x1f | 0x60..=0xaf))),
        }
    }

    fn may_enable(&self, _: u64) -> bool {
        // The standard library reports a feature only if the system has enabled its states.
        true
    }
}

#[cfg(test)]
mod tests {
    use super::{qemu_name, that_picks, that_runs_only};
    use crate::engines::{Core, EngineKind, Feature, Processor, select, supports};

    /// A processor by its name for `-cpu`.
    #[derive(Debug)]
    struct Named(String);

    impl Processor for Named {
        fn has(&self, feature: Feature) -> bool {
            let lacks = |name| self.0.split(',').any(|part| part == format!("-{name}"));
            qemu_name(feature).is_some_and(|name| !lacks(name))
        }

        fn is(&self, _: Core) -> bool {
            false
        }

        fn may_enable(&self, _: u64) -> bool {
            self.has(Feature::Avx)
        }
    }

    #[test]
    fn processors_have_what_the_engine_needs() {
        for &engine in EngineKind::ALL {
            // QEMU's emulator has no AVX-512.
            let emulated = !engine.needs().contains(&Feature::Avx512F);
            assert_eq!(that_runs_only(engine).is_some(), emulated);
            let Some(only) = that_runs_only(engine) else {
                assert_eq!(that_picks(engine), None);
                continue;
            };
            match that_picks(engine) {
                Some(picks) => assert_eq!(select(&Named(picks)), engine),
                // The loader never picks it there.
                None => assert_ne!(select(&Named(only.clone())), engine),
            }
            let only = Named(only);
            for &other in EngineKind::ALL {
                let needs_more = other.needs().iter().any(|f| !engine.needs().contains(f));
                assert_eq!(
                    supports(&only, other),
                    !needs_more,
                    "{}: {only:?}",
                    engine.name()
                );
            }
        }
    }
}
