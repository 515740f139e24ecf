//! Compiles the protobufs without `protoc`.

use std::error::Error;

const FILES: [&str; 2] = ["ferromq/admin/v1/admin.proto", "grpc/health/v1/health.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let descriptors = protox::compile(FILES, ["proto"])?;
    tonic_prost_build::configure().build_transport(true).compile_fds(descriptors)?;
    Ok(())
}
