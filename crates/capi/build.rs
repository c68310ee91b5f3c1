//! Names the shared library for the dynamic linker: programs find any version with the same major version of the ABI.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let abi = 0;
    match std::env::var("CARGO_CFG_TARGET_OS").as_deref() {
        Ok("linux" | "android" | "freebsd" | "netbsd" | "openbsd") => {
            println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libparing.so.{abi}");
        }
        Ok("macos" | "ios") => {
            println!("cargo:rustc-cdylib-link-arg=-Wl,-install_name,@rpath/libparing.{abi}.dylib");
        }
        _ => {}
    }
}
