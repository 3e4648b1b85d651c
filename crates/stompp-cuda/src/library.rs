//! Libraries that are loaded at run time, if they are installed.

/// `functions! { LIBRARIES, "WITHOUT"; field: symbol(arguments) -> result; ... }` defines the struct `Api` of function pointers and
/// `Api::load`.
///
/// `LIBRARIES` are names of the library, newest first. With the fake driver the functions are linked statically; the library counts as
/// missing if the environment variable `WITHOUT` is set. Status codes are plain integers: an unknown value of a Rust enum would be
/// undefined behaviour.
macro_rules! functions {
    ($libraries:expr, $without:literal; $($field:ident: $symbol:ident($($argument:ty),*) -> $result:ty;)*) => {
        /// The library's functions.
        #[derive(Debug)]
        pub(super) struct Api {
            $(pub(super) $field: unsafe extern "C" fn($($argument),*) -> $result,)*
            #[cfg(not(feature = "cuda-stand-in"))]
            _library: libloading::Library,
        }

        #[cfg(feature = "cuda-stand-in")]
        mod stand_in {
            use super::*;
            unsafe extern "C" {
                $(pub(super) fn $symbol($(_: $argument),*) -> $result;)*
            }
        }

        impl Api {
            /// Returns the functions of the fake driver.
            #[cfg(feature = "cuda-stand-in")]
            pub(super) fn load() -> Option<Self> {
                std::env::var_os($without).is_none().then_some(Self { $($field: stand_in::$symbol,)* })
            }

            /// Loads the functions of the library. `None` if the library is missing or lacks a function.
            #[cfg(not(feature = "cuda-stand-in"))]
            pub(super) fn load() -> Option<Self> {
                // SAFETY: the initializers of these libraries only set them up.
                let library = $libraries.iter().find_map(|name| unsafe { libloading::Library::new(*name) }.ok())?;
                // SAFETY: the types are from the library's headers; the library lives as long as the functions.
                unsafe {
                    Some(Self {
                        $($field: *library.get(concat!(stringify!($symbol), "\0").as_bytes()).ok()?,)*
                        _library: library,
                    })
                }
            }
        }
    };
}
pub(crate) use functions;
