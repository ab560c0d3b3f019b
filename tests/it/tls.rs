//! Encrypted connections to PostgreSQL: a proxy of the test's own speaks TLS before the server, with a certificate of the
//! test's own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use leadfold::clock::{Clock as _, SystemClock};
use leadfold::store::Store;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::postgres::Database;

/// What a client sends that wants TLS (PostgreSQL documentation, "SSL Session Encryption").
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// An authority that nobody knows, with its certificate in a file.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    file: PathBuf,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let file = std::env::temp_dir().join(format!("leadfold-authority-{}.pem", SystemClock.new_id()));
        std::fs::write(&file, parameters.self_signed(&key).unwrap().pem()).unwrap();
        Self { issuer: Issuer::new(parameters, key), file }
    }

    /// How a server proves that it is `localhost`.
    fn server(&self) -> ServerConfig {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate: CertificateDer = certificate.signed_by(&key, &self.issuer).unwrap().into();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
            .unwrap()
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        std::fs::remove_file(&self.file).ok();
    }
}

/// Speaks TLS with clients and hands on to the server what they say; counts them.
async fn proxy(server: String, config: ServerConfig) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let (acceptor, server, counted) = (acceptor.clone(), server.clone(), Arc::clone(&counted));
            tokio::spawn(async move {
                let mut first = [0; 8];
                if client.read_exact(&mut first).await.is_err() || first != SSL_REQUEST {
                    return;
                }
                client.write_all(b"S").await.unwrap();
                // Fails where the client does not trust the certificate.
                let Ok(mut client) = acceptor.accept(client).await else { return };
                counted.fetch_add(1, Ordering::Relaxed);
                let mut server = TcpStream::connect(server).await.unwrap();
                copy_bidirectional(&mut client, &mut server).await.ok();
            });
        }
    });
    (address, count)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_is_trusted_as_its_address_says() {
    let Some(database) = Database::create().await else { return };
    let (ours, anothers) = (Authority::new(), Authority::new());
    let options: PgConnectOptions = database.url.parse().unwrap();
    let server = format!("{}:{}", options.get_host(), options.get_port());
    let (proxy, encrypted) = proxy(server, ours.server()).await;
    let (user, rest) = database.url.split_once('@').unwrap();
    let name = rest.split('/').nth(1).unwrap().split('?').next().unwrap();
    let port = proxy.port();
    let (ours_file, anothers_file) = (ours.file.display(), anothers.file.display());
    let open = async |host: &str, parameters: &str| {
        let before = encrypted.load(Ordering::Relaxed);
        let url = format!("{user}@{host}:{port}/{name}?{parameters}");
        match Store::open(&url, Arc::new(SystemClock)).await {
            Ok(store) => {
                store.close().await;
                assert!(encrypted.load(Ordering::Relaxed) > before, "{parameters}: in plain text");
                String::new()
            }
            Err(refusal) => refusal.to_string(),
        }
    };
    for (host, parameters, says) in [
        ("localhost", "sslmode=require".to_owned(), ""),
        ("localhost", format!("sslmode=verify-full&sslrootcert={ours_file}"), ""),
        ("localhost", "sslmode=verify-full".to_owned(), "from an authority that this machine does not know"),
        (
            "localhost",
            format!("sslmode=verify-full&sslrootcert={anothers_file}"),
            "does not know. Name the file",
        ),
        (
            "127.0.0.1",
            format!("sslmode=verify-full&sslrootcert={ours_file}"),
            "its certificate is for another host",
        ),
        ("127.0.0.1", format!("sslmode=verify-ca&sslrootcert={ours_file}"), ""),
        // Whoever names an authority means it, as for PostgreSQL's own programs.
        ("localhost", format!("sslmode=require&sslrootcert={anothers_file}"), "does not know"),
    ] {
        let said = open(host, &parameters).await;
        assert_eq!(said.is_empty(), says.is_empty(), "{host} {parameters}: {said}");
        assert!(said.contains(says), "{host} {parameters}: {said}");
    }
    // The server itself, without the proxy, has no TLS.
    let url = format!("{}?sslmode=require", database.url);
    let refusal = Store::open(&url, Arc::new(SystemClock)).await.err().unwrap().to_string();
    assert!(refusal.contains("Switch TLS on at the server"), "{refusal}");
    database.remove().await;
}
