//! Compiles the planted bugs in. Only this package does; the product's crate has no way to.

fn main() {
    println!("cargo::rustc-cfg=planted_bugs");
    println!("cargo::rerun-if-changed=build.rs");
}
