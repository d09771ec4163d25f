// SPDX-License-Identifier: GPL-2.0-only

//! Policies: modules that decide which normal images are verified.
//!
//! C header: [`arch/x86/include/asm/kexec-loader.h`](
//! srctree/arch/x86/include/asm/kexec-loader.h)

use super::LoadingImage;

/// Asks the registered policy whether to verify `image`. Returns `None` if no policy is registered.
///
/// Records the name of the module that decided in the image.
#[cfg(CONFIG_KEXEC_PURGATORY_VERIFY = "m")]
pub fn ask_policy(image: &LoadingImage) -> Option<bool> {
    // SAFETY: By the type invariant the image is valid and the kexec lock is held.
    match unsafe { bindings::kexec_purgatory_policy_ask(image.as_raw()) } {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

/// Returns `None`: no policy can be registered with this configuration.
#[cfg(not(CONFIG_KEXEC_PURGATORY_VERIFY = "m"))]
pub fn ask_policy(_image: &LoadingImage) -> Option<bool> {
    None
}

#[cfg(CONFIG_KEXEC_PURGATORY_VERIFY = "m")]
pub use registration::{
    Policy,
    Registration, //
};

#[cfg(CONFIG_KEXEC_PURGATORY_VERIFY = "m")]
use crate::bindings;

#[cfg(CONFIG_KEXEC_PURGATORY_VERIFY = "m")]
mod registration {
    use super::LoadingImage;
    use crate::{
        bindings,
        error::to_result,
        kexec::Spared,
        prelude::*, //
    };
    use core::marker::PhantomData;

    /// Decides which normal images are verified.
    ///
    /// A policy is not asked about crash images, which are always verified.
    ///
    /// # Examples
    ///
    /// ```
    /// use kernel::kexec::{LoadingImage, Policy, Spared};
    ///
    /// /// Verifies images that bring no initramfs, unless they are spared.
    /// struct KernelOnly;
    ///
    /// impl Policy for KernelOnly {
    ///     fn verify(image: &LoadingImage, spared: Option<Spared>) -> bool {
    ///         spared.is_none() && image.initramfs_size() == 0
    ///     }
    /// }
    /// ```
    pub trait Policy {
        /// Returns whether to verify `image`. All its segments except the purgatory are in place.
        ///
        /// `spared` is the reason not to verify the image unless a policy asks for it, if there is
        /// one. If a policy returns `false` for such an image, that stays the reason.
        ///
        /// Called by `kexec_file_load()`, with the kexec lock held. May sleep. Must not drop the
        /// [`Registration`] of this policy: that waits for this function.
        fn verify(image: &LoadingImage, spared: Option<Spared>) -> bool;
    }

    /// A registered policy.
    ///
    /// The registration ends when this value is dropped, or when the module with the code of `T` is
    /// unloaded. Both wait for a call of [`Policy::verify`] to return. Images that are loaded keep
    /// their decision.
    ///
    /// # Invariants
    ///
    /// `callback` is the function that was registered.
    pub struct Registration<T: Policy> {
        callback: unsafe extern "C" fn(*mut bindings::kimage) -> bool,
        _policy: PhantomData<fn() -> T>,
    }

    impl<T: Policy> Registration<T> {
        /// Registers the policy. The log and sysfs show the name of `module`.
        ///
        /// # Errors
        ///
        /// `EBUSY` if another policy is registered.
        pub fn new(module: &'static ThisModule) -> Result<Self> {
            let callback = Self::verify_callback;

            // SAFETY: `callback` may be called while the module with its code is loaded. The
            // registration ends when that module is unloaded, even if this value was not dropped.
            // The name of `module` is copied.
            to_result(unsafe {
                bindings::kexec_purgatory_policy_register(module.as_ptr(), Some(callback))
            })?;
            // INVARIANT: It was registered just now.
            Ok(Registration {
                callback,
                _policy: PhantomData,
            })
        }

        /// # Safety
        ///
        /// As for [`LoadingImage::from_raw`].
        unsafe extern "C" fn verify_callback(image: *mut bindings::kimage) -> bool {
            // SAFETY: By the safety requirements of this function.
            let image = unsafe { LoadingImage::from_raw(image) };

            T::verify(image, image.circumstances().spared())
        }
    }

    impl<T: Policy> Drop for Registration<T> {
        fn drop(&mut self) {
            // SAFETY: The function has no requirements: nothing happens if `callback` is no longer
            // registered.
            unsafe { bindings::kexec_purgatory_policy_unregister(Some(self.callback)) };
        }
    }
}
