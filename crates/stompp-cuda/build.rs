//! With the feature `cuda-stand-in`, compiles the kernels as C++ together with a driver that runs them on the CPU.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "cuda-stand-in")]
    stand_in::build();
}

#[cfg(feature = "cuda-stand-in")]
mod stand_in {
    use std::{env, fmt::Write, fs, path::Path};

    /// The list of the kernels' sources, in order.
    const SOURCES: &str = include_str!("src/sources.in");

    pub(super) fn build() {
        let out = env::var("OUT_DIR").expect("cargo sets it");
        let out = Path::new(&out);
        let (mut all, mut names) = (String::new(), String::new());
        for path in SOURCES.lines().filter_map(|line| line.split('"').nth(1)) {
            let path = path.trim_start_matches("../");
            println!("cargo::rerun-if-changed={path}");
            let text = fs::read_to_string(path).expect("a kernel's source is there");
            for kernel in text.split("\nKERNEL ").skip(1) {
                let (name, rest) = kernel.split_once('(').expect("a kernel has arguments");
                let body = rest.split_once("\n}").expect("a kernel ends").0;
                let barriers = ["__syncthreads", "block_sum", "mma_bytes"]
                    .iter()
                    .any(|word| body.contains(word));
                writeln!(names, "ENTRY({name}, {barriers})").expect("a string takes everything");
            }
            all.push_str(&text);
        }
        fs::write(out.join("all_kernels.inc"), all).expect("the build's own folder can be written");
        fs::write(out.join("kernel_names.inc"), names).expect("the build's own folder can be written");
        println!("cargo::rerun-if-changed=stand-in");
        cc::Build::new()
            .cpp(true)
            .std("c++17")
            .include("stand-in")
            .include(out)
            .files(["cudnn", "driver", "kernels", "libraries", "nccl"].map(|name| format!("stand-in/{name}.cpp")))
            .flag("-ffp-contract=off")
            // The `longjmp` check of `_FORTIFY_SOURCE` does not support several stacks.
            .flag("-U_FORTIFY_SOURCE")
            .opt_level(2)
            .cargo_metadata(false)
            .compile("stompp_cuda_stand_in");
        println!("cargo::rustc-link-search=native={}", out.display());
        println!("cargo::rustc-link-lib=static:+whole-archive=stompp_cuda_stand_in");
        println!("cargo::rustc-link-lib=stdc++");
    }
}
