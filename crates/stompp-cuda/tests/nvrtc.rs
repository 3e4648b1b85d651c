//! NVIDIA's compiler compiles the kernels for every GPU generation that CUDA 13 supports. The test needs no GPU, only `libnvrtc`:
//! `STOMPP_NVRTC=FOLDER` is its folder, which must also be in `LD_LIBRARY_PATH`. Without the variable the test is skipped.
#![cfg(feature = "cuda")]

use libloading::{Library, Symbol};
use std::{
    env,
    ffi::{CString, c_char, c_int, c_void},
    path::Path,
    ptr,
};

const SOURCES: &[&str] = &include!("../src/sources.in");

/// Turing to Blackwell.
const ARCHITECTURES: [&str; 7] = ["75", "80", "86", "89", "90", "100", "120"];

type Program = *mut c_void;

/// Compiles `source`. Returns the compiler's messages if it fails.
fn compile(library: &Library, source: &str, architecture: &str) -> Result<(), String> {
    type Texts = *const *const c_char;
    let source = CString::new(source).unwrap();
    let options = [
        format!("--gpu-architecture=compute_{architecture}"),
        "--fmad=false".to_owned(),
    ];
    let options = options.map(|option| CString::new(option).unwrap());
    let pointers = options.each_ref().map(|option| option.as_ptr());
    let mut program: Program = ptr::null_mut();
    // SAFETY: the types are from nvrtc.h, and every pointer lives until the end of the block.
    unsafe {
        let create: Symbol<
            '_,
            unsafe extern "C" fn(*mut Program, *const c_char, *const c_char, c_int, Texts, Texts) -> c_int,
        > = library.get(b"nvrtcCreateProgram\0").unwrap();
        let compile: Symbol<'_, unsafe extern "C" fn(Program, c_int, Texts) -> c_int> =
            library.get(b"nvrtcCompileProgram\0").unwrap();
        let log_size: Symbol<'_, unsafe extern "C" fn(Program, *mut usize) -> c_int> =
            library.get(b"nvrtcGetProgramLogSize\0").unwrap();
        let log: Symbol<'_, unsafe extern "C" fn(Program, *mut c_char) -> c_int> =
            library.get(b"nvrtcGetProgramLog\0").unwrap();
        let destroy: Symbol<'_, unsafe extern "C" fn(*mut Program) -> c_int> =
            library.get(b"nvrtcDestroyProgram\0").unwrap();
        assert_eq!(
            create(&mut program, source.as_ptr(), ptr::null(), 0, ptr::null(), ptr::null()),
            0
        );
        let status = compile(program, pointers.len() as c_int, pointers.as_ptr());
        let mut size = 0;
        assert_eq!(log_size(program, &mut size), 0);
        let mut text = vec![0u8; size];
        assert_eq!(log(program, text.as_mut_ptr().cast()), 0);
        destroy(&mut program);
        match status {
            0 => Ok(()),
            status => Err(format!("status {status}: {}", String::from_utf8_lossy(&text))),
        }
    }
}

#[test]
fn nvrtc_compiles_every_kernel() {
    let Some(folder) = env::var_os("STOMPP_NVRTC") else {
        println!("skipped: STOMPP_NVRTC is not set to the folder of libnvrtc");
        return;
    };
    // SAFETY: the initializers of NVRTC only set it up.
    let library =
        unsafe { Library::new(Path::new(&folder).join("libnvrtc.so.13")) }.expect("libnvrtc.so.13 in STOMPP_NVRTC");
    let source = SOURCES.concat();
    for architecture in ARCHITECTURES {
        if let Err(problem) = compile(&library, &source, architecture) {
            panic!("compute_{architecture}: {problem}");
        }
    }
    // The comparison can fail.
    let broken = source.replacen("__syncthreads();", "__syncthread();", 1);
    assert!(compile(&library, &broken, "90").is_err());
}
