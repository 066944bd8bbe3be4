//! Encrypted and authenticated connections, as docs/kafka.md shows them.

use std::fs;
use std::path::Path;

use everlog_log_client::LogError;
use everlog_log_client::kafka::{KafkaLog, KafkaOptions};
use everlog_test_kafka::{ClusterOptions, KafkaCluster};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use tempfile::TempDir;

use crate::support::{STREAM, append_at_last, log, options, read};

/// The files of an authority, a broker and a client.
struct Certificates {
    folder: TempDir,
}

impl Certificates {
    fn make() -> Self {
        let folder = TempDir::new().unwrap();
        let mut params = CertificateParams::default();
        // One that is named like its certificates would be taken for one of them.
        params.distinguished_name.push(DnType::CommonName, "authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
        for (name, usage) in [
            ("broker", ExtendedKeyUsagePurpose::ServerAuth),
            ("client", ExtendedKeyUsagePurpose::ClientAuth),
        ] {
            let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
            let mut params = CertificateParams::new(names).unwrap();
            params.extended_key_usages = vec![usage];
            let key = KeyPair::generate().unwrap();
            let certificate = params.signed_by(&key, &authority).unwrap();
            let write = |kind: &str, text: &str| {
                fs::write(folder.path().join(format!("{name}.{kind}")), text).unwrap();
            };
            write("key", &key.serialize_pem());
            write("crt", &certificate.pem());
            // Kafka takes key and certificate from one file.
            write("pem", &format!("{}{}", key.serialize_pem(), certificate.pem()));
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> String {
        let path: &Path = self.folder.path();
        path.join(name).display().to_string()
    }
}

/// One broker with a listener of each kind.
fn cluster(certificates: &Certificates) -> KafkaCluster {
    let mut options = ClusterOptions::new(1)
        .listener("TLS", "SSL")
        .listener("MTLS", "SSL")
        .listener("PLAIN", "SASL_SSL")
        .listener("SCRAM", "SASL_SSL")
        .property("listener.name.mtls.ssl.client.auth", "required")
        .property("listener.name.plain.sasl.enabled.mechanisms", "PLAIN")
        .property(
            "listener.name.plain.plain.sasl.jaas.config",
            "org.apache.kafka.common.security.plain.PlainLoginModule required user_everlog=\"plain-secret\";",
        )
        .property("listener.name.scram.sasl.enabled.mechanisms", "SCRAM-SHA-512")
        .property(
            "listener.name.scram.scram-sha-512.sasl.jaas.config",
            "org.apache.kafka.common.security.scram.ScramLoginModule required;",
        )
        .scram_user("everlog", "scram-secret");
    for listener in ["tls", "mtls", "plain", "scram"] {
        for (store, file) in [("keystore", "broker.pem"), ("truststore", "ca.pem")] {
            let property = format!("listener.name.{listener}.ssl.{store}");
            options = options
                .property(&format!("{property}.type"), "PEM")
                .property(&format!("{property}.location"), &certificates.path(file));
        }
    }
    KafkaCluster::with(&options)
}

fn secured(cluster: &KafkaCluster, listener: &str, properties: &[(&str, &str)]) -> KafkaOptions {
    let properties = properties.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    KafkaOptions {
        properties: properties.collect(),
        ..options(&listener.to_lowercase(), &cluster.bootstrap_servers_of(listener), 1)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_encrypted_and_authenticated_by_properties() {
    let certificates = Certificates::make();
    let cluster = cluster(&certificates);
    let path = |name| certificates.path(name);
    let (authority, key, certificate) = (path("ca.pem"), path("client.key"), path("client.crt"));
    let tls = [("security.protocol", "SSL"), ("ssl.ca.location", &*authority)];
    let mtls =
        [tls[0], tls[1], ("ssl.key.location", &key), ("ssl.certificate.location", &certificate)];
    let sasl = |mechanism, password| {
        [
            ("security.protocol", "SASL_SSL"),
            tls[1],
            ("sasl.mechanism", mechanism),
            ("sasl.username", "everlog"),
            ("sasl.password", password),
        ]
    };
    let plain = sasl("PLAIN", "plain-secret");
    let scram = sasl("SCRAM-SHA-512", "scram-secret");
    for (listener, properties) in
        [("TLS", &tls[..]), ("MTLS", &mtls[..]), ("PLAIN", &plain[..]), ("SCRAM", &scram[..])]
    {
        let log = log(secured(&cluster, listener, properties)).await;
        append_at_last(&log, STREAM, listener).await;
        assert_eq!(read(&log, STREAM, 1).await, [listener]);
    }
    for (listener, properties, says) in [
        // No authority that vouches for the broker.
        ("TLS", &tls[..1], "certificate verify failed"),
        // No certificate of the client.
        ("MTLS", &tls[..], "bad certificate"),
        // The other's password.
        ("PLAIN", &sasl("PLAIN", "scram-secret")[..], "Authentication failed"),
        ("SCRAM", &sasl("SCRAM-SHA-512", "plain-secret")[..], "Authentication failed"),
    ] {
        let refused = KafkaLog::connect(secured(&cluster, listener, properties)).await;
        let Err(LogError::Unavailable(reason)) = refused else { panic!("{listener}: {refused:?}") };
        assert!(reason.contains(says), "{listener}: {reason}");
    }
}
