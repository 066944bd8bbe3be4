//! Connections to real servers, with and without TLS, trusted and not.

#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod authority;

use std::io::Write as _;
use std::net::SocketAddr;

use authority::Authority;
use everlog_connect::{
    ConnectError, Connection, Connector, HttpVersion, Origin, TlsOptions, TrustError, Wanted,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, date_time_ymd};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Serves TLS: sends back what it is sent.
async fn serve(tls: TlsAcceptor) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            // A client that does not trust us breaks off.
            let Ok(mut stream) = tls.accept(stream).await else { continue };
            let mut bytes = [0; 4];
            if stream.read_exact(&mut bytes).await.is_ok() {
                stream.write_all(&bytes).await.unwrap();
                stream.shutdown().await.unwrap();
            }
        }
    });
    address
}

fn trusting(authority: &Authority) -> Connector {
    Connector::new(&TlsOptions { ca_file: Some(authority.file().to_owned()) }).unwrap()
}

async fn connect(
    connector: &Connector,
    uri: &str,
    wanted: Wanted,
) -> Result<Connection, ConnectError> {
    connector.connect(&Origin::of(&uri.parse().unwrap()).unwrap(), wanted).await
}

async fn failure(connector: &Connector, uri: &str) -> String {
    connect(connector, uri, Wanted::Best).await.unwrap_err().to_string()
}

#[tokio::test]
async fn a_private_authority_is_trusted_where_it_is_named() {
    let authority = Authority::new();
    let address = serve(authority.server("127.0.0.1", &["h2"])).await;
    let uri = format!("https://{address}");
    let mut connection = connect(&trusting(&authority), &uri, Wanted::Best).await.unwrap();
    connection.write_all(b"ping").await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "ping");

    for stranger in [Connector::new(&TlsOptions::default()).unwrap(), trusting(&Authority::new())] {
        let error = failure(&stranger, &uri).await;
        assert!(error.starts_with("its certificate is not trusted ("), "{error}");
        assert!(error.contains("tls_ca_file"), "{error}");
    }
}

#[tokio::test]
async fn the_best_version_that_both_speak_is_spoken() {
    let authority = Authority::new();
    let connector = trusting(&authority);
    for (offered, wanted, spoken) in [
        (&["h2", "http/1.1"][..], Wanted::Best, HttpVersion::Two),
        // The server chooses.
        (&["http/1.1", "h2"], Wanted::Best, HttpVersion::One),
        (&["h2"], Wanted::Best, HttpVersion::Two),
        (&["http/1.1"], Wanted::Best, HttpVersion::One),
        (&[], Wanted::Best, HttpVersion::One),
        (&["h2", "http/1.1"], Wanted::HttpOne, HttpVersion::One),
    ] {
        let address = serve(authority.server("localhost", offered)).await;
        let uri = format!("https://localhost:{}", address.port());
        let connection = connect(&connector, &uri, wanted).await.unwrap();
        assert_eq!(connection.version(), spoken, "{offered:?} {wanted:?}");
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}", listener.local_addr().unwrap());
    for (wanted, spoken) in [(Wanted::Best, HttpVersion::Two), (Wanted::HttpOne, HttpVersion::One)]
    {
        assert_eq!(connect(&connector, &uri, wanted).await.unwrap().version(), spoken);
    }
}

#[tokio::test]
async fn no_protocol_in_common_is_a_failed_handshake() {
    let authority = Authority::new();
    let address = serve(authority.server("127.0.0.1", &["spdy/3"])).await;
    let error = failure(&trusting(&authority), &format!("https://{address}")).await;
    assert!(error.starts_with("the TLS handshake failed: "), "{error}");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let authority = Authority::new();
    let address = serve(authority.server("functions.example", &["h2"])).await;
    let uri = format!("https://localhost:{}", address.port());
    let error = failure(&trusting(&authority), &uri).await;
    assert!(error.starts_with("its certificate is not for localhost ("), "{error}");
    assert!(error.contains("functions.example"), "{error}");
}

#[tokio::test]
async fn a_certificate_of_another_time_is_refused() {
    let authority = Authority::new();
    for (from, to) in [(1990, 2000), (2990, 3000)] {
        let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(to, 1, 1);
        let address = serve(authority.server_with(&params, &["h2"])).await;
        let error = failure(&trusting(&authority), &format!("https://{address}")).await;
        assert!(error.starts_with("its certificate is not valid now ("), "{error}");
    }
}

#[tokio::test]
async fn a_certificate_of_an_authority_cannot_serve() {
    let authority = Authority::new();
    let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let address = serve(authority.server_with(&params, &["h2"])).await;
    let error = failure(&trusting(&authority), &format!("https://{address}")).await;
    assert!(error.starts_with("its certificate is that of an authority"), "{error}");
}

#[tokio::test]
async fn a_peer_without_tls_is_told_from_a_broken_one() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        }
    });
    let connector = Connector::new(&TlsOptions::default()).unwrap();
    let error = failure(&connector, &format!("https://{address}")).await;
    assert!(error.starts_with("it does not speak TLS"), "{error}");
}

#[test]
fn a_file_without_certificates_is_refused() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let options = TlsOptions { ca_file: Some(file.path().to_owned()) };
    assert!(matches!(Connector::new(&options), Err(TrustError::Empty(_))));
    file.write_all(b"-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n").unwrap();
    assert!(matches!(Connector::new(&options), Err(TrustError::Unreadable { .. })));
    let options = TlsOptions { ca_file: Some("/no/such/file.pem".into()) };
    let error = Connector::new(&options).unwrap_err().to_string();
    assert!(error.contains("/no/such/file.pem"), "{error}");
}
