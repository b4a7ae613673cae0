//! How the program is linked.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let target = |part: &str| std::env::var(format!("CARGO_CFG_TARGET_{part}")).unwrap_or_default();
    if target("OS") == "linux" && target("ENV") == "gnu" {
        // At an address of its own choice the program would first write 17,000 addresses into
        // a hundred pages of its tables: a sixth of the time of a start.
        println!("cargo:rustc-link-arg-bins=-no-pie");
    }
}
