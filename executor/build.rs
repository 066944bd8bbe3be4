//! Generates the messages of the service protocol from `proto/protocol.proto`.

fn main() -> std::io::Result<()> {
    println!("cargo::rerun-if-changed=proto/protocol.proto");
    prost_build::Config::new().bytes(["."]).compile_protos(&["proto/protocol.proto"], &["proto"])
}
