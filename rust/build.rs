//! Compile htscodecs out of the htslib sources that `hts-sys` carries.
//!
//! `hts-sys` enables SIMD only for target features known at build time, which a portable wheel
//! cannot assume. Here each SIMD file gets the flag that it alone needs; htscodecs picks one of
//! them at run time.

use std::env;
use std::path::{Path, PathBuf};

const PORTABLE: &[&str] = &[
    "arith_dynamic.c",
    "fqzcomp_qual.c",
    "htscodecs.c",
    "pack.c",
    "rANS_static.c",
    "rANS_static32x16pr.c",
    "rANS_static4x16pr.c",
    "rle.c",
    "tokenise_name3.c",
    "utils.c",
];
const X86: &[(&str, &[&str])] = &[
    ("rANS_static32x16pr_sse4.c", &["-msse4.1", "-mssse3", "-mpopcnt"]),
    ("rANS_static32x16pr_avx2.c", &["-mavx2", "-mpopcnt"]),
    ("rANS_static32x16pr_avx512.c", &["-mavx512f", "-mpopcnt"]),
];

fn build(htslib: &Path) -> cc::Build {
    let mut build = cc::Build::new();
    // config.h lies in the root of htslib.
    build.include(htslib).warnings(false).opt_level(3).pic(true);
    if env::var("CARGO_CFG_TARGET_ARCH").as_deref() == Ok("x86_64") {
        for define in ["HAVE_SSE4_1", "HAVE_SSSE3", "HAVE_POPCNT", "HAVE_AVX2", "HAVE_AVX512"] {
            build.define(define, "1");
        }
    }
    build
}

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let root = env::var("DEP_HTS_ROOT").expect("hts-sys exports its build folder");
    let htslib = PathBuf::from(root).join("htslib");
    let sources = htslib.join("htscodecs/htscodecs");
    let mut objects = build(&htslib);
    objects.files(PORTABLE.iter().map(|name| sources.join(name)));
    match env::var("CARGO_CFG_TARGET_ARCH").as_deref() {
        Ok("x86_64") => {
            for (name, flags) in X86 {
                let mut simd = build(&htslib);
                flags.iter().for_each(|flag| {
                    simd.flag(flag);
                });
                simd.file(sources.join(name));
                for object in simd.compile_intermediates() {
                    objects.object(object);
                }
            }
        }
        Ok("aarch64") => {
            objects.file(sources.join("rANS_static32x16pr_neon.c"));
        }
        _ => {}
    }
    objects.compile("bams3_htscodecs");
    println!("cargo:rustc-link-lib=m");
}
